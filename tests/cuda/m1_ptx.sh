#!/usr/bin/env bash
# m1_ptx.sh NVCC ROOT: M1's kernels as PTX.  Every floating-point operation must be a single IEEE one, rounded to nearest
# even, with denormals: no fused multiply-add, no flush to zero, no approximation.
set -euo pipefail
nvcc=$1
root=$2
failed=0
for kernel in m1_rows m1_product m1_attention; do
    ptx=$("$nvcc" -std=c++17 -arch=compute_80 -fmad=false --ptx -o - -I "$root/src" -I "$root/include" \
        "$root/src/cuda/$kernel.cu")
    n=$(grep -cE '^\s*(mul|add|sub|div|sqrt)\.rn\.f(32|64)' <<<"$ptx") || true
    bad=$(grep -nE '\.ftz|\.approx|\.full\.|\b(fma|mad)\.(rn\.|rz\.|rm\.|rp\.)?f(32|64)|^\s*(mul|add|sub)\.f(32|64)|\.r[zmp]\.f(32|64)' \
        <<<"$ptx") || true
    echo "$kernel: $n operations"
    if [ "$n" -lt 5 ]; then
        echo "$kernel: expected at least 5 operations rounded to nearest"
        failed=1
    fi
    if [ -n "$bad" ]; then
        echo "$kernel: these round otherwise, or may:"
        echo "$bad"
        failed=1
    fi
done
exit $failed
