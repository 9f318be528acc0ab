# codebook build, show, diff, measure, export, and what they refuse.
cp "$ISB_CLI_MODELS/text.txt" .
build="isobit codebook build --data text.txt --document-size 200 --quiet"

# without the figures that depend on how strings are chosen
plain() { sed -E 's/"(n_strings|n_tokens|n_ids|bytes_per_token|seconds|file_bytes|memory_bytes|max_string_bytes)":[-0-9.e]+/"\1":N/g; s/"identity":"[0-9a-f]{32}"/"identity":ID/; s/"card":\{.*\}/"card":{...}/'; }

echo "# build"
$build --kind word --size 400 --name small -o a.isb-codebook --json >rounds.jsonl
head -n 1 rounds.jsonl | plain
tail -n 1 rounds.jsonl | plain
grep -c '"phase":"choose"' rounds.jsonl | sed 's/^[1-9].*/some rounds of choosing/'
$build --kind word --size 400 --name small -o again.isb-codebook --threads 1 >/dev/null
same a.isb-codebook again.isb-codebook "one thread or two"
isobit codebook build --kind word --data text.txt --document-size 200 --size 300 --refine 1 -o b.isb-codebook 2>&1 >/dev/null |
    sed -E 's/[0-9]+ strings, [0-9.]+ bytes\/token, [0-9]+ s/N strings, X bytes\/token, T s/; q'
$build --kind word --size 300 --special '<|user|>' --special '<|assistant|>' --no-choose -o s.isb-codebook >/dev/null
$build --size 1Ki --kind words --max-string 9 --split all -o w.isb-codebook >/dev/null
isobit codebook build --m1 "$ISB_CLI_MODELS/m1" --size 300 -o m.isb-codebook --quiet | grep -c '^ids  *300$'
isobit info a.isb-codebook --json | plain
cp a.isb-codebook renamed
isobit info renamed | grep '^what it is' | tr -s ' '

echo "# show"
isobit codebook show s.isb-codebook --ids 297..299
isobit codebook show s.isb-codebook --ids 298 --json
isobit codebook show s.isb-codebook --prefix "$(printf '\xff')"
isobit codebook show s.isb-codebook --prefix "$(printf '\xff')" --json | sed 's/"id":[0-9]*/ID/'
isobit codebook show s.isb-codebook --find er --limit 1 | sed 's/^ *[0-9]*//'
isobit codebook show s.isb-codebook --find 'no such string'
echo "exit $?"
printf 'the sea|\\\x01\xff\n\n\nthe end' | isobit codebook show a.isb-codebook --text -
hostile >hostile.bin
isobit codebook show a.isb-codebook --text hostile.bin --json | sed -n 's/.*"text_hex":"\([0-9a-f]*\)".*/\1/p' | head -n 3
isobit codebook show a.isb-codebook --text - </dev/null
isobit codebook show | head -n 1 | tr -s " "

echo "# what is cut comes back"
for codebook in a b s w m; do
    isobit encode --whole --tokenizer codebook:$codebook.isb-codebook --format u32 -o ids hostile.bin --quiet &&
        isobit decode --tokenizer codebook:$codebook.isb-codebook --format u32 -o back ids --quiet && same hostile.bin back $codebook
done

isobit codebook build --m1 "$ISB_CLI_MODELS/m1" --kind exact -o e.isb-codebook --quiet | grep '^ids' | tr -s ' '
isobit encode --whole --tokenizer window:b=16 --m1 "$ISB_CLI_MODELS/m1" text.txt >windows.txt
isobit encode --whole --tokenizer codebook:e.isb-codebook text.txt >compiled.txt
same windows.txt compiled.txt "windows as a table"

echo "# diff"
isobit codebook diff a.isb-codebook again.isb-codebook | sed -E 's/[0-9]{3}$/N/'
echo "exit ${PIPESTATUS[0]}"
isobit codebook diff a.isb-codebook s.isb-codebook --limit 0 | grep -E 'always|special'
isobit codebook diff a.isb-codebook s.isb-codebook --limit 1 --json >diff.jsonl
echo "exit $?"
sed -n 's/.*\("equal":[a-z]*\).*/\1/p; s/.*\("difference":"special[a-z_]*"\).*\("text":.*\)}/\1 \2/p' diff.jsonl

