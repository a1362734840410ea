/* Connections over real sockets on a loop that the test turns by hand: what one client may take from the others. */
#include "tests/unit/server/fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "server/connection.h"
#include "server/members.h"

#define SECOND 1000000000ull

#define BLOCK   65536
#define LIMIT   ((size_t)1 << 20) /* of a payload; it is the smallest there is */
#define UNREAD  7000000000ull
#define SCRATCH 65536 /* of a frame reader */

struct stage {
    struct job job;
    struct handler_environment environment;
    struct log log;
    char logged[4096];
    uv_loop_t loop;
    struct connection_host host;
    int listening;
    struct sockaddr_in address;
};

static struct stage stage;

static uint64_t later; /* nanoseconds that a test has let pass for the handler */

static uint64_t now(void *user) {
    (void)user;
    return clock_now() + later;
}

static void zeros(void *user, void *bytes, size_t count) {
    (void)user;
    memset(bytes, 0, count);
}

static void keep_line(void *user, enum log_level level, const char *text) {
    size_t used = strlen(stage.logged);
    (void)user;
    (void)level;
    snprintf(stage.logged + used, sizeof stage.logged - used, "%s\n", text);
}

static int setup(void **state) {
    (void)state;
    struct connection_host *host = &stage.host;
    socklen_t bytes = sizeof stage.address;
    memset(&stage, 0, sizeof stage);
    stage.job = fixture_job(1, 1, BLOCK);
    stage.environment.now = now;
    stage.environment.random = zeros;
    stage.log = (struct log){.threshold = LOG_DEBUG, .descriptor = -1, .callback = keep_line};
    assert_int_equal(uv_loop_init(&stage.loop), 0);
    host->loop = &stage.loop;
    host->handler = handler_create(&stage.job, 0, 0, 1, &stage.environment);
    assert_non_null(host->handler);
    host->log = &stage.log;
    host->payload_limit = (uint32_t)LIMIT;
    host->high_water = 1 << 20;
    host->outbox_cap = 4 << 20;
    host->received_limit = 3 * LIMIT;
    host->pool_crowded = 1 << 20;
    host->stall = 1000000000000;
    host->unread = UNREAD;
    host->congestion = "auto";
    outbox_pool_init(&host->pool, 0, 8 << 20);
    TAILQ_INIT(&host->all);
    TAILQ_INIT(&host->ready);
    stage.listening = socket(AF_INET, SOCK_STREAM, 0);
    stage.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(stage.listening, (struct sockaddr *)&stage.address, sizeof stage.address), 0);
    assert_int_equal(listen(stage.listening, 16), 0);
    assert_int_equal(getsockname(stage.listening, (struct sockaddr *)&stage.address, &bytes), 0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    while (!TAILQ_EMPTY(&stage.host.all)) {
        connection_close(TAILQ_FIRST(&stage.host.all));
    }
    uv_run(&stage.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&stage.loop), 0);
    assert_int_equal(stage.host.received, 0);
    handler_destroy(stage.host.handler);
    outbox_pool_finish(&stage.host.pool);
    job_finish(&stage.job);
    close(stage.listening);
    return 0;
}

/* The client's descriptor; *connection receives the server's end, greeted. A name is a session. */
static int come(const char *name, struct connection **connection) {
    struct arrival arrival = {.from = "127.0.0.1:1"};
    int client = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval patience = {.tv_sec = 10};
    int yes = 1; /* no piece waits for the acknowledgement of the one before */
    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&stage.address, sizeof stage.address), 0);
    arrival.descriptor = accept(stage.listening, NULL, NULL);
    assert_true(arrival.descriptor >= 0);
    assert_int_equal(fcntl(arrival.descriptor, F_SETFL, O_NONBLOCK), 0);
    snprintf(arrival.name, sizeof arrival.name, "%s", name);
    memcpy(arrival.session, name, strnlen(name, SESSION_BYTES));
    assert_int_equal(connection_open(&stage.host, &arrival), CANYON_OK);
    *connection = TAILQ_LAST(&stage.host.all, connection_list);
    return client;
}

/* What is there to do for the loop and for connections that want a turn. */
static void turn(void) {
    for (int i = 0; i < 20; i++) {
        uv_run(&stage.loop, UV_RUN_NOWAIT);
        while (!TAILQ_EMPTY(&stage.host.ready)) {
            connection_turn(TAILQ_FIRST(&stage.host.ready));
        }
    }
}

