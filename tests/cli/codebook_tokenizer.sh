# Codebooks as tokenizers: prepare, train, eval, generate, encode | decode; and ids of another program.
text 11 60 | sed '/^$/d; s/.*/{"text": "&"}/' >docs.jsonl
hostile >hostile.bin
printf '{"text": "\\u0000\\ud83d\\ude00"}\n{"text": ""}\n' >>docs.jsonl
ok "a codebook" isobit codebook build --data docs.jsonl --size 300 --no-choose --special '<|pad|>' --name small -o small.isb-codebook
identity=$(isobit info small.isb-codebook --json | sed 's/.*"identity":"\([0-9a-f]*\)".*/\1/')

echo "# prepare"
share="--valid-permille 200 --test-permille 200"
isobit prepare --tokenizer small.isb-codebook --data docs.jsonl $share --out tokens --json |
    sed -E 's/"(n_tokens|bytes_per_token)":[0-9.]+/"\1":N/g; s/"seconds".*/.../'
ls tokens.*
same small.isb-codebook tokens.isb-codebook "the codebook beside the tokens"
isobit info tokens.train | grep -E '^(tokenizer|ids|bytes of an id)'
grep -c "\"codebook_identity\": \"$identity\"" tokens.train.json
isobit prepare --tokenizer codebook:small.isb-codebook --data docs.jsonl $share --out again --threads 1 --quiet >/dev/null
same tokens.train.bin again.train.bin "one thread or two, named either way"

echo "# train, eval, generate"
train="isobit train --size nano --context 32 --batch 4 --steps 4 --seed 3 --quiet"
ok "train on the tokens" $train --data tokens --out m2
same small.isb-codebook m2/tokenizer.isb-codebook "the model's own codebook"
ok "train on the text" $train --tokenizer small.isb-codebook --data docs.jsonl $share --out from-text
same m2/model.safetensors from-text/model.safetensors "the same model"
mkdir away && mv tokens.isb-codebook small.isb-codebook away
isobit eval --model m2 --data docs.jsonl $share --split test --json --quiet >a.json
isobit eval --model m2 --data tokens --split test --json --quiet >b.json
[ "$(number a.json bits_per_byte)" = "$(number b.json bits_per_byte)" ] && echo "text and dataset agree"
[ "$(number a.json flops_per_byte)" = "$(number a.json flops_per_byte_m1)" ] && echo "no cost of an M1"
isobit generate --model m2 --prompt "the sea" --seed 3 --max-bytes 40 >a.txt
isobit generate --model m2 --prompt "the sea" --seed 3 --max-bytes 40 >b.txt
same a.txt b.txt "one seed, one text"
ok "go on with the run's own copy" isobit train --out m2 --resume --steps 6 --quiet
fails 4 "small" "train without the codebook" $train --data tokens --out other
cp "$here/../../codebooks/english-65k.isb-codebook" tokens.isb-codebook
fails 3 "$identity.*tokens.isb-codebook is " "train with another codebook" $train --data tokens --out other
cp tokens.isb-codebook from-text/tokenizer.isb-codebook
fails 3 "$identity.*from-text/tokenizer.isb-codebook is " "a model with another codebook" isobit generate --model from-text

echo "# encode, decode"
for format in text json u16 u32; do
    isobit encode --whole --format $format --model m2 hostile.bin -o ids --quiet 2>err.txt
    isobit decode --format $format --model m2 ids -o back --quiet 2>err.txt
    same hostile.bin back "any bytes as $format"
    isobit encode --whole --format $format hostile.bin | isobit decode --format $format >back
    same hostile.bin back "any bytes as $format, by the default codebook"
done
isobit encode --model m2 docs.jsonl | isobit decode --model m2 --jsonl | tail -n 2
echo "0 298" >bad
fails 3 "298" "the id of a boundary" isobit decode --model m2 bad

echo "# ids of another program"
tokenizer="external:theirs,vocab=299"
isobit encode --tokenizer away/small.isb-codebook --format json docs.jsonl | paste -d '|' - docs.jsonl | sed 's/}|{/, /' >theirs.jsonl
ok "import" isobit prepare --tokenizer $tokenizer --data theirs.jsonl $share --out theirs
for side in train valid test; do same tokens.$side.bin theirs.$side.bin "the same $side documents"; done
ok "train" $train --data theirs --out foreign
isobit eval --model foreign --data theirs --split test --json --quiet | sed 's/.*\("n_documents":[0-9]*\).*/\1/'
fails 1 "another program" "eval on text" isobit eval --model foreign --data docs.jsonl
fails 1 "another program" "generate" isobit generate --model foreign
fails 1 "another program" "encode" isobit encode --model foreign docs.jsonl
echo '{"ids": [1, 2], "n_bytes": 3}' >bare.jsonl
ok "import without text" isobit prepare --tokenizer $tokenizer --data bare.jsonl --one-file --out bare
fails 3 "bare.jsonl:1.*text" "divide without text" isobit prepare --tokenizer $tokenizer --data bare.jsonl --out bare
fails 3 "boundary 2" "an id that is none" isobit prepare --tokenizer external:x,vocab=3 --data theirs.jsonl --out bare
fails 2 "vocab=N" "without a vocabulary" isobit prepare --tokenizer external:x --data bare.jsonl --out bare
