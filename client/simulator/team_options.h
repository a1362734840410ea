/* What trainings on tables by a team have in common on their command lines: workers and batches under way, or one
 * process alone. */
#ifndef CANYON_SIMULATOR_TEAM_OPTIONS_H
#define CANYON_SIMULATOR_TEAM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/simulator/flow.h"
#include "client/simulator/place.h"
#include "client/simulator/team.h"
#include "client/tools/arguments.h"

/* Begin with TEAM_OPTIONS; what the command line does not say has its default after team_options_check. */
struct team_options {
    uint64_t workers, ahead;
    bool single;
};
#define TEAM_AHEAD_DEFAULT UINT64_MAX
#define TEAM_OPTIONS       ((struct team_options){.workers = 0, .ahead = TEAM_AHEAD_DEFAULT})

/* Its options, for a table of arguments; `o` is a struct team_options. */
#define TEAM_ARGUMENTS(o)                                                                                              \
    {.name = "workers",                                                                                                \
     .letter = 'w',                                                                                                    \
     .value = "W",                                                                                                     \
     .help = "worker processes (default 4)",                                                                           \
     .kind = ARGUMENT_UNSIGNED,                                                                                        \
     .target = &(o).workers,                                                                                           \
     .low = 1,                                                                                                         \
     .high = TEAM_WORKERS_HIGH},                                                                                       \
        {.name = "ahead",                                                                                              \
         .value = "N",                                                                                                 \
         .help = "batches of a worker that are under way beside the one it computes; 0: one after another (default "   \
                 "2)",                                                                                                 \
         .kind = ARGUMENT_UNSIGNED,                                                                                    \
         .target = &(o).ahead,                                                                                         \
         .low = 0,                                                                                                     \
         .high = FLOW_AHEAD_HIGH},                                                                                     \
    {                                                                                                                  \
        .name = "single", .help = "train in one process, without servers", .kind = ARGUMENT_FLAG,                      \
        .target = &(o).single                                                                                          \
    }

/* What a table of options cannot say: of the servers, of an optimizer for rows, and of what goes with --single. Fills
 * in the defaults. What is wrong is printed. */
enum arguments_verdict team_options_check(struct team_options *options, const struct command_line *line,
                                          const struct place_options *where, const char *optimizer);

#endif
