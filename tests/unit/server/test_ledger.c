/* The ledger against a plain list of sessions, and what its digest depends on. */
#include "tests/unit/server/fixture.h"

#include "server/ledger.h"

#define SESSIONS 300

/* What a ledger should know of one session. */
struct known {
    uint8_t id[SESSION_BYTES];
    uint64_t last;
    struct {
        uint64_t number;
        enum canyon_status code;
    } refusals[2000];
    size_t refused;
};

static struct digest digest_of(const struct ledger *ledger) {
    struct hash hash;
    struct digest digest;
    hash_init(&hash);
    ledger_digest(ledger, &hash);
    hash_final(&hash, digest.bytes);
    return digest;
}

static void take(struct ledger *ledger, const uint8_t *id, enum canyon_status refused) {
    assert_true(ledger_reserve(ledger));
    ledger_take(ledger, id, refused);
}

static void compare(struct ledger *ledger, const struct known *known) {
    assert_true(ledger_last(ledger, known->id) == known->last);
    for (uint64_t number = 1; number <= known->last; number++) {
        enum canyon_status expected = CANYON_OK;
        size_t runs = 0;
        uint64_t oldest = 0; /* number of the last four runs */
        for (size_t i = known->refused; i-- > 0;) {
            const bool one_run = i + 1 < known->refused &&
                                 known->refusals[i + 1].number == known->refusals[i].number + 1 &&
                                 known->refusals[i + 1].code == known->refusals[i].code;
            runs += !one_run;
            expected = known->refusals[i].number == number && runs <= 4 ? known->refusals[i].code : expected;
            oldest = runs <= 4 ? known->refusals[i].number : oldest;
        }
        expected = runs > 4 && number < oldest ? CANYON_OUTCOME_UNKNOWN : expected;
        assert_int_equal(ledger_refusal(ledger, known->id, number), expected);
    }
}

static void it_is_a_list_of_sessions(void **state) {
    (void)state;
    static struct known known[SESSIONS];
    struct ledger ledger = {.entries = NULL};
    uint8_t secret[LEDGER_SECRET_BYTES];
    uint64_t seed = seed_begin("it_is_a_list_of_sessions");
    for (size_t i = 0; i < sizeof secret; i++) {
        secret[i] = (uint8_t)seed_next(&seed);
    }
    ledger_keep_secret(&ledger, secret);
    for (size_t i = 0; i < SESSIONS; i++) {
        known[i] = (struct known){.last = 0};
        fixture_session(known[i].id, (unsigned)i + 1);
    }
    size_t here = 0;
    for (int round = 0; round < 60000; round++) {
        struct known *one = &known[seed_below(&seed, SESSIONS)];
        if (seed_below(&seed, 40) == 0) {
            assert_int_equal(ledger_forget(&ledger, one->id), one->last > 0);
            here -= one->last > 0;
            one->last = one->refused = 0;
        } else {
            enum canyon_status code = seed_below(&seed, 3) == 0 ? (enum canyon_status)(1 + seed_below(&seed, 25)) : 0;
            /* Often once more the same. */
            if (one->refused > 0 && one->refusals[one->refused - 1].number == one->last && seed_below(&seed, 2) == 0) {
                code = one->refusals[one->refused - 1].code;
            }
            here += one->last == 0;
            one->last++;
            if (code != CANYON_OK) {
                one->refusals[one->refused].number = one->last;
                one->refusals[one->refused++].code = code;
            }
            take(&ledger, one->id, code);
        }
        assert_true(ledger.count == here && ledger.count <= ledger.room / 4 * 3);
        compare(&ledger, one);
        compare(&ledger, &known[seed_below(&seed, SESSIONS)]);
    }
    for (size_t i = 0; i < SESSIONS; i++) {
        compare(&ledger, &known[i]);
        (void)ledger_forget(&ledger, known[i].id);
    }
    assert_int_equal(ledger.count, 0);
    struct ledger empty = {.entries = NULL};
    assert_true(fixture_same(digest_of(&ledger), digest_of(&empty)));
    ledger_finish(&ledger);
    ledger_finish(&ledger);
}

/* 64 bytes for each of a power of two of entries, of which at most three quarters are taken: what the header says. */
static void what_it_takes_is_known(void **state) {
    (void)state;
    struct ledger ledger = {.entries = NULL};
    uint8_t session[SESSION_BYTES];
    assert_int_equal(ledger_bytes(&ledger), 0);
    for (unsigned count = 1, room = 4; count <= 1000; count++) {
        const uint64_t before = ledger_bytes(&ledger), growth = ledger_growth(&ledger);
        room = count > room / 4 * 3 ? room * 2 : room;
        fixture_session(session, count);
        assert_true(ledger_reserve(&ledger));
        assert_int_equal(ledger_bytes(&ledger), 64 * room);
        assert_int_equal(before + growth, 64 * room);
        assert_true(count == 1 ? ledger_bytes(&ledger) == 256
                               : ledger_bytes(&ledger) >= 85 * count && ledger_bytes(&ledger) <= 171 * count);
        assert_int_equal(ledger_growth(&ledger), 0);
        ledger_take(&ledger, session, CANYON_OK);
    }
    ledger_finish(&ledger);
}

