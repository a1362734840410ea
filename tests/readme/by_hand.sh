#!/bin/sh
# The commands of the README's "Try it by hand", as they stand there but for the paths, the port and how the server ends.
#
#   sh by_hand.sh SOURCE-DIRECTORY BUILD-DIRECTORY
set -eu
source=$1
build=$2
directory=$(mktemp -d)
mkdir "$directory/build"
ln -s "$build/bin" "$directory/build/bin"
# Whatever happens, the server goes: the block's `kill %1` may not have been reached.
clean() {
    [ ! -f "$directory/server" ] || kill "$(cat "$directory/server")" 2>/dev/null || true
    rm -rf "$directory"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The first block of commands of that section.
sed -n '/^## Try it by hand/,/^## /p' "$source/README.md" | sed -n '/^```$/,/^```$/p' | sed '1d;/^```$/,$d' >"$directory/block"
for word in keygen canyon-server canyon-sim status; do
    grep -q "$word" "$directory/block" || { echo "README.md: the first commands to try lack $word"; exit 1; }
done

# A port that is free now; in the rare case that somebody takes it before the server does, another one.
cd "$directory"
for try in 1 2 3; do
    port=$((20000 + ($$ * 7 + try * 1009) % 12000))
    rm -rf build/keys
    # A script has no jobs, and types faster than anybody: it waits until the server answers.
    sed "s/7077/$port/g; s/^build.bin.canyon status/build\/bin\/canyon --servers 127.0.0.1:$port status/
        s/^kill %1/kill \$(cat server)/
        /canyon-server /a echo \$! >server; until build/bin/canyon --servers 127.0.0.1:$port status >/dev/null 2>&1 || ! kill -0 \$!; do sleep 0.1; done" \
        block >script
    if sh -e script >said 2>told; then
        cat said
        grep -q "127.0.0.1:$port  *chacha20poly1305  *cnp1" said || { echo "it does not say that it is encrypted"; exit 1; }
        echo "by_hand: passed"
        exit 0
    fi
    cat said told
    grep -q 'in use' told || exit 1
done
exit 1
