/* The known servers are the keys a client trusts, by the address a server advertises.
 *
 *     format canyon-known-servers-1
 *     server  10.0.0.5:7077   cnp1...
 *     server  trainer:*       cnp1...  cipher=aes256gcm
 *
 * key_list.h has the form of the lines. "HOST:*" stands for every port of a host; an exact line wins over it. Names are
 * compared without regard to case and IP addresses by their value, but no name is looked up. Many addresses may have
 * one key; an address that comes twice refuses the file. The cipher is part of the line, since nothing is negotiated:
 * it must be the one the server was started with; without one it is chacha20poly1305. */
#ifndef CANYON_CLIENT_KNOWN_SERVERS_H
#define CANYON_CLIENT_KNOWN_SERVERS_H

#include <stddef.h>
#include <stdint.h>

#include "common/channel.h"

#define KNOWN_SERVERS_FORMAT "canyon-known-servers-1"

struct known_servers;

struct known_server {
    uint8_t key[KEY_BYTES];
    enum channel_cipher cipher;
};

/* As key_list_read: the text names file, line and what is wrong. *known is written on success only. A line whose cipher
 * this CPU cannot do is good: who uses it asks channel_cipher_usable. */
enum canyon_status known_servers_read(const char *path, struct known_servers **known, struct error *error);
enum canyon_status known_servers_parse(const char *text, size_t bytes, struct known_servers **known,
                                       struct error *error);
/* Safe on NULL. */
void known_servers_destroy(struct known_servers *known);

/* The line for this address ("HOST:PORT", "[IPv6]:PORT"), or NULL. Read-only: any thread. */
const struct known_server *known_servers_find(const struct known_servers *known, const char *address);

#endif