static void send_all(int client, const void *bytes, size_t count) {
    const char *at = bytes;
    while (count > 0) {
        ssize_t sent = send(client, at, count, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            at += sent;
            count -= (size_t)sent;
        }
        turn();
    }
}

/* A PUSH of a tensor that is not there, of which `have` bytes of payload are sent. */
static void send_push(int client, size_t have) {
    static uint8_t payload[LIMIT];
    struct message_pieces pieces = {.count = 4,
                                    .pieces = {{.tensor = 1, .elements = BLOCK},
                                               {.tensor = 1, .block = 1, .elements = BLOCK},
                                               {.tensor = 1, .block = 2, .elements = BLOCK},
                                               {.tensor = 1, .block = 3, .elements = BLOCK}}};
    uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    struct frame_header header = {.type = FRAME_PUSH, .payload_bytes = (uint32_t)LIMIT, .request = 5};
    header.message_bytes = (uint32_t)message_pack_pieces(&pieces, bytes + FRAME_HEADER_BYTES);
    frame_header_encode(&header, bytes);
    send_all(client, bytes, FRAME_HEADER_BYTES + header.message_bytes);
    send_all(client, payload, have);
}

/* The type of the frame that the client was sent, whose error, if it is one, is put into `error`. */
static unsigned receive(int client, struct error *error) {
    uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    struct frame_header header;
    turn();
    assert_int_equal(recv(client, bytes, FRAME_HEADER_BYTES, MSG_WAITALL), FRAME_HEADER_BYTES);
    assert_int_equal(frame_header_decode(bytes, 0, &header, NULL), CANYON_OK);
    if (header.message_bytes > 0) { /* to receive nothing takes until there is something */
        assert_int_equal(recv(client, bytes, header.message_bytes, MSG_WAITALL), header.message_bytes);
    }
    if (header.type == FRAME_ERROR) {
        assert_int_equal(message_unpack_error(bytes, header.message_bytes, error, NULL), CANYON_OK);
    }
    return header.type;
}

static void send_empty(int client, unsigned type) {
    uint8_t bytes[FRAME_HEADER_BYTES];
    const struct frame_header header = {.type = (uint16_t)type, .request = 9};
    frame_header_encode(&header, bytes);
    send_all(client, bytes, sizeof bytes);
}

/* The handler ends one connection in the middle of a request of another: it is told why, then its stream ends, and what
 * it still sends is thrown away. */
static void a_fenced_connection_is_told_and_closed(void **state) {
    (void)state;
    struct connection *connections[2];
    struct error error;
    const int older = come("anna", &connections[0]), newer = come("anna", &connections[1]);
    send_push(older, LIMIT / 2); /* half of a frame is there */
    assert_int_equal(stage.host.received, LIMIT);
    send_empty(newer, FRAME_RESUME);
    assert_int_equal(receive(newer, &error), FRAME_RESUMED);
    assert_int_equal(receive(older, &error), FRAME_ERROR);
    assert_int_equal(error.status, CANYON_FENCED);
    assert_int_equal(recv(older, &error, 1, 0), 0);
    assert_int_equal(stage.host.received, 0);
    assert_int_equal(send(older, &error, sizeof error, MSG_NOSIGNAL), sizeof error);
    turn();
    send_empty(newer, FRAME_LEAVE);
    assert_int_equal(receive(newer, &error), FRAME_LEFT);
    assert_int_equal(stage.host.count, 2);
    close(older);
    turn();
    assert_int_equal(stage.host.count, 1);
    close(newer);
}

