/* Pulls that wait: their order, those that are ready, and who may have how much of the room. */
#include "server/sessions.h"
#include "server/waits.h"
#include "tests/unit/server/fixture.h"

#define LARGE ((size_t)1 << 20)

static struct waits waits;
static uint8_t payload[LARGE];

static int setup(void **state) {
    (void)state;
    memset(&waits, 0, sizeof waits);
    return 0;
}

/* While the peers are there. */
static void finish(void) {
    waits_finish(&waits);
    assert_true(waits.count == 0 && waits.bytes == 0);
}

static enum canyon_status add(struct handler_peer *peer, uint64_t request, size_t bytes, struct error *error) {
    uint8_t message = 7;
    const struct frame frame = {
        .header = {.type = FRAME_TABLE_PULL, .request = request, .message_bytes = 1, .payload_bytes = (uint32_t)bytes},
        .message = &message,
        .payload = payload};
    return waits_add(&waits, peer, &frame, 3, 1000, 5000 + request, error);
}

static void take(struct wait *wait) {
    waits_take(&waits, wait);
    waits_free(wait);
}

static void each_peer_has_its_own_queue(void **state) {
    (void)state;
    struct handler_peer peers[2] = {{.waiting = 0}, {.waiting = 0}};
    payload[99] = 5;
    for (uint64_t i = 0; i < 6; i++) {
        assert_int_equal(add(&peers[i % 2], i, 100, NULL), CANYON_OK);
    }
    assert_true(waits.count == 6 && waits.earliest == 5000 && peers[0].waiting == 3);
    const struct wait *first = waits.waiting.first;
    assert_true(first->frame.payload[99] == 5 && first->frame.message[0] == 7 && first->clock == 3);
    assert_true(first->frame.payload != payload && (uintptr_t)first->frame.payload % 64 == 0);
    /* The one in the middle, then the first and the last. */
    struct wait *second = waits.waiting.first->next;
    waits_release(&waits, second->next->next);
    waits_release(&waits, waits.waiting.first);
    waits_release(&waits, waits.waiting.last);
    assert_true(waits.count == 6 && peers[0].waiting == 2 && peers[1].waiting == 1);
    assert_true(peers[0].ready == 1 && peers[1].ready == 2);
    assert_true(peers[0].ready_first->frame.header.request == 0);
    assert_true(peers[1].ready_first->frame.header.request == 3);
    assert_true(peers[1].ready_last->frame.header.request == 5);
    waits_look(&waits);
    assert_true(waits.earliest == 5001); /* of those that still wait */
    take(peers[1].ready_first);
    assert_true(peers[1].ready_first == peers[1].ready_last && peers[1].ready == 1);
    take(peers[1].ready_first);
    assert_true(peers[1].ready_first == NULL && peers[1].ready_last == NULL && peers[1].ready == 0);
    waits_release(&waits, second);
    assert_true(peers[1].ready_first == second && peers[1].ready_last == second && peers[1].waiting == 0);
    assert_int_equal(waits.count, 4);
    finish();
    assert_true(peers[0].waiting == 0 && peers[0].ready == 0 && peers[1].ready == 0);
}

/* Most of the room is as much as one key may have: what others add still finds some. */
static void one_key_does_not_have_all_the_room(void **state) {
    (void)state;
    static struct handler_peer peers[HANDLER_WAITS / HANDLER_WAITS_PER_PEER];
    const size_t full = 49152 / HANDLER_WAITS_PER_PEER;
    struct sessions_share share = {.waits = 0}, other = {.waits = 0};
    struct error error;
    memset(peers, 0, sizeof peers);
    for (size_t i = 0; i < full; i++) {
        peers[i].share = &share;
        for (uint64_t j = 0; j < HANDLER_WAITS_PER_PEER; j++) {
            assert_int_equal(add(&peers[i], j, 0, &error), CANYON_OK);
        }
        assert_int_equal(add(&peers[i], 0, 0, &error), CANYON_BUSY);
        assert_non_null(strstr(error.text, "of this connection"));
    }
    peers[full].share = &share;
    assert_int_equal(add(&peers[full], 0, 0, &error), CANYON_BUSY);
    assert_non_null(strstr(error.text, "49152 pulls of this key"));
    /* One that is ready still takes its room, one that is taken does not. */
    waits_release(&waits, waits.waiting.first);
    assert_int_equal(add(&peers[full], 0, 0, &error), CANYON_BUSY);
    take(peers[0].ready_first);
    assert_int_equal(add(&peers[full], 0, 0, &error), CANYON_OK);
    assert_int_equal(add(&peers[full], 0, 0, &error), CANYON_BUSY);
    /* Of another key, or of none as in plaintext. */
    peers[full + 1].share = &other;
    assert_int_equal(add(&peers[full + 1], 0, 0, &error), CANYON_OK);
    assert_int_equal(add(&peers[full + 2], 0, 0, &error), CANYON_OK);
    assert_true(share.waits == 49152 && other.waits == 1);
    finish();
    assert_true(share.waits == 0 && share.wait_bytes == 0 && other.waits == 0 && other.wait_bytes == 0);
}

/* Requests for many rows are long: of those a few take all that there is. */
static void one_key_does_not_have_all_the_bytes(void **state) {
    (void)state;
    struct sessions_share share = {.waits = 0}, other = {.waits = 0};
    struct handler_peer mine = {.share = &share}, theirs = {.share = &other};
    struct error error;
    uint64_t count = 0;
    while (add(&mine, count, LARGE, &error) == CANYON_OK) {
        count++;
        assert_true(count <= 48);
    }
    assert_true(count == 48 && share.waits == 48);
    assert_non_null(strstr(error.text, "(49152, 50331648 bytes)"));
    while (add(&theirs, count, LARGE, &error) == CANYON_OK) {
        count++;
        assert_true(count <= 64);
    }
    assert_true(count == 64 && other.waits == 16);
    assert_non_null(strstr(error.text, "(65536, 67108864 bytes)"));
    finish();
}

#define TEST(function) cmocka_unit_test_setup(function, setup)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(each_peer_has_its_own_queue),
        TEST(one_key_does_not_have_all_the_room),
        TEST(one_key_does_not_have_all_the_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
