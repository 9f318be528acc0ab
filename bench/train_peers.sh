#!/usr/bin/env bash
# Training steps beside PyTorch on the CPU: the same shapes, in alternating rounds of one run.
#
#   bench/train_peers.sh [--sizes 3m,25m] [--vocabs 257,65537] [--rounds N] [--seconds S] [--threads N] [--build DIR]
#                        [--ways WAY,...] [--json]
#
# bench/train_peers.py says what is timed, bench/train_torch.py what PyTorch runs.  PyTorch comes from PyPI into .venv;
# torch.compile needs g++.  Needs bench/bench_train in the build folder (build).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
need g++
venv_with bench/train-requirements.txt
exec .venv/bin/python bench/train_peers.py "$@"
