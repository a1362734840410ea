#include "client/options.h"

#include <stddef.h>
#include <string.h>

#include "common/congestion.h"
#include "common/consistency.h"
#include "common/limits.h"

#define DEFAULT_TIMEOUT_MS   10000u
#define DEFAULT_CONNECT_MS   3000u
#define DEFAULT_RECONNECT_MS 10000u
#define RECONNECT_MS_HIGH    300000u
#define SPIN_US_HIGH         1000000u

void canyon_options_init_sized(struct canyon_options *options, size_t size) {
    struct canyon_options defaults = {.size = size,
                                      .timeout_ms = DEFAULT_TIMEOUT_MS,
                                      .connect_ms = DEFAULT_CONNECT_MS,
                                      .reconnect_ms = DEFAULT_RECONNECT_MS,
                                      .log_level = CANYON_LOG_INFO};
    /* A newer header's fields are zero: canyon_connect refuses them by their size. */
    memset(options, 0, size);
    memcpy(options, &defaults, size < sizeof defaults ? size : sizeof defaults);
}

enum canyon_status options_take(const struct canyon_options *given, struct canyon_options *options,
                                struct error *error) {
    if (given == NULL || given->size < offsetof(struct canyon_options, servers) + sizeof given->servers)
        return error_set(error, CANYON_INVALID_ARGUMENT, "the options are %s: call canyon_options_init first",
                         given == NULL ? "NULL" : "not initialised");
    if (given->size > sizeof *options)
        return error_set(
            error, CANYON_UNSUPPORTED,
            "the options are %zu bytes, this library (%s) knows %zu: the program was built for a newer one",
            given->size, CANYON_VERSION_TEXT, sizeof *options);
    canyon_options_init(options);
    memcpy(options, given, given->size);
    if (options->servers == NULL || options->servers[0] == '\0')
        return error_set(error, CANYON_INVALID_ARGUMENT, "options.servers is empty: name a server as \"HOST:PORT\"");
    if (options->timeout_ms == 0)
        options->timeout_ms = DEFAULT_TIMEOUT_MS;
    if (options->connect_ms == 0)
        options->connect_ms = DEFAULT_CONNECT_MS;
    if (options->name == NULL)
        options->name = "worker";
    if (strlen(options->name) >= LIMIT_NAME_BYTES)
        return error_set(error, CANYON_INVALID_ARGUMENT, "options.name is longer than %d bytes", LIMIT_NAME_BYTES - 1);
    if (options->congestion == NULL)
        options->congestion = "auto";
    if (congestion_check(options->congestion, error) != CANYON_OK) {
        error_prefix(error, "options.congestion = %.80s", options->congestion);
        return CANYON_INVALID_ARGUMENT;
    }
    if (options->spin_us > SPIN_US_HIGH)
        return error_set(error, CANYON_INVALID_ARGUMENT, "options.spin_us is %u: it can be 0 to %u", options->spin_us,
                         SPIN_US_HIGH);
    if (options->reconnect_ms > RECONNECT_MS_HIGH)
        return error_set(error, CANYON_INVALID_ARGUMENT, "options.reconnect_ms is %u: it can be 0 to %u",
                         options->reconnect_ms, RECONNECT_MS_HIGH);
    struct consistency mode;
    if (options->consistency != NULL && consistency_parse(options->consistency, &mode, error) != CANYON_OK) {
        error_prefix(error, "options.consistency");
        return CANYON_INVALID_ARGUMENT;
    }
    if (options->insecure_plaintext < 0 || options->insecure_plaintext > 2)
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "options.insecure_plaintext is %d: it can be 0, 1 (with servers on this machine) or 2 "
                         "(anywhere)",
                         options->insecure_plaintext);
    if (options->insecure_plaintext != 0 && (options->key_file != NULL || options->known_servers_file != NULL))
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "options.insecure_plaintext does without keys, but options.%s names some: leave one out",
                         options->key_file != NULL ? "key_file" : "known_servers_file");
    return CANYON_OK;
}
