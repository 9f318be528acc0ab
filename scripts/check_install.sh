#!/usr/bin/env bash
# An installed tree works for others: a small program and the examples build against it by pkg-config, shared and
# static, and by CMake, and run; the command runs and finds the codebooks that came with it.
#
#   scripts/check_install.sh BUILD_DIR
set -euo pipefail
build=$(cd "$1" && pwd)
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/moved" # installed trees can be moved
prefix=$work/moved

cat >"$work/consumer.c" <<'CODE'
#include <isobit/isobit.h>
#include <stdio.h>
int main(void) {
    isb_context *context = NULL;
    char info[8192];
    if (isb_context_create(NULL, &context) != ISB_OK) return 1;
    if (isb_build_info_json(context, info, sizeof info) != ISB_OK) return 1;
    puts(isb_version());
    isb_context_free(context);
    return 0;
}
CODE
cat >"$work/CMakeLists.txt" <<'CODE'
cmake_minimum_required(VERSION 3.22)
project(consumer LANGUAGES C)
find_package(isobit 0.1 REQUIRED)
foreach(library isobit isobit_static)
  add_executable(consumer_${library} consumer.c)
  target_link_libraries(consumer_${library} PRIVATE isobit::${library})
endforeach()
CODE

pc=$(dirname "$(find "$prefix" -name isobit.pc)")
export PKG_CONFIG_PATH=$pc LD_LIBRARY_PATH=$(dirname "$pc")
version=$(pkg-config --modversion isobit)
flags=$(pkg-config --cflags --libs isobit)
static_flags=$(pkg-config --static --cflags --libs isobit | sed "s|-lisobit|$(dirname "$pc")/libisobit.a|")
${CC:-cc} "$work/consumer.c" $flags -o "$work/by_pkg_config"
${CC:-cc} "$work/consumer.c" $static_flags -o "$work/by_pkg_config_static"
cmake -S "$work" -B "$work/build" -DCMAKE_PREFIX_PATH="$prefix" >"$work/log" || { cat "$work/log"; exit 1; }
cmake --build "$work/build" >"$work/log" || { cat "$work/log"; exit 1; }

for program in by_pkg_config by_pkg_config_static build/consumer_isobit build/consumer_isobit_static; do
    found=$("$work/$program")
    [ "$found" = "$version" ] || { echo "$program says version $found, isobit.pc says $version"; exit 1; }
done
if ldd "$work/by_pkg_config_static" | grep isobit; then echo "the static program needs libisobit.so"; exit 1; fi
"$prefix/bin/isobit" info >/dev/null
# The examples, by both ways.
make -s -C "$root/examples" OUT="$work/examples" || exit 1
cmake -S "$root/examples" -B "$work/examples_cmake" -DCMAKE_PREFIX_PATH="$prefix" >"$work/log" || { cat "$work/log"; exit 1; }
cmake --build "$work/examples_cmake" >"$work/log" || { cat "$work/log"; exit 1; }
cat "$root"/docs/*.md >"$work/text"
for way in examples examples_cmake; do
    cd "$work/$way"
    ./01_encode_decode >/dev/null
    ./02_stream <"$work/text" 2>/dev/null | cmp - "$work/text"
    ./03_batch_threads 50 >/dev/null
    ./04_build_codebook "$work/text" mine.isb-codebook 1000 >/dev/null
    ./01_encode_decode mine.isb-codebook >/dev/null
    ./05_special_tokens >/dev/null
done
cmp "$work/examples/mine.isb-codebook" "$work/examples_cmake/mine.isb-codebook"
for codebook in "$prefix"/share/isobit/codebooks/*.isb-codebook; do
    "$prefix/bin/isobit" codebook show "$codebook" >/dev/null
done
echo "the examples and four programs built and run against the installed tree"
