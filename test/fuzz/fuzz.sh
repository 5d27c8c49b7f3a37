#!/bin/bash
# Fuzzes one target and keeps what it found, minimised. One process, at the lowest priority.
# usage: test/fuzz/fuzz.sh BUILD TARGET SECONDS [LIBFUZZER OPTION...]     (BUILD: see meson.build)
set -eu
build=$1 target=$2 seconds=$3
shift 3
corpus=$(cd "$(dirname "$0")" && pwd)/corpus/$target
program=$build/test/fuzz/fuzz_$target
found=${PROA_FUZZ_FOUND:-$build/fuzz-found}/$target # grows from run to run; not committed
mkdir -p "$corpus" "$found/new"

status=0
nice -n 19 "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1500 \
  -print_final_stats=1 -artifact_prefix="$found/" "$@" "$found/new" "$corpus" 2>"$found/log" || status=$?
grep -E 'oracle|ERROR|SUMMARY|stat::number_of_executed|DONE' "$found/log" || true
[ $status = 0 ] || { echo "found something: $found, $found/log"; exit 1; }

# The corpus becomes a smallest set of inputs with all the coverage; those with a name of their own
# are regressions and stay. Large inputs are not committed.
find "$found/new" -type f -size +4k -delete
rm -rf "$found/smallest" && mkdir "$found/smallest"
nice -n 19 "$program" -set_cover_merge=1 "$found/smallest" "$corpus" "$found/new" 2>>"$found/log"
find "$corpus" -regextype posix-egrep -regex '.*/[0-9a-f]{40}' -delete
cp "$found"/smallest/* "$corpus"
echo "$(find "$corpus" -type f | wc -l) inputs, $(du -bsh "$corpus")"
