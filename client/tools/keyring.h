/* A keyring is a directory with all that servers of this machine and their clients need to trust each other: the
 * servers' key and allow-list, a client's key (of the role admin) and its known servers.
 *
 * The directory is a home: a program that has it in CANYON_HOME uses these keys without being told of them. */
#ifndef CANYON_TOOLS_KEYRING_H
#define CANYON_TOOLS_KEYRING_H

#include <stddef.h>

#include "canyon.h"

#define KEYRING_PATH_BYTES 1024

struct keyring {
    char key[KEYRING_PATH_BYTES], known_servers[KEYRING_PATH_BYTES]; /* of clients */
    char server_key[KEYRING_PATH_BYTES], allow[KEYRING_PATH_BYTES];  /* of servers */
};

/* Makes the four files in a directory that is there and belongs to this run alone. Servers are known by `cipher`
 * ("chacha20poly1305", "aes256gcm"; NULL for the default) as 127.0.0.1, ::1 and localhost with any port. On a failure
 * `text` says why, and no file is left. */
enum canyon_status keyring_make(struct keyring *keyring, const char *directory, const char *cipher, char *text,
                                size_t bytes);

/* Removes the files, not the directory. Safe on one that was zeroed or is half made. */
void keyring_remove(struct keyring *keyring);

#endif
