#!/usr/bin/env bash
# Our files in the hands of the programs they are made for: safetensors, NumPy and TensorBoard from PyPI, in .venv.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
need python3 python3-venv
[ -x build-test/isobit ] || configure_and_make build-test -DCMAKE_BUILD_TYPE=Release -DISB_WERROR=ON
if [ ! -e .venv/.ready ]; then
    python3 -m venv .venv
    .venv/bin/pip install --quiet numpy safetensors tensorboard setuptools'<81'
    : >.venv/.ready
fi
exec .venv/bin/python scripts/interop.py build-test/isobit
