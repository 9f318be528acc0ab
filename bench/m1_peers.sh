#!/usr/bin/env bash
# M1's speed beside PyTorch on the same shapes: random weights, a context of 256 bytes; 8 streams a thread for isobit, whose keys
# and values then stay in cache, 64 for PyTorch, which needs them.
#
#   bench/m1_peers.sh [--sizes nano,3m] [--ways eager-float32,eager-bfloat16,compile-float32,compile-bfloat16] [--threads N]
#                     [--seconds S] [--rounds N] [--build DIR] [--json]
#
# Two things are timed.  score: bytes of known text, as an encoder asks; PyTorch takes whole sequences of 256 bytes, so a
# byte has 128 before it on average, where isobit always has 255.  step: a byte of each stream, as a decoder asks, with all 256
# bytes of context.  isobit's arithmetic is int8 and gives the same bits everywhere; PyTorch's float32 and bfloat16 do not.
#
# Rounds: isobit, PyTorch's ways, isobit, ... in one run, so load on a shared machine falls on all; printed are medians over
# rounds in MB/s.  PyTorch comes from PyPI into .venv; torch.compile needs g++.  Needs bench/bench_m1 in the build folder (build).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
sizes=nano,3m ways=eager-float32,eager-bfloat16,compile-float32,compile-bfloat16 threads=$(nproc) seconds=2 rounds=3 build=build json=
while [ $# -gt 0 ]; do
    case $1 in
    --json) json=1; shift; continue ;;
    --sizes | --ways | --threads | --seconds | --rounds | --build) declare "${1#--}=${2:?}"; shift 2 ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | grep -v '^set' >&2; exit 2 ;;
    esac
done
need g++ jq
venv_with bench/train-requirements.txt

# isobit SIZE BYTES WHAT: bytes of each stream in a call.
isobit() {
    "$build/bench/bench_m1" --json --size "$1" --context 256 --full --threads "$threads" --streams 8 --bytes "$2" --seconds "$seconds" |
        jq -c --arg size "$1" --arg what "$3" '{engine: "isobit", size: $size, way: "int8, exact", what: $what, mb_per_s: (.kb_per_s / 1000)}'
}

round() {
    local size way
    for size in ${sizes//,/ }; do
        isobit "$size" 64 score
        isobit "$size" 1 step
        for way in ${ways//,/ }; do
            .venv/bin/python bench/m1_torch.py --size "$size" --how "${way%-*}" --dtype "${way#*-}" --threads "$threads" --seconds "$seconds"
        done
    done
}

for ((i = 0; i < rounds; i++)); do round; done |
    jq -cs 'group_by([.engine, .size, .way, .what]) | map(.[0] + {mb_per_s: ([.[].mb_per_s] | sort | .[length / 2 | floor])})
            | sort_by(.size, .what, -.mb_per_s) | .[]' |
    if [ "$json" ]; then cat; else
        printf '%-6s %-6s %-14s %-18s %9s\n' size what engine way MB/s
        jq -r '[.size, .what, .engine, .way, .mb_per_s] | @tsv' | awk -F'\t' '{ printf "%-6s %-6s %-14s %-18s %9.4f\n", $1, $2, $3, $4, $5 }'
    fi
