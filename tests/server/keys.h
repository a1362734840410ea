/* Keys for a test's servers and peers: made once, in a private directory that goes with the process. */
#ifndef TESTS_SERVER_KEYS_H
#define TESTS_SERVER_KEYS_H

#include "common/key.h"

enum { KEY_SERVER, KEY_ADMIN, KEY_WORKER, KEY_READER, KEY_SECOND_WORKER, KEY_STRANGER, KEY_COUNT };

const struct key_pair *key_of(int which);

/* Files in the directory; the list allows admin, worker, reader and second (a worker), until keys_allow says otherwise.
 */
const char *keys_server_path(void);
const char *keys_allow_path(void);

/* Replaces the list by its first line and `lines`, in which @admin, @worker, @reader, @second and @stranger stand for
 * the keys. */
void keys_allow(const char *lines);
void keys_allow_usual(void);

#endif
