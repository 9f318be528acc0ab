# A disk that fills up, played by the limit of file sizes (in KiB): a clear message, and nothing under a final name.
cp "$ISB_CLI_MODELS/text.txt" .
limited() { # KIB COMMAND ...
    local kib=$1
    shift
    (ulimit -f "$kib" && exec "$@")
}
message="(File too large|No space left)"
fails 4 "$message" "encode" limited 8 "$ISOBIT" encode text.txt -o ids.txt
fails 4 "$message" "prepare" limited 8 "$ISOBIT" prepare --tokenizer bytes --data text.txt --document-size 200 --out tokens
fails 4 "$message" "compress" limited 1 "$ISOBIT" compress --m1 "$ISB_CLI_MODELS/m1" text.txt --quiet
isobit compress --m1 "$ISB_CLI_MODELS/m1" text.txt -o packed.isb --quiet
fails 4 "$message" "decompress" limited 8 "$ISOBIT" decompress --m1 "$ISB_CLI_MODELS/m1" packed.isb --quiet
fails 4 "$message" "train" limited 1024 "$ISOBIT" train --tokenizer bytes --data text.txt --document-size 200 --size nano --context 32 --batch 4 --steps 4 --out run --quiet
ls run/checkpoints run/model.safetensors 2>/dev/null
ls -A | grep -v 'out.txt\|err.txt'
find run -name '*.tmp*' -o -name '*.part*' | grep .
ok "with room it goes on" isobit train --tokenizer bytes --data text.txt --document-size 200 --size nano --context 32 --batch 4 --steps 4 --out run --quiet --overwrite

echo "# full while training: earlier checkpoints stay and resume works"
isobit train --tokenizer bytes --data text.txt --document-size 200 --size nano --context 32 --batch 4 --seed 5 --steps 6 --out whole --quiet >/dev/null
isobit train --tokenizer bytes --data text.txt --document-size 200 --size nano --context 32 --batch 4 --seed 5 --steps 6 --save-every 3 --out part --quiet >/dev/null
rm -r part/checkpoints/step-00000006
fails 4 "$message" "resume on a full disk" limited 1024 "$ISOBIT" train --out part --resume --quiet
ls part/checkpoints
ok "resume with room" isobit train --out part --resume --quiet
same whole/model.safetensors part/model.safetensors "as if never full"
