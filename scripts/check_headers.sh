#!/usr/bin/env bash
# Each public header compiles alone, as C11 and as C++17, without warnings.  CC and CXX choose the compilers.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0
n=0
for header in include/isobit/*.h; do
    name=isobit/$(basename "$header")
    for language in "${CC:-cc} -x c -std=c11 -Wstrict-prototypes" "${CXX:-c++} -x c++ -std=c++17"; do
        n=$((n + 1))
        # Twice: the include guard holds.
        printf '#include <%s>\n#include <%s>\nint isb_header_check;\n' "$name" "$name" |
            $language -Iinclude -Wall -Wextra -Wpedantic -Wundef -Werror -fsyntax-only - ||
            { echo "$name does not compile alone: $language"; failed=1; }
    done
done
[ $n -gt 0 ] || { echo "no headers found"; exit 1; }
echo "$n compilations"
exit $failed
