#include "client/simulator/load_tally.h"

#include <stdlib.h>
#include <string.h>

/* Failures of all processes, in order of worker and number. */
struct failures {
    struct load_failure *items;
    size_t count;
};

static int by_call(const void *one, const void *other) {
    const struct load_failure *a = one, *b = other;
    if (a->worker != b->worker) {
        return a->worker < b->worker ? -1 : 1;
    }
    return a->number < b->number ? -1 : a->number > b->number;
}

static bool failures_make(struct failures *failures, const struct load_share *share) {
    size_t all = 0;
    for (uint32_t p = 0; p < share->processes; p++) {
        all += share->process[p].failure_count;
    }
    *failures = (struct failures){.items = calloc(all + 1, sizeof *failures->items)};
    for (uint32_t p = 0; failures->items != NULL && p < share->processes; p++) {
        const struct load_process *process = &share->process[p];
        memcpy(failures->items + failures->count, process->failures, process->failure_count * sizeof *failures->items);
        failures->count += process->failure_count;
    }
    if (failures->items != NULL) {
        qsort(failures->items, failures->count, sizeof *failures->items, by_call);
    }
    return failures->items != NULL;
}

/* Those of one call: the first, and how many. */
static const struct load_failure *failures_of(const struct failures *failures, uint32_t worker, uint64_t number,
                                              size_t *count) {
    const struct load_failure wanted = {.worker = worker, .number = number};
    size_t low = 0, high = failures->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (by_call(&failures->items[middle], &wanted) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (*count = 0; low + *count < failures->count && by_call(&failures->items[low + *count], &wanted) == 0;
         ++*count) {
    }
    return failures->items + low;
}

/* Whether the call was refused for this row by itself. */
static bool row_refused(const struct load_failure *failures, size_t count, uint64_t id) {
    for (size_t i = 0; i < count; i++) {
        if (failures[i].blocks == 1 && failures[i].first == id) {
            return true;
        }
    }
    return false;
}

static void tally_call(struct load_tally *tally, const struct load_plan *plan, unsigned base, const uint64_t *ids,
                       const struct load_failure *failures, size_t failure_count) {
    bool whole = failure_count > 0 && failures[0].blocks == UINT64_MAX; /* of all its rows */
    if (whole && failures[0].certain) {
        return;
    }
    for (uint64_t i = 0; i < plan->batch; i++) {
        struct load_row_tally *row = &tally->rows[load_row_rank(ids[i])];
        if (!whole && failure_count > 0 && row_refused(failures, failure_count, ids[i])) {
            continue;
        }
        row->draws[base]++;
        row->calls += row->last != (uint32_t)tally->pushes;
        row->last = (uint32_t)tally->pushes;
        row->undecided = row->undecided || whole;
    }
}

bool load_tally_make(struct load_tally *tally, const struct load_plan *plan, const struct load_share *share) {
    struct failures failures = {NULL, 0};
    uint64_t *ids = malloc(plan->batch * sizeof *ids);
    *tally = (struct load_tally){.rows = calloc(plan->rows, sizeof *tally->rows)};
    bool made = ids != NULL && tally->rows != NULL && failures_make(&failures, share);
    for (uint32_t worker = 0; made && worker < plan->pace.workers; worker++) {
        for (uint64_t number = 0; number < share->begun[worker]; number++) {
            size_t count = 0;
            if (!load_kind_pushes(load_pace_kind(&plan->pace, worker, number))) {
                continue;
            }
            const struct load_failure *of_call = failures_of(&failures, worker, number, &count);
            tally->pushes++;
            load_rows_draw(plan, worker, number, ids);
            tally_call(tally, plan, load_rows_base(plan->seed, worker, number), ids, of_call, count);
        }
    }
    free(failures.items);
    free(ids);
    return made;
}

void load_tally_finish(struct load_tally *tally) {
    free(tally->rows);
    memset(tally, 0, sizeof *tally);
}
