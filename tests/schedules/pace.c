#include "tests/schedules/pace.h"

#include <limits.h>
#include <stdlib.h>

void oracle_pace(struct oracle *oracle) {
    oracle->unit = PACE_UNIT;
    oracle->bits = 7;
    oracle->digits = 3;
    oracle->shards = schedule_memory(calloc(oracle->job->shards, sizeof *oracle->shards));
}

/* ---- the log ---- */

const struct consistency *pace_mode(const struct oracle_shard *shard, uint64_t clock) {
    return clock >= shard->from ? &shard->next : &shard->now;
}

bool pace_follows(const struct oracle_shard *shard, uint64_t clock) {
    const uint64_t begins = clock > shard->from ? shard->from : shard->now_from;
    return clock > begins && pace_mode(shard, clock)->mode == CONSISTENCY_SYNC &&
           pace_mode(shard, clock - 1)->mode == CONSISTENCY_SYNC;
}

static void note_mode(struct oracle *oracle, uint32_t index, const struct command *command) {
    struct oracle_shard *shard = &oracle->shards[index];
    if (command->turns) {
        if (shard->now.mode == CONSISTENCY_SYNC && shard->closed + 1 < shard->from) {
            shard->closed = shard->forced = shard->from - 1;
        }
        shard->now = shard->next;
        shard->now_from = shard->from;
    }
    char text[CONSISTENCY_TEXT_BYTES];
    schedule_trace(oracle->schedule, "shard %u takes %s from clock %llu on%s", index,
                   consistency_text(&command->mode, text, sizeof text), (unsigned long long)command->clock,
                   command->turns ? ", behind the one before" : "");
    shard->next = command->mode;
    shard->from = command->clock;
    shard->set = true;
}

static void note_close(struct oracle *oracle, uint32_t index, const struct command *command) {
    struct oracle_shard *shard = &oracle->shards[index];
    if (command->clock <= shard->closed) {
        schedule_fail(oracle->schedule, "shard %u closes clock %llu after clock %llu", index,
                      (unsigned long long)command->clock, (unsigned long long)shard->closed);
    }
    schedule_trace(oracle->schedule, "shard %u closes clock %llu", index, (unsigned long long)command->clock);
    shard->closed = command->clock;
    oracle->closes++;
}

struct cell *pace_cell(const struct oracle *oracle, uint64_t id, uint64_t place) {
    for (unsigned i = 0; i < oracle->count; i++) {
        struct cell *cell = &oracle->cells[i];
        if (cell->id == id && cell->place == place) {
            return cell;
        }
    }
    return NULL;
}

/* Which push of the cell has this gradient: UINT_MAX for none. */
static unsigned recognise(const struct oracle *oracle, const struct cell *cell, const float *values) {
    for (uint32_t i = 1; i < cell->elements; i++) {
        for (unsigned digit = 0; digit < oracle->digits && values[i] != 0; digit++) {
            const unsigned n = (i - 1) * oracle->digits + digit;
            if (values[i] == -(float)(oracle->unit << oracle->bits * digit)) {
                return n < cell->count ? n : UINT_MAX;
            }
        }
    }
    return UINT_MAX;
}

static void note_push(struct oracle *oracle, struct cell *cell, unsigned era, const struct command *command,
                      const float *values) {
    const struct oracle_shard *shard = &oracle->shards[cell->shard];
    const bool keeps = command->kind == COMMAND_CONTRIBUTE || command->kind == COMMAND_TABLE_CONTRIBUTE;
    const unsigned n = recognise(oracle, cell, values);
    if (n == UINT_MAX) {
        oracle_fail(oracle, cell, "a push is in the log that nobody made: it begins with %g", (double)values[0]);
        return;
    }
    struct entry *entry = &cell->entries[n];
    const bool gathers = shard->set && pace_mode(shard, entry->clock)->mode == CONSISTENCY_SYNC;
    if (entry->taken != TAKEN_NOT && entry->taken_era == era) {
        oracle_fail(oracle, cell, "push %u is carried out twice", n);
    } else if (keeps != gathers) {
        oracle_fail(oracle, cell, "push %u of clock %llu is %s, whose mode is %s", n, (unsigned long long)entry->clock,
                    keeps ? "kept" : "taken at once", gathers ? "synchronous" : "another");
    } else if (keeps && (command->clock != entry->clock || command->clock <= shard->closed)) {
        oracle_fail(oracle, cell, "push %u of clock %llu is kept for clock %llu, where clock %llu is closed", n,
                    (unsigned long long)entry->clock, (unsigned long long)command->clock,
                    (unsigned long long)shard->closed);
    } else if (entry->outcome == OUTCOME_REFUSED) {
        oracle_fail(oracle, cell, "push %u was refused, or never sent, and is taken", n);
    }
    entry->taken = keeps ? TAKEN_TO_KEEP : TAKEN_AT_ONCE;
    entry->taken_era = era;
    entry->divided = keeps && pace_mode(shard, entry->clock)->combine == CONSISTENCY_MEAN;
    oracle->kept += keeps;
}

