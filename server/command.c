#include "server/command.h"

#include <assert.h>

#include "common/endian.h"

/* Which fields a kind uses; the others are zero in its string. */
struct fields {
    bool tensor, session, spec, block, slot, version, values, rows, clock, number, verdict, pace;
};

static const struct fields fields_of[] = {
    [COMMAND_CREATE] = {.tensor = true, .session = true, .spec = true},
    [COMMAND_ADOPT] = {.tensor = true, .session = true},
    [COMMAND_COMPLETE] = {.tensor = true, .session = true},
    [COMMAND_DROP] = {.tensor = true},
    [COMMAND_DROPPED] = {.tensor = true},
    [COMMAND_DEFINE] = {.tensor = true, .spec = true},
    [COMMAND_UNDEFINE] = {.tensor = true},
    [COMMAND_ASSIGN] = {.tensor = true, .block = true, .slot = true, .values = true, .number = true},
    [COMMAND_PUSH] = {.tensor = true, .block = true, .version = true, .values = true, .number = true},
    [COMMAND_SET] = {.tensor = true, .spec = true, .version = true},
    [COMMAND_ADJUST] = {.tensor = true, .spec = true, .version = true},
    [COMMAND_TABLE_PUSH] =
        {.tensor = true, .version = true, .values = true, .rows = true, .clock = true, .number = true},
    [COMMAND_TABLE_TOUCH] = {.tensor = true, .rows = true, .clock = true, .number = true},
    [COMMAND_TABLE_ERASE] = {.tensor = true, .rows = true, .number = true},
    [COMMAND_REFUSE] = {.session = true, .number = true, .verdict = true},
    [COMMAND_EVICT] = {.session = true},
    [COMMAND_CONTRIBUTE] =
        {.tensor = true, .block = true, .version = true, .values = true, .clock = true, .number = true, .pace = true},
    [COMMAND_CLOSE] = {.clock = true},
    [COMMAND_CONSISTENCY] = {.clock = true, .pace = true},
    [COMMAND_TABLE_CONTRIBUTE] =
        {.tensor = true, .version = true, .values = true, .rows = true, .clock = true, .number = true, .pace = true},
};

static bool kind_known(unsigned kind) {
    return kind >= COMMAND_CREATE && kind <= COMMAND_LAST;
}

/* ---- Writing ---- */

static uint8_t *put_u32(uint8_t *at, uint32_t value) {
    store_u32(at, value);
    return at + 4;
}

static uint8_t *put_u64(uint8_t *at, uint64_t value) {
    store_u64(at, value);
    return at + 8;
}

static uint8_t *put_f64(uint8_t *at, double value) {
    memcpy(at, &value, 8);
    return at + 8;
}

static uint8_t *put_text(uint8_t *at, const char *text) {
    size_t length = strlen(text);
    store_u16(at, (uint16_t)length);
    memcpy(at + 2, text, length);
    return at + 2 + length;
}

size_t command_spec_bytes(const struct tensor_spec *spec) {
    size_t bytes = 2 + strlen(spec->name) + 4 + spec->shape.rank * (size_t)8 + 2 + strlen(spec->optimizer.name) + 4;
    for (uint32_t i = 0; i < spec->optimizer.count; i++) {
        bytes += 2 + strlen(spec->optimizer.settings[i].name) + 8;
    }
    return bytes + 4 + 8 + 8 + 8 + 4 + 8 + 8;
}

size_t command_spec_encode(const struct tensor_spec *spec, uint8_t *bytes) {
    uint8_t *at = put_text(bytes, spec->name);
    at = put_u32(at, spec->shape.rank);
    for (uint32_t i = 0; i < spec->shape.rank; i++) {
        at = put_u64(at, spec->shape.dims[i]);
    }
    at = put_text(at, spec->optimizer.name);
    at = put_u32(at, spec->optimizer.count);
    for (uint32_t i = 0; i < spec->optimizer.count; i++) {
        at = put_text(at, spec->optimizer.settings[i].name);
        at = put_f64(at, spec->optimizer.settings[i].value);
    }
    at = put_u32(at, (uint32_t)spec->initializer.kind);
    at = put_u64(at, spec->initializer.seed);
    at = put_f64(at, spec->initializer.a);
    at = put_f64(at, spec->initializer.b);
    at = put_u32(at, (uint32_t)spec->kind);
    at = put_u64(at, spec->row_cap);
    at = put_u64(at, spec->capacity);
    return (size_t)(at - bytes);
}

