/* The allow-list says which keys may connect to this server, and what each may do.
 *
 *     format canyon-allow-1
 *     worker  trainer-07  cnp1...  conns=16 from=10.0.0.0/8 tensors=embedding,layer*
 *     admin   alice       cnp1...
 *     reader  dashboard   cnp1...
 *
 * Read as a whole or not at all: an unknown role or option, or a name or key that comes twice, refuses the file. A list
 * never changes once read; a new one takes its place (counted references, any thread). */
#ifndef CANYON_SERVER_ALLOW_H
#define CANYON_SERVER_ALLOW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/key.h"
#include "common/limits.h"

/* Each may do what the one before may: reader opens and pulls; worker also creates and pushes; admin also assigns,
 * sets, drops. */
enum role { ROLE_NONE = 0, ROLE_READER = 1, ROLE_WORKER = 2, ROLE_ADMIN = 3 };

const char *role_name(enum role role);

struct allow;

/* One line of the list; valid as long as the list is held. */
struct allow_entry {
    enum role role;
    char name[LIMIT_NAME_BYTES];
    uint8_t key[KEY_BYTES];
    uint32_t connections; /* most at once to this server; 0 for no limit of its own */
    uint64_t push_bytes;  /* most bytes of requests a second on each connection; 0 for no limit */
    /* The rest, networks and tensor patterns, is allow.c's. */
    const void *more;
};

/* One reference. NOT_FOUND, INVALID_ARGUMENT: the text names file, line and what is wrong. An empty list is good. */
enum canyon_status allow_read(const char *path, struct allow **allow, struct error *error);
/* The same from memory (tests, fuzzing). */
enum canyon_status allow_parse(const char *text, size_t bytes, struct allow **allow, struct error *error);

struct allow *allow_hold(struct allow *allow);
/* Frees it with its last reference. Safe on NULL. */
void allow_release(struct allow *allow);

/* The key's entry, or NULL. In constant expected time. */
const struct allow_entry *allow_find(const struct allow *allow, const uint8_t key[KEY_BYTES]);

/* Whether it may come from this address (always, without `from`), and touch this tensor (always, without `tensors`; a
 * pattern is a name, or the beginning of one followed by "*"). */
bool allow_from(const struct allow_entry *entry, const struct sockaddr *address);
bool allow_tensor(const struct allow_entry *entry, const char *tensor);

size_t allow_count(const struct allow *allow);

#endif
