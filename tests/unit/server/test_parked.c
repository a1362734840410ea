/* Parked requests: order of arrival, earliest deadline, caps. */
#include "tests/unit/server/fixture.h"

#include "server/parked.h"

static struct parked *park(struct parked_list *list, struct handler_peer *peer, uint64_t request, uint64_t deadline) {
    struct parked wanted = {.peer = peer, .request = request, .type = FRAME_OPEN, .deadline = deadline};
    struct parked *added = NULL;
    assert_int_equal(parked_add(list, &wanted, NULL, &added, NULL), CANYON_OK);
    return added;
}

static void order_and_deadlines_under_random_changes(void **state) {
    (void)state;
    uint64_t seed = seed_begin("order_and_deadlines_under_random_changes"), request = 0;
    struct parked_list list = {0};
    struct handler_peer peers[4];
    memset(peers, 0, sizeof peers);
    assert_null(parked_earliest(&list));
    for (int round = 0; round < 20000; round++) {
        struct handler_peer *peer = &peers[seed_below(&seed, 4)];
        if (seed_below(&seed, 2) && peer->parked < HANDLER_PARKED_PER_PEER) {
            park(&list, peer, request++, seed_below(&seed, 50));
        } else if (list.count > 0) {
            struct parked *victim = list.first;
            for (uint64_t n = seed_below(&seed, list.count); n > 0; n--) {
                victim = victim->next;
            }
            parked_remove(&list, seed_below(&seed, 3) == 0 ? parked_earliest(&list) : victim);
        }
        uint64_t earliest = UINT64_MAX, last = 0;
        size_t count = 0;
        for (struct parked *parked = list.first; parked != NULL; parked = parked->next) {
            assert_true(count == 0 || parked->request > last);
            assert_ptr_equal(parked->next == NULL ? list.last : parked->next->previous, parked);
            last = parked->request;
            earliest = parked->deadline < earliest ? parked->deadline : earliest;
            count++;
        }
        assert_int_equal(count, list.count);
        assert_int_equal(count, peers[0].parked + peers[1].parked + peers[2].parked + peers[3].parked);
        assert_true(count == 0 ? parked_earliest(&list) == NULL : parked_earliest(&list)->deadline == earliest);
    }
    parked_finish(&list);
    assert_int_equal(peers[0].parked + peers[1].parked + peers[2].parked + peers[3].parked, 0);
    parked_finish(NULL);
}

static void the_spec_is_a_copy(void **state) {
    (void)state;
    struct parked_list list = {0};
    struct handler_peer peer;
    memset(&peer, 0, sizeof peer);
    struct tensor_spec spec = fixture_spec("w", 3, "adam");
    struct parked wanted = {.peer = &peer, .type = FRAME_CREATE}, *added = NULL;
    assert_int_equal(parked_add(&list, &wanted, &spec, &added, NULL), CANYON_OK);
    spec.name[0] = 'v';
    assert_string_equal(added->spec->name, "w");
    parked_finish(&list);
}

static void both_caps_are_kept(void **state) {
    (void)state;
    enum { PEERS = HANDLER_PARKED / HANDLER_PARKED_PER_PEER + 1 };
    struct parked_list list = {0};
    struct handler_peer *peers = calloc(PEERS, sizeof *peers);
    struct parked wanted = {.type = FRAME_OPEN}, *added = NULL;
    struct error error;
    for (size_t p = 0; p + 1 < PEERS; p++) {
        for (int i = 0; i < HANDLER_PARKED_PER_PEER; i++) {
            park(&list, &peers[p], 1, 1);
        }
    }
    assert_int_equal(list.count, HANDLER_PARKED);
    wanted.peer = &peers[0];
    assert_int_equal(parked_add(&list, &wanted, NULL, &added, &error), CANYON_BUSY);
    assert_non_null(strstr(error.text, "64"));
    wanted.peer = &peers[PEERS - 1];
    assert_int_equal(parked_add(&list, &wanted, NULL, &added, &error), CANYON_BUSY);
    assert_non_null(strstr(error.text, "65536"));
    parked_remove(&list, list.first);
    assert_int_equal(parked_add(&list, &wanted, NULL, &added, &error), CANYON_OK);
    parked_finish(&list);
    free(peers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_and_deadlines_under_random_changes),
        cmocka_unit_test(the_spec_is_a_copy),
        cmocka_unit_test(both_caps_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
