/* The proxy itself: each fault does exactly what it says. Both ends are plain sockets of the test. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/faults/routes.h"
#include "tests/faults/socket.h"

#define MUCH 300000u

/* A listening socket of the test, a proxy to it, and one connection through it. */
struct bench {
    int listening, client, server;
    struct proxy *proxy;
    char address[PROXY_ADDRESS_BYTES];
};

static uint8_t pattern[MUCH];

static int accept_one(struct bench *bench) {
    struct pollfd ready = {.fd = bench->listening, .events = POLLIN};
    check(poll(&ready, 1, (int)PATIENCE_MS) == 1);
    int server = accept(bench->listening, NULL, NULL);
    check(server >= 0);
    return server;
}

static void bench_connect(struct bench *bench) {
    bench->client = socket_connect(proxy_address(bench->proxy), false);
    check(bench->client >= 0);
    bench->server = accept_one(bench);
}

static void bench_start(struct bench *bench, const char *up, const char *down) {
    char text[PROXY_TEXT_BYTES];
    struct proxy_faults faults;
    for (size_t i = 0; i < MUCH; i++)
        pattern[i] = (uint8_t)(i * 7 + i / 251);
    bench->listening = socket_listen("127.0.0.1:0", false, bench->address, sizeof bench->address);
    check(bench->listening >= 0);
    bench->proxy = proxy_start(&(struct proxy_options){.to = bench->address, .record = true}, text);
    check(bench->proxy != NULL);
    check(proxy_faults_parse(&faults, up) == NULL);
    proxy_set(bench->proxy, PROXY_EVERY, PROXY_UP, &faults);
    check(proxy_faults_parse(&faults, down) == NULL);
    proxy_set(bench->proxy, PROXY_EVERY, PROXY_DOWN, &faults);
    bench_connect(bench);
}

static void bench_set(struct bench *bench, int which, enum proxy_way way, const char *text) {
    struct proxy_faults faults;
    check(proxy_faults_parse(&faults, text) == NULL);
    proxy_set(bench->proxy, which, way, &faults);
}

static void bench_stop(struct bench *bench) {
    proxy_stop(bench->proxy);
    if (bench->client >= 0)
        close(bench->client);
    if (bench->server >= 0)
        close(bench->server);
    close(bench->listening);
}

static void put(int descriptor, const void *bytes, size_t count) {
    check(send(descriptor, bytes, count, MSG_NOSIGNAL) == (ssize_t)count);
}

/* Receives exactly this. */
static void expect(int descriptor, const void *bytes, size_t count) {
    static uint8_t got[MUCH];
    size_t have = 0;
    while (have < count) {
        struct pollfd ready = {.fd = descriptor, .events = POLLIN};
        check(poll(&ready, 1, (int)PATIENCE_MS) == 1);
        ssize_t more = recv(descriptor, got + have, count - have, 0);
        check(more > 0);
        have += (size_t)more;
    }
    check(memcmp(got, bytes, count) == 0);
}

static void expect_silence(int descriptor, int wait_ms) {
    struct pollfd ready = {.fd = descriptor, .events = POLLIN};
    check(poll(&ready, 1, wait_ms) == 0);
}

/* 0: an end in order; else errno. */
static int expect_end(int descriptor) {
    uint8_t byte;
    struct pollfd ready = {.fd = descriptor, .events = POLLIN};
    check(poll(&ready, 1, (int)PATIENCE_MS) == 1);
    ssize_t got = recv(descriptor, &byte, 1, 0);
    check(got <= 0);
    return got == 0 ? 0 : errno;
}

static struct proxy_view look(struct bench *bench, int number) {
    struct proxy_view view;
    check(proxy_look(bench->proxy, number, &view));
    return view;
}

/* ---- Without faults --------------------------------------------------------------------------------------------- */

