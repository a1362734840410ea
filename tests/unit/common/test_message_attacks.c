/* Bytes that are no message, or try to cost more than they should: an error naming the fault, never anything worse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "message_kinds.h"

/* Copies to the heap first, so that a read past the end is seen. Checks what holds for every outcome. */
static enum canyon_status try_to_unpack(const struct message_kind *kind, const uint8_t *bytes, size_t count,
                                        struct error *error) {
    uint8_t *exact = malloc(count == 0 ? 1 : count);
    assert_non_null(exact);
    memcpy(exact, bytes, count);
    union any_message message;
    memset(&message, 0xa5, sizeof message);
    error->text[0] = '\0';
    enum canyon_status status = kind->unpack(exact, count, &message, error);
    if (status == CANYON_OK) {
        /* What was accepted is within every limit, so it can be packed. */
        uint8_t again[LIMIT_MESSAGE_BYTES];
        kind->pack(&message, again);
    } else {
        assert_int_equal(status, CANYON_PROTOCOL);
        assert_int_equal(error->status, CANYON_PROTOCOL);
        assert_memory_equal(error->text, "message ", 8);
    }
    free(exact);
    return status;
}

static void truncated_at_every_byte(void **state) {
    (void)state;
    struct filling filling = {.random = 1, .largest = true};
    struct error error;
    for (size_t k = 0; k < MESSAGE_KINDS; k++) {
        union any_message message;
        memset(&message, 0, sizeof message);
        message_kinds[k].fill(&filling, &message);
        uint8_t bytes[LIMIT_MESSAGE_BYTES];
        size_t count = message_kinds[k].pack(&message, bytes);
        for (size_t cut = 0; cut < count; cut++) {
            try_to_unpack(&message_kinds[k], bytes, cut, &error);
        }
        /* Cut within the last field, which is never empty here, no message is whole. */
        assert_int_equal(try_to_unpack(&message_kinds[k], bytes, count - 1, &error), CANYON_PROTOCOL);
    }
}

static void flipped_bits(void **state) {
    (void)state;
    struct filling filling = {.random = seed_begin("flipped_bits")};
    struct error error;
    for (size_t k = 0; k < MESSAGE_KINDS; k++) {
        for (int round = 0; round < 1000; round++) {
            union any_message message;
            memset(&message, 0, sizeof message);
            filling.largest = round % 4 == 0;
            message_kinds[k].fill(&filling, &message);
            uint8_t bytes[LIMIT_MESSAGE_BYTES];
            size_t count = message_kinds[k].pack(&message, bytes);
            for (uint64_t flips = 1 + seed_below(&filling.random, 4); count > 0 && flips > 0; flips--) {
                bytes[seed_below(&filling.random, count)] ^= (uint8_t)(1u << seed_below(&filling.random, 8));
            }
            try_to_unpack(&message_kinds[k], bytes, count, &error);
        }
    }
}

static void garbage(void **state) {
    (void)state;
    uint64_t random = seed_begin("garbage");
    struct error error;
    for (size_t k = 0; k < MESSAGE_KINDS; k++) {
        for (int round = 0; round < 500; round++) {
            uint8_t bytes[LIMIT_MESSAGE_BYTES];
            size_t count = seed_below(&random, round % 2 == 0 ? 64 : sizeof bytes);
            for (size_t i = 0; i < count; i++) {
                bytes[i] = (uint8_t)seed_next(&random);
            }
            try_to_unpack(&message_kinds[k], bytes, count, &error);
        }
    }
}

static void too_many_bytes(void **state) {
    (void)state;
    static uint8_t bytes[LIMIT_MESSAGE_BYTES + 1];
    struct error error;
    for (size_t k = 0; k < MESSAGE_KINDS; k++) {
        assert_int_equal(try_to_unpack(&message_kinds[k], bytes, sizeof bytes, &error), CANYON_PROTOCOL);
        assert_non_null(strstr(error.text, "4097"));
        assert_non_null(strstr(error.text, "4096"));
    }
}

