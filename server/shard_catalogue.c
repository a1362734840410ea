/* The catalogue's commands, which only shard 0 has, and what is read of it. */
#include <inttypes.h>
#include <string.h>

#include "server/shard_state.h"

/* A command from a byte string may hold anything that can be encoded; only what shard_canonical_spec makes is applied.
 */
enum canyon_status shard_check_canonical(const struct command *command, struct error *error) {
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

static enum canyon_status apply_create(struct shard *shard, const struct command *command, struct error *error) {
    const char *name = command->spec->name;
    enum canyon_status status = shard_check_canonical(command, error);
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
enum canyon_status shard_check_settings(const struct tensor_spec *here, const struct command *command,
                                        struct error *error) {
    struct tensor_spec expected = *here;
    enum canyon_status status = shard_check_canonical(command, error);
    if (status == CANYON_OK && rule_steps(&here->optimizer) != rule_steps(&command->spec->optimizer)) {
        return error_set(error, CANYON_MISMATCH, "table '%s': its steps setting cannot be changed", here->name);
    }
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
    enum canyon_status status = shard_check_settings(&info->spec, command, error);
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

enum canyon_status shard_apply_catalogue(struct shard *shard, const struct command *command, struct error *error) {
    if (shard->index != 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "shard %u has no catalogue, shard 0 has it", shard->index);
    }
    switch (command->kind) {
    case COMMAND_CREATE:
        return apply_create(shard, command, error);
    case COMMAND_SET:
        return apply_set(shard, command, error);
    default:
        return apply_state(shard, command, error);
    }
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
