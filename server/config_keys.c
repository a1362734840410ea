/* The keys: how the text of each is judged, and how it is written. */
#include "server/config.h"

#include <assert.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/tensor.h"

/* One key: how its text is judged and how it is written. A setter's text says only what is allowed. */
struct key {
    const char *name;
    enum canyon_status (*set)(struct config *config, const char *value, struct error *error);
    void (*write)(const struct config *config, FILE *file);
};

static enum canyon_status parse_number(const char *value, uint32_t low, uint32_t high, uint32_t *number,
                                       struct error *error) {
    unsigned long long parsed = 0;
    size_t digits = strspn(value, "0123456789");
    bool good = digits > 0 && digits < 12 && value[digits] == '\0';
    if (good) {
        parsed = strtoull(value, NULL, 10);
        good = parsed >= low && parsed <= high;
    }
    if (!good) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "must be a whole number from %u to %u", low, high);
    }
    *number = (uint32_t)parsed;
    return CANYON_OK;
}

static enum canyon_status set_listen(struct config *config, const char *value, struct error *error) {
    struct address address = {.port = 0};
    uint32_t descriptor = 0;
    bool inherited = strncmp(value, "fd:", 3) == 0;
    enum canyon_status status;
    if (inherited) {
        status = parse_number(value + 3, 0, INT_MAX, &descriptor, error);
    } else {
        status = address_parse(value, &address, error);
    }
    if (status == CANYON_OK && strlen(value) >= sizeof config->listen) {
        status = error_set(error, CANYON_INVALID_ARGUMENT, "is too long");
    }
    if (status != CANYON_OK) {
        error_prefix(error, "must be HOST:PORT, [IPv6]:PORT or fd:N");
        return CANYON_INVALID_ARGUMENT;
    }
    memcpy(config->listen, value, strlen(value) + 1);
    config->listen_descriptor = inherited ? (int)descriptor : -1;
    config->listen_address = address;
    return CANYON_OK;
}

static void write_listen(const struct config *config, FILE *file) {
    fputs(config->listen, file);
}

static enum canyon_status set_advertise(struct config *config, const char *value, struct error *error) {
    struct address address;
    if (value[0] == '\0') {
        config->advertise[0] = '\0';
        return CANYON_OK;
    }
    if (address_parse(value, &address, error) != CANYON_OK) {
        error_prefix(error, "must be HOST:PORT or [IPv6]:PORT as clients reach this server");
        return CANYON_INVALID_ARGUMENT;
    }
    if (address.port == 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "must name the port that clients connect to, not 0");
    }
    address_text(&address, config->advertise, sizeof config->advertise);
    return CANYON_OK;
}

static void write_advertise(const struct config *config, FILE *file) {
    fputs(config->advertise, file);
}

static enum canyon_status set_threads(struct config *config, const char *value, struct error *error) {
    return parse_number(value, 1, LIMIT_THREADS, &config->threads, error);
}

static void write_threads(const struct config *config, FILE *file) {
    fprintf(file, "%u", config->threads);
}

static enum canyon_status set_job(struct config *config, const char *value, struct error *error) {
    if (name_check(value, "job", error) != CANYON_OK) {
        return CANYON_INVALID_ARGUMENT;
    }
    memcpy(config->job.name, value, strlen(value) + 1);
    return CANYON_OK;
}

static void write_job(const struct config *config, FILE *file) {
    fputs(config->job.name, file);
}

static enum canyon_status set_shards(struct config *config, const char *value, struct error *error) {
    uint32_t shards = 0;
    if (parse_number(value, 1, LIMIT_SHARDS, &shards, NULL) != CANYON_OK || (shards & (shards - 1)) != 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "must be a power of two from 1 to %u", LIMIT_SHARDS);
    }
    config->job.shards = shards;
    return CANYON_OK;
}

static void write_shards(const struct config *config, FILE *file) {
    fprintf(file, "%u", config->job.shards);
}

static enum canyon_status set_block(struct config *config, const char *value, struct error *error) {
    return parse_number(value, LIMIT_BLOCK_LOW, LIMIT_BLOCK_HIGH, &config->job.block, error);
}

static void write_block(const struct config *config, FILE *file) {
    fprintf(file, "%u", config->job.block);
}

static enum canyon_status set_servers(struct config *config, const char *value, struct error *error) {
    if (value[0] == '\0') {
        free(config->job.servers);
        config->job.servers = NULL;
        config->job.server_count = 0;
        return CANYON_OK;
    }
    return job_set_servers(&config->job, value, strlen(value), ',', error) == CANYON_OK ? CANYON_OK
                                                                                        : CANYON_INVALID_ARGUMENT;
}

static void write_servers(const struct config *config, FILE *file) {
    for (uint32_t i = 0; i < config->job.server_count; ++i) {
        /* One on each line, since a line of a file has a limit and a list may be long. */
        fprintf(file, "%s%s", i == 0 ? "" : ",\n    ", config->job.servers[i]);
    }
}

