#!/bin/sh
# The proxy as a program: its help, its refusals, and one connection that is cut, recorded and replayed.
#
#   sh tests/faults/program.sh PATH_OF_FAULT_PROXY
set -eu
proxy=${1:?usage: program.sh PATH_OF_FAULT_PROXY}
directory=$(mktemp -d)
first= second=
clean() {
    for pid in $first $second; do
        kill -CONT "$pid" 2>/dev/null || true
        kill "$pid" 2>/dev/null || true
    done
    rm -rf "$directory"
}
trap clean EXIT
fail() {
    echo "program: $1" >&2
    exit 1
}
# address FILE: waits for the first line that a proxy prints.
address() {
    tries=0
    until grep -q '^listening on ' "$1"; do
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || fail "no line in $1"
        sleep 0.05
    done
    sed -n 's/^listening on //p' "$1"
}

"$proxy" --help | grep -q '^Usage: fault_proxy' || fail "--help"
"$proxy" --up "nonsense=1" 127.0.0.1:1 2>/dev/null && fail "an unknown fault was taken"
"$proxy" 2>/dev/null && fail "no address was taken"
"$proxy" --replay "$directory/none" 127.0.0.1:1 2>/dev/null && fail "a missing file was replayed"

# Two proxies in a row. The first is stopped: the system takes connections and bytes for it, and nothing comes back.
"$proxy" 127.0.0.1:9 >"$directory/first" </dev/null &
first=$!
to=$(address "$directory/first")
kill -STOP "$first"
mkfifo "$directory/input"
"$proxy" --up cut=4 --record "$directory/record" "$to" >"$directory/second" <"$directory/input" &
second=$!
exec 3>"$directory/input"
to=$(address "$directory/second")

printf 'canyon-transcript-1\nU\004\000\000\000abcd' >"$directory/abcd"
"$proxy" --replay "$directory/abcd" "$to" >"$directory/replayed" || fail "the replay failed"
grep -q '^sent 4 of 4 bytes, received 0 (recorded: 0), the server closed$' "$directory/replayed" ||
    fail "the replay says: $(cat "$directory/replayed")"
printf 'down stall=0\nbogus\n' >&3
tries=0
until grep -q '^connection=0 live=0 .*up_passed=4 ' "$directory/second"; do
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || fail "status says: $(cat "$directory/second")"
    printf 'status\n' >&3
    sleep 0.05
done
grep -q '^end$' "$directory/second" || fail "a status without an end: $(cat "$directory/second")"
printf 'quit\n' >&3
wait "$second" || fail "quit ended with $?"
second=
[ -s "$directory/record.0" ] || fail "nothing was recorded"
kill -CONT "$first"
kill "$first"
wait "$first" || fail "SIGTERM ended with $?"
first=
