/* Members: ranks, clocks, leases, those who come late and come back, and the places of those who are gone. */
#include "server/members.h"
#include "tests/unit/server/fixture.h"

#define MS    UINT64_C(1000000)
#define LEASE 1000u

static struct members *members;
static unsigned forgotten;

static void forget(void *user, struct member *member) {
    (void)user;
    (void)member;
    forgotten++;
}

static int setup(void **state) {
    (void)state;
    members = members_create(LEASE);
    forgotten = 0;
    members_watch(members, forget, NULL);
    return members == NULL;
}

static int teardown(void **state) {
    (void)state;
    members_destroy(members);
    return 0;
}

static struct member *enter_as(unsigned number, uint32_t wanted, bool rules, uint64_t clock, uint64_t ms) {
    uint8_t session[SESSION_BYTES];
    struct member *member = NULL;
    fixture_session(session, number);
    const struct member_entry entry = {
        .session = session, .name = "w", .wanted = wanted, .rules = rules, .clock = clock, .now = ms * MS};
    assert_int_equal(members_enter(members, &entry, &member, NULL), CANYON_OK);
    assert_ptr_equal(members_find(members, session), member);
    assert_ptr_equal(members_find_tag(members, member->tag), member);
    return member;
}

static struct member *enter(unsigned number, uint64_t ms) {
    return enter_as(number, 0, false, 0, ms);
}

static void who_comes_begins_where_the_slowest_is(void **state) {
    (void)state;
    assert_int_equal(members_lowest(members), 0);
    assert_null(members_last(members));
    struct member *one = enter(1, 0), *two = enter(2, 0);
    assert_true(one->clock == 1 && two->clock == 1 && one->rank == 0 && two->rank == 1);
    members_advance(members, one, 9, 10 * MS);
    members_advance(members, two, 5, 10 * MS);
    members_advance(members, two, 4, 10 * MS); /* never back */
    assert_int_equal(two->clock, 5);
    struct member *three = enter(3, 20);
    assert_true(three->clock == 5 && three->rank == 2);
    assert_int_equal(enter(3, 20)->clock, 5); /* again: nothing new */
    assert_int_equal(members_live(members), 3);
    assert_true(members_lowest(members) == 5 && members_highest(members) == 9 && members_reached(members) == 9);
    assert_ptr_equal(members_last(members), two); /* the lower rank of both */
    /* Nobody else there: where the last ones were. */
    members_leave(members, one);
    members_leave(members, two);
    members_leave(members, three);
    members_leave(members, three);
    assert_int_equal(members_live(members), 0);
    assert_int_equal(enter(4, 30)->clock, 9);
}

static void a_lease_ends_unless_it_is_renewed(void **state) {
    (void)state;
    struct member *one = enter(1, 0), *two = enter(2, 100);
    assert_true(members_wakeup(members) == LEASE * MS);
    members_heard(members, one, 600 * MS);
    assert_int_equal(members_expire(members, 999 * MS, NULL, NULL), 0);
    assert_int_equal(members_expire(members, 1099 * MS, NULL, NULL), 0);
    assert_true(members_wakeup(members) == 1100 * MS); /* it has looked */
    assert_int_equal(members_expire(members, 1100 * MS, NULL, NULL), 1);
    assert_true(one->live && !two->live);
    assert_true(members_wakeup(members) == 1600 * MS);
    assert_int_equal(members_expire(members, 5000 * MS, NULL, NULL), 1);
    assert_true(members_wakeup(members) == UINT64_MAX);
}

/* When nobody is left, no lease of before says when one ends. */
static void who_comes_after_all_have_gone_has_a_lease_of_its_own(void **state) {
    (void)state;
    members_leave(members, enter(1, 0));
    assert_true(members_wakeup(members) == UINT64_MAX);
    struct member *two = enter(2, 3600000);
    assert_true(two->lease_end == 3601000 * MS && members_wakeup(members) == 3601000 * MS);
    /* With others left it is theirs, at the latest. */
    members_leave(members, enter(3, 3600000));
    assert_true(members_wakeup(members) == 3601000 * MS);
}

static void leases_are_postponed(void **state) {
    (void)state;
    struct member *one = enter(1, 0), *two = enter(2, 100);
    members_leave(members, two);
    members_postpone(members, 5000 * MS);
    assert_true(members_wakeup(members) == 6000 * MS && one->lease_end == 6000 * MS);
    assert_int_equal(members_expire(members, 5999 * MS, NULL, NULL), 0);
    assert_int_equal(members_expire(members, 6000 * MS, NULL, NULL), 1);
    members_postpone(members, 1);
    assert_true(members_wakeup(members) == UINT64_MAX);
}

static bool spare_all(void *user, const struct member *member) {
    (void)member;
    ++*(unsigned *)user;
    return true;
}

