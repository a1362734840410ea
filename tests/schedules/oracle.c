#include "tests/schedules/oracle.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/schedules/erasing.h"

void oracle_init(struct oracle *oracle, struct schedule *schedule, const struct job *job) {
    memset(oracle, 0, sizeof *oracle);
    oracle->job = job;
    oracle->schedule = schedule;
    oracle->unit = 1;
    oracle->bits = 3;
    oracle->digits = 8;
}

void oracle_finish(struct oracle *oracle) {
    for (unsigned i = 0; i < oracle->count; i++) {
        free(oracle->cells[i].entries);
    }
    free(oracle->cells);
    free(oracle->living);
    free(oracle->known);
    free(oracle->shards);
}

void oracle_add(struct oracle *oracle, const struct cell *cell) {
    if (oracle->count == oracle->room) {
        oracle->room = oracle->room == 0 ? 32 : oracle->room * 2;
        oracle->cells = schedule_memory(realloc(oracle->cells, oracle->room * sizeof *oracle->cells));
    }
    oracle->cells[oracle->count] = *cell;
    oracle->cells[oracle->count].number = oracle->count;
    oracle->count++;
}

unsigned oracle_begin(struct oracle *oracle) {
    if (oracle->lives == oracle->living_room) {
        oracle->living_room = oracle->living_room == 0 ? 16 : oracle->living_room * 2;
        oracle->living = schedule_memory(realloc(oracle->living, oracle->living_room * sizeof *oracle->living));
        oracle->known = schedule_memory(
            realloc(oracle->known, (size_t)oracle->living_room * oracle->job->shards * sizeof *oracle->known));
    }
    memset(oracle->known + (size_t)oracle->lives * oracle->job->shards, 0, oracle->job->shards * sizeof *oracle->known);
    oracle->living[oracle->lives] = true;
    return oracle->lives++;
}

void oracle_end(struct oracle *oracle, unsigned life) {
    oracle->living[life] = false;
    for (unsigned i = 0; i < oracle->count; i++) {
        for (unsigned n = 0; n < oracle->cells[i].count; n++) {
            struct entry *entry = &oracle->cells[i].entries[n];
            if (entry->life == life && entry->outcome == OUTCOME_PENDING) {
                entry->outcome = OUTCOME_DIED;
                oracle->died++;
            }
        }
    }
}

void oracle_forsake(struct oracle *oracle, unsigned life, uint32_t host, uint32_t thread, uint32_t threads) {
    for (unsigned i = 0; i < oracle->count; i++) {
        struct cell *cell = &oracle->cells[i];
        const bool there = cell->host == host && job_thread_of(oracle->job, cell->shard, threads) == thread;
        for (unsigned n = 0; n < cell->count && there; n++) {
            struct entry *entry = &cell->entries[n];
            if (entry->life == life && entry->outcome == OUTCOME_UNKNOWN) {
                entry->outcome = OUTCOME_DIED;
            }
        }
    }
}

/* ---- pushes ---- */

static unsigned capacity(const struct oracle *oracle, const struct cell *cell) {
    return cell->kind == CELL_ASSIGNED ? UINT_MAX : (cell->elements - 1) * oracle->digits;
}

static unsigned *known_of(const struct oracle *oracle, unsigned life, uint32_t shard) {
    return &oracle->known[(size_t)life * oracle->job->shards + shard];
}

unsigned oracle_push(struct oracle *oracle, struct cell *cell, unsigned life, struct age age) {
    if (cell->count >= capacity(oracle, cell)) {
        return UINT_MAX;
    }
    if (cell->count == cell->room) {
        cell->room = cell->room == 0 ? 32 : cell->room * 2;
        cell->entries = schedule_memory(realloc(cell->entries, cell->room * sizeof *cell->entries));
    }
    cell->entries[cell->count] = (struct entry){.outcome = OUTCOME_PENDING,
                                                .life = life,
                                                .made = age,
                                                .submitted_at = oracle->schedule->now,
                                                .known = *known_of(oracle, life, cell->shard) == age.era + 1};
    oracle->pushes++;
    return cell->count++;
}

void oracle_values(const struct oracle *oracle, const struct cell *cell, unsigned n, float *values) {
    for (uint32_t i = 0; i < cell->elements; i++) {
        values[i] = cell->kind == CELL_ASSIGNED ? (float)(n + 1) : 0;
    }
    if (cell->kind != CELL_ASSIGNED) {
        values[0] = -(float)oracle->unit;
        values[1 + n / oracle->digits] = -(float)(oracle->unit << oracle->bits * (n % oracle->digits));
    }
}