static void payloads_under_way_have_a_limit(void **state) {
    (void)state;
    struct connection *connections[4];
    struct error error;
    int clients[4];
    for (int i = 0; i < 4; i++) {
        clients[i] = come("anna", &connections[i]);
    }
    for (int i = 0; i < 3; i++) {
        send_push(clients[i], LIMIT / 2);
    }
    assert_int_equal(stage.host.received, 3 * LIMIT);
    send_push(clients[3], 0);
    assert_int_equal(receive(clients[3], &error), FRAME_ERROR);
    assert_int_equal(error.status, CANYON_BUSY);
    assert_non_null(strstr(error.text, "3145728"));
    assert_int_equal(recv(clients[3], &error, 1, 0), 0);
    assert_int_equal(stage.host.received, 3 * LIMIT);
    /* Who was first is not disturbed. A buffer that is free is not kept while there is little. */
    static uint8_t rest[LIMIT / 2];
    send_all(clients[0], rest, sizeof rest);
    assert_int_equal(receive(clients[0], &error), FRAME_PUSHED);
    assert_int_equal(stage.host.received, 2 * LIMIT);
    close(clients[1]);
    turn();
    assert_int_equal(stage.host.received, LIMIT);
    send_push(clients[0], LIMIT / 2);
    close(clients[2]);
    turn();
    send_all(clients[0], rest, sizeof rest);
    assert_int_equal(receive(clients[0], &error), FRAME_PUSHED);
    assert_int_equal(stage.host.received, LIMIT); /* kept: there is plenty */
    close(clients[0]);
    close(clients[3]);
}

/* Digests of 64 MiB take longer than a turn may, so a turn has one of them however many wait. */
static void a_turn_ends_with_its_time(void **state) {
    (void)state;
    struct connection *connection;
    struct tensor_info info = {9, TENSOR_CREATING, fixture_spec("w", 16 << 20, "sgd"), 0};
    uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    struct frame_header header = {.type = FRAME_DEFINE, .request = 1};
    int client = come("anna", &connection);
    struct error error;
    header.message_bytes = (uint32_t)message_pack_define(&info, bytes + FRAME_HEADER_BYTES);
    frame_header_encode(&header, bytes);
    send_all(client, bytes, FRAME_HEADER_BYTES + header.message_bytes);
    assert_int_equal(receive(client, &error), FRAME_DEFINED);
    header = (struct frame_header){.type = FRAME_DIGEST};
    for (uint64_t i = 0; i < 3; i++) {
        header.request = 10 + i;
        frame_header_encode(&header, bytes + i * FRAME_HEADER_BYTES);
    }
    assert_int_equal(send(client, bytes, (size_t)3 * FRAME_HEADER_BYTES, 0), 3 * FRAME_HEADER_BYTES);
    const size_t reply = FRAME_HEADER_BYTES + MESSAGE_DIGEST_ENTRY_BYTES;
    for (int i = 0; i < 3; i++) {
        connection_turn(connection);
        uint8_t replies[4 * (FRAME_HEADER_BYTES + MESSAGE_DIGEST_ENTRY_BYTES)];
        assert_int_equal(recv(client, replies, sizeof replies, 0), reply);
    }
    close(client);
}

static void names_in_logs_are_quoted(void **state) {
    (void)state;
    struct connection *connection;
    int client = come("x status=\"fine\"\nerror", &connection);
    assert_non_null(strstr(stage.logged, "name=\"x status=\\\"fine\\\"\\nerror\" key=- role=admin\n"));
    send_all(client, "garbage that is no frame at all", 31);
    assert_non_null(strstr(stage.logged, "connection-refused from=127.0.0.1:1 name=\"x status="));
    assert_non_null(strstr(stage.logged, "suppressed=0\n"));
    close(client);
}

/* Of a flood of broken clients one line a second is left. */
static void floods_are_logged_seldom(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct connection *connection;
        int client = come("anna", &connection);
        stage.logged[0] = '\0';
        send_all(client, "garbage that is no frame at all", 31);
        assert_int_equal(strstr(stage.logged, "connection-refused") != NULL, i == 0);
        close(client);
    }
    assert_int_equal(stage.host.refused.suppressed, 4);
}

/* Sends the client so much that some of it has to wait, and lets the sockets come to rest. */
static void fill(struct connection *connection) {
    static uint8_t waste[1 << 20];
    struct handler_slice slice = {.bytes = waste, .count = sizeof waste};
    while (outbox_empty(&connection->outbox)) {
        connection->peer.send(&connection->peer, &slice, 1);
        turn();
    }
}

static void small_buffers(int client, const struct connection *connection) {
    int bytes = 16384;
    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes), 0);
    assert_int_equal(setsockopt(connection->descriptor, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), 0);
}

