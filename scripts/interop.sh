#!/usr/bin/env bash
# Our files in the hands of the programs they are made for, and the Python package as a wheel, all from PyPI in .venv.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
[ -x build-test/isobit ] || configure_and_make build-test -DCMAKE_BUILD_TYPE=Release -DISB_WERROR=ON
venv_with scripts/interop-requirements.txt
wheel=$(scripts/wheel.sh)
.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall "$wheel"
(cd python/tests && ../../.venv/bin/python -m pytest -q -p no:cacheprovider .)
.venv/bin/python -m mypy --strict --cache-dir=/dev/null python/isobit
.venv/bin/python scripts/interop_codebook.py
exec .venv/bin/python scripts/interop.py build-test/isobit