static void passes_both_ways_and_ends(void **state) {
    (void)state;
    struct bench bench;
    bench_start(&bench, "", "");
    put(bench.client, pattern, 100000);
    expect(bench.server, pattern, 100000);
    put(bench.server, pattern + 5, 70000);
    expect(bench.client, pattern + 5, 70000);
    /* An end in order passes; the other way goes on. */
    check(shutdown(bench.client, SHUT_WR) == 0);
    check(expect_end(bench.server) == 0);
    put(bench.server, "still", 5);
    expect(bench.client, "still", 5);
    close(bench.server);
    bench.server = -1;
    check(expect_end(bench.client) == 0);
    check(proxy_await_end(bench.proxy, PATIENCE_MS));
    struct proxy_view view = look(&bench, 0);
    check(!view.live && view.came[PROXY_UP] == 100000 && view.passed[PROXY_DOWN] == 70005);
    check(proxy_count(bench.proxy) == 1 && proxy_live(bench.proxy) == 0 && !proxy_look(bench.proxy, 1, &view));
    bench_stop(&bench);
}

static void resets_pass(void **state) {
    (void)state;
    struct bench bench;
    bench_start(&bench, "", "");
    put(bench.client, "a", 1);
    expect(bench.server, "a", 1);
    socket_reset(bench.client);
    check(expect_end(bench.server) == ECONNRESET);
    bench.client = -1;
    /* A server that is not there any more. */
    close(bench.listening);
    bench.client = socket_connect(proxy_address(bench.proxy), false);
    check(bench.client >= 0 && expect_end(bench.client) == ECONNRESET);
    bench.listening = dup(bench.client);
    bench_stop(&bench);
}

/* ---- Each fault ------------------------------------------------------------------------------------------------- */

static void cut_at_every_offset(void **state) {
    (void)state;
    for (size_t n = 0; n < 40; n++) {
        for (int end = 0; end < 2; end++) {
            struct bench bench;
            char text[32];
            snprintf(text, sizeof text, "cut=%zu,end=%s", n, end ? "rst" : "fin");
            bench_start(&bench, n % 2 ? text : "", n % 2 ? "" : text);
            int from = n % 2 ? bench.client : bench.server, into = n % 2 ? bench.server : bench.client;
            /* Late for a cut at 0, it may be what learns of the reset. */
            bool told = send(from, pattern, 40, MSG_NOSIGNAL) < 0;
            expect(into, pattern, n);
            check(expect_end(into) == (end ? ECONNRESET : 0));
            check(told || expect_end(from) == (end ? ECONNRESET : 0));
            check(look(&bench, 0).passed[n % 2 ? PROXY_UP : PROXY_DOWN] == n);
            bench_stop(&bench);
        }
    }
}

/* Set while it runs, the offset counts from then. */
static void cut_counts_from_when_it_is_set(void **state) {
    (void)state;
    struct bench bench;
    bench_start(&bench, "", "");
    put(bench.client, pattern, 1000);
    expect(bench.server, pattern, 1000);
    bench_set(&bench, 0, PROXY_UP, "cut=10,end=rst");
    put(bench.client, pattern, 50);
    expect(bench.server, pattern, 10);
    check(expect_end(bench.server) == ECONNRESET);
    /* One to come is not concerned. */
    close(bench.client);
    close(bench.server);
    bench_connect(&bench);
    put(bench.client, pattern, 50);
    expect(bench.server, pattern, 50);
    bench_stop(&bench);
}

static void one_byte_at_a_time(void **state) {
    (void)state;
    struct bench bench;
    uint8_t bytes[64];
    bench_start(&bench, "piece=1,gap_us=2000", "piece=7");
    put(bench.client, pattern, 20);
    /* A reader that is awake sees them singly. */
    size_t have = 0, most = 0;
    while (have < 20) {
        struct pollfd ready = {.fd = bench.server, .events = POLLIN};
        check(poll(&ready, 1, (int)PATIENCE_MS) == 1);
        ssize_t got = recv(bench.server, bytes + have, sizeof bytes - have, 0);
        check(got > 0);
        have += (size_t)got;
        most += got == 1;
    }
    check(have == 20 && memcmp(bytes, pattern, 20) == 0);
    check(most > 0); /* not each: this machine may be busy */
    put(bench.server, pattern, MUCH);
    expect(bench.client, pattern, MUCH);
    bench_stop(&bench);
}

static void delays(void **state) {
    (void)state;
    struct bench bench;
    bench_start(&bench, "delay=150", "");
    uint64_t begun = now_ms();
    put(bench.client, pattern, 1000);
    expect(bench.server, pattern, 1000);
    check(now_ms() - begun >= 149);
    begun = now_ms();
    put(bench.server, "x", 1);
    expect(bench.client, "x", 1);
    check(now_ms() - begun < 149 + SLACK_MS);
    bench_stop(&bench);
}

