# Files that are missing, of another kind, empty or closed; damaged text.
m1=$ISB_CLI_MODELS/m1
mkdir empty folder
: >empty.txt
echo hello >hello.txt
printf '{"text": "a"}\n{"txt": "b"}\n' >field.jsonl
printf '{"text": "a"}\n{"text": "b\n' >broken.jsonl
echo hello | gzip >cut.gz && head -c 15 cut.gz >cut.txt.gz

fails 4 "nowhere" "train on a missing file" isobit train --data nowhere --out run
fails 4 "nowhere" "prepare a missing file" isobit prepare --data nowhere --out p
fails 4 "nowhere" "encode a missing file" isobit encode nowhere
fails 4 "nowhere" "decode a missing file" isobit decode nowhere
fails 4 "nowhere" "compress a missing file" isobit compress --m1 "$m1" nowhere
fails 4 "nowhere" "compress with a missing M1" isobit compress --m1 nowhere hello.txt
fails 4 "nowhere" "decompress a missing file" isobit decompress --m1 "$m1" nowhere.isb
fails 4 "nowhere" "eval a missing model" isobit eval --model nowhere --data hello.txt
fails 4 "nowhere" "eval on a missing file" isobit eval --model "$m1" --data nowhere
fails 4 "nowhere" "generate with a missing model" isobit generate --model nowhere
fails 4 "nowhere" "a missing prompt file" isobit generate --model "$m1" --prompt-file nowhere
fails 4 "nowhere" "info on a missing file" isobit info nowhere

fails 4 "folder" "decode a folder" isobit decode folder
fails 4 "folder" "encode a folder as one document" isobit encode --whole folder
fails 4 "folder" "compress a folder" isobit compress --m1 "$m1" folder
fails 4 "folder" "a folder as a prompt" isobit generate --model "$m1" --prompt-file folder
fails 4 "folder" "write ids into a folder's name" isobit encode hello.txt -o folder
fails 4 "hello.txt" "train into a file's name" isobit train --data hello.txt --out hello.txt --steps 1

fails 3 "empty" "prepare an empty folder" isobit prepare --data empty --out p
fails 3 "no text" "prepare an empty file" isobit prepare --data empty.txt --out p
fails 3 "" "train on an empty file" isobit train --data empty.txt --out run --steps 1 --quiet
fails 3 "" "eval on an empty file" isobit eval --model "$m1" --data empty.txt
fails 3 "" "a static M1 of nothing" isobit train --size static --data empty.txt --out counts
fails 3 "field.jsonl.*2" "a line without text" isobit prepare --data field.jsonl --out p
fails 3 "broken.jsonl.*2" "a broken line" isobit prepare --data broken.jsonl --out p
fails 3 "cut.txt.gz" "gzip cut short" isobit prepare --data cut.txt.gz --out p
ls -d p* counts run/model.safetensors run/checkpoints 2>/dev/null

fails 3 "hello.txt" "info on another kind of file" isobit info hello.txt
fails 3 "folder" "info on an empty folder" isobit info folder
fails 3 "hello.txt" "decompress another kind of file" isobit decompress --m1 "$m1" hello.txt -o back
fails 4 "folder" "a folder that is no model" isobit eval --model folder --data hello.txt
if [ "$(id -u)" != 0 ]; then
    chmod 0 hello.txt
    fails 4 "hello.txt" "a file that may not be read" isobit encode hello.txt
else
    echo "ok: a file that may not be read (exit 4)" # root may read everything
fi
ls back 2>/dev/null
