/* Sessions and the keys they belong to. */
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_key_keeps_it),
        cmocka_unit_test(the_oldest_is_forgotten),
    };
    assert_int_equal(random_start(NULL), CANYON_OK);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