static void who_reads_nothing_is_cut_off(void **state) {
    (void)state;
    struct connection *deaf, *idle;
    int client = come("deaf", &deaf), other = come("idle", &idle);
    uint64_t begun = clock_now();
    char byte;
    small_buffers(client, deaf);
    /* However long nothing waits, nobody is cut off. */
    connection_sweep(deaf, begun + 100 * UNREAD);
    connection_sweep(idle, begun + 100 * UNREAD);
    begun += 100 * UNREAD;
    fill(deaf);
    connection_sweep(deaf, begun + UNREAD / 2);         /* sees that something was taken: the time begins */
    connection_sweep(deaf, begun + UNREAD);             /* half of it */
    connection_sweep(deaf, begun + 3 * UNREAD / 2 - 1); /* all but a nanosecond */
    connection_sweep(idle, begun + 10 * UNREAD);
    assert_int_equal(stage.host.count, 2);
    connection_sweep(deaf, begun + 3 * UNREAD / 2);
    assert_int_equal(stage.host.count, 1);
    assert_non_null(strstr(stage.logged, "name=\"deaf\" reason=\"it read nothing for 7 seconds\""));
    /* What was on its way is destroyed: the client learns of a reset, once it reads. */
    while (recv(client, &byte, 1, 0) == 1) {
        continue;
    }
    assert_int_equal(errno, ECONNRESET);
    close(client);
    close(other);
}

/* A little now and then is enough. */
static void who_reads_slowly_is_not(void **state) {
    (void)state;
    static char some[1 << 16];
    struct connection *slow;
    int client = come("slow", &slow), sweeps = 0;
    uint64_t when = clock_now() - 1;
    fill(slow);
    for (; !outbox_empty(&slow->outbox); sweeps++) {
        when += UNREAD - 1;
        connection_sweep(slow, when);
        assert_int_equal(stage.host.count, 1);
        /* Our socket takes more only of what was acknowledged. */
        for (uint64_t sent = slow->sent; slow->sent == sent; turn()) {
            assert_int_equal(recv(client, some, sizeof some, MSG_WAITALL), sizeof some);
        }
    }
    assert_true(sweeps > 0);
    close(client);
}

/* A byte now and then keeps no frame, and its buffer, for ever; its time begins with the frame. */
static void a_frame_that_trickles_in_has_a_deadline(void **state) {
    (void)state;
    struct connection *slow;
    struct error error;
    int client = come("slow", &slow);
    stage.host.stall = 30000000000ull;
    connection_sweep(slow, clock_now() + 1000000000000ull); /* idle for a thousand seconds */
    send_push(client, 1);
    /* 30 seconds, and 4,096 bytes a second from then on. */
    uint64_t end = slow->begun + 30000000000ull + (32768 + LIMIT) * 1000000000ull / 4096;
    for (uint64_t when = slow->begun; when < end; when += 29000000000ull) {
        slow->progress = when; /* a byte came */
        connection_sweep(slow, when);
        assert_int_equal(slow->state, CONNECTION_OPEN);
    }
    slow->progress = end - 1;
    connection_sweep(slow, end - 1);
    assert_int_equal(slow->state, CONNECTION_OPEN);
    connection_sweep(slow, end);
    assert_int_equal(receive(client, &error), FRAME_ERROR);
    assert_int_equal(error.status, CANYON_TIMEOUT);
    assert_non_null(strstr(error.text, "slower than 4096 bytes a second"));
    assert_int_equal(stage.host.received, 0);
    close(client);
}

/* Whether the page in the middle of a buffer is there. */
static bool is_resident(const void *buffer, size_t bytes) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t middle = ((uintptr_t)buffer + bytes / 2) / page * page;
    unsigned char there = 0;
    assert_int_equal(mincore((uint8_t *)(uintptr_t)buffer + (middle - (uintptr_t)buffer), (size_t)page, &there), 0);
    return (there & 1) != 0;
}

/* The client's side sends small pieces when the ones before were acknowledged, which takes a moment. */
static void await_payload(const struct connection *connection, size_t bytes) {
    const uint64_t end = clock_now() + 10 * SECOND;
    while (connection->reader.payload_have < bytes && clock_now() < end) {
        turn();
        usleep(1000);
    }
    assert_int_equal(connection->reader.payload_have, bytes);
}

/* A worker that counts clocks comes to a handler with leases of 20 seconds of its time, of which little passes by
 * itself. */
static int come_with_lease(struct connection **connection) {
    struct error error;
    handler_destroy(stage.host.handler);
    stage.environment.lease_ms = 20000;
    stage.host.handler = handler_create(&stage.job, 0, 0, 1, &stage.environment);
    assert_non_null(stage.host.handler);
    const int client = come("anna", connection);
    send_empty(client, FRAME_ENTER);
    assert_int_equal(receive(client, &error), FRAME_ENTERED);
    return client;
}

