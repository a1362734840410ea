/* A key is an identity: an X25519 key pair used for nothing but Canyon's channel (RFC 7748).
 *
 * In text a key carries what it is and a checksum: "cnp1..." a public key, "cns1..." a secret one, followed by the
 * unpadded lower-case base 32 (RFC 4648) of the 32 bytes and the first 4 bytes of BLAKE2b-256 over prefix and key. So a
 * mistyped key is found, and a secret pasted where a public key belongs is refused. Public keys are no secrets. */
#ifndef CANYON_COMMON_KEY_H
#define CANYON_COMMON_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

#define KEY_BYTES             32
#define KEY_TEXT_BYTES        63   /* prefix, 58 characters, NUL */
#define KEY_FINGERPRINT_BYTES 17   /* prefix, 12 characters, NUL */
#define KEY_FILE_BYTES        4000 /* most of a key's file */

/* Lives in secret memory (secret.h). Read-only once made: any thread may use it. */
struct key_pair {
    uint8_t secret[KEY_BYTES];
    uint8_t public[KEY_BYTES];
};

/* A new one from the system's randomness. NULL when memory cannot be had. random_start must have been called. */
struct key_pair *key_pair_generate(void);
/* Its public half is computed. NULL when memory cannot be had. */
struct key_pair *key_pair_from_secret(const uint8_t secret[KEY_BYTES]);
/* Wipes it. Safe on NULL. */
void key_pair_destroy(struct key_pair *pair);

/* The whole public key, and its beginning, which is enough to tell keys apart in a log. Both return `text`. */
const char *key_text(const uint8_t public[KEY_BYTES], char text[KEY_TEXT_BYTES]);
const char *key_fingerprint(const uint8_t public[KEY_BYTES], char text[KEY_FINGERPRINT_BYTES]);

/* Reads a public key's text (NUL-terminated, nothing around it). INVALID_ARGUMENT says what is wrong without repeating
 * the text: not a key, a typing error (checksum), a secret key where a public one belongs, or bytes that no pair has as
 * its public half (a point of small order, a number that is not reduced). */
enum canyon_status key_parse(const char *text, uint8_t public[KEY_BYTES], struct error *error);

/* Reads a secret key's file: comment lines ("# ..."), blank lines and one line with the secret key. The opened
 * descriptor is checked: a regular file and no symbolic link, owned by this process's user or root, mode 0600 or less,
 * at most KEY_FILE_BYTES. Symbolic links among the directories are followed. NOT_FOUND, INVALID_ARGUMENT (mode, owner,
 * kind, contents: the text names the file and what to do), NO_MEMORY. The file's bytes are wiped from memory. *pair is
 * written on success only. */
enum canyon_status key_file_read(const char *path, struct key_pair **pair, struct error *error);

/* Writes a new file of mode 0600, synced to disk; never over an existing one, nor through a symbolic link: CONFLICT.
 * Directories that are missing on the way are made with mode 0700. INVALID_ARGUMENT, with the system's reason, when it
 * cannot be written; then no file is left. */
enum canyon_status key_file_write(const char *path, const struct key_pair *pair, struct error *error);

#endif
