#!/usr/bin/env bash
# The Python package as one wheel in dist/, with libisobit.so and the libraries that it needs inside; prints its name.
# auditwheel copies the libraries in, points ours at them, and names the oldest glibc that will do.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
need_build
configure_and_make build-wheel -DCMAKE_BUILD_TYPE=Release -DISB_TESTS=OFF -DISB_BENCH=OFF -DISB_CUDA=OFF -DISB_MPI=OFF
venv_with scripts/wheel-requirements.txt
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
cp -r LICENSE python/pyproject.toml python/setup.py python/README.md python/isobit "$stage"
cp build-wheel/libisobit.so "$stage/isobit"
.venv/bin/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w "$stage/plain" "$stage" >&2
PATH="$PWD/.venv/bin:$PATH" .venv/bin/auditwheel repair -w "$stage/dist" "$stage"/plain/*.whl >"$stage/log" 2>&1 ||
    { cat "$stage/log" >&2; die "auditwheel failed"; }
mkdir -p dist
cp "$stage"/dist/*.whl dist
cd "$stage/dist"
for wheel in *.whl; do echo "dist/$wheel"; done
