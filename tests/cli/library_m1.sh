# The M1 in the library: taken by default, found by its name and identity.  A build without one (a tree without
# models/english-3m.isb-m1) says so.  Only what is wrong is shown.
# English, which that M1 makes smaller than zstd does: only then a file names its M1.
cat >text.txt <<'END'
The library stood at the end of a quiet street, and nobody in the town could remember a time when it had not been there. In the
morning the old man who kept it opened the windows, put the newspapers on the long table, and waited for the children who came
before school to read about ships and animals. He knew every book by its place on the shelves, and he said that a book which had
been put back in the wrong place was lost, although everyone could see it. When the war was over, the government sent a letter
to say that there was no more money, but the people of the town did not close it; they brought what they had at home instead.
END
export XDG_DATA_HOME=$PWD
id=$(isobit info --json | sed -n 's/.*"m1":{"name":"english-3m","identity":"\([0-9a-f]*\)".*/\1/p')
check() {
    if [ -z "$id" ]; then
        fails 4 "none in this build" "info" isobit info english-3m
        fails 4 "english-3m|no M1|names no M1" "compress" isobit compress -q text.txt
        fails 4 "none in this build" "by name" isobit compress -q --m1 english-3m text.txt
        return
    fi
    ok "compress" isobit compress -q text.txt
    ok "decompress" isobit decompress -q text.txt.isb -o back
    same text.txt back "the text is back"
    ok "by name" isobit compress -q --m1 english-3m text.txt -o named.isb
    same text.txt.isb named.isb "the same by name"
    isobit info text.txt.isb | grep -q "$id" || echo "FAILED: not its identity in the file"
    isobit info english-3m | grep -q "$id" || echo "FAILED: another identity by name"
    ok "encode" isobit encode -q --whole --tokenizer ac --m1 english-3m text.txt -o ids
    ok "decode" isobit decode -q --tokenizer ac --m1 english-3m ids -o back
    same text.txt back "ids and back"
}
check | grep -v '^ok'
echo checked
