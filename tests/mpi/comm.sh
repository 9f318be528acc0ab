#!/usr/bin/env bash
# The collective calls on 2 and 3 processes, and with one that stops: tests/mpi/comm.sh TEST_COMM
set -uo pipefail
test_comm=$(realpath "$1")
. "$(dirname "$0")/lib.sh"
for n in 2 3; do
    TEST_COMM_SIZE=$n mpirun -n $n "$test_comm" || failed "$n processes"
done
# the one that stopped is killed in the end, so that mpirun fails; the others have no failed check
TEST_COMM_SIZE=3 TEST_COMM_LOSE=1 ISB_RANK_TIMEOUT=5 mpirun -n 3 "$test_comm" >lost.txt 2>&1
cat lost.txt
grep -q "checks, 0 failed" lost.txt || failed "one that stops"
grep -q "checks, [1-9][0-9]* failed" lost.txt && failed "one that stops"
rm -f lost.txt
finish
