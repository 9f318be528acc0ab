# Man pages and completions, made from the same tables as the help.
mkdir pages shells
ok "write man pages" isobit --generate man pages
ls pages
for page in pages/*.1; do
    if command -v man >/dev/null && command -v groff >/dev/null; then
        LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null | sed "s|^|FAILED: $page: |"
    fi
    grep -q '^\.SH "*NAME' "$page" || echo "FAILED: $page has no name"
done
# Every option is in its page and in every completion.
for shell in bash zsh fish; do ok "write $shell completion" isobit --generate $shell shells; done
ls shells
bash -n shells/isobit || echo "FAILED: bash syntax"
if command -v zsh >/dev/null; then zsh -n shells/_isobit || echo "FAILED: zsh syntax"; fi
if command -v fish >/dev/null; then fish -n shells/isobit.fish || echo "FAILED: fish syntax"; fi
for command in train prepare merge encode decode compress decompress quantize eval generate info \
    "codebook build" "codebook show" "codebook export" "codebook diff" "codebook measure"; do
    key=${command/ /-} # what bash and zsh call it
    for option in $(isobit $command --help | sed -n 's/^  \(-., \|    \)--\([a-z0-9-]*\).*/\2/p'); do
        grep -q -- "\\\\-\\\\-$(echo "$option" | sed 's/-/\\\\-/g')\\\\fR" "pages/isobit-${command%% *}.1" || echo "FAILED: isobit-${command%% *}.1 lacks --$option"
        grep -q -- "^ *$key) words='.*--$option[ ']" shells/isobit || echo "FAILED: bash: $command --$option"
        grep -q -- "--$option\[" shells/_isobit || echo "FAILED: zsh: --$option"
        grep -q -- "from ${command#* }' -l $option\( \|$\)" shells/isobit.fish || echo "FAILED: fish: $command --$option"
    done
done

# What bash would offer.
complete_words() {
    bash -c '. shells/isobit; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _isobit; printf "%s\n" "${COMPREPLY[@]}" | sort | tr "\n" " "; echo' bash "$@" | sed 's/ *$//'
}
touch "a file.txt" another.txt
complete_words isobit de
complete_words isobit help st
complete_words isobit train --sch
complete_words isobit train --schedule ""
complete_words isobit train --size 1
complete_words isobit compress --m1 sh
complete_words isobit compress a
complete_words isobit train --steps ""
complete_words isobit codebook ""
complete_words isobit codebook build --kin
complete_words isobit codebook build --kind w
complete_words isobit codebook export --to ""
complete_words isobit help codebook d
fails 4 "^isobit: cannot write nowhere/" "a folder that does not exist" isobit --generate man nowhere
