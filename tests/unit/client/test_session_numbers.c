/* Numbers of a session, and what becomes of requests when its connection is lost: against a server made of frames. */
#include "tests/unit/client/session_world.h"

#include "common/rows.h"

enum { SHARDS = 8, VALUES = 5 };

/* A push of one block to each of some shards, and what was to be sent of it. */
struct push {
    struct session_request request;
    struct outcome outcome;
    uint32_t shards[4];
    uint8_t message[LIMIT_MESSAGE_BYTES];
    float values[4 * VALUES];
    struct iovec slice;
};

static void make_push(struct push *push, const uint32_t *shards, uint32_t count) {
    struct message_pieces pieces = {.count = count};
    for (uint32_t i = 0; i < count; i++)
        pieces.pieces[i] =
            (struct message_piece){.tensor = 7, .block = shards[i], .elements = VALUES, .version = 300, .number = 1};
    memcpy(push->shards, shards, count * sizeof *shards);
    for (size_t i = 0; i < 4 * VALUES; i++)
        push->values[i] = (float)i + (float)shards[0];
    push->slice = (struct iovec){.iov_base = push->values, .iov_len = count * VALUES * sizeof(float)};
    push->request = request_of(FRAME_PUSH, &push->outcome);
    push->request.changes_state = true;
    push->request.message = push->message;
    push->request.message_bytes = message_pack_pieces(&pieces, push->message);
    push->request.payload = &push->slice;
    push->request.payload_count = 1;
    push->request.payload_bytes = (uint32_t)push->slice.iov_len;
    push->request.piece_count = count;
    push->request.shards = push->shards;
}

static void submit_push(struct world *world, struct push *push, uint32_t shard) {
    make_push(push, &shard, 1);
    session_submit(world->session, &push->request);
}

/* ---- the server's side ---- */

/* A whole frame that the server received; false: there is none at *at, which is moved on. */
static bool next_frame(const struct world *world, size_t *at, struct frame_header *header, const uint8_t **message) {
    if (*at + FRAME_HEADER_BYTES > world->out_bytes)
        return false;
    assert_int_equal(frame_header_decode(world->out + *at, FRAME_PAYLOAD_LIMIT, header, NULL), CANYON_OK);
    const size_t end = *at + FRAME_HEADER_BYTES + header->message_bytes + header->payload_bytes;
    if (end > world->out_bytes)
        return false;
    *message = world->out + *at + FRAME_HEADER_BYTES;
    *at = end;
    return true;
}

/* The numbers of the pushes that it received whole, as "SHARD:NUMBER ..." one frame after another with "|" between. */
static const char *numbers_received(const struct world *world) {
    static char text[1024];
    size_t at = 0, length = 0;
    struct frame_header header;
    const uint8_t *message = NULL;
    text[0] = '\0';
    while (next_frame(world, &at, &header, &message)) {
        struct message_pieces pieces = {.count = 0};
        if (header.type == FRAME_PUSH)
            assert_int_equal(message_unpack_pieces(message, header.message_bytes, &pieces, NULL), CANYON_OK);
        for (uint32_t i = 0; i < pieces.count; i++)
            length += (size_t)snprintf(text + length, sizeof text - length, "%s%u:%llu",
                                       length == 0 ? ""
                                       : i == 0    ? "|"
                                                   : " ",
                                       pieces.pieces[i].block, (unsigned long long)pieces.pieces[i].number);
        assert_true(length < sizeof text);
    }
    return text;
}

/* The last numbers by shard of what it received whole. */
static void take_received(const struct world *world, uint64_t last[SHARDS]) {
    size_t at = 0;
    struct frame_header header;
    const uint8_t *message = NULL;
    while (next_frame(world, &at, &header, &message)) {
        struct message_pieces pieces = {.count = 0};
        if (header.type == FRAME_PUSH)
            assert_int_equal(message_unpack_pieces(message, header.message_bytes, &pieces, NULL), CANYON_OK);
        for (uint32_t i = 0; i < pieces.count; i++)
            last[pieces.pieces[i].block] = pieces.pieces[i].number;
    }
}

static void begin_again(struct world *world, uint8_t boot) {
    uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES + sizeof SERVERS], message[LIMIT_MESSAGE_BYTES];
    struct message_welcome welcome = {
        .protocol = FRAME_VERSION, .threads = 2, .job = "job", .shards = SHARDS, .block = 1024, .version = "v"};
    struct error error;
    memset(welcome.boot, boot, sizeof welcome.boot);
    assert_int_equal(session_begin(world->session, NULL, NULL), CANYON_OK);
    world->out_bytes = 0;
    pump(world, ALL);
    const size_t count = make_frame(bytes, FRAME_WELCOME, received_frame(world, 0).request, message,
                                    message_pack_welcome(&welcome, message), SERVERS, strlen(SERVERS));
    assert_int_equal(feed(world, bytes, count, ALL, &error), CANYON_OK);
    world->out_bytes = 0;
}

