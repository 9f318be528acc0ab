#!/usr/bin/env bash
# All tests.  ./run test calls this; see there.
#
#   --fast       gcc only, every test once
#   --interop    and our files read by programs from PyPI (in a virtual environment)
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

fast=0
interop=0
for option in "$@"; do
    case "$option" in
    --fast) fast=1 ;;
    --interop) interop=1 ;;
    *) die "unknown option $option; known: --fast, --interop" ;;
    esac
done

need_build
need g++ openmpi-bin libopenmpi-dev
need python3 python3-numpy python3-xxhash python3-zstandard # docs/reference_decoder
[ $fast = 1 ] || need clang

passed=0
failed=0

# tests NAME DIR [CTEST ARG ...]: runs ctest and adds its counts.
tests() {
    local name=$1 dir=$2
    shift 2
    say "tests: $name"
    local log=$dir/ctest-${name// /-}.log
    ctest --test-dir "$dir" -j "$jobs" --output-on-failure "$@" >"$log" 2>&1
    local total bad
    total=$(sed -n 's/.*tests passed, [0-9]* tests failed out of \([0-9]*\)$/\1/p' "$log")
    bad=$(sed -n 's/.*tests passed, \([0-9]*\) tests failed out of [0-9]*$/\1/p' "$log")
    if [ -z "$total" ] || [ "$total" = 0 ]; then
        echo "no test ran: see $log" >&2
        failed=$((failed + 1))
        return
    fi
    if [ "$bad" != 0 ]; then grep -vE '^ *[0-9]+/[0-9]+ .* Passed' "$log" | tail -150 >&2; fi
    sed -n 's/^\([0-9]*% tests passed.*\)/\1/p' "$log" >&2
    passed=$((passed + total - bad))
    failed=$((failed + bad))
}

# step NAME COMMAND ...: one check that is not a ctest.
step() {
    local name=$1
    shift
    say "$name"
    if "$@" >&2; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "failed: $name" >&2; fi
}

configure_and_make build-test -DCMAKE_BUILD_TYPE=Release -DISB_WERROR=ON
tests "gcc" build-test
if [ $fast = 0 ]; then
    for tier in ref avx2 avx512; do
        ISB_CPU=$tier build-test/isobit info >/dev/null 2>&1 || continue
        ISB_CPU=$tier tests "gcc at most $tier" build-test -L 'unit|golden'
    done
    configure_and_make build-clang -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER=clang -DISB_WERROR=ON -DISB_CUDA=OFF
    tests "clang" build-clang -L 'unit|kernel|golden'
    configure_and_make build-asan -DCMAKE_BUILD_TYPE=Release -DISB_SANITIZE=address,undefined -DISB_CUDA=OFF
    tests "gcc with sanitizers" build-asan -L 'unit|kernel|golden|oom|fuzz'
    step "one plain compiler line" scripts/plain_build.sh
    step "M1's bits with other compilers and options" scripts/matrix.sh --quick
fi
if [ $interop = 1 ]; then step "our files in other programs, and the Python package" scripts/interop.sh; fi

echo "$passed passed, $failed failed"
[ $failed = 0 ]