static enum canyon_status set_drain(struct config *config, const char *value, struct error *error) {
    return parse_number(value, 0, CONFIG_DRAIN_MAX, &config->drain, error);
}

static void write_drain(const struct config *config, FILE *file) {
    fprintf(file, "%u", config->drain);
}

static enum canyon_status set_log_level(struct config *config, const char *value, struct error *error) {
    if (log_level_parse(value, &config->log_level) != 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "must be debug, info, warning, error or silent");
    }
    return CANYON_OK;
}

static void write_log_level(const struct config *config, FILE *file) {
    fputs(log_level_name(config->log_level), file);
}

static enum canyon_status set_path(char path[HOME_PATH_BYTES], const char *value, struct error *error) {
    if (strlen(value) >= HOME_PATH_BYTES) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "must be a path of at most %d bytes", HOME_PATH_BYTES - 1);
    }
    memcpy(path, value, strlen(value) + 1);
    return CANYON_OK;
}

static enum canyon_status set_key(struct config *config, const char *value, struct error *error) {
    return set_path(config->key, value, error);
}

static void write_key(const struct config *config, FILE *file) {
    fputs(config->key, file);
}

static enum canyon_status set_allow(struct config *config, const char *value, struct error *error) {
    return set_path(config->allow, value, error);
}

static void write_allow(const struct config *config, FILE *file) {
    fputs(config->allow, file);
}

static enum canyon_status set_cipher(struct config *config, const char *value, struct error *error) {
    if (!channel_cipher_parse(value, &config->cipher)) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "must be chacha20poly1305 or aes256gcm");
    }
    return CANYON_OK;
}

static void write_cipher(const struct config *config, FILE *file) {
    fputs(channel_cipher_name(config->cipher), file);
}

static enum canyon_status set_connections(struct config *config, const char *value, struct error *error) {
    if (value[0] == '\0') {
        config->connections = 0;
        return CANYON_OK;
    }
    return parse_number(value, 1, CONFIG_CONNECTIONS_MAX, &config->connections, error);
}

static void write_connections(const struct config *config, FILE *file) {
    if (config->connections > 0) {
        fprintf(file, "%u", config->connections);
    }
}

static enum canyon_status set_connections_per_key(struct config *config, const char *value, struct error *error) {
    return parse_number(value, 1, CONFIG_CONNECTIONS_MAX, &config->connections_per_key, error);
}

static void write_connections_per_key(const struct config *config, FILE *file) {
    fprintf(file, "%u", config->connections_per_key);
}

static enum canyon_status parse_switch(const char *value, bool *on, struct error *error) {
    bool yes = strcmp(value, "yes") == 0;
    if (!yes && strcmp(value, "no") != 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "must be yes or no");
    }
    *on = yes;
    return CANYON_OK;
}

static void write_switch(bool on, FILE *file) {
    fputs(on ? "yes" : "no", file);
}

static enum canyon_status set_plaintext(struct config *config, const char *value, struct error *error) {
    return parse_switch(value, &config->plaintext, error);
}

static void write_plaintext(const struct config *config, FILE *file) {
    write_switch(config->plaintext, file);
}

static enum canyon_status set_plaintext_anywhere(struct config *config, const char *value, struct error *error) {
    return parse_switch(value, &config->plaintext_anywhere, error);
}

static void write_plaintext_anywhere(const struct config *config, FILE *file) {
    write_switch(config->plaintext_anywhere, file);
}

/* "75%", or bytes: "900000000", "900M", "8G", "1T". */
static enum canyon_status set_memory_limit(struct config *config, const char *value, struct error *error) {
    static const char units[] = "KMGT";
    unsigned long long number = 0;
    size_t digits = strspn(value, "0123456789");
    const char *unit = value + digits, *found = unit[0] != '\0' ? strchr(units, unit[0]) : NULL;
    bool good = digits > 0 && digits < 16 && (unit[0] == '\0' || unit[1] == '\0');
    if (good) {
        number = strtoull(value, NULL, 10);
        good = number > 0;
    }
    if (good && unit[0] == '%' && number <= 100) {
        config->memory_percent = (uint32_t)number;
        config->memory_limit = 0;
        return CANYON_OK;
    }
    unsigned shift = found != NULL ? 10 * (unsigned)(found - units + 1) : 0;
    if (!good || (unit[0] != '\0' && found == NULL) || number > (1ull << 60) >> shift) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "must be bytes, such as 900M or 8G (K, M, G, T), or a share of the machine's memory, such as "
                         "75%% (1%% to 100%%)");
    }
    config->memory_limit = number << shift;
    config->memory_percent = 0;
    return CANYON_OK;
}

