#!/bin/sh
# Checks what the shard and the optimizers link: nothing but memory and string functions of libc, the exactly rounded part
# of libm, and the pure modules of common. A socket, clock, thread, random number, file or a libm function whose bits
# differ between machines shows up as an undefined symbol that is not on this list.
#
#     pure_symbols.sh COMMON ARCHIVE...      COMMON is libcanyon_common.a; the archives are checked together
set -u
common=$1
shift

# Exactly rounded by IEEE-754, so the same everywhere.
exact='sqrt|sqrtf|fabs|fabsf'
libc='memcpy|memmove|memset|memcmp|bcmp|memchr|strlen|strnlen|strcmp|strncmp|snprintf|vsnprintf'
memory='malloc|calloc|realloc|free|aligned_alloc|posix_memalign'
# What the compiler itself puts there: assert, the CPU's instruction sets, stack protection, fortified calls, sanitizers.
compiler='__assert_fail|__cpu_model|__cpu_indicator_init|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|__[a-z]+_chk'
compiler="$compiler"'|__(asan|ubsan|tsan|sanitizer)_.*|___asan_.*|__(start|stop)_asan_.*'
# Modules of common without I/O, clock or randomness.
modules='consistency|hash|job|number|optimizer_spec|shape|status|tensor'

for archive in "$common" "$@"; do
    [ -r "$archive" ] || { echo "$archive cannot be read"; exit 2; }
done
{
    nm -A --defined-only "$common" | grep -E ":($modules)\.c\.o:" | awk '{print "defined", $NF}'
    nm --defined-only "$@" | awk 'NF == 3 {print "defined", $3}'
    nm -A -u "$@" | awk 'NF == 3 {print "needed", $3, $1}'
} | awk -v allowed="^($exact|$libc|$memory|$compiler)\$" '
    $1 == "defined" {defined[$2] = 1; next}
    {needed++}
    $2 ~ allowed || $2 in defined {next}
    {print "not pure: " $2 " is needed by " $3; found = 1}
    END {
        if (needed == 0) {print "no symbols were read"; found = 1}
        exit found
    }'
