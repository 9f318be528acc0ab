# A corpus prepared in shards and merged: the files of one prepare, byte for byte; and what is refused.
cp "$ISB_CLI_MODELS/text.txt" .
awk '{ printf "{\"text\": \"%s\"}\n", $0 }' text.txt >lines.jsonl
head -c 4000 text.txt >small.txt
sides="train valid test"
same_sides() {
    local side
    for side in $sides; do
        for ending in bin idx json; do same "$1.$side.$ending" "$2.$side.$ending" "$3: $side.$ending"; done
    done
}
shards() { # PREFIX N ARG ...
    local prefix=$1 n=$2 i
    shift 2
    for i in $(seq 0 $((n - 1))); do isobit prepare "$@" --out "$prefix" --shard $i/$n --quiet >/dev/null || echo "FAILED: shard $i"; done
}
common="--data text.txt lines.jsonl small.txt --tokenizer codebook --document-size 200"
isobit prepare $common --out whole --quiet >/dev/null
shards parts 3 $common
ls | grep '^parts'
try merge parts --quiet | grep -v time
same_sides whole parts "three shards"
same whole.isb-codebook parts.isb-codebook "the codebook"
isobit merge parts --json --remove --quiet | sed 's/"seconds".*/.../'
ls | grep '^parts.shard'

echo "# standard input: every shard reads all of it"
isobit prepare --data - --input-format jsonl --tokenizer bytes --out whole --quiet <lines.jsonl >/dev/null
for i in 1 0; do isobit prepare --data - --input-format jsonl --tokenizer bytes --out piped --shard $i/2 --quiet <lines.jsonl >/dev/null; done
ok "merge" isobit merge piped
same_sides whole piped "two shards of standard input"
head -n 5 lines.jsonl | isobit prepare --data - --input-format jsonl --tokenizer bytes --out piped --shard 1/2 --quiet >/dev/null
fails 3 'shard-00001-of-00002.shard.*read_by_all' "another stream" isobit merge piped

echo "# what is refused"
common="--data text.txt small.txt --tokenizer bytes --document-size 200"
shards bad 3 $common
rm bad.shard-00002-of-00003.shard
fails 4 "bad.shard-00002-of-00003" "a shard that is missing" isobit merge bad
isobit prepare $common --valid-permille 3 --out bad --shard 2/3 --quiet >/dev/null
fails 3 "bad.shard-00002-of-00003.*valid_permille" "a shard made otherwise" isobit merge bad
shards bad 3 $common
printf X | dd of=bad.shard-00000-of-00003.train.bin bs=1 seek=50 conv=notrunc 2>/dev/null
fails 3 "bad.shard-00000-of-00003.train" "a damaged shard" isobit merge bad
shards bad 2 $common
fails 3 "shards of" "shards of another number beside them" isobit merge bad
ok "one of the two, by number" isobit merge bad --shards 2
fails 4 "nothing.shard" "no shards" isobit merge nothing
fails 2 "shard 3 of 3" "a shard out of range" isobit prepare $common --out bad --shard 3/3
for bad in 3 /3 1/ 1/0 a/3 -1/3 1/3/4; do fails 2 "I/N" "--shard $bad" isobit prepare $common --out bad "--shard=$bad"; done
fails 2 "PREFIX" "merge without a prefix" isobit merge
echo '{"ids": [1], "n_bytes": 3}' >ids.jsonl
fails 1 "another program" "shards of imported ids" isobit prepare --data ids.jsonl --tokenizer external:x,vocab=9 --out bad --shard 0/2
