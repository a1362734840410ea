#include "common/key.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "common/base32.h"
#include "common/hash.h"
#include "common/key_text.h"
#include "common/random.h"
#include "common/secret.h"

#define PREFIX_BYTES   4
#define CHECKSUM_BYTES 4
#define CODED_BYTES    (KEY_BYTES + CHECKSUM_BYTES)
/* So many characters of a secret key's text, with its prefix, are taken for one. */
#define REVEALING_CHARACTERS (PREFIX_BYTES + 12)

_Static_assert(PREFIX_BYTES + BASE32_CHARACTERS(CODED_BYTES) + 1 == KEY_TEXT_BYTES, "the text has another length");
_Static_assert(KEY_BYTES == crypto_scalarmult_curve25519_BYTES, "X25519 is expected");
_Static_assert(KEY_BYTES == crypto_scalarmult_curve25519_SCALARBYTES, "X25519 is expected");

static const char *const prefixes[] = {[KEY_PUBLIC] = "cnp1", [KEY_SECRET] = "cns1"};

/* ---- Pairs ------------------------------------------------------------------------------------------------------ */

struct key_pair *key_pair_generate(void) {
    struct key_pair *pair = secret_alloc(sizeof *pair);
    if (pair != NULL) {
        random_fill(pair->secret, KEY_BYTES);
        int failed = crypto_scalarmult_curve25519_base(pair->public, pair->secret);
        assert(!failed);
    }
    return pair;
}

struct key_pair *key_pair_from_secret(const uint8_t secret[KEY_BYTES]) {
    struct key_pair *pair = secret_alloc(sizeof *pair);
    if (pair != NULL) {
        memcpy(pair->secret, secret, KEY_BYTES);
        int failed = crypto_scalarmult_curve25519_base(pair->public, pair->secret);
        assert(!failed);
    }
    return pair;
}

void key_pair_destroy(struct key_pair *pair) {
    secret_free(pair);
}

/* ---- Points that are no keys ------------------------------------------------------------------------------------ */

/* The u-coordinates below p whose order divides 8, little-endian: with one of them a Diffie-Hellman gives zero whatever
 * the secret is. */
