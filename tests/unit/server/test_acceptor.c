/* What a stranger may cost, and what many of them cost who comes at the same time. */
#include "tests/unit/server/fixture.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/random.h"
#include "common/secret.h"
#include "server/acceptor_strangers.h"

#define MALLOC 16 /* what malloc adds to a piece */

/* Whatever it sends, until it has proven an allowed key: its struct (with libuv's handle), its introduction (with the
 * longest message), its handshake. Who is silent costs the first alone. */
static void a_stranger_costs_little(void **state) {
    (void)state;
    struct key_pair *pair = key_pair_generate();
    uint8_t seed[KEY_BYTES];
    random_fill(seed, sizeof seed);
    size_t before = secret_in_use();
    struct channel_handshake *handshake = channel_respond(CHANNEL_AES256GCM, pair, seed);
    size_t handshake_bytes = secret_in_use() - before;
    assert_non_null(handshake);
    assert_true(handshake_bytes > 0);
    size_t silent = sizeof(struct stranger) + MALLOC;
    size_t knocking = silent + sizeof(struct introduction) + MALLOC + handshake_bytes;
    print_message("silent: %zu bytes; in the middle of its introduction: %zu\n", silent, knocking);
    assert_true(knocking <= STRANGER_BYTES);
    assert_true(STRANGER_BYTES <= 1536);
    channel_handshake_destroy(handshake);
    key_pair_destroy(pair);
}

/* ---- a flood ---- */

/* A door without a thread: the test turns the loop, and strangers come through pairs of sockets. */
struct door {
    struct job job;
    struct greeting greeting;
    struct log log;
    struct key_pair *key, *client;
    struct tally tally;
    struct acceptor_options options;
    struct allow *allow;
    struct strangers strangers;
    uv_loop_t loop;
    struct arrival *arrival; /* the last one that was delivered */
};

static void take(void *user, struct arrival *arrival) {
    ((struct door *)user)->arrival = arrival;
}

static void open_door(struct door *door) {
    static const uint8_t boot[BOOT_BYTES];
    char line[160], text[KEY_TEXT_BYTES];
    memset(door, 0, sizeof *door);
    door->job = fixture_job(1, 4, 1024);
    greeting_init(&door->greeting, &door->job, 0, 1, boot);
    door->log = (struct log){.threshold = LOG_SILENT, .descriptor = -1};
    door->key = key_pair_generate();
    door->client = key_pair_generate();
    int bytes =
        snprintf(line, sizeof line, "format canyon-allow-1\nworker w %s\n", key_text(door->client->public, text));
    assert_int_equal(allow_parse(line, (size_t)bytes, &door->allow, NULL), CANYON_OK);
    door->options = (struct acceptor_options){.greeting = &door->greeting,
                                              .log = &door->log,
                                              .key = door->key,
                                              .census = census_create(10, 10),
                                              .tally = &door->tally,
                                              .strangers = ACCEPTOR_STRANGERS,
                                              .deliver = take,
                                              .user = door};
    assert_non_null(door->options.census);
    assert_int_equal(uv_loop_init(&door->loop), 0);
    strangers_init(&door->strangers, &door->loop, &door->options, door->allow);
}

static void close_door(struct door *door) {
    arrival_destroy(door->arrival);
    strangers_stop(&door->strangers);
    uv_run(&door->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&door->loop), 0);
    strangers_finish(&door->strangers);
    census_destroy(door->options.census);
    allow_release(door->allow);
    key_pair_destroy(door->client);
    key_pair_destroy(door->key);
    job_finish(&door->job);
}

/* Somebody comes and says this; returns its descriptor. */
static int knock(struct door *door, const uint8_t first[CHANNEL_FIRST_BYTES]) {
    const struct sockaddr_in address = {.sin_family = AF_INET};
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(write(ends[0], first, CHANNEL_FIRST_BYTES), CHANNEL_FIRST_BYTES);
    strangers_meet(&door->strangers, ends[1], (const struct sockaddr *)&address, sizeof address);
    return ends[0];
}

