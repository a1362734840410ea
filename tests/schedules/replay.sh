#!/bin/sh
# replay.sh SCHEDULES: the same seed gives the same schedule, event by event, also when it fails; the failure is printed with
# its seed; wrong options are refused.
set -eu
schedules=$1
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
fail() {
    echo "$1"
    exit 1
}
# Times of the machine are no part of it.
trace() { "$schedules" "$@" | sed 's/ in [0-9.]* s:/:/'; }

for seed in 1 7 23 4711; do
    trace --seed "$seed" >"$directory/one"
    trace --seed "$seed" >"$directory/two"
    cmp "$directory/one" "$directory/two" || fail "seed $seed does not replay"
    [ "$(wc -l <"$directory/one")" -gt 20 ] || fail "seed $seed has hardly a trace"
done
trace --seed 1 >"$directory/one"
trace --seed 7 >"$directory/two"
cmp -s "$directory/one" "$directory/two" && fail "seeds 1 and 7 are the same schedule"

# What --bug prints leads to the same failure, and under the same seed nothing is found without the bug.
"$schedules" --bug orphan_dropped --count 1000 >"$directory/found" || fail "orphan_dropped was not found"
seed=$(sed -n 's/.*found by seed \([0-9]*\):.*/\1/p' "$directory/found")
"$schedules" --bug orphan_dropped --from "$seed" --count 1 >"$directory/again" || fail "seed $seed does not find it again"
cmp "$directory/found" "$directory/again" || fail "seed $seed finds something else"
"$schedules" --from "$seed" --count 1 >"$directory/clean" || fail "seed $seed fails without a bug"

for words in "--seed" "--count x" "--unknown" "--bug"; do
    # shellcheck disable=SC2086
    status=0 && "$schedules" $words >"$directory/out" 2>"$directory/error" || status=$?
    [ "$status" -eq 2 ] || fail "'$words' ended with $status instead of 2"
    grep -q -e '--help' "$directory/error" || fail "'$words' does not say what to do"
done
"$schedules" --bug none --count 1 2>"$directory/error" && fail "a bug that is none was taken"
grep -q -e '--list-bugs' "$directory/error" || fail "a bug that is none is refused without a hint"
