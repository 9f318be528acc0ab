# kill -9 at random moments, while checkpoints are written among them: what resumes to the end is byte for byte the run
# that was never stopped. ISB_TEST_SEED repeats the moments.
cp "$ISB_CLI_MODELS/text.txt" .
seed=${ISB_TEST_SEED:-$$}
RANDOM=$seed
kills=8

# The log without what time decides: a line for each step.
untimed() { sed 's/"seconds": [^,}]*, //; s/"tokens_per_s": [^,}]*, //; s/"peak_share": [^,}]*, //' "$1/log.jsonl"; }

# Ends process $1 after up to 0.4 s; every other time as soon as a checkpoint is being written.
strike() {
    local i
    if [ $((RANDOM % 2)) = 0 ]; then
        sleep 0.$(printf %03d $((RANDOM % 400)))
    else
        for i in $(seq 400); do
            [ -e run/checkpoints/.new/model.safetensors ] && break
            sleep 0.001
        done
    fi
    kill -9 "$1" 2>/dev/null
    wait "$1" 2>/dev/null
    [ $? = 137 ] && struck=$((struck + 1))
}

for optimizer in adamw adafactor; do
    options="--tokenizer bytes --data text.txt --document-size 200 --size nano --context 16 --batch 2 --accumulate 3 --seed 5"
    options="$options --optimizer $optimizer --steps 36 --save-every 3 --log-every 1 --eval-every 9 --eval-batches 2 --keep-best"
    rm -rf whole run
    struck=0
    isobit train $options --out whole --quiet >/dev/null
    for n in $(seq $kills); do
        again="--out run --resume"
        ls run/checkpoints/step-* >/dev/null 2>&1 || again="$options --out run --overwrite"
        "$ISOBIT" train $again --quiet >/dev/null 2>err.txt &
        strike $!
        [ ! -s err.txt ] || { echo "FAILED: seed $seed, start $n: $again"; cat err.txt; }
    done
    again="--out run --resume"
    ls run/checkpoints/step-* >/dev/null 2>&1 || again="$options --out run --overwrite"
    isobit train $again --quiet >out.txt 2>err.txt || { echo "FAILED: seed $seed, the last start"; cat err.txt; }
    same whole/model.safetensors run/model.safetensors "$optimizer: the model"
    same whole/best/model.safetensors run/best/model.safetensors "$optimizer: the best model"
    same whole/best/config.json run/best/config.json "$optimizer: its configuration"
    last=checkpoints/step-00000036/optimizer.safetensors
    same whole/$last run/$last "$optimizer: its state and the losses"
    untimed whole >whole.log
    untimed run >run.log
    same whole.log run.log "$optimizer: the log, each step once"
    wc -l <run.log
    [ $struck -ge 3 ] || echo "FAILED: only $struck of $kills kills met a run"
    ls -A run run/checkpoints | grep -v events
done | sed "s/^FAILED/FAILED (seed $seed)/"
