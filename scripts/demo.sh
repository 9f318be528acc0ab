#!/usr/bin/env bash
# The main job, end to end, on real text.  ./run demo calls this; see there.
#
#   text       English prose from three Debian packages (scripts/demo_text.pl), documents split by hash
#   M1         a nano byte model, part of its rows cut into short pieces, since windows start from an empty context
#   tokens     16-bit exact windows, as one token each (ids 0 .. 65,535) and as two of 8 bits (0 .. 255)
#   M2         three models of one size, trained for the same wall time: on the two kinds of tokens and on bytes
#   table      on held-out documents: bytes/token, bits/byte, FLOPs/byte, training speed
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
    run=$out/quick m1_minutes=0.2 m2_minutes=0.25 max_bytes=3M
else
    run=$out/full m1_minutes=1.5 m2_minutes=2.5 max_bytes=0
fi
m1_size=nano m2_size=nano
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

# ---- M1 ----
say "M1: a $m1_size byte model, $m1_minutes minutes"
done_once m1 "$isobit" train --size $m1_size --tokenizer bytes "${corpus[@]}" --out "$run/m1" --overwrite \
    --minutes $m1_minutes --context 256 --batch 16 --cut-share 0.75 --seed 1

# ---- tokens ----
prepare_tokens() { # BITS
    "$isobit" prepare --tokenizer window:b=16,variant=exact,token=$1 --m1 "$run/m1" "${corpus[@]}" \
        --out "$run/tokens$1" --json >"$run/prepare$1.json"
}
for bits in 16 8; do
    say "tokens: 16-bit exact windows over all the text, $bits bits a token"
    done_once tokens$bits prepare_tokens $bits
    jq -r '"   \(.n_documents) documents, \(.n_bytes) bytes -> \(.n_tokens) tokens: \(.bytes_per_token*100|round/100) bytes/token, \(.seconds|round) s"' \
        "$run/prepare$bits.json" >&2
done

# ---- M2 ----
train_windows() { # BITS OPTION ...
    "$isobit" train --size $m2_size --data "$run/tokens$1" --m1 "$run/m1" --out "$run/m2-window$1" --overwrite \
        --minutes $m2_minutes --seed 1 --json "${@:2}" >"$run/m2-window$1.json"
}
say "M2 on 16-bit tokens: $m2_size, $m2_minutes minutes"
done_once m2-window16 train_windows 16 --context 64 --batch 8
say "M2 on 8-bit tokens: $m2_size, $m2_minutes minutes"
done_once m2-window8 train_windows 8 --context 256 --batch 16
say "M2 on bytes: $m2_size, $m2_minutes minutes"
train_bytes() {
    "$isobit" train --size $m2_size --tokenizer bytes "${corpus[@]}" --out "$run/m2-bytes" --overwrite \
        --minutes $m2_minutes --context 512 --batch 8 --seed 1 --json >"$run/m2-bytes.json"
}
done_once m2-bytes train_bytes

# ---- table ----
say "evaluation on held-out documents"
test_text=("$out/text" --document-size 16k --split test)
[ $quick = 0 ] || test_text+=(--max-bytes 100k)
evaluate() { "$isobit" eval --model "$run/$1" --data "${test_text[@]}" --json >"$run/eval-$1.json"; }
for model in m1 m2-bytes m2-window8 m2-window16; do done_once "eval-$model" evaluate $model; done

row() { # NAME MODEL TRAIN-JSON
    jq -r --arg name "$1" --slurpfile train "$3" '[$name, .bytes_per_token, .bits_per_byte, .flops_per_byte / 1e6,
        .flops_per_byte_m1 / 1e6, .flops_per_byte_all / 1e6, $train[0].tokens_per_s, $train[0].train_flops / 1e12] | @tsv' "$run/eval-$2.json"
}
{
    row "bytes" m2-bytes "$run/m2-bytes.json"
    row "windows, 8 bits" m2-window8 "$run/m2-window8.json"
    row "windows, 16 bits" m2-window16 "$run/m2-window16.json"
} >"$run/table.tsv"
say "held-out documents; three $m2_size models, trained $m2_minutes minutes each"
awk -F'\t' 'BEGIN {
        printf "%-17s %11s %10s %14s %14s %15s %16s %14s\n", "method", "bytes/token", "bits/byte", "MFLOPs/byte", "with M1",
            "all products", "train tokens/s", "train TFLOPs"
    }
    { printf "%-17s %11.2f %10.3f %14.2f %14.2f %15.2f %16.0f %14.1f\n", $1, $2, $3, $4, $5, $6, $7, $8 }' "$run/table.tsv" | tee "$run/table.txt"
jq -r '"M1 itself: \(.bits_per_byte*1000|round/1000) bits/byte with its whole context"' "$run/eval-m1.json"

# ---- proof ----
say "round trips, byte for byte"
round_trip_tokens() {
    "$isobit" encode --quiet --model "$run/m2-window16" --whole --format u16 -o "$run/held-out.u16" "$run/held-out.txt"
    "$isobit" decode --quiet --model "$run/m2-window16" --format u16 -o "$run/held-out.back" "$run/held-out.u16"
    cmp "$run/held-out.txt" "$run/held-out.back"
    echo "tokens:     $(stat -c %s "$run/held-out.txt") bytes of held-out text -> $(($(stat -c %s "$run/held-out.u16") / 2)) tokens and back: equal"
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
say "a paragraph by the M2 on 16-bit tokens"
prompt="The most important question about freedom is"
"$isobit" generate --quiet --model "$run/m2-window16" --prompt "$prompt" --max-tokens 120 --temperature 0.8 --top-p 0.95 --seed 7 |
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
     "" using 3:2:1 with labels offset 0,-1.2 notitle
PLOT
say "picture: ${run#"$PWD"/}/bits-per-byte.png; everything of this run: ${run#"$PWD"/}/ ($((SECONDS - started)) s)"
