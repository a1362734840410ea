#include "client/simulator/load_verify_rows.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/simulator/load_tally.h"

static const struct load_row_tally nobody; /* of a row to which nobody pushed */

/* A row with what it must hold and what it has: NULL weights for one that is not there. */
static void judge(const struct load_plan *plan, uint64_t id, const struct load_row_tally *tally, const float *weights,
                  uint32_t applied, struct load_verdict *verdict) {
    struct load_fault fault = {.block = id, .updates = tally->calls, .applied = applied};
    for (uint32_t c = 0; c < plan->dim; c++) {
        uint64_t sum = load_row_sum(tally->draws, load_row_class(id, c));
        float expected = -(float)sum, found = weights == NULL ? 0.0f : weights[c];
        if (found != expected) { /* NaN differs too */
            fault.element = fault.wrong == 0 ? c : fault.element;
            fault.expected = fault.wrong == 0 ? 0.0 - (double)sum : fault.expected;
            fault.found = fault.wrong == 0 ? (double)found : fault.found;
            fault.wrong++;
        }
    }
    if (fault.wrong == 0 && applied == tally->calls && (weights != NULL) == (tally->calls > 0)) {
        return;
    }
    if (verdict->wrong < LOAD_FAULTS_SHOWN) {
        verdict->faults[verdict->wrong] = fault;
    }
    verdict->wrong++;
}

/* Of some of its pushes nobody knows, or they add up to more than float32 holds exactly. */
static bool undecided(const struct load_row_tally *tally) {
    bool exact = true;
    for (unsigned class = 0; class < LOAD_ROW_CLASSES; class ++) {
        exact = exact && load_row_sum(tally->draws, class) <= LOAD_SUM_HIGH;
    }
    return tally->undecided || !exact;
}

static void take_row(const struct load_plan *plan, struct load_tally *tally, uint64_t id, const float *weights,
                     uint32_t applied, struct load_verdict *verdict) {
    uint64_t rank = load_row_rank(id);
    struct load_row_tally *row = rank < plan->rows ? &tally->rows[rank] : NULL;
    verdict->blocks++;
    if (row != NULL) {
        row->met = true;
    }
    if (row != NULL && undecided(row)) {
        verdict->undecided++;
    } else {
        judge(plan, id, row == NULL ? &nobody : row, weights, applied, verdict);
    }
}

/* Rows that must be there and were not met. */
static void take_missing(const struct load_plan *plan, const struct load_tally *tally, struct load_verdict *verdict) {
    for (uint64_t rank = 0; rank < plan->rows; rank++) {
        const struct load_row_tally *row = &tally->rows[rank];
        if (row->met || row->calls == 0) {
            continue;
        }
        verdict->blocks++;
        if (undecided(row)) {
            verdict->undecided++;
        } else {
            judge(plan, load_row_id(rank), row, NULL, 0, verdict);
        }
    }
}

static enum canyon_status take_all(const struct load_plan *plan, struct load_tally *tally, canyon_table *table,
                                   struct load_verdict *verdict) {
    canyon_cursor *cursor = NULL;
    struct canyon_page page = {.count = 0};
    enum canyon_status status = canyon_table_cursor(table, 1, &cursor);
    if (status == CANYON_OK) {
        status = canyon_cursor_next(cursor, 0, &page);
    }
    while (status == CANYON_OK && page.count > 0) {
        for (size_t i = 0; i < page.count; i++) {
            take_row(plan, tally, page.ids[i], page.values + i * page.stride, page.counts[2 * i], verdict);
        }
        status = canyon_cursor_next(cursor, 0, &page);
    }
    canyon_cursor_close(cursor);
    return status;
}

enum canyon_status load_verify_rows(const struct load_plan *plan, const struct load_share *share,
                                    struct load_link *link, struct load_verdict *verdict) {
    struct load_tally tally;
    enum canyon_status status = CANYON_OK;
    if (!load_tally_make(&tally, plan, share)) {
        snprintf(link->text, sizeof link->text, "no memory to verify %" PRIu64 " rows", plan->rows);
        status = CANYON_NO_MEMORY;
    }
    if (status == CANYON_OK && (status = take_all(plan, &tally, link->tables[0], verdict)) != CANYON_OK) {
        snprintf(link->text, sizeof link->text, "cannot read the table to verify it: %.300s", canyon_error_text());
    }
    if (status == CANYON_OK) {
        take_missing(plan, &tally, verdict);
    }
    load_tally_finish(&tally);
    return status;
}
