#include "server/config.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "server/config_file.h"

void config_finish(struct config *config) {
    if (config != NULL) {
        job_finish(&config->job);
    }
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
    const char *next = *at + 1 < argc ? argv[*at + 1] : "";
    if (equals != NULL) {
        *value = equals + 1;
    } else if (config_is_switch(key) && strcmp(next, "yes") != 0 && strcmp(next, "no") != 0) {
        *value = "yes";
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

/* A numeric address that other machines may reach; of a name nothing is known before it is resolved. */
static bool is_reachable(const char *host) {
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, host, &four) == 1) {
        return ntohl(four.s_addr) >> 24 != IN_LOOPBACKNET;
    }
    return inet_pton(AF_INET6, host, &six) == 1 && !IN6_IS_ADDR_LOOPBACK(&six);
}

enum canyon_status config_check_reach(const struct config *config, bool loopback, struct error *error) {
    if (config->plaintext && !config->plaintext_anywhere && !loopback) {
        return error_set(
            error, CANYON_CONFIGURATION,
            "insecure-plaintext = yes, but listening where other machines can connect (%.80s): whoever can "
            "reach it could read and change everything. Use keys (canyon keygen --server), or say "
            "insecure-plaintext-anywhere = yes",
            config->listen);
    }
    return CANYON_OK;
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
    if (config_check_reach(config, !is_reachable(listening->host), error) != CANYON_OK) {
        return CANYON_CONFIGURATION;
    }
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
