/* The text form of both kinds of keys, for key.c and key_file.c alone: key.h describes it. */
#ifndef CANYON_COMMON_KEY_TEXT_H
#define CANYON_COMMON_KEY_TEXT_H

#include <stdbool.h>

#include "common/key.h"

enum key_kind { KEY_PUBLIC, KEY_SECRET };

/* Writes the key's text; returns it. */
char *key_encode(enum key_kind kind, const uint8_t key[KEY_BYTES], char text[KEY_TEXT_BYTES]);

/* Reads the text of a key of this kind, NUL-terminated. INVALID_ARGUMENT says what is wrong and repeats nothing of the
 * text; `key` is then wiped. */
enum canyon_status key_decode(enum key_kind kind, const char *text, uint8_t key[KEY_BYTES], struct error *error);

/* Whether these bytes hold, anywhere, what may be a secret key: its prefix and much of what follows. Such text is not
 * to be repeated. */
bool key_shows_secret(const char *text, size_t bytes);

#endif