/* Answers the RESUME, which must be all that came, with what is not 0 of `last`. */
static enum canyon_status answer_resume(struct world *world, const uint64_t last[SHARDS], struct error *error) {
    uint8_t payload[SHARDS * MESSAGE_RESUMED_ENTRY_BYTES] = {0};
    size_t bytes = 0;
    assert_int_equal(session_state(world->session), SESSION_RESUMING);
    assert_int_equal(pump(world, ALL), FRAME_HEADER_BYTES);
    const struct frame_header header = received_frame(world, 0);
    assert_int_equal(header.type, FRAME_RESUME);
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        if (last[shard] == 0)
            continue;
        memcpy(payload + bytes, &shard, sizeof shard);
        memcpy(payload + bytes + 8, &last[shard], sizeof last[shard]);
        memcpy(payload + bytes + 16, &last[shard], sizeof last[shard]);
        bytes += MESSAGE_RESUMED_ENTRY_BYTES;
    }
    world->out_bytes = 0;
    return reply(world, FRAME_RESUMED, header.request, payload, bytes, error);
}

/* The connection is lost, and another one finds the server as told. */
enum { BOOT = 7 }; /* as greet() has it */

static void reconnect(struct world *world, uint8_t boot, const uint64_t last[SHARDS]) {
    struct error error;
    session_lose(world->session, CANYON_UNAVAILABLE, "server:1 went away");
    assert_int_equal(session_state(world->session), SESSION_DOWN);
    begin_again(world, boot);
    assert_int_equal(answer_resume(world, last, &error), CANYON_OK);
    assert_int_equal(session_state(world->session), SESSION_READY);
}

static void answer(struct world *world, const struct push *push) {
    struct error error;
    assert_int_equal(reply(world, FRAME_PUSHED, push->request.id, NULL, 0, &error), CANYON_OK);
}

/* ---- taking numbers ---- */

static void test_numbers_are_taken_in_the_order_of_sending(void **state) {
    (void)state;
    struct world world;
    struct push pushes[3];
    open_world(&world, 1 << 20);
    greet(&world);
    make_push(&pushes[0], (const uint32_t[]){2, 5}, 2);
    make_push(&pushes[1], (const uint32_t[]){5, 5, 1}, 3);
    make_push(&pushes[2], (const uint32_t[]){2}, 1);
    for (size_t i = 0; i < 3; i++)
        session_submit(world.session, &pushes[i].request);
    pump(&world, ALL);
    assert_string_equal(numbers_received(&world), "2:1 5:1|5:2 5:3 1:1|2:2");
    close_world(&world);
}

/* Though it was offered to the socket before. */
static void test_what_is_never_sent_takes_no_number(void **state) {
    (void)state;
    for (size_t gone = 0; gone < 3; gone++) {
        struct world world;
        struct push pushes[3];
        struct iovec slices[16];
        open_world(&world, 1 << 20);
        greet(&world);
        for (size_t i = 0; i < 3; i++)
            submit_push(&world, &pushes[i], 4);
        for (size_t i = 0; i < 2; i++) /* the socket takes nothing */
            assert_true(session_output(world.session, slices, 16) > 3);
        assert_true(session_cancel(world.session, &pushes[gone].request, CANYON_TIMEOUT, "late"));
        assert_false(pushes[gone].request.begun);
        pump(&world, ALL);
        assert_string_equal(numbers_received(&world), "4:1|4:2");
        close_world(&world);
    }
}

static void test_runs_are_numbered_in_the_payload(void **state) {
    (void)state;
    struct world world;
    struct outcome outcome;
    struct rows_run runs[3] = {{.shard = 1, .rows = 1}, {.shard = 3, .rows = 1}, {.shard = 6, .rows = 1}};
    struct iovec slice = {.iov_base = runs, .iov_len = sizeof runs};
    struct push push;
    open_world(&world, 1 << 20);
    greet(&world);
    submit_push(&world, &push, 3);
    struct session_request request = request_of(FRAME_TABLE_ERASE, &outcome);
    request.changes_state = true;
    request.payload = &slice;
    request.payload_count = 1;
    request.payload_bytes = sizeof runs;
    request.piece_count = 3;
    session_submit(world.session, &request);
    pump(&world, ALL);
    struct rows_run sent[3];
    memcpy(sent, world.out + world.out_bytes - sizeof sent, sizeof sent);
    static const uint64_t expected[] = {1, 2, 1};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(sent[i].number, expected[i]);
        assert_int_equal(sent[i].shard, runs[i].shard);
    }
    close_world(&world);
}

