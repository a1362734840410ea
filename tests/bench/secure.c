/* What encryption costs a dense push_pull, beside the plaintext path and the bare AEAD.
 *
 *     bench_secure [--json] [--rounds N] [chacha20poly1305] [aes256gcm]
 *
 * A push_pull of 64 MiB of float32 as one tensor (Adam, blocks of 65,536) against a server of T threads. Every byte is
 * sealed once and opened once on its way: the client seals the gradient and opens the weights, the server opens the
 * one and seals the other. The client has a thread for each connection, so there are T client threads and T server
 * threads; both sides can work at once. The limit is therefore
 *
 *     time of the push_pull in plaintext + time of 2 T threads at once that each seal and open 1/T of the bytes
 *
 * in records of 32 KiB by libsodium's call and nothing else; on fewer than 2 T cores it counts that they share them.
 * Beside the clock's time stands the processor's, of both processes, with the limit likewise. All in turns: plaintext,
 * AEAD, encrypted, AEAD, and so on; ratios round by round; medians. 1 is as fast as the limit. */
#include <jansson.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bench/measure.h"
#include "tests/bench/served.h"

#define ELEMENTS     (16u << 20)
#define BYTES        ((size_t)ELEMENTS * sizeof(float))
#define BLOCK        65536
#define RECORD_BYTES 32768
#define TAG_BYTES    16
#define MOST_THREADS 2
#define MOST_ROUNDS  100

static float *gradient, *weights;

struct cost {
    double clock, processor; /* seconds */
};

