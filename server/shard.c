#include "server/shard.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "server/catalogue.h"
#include "server/dense.h"
#include "server/slot.h"

struct shard {
    const struct job *job;
    uint32_t index;
    uint64_t sequence;
    struct catalogue catalogue; /* stays empty but in shard 0 */
    struct directory parts;
    const struct memory *memory; /* of the parts' arrays; borrowed; NULL: the C library */
    struct dense *reserved;      /* the part of a DEFINE that is about to be applied, or NULL; no part of the state */
};

static struct dense *part_of(struct directory_key *key) {
    return (struct dense *)(void *)key;
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
            dense_destroy(part_of(shard->parts.by_name[i]));
        }
        dense_destroy(shard->reserved);
        directory_finish(&shard->parts);
        catalogue_finish(&shard->catalogue);
        free(shard);
    }
}

/* A command from a byte string may hold anything that can be encoded; only what shard_canonical_spec makes is applied.
 */
static enum canyon_status check_canonical(const struct command *command, struct error *error) {
    struct tensor_spec spec = *command->spec;
    enum canyon_status status = shard_canonical_spec(&spec, error);
    if (status == CANYON_OK && !command_specs_equal(&spec, command->spec)) {
        status = error_set(error, CANYON_INVALID_ARGUMENT, "tensor '%s': its spec is not in canonical form", spec.name);
    }
    if (status == CANYON_OK && command->tensor == 0) {
        status = error_set(error, CANYON_INVALID_ARGUMENT, "tensor '%s': 0 is no id", spec.name);
    }
    return status;
}

/* ---- The catalogue ---- */

static enum canyon_status apply_create(struct shard *shard, const struct command *command, struct error *error) {
    const char *name = command->spec->name;
    enum canyon_status status = check_canonical(command, error);
    if (status != CANYON_OK) {
        return status;
    }
    if (catalogue_find_name(&shard->catalogue, name) != NULL) {
        return error_set(error, CANYON_CONFLICT, "tensor '%s' exists already", name);
    }
    if (catalogue_find_id(&shard->catalogue, command->tensor) != NULL) {
        return error_set(error, CANYON_CONFLICT, "tensor id %016" PRIx64 " is in use", command->tensor);
    }
    if (shard->catalogue.entries.count >= LIMIT_TENSORS) {
        return error_set(error, CANYON_TOO_LARGE,
                         "the job has %d tensors, the most it may have: drop one before creating '%s'", LIMIT_TENSORS,
                         name);
    }
    if (!catalogue_add(&shard->catalogue, command->tensor, command->spec, command->session)) {
        return error_set(error, CANYON_NO_MEMORY, "no memory for the catalogue entry of tensor '%s'", name);
    }
    shard->sequence++;
    return CANYON_OK;
}

static const char *state_text(enum tensor_state state) {
    return state == TENSOR_CREATING ? "being created" : state == TENSOR_COMPLETE ? "complete" : "being dropped";
}

/* ADOPT, COMPLETE, DROP, DROPPED: changes of an entry that is there. */
static enum canyon_status apply_state(struct shard *shard, const struct command *command, struct error *error) {
    struct catalogue_entry *entry = catalogue_find_id(&shard->catalogue, command->tensor);
    if (entry == NULL) {
        return error_set(error, CANYON_NOT_FOUND, "no tensor with id %016" PRIx64, command->tensor);
    }
    const char *name = entry->info.spec.name;
    enum tensor_state state = entry->info.state;
    bool creators = memcmp(entry->creator, command->session, SESSION_BYTES) == 0;
    if (command->kind == COMMAND_DROP) {
        if (state == TENSOR_DROPPING) {
            return CANYON_OK;
        }
        entry->info.state = TENSOR_DROPPING;
    } else if (command->kind == COMMAND_DROPPED) {
        if (state != TENSOR_DROPPING) {
            return error_set(error, CANYON_CONFLICT, "tensor '%s' is %s, not being dropped: begin its drop first", name,
                             state_text(state));
        }
        catalogue_remove(&shard->catalogue, entry);
    } else if (command->kind == COMMAND_ADOPT) {
        if (state != TENSOR_CREATING) {
            return error_set(error, CANYON_CONFLICT, "tensor '%s' is %s: nobody can take over its creation", name,
                             state_text(state));
        }
        memcpy(entry->creator, command->session, SESSION_BYTES);
    } else {
        if (state == TENSOR_COMPLETE && creators) {
            return CANYON_OK;
        }
        if (state != TENSOR_CREATING || !creators) {
            return error_set(error, CANYON_CONFLICT, "tensor '%s' is %s%s: only its creator completes it", name,
                             state_text(state), state == TENSOR_CREATING ? " by another worker" : "");
        }
        entry->info.state = TENSOR_COMPLETE;
    }
    shard->sequence++;
    return CANYON_OK;
}