/* ---- another connection ---- */

static void test_nothing_to_resume_without_numbers(void **state) {
    (void)state;
    struct world world;
    struct outcome outcome;
    struct session_request request = request_of(FRAME_PULL, &outcome);
    open_world(&world, 1 << 20);
    greet(&world);
    session_submit(world.session, &request);
    pump(&world, ALL);
    session_lose(world.session, CANYON_UNAVAILABLE, "gone");
    assert_int_equal(outcome.calls, 0);
    greet(&world); /* READY at once */
    pump(&world, ALL);
    assert_int_equal(received_frame(&world, 0).type, FRAME_PULL);
    assert_int_equal(session_count(world.session).resent, 1);
    close_world(&world);
}

/* Three requests in 3 to 5 frames' worth of bytes: cut after each byte, what is sent again is the same to the byte. */
static void test_resent_in_order_with_the_same_numbers_wherever_cut(void **state) {
    (void)state;
    uint8_t whole[4096];
    size_t total = 1;
    for (size_t cut = 0; cut <= total; cut++) {
        struct world world;
        struct push pushes[3];
        uint64_t last[SHARDS] = {0};
        open_world(&world, 1 << 20);
        greet(&world);
        make_push(&pushes[0], (const uint32_t[]){2, 5}, 2);
        make_push(&pushes[1], (const uint32_t[]){5, 2}, 2);
        make_push(&pushes[2], (const uint32_t[]){5}, 1);
        for (size_t i = 0; i < 3; i++)
            session_submit(world.session, &pushes[i].request);
        if (cut == 0) {
            total = pump(&world, ALL);
            assert_true(total < sizeof whole);
            memcpy(whole, world.out, total);
            close_world(&world);
            continue;
        }
        pump(&world, cut);
        take_received(&world, last);
        reconnect(&world, BOOT, last);
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(pushes[i].outcome.calls, 0);
        assert_int_equal(pump(&world, ALL), total);
        assert_memory_equal(world.out, whole, total);
        for (size_t i = 0; i < 3; i++) {
            answer(&world, &pushes[i]);
            assert_int_equal(pushes[i].outcome.calls, 1);
            assert_int_equal(pushes[i].outcome.status, CANYON_OK);
        }
        assert_int_equal(session_count(world.session).duplicates, last[2] + last[5]);
        close_world(&world);
    }
    assert_true(total > 200);
}

static void test_reads_wait_and_the_catalogue_does_not(void **state) {
    (void)state;
    static const uint16_t types[] = {FRAME_PULL,   FRAME_TABLE_PULL, FRAME_STATISTICS, FRAME_DIGEST,
                                     FRAME_CREATE, FRAME_DROP,       FRAME_JOIN,       FRAME_BARRIER};
    enum { COUNT = sizeof types / sizeof types[0], READS = 4 };
    struct world world;
    struct outcome outcomes[COUNT];
    struct session_request requests[COUNT];
    open_world(&world, 1 << 20);
    greet(&world);
    for (size_t i = 0; i < COUNT; i++) {
        requests[i] = request_of(types[i], &outcomes[i]);
        requests[i].changes_state = types[i] == FRAME_CREATE || types[i] == FRAME_DROP;
        session_submit(world.session, &requests[i]);
    }
    pump(&world, 5 * FRAME_HEADER_BYTES + 3); /* the CREATE whole, the DROP begun */
    session_lose(world.session, CANYON_UNAVAILABLE, "gone");
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(outcomes[i].calls, i >= READS);
    assert_int_equal(outcomes[4].status, CANYON_OUTCOME_UNKNOWN);
    assert_int_equal(outcomes[5].status, CANYON_OUTCOME_UNKNOWN);
    assert_int_equal(outcomes[6].status, CANYON_UNAVAILABLE);
    greet(&world);
    assert_int_equal(pump(&world, ALL), READS * FRAME_HEADER_BYTES);
    for (size_t i = 0; i < READS; i++)
        assert_int_equal(received_frame(&world, i).type, types[i]);
    close_world(&world);
}

