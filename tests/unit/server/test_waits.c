/* Pulls that wait: their order, those that are ready, which is at hand, and who may have how much of the room. */
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
    struct wait *all[6];
    payload[99] = 5;
    for (uint64_t i = 0; i < 6; i++) {
        assert_int_equal(add(&peers[i % 2], i, 100, NULL), CANYON_OK);
        all[i] = peers[i % 2].waiting_last;
    }
    assert_true(waits.count == 6 && waits_due(&waits)->deadline == 5000 && peers[0].waiting == 3);
    const struct wait *first = all[0];
    assert_true(peers[0].waiting_first == first && first->next == all[2] && all[2]->next == all[4]);
    assert_true(first->frame.payload[99] == 5 && first->frame.message[0] == 7 && first->clock == 3);
    assert_true(first->frame.payload != payload && (uintptr_t)first->frame.payload % 64 == 0);
    /* The one in the middle, then the first and the last. */
    waits_release(&waits, all[3]);
    waits_release(&waits, all[0]);
    waits_release(&waits, all[5]);
    assert_true(waits.count == 6 && peers[0].waiting == 2 && peers[1].waiting == 1);
    assert_true(peers[0].waiting_first == all[2] && peers[1].waiting_first == all[1]);
    assert_true(peers[1].waiting_last == all[1] && peers[0].ready == 1 && peers[1].ready == 2);
    assert_true(peers[0].ready_first->frame.header.request == 0);
    assert_true(peers[1].ready_first->frame.header.request == 3);
    assert_true(peers[1].ready_last->frame.header.request == 5);
    assert_true(waits_due(&waits)->deadline == 5001); /* of those that still wait */
    take(peers[1].ready_first);
    assert_true(peers[1].ready_first == peers[1].ready_last && peers[1].ready == 1);
    take(peers[1].ready_first);
    assert_true(peers[1].ready_first == NULL && peers[1].ready_last == NULL && peers[1].ready == 0);
    waits_release(&waits, all[1]);
    assert_true(peers[1].ready_first == all[1] && peers[1].ready_last == all[1] && peers[1].waiting == 0);
    assert_true(waits.count == 4 && peers[1].waiting_first == NULL && peers[1].waiting_last == NULL);
    finish();
    assert_true(peers[0].waiting == 0 && peers[0].ready == 0 && peers[1].ready == 0);
}

/* ---- what is at hand ---- */

#define KEPT 300

/* The same, looked for among all of them. */
static struct wait *least_of(struct wait *const *all, size_t count, bool before, uint64_t from) {
    struct wait *least = NULL;
    for (size_t i = 0; i < count; i++) {
        if ((all[i]->clock < from) == before && (least == NULL || all[i]->clock < least->clock)) {
            least = all[i]; /* they stand in order of arrival */
        }
    }
    return least;
}

static struct wait *due_of(struct wait *const *all, size_t count) {
    struct wait *due = count > 0 ? all[0] : NULL;
    for (size_t i = 1; i < count; i++) {
        due = all[i]->deadline < due->deadline ? all[i] : due;
    }
    return due;
}

static void the_least_and_the_earliest_are_at_hand(void **state) {
    (void)state;
    uint64_t seed = seed_begin("the_least_and_the_earliest_are_at_hand"), from = 0;
    struct handler_peer peers[3] = {{.waiting = 0}, {.waiting = 0}, {.waiting = 0}};
    const struct frame frame = {.header = {.type = FRAME_PULL}};
    struct wait *all[KEPT];
    size_t count = 0;
    for (int round = 0; round < 20000; round++) {
        const uint64_t what = seed_below(&seed, 40);
        if (what == 0) {
            from = seed_below(&seed, 30);
            waits_split(&waits, from);
        } else if (what < 22 && count < KEPT) {
            struct handler_peer *peer = &peers[seed_below(&seed, 3)];
            assert_int_equal(waits_add(&waits, peer, &frame, seed_below(&seed, 30), 9, seed_below(&seed, 60), NULL),
                             CANYON_OK);
            all[count++] = peer->waiting_last;
        } else if (count > 0) {
            size_t place = seed_below(&seed, count);
            struct wait *wait = what < 34 ? all[place] : waits_due(&waits);
            for (place = 0; all[place] != wait; place++) {
            }
            memmove(all + place, all + place + 1, (--count - place) * sizeof all[0]);
            if (what % 2 == 0) {
                waits_release(&waits, wait);
                take(wait->peer->ready_first);
            } else {
                take(wait);
            }
        }
        assert_ptr_equal(waits_least(&waits, WAIT_BEFORE), least_of(all, count, true, from));
        assert_ptr_equal(waits_least(&waits, WAIT_FROM), least_of(all, count, false, from));
        assert_ptr_equal(waits_due(&waits), due_of(all, count));
        assert_int_equal(peers[0].waiting + peers[1].waiting + peers[2].waiting, count);
    }
    finish();
}

/* ---- room ---- */

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
    waits_release(&waits, waits_due(&waits));
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
        TEST(the_least_and_the_earliest_are_at_hand),
        TEST(one_key_does_not_have_all_the_room),
        TEST(one_key_does_not_have_all_the_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