const char *oracle_outcome_name(enum outcome outcome) {
    static const char *const names[] = {"pending", "OK", "refused", "unknown", "of a worker that died"};
    return names[outcome];
}

static bool is_row(const struct cell *cell) {
    return cell->kind == CELL_ROW || cell->kind == CELL_ERASED;
}

void oracle_fail(struct oracle *oracle, const struct cell *cell, const char *format, ...) {
    va_list arguments;
    char text[256];
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    schedule_fail(oracle->schedule, "cell %u (%s %llu of tensor %u, shard %u of server %u): %s", cell->number,
                  is_row(cell) ? "row" : "block", (unsigned long long)cell->place, cell->tensor, cell->shard,
                  cell->host, text);
}

void oracle_told(struct oracle *oracle, struct cell *cell, unsigned n, enum outcome outcome, unsigned era) {
    struct entry *entry = &cell->entries[n];
    if (entry->outcome != OUTCOME_PENDING) {
        oracle_fail(oracle, cell, "push %u was %s and is told to be %s", n, oracle_outcome_name(entry->outcome),
                    oracle_outcome_name(outcome));
    }
    entry->outcome = outcome;
    entry->answered = era;
    entry->answered_at = oracle->schedule->now;
    if (outcome == OUTCOME_OK) {
        *known_of(oracle, entry->life, cell->shard) = era + 1;
    }
    oracle->ok += outcome == OUTCOME_OK;
    oracle->refused += outcome == OUTCOME_REFUSED;
    oracle->unknown += outcome == OUTCOME_UNKNOWN;
}

bool oracle_excuses(const struct cell *cell, unsigned n, struct age age) {
    const struct entry *entry = &cell->entries[n];
    return entry->made.era != age.era || (entry->made.restarts != age.restarts && !entry->known);
}

/* ---- reading weights ---- */

unsigned oracle_digit(const struct oracle *oracle, const float *weights, unsigned n) {
    const unsigned mask = (1u << oracle->bits) - 1;
    return (unsigned)weights[1 + n / oracle->digits] >> oracle->bits * (n % oracle->digits) & mask;
}

bool oracle_readable(struct oracle *oracle, const struct cell *cell, const float *weights, uint64_t *sum) {
    *sum = 0;
    for (uint32_t i = 0; i < cell->elements; i++) {
        if (!(weights[i] >= 0 && weights[i] < 16777216.0f) || weights[i] != (float)(uint32_t)weights[i]) {
            oracle_fail(oracle, cell, "element %u is %g: no count of pushes", i, (double)weights[i]);
            return false;
        }
    }
    for (unsigned n = 0; n < capacity(oracle, cell); n++) {
        const unsigned digit = oracle_digit(oracle, weights, n);
        *sum += digit;
        if (digit > 0 && n >= cell->count) {
            oracle_fail(oracle, cell, "push %u was never made, but is there", n);
            return false;
        }
    }
    return true;
}

static bool readable(struct oracle *oracle, const struct cell *cell, const float *weights, uint64_t version) {
    uint64_t sum = 0;
    if (!oracle_readable(oracle, cell, weights, &sum)) {
        return false;
    }
    if (weights[0] != (float)sum || (version != UINT64_MAX && version != sum)) {
        oracle_fail(oracle, cell, "%llu pushes by their digits, %g by their count, and the version is %lld: torn",
                    (unsigned long long)sum, (double)weights[0], (long long)version);
        return false;
    }
    return true;
}

void oracle_seen(struct oracle *oracle, const struct cell *cell, const float *weights, uint64_t version, unsigned era,
                 uint64_t since, unsigned own) {
    if (cell->kind == CELL_ERASED) {
        erasing_seen(oracle, cell, weights, era, since, own);
        return;
    }
    if (cell->kind == CELL_ASSIGNED || !readable(oracle, cell, weights, version)) {
        return;
    }
    for (unsigned n = 0; n < cell->count; n++) {
        const struct entry *entry = &cell->entries[n];
        const unsigned digit = oracle_digit(oracle, weights, n);
        const bool before = entry->outcome == OUTCOME_OK && entry->answered == era && entry->answered_at <= since;
        if (digit > 1) {
            oracle_fail(oracle, cell, "push %u is shown %u times", n, digit);
        } else if (digit == 0 && (before || n == own)) {
            oracle_fail(oracle, cell, "push %u, %s, is not in the weights that are shown", n,
                        oracle_outcome_name(entry->outcome));
        } else if (digit == 1 && entry->outcome == OUTCOME_REFUSED) {
            oracle_fail(oracle, cell, "push %u was refused, or never sent, and is in the weights that are shown", n);
        }
    }
}

