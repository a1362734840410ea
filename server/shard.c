#include "server/shard.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mutant.h"
#include "server/shard_state.h"
#include "server/slot.h"

static struct part *part_of(struct directory_key *key) {
    return (struct part *)(void *)key;
}

static struct dense *dense_of(struct part *part) {
    return (struct dense *)(void *)part;
}

static struct table *table_of(struct part *part) {
    return (struct table *)(void *)part;
}

static bool is_table(const struct part *part) {
    return part->spec.kind == TENSOR_TABLE;
}

static void destroy_part(struct part *part) {
    if (part != NULL && is_table(part)) {
        table_destroy(table_of(part));
    } else {
        dense_destroy(dense_of(part));
    }
}

struct shard *shard_create(const struct job *job, uint32_t index) {
    struct shard *shard = calloc(1, sizeof *shard);
    if (shard != NULL) {
        shard->job = job;
        shard->index = index;
    }
    return shard;
}

void shard_use(struct shard *shard, const struct memory *memory) {
    assert(shard->parts.count == 0 && shard->reserved == NULL);
    shard->memory = memory;
}

void shard_destroy(struct shard *shard) {
    if (shard != NULL) {
        for (size_t i = 0; i < shard->parts.count; i++) {
            destroy_part(part_of(shard->parts.by_name[i]));
        }
        destroy_part(shard->reserved);
        directory_finish(&shard->parts);
        ledger_finish(&shard->ledger);
        workspace_destroy(shard->own);
        catalogue_finish(&shard->catalogue);
        free(shard);
    }
}

/* ---- Parts ---- */

/* Judges a DEFINE. OK with *adds false: there is nothing to do. */
static enum canyon_status judge_define(const struct shard *shard, const struct command *command, bool *adds,
                                       struct error *error) {
    const struct tensor_spec *spec = command->spec;
    struct dense_size size;
    enum canyon_status status = shard_check_canonical(command, error);
    *adds = false;
    if (status != CANYON_OK) {
        return status;
    }
    const struct part *here = part_of(directory_find_id(&shard->parts, command->tensor));
    if (here != NULL) {
        return shard_same_spec(&here->spec, spec, error);
    }
    here = part_of(directory_find_name(&shard->parts, spec->name));
    if (here != NULL) {
        return error_set(error, CANYON_STATE_LOST,
                         "shard %u holds another tensor '%s' (id %016" PRIx64 ", asked: %016" PRIx64
                         "): the server of the catalogue lost its state; restart all servers of the job",
                         shard->index, spec->name, here->key.id, command->tensor);
    }
    if (spec->kind == TENSOR_DENSE) {
        dense_measure(shard->job, shard->index, spec, &size);
    }
    *adds = spec->kind == TENSOR_TABLE || size.blocks > 0;
    if (*adds && shard->parts.count >= LIMIT_TENSORS) {
        return error_set(error, CANYON_TOO_LARGE, "shard %u holds parts of %d tensors, the most it may", shard->index,
                         LIMIT_TENSORS);
    }
    return CANYON_OK;
}

void shard_release(struct shard *shard) {
    destroy_part(shard->reserved);
    shard->reserved = NULL;
    if (shard->filled != NULL) {
        table_release(shard->filled);
        shard->filled = NULL;
    }
}

enum canyon_status shard_reserve(struct shard *shard, const struct command *command, struct error *error) {
    bool adds = false;
    shard_release(shard);
    if (command->number > 0 && shard_judge(shard, command->session, command->number) != LEDGER_NEXT) {
        return CANYON_OK;
    }
    if (command->kind != COMMAND_DEFINE) {
        return shard_reserve_rows(shard, command, error);
    }
    enum canyon_status status = judge_define(shard, command, &adds, error);
    if (status != CANYON_OK || !adds) {
        return status;
    }
    if (directory_reserve(&shard->parts)) {
        shard->reserved = command->spec->kind == TENSOR_TABLE
                              ? shard_make_table(shard, command)
                              : (struct part *)(void *)dense_create(shard->job, shard->index, command->tensor,
                                                                    command->spec, shard->memory);
    }
    if (shard->reserved == NULL) {
        return error_set(error, CANYON_NO_MEMORY, "no memory for %" PRIu64 " bytes of tensor '%s' in shard %u",
                         shard_define_bytes(shard, command->spec), command->spec->name, shard->index);
    }
    return CANYON_OK;
}

