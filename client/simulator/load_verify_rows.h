/* load_verify for a table: whether every row has had every push to it exactly once, and no row is there that nobody
 * pushed to. */
#ifndef CANYON_SIMULATOR_LOAD_VERIFY_ROWS_H
#define CANYON_SIMULATOR_LOAD_VERIFY_ROWS_H

#include "client/simulator/load_verify.h"

/* Reads all rows through the link's first client and judges: fills in the verdict's blocks (rows that must be there,
 * and others that are), wrong, undecided and faults, in which `block` is an id and `element` a column. Nobody may push
 * meanwhile. On failure the link's text says what was being done. */
enum canyon_status load_verify_rows(const struct load_plan *plan, const struct load_share *share,
                                    struct load_link *link, struct load_verdict *verdict);

#endif
