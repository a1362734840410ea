#!/bin/sh
# Every test that CATALOGUE.md names exists, and its entries are 1 to 65, each once.
#
#   sh check.sh SOURCE-DIRECTORY BUILD-DIRECTORY
set -u
page=$1/tests/CATALOGUE.md
failures=0
fail() {
    echo "CATALOGUE.md: $1"
    failures=1
}
known=$(ctest --test-dir "$2" -N | sed -n 's/^ *Test *#[0-9]*: *//p')
[ -n "$known" ] || fail "ctest lists no tests in $2"

# The names are the words in backquotes with a point between lower-case words, in the tables' lines.
names=$(grep '^| *[0-9]' "$page" | grep -o '`[a-z_]*\.[a-z_.]*`' | tr -d '`' | sort -u)
[ "$(echo "$names" | wc -l)" -ge 20 ] || fail "it names hardly any test"
for name in $names; do
    echo "$known" | grep -qx -e "$name" || fail "there is no test $name"
done

entries=$(sed -n 's/^| *\([0-9]*\) *|.*/\1/p' "$page" | tr '\n' ' ')
[ "$entries" = "$(seq 1 65 | tr '\n' ' ')" ] || fail "its entries are not 1 to 65: $entries"
for row in $(grep -n '^| *[0-9]' "$page" | cut -d: -f1); do
    sed -n "${row}p" "$page" | grep -q -e '`' -e 'not yet' || fail "line $row has neither a test nor \"not yet\""
done
exit $failures
