#!/bin/sh
# From a bare Debian 12 to a trained model: installs what building needs, builds, starts two servers, trains a small
# neural network on real handwritten digits with four workers and each optimizer in turn, prints a table and draws a picture.
#
#   sh deploy/quickstart.sh [further options of canyon-sim train]
#
# CANYON_BUILD=DIR builds somewhere else than in ./build.
set -eu
cd "$(dirname "$0")/.."
build=${CANYON_BUILD:-build}

sh deploy/packages.sh
echo "Building into $build/ ..." >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { cmake -S . -B "$build" -G Ninja -DCANYON_TESTS=OFF && cmake --build "$build"; } >"$log" 2>&1; then
    cat "$log" >&2
    echo "quickstart.sh: the build failed; the lines above say why" >&2
    exit 1
fi

picture=$build/quickstart.png
"$build/bin/canyon-sim" train --local 2 --workers 4 --model mlp --optimizer all --batch 32 --epochs 30 --plot "$picture" "$@"
echo
echo "Loss against step, one curve an optimizer: $picture"
