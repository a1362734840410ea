#!/bin/sh
# absent.sh SCHEDULES FILE...: no name of a seeded bug is in what is built for use; all are in the program that has them.
set -u
schedules=$1
shift
failures=0
names=$("$schedules" --list-bugs | cut -d' ' -f1)
[ "$(echo "$names" | wc -l)" -ge 20 ] || {
    echo "fewer than 20 bugs are listed"
    exit 1
}
for name in $names; do
    grep -q -a -F "$name" "$schedules" || {
        echo "$name is not even in $schedules: this test would find it nowhere"
        failures=1
    }
    for file in "$@"; do
        if grep -q -a -F "$name" "$file"; then
            echo "$file has the seeded bug $name"
            failures=1
        fi
    done
done
exit $failures
