# compress and decompress as zstd's users expect them.
umask 022
m1=$ISB_CLI_MODELS/m1
head -c 3000 "$ISB_CLI_MODELS/text.txt" >text.txt
head -c 2000 /bin/true >binary
hostile | head -c 1000 >hostile.bin
: >empty
# Small chunks: the little M1 is better than zstd where zstd has little to go by.
pack="isobit compress --m1 $m1 --chunk-size 1Ki --quiet"
unpack="isobit decompress --m1 $m1 --quiet"

ok "several files" $pack text.txt binary hostile.bin empty
ls
mkdir original && mv text.txt binary hostile.bin empty original/
ok "several files back" $unpack text.txt.isb binary.isb hostile.bin.isb empty.isb
for file in text.txt binary hostile.bin empty; do same original/$file $file "$file"; done
[ "$(wc -c <text.txt.isb)" -lt 2400 ] && echo "text got smaller"

echo "# streams"
$pack <original/text.txt | $unpack >piped && same original/text.txt piped "standard input to standard output"
$pack -c original/binary >binary.c && same binary.isb binary.c "a file or -c"
isobit compress -d -c --m1 "$m1" text.txt.isb binary.isb >both
cat original/text.txt original/binary >expected && same expected both "-d -c of two files"
$pack -c original/text.txt original/binary >joined.isb && $unpack joined.isb && same expected joined "-c of two files makes one"
cat text.txt.isb binary.isb | $unpack >both && same expected both "two files joined, through a pipe"
cat original/text.txt | $pack - -o named.isb && same text.txt.isb named.isb "- to a name"
$pack --threads 1 original/text.txt -o one.isb && same text.txt.isb one.isb "one thread or two"
$pack --streams 3 original/text.txt -o three.isb && same text.txt.isb three.isb "3 streams or as many as suit"
for tier in ref avx2 avx512 avx512x amx; do # what this machine lacks is refused, and that is tested elsewhere
    $pack --cpu $tier original/text.txt -f -o tier.isb 2>err.txt || { grep -q "this processor" err.txt && continue; }
    cmp -s text.txt.isb tier.isb || echo "FAILED: other bytes with --cpu $tier"
done
isobit compress --m1 "$m1" -q original/text.txt -o large.isb && $unpack large.isb && same original/text.txt large "chunks of 16 KiB"
$pack -c <(cat original/text.txt) | cmp -s text.txt.isb - && echo "ok: a pipe with a name"
before=$(stat -c %a /dev/null)
ok "to a device" $pack original/text.txt -o /dev/null
[ -c /dev/null ] && [ "$(stat -c %a /dev/null)" = "$before" ] && echo "it stays as it is"

echo "# names"
fails 4 "text.txt exists already" "an output that exists" $pack original/text.txt -o text.txt
fails 4 "text.txt exists already" "nor over it in the other direction" $unpack text.txt.isb
ok "-f replaces it" $pack -f original/text.txt -o text.txt
same text.txt text.txt.isb "replaced"
fails 4 "text.txt.isb" "a suffix that is there" $pack text.txt.isb
ok "-f compresses it again" $pack -f text.txt.isb && ls text.txt.isb.isb
fails 3 "does not end in .isb" "a suffix that is not there" $unpack original/text.txt
fails 2 "is the input too" "onto itself" $pack -f text.txt -o ./text.txt
fails 4 "missing" "one of two files is missing" $pack missing original/binary -f
ls original/binary.isb missing* 2>/dev/null
fails 4 "missing.isb" "a missing file to decompress" $unpack missing.isb
fails 4 "original is a folder" "a folder" $pack original
fails 4 "original" "a folder to decompress" $unpack original
fails 4 "original" "a folder to test" isobit compress -t original
ln -s original/text.txt link
fails 4 "link: is a symbolic link" "a link" $pack link
ok "-f follows it" $pack -f link && same link.isb text.txt.isb "what it leads to"
$pack -c link | cmp -s - text.txt.isb && echo "ok: -c reads it"

echo "# owner, mode, times; --rm"
chmod 640 original/hostile.bin
touch -d '2020-02-02 02:02:02' original/hostile.bin
ok "--rm removes the input" $pack --rm original/hostile.bin
ls original
stat -c '%a %y' original/hostile.bin.isb | cut -d. -f1
ok "back" $unpack --rm original/hostile.bin.isb
stat -c '%a %y' original/hostile.bin | cut -d. -f1
chmod 400 original/hostile.bin
ok "of a file that may only be read" $pack -f original/hostile.bin && stat -c %a original/hostile.bin.isb
ok "-o gets them too" $pack original/hostile.bin -o attributes.isb && stat -c '%a %y' attributes.isb | cut -d. -f1
fails 2 "rm needs" "--rm and a device" $pack --rm original/hostile.bin -o /dev/null
cp text.txt.isb bad.isb && printf x | dd of=bad.isb bs=1 seek=200 conv=notrunc 2>/dev/null
fails 3 "bad.isb" "--rm keeps what does not unpack" $unpack --rm bad.isb
ls bad*

