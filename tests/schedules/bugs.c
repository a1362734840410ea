#include "tests/schedules/bugs.h"

#include <string.h>

#include "common/mutant.h"

const char *mutant_chosen;

const struct bug bugs[] = {
    {"none_yet", "", 1},
};
const size_t bug_count = sizeof bugs / sizeof bugs[0];

bool mutant_is(const char *name) {
    return strcmp(mutant_chosen, name) == 0;
}

bool bug_choose(const char *name) {
    mutant_chosen = NULL;
    for (size_t i = 0; i < bug_count && name != NULL; i++) {
        if (strcmp(bugs[i].name, name) == 0) {
            mutant_chosen = bugs[i].name;
        }
    }
    return name == NULL || mutant_chosen != NULL;
}
