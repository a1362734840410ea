#!/bin/sh
# Checks which way the layers look: proto <- common <- server, proto <- common <- client; libuv, libsodium and protobuf-c
# each behind the modules named here; programs on the public API only. With a directory as argument checks that tree
# instead of this one (the self-test does).
set -u
cd "${1:-$(dirname "$0")/../..}" || exit 2
failures=0

# forbid WHAT PATTERN FILES...: no file may include what PATTERN (an extended regex on the include line) matches, unless
# it is the one that the variable `allowed` names, as it is written.
forbid() {
    what=$1
    pattern=$2
    shift 2
    [ $# -gt 0 ] || return 0
    found=$(grep -n -H -E "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]$pattern" "$@" /dev/null |
        grep -v -F "\"${allowed:-nothing}\"")
    if [ -n "$found" ]; then
        printf 'not allowed: %s\n%s\n' "$what" "$found"
        failures=$((failures + 1))
    fi
}

# sources DIRECTORY [EXCEPT-REGEX]: its .c and .h files but those whose path matches.
sources() {
    find "$1" -name '*.[ch]' 2>/dev/null | grep -v -E "${2:-^$}" | sort
}

# shellcheck disable=SC2046
{
    forbid "common looks at server or client" '(server|client)/|canyon\.h' $(sources common)
    forbid "server looks at client" 'client/|canyon\.h' $(sources server)
    forbid "client looks at server" 'server/' $(sources client)
    forbid "an optimizer looks outside libc and its own folder" '(common|server/[a-z_]+\.h|uv|sodium|protobuf|inih|jansson)' \
        $(sources server/optimizers)
    forbid "a program on the public API looks inside the library" '(common/|server/|client/[a-z_]+\.h)' \
        $(sources client/cli) $(sources client/tools) $(sources client/examples)
    # common/histogram is no part of the library's inside: canyon-sim has its own copy, and nothing else of common.
    allowed=common/histogram.h
    forbid "the simulator looks inside the library" '(common/|server/|client/[a-z_]+\.h)' $(sources client/simulator)
    allowed=
    forbid "uv.h outside the network layers" 'uv\.h' \
        $(sources common) $(sources server '^server/(acceptor(_strangers)?|reactor|spin|connection|main)\.[ch]$') \
        $(sources client '^client/lane[a-z_]*\.[ch]$')
    forbid "sodium.h outside hash, random, secret, key and channel" 'sodium' \
        $(sources common '^common/(hash|random|secret|key|channel[a-z_]*)\.c$') $(sources server) $(sources client)
    forbid "protobuf-c outside messages" '(protobuf-c|canyon\.pb-c)' \
        $(sources common '^common/message[a-z_]*\.[ch]$') $(sources server) $(sources client)
    pure="server/catalogue server/command server/dense server/detmath server/directory server/initializer
        server/initializer_row server/pool server/prepared server/row_array server/row_index server/row_store server/rowkey server/rule
        server/schedule server/shard server/shard_catalogue server/shard_spec server/shard_state server/shard_table
        server/slot server/table server/table_batch server/table_push server/table_read server/workspace"
    forbid "the shard looks at the system" \
        '(uv|pthread|threads|time|sys/|unistd|netinet|poll|fcntl|signal|common/(clock|random|log|frame)|server/(handler|connection|reactor|acceptor|config|workers|parked|pages))' \
        $(for module in $pure; do ls "$module.c" "$module.h" 2>/dev/null; done) $(sources server/optimizers)
}
exit $((failures > 0))
