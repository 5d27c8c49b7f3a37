#!/bin/bash
# Runs every test of Proa, with and without sanitizers, on a fresh Debian 12 too.
# The last line is `N passed, N failed`; the exit code says the same. Takes longer than ten minutes on two cores.
set -u
cd "$(dirname "$0")/.." || exit 1
. bench/lib.sh

logs=() # what has run, for the count at the end
finish() {
  trap - EXIT INT TERM
  ((${#logs[@]})) || logs=("nothing=/dev/null")
  python3 test/count.py "${logs[@]}"
  exit $? # else it would be the code from before the trap
}
trap finish EXIT
trap 'logs+=("interrupted=/dev/null"); finish' INT TERM

# The programs of the tests and those they start, without the benches.
test_programs() {
  meson introspect "$1" --targets | python3 -c '
import json, os, sys
for target in json.load(sys.stdin):
    folder = os.path.relpath(os.path.dirname(target["defined_in"]))
    ours = folder.split("/")[0] in ("test", "sidecar") or target["name"] == "echo-sidecar"
    if target["type"] == "executable" and ours and target["build_by_default"]:
        print(os.path.relpath(target["filename"][0], sys.argv[1]))' "$1"
}

# round NAME 'MESON OPTIONS' 'TARGETS' [MESON TEST ARGUMENT...]: builds and tests in build-NAME.
round() {
  local name=$1 options=$2 targets=$3 log=build-$1/meson-logs/testlog.json
  shift 3
  logs+=("$name=$log")
  rm -f "$log"
  if [[ $targets == programs ]]; then
    proa_configure "build-$name" "$options" && targets=$(test_programs "build-$name")
  fi
  # shellcheck disable=SC2086  # targets are words
  if ! proa_build "build-$name" "$options" $targets; then
    proa_say "build-$name does not build"
    return
  fi
  proa_say "testing $name"
  meson test -C "build-$name" --no-rebuild --print-errorlogs "$@" >&2 ||
    logs[-1]="$name!=$log"
}

proa_install "${proa_build_packages[@]}" "${proa_test_packages[@]}"

# clang takes the sanitizer build, so that every line is seen by both compilers.
debug='-Doptimization=1 -Dcpp_args=-g1 -Db_lundef=false'
# Meson 1.0 leaves undefined behaviour a line in a log: a test with any fails.
ubsan="halt_on_error=1:print_stacktrace=1"
round release '--buildtype=release' '' --no-suite long
UBSAN_OPTIONS=$ubsan CXX=clang++ round asan "$debug -Db_sanitize=address,undefined -Dtidy=false" programs \
  --timeout-multiplier 4 --no-suite bench --no-suite long
round tsan "$debug -Db_sanitize=thread -Dbench=false -Dtidy=false" 'test/thread_tests test/spin/spin' \
  --timeout-multiplier 5 --suite threads
