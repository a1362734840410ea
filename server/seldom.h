/* An event that a flood could repeat without end is logged at most once a second, with how often it was not. */
#ifndef CANYON_SERVER_SELDOM_H
#define CANYON_SERVER_SELDOM_H

#include <stdbool.h>
#include <stdint.h>

#include "common/log.h"

/* Of one event; zeroed at first. Not thread-safe. */
struct seldom {
    uint64_t next, suppressed;
};

/* True, and counted as not logged, when there was a line within the last second: then the line need not be made. */
bool seldom_suppresses(struct seldom *seldom);

/* A line "event from=... name=... reason=... suppressed=N" unless there was one within the last second. `name`, which
 * may be NULL for none, and `reason` are texts from outside: they are quoted here. */
void seldom_log(struct seldom *seldom, const struct log *log, enum log_level level, const char *event, const char *from,
                const char *name, const char *reason);

#endif