/* One window's worth is under way again, not more. */
static void test_the_window_holds_for_what_is_resent(void **state) {
    (void)state;
    struct world world;
    struct push pushes[4];
    const uint64_t none[SHARDS] = {0};
    open_world(&world, 200);
    greet(&world);
    for (size_t i = 0; i < 4; i++)
        submit_push(&world, &pushes[i], 1);
    const size_t sent = pump(&world, ALL);
    assert_string_equal(numbers_received(&world), "1:1|1:2");
    reconnect(&world, BOOT, none);
    assert_int_equal(pump(&world, ALL), sent);
    assert_string_equal(numbers_received(&world), "1:1|1:2");
    answer(&world, &pushes[0]);
    pump(&world, ALL);
    assert_string_equal(numbers_received(&world), "1:1|1:2|1:3");
    close_world(&world);
}

/* What the server says of the connection as a whole. */
static void test_gap_fenced_and_unknown_are_put_right_by_a_new_connection(void **state) {
    (void)state;
    static const enum canyon_status said[] = {CANYON_GAP, CANYON_FENCED, CANYON_SESSION_UNKNOWN};
    for (size_t i = 0; i < 3; i++) {
        struct world world;
        struct push pushes[2];
        struct error error;
        open_world(&world, 1 << 20);
        greet(&world);
        submit_push(&world, &pushes[0], 3);
        submit_push(&world, &pushes[1], 3);
        pump(&world, ALL);
        assert_int_equal(reply_error(&world, 0, said[i], "that is not next", &error), said[i]);
        assert_true(session_may_return(said[i]));
        reconnect(&world, BOOT, (const uint64_t[SHARDS]){[3] = 1});
        pump(&world, ALL);
        assert_string_equal(numbers_received(&world), "3:1|3:2");
        answer(&world, &pushes[0]);
        answer(&world, &pushes[1]);
        assert_int_equal(pushes[1].outcome.status, CANYON_OK);
        close_world(&world);
    }
    assert_false(session_may_return(CANYON_CONFIGURATION));
    assert_false(session_may_return(CANYON_DENIED));
    assert_false(session_may_return(CANYON_CLOSED));
}

/* ---- a server without its state ---- */

/* What was begun is of unknown outcome, and what was not begins at 1; shards that are known go on. */
static void test_a_restarted_server_ends_what_was_begun(void **state) {
    (void)state;
    struct world world;
    struct push lost, kept, waits;
    open_world(&world, 200);
    greet(&world);
    submit_push(&world, &lost, 1);
    submit_push(&world, &kept, 2);
    submit_push(&world, &waits, 1);
    pump(&world, ALL);
    assert_string_equal(numbers_received(&world), "1:1|2:1");
    reconnect(&world, BOOT + 1, (const uint64_t[SHARDS]){[2] = 1});
    assert_int_equal(lost.outcome.status, CANYON_OUTCOME_UNKNOWN);
    assert_non_null(strstr(lost.outcome.text, "server:1"));
    assert_int_equal(kept.outcome.calls + waits.outcome.calls, 0);
    pump(&world, ALL);
    assert_string_equal(numbers_received(&world), "2:1|1:1");
    close_world(&world);
}

/* What ends with one shard leaves a gap in the other, which closes. */
static void test_the_gap_of_what_was_lost_closes(void **state) {
    (void)state;
    struct world world;
    struct push first, both, kept;
    open_world(&world, 1 << 20);
    greet(&world);
    submit_push(&world, &first, 2);
    pump(&world, ALL);
    answer(&world, &first);
    make_push(&both, (const uint32_t[]){1, 2}, 2);
    session_submit(world.session, &both.request);
    submit_push(&world, &kept, 2);
    pump(&world, ALL);
    assert_string_equal(numbers_received(&world), "2:1|1:1 2:2|2:3");
    reconnect(&world, BOOT + 1, (const uint64_t[SHARDS]){[2] = 1});
    assert_int_equal(both.outcome.status, CANYON_OUTCOME_UNKNOWN);
    pump(&world, ALL);
    assert_string_equal(numbers_received(&world), "2:2");
    answer(&world, &kept);
    assert_int_equal(kept.outcome.status, CANYON_OK);
    close_world(&world);
}

/* The same server, which has forgotten: number 2 was begun, so 1 was answered, and it knew of that. */
static void test_a_forgotten_session_begins_at_one(void **state) {
    (void)state;
    const uint64_t none[SHARDS] = {0};
    struct world world;
    struct push first, second, third;
    open_world(&world, 1 << 20);
    greet(&world);
    submit_push(&world, &first, 6);
    pump(&world, ALL);
    answer(&world, &first);
    submit_push(&world, &second, 6);
    pump(&world, ALL);
    reconnect(&world, BOOT, none);
    assert_int_equal(second.outcome.status, CANYON_OUTCOME_UNKNOWN);
    submit_push(&world, &third, 6);
    pump(&world, ALL);
    assert_string_equal(numbers_received(&world), "6:1");
    close_world(&world);
}