/* The lease that she entered with is over then, that of a sign of life 15 seconds later is not; then that is, too. */
static void lives_as_if_heard_at_15(const struct connection *connection) {
    later = 20 * SECOND + SECOND / 2;
    handler_tick(stage.host.handler);
    assert_non_null(connection->peer.member);
    assert_true(connection->peer.member->live);
    later = 35 * SECOND + SECOND / 2;
    handler_tick(stage.host.handler);
    assert_false(connection->peer.member->live);
    later = 0;
}

/* A block of a worker with a slow line may take longer than a lease: its bytes are signs of life. */
static void who_sends_slowly_lives(void **state) {
    (void)state;
    struct connection *connection;
    int client = come_with_lease(&connection);
    send_push(client, 1000);
    await_payload(connection, 1000);
    later = 15 * SECOND;
    send_all(client, "12345678", 8);
    await_payload(connection, 1008);
    lives_as_if_heard_at_15(connection);
    close(client);
}

/* While much waits to be sent nothing is read: what is taken of it is a sign of life. */
static void who_reads_slowly_lives(void **state) {
    (void)state;
    static char some[1 << 16];
    struct connection *connection;
    int client = come_with_lease(&connection);
    fill(connection);
    later = 15 * SECOND;
    for (uint64_t sent = connection->sent; connection->sent == sent; turn()) {
        assert_int_equal(recv(client, some, sizeof some, MSG_WAITALL), sizeof some);
    }
    lives_as_if_heard_at_15(connection);
    close(client);
}

/* What lies unread because its key has had its share may be signs of life: it counts as one. Where nothing does,
 * nothing counts. */
static void who_is_not_read_lives(void **state) {
    (void)state;
    struct connection *connection;
    int client = come_with_lease(&connection);
    pace_set(&connection->pace, 1);
    send_push(client, 0);
    assert_true(connection->paced);
    const uint64_t lease_end = connection->peer.member->lease_end;
    later = 5 * SECOND;
    connection_sweep(connection, clock_now());
    assert_true(connection->peer.member->lease_end == lease_end);
    send_empty(client, FRAME_CLOCK);
    later = 15 * SECOND;
    connection_sweep(connection, clock_now());
    assert_true(connection->paced);
    lives_as_if_heard_at_15(connection);
    close(client);
}

/* ---- a crowd of pulls that are let go at once ---- */

#define CROWD   8
#define CROWDED 125 /* pulls of each */

static float crowd_weights[BLOCK];

static void send_message(int client, unsigned type, uint64_t request, uint8_t *bytes, size_t message_bytes,
                         const void *payload, size_t payload_bytes) {
    const struct frame_header header = {.type = (uint16_t)type,
                                        .request = request,
                                        .message_bytes = (uint32_t)message_bytes,
                                        .payload_bytes = (uint32_t)payload_bytes};
    frame_header_encode(&header, bytes);
    send_all(client, bytes, FRAME_HEADER_BYTES + message_bytes);
    send_all(client, payload, payload_bytes);
}

static void send_clock(int client, uint64_t clock) {
    const struct message_clock message = {.clock = clock};
    uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    struct error error;
    send_message(client, FRAME_CLOCK, 1, bytes, message_pack_clock(&message, bytes + FRAME_HEADER_BYTES), NULL, 0);
    assert_int_equal(receive(client, &error), FRAME_CLOCKED);
}

static void send_values(int client, unsigned type, uint64_t request, const struct message_pieces *pieces,
                        const void *payload, size_t payload_bytes) {
    uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    send_message(client, type, request, bytes, message_pack_pieces(pieces, bytes + FRAME_HEADER_BYTES), payload,
                 payload_bytes);
}

