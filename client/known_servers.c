#include "client/known_servers.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/address.h"
#include "common/key_list.h"

/* Port 0 of an entry: every port. */
struct entry {
    struct address address;
    struct known_server server;
    size_t line;
};

struct known_servers {
    struct entry *entries; /* in the order of by_address, once read */
    size_t count, room;
};

/* One spelling for one host: an IP address as the system writes it, a name in lower case. */
static void unify_host(char host[LIMIT_ADDRESS_BYTES]) {
    uint8_t bytes[16];
    int family = strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
    if (inet_pton(family, host, bytes) == 1) {
        inet_ntop(family, bytes, host, LIMIT_ADDRESS_BYTES);
        return;
    }
    for (char *at = host; *at != '\0'; at++) {
        *at = *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at;
    }
}

static int by_address(const void *one, const void *two) {
    const struct entry *a = one, *b = two;
    int order = strcmp(a->address.host, b->address.host);
    return order != 0 ? order : (int)a->address.port - (int)b->address.port;
}

/* ---- Reading ---------------------------------------------------------------------------------------------------- */

/* "HOST:PORT" or "HOST:*". */
static enum canyon_status parse_name(const char *name, struct address *address, struct error *error) {
    char text[LIMIT_ADDRESS_BYTES];
    size_t length = strlen(name);
    bool every_port = length >= 2 && strcmp(name + length - 2, ":*") == 0;
    if (length >= sizeof text) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "the address has %zu bytes, the limit is %zu", length,
                         sizeof text - 1);
    }
    memcpy(text, name, length + 1);
    if (every_port) {
        text[length - 1] = '0';
    }
    enum canyon_status status = address_parse(text, address, error);
    if (status == CANYON_OK && address->port == 0 && !every_port) {
        status = error_set(error, CANYON_INVALID_ARGUMENT,
                           "address \"%.128s\": no server has port 0; write HOST:* for every port", name);
    }
    if (status == CANYON_OK && strchr(address->host, '*') != NULL) {
        status = error_set(error, CANYON_INVALID_ARGUMENT,
                           "the host in \"%.128s\" must be named in full; only the port may be *", name);
    }
    if (status == CANYON_OK) {
        unify_host(address->host);
    }
    return status;
}

static enum canyon_status set_option(struct known_server *server, const struct key_list_option *option,
                                     struct error *error) {
    if (strcmp(option->key, "cipher") != 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "there is no option %.40s; the only one is cipher",
                         option->key);
    }
    if (!channel_cipher_parse(option->value, &server->cipher)) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "cipher=%.40s: must be chacha20poly1305 or aes256gcm",
                         option->value);
    }
    return CANYON_OK;
}

static enum canyon_status take_line(void *user, const struct key_list_line *line, struct error *error) {
    struct known_servers *known = user;
    struct entry entry = {.server.cipher = CHANNEL_CHACHA20POLY1305, .line = line->number};
    if (strcmp(line->kind, "server") != 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "a line begins with \"server\", not with \"%.40s\"",
                         line->kind);
    }
    enum canyon_status status = parse_name(line->name, &entry.address, error);
    for (size_t i = 0; i < line->option_count && status == CANYON_OK; i++) {
        status = set_option(&entry.server, &line->options[i], error);
    }
    if (status == CANYON_OK && known->count == known->room) {
        size_t room = known->room == 0 ? 16 : 2 * known->room;
        struct entry *entries = realloc(known->entries, room * sizeof *entries);
        if (entries == NULL) {
            return error_set(error, CANYON_NO_MEMORY, "there is no memory for the list");
        }
        known->entries = entries;
        known->room = room;
    }
    if (status == CANYON_OK) {
        memcpy(entry.server.key, line->key, KEY_BYTES);
        known->entries[known->count++] = entry;
    }
    return status;
}

/* Sorts the entries and refuses an address that comes twice. */
static enum canyon_status put_in_order(struct known_servers *known, struct error *error) {
    if (known->count == 0) {
        return CANYON_OK;
    }
    qsort(known->entries, known->count, sizeof *known->entries, by_address);
    for (size_t i = 1; i < known->count; i++) {
        const struct entry *a = &known->entries[i - 1], *b = &known->entries[i];
        if (by_address(a, b) == 0) {
            size_t first = a->line < b->line ? a->line : b->line;
            return error_set(error, CANYON_INVALID_ARGUMENT, "line %zu: the address is on line %zu already",
                             a->line + b->line - first, first);
        }
    }
    return CANYON_OK;
}

/* Ends a reading, of a file unless `path` is NULL. */
static enum canyon_status finish_reading(enum canyon_status status, struct known_servers *made, const char *path,
                                         struct known_servers **known, struct error *error) {
    if (status == CANYON_OK) {
        status = put_in_order(made, error);
        if (status != CANYON_OK && path != NULL) {
            error_prefix(error, "%.120s", path);
        }
    }
    if (status == CANYON_OK) {
        *known = made;
    } else {
        known_servers_destroy(made);
    }
    return status;
}

enum canyon_status known_servers_read(const char *path, struct known_servers **known, struct error *error) {
    struct known_servers *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return error_set(error, CANYON_NO_MEMORY, "there is no memory for the list");
    }
    enum canyon_status status = key_list_read(path, KNOWN_SERVERS_FORMAT, take_line, made, error);
    return finish_reading(status, made, path, known, error);
}

enum canyon_status known_servers_parse(const char *text, size_t bytes, struct known_servers **known,
                                       struct error *error) {
    struct known_servers *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return error_set(error, CANYON_NO_MEMORY, "there is no memory for the list");
    }
    enum canyon_status status = key_list_parse(text, bytes, KNOWN_SERVERS_FORMAT, take_line, made, error);
    return finish_reading(status, made, NULL, known, error);
}

void known_servers_destroy(struct known_servers *known) {
    if (known != NULL) {
        free(known->entries);
        free(known);
    }
}

/* ---- Asking ----------------------------------------------------------------------------------------------------- */

const struct known_server *known_servers_find(const struct known_servers *known, const char *address) {
    struct entry wanted;
    const struct entry *found = NULL;
    if (known->count == 0 || address_parse(address, &wanted.address, NULL) != CANYON_OK) {
        return NULL;
    }
    unify_host(wanted.address.host);
    found = bsearch(&wanted, known->entries, known->count, sizeof *known->entries, by_address);
    if (found == NULL) {
        wanted.address.port = 0;
        found = bsearch(&wanted, known->entries, known->count, sizeof *known->entries, by_address);
    }
    return found != NULL ? &found->server : NULL;
}