/* Settings may change; what the tensor is may not. */
static enum canyon_status check_settings(const struct tensor_spec *here, const struct command *command,
                                         struct error *error) {
    struct tensor_spec expected = *here;
    enum canyon_status status = check_canonical(command, error);
    if (status == CANYON_OK && strcmp(here->optimizer.name, command->spec->optimizer.name) == 0) {
        expected.optimizer = command->spec->optimizer;
    }
    return status == CANYON_OK ? shard_same_spec(&expected, command->spec, error) : status;
}

static enum canyon_status apply_set(struct shard *shard, const struct command *command, struct error *error) {
    struct catalogue_entry *entry = catalogue_find_id(&shard->catalogue, command->tensor);
    if (entry == NULL) {
        return error_set(error, CANYON_NOT_FOUND, "no tensor with id %016" PRIx64, command->tensor);
    }
    struct tensor_info *info = &entry->info;
    if (info->state != TENSOR_COMPLETE) {
        return error_set(error, CANYON_CONFLICT, "tensor '%s' is %s: its settings cannot be changed", info->spec.name,
                         state_text(info->state));
    }
    enum canyon_status status = check_settings(&info->spec, command, error);
    if (status != CANYON_OK || optimizer_spec_equal(&info->spec.optimizer, &command->spec->optimizer)) {
        return status;
    }
    if (command->version != info->epoch + 1) {
        return error_set(error, CANYON_CONFLICT,
                         "the settings of tensor '%s' were changed %" PRIu64 " times; epoch %" PRIu64 " is not next",
                         info->spec.name, info->epoch, command->version);
    }
    info->spec.optimizer = command->spec->optimizer;
    info->epoch = command->version;
    shard->sequence++;
    return CANYON_OK;
}

/* ---- Parts ---- */

/* Judges a DEFINE. OK with *adds false: there is nothing to do. */
static enum canyon_status judge_define(const struct shard *shard, const struct command *command, bool *adds,
                                       struct error *error) {
    const struct tensor_spec *spec = command->spec;
    struct dense_size size;
    enum canyon_status status = check_canonical(command, error);
    *adds = false;
    if (status != CANYON_OK) {
        return status;
    }
    const struct dense *here = part_of(directory_find_id(&shard->parts, command->tensor));
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
    dense_measure(shard->job, shard->index, spec, &size);
    *adds = size.blocks > 0;
    if (*adds && shard->parts.count >= LIMIT_TENSORS) {
        return error_set(error, CANYON_TOO_LARGE, "shard %u holds parts of %d tensors, the most it may", shard->index,
                         LIMIT_TENSORS);
    }
    return CANYON_OK;
}

void shard_release(struct shard *shard) {
    dense_destroy(shard->reserved);
    shard->reserved = NULL;
}

