/* A server that misbehaves on demand, for tests of connections: a thread with a socket that speaks just enough of the
 * protocol, encrypted or in plaintext. And a client of it. */
#ifndef TESTS_UNIT_CLIENT_FAKE_H
#define TESTS_UNIT_CLIENT_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/identity.h"
#include "client/include/canyon.h"
#include "client/lane.h"
#include "common/clock.h"
#include "common/frame.h"
#include "common/job.h"
#include "common/message.h"
#include "common/random.h"
#include "common/rows.h"
#include "tests/unit/client/responder.h"

enum { ELEMENTS = 200000, BLOCK = 65536 }; /* four blocks: three whole ones and a short one */

/* What the server does with a pull or a push. */
enum behaviour {
    ANSWER = 0,       /* as it should: every element is 1 */
    ANSWER_TOO_FEW,   /* a result less than pieces */
    ANSWER_TOO_SHORT, /* a payload that is an element short */
    ANSWER_HALF,      /* half of the payload now, the rest when told */
    HANG_UP,          /* close the connection */
    LOSE_ANSWER,      /* the same, when what it asks for was done */
    SAY_GOODBYE,      /* the same, with a last record */
    HANG_UP_FIRST,    /* close it before a word is said */
    HANG_UP_PROVEN,   /* close it when the client has said who it is */
    CLOSE_IDLE,       /* close the connection as soon as nothing comes */
    STOP_READING,     /* neither read nor answer until told */
    SEND_GARBAGE,
    TEAR_RECORD, /* the beginning of a record, and nothing more until told */
    REFUSE_RUNS, /* refuse every second run of rows, with a status that nobody knows */
    WRONG_PAGES, /* answer pages of rows as `page` says */
    MISS_A_BLOCK /* refuse values with NOT_FOUND, and hang up when asked about the tensor */
};

struct fake {
    int listener;
    char address[64];
    struct key_pair *key; /* NULL in plaintext */
    char home[64];        /* of the client */
    pthread_t thread;
    struct job job;
    struct message_welcome welcome; /* changed between connections only */
    _Atomic int behaviour;
    _Atomic int told; /* goes on with what it held back */
    _Atomic int stopping;
    _Atomic int deaf; /* closes its listening socket with the first connection */
    _Atomic int connections, closed;
    _Atomic int hang_ups;  /* connections to close before the welcome, as HANG_UP_FIRST and HANG_UP_PROVEN say */
    _Atomic int lasts;     /* that the client ended with a last record */
    _Atomic int restarts;  /* log lines "server_restarted" */
    _Atomic int undefined; /* requests to UNDEFINE */
    _Atomic int listed;    /* requests to LIST */
    /* Of the session's numbers: */
    _Atomic uint64_t last[4];          /* taken, by shard */
    _Atomic int taken, duplicates;     /* pieces and runs */
    _Atomic int gaps, resumes, leaves; /* pieces and runs, and requests */
    _Atomic int losses;                /* answers to lose, as LOSE_ANSWER says, before it answers as it should */
    /* Of clocks: */
    _Atomic uint64_t clock;                /* told last */
    _Atomic int enters, clocks, goodbyes;  /* requests that were answered */
    _Atomic int clock_cuts, mute, unheard; /* connections to cut instead; 1: do not answer, but count */
    _Atomic int hold;                      /* 1: pulls wait, as for another worker */
    /* WRONG_PAGES: */
    struct message_row_page page;
    uint64_t page_ids[3];
    size_t page_cut; /* bytes less than belong */
};

static bool encrypted;       /* what the tests run with now */
static uint32_t patience_ms; /* the client's reconnect_ms */

/* ---- the server ---- */

static inline void send_head(struct responder *line, uint16_t type, uint64_t request, const uint8_t *message,
                             size_t message_bytes, size_t payload_bytes) {
    uint8_t header_bytes[FRAME_HEADER_BYTES];
    struct frame_header header = {.type = type,
                                  .request = request,
                                  .message_bytes = (uint32_t)message_bytes,
                                  .payload_bytes = (uint32_t)payload_bytes};
    frame_header_encode(&header, header_bytes);
    responder_send(line, header_bytes, sizeof header_bytes);
    responder_send(line, message, message_bytes);
}

static inline void wait_until_told(struct fake *fake) {
    while (!atomic_load(&fake->told) && !atomic_load(&fake->stopping))
        usleep(1000);
}

