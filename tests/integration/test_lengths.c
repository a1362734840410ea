/* Lengths that a client announces and does not send, or that are nonsense: they cost the server no memory. */
#include "tests/integration/harness.h"

#include <stdio.h>
#include <string.h>

#include "tests/integration/raw.h"

#define STRANGERS 300
#define CLIENTS   100
#define BLOCK     65536
/* Far below what was announced: each client's 1 MiB, and 4 GiB of those that announce too much. What is taken for a
 * connection itself (scratch memory, mostly untouched) has room, and so has what a sanitizer keeps beside memory. */
#if defined(__SANITIZE_THREAD__)
#define BOUND_KB (256u * 1024u)
#else
#define BOUND_KB (32u * 1024u)
#endif

static struct raw raws[STRANGERS > CLIENTS ? STRANGERS : CLIENTS];

static uint64_t resident(const struct cluster *cluster) {
    return cluster_memory_kb(cluster, 0, "VmRSS");
}

static void check_growth(const struct cluster *cluster, uint64_t before_kb, const char *what) {
    uint64_t now_kb = resident(cluster);
    printf("%s: %llu kB before, %llu kB after\n", what, (unsigned long long)before_kb, (unsigned long long)now_kb);
    if (now_kb > before_kb + BOUND_KB)
        check_fail("%s: the server grew from %llu to %llu kB", what, (unsigned long long)before_kb,
                   (unsigned long long)now_kb);
}

static void header_only(struct raw *raw, uint16_t type, uint32_t message_bytes, uint32_t payload_bytes) {
    struct frame_header header = {
        .type = type, .message_bytes = message_bytes, .payload_bytes = payload_bytes, .request = 9};
    uint8_t bytes[FRAME_HEADER_BYTES];
    frame_header_encode(&header, bytes);
    check(raw_send_bytes(raw, bytes, sizeof bytes));
}

/* A header, the whole message, and nothing of the payload that the header announces: a buffer is made for it. */
static void payload_to_come(struct raw *raw) {
    struct message_pieces pieces = {.count = 4,
                                    .pieces = {{.tensor = 1, .block = 0, .elements = BLOCK},
                                               {.tensor = 1, .block = 1, .elements = BLOCK},
                                               {.tensor = 1, .block = 2, .elements = BLOCK},
                                               {.tensor = 1, .block = 3, .elements = BLOCK}}};
    uint8_t message[LIMIT_MESSAGE_BYTES];
    uint32_t count = (uint32_t)message_pack_pieces(&pieces, message);
    header_only(raw, FRAME_PUSH, count, 4 * BLOCK * sizeof(float));
    check(raw_send_bytes(raw, message, count));
}

/* The server is there for others all the while. */
static void still_serves(const struct cluster *cluster) {
    canyon_client *client = client_connect(cluster_servers(cluster));
    struct canyon_tensor_info *infos = NULL;
    size_t count = 0;
    check_ok(canyon_tensor_list(client, PATIENCE_MS, &infos, &count));
    canyon_free(infos);
    canyon_close(client);
}

static void close_all(size_t count) {
    for (size_t i = 0; i < count; i++)
        raw_close(&raws[i]);
}

static void announced_and_not_sent(void **state) {
    (void)state;
    struct cluster_options options = {.block = BLOCK};
    struct cluster *cluster = cluster_start(&options);
    still_serves(cluster);
    uint64_t before_kb = resident(cluster);
    for (size_t i = 0; i < STRANGERS; i++) {
        raw_connect(&raws[i], cluster_servers(cluster), 0);
        header_only(&raws[i], FRAME_HELLO, LIMIT_MESSAGE_BYTES, 0);
    }
    still_serves(cluster);
    check_growth(cluster, before_kb, "strangers with a hello of 4 KiB to come");
    close_all(STRANGERS);
    for (size_t i = 0; i < CLIENTS; i++) {
        raw_open(&raws[i], cluster_servers(cluster), 0, NULL);
        payload_to_come(&raws[i]);
    }
    still_serves(cluster);
    check_growth(cluster, before_kb, "clients with a payload of 1 MiB to come");
    close_all(CLIENTS);
    cluster_stop(cluster);
}

static void announced_beyond_every_limit(void **state) {
    (void)state;
    static const struct {
        uint32_t message, payload;
    } lengths[] = {{LIMIT_MESSAGE_BYTES + 1, 0},     {UINT32_MAX, 0}, {0x80000000u, 0},
                   {0, FRAME_PAYLOAD_LIMIT + 1},     {0, UINT32_MAX}, {0, 0x80000000u},
                   {0, 4 * BLOCK * 4 + 1},           {0, 0x7fffffff}, {UINT32_MAX, UINT32_MAX},
                   {LIMIT_MESSAGE_BYTES, UINT32_MAX}};
    struct cluster_options options = {.block = BLOCK};
    struct cluster *cluster = cluster_start(&options);
    still_serves(cluster);
    uint64_t before_kb = resident(cluster);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct error error = {.status = CANYON_OK};
        raw_open(&raws[0], cluster_servers(cluster), 0, NULL);
        header_only(&raws[0], FRAME_PUSH, lengths[i].message, lengths[i].payload);
        check(raw_ends(&raws[0], &error, PATIENCE_MS / 2));
        if (error.status != CANYON_TOO_LARGE)
            check_fail("lengths %u and %u: %s: %s", lengths[i].message, lengths[i].payload,
                       canyon_status_name(error.status), error.text);
        raw_close(&raws[0]);
    }
    still_serves(cluster);
    check_growth(cluster, before_kb, "lengths beyond every limit");
    cluster_stop(cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        integration_test(announced_and_not_sent),
        integration_test(announced_beyond_every_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