void pace_noted(struct oracle *oracle, uint32_t shard, unsigned era, const struct command *command) {
    struct cell *cell = NULL;
    switch (command->kind) {
    case COMMAND_CONSISTENCY:
        note_mode(oracle, shard, command);
        break;
    case COMMAND_CLOSE:
        note_close(oracle, shard, command);
        break;
    case COMMAND_PUSH:
    case COMMAND_CONTRIBUTE:
        cell = pace_cell(oracle, command->tensor, command->block);
        if (cell != NULL) {
            note_push(oracle, cell, era, command, command->values);
        }
        break;
    case COMMAND_TABLE_PUSH:
    case COMMAND_TABLE_CONTRIBUTE:
        for (size_t i = 0; i < command->rows; i++) {
            cell = pace_cell(oracle, command->tensor, command->ids[i]);
            if (cell != NULL) {
                note_push(oracle, cell, era, command, command->values + i * cell->elements);
            }
        }
        break;
    default:
        break;
    }
}

void pace_lost(struct oracle *oracle, uint32_t index, const struct oracle_shard *shard) {
    oracle->shards[index] = *shard;
}

/* ---- weights ---- */

/* Of a clock's pushes that are kept: those before the n-th, or all, and how many workers made them. */
static unsigned workers_of(const struct cell *cell, unsigned upto, uint64_t clock, unsigned era) {
    unsigned workers = 0;
    for (unsigned n = 0; n < upto; n++) {
        const struct entry *entry = &cell->entries[n];
        bool first = entry->taken == TAKEN_TO_KEEP && entry->taken_era == era && entry->clock == clock;
        for (unsigned m = 0; m < n && first; m++) {
            const struct entry *other = &cell->entries[m];
            first = other->taken != TAKEN_TO_KEEP || other->taken_era != era || other->clock != clock ||
                    other->life != entry->life;
        }
        workers += first;
    }
    return workers;
}

/* What a push that is shown must count with; 0 where that is no whole number. */
static unsigned share_of(const struct oracle *oracle, const struct cell *cell, unsigned n, unsigned era) {
    const struct entry *entry = &cell->entries[n];
    if (!entry->divided) {
        return oracle->unit;
    }
    const unsigned workers = workers_of(cell, cell->count, entry->clock, era);
    return workers <= PACE_HEADS ? PACE_UNIT / workers : 0;
}

/* The first clock of which nothing is shown, and nothing of those behind it. */
static uint64_t shown_until(const struct oracle *oracle, const struct cell *cell, const float *weights, unsigned era) {
    uint64_t until = 0;
    for (unsigned n = 0; n < cell->count; n++) {
        const struct entry *entry = &cell->entries[n];
        const bool kept = entry->taken == TAKEN_TO_KEEP && entry->taken_era == era;
        if (kept && entry->clock >= until && oracle_digit(oracle, weights, n) > 0) {
            until = entry->clock + 1;
        }
    }
    return until;
}

/* One push against what is shown of it; `below`: of kept ones, all of clocks below are there. Returns how many updates
 * it is: those of one clock are one. */
static unsigned check(struct oracle *oracle, const struct cell *cell, unsigned n, unsigned digit, unsigned era,
                      uint64_t below) {
    const struct entry *entry = &cell->entries[n];
    const bool taken = entry->taken != TAKEN_NOT && entry->taken_era == era;
    const bool kept = taken && entry->taken == TAKEN_TO_KEEP;
    const char *outcome = oracle_outcome_name(entry->outcome);
    const unsigned long long clock = entry->clock, closed = oracle->shards[cell->shard].closed;
    if (digit > 0 && !taken) {
        oracle_fail(oracle, cell, "push %u, %s, is shown and was never taken", n, outcome);
    } else if (digit > 0 && digit != share_of(oracle, cell, n, era)) {
        oracle_fail(oracle, cell, "push %u of clock %llu, %s, counts %u where it should %u (of %u)", n, clock, outcome,
                    digit, share_of(oracle, cell, n, era), PACE_UNIT);
    } else if (kept && digit > 0 && clock > closed) {
        oracle_fail(oracle, cell, "push %u of clock %llu is shown, and only clock %llu is closed", n, clock, closed);
    } else if (kept && digit == 0 && clock < below) {
        oracle_fail(oracle, cell, "push %u of clock %llu, %s, is not shown, and all below clock %llu has to be", n,
                    clock, outcome, (unsigned long long)below);
    }
    if (digit == 0) {
        return 0;
    }
    return kept && workers_of(cell, n, entry->clock, era) > 0 ? 0 : 1;
}