static bool is_reserved(const struct shard *shard, const struct command *command) {
    return shard->reserved != NULL && shard->reserved->key.id == command->tensor &&
           command_specs_equal(&shard->reserved->spec, command->spec);
}

static enum canyon_status apply_define(struct shard *shard, const struct command *command, struct error *error) {
    bool adds = false;
    enum canyon_status status = judge_define(shard, command, &adds, error);
    if (status == CANYON_OK && adds && !is_reserved(shard, command)) {
        status = shard_reserve(shard, command, error);
    }
    if (status == CANYON_OK && adds) {
        directory_insert(&shard->parts, &shard->reserved->key);
        shard->reserved = NULL;
        shard->sequence++;
    }
    return status;
}

/* Idempotent, and indifferent to the order in which the epochs arrive: the highest stays. */
static enum canyon_status apply_adjust(struct shard *shard, const struct command *command, struct error *error) {
    struct part *part = part_of(directory_find_id(&shard->parts, command->tensor));
    if (part == NULL) {
        return error_set(error, CANYON_NOT_FOUND, "shard %u has no tensor with id %016" PRIx64, shard->index,
                         command->tensor);
    }
    enum canyon_status status = shard_check_settings(&part->spec, command, error);
    if (status == CANYON_OK && command->version > part->epoch) {
        if (is_table(part)) {
            table_adjust(table_of(part), &command->spec->optimizer, command->version);
        } else {
            dense_adjust(dense_of(part), &command->spec->optimizer, command->version);
        }
        shard->sequence++;
    }
    return status;
}

static void apply_undefine(struct shard *shard, const struct command *command) {
    struct part *part = part_of(directory_find_id(&shard->parts, command->tensor));
    if (part != NULL) {
        directory_remove(&shard->parts, &part->key);
        destroy_part(part);
        shard->sequence++;
    }
}

enum canyon_status shard_find_block(const struct shard *shard, uint64_t tensor, uint32_t block, struct dense **part,
                                    size_t *place, struct error *error) {
    struct part *found = part_of(directory_find_id(&shard->parts, tensor));
    *part = dense_of(found);
    if (found == NULL) {
        return error_set(error, CANYON_NOT_FOUND, "shard %u has no tensor with id %016" PRIx64, shard->index, tensor);
    }
    if (is_table(found)) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "'%s' is a table, which has rows, not blocks",
                         found->key.name);
    }
    *place = dense_place(*part, block);
    if (*place == (*part)->count) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "shard %u has no block %u of tensor '%s'", shard->index, block,
                         (*part)->key.name);
    }
    return CANYON_OK;
}

static enum canyon_status check_gradient(const struct dense *part, size_t place, const struct command *command,
                                         struct error *error) {
    size_t elements = dense_elements(part, place);
    if (command->count != elements) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "block %u of tensor '%s' has %zu elements, not %zu",
                         command->block, part->key.name, elements, command->count);
    }
    bool refuses = part->nonfinite == NONFINITE_REFUSE;
    size_t bad = refuses ? optimizer_first_not_finite(command->values, elements) : elements;
    if (bad < elements) {
        return error_set(error, CANYON_NOT_FINITE, "block %u of tensor '%s': the gradient at index %zu is %f",
                         command->block, part->key.name, bad, (double)command->values[bad]);
    }
    return CANYON_OK;
}

static enum canyon_status admit(const struct dense *part, const struct command *command, uint64_t staleness,
                                struct error *error) {
    char what[LIMIT_NAME_BYTES + 48];
    if (part->staleness.policy != STALENESS_REFUSE) {
        return CANYON_OK;
    }
    snprintf(what, sizeof what, "block %u of tensor '%s'", command->block, part->key.name);
    return rule_admit(&part->staleness, staleness, what, error);
}

/* A gradient for a block: applied, or kept until its clock is closed. */
static enum canyon_status take_gradient(struct shard *shard, struct dense *part, size_t place,
                                        const struct command *command, struct shard_reply *reply, struct error *error) {
    uint64_t version = part->blocks[place].version;
    reply->staleness = version > command->version ? version - command->version : 0;
    enum canyon_status status = check_gradient(part, place, command, error);
    if (status == CANYON_OK) {
        status = admit(part, command, reply->staleness, error);
    }
    if (status == CANYON_OK && command->kind == COMMAND_CONTRIBUTE) {
        status = shard_contribute(shard, part, place, command, error);
    } else if (status == CANYON_OK) {
        dense_push(part, place, command->values, reply->staleness);
    }
    return status;
}

