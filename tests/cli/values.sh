# Values are read strictly, from the command line and from a configuration file.
for value in 3x 1.5 -1 "" " 3" 0x10 18446744073709551616 nan 3m 1.0001k; do
    fails 2 "^isobit: train: --steps: " "--steps '$value'" isobit train --data x --out y --steps "$value"
done
for value in 2,5 inf nan 0x1p3 0 "" 1e7 2.5m; do
    fails 2 "^isobit: train: --minutes: " "--minutes '$value'" isobit train --data x --out y --minutes "$value"
done
fails 2 "out of range: from 1 to 1024" "too many threads" isobit info --threads 5000
fails 2 "is none of ref, avx2" "an unknown instruction set" isobit info --cpu sse
fails 2 "^isobit: ISB_CPU: " "an unknown instruction set in ISB_CPU" env ISB_CPU=sse "$ISOBIT" info
fails 2 "^isobit: ISB_THREADS: " "no number in ISB_THREADS" env ISB_THREADS=many "$ISOBIT" info
fails 2 "is none of cosine, linear" "an unknown schedule" isobit train --data x --out y --schedule stairs
fails 2 "out of range" "shares over one" isobit train --data x --out y --cut-share 1.5
fails 2 "more than 1000 together" "splits of more than all" isobit prepare --data x --out y --valid-permille 600 --test-permille 600
# Good values get as far as the missing file.
for value in 3 10k 1.5M 64Ki 1e3 2G; do
    fails 4 "nowhere" "--steps $value" isobit train --data nowhere --out y --steps "$value"
done

echo '{"size": "tiny", "steps": "2k", "lr": 1e-3, "data": ["nowhere"], "out": "y", "untied": true, "json": false}' >good.json
fails 4 "nowhere" "a configuration file" isobit train --config good.json
fails 4 "elsewhere" "the command line wins" isobit train --config good.json --data elsewhere
config() {
    echo "$1" >bad.json
    try train --config bad.json
}
config '{"stps": 3}'
config '{"steps": -3}'
config '{"steps": [1, 2]}'
config '{"untied": "yes"}'
config '{"config": "bad.json"}'
config '[1]'
config '{"steps": 3'
fails 4 "^isobit: train: cannot read none.json" "a missing configuration file" isobit train --config none.json
