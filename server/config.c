#include "server/config.h"

#include <arpa/inet.h>
#include <assert.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/tensor.h"
#include "server/config_file.h"

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

static const struct key keys[] = {
    {"listen", set_listen, write_listen},
    {"advertise", set_advertise, write_advertise},
    {"servers", set_servers, write_servers},
    {"threads", set_threads, write_threads},
    {"job", set_job, write_job},
    {"shards", set_shards, write_shards},
    {"block", set_block, write_block},
    {"drain", set_drain, write_drain},
    {"log-level", set_log_level, write_log_level},
};
static const size_t key_count = sizeof keys / sizeof keys[0];

void config_init(struct config *config) {
    static const char *const defaults[][2] = {
        {"listen", "127.0.0.1:7077"}, {"threads", "1"}, {"job", "default"},    {"shards", "256"},
        {"block", "65536"},           {"drain", "5"},   {"log-level", "info"},
    };
    memset(config, 0, sizeof *config);
    job_init(&config->job);
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; ++i) {
        enum canyon_status status = config_set(config, defaults[i][0], defaults[i][1], NULL);
        assert(status == CANYON_OK);
        (void)status;
    }
}

void config_finish(struct config *config) {
    if (config != NULL) {
        job_finish(&config->job);
    }
}

const char *config_key(size_t index) {
    return index < key_count ? keys[index].name : NULL;
}

static enum canyon_status unknown_key(struct error *error) {
    char names[160] = "";
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

/* Splits "--key=value" or "--key value" at argv[*at]; *at moves to the last word used. */
static enum canyon_status split_argument(int argc, char *const *argv, int *at, char *key, size_t key_bytes,
                                         const char **value, struct error *error) {
    const char *word = argv[*at];
    const char *equals = strchr(word, '=');
    size_t length = equals != NULL ? (size_t)(equals - word) : strlen(word);
    if (strncmp(word, "--", 2) != 0 || length <= 2) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "command line: %.80s is not an option; see --help", word);
    }
    snprintf(key, key_bytes, "%.*s", (int)(length - 2), word + 2);
    if (equals != NULL) {
        *value = equals + 1;
    } else if (*at + 1 < argc) {
        *at += 1;
        *value = argv[*at];
    } else {
        return error_set(error, CANYON_INVALID_ARGUMENT, "command line: %.80s needs a value; see --help", word);
    }
    return CANYON_OK;
}

/* Words that stand alone. */
static bool parse_action(const char *word, enum config_action *action) {
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        *action = CONFIG_HELP;
    } else if (strcmp(word, "--version") == 0) {
        *action = CONFIG_VERSION;
    } else if (strcmp(word, "--check") == 0) {
        *action = CONFIG_CHECK;
    } else {
        return false;
    }
    return true;
}

/* One walk over the words: for the file when `for_file`, else for the keys. */
static enum canyon_status walk_arguments(struct config *config, int argc, char *const *argv, bool for_file,
                                         enum config_action *action, struct error *error) {
    enum canyon_status status = CANYON_OK;
    for (int i = 1; i < argc && status == CANYON_OK; ++i) {
        char key[64] = "";
        const char *value = "";
        if (parse_action(argv[i], action)) {
            continue;
        }
        status = split_argument(argc, argv, &i, key, sizeof key, &value, error);
        if (status != CANYON_OK) {
            break;
        }
        bool is_file = strcmp(key, "config") == 0;
        if (is_file && for_file) {
            status = config_file_read(config, value, error);
        } else if (!is_file && !for_file) {
            status = config_set(config, key, value, error);
            if (status != CANYON_OK) {
                error_prefix(error, "command line");
            }
        }
    }
    return status;
}

enum canyon_status config_arguments(struct config *config, int argc, char *const *argv, enum config_action *action,
                                    struct error *error) {
    *action = CONFIG_RUN;
    /* Whoever asks for help gets it, whatever else is wrong. */
    for (int i = 1; i < argc; ++i) {
        if (parse_action(argv[i], action) && *action != CONFIG_CHECK) {
            return CANYON_OK;
        }
    }
    enum canyon_status status = walk_arguments(config, argc, argv, true, action, error);
    if (status == CANYON_OK) {
        status = walk_arguments(config, argc, argv, false, action, error);
    }
    return status;
}

static bool is_wildcard(const char *host) {
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, host, &four) == 1) {
        return four.s_addr == htonl(INADDR_ANY);
    }
    return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_UNSPECIFIED(&six);
}

enum canyon_status config_place(struct config *config, const struct address *listening, struct error *error) {
    char text[LIMIT_ADDRESS_BYTES];
    struct job *job = &config->job;
    address_text(listening, text, sizeof text);
    if (config->advertise[0] == '\0') {
        if (is_wildcard(listening->host)) {
            return error_set(error, CANYON_CONFIGURATION,
                             "listening on %s, which no client can connect to by that name: say with advertise = "
                             "HOST:PORT how clients reach this server",
                             text);
        }
        if (listening->port == 0 && job->server_count > 0) {
            return error_set(error, CANYON_CONFIGURATION,
                             "listen = %s lets the system choose a port, which the list of servers cannot know: name a "
                             "port, or leave servers out to be the only one",
                             text);
        }
        if (listening->port == 0) {
            return CANYON_OK; /* to be decided once the port is known */
        }
        memcpy(config->advertise, text, sizeof text);
    }
    if (job->server_count == 0) {
        enum canyon_status status = job_set_servers(job, config->advertise, strlen(config->advertise), ',', error);
        if (status != CANYON_OK) {
            return status;
        }
    }
    config->server = job_find_server(job, config->advertise);
    if (config->server == job->server_count) {
        char *list = NULL;
        size_t list_bytes = 0;
        FILE *file = open_memstream(&list, &list_bytes);
        for (uint32_t i = 0; file != NULL && i < job->server_count; ++i) {
            fprintf(file, "%s%s", i == 0 ? "" : ",", job->servers[i]);
        }
        if (file != NULL) {
            fclose(file);
        }
        error_set(
            error, CANYON_CONFIGURATION,
            "advertise = %.100s is not in servers = %.120s: every server must be in the list, written the same way",
            config->advertise, list != NULL ? list : "");
        free(list);
        return CANYON_CONFIGURATION;
    }
    return job_check(job, error);
}

void config_write(const struct config *config, FILE *file) {
    for (size_t i = 0; i < key_count; ++i) {
        fprintf(file, "%s = ", keys[i].name);
        keys[i].write(config, file);
        fputc('\n', file);
    }
}
