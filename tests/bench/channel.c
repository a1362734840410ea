/* What the channel costs beside the bare primitives it is made of, in the same run.
 *
 *     bench_channel [--json]
 *
 * Handshakes: CPU time of one side, from its first step to its established channel, beside the X25519, SHA-512,
 * HMAC-SHA-512, BLAKE2b and AEAD calls that XK prescribes for that side, made on fixed buffers. Records: sealing and
 * opening at three sizes beside the AEAD alone on buffers of the same sizes. Both are measured in turns; figures are
 * medians of the rounds, ratios medians of the rounds' ratios. */
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/channel.h"
#include "common/channel_noise.h"
#include "common/random.h"

#define ROUNDS      31
#define HANDSHAKES  20      /* in a round */
#define HELLO_BYTES 120     /* as a client's has */
#define BATCH_BYTES 100000  /* plaintext and what records add to it, opened between two looks at the clock */
#define ROUND_BYTES 4000000 /* plaintext in a round */

static bool json;

static void must(bool ok, const char *what) {
    if (!ok) {
        fprintf(stderr, "bench_channel: %s\n", what);
        exit(1);
    }
}

static double seconds_now(void) {
    struct timespec now;
    must(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0, "no clock");
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int compare(const void *left, const void *right) {
    const double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static double median(const double values[ROUNDS]) {
    double sorted[ROUNDS];
    memcpy(sorted, values, sizeof sorted);
    qsort(sorted, ROUNDS, sizeof sorted[0], compare);
    return sorted[ROUNDS / 2];
}

/* Seconds of each round, for one unit of work. */
struct times {
    double ours[ROUNDS], bare[ROUNDS];
};

static double ratio(const struct times *times) {
    double ratios[ROUNDS];
    for (size_t i = 0; i < ROUNDS; i++) {
        ratios[i] = times->ours[i] / times->bare[i];
    }
    return median(ratios);
}

/* ---- Handshakes -------------------------------------------------------------------------------------------------- */

struct conversation {
    enum channel_cipher cipher;
    struct key_pair client, server;
    uint8_t client_seed[KEY_BYTES], server_seed[KEY_BYTES], hello[HELLO_BYTES];
    uint8_t first[CHANNEL_FIRST_BYTES], second[CHANNEL_SECOND_BYTES], third[CHANNEL_THIRD_LIMIT_BYTES];
    size_t third_bytes;
};

static struct channel *initiate(struct conversation *c, bool record) {
    uint8_t first[CHANNEL_FIRST_BYTES], third[CHANNEL_THIRD_LIMIT_BYTES];
    size_t count;
    struct channel_handshake *handshake = channel_initiate(c->cipher, &c->client, c->server.public, c->client_seed);
    must(handshake != NULL && channel_write_first(handshake, first) == CANYON_OK, "no first message");
    if (record) { /* the server's part in it */
        struct channel_handshake *server = channel_respond(c->cipher, &c->server, c->server_seed);
        memcpy(c->first, first, sizeof first);
        must(server != NULL && channel_read_first(server, first) == CANYON_OK &&
                 channel_write_second(server, c->second) == CANYON_OK,
             "no second message");
        channel_handshake_destroy(server);
    }
    must(channel_read_second(handshake, c->second) == CANYON_OK &&
             channel_write_third(handshake, c->hello, HELLO_BYTES, third, &count) == CANYON_OK,
         "no third message");
    if (record) {
        memcpy(c->third, third, count);
        c->third_bytes = count;
    }
    struct channel *channel = channel_establish(handshake);
    channel_handshake_destroy(handshake);
    must(channel != NULL, "no channel");
    return channel;
}

static struct channel *respond(const struct conversation *c) {
    uint8_t second[CHANNEL_SECOND_BYTES], hello[CHANNEL_HELLO_LIMIT_BYTES], client[KEY_BYTES];
    size_t count;
    struct channel_handshake *handshake = channel_respond(c->cipher, &c->server, c->server_seed);
    must(handshake != NULL && channel_read_first(handshake, c->first) == CANYON_OK &&
             channel_write_second(handshake, second) == CANYON_OK &&
             channel_read_third(handshake, c->third, c->third_bytes, hello, &count, client) == CANYON_OK,
         "no handshake");
    struct channel *channel = channel_establish(handshake);
    channel_handshake_destroy(handshake);
    must(channel != NULL, "no channel");
    return channel;
}

static void conversation_make(struct conversation *c, enum channel_cipher cipher) {
    static const uint8_t base[KEY_BYTES] = {9};
    memset(c, 0, sizeof *c);
    c->cipher = cipher;
    random_fill(c->client.secret, KEY_BYTES);
    random_fill(c->server.secret, KEY_BYTES);
    must(channel_noise_exchange(c->client.public, c->client.secret, base) &&
             channel_noise_exchange(c->server.public, c->server.secret, base),
         "no keys");
    random_fill(c->client_seed, KEY_BYTES);
    random_fill(c->server_seed, KEY_BYTES);
    channel_destroy(initiate(c, true));
}

/* The bare AEAD with the sizes of a handshake's encryptions: each key serves one or two, so none is expanded
 * beforehand. */
struct bare {
    enum channel_cipher cipher;
    uint8_t key[32], ad[64], nonce[12], plain[HELLO_BYTES], point[KEY_BYTES];
    uint8_t sealed[3][HELLO_BYTES + CHANNEL_TAG_BYTES];
};
static const size_t bare_sizes[3] = {0, KEY_BYTES, HELLO_BYTES};

static void bare_seal(struct bare *bare, size_t which) {
    unsigned long long written;
    if (bare->cipher == CHANNEL_AES256GCM) {
        crypto_aead_aes256gcm_encrypt(bare->sealed[which], &written, bare->plain, bare_sizes[which], bare->ad, 64, NULL,
                                      bare->nonce, bare->key);
    } else {
        crypto_aead_chacha20poly1305_ietf_encrypt(bare->sealed[which], &written, bare->plain, bare_sizes[which],
                                                  bare->ad, 64, NULL, bare->nonce, bare->key);
    }
}

static void bare_open(struct bare *bare, size_t which) {
    const size_t count = bare_sizes[which] + CHANNEL_TAG_BYTES;
    unsigned long long written;
    int failed;
    if (bare->cipher == CHANNEL_AES256GCM) {
        failed = crypto_aead_aes256gcm_decrypt(bare->plain, &written, NULL, bare->sealed[which], count, bare->ad, 64,
                                               bare->nonce, bare->key);
    } else {
        failed = crypto_aead_chacha20poly1305_ietf_decrypt(bare->plain, &written, NULL, bare->sealed[which], count,
                                                           bare->ad, 64, bare->nonce, bare->key);
    }
    must(failed == 0, "the bare AEAD does not open");
}

static void bare_hash(size_t count) {
    static uint8_t hash[64], bytes[256];
    crypto_hash_sha512_state state;
    crypto_hash_sha512_init(&state);
    crypto_hash_sha512_update(&state, hash, sizeof hash);
    crypto_hash_sha512_update(&state, bytes, count);
    crypto_hash_sha512_final(&state, hash);
}

/* HKDF with two outputs: three HMACs. */
static void bare_derive(size_t count) {
    static uint8_t key[64], bytes[128];
    const size_t counts[3] = {count, 1, 65};
    for (size_t i = 0; i < 3; i++) {
        crypto_auth_hmacsha512_state state;
        crypto_auth_hmacsha512_init(&state, key, sizeof key);
        crypto_auth_hmacsha512_update(&state, bytes, counts[i]);
        crypto_auth_hmacsha512_final(&state, key);
    }
}

/* Everything that XK and mac1 prescribe for one side, whichever: prologue and key; e, es; e, ee; s, se; Split. The
 * sides differ in which of the encryptions they make and which they undo. */
static void bare_handshake(struct bare *bare, bool responder) {
    static uint8_t mac[32], bytes[48];
    static const size_t hashed[] = {27, 32, 32, 16, 32, 16, 48, 16 + HELLO_BYTES};
    uint8_t shared[KEY_BYTES];
    int failed = crypto_generichash(mac, 32, bytes, 36, NULL, 0);
    failed |= crypto_generichash(mac, 16, bytes, 48, mac, 32);
    for (size_t i = 0; i < sizeof hashed / sizeof hashed[0]; i++) {
        bare_hash(hashed[i]);
    }
    failed |= crypto_scalarmult_base(shared, bare->key);
    for (size_t i = 0; i < 3; i++) {
        failed |= crypto_scalarmult(shared, bare->key, bare->point);
        bare_derive(KEY_BYTES);
    }
    bare_derive(0);
    must(failed == 0, "the bare primitives fail");
    bare_seal(bare, 0);
    bare_open(bare, 0);
    for (size_t which = 1; which < 3; which++) {
        if (responder) {
            bare_open(bare, which);
        } else {
            bare_seal(bare, which);
        }
    }
}

static void measure_handshakes(struct conversation *c, bool responder, struct times *times) {
    struct bare bare = {.cipher = c->cipher};
    memcpy(bare.key, c->client_seed, sizeof bare.key);
    memcpy(bare.point, c->server.public, sizeof bare.point);
    for (size_t which = 0; which < 3; which++) {
        bare_seal(&bare, which);
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        double begin = seconds_now();
        for (int i = 0; i < HANDSHAKES; i++) {
            channel_destroy(responder ? respond(c) : initiate(c, false));
        }
        times->ours[round] = (seconds_now() - begin) / HANDSHAKES;
        begin = seconds_now();
        for (int i = 0; i < HANDSHAKES; i++) {
            bare_handshake(&bare, responder);
        }
        times->bare[round] = (seconds_now() - begin) / HANDSHAKES;
    }
}

static void report_handshakes(enum channel_cipher cipher, bool *first) {
    static const char *const sides[] = {"client", "server"};
    struct conversation c;
    conversation_make(&c, cipher);
    for (int side = 0; side < 2; side++) {
        struct times times;
        measure_handshakes(&c, side == 1, &times);
        const double ours = median(times.ours), bare = median(times.bare);
        if (json) {
            printf("%s\n  {\"cipher\": \"%s\", \"side\": \"%s\", \"us\": %.2f, \"bare_us\": %.2f, \"ratio\": %.4f}",
                   *first ? "" : ",", channel_cipher_name(cipher), sides[side], 1e6 * ours, 1e6 * bare, ratio(&times));
        } else {
            printf("%-17s %-7s %9.1f %9.1f %9.3f %12.0f\n", channel_cipher_name(cipher), sides[side], 1e6 * ours,
                   1e6 * bare, ratio(&times), 1 / ours);
        }
        *first = false;
    }
}

/* ---- Records ----------------------------------------------------------------------------------------------------- */

struct records {
    enum channel_cipher cipher;
    size_t size, batch, batches; /* plaintext of a record; records in a batch; batches in a round */
    struct channel *client, *server;
    _Alignas(16) crypto_aead_aes256gcm_state expanded;
    uint8_t key[32], nonce[12];
    uint8_t *plain, *sealed;
};

static void aead_seal(const struct records *r, const uint8_t *plain, uint8_t *out) {
    if (r->cipher == CHANNEL_AES256GCM) {
        crypto_aead_aes256gcm_encrypt_afternm(out, NULL, plain, r->size, NULL, 0, NULL, r->nonce, &r->expanded);
    } else {
        crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain, r->size, NULL, 0, NULL, r->nonce, r->key);
    }
}

static void aead_open(const struct records *r, const uint8_t *sealed, uint8_t *out) {
    const size_t count = r->size + CHANNEL_TAG_BYTES;
    int failed;
    if (r->cipher == CHANNEL_AES256GCM) {
        failed = crypto_aead_aes256gcm_decrypt_afternm(out, NULL, NULL, sealed, count, NULL, 0, r->nonce, &r->expanded);
    } else {
        failed = crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, count, NULL, 0, r->nonce, r->key);
    }
    must(failed == 0, "the bare AEAD does not open");
}

