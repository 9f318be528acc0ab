#!/usr/bin/env bash
# Bytes per token and the shape of tokens: each kind of codebook and each round of its making, beside SentencePiece.
#
#   bench/tokenizer_table.sh --train FILE --test FILE ... [--words FILE] [--sizes V,V,...] [--m1 DIR] [--no-rounds]
#                            [--threads N] [--out FILE.jsonl]
#
# FILE: .jsonl (a document a line in "text") or plain text, also .gz and .zst; --words: a word a line.
# bench/tokenizer_table.py says how each figure is defined.  What is made is kept in ~/.cache/isobit/bench.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
[ $# -ge 4 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' bench/tokenizer_table.sh | grep -v '^set' >&2; exit 2; }
venv_with bench/tokenizer-requirements.txt
exec .venv/bin/python bench/tokenizer_table.py "$@"