bool command_specs_equal(const struct tensor_spec *one, const struct tensor_spec *other) {
    uint8_t first[COMMAND_SPEC_LIMIT], second[COMMAND_SPEC_LIMIT];
    size_t bytes = command_spec_encode(one, first);
    return bytes == command_spec_encode(other, second) && memcmp(first, second, bytes) == 0;
}

size_t command_bytes(const struct command *command) {
    const struct fields *fields = &fields_of[command->kind];
    size_t bytes = COMMAND_HEAD_BYTES + (fields->pace ? COMMAND_PACE_BYTES : 0);
    if (fields->spec) {
        bytes += command_spec_bytes(command->spec);
    }
    if (fields->rows) {
        bytes += command->rows * sizeof(uint64_t);
    }
    if (fields->values) {
        bytes += command->count * sizeof(float);
    }
    return bytes;
}

/* Fields that are not of the kind are zero in a command, and so in its pace. */
static void encode_pace(const struct command *command, uint8_t *at) {
    at = put_u32(at, command->rank);
    at = put_u32(at, command->mode.staleness);
    *at++ = (uint8_t)command->mode.mode;
    *at++ = (uint8_t)command->mode.combine;
    *at++ = (uint8_t)command->mode.order;
    *at++ = command->turns;
    put_u32(at, command->mode.minimum);
}

void command_encode(const struct command *command, uint8_t *bytes) {
    assert(kind_known(command->kind));
    const struct fields *fields = &fields_of[command->kind];
    memset(bytes, 0, COMMAND_HEAD_BYTES);
    bytes[0] = COMMAND_VERSION;
    bytes[1] = (uint8_t)command->kind;
    if (fields->tensor) {
        store_u64(bytes + 8, command->tensor);
    }
    if (fields->verdict) {
        assert(command->verdict != CANYON_OK && command->number != 0);
        bytes[3] = (uint8_t)command->verdict;
    }
    if (fields->block) {
        store_u32(bytes + 4, command->block);
    }
    if (fields->slot) {
        bytes[2] = command->slot;
    }
    if (fields->session || (fields->number && command->number != 0)) {
        memcpy(bytes + 16, command->session, SESSION_BYTES);
    }
    if (fields->number) {
        store_u64(bytes + 56, command->number);
    }
    if (fields->version) {
        store_u64(bytes + 32, command->version);
    }
    if (fields->spec) {
        store_u32(bytes + 40, (uint32_t)command_spec_encode(command->spec, bytes + COMMAND_HEAD_BYTES));
    }
    if (fields->clock) {
        store_u64(bytes + 48, command->clock);
    }
    uint8_t *body = bytes + COMMAND_HEAD_BYTES;
    if (fields->pace) {
        encode_pace(command, body);
        body += COMMAND_PACE_BYTES;
    }
    if (fields->rows && command->rows > 0) {
        assert(command->rows <= LIMIT_BATCH_ROWS);
        store_u32(bytes + 4, (uint32_t)command->rows);
        memcpy(body, command->ids, command->rows * sizeof(uint64_t));
        body += command->rows * sizeof(uint64_t);
    }
    if (fields->values && command->count > 0) {
        assert(command->count <= LIMIT_BLOCK_HIGH);
        store_u32(bytes + 44, (uint32_t)command->count);
        memcpy(body, command->values, command->count * sizeof(float));
    }
}

/* ---- Reading ---- */

/* What is left of a string; `bad` once anything did not fit. */
struct reader {
    const uint8_t *at;
    size_t left;
    bool bad;
};

