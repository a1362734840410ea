#!/bin/sh
# Checks that check.sh can fail: sources that include what they must not, and a program that has what it must not.
#
#   sh tests/bench/limits/selftest.sh PROGRAM-WITH-CANYON
set -u
here=$(dirname "$0")
scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT
cp "$here"/*.[ch] "$scratch" || exit 2
sh "$here/check.sh" "$scratch" >/dev/null || { echo "a copy of the folder is refused"; exit 1; }
for line in '#include "canyon.h"' '#include "common/channel.h"' '# include <canyon.h>' '#include "../measure.h"'; do
    printf '%s\n' "$line" >"$scratch/wrong.c"
    if sh "$here/check.sh" "$scratch" >/dev/null; then
        echo "not noticed: $line"
        exit 1
    fi
done
rm "$scratch/wrong.c"
if sh "$here/check.sh" "$scratch" "$1" >/dev/null; then
    echo "not noticed: what $1 links"
    exit 1
fi
