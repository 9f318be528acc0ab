#!/usr/bin/env bash
# Tokens/s of one training run on 1 to N processes of one thread, beside one process with as many threads, and the share of
# time in communication (waiting for slower processes included).
#
#   bench/mpi_scaling.sh TEXT [SIZE [N [STEPS]]]     e.g.  bench/mpi_scaling.sh corpus.txt 3m 2 30
#
# Needs build/isobit and mpirun.  The batch is the same in all cases: N micro-batches of 8 rows of 256 tokens a step.  One line
# a case: processes, threads of each, tokens/s, ratio to the first, share of time in communication.
set -euo pipefail
isobit=${ISOBIT:-$(cd "$(dirname "$0")/.." && pwd)/build/isobit}
[ $# -ge 1 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | grep -v '^set' >&2; exit 2; }
text=$(realpath "$1")
size=${2:-3m}
most=${3:-2}
steps=${4:-30}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$isobit" prepare --data "$text" --out "$scratch/tokens" --quiet >/dev/null

first=
# measure PROCESSES THREADS: the median of the log's lines after the first
measure() {
    rm -rf "$scratch/run"
    mpirun --bind-to none --oversubscribe -n "$1" "$isobit" train --data "$scratch/tokens" --out "$scratch/run" --size "$size" \
        --context 256 --batch 8 --accumulate "$most" --steps "$steps" --log-every 1 --eval-every 1000000 -T "$2" --quiet >/dev/null
    local speed share
    speed=$(middle tokens_per_s)
    share=$(middle comm_share)
    first=${first:-$speed}
    awk -v p="$1" -v t="$2" -v s="$speed" -v f="$first" -v c="${share:-0}" \
        'BEGIN { printf "%9d %7d %12.0f %6.2f %8.1f%%\n", p, t, s, s / f, 100 * c }'
}

middle() {
    sed -n 's/.*"'"$1"'": \([-0-9.e+]*\)[,}].*/\1/p' "$scratch/run/log.jsonl" | tail -n +3 | sort -g |
        awk '{ x[NR] = $1 } END { if (NR) print x[int((NR + 1) / 2)] }'
}

printf '%9s %7s %12s %6s %9s\n' processes threads tokens/s ratio comm
for ((n = 1; n <= most; n *= 2)); do measure $n 1; done
for ((n = 2; n <= most; n *= 2)); do measure 1 $n; done
