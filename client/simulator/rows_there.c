#include "client/simulator/rows_there.h"

#include <stdio.h>

enum canyon_status rows_connect(const struct place *place, const char *name, canyon_client **client, char *text,
                                size_t bytes) {
    struct canyon_options options;
    canyon_options_init(&options);
    options.servers = place->servers;
    options.name = name;
    options.timeout_ms = place->timeout_ms;
    keys_apply(&place->keys, &options);
    enum canyon_status status = canyon_connect(&options, client);
    if (status != CANYON_OK) {
        *client = NULL;
        snprintf(text, bytes, "cannot connect: %s", canyon_error_text());
    }
    return status;
}

enum canyon_status rows_open_there(canyon_client *client, const struct rows_spec *spec, struct rows **rows, char *text,
                                   size_t bytes) {
    (void)client;
    *rows = NULL;
    snprintf(text, bytes, "cannot open table '%s': servers have no tables yet; use --single", spec->name);
    return CANYON_UNSUPPORTED;
}

enum canyon_status rows_drop(canyon_client *client, const char *name, char *text, size_t bytes) {
    (void)client;
    (void)name;
    (void)text;
    (void)bytes;
    return CANYON_OK;
}