/* 4 KiB of the same two bytes: empty submessages, empty texts, unknown fields. */
static void bombs(void **state) {
    (void)state;
    struct error error;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    for (size_t k = 0; k < MESSAGE_KINDS; k++) {
        for (unsigned field = 1; field <= 15; field++) {
            for (unsigned wire = 0; wire <= 7; wire++) {
                for (size_t i = 0; i + 2 <= sizeof bytes; i += 2) {
                    bytes[i] = (uint8_t)(field << 3 | wire);
                    bytes[i + 1] = 0;
                }
                try_to_unpack(&message_kinds[k], bytes, sizeof bytes, &error);
            }
        }
    }
}

static enum canyon_status unpack_named(const char *name, const uint8_t *bytes, size_t count, struct error *error) {
    for (size_t k = 0; k < MESSAGE_KINDS; k++) {
        if (strcmp(message_kinds[k].name, name) == 0) {
            return try_to_unpack(&message_kinds[k], bytes, count, error);
        }
    }
    fail_msg("no message %s", name);
    return CANYON_INTERNAL;
}

/* The bombs that are refused for sure: repeated submessages and texts beyond their count. */
static void bombs_end_with_protocol(void **state) {
    (void)state;
    static const struct {
        const char *name;
        unsigned field;
    } bomb[] = {{"pieces", 1}, {"piece_results", 1}, {"listed", 1}, {"optimizer", 6}, {"optimizer", 7}, {"pieces", 15}};
    struct error error;
    for (size_t b = 0; b < sizeof bomb / sizeof bomb[0]; b++) {
        uint8_t bytes[LIMIT_MESSAGE_BYTES];
        for (size_t i = 0; i + 2 <= sizeof bytes; i += 2) {
            bytes[i] = (uint8_t)(bomb[b].field << 3 | 2);
            bytes[i + 1] = 0;
        }
        assert_int_equal(unpack_named(bomb[b].name, bytes, sizeof bytes, &error), CANYON_PROTOCOL);
    }
    /* A spec whose 2,000 dimensions take one byte each, and one with as many as a message can have. */
    uint8_t bytes[LIMIT_MESSAGE_BYTES] = {0x0a, 0xd3, 0x0f, 0x12, 0xd0, 0x0f};
    assert_int_equal(unpack_named("create", bytes, 6 + 2000, &error), CANYON_PROTOCOL);
    assert_non_null(strstr(error.text, "2000 dimensions"));
    static const uint8_t most[] = {0x0a, 0xf3, 0x1f, 0x12, 0xf0, 0x1f};
    memcpy(bytes, most, sizeof most);
    assert_int_equal(unpack_named("create", bytes, 6 + 4080, &error), CANYON_PROTOCOL);
}

