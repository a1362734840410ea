#!/bin/sh
# Installs the build into a temporary prefix and builds a program against it in each of the three ways people do: pkg-config
# with the shared library, pkg-config with the static one, and the CMake package. Also: only canyon_ symbols are visible.
#
#   sh install.sh SOURCE-DIRECTORY BUILD-DIRECTORY C-COMPILER [flags every link needs, such as -fsanitize=...]
set -eu
source=$1
build=$2
compiler=$3
shift 3
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT

cmake --install "$build" --prefix "$prefix" >"$prefix/log" 2>&1 || { cat "$prefix/log"; exit 1; }
for file in bin/canyon-server bin/canyon bin/canyon-sim include/canyon.h include/canyon_status.h share/canyon/canyon.conf \
    share/canyon/allow.example share/canyon/known_servers.example; do
    [ -s "$prefix/$file" ] || { echo "not installed: $file"; exit 1; }
done
pc=$(dirname "$(find "$prefix" -name canyon.pc)")
lib=$(dirname "$pc")
# The prefix of the file is the configured one; consumers of a relocated tree say so.
config() { PKG_CONFIG_PATH="$pc" pkg-config --define-variable=prefix="$prefix" "$@" canyon; }

echo "== shared, through pkg-config"
# shellcheck disable=SC2046
"$compiler" "$@" $(config --cflags) "$source/tests/install/consumer/main.c" $(config --libs) -o "$prefix/shared"
LD_LIBRARY_PATH=$lib "$prefix/shared"

echo "== static, through pkg-config"
# shellcheck disable=SC2046
"$compiler" "$@" $(config --cflags) "$source/tests/install/consumer/main.c" "$lib/libcanyon.a" \
    $(config --static --libs | sed 's/-lcanyon//') -o "$prefix/static"
"$prefix/static"

echo "== the CMake package"
cmake -S "$source/tests/install/consumer" -B "$prefix/consumer" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_COMPILER="$compiler" -DCMAKE_C_FLAGS="$*" >"$prefix/log" 2>&1 &&
    cmake --build "$prefix/consumer" >>"$prefix/log" 2>&1 || { cat "$prefix/log"; exit 1; }
"$prefix/consumer/consumer"

echo "== visible symbols"
for library in "$lib/libcanyon.so" "$lib/libcanyon.a"; do
    dynamic=$([ "${library##*.}" = so ] && echo -D || true)
    # Sanitizers and the compiler's own sections define a few names of theirs.
    foreign=$(nm $dynamic --defined-only --extern-only "$library" 2>/dev/null | awk 'NF == 3 { print $3 }' |
        grep -v -E '^(canyon_|__odr_asan|__asan|__ubsan|__tsan|_init$|_fini$|__bss_start$|_edata$|_end$|DW\.ref)' || true)
    [ -z "$foreign" ] || { echo "$library shows names that are not canyon_:"; echo "$foreign" | head; exit 1; }
done

echo "== the installed programs start"
"$prefix/bin/canyon-server" --version
"$prefix/bin/canyon" --version
"$prefix/bin/canyon-sim" --version
