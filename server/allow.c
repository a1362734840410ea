#include "server/allow.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/key_list.h"
#include "common/number.h"
#include "common/tensor.h"
#include "server/network.h"

#define CONNECTIONS_HIGH 1000000

struct allow {
    atomic_size_t references;
    struct allow_entry *entries; /* in byte order of their keys, once read */
    size_t count, room;
};

static const char *const roles[] = {
    [ROLE_NONE] = "none", [ROLE_READER] = "reader", [ROLE_WORKER] = "worker", [ROLE_ADMIN] = "admin"};

const char *role_name(enum role role) {
    return roles[role];
}

/* ---- Options ---------------------------------------------------------------------------------------------------- */

/* Calls `take` for each part of a list separated by commas; the value is borrowed and cut in a copy. */
typedef enum canyon_status take_part(struct allow_entry *entry, const char *part, struct error *error);

static enum canyon_status each_part(struct allow_entry *entry, const char *value, take_part *take,
                                    struct error *error) {
    char part[KEY_LIST_LINE_BYTES + 1];
    enum canyon_status status = CANYON_OK;
    for (const char *at = value; at != NULL && status == CANYON_OK;) {
        const char *comma = strchr(at, ',');
        size_t length = comma != NULL ? (size_t)(comma - at) : strlen(at);
        assert(length < sizeof part);
        memcpy(part, at, length);
        part[length] = '\0';
        status = length > 0 ? take(entry, part, error)
                            : error_set(error, CANYON_INVALID_ARGUMENT, "a part of the list is empty");
        at = comma != NULL ? comma + 1 : NULL;
    }
    return status;
}

/* Grows an array by one. The members are read-only to everybody else, hence the casts. */
static void *grown(const void *array, size_t count, size_t each) {
    return realloc((void *)(uintptr_t)array, (count + 1) * each);
}

static enum canyon_status no_memory(struct error *error) {
    return error_set(error, CANYON_NO_MEMORY, "there is no memory for the list");
}

static enum canyon_status take_network(struct allow_entry *entry, const char *part, struct error *error) {
    struct network network;
    enum canyon_status status = network_parse(part, &network, error);
    if (status != CANYON_OK) {
        return status;
    }
    struct network *networks = grown(entry->networks, entry->network_count, sizeof *networks);
    if (networks == NULL) {
        return no_memory(error);
    }
    networks[entry->network_count++] = network;
    entry->networks = networks;
    return CANYON_OK;
}

static enum canyon_status take_pattern(struct allow_entry *entry, const char *part, struct error *error) {
    char name[LIMIT_NAME_BYTES] = "";
    size_t length = strlen(part), named = part[length - 1] == '*' ? length - 1 : length;
    if (named < sizeof name) {
        memcpy(name, part, named);
    }
    if (named >= sizeof name || (named > 0 && name_check(name, "tensor", NULL) != CANYON_OK)) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "\"%.40s\" is neither a tensor's name nor the beginning of one followed by *", part);
    }
    const char **tensors = grown(entry->tensors, entry->tensor_count, sizeof *tensors);
    if (tensors == NULL) {
        return no_memory(error);
    }
    entry->tensors = tensors;
    tensors[entry->tensor_count] = strdup(part);
    if (tensors[entry->tensor_count] == NULL) {
        return no_memory(error);
    }
    entry->tensor_count++;
    return CANYON_OK;
}

static enum canyon_status set_from(struct allow_entry *entry, const char *value, struct error *error) {
    return each_part(entry, value, take_network, error);
}

static enum canyon_status set_tensors(struct allow_entry *entry, const char *value, struct error *error) {
    return each_part(entry, value, take_pattern, error);
}

static enum canyon_status set_conns(struct allow_entry *entry, const char *value, struct error *error) {
    uint64_t number = 0;
    if (!number_parse_u64(value, CONNECTIONS_HIGH, &number) || number == 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "must be a whole number from 1 to %d", CONNECTIONS_HIGH);
    }
    entry->connections = (uint32_t)number;
    return CANYON_OK;
}

