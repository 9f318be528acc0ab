#!/usr/bin/env bash
# Compression and decompression: ratio and speed beside gzip, bzip2, xz and zstd on the same file, medians of RUNS runs.
#
#   bench/compress.sh M1 FILE ...
#
# Needs build/isobit and jq; peers that are not installed are left out.  The M1's own size is not counted.
set -euo pipefail
isobit=$(cd "$(dirname "$0")/.." && pwd)/build/isobit
[ $# -ge 2 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | grep -v '^set' >&2; exit 2; }
m1=$1
shift
runs=${RUNS:-3}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# seconds COMMAND ...: median wall time of $runs runs.
seconds() {
    local i start
    for ((i = 0; i < runs; i++)); do
        start=$(date +%s.%N)
        "$@" >/dev/null
        date +%s.%N | awk -v a="$start" '{ print $1 - a }'
    done | sort -n | awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)] }'
}

# case NAME FILE PACKED COMPRESS DECOMPRESS: the commands are strings for sh.
line() {
    local name=$1 file=$2 packed=$3
    local c d
    c=$(seconds sh -c "$4")
    d=$(seconds sh -c "$5")
    cmp -s "$file" "$scratch/back" || { echo "$name: round trip failed" >&2; exit 1; }
    awk -v name="$name" -v raw="$(stat -c %s "$file")" -v out="$(stat -c %s "$packed")" -v c="$c" -v d="$d" 'BEGIN {
        printf "%-12s %11d %11d %8.3f %10.3f %14.4f %14.4f\n", name, raw, out, raw / out, 8 * out / raw, raw / c / 1e6, raw / d / 1e6 }'
}

printf '%-12s %11s %11s %8s %10s %14s %14s\n' method bytes packed ratio bits/byte compress-MB/s decompress-MB/s
for file in "$@"; do
    p=$scratch/packed b=$scratch/back
    line isobit "$file" "$p" "$isobit compress --quiet -f --m1 '$m1' -o $p '$file'" "$isobit decompress --quiet -f --m1 '$m1' -o $b $p"
    for peer in "gzip -9" "bzip2 -9" "xz -9e" "zstd -19 -q --long"; do
        command -v "${peer%% *}" >/dev/null || continue
        rm -f "$p"
        line "${peer%% -q*}" "$file" "$p" "$peer -c '$file' > $p" "${peer%% *} -dc < $p > $b"
    done
done
