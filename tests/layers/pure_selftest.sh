#!/bin/sh
# Shows that pure_symbols.sh can fail: of an object that needs both what is allowed and what is not, exactly the latter
# must be found.
#
#     pure_selftest.sh CC COMMON ARCHIVE...
set -u
here=$(cd "$(dirname "$0")" && pwd)
cc=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
allowed='sqrt fabsf memcmp snprintf hash_64 detmath_log optimizer_power error_set'
impure='expf exp log sin cosf pow cbrt fma clock_gettime time read socket open pthread_mutex_lock rand getrandom getenv
    printf uv_run randombytes_buf clock_now random_bytes log_write frame_encode'

# The address of a function is as good as a call, and needs no declaration but a false one.
for name in $allowed $impure; do
    echo "extern char $name[];"
done >"$work/probe.c"
{
    echo "extern const char *const probe[];"
    echo "const char *const probe[] = {"
    for name in $allowed $impure; do
        echo "    $name,"
    done
    echo "};"
} >>"$work/probe.c"
if ! "$cc" -w -fno-builtin -c "$work/probe.c" -o "$work/probe.o"; then
    echo "the probe does not compile"
    exit 1
fi

if sh "$here/pure_symbols.sh" "$@" "$work/probe.o" >"$work/output"; then
    echo "the probe passes"
    exit 1
fi
sed -n 's/^not pure: \([^ ]*\) .*/\1/p' "$work/output" | sort >"$work/found"
for name in $impure; do
    echo "$name"
done | sort >"$work/expected"
diff "$work/expected" "$work/found"