static inline void answer_values(struct fake *fake, struct responder *line, const struct frame *frame,
                                 enum behaviour behaviour) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct message_pieces pieces;
    struct message_piece_results results = {.text = ""};
    size_t payload_bytes = 0;
    assert_int_equal(message_unpack_pieces(frame->message, frame->header.message_bytes, &pieces, NULL), CANYON_OK);
    results.count = pieces.count - (behaviour == ANSWER_TOO_FEW ? 1 : 0);
    for (uint32_t i = 0; i < results.count; i++) {
        results.results[i].version = 1;
        results.results[i].status = behaviour == MISS_A_BLOCK ? CANYON_NOT_FOUND : CANYON_OK;
        payload_bytes += behaviour == MISS_A_BLOCK ? 0 : pieces.pieces[i].elements * sizeof(float);
    }
    if (behaviour == ANSWER_TOO_SHORT)
        payload_bytes -= sizeof(float);
    if (frame->header.type != FRAME_PULL)
        payload_bytes = 0;
    send_head(line, (uint16_t)(frame->header.type + 1), frame->header.request, message,
              message_pack_piece_results(&results, message), payload_bytes);
    float *ones = malloc(payload_bytes + sizeof *ones);
    assert_non_null(ones);
    for (size_t i = 0; i < payload_bytes / sizeof *ones; i++)
        ones[i] = 1.0f;
    size_t now = behaviour == ANSWER_HALF ? payload_bytes / 2 : payload_bytes;
    responder_send(line, ones, now);
    if (now < payload_bytes) {
        wait_until_told(fake);
        responder_send(line, (const uint8_t *)ones + now, payload_bytes - now);
    }
    free(ones);
}

/* False hangs up. */
static inline bool answer_clock(struct fake *fake, struct responder *line, const struct frame *frame) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct message_clock told;
    assert_int_equal(message_unpack_clock(frame->message, frame->header.message_bytes, &told, NULL), CANYON_OK);
    if (atomic_load(&fake->clock_cuts) > 0) {
        atomic_fetch_sub(&fake->clock_cuts, 1);
        return false;
    }
    if (atomic_load(&fake->mute)) {
        atomic_fetch_add(&fake->unheard, 1);
        return true;
    }
    const struct message_clocked clocked = {.clock = told.clock, .lowest = told.clock, .rank = 2};
    if (!told.leave)
        atomic_store(&fake->clock, told.clock);
    atomic_fetch_add(told.leave ? &fake->goodbyes : &fake->clocks, 1);
    send_head(line, FRAME_CLOCKED, frame->header.request, message, message_pack_clocked(&clocked, message), 0);
    return true;
}

/* Every weight is 1, and nothing is made. */
static inline void answer_rows(struct responder *line, const struct frame *frame, enum behaviour behaviour) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct message_rows asked;
    struct rows_layout layout;
    struct message_rows_done done = {.text = ""};
    struct error error;
    static uint8_t payload[1 << 20];
    assert_int_equal(message_unpack_rows(frame->message, frame->header.message_bytes, &asked, NULL), CANYON_OK);
    assert_int_equal(rows_check_request(frame->header.type, &asked, frame->payload, frame->header.payload_bytes, 4,
                                        1 << 20, &layout, &error),
                     CANYON_OK);
    done.runs = asked.runs - (behaviour == ANSWER_TOO_FEW ? 1 : 0);
    memset(payload, 0, sizeof payload);
    for (uint32_t i = 0; i < asked.runs; i++) {
        struct rows_run run;
        memcpy(&run, frame->payload + i * sizeof run, sizeof run);
        const bool refused = behaviour == REFUSE_RUNS && i % 2 == 0;
        const struct rows_result result = {.code = refused ? 9999 : CANYON_OK, .version = 5};
        memcpy(payload + i * sizeof result, &result, sizeof result);
        done.rows += refused || !rows_pull(frame->header.type) ? 0 : run.rows;
    }
    if (behaviour == REFUSE_RUNS)
        snprintf(done.text, sizeof done.text, "not today");
    layout = rows_reply_layout(done.runs, done.rows, asked.dim * sizeof(float));
    for (size_t at = layout.values; at < layout.bytes; at += sizeof(float))
        memcpy(payload + at, &(float){1.0f}, sizeof(float));
    const size_t bytes = layout.bytes - (behaviour == ANSWER_TOO_SHORT ? sizeof(float) : 0);
    send_head(line, (uint16_t)(frame->header.type + 1), frame->header.request, message,
              message_pack_rows_done(&done, message), bytes);
    responder_send(line, payload, bytes);
}