/* One block, and nobody may be ahead of anybody. */
static void prepare_crowd(int client) {
    const struct tensor_info info = {9, TENSOR_CREATING, fixture_spec("w", BLOCK, "sgd"), 0};
    const struct message_consistency mode = {.set = true, .from = 1, .mode = {.mode = CONSISTENCY_SSP}};
    const struct message_pieces pieces = {.count = 1, .pieces = {{.tensor = 9, .elements = BLOCK}}};
    uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    struct error error;
    send_message(client, FRAME_DEFINE, 1, bytes, message_pack_define(&info, bytes + FRAME_HEADER_BYTES), NULL, 0);
    assert_int_equal(receive(client, &error), FRAME_DEFINED);
    send_message(client, FRAME_CONSISTENCY, 1, bytes, message_pack_consistency(&mode, bytes + FRAME_HEADER_BYTES), NULL,
                 0);
    assert_int_equal(receive(client, &error), FRAME_CONSISTENCY_IS);
    for (size_t i = 0; i < BLOCK; i++) {
        crowd_weights[i] = (float)i;
    }
    send_values(client, FRAME_ASSIGN, 1, &pieces, crowd_weights, sizeof crowd_weights);
    assert_int_equal(receive(client, &error), FRAME_ASSIGNED);
}

/* A client that reads whole PULLED frames, as they come. */
struct reader {
    int client;
    uint64_t expected; /* request of the next one */
    size_t have;
    uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES + sizeof crowd_weights];
};

static void read_some(struct reader *reader) {
    struct frame_header header;
    size_t whole = FRAME_HEADER_BYTES;
    if (reader->have >= whole) {
        assert_int_equal(frame_header_decode(reader->bytes, FRAME_PAYLOAD_LIMIT, &header, NULL), CANYON_OK);
        assert_int_equal(header.type, FRAME_PULLED);
        assert_true(header.request == reader->expected && header.payload_bytes == sizeof crowd_weights);
        whole += header.message_bytes + header.payload_bytes;
    }
    ssize_t got = recv(reader->client, reader->bytes + reader->have, whole - reader->have, MSG_DONTWAIT);
    assert_true(got > 0 || (got < 0 && errno == EAGAIN));
    reader->have += got > 0 ? (size_t)got : 0;
    if (whole > FRAME_HEADER_BYTES && reader->have == whole) {
        assert_memory_equal(reader->bytes + whole - sizeof crowd_weights, crowd_weights, sizeof crowd_weights);
        reader->have = 0;
        reader->expected++;
    }
}

/* A thousand replies of 256 KiB where 8 MiB may wait: each goes as there is room for it. */
static void what_is_let_go_at_once_goes_as_there_is_room(void **state) {
    (void)state;
    static struct reader readers[CROWD];
    const struct message_pieces pull = {
        .count = 1, .clock = 2, .wait_ms = 60000, .pieces = {{.tensor = 9, .elements = BLOCK}}};
    struct connection *last, *connection;
    struct error error;
    const int bert = come("bert", &last);
    stage.host.pool_crowded = (4 << 20) / OUTBOX_CHUNK_BYTES;
    prepare_crowd(bert);
    send_clock(bert, 1);
    memset(readers, 0, sizeof readers);
    for (unsigned i = 0; i < CROWD; i++) {
        char name[] = {'a', (char)('0' + i), '\0'};
        readers[i].client = come(name, &connection);
        readers[i].expected = 1;
        send_clock(readers[i].client, 2);
        for (uint64_t request = 1; request <= CROWDED; request++) {
            send_values(readers[i].client, FRAME_PULL, request, &pull, NULL, 0);
        }
        turn();
        assert_int_equal(connection->peer.waiting, CROWDED);
    }
    send_clock(bert, 2);
    turn();
    TAILQ_FOREACH(connection, &stage.host.all, all) {
        assert_false(connection->failed);
        assert_true(connection == last || connection->peer.ready > 0); /* nobody reads yet */
    }
    /* The others have their turns meanwhile. */
    send_empty(bert, FRAME_STATISTICS);
    assert_int_equal(receive(bert, &error), FRAME_STATISTICS_ARE);
    for (uint64_t left = CROWD; left > 0; turn()) {
        left = 0;
        for (unsigned i = 0; i < CROWD; i++) {
            for (int j = 0; j < 16 && readers[i].expected <= CROWDED; j++) {
                read_some(&readers[i]);
            }
            left += readers[i].expected <= CROWDED;
        }
    }
    assert_int_equal(stage.host.count, CROWD + 1);
    assert_null(strstr(stage.logged, "connection-lost"));
    for (unsigned i = 0; i < CROWD; i++) {
        close(readers[i].client);
    }
    close(bert);
}

