/* What a team's training was, as embed and train --model lr both print it. */
#ifndef CANYON_SIMULATOR_TEAM_REPORT_H
#define CANYON_SIMULATOR_TEAM_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "client/simulator/team.h"

/* What the command was asked for. */
struct team_told {
    bool single;
    uint64_t workers, epochs;
    const char *optimizer;
    const char *work; /* what is worked on, in the plural: "words" */
};

/* Work a second. */
double team_rate(const struct team_result *team);

/* Two lines: by whom and with what, then how fast and how well. */
void team_print(FILE *out, const struct team_told *told, const struct team_result *team);

#endif