/* Seconds for a record: sealed one by one, and opened from what was received. */
static void ours(struct records *r, double *seals, double *opens) {
    const size_t each = r->size + CHANNEL_RECORD_BYTES;
    double sealing = 0, opening = 0;
    for (size_t b = 0; b < r->batches; b++) {
        uint8_t *at;
        size_t room, taken, got;
        channel_space(r->server, &at, &room);
        must(room >= r->batch * each, "no room");
        double begin = seconds_now();
        for (size_t i = 0; i < r->batch; i++) {
            const struct iovec slice = {r->plain + i * r->size, r->size};
            must(channel_seal(r->client, &slice, 1, 0, at + i * each, each, &taken) == each, "not sealed");
        }
        sealing += seconds_now() - begin;
        channel_received(r->server, r->batch * each);
        begin = seconds_now();
        for (size_t i = 0; i < r->batch; i++) {
            must(channel_read(r->server, r->plain + i * r->size, r->size, &got) == CHANNEL_BYTES && got == r->size,
                 "not opened");
        }
        opening += seconds_now() - begin;
    }
    *seals = sealing / (double)(r->batches * r->batch);
    *opens = opening / (double)(r->batches * r->batch);
}

static void bare(struct records *r, double *seals, double *opens) {
    const size_t each = r->size + CHANNEL_RECORD_BYTES;
    double sealing = 0, opening = 0;
    for (size_t b = 0; b < r->batches; b++) {
        double begin = seconds_now();
        for (size_t i = 0; i < r->batch; i++) {
            aead_seal(r, r->plain + i * r->size, r->sealed + i * each + CHANNEL_LENGTH_BYTES);
        }
        sealing += seconds_now() - begin;
        begin = seconds_now();
        for (size_t i = 0; i < r->batch; i++) {
            aead_open(r, r->sealed + i * each + CHANNEL_LENGTH_BYTES, r->plain + i * r->size);
        }
        opening += seconds_now() - begin;
    }
    *seals = sealing / (double)(r->batches * r->batch);
    *opens = opening / (double)(r->batches * r->batch);
}

