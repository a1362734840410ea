/* One worker process of a team: its tables, the meeting with the others, its training. */
#ifndef CANYON_SIMULATOR_TEAM_WORKER_H
#define CANYON_SIMULATOR_TEAM_WORKER_H

#include "client/simulator/team.h"

struct team_context {
    const struct team_plan *plan;
    const char *prefix;         /* of tables and barriers */
    struct team_tally *tallies; /* of each worker */
};

/* The tables of a plan in this process, or on servers. */
struct team_tables {
    canyon_client *client; /* NULL in one process */
    struct rows *rows[FLOW_TABLES];
};

/* Opens all of them; `name` is the client's. team_tables_close in any case. */
enum canyon_status team_tables_open(struct team_tables *tables, const struct team_context *context, const char *name,
                                    char *text, size_t bytes);
void team_tables_close(struct team_tables *tables);

/* Drops all of them from the servers; the first failure is the result, the others are tried all the same. */
enum canyon_status team_tables_drop(struct team_tables *tables, const struct team_context *context, char *text,
                                    size_t bytes);

/* A crew_task; `context` is a struct team_context, `index` the worker's number. Says NEWS_BEGUN, NEWS_DONE and, where
 * it is the only one and has the tables to itself, NEWS_RESULT when the plan's finish was through; or NEWS_FAILED. */
int team_worker_task(void *context, uint32_t index, int news, int orders);

#endif