static void stalls_and_goes_on(void **state) {
    (void)state;
    struct bench bench;
    bench_start(&bench, "stall=3", "");
    put(bench.client, pattern, 5000);
    expect(bench.server, pattern, 3);
    expect_silence(bench.server, 100);
    put(bench.server, "other way", 9);
    expect(bench.client, "other way", 9);
    /* It takes no more than its room: what a client can send is bounded. */
    size_t sent = 5000;
    for (int quiet = 0; quiet < 20;) {
        ssize_t more = send(bench.client, pattern, 4096, MSG_DONTWAIT | MSG_NOSIGNAL);
        quiet = more > 0 ? 0 : quiet + 1;
        sent += more > 0 ? (size_t)more : 0;
        if (more <= 0)
            sleep_ms(5);
    }
    check(look(&bench, 0).queued[PROXY_UP] <= PIPE_ROOM + 16384);
    bench_set(&bench, PROXY_LIVE, PROXY_UP, "");
    expect(bench.server, pattern + 3, 4997);
    check(sent > 5000);
    bench_stop(&bench);
}

static void swallows(void **state) {
    (void)state;
    struct bench bench;
    bench_start(&bench, "", "swallow=4");
    put(bench.server, pattern, MUCH);
    expect(bench.client, pattern, 4);
    check(proxy_await(bench.proxy, 0, PROXY_DOWN, MUCH, PATIENCE_MS));
    expect_silence(bench.client, 50);
    check(look(&bench, 0).passed[PROXY_DOWN] == 4);
    check(look(&bench, 0).swallowed[PROXY_DOWN] + look(&bench, 0).queued[PROXY_DOWN] == MUCH - 4);
    put(bench.client, "up", 2);
    expect(bench.server, "up", 2);
    /* The end still passes. */
    close(bench.server);
    bench.server = -1;
    check(expect_end(bench.client) == 0);
    bench_stop(&bench);
}

static void flips_one_bit(void **state) {
    (void)state;
    struct bench bench;
    static uint8_t wrong[MUCH];
    bench_start(&bench, "flip=70001.6,piece=1000", "");
    memcpy(wrong, pattern, MUCH);
    wrong[70001] ^= 64;
    put(bench.client, pattern, MUCH);
    expect(bench.server, wrong, MUCH);
    check(look(&bench, 0).flipped[PROXY_UP] == 1);
    bench_stop(&bench);
}

/* What a rate of flips made of the pattern. */
static size_t flip_by_rate(const char *text, uint8_t got[MUCH]) {
    struct bench bench;
    size_t have = 0, bits = 0;
    bench_start(&bench, text, "");
    put(bench.client, pattern, MUCH);
    while (have < MUCH) {
        ssize_t more = recv(bench.server, got + have, MUCH - have, 0);
        check(more > 0);
        have += (size_t)more;
    }
    for (size_t i = 0; i < MUCH; i++)
        bits += (size_t)__builtin_popcount((unsigned)(got[i] ^ pattern[i]));
    check(bits == look(&bench, 0).flipped[PROXY_UP]);
    bench_stop(&bench);
    return bits;
}

/* A mean distance of 1000 with distances of 1 to 1999 gives 300 flips in 300,000 bytes, give or take 10 (its
 * deviation); the same ones for the same seed, however the bytes are cut. */
static void flips_at_a_rate(void **state) {
    (void)state;
    static uint8_t a[MUCH], b[MUCH], c[MUCH];
    size_t flips = flip_by_rate("flip_every=1000,seed=5", a);
    check(flips > 230 && flips < 370);
    check(flip_by_rate("flip_every=1000,seed=5,piece=13", b) == flips && memcmp(a, b, MUCH) == 0);
    flip_by_rate("flip_every=1000,seed=6", c);
    check(memcmp(a, c, MUCH) != 0);
}

static void limits_the_rate(void **state) {
    (void)state;
    struct bench bench;
    bench_start(&bench, "rate=200000", "");
    uint64_t begun = now_ms();
    put(bench.client, pattern, 100000);
    expect(bench.server, pattern, 100000);
    check(now_ms() - begun >= 450); /* half a second, less one burst of a twentieth of a second */
    bench_stop(&bench);
}