/* Number 1 was sent and not answered, and the server does not know the session. It may have taken the number and
 * forgotten the session since; but not before it has had nothing to do with it for ten minutes. What counts is when
 * that which was answered last was sent, not when the answer came or the connection was lost. */
static void test_a_first_number_is_not_sent_again_after_a_long_silence(void **state) {
    (void)state;
    const uint64_t none[SHARDS] = {0}, start = 77, limit = SESSION_MEMORY_NS;
    assert_true(limit == 540 * 1000000000ull);
    for (int i = 0; i < 2; i++) {
        struct world world;
        struct push before, first;
        open_world(&world, 1 << 20);
        session_clock(world.session, start);
        greet(&world);
        submit_push(&world, &before, 2);
        pump(&world, ALL);
        session_clock(world.session, start + limit - 1);
        answer(&world, &before);
        submit_push(&world, &first, 6);
        pump(&world, ALL);
        session_clock(world.session, start + limit - (i == 0));
        reconnect(&world, BOOT, (const uint64_t[SHARDS]){[2] = 1});
        if (i > 0) {
            assert_int_equal(first.outcome.status, CANYON_OUTCOME_UNKNOWN);
            close_world(&world);
            continue;
        }
        pump(&world, ALL);
        assert_string_equal(numbers_received(&world), "6:1");
        /* RESUMED has shown that the server still has the connection: once more as long. */
        session_clock(world.session, start + 2 * limit - 2);
        reconnect(&world, BOOT, none);
        pump(&world, ALL);
        assert_string_equal(numbers_received(&world), "6:1");
        answer(&world, &first);
        close_world(&world);
    }
}

/* A server that knows more than was ever sent speaks of another past: numbers go on after it. */
static void test_more_than_was_sent_is_another_past(void **state) {
    (void)state;
    struct world world;
    struct push first, second;
    open_world(&world, 1 << 20);
    greet(&world);
    submit_push(&world, &first, 6);
    pump(&world, ALL);
    reconnect(&world, BOOT + 1, (const uint64_t[SHARDS]){[6] = 40});
    assert_int_equal(first.outcome.status, CANYON_OUTCOME_UNKNOWN);
    submit_push(&world, &second, 6);
    pump(&world, ALL);
    assert_string_equal(numbers_received(&world), "6:41");
    close_world(&world);
}

static void test_resumed_that_makes_no_sense(void **state) {
    (void)state;
    uint8_t twice[2 * MESSAGE_RESUMED_ENTRY_BYTES] = {0}, beyond[MESSAGE_RESUMED_ENTRY_BYTES] = {SHARDS};
    const struct {
        uint16_t type;
        uint64_t off;
        const uint8_t *payload;
        size_t bytes;
    } wrong[] = {{FRAME_RESUMED, 0, twice, MESSAGE_RESUMED_ENTRY_BYTES - 1},
                 {FRAME_RESUMED, 0, twice, sizeof twice},
                 {FRAME_RESUMED, 0, beyond, sizeof beyond},
                 {FRAME_RESUMED, 1, twice, MESSAGE_RESUMED_ENTRY_BYTES},
                 {FRAME_PUSHED, 0, NULL, 0}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct world world;
        struct push push;
        struct error error;
        open_world(&world, 1 << 20);
        greet(&world);
        submit_push(&world, &push, 0);
        pump(&world, ALL);
        session_lose(world.session, CANYON_UNAVAILABLE, "gone");
        begin_again(&world, BOOT);
        pump(&world, ALL);
        assert_int_equal(reply(&world, wrong[i].type, received_frame(&world, 0).request + wrong[i].off,
                               wrong[i].payload, wrong[i].bytes, &error),
                         CANYON_PROTOCOL);
        assert_non_null(strstr(error.text, "server:1"));
        close_world(&world);
        assert_int_equal(push.outcome.status, CANYON_OUTCOME_UNKNOWN);
    }
}

/* ---- giving up ---- */

