#include "tests/schedules/erasing.h"

enum certainty { NEVER, PERHAPS, SURELY };

/* Whether an operation came to pass, by what is known now. */
static enum certainty came(const struct oracle *oracle, const struct cell *cell, unsigned n, struct age age) {
    unsigned least, most;
    if (cell->entries[n].outcome == OUTCOME_PENDING) {
        return PERHAPS;
    }
    oracle_expect(oracle, cell, n, age, &least, &most);
    return least == 1 ? SURELY : most == 1 ? PERHAPS : NEVER;
}

/* Whether operation m came behind operation n, which is another. */
static enum certainty behind(const struct cell *cell, unsigned m, unsigned n) {
    const struct entry *one = &cell->entries[n], *other = &cell->entries[m];
    if (one->life == other->life) {
        return m > n ? SURELY : NEVER;
    }
    if (one->outcome == OUTCOME_OK && one->answered_at < other->submitted_at) {
        return SURELY;
    }
    return other->outcome == OUTCOME_OK && other->answered_at < one->submitted_at ? NEVER : PERHAPS;
}

/* Whether a push was erased. */
static enum certainty erased(const struct oracle *oracle, const struct cell *cell, unsigned n, struct age age) {
    enum certainty is = NEVER;
    for (unsigned m = 0; m < cell->count; m++) {
        if (m != n && cell->entries[m].erases) {
            const enum certainty later = behind(cell, m, n), done = came(oracle, cell, m, age);
            const enum certainty both = later < done ? later : done;
            is = both > is ? both : is;
        }
    }
    return is;
}

static bool readable(struct oracle *oracle, const struct cell *cell, const float *weights) {
    uint64_t sum = 0;
    if (!oracle_readable(oracle, cell, weights, &sum)) {
        return false;
    }
    if (weights[0] != (float)sum) {
        oracle_fail(oracle, cell, "%llu pushes by their digits, %g by their count: torn", (unsigned long long)sum,
                    (double)weights[0]);
    }
    return weights[0] == (float)sum;
}

/* A digit against what it must be. */
static void check(struct oracle *oracle, const struct cell *cell, unsigned n, unsigned digit, enum certainty there,
                  enum certainty gone) {
    const char *outcome = oracle_outcome_name(cell->entries[n].outcome);
    if (cell->entries[n].erases ? digit > 0 : digit > 1) {
        oracle_fail(oracle, cell, "operation %u, %s, is shown %u times", n, outcome, digit);
    } else if (digit == 1 && (there == NEVER || gone == SURELY)) {
        oracle_fail(oracle, cell, "push %u, %s, is there, %s", n, outcome,
                    there == NEVER ? "which it cannot be" : "though its row was erased behind it");
    } else if (digit == 0 && !cell->entries[n].erases && there == SURELY && gone == NEVER) {
        oracle_fail(oracle, cell, "push %u, %s, is not there, and no erase came behind it", n, outcome);
    }
}

void erasing_seen(struct oracle *oracle, const struct cell *cell, const float *weights, unsigned era, uint64_t since,
                  unsigned own) {
    if (!readable(oracle, cell, weights)) {
        return;
    }
    for (unsigned n = 0; n < cell->count; n++) {
        const struct entry *entry = &cell->entries[n];
        const bool before = entry->outcome == OUTCOME_OK && entry->answered == era && entry->answered_at <= since;
        enum certainty gone = NEVER;
        /* What is under way may have come between. */
        for (unsigned m = 0; m < cell->count; m++) {
            const bool perhaps = cell->entries[m].erases && cell->entries[m].outcome != OUTCOME_REFUSED && m != n &&
                                 behind(cell, m, n) != NEVER;
            gone = perhaps ? PERHAPS : gone;
        }
        check(oracle, cell, n, oracle_digit(oracle, weights, n),
              entry->outcome == OUTCOME_REFUSED ? NEVER
              : before || n == own              ? SURELY
                                                : PERHAPS,
              gone);
    }
}

void erasing_judge(struct oracle *oracle, const struct cell *cell, const float *weights, struct age age) {
    if (!readable(oracle, cell, weights)) {
        return;
    }
    for (unsigned n = 0; n < cell->count; n++) {
        const unsigned digit = oracle_digit(oracle, weights, n);
        check(oracle, cell, n, digit, came(oracle, cell, n, age), erased(oracle, cell, n, age));
    }
}