echo "# what is said"
isobit compress --m1 "$m1" original/binary original/text.txt -f 2>&1 | sed 's/->.*MB.s/-> .../; s/[0-9,]* -> /N -> /'
isobit decompress --m1 "$m1" original/binary.isb original/text.txt.isb -f 2>&1 | sed 's/[0-9,]* -> .*MB.s/... /'
isobit compress --m1 "$m1" original/binary -o y.isb --json | sed 's/"packed_bytes".*"chunk_bytes"/..."chunk_bytes"/; s/"n_ac".*"m1_bytes"/..."m1_bytes"/; s/"seconds.*/.../'
isobit info y.isb | grep -E 'kind|what|bytes of data|chunks|bytes of a'
isobit info --json joined.isb | sed 's/"packed_bytes".*"chunk_bytes"/..."chunk_bytes"/; s/"n_ac.*/.../'

echo "# test and list"
ok "test" isobit compress -t --m1 "$m1" text.txt.isb empty.isb binary.isb
sed 's/,* [0-9.,]* -> .*/ .../' err.txt
fails 3 "bad.isb" "test of a damaged file" isobit decompress -t --m1 "$m1" bad.isb
cat text.txt.isb | isobit decompress -t --m1 "$m1" --json | sed 's/"packed.*/.../'
isobit compress -l text.txt.isb empty.isb joined.isb | awk '{ print $1 == "packed" ? $0 : $2 " " $(NF - 1) " " $NF " " NF }' | sed 's/ [0-9a-f]\{8\} / ID /'
isobit decompress -l --json text.txt.isb | sed 's/"packed_bytes".*"chunk_bytes"/..."chunk_bytes"/; s/"n_ac.*/.../'
fails 3 "original/text.txt" "a list of another kind of file" isobit compress -l original/text.txt
fails 2 "rm has no meaning with --list" "--list --rm" isobit compress -l --rm text.txt.isb
fails 2 "out has no meaning with --test" "--test -o" isobit decompress -t -o x text.txt.isb
fails 2 "range has no meaning with compression" "--range" isobit compress --range 0:1 original/text.txt

echo "# a terminal"
on_terminal() { script -qec "$*" /dev/null </dev/null | tr -d '\r' | head -n 1; }
on_terminal "$ISOBIT" compress --m1 "$m1" -c original/text.txt
on_terminal "$ISOBIT" compress -q --m1 "$m1" -c -f original/text.txt | head -c 4 | tail -c 3
echo
on_terminal "$ISOBIT" compress
answer() { (sleep 0.3; echo "$1") | script -qec "$ISOBIT compress --m1 $m1 original/text.txt -o asked" /dev/null | tr -d '\r' | grep -a -o 'replace it (y/n)?\|use -f'; }
echo old >asked
answer n
cat asked
answer y
isobit compress -l asked | tail -n 1 | awk '{ print $2, $NF }'

echo "# a part"
part() { isobit decompress --m1 "$m1" --range "$1" text.txt.isb; }
tail -c +1001 original/text.txt | head -c 1500 >expected && part 1000:1500 | cmp - expected && echo "ok: in the middle"
part 1500: | cmp - <(tail -c +1501 original/text.txt) && echo "ok: to the end"
part :7 | cmp - <(head -c 7 original/text.txt) && echo "ok: the first bytes"
part 2999:1000 | cmp - <(tail -c 1 original/text.txt) && echo "ok: the last byte"
isobit decompress --m1 "$m1" --range 2990:20 joined.isb -o part && same part <(cat original/text.txt original/binary | tail -c +2991 | head -c 20) "over the border of joined files"
stat -c %a part
fails 2 "at byte 3001" "past the end" part 3001:1
fails 2 "at byte 9223372036854775807" "far past the end" part 9223372036854775807:1
for range in 12 a:b 1:0 -1:5 : ::; do [ "$range" = : ] || fails 2 "is not OFFSET:LENGTH" "range $range" part "$range"; done
fails 1 "standard input" "of a pipe" bash -c "cat text.txt.isb | '$ISOBIT' decompress --m1 '$m1' --range 0:5"

