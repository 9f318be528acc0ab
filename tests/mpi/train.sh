#!/usr/bin/env bash
# Training on several processes of one machine: ISOBIT=build/isobit MODEL_DISTANCE=... tests/mpi/train.sh SCENARIO
#
# Exit code 77: not run, since there is no mpirun.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
ISOBIT=$(realpath "${ISOBIT:-build/isobit}")
MODEL_DISTANCE=$(realpath "${MODEL_DISTANCE:-build/tests/model_distance}")
. "$here/../cli/lib.sh"
. "$here/lib.sh"

work=$(mktemp -d "${TMPDIR:-/tmp}/isobit-mpi.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
text 7 300 >text.txt
base="--size nano --tokenizer bytes --data text.txt --document-size 200 --context 32 --batch 2 --seed 5 --accumulate 6 \
--log-every 1 --quiet"

# on RANKS OUT ARG ...: a run of the command on so many processes, one thread each; 0: no mpirun.
on() {
    local n=$1 out=$2 start=()
    shift 2
    [ "$n" = 0 ] || start=(mpirun -n "$n")
    "${start[@]}" "$ISOBIT" train --out "$out" -T 1 "$@" >out.txt 2>err.txt && return
    failed "$out on $n processes"
    cat out.txt err.txt
}

# below VALUE LIMIT WHAT
below() { if awk "BEGIN { exit !($1 < $2) }"; then echo "ok: $3: $1"; else failed "$3: $1, expected below $2"; fi; }

# The largest relative difference of the losses in two logs.
loss_difference() {
    paste <(number "$1/log.jsonl" loss) <(number "$2/log.jsonl" loss) |
        awk '{ d = $1 / $2 - 1; d = d < 0 ? -d : d; if (NF != 2) most = 9; if (d > most) most = d } END { print NR ? most + 0 : 9 }'
}

# number of lib.sh, for the log, which has a space after the colon
number() { sed -n 's/.*"'"$2"'": \([-0-9.e+]*\)[,}].*/\1/p' "$1"; }

# Single precision (avx2 at most): sums in another order differ by some 1e-7, and six steps let that grow tenfold.
scenario_equal() {
    export ISB_CPU=avx2
    "$ISOBIT" info >/dev/null 2>&1 || export ISB_CPU=ref
    local optimizer n
    for optimizer in adamw adafactor; do
        on 0 one $base --steps 6 --optimizer $optimizer --overwrite
        for n in 2 3; do
            on $n many $base --steps 6 --optimizer $optimizer --overwrite
            on $n again $base --steps 6 --optimizer $optimizer --overwrite
            below "$(loss_difference one many)" 1e-5 "$optimizer, losses of $n processes and of one"
            below "$("$MODEL_DISTANCE" one many)" 1e-4 "$optimizer, weights of $n processes and of one"
            same many/model.safetensors again/model.safetensors "$optimizer on $n processes repeats bit for bit"
            same many/checkpoints/step-00000006/optimizer.safetensors again/checkpoints/step-00000006/optimizer.safetensors \
                "and so does its state"
        done
    done
    # weights that are put together from shares
    base="${base/--tokenizer bytes/} --embeddings composed"
    on 0 one $base --steps 3 --overwrite
    on 2 many $base --steps 3 --overwrite
    below "$(loss_difference one many)" 1e-5 "composed embeddings, losses"
    below "$("$MODEL_DISTANCE" one many)" 1e-4 "composed embeddings, weights"
}

# The checkpoint does not know how many processes wrote it.
scenario_resume() {
    export ISB_CPU=avx2
    "$ISOBIT" info >/dev/null 2>&1 || export ISB_CPU=ref
    local optimizer n stop
    for optimizer in adamw adafactor; do
        on 0 whole $base --steps 6 --optimizer $optimizer --schedule constant --overwrite
        on 2 parts $base --steps 2 --optimizer $optimizer --schedule constant --overwrite
        on 0 parts --resume --steps 4
        on 3 parts --resume --steps 6
        below "$(loss_difference whole parts)" 1e-5 "$optimizer, losses of 2, then 1, then 3 processes"
        below "$("$MODEL_DISTANCE" whole parts)" 1e-4 "$optimizer, weights"
        # with the same number, to the bit
        on 2 whole $base --steps 6 --optimizer $optimizer --schedule constant --overwrite
        on 2 parts $base --steps 2 --optimizer $optimizer --schedule constant --overwrite
        on 2 parts --resume --steps 6
        same whole/model.safetensors parts/model.safetensors "$optimizer, resumed on as many: as if never stopped"
    done
}

scenario_options() {
    on 3 default ${base/--accumulate 6/} --steps 1
    grep -o '"accumulate": [0-9]*' default/checkpoints/step-00000001/state.json
    mpirun -n 2 "$ISOBIT" train --out bad -T 1 ${base/--accumulate 6/--accumulate 9} >out.txt 2>err.txt && failed "9 by 2"
    grep -c "cannot be divided between 2 processes" err.txt
    grep -q "start 1, 3, 9 processes" err.txt && echo "ok: told which numbers work" || { failed "accumulate"; cat err.txt; }
    on 3 six $base --steps 1
    mpirun -n 4 "$ISOBIT" train --out six -T 1 --resume --steps 2 >out.txt 2>err.txt && failed "6 by 4"
    grep -q "start 1, 2, 3, 6 processes" err.txt && echo "ok: and when resuming" || { failed "resume"; cat err.txt; }
    mpirun -n 2 "$ISOBIT" train --out six -T 1 $base >out.txt 2>err.txt && failed "a run is not replaced"
    [ "$(grep -c "holds a run already" err.txt)" = 1 ] && echo "ok: an error is said once" || { failed "once"; cat err.txt; }
    ISB_MPI=/nowhere/libisobit-mpi.so mpirun -n 2 "$ISOBIT" train --out six -T 1 $base >out.txt 2>err.txt && failed "no module"
    grep -q "build isobit where MPI is installed" err.txt && echo "ok: without the module" || { failed "module"; cat err.txt; }
    [ "$(find six -name 'events*' | wc -l)" = 1 ] && echo "ok: one process writes" || failed "several write"
}

# The process of a rank, among those of an mpirun.
process_of() {
    local process
    for process in $(pgrep -P "$1"); do
        tr '\0' '\n' <"/proc/$process/environ" 2>/dev/null | grep -qx "OMPI_COMM_WORLD_RANK=$2" && echo "$process"
    done
}

# ends NAME CODE TEXT SIGNAL RANK: a run on 3 processes, of which one (or mpirun itself) gets a signal, ends within a minute
# with such a code and text, and can be resumed.
ends() {
    local name=$1 code=$2 text=$3 signal=$4 rank=$5 i runner target began
    mpirun -n 3 "$ISOBIT" train --out "$name" -T 1 $base --steps 1000000 --save-every 5 >out.txt 2>err.txt &
    runner=$!
    for i in $(seq 600); do
        [ -e "$name/checkpoints/step-00000010" ] && break
        sleep 0.1
    done
    target=$runner
    [ "$rank" = mpirun ] || target=$(process_of $runner "$rank")
    began=$SECONDS
    kill "-$signal" "$target"
    wait $runner
    i=$?
    if [ $i = "$code" ] && grep -qE "$text" err.txt; then
        echo "ok: $name: exit $i"
    else
        failed "$name: exit $i, expected $code and \"$text\""
        cat out.txt err.txt
    fi
    below $((SECONDS - began)) 60 "$name: seconds until all have ended"
    ok "$name: resumed" "$ISOBIT" train --out "$name" -T 1 --resume --quiet --steps $(($(last_step "$name") + 1))
}

last_step() { find "$1/checkpoints" -name 'step-*[0-9]' | sed 's/.*step-0*//' | sort -n | tail -1; }

scenario_failures() {
    export ISB_RANK_TIMEOUT=8
    ends killed 137 "rank 1 with PID .* exited on signal 9" KILL 1
    ends stopped 1 "process 2 of 3, on .*, has given no sign of life for 8 seconds" STOP 2
    ends stopped_first 1 "process 0 of 3, on .*, has given no sign of life for 8 seconds" STOP 0
    ends interrupted 130 "interrupted after step [0-9]*" USR1 mpirun
    export OMPI_MCA_odls_base_sigkill_timeout=5 # time to save
    ends terminated 1 "interrupted after step [0-9]*" TERM mpirun
}

"scenario_$1"
finish
