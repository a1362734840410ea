/* The seeded bugs (common/mutant.h), by name. */
#ifndef CANYON_TESTS_SCHEDULES_BUGS_H
#define CANYON_TESTS_SCHEDULES_BUGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bug {
    const char *name;
    const char *meaning;
    uint64_t seed; /* one that finds it */
};

extern const struct bug bugs[];
extern const size_t bug_count;

/* From now on the code has this bug; NULL: none. False for a name that is none. */
bool bug_choose(const char *name);

#endif
