/* Seeded bugs: places where a test build can be told, by name, to do the wrong thing.
 *
 * A suite that has never seen a bug proves little. MUTANT(name) is a constant false in every build but the simulator's
 * own copy of the sources (tests/schedules), where it is true when that bug was chosen; tests/README.md lists them. The
 * name is no part of any other build. */
#ifndef CANYON_COMMON_MUTANT_H
#define CANYON_COMMON_MUTANT_H

#include <stdbool.h>

#ifdef CANYON_MUTANTS
/* The bug that was chosen, or NULL. */
extern const char *mutant_chosen;
/* Whether it is this one. */
bool mutant_is(const char *name);
#define MUTANT(name) (mutant_chosen != NULL && mutant_is(#name))
#else
#define MUTANT(name) false
#endif

#endif