static void write_memory_limit(const struct config *config, FILE *file) {
    if (config->memory_limit > 0) {
        fprintf(file, "%llu", (unsigned long long)config->memory_limit);
    } else {
        fprintf(file, "%u%%", config->memory_percent);
    }
}

static enum canyon_status set_pin(struct config *config, const char *value, struct error *error) {
    enum canyon_status status = affinity_check(value, error);
    if (status == CANYON_OK) {
        memcpy(config->pin, value, strlen(value) + 1);
    }
    return status;
}

static void write_pin(const struct config *config, FILE *file) {
    fputs(config->pin, file);
}

static enum canyon_status set_congestion(struct config *config, const char *value, struct error *error) {
    enum canyon_status status = congestion_check(value, error);
    if (status == CANYON_OK) {
        memcpy(config->congestion, value, strlen(value) + 1);
    }
    return status;
}

static void write_congestion(const struct config *config, FILE *file) {
    fputs(config->congestion, file);
}

static enum canyon_status set_spin(struct config *config, const char *value, struct error *error) {
    return parse_number(value, 0, CONFIG_SPIN_MAX, &config->spin, error);
}

static void write_spin(const struct config *config, FILE *file) {
    fprintf(file, "%u", config->spin);
}

static enum canyon_status set_lease(struct config *config, const char *value, struct error *error) {
    return parse_number(value, CONFIG_LEASE_MIN, CONFIG_LEASE_MAX, &config->lease, error);
}

static void write_lease(const struct config *config, FILE *file) {
    fprintf(file, "%u", config->lease);
}

static const struct key keys[] = {
    {"listen", set_listen, write_listen},
    {"advertise", set_advertise, write_advertise},
    {"servers", set_servers, write_servers},
    {"threads", set_threads, write_threads},
    {"job", set_job, write_job},
    {"shards", set_shards, write_shards},
    {"block", set_block, write_block},
    {"memory-limit", set_memory_limit, write_memory_limit},
    {"pin", set_pin, write_pin},
    {"congestion", set_congestion, write_congestion},
    {"spin", set_spin, write_spin},
    {"lease", set_lease, write_lease},
    {"drain", set_drain, write_drain},
    {"log-level", set_log_level, write_log_level},
    {"key", set_key, write_key},
    {"allow", set_allow, write_allow},
    {"cipher", set_cipher, write_cipher},
    {"connections", set_connections, write_connections},
    {"connections-per-key", set_connections_per_key, write_connections_per_key},
    {"insecure-plaintext", set_plaintext, write_plaintext},
    {"insecure-plaintext-anywhere", set_plaintext_anywhere, write_plaintext_anywhere},
};
static const size_t key_count = sizeof keys / sizeof keys[0];

void config_init(struct config *config) {
    static const char *const defaults[][2] = {
        {"listen", "127.0.0.1:7077"},
        {"threads", "1"},
        {"job", "default"},
        {"shards", "256"},
        {"block", "65536"},
        {"congestion", "auto"},
        {"spin", "0"},
        {"lease", "10000"},
        {"drain", "5"},
        {"log-level", "info"},
        {"memory-limit", "75%"},
        {"connections-per-key", "4096"},
    };
    memset(config, 0, sizeof *config);
    job_init(&config->job);
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; ++i) {
        enum canyon_status status = config_set(config, defaults[i][0], defaults[i][1], NULL);
        assert(status == CANYON_OK);
        (void)status;
    }
}

const char *config_key(size_t index) {
    return index < key_count ? keys[index].name : NULL;
}

bool config_encrypts(const struct config *config) {
    return !config->plaintext;
}

bool config_is_switch(const char *key) {
    return strcmp(key, "insecure-plaintext") == 0 || strcmp(key, "insecure-plaintext-anywhere") == 0;
}

uint64_t config_memory(const struct config *config, uint64_t machine) {
    return config->memory_limit > 0 ? config->memory_limit : machine / 100 * config->memory_percent;
}

static enum canyon_status unknown_key(struct error *error) {
    char names[ERROR_TEXT_BYTES] = "";
    for (size_t i = 0; i < key_count; ++i) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i == 0 ? "" : ", ", keys[i].name);
    }
    return error_set(error, CANYON_INVALID_ARGUMENT, "there is no such key; the keys are %s", names);
}

enum canyon_status config_set(struct config *config, const char *key, const char *value, struct error *error) {
    size_t i = 0;
    while (i < key_count && strcmp(keys[i].name, key) != 0) {
        ++i;
    }
    enum canyon_status status = i < key_count ? keys[i].set(config, value, error) : unknown_key(error);
    if (status != CANYON_OK) {
        error_prefix(error, "%.40s = %.80s", key, value);
    }
    return status;
}

void config_write(const struct config *config, FILE *file) {
    for (size_t i = 0; i < key_count; ++i) {
        fprintf(file, "%s = ", keys[i].name);
        keys[i].write(config, file);
        fputc('\n', file);
    }
}