static const uint8_t small_orders[][KEY_BYTES] = {
    {0},
    {1},
    {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
     0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
    {0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b,
     0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57},
    {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
};

/* False for what no key pair has as its public half: a number not below p = 2^255 - 19, of which one below is another
 * spelling, and points of small order. */
static bool is_usable(const uint8_t public[KEY_BYTES]) {
    bool above = public[KEY_BYTES - 1] == 0x7f && public[0] >= 0xed;
    for (size_t i = 1; i < KEY_BYTES - 1; i++) {
        above = above && public[i] == 0xff;
    }
    bool usable = !above && (public[KEY_BYTES - 1] & 0x80) == 0;
    for (size_t i = 0; i < sizeof small_orders / sizeof small_orders[0]; i++) {
        usable = usable && memcmp(public, small_orders[i], KEY_BYTES) != 0;
    }
    return usable;
}

/* ---- Text ------------------------------------------------------------------------------------------------------- */

static void checksum(enum key_kind kind, const uint8_t key[KEY_BYTES], uint8_t sum[CHECKSUM_BYTES]) {
    struct hash hash;
    uint8_t digest[HASH_BYTES];
    hash_init(&hash);
    hash_update(&hash, prefixes[kind], PREFIX_BYTES);
    hash_update(&hash, key, KEY_BYTES);
    hash_final(&hash, digest);
    memcpy(sum, digest, CHECKSUM_BYTES);
    secret_wipe(&hash, sizeof hash);
    secret_wipe(digest, sizeof digest);
}

char *key_encode(enum key_kind kind, const uint8_t key[KEY_BYTES], char text[KEY_TEXT_BYTES]) {
    uint8_t coded[CODED_BYTES];
    memcpy(coded, key, KEY_BYTES);
    checksum(kind, key, coded + KEY_BYTES);
    memcpy(text, prefixes[kind], PREFIX_BYTES);
    base32_encode(coded, sizeof coded, text + PREFIX_BYTES);
    secret_wipe(coded, sizeof coded);
    return text;
}

/* What is wrong with a text, but for its checksum; NULL when nothing is. */
static const char *fault_of(enum key_kind kind, const char *text, size_t length) {
    const char *fault = NULL;
    if (key_shows_secret(text, length) && kind == KEY_PUBLIC) {
        fault =
            "a secret key (cns1...) stands where a public key (cnp1...) belongs: `canyon keygen --show FILE` prints "
            "the public one; if others can read this text, make a new key";
    } else if (strncmp(text, prefixes[KEY_PUBLIC], PREFIX_BYTES) == 0 && kind == KEY_SECRET) {
        fault = "a public key (cnp1...) stands where the secret key (cns1...) belongs";
    } else if (strncmp(text, prefixes[kind], PREFIX_BYTES) != 0) {
        fault = kind == KEY_PUBLIC
                    ? "a public key is expected: it begins with cnp1 and `canyon keygen --show` prints it"
                    : "a secret key is expected: it begins with cns1 and `canyon keygen` makes one";
    } else if (length != KEY_TEXT_BYTES - 1) {
        fault = "the key is cut off or has something behind it: it has 62 characters";
    }
    return fault;
}

enum canyon_status key_decode(enum key_kind kind, const char *text, uint8_t key[KEY_BYTES], struct error *error) {
    uint8_t coded[CODED_BYTES], sum[CHECKSUM_BYTES];
    /* One more than a key has tells all that are too long. */
    size_t length = strnlen(text, KEY_TEXT_BYTES);
    const char *fault = fault_of(kind, text, length);
    memset(key, 0, KEY_BYTES);
    if (fault != NULL) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "%s", fault);
    }
    bool good = base32_decode(text + PREFIX_BYTES, coded, sizeof coded);
    checksum(kind, coded, sum);
    good = secret_equal(sum, coded + KEY_BYTES, CHECKSUM_BYTES) && good;
    if (!good) {
        fault = "the key has a typing error (its checksum does not fit): copy it once more, in lower case";
    } else if (kind == KEY_PUBLIC && !is_usable(coded)) {
        fault = "the key is none that can be used: its secret half cannot exist";
    } else {
        memcpy(key, coded, KEY_BYTES);
    }
    secret_wipe(coded, sizeof coded);
    secret_wipe(sum, sizeof sum);
    return fault == NULL ? CANYON_OK : error_set(error, CANYON_INVALID_ARGUMENT, "%s", fault);
}

const char *key_text(const uint8_t public[KEY_BYTES], char text[KEY_TEXT_BYTES]) {
    return key_encode(KEY_PUBLIC, public, text);
}

const char *key_fingerprint(const uint8_t public[KEY_BYTES], char text[KEY_FINGERPRINT_BYTES]) {
    char whole[KEY_TEXT_BYTES];
    key_encode(KEY_PUBLIC, public, whole);
    memcpy(text, whole, KEY_FINGERPRINT_BYTES - 1);
    text[KEY_FINGERPRINT_BYTES - 1] = '\0';
    return text;
}

enum canyon_status key_parse(const char *text, uint8_t public[KEY_BYTES], struct error *error) {
    return key_decode(KEY_PUBLIC, text, public, error);
}

bool key_shows_secret(const char *text, size_t bytes) {
    size_t like = 0; /* characters so far that a secret key's text could begin with */
    for (size_t i = 0; i < bytes && like < REVEALING_CHARACTERS; i++) {
        /* Upper case is a typing error, but no less of a secret. */
        char c = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] - 'A' + 'a') : text[i];
        bool goes_on =
            like < PREFIX_BYTES ? c == prefixes[KEY_SECRET][like] : (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        like = goes_on ? like + 1 : c == prefixes[KEY_SECRET][0];
    }
    return like == REVEALING_CHARACTERS;
}
