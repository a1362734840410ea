/* The messages of the catalogue: create, open, define, complete, drop, list. */
#include <assert.h>
#include <string.h>

#include "common/message_codec.h"

/* protobuf-c packs from structs that point to one another; this is the room of one tensor's. */
struct wire_spec {
    Canyon__TensorSpec spec;
    Canyon__Setting settings[LIMIT_SETTINGS];
    Canyon__Setting *list[LIMIT_SETTINGS];
    uint64_t dims[LIMIT_RANK];
};

struct wire_info {
    Canyon__TensorInfo info;
    struct wire_spec spec;
};

static void give_settings(const struct setting *settings, uint32_t count, Canyon__Setting *wire,
                          Canyon__Setting **list) {
    assert(count <= LIMIT_SETTINGS);
    for (uint32_t i = 0; i < count; i++) {
        canyon__setting__init(&wire[i]);
        wire[i].name = message_give_text(settings[i].name);
        wire[i].value = settings[i].value;
        list[i] = &wire[i];
    }
}

static uint32_t take_settings(struct message_unpacking *unpacking, const char *field, Canyon__Setting *const *list,
                              size_t given, struct setting settings[LIMIT_SETTINGS]) {
    uint32_t count = message_take_count(unpacking, field, given, LIMIT_SETTINGS);
    for (uint32_t i = 0; i < count; i++) {
        message_take_text(unpacking, field, list[i]->name, settings[i].name, sizeof settings[i].name);
        settings[i].value = list[i]->value;
    }
    return count;
}

static void give_spec(const struct tensor_spec *spec, struct wire_spec *wire) {
    assert(spec->shape.rank <= LIMIT_RANK);
    canyon__tensor_spec__init(&wire->spec);
    wire->spec.name = message_give_text(spec->name);
    memcpy(wire->dims, spec->shape.dims, sizeof wire->dims);
    wire->spec.n_shape = spec->shape.rank;
    wire->spec.shape = wire->dims;
    wire->spec.optimizer = message_give_text(spec->optimizer.name);
    give_settings(spec->optimizer.settings, spec->optimizer.count, wire->settings, wire->list);
    wire->spec.n_settings = spec->optimizer.count;
    wire->spec.settings = wire->list;
    wire->spec.initializer = (uint32_t)spec->initializer.kind;
    wire->spec.seed = spec->initializer.seed;
    wire->spec.a = spec->initializer.a;
    wire->spec.b = spec->initializer.b;
    wire->spec.kind = (uint32_t)spec->kind;
    wire->spec.row_cap = spec->row_cap;
    wire->spec.capacity = spec->capacity;
}

static void take_spec(struct message_unpacking *unpacking, const Canyon__TensorSpec *wire, struct tensor_spec *spec) {
    if (wire == NULL) {
        message_fail(unpacking, "spec is missing");
        return;
    }
    message_take_text(unpacking, "spec.name", wire->name, spec->name, sizeof spec->name);
    spec->shape.rank = message_take_count(unpacking, "dimensions in spec.shape", wire->n_shape, LIMIT_RANK);
    for (uint32_t i = 0; i < spec->shape.rank; i++) {
        spec->shape.dims[i] = wire->shape[i];
    }
    struct optimizer_spec *optimizer = &spec->optimizer;
    message_take_text(unpacking, "spec.optimizer", wire->optimizer, optimizer->name, sizeof optimizer->name);
    optimizer->count = take_settings(unpacking, "spec.settings", wire->settings, wire->n_settings, optimizer->settings);
    spec->initializer.kind = (enum initializer_kind)message_take_number(
        unpacking, "spec.initializer", wire->initializer, INITIALIZER_ZEROS, INITIALIZER_VALUES);
    spec->initializer.seed = wire->seed;
    spec->initializer.a = wire->a;
    spec->initializer.b = wire->b;
    spec->kind = (enum tensor_kind)message_take_number(unpacking, "spec.kind", wire->kind, TENSOR_DENSE, TENSOR_TABLE);
    spec->row_cap = wire->row_cap;
    spec->capacity = wire->capacity;
}

static Canyon__TensorInfo *give_info(const struct tensor_info *info, struct wire_info *wire) {
    canyon__tensor_info__init(&wire->info);
    wire->info.id = info->id;
    wire->info.state = (uint32_t)info->state;
    wire->info.epoch = info->epoch;
    give_spec(&info->spec, &wire->spec);
    wire->info.spec = &wire->spec.spec;
    return &wire->info;
}

static void take_info(struct message_unpacking *unpacking, const Canyon__TensorInfo *wire, struct tensor_info *info) {
    if (wire == NULL) {
        message_fail(unpacking, "tensor is missing");
        return;
    }
    info->id = message_take_number(unpacking, "tensor.id", wire->id, 1, UINT64_MAX);
    info->state = (enum tensor_state)message_take_number(unpacking, "tensor.state", wire->state, TENSOR_CREATING,
                                                         TENSOR_DROPPING);
    info->epoch = wire->epoch;
    take_spec(unpacking, wire->spec, &info->spec);
}

