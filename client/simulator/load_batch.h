/* What load_call.h has of tensors, of a table: a call is one batch of ids. */
#ifndef CANYON_SIMULATOR_LOAD_BATCH_H
#define CANYON_SIMULATOR_LOAD_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "client/simulator/load_call.h"

/* Memory for a place's ids, which load_calls_finish frees. */
bool load_batch_init(struct load_place *place);

/* Makes the batch of the place's call: ids, and gradients when verifying. */
void load_batch_fill(struct load_place *place);

/* Carries it out through one of the link's clients; `future` NULL: waits for it. */
enum canyon_status load_batch_step(struct load_place *place, uint32_t client, canyon_future **future);

/* Of a push some of whose rows were refused: remembers each of them, where they are known; `failure` says of whom. */
void load_batch_remember(const struct load_place *place, struct load_failure *failure);

/* Rows that came with weights that cannot be of one moment. */
uint64_t load_batch_torn(const struct load_place *place);

/* Counts what went over the network. */
void load_batch_count(const struct load_place *place);

#endif
