#include "common/secret.h"

#include <assert.h>
#include <sodium.h>
#include <stdatomic.h>

#define ALIGNMENT 64

static atomic_bool unlocked;

void *secret_alloc(size_t bytes) {
    assert(bytes > 0 && bytes <= SECRET_LIMIT_BYTES);
    size_t whole = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    /* The end of sodium_malloc's memory is the end of a page: whole multiples begin aligned. */
    void *secret = sodium_malloc(whole);
    if (secret != NULL) {
        sodium_memzero(secret, whole);
        if (sodium_mlock(secret, whole) != 0) {
            atomic_store(&unlocked, true);
        }
    }
    return secret;
}

void secret_free(void *secret) {
    sodium_free(secret);
}

void secret_wipe(void *bytes, size_t count) {
    sodium_memzero(bytes, count);
}

bool secret_equal(const void *one, const void *two, size_t count) {
    return sodium_memcmp(one, two, count) == 0;
}

bool secret_locked(void) {
    return !atomic_load(&unlocked);
}
