#include "client/simulator/load_plan.h"

#include "canyon.h"
#include "client/simulator/draws.h"
#include "client/simulator/load_gradient.h"
#include "client/simulator/load_rows.h"

uint32_t load_plan_workers(const struct load_plan *plan, uint32_t process) {
    uint32_t workers = plan->pace.workers;
    return workers / plan->processes + (process < workers % plan->processes);
}

bool load_plan_pushes(const struct load_plan *plan) {
    return plan->pace.mix[LOAD_PUSH_PULL] + plan->pace.mix[LOAD_PUSH] > 0;
}

bool load_plan_pulls(const struct load_plan *plan) {
    return plan->pace.mix[LOAD_PUSH_PULL] + plan->pace.mix[LOAD_PULL] > 0;
}

const char *load_plan_parts(const struct load_plan *plan) {
    return plan->table ? "rows" : "blocks";
}

uint64_t load_plan_call_bytes(const struct load_plan *plan) {
    return plan->tensors * plan->elements * sizeof(float); /* at most 2^10 * 2^40 */
}

uint64_t load_plan_pushes_high(const struct load_plan *plan) {
    return plan->table ? load_rows_pushes_high(plan) : LOAD_PUSHES_HIGH;
}

uint64_t load_plan_memory(const struct load_plan *plan) {
    /* Calls under way must not share a place for weights; those of a verified load have gradients of their own too. */
    uint64_t places = (uint64_t)plan->pace.workers * plan->pace.in_flight;
    uint64_t copies = 0, bytes = load_plan_call_bytes(plan), all = 0;
    copies += load_plan_pulls(plan) ? places : 0;
    copies += load_plan_pushes(plan) ? plan->verify ? places : plan->processes : 0;
    uint64_t items = places * plan->tensors * sizeof(struct canyon_item); /* at most 2^20 * 2^10 of them */
    if (__builtin_mul_overflow(copies, bytes, &all) || __builtin_add_overflow(all, items, &all)) {
        return UINT64_MAX;
    }
    if (!plan->table) {
        return all;
    }
    uint64_t drawing = draws_bytes_made(plan->rows, plan->exponent);
    uint64_t tallies = plan->verify ? plan->rows * LOAD_TALLY_BYTES : 0; /* afterwards, when draws are made */
    tallies += plan->verify ? draws_bytes(plan->rows, plan->exponent) : 0;
    all += places * plan->batch * sizeof(uint64_t); /* at most 2^20 of each */
    all += drawing > tallies ? drawing : tallies;
    return all;
}
