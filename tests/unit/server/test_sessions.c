/* Sessions, the keys they belong to, and whose numbers are forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/random.h"
#include "server/sessions.h"

static void id_of(uint32_t number, uint8_t id[SESSION_BYTES]) {
    memset(id, 0, SESSION_BYTES);
    memcpy(id, &number, sizeof number);
}

static enum canyon_status come(struct sessions *sessions, uint32_t session, uint8_t key) {
    uint8_t id[SESSION_BYTES], bytes[KEY_BYTES];
    struct error error;
    id_of(session, id);
    memset(bytes, key, sizeof bytes);
    return sessions_come(sessions, id, bytes, &error);
}

static void go(struct sessions *sessions, uint32_t session) {
    uint8_t id[SESSION_BYTES];
    id_of(session, id);
    sessions_go(sessions, id, 0);
}

static void the_first_key_keeps_it(void **state) {
    (void)state;
    struct sessions *sessions = sessions_create();
    assert_int_equal(come(sessions, 1, 'a'), CANYON_OK);
    assert_int_equal(come(sessions, 1, 'a'), CANYON_OK);
    assert_int_equal(come(sessions, 1, 'b'), CANYON_DENIED);
    assert_int_equal(come(sessions, 2, 'b'), CANYON_OK);
    go(sessions, 1);
    assert_int_equal(come(sessions, 1, 'b'), CANYON_DENIED);
    go(sessions, 1);
    assert_int_equal(come(sessions, 1, 'b'), CANYON_DENIED);
    assert_int_equal(come(sessions, 1, 'a'), CANYON_OK);
    sessions_destroy(sessions);
    sessions_destroy(NULL);
}

/* Those that are here are never forgotten; of the others, whoever has been gone for longest. */
static void the_oldest_is_forgotten(void **state) {
    (void)state;
    struct sessions *sessions = sessions_create();
    assert_int_equal(come(sessions, 0, 'a'), CANYON_OK);
    for (uint32_t i = 1; i <= SESSIONS_REMEMBERED + 1; i++) {
        assert_int_equal(come(sessions, i, 'a'), CANYON_OK);
        go(sessions, i);
    }
    assert_int_equal(come(sessions, 0, 'b'), CANYON_DENIED);
    assert_int_equal(come(sessions, 2, 'b'), CANYON_DENIED);
    assert_int_equal(come(sessions, SESSIONS_REMEMBERED + 1, 'b'), CANYON_DENIED);
    assert_int_equal(come(sessions, 1, 'b'), CANYON_OK);
    go(sessions, 1);
    assert_int_equal(come(sessions, 2, 'b'), CANYON_OK); /* which took the place of the next */
    sessions_destroy(sessions);
}

/* In plaintext there are no keys; whoever comes first with one has the session. */
static void without_a_key_it_is_nobodys(void **state) {
    (void)state;
    struct sessions *sessions = sessions_create();
    struct error error;
    uint8_t id[SESSION_BYTES];
    id_of(1, id);
    assert_int_equal(sessions_come(sessions, id, NULL, &error), CANYON_OK);
    assert_int_equal(sessions_come(sessions, id, NULL, &error), CANYON_OK);
    go(sessions, 1);
    go(sessions, 1);
    assert_int_equal(come(sessions, 1, 'a'), CANYON_OK);
    assert_int_equal(come(sessions, 1, 'b'), CANYON_DENIED);
    assert_int_equal(sessions_come(sessions, id, NULL, &error), CANYON_DENIED);
    sessions_destroy(sessions);
}

/* All sessions of a key have one, which lasts while any of them is here. */
static void a_key_has_a_share(void **state) {
    (void)state;
    struct sessions *sessions = sessions_create();
    struct error error;
    uint8_t ids[4][SESSION_BYTES];
    for (uint32_t i = 0; i < 4; i++) {
        id_of(i, ids[i]);
    }
    assert_true(come(sessions, 1, 'a') == CANYON_OK && come(sessions, 2, 'a') == CANYON_OK);
    assert_int_equal(come(sessions, 3, 'b'), CANYON_OK);
    assert_int_equal(sessions_come(sessions, ids[0], NULL, &error), CANYON_OK);
    assert_null(sessions_share(sessions, ids[0]));
    struct sessions_share *share = sessions_share(sessions, ids[1]);
    assert_true(share->waits == 0 && share->wait_bytes == 0);
    share->waits = 5;
    assert_ptr_equal(sessions_share(sessions, ids[2]), share);
    assert_ptr_not_equal(sessions_share(sessions, ids[3]), share);
    go(sessions, 1);
    for (uint32_t i = 10; i < 11 + SESSIONS_REMEMBERED; i++) { /* and is forgotten */
        assert_int_equal(come(sessions, i, 'b'), CANYON_OK);
        go(sessions, i);
    }
    assert_ptr_equal(sessions_share(sessions, ids[2]), share);
    assert_int_equal(share->waits, 5);
    sessions_destroy(sessions);
}

