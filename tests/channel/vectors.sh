#!/bin/sh
# The vector program passes on the published vectors and can fail: on every kind of changed copy, and when nothing ran.
#     vectors.sh PROGRAM FILE
set -u
program=$1
file=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

complain() {
    echo "$1"
    failures=1
}

last_line_is() { # WHAT FILE
    [ "$(tail -n 1 "$2")" = "$1" ] || complain "the last line is not '$1': $(tail -n 1 "$2")"
}

"$program" "$file" >"$work/out" || complain "the published vectors fail: $(cat "$work/out")"
last_line_is "2 passed, 0 failed" "$work/out"

# Each copy has one vector with one hexadecimal digit of one field changed: the other vector still passes.
for field in ciphertext handshake_hash init_prologue resp_prologue init_static resp_static init_ephemeral \
    resp_ephemeral init_remote_static; do
    awk -v field="\"$field\"" '!done && index($0, field) {
        at = match($0, /: "[0-9a-f]/) + 3
        digit = substr($0, at + 2, 1)
        $0 = substr($0, 1, at + 1) (digit == "0" ? "1" : "0") substr($0, at + 3)
        done = 1
    } { print }' "$file" >"$work/changed.json"
    cmp -s "$file" "$work/changed.json" && complain "$field was not changed"
    "$program" "$work/changed.json" >"$work/out" && complain "a changed $field passes"
    last_line_is "1 passed, 1 failed" "$work/out"
done

# As some publish them: another name of the field, no hash, fields and protocols nobody asked for.
sed -e 's/"protocol_name"/"name"/' -e '/"handshake_hash"/d' -e 's/"messages"/"fallback": false, "init_psks": [], "messages"/' \
    "$file" >"$work/other.json"
"$program" "$work/other.json" >"$work/out" || complain "the other form fails: $(cat "$work/out")"
last_line_is "2 passed, 0 failed" "$work/out"

echo '{"vectors": []}' >"$work/empty.json"
echo '{"vectors": [{"protocol_name": "Noise_NN_25519_ChaChaPoly_SHA512", "messages": []}]}' >"$work/none.json"
sed 's/"messages"/"init_psks": ["00"], "messages"/' "$file" >"$work/shared.json"
for none in empty none shared; do
    "$program" "$work/$none.json" >"$work/out" && complain "nothing ran in $none.json, and that passes"
    last_line_is "0 passed, 0 failed" "$work/out"
done
"$program" "$work/absent.json" 2>/dev/null && complain "a file that is not there passes"
exit $failures