static const uint8_t *take(struct reader *reader, size_t bytes) {
    static const uint8_t zeros[8];
    const uint8_t *at = reader->at;
    if (reader->bad || reader->left < bytes) {
        reader->bad = true;
        assert(bytes <= sizeof zeros);
        return zeros;
    }
    reader->at += bytes;
    reader->left -= bytes;
    return at;
}

static uint32_t take_u32(struct reader *reader) {
    return load_u32(take(reader, 4));
}

static uint64_t take_u64(struct reader *reader) {
    return load_u64(take(reader, 8));
}

static double take_f64(struct reader *reader) {
    double value;
    memcpy(&value, take(reader, 8), 8);
    return value;
}

static void take_text(struct reader *reader, char *text, size_t room) {
    size_t length = load_u16(take(reader, 2));
    if (reader->bad || length >= room || length > reader->left || memchr(reader->at, 0, length) != NULL) {
        reader->bad = true;
        return;
    }
    memcpy(text, reader->at, length);
    text[length] = '\0';
    reader->at += length;
    reader->left -= length;
}

static uint32_t take_count(struct reader *reader, uint32_t most) {
    uint32_t count = take_u32(reader);
    if (count > most) {
        reader->bad = true;
        count = 0;
    }
    return count;
}

static bool spec_decode(const uint8_t *bytes, size_t count, struct tensor_spec *spec) {
    struct reader reader = {.at = bytes, .left = count};
    memset(spec, 0, sizeof *spec);
    take_text(&reader, spec->name, sizeof spec->name);
    spec->shape.rank = take_count(&reader, LIMIT_RANK);
    for (uint32_t i = 0; i < spec->shape.rank; i++) {
        spec->shape.dims[i] = take_u64(&reader);
    }
    take_text(&reader, spec->optimizer.name, sizeof spec->optimizer.name);
    spec->optimizer.count = take_count(&reader, LIMIT_SETTINGS);
    for (uint32_t i = 0; i < spec->optimizer.count; i++) {
        take_text(&reader, spec->optimizer.settings[i].name, sizeof spec->optimizer.settings[i].name);
        spec->optimizer.settings[i].value = take_f64(&reader);
    }
    spec->initializer.kind = (enum initializer_kind)take_count(&reader, INITIALIZER_VALUES);
    spec->initializer.seed = take_u64(&reader);
    spec->initializer.a = take_f64(&reader);
    spec->initializer.b = take_f64(&reader);
    spec->kind = (enum tensor_kind)take_count(&reader, TENSOR_TABLE);
    spec->row_cap = take_u64(&reader);
    spec->capacity = take_u64(&reader);
    return !reader.bad && reader.left == 0;
}

/* False for one that encode_pace never writes. */
static bool decode_pace(const uint8_t *at, struct command *command) {
    command->rank = load_u32(at);
    command->mode = (struct consistency){.mode = (enum consistency_mode)at[8],
                                         .staleness = load_u32(at + 4),
                                         .combine = (enum consistency_combine)at[9],
                                         .order = (enum consistency_order)at[10],
                                         .minimum = load_u32(at + 12)};
    command->turns = at[11] != 0;
    bool sets = command->kind == COMMAND_CONSISTENCY;
    static const struct consistency none = {.mode = CONSISTENCY_ASYNC};
    return at[11] <= (sets ? 1 : 0) && command->rank <= (sets ? 0 : LIMIT_MEMBERS - 1) &&
           (sets ? consistency_check(&command->mode, NULL) == CANYON_OK : consistency_equal(&command->mode, &none));
}

/* Whether the unused fields of the head are zero, as the one canonical form wants. */
static bool head_canonical(const uint8_t *bytes, const struct fields *fields) {
    static const uint8_t zeros[SESSION_BYTES];
    const bool numbered = fields->number && load_u64(bytes + 56) != 0;
    return (fields->slot || bytes[2] == 0) &&
           (fields->verdict ? numbered && bytes[3] != 0 && bytes[3] <= CANYON_STATUS_LAST : bytes[3] == 0) &&
           (fields->block || fields->rows || load_u32(bytes + 4) == 0) &&
           (fields->tensor || load_u64(bytes + 8) == 0) &&
           (fields->session || numbered || memcmp(bytes + 16, zeros, SESSION_BYTES) == 0) &&
           (fields->version || load_u64(bytes + 32) == 0) && (fields->spec || load_u32(bytes + 40) == 0) &&
           (fields->values || load_u32(bytes + 44) == 0) && (fields->clock || load_u64(bytes + 48) == 0) &&
           (fields->number || load_u64(bytes + 56) == 0);
}