enum canyon_status shard_reserve(struct shard *shard, const struct command *command, struct error *error) {
    bool adds = false;
    assert(command->kind == COMMAND_DEFINE);
    shard_release(shard);
    enum canyon_status status = judge_define(shard, command, &adds, error);
    if (status != CANYON_OK || !adds) {
        return status;
    }
    if (directory_reserve(&shard->parts)) {
        shard->reserved = dense_create(shard->job, shard->index, command->tensor, command->spec, shard->memory);
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
    struct dense *part = part_of(directory_find_id(&shard->parts, command->tensor));
    if (part == NULL) {
        return error_set(error, CANYON_NOT_FOUND, "shard %u has no tensor with id %016" PRIx64, shard->index,
                         command->tensor);
    }
    enum canyon_status status = check_settings(&part->spec, command, error);
    if (status == CANYON_OK && command->version > part->epoch) {
        dense_adjust(part, &command->spec->optimizer, command->version);
        shard->sequence++;
    }
    return status;
}

static void apply_undefine(struct shard *shard, const struct command *command) {
    struct dense *part = part_of(directory_find_id(&shard->parts, command->tensor));
    if (part != NULL) {
        directory_remove(&shard->parts, &part->key);
        dense_destroy(part);
        shard->sequence++;
    }
}

/* Part and place of a block, or an error that says what is missing. */
static enum canyon_status find_block(const struct shard *shard, uint64_t tensor, uint32_t block, struct dense **part,
                                     size_t *place, struct error *error) {
    *part = part_of(directory_find_id(&shard->parts, tensor));
    if (*part == NULL) {
        return error_set(error, CANYON_NOT_FOUND, "shard %u has no tensor with id %016" PRIx64, shard->index, tensor);
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

/* ASSIGN and PUSH. */
static enum canyon_status apply_values(struct shard *shard, const struct command *command, struct shard_reply *reply,
                                       struct error *error) {
    struct dense *part = NULL;
    size_t place = 0;
    bool pushes = command->kind == COMMAND_PUSH;
    enum canyon_status status = find_block(shard, command->tensor, command->block, &part, &place, error);
    if (status == CANYON_OK) {
        status = pushes ? check_gradient(part, place, command, error)
                        : slot_check(part, place, command->slot, command->values, command->count, error);
    }
    if (status != CANYON_OK) {
        return status;
    }
    uint64_t version = part->blocks[place].version;
    if (pushes) {
        dense_push(part, place, command->values);
        reply->staleness = version > command->version ? version - command->version : 0;
    } else {
        slot_assign(part, place, command->slot, command->values);
    }
    reply->version = part->blocks[place].version;
    reply->weights = dense_weights(part, place);
    reply->elements = dense_elements(part, place);
    shard->sequence++;
    return CANYON_OK;
}

/* ---- What the header promises ---- */

static bool catalogues(enum command_kind kind) {
    return kind <= COMMAND_DROPPED || kind == COMMAND_SET;
}

enum canyon_status shard_apply(struct shard *shard, const struct command *command, struct shard_reply *reply,
                               struct error *error) {
    uint64_t before = shard->sequence;
    enum canyon_status status = CANYON_OK;
    memset(reply, 0, sizeof *reply);
    if (catalogues(command->kind) && shard->index != 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "shard %u has no catalogue, shard 0 has it", shard->index);
    }
    switch (command->kind) {
    case COMMAND_CREATE:
        status = apply_create(shard, command, error);
        break;
    case COMMAND_ADOPT:
    case COMMAND_COMPLETE:
    case COMMAND_DROP:
    case COMMAND_DROPPED:
        status = apply_state(shard, command, error);
        break;
    case COMMAND_DEFINE:
        status = apply_define(shard, command, error);
        break;
    case COMMAND_UNDEFINE:
        apply_undefine(shard, command);
        break;
    case COMMAND_SET:
        status = apply_set(shard, command, error);
        break;
    case COMMAND_ADJUST:
        status = apply_adjust(shard, command, error);
        break;
    case COMMAND_ASSIGN:
    case COMMAND_PUSH:
        status = apply_values(shard, command, reply, error);
        break;
    }
    assert(status == CANYON_OK || shard->sequence == before);
    reply->sequence = shard->sequence > before ? shard->sequence : 0;
    return status;
}

enum canyon_status shard_read(const struct shard *shard, uint64_t tensor, uint32_t block, uint32_t slot,
                              struct shard_block *view, struct error *error) {
    struct dense *part = NULL;
    size_t place = 0;
    enum canyon_status status = find_block(shard, tensor, block, &part, &place, error);
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
    dense_measure(shard->job, shard->index, spec, &size);
    return size.bytes;
}

const struct tensor_info *shard_find_name(const struct shard *shard, const char *name) {
    const struct catalogue_entry *entry = catalogue_find_name(&shard->catalogue, name);
    return entry == NULL ? NULL : &entry->info;
}

const struct tensor_info *shard_find_id(const struct shard *shard, uint64_t tensor) {
    const struct catalogue_entry *entry = catalogue_find_id(&shard->catalogue, tensor);
    return entry == NULL ? NULL : &entry->info;
}

const struct tensor_info *shard_next_name(const struct shard *shard, const char *after) {
    const struct catalogue_entry *entry = catalogue_next_name(&shard->catalogue, after);
    return entry == NULL ? NULL : &entry->info;
}

const struct optimizer_spec *shard_created_with(const struct shard *shard, uint64_t tensor) {
    const struct catalogue_entry *entry = catalogue_find_id(&shard->catalogue, tensor);
    return entry == NULL ? NULL : &entry->created;
}

const uint8_t *shard_creator(const struct shard *shard, uint64_t tensor) {
    const struct catalogue_entry *entry = catalogue_find_id(&shard->catalogue, tensor);
    return entry == NULL || entry->info.state != TENSOR_CREATING ? NULL : entry->creator;
}

uint64_t shard_sequence(const struct shard *shard) {
    return shard->sequence;
}

void shard_totals(const struct shard *shard, struct shard_totals *totals) {
    memset(totals, 0, sizeof *totals);
    totals->tensors = shard->parts.count;
    for (size_t i = 0; i < shard->parts.count; i++) {
        const struct dense *part = part_of(shard->parts.by_name[i]);
        totals->parameters += part->size.elements;
        totals->state_bytes += part->size.bytes;
        totals->kept += part->kept;
        totals->skipped += part->skipped;
        totals->clipped += part->clipped;
    }
}

void shard_digest(const struct shard *shard, uint8_t digest[HASH_BYTES]) {
    struct hash hash;
    hash_init(&hash);
    hash_u32(&hash, shard->index);
    hash_u64(&hash, shard->sequence);
    catalogue_digest(&shard->catalogue, &hash);
    hash_u64(&hash, shard->parts.count);
    for (size_t i = 0; i < shard->parts.count; i++) {
        dense_digest(part_of(shard->parts.by_name[i]), &hash);
    }
    hash_final(&hash, digest);
}
