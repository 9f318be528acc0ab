#!/usr/bin/env bash
# Includes follow the arrows between the folders, and file names are unique below src/.
#
#   base <- kernels <- nn      base <- code <- codebook      {nn, codebook} <- data <- train <- measure
#   {base, kernels, nn, code} <- m1 <- data    {nn, code, data} <- generate    base <- comm <- train    {comm, nn} <- cuda, which has a trainer of train/trainer.h
#
# tools/ and examples/ see public headers only; tests/ and bench/ see everything.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A may
may[base]="base"
may[kernels]="base kernels"
may[nn]="base kernels nn"
may[code]="base code"
may[codebook]="base code codebook"
may[m1]="base kernels nn code m1"
may[data]="base kernels nn code codebook m1 data"
may[comm]="base comm"
may[train]="base comm kernels nn code codebook m1 data train"
may[cuda]="base comm kernels nn code m1 train cuda"
may[measure]="base kernels nn code codebook m1 data train measure"
may[generate]="base kernels nn code codebook m1 data generate"

failed=0
n=0
complain() { echo "$*"; failed=1; }

# Quoted includes of a file, one a line.
quoted() { sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]+"([^"]+)".*/\1/p' "$1"; }

for folder in src/*/; do
    from=$(basename "$folder")
    [ -n "${may[$from]:-}" ] || { complain "src/$from is not in the list of $0"; continue; }
    while read -r file; do
        while read -r include; do
            n=$((n + 1))
            case "$include" in
            */*) to=${include%%/*} ;;
            *) [ -e "$(dirname "$file")/$include" ] && to=$from || to=nowhere ;;
            esac
            [ -e "src/$include" ] || [ -e "$(dirname "$file")/$include" ] ||
                complain "$file includes \"$include\", which does not exist below src/"
            case " ${may[$from]} " in
            *" $to "*) ;;
            *) complain "$file includes \"$include\", but $from may see only: ${may[$from]}" ;;
            esac
        done < <(quoted "$file")
    done < <(find "$folder" -name '*.[ch]' -o -name '*.cu' | sort)
done

for file in include/isobit/*.h; do
    [ -z "$(quoted "$file")" ] || complain "$file has a quoted include; public headers use <isobit/...>"
done
for file in tools/*.[ch] examples/*.[ch]; do
    [ -e "$file" ] || continue
    while read -r include; do
        n=$((n + 1))
        [ -e "$(dirname "$file")/$include" ] || complain "$file includes \"$include\", which is not beside it"
    done < <(quoted "$file")
done

duplicates=$(find src -name '*.[ch]' | grep -v '/ref/\|/x86/' | sed 's|.*/||' | sort | uniq -d)
for name in $duplicates; do complain "two files are named $name:" $(find src -name "$name"); done
[ $n -gt 0 ] || complain "no includes found"
echo "$n includes"
exit $failed
