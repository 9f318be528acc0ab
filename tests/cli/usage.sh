# What a new user meets first: overview, version, mistakes and suggestions.
try
isobit --version | sed 's/[0-9]*\.[0-9]*\.[0-9]*$/VERSION/'
try trian
try --hepl
try train --stpes 3
try train --s 3
try train --steps
try train -Z
try train --json=3
try train --steps 3 --steps 4
try train
try train --data x
try prepare --data x
try eval --data x
try compress x
try generate --model m hello
try decode a b
try info --nothing
try help nothing
try help star
try encode --tokenizer bytes --model m
try compress --m1 m -o a b c
try compress -t --rm a
try decompress --range 5 a
try quantize -o x.isb-m1
try compress --m1 m --rm -c a
try train --out x --resume --overwrite
try train --size static --out x --data y --steps 5
try --generate pdf
try codebook biuld
try codebook build --sise 3
try help codebook biuld
