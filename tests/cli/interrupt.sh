# Ctrl-C, kill and kill -9 at several moments: nothing half-written under a final name, and training goes on.
cp "$ISB_CLI_MODELS/text.txt" .
# Background jobs of scripts ignore SIGINT; env gives it back.
command="env --default-signal=INT,TERM $ISOBIT"
options="--tokenizer bytes --data text.txt --document-size 200 --size nano --context 32 --batch 4 --seed 5"
isobit train $options --out whole --steps 60 --quiet >/dev/null

# wait_for FILE: until it is there (60 s at most)
wait_for() {
    local i
    for i in $(seq 1200); do
        [ -e "$1" ] && return
        sleep 0.05
    done
    echo "FAILED: no $1"
}

for signal in INT TERM; do
    $command train $options --out run$signal --steps 1000000 --save-every 5 --quiet 2>err.txt >out.txt &
    pid=$!
    wait_for run$signal/checkpoints/step-00000010
    kill -$signal $pid
    wait $pid
    echo "SIG$signal: exit $?"
    head -n 1 err.txt | sed "s/step [0-9]*$/step N/"
done

# (the command itself, not the function of lib.sh, so that $! is its own process)
"$ISOBIT" train $options --out killed --steps 60 --save-every 2 --keep 3 --quiet >/dev/null 2>&1 &
pid=$!
wait_for killed/checkpoints/step-00000002
for moment in 0.05 0.11 0.17 0.23; do
    sleep $moment
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    for file in killed/config.json killed/checkpoints/step-*[0-9]/state.json; do
        [ ! -e "$file" ] || [ -s "$file" ] || echo "FAILED: $file is empty"
    done
    "$ISOBIT" train --out killed --resume --quiet >/dev/null 2>err.txt &
    pid=$!
done
wait $pid
echo "the last one: exit $?"
cat err.txt
same whole/model.safetensors killed/model.safetensors "killed four times, as if never stopped"
ls killed/checkpoints

for i in $(seq 12); do cat text.txt; done >long.txt
for moment in 0.1 0.4 0.8; do
    "$ISOBIT" compress --m1 "$ISB_CLI_MODELS/m1" long.txt --quiet &
    pid=$!
    sleep $moment
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    [ -e long.txt.isb ] && echo "FAILED: a file under the final name"
done
$command compress --m1 "$ISB_CLI_MODELS/m1" long.txt --quiet 2>err.txt &
pid=$!
sleep 0.5
kill -INT $pid
wait $pid
echo "compress: exit $?"
ls long.txt*isb 2>/dev/null