/* False where shares cannot be read. */
static bool sharp(struct oracle *oracle, struct cell *cell, unsigned era) {
    for (unsigned n = 0; n < cell->count && !cell->blurred; n++) {
        const bool kept = cell->entries[n].taken == TAKEN_TO_KEEP && cell->entries[n].taken_era == era;
        cell->blurred = kept && share_of(oracle, cell, n, era) == 0;
    }
    return !cell->blurred;
}

static void check_all(struct oracle *oracle, struct cell *cell, const float *weights, uint64_t version, unsigned era,
                      uint64_t below) {
    uint64_t sum = 0, updates = 0;
    if (!oracle_readable(oracle, cell, weights, &sum)) {
        return;
    }
    for (unsigned n = 0; n < cell->count; n++) {
        updates += check(oracle, cell, n, oracle_digit(oracle, weights, n), era, below);
    }
    if (weights[0] != (float)sum || (version != UINT64_MAX && version != updates)) {
        oracle_fail(oracle, cell, "%llu by its digits, %g in all; %llu updates, and the version is %lld: torn",
                    (unsigned long long)sum, (double)weights[0], (unsigned long long)updates, (long long)version);
    }
}

void pace_seen(struct oracle *oracle, struct cell *cell, const float *weights, uint64_t version, unsigned era,
               uint64_t since, unsigned own) {
    if (!sharp(oracle, cell, era)) {
        return;
    }
    check_all(oracle, cell, weights, version, era, shown_until(oracle, cell, weights, era));
    for (unsigned n = 0; n < cell->count; n++) {
        const struct entry *entry = &cell->entries[n];
        const bool before = entry->outcome == OUTCOME_OK && entry->answered == era && entry->answered_at <= since;
        if (entry->taken == TAKEN_AT_ONCE && entry->taken_era == era && (before || n == own) &&
            oracle_digit(oracle, weights, n) == 0) {
            oracle_fail(oracle, cell, "push %u, %s, is not in the weights that are shown", n,
                        oracle_outcome_name(entry->outcome));
        }
    }
}

/* What was taken at once is there. */
static void check_taken(struct oracle *oracle, const struct cell *cell, const float *weights, unsigned era) {
    for (unsigned n = 0; n < cell->count; n++) {
        const struct entry *entry = &cell->entries[n];
        if (entry->taken == TAKEN_AT_ONCE && entry->taken_era == era && oracle_digit(oracle, weights, n) == 0) {
            oracle_fail(oracle, cell, "push %u, %s, was taken and is not there", n,
                        oracle_outcome_name(entry->outcome));
        }
    }
}

void pace_shown(struct oracle *oracle, struct cell *cell, const float *weights, unsigned era) {
    if (sharp(oracle, cell, era)) {
        check_all(oracle, cell, weights, UINT64_MAX, era, oracle->shards[cell->shard].closed + 1);
        check_taken(oracle, cell, weights, era);
    }
}

void pace_judge(struct oracle *oracle, struct cell *cell, const float *weights, uint64_t version, struct age age) {
    for (unsigned n = 0; n < cell->count; n++) {
        const struct entry *entry = &cell->entries[n];
        const bool taken = entry->taken != TAKEN_NOT && entry->taken_era == age.era;
        unsigned least, most;
        oracle_expect(oracle, cell, n, age, &least, &most);
        /* One of whose outcome its worker was not told may have come too late. */
        if (entry->outcome == OUTCOME_UNKNOWN && entry->clock > 0) {
            least = 0;
        }
        if (taken < least || taken > most) {
            oracle_fail(oracle, cell, "push %u of life %u, %s, was %s: %s", n, entry->life,
                        oracle_outcome_name(entry->outcome), taken ? "taken" : "not taken",
                        taken ? "not undone" : "lost");
        }
    }
    if (!sharp(oracle, cell, age.era)) {
        return;
    }
    check_all(oracle, cell, weights, version, age.era, oracle->shards[cell->shard].closed + 1);
    check_taken(oracle, cell, weights, age.era);
}