static void who_is_spared_has_another_lease(void **state) {
    (void)state;
    unsigned asked = 0;
    struct member *one = enter(1, 0);
    assert_int_equal(members_expire(members, 1000 * MS, spare_all, &asked), 0);
    assert_true(one->live && asked == 1 && one->lease_end == 2000 * MS);
    assert_int_equal(members_expire(members, 2000 * MS, NULL, NULL), 1);
}

static void who_comes_back_goes_on_with_the_others(void **state) {
    (void)state;
    struct member *one = enter(1, 0), *two = enter(2, 0);
    assert_int_equal(members_expire(members, 1000 * MS, NULL, NULL), 2);
    two = enter_as(2, 2, false, 0, 1000);
    members_advance(members, two, 50, 1100 * MS);
    assert_true(one == enter_as(1, 1, false, 3, 1200));
    assert_true(one->live && one->clock == 50 && one->rank == 0);
    /* Its rank was given away meanwhile: it gets another. */
    members_leave(members, one);
    assert_int_equal(enter(3, 1300)->rank, 0);
    assert_int_equal(enter_as(1, 1, false, 60, 1300)->rank, 2);
    assert_int_equal(one->clock, 60); /* further than the others is where it may be */
}

static struct member *enter_while(unsigned number, uint32_t wanted, bool rules, uint64_t open) {
    uint8_t session[SESSION_BYTES];
    struct member *member = NULL;
    fixture_session(session, number);
    const struct member_entry entry = {
        .session = session, .name = "w", .wanted = wanted, .rules = rules, .open = open, .now = 2000 * MS};
    assert_int_equal(members_enter(members, &entry, &member, NULL), CANYON_OK);
    return member;
}

static void two_never_count_as_one(void **state) {
    (void)state;
    struct member *one = enter(1, 0), *two = enter(2, 0);
    members_advance(members, one, 7, 10 * MS);
    members_advance(members, two, 7, 10 * MS);
    assert_true(members_contribute(members, one, 7) && members_contribute(members, one, 7));
    members_leave(members, one);
    /* Its last gradients may come late, while nobody has its rank; not of a clock that it had not reached. */
    assert_true(members_contribute(members, one, 7) && !members_contribute(members, one, 8));
    struct member *three = enter_while(3, 0, false, 7);
    assert_true(three->rank == 0 && three->clock == 8);
    assert_false(members_contribute(members, three, 7));
    assert_false(members_contribute(members, one, 7));
    assert_true(members_contribute(members, two, 7) && members_contribute(members, three, 8));
    /* Who comes back goes on under its own rank; under another it waits for the next clock. */
    members_leave(members, two);
    two = enter_while(2, 2, false, 7);
    assert_true(two->rank == 1 && two->clock == 8 && two->since == 0); /* where the others are */
    members_leave(members, two);
    (void)enter_while(4, 2, false, 8);
    assert_true(members_contribute(members, members_find_tag(members, two->tag), 8) == false);
    two = enter_while(2, 2, false, 7);
    assert_true(two->rank == 2 && two->since == 8);
    /* The rank of a live one is taken away. */
    assert_true(members_contribute(members, two, 8));
    struct member *five = enter_while(5, 3, true, 8);
    assert_true(!two->live && five->rank == 2 && five->clock == 9);
    /* Nor while nobody has the rank, but somebody had. */
    two->clock = 9;
    assert_true(members_contribute(members, five, 9));
    members_leave(members, five);
    assert_false(members_contribute(members, two, 9));
    /* And when that clock is closed, it is as if nothing had been. */
    assert_int_equal(enter_while(6, 3, true, 10)->clock, 8);
}

static void an_absurd_clock_is_refused(void **state) {
    (void)state;
    const uint64_t half = 500000000000000, all = 1000000000000000, ahead = 1048576;
    struct error error;
    assert_int_equal(members_check_clock(members, half, 0, &error), CANYON_OK);
    assert_int_equal(members_check_clock(members, half + 1, 0, &error), CANYON_INVALID_ARGUMENT);
    assert_int_equal(members_check_clock(members, half + ahead, half, &error), CANYON_OK);
    struct member *one = enter(1, 0);
    members_advance(members, one, 5, 10 * MS);
    assert_int_equal(members_check_clock(members, 5 + ahead, 0, &error), CANYON_OK);
    assert_int_equal(members_check_clock(members, 6 + ahead, 0, &error), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "the highest that is known here is 5, and a worker may tell one up to 1048581"));
    assert_int_equal(members_check_clock(members, 6 + ahead, 6, &error), CANYON_OK);
    assert_int_equal(members_check_clock(members, all, all, &error), CANYON_OK);
    assert_int_equal(members_check_clock(members, UINT64_MAX, all, &error), CANYON_INVALID_ARGUMENT);
    members_leave(members, one);
    assert_int_equal(members_check_clock(members, half, 0, &error), CANYON_OK);
}