/* The client is gone and has come again; only then what it had sent before arrives. */
static void holds_beyond_a_new_connection(void **state) {
    (void)state;
    for (int end = 0; end < 2; end++) {
        struct bench bench;
        bench_start(&bench, "", "");
        bench_set(&bench, 0, PROXY_UP, "hold");
        put(bench.client, "old", 3);
        check(proxy_await(bench.proxy, 0, PROXY_UP, 3, PATIENCE_MS));
        int old = bench.server;
        if (end) {
            close(bench.client);
        } else {
            proxy_end(bench.proxy, 0, PROXY_CLIENT, PROXY_RST);
            check(expect_end(bench.client) == ECONNRESET);
            close(bench.client);
        }
        bench_connect(&bench);
        put(bench.client, "new", 3);
        expect(bench.server, "new", 3);
        expect_silence(old, 50);
        check(look(&bench, 0).live && look(&bench, 1).live);
        bench_set(&bench, 0, PROXY_UP, "");
        expect(old, "old", 3);
        check(expect_end(old) == (end ? 0 : ECONNRESET));
        close(old);
        put(bench.client, "on", 2);
        expect(bench.server, "on", 2);
        bench_stop(&bench);
    }
}

static void holds_the_whole_lot(void **state) {
    (void)state;
    struct bench bench;
    bench_start(&bench, "hold", "");
    put(bench.client, pattern, MUCH);
    check(proxy_await(bench.proxy, 0, PROXY_UP, MUCH, PATIENCE_MS));
    expect_silence(bench.server, 20);
    proxy_clear(bench.proxy);
    expect(bench.server, pattern, MUCH);
    bench_stop(&bench);
}

static void refuses_and_aims(void **state) {
    (void)state;
    struct bench bench, other;
    bench_start(&bench, "", "");
    bench_start(&other, "", "");
    proxy_refuse(bench.proxy, true);
    check(socket_connect(proxy_address(bench.proxy), false) < 0 && errno == ECONNREFUSED);
    put(bench.client, "alive", 5);
    expect(bench.server, "alive", 5);
    proxy_refuse(bench.proxy, false);
    proxy_aim(bench.proxy, other.address);
    int client = socket_connect(proxy_address(bench.proxy), false), server = accept_one(&other);
    put(client, "there", 5);
    expect(server, "there", 5);
    close(client);
    close(server);
    bench_stop(&other);
    bench_stop(&bench);
}

/* So many, and no more; what is set for all of those to come ends it. */
static void spoils_the_next_ones(void **state) {
    (void)state;
    struct bench bench;
    struct proxy_faults faults;
    bench_start(&bench, "", "");
    check(proxy_faults_parse(&faults, "cut=3") == NULL);
    for (int again = 0; again < 2; again++) {
        proxy_set_next(bench.proxy, 2, PROXY_UP, &faults);
        for (int next = 0; next < 4; next++) {
            const bool spoilt = next < 2 - again;
            close(bench.client);
            close(bench.server);
            bench_connect(&bench);
            put(bench.client, "hello", 5);
            expect(bench.server, "hello", spoilt ? 3 : 5);
            check(!spoilt || expect_end(bench.server) == 0);
            if (again)
                bench_set(&bench, PROXY_COMING, PROXY_UP, "");
        }
    }
    bench_stop(&bench);
}

/* A server that accepts nobody: the way on is not open yet when it ends. */
static void ends_while_it_connects(void **state) {
    (void)state;
    struct bench bench;
    int waiting[8];
    bench_start(&bench, "", "");
    check(listen(bench.listening, 0) == 0);
    for (size_t i = 0; i < sizeof waiting / sizeof waiting[0]; i++)
        waiting[i] = socket_connect(bench.address, true);
    int client = socket_connect(proxy_address(bench.proxy), false);
    check(client >= 0);
    for (uint64_t end = now_ms() + PATIENCE_MS; proxy_count(bench.proxy) < 2; sleep_ms(1))
        check(now_ms() < end);
    proxy_end(bench.proxy, 1, PROXY_SERVER, PROXY_RST);
    check(expect_end(client) == ECONNRESET);
    close(client);
    for (size_t i = 0; i < sizeof waiting / sizeof waiting[0]; i++)
        close(waiting[i]);
    bench_stop(&bench);
}

