/* A connection of the server over a real socket, with every allocation of its life failing once: the client that met it
 * gets an error or a closed connection, comes again, and everything is as if nothing had failed. */
#include "tests/allocation/fail.h"
#include "tests/unit/server/fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "server/connection.h"

#define BLOCK 65536
#define PULLS 8
#define ROOM  ((size_t)4 << 20)

static struct {
    struct job job;
    struct handler_environment environment;
    struct log log;
    uv_loop_t loop;
    struct connection_host host;
    int listening, client;
    struct sockaddr_in address;
    uint64_t requests;
    size_t met; /* the failure, as seen by the client */
    struct tensor_info tensor;
} stage;

static uint8_t arrived[ROOM];
static float values[BLOCK];

static uint64_t now(void *user) {
    (void)user;
    return clock_now();
}

static void one_id(void *user, void *bytes, size_t count) {
    (void)user;
    memset(bytes, 7, count);
}

static void setup(void) {
    struct connection_host *host = &stage.host;
    socklen_t bytes = sizeof stage.address;
    memset(&stage, 0, sizeof stage);
    stage.job = fixture_job(1, 1, BLOCK);
    stage.environment = (struct handler_environment){.now = now, .random = one_id};
    stage.log = (struct log){.threshold = LOG_SILENT, .descriptor = -1};
    stage.client = -1;
    assert_int_equal(uv_loop_init(&stage.loop), 0);
    host->loop = &stage.loop;
    host->handler = handler_create(&stage.job, 0, 0, 1, &stage.environment);
    assert_non_null(host->handler);
    host->log = &stage.log;
    host->payload_limit = handler_payload_limit(&stage.job);
    host->high_water = 1 << 20;
    host->outbox_cap = 8 << 20;
    host->received_limit = 16 << 20;
    host->pool_crowded = 8 << 20;
    host->stall = 1000000000000;
    host->congestion = "auto";
    outbox_pool_init(&host->pool, 0, 16 << 20);
    TAILQ_INIT(&host->all);
    TAILQ_INIT(&host->ready);
    stage.listening = socket(AF_INET, SOCK_STREAM, 0);
    stage.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(stage.listening, (struct sockaddr *)&stage.address, sizeof stage.address), 0);
    assert_int_equal(listen(stage.listening, 16), 0);
    assert_int_equal(getsockname(stage.listening, (struct sockaddr *)&stage.address, &bytes), 0);
}

static void teardown(void) {
    while (!TAILQ_EMPTY(&stage.host.all)) {
        connection_close(TAILQ_FIRST(&stage.host.all));
    }
    uv_run(&stage.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&stage.loop), 0);
    assert_int_equal(stage.host.received, 0);
    assert_int_equal(stage.host.count, 0);
    handler_destroy(stage.host.handler);
    outbox_pool_finish(&stage.host.pool);
    job_finish(&stage.job);
    close(stage.listening);
    close(stage.client);
}

static void turn(void) {
    fail_arm();
    for (int i = 0; i < 4; i++) {
        uv_run(&stage.loop, UV_RUN_NOWAIT);
        while (!TAILQ_EMPTY(&stage.host.ready)) {
            connection_turn(TAILQ_FIRST(&stage.host.ready));
        }
    }
    fail_disarm();
}

static void meet(void) {
    if (!fail_happened() || stage.met > 0) {
        fail_msg("a connection was lost, or a request refused, without a failure that explains it");
    }
    stage.met++;
}

