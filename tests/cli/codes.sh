# encode | decode gives every byte back, whatever the bytes, for every lossless tokenizer.
m1=$ISB_CLI_MODELS/m1
hostile >hostile.bin
: >empty.bin
printf x >one.bin
head -c 2000 "$ISB_CLI_MODELS/text.txt" >text.txt

# round_trip FILE FORMAT TOKENIZER_OPTION ...
round_trip() {
    local file=$1 format=$2
    shift 2
    isobit encode --whole --format "$format" "$@" "$file" -o ids --quiet >out.txt 2>err.txt &&
        isobit decode --format "$format" "$@" -o back ids --quiet >out.txt 2>err.txt && cmp -s "$file" back
    if [ $? = 0 ]; then echo "ok: $file $format $(echo "$*" | sed 's|--m1 .*||')"; else echo "FAILED: $file $format $*"; cat err.txt; fi
}
for format in text json u16 u32; do round_trip hostile.bin $format --tokenizer bytes; done
for file in empty.bin one.bin; do
    round_trip $file text --tokenizer bytes
    round_trip $file u16 --tokenizer window:b=16 --m1 "$m1"
done
round_trip hostile.bin u16 --tokenizer window:b=16 --m1 "$m1"
round_trip text.txt u16 --tokenizer window:b=16 --m1 "$m1"
round_trip text.txt text --tokenizer window:b=24,token=8 --m1 "$m1"
round_trip text.txt u16 --tokenizer window:b=64,variant=delay --m1 "$m1"
round_trip text.txt u16 --tokenizer ac --m1 "$m1"
round_trip text.txt u16 --tokenizer static-ac --m1 "$ISB_CLI_MODELS/static"

echo "# through pipes"
isobit encode --tokenizer bytes <hostile.bin --whole | isobit decode --tokenizer bytes >back && same hostile.bin back "bytes through two pipes"
printf '{"text": "one\\u00e9"}\n{"text": ""}\n{"text": "a\\nb"}\n' | isobit encode --tokenizer bytes --input-format jsonl | tee ids
isobit decode --tokenizer bytes ids --jsonl
echo "# what is refused"
fails 2 'tokenizer "foo"' "an unknown tokenizer" isobit encode --tokenizer foo text.txt
fails 2 'b=7 is not allowed' "windows of 7 bits" isobit encode --tokenizer window:b=7 --m1 "$m1" text.txt
fails 2 'needs an M1' "windows without an M1" isobit encode --tokenizer window:b=16 text.txt
echo "1 2 300" >bad
fails 3 "300" "an id that is none" isobit decode --tokenizer bytes bad
echo "1 2 x" >bad
fails 3 "" "ids that are no numbers" isobit decode --tokenizer bytes bad