/* "200M/s": digits, a unit, and the second. */
static enum canyon_status set_push_bytes(struct allow_entry *entry, const char *value, struct error *error) {
    static const struct unit {
        const char *name;
        uint64_t bytes;
    } units[] = {
        {"", 1},
        {"K", 1000},
        {"M", 1000000},
        {"G", 1000000000},
        {"T", 1000000000000},
        {"Ki", 1ull << 10},
        {"Mi", 1ull << 20},
        {"Gi", 1ull << 30},
        {"Ti", 1ull << 40},
    };
    char digits[NUMBER_TEXT_BYTES] = "", unit[4] = "";
    size_t length = strlen(value), figures = strspn(value, "0123456789");
    if (length >= 2 && strcmp(value + length - 2, "/s") == 0) {
        length -= 2;
    }
    uint64_t number = 0, bytes = 0;
    if (figures < sizeof digits && figures <= length && length - figures < sizeof unit) {
        memcpy(digits, value, figures);
        memcpy(unit, value + figures, length - figures);
        for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
            bytes = strcmp(unit, units[i].name) == 0 ? units[i].bytes : bytes;
        }
    }
    if (bytes == 0 || !number_parse_u64(digits, UINT64_MAX / bytes, &number) || number == 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "must be bytes a second, such as 200M/s: a number above 0, and K, M, G or T, or Ki, Mi, Gi or "
                         "Ti");
    }
    entry->push_bytes = number * bytes;
    return CANYON_OK;
}

static const struct option {
    const char *name;
    enum canyon_status (*set)(struct allow_entry *entry, const char *value, struct error *error);
} options[] = {{"from", set_from}, {"conns", set_conns}, {"push_bytes", set_push_bytes}, {"tensors", set_tensors}};

static enum canyon_status set_option(struct allow_entry *entry, const struct key_list_option *given,
                                     struct error *error) {
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (strcmp(options[i].name, given->key) == 0) {
            enum canyon_status status = options[i].set(entry, given->value, error);
            if (status != CANYON_OK) {
                error_prefix(error, "%s=%.40s", given->key, given->value);
            }
            return status;
        }
    }
    return error_set(error, CANYON_INVALID_ARGUMENT,
                     "there is no option %.40s; the options are from, conns, push_bytes and tensors", given->key);
}

/* ---- Reading ---------------------------------------------------------------------------------------------------- */

static void finish_entry(struct allow_entry *entry) {
    for (size_t i = 0; i < entry->tensor_count; i++) {
        free((void *)(uintptr_t)entry->tensors[i]);
    }
    free((void *)(uintptr_t)entry->tensors);
    free((void *)(uintptr_t)entry->networks);
}

static enum canyon_status fill_entry(struct allow_entry *entry, const struct key_list_line *line, struct error *error) {
    for (enum role role = ROLE_READER; role <= ROLE_ADMIN; role++) {
        entry->role = strcmp(line->kind, roles[role]) == 0 ? role : entry->role;
    }
    if (entry->role == ROLE_NONE) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "\"%.40s\" is no role; the roles are reader, worker and admin",
                         line->kind);
    }
    enum canyon_status status = name_check(line->name, "key", error);
    if (status != CANYON_OK) {
        return CANYON_INVALID_ARGUMENT;
    }
    memcpy(entry->name, line->name, strlen(line->name) + 1);
    memcpy(entry->key, line->key, KEY_BYTES);
    entry->line = line->number;
    for (size_t i = 0; i < line->option_count && status == CANYON_OK; i++) {
        status = set_option(entry, &line->options[i], error);
    }
    return status;
}

static enum canyon_status take_line(void *user, const struct key_list_line *line, struct error *error) {
    struct allow *allow = user;
    if (allow->count == allow->room) {
        size_t room = allow->room == 0 ? 16 : 2 * allow->room;
        struct allow_entry *entries = realloc(allow->entries, room * sizeof *entries);
        if (entries == NULL) {
            return no_memory(error);
        }
        allow->entries = entries;
        allow->room = room;
    }
    struct allow_entry *entry = &allow->entries[allow->count++];
    memset(entry, 0, sizeof *entry);
    return fill_entry(entry, line, error);
}

static int by_key(const void *one, const void *two) {
    const struct allow_entry *a = one, *b = two;
    return memcmp(a->key, b->key, KEY_BYTES);
}

static int by_name(const void *one, const void *two) {
    const struct allow_entry *const *a = one, *const *b = two;
    return strcmp((*a)->name, (*b)->name);
}

static enum canyon_status doubled(const char *what, const char *name, const struct allow_entry *a,
                                  const struct allow_entry *b, struct error *error) {
    size_t first = a->line < b->line ? a->line : b->line, second = a->line + b->line - first;
    return error_set(error, CANYON_INVALID_ARGUMENT, "line %zu: the %s %s is on line %zu already", second, what, name,
                     first);
}

