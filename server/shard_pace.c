/* The job's mode in a shard, and its synchronous clocks: CONTRIBUTE, CLOSE, CONSISTENCY. */
#include <inttypes.h>
#include <stdio.h>

#include "common/mutant.h"
#include "server/shard_state.h"

static struct dense *dense_at(const struct shard *shard, size_t index) {
    struct part *part = (struct part *)(void *)shard->parts.by_name[index];
    return part->spec.kind == TENSOR_DENSE ? (struct dense *)(void *)part : NULL;
}

static struct table *table_at(const struct shard *shard, size_t index) {
    struct part *part = (struct part *)(void *)shard->parts.by_name[index];
    return part->spec.kind == TENSOR_TABLE ? (struct table *)(void *)part : NULL;
}

static struct dense *find_dense(const struct shard *shard, uint64_t tensor) {
    struct part *part = (struct part *)(void *)directory_find_id(&shard->parts, tensor);
    return part != NULL && part->spec.kind == TENSOR_DENSE ? (struct dense *)(void *)part : NULL;
}

/* ---- CONTRIBUTE ---- */

enum canyon_status shard_judge_clock(const struct shard *shard, const char *what, uint64_t clock, struct error *error) {
    if (consistency_at(&shard->plan, clock)->mode != CONSISTENCY_SYNC) {
        return error_set(error, CANYON_UNSUPPORTED, "clock %" PRIu64 " is not synchronous in shard %u", clock,
                         shard->index);
    }
    if (clock < shard->open && !MUTANT(late_applied)) {
        return error_set(error, CANYON_LATE,
                         "%s: clock %" PRIu64 " is closed, clock %" PRIu64
                         " is open now: this gradient was not applied",
                         what, clock, shard->open);
    }
    if (clock > shard->open) {
        return error_set(error, CANYON_BUSY,
                         "%s: clock %" PRIu64 " is not open yet, clock %" PRIu64
                         " is: pull before a push, which waits for it",
                         what, clock, shard->open);
    }
    return CANYON_OK;
}

/* Elements that a block has at most. */
static size_t longest_of(const struct dense *part) {
    return part->elements < part->block_elements ? (size_t)part->elements : part->block_elements;
}

enum canyon_status shard_contribute(struct shard *shard, struct dense *part, size_t place,
                                    const struct command *command, struct error *error) {
    char what[LIMIT_NAME_BYTES + 48];
    snprintf(what, sizeof what, "block %u of tensor '%s'", command->block, part->key.name);
    enum canyon_status status = shard_judge_clock(shard, what, command->clock, error);
    if (status != CANYON_OK) {
        return status;
    }
    enum consistency_order order = consistency_at(&shard->plan, command->clock)->order;
    if (part->contributions == NULL) {
        part->contributions = contributions_create(shard->memory, part->count, longest_of(part));
    }
    if (part->contributions == NULL || !contributions_reserve(part->contributions, place, command->rank, order)) {
        return error_set(error, CANYON_NO_MEMORY,
                         "no memory to keep a gradient of block %u of tensor '%s' until clock %" PRIu64 " is closed",
                         command->block, part->key.name, command->clock);
    }
    contributions_add(part->contributions, place, command->rank, order, command->values, command->count);
    return CANYON_OK;
}

uint64_t shard_contributed(const struct shard *shard, uint64_t tensor) {
    const struct dense *part = find_dense(shard, tensor);
    struct table *table = NULL;
    if (part == NULL) {
        return shard_find_table(shard, tensor, &table, NULL) == CANYON_OK ? table_contributed(table) : 0;
    }
    return contributions_bytes(part->contributions);
}

uint64_t shard_contribution_growth(const struct shard *shard, const struct command *command) {
    const struct dense *part = find_dense(shard, command->tensor);
    size_t place = part != NULL ? dense_place(part, command->block) : 0;
    if (part == NULL || place == part->count) {
        return 0;
    }
    if (part->contributions == NULL) {
        return contributions_block_bytes(longest_of(part));
    }
    return contributions_growth(part->contributions, place, command->rank,
                                consistency_at(&shard->plan, command->clock)->order);
}

