#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "common/channel.h"
#include "common/channel_noise.h"
#include "common/channel_state.h"
#include "common/endian.h"
#include "common/frame.h"
#include "common/secret.h"

#define MAC_BYTES   16
#define INNER_BYTES (CHANNEL_FIRST_BYTES - MAC_BYTES) /* the first message without mac1 */

/* `alive` reads false in a child made by fork. */
struct channel_handshake {
    bool alive;
    struct channel_noise noise;
};

/* ---- mac1 -------------------------------------------------------------------------------------------------------- */

static void mac_first(const uint8_t server[KEY_BYTES], const uint8_t inner[INNER_BYTES], uint8_t mac[MAC_BYTES]) {
    static const char label[] = {'m', 'a', 'c', '1'};
    uint8_t bytes[sizeof label + KEY_BYTES], key[crypto_generichash_KEYBYTES];
    memcpy(bytes, label, sizeof label);
    memcpy(bytes + sizeof label, server, KEY_BYTES);
    int failed = crypto_generichash(key, sizeof key, bytes, sizeof bytes, NULL, 0);
    failed |= crypto_generichash(mac, MAC_BYTES, inner, INNER_BYTES, key, sizeof key);
    assert(!failed);
}

bool channel_first_plausible(const uint8_t server[KEY_BYTES], const uint8_t first[CHANNEL_FIRST_BYTES]) {
    uint8_t mac[MAC_BYTES];
    mac_first(server, first + MAC_BYTES, mac);
    return secret_equal(mac, first, MAC_BYTES);
}

/* ---- Begin and end ----------------------------------------------------------------------------------------------- */

static struct channel_handshake *begin(enum channel_cipher cipher, enum channel_noise_role role,
                                       const struct key_pair *own, const uint8_t *server,
                                       const uint8_t seed[KEY_BYTES]) {
    static const char parties[] = "CANYON/1\0client\0server"; /* with its NUL */
    uint8_t prologue[sizeof parties + 4];
    struct channel_handshake *handshake =
        channel_cipher_usable(cipher) ? secret_alloc(sizeof(struct channel_handshake)) : NULL;
    if (handshake == NULL) {
        return NULL;
    }
    memcpy(prologue, parties, sizeof parties);
    store_u32(prologue + sizeof parties, FRAME_VERSION);
    channel_noise_init(&handshake->noise, cipher, role, prologue, sizeof prologue, own, server, seed);
    handshake->alive = true;
    return handshake;
}

struct channel_handshake *channel_initiate(enum channel_cipher cipher, const struct key_pair *own,
                                           const uint8_t server[KEY_BYTES], const uint8_t seed[KEY_BYTES]) {
    assert(server != NULL);
    return begin(cipher, CHANNEL_NOISE_INITIATOR, own, server, seed);
}

struct channel_handshake *channel_respond(enum channel_cipher cipher, const struct key_pair *own,
                                          const uint8_t seed[KEY_BYTES]) {
    return begin(cipher, CHANNEL_NOISE_RESPONDER, own, NULL, seed);
}

void channel_handshake_destroy(struct channel_handshake *handshake) {
    if (handshake != NULL) {
        channel_noise_finish(&handshake->noise);
        secret_free(handshake);
    }
}

/* ---- Steps ------------------------------------------------------------------------------------------------------- */

/* Whether message `index` is the next one, and this side's to write or to read. */
static bool writes(const struct channel_handshake *handshake, unsigned index) {
    return handshake->alive && handshake->noise.done == index && channel_noise_writes(&handshake->noise);
}

static bool reads(const struct channel_handshake *handshake, unsigned index) {
    return handshake->alive && handshake->noise.done == index && channel_noise_reads(&handshake->noise);
}

enum canyon_status channel_write_first(struct channel_handshake *handshake, uint8_t first[CHANNEL_FIRST_BYTES]) {
    if (!writes(handshake, 0)) {
        return CANYON_INTERNAL;
    }
    if (!channel_noise_write(&handshake->noise, NULL, 0, first + MAC_BYTES)) {
        return CANYON_PROTOCOL;
    }
    mac_first(handshake->noise.remote, first + MAC_BYTES, first);
    return CANYON_OK;
}

