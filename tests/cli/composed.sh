# Composed embeddings: of a codebook and of another program's ids, which bring their pieces.
small="--size nano --context 16 --batch 2 --steps 3 --seed 5 --quiet"
printf 'the cat and the dog and the cat and the bird\n%.0s' {1..40} >text.txt
isobit codebook build --quiet --split all --kind word --size 280 --data text.txt -o few.isb-codebook >/dev/null
isobit prepare --quiet --one-file --tokenizer few.isb-codebook --data text.txt --out few >/dev/null
ok "a codebook" isobit train $small --data few --embeddings composed --out m2
ok "at another rate" isobit train $small --data few --embeddings composed --embedding-lr 8 --out fast
cmp -s m2/model.safetensors fast/model.safetensors && echo "FAILED: the rate does nothing"
isobit train $small --data few --embeddings plain --out plain >/dev/null
for m in m2 plain; do grep -v '"identity"' $m/config.json >$m.json; done
same m2.json plain.json "a plain model for every reader"
isobit eval --quiet --json --model m2 --data few >a.json
isobit eval --quiet --json --model m2 --data text.txt --split all >b.json
[ "$(number a.json bits_per_byte)" = "$(number b.json bits_per_byte)" ] && echo "ids and text agree"
fails 1 "output matrix" "untied" isobit train $small --data few --embeddings composed --untied --out no
fails 2 "bytes" "bytes" isobit train $small --data text.txt --tokenizer bytes --embeddings composed --out no

echo "# ids of another program"
printf '{"ids": [0,1,0,2,0,1], "n_bytes": 24}\n%.0s' {1..20} >ids.jsonl
printf '{"piece": "the "}\n{"piece": "cat "}\n{"bytes": [100, 111]}\n' >pieces
prepare="isobit prepare --quiet --one-file --tokenizer external:made-up,vocab=4 --data ids.jsonl --out ids"
$prepare >/dev/null
fails 2 "ids.pieces" "without pieces" isobit train $small --data ids --embeddings composed --out m3
$prepare --pieces pieces >/dev/null
ls ids.*
ok "with pieces" isobit train $small --data ids --embeddings composed --out m3
head -2 pieces >short
fails 3 "only 2 lines" "too few" $prepare --pieces short
echo the >words
fails 3 "words:1" "not JSON" $prepare --pieces words
same pieces ids.pieces "what was there stays"
$prepare >/dev/null
ls ids.*
fails 2 "external ids" "pieces of a codebook" isobit prepare --quiet --tokenizer few.isb-codebook --pieces pieces --data text.txt --out x
