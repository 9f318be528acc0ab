# What the test scripts share; sourced by run.sh.

isobit() { "$ISOBIT" "$@"; }

# try ARG ...: shows a call as a user would see it, with its exit code.
try() {
    echo "\$ isobit $*"
    "$ISOBIT" "$@" 2>&1
    local code=$?
    [ $code = 0 ] || echo "(exit $code)"
}

# ok WHAT COMMAND ...: the command must succeed; its output is shown if it does not.
ok() {
    local what=$1
    shift
    if "$@" >out.txt 2>err.txt; then echo "ok: $what"; else echo "FAILED ($?): $what"; cat out.txt err.txt; fi
}

# fails CODE TEXT WHAT COMMAND ...: the command must exit with CODE and say TEXT (a regular expression) in its first line on
# standard error; causes and advice take two lines together.
fails() {
    local code=$1 text=$2 what=$3
    shift 3
    "$@" >out.txt 2>err.txt
    local got=$?
    if [ $got = "$code" ] && head -n 1 err.txt | grep -qE -- "$text" && [ "$(wc -l <err.txt)" -le 2 ]; then
        echo "ok: $what (exit $code)"
    else
        echo "FAILED: $what: exit $got, expected $code and \"$text\""
        cat err.txt
    fi
}

# same A B WHAT
same() {
    if cmp -s "$1" "$2"; then echo "ok: $3"; else echo "FAILED: $3: $(cmp "$1" "$2" 2>&1)"; fi
}

# number FILE NAME: the value of "NAME": in a line of JSON.
number() { sed -n 's/.*"'"$2"'":\([-0-9.e+]*\)[,}].*/\1/p' "$1"; }

# English-looking text of about 300 bytes a document, the same every time: text SEED DOCUMENTS.
text() {
    awk -v seed="$1" -v n="$2" 'BEGIN {
        count = split("the a of and to in sea ship wind stone house river small old green tells finds keeps knows under over \
again never always slowly morning evening light bread water friend letter road", word, " ")
        for (d = 0; d < n; ++d) {
            for (i = 0; i < 50; ++i) {
                seed = (seed * 16807) % 2147483647
                printf "%s%s", i ? " " : "", word[int(seed / 97) % count + 1]
            }
            printf ".\n\n"
        }
    }'
}

# Bytes that upset careless programs: all values, NULs, invalid UTF-8, carriage returns, long runs, no last newline.
hostile() {
    local i
    for i in $(seq 0 255); do printf "\\x$(printf %02x "$i")"; done
    printf '\0\0\0\xff\xfe\xc3\x28\xed\xa0\x80\r\n\r\r\n\n\n{"text": 1}'
    head -c 3000 /dev/zero | tr '\0' a
    head -c 300 /dev/zero
    printf '\xf0\x9f'
}
