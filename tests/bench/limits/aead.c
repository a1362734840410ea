/* The limit of encryption: libsodium's AEAD over as many bytes as a push_pull of them has sealed and opened.
 *
 * The client seals the gradient and opens the weights, the server opens the one and seals the other. So for each of T
 * connections a client's thread and a server's thread seal and open a share of the bytes each, in records of 32 KiB,
 * all 2 T of them at once: on 2 T cores that takes as long as two passes over the bytes on T threads, on fewer it
 * counts that they share them. With --sides 1 only one side's T threads work.
 *
 * Figures of a round, in nanoseconds: its time, and the processor's. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limit.h"

#define MOST_THREADS 128
#define RECORD       ((size_t)32768)
#define TAG          16

struct worker {
    struct limit *limit;
    const unsigned char *bytes;
    size_t count;
    pthread_t thread;
};

struct limit {
    int aes, first_core; /* the core or -1 */
    size_t threads;
    struct worker workers[MOST_THREADS];
    pthread_barrier_t start, done;
};

static int both_ways(int aes, const crypto_aead_aes256gcm_state *expanded, const unsigned char *plain, size_t bytes,
                     uint64_t number, unsigned char *sealed, unsigned char *opened) {
    static const unsigned char key[crypto_aead_chacha20poly1305_ietf_KEYBYTES] = {1};
    unsigned char nonce[12] = {0};
    memcpy(nonce + 4, &number, sizeof number);
    if (aes)
        return crypto_aead_aes256gcm_encrypt_afternm(sealed, NULL, plain, bytes, NULL, 0, NULL, nonce, expanded) == 0 &&
               crypto_aead_aes256gcm_decrypt_afternm(opened, NULL, NULL, sealed, bytes + TAG, NULL, 0, nonce,
                                                     expanded) == 0;
    return crypto_aead_chacha20poly1305_ietf_encrypt(sealed, NULL, plain, bytes, NULL, 0, NULL, nonce, key) == 0 &&
           crypto_aead_chacha20poly1305_ietf_decrypt(opened, NULL, NULL, sealed, bytes + TAG, NULL, 0, nonce, key) == 0;
}

static void work(const struct worker *worker) {
    static const unsigned char key[crypto_aead_aes256gcm_KEYBYTES] = {1};
    crypto_aead_aes256gcm_state expanded;
    unsigned char sealed[RECORD + TAG], opened[RECORD];
    if (worker->limit->aes)
        (void)crypto_aead_aes256gcm_beforenm(&expanded, key);
    for (size_t at = 0; at < worker->count; at += RECORD) {
        const size_t bytes = worker->count - at < RECORD ? worker->count - at : RECORD;
        if (!both_ways(worker->limit->aes, &expanded, worker->bytes + at, bytes, at, sealed, opened))
            limit_fail("a record that was sealed does not open");
    }
}

static void *drive(void *user) {
    const struct worker *worker = user;
    limit_pin(worker->limit->first_core, (size_t)(worker - worker->limit->workers));
    for (;;) {
        pthread_barrier_wait(&worker->limit->start);
        work(worker);
        pthread_barrier_wait(&worker->limit->done);
    }
    return NULL;
}

static void pass(void *user, double *figures) {
    struct limit *limit = user;
    const uint64_t processor = limit_cpu(), begin = limit_now();
    pthread_barrier_wait(&limit->start);
    work(&limit->workers[0]);
    pthread_barrier_wait(&limit->done);
    figures[0] = (double)(limit_now() - begin);
    figures[1] = (double)(limit_cpu() - processor);
}

int main(int argc, char **argv) {
    enum { THREADS, SIDES, BYTES, CIPHER, CORE, ROUNDS, OPTIONS };
    struct limit_option options[OPTIONS] = {
        [THREADS] = {"threads", "1", "connections, each with a thread on either side"},
        [SIDES] = {"sides", "2", "1: only one side works; 2: both at once"},
        [BYTES] = {"bytes", "67108864", "that each side seals, and opens"},
        [CIPHER] = {"cipher", "chacha20poly1305", "or aes256gcm"},
        [CORE] = {"core", "", "core to pin the first thread to, the next ones to the next"},
        [ROUNDS] = {"rounds", "0", "rounds to do"},
    };
    static struct limit limit;
    static const char *const names[] = {"round", "CPU"};
    limit_options(options, OPTIONS, argc, argv,
                  "limit_aead: libsodium's AEAD, sealing and opening in records of 32 KiB");
    const size_t connections = limit_number(&options[THREADS], 1, MOST_THREADS / 2);
    const size_t bytes = limit_number(&options[BYTES], connections, (uint64_t)1 << 34);
    limit.threads = connections * limit_number(&options[SIDES], 1, 2);
    limit.first_core = limit_core(&options[CORE]);
    limit_pin(limit.first_core, 0);
    limit_must(sodium_init() >= 0, "libsodium");
    limit.aes = strcmp(options[CIPHER].value, "aes256gcm") == 0;
    if (!limit.aes && strcmp(options[CIPHER].value, "chacha20poly1305") != 0)
        limit_fail("--cipher %s: chacha20poly1305 or aes256gcm", options[CIPHER].value);
    if (limit.aes && !crypto_aead_aes256gcm_is_available())
        limit_fail("this CPU has no instructions for AES");
    limit_must(pthread_barrier_init(&limit.start, NULL, (unsigned)limit.threads) == 0 &&
                   pthread_barrier_init(&limit.done, NULL, (unsigned)limit.threads) == 0,
               "a barrier");
    unsigned char *memory = limit_memory(bytes);
    memset(memory, 1, bytes);
    for (size_t i = 0; i < limit.threads; i++) {
        const size_t part = i % connections;
        const size_t begin = bytes * part / connections, end = bytes * (part + 1) / connections;
        limit.workers[i] = (struct worker){.limit = &limit, .bytes = memory + begin, .count = end - begin};
        if (i > 0)
            limit_must(pthread_create(&limit.workers[i].thread, NULL, drive, &limit.workers[i]) == 0, "a thread");
    }
    printf("ready %s, %zu threads\n", options[CIPHER].value, limit.threads);
    limit_serve(pass, &limit, names, 2, limit_number(&options[ROUNDS], 0, LIMIT_ROUNDS));
    return 0;
}