void shard_trim_contributions(struct shard *shard, uint64_t tensor) {
    struct dense *part = find_dense(shard, tensor);
    struct table *table = NULL;
    if (part == NULL && shard_find_table(shard, tensor, &table, NULL) == CANYON_OK) {
        table_trim(table);
    }
    for (size_t place = 0; part != NULL && place < part->count; place++) {
        if (contributions_count(part->contributions, place) > 0) {
            return;
        }
    }
    if (part != NULL) {
        contributions_destroy(part->contributions);
        part->contributions = NULL;
    }
}

/* ---- CLOSE ---- */

static void close_part(struct dense *part, enum consistency_combine combine) {
    for (size_t place = 0; place < part->count; place++) {
        if (contributions_count(part->contributions, place) > 0) {
            const float *gradient =
                contributions_take(part->contributions, place, combine, dense_elements(part, place));
            dense_push(part, place, gradient, 0);
        }
    }
}

/* A command that was not decoded may hold anything. */
static bool is_clock(uint64_t clock) {
    return clock > 0 && clock <= LIMIT_CLOCK;
}

static void close_open(struct shard *shard) {
    const struct consistency *mode = consistency_at(&shard->plan, shard->open);
    for (size_t i = 0; i < shard->parts.count; i++) {
        struct dense *part = dense_at(shard, i);
        if (part != NULL && part->contributions != NULL) {
            close_part(part, mode->combine);
        }
        if (table_at(shard, i) != NULL && !MUTANT(close_forgets_rows)) {
            table_close(table_at(shard, i), shard->open, mode->combine);
        }
    }
}

bool shard_close(struct shard *shard, const struct command *command) {
    if (!is_clock(command->clock) || shard->open == 0 || command->clock < shard->open) {
        return false;
    }
    close_open(shard);
    shard->open = command->clock + 1;
    return true;
}

/* ---- CONSISTENCY ---- */

bool shard_set_consistency(struct shard *shard, const struct command *command) {
    struct consistency_plan *plan = &shard->plan;
    if (!is_clock(command->clock)) {
        return false;
    }
    if (plan->set && plan->from == command->clock && consistency_equal(&plan->next, &command->mode)) {
        return false;
    }
    if (command->turns) {
        /* Nobody will know what the mode of its clock was. */
        if (plan->now.mode == CONSISTENCY_SYNC && shard->open < plan->from && !MUTANT(turn_forgets_open)) {
            close_open(shard);
            shard->open = plan->from;
        }
        plan->now = plan->next;
    }
    plan->next = command->mode;
    plan->from = command->clock;
    plan->set = true;
    /* A clock that is open stays so until it is closed; otherwise the first one that is synchronous is. */
    bool gathers = plan->now.mode == CONSISTENCY_SYNC && shard->open < plan->from;
    if (command->mode.mode == CONSISTENCY_SYNC && !gathers) {
        shard->open = plan->from;
    }
    return true;
}

const struct consistency_plan *shard_consistency(const struct shard *shard) {
    return &shard->plan;
}

uint64_t shard_open_clock(const struct shard *shard) {
    return shard->open;
}

void shard_digest_pace(const struct shard *shard, struct hash *hash) {
    const struct consistency *modes[2] = {&shard->plan.now, &shard->plan.next};
    for (size_t i = 0; i < 2 && shard->plan.set; i++) {
        hash_u32(hash, (uint32_t)modes[i]->mode);
        hash_u32(hash, modes[i]->staleness);
        hash_u32(hash, (uint32_t)modes[i]->combine);
        hash_u32(hash, (uint32_t)modes[i]->order);
        hash_u32(hash, modes[i]->minimum);
    }
    if (shard->plan.set) {
        hash_u64(hash, shard->plan.from);
        hash_u64(hash, shard->open);
    }
}