/* ASSIGN, PUSH and CONTRIBUTE. */
static enum canyon_status apply_values(struct shard *shard, const struct command *command, struct shard_reply *reply,
                                       struct error *error) {
    struct dense *part = NULL;
    size_t place = 0;
    enum canyon_status status = shard_find_block(shard, command->tensor, command->block, &part, &place, error);
    if (status == CANYON_OK && command->kind != COMMAND_ASSIGN) {
        status = take_gradient(shard, part, place, command, reply, error);
    } else if (status == CANYON_OK) {
        status = slot_check(part, place, command->slot, command->values, command->count, error);
        if (status == CANYON_OK) {
            slot_assign(part, place, command->slot, command->values);
        }
    }
    if (status != CANYON_OK) {
        return status;
    }
    reply->version = part->blocks[place].version;
    reply->weights = dense_weights(part, place);
    reply->elements = dense_elements(part, place);
    shard->sequence++;
    return CANYON_OK;
}

/* ---- What the header promises ---- */

static enum canyon_status apply_evict(struct shard *shard, const struct command *command) {
    const bool known = ledger_forget(&shard->ledger, command->session);
    shard->sequence += known && !MUTANT(evict_not_ordered);
    return CANYON_OK;
}

static enum canyon_status carry_out(struct shard *shard, const struct command *command, struct shard_reply *reply,
                                    struct error *error) {
    bool changed = false;
    enum canyon_status status = CANYON_OK;
    switch (command->kind) {
    case COMMAND_CREATE:
    case COMMAND_ADOPT:
    case COMMAND_COMPLETE:
    case COMMAND_DROP:
    case COMMAND_DROPPED:
    case COMMAND_SET:
        status = shard_apply_catalogue(shard, command, error);
        break;
    case COMMAND_DEFINE:
        status = apply_define(shard, command, error);
        break;
    case COMMAND_UNDEFINE:
        apply_undefine(shard, command);
        break;
    case COMMAND_ADJUST:
        status = apply_adjust(shard, command, error);
        break;
    case COMMAND_CLOSE:
        shard->sequence += shard_close(shard, command) && !MUTANT(close_not_ordered);
        break;
    case COMMAND_CONSISTENCY:
        shard->sequence += shard_set_consistency(shard, command);
        break;
    case COMMAND_ASSIGN:
    case COMMAND_PUSH:
    case COMMAND_CONTRIBUTE:
        status = apply_values(shard, command, reply, error);
        break;
    case COMMAND_TABLE_PUSH:
    case COMMAND_TABLE_TOUCH:
    case COMMAND_TABLE_ERASE:
    case COMMAND_TABLE_CONTRIBUTE:
        status = shard_apply_rows(shard, command, reply, &changed, error);
        shard->sequence += changed;
        break;
    case COMMAND_REFUSE:
        status = command->number > 0 && command->verdict != CANYON_OK
                     ? error_set(error, command->verdict, "number %" PRIu64 " is refused", command->number)
                     : error_set(error, CANYON_INVALID_ARGUMENT, "a refusal has a number and a verdict");
        break;
    case COMMAND_EVICT:
        status = apply_evict(shard, command);
        break;
    }
    return status;
}

/* A command whose number is the next one of its session: whatever it comes to, the number is taken. */
static enum canyon_status apply_next(struct shard *shard, const struct command *command, struct shard_reply *reply,
                                     struct error *error) {
    const uint64_t before = shard->sequence;
    enum canyon_status status = shard_reserve_session(shard, command->session, error);
    if (status != CANYON_OK) {
        return status;
    }
    status = carry_out(shard, command, reply, error);
    const bool kept = (status != CANYON_OK && MUTANT(number_not_consumed)) ||
                      (command->kind == COMMAND_TABLE_TOUCH && MUTANT(create_not_numbered));
    if (!kept) {
        ledger_take(&shard->ledger, command->session, status);
    }
    if (status != CANYON_OK && MUTANT(forget_last_on_refusal)) {
        (void)ledger_forget(&shard->ledger, command->session);
    }
    shard->sequence = before + 1; /* also of what was refused, or made no other difference */
    reply->applied = command->number;
    reply->refused = status;
    return status;
}

