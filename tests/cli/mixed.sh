# Mixed training: one model over tokens and raw bytes, measured in both views, resumed bit for bit.
text 11 400 >text.txt
isobit codebook build --data text.txt --document-size 300 --size 400 --kind word -o small.isb-codebook --quiet >/dev/null || echo "FAILED: codebook"
common="--data text.txt --tokenizer small.isb-codebook --document-size 300"
isobit prepare $common --raw-bytes --out tokens --quiet >/dev/null
isobit prepare $common --out plain --quiet >/dev/null
ls tokens.*
same tokens.train.bin plain.train.bin "tokens are those without raw bytes"
for i in 0 1 2; do isobit prepare $common --raw-bytes --out parts --shard $i/3 --quiet >/dev/null; done
isobit merge parts --quiet >/dev/null
for ending in bin idx json raw; do same tokens.train.$ending parts.train.$ending "three shards: $ending"; done

train="--size nano --context 32 --batch 4 --seed 3 --eval-every 10 --eval-batches 2 --threads 1 --quiet"
isobit train --data tokens --out whole $train --steps 20 --raw-share 0.3 >/dev/null || echo "FAILED: train"
grep -o '"valid_bits_per_byte[_raw]*":' whole/log.jsonl | sort | uniq -c | sed 's/^ *//'
grep -A4 raw_bytes whole/config.json
isobit train --data tokens --out parted $train --steps 20 --raw-share 0.3 --save-every 10 >/dev/null
rm -r parted/checkpoints/step-00000020
isobit train --out parted --resume --threads 1 --quiet >/dev/null || echo "FAILED: resume"
same whole/model.safetensors parted/model.safetensors "a resumed run has the bits of a whole one"
fails 3 "raw_share" "resuming with another share" isobit train --out parted --resume --raw-share 0.5

for view in tokens bytes; do
    isobit eval --model whole --data text.txt --document-size 300 --split test --view $view --json --quiet >$view.json || echo "FAILED: eval"
    echo "$view: $(number $view.json n_bytes) bytes, $(number $view.json n_tokens) tokens"
    isobit eval --model whole --data tokens --split test --view $view --json --quiet >data.json
    [ "$(number $view.json bits_per_byte)" = "$(number data.json bits_per_byte)" ] && echo "ok: a dataset gives the same as its text" || echo "FAILED: dataset"
done
awk -v a="$(number tokens.json bits_per_byte)" -v b="$(number bytes.json bits_per_byte)" 'BEGIN { print a > 0 && a < 8 && b > 0 && b < 8.5 ? "ok: both views are measured" : "FAILED: " a " " b }'
ok "generate" isobit generate --model whole --prompt "the ship" --max-bytes 5 --seed 1
ok "text prepared for it" isobit train --data text.txt --document-size 300 --tokenizer small.isb-codebook --out fromtext $train --steps 2 --raw-share 0.5
ls fromtext/data/tokens.train.raw

echo "# what is refused"
fails 3 "raw bytes" "data without raw bytes" isobit train --data plain --out no $train --steps 1 --raw-share 0.3
fails 3 "592 ids" "a model with them on data without" isobit train --data plain --out no $train --steps 1 --init-from whole
isobit train --data plain --out tokensonly $train --steps 1 >/dev/null
fails 3 "tokens only" "bytes of a model of tokens" isobit eval --model tokensonly --data text.txt --view bytes
fails 1 "codebook" "raw bytes beside bytes" isobit prepare --data text.txt --tokenizer bytes --raw-bytes --out no
fails 1 "codebook" "raw bytes beside windows" isobit prepare --data text.txt --tokenizer window:b=16 --m1 "$ISB_CLI_MODELS/m1" --raw-bytes --out no
sed -i 's/"bytes_marker": [0-9]*/"bytes_marker": 7/' whole/config.json
fails 3 "markers" "markers elsewhere" isobit eval --model whole --data text.txt