static void print_records(const struct records *r, const char *what, const struct times *times, bool *first) {
    const double mine = median(times->ours), alone = median(times->bare);
    if (json) {
        printf("%s\n  {\"cipher\": \"%s\", \"bytes\": %zu, \"what\": \"%s\", \"records_per_second\": %.0f, "
               "\"gigabytes_per_second\": %.4f, \"bare_gigabytes_per_second\": %.4f, \"ratio\": %.4f}",
               *first ? "" : ",", channel_cipher_name(r->cipher), r->size, what, 1 / mine,
               1e-9 * (double)r->size / mine, 1e-9 * (double)r->size / alone, ratio(times));
    } else {
        printf("%-17s %6zu %-5s %12.0f %9.3f %9.3f %9.3f\n", channel_cipher_name(r->cipher), r->size, what, 1 / mine,
               1e-9 * (double)r->size / mine, 1e-9 * (double)r->size / alone, ratio(times));
    }
    *first = false;
}

static void report_records(enum channel_cipher cipher, size_t size, bool *first) {
    struct conversation c;
    struct records r = {.cipher = cipher, .size = size};
    struct times seals, opens;
    r.batch = BATCH_BYTES / (size + CHANNEL_RECORD_BYTES);
    r.batches = ROUND_BYTES / (r.batch * size);
    r.plain = calloc(r.batch, size);
    r.sealed = calloc(r.batch, size + CHANNEL_RECORD_BYTES);
    conversation_make(&c, cipher);
    r.client = initiate(&c, false);
    r.server = respond(&c);
    must(r.plain != NULL && r.sealed != NULL, "no memory");
    if (cipher == CHANNEL_AES256GCM) {
        must(crypto_aead_aes256gcm_beforenm(&r.expanded, r.key) == 0, "no key");
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        ours(&r, &seals.ours[round], &opens.ours[round]);
        bare(&r, &seals.bare[round], &opens.bare[round]);
    }
    print_records(&r, "seal", &seals, first);
    print_records(&r, "open", &opens, first);
    channel_destroy(r.client);
    channel_destroy(r.server);
    free(r.plain);
    free(r.sealed);
}

