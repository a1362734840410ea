/* A connection that reads slowly or not at all, beside one that pushes: no block it receives is torn between two
 * versions, the pusher is not held up, and the server's memory stays bounded.
 *
 * sgd with lr=1 and a gradient of -1 everywhere: every element of a block must equal the block's version. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/integration/harness.h"
#include "tests/integration/process.h"
#include "tests/integration/raw.h"

#define BLOCK         65536u
#define BLOCKS        64u /* 16 MiB */
#define ELEMENTS      ((size_t)BLOCK * BLOCKS)
#define FLOOD         4096u /* blocks asked for at once: 1 GiB of replies */
#define RECEIVE_BYTES 65536

struct shared {
    struct gate ready, stop;
    _Atomic uint32_t pushes;
};

struct pusher {
    const char *servers;
    struct shared *shared;
};

static int push_until_stopped(void *user) {
    const struct pusher *pusher = user;
    canyon_client *client = client_connect(pusher->servers);
    canyon_tensor *tensor = client_vector(client, "t", ELEMENTS, "sgd:lr=1");
    float *gradient = malloc(ELEMENTS * sizeof *gradient);
    for (size_t i = 0; i < ELEMENTS; i++)
        gradient[i] = -1.0f;
    gate_arrive(&pusher->shared->ready);
    while (atomic_load(&pusher->shared->stop.arrived) == 0) {
        check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
        atomic_fetch_add(&pusher->shared->pushes, 1);
    }
    free(gradient);
    canyon_tensor_close(tensor);
    canyon_close(client);
    return 0;
}

static void ask_for(uint8_t *request, size_t *bytes, uint64_t id, uint64_t tensor, uint32_t block) {
    static struct message_pieces pieces;
    pieces.count = 1;
    pieces.pieces[0] = (struct message_piece){.tensor = tensor, .block = block, .elements = BLOCK};
    uint8_t message[LIMIT_MESSAGE_BYTES];
    size_t message_bytes = message_pack_pieces(&pieces, message);
    *bytes = raw_frame(request, FRAME_PULL, id, message, message_bytes, NULL, 0);
}

/* One reply: a single version. Returns it. */
static uint64_t check_whole(const struct frame *frame) {
    static struct message_piece_results results;
    struct error error;
    check(frame->header.type == FRAME_PULLED);
    check(message_unpack_piece_results(frame->message, frame->header.message_bytes, &results, &error) == CANYON_OK);
    check(results.count == 1 && results.results[0].status == CANYON_OK);
    check(frame->header.payload_bytes == BLOCK * sizeof(float));
    uint64_t version = results.results[0].version;
    for (size_t i = 0; i < BLOCK; i++) {
        float value;
        memcpy(&value, frame->payload + i * sizeof value, sizeof value);
        if (value != (float)version)
            check_fail("block of version %llu has %g at %zu", (unsigned long long)version, (double)value, i);
    }
    return version;
}

static struct cluster *start_with_pusher(struct shared *shared, struct pusher *pusher, pid_t *process) {
    struct cluster *cluster =
        cluster_start(&(struct cluster_options){.servers = 1, .threads = 1, .block = BLOCK, .shards = 16});
    *pusher = (struct pusher){.servers = cluster_servers(cluster), .shared = shared};
    *process = process_start(push_until_stopped, pusher);
    gate_wait(&shared->ready, 1);
    return cluster;
}

static void stop_pusher(struct shared *shared, pid_t process) {
    gate_arrive(&shared->stop);
    check(process_wait(process, 2 * PATIENCE_MS) == 0);
}

