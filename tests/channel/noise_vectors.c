/* Runs published test vectors of the Noise Protocol Framework against the channel's handshake and cipher.
 *
 *     noise_vectors FILE
 *
 * FILE is JSON as cacophony and snow publish it: an object with a list "vectors", each with "protocol_name" (or
 * "name"), prologues, keys, and "messages" with "payload" and "ciphertext", in hexadecimal. Runs those of XK, 25519,
 * SHA512 and either cipher without pre-shared keys, on both sides, every byte compared; the others are counted as
 * skipped. Further fields are ignored; "handshake_hash" is compared where there is one. Exit status 0 when at least one
 * ran and none failed, 1 when one failed or none ran, 2 when FILE cannot be read. */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/channel_noise.h"
#include "common/random.h"
#include "common/secret.h"

#define MESSAGE_BYTES CHANNEL_NOISE_MESSAGE_LIMIT

/* Bytes of one hexadecimal text. */
struct bytes {
    uint8_t at[MESSAGE_BYTES];
    size_t count;
};

/* One side of a conversation. */
struct side {
    struct key_pair own;
    struct channel_noise noise;
    struct channel_cipher_state sends, receives;
};

/* Of one vector at a time; too large for the stack. */
struct run {
    const char *name;
    size_t index;
    struct bytes payload, ciphertext, field;
    uint8_t made[MESSAGE_BYTES], read[MESSAGE_BYTES];
    struct side sides[2]; /* initiator, responder */
};

static bool complain(const struct run *run, const char *what) {
    printf("vector %zu, %s: %s\n", run->index, run->name, what);
    return false;
}

static int digit(char c) {
    static const char digits[] = "0123456789abcdef";
    const char *at = c == '\0' ? NULL : strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
    return at == NULL ? -1 : (int)(at - digits);
}

