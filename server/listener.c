#include "server/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024

static bool is_loopback(const struct sockaddr_storage *name) {
    const struct in6_addr *six = &((const struct sockaddr_in6 *)name)->sin6_addr;
    if (name->ss_family == AF_INET) {
        return ntohl(((const struct sockaddr_in *)name)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == IN_LOOPBACKNET);
}

/* The socket's own address, numeric. */
static bool socket_address(int descriptor, struct address *address, bool *loopback) {
    struct sockaddr_storage name;
    socklen_t bytes = sizeof name;
    if (getsockname(descriptor, (struct sockaddr *)&name, &bytes) != 0 ||
        (name.ss_family != AF_INET && name.ss_family != AF_INET6)) {
        return false;
    }
    in_port_t port =
        name.ss_family == AF_INET ? ((struct sockaddr_in *)&name)->sin_port : ((struct sockaddr_in6 *)&name)->sin6_port;
    address->port = ntohs(port);
    *loopback = is_loopback(&name);
    return getnameinfo((struct sockaddr *)&name, bytes, address->host, sizeof address->host, NULL, 0, NI_NUMERICHOST) ==
           0;
}

static bool make_nonblocking(int descriptor) {
    int flags = fcntl(descriptor, F_GETFL);
    return flags >= 0 && fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) == 0 &&
           fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0;
}

/* A socket listening at one resolved address, or -1 with errno. */
static int listen_at(const struct addrinfo *at) {
    const int on = 1;
    int descriptor = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (descriptor < 0) {
        return -1;
    }
    if (setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        (at->ai_family == AF_INET6 && setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) ||
        bind(descriptor, at->ai_addr, at->ai_addrlen) != 0 || listen(descriptor, BACKLOG) != 0) {
        int reason = errno;
        close(descriptor);
        errno = reason;
        return -1;
    }
    return descriptor;
}

static const char *advice(int reason) {
    switch (reason) {
    case EADDRINUSE:
        return ": another program, perhaps another canyon-server, listens there; stop it or choose another --listen";
    case EACCES:
        return ": ports below 1024 need privileges; choose a higher one";
    case EADDRNOTAVAIL:
        return ": this machine has no such address; --listen takes one of its own (see `ip address`)";
    default:
        return "";
    }
}

enum canyon_status listener_open(const struct address *address, struct listener *listener, struct error *error) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    struct address actual;
    char text[LIMIT_ADDRESS_BYTES], port[8];
    int reason = EADDRNOTAVAIL;
    enum canyon_status status = CANYON_OK;

    listener->descriptor = -1;
    address_text(address, text, sizeof text);
    snprintf(port, sizeof port, "%u", address->port);
    int failure = getaddrinfo(address->host, port, &hints, &found);
    if (failure != 0) {
        return error_set(error, CANYON_UNAVAILABLE, "cannot listen on %.150s: %s", text, gai_strerror(failure));
    }
    for (struct addrinfo *at = found; at != NULL && listener->descriptor < 0; at = at->ai_next) {
        listener->descriptor = listen_at(at);
        reason = errno;
    }
    if (listener->descriptor < 0) {
        status = error_set(error, CANYON_UNAVAILABLE, "cannot listen on %.100s: %s%s", text, strerror(reason),
                           advice(reason));
    } else if (!socket_address(listener->descriptor, &actual, &listener->loopback)) {
        listener_close(listener);
        status = error_set(error, CANYON_UNAVAILABLE, "cannot learn the port of %.150s: %s", text, strerror(errno));
    } else {
        listener->address = *address;
        listener->address.port = actual.port;
    }
    freeaddrinfo(found);
    return status;
}

enum canyon_status listener_inherit(int number, struct listener *listener, struct error *error) {
    int listening = 0;
    socklen_t bytes = sizeof listening;
    if (getsockopt(number, SOL_SOCKET, SO_ACCEPTCONN, &listening, &bytes) != 0 || !listening ||
        !socket_address(number, &listener->address, &listener->loopback) || !make_nonblocking(number)) {
        listener->descriptor = -1;
        return error_set(error, CANYON_CONFIGURATION,
                         "listen = fd:%d: descriptor %d is not a listening TCP socket; whoever starts this server must "
                         "bind and listen, and pass the descriptor on",
                         number, number);
    }
    listener->descriptor = number;
    return CANYON_OK;
}

void listener_close(struct listener *listener) {
    if (listener->descriptor >= 0) {
        close(listener->descriptor);
        listener->descriptor = -1;
    }
}