/* Connects, again where the server had no memory for it. */
static void come(void) {
    struct arrival arrival = {.from = "127.0.0.1:1", .name = "anna"};
    int small = 4096;
    if (stage.client >= 0) {
        close(stage.client);
        turn();
    }
    for (;;) {
        stage.client = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(setsockopt(stage.client, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
        assert_int_equal(connect(stage.client, (struct sockaddr *)&stage.address, sizeof stage.address), 0);
        arrival.descriptor = accept(stage.listening, NULL, NULL);
        assert_int_equal(setsockopt(arrival.descriptor, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
        assert_int_equal(fcntl(arrival.descriptor, F_SETFL, O_NONBLOCK), 0);
        fail_arm();
        enum canyon_status status = connection_open(&stage.host, &arrival);
        fail_disarm();
        if (status == CANYON_OK) {
            return;
        }
        assert_int_equal(status, CANYON_NO_MEMORY);
        meet();
        close(stage.client);
    }
}

/* Sends while the server takes turns; false when the connection is over. */
static bool send_all(const void *bytes, size_t count) {
    const char *at = bytes;
    while (count > 0) {
        ssize_t sent = send(stage.client, at, count, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            at += sent;
            count -= (size_t)sent;
        } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
            return false;
        }
        turn();
    }
    return true;
}

/* Receives exactly `count` bytes into `arrived`; false when the connection ends before. */
static bool receive_all(size_t count) {
    size_t have = 0;
    assert_true(count <= ROOM);
    while (have < count) {
        ssize_t got = recv(stage.client, arrived + have, count - have, MSG_DONTWAIT);
        if (got > 0) {
            have += (size_t)got;
        } else if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) {
            return false;
        }
        turn();
    }
    return true;
}

static bool send_request(unsigned type, const uint8_t *message, size_t message_bytes, size_t payload_bytes) {
    uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    struct frame_header header = {.type = (uint16_t)type,
                                  .message_bytes = (uint32_t)message_bytes,
                                  .payload_bytes = (uint32_t)payload_bytes,
                                  .request = ++stage.requests};
    frame_header_encode(&header, bytes);
    if (message_bytes > 0) {
        memcpy(bytes + FRAME_HEADER_BYTES, message, message_bytes);
    }
    return send_all(bytes, FRAME_HEADER_BYTES + message_bytes) && send_all(values, payload_bytes);
}

/* The next reply: its header, and its message at the beginning of `arrived`, the payload behind it. */
static bool receive_reply(struct frame_header *header) {
    struct error error, ignored;
    if (!receive_all(FRAME_HEADER_BYTES)) {
        return false;
    }
    assert_int_equal(frame_header_decode(arrived, FRAME_PAYLOAD_LIMIT, header, NULL), CANYON_OK);
    if (!receive_all(header->message_bytes + header->payload_bytes)) {
        return false;
    }
    if (header->type == FRAME_ERROR) {
        assert_int_equal(message_unpack_error(arrived, header->message_bytes, &error, &ignored), CANYON_OK);
        assert_int_equal(error.status, CANYON_NO_MEMORY);
        return false;
    }
    return true;
}

/* Sends a request until it is answered with what it should be; reconnects where that is due. */
static struct frame_header ask(unsigned type, const uint8_t *message, size_t message_bytes, size_t payload_bytes) {
    struct frame_header header;
    while (!send_request(type, message, message_bytes, payload_bytes) || !receive_reply(&header)) {
        meet();
        come();
    }
    assert_int_equal(header.type, type + 1);
    assert_true(header.request == stage.requests);
    return header;
}

/* More pulls than sockets hold, before any reply is read: replies wait in memory. */
static void pull_many(const uint8_t *message, size_t bytes) {
    struct frame_header header;
    int left = PULLS;
    bool good = true;
    for (int i = 0; i < PULLS && good; i++) {
        good = send_request(FRAME_PULL, message, bytes, 0);
    }
    for (; good && left > 0; left--) {
        good = receive_reply(&header);
        assert_true(!good || memcmp(arrived + header.message_bytes, values, sizeof values) == 0);
    }
    if (!good) {
        meet();
        come();
        pull_many(message, bytes);
    }
}

static void scenario(size_t nth) {
    uint8_t packed[LIMIT_MESSAGE_BYTES];
    struct message_create create = {.spec = fixture_spec("w", BLOCK, "sgd")};
    struct message_created created;
    fail_begin(nth);
    setup();
    come();
    struct frame_header header = ask(FRAME_CREATE, packed, message_pack_create(&create, packed), 0);
    assert_int_equal(message_unpack_created(arrived, header.message_bytes, &created, NULL), CANYON_OK);
    stage.tensor = created.tensor;
    ask(FRAME_DEFINE, packed, message_pack_define(&stage.tensor, packed), 0);
    struct message_tensor named = {.id = stage.tensor.id, .name = "w"};
    ask(FRAME_COMPLETE, packed, message_pack_tensor(&named, packed), 0);
    for (int i = 0; i < BLOCK; i++) {
        values[i] = (float)(i % 1000) / 8.0f;
    }
    struct message_pieces pieces = {
        .count = 1, .pieces = {{.tensor = stage.tensor.id, .block = 0, .elements = BLOCK, .version = 0}}};
    size_t bytes = message_pack_pieces(&pieces, packed);
    ask(FRAME_ASSIGN, packed, bytes, sizeof values);
    pull_many(packed, bytes);
    ask(FRAME_DIGEST, NULL, 0, 0);
    if (fail_happened() && stage.met == 0) {
        fail_msg("nobody noticed: %s", fail_place());
    }
    teardown();
}

static void each_allocation_fails_once(void **state) {
    (void)state;
    fail_each("connection", scenario, 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_allocation_fails_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