/* A missing field has no bytes. */
static bool read_hex(const json_t *object, const char *field, struct bytes *bytes) {
    const json_t *value = json_object_get(object, field);
    bytes->count = 0;
    if (value == NULL || json_is_null(value)) {
        return true;
    }
    const char *text = json_string_value(value);
    const size_t length = text == NULL ? 1 : strlen(text);
    if (length % 2 != 0 || length / 2 > sizeof bytes->at) {
        return false;
    }
    for (size_t i = 0; i < length; i += 2) {
        const int high = digit(text[i]), low = digit(text[i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        bytes->at[bytes->count++] = (uint8_t)(high * 16 + low);
    }
    return true;
}

static bool read_key(struct run *run, const json_t *vector, const char *field, uint8_t key[KEY_BYTES]) {
    if (!read_hex(vector, field, &run->field) || run->field.count != KEY_BYTES) {
        printf("vector %zu, %s: %s is not a key\n", run->index, run->name, field);
        return false;
    }
    memcpy(key, run->field.at, KEY_BYTES);
    return true;
}

static bool read_own(struct run *run, const json_t *vector, const char *field, struct key_pair *own) {
    static const uint8_t base[KEY_BYTES] = {9};
    return read_key(run, vector, field, own->secret) && channel_noise_exchange(own->public, own->secret, base);
}

static bool start(struct run *run, const json_t *vector, enum channel_cipher cipher) {
    struct side *initiator = &run->sides[0], *responder = &run->sides[1];
    uint8_t remote[KEY_BYTES], ephemeral[KEY_BYTES];
    bool ok =
        read_own(run, vector, "init_static", &initiator->own) && read_own(run, vector, "resp_static", &responder->own);
    memcpy(remote, responder->own.public, KEY_BYTES);
    if (ok && json_object_get(vector, "init_remote_static") != NULL) {
        ok = read_key(run, vector, "init_remote_static", remote);
    }
    ok = ok && read_key(run, vector, "init_ephemeral", ephemeral);
    if (!ok || !read_hex(vector, "init_prologue", &run->field)) {
        return complain(run, "no keys or prologue of the initiator");
    }
    channel_noise_init(&initiator->noise, cipher, CHANNEL_NOISE_INITIATOR, run->field.at, run->field.count,
                       &initiator->own, remote, ephemeral);
    ok = read_key(run, vector, "resp_ephemeral", ephemeral);
    if (!ok || !read_hex(vector, "resp_prologue", &run->field)) {
        return complain(run, "no keys or prologue of the responder");
    }
    channel_noise_init(&responder->noise, cipher, CHANNEL_NOISE_RESPONDER, run->field.at, run->field.count,
                       &responder->own, NULL, ephemeral);
    return true;
}

static bool handshake_message(struct run *run, struct side *writer, struct side *reader) {
    const size_t count = channel_noise_least(&writer->noise) + run->payload.count;
    if (count > MESSAGE_BYTES || !channel_noise_write(&writer->noise, run->payload.at, run->payload.count, run->made)) {
        return complain(run, "a handshake message cannot be written");
    }
    if (count != run->ciphertext.count || memcmp(run->made, run->ciphertext.at, count) != 0) {
        return complain(run, "a handshake message is not the published one");
    }
    if (!channel_noise_read(&reader->noise, run->ciphertext.at, count, run->read)) {
        return complain(run, "the published handshake message cannot be read");
    }
    return memcmp(run->read, run->payload.at, run->payload.count) == 0 ||
           complain(run, "a handshake payload was read as something else");
}

static bool transport_message(struct run *run, struct side *writer, struct side *reader) {
    const size_t count = run->payload.count + CHANNEL_TAG_BYTES;
    if (count > MESSAGE_BYTES ||
        !channel_cipher_seal(&writer->sends, NULL, 0, run->payload.at, run->payload.count, run->made)) {
        return complain(run, "a transport message cannot be written");
    }
    if (count != run->ciphertext.count || memcmp(run->made, run->ciphertext.at, count) != 0) {
        return complain(run, "a transport message is not the published one");
    }
    if (!channel_cipher_open(&reader->receives, NULL, 0, run->ciphertext.at, count, run->read)) {
        return complain(run, "the published transport message cannot be read");
    }
    return memcmp(run->read, run->payload.at, run->payload.count) == 0 ||
           complain(run, "a transport payload was read as something else");
}

static bool split(struct run *run, const json_t *vector) {
    if (!read_hex(vector, "handshake_hash", &run->field)) {
        return complain(run, "handshake_hash is not hexadecimal");
    }
    for (int i = 0; i < 2; i++) {
        struct side *side = &run->sides[i];
        channel_noise_split(&side->noise, &side->sends, NULL, &side->receives, NULL);
        if (run->field.count != 0 && (run->field.count != CHANNEL_NOISE_HASH_BYTES ||
                                      memcmp(side->noise.hash, run->field.at, CHANNEL_NOISE_HASH_BYTES) != 0)) {
            return complain(run, "the handshake hash is not the published one");
        }
    }
    return true;
}

static bool run_vector(struct run *run, const json_t *vector, enum channel_cipher cipher) {
    const json_t *messages = json_object_get(vector, "messages");
    const size_t count = json_array_size(messages);
    if (count < CHANNEL_NOISE_MESSAGES) {
        return complain(run, "fewer messages than a handshake has");
    }
    if (!start(run, vector, cipher)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *message = json_array_get(messages, i);
        struct side *writer = &run->sides[i % 2], *reader = &run->sides[1 - i % 2];
        if (json_object_get(message, "ciphertext") == NULL || !read_hex(message, "payload", &run->payload) ||
            !read_hex(message, "ciphertext", &run->ciphertext)) {
            return complain(run, "a message is not hexadecimal");
        }
        const bool ok = i < CHANNEL_NOISE_MESSAGES ? handshake_message(run, writer, reader)
                                                   : transport_message(run, writer, reader);
        if (!ok || (i == CHANNEL_NOISE_MESSAGES - 1 && !split(run, vector))) {
            return false;
        }
    }
    return true;
}

/* Some publish a list in one side's or both sides' name. */
static bool has_shared_keys(const json_t *vector) {
    static const char *const fields[] = {"init_psks", "resp_psks", "init_psk", "resp_psk", "psks"};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        const json_t *value = json_object_get(vector, fields[i]);
        if (json_array_size(value) > 0 || json_string_length(value) > 0) {
            return true;
        }
    }
    return false;
}

static bool concerns(const json_t *vector, const char **name, enum channel_cipher *cipher) {
    *name = json_string_value(json_object_get(vector, "protocol_name"));
    if (*name == NULL) {
        *name = json_string_value(json_object_get(vector, "name"));
    }
    if (*name == NULL || has_shared_keys(vector)) {
        return false;
    }
    *cipher = strstr(*name, "_AESGCM_") != NULL ? CHANNEL_AES256GCM : CHANNEL_CHACHA20POLY1305;
    const bool known =
        strcmp(*name, "Noise_XK_25519_ChaChaPoly_SHA512") == 0 || strcmp(*name, "Noise_XK_25519_AESGCM_SHA512") == 0;
    if (known && !channel_cipher_usable(*cipher)) {
        printf("SKIPPED: %s: this CPU has no instructions for it\n", *name);
        return false;
    }
    return known;
}

int main(int argc, char **argv) {
    json_error_t trouble;
    struct error error;
    if (argc != 2) {
        fprintf(stderr, "usage: noise_vectors FILE\n");
        return 2;
    }
    json_t *root = json_load_file(argv[1], 0, &trouble);
    if (root == NULL) {
        fprintf(stderr, "noise_vectors: %s: line %d: %s\n", argv[1], trouble.line, trouble.text);
        return 2;
    }
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL || random_start(&error) != CANYON_OK) {
        fprintf(stderr, "noise_vectors: cannot start\n");
        free(run);
        json_decref(root);
        return 2;
    }
    const json_t *vectors = json_is_array(root) ? root : json_object_get(root, "vectors");
    size_t passed = 0, failed = 0, skipped = 0;
    for (size_t i = 0; i < json_array_size(vectors); i++) {
        enum channel_cipher cipher;
        run->index = i;
        if (!concerns(json_array_get(vectors, i), &run->name, &cipher)) {
            skipped++;
        } else if (run_vector(run, json_array_get(vectors, i), cipher)) {
            passed++;
        } else {
            failed++;
        }
    }
    free(run);
    json_decref(root);
    printf("%zu of other protocols skipped\n", skipped);
    printf("%zu passed, %zu failed\n", passed, failed);
    return failed > 0 || passed == 0;
}
