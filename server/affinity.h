/* Affinity: which processor each server thread is bound to, told by a text such as "auto" or "0,2-5".
 *
 * "" binds nothing; "auto" binds thread i to the i-th processor that this process may use, beginning anew when there
 * are fewer than threads; a list binds thread i to its i-th processor. Bound threads keep their caches, and their
 * memory near; unbound ones make room for others. */
#ifndef CANYON_SERVER_AFFINITY_H
#define CANYON_SERVER_AFFINITY_H

#include <stdint.h>

#include "common/status.h"

#define AFFINITY_TEXT_BYTES 256
#define AFFINITY_NONE       (-1)

/* INVALID_ARGUMENT unless it is "", "auto" or a list of numbers and ranges, with at most LIMIT_THREADS processors, none
 * of them twice. Says nothing of this machine. */
enum canyon_status affinity_check(const char *text, struct error *error);

/* The processor of thread `thread` of `threads`, or AFFINITY_NONE where nothing is bound. CONFIGURATION when a list
 * names fewer processors than threads, or one that this process may not use. `text` is checked. */
enum canyon_status affinity_processor(const char *text, uint32_t thread, uint32_t threads, int *processor,
                                      struct error *error);

/* Binds the calling thread. UNAVAILABLE with the system's reason. */
enum canyon_status affinity_bind(int processor, struct error *error);

#endif
