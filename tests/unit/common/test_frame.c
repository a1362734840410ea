/* Frame headers: where each byte stands, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/frame.h"
#include "seed.h"

static void bytes_stand_where_the_header_says(void **state) {
    (void)state;
    static const uint8_t expected[FRAME_HEADER_BYTES] = {'C',  'N',  'Y',  'N',  1,    0,    0x1a, 0x00,
                                                         0x34, 0x0c, 0,    0,    0x7b, 0,    0,    0,
                                                         0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
    struct frame_header header = {.version = 99, /* filled in by the encoder */
                                  .flags = 7,
                                  .type = FRAME_PUSH_PULL,
                                  .message_bytes = 0xc34,
                                  .payload_bytes = 0x7b,
                                  .request = 0x1122334455667788u};
    uint8_t bytes[FRAME_HEADER_BYTES];
    frame_header_encode(&header, bytes);
    assert_memory_equal(bytes, expected, sizeof expected);
}

static void headers_come_back(void **state) {
    (void)state;
    uint64_t random = seed_begin("headers_come_back");
    for (int i = 0; i < 1000; i++) {
        struct frame_header header = {.version = FRAME_VERSION,
                                      .type = (uint16_t)seed_next(&random),
                                      .message_bytes = (uint32_t)seed_below(&random, LIMIT_MESSAGE_BYTES + 1),
                                      .payload_bytes = (uint32_t)seed_below(&random, FRAME_PAYLOAD_LIMIT + 1),
                                      .request = seed_next(&random)};
        struct frame_header back;
        uint8_t bytes[FRAME_HEADER_BYTES];
        frame_header_encode(&header, bytes);
        assert_int_equal(frame_header_decode(bytes, FRAME_PAYLOAD_LIMIT, &back, NULL), CANYON_OK);
        assert_int_equal(back.version, FRAME_VERSION);
        assert_int_equal(back.flags, 0);
        assert_int_equal(back.type, header.type);
        assert_int_equal(back.message_bytes, header.message_bytes);
        assert_int_equal(back.payload_bytes, header.payload_bytes);
        assert_int_equal(back.request, header.request);
    }
}

/* Puts one value at one offset of a good header and decodes it under a payload limit of 1,000 bytes. */
static enum canyon_status decode_with(size_t offset, const void *value, size_t count, struct error *error) {
    struct frame_header header = {.type = FRAME_PUSH, .message_bytes = 10, .payload_bytes = 10, .request = 1};
    uint8_t bytes[FRAME_HEADER_BYTES];
    frame_header_encode(&header, bytes);
    memcpy(bytes + offset, value, count);
    error->text[0] = '\0';
    memset(&header, 0xee, sizeof header);
    struct frame_header before = header;
    enum canyon_status status = frame_header_decode(bytes, 1000, &header, error);
    if (status != CANYON_OK) {
        assert_memory_equal(&header, &before, sizeof header);
        assert_int_equal(error->status, status);
    }
    return status;
}

static void other_magic(void **state) {
    (void)state;
    struct error error;
    for (size_t at = 0; at < 4; at++) {
        assert_int_equal(decode_with(at, "x", 1, &error), CANYON_PROTOCOL);
    }
    assert_int_equal(decode_with(0, "GET ", 4, &error), CANYON_PROTOCOL);
    assert_non_null(strstr(error.text, "47 45 54 20"));
}

static void other_versions_are_named(void **state) {
    (void)state;
    struct error error;
    for (unsigned version = 0; version < 256; version++) {
        uint8_t byte = (uint8_t)version;
        enum canyon_status status = decode_with(4, &byte, 1, &error);
        assert_int_equal(status, version == FRAME_VERSION ? CANYON_OK : CANYON_UNSUPPORTED);
    }
    /* Another version may use the flags and lengths otherwise: the version is what is wrong with it. */
    static const uint8_t later[] = {9, 0xff};
    assert_int_equal(decode_with(4, later, 2, &error), CANYON_UNSUPPORTED);
    assert_non_null(strstr(error.text, "version 9"));
    assert_non_null(strstr(error.text, "version 1"));
}

static void flags_must_be_zero(void **state) {
    (void)state;
    struct error error;
    for (unsigned bit = 0; bit < 8; bit++) {
        uint8_t flags = (uint8_t)(1u << bit);
        assert_int_equal(decode_with(5, &flags, 1, &error), CANYON_PROTOCOL);
    }
}

static void lengths_are_limited(void **state) {
    (void)state;
    struct error error;
    static const struct {
        size_t offset;
        uint32_t value;
        enum canyon_status status;
    } cases[] = {
        {8, 0, CANYON_OK},
        {8, 4096, CANYON_OK},
        {8, 4097, CANYON_TOO_LARGE},
        {8, INT32_MAX, CANYON_TOO_LARGE},
        {8, UINT32_MAX, CANYON_TOO_LARGE},
        {12, 0, CANYON_OK},
        {12, 1000, CANYON_OK},
        {12, 1001, CANYON_TOO_LARGE},
        {12, UINT32_MAX, CANYON_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(decode_with(cases[i].offset, &cases[i].value, 4, &error), cases[i].status);
    }
    uint32_t value = 123456;
    decode_with(12, &value, 4, &error);
    assert_non_null(strstr(error.text, "123456"));
    assert_non_null(strstr(error.text, "1000"));
    assert_non_null(strstr(error.text, "PUSH"));
}

static void types_have_names(void **state) {
    (void)state;
    assert_string_equal(frame_type_name(FRAME_PUSH_PULL), "PUSH_PULL");
    assert_string_equal(frame_type_name(FRAME_LAST), "STALENESS_IS");
    assert_string_equal(frame_type_name(0), "UNKNOWN_TYPE");
    assert_string_equal(frame_type_name(FRAME_LAST + 1), "UNKNOWN_TYPE");
    assert_string_equal(frame_type_name(UINT32_MAX), "UNKNOWN_TYPE");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_stand_where_the_header_says),
        cmocka_unit_test(headers_come_back),
        cmocka_unit_test(other_magic),
        cmocka_unit_test(other_versions_are_named),
        cmocka_unit_test(flags_must_be_zero),
        cmocka_unit_test(lengths_are_limited),
        cmocka_unit_test(types_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