/* The owner has its memory back, and the server gets every byte, whenever that happens. */
static void test_orphans_are_sent_from_a_copy(void **state) {
    (void)state;
    uint8_t whole[4096];
    size_t total = 1;
    for (size_t cut = 0; cut <= total; cut++) {
        struct world world;
        struct push pushes[2];
        open_world(&world, 1 << 20);
        greet(&world);
        make_push(&pushes[0], (const uint32_t[]){2, 5}, 2);
        pushes[0].request.deadline = 100;
        session_submit(world.session, &pushes[0].request);
        submit_push(&world, &pushes[1], 5);
        pump(&world, cut == 0 ? ALL : cut);
        if (cut == 0) {
            total = world.out_bytes;
            memcpy(whole, world.out, total);
            close_world(&world);
            continue;
        }
        const uint64_t id = pushes[0].request.id;
        assert_true(session_tick(world.session, 100));
        assert_int_equal(pushes[0].outcome.calls, 1);
        assert_int_equal(pushes[0].outcome.status, CANYON_OUTCOME_UNKNOWN);
        memset(&pushes[0], 0xee, sizeof pushes[0]);
        assert_int_equal(session_outstanding(world.session), 2);
        pump(&world, ALL);
        assert_int_equal(world.out_bytes, total);
        assert_memory_equal(world.out, whole, total);
        reconnect(&world, BOOT, (const uint64_t[SHARDS]){[2] = 1});
        pump(&world, ALL);
        assert_memory_equal(world.out, whole, total);
        struct error error;
        assert_int_equal(reply(&world, FRAME_PUSHED, id, NULL, 0, &error), CANYON_OK);
        assert_int_equal(session_outstanding(world.session), 1);
        close_world(&world);
    }
}

/* A table's numbers stand in the payload: the copy has them too. */
static void test_orphans_of_runs_keep_their_numbers(void **state) {
    (void)state;
    struct world world;
    struct outcome outcome;
    struct rows_run runs[2] = {{.shard = 1, .rows = 1}, {.shard = 3, .rows = 1}};
    float rest[3] = {1.0f, 2.0f, 3.0f};
    struct iovec slices[3] = {{runs, sizeof runs}, {NULL, 0}, {rest, sizeof rest}};
    open_world(&world, 1 << 20);
    greet(&world);
    struct session_request request = request_of(FRAME_TABLE_PUSH, &outcome);
    request.changes_state = true;
    request.payload = slices;
    request.payload_count = 3;
    request.payload_bytes = sizeof runs + sizeof rest;
    request.piece_count = 2;
    request.deadline = 1;
    session_submit(world.session, &request);
    pump(&world, FRAME_HEADER_BYTES + 3);
    assert_true(session_tick(world.session, 1));
    memset(runs, 0, sizeof runs);
    memset(rest, 0, sizeof rest);
    reconnect(&world, BOOT, (const uint64_t[SHARDS]){0});
    assert_int_equal(pump(&world, ALL), FRAME_HEADER_BYTES + sizeof runs + sizeof rest);
    memcpy(runs, world.out + FRAME_HEADER_BYTES, sizeof runs);
    memcpy(rest, world.out + FRAME_HEADER_BYTES + sizeof runs, sizeof rest);
    assert_true(runs[0].number == 1 && runs[1].number == 1 && runs[1].shard == 3);
    assert_true(rest[0] == 1.0f && rest[2] == 3.0f);
    close_world(&world);
}

static void test_the_window_bounds_orphans(void **state) {
    (void)state;
    enum { COUNT = 50 };
    size_t cost = 0;
    struct world world;
    struct push *pushes = calloc(COUNT, sizeof *pushes);
    assert_non_null(pushes);
    open_world(&world, 300);
    greet(&world);
    for (uint64_t i = 0; i < COUNT; i++) {
        make_push(&pushes[i], (const uint32_t[]){4}, 1);
        pushes[i].request.deadline = i;
        session_submit(world.session, &pushes[i].request);
        pump(&world, ALL);
        assert_true(session_tick(world.session, i));
        assert_int_equal(pushes[i].outcome.calls, 1);
        cost = FRAME_HEADER_BYTES + pushes[0].request.message_bytes + pushes[0].request.payload_bytes;
        assert_true(session_outstanding(world.session) <= 300 / cost);
        if (i % 10 == 5)
            reconnect(&world, BOOT, (const uint64_t[SHARDS]){[4] = 2});
    }
    assert_int_equal(session_outstanding(world.session), 300 / cost);
    assert_int_equal(pushes[COUNT - 1].outcome.status, CANYON_TIMEOUT);
    close_world(&world);
    free(pushes);
}

