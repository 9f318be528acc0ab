#!/usr/bin/env bash
# Lossless compression of files by isobit and by the compressors people use, all in one run on this machine: a Markdown table.
#
#   bench/compress.sh [--m1 M1] [--runs N] [--only PATTERN] [--json] FILE ...
#
# Without --m1 the M1 in the library.  Speeds are raw bytes by wall time of the whole command, as a user waits for it, start
# and loading of the M1 included: medians of N runs (3).  isobit runs with one thread and with all; the others as they are by
# default, which is one thread, but for zpaq.  "With M1" counts the M1 too: the size of a file that carries it
# (--embed-m1).  Each result is unpacked and compared.  --only takes the methods whose names match an extended regular
# expression; --json prints an object a line instead.  Needs build/isobit and jq; Debian's packages brotli and zpaq if wanted.
set -euo pipefail
isobit=$(cd "$(dirname "$0")/.." && pwd)/build/isobit
usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | grep -v '^set' >&2; exit 2; }
die() { printf 'compress.sh: %s\n' "$*" >&2; exit 1; }

m1=() runs=3 only=. json=
while [ $# -gt 0 ]; do
    case $1 in
    --m1) m1=(--m1 "${2:?}"); shift 2 ;;
    --runs) runs=${2:?}; shift 2 ;;
    --only) only=${2:?}; shift 2 ;;
    --json) json=1; shift ;;
    -*) usage ;;
    *) break ;;
    esac
done
[ $# -ge 1 ] || usage
[ -x "$isobit" ] || die "no command at $isobit; ./run build makes it"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
packed=$scratch/packed back=$scratch/back

# ---- methods: pack METHOD FILE makes $packed of FILE, unpack METHOD FILE makes $back of $packed ----

threads=$(nproc)
methods=("isobit -T1" "gzip -9" "bzip2 -9" "xz -9e" "zstd -19 --long=27" "zstd --ultra -22 --long=27" "brotli -q 11 -w 24" "zpaq -m5")
[ "$threads" = 1 ] || methods=("isobit -T$threads" "${methods[@]}")

pack() {
    local file=$2
    set -- $1 # the method's words
    case $1 in
    isobit) "$isobit" compress --quiet "${m1[@]}" "$2" -o "$packed" "$file" ;;
    zpaq) zpaq add "$packed.zpaq" "$file" -m5 >/dev/null 2>&1 && mv "$packed.zpaq" "$packed" ;;
    zstd) "$@" -q -c "$file" >"$packed" ;;
    *) "$@" -c "$file" >"$packed" ;;
    esac
}

unpack() {
    local file=$2
    set -- $1
    case $1 in
    isobit) "$isobit" decompress --quiet "${m1[@]}" "$2" -o "$back" "$packed" ;;
    zpaq) ln "$packed" "$packed.zpaq" && zpaq extract "$packed.zpaq" "$file" -to "$back" >/dev/null 2>&1 && rm "$packed.zpaq" ;;
    zstd) zstd -q -d --long=27 -c "$packed" >"$back" ;;
    *) "$1" -d -c <"$packed" >"$back" ;;
    esac
}

# seconds OUTPUT COMMAND ...: median wall time; OUTPUT is removed before each run.
seconds() {
    local output=$1 i start
    shift
    for ((i = 0; i < runs; i++)); do
        rm -f "$output"
        start=$EPOCHREALTIME
        "$@" || return 1
        awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.6f\n", b - a }'
    done | sort -n | awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)] }'
}

# ---- the table ----

heading() {
    [ -n "$json" ] && return
    echo "| file | method | packed | ratio | bits/byte | with M1 | compress MB/s | decompress MB/s |"
    echo "|---|---|---:|---:|---:|---:|---:|---:|"
}

# line FILE RAW METHOD PACKED WITH_M1 COMPRESS_S DECOMPRESS_S
line() {
    local row
    row=$(jq -nc --arg file "$(basename "$1")" --argjson raw "$2" --arg method "$3" --argjson packed "$4" --argjson all "$5" \
        --argjson c "$6" --argjson d "$7" '{file: $file, raw_bytes: $raw, method: $method, packed_bytes: $packed, ratio: ($raw / $packed),
        bits_per_byte: (8 * $packed / $raw), bits_per_byte_with_m1: (8 * $all / $raw),
        compress_mb_per_s: ($raw / $c / 1e6), decompress_mb_per_s: ($raw / $d / 1e6)}')
    if [ -n "$json" ]; then
        echo "$row"
    else
        jq -r '[.file, .method, .packed_bytes, .ratio, .bits_per_byte, .bits_per_byte_with_m1, .compress_mb_per_s, .decompress_mb_per_s] | @tsv' <<<"$row" |
            awk -F'\t' '{ printf "| %s | %s | %d | %.3f | %.4f | %.4f | %.3f | %.3f |\n", $1, $2, $3, $4, $5, $6, $7, $8 }'
    fi
}

measure() {
    local file=$1 method=$2 raw size with_m1 c d
    raw=$(stat -L -c %s "$file")
    c=$(seconds "$packed" pack "$method" "$file")
    d=$(seconds "$back" unpack "$method" "$file")
    cmp -s "$file" "$back" || die "$method: $file did not come back"
    size=$(stat -c %s "$packed") with_m1=$size
    if [ "${method%% *}" = isobit ]; then
        "$isobit" compress --quiet -f "${m1[@]}" --embed-m1 -o "$packed" "$file"
        with_m1=$(stat -c %s "$packed")
    fi
    line "$file" "$raw" "$method" "$size" "$with_m1" "$c" "$d"
}

missing=()
for program in gzip bzip2 xz zstd brotli zpaq; do command -v $program >/dev/null || missing+=("$program"); done
heading
for file in "$@"; do
    [ -s "$file" ] || die "$file: not a file with bytes in it"
    file=$(realpath "$file")
    for method in "${methods[@]}"; do
        [[ $method =~ $only ]] || continue
        [ "${method%% *}" = isobit ] || command -v "${method%% *}" >/dev/null || continue
        measure "$file" "$method"
    done
done
[ -n "$json" ] && exit
printf '\n%s; %d threads; %s; medians of %d runs; %s\n' "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$threads" \
    "isobit $("$isobit" --version | cut -d' ' -f2)" "$runs" "not installed: ${missing[*]:-nothing}"
