/* Connections that are played again by somebody who recorded them, and encrypted ones that end without a last record.
 *
 * sgd with lr=1 and gradients of 1: the negated weight counts the pushes that were applied. */
#include <stdio.h>
#include <string.h>

#include "common/channel.h"
#include "tests/faults/routes.h"

#define ELEMENTS 64u
#define PUSHES   5u
#define REPLAYS  5u

static void expect_pushes(canyon_tensor *tensor, unsigned pushes) {
    float weights[ELEMENTS];
    check_ok(canyon_pull(tensor, weights, PATIENCE_MS));
    for (unsigned i = 0; i < ELEMENTS; i++)
        check(weights[i] == -(float)pushes);
}

static canyon_tensor *push_some(canyon_client *client, float gradient[ELEMENTS]) {
    canyon_tensor *tensor = client_vector(client, "t", ELEMENTS, "sgd:lr=1");
    for (unsigned i = 0; i < ELEMENTS; i++)
        gradient[i] = 1.0f;
    for (unsigned i = 0; i < PUSHES; i++)
        check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
    return tensor;
}

static struct canyon_server_statistics statistics_of(canyon_client *client) {
    struct canyon_server_statistics *all = NULL, one;
    size_t count = 0;
    check_ok(canyon_statistics(client, PATIENCE_MS, &all, &count));
    check(count == 1);
    one = all[0];
    canyon_free(all);
    return one;
}

/* What a real client sent, pushes and all, is sent again while its session lives, and once more when it is gone. The
 * server answers the first message, as it must, and then says nothing. */
static void a_recorded_connection_changes_nothing(void **state) {
    (void)state;
    struct routes routes;
    float gradient[ELEMENTS];
    uint8_t before[CANYON_DIGEST_BYTES], after[CANYON_DIGEST_BYTES];
    routes_start(&routes, NULL, &(struct proxy_options){.record = true});
    canyon_client *client = client_connect(cluster_servers(routes.cluster));
    canyon_tensor *tensor = push_some(client, gradient);
    expect_pushes(tensor, PUSHES);
    client_digest(client, before);
    const uint64_t turned_away = statistics_of(client).turned_away;
    struct transcript transcripts[4] = {{0}};
    unsigned connections = proxy_count(routes.proxies[0]), played = 0;
    size_t recorded = 0;
    check(connections >= 1 && connections <= 4);
    for (unsigned c = 0; c < connections; c++) {
        check(proxy_transcript(routes.proxies[0], (int)c, &transcripts[c]));
        recorded += transcript_total(&transcripts[c], PROXY_UP);
        for (unsigned n = 0; n < REPLAYS; n++, played++) {
            struct transcript_replay replay;
            check(transcript_replay(&transcripts[c], cluster_direct(routes.cluster, 0), 2000, &replay));
            check(replay.closed);
            check(replay.replies.count <= CHANNEL_SECOND_BYTES);
            transcript_finish(&replay.replies);
        }
    }
    check(recorded > PUSHES * sizeof gradient);
    expect_pushes(tensor, PUSHES);
    client_digest(client, after);
    check(memcmp(before, after, sizeof before) == 0);
    check(statistics_of(client).turned_away == turned_away + played);
    check(proxy_count(routes.proxies[0]) == connections); /* the session never had to connect again */
    check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
    canyon_tensor_close(tensor);
    canyon_close(client);

    struct transcript_replay replay;
    check(transcript_replay(&transcripts[connections - 1], cluster_direct(routes.cluster, 0), 2000, &replay));
    check(replay.closed && replay.replies.count <= CHANNEL_SECOND_BYTES);
    transcript_finish(&replay.replies);
    client = client_connect(cluster_servers(routes.cluster));
    tensor = client_vector(client, "t", ELEMENTS, "sgd:lr=1");
    expect_pushes(tensor, PUSHES + 1);
    canyon_tensor_close(tensor);
    canyon_close(client);
    for (unsigned c = 0; c < connections; c++)
        transcript_finish(&transcripts[c]);
    print_message("%u connections of a client, %u replays: nothing changed\n", connections, played + 1);
    routes_stop(&routes);
}

/* The client's connection is lost in the middle of an answer, so that the next one begins with a RESUME. */
static void push_over_two_connections(struct routes *routes, canyon_tensor *tensor, const float gradient[ELEMENTS]) {
    routes_fault(routes, PROXY_LIVE, PROXY_DOWN, "cut=1");
    check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
    routes_fault(routes, PROXY_EVERY, PROXY_DOWN, "");
    check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
}

static void replay_all(const struct routes *routes, unsigned connections, bool closes) {
    for (unsigned c = 0; c < connections; c++) {
        struct transcript transcript;
        struct transcript_replay replay;
        check(proxy_transcript(routes->proxies[0], (int)c, &transcript));
        check(transcript_replay(&transcript, cluster_direct(routes->cluster, 0), 50, &replay));
        check(!closes || replay.closed);
        transcript_finish(&replay.replies);
        transcript_finish(&transcript);
    }
}

/* Encrypted, all that a client sent is sent again while it works, its RESUME too, and then, its LEAVE too, beside
 * another client: no session is fenced or forgotten, none has to connect again, and nothing counts again. */