/* ---- Transcripts ------------------------------------------------------------------------------------------------ */

static void records_and_replays(void **state) {
    (void)state;
    struct bench bench;
    struct transcript transcript, again;
    struct transcript_replay replay;
    bench_start(&bench, "", "");
    put(bench.client, "hello", 5);
    expect(bench.server, "hello", 5);
    put(bench.server, "welcome", 7);
    expect(bench.client, "welcome", 7);
    put(bench.client, "push", 4);
    expect(bench.server, "push", 4);
    check(proxy_transcript(bench.proxy, 0, &transcript));
    check(transcript.piece_count == 3 && transcript_total(&transcript, PROXY_UP) == 9);
    check(transcript.bytes[transcript_find(&transcript, PROXY_UP, 5)] == 'p');
    check(transcript_find(&transcript, PROXY_DOWN, 7) == SIZE_MAX);

    FILE *file = tmpfile();
    check(file && transcript_write(&transcript, file));
    rewind(file);
    check(transcript_read(&again, file));
    check(again.count == transcript.count && memcmp(again.bytes, transcript.bytes, again.count) == 0);
    check(again.piece_count == 3 && again.pieces[1].way == PROXY_DOWN && again.pieces[1].count == 7);
    /* A file that ends early is none. */
    check(ftruncate(fileno(file), 28) == 0);
    rewind(file);
    struct transcript short_one;
    check(!transcript_read(&short_one, file) && short_one.bytes == NULL);
    fclose(file);

    /* To a server that ends each connection at once, and to one that is not there. */
    bench_set(&bench, PROXY_COMING, PROXY_DOWN, "cut=0");
    check(transcript_replay(&again, proxy_address(bench.proxy), 2000, &replay));
    check(replay.closed && replay.replies.count == 0 && replay.sent <= 9);
    transcript_finish(&replay.replies);
    proxy_refuse(bench.proxy, true);
    check(!transcript_replay(&again, proxy_address(bench.proxy), 2000, &replay));
    transcript_finish(&again);
    transcript_finish(&transcript);
    bench_stop(&bench);
}

static void text_form(void **state) {
    (void)state;
    struct proxy_faults faults;
    check(proxy_faults_parse(&faults, "cut=1,end=rst,stall=2,swallow=3,flip=4.5,flip_every=6,seed=7,piece=8,gap_us=9,"
                                      "delay=10,rate=11,hold") == NULL);
    check(faults.cut_after == 1 && faults.cut_end == PROXY_RST && faults.stall_after == 2 && faults.swallow_after == 3);
    check(faults.flip_at == 4 && faults.flip_bit == 5 && faults.flip_every == 6 && faults.seed == 7);
    check(faults.piece == 8 && faults.gap_us == 9 && faults.delay_ms == 10 && faults.rate == 11 && faults.hold);
    static const char *const wrong[] = {"cut",      "cut=",   "cut=-1", "cut=1x",   "cuts=1",           "flip=1",
                                        "flip=1.8", "end=no", "hold=1", "piece=1,", "piece=4294967296", ",cut=1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        check(proxy_faults_parse(&faults, wrong[i]) != NULL);
    check(faults.hold); /* unchanged */
    check(proxy_faults_parse(&faults, "") == NULL && !faults.hold && faults.cut_after == PROXY_NEVER);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        routes_test(passes_both_ways_and_ends),
        routes_test(resets_pass),
        routes_test(cut_at_every_offset),
        routes_test(cut_counts_from_when_it_is_set),
        routes_test(one_byte_at_a_time),
        routes_test(delays),
        routes_test(stalls_and_goes_on),
        routes_test(swallows),
        routes_test(flips_one_bit),
        routes_test(flips_at_a_rate),
        routes_test(limits_the_rate),
        routes_test(holds_beyond_a_new_connection),
        routes_test(holds_the_whole_lot),
        routes_test(refuses_and_aims),
        routes_test(spoils_the_next_ones),
        routes_test(ends_while_it_connects),
        routes_test(records_and_replays),
        routes_test(text_form),
    };
    return cmocka_run_group_tests_name("proxy", tests, NULL, NULL);
}