static void a_thread_that_is_told_ranks_gives_them_as_told(void **state) {
    (void)state;
    struct member *one = enter_as(1, 6, true, 0, 0), *two = enter_as(2, 1, true, 0, 0);
    assert_true(one->rank == 5 && two->rank == 0);
    struct member *three = enter_as(3, 6, true, 0, 0);
    assert_true(three->rank == 5 && three->live && !one->live);
    assert_int_equal(enter_as(2, 4, true, 0, 0)->rank, 3); /* it has another now */
    /* Elsewhere a rank that is taken is not given twice. */
    assert_int_equal(enter_as(4, 6, false, 0, 0)->rank, 0);
}

static void who_contributed_before_a_restart_lives_again(void **state) {
    (void)state;
    static const struct {
        unsigned session;
        uint64_t clock;
        uint32_t rank;
    } contributions[] = {{1, 6, 0}, {2, 5, 1}, {3, 4, 2}, {4, 5, 0}, {1, 3, 5}, {5, 6, 3}};
    uint8_t session[SESSION_BYTES];
    for (size_t i = 0; i < sizeof contributions / sizeof contributions[0]; i++) {
        fixture_session(session, contributions[i].session);
        assert_true(members_restore(members, session, contributions[i].clock, contributions[i].rank, 0));
    }
    members_retire(members, session); /* the fifth */
    assert_true(members_live(members) == 0 && members_reached(members) == 6);
    members_prove(members, 7);
    members_prove(members, 2);
    members_revive(members, 6, 0);
    /* The third was away for longer, the fourth has its rank no more. */
    assert_true(members_live(members) == 2 && members_lowest(members) == 5 && members_reached(members) == 7);
    fixture_session(session, 1);
    const struct member *one = members_find(members, session);
    assert_true(one->live && one->rank == 0 && one->clock == 6 && one->lease_end == members_wakeup(members));
    fixture_session(session, 4);
    assert_false(members_find(members, session)->live);
    /* Whoever takes a rank under which another contributed to the open clock begins behind it. */
    struct member *six = NULL;
    fixture_session(session, 6);
    const struct member_entry entry = {.session = session, .name = "w", .wanted = 4, .rules = true, .open = 6};
    assert_int_equal(members_enter(members, &entry, &six, NULL), CANYON_OK);
    assert_true(six->rank == 3 && six->since == 7 && six->clock == 7);
    assert_int_equal(enter_as(2, 0, true, 0, 0)->rank, 1);
}

static void what_so_many_have_passed(void **state) {
    (void)state;
    static const uint64_t clocks[] = {7, 3, 9, 3, 8};
    assert_int_equal(members_passed_by(members, 1, 0), 0);
    struct member *five[5];
    for (unsigned i = 0; i < 5; i++) {
        five[i] = enter(i, 0);
    }
    for (unsigned i = 0; i < 5; i++) {
        members_advance(members, five[i], clocks[i], MS);
    }
    members_leave(members, enter(9, 0));
    static const uint64_t expected[] = {9, 8, 7, 3, 3};
    for (uint32_t count = 1; count <= 5; count++) {
        assert_int_equal(members_passed_by(members, count, 0), expected[count - 1]);
        for (uint64_t above = 1; above < 12; above++) {
            const uint64_t passed = expected[count - 1] > above ? expected[count - 1] : 0;
            assert_int_equal(members_passed_by(members, count, above), passed);
        }
    }
    assert_int_equal(members_passed_by(members, 6, 0), 3);
}

/* However they come, go on, leave, expire and come back. */
static void the_lowest_is_kept(void **state) {
    (void)state;
    uint64_t seed = seed_begin("the_lowest_is_kept"), ms = 0;
    struct member *those[12];
    for (int round = 0; round < 20000; round++) {
        const unsigned which = (unsigned)seed_below(&seed, 12);
        uint8_t session[SESSION_BYTES];
        fixture_session(session, which + 1);
        struct member *member = members_find(members, session);
        ms += seed_below(&seed, 90);
        if (member == NULL || !member->live) {
            (void)enter_as(which + 1, (uint32_t)seed_below(&seed, 8), seed_below(&seed, 2) == 0, 0, ms);
        } else if (seed_below(&seed, 8) == 0) {
            members_leave(members, member);
        } else {
            members_advance(members, member, member->clock + seed_below(&seed, 3), ms * MS);
            members_heard(members, member, ms * MS);
        }
        (void)members_expire(members, ms * MS, NULL, NULL);
        uint64_t lowest = 0;
        for (unsigned i = 0; i < 12; i++) {
            fixture_session(session, i + 1);
            those[i] = members_find(members, session);
            if (those[i] != NULL && those[i]->live && (lowest == 0 || those[i]->clock < lowest)) {
                lowest = those[i]->clock;
            }
        }
        assert_true(members_lowest(members) == lowest);
    }
}