enum canyon_status channel_read_first(struct channel_handshake *handshake, const uint8_t first[CHANNEL_FIRST_BYTES]) {
    if (!reads(handshake, 0)) {
        return CANYON_INTERNAL;
    }
    if (!channel_first_plausible(handshake->noise.own->public, first)) {
        handshake->noise.broken = true;
        return CANYON_PROTOCOL;
    }
    return channel_noise_read(&handshake->noise, first + MAC_BYTES, INNER_BYTES, NULL) ? CANYON_OK : CANYON_PROTOCOL;
}

enum canyon_status channel_write_second(struct channel_handshake *handshake, uint8_t second[CHANNEL_SECOND_BYTES]) {
    if (!writes(handshake, 1)) {
        return CANYON_INTERNAL;
    }
    return channel_noise_write(&handshake->noise, NULL, 0, second) ? CANYON_OK : CANYON_PROTOCOL;
}

enum canyon_status channel_read_second(struct channel_handshake *handshake,
                                       const uint8_t second[CHANNEL_SECOND_BYTES]) {
    if (!reads(handshake, 1)) {
        return CANYON_INTERNAL;
    }
    return channel_noise_read(&handshake->noise, second, CHANNEL_SECOND_BYTES, NULL) ? CANYON_OK : CANYON_PROTOCOL;
}

enum canyon_status channel_write_third(struct channel_handshake *handshake, const void *hello, size_t hello_bytes,
                                       uint8_t third[CHANNEL_THIRD_LIMIT_BYTES], size_t *third_bytes) {
    if (!writes(handshake, 2)) {
        return CANYON_INTERNAL;
    }
    if (hello_bytes > CHANNEL_HELLO_LIMIT_BYTES) {
        return CANYON_TOO_LARGE;
    }
    if (!channel_noise_write(&handshake->noise, hello, hello_bytes, third + CHANNEL_LENGTH_BYTES)) {
        return CANYON_PROTOCOL;
    }
    *third_bytes = CHANNEL_THIRD_LEAST_BYTES + hello_bytes;
    store_u16(third, (uint16_t)(*third_bytes - CHANNEL_LENGTH_BYTES));
    return CANYON_OK;
}

size_t channel_third_bytes(const uint8_t length[CHANNEL_LENGTH_BYTES]) {
    const size_t whole = CHANNEL_LENGTH_BYTES + (size_t)load_u16(length);
    return whole >= CHANNEL_THIRD_LEAST_BYTES && whole <= CHANNEL_THIRD_LIMIT_BYTES ? whole : 0;
}

enum canyon_status channel_read_third(struct channel_handshake *handshake, const uint8_t *third, size_t third_bytes,
                                      uint8_t hello[CHANNEL_HELLO_LIMIT_BYTES], size_t *hello_bytes,
                                      uint8_t client[KEY_BYTES]) {
    *hello_bytes = 0;
    memset(client, 0, KEY_BYTES);
    if (!reads(handshake, 2)) {
        return CANYON_INTERNAL;
    }
    if (third_bytes < CHANNEL_THIRD_LEAST_BYTES || channel_third_bytes(third) != third_bytes) {
        handshake->noise.broken = true;
        return CANYON_PROTOCOL;
    }
    if (!channel_noise_read(&handshake->noise, third + CHANNEL_LENGTH_BYTES, third_bytes - CHANNEL_LENGTH_BYTES,
                            hello)) {
        return CANYON_PROTOCOL;
    }
    *hello_bytes = third_bytes - CHANNEL_THIRD_LEAST_BYTES;
    memcpy(client, handshake->noise.remote, KEY_BYTES);
    return CANYON_OK;
}

struct channel *channel_establish(struct channel_handshake *handshake) {
    struct channel_noise *noise = &handshake->noise;
    struct channel *channel = NULL;
    if (handshake->alive && noise->done == CHANNEL_NOISE_MESSAGES && !noise->broken) {
        channel = channel_create(noise->cipher);
    }
    if (channel != NULL) {
        struct channel_keys *keys = channel->keys;
        channel_noise_split(noise, &keys->sends, keys->sends.prepared, &keys->receives, keys->receives.prepared);
        keys->alive = true;
    }
    return channel;
}
