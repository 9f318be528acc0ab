#!/usr/bin/env bash
# The main job, end to end, on real text.  ./run demo calls this; see there.
#
#   text       English prose from three Debian packages (scripts/demo_text.pl), documents split by hash
#   codebook   8,192 words and phrases chosen on the training documents; SentencePiece of the same size beside it
#   M1         a nano byte model, part of its rows cut into short pieces, since windows start from an empty context
#   windows    the published way: 16-bit windows of M1, a token each
#   M2         four models of one size, trained for the same wall time: on the codebook, SentencePiece, bytes, windows
#   table      on held-out documents: bytes/token, bits/byte, FLOPs/byte, training speed, time to make the tokens
#   proof      held-out text and a binary file come back byte for byte
#   picture    bits/byte against FLOPs/byte
#
# Everything is kept in demo-out/ (demo-out/quick/ with --quick); a second run reuses what is whole.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

quick=0
for option in "$@"; do
    case "$option" in
    --quick) quick=1 ;;
    --clean) rm -rf demo-out && exit 0 ;;
    *) die "demo: unknown option $option; known: --quick, --clean" ;;
    esac
done

isobit=$PWD/build/isobit
out=$PWD/demo-out
if [ $quick = 1 ]; then
    run=$out/quick m1_minutes=0.2 m2_minutes=0.2 max_bytes=3M
else
    run=$out/full m1_minutes=1.5 m2_minutes=1.8 max_bytes=0
fi
m1_size=nano m2_size=nano v=8192
started=$SECONDS
mkdir -p "$run"

# done_once NAME COMMAND ...: runs the command unless an earlier run finished it.
done_once() {
    local name=$1
    shift
    if [ -e "$run/.$name" ]; then
        echo "   (reused)" >&2
        return
    fi
    "$@"
    : >"$run/.$name"
}

