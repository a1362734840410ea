/* Pushes whose answers are lost, whose server stands still, whose bytes come late: their calls end with OUTCOME_UNKNOWN
 * at the deadline, the session goes on with them, and each counts once. */
#include <stdio.h>

#include "tests/faults/routes.h"
#include "tests/faults/subject.h"

#define BRIEF_MS 200u
#define SIZE     700u /* elements of a tensor, rows of the table: several shards */

struct stand {
    struct routes routes;
    canyon_client *client;
    struct subject subjects[SUBJECT_KINDS];
    double sums[SUBJECT_KINDS];
};

static void stand_start(struct stand *stand, bool plaintext) {
    *stand = (struct stand){0};
    routes_start(&stand->routes, &(struct cluster_options){.plaintext = plaintext}, NULL);
    stand->client = client_connect(cluster_servers(stand->routes.cluster));
    for (int kind = 0; kind < SUBJECT_KINDS; kind++)
        subject_open(&stand->subjects[kind], stand->client, (enum subject_kind)kind, SIZE);
}

static void stand_stop(struct stand *stand) {
    for (int kind = 0; kind < SUBJECT_KINDS; kind++)
        subject_close(&stand->subjects[kind]);
    canyon_close(stand->client);
    routes_stop(&stand->routes);
}

static struct canyon_client_counters counters_of(const struct stand *stand) {
    struct canyon_client_counters counters;
    check_ok(canyon_client_counters(stand->client, &counters));
    return counters;
}

/* One push of each kind, each another whole number. */
static void push_each(struct stand *stand, enum canyon_status expected, uint32_t timeout_ms) {
    for (int kind = 0; kind < SUBJECT_KINDS; kind++) {
        float value = 1.0f + (float)kind;
        check_status(subject_push(&stand->subjects[kind], value, kind % 2 == 0, timeout_ms), expected);
        stand->sums[kind] += (double)value;
    }
}

static void expect_each(struct stand *stand, const char *what) {
    for (int kind = 0; kind < SUBJECT_KINDS; kind++) {
        subject_pull(&stand->subjects[kind]);
        subject_expect(&stand->subjects[kind], stand->sums[kind], what);
    }
}

static int newest(const struct stand *stand) {
    return (int)proxy_count(stand->routes.proxies[0]) - 1;
}

static void await_end_of(const struct stand *stand, int connection) {
    struct proxy_view view = {.live = true};
    for (uint64_t end = now_ms() + PATIENCE_MS; view.live && now_ms() < end; sleep_ms(2))
        check(proxy_look(stand->routes.proxies[0], connection, &view));
    check(!view.live);
}

/* ---- The answers ------------------------------------------------------------------------------------------------ */

/* The answers are lost, the connection is not, until it ends: a stream with a hole is of no use. All had counted, and
 * what is sent again is answered, and does not count again. */
static void answers_are_dropped(bool plaintext) {
    static struct stand stand;
    stand_start(&stand, plaintext);
    for (int round = 0; round < 2; round++) {
        const uint64_t duplicates = counters_of(&stand).duplicates;
        push_each(&stand, CANYON_OK, PATIENCE_MS);
        routes_fault(&stand.routes, PROXY_LIVE, PROXY_DOWN, "swallow=0");
        push_each(&stand, CANYON_OUTCOME_UNKNOWN, BRIEF_MS);
        proxy_end(stand.routes.proxies[0], PROXY_LIVE, PROXY_CLIENT, round % 2 ? PROXY_RST : PROXY_FIN);
        push_each(&stand, CANYON_OK, PATIENCE_MS);
        expect_each(&stand, "answers were dropped");
        check(counters_of(&stand).duplicates >= duplicates + SUBJECT_KINDS);
    }
    stand_stop(&stand);
}

static void answers_are_dropped_encrypted(void **state) {
    (void)state;
    answers_are_dropped(false);
}

static void answers_are_dropped_plaintext(void **state) {
    (void)state;
    answers_are_dropped(true);
}

/* ---- Bytes that come late ---------------------------------------------------------------------------------------- */

/* Pushes that the network holds arrive after their client has sent them again by a newer connection, and others behind
 * them. They have counted then, though nobody waits for them any more, and do not count again. */
static void held_bytes_come_late(bool plaintext) {
    static struct stand stand;
    stand_start(&stand, plaintext);
    for (int round = 0; round < 2; round++) {
        const int old = newest(&stand);
        push_each(&stand, CANYON_OK, PATIENCE_MS);
        routes_fault(&stand.routes, old, PROXY_UP, "hold");
        push_each(&stand, CANYON_OUTCOME_UNKNOWN, BRIEF_MS);
        proxy_end(stand.routes.proxies[0], old, PROXY_CLIENT, PROXY_FIN);
        for (int more = 0; more < round; more++) /* of round 0 the old bytes are the newest numbers there are */
            push_each(&stand, CANYON_OK, PATIENCE_MS);
        expect_each(&stand, "sent again");
        check(newest(&stand) > old);
        routes_fault(&stand.routes, old, PROXY_UP, ""); /* numbers that were taken, out of a fenced connection */
        push_each(&stand, CANYON_OK, PATIENCE_MS);
        await_end_of(&stand, old);
        expect_each(&stand, "old bytes came late");
    }
    stand_stop(&stand);
}

static void held_bytes_come_late_encrypted(void **state) {
    (void)state;
    held_bytes_come_late(false);
}

static void held_bytes_come_late_plaintext(void **state) {
    (void)state;
    held_bytes_come_late(true);
}

/* ---- A server that stands still --------------------------------------------------------------------------------- */

/* SIGSTOP for longer than the calls' deadlines, then SIGCONT. With `cut` the connection ends meanwhile, so that when
 * the server goes on it finds the old one's bytes and the new one's, in whatever order. */
static void server_is_stopped(bool plaintext, bool cut) {
    static struct stand stand;
    stand_start(&stand, plaintext);
    for (int round = 0; round < 2; round++) {
        push_each(&stand, CANYON_OK, PATIENCE_MS);
        cluster_pause(stand.routes.cluster, 0);
        push_each(&stand, CANYON_OUTCOME_UNKNOWN, BRIEF_MS);
        if (cut)
            proxy_end(stand.routes.proxies[0], newest(&stand), PROXY_CLIENT, PROXY_RST);
        cluster_resume(stand.routes.cluster, 0);
        push_each(&stand, CANYON_OK, PATIENCE_MS);
        expect_each(&stand, "the server stood still");
    }
    check(cut == (counters_of(&stand).reconnects > 0));
    stand_stop(&stand);
}

static void server_is_stopped_encrypted(void **state) {
    (void)state;
    server_is_stopped(false, false);
}

static void server_is_stopped_plaintext(void **state) {
    (void)state;
    server_is_stopped(true, false);
}

static void server_is_stopped_and_cut_off_encrypted(void **state) {
    (void)state;
    server_is_stopped(false, true);
}

static void server_is_stopped_and_cut_off_plaintext(void **state) {
    (void)state;
    server_is_stopped(true, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        routes_test(answers_are_dropped_encrypted),
        routes_test(answers_are_dropped_plaintext),
        routes_test(held_bytes_come_late_encrypted),
        routes_test(held_bytes_come_late_plaintext),
        routes_test(server_is_stopped_encrypted),
        routes_test(server_is_stopped_plaintext),
        routes_test(server_is_stopped_and_cut_off_encrypted),
        routes_test(server_is_stopped_and_cut_off_plaintext),
    };
    return cmocka_run_group_tests_name("lost", tests, NULL, NULL);
}
