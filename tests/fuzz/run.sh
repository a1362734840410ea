#!/bin/sh
# Searches for inputs that break a promise: builds the fuzz targets with clang, libFuzzer, AddressSanitizer and
# UndefinedBehaviorSanitizer, and runs one after the other.
#
#   sh tests/fuzz/run.sh [SECONDS [TARGET...]]     60 seconds each of all targets without words
#
# New inputs are kept in build/fuzz/found/TARGET and taken up by the next run; one that crashes stands in
# build/fuzz/crashes. CANYON_BUILD=DIR builds somewhere else than in ./build. Exit code 1 after a crash.
set -eu
cd "$(dirname "$0")/../.."
case ${1:-} in
--help | -h) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
seconds=${1:-60}
case $seconds in
'' | *[!0-9]*) echo "run.sh: '$seconds' is not a number of seconds" >&2; exit 2 ;;
esac
[ $# -eq 0 ] || shift
build=${CANYON_BUILD:-build}/fuzz
[ $# -gt 0 ] || set -- $(sed -n 's/^canyon_fuzz(\([a-z_]*\) .*/\1/p' tests/fuzz/tests.cmake)
mkdir -p "$build/crashes" "$build/found" "$build/logs"

echo "Building $build (clang, libFuzzer)" >&2
programs=
for target in "$@"; do
    programs="$programs fuzz_$target"
done
# shellcheck disable=SC2086
cmake -S . -B "$build/build" -G Ninja -DCMAKE_C_COMPILER=clang -DCANYON_WERROR=ON \
    -DCANYON_SANITIZER=fuzzer-no-link,address,undefined >"$build/logs/build" 2>&1 &&
    cmake --build "$build/build" --target $programs >>"$build/logs/build" 2>&1 || {
    tail -n 60 "$build/logs/build" >&2
    echo "run.sh: the build failed; the whole log is $build/logs/build" >&2
    exit 2
}

# number NAME: what libFuzzer's last line of statistics says about NAME.
number() {
    sed -n "s/^stat::$1: *//p" "$log" | tail -n 1
}

export ASAN_OPTIONS=allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
crashes=0
printf '%-12s %12s %10s %10s %10s %8s\n' target executions edges features 'new inputs' crashes
for target in "$@"; do
    log=$build/logs/$target
    found=$build/found/$target
    mkdir -p "$found"
    outcome=0
    # The fuzzer ends by itself, also when an input hangs; the outer limit is for one that does not. A look for leaks at
    # its very end, behind its last word, may take long on a busy machine and is no finding.
    timeout -k 10 $((seconds + 120)) "$build/build/tests/fuzz_$target" -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=1024 -malloc_limit_mb=512 -max_len=16384 -print_final_stats=1 \
        -artifact_prefix="$build/crashes/$target-" "$found" "tests/fuzz/corpus/$target" >"$log" 2>&1 || outcome=$?
    case $outcome in
    124 | 137) ! grep -q '^Done [0-9]* runs' "$log" || outcome=0 ;;
    esac
    [ $outcome -eq 0 ] || crashes=$((crashes + 1))
    edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    features=$(sed -n 's/.* ft: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    printf '%-12s %12s %10s %10s %10s %8s\n' "$target" "$(number number_of_executed_units)" "$edges" "$features" \
        "$(number new_units_added)" "$([ $outcome -eq 0 ] && echo 0 || echo 1)"
    if [ $outcome -ne 0 ]; then
        grep -E 'broken: |ERROR: |SUMMARY: |runtime error|Test unit written' "$log" | sed 's/^/    /'
        echo "    exit code $outcome; the whole log is $log"
    fi
done
[ $crashes -eq 0 ]
