/* The seeded bugs (common/mutant.h), by name. */
#ifndef CANYON_TESTS_SCHEDULES_BUGS_H
#define CANYON_TESTS_SCHEDULES_BUGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bug {
    const char *name;
    const char *meaning;
};

extern const struct bug bugs[];
extern const size_t bug_count;

/* A seed that is known to find it (seeds.h); 0 when there is none. */
uint64_t bug_seed(const char *name);

/* From now on the code has this bug; NULL: none. False for a name that is none. */
bool bug_choose(const char *name);

#endif
