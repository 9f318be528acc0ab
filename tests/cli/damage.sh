# Checkpoints and models that were cut or changed after they were written.
cp "$ISB_CLI_MODELS/text.txt" .
isobit train --size nano --tokenizer bytes --data text.txt --document-size 200 --context 32 --batch 4 --seed 5 --out run --steps 6 --save-every 3 --quiet >/dev/null
cp -r run kept
flip() { # FILE OFFSET
    local byte
    byte=$(dd if="$1" bs=1 skip="$2" count=1 2>/dev/null | od -An -tu1)
    printf "\\x$(printf %02x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
again() { rm -rf run && cp -r kept run; }

flip run/model.safetensors 900000
fails 3 "model.safetensors" "a flipped bit of the model" isobit eval --model run --data text.txt
fails 3 "model.safetensors" "a flipped bit of an M1" isobit compress --m1 run text.txt
fails 3 "model.safetensors" "info finds it" isobit info run
again
head -c 1000000 kept/model.safetensors >run/model.safetensors
fails 3 "model.safetensors" "a model cut short" isobit generate --model run
again
sed -i 's/"intermediate_size": 512/"intermediate_size": 513/' run/config.json
fails 3 "" "a damaged config.json" isobit info run
again
: >run/config.json
fails 3 "config.json" "an empty config.json" isobit info run
again
rm run/model.safetensors
fails 4 "model.safetensors" "a model without weights" isobit info run

echo "# the newest checkpoint is damaged: the one before is used, with a warning"
for file in model.safetensors optimizer.safetensors state.json; do
    again
    flip run/checkpoints/step-00000006/$file 300
    isobit train --out run --resume >out.txt 2>err.txt
    echo "exit $?"
    grep -o 'warning: skipping the damaged checkpoint of step 6' err.txt
    same kept/model.safetensors run/model.safetensors "resumed from step 3 after $file was flipped"
done
again
for step in 3 6; do head -c 100 kept/checkpoints/step-0000000$step/state.json >run/checkpoints/step-0000000$step/state.json; done
fails 3 "" "all checkpoints damaged" isobit train --out run --resume --quiet
