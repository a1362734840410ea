/* Messages come back as they went: at random, at their largest, and with what a later version may add. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "message_kinds.h"

static void same_after_round_trip(const struct message_kind *kind, const union any_message *message) {
    uint8_t bytes[LIMIT_MESSAGE_BYTES], again[LIMIT_MESSAGE_BYTES];
    size_t count = kind->pack(message, bytes);
    assert_in_range(count, 0, LIMIT_MESSAGE_BYTES);
    union any_message back;
    memset(&back, 0, sizeof back);
    struct error error = {.status = CANYON_OK};
    if (kind->unpack(bytes, count, &back, &error) != CANYON_OK) {
        fail_msg("%s: %s", kind->name, error.text);
    }
    assert_memory_equal(message, &back, sizeof back);
    assert_int_equal(kind->pack(&back, again), count);
    assert_memory_equal(bytes, again, count);
}

static void random_contents(void **state) {
    (void)state;
    struct filling filling = {.random = seed_begin("random_contents")};
    for (size_t k = 0; k < MESSAGE_KINDS; k++) {
        for (int round = 0; round < 200; round++) {
            union any_message message;
            memset(&message, 0, sizeof message);
            message_kinds[k].fill(&filling, &message);
            same_after_round_trip(&message_kinds[k], &message);
        }
    }
}

/* Packing asserts that 4,096 bytes suffice; unpacking, that the arena does. */
static void largest_contents(void **state) {
    (void)state;
    struct filling filling = {.random = 1, .largest = true};
    for (size_t k = 0; k < MESSAGE_KINDS; k++) {
        union any_message message;
        memset(&message, 0, sizeof message);
        message_kinds[k].fill(&filling, &message);
        same_after_round_trip(&message_kinds[k], &message);
    }
}

/* One more tensor than a page has would not fit: the page is as long as it can be. */
static void pages_are_full(void **state) {
    (void)state;
    struct filling filling = {.random = 1, .largest = true};
    union any_message message;
    memset(&message, 0, sizeof message);
    fill_listed(&filling, &message);
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    size_t count = message_pack_listed(&message.listed, bytes);
    size_t one = count / MESSAGE_LIST_PAGE;
    assert_true(count <= LIMIT_MESSAGE_BYTES);
    assert_true(count + one > LIMIT_MESSAGE_BYTES);
}

/* Fields with numbers nobody knows yet are ignored, also beside the largest known ones as far as 4,096 bytes go. */
static void unknown_fields_are_ignored(void **state) {
    (void)state;
    static const uint8_t unknown[] = {0xf8, 0x06, 0x2a,                /* field 111, varint */
                                      0x82, 0x07, 0x03, 'n', 'e', 'w', /* field 112, bytes */
                                      0x8d, 0x07, 1,    2,   3,   4};  /* field 113, fixed32 */
    struct filling filling = {.random = 1, .largest = true};
    for (size_t k = 0; k < MESSAGE_KINDS; k++) {
        union any_message message, back;
        memset(&message, 0, sizeof message);
        memset(&back, 0, sizeof back);
        message_kinds[k].fill(&filling, &message);
        uint8_t bytes[LIMIT_MESSAGE_BYTES];
        size_t count = message_kinds[k].pack(&message, bytes);
        for (int i = 0; i < 5 && count + sizeof unknown <= sizeof bytes; i++) {
            memcpy(bytes + count, unknown, sizeof unknown);
            count += sizeof unknown;
        }
        assert_int_equal(message_kinds[k].unpack(bytes, count, &back, NULL), CANYON_OK);
        assert_memory_equal(&message, &back, sizeof back);
    }
}

/* What was in the struct before does not shine through absent fields. */
static void absent_fields_are_zero(void **state) {
    (void)state;
    struct message_open open;
    memset(&open, 0x5a, sizeof open);
    assert_int_equal(message_unpack_open(NULL, 0, &open, NULL), CANYON_OK);
    assert_string_equal(open.name, "");
    assert_int_equal(open.wait_ms, 0);
    struct message_pieces pieces;
    memset(&pieces, 0x5a, sizeof pieces);
    assert_int_equal(message_unpack_pieces(NULL, 0, &pieces, NULL), CANYON_OK);
    assert_int_equal(pieces.count, 0);
    struct message_optimizer_request request;
    memset(&request, 0x5a, sizeof request);
    assert_int_equal(message_unpack_optimizer_request(NULL, 0, &request, NULL), CANYON_OK);
    assert_int_equal(request.index, 0);
    assert_string_equal(request.name, "");
    struct message_hello hello = {.has_digest = true};
    static const uint8_t session_only[] = {0x1a, 16, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    assert_int_equal(message_unpack_hello(session_only, sizeof session_only, &hello, NULL), CANYON_OK);
    assert_false(hello.has_digest);
}

/* A later server's codes keep their text; this build calls them INTERNAL. */
static void unknown_codes_are_internal(void **state) {
    (void)state;
    static const uint8_t later[] = {0x08, 0xe7, 0x07, 0x12, 0x05, 'l', 'a', 't', 'e', 'r'}; /* code 999 */
    struct error message, error;
    assert_int_equal(message_unpack_error(later, sizeof later, &message, &error), CANYON_OK);
    assert_int_equal(message.status, CANYON_INTERNAL);
    assert_string_equal(message.text, "later");
    static const uint8_t result[] = {0x0a, 0x05, 0x08, 0xe7, 0x07, 0x10, 0x09};
    struct message_piece_results results;
    assert_int_equal(message_unpack_piece_results(result, sizeof result, &results, &error), CANYON_OK);
    assert_int_equal(results.results[0].status, CANYON_INTERNAL);
    assert_int_equal(results.results[0].version, 9);
}

/* Texts for people may be longer than this build keeps: they are cut. */
static void long_prose_is_cut(void **state) {
    (void)state;
    uint8_t bytes[1024] = {0x08, 0x02, 0x12, 0xf4, 0x03}; /* text of 500 bytes */
    memset(bytes + 5, 'x', 500);
    struct error message;
    assert_int_equal(message_unpack_error(bytes, 505, &message, NULL), CANYON_OK);
    assert_int_equal(message.status, CANYON_NOT_FOUND);
    assert_int_equal(strlen(message.text), ERROR_TEXT_BYTES - 1);
}

/* The list of optimizers that a client gathers is bounded, whatever a server says of its length. */
static void too_many_optimizers_are_refused(void **state) {
    (void)state;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    static struct message_optimizer optimizer, back;
    struct error error = {.status = CANYON_OK};
    optimizer.total = LIMIT_OPTIMIZERS;
    size_t count = message_pack_optimizer(&optimizer, bytes);
    assert_int_equal(message_unpack_optimizer(bytes, count, &back, &error), CANYON_OK);
    assert_int_equal(back.total, LIMIT_OPTIMIZERS);
    optimizer.total++;
    count = message_pack_optimizer(&optimizer, bytes);
    assert_int_equal(message_unpack_optimizer(bytes, count, &back, &error), CANYON_PROTOCOL);
    assert_non_null(strstr(error.text, "257 optimizers"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_contents),        cmocka_unit_test(largest_contents),
        cmocka_unit_test(pages_are_full),         cmocka_unit_test(unknown_fields_are_ignored),
        cmocka_unit_test(absent_fields_are_zero), cmocka_unit_test(unknown_codes_are_internal),
        cmocka_unit_test(long_prose_is_cut),      cmocka_unit_test(too_many_optimizers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
