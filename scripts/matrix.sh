#!/usr/bin/env bash
# The determinism matrix: one small program (tests/golden/test_matrix.c) built by different compilers, with different
# options, for different processors; each computes M1's predictions and codes in every way there is and must get the
# hashes of tests/golden/matrix.txt.  docs/determinism.md says what and why.
#
#   scripts/matrix.sh            gcc and clang, -O0 and -O3, with and without sanitizers, and for this very processor
#   scripts/matrix.sh --quick    gcc -O0, gcc -O3, clang -O3, with a sixth of the cells
#   scripts/matrix.sh --cross    other processors, by cross compilers and qemu: 64 and 32 bits, both byte orders;
#                                --cross=installed: those whose compilers are there, with a sixth of the cells
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

# M1, the codes and what they stand on.  What only larger programs need of these files (folders, JSON) is not linked.
sources() {
    grep -LE '<(zlib|zstd|jansson|cuda).*\.h>' src/base/*.c
    ls src/code/*.c src/m1/*.c src/kernels/int8.c src/kernels/ref/int8.c src/kernels/x86/int8*.c src/nn/rope.c src/nn/model.c
    echo tests/golden/test_matrix.c
}

# build NAME COMPILER FLAG ...: build/matrix/NAME/test_matrix.  xxHash is its header alone: no library for each processor.
build() {
    local name=$1 compiler=$2 dir=build/matrix/$1
    shift 2
    rm -rf "$dir"
    mkdir -p "$dir/include"
    ln -s /usr/include/xxhash.h "$dir/include/xxhash.h"
    sources | xargs -P "$jobs" -I{} bash -c '
        object=$1/$(tr / - <<<"$2").o; source=$2; compiler=$3; shift 3
        $compiler "$@" -c "$source" -o "$object"' build "$dir" {} "$compiler" \
        -std=c17 -ffp-contract=off -D_GNU_SOURCE -DXXH_INLINE_ALL -DISB_VERSION='"matrix"' -pthread \
        -ffunction-sections -fdata-sections -Iinclude -Isrc -Itests -isystem "$dir/include" "$@" >"$dir/log" 2>&1 &&
        $compiler "$@" -pthread -Wl,--gc-sections "$dir"/*.o -o "$dir/test_matrix" -lm >>"$dir/log" 2>&1
}

# row NAME RUNNER COMPILER FLAG ...: builds, runs, prints a line of the table.
passed=0
failed=0
cells=0
cells_wanted=
row() {
    local name=$1 runner=$2 start=$SECONDS log=build/matrix/$1.log
    shift 2
    mkdir -p build/matrix
    if ! build "$name" "$@"; then
        printf '%-28s does not build: build/matrix/%s/log\n' "$name" "$name"
        tail -5 "build/matrix/$name/log" >&2
        failed=$((failed + 1))
        return
    fi
    local built=$((SECONDS - start)) ok=1
    start=$SECONDS
    ISB_GOLDEN=tests/golden $runner "build/matrix/$name/test_matrix" $cells_wanted >"$log" 2>&1 || ok=0
    local n
    n=$(sed -n 's/^\([0-9]*\) cells.*/\1/p' "$log")
    cells=$((cells + ${n:-0}))
    if [ $ok = 1 ]; then
        passed=$((passed + 1))
        printf '%-28s %6d cells, all as recorded  (built in %d s, ran %d s)\n' "$name" "$n" "$built" $((SECONDS - start))
    else
        failed=$((failed + 1))
        printf '%-28s DIFFERENT: %s\n' "$name" "$log"
        tail -5 "$log" >&2
    fi
}

sanitized="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"

here() {
    need gcc libc6-dev libxxhash-dev clang
    local compiler
    for compiler in gcc clang; do
        row $compiler-O0 "" $compiler -O0
        row $compiler-O3 "" $compiler -O3
        # shellcheck disable=SC2086
        row $compiler-O0-sanitizers "" $compiler -O0 -g1 $sanitized
        # shellcheck disable=SC2086
        row $compiler-O3-sanitizers "" $compiler -O3 -g1 $sanitized
        row $compiler-O3-native "" $compiler -O3 -march=native
    done
}

quick() {
    need gcc libc6-dev libxxhash-dev clang
    row gcc-O0 "" gcc -O0
    row gcc-O3 "" gcc -O3
    row clang-O3 "" clang -O3
}

# Debian's cross compilers, and qemu, which runs one program of another processor.  Linked statically: no other
# processor's libraries are needed.
targets="aarch64-linux-gnu:aarch64 s390x-linux-gnu:s390x arm-linux-gnueabihf:arm i686-linux-gnu:i386"
cross() {
    local pair triplet flags
    if [ "$1" != installed ]; then
        need libxxhash-dev qemu-user
        for pair in $targets; do need "gcc-${pair%:*}" "libc6-dev-$(debian_name "${pair#*:}")-cross"; done
    fi
    for pair in $targets; do
        triplet=${pair%:*}
        if ! command -v "$triplet-gcc" >/dev/null || ! command -v "qemu-${pair#*:}" >/dev/null; then
            printf '%-28s skipped: %s-gcc or qemu-%s is not installed\n' "$triplet" "$triplet" "${pair#*:}"
            continue
        fi
        flags="-O2 -static"
        # Floats without excess precision, which M1 insists on: not in x87 registers; not in doubles, which is what strict
        # ISO C means to gcc on s390x.
        [ "${pair#*:}" = i386 ] && flags="$flags -msse2 -mfpmath=sse"
        [ "${pair#*:}" = s390x ] && flags="$flags -fexcess-precision=fast"
        # shellcheck disable=SC2086
        row "$triplet" "qemu-${pair#*:}" "$triplet-gcc" $flags
    done
}
debian_name() { case $1 in aarch64) echo arm64 ;; arm) echo armhf ;; *) echo "$1" ;; esac; }

case "${1:-}" in
"") cells_wanted=all && here ;;
--quick) quick ;;
--cross) cells_wanted=all && cross all ;;
--cross=installed) cross installed ;;
*) die "unknown option $1; known: --quick, --cross, --cross=installed" ;;
esac
echo "$cells cells in $((passed + failed)) builds; $passed passed, $failed failed"
[ $failed = 0 ]
