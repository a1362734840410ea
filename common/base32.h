/* Base 32 as keys are written: RFC 4648's alphabet in lower case, without padding, one text for one value. */
#ifndef CANYON_COMMON_BASE32_H
#define CANYON_COMMON_BASE32_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Characters that `bytes` bytes make, without the NUL. */
#define BASE32_CHARACTERS(bytes) (((bytes)*8 + 4) / 5)

/* Writes BASE32_CHARACTERS(count) characters and a NUL. No branch and no table look-up depends on the bytes, since they
 * may be a secret. */
void base32_encode(const void *bytes, size_t count, char *text);

/* Reads exactly BASE32_CHARACTERS(count) characters into `count` bytes. False for a character that is not of the
 * alphabet (upper case is not) and for bits left over that are not zero; then what is in `bytes` means nothing. The
 * time depends on `count` alone. */
bool base32_decode(const char *text, void *bytes, size_t count);

#endif