static inline void answer_page(struct fake *fake, struct responder *line, const struct frame *frame) {
    uint8_t message[LIMIT_MESSAGE_BYTES], payload[1024] = {0};
    const struct rows_page_layout layout = rows_page_layout(&fake->page, false);
    const size_t bytes = layout.bytes - fake->page_cut;
    memcpy(payload, fake->page_ids, sizeof fake->page_ids);
    send_head(line, FRAME_TABLE_ROWS_ARE, frame->header.request, message, message_pack_row_page(&fake->page, message),
              bytes);
    responder_send(line, payload, bytes);
}

static inline void send_error(struct responder *line, uint64_t request, enum canyon_status status, const char *text) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct error error;
    error_set(&error, status, "%s", text);
    send_head(line, FRAME_ERROR, request, message, message_pack_error(&error, message), 0);
}

static inline void describe(struct tensor_info *info, enum tensor_state state) {
    *info = (struct tensor_info){.id = 77, .state = state};
    strcpy(info->spec.name, "w");
    strcpy(info->spec.optimizer.name, "sgd");
    info->spec.shape.rank = 1;
    info->spec.shape.dims[0] = ELEMENTS;
}

/* "t" is a table, of rows of two. */
static inline void describe_table(struct tensor_info *info) {
    describe(info, TENSOR_COMPLETE);
    strcpy(info->spec.name, "t");
    info->spec.kind = TENSOR_TABLE;
    info->spec.shape.dims[0] = 2;
}

/* CREATE, COMPLETE, DROP, UNDEFINE, DROPPED of a tensor that somebody drops before it is complete, and LIST, always the
 * same page; false: something else. */
static inline bool answer_catalogue(struct fake *fake, struct responder *line, const struct frame *frame) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    uint64_t id = frame->header.request;
    struct message_created created = {.creator = true};
    struct message_listed listed = {.count = 1, .more = true};
    switch (frame->header.type) {
    case FRAME_CREATE:
        describe(&created.tensor, TENSOR_CREATING);
        send_head(line, FRAME_CREATED, id, message, message_pack_created(&created, message), 0);
        return true;
    case FRAME_COMPLETE:
    case FRAME_DROP:
    case FRAME_DROPPED:
        send_error(line, id, CANYON_NOT_FOUND, "it was dropped");
        return true;
    case FRAME_UNDEFINE:
        atomic_fetch_add(&fake->undefined, 1);
        send_head(line, FRAME_UNDEFINED, id, NULL, 0, 0);
        return true;
    case FRAME_LIST:
        atomic_fetch_add(&fake->listed, 1);
        describe(&listed.tensors[0], TENSOR_COMPLETE);
        send_head(line, FRAME_LISTED, id, message, message_pack_listed(&listed, message), 0);
        return true;
    default:
        return false;
    }
}

/* ---- numbers ---- */

static inline void take_number(struct fake *fake, uint32_t shard, uint64_t number) {
    const uint64_t last = atomic_load(&fake->last[shard]);
    if (number == 0)
        return;
    if (number > last + 1)
        atomic_fetch_add(&fake->gaps, 1);
    else if (number <= last)
        atomic_fetch_add(&fake->duplicates, 1);
    else
        atomic_fetch_add(&fake->taken, 1);
    if (number == last + 1)
        atomic_store(&fake->last[shard], number);
}

static inline void take_numbers(struct fake *fake, const struct frame *frame) {
    struct message_pieces pieces;
    struct message_rows rows;
    if (frame->header.type >= FRAME_TABLE_PUSH && frame->header.type <= FRAME_TABLE_ERASE) {
        assert_int_equal(message_unpack_rows(frame->message, frame->header.message_bytes, &rows, NULL), CANYON_OK);
        for (uint32_t i = 0; i < rows.runs; i++) {
            struct rows_run run;
            memcpy(&run, frame->payload + i * sizeof run, sizeof run);
            take_number(fake, run.shard, run.number);
        }
    } else if (frame->header.type >= FRAME_ASSIGN && frame->header.type <= FRAME_PUSH_PULL) {
        assert_int_equal(message_unpack_pieces(frame->message, frame->header.message_bytes, &pieces, NULL), CANYON_OK);
        for (uint32_t i = 0; i < pieces.count; i++)
            take_number(fake, job_shard_of(&fake->job, job_home("w"), pieces.pieces[i].block), pieces.pieces[i].number);
    }
}

