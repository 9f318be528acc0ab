#!/usr/bin/env bash
# No exported function is lost: programs linked to an older library of the same version go on working.
#
#   scripts/check_abi.sh build/libisobit.so            compares with tests/golden/abi.txt
#   scripts/check_abi.sh build/libisobit.so --update   records what is exported now
#
# A function that is new is to be recorded too, so that it is missed when it goes.
set -euo pipefail
library=$(realpath "$1")
cd "$(dirname "$0")/.."
recorded=tests/golden/abi.txt
exported=$(nm -D --defined-only "$library" | awk '{print $3}' | LC_ALL=C sort)
[ -n "$exported" ] || { echo "$library exports nothing"; exit 1; }
if [ "${2:-}" = --update ]; then
    echo "$exported" >"$recorded"
    exit 0
fi
lost=$(LC_ALL=C comm -23 "$recorded" - <<<"$exported")
new=$(LC_ALL=C comm -13 "$recorded" - <<<"$exported")
if [ -n "$lost" ]; then echo "no longer exported:" $lost; fi
if [ -n "$new" ]; then echo "exported, but not in $recorded (scripts/check_abi.sh LIBRARY --update):" $new; fi
echo "$(wc -l <"$recorded") recorded symbols"
[ -z "$lost$new" ]