# ---- text ----
packages="anarchism perl-doc jargon-text"
fetch_text() {
    rm -rf "$out/packages" "$out/text"
    mkdir -p "$out/packages" "$out/text.part"
    (cd "$out/packages" && apt-get download -qq $packages 2>/dev/null) || {
        say "refreshing the package lists"
        if [ "$(id -u)" = 0 ]; then apt-get update -qq >&2; else sudo apt-get update -qq >&2; fi
        (cd "$out/packages" && apt-get download -qq $packages 2>/dev/null) || die "cannot download the packages $packages"
    }
    local deb
    for deb in "$out"/packages/*.deb; do dpkg-deb -x "$deb" "$out/packages/root"; done
    perl scripts/demo_text.pl "$out/packages/root" "$out/text.part"
    mv "$out/text.part" "$out/text"
}
say "English text from the Debian packages $packages"
echo "   anarchism: An Anarchist FAQ (GPL-2 or GFDL); perl-doc: Perl's manuals (GPL-1+ or Artistic); jargon-text: the Jargon File" >&2
echo "   (public domain).  Licences: demo-out/packages/root/usr/share/doc/*/copyright" >&2
[ -d "$out/text" ] || fetch_text
corpus=(--data "$out/text" --document-size 16k)
[ $max_bytes = 0 ] || corpus+=(--max-bytes $max_bytes)

# timed NAME COMMAND ...: as done_once, and keeps the seconds it took.
timed() {
    local name=$1 begin
    begin=$(date +%s.%N)
    [ ! -e "$run/.$name" ] || { echo "   (reused)" >&2; return; }
    "${@:2}"
    date +%s.%N | awk -v a="$begin" '{ printf "%.1f\n", $1 - a }' >"$run/seconds-$name"
    : >"$run/.$name"
}
tell_tokens() { # NAME
    jq -r '"   \(.n_documents) documents, \(.n_bytes) bytes -> \(.n_tokens) tokens: \(.bytes_per_token*100|round/100) bytes/token, \(.mb_per_s|round) MB/s"' \
        "$run/prepare-$1.json" >&2
}
prepare() { # NAME TOKENIZER OPTION ...
    "$isobit" prepare --tokenizer "$2" "${@:3}" --out "$run/tokens-$1" --json >"$run/prepare-$1.json"
}

# ---- codebook ----
say "codebook: $v words and phrases, chosen on the training documents"
build_codebook() {
    "$isobit" codebook build --kind phrase --size $v "${corpus[@]}" -o "$run/demo.isb-codebook" --json >"$run/codebook.json"
    prepare codebook "$run/demo.isb-codebook" "${corpus[@]}"
}
timed codebook build_codebook
tell_tokens codebook

# ---- SentencePiece ----
say "SentencePiece: a unigram model of the same size, on the same documents"
documents_as_json() { # FILE OPTION ...
    "$isobit" encode --quiet --tokenizer bytes --format json -o "$run/bytes.json" "${@:2}"
    "$isobit" decode --quiet --tokenizer bytes --format json --jsonl -o "$1" "$run/bytes.json"
    rm "$run/bytes.json"
}
to_json() {
    local paths=("$out/text" "${corpus[@]:2}")
    documents_as_json "$run/documents.jsonl" "${paths[@]}"
    documents_as_json "$run/documents-train.jsonl" "${paths[@]}" --split train
}
build_sentencepiece() {
    local n_ids
    /usr/bin/python3 scripts/sentencepiece_ids.py train $((v - 1)) "$run/documents-train.jsonl" "$run/spm"
    n_ids=$(/usr/bin/python3 scripts/sentencepiece_ids.py ids "$run/spm.model" "$run/documents.jsonl" "$run/spm.jsonl")
    /usr/bin/python3 scripts/sentencepiece_ids.py pieces "$run/spm.model" "$run/spm.pieces"
    prepare sentencepiece "external:sentencepiece,vocab=$n_ids" --pieces "$run/spm.pieces" --data "$run/spm.jsonl"
}
done_once json to_json
timed sentencepiece build_sentencepiece
tell_tokens sentencepiece

# ---- M1 and windows ----
say "M1: a $m1_size byte model, $m1_minutes minutes, and its 16-bit windows"
train_m1() {
    "$isobit" train --size $m1_size --tokenizer bytes "${corpus[@]}" --out "$run/m1" --overwrite \
        --minutes $m1_minutes --context 256 --batch 16 --cut-share 0.75 --seed 1
    prepare windows window:b=16 --m1 "$run/m1" "${corpus[@]}"
}
timed windows train_m1
tell_tokens windows

# ---- M2 ----
train_m2() { # NAME OPTION ...
    "$isobit" train --size $m2_size --out "$run/m2-$1" --overwrite --minutes $m2_minutes --seed 1 --json "${@:2}" >"$run/m2-$1.json"
}
say "M2 on the codebook's tokens: $m2_size, $m2_minutes minutes"
done_once m2-codebook train_m2 codebook --data "$run/tokens-codebook" --context 128 --batch 16
say "M2 on SentencePiece's tokens: $m2_size, $m2_minutes minutes"
done_once m2-sentencepiece train_m2 sentencepiece --data "$run/tokens-sentencepiece" --context 128 --batch 16
say "M2 on bytes: $m2_size, $m2_minutes minutes"
done_once m2-bytes train_m2 bytes --tokenizer bytes "${corpus[@]}" --context 512 --batch 8
say "M2 on windows: $m2_size, $m2_minutes minutes"
done_once m2-windows train_m2 windows --data "$run/tokens-windows" --m1 "$run/m1" --context 64 --batch 8

# ---- table ----
say "evaluation on held-out documents"
test_text=("$out/text" --document-size 16k --split test)
[ $quick = 0 ] || test_text+=(--max-bytes 100k)
evaluate() { "$isobit" eval --model "$run/$1" --data "${test_text[@]}" --json >"$run/eval-$1.json"; }
evaluate_sentencepiece() { # ids of the same documents, made by another program
    "$isobit" eval --model "$run/m2-sentencepiece" --data "$run/tokens-sentencepiece.test" --json >"$run/eval-m2-sentencepiece.json"
}
for model in m1 m2-bytes m2-codebook m2-windows; do done_once "eval-$model" evaluate $model; done
done_once eval-m2-sentencepiece evaluate_sentencepiece

row() { # TITLE NAME
    local seconds=0
    [ ! -e "$run/seconds-$2" ] || seconds=$(cat "$run/seconds-$2")
    jq -r --arg name "$1" --argjson seconds "$seconds" --slurpfile train "$run/m2-$2.json" '[$name, .bytes_per_token, .bits_per_byte,
        .flops_per_byte / 1e6, .flops_per_byte_m1 / 1e6, .flops_per_byte_all / 1e6, $train[0].tokens_per_s,
        $train[0].tokens * .bytes_per_token / 1e6, $seconds] | @tsv' "$run/eval-m2-$2.json"
}
{
    row "codebook" codebook
    row "SentencePiece" sentencepiece
    row "bytes" bytes
    row "windows of M1" windows
} >"$run/table.tsv"
say "held-out documents; four $m2_size models, trained $m2_minutes minutes each"
awk -F'\t' 'BEGIN {
        printf "%-14s %11s %9s %12s %9s %13s %15s %13s %13s\n", "tokens", "bytes/token", "bits/byte", "MFLOPs/byte", "with M1",
            "all products", "train tokens/s", "MB trained on", "s for tokens"
    }
    { printf "%-14s %11.2f %9.3f %12.2f %9.2f %13.2f %15.0f %13.1f %13.1f\n", $1, $2, $3, $4, $5, $6, $7, $8, $9 }' "$run/table.tsv" | tee "$run/table.txt"
