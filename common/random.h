/* Unpredictable bytes for ids, from the operating system through libsodium. Never used below the handler. */
#ifndef CANYON_COMMON_RANDOM_H
#define CANYON_COMMON_RANDOM_H

#include <stddef.h>

#include "common/status.h"

/* Once per process before any other call here or in hash.h; safe to repeat and to race. */
enum canyon_status random_start(struct error *error);

/* Thread-safe after random_start. */
void random_fill(void *bytes, size_t count);

#endif