/* A server that stops sends what was let go before it. */
static void what_is_let_go_goes_out_before_the_end(void **state) {
    (void)state;
    static struct reader reader;
    const struct message_pieces pull = {
        .count = 1, .clock = 2, .wait_ms = 60000, .pieces = {{.tensor = 9, .elements = BLOCK}}};
    struct connection *last, *connection;
    const int bert = come("bert", &last);
    prepare_crowd(bert);
    send_clock(bert, 1);
    reader = (struct reader){.client = come("anna", &connection), .expected = 1};
    send_clock(reader.client, 2);
    for (uint64_t request = 1; request <= CROWDED; request++) {
        send_values(reader.client, FRAME_PULL, request, &pull, NULL, 0);
    }
    send_clock(bert, 2);
    handler_stop(stage.host.handler);
    connection_drain(connection, clock_now() + 60 * SECOND);
    turn();
    assert_true(connection->state == CONNECTION_OPEN && connection->peer.ready > 0);
    for (uint64_t now = clock_now() + SECOND; reader.expected <= CROWDED; turn()) {
        if (stage.host.count == 2) { /* it is not taken for one that has no more to do */
            connection_sweep(connection, now);
        }
        read_some(&reader);
    }
    if (stage.host.count == 2) {
        connection_sweep(connection, clock_now() + SECOND);
    }
    assert_int_equal(recv(reader.client, reader.bytes, 1, 0), 0);
    close(reader.client);
    close(bert);
}

/* Two seconds after it was used last a connection gives its buffers' memory back; and works when it is used again. */
static void who_rests_takes_no_memory(void **state) {
    (void)state;
    struct connection *connection;
    struct error error;
    int client = come("anna", &connection);
    for (int round = 0; round < 3; round++) {
        send_push(client, LIMIT);
        assert_int_equal(receive(client, &error), FRAME_PUSHED);
        uint64_t used = connection->progress;
        assert_true(stage.host.received >= LIMIT);
        connection_sweep(connection, used + 1999999999ull);
        assert_true(stage.host.received >= LIMIT);
        memset(connection->reader.scratch, 1, SCRATCH); /* between frames nobody needs it */
        assert_true(is_resident(connection->reader.scratch, SCRATCH));
        connection_sweep(connection, used + 2000000000ull);
        assert_false(is_resident(connection->reader.scratch, SCRATCH));
        assert_int_equal(stage.host.received, 0);
        assert_true(connection->resting);
    }
    /* Not in the middle of a frame. */
    send_push(client, LIMIT / 2);
    assert_false(connection->resting);
    connection_sweep(connection, connection->progress + 3000000000ull);
    assert_true(stage.host.received >= LIMIT);
    close(client);
}

/* Who pushed more than its share is not read for long, but is not kept for long when it is gone. */
static void who_is_gone_is_let_go_whatever_its_pace(void **state) {
    (void)state;
    struct connection *hasty, *patient;
    struct linger linger = {.l_onoff = 1};
    int client = come("hasty", &hasty), other = come("patient", &patient);
    pace_set(&hasty->pace, 1);
    pace_set(&patient->pace, 1);
    send_push(client, 0);
    send_push(other, 0);
    turn();
    assert_true(hasty->paced && patient->paced);
    assert_int_equal(shutdown(other, SHUT_WR), 0); /* it still reads its replies */
    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    close(client); /* resets */
    connection_sweep(hasty, clock_now());
    connection_sweep(patient, clock_now());
    turn();
    assert_int_equal(stage.host.count, 1);
    assert_ptr_equal(TAILQ_FIRST(&stage.host.all), patient);
    assert_int_equal(stage.host.paced, 1);
    close(other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_fenced_connection_is_told_and_closed),
        TEST(payloads_under_way_have_a_limit),
        TEST(a_turn_ends_with_its_time),
        TEST(names_in_logs_are_quoted),
        TEST(floods_are_logged_seldom),
        TEST(who_reads_nothing_is_cut_off),
        TEST(who_reads_slowly_is_not),
        TEST(a_frame_that_trickles_in_has_a_deadline),
        TEST(who_sends_slowly_lives),
        TEST(who_reads_slowly_lives),
        TEST(who_is_not_read_lives),
        TEST(what_is_let_go_at_once_goes_as_there_is_room),
        TEST(what_is_let_go_goes_out_before_the_end),
        TEST(who_rests_takes_no_memory),
        TEST(who_is_gone_is_let_go_whatever_its_pace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