int main(int argc, char **argv) {
    static const size_t sizes[] = {64, 1024, CHANNEL_BULK_BYTES};
    struct error error;
    bool first = true;
    json = argc > 1 && strcmp(argv[1], "--json") == 0;
    must(argc == 1 || (argc == 2 && json), "usage: bench_channel [--json]");
    must(random_start(&error) == CANYON_OK, "cannot start");
    const int ciphers = channel_cipher_usable(CHANNEL_AES256GCM) ? 2 : 1;
    if (json) {
        printf("{\"handshakes\": [");
    } else {
        printf("one core, CPU time; medians of %d rounds\n\n%-17s %-7s %9s %9s %9s %12s\n", ROUNDS, "handshake", "side",
               "us", "bare us", "ratio", "per second");
    }
    for (int cipher = 0; cipher < ciphers; cipher++) {
        report_handshakes((enum channel_cipher)cipher, &first);
    }
    if (json) {
        printf("],\n\"records\": [");
    } else {
        printf("\n%-17s %6s %-5s %12s %9s %9s %9s\n", "records", "bytes", "", "per second", "GB/s", "bare GB/s",
               "time ratio");
    }
    first = true;
    for (int cipher = 0; cipher < ciphers; cipher++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            report_records((enum channel_cipher)cipher, sizes[i], &first);
        }
    }
    if (json) {
        printf("]}\n");
    }
    return 0;
}