size_t message_pack_create(const struct message_create *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Create wire = CANYON__CREATE__INIT;
    struct wire_spec spec;
    give_spec(&message->spec, &spec);
    wire.spec = &spec.spec;
    wire.wait_ms = message->wait_ms;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_create(const uint8_t *bytes, size_t count, struct message_create *message,
                                         struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Create *wire = message_unpack(&unpacking, "CREATE", &canyon__create__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    take_spec(&unpacking, wire->spec, &message->spec);
    message->wait_ms = (uint32_t)message_take_number(&unpacking, "wait_ms", wire->wait_ms, 0, LIMIT_WAIT_MS);
    return unpacking.status;
}

size_t message_pack_created(const struct message_created *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Created wire = CANYON__CREATED__INIT;
    struct wire_info info;
    wire.tensor = give_info(&message->tensor, &info);
    wire.creator = message->creator;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_created(const uint8_t *bytes, size_t count, struct message_created *message,
                                          struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Created *wire =
        message_unpack(&unpacking, "CREATED", &canyon__created__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    take_info(&unpacking, wire->tensor, &message->tensor);
    message->creator = wire->creator != 0;
    return unpacking.status;
}

size_t message_pack_open(const struct message_open *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Open wire = CANYON__OPEN__INIT;
    wire.name = message_give_text(message->name);
    wire.wait_ms = message->wait_ms;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_open(const uint8_t *bytes, size_t count, struct message_open *message,
                                       struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Open *wire = message_unpack(&unpacking, "OPEN", &canyon__open__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message_take_text(&unpacking, "name", wire->name, message->name, sizeof message->name);
    message->wait_ms = (uint32_t)message_take_number(&unpacking, "wait_ms", wire->wait_ms, 0, LIMIT_WAIT_MS);
    return unpacking.status;
}

size_t message_pack_opened(const struct tensor_info *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Opened wire = CANYON__OPENED__INIT;
    struct wire_info info;
    wire.tensor = give_info(message, &info);
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_opened(const uint8_t *bytes, size_t count, struct tensor_info *message,
                                         struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Opened *wire = message_unpack(&unpacking, "OPENED", &canyon__opened__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    take_info(&unpacking, wire->tensor, message);
    return unpacking.status;
}

size_t message_pack_define(const struct tensor_info *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Define wire = CANYON__DEFINE__INIT;
    struct wire_info info;
    wire.tensor = give_info(message, &info);
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_define(const uint8_t *bytes, size_t count, struct tensor_info *message,
                                         struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Define *wire = message_unpack(&unpacking, "DEFINE", &canyon__define__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    take_info(&unpacking, wire->tensor, message);
    return unpacking.status;
}

size_t message_pack_tensor(const struct message_tensor *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Tensor wire = CANYON__TENSOR__INIT;
    wire.id = message->id;
    wire.name = message_give_text(message->name);
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_tensor(const uint8_t *bytes, size_t count, struct message_tensor *message,
                                         struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Tensor *wire = message_unpack(&unpacking, "TENSOR", &canyon__tensor__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->id = wire->id;
    message_take_text(&unpacking, "name", wire->name, message->name, sizeof message->name);
    return unpacking.status;
}

size_t message_pack_set(const struct message_set *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Set wire = CANYON__SET__INIT;
    Canyon__Setting settings[LIMIT_SETTINGS];
    Canyon__Setting *list[LIMIT_SETTINGS];
    give_settings(message->settings, message->count, settings, list);
    wire.id = message->id;
    wire.name = message_give_text(message->name);
    wire.n_settings = message->count;
    wire.settings = list;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_set(const uint8_t *bytes, size_t count, struct message_set *message,
                                      struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Set *wire = message_unpack(&unpacking, "SET", &canyon__set__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->id = wire->id;
    message_take_text(&unpacking, "name", wire->name, message->name, sizeof message->name);
    message->count = take_settings(&unpacking, "settings", wire->settings, wire->n_settings, message->settings);
    return unpacking.status;
}

size_t message_pack_list(const struct message_list *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__List wire = CANYON__LIST__INIT;
    wire.after = message_give_text(message->after);
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_list(const uint8_t *bytes, size_t count, struct message_list *message,
                                       struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__List *wire = message_unpack(&unpacking, "LIST", &canyon__list__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message_take_text(&unpacking, "after", wire->after, message->after, sizeof message->after);
    return unpacking.status;
}

size_t message_pack_listed(const struct message_listed *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    assert(message->count <= MESSAGE_LIST_PAGE);
    Canyon__Listed wire = CANYON__LISTED__INIT;
    struct wire_info infos[MESSAGE_LIST_PAGE];
    Canyon__TensorInfo *list[MESSAGE_LIST_PAGE];
    for (uint32_t i = 0; i < message->count; i++) {
        list[i] = give_info(&message->tensors[i], &infos[i]);
    }
    wire.n_tensors = message->count;
    wire.tensors = list;
    wire.more = message->more;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_listed(const uint8_t *bytes, size_t count, struct message_listed *message,
                                         struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Listed *wire = message_unpack(&unpacking, "LISTED", &canyon__listed__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->count = message_take_count(&unpacking, "tensors", wire->n_tensors, MESSAGE_LIST_PAGE);
    for (uint32_t i = 0; i < message->count; i++) {
        take_info(&unpacking, wire->tensors[i], &message->tensors[i]);
    }
    message->more = wire->more != 0;
    return unpacking.status;
}
