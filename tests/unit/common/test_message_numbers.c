/* Numbers in packed pieces, found and changed where they stand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/message.h"

/* Pieces of all lengths: every other field may be absent, short or long. */
static void fill(struct message_pieces *pieces, uint32_t count, uint64_t number) {
    *pieces = (struct message_pieces){.count = count, .clock = count % 2, .wait_ms = count % 3};
    for (uint32_t i = 0; i < count; i++)
        pieces->pieces[i] = (struct message_piece){.tensor = i % 5 == 0 ? UINT64_MAX : i,
                                                   .block = i % 3 == 0 ? 0 : 1000000 * i,
                                                   .elements = i % 4 == 0 ? 0 : LIMIT_BLOCK_HIGH,
                                                   .version = i % 2 == 0 ? 0 : UINT64_MAX,
                                                   .slot = i % 4,
                                                   .codec = i % 3,
                                                   .reply = i % 2,
                                                   .kept = i % 7 == 0 ? 0 : 77,
                                                   .number = number == 0 ? 0 : number * (i + 1)};
}

/* The same bytes as if the pieces had been packed with those numbers. */
static void test_numbers_changed_in_place(void **state) {
    (void)state;
    static struct message_pieces pieces;
    static const uint64_t numbers[] = {1, 0x49, 1000003, UINT64_MAX / 64};
    uint8_t before[LIMIT_MESSAGE_BYTES], after[LIMIT_MESSAGE_BYTES];
    for (uint32_t count = 1; count <= LIMIT_PIECES; count++) {
        for (size_t n = 0; n < sizeof numbers / sizeof numbers[0]; n++) {
            fill(&pieces, count, 1);
            const size_t bytes = message_pack_pieces(&pieces, before);
            fill(&pieces, count, numbers[n]);
            assert_int_equal(message_pack_pieces(&pieces, after), bytes);
            size_t at = 0;
            for (uint32_t i = 0; i < count; i++) {
                uint8_t *place = message_piece_number(before, bytes, &at);
                assert_non_null(place);
                uint64_t number = 0;
                memcpy(&number, place, sizeof number);
                assert_int_equal(number, i + 1);
                memcpy(place, &pieces.pieces[i].number, sizeof number);
            }
            assert_null(message_piece_number(before, bytes, &at));
            assert_memory_equal(before, after, bytes);
        }
    }
}

static void test_pieces_without_numbers_have_no_place(void **state) {
    (void)state;
    static struct message_pieces pieces;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    fill(&pieces, 8, 0);
    const size_t count = message_pack_pieces(&pieces, bytes);
    size_t at = 0;
    assert_null(message_piece_number(bytes, count, &at));
    for (size_t less = 0; less < 8; less++) {
        at = 0;
        assert_null(message_piece_number(bytes, less, &at));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_changed_in_place),
        cmocka_unit_test(test_pieces_without_numbers_have_no_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