/* Each line: a message that breaks one rule, and what the error must name. */
static void impossible_values_are_named(void **state) {
    (void)state;
    static const struct {
        const char *name, *expected;
        uint8_t bytes[64];
        size_t count;
    } cases[] = {
        {"hello", "session has 0 bytes", {0x08, 1}, 2},
        {"hello", "session has 15 bytes", {0x1a, 15}, 17},
        {"hello", "digest has 31 bytes", {0x1a, 16, [18] = 0x22, [19] = 31}, 51},
        {"welcome", "threads is 0", {0x08, 1}, 2},
        {"welcome", "threads is 257", {0x18, 0x81, 0x02}, 3},
        {"welcome", "thread is 4", {0x18, 4, 0x10, 4}, 4},
        {"error", "code is 0", {0x12, 1, 'x'}, 3},
        {"create", "spec is missing", {0x10, 1}, 2},
        {"create", "wait_ms is 86400001", {0x0a, 0, 0x10, 0x81, 0xb8, 0x99, 0x29}, 7},
        {"create", "spec.initializer is 7", {0x0a, 2, 0x28, 7}, 4},
        {"create", "9 dimensions", {0x0a, 11, 0x12, 9}, 13},
        {"created", "tensor is missing", {0x10, 1}, 2},
        {"opened", "tensor.id is 0", {0x0a, 4, 0x10, 1, 0x1a, 0}, 6},
        {"opened", "tensor.state is 0", {0x0a, 11, 0x09, 1, [11] = 0x1a, [12] = 0}, 13},
        {"opened", "tensor.state is 4", {0x0a, 13, 0x09, 1, [11] = 0x10, [12] = 4, [13] = 0x1a, [14] = 0}, 15},
        {"define", "spec is missing", {0x0a, 11, 0x09, 1, [11] = 0x10, [12] = 1}, 13},
        {"pieces", "pieces.elements is 4194305", {0x0a, 5, 0x18, 0x81, 0x80, 0x80, 0x02}, 7},
        {"barrier", "wait_ms is 4294967295", {0x18, 0xff, 0xff, 0xff, 0xff, 0x0f}, 6},
        {"open", "not a well-formed", {0x0a, 200}, 2},
        {"join", "not a well-formed", {0x00, 0x00}, 2},
    };
    struct error error;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(unpack_named(cases[i].name, cases[i].bytes, cases[i].count, &error), CANYON_PROTOCOL);
        if (strstr(error.text, cases[i].expected) == NULL) {
            fail_msg("case %zu: \"%s\" does not name \"%s\"", i, error.text, cases[i].expected);
        }
    }
}

static void long_texts_are_refused(void **state) {
    (void)state;
    uint8_t bytes[256] = {0x0a, 128, 1};
    memset(bytes + 3, 'n', 128);
    struct error error;
    static const char *const named[] = {"open", "barrier", "join"};
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++) {
        assert_int_equal(unpack_named(named[i], bytes, 3 + 128, &error), CANYON_PROTOCOL);
        assert_non_null(strstr(error.text, "name is longer than 127 bytes"));
        bytes[1] = 127, bytes[2] = 'n'; /* 127 of them fit; the length then takes one byte */
        assert_int_equal(unpack_named(named[i], bytes, 2 + 127, &error), CANYON_OK);
        bytes[1] = 128, bytes[2] = 1;
    }
}

/* The same submessage twice is merged by protobuf's rule, and no memory is lost or doubled by it. */
static void repeated_singular_submessages(void **state) {
    (void)state;
    static const uint8_t twice[] = {0x0a, 6, 0x0a, 1, 'a', 0x12, 1, 3,  /* spec: name a, shape [3] */
                                    0x0a, 6, 0x0a, 1, 'b', 0x12, 1, 4}; /* spec: name b, shape [4] */
    struct message_create create;
    assert_int_equal(message_unpack_create(twice, sizeof twice, &create, NULL), CANYON_OK);
    assert_string_equal(create.spec.name, "b");
    assert_int_equal(create.spec.shape.rank, 2);
    assert_int_equal(create.spec.shape.dims[0], 3);
    assert_int_equal(create.spec.shape.dims[1], 4);
    uint8_t many[LIMIT_MESSAGE_BYTES];
    struct error error;
    for (size_t at = 0; at + 8 <= sizeof many; at += 8) {
        memcpy(many + at, twice, 8);
    }
    assert_int_equal(unpack_named("create", many, sizeof many, &error), CANYON_PROTOCOL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(truncated_at_every_byte),
        cmocka_unit_test(flipped_bits),
        cmocka_unit_test(garbage),
        cmocka_unit_test(too_many_bytes),
        cmocka_unit_test(bombs),
        cmocka_unit_test(bombs_end_with_protocol),
        cmocka_unit_test(impossible_values_are_named),
        cmocka_unit_test(long_texts_are_refused),
        cmocka_unit_test(repeated_singular_submessages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
