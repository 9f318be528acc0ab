# A few steps, stopped and resumed, measured, and let write.
cp "$ISB_CLI_MODELS/text.txt" .
run="isobit train --size nano --tokenizer bytes --data text.txt --document-size 200 --context 32 --batch 4 --seed 5 --quiet --json"
$run --out whole --steps 12 --save-every 4 | sed 's/,"seconds".*\("train_bits\)/,...,\1/; s/\(bits_per_[a-z]*"\):[0-9.]*/\1:N/g; s/"model_identity":"[0-9a-f]*"/ID/'
ls whole whole/checkpoints | sed 's/events.*/events/'
$run --out parts --steps 12 --save-every 4 --eval-every 100 >/dev/null
rm -r parts/checkpoints/step-00000012
ok "go on from step 8" isobit train --out parts --resume --quiet
same whole/model.safetensors parts/model.safetensors "resumed as if never stopped"
ok "train longer" isobit train --out parts --resume --steps 16 --quiet
ls parts/checkpoints
isobit train --out parts --resume --json --quiet | sed 's/.*\("steps":[0-9]*\).*/\1/'
fails 4 "" "a run is not replaced by accident" $run --out whole --steps 2
fails 3 "batch_rows" "resuming with another batch" isobit train --out whole --resume --batch 7
fails 2 "needs --size" "resuming with half a model" isobit train --out whole --resume --context 64
fails 4 "" "resuming nothing" isobit train --out nothing --resume
ls nothing 2>/dev/null
ok "replace a run on purpose" $run --out whole --steps 2 --overwrite
ls whole/checkpoints
echo '{"size": "nano", "tokenizer": "bytes", "data": "text.txt", "document-size": 200, "context": 32, "batch": 4, "seed": 5, "steps": 12}' >run.json
ok "train by a configuration file" isobit train --config run.json --out configured --quiet

echo "# log"
grep -c '"valid_bits_per_byte"' configured/log.jsonl
grep -c '"step": 12' configured/log.jsonl
echo "# eval"
isobit eval --model configured --data text.txt --document-size 200 --split test --quiet | sed 's/\( *\)[0-9.]*[kMG]*\( s\)*$/ N/'
isobit eval --model configured --data text.txt --document-size 200 --split test --json --quiet >a.json
isobit eval --model configured --data configured/data/tokens.test --json --quiet >b.json
[ "$(number a.json bits_per_byte)" = "$(number b.json bits_per_byte)" ] && echo "text and dataset agree"
echo "# generate"
generate="isobit generate --model configured --prompt The --quiet"
$generate --seed 3 --max-bytes 40 >a.txt
$generate --seed 3 --max-bytes 40 >b.txt
$generate --seed 4 --max-bytes 40 >c.txt
same a.txt b.txt "one seed, one text"
cmp -s a.txt c.txt && echo "FAILED: two seeds, one text"
[ "$(wc -c <a.txt)" -gt 0 ] && [ "$(wc -c <a.txt)" -le 40 ] && echo "at most 40 bytes"
printf The >prompt.txt
isobit generate --model configured --prompt-file prompt.txt --seed 3 --max-bytes 40 >d.txt
same a.txt d.txt "the prompt from a file"
isobit generate --model configured --prompt-file - --echo --seed 3 --max-bytes 40 <prompt.txt >echoed.txt
head -c 3 echoed.txt
echo
$generate --temperature 0 --max-bytes 10 --json | sed 's/"text":".*","n_prompt/"text":...,"n_prompt/; s/"seconds".*/.../; s/"text_hex.*","n_p/"n_p/'
