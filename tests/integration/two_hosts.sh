#!/bin/sh
# Trains across hosts: two servers and a worker host, each a network namespace with its own address, joined by a switch.
#
#   sh tests/integration/two_hosts.sh BUILD_DIRECTORY
#
# The commands run inside the hosts are those of README.md's section on several machines. Needs root and iproute2; without
# them it says so and ends with 77, which ctest reports as skipped. Leaves no namespace and no process behind.
set -eu
build=${1:?usage: two_hosts.sh BUILD_DIRECTORY}
bin=$build/bin
tag=canyon$$
switch=$tag-switch
hosts="a b w" # two servers and the workers
directory=
servers_running=

skip() {
    echo "SKIPPED: training across hosts was not tested: $1"
    exit 77
}

# Ends the servers that were started, then takes the namespaces away; safe at any point.
clean() {
    code=$?
    trap - EXIT
    for pid in $servers_running; do
        kill -KILL "$pid" 2>/dev/null || true
    done
    for host in $hosts; do
        ip netns delete "$tag-$host" 2>/dev/null || true
    done
    ip netns delete "$switch" 2>/dev/null || true
    if [ "$code" -ne 0 ] && [ "$code" -ne 77 ] && [ -n "$directory" ]; then
        tail -n 40 "$directory"/* >&2 || true
    fi
    if [ -n "$directory" ]; then
        rm -rf "$directory"
    fi
    exit "$code"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

[ "$(id -u)" -eq 0 ] || skip "it needs root to make network namespaces"
command -v ip >/dev/null 2>&1 || skip "the command ip (Debian package iproute2) is not installed"
directory=$(mktemp -d)
ip netns add "$switch" 2>"$directory/netns" || skip "ip netns add: $(cat "$directory/netns")"
ip -n "$switch" link add name switch type bridge 2>"$directory/netns" || skip "a bridge: $(cat "$directory/netns")"
ip -n "$switch" link set switch up

# plug HOST ADDRESS: a host with one cable to the switch.
plug() {
    ip netns add "$tag-$1"
    ip -n "$switch" link add "port-$1" type veth peer name cable netns "$tag-$1"
    ip -n "$switch" link set "port-$1" master switch up
    ip -n "$tag-$1" link set lo up
    ip -n "$tag-$1" link set cable up
    ip -n "$tag-$1" address add "$2/24" dev cable
}
plug a 10.77.0.1
plug b 10.77.0.2
plug w 10.77.0.3

on() { # on HOST COMMAND...: runs it there
    host=$1
    shift
    ip netns exec "$tag-$host" "$@"
}

servers=10.77.0.1:7077,10.77.0.2:7077
for host in a b; do
    address=10.77.0.1:7077
    [ "$host" = a ] || address=10.77.0.2:7077
    on "$host" "$bin/canyon-server" --listen 0.0.0.0:7077 --advertise "$address" --threads 2 --job two-hosts \
        --servers "$servers" >"$directory/server-$host" 2>&1 &
    servers_running="$servers_running $!"
done

# They answer as soon as they listen; a bounded number of tries.
tries=0
until on w "$bin/canyon" status --servers "$servers" >"$directory/status" 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { echo "the servers do not answer" >&2; exit 1; }
    sleep 0.1
done
cat "$directory/status"

on w "$bin/canyon-sim" train --servers "$servers" --workers 2 --model mlp --optimizer adam --batch 32 --epochs 4 \
    --seed 1 --json >"$directory/train"
cat "$directory/train"
accuracy=$(sed -n 's/.*"test_accuracy": *\([0-9.]*\).*/\1/p' "$directory/train")
echo "accuracy across hosts: ${accuracy:?the training printed no test_accuracy}"
awk "BEGIN { exit !($accuracy >= 0.8) }" || { echo "the model did not learn" >&2; exit 1; }
grep -q '"servers": *2' "$directory/train" || { echo "it did not train on two servers" >&2; exit 1; }

# From host b's own address, with one address only, it is the same job.
on b "$bin/canyon" tensors --servers 10.77.0.1:7077

# What the workers see when a server's host is gone: an error that names it, soon.
ip -n "$switch" link set port-b down
start=$(date +%s)
if on w "$bin/canyon-sim" train --servers "$servers" --workers 1 --model softmax --optimizer sgd --batch full --epochs 1 \
    >"$directory/gone" 2>&1; then
    echo "training succeeded without a server" >&2
    exit 1
fi
grep -q 10.77.0.2:7077 "$directory/gone" || { cat "$directory/gone"; echo "the error does not name 10.77.0.2:7077" >&2; exit 1; }
[ $(($(date +%s) - start)) -le 30 ] || { echo "the error came too late" >&2; exit 1; }
ip -n "$switch" link set port-b up

# Asked to end, the servers end with 0.
for pid in $servers_running; do
    kill -TERM "$pid"
done
for pid in $servers_running; do
    wait "$pid" || { echo "a server ended with $?" >&2; exit 1; }
done
servers_running=
echo "two_hosts: passed"