/* Pulls the whole tensor and reads 16 KiB at a time with rests between. */
static void every_block_is_one_version(void **state) {
    (void)state;
    struct shared *shared = shared_alloc(sizeof *shared);
    struct pusher pusher;
    pid_t process;
    struct cluster *cluster = start_with_pusher(shared, &pusher, &process);
    struct raw raw;
    raw_open(&raw, cluster_servers(cluster), 0, NULL);
    int room = RECEIVE_BYTES;
    check(setsockopt(raw.descriptor, SOL_SOCKET, SO_RCVBUF, &room, sizeof room) == 0);
    uint64_t tensor = raw_find(&raw, "t");
    uint64_t highest = 0, lowest = UINT64_MAX;
    for (uint64_t round = 0; round < 3; round++) {
        for (uint32_t block = 0; block < BLOCKS; block++) {
            uint8_t request[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
            size_t bytes;
            ask_for(request, &bytes, 1000 * (round + 1) + block, tensor, block);
            check(raw_send_bytes(&raw, request, bytes));
        }
        for (uint32_t block = 0; block < BLOCKS; block++) {
            struct frame frame;
            usleep(2000);
            check(raw_receive(&raw, &frame, 16384, PATIENCE_MS) == RAW_FRAME);
            check(frame.header.request == 1000 * (round + 1) + block);
            uint64_t version = check_whole(&frame);
            highest = version > highest ? version : highest;
            lowest = version < lowest ? version : lowest;
        }
    }
    check(highest > lowest); /* the pusher went on meanwhile */
    stop_pusher(shared, process);
    raw_close(&raw);
    shared_free(shared, sizeof *shared);
    cluster_stop(cluster);
}

/* Asks for a gigabyte and reads nothing for a while: others go on, memory stays bounded; then it reads all, untorn. */
static void not_reading_costs_nobody(void **state) {
    (void)state;
    struct shared *shared = shared_alloc(sizeof *shared);
    struct pusher pusher;
    pid_t process;
    struct cluster *cluster = start_with_pusher(shared, &pusher, &process);
    struct raw raw;
    raw_open(&raw, cluster_servers(cluster), 0, NULL);
    uint64_t tensor = raw_find(&raw, "t");
    uint64_t before_kb = cluster_memory_kb(cluster, 0, "VmRSS");

    uint8_t *requests = malloc((size_t)FLOOD * 64);
    size_t bytes = 0, sent = 0;
    for (uint32_t i = 0; i < FLOOD; i++) {
        size_t one;
        uint8_t request[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
        ask_for(request, &one, 1000 + i, tensor, i % BLOCKS);
        check(one <= 64);
        memcpy(requests + bytes, request, one);
        bytes += one;
    }
    uint32_t pushes = atomic_load(&shared->pushes);
    uint64_t begun = now_ms();
    /* As long as it takes the pusher to go on, and a second and a half at least for the server to fill its memory. */
    while (now_ms() < begun + 1500 ||
           (atomic_load(&shared->pushes) < pushes + 2 && now_ms() < begun + 2 * PATIENCE_MS)) {
        sent += raw_send_some(&raw, requests + sent, bytes - sent);
        sleep_ms(5);
    }
    check(atomic_load(&shared->pushes) >= pushes + 2); /* not held up */
    uint64_t after_kb = cluster_memory_kb(cluster, 0, "VmRSS");
    if (after_kb > before_kb + 200u * 1024u)
        check_fail("the server grew from %llu to %llu kB for a client that does not read",
                   (unsigned long long)before_kb, (unsigned long long)after_kb);

    /* Some of it is read in the end; each block is whole. */
    uint32_t whole = 0;
    while (whole < 256) {
        struct frame frame;
        sent += raw_send_some(&raw, requests + sent, bytes - sent);
        check(raw_receive(&raw, &frame, 0, PATIENCE_MS) == RAW_FRAME);
        check_whole(&frame);
        whole++;
    }
    raw_close(&raw);
    /* The connection that went away in the middle disturbed nobody. */
    pushes = atomic_load(&shared->pushes);
    uint64_t end = now_ms() + 2 * PATIENCE_MS;
    while (atomic_load(&shared->pushes) < pushes + 2 && now_ms() < end)
        sleep_ms(5);
    check(atomic_load(&shared->pushes) >= pushes + 2);
    stop_pusher(shared, process);
    free(requests);
    shared_free(shared, sizeof *shared);
    cluster_stop(cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        integration_test(every_block_is_one_version),
        integration_test(not_reading_costs_nobody),
    };
    return cmocka_run_group_tests_name("slow_reader", tests, NULL, NULL);
}
