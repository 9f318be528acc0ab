#!/usr/bin/env bash
# Mixed training: a model that reads tokens and raw bytes, beside one that reads tokens only and one that reads bytes only.
#
#   bench/mixed.sh TRAIN TEST FILE.isb-codebook [STEPS]
#
# SHARES="off 0.1 0.5 1" SIZE=nano BATCH=16 CONTEXT=256 SEED=1 THREADS=0 OUT=folder ISOBIT=program set the rest.  All runs have the same
# number of steps and targets a step, and one vocabulary; so bits/byte compares for equal compute, not for equal text: a row of
# bytes covers less of it.  One JSON object a run and view goes to standard output.  TEST is seen by nothing.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
isobit=${ISOBIT:-$root/build/isobit}
[ $# -ge 3 ] || { sed -n '2,/^# bytes/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
train=$1 test=$2 codebook=$3 steps=${4:-400}
out=${OUT:-$(mktemp -d)}
threads=${THREADS:-0}
[ -e "$out/tokens.train.json" ] ||
    "$isobit" prepare --data "$train" --tokenizer "$codebook" --raw-bytes --out "$out/tokens" --threads "$threads" --quiet >&2
for share in ${SHARES:-off 0.1 0.5 1}; do
    run=$out/share-$share number=$share
    [ "$share" != off ] || number=0
    [ -e "$run/model.safetensors" ] ||
        "$isobit" train --data "$out/tokens" --out "$run" --size "${SIZE:-nano}" --batch "${BATCH:-16}" \
            --context "${CONTEXT:-256}" --seed "${SEED:-1}" --steps "$steps" --raw-share "$number" --threads "$threads" --quiet >&2
    for view in tokens bytes; do
        "$isobit" eval --model "$run" --data "$test" --view $view --threads "$threads" --quiet --json |
            sed "s/^{/{\"raw_share\":\"$share\",\"view\":\"$view\",\"steps\":$steps,/"
    done
done
