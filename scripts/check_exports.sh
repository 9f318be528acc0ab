#!/usr/bin/env bash
# The shared library exports isb_ symbols only, and every function that the public headers declare.
#
#   scripts/check_exports.sh build/libisobit.so
set -euo pipefail
library=$1
root=$(cd "$(dirname "$0")/.." && pwd)

exported=$(nm -D --defined-only "$library" | awk '{print $3}' | sort)
[ -n "$exported" ] || { echo "$library exports nothing"; exit 1; }

failed=0
foreign=$(grep -v '^isb_[a-z0-9]' <<<"$exported" || true)
internal=$(grep '^isb__' <<<"$exported" || true)
if [ -n "$foreign$internal" ]; then
    echo "exported, but not isb_:" $foreign $internal
    failed=1
fi

declared=$(cat "$root"/include/isobit/*.h | tr '\n' ' ' | grep -oE 'ISB_API [^;]*' |
    grep -oE 'isb_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u)
for name in $declared; do
    grep -qx "$name" <<<"$exported" || { echo "declared, but not exported: $name"; failed=1; }
done
for name in $exported; do
    grep -qx "$name" <<<"$declared" || { echo "exported, but not declared in a public header: $name"; failed=1; }
done
echo "$(wc -l <<<"$exported") exported symbols"
exit $failed