/* What comes of a reply after that goes elsewhere, though it was arriving at the owner's place. */
static void test_an_orphans_reply_does_not_touch_its_owners_memory(void **state) {
    (void)state;
    static float fresh[16384], weights[16384];
    static const size_t cuts[] = {0, 10, FRAME_HEADER_BYTES, 40000};
    const size_t bytes = FRAME_HEADER_BYTES + sizeof fresh;
    uint8_t *wire = malloc(bytes);
    assert_non_null(wire);
    for (size_t i = 0; i < 16384; i++)
        fresh[i] = 3.0f;
    for (size_t c = 0; c < sizeof cuts / sizeof cuts[0]; c++) {
        struct world world;
        struct push push;
        struct error error;
        open_world(&world, 1 << 20);
        greet(&world);
        make_push(&push, (const uint32_t[]){4}, 1);
        push.request.type = FRAME_PUSH_PULL;
        push.request.destination = weights;
        push.request.destination_bytes = push.request.reply_bytes = sizeof weights;
        push.request.deadline = 5;
        session_submit(world.session, &push.request);
        pump(&world, ALL);
        make_frame(wire, FRAME_PUSH_PULLED, push.request.id, NULL, 0, fresh, sizeof fresh);
        assert_int_equal(feed(&world, wire, cuts[c], ALL, &error), CANYON_OK);
        assert_true(session_tick(world.session, 5));
        assert_int_equal(push.outcome.status, CANYON_OUTCOME_UNKNOWN);
        memset(weights, 0, sizeof weights);
        assert_int_equal(feed(&world, wire + cuts[c], bytes - cuts[c], 30000, &error), CANYON_OK);
        for (size_t i = 0; i < 16384; i++)
            assert_true(weights[i] == 0.0f);
        assert_int_equal(session_outstanding(world.session), 0);
        close_world(&world);
    }
    free(wire);
}

/* Everything was given up, half-sent as it was: no number is left out afterwards, whatever the server has taken. */
static void test_after_a_failure_numbers_go_on_where_the_server_is(void **state) {
    (void)state;
    for (uint64_t taken = 0; taken <= 3; taken++) {
        struct world world;
        struct push pushes[3], next;
        struct error error;
        char expected[32];
        open_world(&world, 1 << 20);
        greet(&world);
        for (size_t i = 0; i < 3; i++)
            submit_push(&world, &pushes[i], 3);
        pump(&world, ALL);
        session_fail(world.session, CANYON_UNAVAILABLE, "it does not come back");
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(pushes[i].outcome.status, CANYON_OUTCOME_UNKNOWN);
        submit_push(&world, &next, 3);
        begin_again(&world, BOOT);
        assert_int_equal(answer_resume(&world, (const uint64_t[SHARDS]){[3] = taken}, &error), CANYON_OK);
        pump(&world, ALL);
        snprintf(expected, sizeof expected, "3:%llu", (unsigned long long)taken + 1);
        assert_string_equal(numbers_received(&world), expected);
        answer(&world, &next);
        assert_int_equal(next.outcome.status, CANYON_OK);
        close_world(&world);
    }
}

/* ---- clocks ---- */

static void tell(struct world *world, uint64_t clock, bool leave) {
    const struct message_clock message = {.clock = clock, .rank = 3, .leave = leave};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    struct outcome outcome;
    struct error error;
    struct session_request request = request_of(FRAME_CLOCK, &outcome);
    request.message = bytes;
    request.message_bytes = message_pack_clock(&message, bytes);
    session_submit(world->session, &request);
    pump(world, ALL);
    assert_int_equal(reply(world, FRAME_CLOCKED, request.id, NULL, 0, &error), CANYON_OK);
    assert_int_equal(outcome.status, CANYON_OK);
    memset(bytes, 0x55, sizeof bytes); /* its owner's again */
}

/* For no rank in particular, which takes no byte. */
static void enter(struct world *world) {
    struct outcome outcome;
    struct error error;
    struct session_request request = request_of(FRAME_ENTER, &outcome);
    session_submit(world->session, &request);
    pump(world, ALL);
    assert_int_equal(reply(world, FRAME_ENTERED, request.id, NULL, 0, &error), CANYON_OK);
}

/* The connection is lost, a server of this boot id welcomes, and `cut` bytes go out before it answers RESUME: 0 for as
 * many as there are. The clock that it is told before anything that is sent again, 0: none. */