echo "# measure"
printf 'the\nsea\nzebra\n' >words.txt
isobit codebook measure --data text.txt -c a.isb-codebook -c w.isb-codebook --words words.txt --json --quiet >measures.jsonl
grep -c '"n_words":2,' measures.jsonl
isobit codebook measure --data text.txt -c a.isb-codebook --quiet | sed -E 's/[0-9a-f]{32}/ID/; s/[0-9.,]+$/N/'
awk -v a="$(number <(head -n 1 measures.jsonl) bytes_per_token)" 'BEGIN { print (a > 3 && a < 8) ? "ok: bytes/token" : "FAILED: bytes/token " a }'

echo "# export"
for format in tokenizer.json rwkv gguf text; do
    isobit codebook export a.isb-codebook --to $format -o out.$format && [ -s out.$format ] || echo "FAILED: $format"
done
isobit codebook export a.isb-codebook --to text | cmp - out.text && wc -l <out.text | tr -d ' ' >lines && echo "text to standard output"

echo "# what is refused"
fails 2 'data is missing' "no text" isobit codebook build -o x
fails 2 'out FILE is missing' "no output" isobit codebook build --data text.txt
fails 2 'none of word, phrase, run, words, free, exact, delay' "an unknown kind" $build --kind letters -o x
fails 2 'from 257 to 1.04858e' "too few ids" $build --size 256 -o x
fails 2 'from 257 to 1.04858e' "too many ids" $build --size 2M -o x
fails 2 '' "no room for special ids" $build --size 257 --special a --special b -o x
fails 2 '' "a special name twice" $build --size 300 --special a --special a -o x
fails 2 'needs --m1' "windows of nothing" isobit codebook build --kind exact -o x
fails 2 'size has no meaning' "windows of another size" isobit codebook build --kind exact --m1 "$ISB_CLI_MODELS/m1" --size 300 -o x
fails 2 'give it with -c' "a codebook measured as text" isobit codebook measure a.isb-codebook --data text.txt
fails 2 'exclude each other' "to choose or not" $build --choose --no-choose -o x
fails 2 'needs text' "choosing without text" isobit codebook build --m1 "$ISB_CLI_MODELS/m1" --choose -o x
fails 4 'nowhere' "an M1 that is not there" $build --m1 nowhere -o x
fails 4 'nothing.txt' "text that is not there" isobit codebook build --data nothing.txt -o x
fails 4 'no folder away/far' "a folder that is not there" $build -o away/far/x
fails 4 'is a folder' "a folder as a file" $build -o .
: >empty.txt
fails 3 'no document' "no text in it" isobit codebook build --data empty.txt -o x
fails 3 'empty' "no text to measure on" isobit codebook measure --data empty.txt -c a.isb-codebook
fails 3 'words' "no words" isobit codebook measure --data text.txt -c a.isb-codebook --words empty.txt
fails 2 'once only' "two codebooks on one pipe" isobit codebook measure -c a.isb-codebook -c b.isb-codebook --data -
fails 3 'text.txt' "a foreign file" isobit codebook show text.txt
fails 3 'empty.txt' "an empty file" isobit codebook show empty.txt
fails 4 'none.isb-codebook' "a codebook that is not there" isobit codebook show none.isb-codebook
size=$(wc -c <a.isb-codebook)
head -c $((size - 9)) a.isb-codebook >cut.isb-codebook
fails 3 'cut.isb-codebook' "a codebook cut short" isobit codebook show cut.isb-codebook
for place in 20 $((size / 2)) $((size - 1)); do
    cp a.isb-codebook bad.isb-codebook
    printf '\xa5' | dd of=bad.isb-codebook bs=1 seek=$place conv=notrunc 2>/dev/null
    fails 3 'bad.isb-codebook' "a codebook with a changed byte" isobit info bad.isb-codebook
done
fails 2 'neither an id nor a range' "ids that are none" isobit codebook show a.isb-codebook --ids 5-9
fails 2 'the last id is' "ids that are too high" isobit codebook show a.isb-codebook --ids 5..70000
fails 2 'cannot go together' "a list and a text" isobit codebook show a.isb-codebook --ids 1 --text text.txt
fails 4 'nothing.txt' "a text that is not there" isobit codebook show a.isb-codebook --text nothing.txt
fails 2 'two codebooks' "one codebook to compare" isobit codebook diff a.isb-codebook
fails 2 'to FORMAT is missing' "an export to nothing" isobit codebook export a.isb-codebook
fails 2 'none of tokenizer.json' "an unknown form" isobit codebook export a.isb-codebook --to pdf
fails 2 'standard output' "gguf to standard output" isobit codebook export a.isb-codebook --to gguf
fails 4 'nowhere' "an export to nowhere" isobit codebook export a.isb-codebook --to text -o nowhere/x
[ ! -e x ] || echo "FAILED: a refused call left a file"
