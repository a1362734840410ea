#include "common/congestion.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/address.h"

#define LIST_PATH "/proc/sys/net/ipv4/tcp_available_congestion_control"

static bool use(int descriptor, const char *name) {
    return setsockopt(descriptor, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)) == 0;
}

/* "auto" and "system" name no algorithm. */
static bool is_rule(const char *name) {
    return strcmp(name, "auto") == 0 || strcmp(name, "system") == 0;
}

/* The names that the system has, on one line. */
static void list_names(char *names, size_t bytes) {
    FILE *file = fopen(LIST_PATH, "re");
    names[0] = '\0';
    if (file != NULL) {
        if (fgets(names, (int)bytes, file) == NULL) {
            names[0] = '\0';
        }
        fclose(file);
    }
    names[strcspn(names, "\n")] = '\0';
}

enum canyon_status congestion_check(const char *name, struct error *error) {
    char names[128];
    if (is_rule(name)) {
        return CANYON_OK;
    }
    size_t length = strlen(name);
    int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
    bool good = length > 0 && length < CONGESTION_NAME_BYTES && probe >= 0 && use(probe, name);
    int reason = errno;
    if (probe >= 0) {
        close(probe);
    }
    if (good) {
        return CANYON_OK;
    }
    if (length > 0 && length < CONGESTION_NAME_BYTES && reason == EPERM) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "must be one that this user may choose: see sysctl net.ipv4.tcp_allowed_congestion_control");
    }
    list_names(names, sizeof names);
    return error_set(error, CANYON_INVALID_ARGUMENT, "must be auto, system or a congestion control of this system (%s)",
                     names[0] != '\0' ? names : "which does not tell its names");
}

void congestion_set(int descriptor, const struct sockaddr *peer, const char *name) {
    if (strcmp(name, "auto") == 0) {
        if (address_is_loopback(peer) && !use(descriptor, "cubic")) {
            (void)use(descriptor, "reno");
        }
    } else if (!is_rule(name)) {
        (void)use(descriptor, name);
    }
}