static void rates_follow_the_last_clocks(void **state) {
    (void)state;
    struct member *one = enter(1, 0);
    assert_true(one->interval == 0);
    members_advance(members, one, 2, 100 * MS);
    assert_true(one->interval == 100 * MS);
    members_advance(members, one, 4, 200 * MS); /* two clocks in as much time */
    assert_true(one->interval == 100 * MS - 25 * MS + 50 * MS / 4);
}

static void places_of_the_gone_are_used_again_and_there_are_so_many(void **state) {
    (void)state;
    struct error error;
    struct member *member = NULL;
    uint8_t session[SESSION_BYTES];
    for (unsigned i = 0; i < LIMIT_MEMBERS; i++) {
        assert_int_equal(enter(i, 0)->rank, i);
    }
    fixture_session(session, 60000);
    const struct member_entry entry = {.session = session, .name = "w"};
    assert_int_equal(members_enter(members, &entry, &member, &error), CANYON_BUSY);
    assert_int_equal(members_expire(members, LEASE * MS, NULL, NULL), LIMIT_MEMBERS);
    for (unsigned i = LIMIT_MEMBERS; i < 2 * LIMIT_MEMBERS; i++) {
        (void)enter(i, LEASE);
    }
    assert_int_equal(forgotten, 0);
    members_leave(members, enter(LIMIT_MEMBERS, LEASE));
    (void)enter(50000, LEASE + 1);
    assert_int_equal(forgotten, 1);
    fixture_session(session, 0);
    assert_null(members_find(members, session)); /* the one heard of longest ago */
    uint64_t serial = 0, count = 0;
    for (const struct member *next = members_next(members, 0); next != NULL; next = members_next(members, serial)) {
        assert_true(next->serial > serial);
        serial = next->serial;
        count++;
    }
    assert_int_equal(count, MEMBERS_ENTRIES);
}

static enum canyon_status enter_keyed(unsigned number, const uint8_t *key, struct error *error) {
    uint8_t session[SESSION_BYTES];
    struct member *member = NULL;
    fixture_session(session, number);
    const struct member_entry entry = {.session = session, .key = key, .name = "w"};
    return members_enter(members, &entry, &member, error);
}

static void one_key_does_not_have_all_places(void **state) {
    (void)state;
    const uint8_t mine[KEY_BYTES] = {1}, theirs[KEY_BYTES] = {2};
    struct error error;
    uint8_t session[SESSION_BYTES];
    for (unsigned i = 0; i < 3072; i++) {
        assert_int_equal(enter_keyed(i, mine, &error), CANYON_OK);
    }
    assert_int_equal(enter_keyed(5000, mine, &error), CANYON_BUSY);
    assert_non_null(strstr(error.text, "3072 workers with this key"));
    assert_int_equal(enter_keyed(17, mine, &error), CANYON_OK); /* is there already */
    for (unsigned i = 3072; i < 4096; i++) {
        assert_int_equal(enter_keyed(i, theirs, &error), CANYON_OK);
    }
    assert_int_equal(enter_keyed(5000, theirs, &error), CANYON_BUSY);
    assert_non_null(strstr(error.text, "4096 workers count clocks already"));
    /* Who is gone has no place, until it comes back. */
    fixture_session(session, 17);
    members_leave(members, members_find(members, session));
    assert_int_equal(enter_keyed(5000, mine, &error), CANYON_OK);
    fixture_session(session, 4000);
    members_leave(members, members_find(members, session));
    assert_int_equal(enter_keyed(17, mine, &error), CANYON_BUSY);
    assert_non_null(strstr(error.text, "of one key"));
    assert_int_equal(enter_keyed(4000, theirs, &error), CANYON_OK);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(who_comes_begins_where_the_slowest_is),
        TEST(a_lease_ends_unless_it_is_renewed),
        TEST(who_comes_after_all_have_gone_has_a_lease_of_its_own),
        TEST(leases_are_postponed),
        TEST(who_is_spared_has_another_lease),
        TEST(who_comes_back_goes_on_with_the_others),
        TEST(two_never_count_as_one),
        TEST(an_absurd_clock_is_refused),
        TEST(a_thread_that_is_told_ranks_gives_them_as_told),
        TEST(who_contributed_before_a_restart_lives_again),
        TEST(what_so_many_have_passed),
        TEST(the_lowest_is_kept),
        TEST(rates_follow_the_last_clocks),
        TEST(one_key_does_not_have_all_places),
        TEST(places_of_the_gone_are_used_again_and_there_are_so_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