static void a_recorded_session_ends_nobody(void **state) {
    (void)state;
    struct routes routes;
    float gradient[ELEMENTS];
    uint8_t before[CANYON_DIGEST_BYTES], after[CANYON_DIGEST_BYTES];
    struct canyon_client_counters counters;
    routes_start(&routes, NULL, &(struct proxy_options){.record = true});
    canyon_client *client = client_connect(cluster_servers(routes.cluster));
    canyon_tensor *tensor = push_some(client, gradient);
    push_over_two_connections(&routes, tensor, gradient);
    client_digest(client, before);
    const unsigned connections = proxy_count(routes.proxies[0]);
    replay_all(&routes, connections, true);
    client_digest(client, after);
    check(memcmp(before, after, sizeof before) == 0 && statistics_of(client).sessions == 1);
    check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
    expect_pushes(tensor, PUSHES + 3);
    check_ok(canyon_client_counters(client, &counters));
    check(counters.reconnects == 1 && proxy_count(routes.proxies[0]) == connections);
    canyon_tensor_close(tensor);
    canyon_close(client);

    client = client_connect(cluster_servers(routes.cluster));
    tensor = push_some(client, gradient);
    check(statistics_of(client).sessions == 1); /* the other has taken its leave */
    client_digest(client, before);
    replay_all(&routes, connections, true);
    client_digest(client, after);
    check(memcmp(before, after, sizeof before) == 0 && statistics_of(client).sessions == 1);
    check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
    expect_pushes(tensor, 2 * PUSHES + 4);
    check_ok(canyon_client_counters(client, &counters));
    check(counters.reconnects == 0);
    canyon_tensor_close(tensor);
    canyon_close(client);
    routes_stop(&routes);
}

/* In plaintext whoever recorded a session is taken for it: its RESUME fences the live connection. The client comes
 * back, its session is there, and what was played counts no second time. */
static void in_plaintext_a_session_outlives_its_recording(void **state) {
    (void)state;
    struct routes routes;
    float gradient[ELEMENTS];
    routes_start(&routes, &(struct cluster_options){.plaintext = true}, &(struct proxy_options){.record = true});
    canyon_client *client = client_connect(cluster_servers(routes.cluster));
    canyon_tensor *tensor = push_some(client, gradient);
    push_over_two_connections(&routes, tensor, gradient);
    const unsigned connections = proxy_count(routes.proxies[0]);
    const uint64_t duplicates = statistics_of(client).duplicates;
    for (unsigned n = 1; n <= REPLAYS; n++) {
        replay_all(&routes, connections, false);
        check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
        expect_pushes(tensor, PUSHES + 2 + n);
        check(statistics_of(client).sessions == 1);
    }
    check(statistics_of(client).duplicates >= duplicates + REPLAYS * PUSHES);
    check(proxy_count(routes.proxies[0]) >= connections + REPLAYS);
    canyon_tensor_close(tensor);
    canyon_close(client);
    routes_stop(&routes);
}

/* An end of the stream that neither side asked for: the server counts an abort, the client says that it was one. */
static void an_end_without_a_last_record_is_an_abort(void **state) {
    (void)state;
    struct routes routes;
    float gradient[ELEMENTS];
    routes_start(&routes, NULL, NULL);
    canyon_client *watcher = client_connect(cluster_servers(routes.cluster));
    check(statistics_of(watcher).aborted == 0);
    canyon_client *client = client_connect_once(cluster_servers(routes.cluster));
    canyon_tensor *tensor = push_some(client, gradient);
    const int last = (int)proxy_count(routes.proxies[0]) - 1; /* the one that the pushes took */
    proxy_end(routes.proxies[0], last, PROXY_SERVER, PROXY_FIN);
    proxy_end(routes.proxies[0], last, PROXY_CLIENT, PROXY_FIN);
    uint64_t aborted = 0;
    for (uint64_t end = now_ms() + PATIENCE_MS; aborted == 0 && now_ms() < end; sleep_ms(5))
        aborted = statistics_of(watcher).aborted;
    check(aborted == 1);
    check(cluster_logged(routes.cluster, 0, "without a last record", PATIENCE_MS));

    /* In the middle of an answer the client hears of it: its push is reported as of unknown outcome, not as done. */
    expect_pushes(tensor, PUSHES);
    routes_fault(&routes, PROXY_LIVE, PROXY_DOWN, "cut=1,end=fin");
    check_status(canyon_push(tensor, gradient, PATIENCE_MS), CANYON_OUTCOME_UNKNOWN);
    check_text("without the server's last record");
    routes_fault(&routes, PROXY_EVERY, PROXY_DOWN, "");
    canyon_tensor_close(tensor);
    canyon_close(client);
    canyon_close(watcher);
    routes_stop(&routes);
}

/* A client that closes as it should is no abort. */
static void an_end_with_a_last_record_is_none(void **state) {
    (void)state;
    struct routes routes;
    float gradient[ELEMENTS];
    routes_start(&routes, NULL, NULL);
    for (unsigned i = 0; i < 3; i++) {
        canyon_client *client = client_connect(cluster_servers(routes.cluster));
        canyon_tensor_close(push_some(client, gradient));
        check(statistics_of(client).aborted == 0);
        canyon_close(client);
    }
    routes_stop(&routes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        routes_test(a_recorded_connection_changes_nothing),
        routes_test(a_recorded_session_ends_nobody),
        routes_test(in_plaintext_a_session_outlives_its_recording),
        routes_test(an_end_without_a_last_record_is_an_abort),
        routes_test(an_end_with_a_last_record_is_none),
    };
    return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