static inline void answer_resume(struct fake *fake, struct responder *line, const struct frame *frame) {
    uint8_t payload[4 * MESSAGE_RESUMED_ENTRY_BYTES] = {0};
    size_t bytes = 0;
    atomic_fetch_add(&fake->resumes, 1);
    for (uint32_t shard = 0; shard < 4; shard++) {
        const uint64_t last = atomic_load(&fake->last[shard]);
        if (last == 0)
            continue;
        memcpy(payload + bytes, &shard, sizeof shard);
        memcpy(payload + bytes + 8, &last, sizeof last);
        memcpy(payload + bytes + 16, &last, sizeof last);
        bytes += MESSAGE_RESUMED_ENTRY_BYTES;
    }
    send_head(line, FRAME_RESUMED, frame->header.request, NULL, 0, bytes);
    responder_send(line, payload, bytes);
}

/* One request; false hangs up. */
static inline bool answer(struct fake *fake, struct responder *line, const struct frame *frame) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    uint64_t id = frame->header.request;
    enum behaviour behaviour = (enum behaviour)atomic_load(&fake->behaviour);
    struct tensor_info info;
    if (answer_catalogue(fake, line, frame))
        return true;
    switch (frame->header.type) {
    case FRAME_HELLO:
        send_head(line, FRAME_WELCOME, id, message, message_pack_welcome(&fake->welcome, message),
                  strlen(fake->address));
        responder_send(line, fake->address, strlen(fake->address));
        return true;
    case FRAME_OPEN:
        if (behaviour == MISS_A_BLOCK)
            return false;
        describe(&info, TENSOR_COMPLETE);
        struct message_open open;
        assert_int_equal(message_unpack_open(frame->message, frame->header.message_bytes, &open, NULL), CANYON_OK);
        if (strcmp(open.name, "t") == 0)
            describe_table(&info);
        send_head(line, FRAME_OPENED, id, message, message_pack_opened(&info, message), 0);
        return true;
    case FRAME_DEFINE:
        send_head(line, FRAME_DEFINED, id, NULL, 0, 0);
        return true;
    case FRAME_RESUME:
        answer_resume(fake, line, frame);
        return true;
    case FRAME_ENTER: {
        const struct message_entered entered = {.rank = 2, .clock = 1, .lease_ms = 600000, .workers = 1};
        atomic_fetch_add(&fake->enters, 1);
        send_head(line, FRAME_ENTERED, id, message, message_pack_entered(&entered, message), 0);
        return true;
    }
    case FRAME_CLOCK:
        return answer_clock(fake, line, frame);
    case FRAME_CONSISTENCY: { /* says that there is none, and nothing to one that is set */
        const struct message_consistency_is is = {.lease_ms = 600000};
        struct message_consistency asks;
        assert_int_equal(message_unpack_consistency(frame->message, frame->header.message_bytes, &asks, NULL),
                         CANYON_OK);
        if (!asks.set)
            send_head(line, FRAME_CONSISTENCY_IS, id, message, message_pack_consistency_is(&is, message), 0);
        return true;
    }
    case FRAME_MEMBERS: { /* how a client learns that pulls before it wait */
        const struct message_members_are nobody = {.count = 0};
        send_head(line, FRAME_MEMBERS_ARE, id, message, message_pack_members_are(&nobody, message), 0);
        return true;
    }
    case FRAME_LEAVE:
        atomic_fetch_add(&fake->leaves, 1);
        send_head(line, FRAME_LEFT, id, NULL, 0, 0);
        return true;
    default:
        break;
    }
    if (frame->header.type == FRAME_PULL && atomic_load(&fake->hold))
        return true;
    if (behaviour == TEAR_RECORD) {
        const uint8_t length[CHANNEL_LENGTH_BYTES] = {0xff, 0x0f};
        responder_send_raw(line->descriptor, length, sizeof length);
        wait_until_told(fake);
        return false;
    }
    const bool lost = behaviour == LOSE_ANSWER && atomic_load(&fake->losses) > 0;
    if (behaviour != HANG_UP)
        take_numbers(fake, frame);
    if (lost) {
        atomic_fetch_sub(&fake->losses, 1);
        return false;
    }
    if (behaviour == SAY_GOODBYE)
        responder_say_last(line);
    if (behaviour == HANG_UP || behaviour == SAY_GOODBYE)
        return false;
    if (behaviour == SEND_GARBAGE) {
        responder_send(line, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
        return true;
    }
    if (frame->header.type == FRAME_TABLE_ROWS)
        answer_page(fake, line, frame);
    else if (frame->header.type >= FRAME_TABLE_PUSH && behaviour == MISS_A_BLOCK)
        send_error(line, id, CANYON_NOT_FOUND, "no such table");
    else if (frame->header.type >= FRAME_TABLE_PUSH)
        answer_rows(line, frame, behaviour);
    else
        answer_values(fake, line, frame, behaviour);
    return true;
}

