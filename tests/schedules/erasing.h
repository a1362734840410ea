/* Rows that one worker alone pushes to, and erases now and then: what there must be of them. Operations of one life
 * come in their order; what lives that are over left under way may come at any time. */
#ifndef CANYON_TESTS_SCHEDULES_ERASING_H
#define CANYON_TESTS_SCHEDULES_ERASING_H

#include "tests/schedules/oracle.h"

/* As oracle_seen and oracle_judge, of a cell that is ERASED. */
void erasing_seen(struct oracle *oracle, const struct cell *cell, const float *weights, unsigned era, uint64_t since,
                  unsigned own);
void erasing_judge(struct oracle *oracle, const struct cell *cell, const float *weights, struct age age);

#endif
