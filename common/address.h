/* Network addresses as people write them: "HOST:PORT" and "[IPv6]:PORT". Parsing resolves nothing. */
#ifndef CANYON_COMMON_ADDRESS_H
#define CANYON_COMMON_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/limits.h"
#include "common/status.h"

struct address {
    char host[LIMIT_ADDRESS_BYTES]; /* without brackets */
    uint16_t port;                  /* 0 lets the system choose, where listening */
};

/* INVALID_ARGUMENT, with the text in question, for an empty host, a missing or out-of-range port, unbalanced brackets,
 * an IPv6 literal without brackets, blanks, control bytes, or any of , ; # " ' / in the host. `address` is written on
 * success only. */
enum canyon_status address_parse(const char *text, struct address *address, struct error *error);

/* The canonical text: brackets exactly around hosts that contain a colon. LIMIT_ADDRESS_BYTES always suffice; a shorter
 * `text` is cut, NUL-terminated. Returns `text`. */
char *address_text(const struct address *address, char *text, size_t bytes);

/* Whether a socket address is of this machine alone: 127.0.0.0/8, ::1, or the former written as IPv6. False for other
 * families. */
bool address_is_loopback(const struct sockaddr *address);

#endif
