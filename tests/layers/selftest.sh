#!/bin/sh
# Shows that check.sh can fail: each line below breaks one rule in a copy of the tree's sources, and must be found.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R "$root/common" "$root/server" "$root/client" "$work/"
failures=0
sh "$here/check.sh" "$work" || { echo "the unbroken tree fails"; failures=1; }

breaks() { # FILE INCLUDE
    saved=$(mktemp)
    cp "$work/$1" "$saved"
    echo "#include $2" >>"$work/$1"
    if sh "$here/check.sh" "$work" >/dev/null; then
        echo "not found: $1 including $2"
        failures=1
    fi
    mv "$saved" "$work/$1"
}

breaks common/job.c '"server/shard.h"'
breaks common/job.c '<canyon.h>'
breaks common/job.c '<sodium.h>'
breaks common/channel.h '<sodium.h>'
breaks common/frame.c '<uv.h>'
breaks common/job.c '"canyon.pb-c.h"'
breaks server/handler.c '"client/session.h"'
breaks server/handler.c '<uv.h>'
breaks server/handler.c '<sodium.h>'
breaks server/shard.c '"common/clock.h"'
breaks server/dense.c '<pthread.h>'
breaks server/optimizers/adam.c '"common/hash.h"'
breaks client/session.c '"server/handler.h"'
breaks client/session.c '<uv.h>'
breaks client/session.c '<protobuf-c/protobuf-c.h>'
breaks client/cli/main.c '"common/frame.h"'
breaks client/simulator/main.c '"client/session.h"'
breaks client/simulator/main.c '"common/hash.h"'
breaks client/simulator/main.c '"common/clock.h"'
breaks client/simulator/main.c '"common/histogram_more.h"'
breaks client/simulator/main.c '"common/hidden.h"'
breaks client/cli/main.c '"common/histogram.h"'
exit $failures
