/* A network is a range of IP addresses as people write it: "10.0.0.0/8", "2001:db8::/32", or one address. */
#ifndef CANYON_SERVER_NETWORK_H
#define CANYON_SERVER_NETWORK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/status.h"

/* Plain data. IPv4 and IPv6 are two worlds, except that an IPv6 address which stands for an IPv4 one
 * ("::ffff:10.0.0.1", what a socket for both gives) is that IPv4 address. */
struct network {
    int family;        /* AF_INET or AF_INET6 */
    uint32_t bits;     /* the first so many of an address count */
    uint8_t bytes[16]; /* 4 or all of them; zero behind the bits that count */
};

/* INVALID_ARGUMENT, with the text in question: no address, bits out of range, or an address that goes beyond them
 * ("10.0.0.1/8": the text says what may be meant). */
enum canyon_status network_parse(const char *text, struct network *network, struct error *error);

/* Whether the address, of any family, is one of the network's. */
bool network_has(const struct network *network, const struct sockaddr *address);

#endif
