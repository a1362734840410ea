/* A worker's part of canyon-sim embed, and the fetching of what was learnt: the two ends of a team's plan. */
#ifndef CANYON_SIMULATOR_EMBED_WORKER_H
#define CANYON_SIMULATOR_EMBED_WORKER_H

#include "client/simulator/skipgram.h"
#include "client/simulator/team.h"

/* The plan's context. */
struct embed_context {
    const struct skipgram_model *model;
    uint32_t dim, workers;
    size_t ahead;
    float *vectors; /* from team_share: dim floats for each word of the vocabulary */
};

/* Tables of the plan: the words' vectors, and those by which they are told from others. */
enum { EMBED_INPUTS, EMBED_OUTPUTS, EMBED_TABLES };

enum canyon_status embed_train(void *context, uint32_t worker, struct rows *const *tables, struct team_tally *tally,
                               char *text, size_t bytes);
enum canyon_status embed_fetch(void *context, struct rows *const *tables, char *text, size_t bytes);

#endif