/* Bytes of the protocol arrived; false hangs up. */
static inline bool take(struct fake *fake, struct responder *line, struct frame_reader *reader, const uint8_t *bytes,
                        size_t count) {
    bool open = true;
    while (open && count > 0) {
        struct frame frame;
        uint8_t *at = NULL;
        size_t room = 0;
        frame_reader_space(reader, &at, &room);
        size_t step = count < room ? count : room;
        memcpy(at, bytes, step);
        frame_reader_received(reader, step);
        bytes += step;
        count -= step;
        while (open && frame_reader_next(reader, &frame, NULL) == FRAME_READER_FRAME)
            open = answer(fake, line, &frame);
    }
    return open;
}

static inline void serve(struct fake *fake, int descriptor) {
    struct frame_reader reader;
    struct responder line = {.descriptor = descriptor};
    uint8_t hello[CHANNEL_HELLO_LIMIT_BYTES];
    size_t hello_bytes = 0;
    bool doomed = atomic_load(&fake->hang_ups) > 0;
    int behaviour = atomic_load(&fake->behaviour);
    if (doomed)
        atomic_fetch_sub(&fake->hang_ups, 1);
    if (doomed && behaviour == HANG_UP_FIRST) {
        uint8_t first[CHANNEL_FIRST_BYTES]; /* read, or the client would see a reset and not an end */
        responder_receive_raw(descriptor, first, sizeof first);
        close(descriptor);
        return;
    }
    if (encrypted && !responder_accept(&line, fake->key, CHANNEL_CHACHA20POLY1305, hello, &hello_bytes))
        doomed = true;
    if (doomed) {
        responder_finish(&line);
        close(descriptor);
        return;
    }
    bool open = true;
    assert_int_equal(frame_reader_init(&reader, FRAME_PAYLOAD_LIMIT, NULL, NULL, NULL), CANYON_OK);
    if (hello_bytes > 0)
        open = take(fake, &line, &reader, hello, hello_bytes);
    while (open && !atomic_load(&fake->stopping)) {
        struct pollfd waiting = {.fd = descriptor, .events = POLLIN};
        uint8_t bytes[65536];
        if (responder_is_empty(&line) && poll(&waiting, 1, 5) == 0) {
            open = atomic_load(&fake->behaviour) != CLOSE_IDLE;
            continue;
        }
        if (atomic_load(&fake->behaviour) == STOP_READING) {
            wait_until_told(fake);
            break;
        }
        size_t got = responder_receive(&line, bytes, sizeof bytes);
        open = got > 0 && take(fake, &line, &reader, bytes, got);
    }
    frame_reader_finish(&reader);
    atomic_fetch_add(&fake->lasts, line.last);
    responder_finish(&line);
    close(descriptor);
    atomic_fetch_add(&fake->closed, 1);
}

static inline void *fake_main(void *user) {
    struct fake *fake = user;
    while (!atomic_load(&fake->stopping)) {
        struct pollfd waiting = {.fd = fake->listener, .events = POLLIN};
        if (poll(&waiting, 1, 5) <= 0)
            continue;
        int descriptor = accept(fake->listener, NULL, NULL);
        if (descriptor < 0)
            continue;
        atomic_fetch_add(&fake->connections, 1);
        if (atomic_load(&fake->deaf)) {
            close(fake->listener);
            fake->listener = -1;
        }
        serve(fake, descriptor);
        if (fake->listener < 0)
            break;
    }
    return NULL;
}

