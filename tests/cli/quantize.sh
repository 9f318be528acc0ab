# A trained byte model as an M1 in one file.
m1=$ISB_CLI_MODELS/m1
head -c 20000 "$ISB_CLI_MODELS/text.txt" >text.txt
isobit quantize "$m1" -o mine.isb-m1 | sed 's|: *.*/m1$|: M1|; s/ [0-9a-f]\{32\}$/ ID/; s|^\(model *\).*|\1M1|'
ls
id() { isobit info --json "$1" | sed 's/.*"identity_as_m1":"\([0-9a-f]*\)".*/\1/'; }
[ "$(id "$m1")" = "$(id mine.isb-m1)" ] && [ ${#m1} -gt 0 ] && echo "ok: the folder's identity"
isobit info mine.isb-m1 | sed 's/ [0-9a-f]\{32\}$/ ID/'
isobit info --json mine.isb-m1 | sed 's/"[0-9a-f]\{32\}"/ID/'
[ "$(isobit info --json mine.isb-m1 | sed 's/.*"m1_bytes":\([0-9]*\).*/\1/')" = "$(wc -c <mine.isb-m1)" ] && echo "ok: its size"
fails 4 "mine.isb-m1" "a file that exists" isobit quantize "$m1" -o mine.isb-m1
ok "-f replaces it" isobit quantize "$m1" -f -o mine.isb-m1 --name "one of mine"
isobit info mine.isb-m1 | grep '^name'
[ "$(id "$m1")" = "$(id mine.isb-m1)" ] && echo "ok: the name is not part of the identity"
isobit quantize "$m1" -o - >piped.isb-m1 2>err.txt --name "one of mine" && same mine.isb-m1 piped.isb-m1 "standard output"
fails 2 "cannot both" "--json beside it" isobit quantize "$m1" -o - --json

echo "# what it costs"
isobit quantize "$m1" --data text.txt --document-size 200 --max-bytes 5000 --json >json
isobit quantize "$m1" -f -o mine.isb-m1 --data text.txt --document-size 200 --max-bytes 5000 | grep -o '^[^0-9]*[a-z%0-9]  ' | sed 's/ *$//'
model=$(number json model_bits_per_byte) int8=$(number json bits_per_byte) loss=$(number json loss_percent)
awk -v a="$model" -v b="$int8" -v l="$loss" 'BEGIN { if (a > 1 && b > 1 && l < 2 && l > -2 && (b / a - 1) * 100 - l < 1e-6 && l - (b / a - 1) * 100 < 1e-6) print "ok: bits/byte and the loss agree"; else print "FAILED:", a, b, l }'
number json n_bytes
isobit compress --m1 mine.isb-m1 -q text.txt --chunk-size 16Mi -o packed.isb
isobit decompress --m1 "$m1" -q packed.isb -o back && same text.txt back "packed with the file, unpacked with the folder"

echo "# what is refused"
fails 2 "expected one model" "no model" isobit quantize -o x.isb-m1
fails 2 "expected one model.*found 2" "two" isobit quantize a b -o x.isb-m1
fails 2 "-o FILE is missing" "nowhere to go" isobit quantize "$m1"
fails 4 "nowhere" "a missing model" isobit quantize nowhere -o x.isb-m1
fails 4 "nowhere" "a missing text" isobit quantize "$m1" --data nowhere
fails 3 "" "counts" isobit quantize "$ISB_CLI_MODELS/static" -o x.isb-m1
fails 2 "" "a name that is too long" isobit quantize "$m1" -o x.isb-m1 --name "$(printf 'x%.0s' $(seq 33))"
isobit train --size nano --data text.txt --document-size 200 --context 32 --batch 4 --steps 1 --out m2 --quiet >/dev/null
fails 3 "bytes" "a model of other ids" isobit quantize m2 -o x.isb-m1
head -c 1000 mine.isb-m1 >cut.isb-m1
fails 3 "cut.isb-m1" "an M1 cut short" isobit info cut.isb-m1
cp mine.isb-m1 flipped.isb-m1 && printf '\377' | dd of=flipped.isb-m1 bs=1 seek=5000 conv=notrunc 2>/dev/null
cmp -s mine.isb-m1 flipped.isb-m1 && printf '\001' | dd of=flipped.isb-m1 bs=1 seek=5000 conv=notrunc 2>/dev/null
fails 3 "flipped.isb-m1" "a byte changed" isobit compress --m1 flipped.isb-m1 text.txt
ls x* 2>/dev/null

echo "# one M1 by folder, by file and by name"
isobit encode --whole --tokenizer ac --m1 "$m1" text.txt -q -o a.ids && isobit encode --whole --tokenizer ac --m1 mine.isb-m1 text.txt -q -o b.ids && same a.ids b.ids "encode"
isobit decode --tokenizer ac --m1 mine.isb-m1 a.ids -q -o back && same text.txt back "decode"
ok "prepare" isobit prepare --tokenizer window:b=16 --m1 mine.isb-m1 --data text.txt --document-size 200 --max-bytes 3000 --out windows -q
isobit info --json windows.train | grep -c "\"m1_identity\":\"$(id "$m1")\""
ok "train" isobit train --data windows --m1 mine.isb-m1 --size nano --context 32 --batch 4 --steps 1 --out m2w -q
ok "eval, with the copy in the model's folder" isobit eval --model m2w --data text.txt --max-bytes 2000 -q
ok "codebook build" isobit codebook build --m1 mine.isb-m1 --kind exact -o windows.isb-codebook -q
