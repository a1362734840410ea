#include "client/simulator/place.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_MS 10000u

enum arguments_verdict place_check(const struct command_line *line, const struct place_options *options) {
    const struct {
        const char *name;
        uint64_t value;
    } own[] = {{"local", options->local},
               {"threads", options->threads},
               {"shards", options->shards},
               {"block", options->block}};
    for (size_t i = 0; options->servers != NULL && i < sizeof own / sizeof *own; i++) {
        if (own[i].value != 0) {
            return arguments_wrong(line, "--%s is for servers that this program starts; leave it or --servers out",
                                   own[i].name);
        }
    }
    if (options->servers == NULL && (options->keys.key_file != NULL || options->keys.known_servers_file != NULL)) {
        return arguments_wrong(line, "--%s is for servers that run already; local ones get keys of their own",
                               options->keys.key_file != NULL ? "key" : "known-servers");
    }
    return keys_check(line, &options->keys);
}

static void place_make_prefix(struct place *place) {
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t nanoseconds = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    snprintf(place->prefix, sizeof place->prefix, "sim/%d-%" PRIx64 "/", (int)getpid(), nanoseconds);
}

enum outcome place_open(struct place *place, const struct place_options *options, uint32_t local_default,
                        const char *program) {
    char text[LOCAL_TEXT_BYTES];
    struct local_options local;
    memset(place, 0, sizeof *place);
    place->timeout_ms = options->timeout_ms == 0 ? TIMEOUT_MS : (uint32_t)options->timeout_ms;
    if (options->servers != NULL) {
        place->servers = options->servers;
        place->keys = options->keys;
        place_make_prefix(place);
        return OUTCOME_DONE;
    }
    local_options_init(&local);
    local.servers = options->local == 0 ? local_default : (uint32_t)options->local;
    local.threads = options->threads == 0 ? 1 : (uint32_t)options->threads;
    local.shards = (uint32_t)options->shards;
    local.block_elements = options->block == 0 ? PLACE_BLOCK : (uint32_t)options->block;
    local.plaintext = options->keys.plaintext || options->keys.plaintext_anywhere;
    enum canyon_status status = local_start(&local, &place->local, text, sizeof text);
    if (status != CANYON_OK) {
        fprintf(stderr, "%s: cannot start local servers: %s\n", program, text);
        return outcome_of(status);
    }
    place->servers = local_servers(place->local);
    place->keys = *local_keys(place->local);
    if (!local.plaintext && !options->quiet) {
        fprintf(stderr, "%s: connections are encrypted, with keys made for this run\n", program);
    }
    return OUTCOME_DONE;
}

const char *place_prefix(const struct place *place, size_t run, char text[PLAN_PREFIX_BYTES]) {
    text[0] = '\0';
    if (place->prefix[0] != '\0') {
        snprintf(text, PLAN_PREFIX_BYTES, "%s%zu/", place->prefix, run);
    }
    return text;
}

enum canyon_status place_leave(const char *program, const char *name, enum canyon_status status) {
    if (status != CANYON_DENIED) {
        return status;
    }
    fprintf(stderr,
            "%s: %s stays on the servers: dropping needs a key of the role admin, and `canyon drop` with one takes it "
            "off\n",
            program, name);
    return CANYON_OK;
}

bool place_close(struct place *place, const char *program) {
    bool well = local_stop(place->local);
    if (!well) {
        fprintf(stderr, "%s: a local server did not end by itself, or not with exit code 0\n", program);
    }
    memset(place, 0, sizeof *place);
    return well;
}
