#include "common/address.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "common/number.h"

/* What may stand in a host: anything visible but what delimits addresses and lists of them, or begins a comment. */
static int host_is_clean(const char *host, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)host[i];
        if (c <= ' ' || c == 0x7f || strchr(",;#[]\"'/", host[i]) != NULL) {
            return 0;
        }
    }
    return 1;
}

enum canyon_status address_parse(const char *text, struct address *address, struct error *error) {
    const char *host = text;
    size_t host_length = 0;
    const char *port = NULL;
    if (text[0] == '[') {
        const char *bracket = strchr(text, ']');
        if (bracket == NULL || bracket[1] != ':') {
            return error_set(error, CANYON_INVALID_ARGUMENT, "address \"%.128s\" is not of the form [IPv6]:PORT", text);
        }
        host = text + 1;
        host_length = (size_t)(bracket - host);
        port = bracket + 2;
    } else {
        const char *colon = strrchr(text, ':');
        if (colon == NULL) {
            return error_set(error, CANYON_INVALID_ARGUMENT, "address \"%.128s\" has no port: write HOST:PORT", text);
        }
        host_length = (size_t)(colon - host);
        port = colon + 1;
        if (memchr(host, ':', host_length) != NULL) {
            return error_set(error, CANYON_INVALID_ARGUMENT,
                             "address \"%.128s\": an IPv6 address is written [IPv6]:PORT", text);
        }
    }
    if (host_length == 0 || !host_is_clean(host, host_length)) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "address \"%.128s\" has no host name in front of its port",
                         text);
    }
    /* Room for the brackets, the colon and five digits: the canonical text must fit an address too. */
    if (host_length > LIMIT_ADDRESS_BYTES - 9) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "the host in address \"%.64s...\" has %zu bytes, the limit is %d", text, host_length,
                         LIMIT_ADDRESS_BYTES - 9);
    }
    uint64_t number = 0;
    if (!number_parse_u64(port, UINT16_MAX, &number)) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "address \"%.128s\": the port is not a number from 0 to 65535",
                         text);
    }
    memset(address, 0, sizeof *address);
    memcpy(address->host, host, host_length);
    address->port = (uint16_t)number;
    return CANYON_OK;
}

char *address_text(const struct address *address, char *text, size_t bytes) {
    if (strchr(address->host, ':') != NULL) {
        snprintf(text, bytes, "[%s]:%u", address->host, (unsigned)address->port);
    } else {
        snprintf(text, bytes, "%s:%u", address->host, (unsigned)address->port);
    }
    return text;
}

bool address_is_loopback(const struct sockaddr *address) {
    if (address->sa_family == AF_INET) {
        struct sockaddr_in four;
        memcpy(&four, address, sizeof four);
        return ntohl(four.sin_addr.s_addr) >> 24 == 127;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, address, sizeof six);
        return IN6_IS_ADDR_LOOPBACK(&six.sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&six.sin6_addr) && six.sin6_addr.s6_addr[12] == 127);
    }
    return false;
}