/* ---- the end ---- */

void oracle_expect(const struct oracle *oracle, const struct cell *cell, unsigned n, struct age age, unsigned *least,
                   unsigned *most) {
    const struct entry *entry = &cell->entries[n];
    *least = 0;
    *most = 0;
    if (entry->outcome == OUTCOME_OK) {
        *least = *most = entry->answered == age.era ? 1 : 0;
    } else if (entry->outcome == OUTCOME_UNKNOWN || entry->outcome == OUTCOME_DIED) {
        const bool goes_on = oracle->living[entry->life] && !oracle_excuses(cell, n, age);
        *most = 1;
        *least = entry->outcome == OUTCOME_UNKNOWN && goes_on ? 1 : 0;
    }
}

static void judge_pushes(struct oracle *oracle, const struct cell *cell, const float *weights, uint64_t version,
                         struct age age) {
    if (!readable(oracle, cell, weights, version)) {
        return;
    }
    for (unsigned n = 0; n < cell->count; n++) {
        const struct entry *entry = &cell->entries[n];
        const unsigned digit = oracle_digit(oracle, weights, n);
        unsigned least, most;
        oracle_expect(oracle, cell, n, age, &least, &most);
        if (digit < least || digit > most) {
            oracle_fail(oracle, cell, "push %u of life %u, %s, is there %u times: %s", n, entry->life,
                        oracle_outcome_name(entry->outcome), digit,
                        digit < least ? "lost"
                        : most == 0   ? "not undone"
                                      : "doubled");
        }
    }
}

/* One session's assigns come in their order. What sessions that are over left under way may come at any time. */
static void judge_assigns(struct oracle *oracle, const struct cell *cell, const float *weights, uint64_t version,
                          struct age age) {
    unsigned sure = 0, possible = 0, last = UINT_MAX, value = (unsigned)weights[0];
    for (unsigned n = 0; n < cell->count; n++) {
        unsigned least, most;
        oracle_expect(oracle, cell, n, age, &least, &most);
        sure += least;
        possible += most;
        last = least == 1 ? n : last;
    }
    for (uint32_t i = 0; i < cell->elements; i++) {
        if (weights[i] != (float)value) {
            oracle_fail(oracle, cell, "element %u is %g where others are %u: torn", i, (double)weights[i], value);
            return;
        }
    }
    if (version < sure || version > possible) {
        oracle_fail(oracle, cell, "version %llu after %u assigns that were answered, of %u",
                    (unsigned long long)version, sure, possible);
    }
    if (value > cell->count || (value == 0 && sure > 0)) {
        oracle_fail(oracle, cell, "its value is %u after %u assigns", value, cell->count);
    } else if (value > 0 && value - 1 != last) {
        unsigned least, most;
        oracle_expect(oracle, cell, value - 1, age, &least, &most);
        const bool older = last != UINT_MAX && value - 1 < last;
        if (most == 0 || least == 1 || (older && cell->entries[value - 1].life == cell->entries[last].life)) {
            oracle_fail(oracle, cell, "its value is of assign %u, %s, though assign %u came after it", value - 1,
                        oracle_outcome_name(cell->entries[value - 1].outcome), last);
        }
    }
}

void oracle_judge(struct oracle *oracle, const struct cell *cell, const float *weights, uint64_t version,
                  struct age age) {
    for (unsigned n = 0; n < cell->count; n++) {
        if (cell->entries[n].outcome == OUTCOME_PENDING) {
            oracle_fail(oracle, cell, "push %u of life %u was never told what became of it", n, cell->entries[n].life);
            return;
        }
    }
    if (oracle_is_paced(oracle)) {
        return; /* pace.h */
    }
    if (cell->kind == CELL_ERASED) {
        erasing_judge(oracle, cell, weights, age);
    } else if (cell->kind == CELL_ASSIGNED) {
        judge_assigns(oracle, cell, weights, version, age);
    } else {
        judge_pushes(oracle, cell, weights, version, age);
    }
}
