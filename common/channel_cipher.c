/* The ciphers by name; channel.h describes them. */
#include <sodium.h>
#include <string.h>

#include "common/channel.h"

static const char *const names[] = {[CHANNEL_CHACHA20POLY1305] = "chacha20poly1305", [CHANNEL_AES256GCM] = "aes256gcm"};

const char *channel_cipher_name(enum channel_cipher cipher) {
    return names[cipher];
}

bool channel_cipher_parse(const char *name, enum channel_cipher *cipher) {
    for (int i = 0; i < (int)(sizeof names / sizeof names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            *cipher = (enum channel_cipher)i;
            return true;
        }
    }
    return false;
}

bool channel_cipher_usable(enum channel_cipher cipher) {
    return cipher == CHANNEL_CHACHA20POLY1305 ||
           (cipher == CHANNEL_AES256GCM && crypto_aead_aes256gcm_is_available() == 1);
}