jq -r '"M1 itself: \(.bits_per_byte*1000|round/1000) bits/byte with its whole context"' "$run/eval-m1.json"

# ---- proof ----
say "round trips, byte for byte"
round_trip_tokens() {
    "$isobit" encode --quiet --model "$run/m2-codebook" --whole --format u16 -o "$run/held-out.u16" "$run/held-out.txt"
    "$isobit" decode --quiet --model "$run/m2-codebook" --format u16 -o "$run/held-out.back" "$run/held-out.u16"
    cmp "$run/held-out.txt" "$run/held-out.back"
    "$isobit" encode --quiet --model "$run/m2-codebook" --whole --format u16 -o "$run/binary.u16" "$isobit"
    "$isobit" decode --quiet --model "$run/m2-codebook" --format u16 -o "$run/binary.back" "$run/binary.u16"
    cmp "$isobit" "$run/binary.back"
    echo "tokens:     $(stat -c %s "$run/held-out.txt") bytes of held-out text -> $(($(stat -c %s "$run/held-out.u16") / 2)) tokens and back: equal; so is a binary file"
}
round_trip_file() { # NAME FILE
    "$isobit" compress --quiet -f --m1 "$run/m1" -o "$run/$1.isb" "$2"
    "$isobit" decompress --quiet -f --m1 "$run/m1" -o "$run/$1.back" "$run/$1.isb"
    cmp "$2" "$run/$1.back"
    echo "compressed: $1, $(stat -c %s "$2") -> $(stat -c %s "$run/$1.isb") bytes and back: equal (gzip -9: $(gzip -9c "$2" | wc -c))"
}
proof() {
    # The held-out documents as one text: the bytes tokenizer there and back gives the corpus reader's documents.
    "$isobit" encode --quiet --tokenizer bytes --format u16 -o "$run/held-out.bytes" "${test_text[@]}"
    "$isobit" decode --quiet --tokenizer bytes --format u16 -o "$run/held-out.txt" "$run/held-out.bytes"
    round_trip_tokens
    head -c "$proof_bytes" "$run/held-out.txt" >"$run/held-out-part.txt"
    round_trip_file held-out-part.txt "$run/held-out-part.txt"
    head -c "$proof_bytes" "$isobit" >"$run/binary"
    round_trip_file binary "$run/binary"
}
proof_bytes=120000
[ $quick = 0 ] || proof_bytes=20000
proof | tee "$run/proof.txt"

# ---- text ----
say "a paragraph by the M2 on the codebook's tokens"
prompt="The most important question about freedom is"
"$isobit" generate --quiet --model "$run/m2-codebook" --prompt "$prompt" --max-tokens 120 --temperature 0.8 --top-p 0.95 --seed 7 |
    tee "$run/paragraph.txt"
echo

# ---- picture ----
cut -f 1,3,4,5,6 "$run/table.tsv" >"$run/points.tsv"
gnuplot <<PLOT
set terminal pngcairo size 900,600 font "sans,12"
set output "$run/bits-per-byte.png"
set datafile separator "\t"
set title "Held-out bits/byte against inference cost ($m2_size models, $m2_minutes minutes of training each)"
set xlabel "FLOPs/byte, millions"
set ylabel "bits/byte"
set grid
set logscale x 2
set offsets graph 0.25, graph 0.25, graph 0.2, graph 0.2
set key top right
plot "$run/points.tsv" using 3:2 with points pt 7 ps 2 title "2 N per token, without embeddings", \
     "" using 4:2 with points pt 6 ps 2 title "and M1", \
     "" using 5:2 with points pt 4 ps 2 title "every product, M1 included", \
     "" every ::1 using 3:2:1 with labels offset 0,-1.2 notitle, \
     "" every ::0::0 using 3:2:1 with labels offset 0,1.2 notitle
PLOT
say "picture: ${run#"$PWD"/}/bits-per-byte.png; everything of this run: ${run#"$PWD"/}/ ($((SECONDS - started)) s)"