echo "# holes"
pack="isobit compress --m1 $m1 --quiet"
truncate -s 1G hole
cat original/text.txt >>hole
ok "a hole of 1 GiB, and text" $pack hole
[ "$(stat -c %s hole.isb)" -lt 2000 ] && echo "takes the place of the text"
ok "back" $unpack hole.isb -o hole.back
stat -c %s hole.back
cmp hole hole.back && [ "$(du -k hole.back | cut -f1)" -lt 64 ] && echo "ok: equal, and still a hole"
isobit decompress --m1 "$m1" --range 1073741820:10 hole.isb | cmp - <(printf '\0\0\0\0'; head -c 6 original/text.txt) && echo "ok: a part at its end"
rm hole hole.back
truncate -s 1M small && $pack small
ok "zeros alone need no M1" isobit decompress -q small.isb -o zeros && same small zeros "zeros"
isobit decompress -q --no-sparse small.isb -o full && [ "$(du -k full | cut -f1)" -ge 1024 ] && echo "ok: --no-sparse"
isobit decompress -q --sparse -c small.isb >sparse && [ "$(du -k sparse | cut -f1)" -lt 64 ] && same small sparse "--sparse to standard output"

echo "# memory"
fails 1 "need" "too little to compress" isobit compress -q --memory 100k --chunk-size 1Mi --m1 "$m1" original/text.txt -o no.isb
fails 1 "need" "too little to decompress" isobit decompress -q --memory 10k --m1 "$m1" text.txt.isb -o no
ok "little" $pack --chunk-size 1Ki --memory 24Mi -f original/text.txt -o little.isb && same little.isb text.txt.isb "the same bytes with little"
ls no* 2>/dev/null

echo "# which M1"
cp "$ISB_CLI_MODELS/text.txt" .
isobit train --size nano --tokenizer bytes --data text.txt --document-size 200 --context 32 --batch 4 --steps 1 --seed 9 --out other --quiet >/dev/null
rm text.txt
id=$(isobit info --json "$m1" | sed 's/.*"identity_as_m1":"\([0-9a-f]*\)".*/\1/')
export XDG_DATA_HOME=$PWD/share
fails 3 "$id.*[0-9a-f]{32}" "another M1 is refused, with both identities" isobit decompress --m1 other text.txt.isb -o no
fails 4 "$id" "without it, it is named" isobit decompress text.txt.isb -o no
isobit quantize "$m1" -o mine.isb-m1 -q >/dev/null
ok "as a file" isobit decompress -q --m1 mine.isb-m1 text.txt.isb -o file && same original/text.txt file "the folder's and the file's are one"
mkdir -p models share/isobit/m1 && cp mine.isb-m1 "models/$id.isb-m1"
ISB_M1_PATH=/nowhere:models isobit decompress -q -c text.txt.isb | cmp - original/text.txt && echo "ok: found in ISB_M1_PATH"
cp mine.isb-m1 "share/isobit/m1/$id.isb-m1"
isobit decompress -q -c text.txt.isb | cmp - original/text.txt && echo "ok: found among the user's"
cp other/model.safetensors "models/$id.isb-m1"
fails 3 "models/$id.isb-m1" "one that is none" env ISB_M1_PATH=models "$ISOBIT" decompress -q -c text.txt.isb
rm -r share
$pack --chunk-size 1Ki --embed-m1 original/text.txt -o with.isb
isobit decompress -q with.isb && same original/text.txt with "in the file"
[ "$(wc -c <with.isb)" -ge $(($(wc -c <text.txt.isb) + $(wc -c <mine.isb-m1))) ] && echo "which is larger by it"
isobit info with.isb | grep -c 'in the file'
fails 3 "$id" "another than the one in the file" isobit decompress --m1 other with.isb -o no
$pack --embed-m1 empty -o none.isb && [ "$(wc -c <none.isb)" -lt 200 ] && echo "none where none is needed"
fails 4 "nowhere" "an M1 that does not exist" isobit compress --m1 nowhere original/text.txt -o no.isb
fails 3 "original/text.txt" "an M1 that is none" isobit compress --m1 original/text.txt original/text.txt -o no.isb
ls no no.isb 2>/dev/null

echo "# damage"
size=$(wc -c <text.txt.isb)
for at in 0 3 7 15 30 60 200 $((size - 100)) $((size - 60)) $((size - 1)); do
    cp text.txt.isb bad.isb
    byte=$(dd if=bad.isb bs=1 skip=$at count=1 2>/dev/null | od -An -tu1)
    printf "\\x$(printf %02x $((byte ^ 64)))" | dd of=bad.isb bs=1 seek=$at conv=notrunc 2>/dev/null
    fails 3 "bad.isb" "a bit flipped" $unpack bad.isb -o back
done
for keep in 0 10 63 200 $((size - 1)); do
    head -c $keep text.txt.isb >bad.isb
    fails 3 "bad.isb" "cut short" $unpack bad.isb -o back
done
(cat text.txt.isb; echo) >bad.isb
fails 3 "bad.isb" "a byte too many" $unpack bad.isb -o back
ls back* .back* *.tmp* 2>/dev/null
