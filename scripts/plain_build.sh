#!/usr/bin/env bash
# The CPU library builds without a build system, with one compiler line.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
# shellcheck disable=SC2046
${CC:-cc} -std=c17 -O2 -ffp-contract=off -D_GNU_SOURCE -DISB_VERSION='"plain"' -pthread -Iinclude -Isrc \
    $(ls src/*/*.c | grep -v ^src/cuda/) $(ls src/kernels/ref/*.c src/kernels/x86/*.c tools/*.c) -o "$out/isobit" -lz -lzstd -lxxhash -ljansson -ldivsufsort -lm
"$out/isobit" --version
