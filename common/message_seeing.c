/* The messages that let people see: statistics, and the optimizers a server has. */
#include <assert.h>
#include <string.h>

#include "common/message_codec.h"

/* One list for both directions: a counter cannot be packed and forgotten in unpacking. */
#define EACH_COUNTER(X)                                                                                                \
    X(uptime_ms)                                                                                                       \
    X(connections)                                                                                                     \
    X(frames)                                                                                                          \
    X(bytes_in)                                                                                                        \
    X(bytes_out)                                                                                                       \
    X(pushes)                                                                                                          \
    X(pulls)                                                                                                           \
    X(assigns)                                                                                                         \
    X(refused)                                                                                                         \
    X(errors)                                                                                                          \
    X(tensors)                                                                                                         \
    X(parameters)                                                                                                      \
    X(state_bytes)                                                                                                     \
    X(staleness_sum)                                                                                                   \
    X(staleness_max)                                                                                                   \
    X(shards)                                                                                                          \
    X(parked)                                                                                                          \
    X(not_finite)                                                                                                      \
    X(kept)                                                                                                            \
    X(skipped)                                                                                                         \
    X(clipped)                                                                                                         \
    X(turned_away)                                                                                                     \
    X(aborted)                                                                                                         \
    X(values_in)                                                                                                       \
    X(values_in_single)                                                                                                \
    X(values_out)                                                                                                      \
    X(values_out_single)                                                                                               \
    X(tables)                                                                                                          \
    X(rows)                                                                                                            \
    X(rows_pushed)                                                                                                     \
    X(rows_pulled)                                                                                                     \
    X(rows_made)                                                                                                       \
    X(duplicates)                                                                                                      \
    X(gaps)                                                                                                            \
    X(sessions)
#define COPY_COUNTER(counter)  to->counter = from->counter;
#define COUNT_COUNTER(counter) +1

_Static_assert(sizeof(struct message_statistics) == (0 EACH_COUNTER(COUNT_COUNTER)) * sizeof(uint64_t),
               "every counter is in the list");

size_t message_pack_statistics(const struct message_statistics *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Statistics wire = CANYON__STATISTICS__INIT;
    const struct message_statistics *from = message;
    Canyon__Statistics *to = &wire;
    EACH_COUNTER(COPY_COUNTER)
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_statistics(const uint8_t *bytes, size_t count, struct message_statistics *message,
                                             struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Statistics *from =
        message_unpack(&unpacking, "STATISTICS", &canyon__statistics__descriptor, bytes, count, error);
    if (from == NULL) {
        return unpacking.status;
    }
    struct message_statistics *to = message;
    EACH_COUNTER(COPY_COUNTER)
    return unpacking.status;
}

size_t message_pack_optimizer_request(const struct message_optimizer_request *message,
                                      uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__OptimizerRequest wire = CANYON__OPTIMIZER_REQUEST__INIT;
    wire.index = message->index;
    wire.name = message_give_text(message->name);
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_optimizer_request(const uint8_t *bytes, size_t count,
                                                    struct message_optimizer_request *message, struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__OptimizerRequest *wire =
        message_unpack(&unpacking, "OPTIMIZER_REQUEST", &canyon__optimizer_request__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->index = wire->index;
    message_take_text(&unpacking, "name", wire->name, message->name, sizeof message->name);
    return unpacking.status;
}

static void give_hyperparameter(const struct message_hyperparameter *from, Canyon__Hyperparameter *to) {
    canyon__hyperparameter__init(to);
    to->name = message_give_text(from->name);
    to->fallback = from->fallback;
    to->low = from->low;
    to->high = from->high;
    to->low_open = from->low_open;
    to->high_open = from->high_open;
    to->meaning = message_give_text(from->meaning);
}

static void take_hyperparameter(struct message_unpacking *unpacking, const Canyon__Hyperparameter *from,
                                struct message_hyperparameter *to) {
    message_take_text(unpacking, "hyperparameters.name", from->name, to->name, sizeof to->name);
    to->fallback = from->fallback;
    to->low = from->low;
    to->high = from->high;
    to->low_open = from->low_open != 0;
    to->high_open = from->high_open != 0;
    message_take_text(unpacking, "hyperparameters.meaning", from->meaning, to->meaning, sizeof to->meaning);
}

size_t message_pack_optimizer(const struct message_optimizer *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    assert(message->slot_count <= LIMIT_SLOTS && message->scalar_count <= LIMIT_SCALARS &&
           message->hyperparameter_count <= LIMIT_HYPERPARAMETERS);
    Canyon__Optimizer wire = CANYON__OPTIMIZER__INIT;
    char *slots[LIMIT_SLOTS], *scalars[LIMIT_SCALARS];
    Canyon__Hyperparameter hyperparameters[LIMIT_HYPERPARAMETERS];
    Canyon__Hyperparameter *list[LIMIT_HYPERPARAMETERS];
    for (uint32_t i = 0; i < message->slot_count; i++) {
        slots[i] = message_give_text(message->slots[i]);
    }
    for (uint32_t i = 0; i < message->scalar_count; i++) {
        scalars[i] = message_give_text(message->scalars[i]);
    }
    for (uint32_t i = 0; i < message->hyperparameter_count; i++) {
        give_hyperparameter(&message->hyperparameters[i], &hyperparameters[i]);
        list[i] = &hyperparameters[i];
    }
    wire.index = message->index;
    wire.count = message->total;
    wire.name = message_give_text(message->name);
    wire.summary = message_give_text(message->summary);
    wire.source = message_give_text(message->source);
    wire.n_slots = message->slot_count;
    wire.slots = slots;
    wire.n_hyperparameters = message->hyperparameter_count;
    wire.hyperparameters = list;
    wire.rows_only = message->rows_only;
    wire.n_scalars = message->scalar_count;
    wire.scalars = scalars;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_optimizer(const uint8_t *bytes, size_t count, struct message_optimizer *message,
                                            struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Optimizer *wire =
        message_unpack(&unpacking, "OPTIMIZER", &canyon__optimizer__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->index = wire->index;
    message->total = message_take_count(&unpacking, "optimizers", wire->count, LIMIT_OPTIMIZERS);
    message_take_text(&unpacking, "name", wire->name, message->name, sizeof message->name);
    message_take_text(&unpacking, "summary", wire->summary, message->summary, sizeof message->summary);
    message_take_text(&unpacking, "source", wire->source, message->source, sizeof message->source);
    message->slot_count = message_take_count(&unpacking, "slots", wire->n_slots, LIMIT_SLOTS);
    for (uint32_t i = 0; i < message->slot_count; i++) {
        message_take_text(&unpacking, "slots", wire->slots[i], message->slots[i], sizeof message->slots[i]);
    }
    message->hyperparameter_count =
        message_take_count(&unpacking, "hyperparameters", wire->n_hyperparameters, LIMIT_HYPERPARAMETERS);
    for (uint32_t i = 0; i < message->hyperparameter_count; i++) {
        take_hyperparameter(&unpacking, wire->hyperparameters[i], &message->hyperparameters[i]);
    }
    message->rows_only = wire->rows_only != 0;
    message->scalar_count = message_take_count(&unpacking, "scalars", wire->n_scalars, LIMIT_SCALARS);
    for (uint32_t i = 0; i < message->scalar_count; i++) {
        message_take_text(&unpacking, "scalars", wire->scalars[i], message->scalars[i], sizeof message->scalars[i]);
    }
    return unpacking.status;
}