/* ---- numbers ---- */

#define AWAY SESSIONS_AWAY_NS

static size_t most_of_key = SESSIONS_OF_KEY;

/* The session that is here gets numbers; *evicted receives whose are forgotten, or UINT32_MAX. */
static enum canyon_status number(struct sessions *sessions, uint32_t session, uint64_t now, uint32_t *evicted) {
    uint8_t id[SESSION_BYTES], victim[SESSION_BYTES];
    struct error error;
    bool evicts = true;
    id_of(session, id);
    enum canyon_status status = sessions_number(sessions, id, most_of_key, now, &evicts, victim, &error);
    *evicted = UINT32_MAX;
    if (evicts) {
        memcpy(evicted, victim, sizeof *evicted);
    }
    return status;
}

static void leave(struct sessions *sessions, uint32_t session, uint64_t now) {
    uint8_t id[SESSION_BYTES];
    id_of(session, id);
    sessions_go(sessions, id, now);
}

/* `count` sessions of a key from `first` on come, get numbers and go, one a nanosecond. */
static void fill(struct sessions *sessions, uint32_t first, uint32_t count, uint8_t key, uint64_t now) {
    uint32_t evicted;
    for (uint32_t i = first; i < first + count; i++) {
        assert_int_equal(come(sessions, i, key), CANYON_OK);
        assert_int_equal(number(sessions, i, now, &evicted), CANYON_OK);
        assert_int_equal(evicted, UINT32_MAX);
        leave(sessions, i, now++);
    }
}

static void a_key_forgets_its_own(void **state) {
    (void)state;
    struct sessions *sessions = sessions_create();
    uint32_t evicted;
    fill(sessions, 50000, 1, 'b', 0); /* gone for longest, but another's */
    fill(sessions, 0, SESSIONS_OF_KEY, 'a', 1);
    assert_int_equal(sessions_numbered(sessions), SESSIONS_OF_KEY + 1);
    assert_int_equal(come(sessions, 60000, 'a'), CANYON_OK);
    assert_int_equal(number(sessions, 60000, AWAY, &evicted), CANYON_BUSY);
    assert_int_equal(evicted, UINT32_MAX);
    assert_int_equal(come(sessions, 60001, 'b'), CANYON_OK);
    assert_int_equal(number(sessions, 60001, AWAY, &evicted), CANYON_OK);
    assert_int_equal(evicted, UINT32_MAX);
    assert_int_equal(number(sessions, 60000, AWAY + 1, &evicted), CANYON_OK);
    assert_int_equal(evicted, 0);
    assert_int_equal(number(sessions, 60000, AWAY + 1, &evicted), CANYON_OK); /* has them already */
    assert_int_equal(evicted, UINT32_MAX);
    assert_int_equal(sessions_numbered(sessions), SESSIONS_OF_KEY + 2);
    /* Who came back is not forgotten, however long it was away. */
    assert_int_equal(come(sessions, 1, 'a'), CANYON_OK);
    assert_int_equal(come(sessions, 60002, 'a'), CANYON_OK);
    assert_int_equal(number(sessions, 60002, AWAY + 2, &evicted), CANYON_BUSY);
    assert_int_equal(number(sessions, 60002, AWAY + 3, &evicted), CANYON_OK);
    assert_int_equal(evicted, 2);
    /* The forgotten still belong to their key. */
    assert_int_equal(come(sessions, 0, 'b'), CANYON_DENIED);
    sessions_destroy(sessions);
}

