#!/bin/sh
# Trains across hosts: two servers and a worker host, each a network namespace with its own address, joined by a switch.
#
#   sh tests/integration/two_hosts.sh BUILD_DIRECTORY
#
# The commands run on the hosts are those of README.md's section on two machines. Needs root and iproute2; without them it
# says so and ends with 77, which ctest reports as skipped. Leaves no namespace and no process behind.
set -eu
build=${1:?usage: two_hosts.sh BUILD_DIRECTORY}
tag=canyon$$
hosts="a b w" # two servers and the workers
directory=

skip() {
    echo "SKIPPED: training across hosts was not tested: $1"
    exit 77
}

# Ends whatever runs on the hosts, then takes them away; safe at any point.
clean() {
    code=$?
    trap - EXIT
    for host in $hosts switch; do
        for pid in $(ip netns pids "$tag-$host" 2>/dev/null); do
            kill -KILL "$pid" 2>/dev/null || true
        done
        ip netns delete "$tag-$host" 2>/dev/null || true
    done
    if [ "$code" -ne 0 ] && [ "$code" -ne 77 ] && [ -n "$directory" ]; then
        find "$directory" -maxdepth 1 -type f -exec tail -n 40 {} + >&2 || true
    fi
    if [ -n "$directory" ]; then
        rm -rf "$directory"
    fi
    exit "$code"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
    echo "two_hosts: $1" >&2
    exit 1
}

[ "$(id -u)" -eq 0 ] || skip "it needs root to make network namespaces"
command -v ip >/dev/null 2>&1 || skip "the command ip (Debian package iproute2) is not installed"
directory=$(mktemp -d)
ip netns add "$tag-switch" 2>"$directory/netns" || skip "ip netns add: $(cat "$directory/netns")"
ip -n "$tag-switch" link add name switch type bridge 2>"$directory/netns" || skip "a bridge: $(cat "$directory/netns")"
ip -n "$tag-switch" link set switch up

# plug HOST ADDRESS: a host with one cable to the switch.
plug() {
    ip netns add "$tag-$1"
    ip -n "$tag-switch" link add "port-$1" type veth peer name cable netns "$tag-$1"
    ip -n "$tag-switch" link set "port-$1" master switch up
    ip -n "$tag-$1" link set lo up
    ip -n "$tag-$1" link set cable up
    ip -n "$tag-$1" address add "$2/24" dev cable
}
plug a 10.0.0.1
plug b 10.0.0.2
plug w 10.0.0.3
# Each host has a home directory of its own, as each machine has.
for host in $hosts; do
    mkdir -m 700 "$directory/home-$host"
done
on_a="ip netns exec $tag-a env CANYON_HOME=$directory/home-a"
on_b="ip netns exec $tag-b env CANYON_HOME=$directory/home-b"
on_w="ip netns exec $tag-w env CANYON_HOME=$directory/home-w"

# Every host makes its key; only the lines with public keys travel.
$on_a "$build/bin/canyon" keygen --server --name 10.0.0.1:7077 >"$directory/keygen-a"
$on_b "$build/bin/canyon" keygen --server --name 10.0.0.2:7077 >"$directory/keygen-b"
$on_w "$build/bin/canyon" keygen --role worker --name trainer >"$directory/keygen-w"
{ echo "format canyon-known-servers-1"; grep -h '^server ' "$directory/keygen-a" "$directory/keygen-b"; } \
    >"$directory/home-w/known_servers"
for host in a b; do
    { echo "format canyon-allow-1"; grep '^worker ' "$directory/keygen-w"; } >"$directory/home-$host/allow"
done

list=10.0.0.1:7077,10.0.0.2:7077
$on_a "$build/bin/canyon-server" --listen 0.0.0.0:7077 --advertise 10.0.0.1:7077 \
    --servers "$list" --threads 2 --job digits >"$directory/server-a" 2>&1 &
server_a=$!
$on_b "$build/bin/canyon-server" --listen 0.0.0.0:7077 --advertise 10.0.0.2:7077 \
    --servers "$list" --threads 2 --job digits >"$directory/server-b" 2>&1 &
server_b=$!

# They answer as soon as they listen; a bounded number of tries.
tries=0
until $on_w "$build/bin/canyon" --servers 10.0.0.1:7077 status >"$directory/status" 2>&1 &&
    ! grep -q down "$directory/status"; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || fail "the servers do not answer"
    sleep 0.1
done
cat "$directory/status"
grep -q '^10.0.0.2:7077  *up' "$directory/status" || fail "the second server was not found through the first"

grep -q '^10.0.0.2:7077  *chacha20poly1305  *cnp1' "$directory/status" || fail "status does not say that it is encrypted"

# Neither end does without keys beyond its own host, and a client does not fall back.
code=0
$on_w "$build/bin/canyon" --servers 10.0.0.1:7077 --insecure-plaintext status >"$directory/plain" 2>&1 || code=$?
[ "$code" -eq 2 ] && grep -q 'another machine' "$directory/plain" || fail "plaintext to another host: exit code $code"
code=0
$on_a "$build/bin/canyon-server" --listen 0.0.0.0:7078 --advertise 10.0.0.1:7078 --insecure-plaintext \
    >"$directory/plain-server" 2>&1 || code=$?
[ "$code" -eq 2 ] && grep -q 'insecure-plaintext-anywhere' "$directory/plain-server" ||
    fail "a plaintext server that other hosts can reach: exit code $code"
code=0
$on_a "$build/bin/canyon" --servers 10.0.0.1:7077 status >"$directory/nokey" 2>&1 || code=$?
[ "$code" -eq 4 ] && grep -q 'canyon keygen' "$directory/nokey" || fail "a host without a key: exit code $code"

# train LOG OPTION...: on the workers' host, which is told one server of the two.
train() {
    log=$1
    shift
    $on_w "$build/bin/canyon-sim" train --servers 10.0.0.1:7077 --seed 1 "$@" >"$log" 2>"$log.errors"
}
train "$directory/train" --workers 2 --model mlp --optimizer adam --batch 32 --epochs 4 --json || fail "training failed"
cat "$directory/train"
accuracy=$(sed -n 's/.*"test_accuracy": *\([0-9.]*\).*/\1/p' "$directory/train")
awk "BEGIN { exit !(${accuracy:-0} >= 0.8) }" || fail "the model did not learn: test accuracy '$accuracy'"
grep -q '"servers": *2' "$directory/train" || fail "it did not train on two servers"
grep -q 'role admin' "$directory/train.errors" || fail "it does not say what a worker's key leaves on the servers"

# With a server's host cut off, the workers get an error that names it, soon.
ip -n "$tag-switch" link set port-b down
begun=$(date +%s)
if train "$directory/gone" --workers 1 --model softmax --optimizer sgd --batch full --epochs 1; then
    fail "training succeeded without the second server"
fi
grep -q 10.0.0.2:7077 "$directory/gone.errors" || fail "the error does not name 10.0.0.2:7077"
[ $(($(date +%s) - begun)) -le 30 ] || fail "the error came after more than 30 s"
ip -n "$tag-switch" link set port-b up

kill -TERM "$server_a" "$server_b"
wait "$server_a" || fail "the first server ended with $?"
wait "$server_b" || fail "the second server ended with $?"
echo "two_hosts: passed"
