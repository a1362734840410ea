/* The allow-list says which keys may connect to this server, and what each may do.
 *
 *     format canyon-allow-1
 *     worker  trainer-07  cnp1...  conns=16 from=10.0.0.0/8 tensors=embedding,layer*
 *     admin   alice       cnp1...
 *     reader  dashboard   cnp1...  push_bytes=200M/s
 *
 * key_list.h has the form of the lines; a name is as a tensor's. The options:
 *     conns=N        most connections of this key to this server at once, 1 to 1,000,000
 *     from=LIST      addresses and networks, IPv4 and IPv6, that it may come from
 *     tensors=LIST   names, or beginnings of names followed by "*", that it may touch
 *     push_bytes=N   most bytes of requests a second on each of its connections: a number, with K, M, G or T for powers
 *                    of 1000 or Ki, Mi, Gi or Ti for powers of 1024, and "/s" if one likes
 *
 * Read as a whole or not at all: an unknown role or option, or a name or key that comes twice, refuses the file. A list
 * never changes once read; a new one takes its place (counted references, any thread). */
#ifndef CANYON_SERVER_ALLOW_H
#define CANYON_SERVER_ALLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/key.h"
#include "common/limits.h"

/* Each may do what the one before may: reader opens and pulls; worker also creates and pushes; admin also assigns,
 * sets, drops. */
enum role { ROLE_NONE = 0, ROLE_READER = 1, ROLE_WORKER = 2, ROLE_ADMIN = 3 };

const char *role_name(enum role role);

struct allow;

#define ALLOW_FORMAT "canyon-allow-1"

struct network; /* network.h */

/* One line of the list; valid, with all it points to, as long as the list is held. */
struct allow_entry {
    enum role role;
    char name[LIMIT_NAME_BYTES];
    uint8_t key[KEY_BYTES];
    uint32_t connections;           /* most at once to this server; 0 for no limit of its own */
    uint64_t push_bytes;            /* most bytes of requests a second on each connection; 0 for no limit */
    size_t line;                    /* of the file */
    const struct network *networks; /* that it may come from; none for all */
    size_t network_count;
    const char *const *tensors; /* patterns of what it may touch; none for all */
    size_t tensor_count;
};

/* One reference. As key_list_read: the text names file, line and what is wrong. A list of the format alone is good.
 * *allow is written on success only. */
enum canyon_status allow_read(const char *path, struct allow **allow, struct error *error);
/* The same from memory (tests, fuzzing). */
enum canyon_status allow_parse(const char *text, size_t bytes, struct allow **allow, struct error *error);

struct allow *allow_hold(struct allow *allow);
/* Frees it with its last reference. Safe on NULL. */
void allow_release(struct allow *allow);

/* The key's entry, or NULL. Its time grows with the logarithm of the list's length: under a microsecond for any. */
const struct allow_entry *allow_find(const struct allow *allow, const uint8_t key[KEY_BYTES]);

/* Whether it may come from this address (always, without `from`), and touch this tensor (always, without `tensors`). */
bool allow_from(const struct allow_entry *entry, const struct sockaddr *address);
bool allow_tensor(const struct allow_entry *entry, const char *tensor);

size_t allow_count(const struct allow *allow);

#endif