static inline struct fake *fake_start(void) {
    struct fake *fake = calloc(1, sizeof *fake);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    assert_non_null(fake);
    fake->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fake->listener >= 0);
    assert_int_equal(bind(fake->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fake->listener, 8), 0);
    assert_int_equal(getsockname(fake->listener, (struct sockaddr *)&address, &length), 0);
    snprintf(fake->address, sizeof fake->address, "127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
    job_init(&fake->job);
    strcpy(fake->job.name, "fake");
    fake->job.shards = 4;
    fake->job.block = BLOCK;
    assert_int_equal(job_set_servers(&fake->job, fake->address, strlen(fake->address), ',', NULL), CANYON_OK);
    fake->welcome = (struct message_welcome){
        .protocol = FRAME_VERSION, .threads = 1, .job = "fake", .shards = 4, .block = BLOCK, .version = "fake"};
    memset(fake->welcome.boot, 1, sizeof fake->welcome.boot);
    job_digest(&fake->job, fake->welcome.digest);
    if (encrypted) {
        assert_int_equal(random_start(NULL), CANYON_OK);
        fake->key = key_pair_generate();
        assert_non_null(fake->key);
        responder_make_home(fake->home, fake->key->public, "");
    }
    assert_int_equal(pthread_create(&fake->thread, NULL, fake_main, fake), 0);
    return fake;
}

static inline void fake_stop(struct fake *fake) {
    atomic_store(&fake->stopping, 1);
    pthread_join(fake->thread, NULL);
    if (fake->listener >= 0)
        close(fake->listener);
    if (encrypted)
        responder_remove_home(fake->home);
    key_pair_destroy(fake->key);
    job_finish(&fake->job);
    free(fake);
}

/* ---- the client ---- */

static inline void count_restarts(void *user, enum canyon_log_level level, const char *text) {
    struct fake *fake = user;
    (void)level;
    if (strstr(text, "server_restarted") != NULL)
        atomic_fetch_add(&fake->restarts, 1);
}

static inline void default_options(struct canyon_options *options) {
    canyon_options_init(options);
    options->window_bytes = 8 << 20; /* more than sockets hold */
    options->insecure_plaintext = encrypted ? 0 : 1;
    options->reconnect_ms = patience_ms;
}

static inline enum canyon_status try_connect(struct fake *fake, canyon_client **client) {
    struct canyon_options options;
    default_options(&options);
    options.servers = fake->address;
    options.log = count_restarts;
    options.log_user = fake;
    return canyon_connect(&options, client);
}

struct user {
    struct fake *fake;
    canyon_client *client;
    canyon_tensor *tensor;
    float *values;
};

static inline struct user begin(void) {
    struct user user = {.fake = fake_start(), .values = calloc(ELEMENTS, sizeof(float))};
    assert_non_null(user.values);
    assert_int_equal(try_connect(user.fake, &user.client), CANYON_OK);
    assert_int_equal(canyon_tensor_open(user.client, "w", 0, &user.tensor), CANYON_OK);
    return user;
}

static inline void end(struct user *user) {
    canyon_tensor_close(user->tensor);
    canyon_close(user->client);
    fake_stop(user->fake);
    free(user->values);
}

static inline void check_address_in_text(const struct user *user) {
    assert_non_null(strstr(canyon_error_text(), user->fake->address));
}

static inline void check_pulls(struct user *user) {
    atomic_store(&user->fake->behaviour, ANSWER);
    memset(user->values, 0, ELEMENTS * sizeof(float));
    assert_int_equal(canyon_pull(user->tensor, user->values, 0), CANYON_OK);
    for (size_t i = 0; i < ELEMENTS; i++)
        assert_true(user->values[i] == 1.0f);
}

/* ---- a lane by itself ---- */

static inline void note_status(struct session_request *request, enum canyon_status status, const char *text,
                               const struct frame *reply) {
    (void)text;
    (void)reply;
    *(enum canyon_status *)request->user = status;
}

static inline bool has_status(void *user) {
    return *(const enum canyon_status *)user != CANYON_INTERNAL;
}

static inline struct identity *fake_identity(void) {
    struct canyon_options options;
    struct identity *identity = NULL;
    default_options(&options);
    assert_int_equal(identity_create(&options, &identity, NULL), CANYON_OK);
    return identity;
}

/* Runs an array of tests encrypted, and then in plaintext; counts what fails. */
#define FAKE_RUN_BOTH_WAYS(tests, failed)                                                                              \
    do {                                                                                                               \
        for (int turn = 0; turn < 2; turn++) {                                                                         \
            encrypted = turn == 0;                                                                                     \
            (failed) += cmocka_run_group_tests_name(encrypted ? "encrypted" : "plaintext", tests, NULL, NULL);         \
        }                                                                                                              \
    } while (0)

#endif
