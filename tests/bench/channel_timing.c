/* Whether the time in which the channel refuses something tells where it was wrong.
 *
 *     bench_channel_timing [SAMPLES]      300,000 for each path without an argument
 *
 * In the manner of dudect (Reparaz, Balasch, Verbauwhede 2016): inputs of two classes are refused in random order from
 * the same buffer, every refusal is timed, and Welch's t says whether the classes' means differ; t is also taken of the
 * fastest 50 to 99 % alone, where interrupts do not blur it, and the largest is reported. |t| above 4.5 is worth a
 * second run, above 10 a leak: exit status 1. The first line is a control that leaks on purpose (a comparison that ends
 * at the first difference) and must be found. */
#include <math.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/channel.h"
#include "common/channel_noise.h"
#include "common/random.h"

#define MAC_BYTES   16
#define THIRD_BYTES (KEY_BYTES + 2 * CHANNEL_TAG_BYTES + 100)
#define BULK_BYTES  1024
#define INPUTS      64 /* of a class */
#define LEAK        10.0

static void must(bool ok, const char *what) {
    if (!ok) {
        fprintf(stderr, "bench_channel_timing: %s\n", what);
        exit(2);
    }
}

static double nanoseconds(void) {
    struct timespec now;
    must(clock_gettime(CLOCK_MONOTONIC, &now) == 0, "no clock");
    return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

/* ---- Paths ------------------------------------------------------------------------------------------------------- */

static struct key_pair client, server;
static uint8_t first[CHANNEL_FIRST_BYTES], input[BULK_BYTES + CHANNEL_TAG_BYTES], output[BULK_BYTES];
static uint8_t third[THIRD_BYTES], sealed[BULK_BYTES + CHANNEL_TAG_BYTES];
static struct channel_noise before_first, before_third;
static struct channel_cipher_state receives;
static _Alignas(16) uint8_t expanded[CHANNEL_CIPHER_PREPARED_BYTES];

/* One way of being refused. `prepare` makes an input of a class (0 or 1); `refuse` is timed and returns true when the
 * input was refused. */
struct path {
    const char *name;
    unsigned divisor; /* of the samples: it takes so much longer */
    void (*prepare)(unsigned class, uint8_t *bytes);
    bool (*refuse)(void);
};

static void prepare_mac(unsigned class, uint8_t *bytes) {
    memcpy(bytes, first, sizeof first);
    bytes[class == 0 ? 0 : MAC_BYTES - 1] ^= 1;
}

static bool refuse_leaking(void) {
    for (size_t i = 0; i < MAC_BYTES; i++) {
        if (*(volatile uint8_t *)&input[i] != first[i]) {
            return true;
        }
    }
    return false;
}

static bool refuse_mac(void) {
    return !channel_first_plausible(server.public, input);
}

/* A fixed ephemeral key or a random one, with a tag that is wrong: what the responder's secret does with it. */
static void prepare_ephemeral(unsigned class, uint8_t *bytes) {
    memcpy(bytes, first + MAC_BYTES, CHANNEL_FIRST_BYTES - MAC_BYTES);
    if (class == 1) {
        random_fill(bytes, KEY_BYTES);
    }
    bytes[KEY_BYTES] ^= 1;
}

static bool refuse_ephemeral(void) {
    struct channel_noise noise = before_first;
    return !channel_noise_read(&noise, input, CHANNEL_FIRST_BYTES - MAC_BYTES, NULL);
}

static void prepare_third_tag(unsigned class, uint8_t *bytes) {
    memcpy(bytes, third, sizeof third);
    bytes[class == 0 ? KEY_BYTES : KEY_BYTES + CHANNEL_TAG_BYTES - 1] ^= 1;
}

static void prepare_third_key(unsigned class, uint8_t *bytes) {
    memcpy(bytes, third, sizeof third);
    bytes[class == 0 ? 0 : KEY_BYTES - 1] ^= 1;
}

static bool refuse_third(void) {
    struct channel_noise noise = before_third;
    return !channel_noise_read(&noise, input, sizeof third, output);
}

static void prepare_record_tag(unsigned class, uint8_t *bytes) {
    memcpy(bytes, sealed, sizeof sealed);
    bytes[class == 0 ? BULK_BYTES : BULK_BYTES + CHANNEL_TAG_BYTES - 1] ^= 1;
}

static void prepare_record_text(unsigned class, uint8_t *bytes) {
    memcpy(bytes, sealed, sizeof sealed);
    bytes[class == 0 ? 0 : BULK_BYTES - 1] ^= 1;
}

/* Its last byte wrong, or all of it random. */
static void prepare_record_random(unsigned class, uint8_t *bytes) {
    memcpy(bytes, sealed, sizeof sealed);
    if (class == 1) {
        random_fill(bytes, sizeof sealed);
    }
    bytes[BULK_BYTES + CHANNEL_TAG_BYTES - 1] ^= 1;
}

static bool refuse_record(void) {
    return !channel_cipher_open(&receives, NULL, 0, input, sizeof sealed, output);
}

static const struct path control = {"control: a comparison that leaks", 1, prepare_mac, refuse_leaking};
static const struct path paths[] = {
    {"first message: mac1 wrong at its beginning or end", 1, prepare_mac, refuse_mac},
    {"first message: e fixed or random, wrong tag", 10, prepare_ephemeral, refuse_ephemeral},
    {"third message: tag wrong at its beginning or end", 1, prepare_third_tag, refuse_third},
    {"third message: key wrong at its beginning or end", 1, prepare_third_key, refuse_third},
    {"record: tag wrong at its beginning or end", 1, prepare_record_tag, refuse_record},
    {"record: text wrong at its beginning or end", 1, prepare_record_text, refuse_record},
    {"record: last byte wrong or all random", 1, prepare_record_random, refuse_record},
};

/* What an honest client would have sent, and the responder's state before it. */
static void paths_make(enum channel_cipher cipher) {
    static const uint8_t base[KEY_BYTES] = {9}, prologue[27] = "CANYON/1\0client\0server\0\1\0\0", hello[100];
    uint8_t seed[KEY_BYTES], second[CHANNEL_SECOND_BYTES], key[CHANNEL_CIPHER_KEY_BYTES];
    struct channel_noise initiator;
    random_fill(client.secret, KEY_BYTES);
    random_fill(server.secret, KEY_BYTES);
    must(channel_noise_exchange(client.public, client.secret, base) &&
             channel_noise_exchange(server.public, server.secret, base),
         "no keys");
    random_fill(seed, sizeof seed);
    struct channel_handshake *handshake = channel_initiate(cipher, &client, server.public, seed);
    must(handshake != NULL && channel_write_first(handshake, first) == CANYON_OK, "no first message");
    channel_handshake_destroy(handshake);
    channel_noise_init(&initiator, cipher, CHANNEL_NOISE_INITIATOR, prologue, sizeof prologue, &client, server.public,
                       seed);
    random_fill(seed, sizeof seed);
    channel_noise_init(&before_first, cipher, CHANNEL_NOISE_RESPONDER, prologue, sizeof prologue, &server, NULL, seed);
    before_third = before_first;
    must(channel_noise_write(&initiator, NULL, 0, input) &&
             memcmp(input, first + MAC_BYTES, CHANNEL_FIRST_BYTES - MAC_BYTES) == 0 &&
             channel_noise_read(&before_third, input, CHANNEL_FIRST_BYTES - MAC_BYTES, NULL) &&
             channel_noise_write(&before_third, NULL, 0, second) &&
             channel_noise_read(&initiator, second, sizeof second, NULL) &&
             channel_noise_write(&initiator, hello, sizeof hello, third),
         "no handshake");
    random_fill(key, sizeof key);
    channel_cipher_start(&receives, cipher, key, expanded);
    must(channel_cipher_seal(&receives, NULL, 0, output, BULK_BYTES, sealed), "no record");
    receives.counter = 0;
}

/* ---- Statistics -------------------------------------------------------------------------------------------------- */

struct sample {
    double time;
    unsigned class;
};

static int compare(const void *left, const void *right) {
    const double a = ((const struct sample *)left)->time, b = ((const struct sample *)right)->time;
    return a < b ? -1 : a > b;
}

/* Welch's t of the classes among samples up to a time. */
static double welch(const struct sample *samples, size_t count, double limit) {
    double n[2] = {0}, mean[2] = {0}, squares[2] = {0};
    for (size_t i = 0; i < count; i++) {
        if (samples[i].time <= limit) {
            const unsigned class = samples[i].class;
            const double delta = samples[i].time - mean[class];
            n[class] += 1;
            mean[class] += delta / n[class];
            squares[class] += delta * (samples[i].time - mean[class]);
        }
    }
    const double error = squares[0] / (n[0] - 1) / n[0] + squares[1] / (n[1] - 1) / n[1];
    return n[0] < 100 || n[1] < 100 || error <= 0 ? 0 : (mean[0] - mean[1]) / sqrt(error);
}

/* All inputs are made beforehand and copied alike: what a class takes to make must not be seen in what it takes to
 * refuse. */
static double measure(const struct path *path, struct sample *samples, size_t count) {
    static uint8_t pool[INPUTS][2][sizeof input];
    static const double shares[] = {0.5, 0.75, 0.9, 0.95, 0.99, 1};
    double largest = 0;
    for (size_t i = 0; i < 2 * INPUTS; i++) {
        path->prepare(i % 2, pool[i / 2][i % 2]);
    }
    for (size_t i = 0; i < count; i++) {
        const uint32_t draw = randombytes_uniform(2 * INPUTS);
        samples[i].class = draw % 2;
        memcpy(input, pool[draw / 2][draw % 2], sizeof input);
        __sync_synchronize();
        const double begin = nanoseconds();
        const bool refused = path->refuse();
        samples[i].time = nanoseconds() - begin;
        must(refused, "something wrong is accepted");
    }
    qsort(samples, count, sizeof samples[0], compare);
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        const double t = welch(samples, count, samples[(size_t)(shares[i] * (double)(count - 1))].time);
        largest = fabs(t) > fabs(largest) ? t : largest;
    }
    return largest;
}

