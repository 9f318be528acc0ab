#!/usr/bin/env bash
# What a small model makes of each kind of token: the same M2, the same text once (or EPOCHS of it), bits/byte on a test text.
#
#   bench/tokenizer_m2.sh TRAIN.jsonl TEST.jsonl
#
# V=8192 SIZE=nano EPOCHS=0.5 KINDS="sentencepiece word ..." CONTEXT=256 SEEDS=1 OUT=folder OPTIONS="--embedding-lr 1 ..." set the rest.  Each M2 sees the
# same bytes of text, so longer tokens mean fewer steps and fewer FLOPs; both are printed.  SentencePiece (unigram) is trained
# on the same text.  The codebooks are built from all of TRAIN; TEST is seen by nothing.  Needs build/isobit, jq and
# Debian's python3-sentencepiece.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
isobit=$root/build/isobit
[ $# = 2 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | grep -v '^set' >&2; exit 2; }
train=$(realpath "$1") test=$(realpath "$2")
v=${V:-8192} size=${SIZE:-nano} epochs=${EPOCHS:-0.5} context=${CONTEXT:-256}
out=${OUT:-$(mktemp -d)}
mkdir -p "$out"

# tokens_of NAME: PREFIX and PREFIX-test, datasets of the two texts.
tokens_of() {
    local name=$1 n
    [ ! -e "$out/$name-test.json" ] || return 0
    if [ "$name" = sentencepiece ]; then
        /usr/bin/python3 "$root/scripts/sentencepiece_ids.py" train $((v - 1)) "$train" "$out/spm"
        for part in train test; do
            n=$(/usr/bin/python3 "$root/scripts/sentencepiece_ids.py" ids "$out/spm.model" "${!part}" "$out/spm-$part.jsonl")
        done
        /usr/bin/python3 "$root/scripts/sentencepiece_ids.py" pieces "$out/spm.model" "$out/spm.pieces"
        "$isobit" prepare --quiet --one-file --tokenizer "external:sentencepiece,vocab=$n" --pieces "$out/spm.pieces" \
            --data "$out/spm-train.jsonl" --out "$out/$name"
        "$isobit" prepare --quiet --one-file --tokenizer "external:sentencepiece,vocab=$n" --data "$out/spm-test.jsonl" --out "$out/$name-test"
    else
        "$isobit" codebook build --quiet --split all --kind "$name" --size "$v" --data "$train" -o "$out/$name.isb-codebook"
        "$isobit" prepare --quiet --one-file --tokenizer "$out/$name.isb-codebook" --data "$train" --out "$out/$name"
        "$isobit" prepare --quiet --one-file --tokenizer "$out/$name.isb-codebook" --data "$test" --out "$out/$name-test"
    fi
}

# line NAME SEED
line() {
    local n_tokens run=$out/m2-$1-$2
    n_tokens=$(jq "(.n_tokens * $epochs | floor)" "$out/$1.json")
    "$isobit" train --quiet --size "$size" --data "$out/$1" --context "$context" --batch 8 --tokens "$n_tokens" --seed "$2" \
        ${OPTIONS:-} --overwrite --out "$run" --json | tail -1 >"$run.train.json"
    "$isobit" eval --quiet --model "$run" --data "$out/$1-test" --json >"$run.eval.json"
    jq -r --slurpfile t "$run.train.json" '[.bytes_per_token, .bits_per_byte, $t[0].steps, $t[0].train_flops / 1e12, $t[0].seconds] | @tsv' \
        "$run.eval.json" | awk -v name="$1" -v seed="$2" -F'\t' \
        '{ printf "%-14s %4d %11.3f %10.4f %7d %12.1f %8.0f\n", name, seed, $1, $2, $3, $4, $5 }'
}

printf '%-14s %4s %11s %10s %7s %12s %8s\n' tokens seed bytes/token bits/byte steps train-TFLOPs seconds
for name in ${KINDS-sentencepiece word phrase run words free}; do
    tokens_of "$name"
    for ((seed = 1; seed <= ${SEEDS:-1}; seed++)); do line "$name" "$seed"; done
done
