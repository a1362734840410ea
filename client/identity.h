/* An identity is who this client is and whom it trusts: its key and the servers it knows, read once for all of its
 * connections; or that it was told to do without, in plaintext. Read-only once made: any thread. */
#ifndef CANYON_CLIENT_IDENTITY_H
#define CANYON_CLIENT_IDENTITY_H

#include <stdbool.h>

#include "client/include/canyon.h"
#include "client/known_servers.h"
#include "common/key.h"
#include "common/status.h"

struct identity;

/* From key_file, known_servers_file and insecure_plaintext, of options that options_take has taken. On success owned by
 * the caller.
 * - UNAUTHENTICATED: there is no key, or no list of servers; the text says how to make it
 * - INVALID_ARGUMENT: a file that is not as it must be; the text names it and what to do */
enum canyon_status identity_create(const struct canyon_options *options, struct identity **identity,
                                   struct error *error);
/* Plaintext on this machine alone, or anywhere. NULL when memory cannot be had. */
struct identity *identity_create_plaintext(bool anywhere);
/* Wipes the key. Safe on NULL. */
void identity_destroy(struct identity *identity);

bool identity_is_plaintext(const struct identity *identity);
bool identity_plaintext_anywhere(const struct identity *identity);

/* NULL in plaintext. Belongs to the identity. */
const struct key_pair *identity_key(const struct identity *identity);

/* What is known of the server of this address; NULL in plaintext. Belongs to the identity.
 * - UNAUTHENTICATED: nothing; the text says which line to add to which file
 * - UNSUPPORTED: its cipher is one that this CPU cannot do */
enum canyon_status identity_find(const struct identity *identity, const char *address,
                                 const struct known_server **server, struct error *error);

#endif
