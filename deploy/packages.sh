#!/bin/sh
# Installs the Debian 12 packages that building (and, with "test", testing) Canyon needs. Does nothing, and asks for no
# rights, when they are there already.
#
#   sh deploy/packages.sh [test]
set -eu

packages="gcc libc6-dev cmake ninja-build pkg-config libuv1-dev libprotobuf-c-dev protobuf-c-compiler libsodium-dev
libjansson-dev libinih-dev gnuplot-nox"
if [ "${1:-}" = test ]; then
    packages="$packages g++ clang libclang-rt-14-dev libcmocka-dev iproute2 wordnet-base"
fi

# A compiler or cmake that was installed in another way than by apt serves as well.
provided() {
    case $1 in
    gcc) command -v gcc ;;
    g++) command -v g++ ;;
    clang) command -v clang ;;
    libclang-rt-14-dev) ls "$(clang -print-resource-dir)"/lib/*/libclang_rt.fuzzer*.a ;;
    cmake) command -v cmake ;;
    ninja-build) command -v ninja ;;
    gnuplot-nox) command -v gnuplot ;;
    *) false ;;
    esac >/dev/null 2>&1
}

missing=
for package in $packages; do
    provided "$package" && continue
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    root=
elif command -v sudo >/dev/null 2>&1; then
    root=sudo
else
    echo "packages.sh: these Debian packages are missing:$missing" >&2
    echo "packages.sh: run 'apt-get install$missing' as root, then run this again" >&2
    exit 1
fi

echo "Installing:$missing" >&2
# The lists of a fresh machine may be empty or old; a failing update is not fatal when the packages are known already.
$root env DEBIAN_FRONTEND=noninteractive apt-get -q -y update >&2 || true
# shellcheck disable=SC2086
$root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $missing >&2
