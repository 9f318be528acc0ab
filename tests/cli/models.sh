# Makes what other tests need, once: a tiny M1 trained for a moment.  A fixture of CTest.
rm -rf "$ISB_CLI_MODELS"
mkdir -p "$ISB_CLI_MODELS"
text 7 150 >text.txt
ok "train an M1" isobit train --size nano --tokenizer bytes --data text.txt --document-size 200 --out "$ISB_CLI_MODELS/m1" \
    --steps 60 --context 64 --batch 8 --lr 3e-3 --cut-share 0.5 --seed 1 --quiet
ok "count bytes for a static M1" isobit train --size static --data text.txt --document-size 200 --out "$ISB_CLI_MODELS/static" --quiet
cp text.txt "$ISB_CLI_MODELS/text.txt"
