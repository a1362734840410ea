#!/bin/sh
# Builds Canyon and runs its tests; installs what that needs first.
#
#   sh tests/run.sh            the tests labelled "quick", built with AddressSanitizer and UndefinedBehaviorSanitizer
#   sh tests/run.sh --full     all tests; those with threads once more under ThreadSanitizer, a build with clang, and ten
#                              seconds of each fuzz target
#   sh tests/run.sh --plain    as without an option, but without sanitizers
#
# Further words go to ctest: sh tests/run.sh -R shard. CANYON_BUILD=DIR builds somewhere else than in ./build.
set -eu
cd "$(dirname "$0")/.."
build=${CANYON_BUILD:-build}
mode=quick
case ${1:-} in
--full) mode=full; shift ;;
--plain) mode=plain; shift ;;
--help | -h) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac

sh deploy/packages.sh test
jobs=$(nproc)

# make NAME SANITIZER COMPILER
make_build() {
    echo "Building $build/$1 ($3${2:+, -fsanitize=$2})" >&2
    cmake -S . -B "$build/$1" -G Ninja -DCMAKE_C_COMPILER="$3" -DCANYON_SANITIZER="$2" -DCANYON_WERROR=ON >"$build/$1.log" 2>&1 &&
        cmake --build "$build/$1" >>"$build/$1.log" 2>&1 || {
        tail -n 60 "$build/$1.log" >&2
        echo "run.sh: the build failed; the whole log is $build/$1.log" >&2
        exit 1
    }
}

run_tests() {
    directory=$1
    shift
    outcome=0
    ctest --test-dir "$directory" --output-on-failure --no-tests=error -j "$jobs" "$@" || outcome=$?
    # A test that could not run here says why; ctest shows the output of failures only.
    if grep -h '^SKIPPED: ' "$directory/Testing/Temporary/LastTest.log" >"$build/skipped"; then
        echo "Not tested on this machine:"
        sort -u "$build/skipped"
    fi
    return $outcome
}

mkdir -p "$build"
case $mode in
plain)
    make_build plain "" gcc
    run_tests "$build/plain" -L quick "$@"
    ;;
quick)
    make_build asan address,undefined gcc
    run_tests "$build/asan" -L quick "$@"
    ;;
full)
    make_build asan address,undefined gcc
    run_tests "$build/asan" -L quick "$@"
    make_build plain "" gcc
    run_tests "$build/plain" "$@"
    make_build tsan thread gcc
    run_tests "$build/tsan" -L threads "$@"
    make_build clang "" clang
    run_tests "$build/clang" -L quick "$@"
    CANYON_BUILD=$build sh tests/fuzz/run.sh 10
    ;;
esac
