# compress and decompress as zstd's users expect them.
m1=$ISB_CLI_MODELS/m1
head -c 1500 "$ISB_CLI_MODELS/text.txt" >text.txt
head -c 2000 /bin/true >binary
hostile | head -c 1000 >hostile.bin
: >empty
pack="isobit compress --m1 $m1 --quiet"
unpack="isobit decompress --m1 $m1 --quiet"

ok "several files" $pack text.txt binary hostile.bin empty
ls
mkdir original && mv text.txt binary hostile.bin empty original/
ok "several files back" $unpack text.txt.isb binary.isb hostile.bin.isb empty.isb
for file in text.txt binary hostile.bin empty; do same original/$file $file "$file"; done
[ "$(wc -c <text.txt.isb)" -lt 1200 ] && echo "text got smaller"

echo "# streams"
$pack <original/text.txt | $unpack >piped && same original/text.txt piped "standard input to standard output"
$pack -c original/binary >binary.c && same binary.isb binary.c "a file or -c"
$pack -d -c text.txt.isb binary.isb >both && cat original/text.txt original/binary >expected && same expected both "-d -c of two files"
cat original/text.txt | $pack - -o named.isb && same text.txt.isb named.isb "- to a name"
$pack --threads 1 original/text.txt -o one.isb && same text.txt.isb one.isb "one thread or two"
$pack --streams 3 original/text.txt -o three.isb && same text.txt.isb three.isb "3 streams or 64"
$pack --chunk-size 1Ki original/text.txt -o small.isb && $unpack small.isb && same original/text.txt small "chunks of 1 KiB"
head -c 200 original/text.txt >short
$pack short && $pack --cpu ref short -o ref.isb && same short.isb ref.isb "any instruction set"

echo "# names"
fails 4 "text.txt" "an output that exists" $pack original/text.txt -o text.txt
ok "-f replaces it" $pack -f original/text.txt -o text.txt
same text.txt text.txt.isb "replaced"
fails 4 "text.txt.isb" "a suffix that is there" $pack text.txt.isb
fails 3 "does not end in .isb" "a suffix that is not there" $unpack original/text.txt
fails 4 "missing" "one of two files is missing" $pack missing original/binary -f
ls original/binary.isb missing* 2>/dev/null
chmod 640 original/hostile.bin
touch -d 2020-02-02 original/hostile.bin
ok "--rm removes the input" $pack --rm original/hostile.bin
ls original
stat -c '%a %y' original/hostile.bin.isb | cut -d' ' -f1-2
isobit compress --m1 "$m1" original/binary -o x.isb 2>&1 | sed 's/->.*MB.s/-> .../'
isobit compress --m1 "$m1" original/binary -o y.isb --json | sed 's/"packed_bytes".*"n_chunks"/..."n_chunks"/; s/"m1_identity.*/.../'
isobit info y.isb | grep -E 'kind|what|bytes of data|chunks'

echo "# the wrong model and damage"
cp "$ISB_CLI_MODELS/text.txt" .
isobit train --size nano --tokenizer bytes --data text.txt --document-size 200 --context 32 --batch 4 --steps 1 --seed 9 --out other --quiet >/dev/null
rm text.txt
fails 3 "made with M1 [0-9a-f]*, and other is M1 [0-9a-f]*" "another M1" isobit decompress --m1 other text.txt.isb
for at in 3 40 100 300 -1; do
    cp text.txt.isb bad.isb
    size=$(wc -c <bad.isb)
    [ $at = -1 ] && at=$((size - 1))
    byte=$(dd if=bad.isb bs=1 skip=$at count=1 2>/dev/null | od -An -tu1)
    printf "\\x$(printf %02x $((byte ^ 64)))" | dd of=bad.isb bs=1 seek=$at conv=notrunc 2>/dev/null
    fails 3 "bad.isb" "a bit flipped" $unpack bad.isb -o back
done
for keep in 0 10 63 200; do
    head -c $keep text.txt.isb >bad.isb
    fails 3 "bad.isb" "only $keep bytes" $unpack bad.isb -o back
done
cat text.txt.isb text.txt.isb >bad.isb
fails 3 "bad.isb" "two in one file" $unpack bad.isb -o back
ls back* .back* 2>/dev/null