static double report(const struct path *path, struct sample *samples, size_t count) {
    const double t = measure(path, samples, count);
    printf("  %-52s %8zu %9.0f %8.2f  %s\n", path->name, count, samples[count / 2].time, t,
           fabs(t) > LEAK  ? "differs"
           : fabs(t) > 4.5 ? "run again"
                           : "");
    fflush(stdout);
    return fabs(t);
}

int main(int argc, char **argv) {
    const size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 300000;
    struct error error;
    bool leaks = false;
    must(count >= 10000 && argc <= 2, "usage: bench_channel_timing [SAMPLES], at least 10000");
    must(random_start(&error) == CANYON_OK, "cannot start");
    struct sample *samples = calloc(count, sizeof *samples);
    must(samples != NULL, "no memory");
    printf("  %-52s %8s %9s %8s\n", "", "samples", "median ns", "t");
    for (int cipher = 0; cipher < 2; cipher++) {
        if (!channel_cipher_usable((enum channel_cipher)cipher)) {
            printf("SKIPPED: no instructions for %s\n", channel_cipher_name((enum channel_cipher)cipher));
            continue;
        }
        printf("%s\n", channel_cipher_name((enum channel_cipher)cipher));
        paths_make((enum channel_cipher)cipher);
        must(report(&control, samples, count) > LEAK, "the control's leak was not found: too few samples?");
        for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
            leaks |= report(&paths[i], samples, count / paths[i].divisor) > LEAK;
        }
    }
    free(samples);
    return leaks;
}
