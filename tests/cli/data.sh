# prepare, its splits, and datasets that do not fit.
m1=$ISB_CLI_MODELS/m1
cp "$ISB_CLI_MODELS/text.txt" .
isobit prepare --tokenizer bytes --data text.txt --document-size 200 --out bytes --json | sed 's/"seconds".*/.../'
isobit info bytes | grep -v '^path'
isobit info bytes --full --json | grep -c '^{"command":"info",.*}$'
isobit prepare --tokenizer bytes --data text.txt --document-size 200 --out one --one-file --split test --quiet | grep -E 'documents|bytes of'

echo "# the same split in any order and shape"
mkdir parts
split -l 100 text.txt parts/
isobit prepare --tokenizer bytes --data parts --document-size 200 --out again --quiet >/dev/null
isobit prepare --tokenizer bytes --data text.txt --document-size 200 --out threads --threads 1 --quiet >/dev/null
same bytes.train.bin threads.train.bin "one thread or two"
gzip -k text.txt
isobit prepare --tokenizer bytes --data text.txt.gz --document-size 200 --out packed --quiet >/dev/null
same bytes.train.bin packed.train.bin "gzip or plain"
isobit prepare --tokenizer bytes --data - --document-size 200 --out piped --quiet <text.txt >/dev/null
same bytes.train.bin piped.train.bin "a file or standard input"

echo "# windows"
isobit prepare --data text.txt --document-size 200 --tokenizer window:b=16 --m1 "$m1" --out windows --check-windows --quiet | grep "do not decode"
fails 3 "" "eval on tokens of another tokenizer" isobit eval --model "$m1" --data windows --split test
fails 2 "is divided" "which part of a dataset?" isobit eval --model "$m1" --data bytes
fails 3 "" "train on tokens of another M1" isobit train --data windows --m1 "$ISB_CLI_MODELS/static" --out run --steps 1
fails 2 "has its own" "a tokenizer beside a dataset" isobit train --data bytes --tokenizer bytes --out run

echo "# damage"
cp bytes.train.bin kept
printf '\377\377' | dd of=bytes.train.bin bs=1 seek=100 conv=notrunc 2>/dev/null
fails 3 "bytes.train.bin" "changed tokens" isobit info bytes.train --full
head -c 1000 kept >bytes.train.bin
fails 3 "bytes.train" "tokens cut short" isobit info bytes.train
fails 3 "bytes.train" "training on tokens cut short" isobit train --data bytes --out run --steps 1
cp kept bytes.train.bin
printf '{' >bytes.train.json
fails 3 "bytes.train.json" "a description cut short" isobit info bytes.train