static enum canyon_status apply_numbered(struct shard *shard, const struct command *command, struct shard_reply *reply,
                                         struct error *error) {
    switch (shard_judge(shard, command->session, command->number)) {
    case LEDGER_NEXT:
        return apply_next(shard, command, reply, error);
    case LEDGER_DUPLICATE:
        if (MUTANT(apply_duplicate) || (MUTANT(erase_again) && command->kind == COMMAND_TABLE_ERASE)) {
            (void)carry_out(shard, command, reply, error);
        }
        return shard_answer_again(shard, command, reply, error);
    case LEDGER_GAP:
    case LEDGER_UNKNOWN:
        break;
    }
    return shard_gap(shard, command, error);
}

static bool has_rows(enum command_kind kind) {
    return kind == COMMAND_TABLE_PUSH || kind == COMMAND_TABLE_TOUCH || kind == COMMAND_TABLE_ERASE ||
           kind == COMMAND_TABLE_CONTRIBUTE;
}

enum canyon_status shard_apply(struct shard *shard, const struct command *command, struct shard_reply *reply,
                               struct error *error) {
    const uint64_t before = shard->sequence;
    enum canyon_status status;
    memset(reply, 0, sizeof *reply);
    if (shard->filled != NULL && !has_rows(command->kind)) {
        shard_release(shard);
    }
    status =
        command->number > 0 ? apply_numbered(shard, command, reply, error) : carry_out(shard, command, reply, error);
    assert(shard->sequence <= before + 1);
    if (shard->sequence > before) {
        assert(status == reply->refused);
        reply->sequence = shard->sequence;
        shard_tell(shard, command, status);
    }
    return status;
}

enum canyon_status shard_read(const struct shard *shard, uint64_t tensor, uint32_t block, uint32_t slot,
                              struct shard_block *view, struct error *error) {
    struct dense *part = NULL;
    size_t place = 0;
    enum canyon_status status = shard_find_block(shard, tensor, block, &part, &place, error);
    if (status == CANYON_OK && slot_words(part, place, slot) == 0) {
        status = slot_missing(part, slot, error);
    }
    if (status == CANYON_OK) {
        view->values = slot_values(part, place, slot);
        view->bytes = slot_words(part, place, slot) * sizeof(float);
        view->version = part->blocks[place].version;
        view->step = part->blocks[place].step;
    }
    return status;
}

uint64_t shard_define_bytes(const struct shard *shard, const struct tensor_spec *spec) {
    struct dense_size size;
    if (spec->kind == TENSOR_TABLE) {
        return table_define_bytes(shard->job, spec);
    }
    dense_measure(shard->job, shard->index, spec, &size);
    return size.bytes;
}

uint64_t shard_sequence(const struct shard *shard) {
    return shard->sequence;
}

static void add_dense(struct shard_totals *totals, const struct dense *part) {
    totals->parameters += part->size.elements;
    totals->state_bytes += part->size.bytes;
    totals->kept += part->kept;
    totals->skipped += part->skipped;
    totals->clipped += part->clipped;
}

static void add_table(struct shard_totals *totals, const struct table *part) {
    totals->tables++;
    totals->rows += table_rows(part);
    totals->parameters += table_rows(part) * part->dim;
    totals->state_bytes += table_bytes(part);
    totals->kept += part->kept;
    totals->skipped += part->skipped;
    totals->clipped += part->clipped;
}

void shard_totals(const struct shard *shard, struct shard_totals *totals) {
    memset(totals, 0, sizeof *totals);
    totals->tensors = shard->parts.count;
    for (size_t i = 0; i < shard->parts.count; i++) {
        struct part *part = part_of(shard->parts.by_name[i]);
        if (is_table(part)) {
            add_table(totals, table_of(part));
        } else {
            add_dense(totals, dense_of(part));
        }
    }
}

void shard_digest(const struct shard *shard, uint8_t digest[HASH_BYTES]) {
    struct hash hash;
    hash_init(&hash);
    hash_u32(&hash, shard->index);
    hash_u64(&hash, shard->sequence);
    catalogue_digest(&shard->catalogue, &hash);
    shard_digest_pace(shard, &hash);
    hash_u64(&hash, shard->parts.count);
    for (size_t i = 0; i < shard->parts.count; i++) {
        struct part *part = part_of(shard->parts.by_name[i]);
        if (is_table(part)) {
            table_digest(table_of(part), &hash);
        } else {
            dense_digest(dense_of(part), &hash);
        }
    }
    ledger_digest(&shard->ledger, &hash);
    hash_final(&hash, digest);
}
