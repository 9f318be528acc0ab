#!/usr/bin/env bash
# Speed of codebooks beside the tokenizers people use, all of one size, made from one text, on one core, in one run.
#
#   bench/tokenizer_speed.sh --train FILE --test FILE ... [--size V] [--kind KIND] [--codebook FILE] [--rounds N]
#                            [--cpu-time] [--json]
#
# FILE: .jsonl (a document a line in "text") or plain text, also .gz and .zst.  bench/tokenizer_speed.py says what is
# timed.  Peers come from PyPI into .venv; what they train is kept in ~/.cache/isobit/bench.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
[ $# -ge 4 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' bench/tokenizer_speed.sh | grep -v '^set' >&2; exit 2; }
venv_with bench/tokenizer-requirements.txt
exec .venv/bin/python bench/tokenizer_speed.py "$@"
