#!/bin/sh
# Checks that the limit programs have nothing of Canyon's in them: they include the system's headers, libsodium's and
# their own, and link nothing of Canyon's. With a directory as first argument looks at the sources there instead; further
# arguments are programs.
#
#   sh tests/bench/limits/check.sh [DIRECTORY [PROGRAM...]]
set -u
directory=${1:-$(dirname "$0")}
[ $# -eq 0 ] || shift
failures=0

complain() {
    printf '%s\n' "$1"
    failures=$((failures + 1))
}

# Quoted includes are of this folder; none of the others names anything of Canyon's.
found=$(grep -n -E '^[[:space:]]*#[[:space:]]*include' "$directory"/*.[ch] |
    grep -v -E 'include "limit\.h"|include <(sys/|netinet/)?[a-z_]+\.h>')
[ -z "$found" ] || complain "not the system's, nor the limits' own: $found"
found=$(grep -n -i -E 'include.*(canyon|common/|server/|client/|proto/)' "$directory"/*.[ch])
[ -z "$found" ] || complain "Canyon's: $found"

for program in "$@"; do
    symbols=$(nm -a "$program") || exit 2
    found=$(printf '%s\n' "$symbols" | grep -i -E ' (canyon_|served_|optimizer_|channel_)')
    [ -z "$found" ] || complain "$program has Canyon's symbols: $found"
    found=$(readelf -d "$program" | grep NEEDED | grep -i canyon)
    [ -z "$found" ] || complain "$program needs Canyon's library: $found"
done
exit $((failures > 0))