/* A push of many blocks is refused as a whole. */
static void a_run_of_refusals_is_one(void **state) {
    (void)state;
    struct ledger ledger = {.entries = NULL};
    uint8_t id[SESSION_BYTES];
    fixture_session(id, 1);
    take(&ledger, id, CANYON_OK);
    for (unsigned i = 0; i < 70000; i++) { /* 2 to 70001 */
        take(&ledger, id, CANYON_LATE);
    }
    take(&ledger, id, CANYON_OK);
    take(&ledger, id, CANYON_LATE); /* 70003 */
    take(&ledger, id, CANYON_STALE);
    const struct digest before = digest_of(&ledger);
    for (uint64_t number = 2; number <= 70001; number++) {
        assert_int_equal(ledger_refusal(&ledger, id, number), CANYON_LATE);
    }
    assert_int_equal(ledger_refusal(&ledger, id, 1), CANYON_OK);
    assert_int_equal(ledger_refusal(&ledger, id, 70002), CANYON_OK);
    assert_int_equal(ledger_refusal(&ledger, id, 70003), CANYON_LATE);
    assert_int_equal(ledger_refusal(&ledger, id, 70004), CANYON_STALE);
    /* One run more: the first 65,536 are forgotten. */
    take(&ledger, id, CANYON_LATE);
    assert_int_equal(ledger_refusal(&ledger, id, 1), CANYON_OUTCOME_UNKNOWN);
    assert_int_equal(ledger_refusal(&ledger, id, 65537), CANYON_OUTCOME_UNKNOWN);
    assert_int_equal(ledger_refusal(&ledger, id, 65538), CANYON_LATE);
    assert_false(fixture_same(before, digest_of(&ledger)));
    ledger_finish(&ledger);
}

static void a_number_is_next_or_not(void **state) {
    (void)state;
    assert_int_equal(ledger_judge(0, 1), LEDGER_NEXT);
    assert_int_equal(ledger_judge(0, 2), LEDGER_UNKNOWN);
    assert_int_equal(ledger_judge(5, 1), LEDGER_DUPLICATE);
    assert_int_equal(ledger_judge(5, 5), LEDGER_DUPLICATE);
    assert_int_equal(ledger_judge(5, 6), LEDGER_NEXT);
    assert_int_equal(ledger_judge(5, 7), LEDGER_GAP);
    assert_int_equal(ledger_judge(5, UINT64_MAX), LEDGER_GAP);
    assert_int_equal(ledger_judge(0, UINT64_MAX), LEDGER_UNKNOWN);
}

/* Other ids, another secret and another order: the same digest. Another number, another code, a refusal in another
 * place: another one. */
static void ids_do_not_show_and_all_else_does(void **state) {
    (void)state;
    struct ledger ledgers[6];
    struct digest digests[6];
    memset(ledgers, 0, sizeof ledgers);
    for (unsigned which = 0; which < 6; which++) {
        struct ledger *ledger = &ledgers[which];
        uint8_t id[SESSION_BYTES], secret[LEDGER_SECRET_BYTES] = {(uint8_t)which, 7};
        ledger_keep_secret(ledger, secret);
        for (unsigned i = 0; i < 20; i++) {
            /* The first two have their sessions in opposite orders, under different ids. */
            const unsigned session = which == 1 ? 19 - i : i;
            fixture_session(id, 1 + session + (which == 1 ? 500 : 0));
            for (unsigned number = 1; number <= session + 3; number++) {
                enum canyon_status code = number == session + 2 ? CANYON_NOT_FINITE : CANYON_OK;
                if (session == 7) {
                    code = which == 2 && code != CANYON_OK ? CANYON_DENIED : code;
                    code = which == 3 ? (number == session + 1 ? CANYON_NOT_FINITE : CANYON_OK) : code;
                }
                take(ledger, id, code);
            }
        }
        fixture_session(id, 4);
        if (which == 4) {
            take(ledger, id, CANYON_OK);
        } else if (which == 5) {
            assert_true(ledger_forget(ledger, id));
        }
        digests[which] = digest_of(ledger);
        ledger_finish(ledger);
    }
    assert_true(fixture_same(digests[0], digests[1]));
    for (unsigned which = 2; which < 6; which++) {
        assert_false(fixture_same(digests[0], digests[which]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_a_list_of_sessions),          cmocka_unit_test(what_it_takes_is_known),
        cmocka_unit_test(a_run_of_refusals_is_one),          cmocka_unit_test(a_number_is_next_or_not),
        cmocka_unit_test(ids_do_not_show_and_all_else_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