static double own_cpu(void) {
    struct timespec now;
    bench_must(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0, "no clock");
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- the bare AEAD ---- */

struct sealer {
    enum served_channel channel;
    const uint8_t *bytes;
    size_t count;
    pthread_t thread;
    pthread_barrier_t *start;
};

static bool both_ways(enum served_channel channel, const crypto_aead_aes256gcm_state *expanded, const uint8_t *plain,
                      uint64_t number, uint8_t *sealed, uint8_t *opened) {
    static const uint8_t key[crypto_aead_chacha20poly1305_ietf_KEYBYTES] = {1};
    uint8_t nonce[12] = {0};
    memcpy(nonce + 4, &number, sizeof number);
    if (channel == SERVED_AES256GCM)
        return crypto_aead_aes256gcm_encrypt_afternm(sealed, NULL, plain, RECORD_BYTES, NULL, 0, NULL, nonce,
                                                     expanded) == 0 &&
               crypto_aead_aes256gcm_decrypt_afternm(opened, NULL, NULL, sealed, RECORD_BYTES + TAG_BYTES, NULL, 0,
                                                     nonce, expanded) == 0;
    return crypto_aead_chacha20poly1305_ietf_encrypt(sealed, NULL, plain, RECORD_BYTES, NULL, 0, NULL, nonce, key) ==
               0 &&
           crypto_aead_chacha20poly1305_ietf_decrypt(opened, NULL, NULL, sealed, RECORD_BYTES + TAG_BYTES, NULL, 0,
                                                     nonce, key) == 0;
}

static void *seal_and_open(void *user) {
    static const uint8_t key[crypto_aead_aes256gcm_KEYBYTES] = {1};
    const struct sealer *sealer = user;
    crypto_aead_aes256gcm_state expanded;
    uint8_t sealed[RECORD_BYTES + TAG_BYTES], opened[RECORD_BYTES];
    if (sealer->channel == SERVED_AES256GCM)
        (void)crypto_aead_aes256gcm_beforenm(&expanded, key);
    pthread_barrier_wait(sealer->start);
    for (size_t at = 0; at < sealer->count; at += RECORD_BYTES)
        bench_must(both_ways(sealer->channel, &expanded, sealer->bytes + at, at, sealed, opened), "the AEAD");
    return NULL;
}

static struct cost aead(enum served_channel channel, unsigned threads) {
    struct sealer sealers[2 * MOST_THREADS];
    pthread_barrier_t start;
    const unsigned count = 2 * threads;
    bench_must(pthread_barrier_init(&start, NULL, count + 1) == 0, "a barrier");
    for (unsigned i = 0; i < count; i++) {
        /* One half of them has the client's bytes, the other the server's. */
        const size_t share = BYTES / threads;
        const uint8_t *bytes = (const uint8_t *)(i < threads ? gradient : weights);
        sealers[i] =
            (struct sealer){.channel = channel, .bytes = bytes + i % threads * share, .count = share, .start = &start};
        bench_must(pthread_create(&sealers[i].thread, NULL, seal_and_open, &sealers[i]) == 0, "a thread");
    }
    const struct cost begin = {measure_now(), own_cpu()};
    pthread_barrier_wait(&start);
    for (unsigned i = 0; i < count; i++)
        pthread_join(sealers[i].thread, NULL);
    const struct cost cost = {measure_now() - begin.clock, own_cpu() - begin.processor};
    pthread_barrier_destroy(&start);
    return cost;
}

/* ---- push_pull ---- */

struct subject {
    struct served *server;
    canyon_client *client;
    canyon_tensor *tensor;
};

static void subject_open(struct subject *subject, enum served_channel channel, unsigned threads) {
    subject->server = served_start(channel, threads, BLOCK);
    subject->client = served_connect(subject->server, 0);
    subject->tensor = served_tensor(subject->client, "w", ELEMENTS, "adam");
    for (int i = 0; i < 2; i++)
        bench_must_ok(canyon_push_pull(subject->tensor, gradient, weights, 0), "push_pull");
}

static void subject_close(struct subject *subject) {
    canyon_tensor_close(subject->tensor);
    canyon_close(subject->client);
    served_stop(subject->server);
}

static struct cost push_pull(const struct subject *subject) {
    const struct cost begin = {measure_now(), own_cpu() + served_cpu(subject->server)};
    bench_must_ok(canyon_push_pull(subject->tensor, gradient, weights, 0), "push_pull");
    return (struct cost){measure_now() - begin.clock, own_cpu() + served_cpu(subject->server) - begin.processor};
}

/* ---- the comparison ---- */

struct times {
    double plain[MOST_ROUNDS], bare[MOST_ROUNDS], secure[MOST_ROUNDS], ratio[MOST_ROUNDS];
};

static void note(struct times *times, unsigned round, double plain, double bare, double secure) {
    times->plain[round] = plain;
    times->bare[round] = bare;
    times->secure[round] = secure;
    times->ratio[round] = (plain + bare) / secure;
}

static void report(const struct bench_words *words, enum served_channel channel, unsigned threads, const char *what,
                   struct times *times, json_t *rows) {
    const double plain = measure_median(times->plain, words->rounds), bare = measure_median(times->bare, words->rounds);
    const double secure = measure_median(times->secure, words->rounds);
    const double ratio = measure_median(times->ratio, words->rounds);
    const double low = measure_quantile(times->ratio, words->rounds, 0.25);
    const double high = measure_quantile(times->ratio, words->rounds, 0.75);
    if (words->json)
        bench_must(
            json_array_append_new(rows, json_pack("{s:s,s:i,s:s,s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "cipher",
                                                  served_channel_name(channel), "threads", (int)threads, "time", what,
                                                  "plain_ms", 1e3 * plain, "aead_ms", 1e3 * bare, "encrypted_ms",
                                                  1e3 * secure, "gb_per_second", 2e-9 * (double)BYTES / secure, "ratio",
                                                  ratio, "ratio_low", low, "ratio_high", high)) == 0,
            "memory");
    else
        printf("%-17s T%u  %-9s %9.1f %9.1f %10.1f %7.2f %7.2f  %.2f to %.2f\n", served_channel_name(channel), threads,
               what, 1e3 * plain, 1e3 * bare, 1e3 * secure, 2e-9 * (double)BYTES / secure, ratio, low, high);
    fflush(stdout);
}

static void compare(const struct bench_words *words, enum served_channel channel, unsigned threads, json_t *rows) {
    static struct times clock_times, processor_times;
    struct subject plain, secure;
    subject_open(&plain, SERVED_PLAINTEXT, threads);
    subject_open(&secure, channel, threads);
    struct cost before = aead(channel, threads);
    for (unsigned round = 0; round < words->rounds; round++) {
        const struct cost plainly = push_pull(&plain), encrypted = push_pull(&secure), after = aead(channel, threads);
        note(&clock_times, round, plainly.clock, (before.clock + after.clock) / 2, encrypted.clock);
        note(&processor_times, round, plainly.processor, (before.processor + after.processor) / 2, encrypted.processor);
        before = after;
    }
    report(words, channel, threads, "clock", &clock_times, rows);
    report(words, channel, threads, "processor", &processor_times, rows);
    subject_close(&plain);
    subject_close(&secure);
}

int main(int argc, char **argv) {
    struct bench_words words = {.rounds = 21};
    json_t *rows = json_array();
    bench_words_read(&words, argc, argv, "usage: bench_secure [--json] [--rounds N] [chacha20poly1305] [aes256gcm]");
    gradient = malloc(BYTES);
    weights = malloc(BYTES);
    bench_must(words.rounds <= MOST_ROUNDS && rows != NULL && gradient != NULL && weights != NULL && sodium_init() >= 0,
               "memory");
    for (size_t i = 0; i < ELEMENTS; i++)
        gradient[i] = weights[i] = (float)(i % 251) * 0.001f - 0.1f;
    if (!words.json)
        printf("push_pull of %zu MiB, adam, blocks of %d; medians of %u rounds; ms; GB/s both ways; quartiles\n\n%-17s "
               "%-3s %-9s %9s %9s %10s %7s %7s\n",
               BYTES >> 20, BLOCK, words.rounds, "cipher", "", "time", "plaintext", "AEAD", "encrypted", "GB/s",
               "ratio");
    for (enum served_channel channel = SERVED_CHACHA20POLY1305; channel < SERVED_CHANNELS; channel++) {
        if (!bench_words_ask(&words, served_channel_name(channel)))
            continue;
        if (channel == SERVED_AES256GCM && !crypto_aead_aes256gcm_is_available()) {
            puts("SKIPPED: this CPU has no instructions for AES");
            continue;
        }
        for (unsigned threads = 1; threads <= MOST_THREADS; threads++)
            compare(&words, channel, threads, rows);
    }
    if (words.json)
        bench_must(json_dumpf(rows, stdout, JSON_INDENT(1)) == 0 && puts("") >= 0, "printing");
    json_decref(rows);
    free(gradient);
    free(weights);
    return 0;
}
