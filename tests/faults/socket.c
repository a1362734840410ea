#include "tests/faults/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/address.h"

/* The literal address; NULL with errno EINVAL. Free it with freeaddrinfo. */
static struct addrinfo *resolve(const char *text) {
    struct address address;
    struct error error;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *answer = NULL;
    char port[8];
    if (address_parse(text, &address, &error) != CANYON_OK) {
        errno = EINVAL;
        return NULL;
    }
    snprintf(port, sizeof port, "%u", (unsigned)address.port);
    if (getaddrinfo(address.host, port, &hints, &answer) != 0) {
        errno = EINVAL;
        return NULL;
    }
    return answer;
}

static int make(const struct addrinfo *answer, bool wait_not) {
    int one = 1;
    int descriptor = socket(answer->ai_family, SOCK_STREAM | SOCK_CLOEXEC | (wait_not ? SOCK_NONBLOCK : 0), 0);
    if (descriptor >= 0 && setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0) {
        close(descriptor);
        descriptor = -1;
    }
    return descriptor;
}

int socket_connect(const char *address, bool wait_not) {
    struct addrinfo *answer = resolve(address);
    int descriptor = answer ? make(answer, wait_not) : -1;
    if (descriptor >= 0 && connect(descriptor, answer->ai_addr, answer->ai_addrlen) != 0 && errno != EINPROGRESS) {
        int reason = errno;
        close(descriptor);
        errno = reason;
        descriptor = -1;
    }
    if (answer)
        freeaddrinfo(answer);
    return descriptor;
}

/* Its own address as text. */
static bool name_of(int descriptor, char *text, size_t bytes) {
    struct sockaddr_storage name;
    socklen_t size = sizeof name;
    char host[64], port[8];
    if (getsockname(descriptor, (struct sockaddr *)&name, &size) != 0 ||
        getnameinfo((struct sockaddr *)&name, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return false;
    snprintf(text, bytes, name.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    return true;
}

int socket_listen(const char *address, bool reserve, char *bound, size_t bytes) {
    struct addrinfo *answer = resolve(address);
    int one = 1, descriptor = answer ? make(answer, true) : -1;
    if (descriptor >= 0 && (setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
                            setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0 ||
                            bind(descriptor, answer->ai_addr, answer->ai_addrlen) != 0 ||
                            (!reserve && listen(descriptor, 4096) != 0) || !name_of(descriptor, bound, bytes))) {
        int reason = errno;
        close(descriptor);
        errno = reason;
        descriptor = -1;
    }
    if (answer)
        freeaddrinfo(answer);
    return descriptor;
}

int socket_unsent(int descriptor) {
    int count = 0;
    return ioctl(descriptor, SIOCOUTQNSD, &count) == 0 ? count : 0;
}

void socket_reset(int descriptor) {
    struct linger linger = {.l_onoff = 1};
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(descriptor);
}
