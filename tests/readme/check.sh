#!/bin/sh
# The README's program is the one that is compiled, its links lead somewhere, and the commands it shows exist.
#
#   sh check.sh SOURCE-DIRECTORY BUILD-DIRECTORY
set -u
cd "$1" || exit 2
build=$2
failures=0
fail() { echo "README.md: $1"; failures=1; }

for name in first table; do # in this order
    awk -v wanted="$name" '/^```c$/ { inside = 1; block++; next } /^```$/ { inside = 0 }
        inside && block == (wanted == "first" ? 1 : 2)' README.md | diff -u "client/examples/$name.c" - ||
        fail "its C program differs from client/examples/$name.c"
done

for link in $(grep -o '](\([^)#]*\))' README.md | sed 's/^](//;s/)$//' | grep -v '^http' | sort -u); do
    [ -e "$link" ] || fail "the link to $link leads nowhere"
done

# Every option of a command line shown must be one that the program's help knows.
options() { # PROGRAM COMMAND-LINE-PATTERN HELP...
    program=$1
    pattern=$2
    shift 2
    help=$("$build/bin/$program" "$@" 2>&1)
    for option in $(sed -e ':a' -e '/\\$/N; s/\\\n//; ta' README.md | grep -E "$pattern" | grep -o -E -- '--[a-z-]+' | sort -u); do
        echo "$help" | grep -q -e "$option" || fail "$program does not know $option"
    done
}
options canyon-server 'bin/canyon-server' --help
options canyon-sim 'bin/canyon-sim train --[^m]' train --help
options canyon-sim 'bin/canyon-sim train --model lr' train --model lr --help
options canyon-sim 'bin/canyon-sim embed' embed --help
options canyon-sim 'bin/canyon-sim trace' trace --help
options canyon-sim 'bin/canyon-sim surface' surface --help
options canyon-sim 'bin/canyon-sim load' load --help
options canyon-sim 'bin/canyon-sim study' study --help
options canyon 'bin/canyon keygen' keygen --help
options canyon 'bin/canyon [^k]' --help
exit $failures
