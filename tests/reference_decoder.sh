#!/usr/bin/env bash
# The decoder in docs/reference_decoder, made from the specification alone, against the library: the CDFs of the
# determinism matrix, files with all kinds of chunks, and damage.  Exit code 77: Python or its packages are missing.
#
#   tests/reference_decoder.sh build/isobit build/tests/test_matrix
set -uo pipefail
cd "$(dirname "$0")/.."
isobit=$(realpath "$1") matrix=$(realpath "$2")

python=
for candidate in python3 /usr/bin/python3; do
    "$candidate" -c 'import numpy, xxhash, zstandard' 2>/dev/null && python=$candidate && break
done
if [ -z "$python" ]; then
    echo "skipped: no python3 with numpy, xxhash and zstandard (Debian: python3-numpy python3-xxhash python3-zstandard)"
    exit 77
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/isobit-reference.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
export OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 LC_ALL=C
failed=0
check() { # WHAT COMMAND ...
    local what=$1
    shift
    if "$@" >"$work/log" 2>&1; then echo "ok: $what"; else echo "FAILED: $what" && cat "$work/log" && failed=1 && return 1; fi
}
decode() { "$python" docs/reference_decoder/decode.py "$@"; }

"$matrix" files "$work" >/dev/null || exit 1
check "all CDFs of the matrix" "$python" tests/golden/matrix_reference.py "$work" tests/golden/matrix.txt

cat docs/*.md | head -c 200000 >"$work/train.txt"
# What each kind of chunk is good for, each 1,024 bytes: text; zeros; noise; text of a few words; and a short last one.
head -c 2048 docs/codes.md >"$work/data"
head -c 3072 /dev/zero >>"$work/data"
gzip -9 <docs/codes.md | tail -c +100 | head -c 2048 >>"$work/data"
yes 'all work and no play ' | head -c 1024 >>"$work/data"
head -c 700 docs/m1.md >>"$work/data"

kinds() { # FILE: how many chunks of which kind
    "$isobit" info "$1" --json | tr ',' '\n' | grep -E 'n_(ac|zstd|fill|stored)' | tr -d '" {}' | tr '\n' ' '
}

one_model() { # NAME TRAIN_OPTION ...
    local name=$1
    shift
    check "$name: trained" "$isobit" train --size nano --tokenizer bytes --data "$work/train.txt" --document-size 1000 \
        --out "$work/$name" --steps 40 --context 64 --batch 8 --lr 3e-3 --seed 3 --quiet "$@" || exit 1
    check "$name: quantised" "$isobit" quantize "$work/$name" -o "$work/$name.isb-m1" --quiet || exit 1
    check "$name: packed" "$isobit" compress --m1 "$work/$name.isb-m1" --chunk-size 1Ki --quiet "$work/data" -o "$work/$name.isb" || exit 1
    check "$name: unpacked by the reference decoder" decode "$work/$name.isb" --m1 "$work/$name.isb-m1" -o "$work/$name.back"
    check "$name: the same bytes" cmp "$work/data" "$work/$name.back"
    for kind in ac zstd fill stored; do
        check "$name: has a chunk of the kind $kind: $(kinds "$work/$name.isb")" grep -qE "n_$kind:[1-9]" <(kinds "$work/$name.isb")
    done
}

one_model rotary
one_model t5 --position t5 --activation relu --untied

check "M1 in the file" "$isobit" compress --m1 "$work/t5.isb-m1" --embed-m1 --chunk-size 1Ki --quiet "$work/data" -o "$work/embedded.isb" || exit 1
cat "$work/embedded.isb" "$work/rotary.isb" >"$work/two.isb"
check "two frames, of two M1s" decode "$work/two.isb" --m1 "$work/rotary.isb-m1" -o "$work/two"
check "both contents" cmp "$work/two" <(cat "$work/data" "$work/data")

# refuses WHAT FILE ...: an error of the decoder's own, not a crash of Python.
refuses() {
    local what=$1
    shift
    if decode "$@" -o "$work/bad" 2>"$work/log" || grep -qE 'Traceback|Errno' "$work/log"; then
        echo "FAILED: $what" && cat "$work/log" && failed=1
    else
        echo "ok: $what: $(sed "s|$work/||" "$work/log")"
    fi
}
refuses "another M1" "$work/rotary.isb" --m1 "$work/t5.isb-m1"
head -c 150 "$work/data" >"$work/short"
check "a short text" "$isobit" compress --m1 "$work/rotary.isb-m1" --quiet "$work/short" -o "$work/short.isb" || exit 1
check "decoded" decode "$work/short.isb" --m1 "$work/rotary.isb-m1" -o "$work/back"
check "the same short text" cmp "$work/short" "$work/back"
size=$(wc -c <"$work/short.isb")
for at in 3 7 9 15 22 25 30 49 53 60 $((size - 70)) $((size - 66)) $((size - 60)) $((size - 30)) $((size - 1)); do
    "$python" -c 'import sys; b = bytearray(open(sys.argv[1], "rb").read()); b[int(sys.argv[2])] ^= 4; open(sys.argv[3], "wb").write(b)' \
        "$work/short.isb" "$at" "$work/flipped.isb"
    refuses "a bit flipped at $at of $size" "$work/flipped.isb" --m1 "$work/rotary.isb-m1"
done
head -c $((size - 30)) "$work/short.isb" >"$work/cut.isb"
refuses "cut short" "$work/cut.isb" --m1 "$work/rotary.isb-m1"
exit $failed
