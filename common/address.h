/* Network addresses as people write them: "HOST:PORT", "[IPv6]:PORT", and "fd:N" for an inherited listening socket. */
#ifndef CANYON_COMMON_ADDRESS_H
#define CANYON_COMMON_ADDRESS_H

#include <stdint.h>

#include "common/limits.h"
#include "common/status.h"

struct address {
    char host[LIMIT_ADDRESS_BYTES]; /* without brackets */
    uint16_t port;                  /* 0 lets the system choose, where listening */
};

/* Refuses an empty host, a missing or out-of-range port, unbalanced brackets, an IPv6 literal without brackets. */
enum canyon_status address_parse(const char *text, struct address *address, struct error *error);

/* The canonical text: brackets exactly around hosts that contain a colon. Returns `text`. */
char *address_text(const struct address *address, char *text, size_t bytes);

#endif
