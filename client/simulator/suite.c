#include "client/simulator/suite.h"

#include <stdio.h>
#include <string.h>

static bool is_all(const char *text) {
    return strcmp(text, "all") == 0;
}

enum arguments_verdict suite_check(const struct command_line *line, const struct argument_texts *asked) {
    struct canyon_tensor_spec spec;
    for (size_t i = 0; i < asked->count; i++) {
        canyon_tensor_spec_init(&spec);
        if (canyon_tensor_spec_optimizer(&spec, asked->items[i]) != CANYON_OK) {
            return arguments_wrong(line, "--optimizer: %s", canyon_error_text());
        }
    }
    return ARGUMENTS_RUN;
}

static bool suite_add(struct suite *suite, const char *run) {
    bool room = suite->count < SUITE_HIGH;
    if (room) {
        suite->runs[suite->count++] = run;
    }
    return room;
}

enum canyon_status suite_open(struct suite *suite, const struct argument_texts *asked, canyon_client *client,
                              char *text, size_t bytes) {
    enum canyon_status status = CANYON_OK;
    size_t known = 0;
    bool room = true;
    memset(suite, 0, sizeof *suite);
    for (size_t i = 0; i < asked->count && status == CANYON_OK && room; i++) {
        if (!is_all(asked->items[i])) {
            room = suite_add(suite, asked->items[i]);
            continue;
        }
        if (suite->infos == NULL) {
            status = canyon_optimizers(client, 0, &suite->infos, &known);
        }
        for (size_t k = 0; status == CANYON_OK && k < known && room; k++) {
            room = suite->infos[k].rows_only || suite_add(suite, suite->infos[k].name);
        }
    }
    if (status != CANYON_OK) {
        snprintf(text, bytes, "cannot ask for the servers' optimizers: %s", canyon_error_text());
    } else if (!room) {
        snprintf(text, bytes, "--optimizer asks for more than %d runs", SUITE_HIGH);
        status = CANYON_INVALID_ARGUMENT;
    }
    if (status != CANYON_OK) {
        suite_finish(suite);
    }
    return status;
}

enum canyon_status suite_ask(struct suite *suite, const struct argument_texts *asked, const struct place *place,
                             char *text, size_t bytes) {
    canyon_client *client = NULL;
    bool all = false;
    for (size_t i = 0; i < asked->count; i++) {
        all = all || is_all(asked->items[i]);
    }
    if (all) {
        struct canyon_options options;
        canyon_options_init(&options);
        options.servers = place->servers;
        options.name = "canyon-sim";
        options.timeout_ms = place->timeout_ms;
        options.connect_ms = place->timeout_ms;
        keys_apply(&place->keys, &options);
        enum canyon_status status = canyon_connect(&options, &client);
        if (status != CANYON_OK) {
            snprintf(text, bytes, "cannot connect: %s", canyon_error_text());
            return status;
        }
    }
    enum canyon_status status = suite_open(suite, asked, client, text, bytes);
    canyon_close(client);
    return status;
}

void suite_finish(struct suite *suite) {
    canyon_free(suite->infos);
    memset(suite, 0, sizeof *suite);
}
