# Every command explains itself, within 80 columns, with an example and the options that all share.
for command in train prepare merge encode decode compress decompress quantize eval generate info \
    "codebook build" "codebook show" "codebook export" "codebook diff" "codebook measure"; do
    isobit $command --help >help.txt 2>err.txt || echo "FAILED: $command --help"
    grep -q '^Examples' help.txt && grep -q "^    *isobit $command\|| isobit $command" help.txt || echo "FAILED: $command has no example"
    grep -q -- '--threads' help.txt && grep -q -- '--json' help.txt || echo "FAILED: $command lacks the common options"
    awk -v c="$command" 'length > 80 && !/^    isobit/ { print "FAILED: " c ": a line of " length " columns: " $0 }' help.txt
    [ -s err.txt ] && cat err.txt
    isobit help $command | cmp -s - help.txt || echo "FAILED: help $command differs from $command --help"
    echo "$command: $(grep -c '^ *-' help.txt) options"
done
isobit codebook --help >help.txt
isobit help codebook | cmp -s - help.txt || echo "FAILED: help codebook differs from codebook --help"
sed -n '/^Commands/,/^$/p' help.txt
for topic in start tokenizers m1 data resume measures; do
    isobit help $topic | head -n 1
done
isobit eval --help | sed -n '/bits\/byte  =/,/all products/p'