/* Of a key that has more already none goes for a newcomer but one that is long gone. */
static void a_key_may_have_fewer(void **state) {
    (void)state;
    struct sessions *sessions = sessions_create();
    uint32_t evicted;
    fill(sessions, 0, 65, 'a', 0);
    most_of_key = SESSIONS_OF_READER;
    assert_int_equal(come(sessions, 100, 'a'), CANYON_OK);
    assert_int_equal(number(sessions, 100, AWAY - 1, &evicted), CANYON_BUSY);
    fill(sessions, 200, 64, 'b', 100);
    assert_int_equal(come(sessions, 300, 'b'), CANYON_OK);
    assert_int_equal(number(sessions, 300, AWAY - 1, &evicted), CANYON_BUSY);
    assert_int_equal(number(sessions, 300, AWAY + 100, &evicted), CANYON_OK);
    assert_int_equal(evicted, 200);
    most_of_key = SESSIONS_OF_KEY;
    assert_int_equal(number(sessions, 100, AWAY - 1, &evicted), CANYON_OK);
    sessions_destroy(sessions);
}

static void all_share_the_room(void **state) {
    (void)state;
    struct sessions *sessions = sessions_create();
    uint8_t id[SESSION_BYTES];
    uint32_t evicted;
    for (uint32_t key = 0; key < SESSIONS_NUMBERED / SESSIONS_OF_KEY; key++) {
        fill(sessions, key * SESSIONS_OF_KEY, SESSIONS_OF_KEY, (uint8_t)('a' + key), key * SESSIONS_OF_KEY);
    }
    assert_int_equal(sessions_numbered(sessions), SESSIONS_NUMBERED);
    assert_int_equal(come(sessions, 60000, 'z'), CANYON_OK);
    assert_int_equal(number(sessions, 60000, AWAY - 1, &evicted), CANYON_BUSY);
    assert_int_equal(number(sessions, 60000, AWAY, &evicted), CANYON_OK);
    assert_int_equal(evicted, 0);
    assert_int_equal(sessions_numbered(sessions), SESSIONS_NUMBERED);
    /* One that leaves makes room at once. */
    assert_int_equal(come(sessions, 60001, 'z'), CANYON_OK);
    assert_int_equal(number(sessions, 60001, AWAY, &evicted), CANYON_BUSY);
    id_of(9, id);
    sessions_forget(sessions, id);
    sessions_forget(sessions, id);
    assert_int_equal(sessions_numbered(sessions), SESSIONS_NUMBERED - 1);
    assert_int_equal(number(sessions, 60001, AWAY, &evicted), CANYON_OK);
    assert_int_equal(evicted, UINT32_MAX);
    sessions_destroy(sessions);
}

/* Found in a log: nobody's, and as if it had just gone. */
static void what_is_restored_waits_for_its_owner(void **state) {
    (void)state;
    struct sessions *sessions = sessions_create();
    struct error error;
    uint8_t id[SESSION_BYTES];
    uint32_t evicted;
    id_of(5, id);
    assert_int_equal(sessions_restore(sessions, id, 100, &error), CANYON_OK);
    assert_int_equal(sessions_restore(sessions, id, 200, &error), CANYON_OK);
    assert_int_equal(sessions_numbered(sessions), 1);
    assert_int_equal(come(sessions, 5, 'a'), CANYON_OK);
    assert_int_equal(come(sessions, 5, 'b'), CANYON_DENIED);
    assert_int_equal(number(sessions, 5, 300, &evicted), CANYON_OK);
    assert_int_equal(sessions_numbered(sessions), 1);
    leave(sessions, 5, 300);
    sessions_forget(sessions, id);
    assert_int_equal(sessions_numbered(sessions), 0);
    id_of(6, id);
    sessions_forget(sessions, id); /* never heard of */
    sessions_destroy(sessions);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_key_keeps_it),      cmocka_unit_test(the_oldest_is_forgotten),
        cmocka_unit_test(without_a_key_it_is_nobodys), cmocka_unit_test(a_key_has_a_share),
        cmocka_unit_test(a_key_forgets_its_own),       cmocka_unit_test(a_key_may_have_fewer),
        cmocka_unit_test(all_share_the_room),          cmocka_unit_test(what_is_restored_waits_for_its_owner),
    };
    assert_int_equal(random_start(NULL), CANYON_OK);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
