#include "common/random.h"

#include <sodium.h>

enum canyon_status random_start(struct error *error) {
    /* 1 says that it was done before. */
    if (sodium_init() < 0) {
        return error_set(error, CANYON_INTERNAL, "libsodium cannot be initialised: is there no source of randomness?");
    }
    return CANYON_OK;
}

void random_fill(void *bytes, size_t count) {
    randombytes_buf(bytes, count);
}