/* Sorts the entries and refuses what comes twice. */
static enum canyon_status put_in_order(struct allow *allow, struct error *error) {
    enum canyon_status status = CANYON_OK;
    const struct allow_entry **names = malloc((allow->count + 1) * sizeof *names);
    if (names == NULL) {
        return no_memory(error);
    }
    if (allow->count > 0) {
        qsort(allow->entries, allow->count, sizeof *allow->entries, by_key);
    }
    for (size_t i = 0; i < allow->count; i++) {
        names[i] = &allow->entries[i];
    }
    qsort(names, allow->count, sizeof *names, by_name);
    for (size_t i = 1; i < allow->count && status == CANYON_OK; i++) {
        char text[KEY_FINGERPRINT_BYTES];
        const struct allow_entry *before = &allow->entries[i - 1], *entry = &allow->entries[i];
        if (memcmp(before->key, entry->key, KEY_BYTES) == 0) {
            status = doubled("key", key_fingerprint(entry->key, text), before, entry, error);
        } else if (strcmp(names[i - 1]->name, names[i]->name) == 0) {
            status = doubled("name", names[i]->name, names[i - 1], names[i], error);
        }
    }
    free(names);
    return status;
}

/* Ends a reading, of a file unless `path` is NULL. */
static enum canyon_status finish_reading(enum canyon_status status, struct allow *made, const char *path,
                                         struct allow **allow, struct error *error) {
    if (status == CANYON_OK) {
        status = put_in_order(made, error);
        if (status != CANYON_OK && path != NULL) {
            error_prefix(error, "%.120s", path);
        }
    }
    if (status == CANYON_OK) {
        *allow = made;
    } else {
        allow_release(made);
    }
    return status;
}

static struct allow *create(struct error *error) {
    struct allow *allow = calloc(1, sizeof *allow);
    if (allow == NULL) {
        no_memory(error);
    } else {
        atomic_init(&allow->references, 1);
    }
    return allow;
}

enum canyon_status allow_read(const char *path, struct allow **allow, struct error *error) {
    struct allow *made = create(error);
    if (made == NULL) {
        return CANYON_NO_MEMORY;
    }
    enum canyon_status status = key_list_read(path, ALLOW_FORMAT, take_line, made, error);
    return finish_reading(status, made, path, allow, error);
}

enum canyon_status allow_parse(const char *text, size_t bytes, struct allow **allow, struct error *error) {
    struct allow *made = create(error);
    if (made == NULL) {
        return CANYON_NO_MEMORY;
    }
    enum canyon_status status = key_list_parse(text, bytes, ALLOW_FORMAT, take_line, made, error);
    return finish_reading(status, made, NULL, allow, error);
}

struct allow *allow_hold(struct allow *allow) {
    atomic_fetch_add_explicit(&allow->references, 1, memory_order_relaxed);
    return allow;
}

void allow_release(struct allow *allow) {
    if (allow == NULL || atomic_fetch_sub_explicit(&allow->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < allow->count; i++) {
        finish_entry(&allow->entries[i]);
    }
    free(allow->entries);
    free(allow);
}

/* ---- Asking ----------------------------------------------------------------------------------------------------- */

static int compare_key(const void *key, const void *entry) {
    return memcmp(key, ((const struct allow_entry *)entry)->key, KEY_BYTES);
}

const struct allow_entry *allow_find(const struct allow *allow, const uint8_t key[KEY_BYTES]) {
    return allow->count == 0 ? NULL : bsearch(key, allow->entries, allow->count, sizeof *allow->entries, compare_key);
}

bool allow_from(const struct allow_entry *entry, const struct sockaddr *address) {
    bool found = entry->network_count == 0;
    for (size_t i = 0; i < entry->network_count && !found; i++) {
        found = network_has(&entry->networks[i], address);
    }
    return found;
}

bool allow_tensor(const struct allow_entry *entry, const char *tensor) {
    bool found = entry->tensor_count == 0;
    for (size_t i = 0; i < entry->tensor_count && !found; i++) {
        const char *pattern = entry->tensors[i];
        size_t length = strlen(pattern);
        found = pattern[length - 1] == '*' ? strncmp(tensor, pattern, length - 1) == 0 : strcmp(tensor, pattern) == 0;
    }
    return found;
}

size_t allow_count(const struct allow *allow) {
    return allow->count;
}
