/* What a call of a load of tables touches and pushes: rows that follow from (seed, worker, number of the call), and,
 * where the outcome is verified, whole numbers that follow from the same, so that anybody can say what the sum of any
 * calls is.
 *
 * A row is known here by its rank, from 0, and to servers by an id that looks like a hash of it; no two ranks have the
 * same. A verified call has a base of 0, 1 or 2. What each of its draws pushes to a row is, in the columns of class j,
 * 1 + (base + j) % 3; a column's class is (its number + first of the row) % 3, where the first is the id % 3. A row
 * that is drawn several times by a call receives the sum. With plain sgd and learning rate 1 on weights that began as
 * 0, a weight is minus the sum over all draws, exactly and in any order, as long as it is below 2^24. */
#ifndef CANYON_SIMULATOR_LOAD_ROWS_H
#define CANYON_SIMULATOR_LOAD_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/simulator/load_plan.h"

#define LOAD_ROW_CLASSES    3
#define LOAD_ROW_VALUE_HIGH 3

/* The id of a rank, and the rank of an id (which need not be one of the plan's). */
uint64_t load_row_id(uint64_t rank);
uint64_t load_row_rank(uint64_t id);

/* The ids that a call names: plan->batch of them, with repetitions. The plan has its draws. */
void load_rows_draw(const struct load_plan *plan, uint32_t worker, uint64_t number, uint64_t *ids);

/* The base of a verified call. */
unsigned load_rows_base(uint64_t seed, uint32_t worker, uint64_t number);

/* The class of a column of a row. */
unsigned load_row_class(uint64_t id, uint32_t column);

/* The gradient of a verified call: batch x dim. */
void load_rows_fill(const struct load_plan *plan, unsigned base, const uint64_t *ids, float *gradient);

/* Minus the weight of a column of this class after so many draws of each base. */
uint64_t load_row_sum(const uint32_t draws[LOAD_ROW_CLASSES], unsigned class);

/* Whether a row's `dim` weights can be of one moment: whole numbers, no positive ones, all columns of a class equal. */
bool load_row_whole(uint32_t dim, const float *weights);

/* How many pushing calls a verified load of this plan may make so that no sum passes what float32 holds exactly. It
 * goes by how often the likeliest row is to be drawn, and half as often again; what comes out is looked at all the
 * same. 0: not even one. */
uint64_t load_rows_pushes_high(const struct load_plan *plan);

#endif
