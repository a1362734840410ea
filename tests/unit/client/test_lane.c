/* Connections against a server that misbehaves on demand: a thread with a socket that speaks just enough of the
 * protocol. Every test runs twice: encrypted and in plaintext. */
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
#include "tests/unit/client/responder.h"

enum { ELEMENTS = 200000, BLOCK = 65536 }; /* four blocks: three whole ones and a short one */

/* What the server does with a pull or a push. */
enum behaviour {
    ANSWER = 0,       /* as it should: every element is 1 */
    ANSWER_TOO_FEW,   /* a result less than pieces */
    ANSWER_TOO_SHORT, /* a payload that is an element short */
    ANSWER_HALF,      /* half of the payload now, the rest when told */
    HANG_UP,          /* close the connection */
    CLOSE_IDLE,       /* close the connection as soon as nothing comes */
    STOP_READING,     /* neither read nor answer until told */
    SEND_GARBAGE,
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
    _Atomic int connections, closed;
    _Atomic int restarts;  /* log lines "server_restarted" */
    _Atomic int undefined; /* requests to UNDEFINE */
    _Atomic int listed;    /* requests to LIST */
};

static bool encrypted; /* what the tests run with now */

/* ---- the server ---- */

static void send_head(struct responder *line, uint16_t type, uint64_t request, const uint8_t *message,
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

static void wait_until_told(struct fake *fake) {
    while (!atomic_load(&fake->told) && !atomic_load(&fake->stopping))
        usleep(1000);
}

static void answer_values(struct fake *fake, struct responder *line, const struct frame *frame,
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

static void send_error(struct responder *line, uint64_t request, enum canyon_status status, const char *text) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct error error;
    error_set(&error, status, "%s", text);
    send_head(line, FRAME_ERROR, request, message, message_pack_error(&error, message), 0);
}

static void describe(struct tensor_info *info, enum tensor_state state) {
    *info = (struct tensor_info){.id = 77, .state = state};
    strcpy(info->spec.name, "w");
    strcpy(info->spec.optimizer.name, "sgd");
    info->spec.shape.rank = 1;
    info->spec.shape.dims[0] = ELEMENTS;
}

/* CREATE, COMPLETE, DROP, UNDEFINE, DROPPED of a tensor that somebody drops before it is complete, and LIST, always the
 * same page; false: something else. */
static bool answer_catalogue(struct fake *fake, struct responder *line, const struct frame *frame) {
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

/* One request; false hangs up. */
static bool answer(struct fake *fake, struct responder *line, const struct frame *frame) {
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
        send_head(line, FRAME_OPENED, id, message, message_pack_opened(&info, message), 0);
        return true;
    case FRAME_DEFINE:
        send_head(line, FRAME_DEFINED, id, NULL, 0, 0);
        return true;
    default:
        break;
    }
    if (behaviour == HANG_UP)
        return false;
    if (behaviour == SEND_GARBAGE) {
        responder_send(line, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
        return true;
    }
    answer_values(fake, line, frame, behaviour);
    return true;
}

/* Bytes of the protocol arrived; false hangs up. */
static bool take(struct fake *fake, struct responder *line, struct frame_reader *reader, const uint8_t *bytes,
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

static void serve(struct fake *fake, int descriptor) {
    struct frame_reader reader;
    struct responder line = {.descriptor = descriptor};
    uint8_t hello[CHANNEL_HELLO_LIMIT_BYTES];
    size_t hello_bytes = 0;
    if (encrypted && !responder_accept(&line, fake->key, CHANNEL_CHACHA20POLY1305, hello, &hello_bytes)) {
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
    responder_finish(&line);
    close(descriptor);
    atomic_fetch_add(&fake->closed, 1);
}

static void *fake_main(void *user) {
    struct fake *fake = user;
    while (!atomic_load(&fake->stopping)) {
        struct pollfd waiting = {.fd = fake->listener, .events = POLLIN};
        if (poll(&waiting, 1, 5) <= 0)
            continue;
        int descriptor = accept(fake->listener, NULL, NULL);
        if (descriptor < 0)
            continue;
        atomic_fetch_add(&fake->connections, 1);
        serve(fake, descriptor);
    }
    return NULL;
}

static struct fake *fake_start(void) {
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

static void fake_stop(struct fake *fake) {
    atomic_store(&fake->stopping, 1);
    pthread_join(fake->thread, NULL);
    close(fake->listener);
    if (encrypted)
        responder_remove_home(fake->home);
    key_pair_destroy(fake->key);
    job_finish(&fake->job);
    free(fake);
}

/* ---- the client ---- */

static void count_restarts(void *user, enum canyon_log_level level, const char *text) {
    struct fake *fake = user;
    (void)level;
    if (strstr(text, "server_restarted") != NULL)
        atomic_fetch_add(&fake->restarts, 1);
}

static void default_options(struct canyon_options *options) {
    canyon_options_init(options);
    options->insecure_plaintext = encrypted ? 0 : 1;
}

static enum canyon_status try_connect(struct fake *fake, canyon_client **client) {
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

static struct user begin(void) {
    struct user user = {.fake = fake_start(), .values = calloc(ELEMENTS, sizeof(float))};
    assert_non_null(user.values);
    assert_int_equal(try_connect(user.fake, &user.client), CANYON_OK);
    assert_int_equal(canyon_tensor_open(user.client, "w", 0, &user.tensor), CANYON_OK);
    return user;
}

static void end(struct user *user) {
    canyon_tensor_close(user->tensor);
    canyon_close(user->client);
    fake_stop(user->fake);
    free(user->values);
}

static void check_address_in_text(const struct user *user) {
    assert_non_null(strstr(canyon_error_text(), user->fake->address));
}

static void check_pulls(struct user *user) {
    atomic_store(&user->fake->behaviour, ANSWER);
    memset(user->values, 0, ELEMENTS * sizeof(float));
    assert_int_equal(canyon_pull(user->tensor, user->values, 0), CANYON_OK);
    for (size_t i = 0; i < ELEMENTS; i++)
        assert_true(user->values[i] == 1.0f);
}

/* ---- tests ---- */

static void test_values_arrive_in_place(void **state) {
    (void)state;
    struct user user = begin();
    check_pulls(&user);
    assert_int_equal(canyon_push(user.tensor, user.values, 0), CANYON_OK);
    end(&user);
}

static void test_replies_that_do_not_fit_the_request(void **state) {
    (void)state;
    static const enum behaviour wrong[] = {ANSWER_TOO_FEW, ANSWER_TOO_SHORT, SEND_GARBAGE};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct user user = begin();
        atomic_store(&user.fake->behaviour, (int)wrong[i]);
        assert_int_equal(canyon_pull(user.tensor, user.values, 2000), CANYON_PROTOCOL);
        check_address_in_text(&user);
        check_pulls(&user);
        end(&user);
    }
}

static void test_hanging_up_tells_pull_from_push(void **state) {
    (void)state;
    struct user user = begin();
    atomic_store(&user.fake->behaviour, HANG_UP);
    assert_int_equal(canyon_pull(user.tensor, user.values, 2000), CANYON_UNAVAILABLE);
    check_address_in_text(&user);
    assert_int_equal(canyon_push(user.tensor, user.values, 2000), CANYON_OUTCOME_UNKNOWN);
    check_address_in_text(&user);
    check_pulls(&user);
    end(&user);
}

/* After a timeout in the middle of a reply the memory is the caller's, and the connection goes on. */
static void test_timeout_in_the_middle_of_a_reply(void **state) {
    (void)state;
    struct user user = begin();
    int connections = atomic_load(&user.fake->connections);
    atomic_store(&user.fake->behaviour, ANSWER_HALF);
    assert_int_equal(canyon_pull(user.tensor, user.values, 150), CANYON_TIMEOUT);
    float *before = user.values;
    user.values = calloc(ELEMENTS, sizeof(float));
    assert_non_null(user.values);
    free(before); /* a write to it would be found by the address sanitizer */
    atomic_store(&user.fake->told, 1);
    check_pulls(&user);
    assert_int_equal(atomic_load(&user.fake->connections), connections);
    end(&user);
}

/* A push that is half in the socket when its deadline passes: its memory is free at once, the connection is not used
 * on. */
static void test_timeout_in_the_middle_of_a_request(void **state) {
    (void)state;
    struct user user = begin();
    struct canyon_tensor_info info;
    assert_int_equal(canyon_tensor_describe(user.tensor, &info), CANYON_OK);
    int connections = atomic_load(&user.fake->connections);
    atomic_store(&user.fake->behaviour, STOP_READING);
    canyon_future *futures[40];
    float *gradient = calloc(ELEMENTS, sizeof(float));
    assert_non_null(gradient);
    struct canyon_item items[40];
    for (size_t i = 0; i < 40; i++) {
        items[i] = (struct canyon_item){.tensor = user.tensor, .gradient = gradient};
        assert_int_equal(canyon_step_async(user.client, &items[i], 1, 300, &futures[i]), CANYON_OK);
    }
    for (size_t i = 0; i < 40; i++) {
        enum canyon_status status = canyon_future_wait(futures[i], UINT32_MAX);
        assert_true(status == CANYON_OUTCOME_UNKNOWN || status == CANYON_TIMEOUT || status == CANYON_UNAVAILABLE);
        canyon_future_release(futures[i]);
    }
    free(gradient);
    atomic_store(&user.fake->behaviour, ANSWER);
    atomic_store(&user.fake->told, 1);
    check_pulls(&user);
    assert_true(atomic_load(&user.fake->connections) > connections);
    end(&user);
}

/* The server goes away while nothing is under way: the next call finds out before it sends, and connects again. */
static void test_restarted_while_idle(void **state) {
    (void)state;
    struct user user = begin();
    int closed = atomic_load(&user.fake->closed);
    atomic_store(&user.fake->behaviour, CLOSE_IDLE);
    while (atomic_load(&user.fake->closed) == closed)
        usleep(1000);
    atomic_store(&user.fake->behaviour, ANSWER);
    memset(user.fake->welcome.boot, 2, sizeof user.fake->welcome.boot);
    assert_int_equal(atomic_load(&user.fake->restarts), 0);
    assert_int_equal(canyon_push(user.tensor, user.values, 0), CANYON_OK);
    assert_int_equal(atomic_load(&user.fake->restarts), 1);
    check_pulls(&user);
    assert_int_equal(atomic_load(&user.fake->restarts), 1);
    end(&user);
}

/* A block is missing, and the server of the catalogue does not say why: neither does the error. */
static void test_missing_block_that_nobody_explains(void **state) {
    (void)state;
    struct user user = begin();
    atomic_store(&user.fake->behaviour, MISS_A_BLOCK);
    assert_int_equal(canyon_pull(user.tensor, user.values, 2000), CANYON_UNAVAILABLE);
    check_address_in_text(&user);
    assert_non_null(strstr(canyon_error_text(), "was not found out"));
    check_pulls(&user);
    end(&user);
}

/* Whoever dropped it may have been at a server before the creator's parts were: the creator takes them away. */
static void test_dropped_while_it_was_created(void **state) {
    (void)state;
    struct user user = begin();
    struct canyon_tensor_spec spec;
    canyon_tensor *tensor = NULL;
    canyon_tensor_spec_init(&spec);
    strcpy(spec.name, "w");
    spec.rank = 1;
    spec.dims[0] = ELEMENTS;
    assert_int_equal(canyon_tensor_create(user.client, &spec, 2000, &tensor), CANYON_NOT_FOUND);
    assert_null(tensor);
    assert_int_equal(atomic_load(&user.fake->undefined), 1);
    end(&user);
}

static void test_list_that_goes_in_circles(void **state) {
    (void)state;
    struct user user = begin();
    struct canyon_tensor_info *infos = NULL;
    size_t count = 0;
    assert_int_equal(canyon_tensor_list(user.client, 2000, &infos, &count), CANYON_PROTOCOL);
    check_address_in_text(&user);
    assert_null(infos);
    assert_int_equal(atomic_load(&user.fake->listed), 2);
    end(&user);
}

/* ---- a lane by itself ---- */

static void note_status(struct session_request *request, enum canyon_status status, const char *text,
                        const struct frame *reply) {
    (void)text;
    (void)reply;
    *(enum canyon_status *)request->user = status;
}

static bool has_status(void *user) {
    return *(const enum canyon_status *)user != CANYON_INTERNAL;
}

static struct identity *fake_identity(void) {
    struct canyon_options options;
    struct identity *identity = NULL;
    default_options(&options);
    assert_int_equal(identity_create(&options, &identity, NULL), CANYON_OK);
    return identity;
}

/* A deadline that is over before anybody drives ends the request all the same. */
static void test_deadline_that_is_over(void **state) {
    (void)state;
    struct fake *fake = fake_start();
    struct log log = {.threshold = LOG_SILENT, .descriptor = -1};
    struct identity *identity = fake_identity();
    struct lane_options options = {.address = fake->address,
                                   .name = "test",
                                   .window_bytes = 1 << 20,
                                   .connect_ms = 1000,
                                   .identity = identity,
                                   .log = &log};
    struct lane *lane = lane_create(&options, NULL);
    assert_non_null(lane);
    for (int connected = 0; connected < 2; connected++) {
        enum canyon_status status = CANYON_INTERNAL;
        struct session_request request = {
            .type = FRAME_LIST, .deadline = clock_now() - 1, .done = note_status, .user = &status};
        lane_submit(lane, &request, LANE_DRIVEN);
        lane_drive(lane, has_status, &status, UINT64_MAX);
        assert_int_equal(status, CANYON_TIMEOUT);
        lane_connect(lane);
        assert_int_equal(lane_wait_connected(lane, NULL, NULL, NULL), CANYON_OK);
        atomic_store(&fake->behaviour, STOP_READING); /* a quick answer would come before the deadline is looked at */
    }
    lane_close(lane);
    lane_destroy(lane);
    identity_destroy(identity);
    fake_stop(fake);
}

static void test_another_server_at_the_same_address(void **state) {
    (void)state;
    for (int change = 0; change < 2; change++) {
        struct user user = begin();
        atomic_store(&user.fake->behaviour, HANG_UP);
        assert_int_equal(canyon_pull(user.tensor, user.values, 2000), CANYON_UNAVAILABLE);
        if (change == 0)
            user.fake->welcome.threads = 3;
        else
            user.fake->welcome.digest[0] ^= 1;
        atomic_store(&user.fake->behaviour, ANSWER);
        assert_int_equal(canyon_pull(user.tensor, user.values, 2000), CANYON_CONFIGURATION);
        check_address_in_text(&user);
        end(&user);
    }
}

static void test_digest_that_is_not_of_the_job(void **state) {
    (void)state;
    struct fake *fake = fake_start();
    canyon_client *client = NULL;
    fake->welcome.digest[3] ^= 1;
    assert_int_equal(try_connect(fake, &client), CANYON_PROTOCOL);
    assert_null(client);
    fake_stop(fake);
}

/* A name that cannot be looked up, and one that can. */
static void test_names_are_looked_up(void **state) {
    (void)state;
    struct fake *fake = fake_start();
    struct canyon_options options;
    canyon_client *client = NULL;
    char address[64];
    default_options(&options);
    options.connect_ms = 2000;
    options.servers = "no-such-host.invalid:7077";
    assert_int_equal(canyon_connect(&options, &client), encrypted ? CANYON_UNAUTHENTICATED : CANYON_UNAVAILABLE);
    assert_non_null(strstr(canyon_error_text(), "no-such-host.invalid"));
    snprintf(address, sizeof address, "localhost:%s", strchr(fake->address, ':') + 1);
    options.servers = address;
    assert_int_equal(canyon_connect(&options, &client), CANYON_OK);
    canyon_close(client);
    fake_stop(fake);
}

/* Closing ends what is under way, at once, and the futures can be asked and released afterwards. */
static void test_close_ends_what_is_under_way(void **state) {
    (void)state;
    struct user user = begin();
    canyon_future *future = NULL;
    struct canyon_item item = {.tensor = user.tensor, .weights = user.values};
    atomic_store(&user.fake->behaviour, ANSWER_HALF);
    assert_int_equal(canyon_step_async(user.client, &item, 1, 60000, &future), CANYON_OK);
    usleep(20000);
    uint64_t before = clock_now();
    canyon_tensor *tensor = user.tensor;
    canyon_close(user.client);
    assert_true(clock_now() - before < 5000000000u);
    assert_int_equal(canyon_future_done(future), 1);
    assert_int_equal(canyon_future_wait(future, 0), CANYON_CLOSED);
    canyon_future_release(future);
    canyon_tensor_close(tensor);
    fake_stop(user.fake);
    free(user.values);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_arrive_in_place),
        cmocka_unit_test(test_replies_that_do_not_fit_the_request),
        cmocka_unit_test(test_hanging_up_tells_pull_from_push),
        cmocka_unit_test(test_timeout_in_the_middle_of_a_reply),
        cmocka_unit_test(test_timeout_in_the_middle_of_a_request),
        cmocka_unit_test(test_restarted_while_idle),
        cmocka_unit_test(test_missing_block_that_nobody_explains),
        cmocka_unit_test(test_dropped_while_it_was_created),
        cmocka_unit_test(test_list_that_goes_in_circles),
        cmocka_unit_test(test_deadline_that_is_over),
        cmocka_unit_test(test_another_server_at_the_same_address),
        cmocka_unit_test(test_digest_that_is_not_of_the_job),
        cmocka_unit_test(test_names_are_looked_up),
        cmocka_unit_test(test_close_ends_what_is_under_way),
    };
    int failed = 0;
    for (int turn = 0; turn < 2; turn++) {
        encrypted = turn == 0;
        failed += cmocka_run_group_tests_name(encrypted ? "encrypted" : "plaintext", tests, NULL, NULL);
    }
    return failed;
}
