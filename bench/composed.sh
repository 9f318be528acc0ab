#!/usr/bin/env bash
# What composed embeddings change: the same M2 on the same text with plain and with composed embeddings, for each kind of token,
# each at several rates of the embedding (--embedding-lr): the best rate of one is not that of the other.
#
#   bench/composed.sh TRAIN.jsonl TEST.jsonl
#
# V=8192 SIZE=nano EPOCHS=0.5 KINDS="sentencepiece word ..." ARMS="plain:1 plain:16 composed:4" SEEDS="1 2"
# CONTEXT=256 THREADS=0 OUT=folder ISOBIT=program set the rest.
#
# Each M2 of a kind sees the same rows in the same order.  One JSON object a run goes to standard output and to
# OUT/results.jsonl; a run that is there already is not made again.  SentencePiece (unigram) is trained on the same text and
# brings its pieces, so that it is composed like the rest.  Codebooks are built from all of TRAIN; TEST is seen by nothing.
# tokens_per_s says something only on a quiet machine.  Needs build/isobit, jq and Debian's python3-sentencepiece.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
isobit=${ISOBIT:-$root/build/isobit}
[ $# = 2 ] || { sed -n '2,/^# CONTEXT/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
train=$(realpath "$1") test=$(realpath "$2")
v=${V:-8192} size=${SIZE:-nano} epochs=${EPOCHS:-0.5} context=${CONTEXT:-256} threads=${THREADS:-0}
out=${OUT:-$(mktemp -d)}
mkdir -p "$out"

# tokens_of NAME: PREFIX and PREFIX-test, datasets of the two texts.
tokens_of() {
    local name=$1 ids="$root/scripts/sentencepiece_ids.py" n part
    [ ! -e "$out/$name-test.json" ] || return 0
    if [ "$name" = sentencepiece ]; then
        /usr/bin/python3 "$ids" train $((v - 1)) "$train" "$out/spm"
        /usr/bin/python3 "$ids" pieces "$out/spm.model" "$out/spm.pieces"
        for part in train test; do
            n=$(/usr/bin/python3 "$ids" ids "$out/spm.model" "${!part}" "$out/spm-$part.jsonl")
        done
        "$isobit" prepare --quiet --one-file --tokenizer "external:sentencepiece,vocab=$n" --pieces "$out/spm.pieces" \
            --data "$out/spm-train.jsonl" --out "$out/$name"
        "$isobit" prepare --quiet --one-file --tokenizer "external:sentencepiece,vocab=$n" --data "$out/spm-test.jsonl" --out "$out/$name-test"
    else
        "$isobit" codebook build --quiet --split all --kind "$name" --size "$v" --data "$train" -o "$out/$name.isb-codebook"
        "$isobit" prepare --quiet --one-file --tokenizer "$out/$name.isb-codebook" --data "$train" --out "$out/$name"
        "$isobit" prepare --quiet --one-file --tokenizer "$out/$name.isb-codebook" --data "$test" --out "$out/$name-test"
    fi
}

# line NAME ARM SEED
line() {
    local id=$1-$v-$size-$epochs-$2-$3 embeddings=${2%:*} rate=${2#*:} n_tokens run
    run=$out/m2-${id//:/-}
    [ ! -e "$out/results.jsonl" ] || ! grep -q "\"run\":\"$id\"" "$out/results.jsonl" || return 0
    n_tokens=$(jq "(.n_tokens * $epochs | floor)" "$out/$1.json")
    "$isobit" train --quiet -T "$threads" --size "$size" --data "$out/$1" --context "$context" --batch 8 --tokens "$n_tokens" \
        --seed "$3" --embeddings "$embeddings" --embedding-lr "$rate" --overwrite --out "$run" --json | tail -1 >"$run.train.json"
    "$isobit" eval --quiet -T "$threads" --model "$run" --data "$out/$1-test" --json >"$run.eval.json"
    rm -rf "$run"
    jq -c --slurpfile t "$run.train.json" --arg run "$id" --arg tokens "$1" --arg size "$size" --arg embeddings "$embeddings" \
        --argjson rate "$rate" --argjson vocab "$v" --argjson seed "$3" --argjson epochs "$epochs" \
        '{run: $run, tokens: $tokens, vocab: $vocab, size: $size, epochs: $epochs, embeddings: $embeddings, embedding_lr: $rate, seed: $seed, bits_per_byte, bytes_per_token,
          steps: $t[0].steps, n_tokens: $t[0].tokens, train_flops: $t[0].train_flops, seconds: $t[0].seconds,
          tokens_per_s: $t[0].tokens_per_s}' "$run.eval.json" | tee -a "$out/results.jsonl"
}

for name in ${KINDS-sentencepiece word phrase words free}; do
    tokens_of "$name"
    for seed in ${SEEDS:-1}; do
        for arm in ${ARMS:-plain:1 plain:16 composed:4}; do line "$name" "$arm" "$seed"; done
    done
done