enum canyon_status command_decode(const uint8_t *bytes, size_t count, struct tensor_spec *spec, struct command *command,
                                  struct error *error) {
    if (count < COMMAND_HEAD_BYTES) {
        return error_set(error, CANYON_PROTOCOL, "a command has at least %d bytes, this one has %zu",
                         COMMAND_HEAD_BYTES, count);
    }
    if (bytes[0] != COMMAND_VERSION) {
        return error_set(error, CANYON_PROTOCOL, "command form %u, this build reads form %d", bytes[0],
                         COMMAND_VERSION);
    }
    if (!kind_known(bytes[1])) {
        return error_set(error, CANYON_PROTOCOL, "command kind %u is none", bytes[1]);
    }
    const struct fields *fields = &fields_of[bytes[1]];
    if (!head_canonical(bytes, fields)) {
        return error_set(error, CANYON_PROTOCOL, "command kind %u sets a field it does not have, or lacks one",
                         bytes[1]);
    }
    size_t spec_bytes = load_u32(bytes + 40), values = load_u32(bytes + 44);
    size_t rows = fields->rows ? load_u32(bytes + 4) : 0, pace = fields->pace ? COMMAND_PACE_BYTES : 0;
    if (values > LIMIT_BLOCK_HIGH || rows > LIMIT_BATCH_ROWS ||
        count - COMMAND_HEAD_BYTES != pace + spec_bytes + rows * sizeof(uint64_t) + values * sizeof(float)) {
        return error_set(error, CANYON_PROTOCOL,
                         "command of %zu bytes tells of %zu of spec, %zu ids and %zu values; at most %d and %u", count,
                         spec_bytes, rows, values, LIMIT_BATCH_ROWS, LIMIT_BLOCK_HIGH);
    }
    memset(command, 0, sizeof *command);
    if (fields->spec) {
        if (!spec_decode(bytes + COMMAND_HEAD_BYTES, spec_bytes, spec)) {
            return error_set(error, CANYON_PROTOCOL, "the spec of command kind %u is not canonical", bytes[1]);
        }
        command->spec = spec;
    }
    command->kind = (enum command_kind)bytes[1];
    if (pace > 0 && !decode_pace(bytes + COMMAND_HEAD_BYTES, command)) {
        return error_set(error, CANYON_PROTOCOL, "the pace of command kind %u is not canonical", bytes[1]);
    }
    command->slot = bytes[2];
    command->block = fields->block ? load_u32(bytes + 4) : 0;
    command->tensor = load_u64(bytes + 8);
    memcpy(command->session, bytes + 16, SESSION_BYTES);
    command->verdict = (enum canyon_status)bytes[3];
    command->clock = load_u64(bytes + 48);
    if (command->kind >= COMMAND_CONTRIBUTE && (command->clock == 0 || command->clock > LIMIT_CLOCK)) {
        return error_set(error, CANYON_PROTOCOL, "command kind %u has a clock that is none", bytes[1]);
    }
    command->number = load_u64(bytes + 56);
    command->rows = rows;
    command->version = load_u64(bytes + 32);
    command->count = values;
    /* Head and pace are multiples of eight bytes, so ids and values are aligned when the string is. */
    if (rows > 0) {
        command->ids = (const uint64_t *)(const void *)(bytes + COMMAND_HEAD_BYTES + pace);
    }
    if (values > 0) {
        command->values = (const float *)(const void *)(bytes + COMMAND_HEAD_BYTES + pace + rows * sizeof(uint64_t));
    }
    return CANYON_OK;
}
