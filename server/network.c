#include "server/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "common/number.h"

#define MAPPED_BITS 96 /* before the IPv4 address in an IPv6 address that stands for one */

static uint32_t width(int family) {
    return family == AF_INET ? 32 : 128;
}

/* An IPv6 network of addresses that stand for IPv4 ones is a network of those. */
static void unmap(struct network *network) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (network->family == AF_INET6 && network->bits >= MAPPED_BITS &&
        memcmp(network->bytes, mapped, sizeof mapped) == 0) {
        network->family = AF_INET;
        network->bits -= MAPPED_BITS;
        memmove(network->bytes, network->bytes + sizeof mapped, 4);
        memset(network->bytes + 4, 0, sizeof network->bytes - 4);
    }
}

/* Clears what is behind the bits that count; true when there was anything. */
static bool cut(struct network *network) {
    bool any = false;
    for (uint32_t i = 0; i < sizeof network->bytes; i++) {
        uint32_t kept = network->bits >= 8 * (i + 1) ? 8 : network->bits > 8 * i ? network->bits - 8 * i : 0;
        uint8_t mask = (uint8_t)(0xff << (8 - kept));
        any = any || (network->bytes[i] & ~mask) != 0;
        network->bytes[i] &= mask;
    }
    return any;
}

enum canyon_status network_parse(const char *text, struct network *network, struct error *error) {
    char host[INET6_ADDRSTRLEN];
    struct network made = {.family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET};
    const char *slash = strchr(text, '/');
    size_t length = slash != NULL ? (size_t)(slash - text) : strlen(text);
    uint64_t bits = width(made.family);
    bool good = length < sizeof host;
    if (good) {
        memcpy(host, text, length);
        host[length] = '\0';
        good = inet_pton(made.family, host, made.bytes) == 1;
    }
    if (!good) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "\"%.50s\" is not an IP address or network such as 10.0.0.0/8 or 2001:db8::/32", text);
    }
    if (slash != NULL && !number_parse_u64(slash + 1, bits, &bits)) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "the bits of \"%.50s\" are not a number from 0 to %u", text,
                         width(made.family));
    }
    made.bits = (uint32_t)bits;
    if (cut(&made)) {
        inet_ntop(made.family, made.bytes, host, sizeof host);
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "the address of \"%.50s\" goes beyond its %u bits: is %s/%u meant, or the address alone?",
                         text, made.bits, host, made.bits);
    }
    unmap(&made);
    *network = made;
    return CANYON_OK;
}

bool network_has(const struct network *network, const struct sockaddr *address) {
    struct network other = {.family = address->sa_family, .bits = width(address->sa_family)};
    if (address->sa_family == AF_INET) {
        struct sockaddr_in four;
        memcpy(&four, address, sizeof four);
        memcpy(other.bytes, &four.sin_addr, 4);
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, address, sizeof six);
        memcpy(other.bytes, &six.sin6_addr, 16);
        unmap(&other);
    } else {
        return false;
    }
    if (other.family != network->family) {
        return false;
    }
    other.bits = network->bits;
    cut(&other);
    return memcmp(other.bytes, network->bytes, sizeof other.bytes) == 0;
}
