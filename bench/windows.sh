#!/usr/bin/env bash
# Bytes per token of the three window rules with one M1, and how often greedy windows do not decode.
#
#   bench/windows.sh M1 [prepare's options for text ...]      e.g.  bench/windows.sh out/m1 --data c4.test.jsonl.zst
#
# Needs build/isobit and jq.  One line a case: b, variant, bytes per 8-bit token, bytes per 16-bit token, unused share of
# greedy's ratio, failed windows, failed documents, seconds.
set -euo pipefail
isobit=$(cd "$(dirname "$0")/.." && pwd)/build/isobit
[ $# -ge 2 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | grep -v '^set' >&2; exit 2; }
m1=$1
shift
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

printf '%4s  %-7s %11s %12s %8s %10s %10s %8s\n' b variant bytes/8bit bytes/16bit /greedy windows-% docs-% seconds
for b in 16 24 32 64 128; do
    greedy=
    for variant in greedy exact delay; do
        "$isobit" prepare --quiet --json --check-windows --one-file --tokenizer "window:b=$b,variant=$variant,token=8" --m1 "$m1" \
            --out "$scratch/tokens" "$@" >"$scratch/result.json"
        rm -f "$scratch"/tokens.*
        ratio=$(jq .bytes_per_token "$scratch/result.json")
        [ $variant = greedy ] && greedy=$ratio
        jq -r --argjson b $b --arg v $variant --argjson greedy "$greedy" \
            '[$b, $v, .bytes_per_token, 2 * .bytes_per_token, .bytes_per_token / $greedy, 100 * .n_windows_failed / .n_windows,
              100 * .n_documents_failed / .n_documents, .seconds] | @tsv' "$scratch/result.json" |
            awk -F'\t' '{ printf "%4d  %-7s %11.3f %12.3f %8.3f %10.2f %10.2f %8.1f\n", $1, $2, $3, $4, $5, $6, $7, $8 }'
    done
done
