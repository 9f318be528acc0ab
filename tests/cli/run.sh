#!/usr/bin/env bash
# Runs one test of the command: NAME.sh in an empty folder; what it prints must be NAME.expected.
#
#   ISOBIT=build/isobit tests/cli/run.sh NAME            runs it
#   ISOBIT=build/isobit tests/cli/run.sh NAME --update   accepts what it prints now
#
# ISB_CLI_MODELS is the folder that models.sh fills for the tests that need a model (CTest does so first).
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
name=$1
ISOBIT=$(realpath "${ISOBIT:-build/isobit}")
[ -x "$ISOBIT" ] || { echo "no command at $ISOBIT: build it first" >&2; exit 1; }
export ISOBIT here
export ISB_CLI_MODELS=${ISB_CLI_MODELS:-${TMPDIR:-/tmp}/isobit-cli-models}
unset ISB_THREADS NO_COLOR
export LC_ALL=C.UTF-8 COLUMNS=80

work=$(mktemp -d "${TMPDIR:-/tmp}/isobit-cli.XXXXXX") || exit 1
trap 'chmod -R u+w "$work" 2>/dev/null; rm -rf "$work"' EXIT
(cd "$work" && bash -uo pipefail -c '. "$here/lib.sh"; . "$here/$0.sh"' "$name") >"$work.out" 2>&1 </dev/null
if [ "${2:-}" = --update ]; then
    cp "$work.out" "$here/$name.expected"
fi
diff -u "$here/$name.expected" "$work.out"
result=$?
rm -f "$work.out"
exit $result