static uint64_t told_first(struct world *world, const struct push *push, uint8_t boot, size_t cut) {
    struct message_clock clock = {.clock = 0};
    struct frame_header header;
    const uint8_t *message = NULL;
    struct error error;
    size_t at = 0;
    session_lose(world->session, CANYON_UNAVAILABLE, "server:1 went away");
    begin_again(world, boot);
    pump(world, cut > 0 ? cut : ALL);
    if (session_state(world->session) == SESSION_READY) { /* nothing has a number yet */
        assert_true(next_frame(world, &at, &header, &message) && header.type == FRAME_CLOCK);
        assert_int_equal(message_unpack_clock(message, header.message_bytes, &clock, &error), CANYON_OK);
        assert_int_equal(reply(world, FRAME_CLOCKED, header.request, NULL, 0, &error), CANYON_OK);
        assert_true(at == world->out_bytes && push == NULL);
        return clock.clock;
    }
    const uint64_t resume = received_frame(world, 0).request;
    uint8_t payload[MESSAGE_RESUMED_ENTRY_BYTES] = {2, 0, 0, 0, 0, 0, 0, 0, 1};
    assert_int_equal(reply(world, FRAME_RESUMED, resume, payload, sizeof payload, &error), CANYON_OK);
    pump(world, ALL);
    assert_true(next_frame(world, &at, &header, &message) && header.type == FRAME_RESUME);
    assert_true(next_frame(world, &at, &header, &message));
    if (header.type == FRAME_CLOCK) {
        assert_int_equal(message_unpack_clock(message, header.message_bytes, &clock, &error), CANYON_OK);
        assert_true(clock.rank == 3 && !clock.leave);
        assert_int_equal(reply(world, FRAME_CLOCKED, header.request, NULL, 0, &error), CANYON_OK);
        assert_true(next_frame(world, &at, &header, &message));
    }
    assert_true(header.type == FRAME_PUSH && header.request == push->request.id && at == world->out_bytes);
    return clock.clock;
}

/* A server that was restarted hears of the clock before it judges what is sent again. */
static void test_a_restarted_server_is_told_the_clock_first(void **state) {
    (void)state;
    struct world world;
    struct push first, push;
    open_world(&world, 1 << 20);
    greet(&world);
    enter(&world);
    session_lose(world.session, CANYON_UNAVAILABLE, "server:1 went away");
    begin_again(&world, BOOT + 98);
    pump(&world, ALL);
    assert_int_equal(received_frame(&world, 0).type, FRAME_ENTER);
    tell(&world, 4, false);
    tell(&world, 5, false);
    assert_int_equal(told_first(&world, NULL, BOOT + 99, 0), 5);
    submit_push(&world, &first, 2);
    pump(&world, ALL);
    answer(&world, &first);
    submit_push(&world, &push, 2);
    pump(&world, ALL);
    assert_int_equal(told_first(&world, &push, BOOT + 99, 0), 0); /* it knows */
    assert_int_equal(told_first(&world, &push, BOOT + 1, 0), 5);
    assert_int_equal(told_first(&world, &push, BOOT + 1, 0), 0);
    for (size_t cut = FRAME_HEADER_BYTES; cut < 2 * FRAME_HEADER_BYTES + 4; cut++)
        assert_int_equal(told_first(&world, &push, (uint8_t)(BOOT + 2 + cut), cut), 5);
    tell(&world, 6, true);
    assert_int_equal(told_first(&world, &push, BOOT, 0), 0); /* it has left */
    answer(&world, &push);
    assert_int_equal(push.outcome.status, CANYON_OK);
    close_world(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_taken_in_the_order_of_sending),
        cmocka_unit_test(test_what_is_never_sent_takes_no_number),
        cmocka_unit_test(test_runs_are_numbered_in_the_payload),
        cmocka_unit_test(test_nothing_to_resume_without_numbers),
        cmocka_unit_test(test_resent_in_order_with_the_same_numbers_wherever_cut),
        cmocka_unit_test(test_reads_wait_and_the_catalogue_does_not),
        cmocka_unit_test(test_the_window_holds_for_what_is_resent),
        cmocka_unit_test(test_gap_fenced_and_unknown_are_put_right_by_a_new_connection),
        cmocka_unit_test(test_a_restarted_server_ends_what_was_begun),
        cmocka_unit_test(test_the_gap_of_what_was_lost_closes),
        cmocka_unit_test(test_a_forgotten_session_begins_at_one),
        cmocka_unit_test(test_a_first_number_is_not_sent_again_after_a_long_silence),
        cmocka_unit_test(test_more_than_was_sent_is_another_past),
        cmocka_unit_test(test_resumed_that_makes_no_sense),
        cmocka_unit_test(test_orphans_are_sent_from_a_copy),
        cmocka_unit_test(test_orphans_of_runs_keep_their_numbers),
        cmocka_unit_test(test_the_window_bounds_orphans),
        cmocka_unit_test(test_an_orphans_reply_does_not_touch_its_owners_memory),
        cmocka_unit_test(test_after_a_failure_numbers_go_on_where_the_server_is),
        cmocka_unit_test(test_a_restarted_server_is_told_the_clock_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