static struct channel_handshake *begin(const struct door *door, uint8_t first[CHANNEL_FIRST_BYTES]) {
    uint8_t seed[KEY_BYTES];
    random_fill(seed, sizeof seed);
    struct channel_handshake *handshake =
        channel_initiate(CHANNEL_CHACHA20POLY1305, door->client, door->key->public, seed);
    assert_non_null(handshake);
    assert_int_equal(channel_write_first(handshake, first), CANYON_OK);
    return handshake;
}

static void answer_second(int client, struct channel_handshake *handshake) {
    const struct message_hello hello = {.protocol = GREETING_PROTOCOL, .session = {9}, .name = "w0"};
    struct frame_header header = {.type = FRAME_HELLO, .request = 1};
    uint8_t second[CHANNEL_SECOND_BYTES], third[CHANNEL_THIRD_LIMIT_BYTES];
    uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    size_t third_bytes = 0;
    assert_int_equal(read(client, second, sizeof second), sizeof second);
    assert_int_equal(channel_read_second(handshake, second), CANYON_OK);
    header.message_bytes = (uint32_t)message_pack_hello(&hello, bytes + FRAME_HEADER_BYTES);
    frame_header_encode(&header, bytes);
    assert_int_equal(
        channel_write_third(handshake, bytes, FRAME_HEADER_BYTES + header.message_bytes, third, &third_bytes),
        CANYON_OK);
    assert_int_equal(send(client, third, third_bytes, MSG_NOSIGNAL), third_bytes);
}

/* Everybody knows how to make a first message, so that a flood of them costs turns: all that wait have a place, and the
 * oldest gives way. Who has had its turn is not the oldest any more, and its third message does not wait behind the
 * flood's first ones. */
static void a_flood_of_first_messages_keeps_nobody_out_who_had_a_turn(void **state) {
    (void)state;
    struct rlimit limit;
    struct door door;
    uint8_t honest[CHANNEL_FIRST_BYTES], replayed[CHANNEL_FIRST_BYTES];
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 2 * ACCEPTOR_HANDSHAKES) {
        print_message("SKIPPED: a flood takes %d descriptors\n", 2 * ACCEPTOR_HANDSHAKES);
        skip();
    }
    open_door(&door);
    struct channel_handshake *handshake = begin(&door, honest);
    channel_handshake_destroy(begin(&door, replayed));
    int client = knock(&door, honest);
    for (int i = 1; i < ACCEPTOR_HANDSHAKES; i++) {
        close(knock(&door, replayed));
    }
    while (door.strangers.knocking < ACCEPTOR_HANDSHAKES) {
        uv_run(&door.loop, UV_RUN_NOWAIT); /* all say their first */
    }
    uv_run(&door.loop, UV_RUN_NOWAIT); /* the first few have their turns */
    for (int i = 0; i < ACCEPTOR_HANDSHAKES / 8; i++) {
        close(knock(&door, replayed)); /* for more than there are places left */
    }
    for (int i = 0; i < 3; i++) {
        uv_run(&door.loop, UV_RUN_NOWAIT);
    }
    answer_second(client, handshake);
    for (int i = 0; i < 4; i++) {
        uv_run(&door.loop, UV_RUN_NOWAIT);
    }
    assert_true(door.strangers.knocking > ACCEPTOR_HANDSHAKES / 2); /* the others are still waiting */
    assert_non_null(door.arrival);
    assert_string_equal(door.arrival->name, "w0");
    assert_memory_equal(door.arrival->key, door.client->public, KEY_BYTES);
    channel_handshake_destroy(handshake);
    close(client);
    close_door(&door);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stranger_costs_little),
        cmocka_unit_test(a_flood_of_first_messages_keeps_nobody_out_who_had_a_turn),
    };
    assert_int_equal(random_start(NULL), CANYON_OK);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
