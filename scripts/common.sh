#!/usr/bin/env bash
# Shared by ./run and scripts/*.sh: messages, Debian packages, configure and build.

jobs=$(nproc)

say() { printf '\n== %s\n' "$*" >&2; }
die() { printf 'run: %s\n' "$*" >&2; exit 1; }

# Debian packages of the names given, installed if missing (as root, or with sudo).
need() {
    local missing=()
    local package
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    local as_root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "needs the packages: ${missing[*]}; run as root, or install sudo, or install them"
        as_root=(sudo)
    fi
    say "installing ${missing[*]}"
    "${as_root[@]}" apt-get update -qq >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

need_build() { need gcc libc6-dev make cmake pkg-config zlib1g-dev libzstd-dev libxxhash-dev libjansson-dev libdivsufsort-dev; }

# venv_with REQUIREMENTS: .venv with the Python packages of this file, installed once for each content of it.
venv_with() {
    need python3 python3-venv
    local mark
    mark=.venv/.has-$(sha256sum <"$1" | cut -c1-16)
    [ -e "$mark" ] && return
    say "installing the Python packages of $1 in .venv"
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check -r "$1" >&2
    : >"$mark"
}

# configure_and_make DIR [CMAKE ARG ...]
configure_and_make() {
    local dir=$1
    shift
    cmake -S . -B "$dir" "$@" >"$dir.log" 2>&1 || { cat "$dir.log" >&2; die "cmake failed"; }
    cmake --build "$dir" -j "$jobs" >>"$dir.log" 2>&1 || { grep -E 'error|warning' -A5 "$dir.log" | head -60 >&2; die "build failed, see $dir.log"; }
}
