/* canyon_connect and canyon_close: finding the job, checking that all servers agree on it, and the lanes' life. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "client/condition.h"
#include "client/consistency.h"
#include "client/error.h"
#include "client/options.h"
#include "common/address.h"
#include "common/clock.h"
#include "common/codec.h"
#include "common/random.h"

#define LEAVE_NS 1000000000u /* for the servers' answers when a client is closed */

static void client_log(void *user, enum log_level level, const char *text) {
    struct canyon_client *client = user;
    pthread_mutex_lock(&client->log_lock);
    client->log_callback(client->log_user, (enum canyon_log_level)level, text);
    pthread_mutex_unlock(&client->log_lock);
}

/* ---- life ---- */

static void client_destroy(struct canyon_client *client) {
    for (size_t i = 0; i < client->lane_count; i++)
        lane_destroy(client->lanes[i]);
    free(client->lanes);
    free(client->threads);
    free(client->absent);
    free(client->first_lanes);
    free(client->versions);
    for (size_t i = 0; i < CLIENT_SPARES; i++)
        free(client->spares[i].values);
    pace_destroy(client->pace);
    identity_destroy(client->identity);
    job_finish(&client->job);
    pthread_cond_destroy(&client->idle);
    pthread_mutex_destroy(&client->lock);
    pthread_mutex_destroy(&client->log_lock);
    free(client);
}

static struct canyon_client *client_create(const struct canyon_options *options) {
    struct canyon_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return NULL;
    job_init(&client->job);
    snprintf(client->name, sizeof client->name, "%s", options->name);
    random_fill(client->session_id, sizeof client->session_id);
    client->timeout_ms = options->timeout_ms;
    client->connect_ms = options->connect_ms;
    client->reconnect_ms = options->reconnect_ms;
    client->window_bytes = options->window_bytes;
    snprintf(client->congestion, sizeof client->congestion, "%s", options->congestion);
    client->spin_us = options->spin_us;
    client->partial = options->partial != 0;
    client->log = (struct log){.threshold = LOG_SILENT, .descriptor = -1};
    if (options->log != NULL)
        client->log = (struct log){
            .threshold = (enum log_level)options->log_level, .descriptor = -1, .callback = client_log, .user = client};
    client->log_callback = options->log;
    client->log_user = options->log_user;
    pthread_mutex_init(&client->log_lock, NULL);
    pthread_mutex_init(&client->lock, NULL);
    condition_init(&client->idle);
    client->pace = pace_create(client);
    if (client->pace == NULL) {
        client_destroy(client);
        return NULL;
    }
    return client;
}

/* The servers need not remember what sends nothing more; those that do not answer soon forget it by themselves. */
static void client_say_goodbye(struct canyon_client *client, uint64_t deadline) {
    for (size_t i = 0; i < client->lane_count; i++)
        lane_leave(client->lanes[i], deadline);
    for (size_t i = 0; i < client->lane_count; i++)
        lane_wait_left(client->lanes[i]);
}

void canyon_close(canyon_client *client) {
    if (client == NULL)
        return;
    const uint64_t deadline = clock_now() + LEAVE_NS;
    pace_close(client->pace, deadline);
    pthread_mutex_lock(&client->lock);
    client->closing = true;
    pthread_mutex_unlock(&client->lock);
    client_say_goodbye(client, deadline);
    for (size_t i = 0; i < client->lane_count; i++)
        lane_close(client->lanes[i]);
    pthread_mutex_lock(&client->lock);
    while (client->calls > 0)
        condition_wait(&client->idle, &client->lock, UINT64_MAX);
    pthread_mutex_unlock(&client->lock);
    client_destroy(client);
}

/* ---- one server ---- */

static struct lane *client_new_lane(struct canyon_client *client, const char *address, uint32_t thread,
                                    struct error *error) {
    struct lane_options options = {.address = address,
                                   .thread = thread,
                                   .name = client->name,
                                   .window_bytes = client->window_bytes,
                                   .connect_ms = client->connect_ms,
                                   .reconnect_ms = client->reconnect_ms,
                                   .congestion = client->congestion,
                                   .spin_us = client->spin_us,
                                   .identity = client->identity,
                                   .log = &client->log};
    memcpy(options.session_id, client->session_id, sizeof options.session_id);
    return lane_create(&options, error);
}

static void lane_discard(struct lane *lane) {
    if (lane == NULL)
        return;
    lane_close(lane);
    lane_destroy(lane);
}

/* The job as a welcome tells it. `job` is finished by the caller in any case. */
static enum canyon_status job_from_welcome(struct job *job, const struct message_welcome *welcome, const char *servers,
                                           const char *address, struct error *error) {
    job_init(job);
    memcpy(job->name, welcome->job, sizeof job->name);
    job->shards = welcome->shards;
    job->block = welcome->block;
    enum canyon_status status = job_set_servers(job, servers, strlen(servers), '\n', error);
    if (status == CANYON_OK)
        status = job_check(job, error);
    if (status == CANYON_OK && welcome->server >= job->server_count)
        status = error_set(error, CANYON_PROTOCOL, "it says it is server %u of %u", welcome->server, job->server_count);
    if (status == CANYON_OK && (welcome->threads == 0 || welcome->threads > LIMIT_THREADS))
        status = error_set(error, CANYON_PROTOCOL, "it says it has %u threads", welcome->threads);
    uint8_t digest[JOB_DIGEST_BYTES];
    if (status == CANYON_OK) {
        job_digest(job, digest);
        if (memcmp(digest, welcome->digest, sizeof digest) != 0)
            status = error_set(error, CANYON_PROTOCOL, "the digest it sends is not that of the job it describes");
    }
    if (status != CANYON_OK)
        error_prefix(error, "%s", address);
    return status;
}

/* Asks one address what it serves. */
static enum canyon_status client_ask(struct canyon_client *client, const char *address, struct error *error) {
    struct message_welcome welcome;
    char *servers = NULL;
    struct lane *lane = client_new_lane(client, address, 0, error);
    if (lane == NULL)
        return error->status;
    lane_connect(lane);
    enum canyon_status status = lane_wait_connected(lane, &welcome, &servers, error);
    if (status == CANYON_OK) {
        job_finish(&client->job);
        status = job_from_welcome(&client->job, &welcome, servers, address, error);
    }
    if (status == CANYON_OK) {
        job_digest(&client->job, client->digest);
        snprintf(client->told_by, sizeof client->told_by, "%s", address);
    }
    free(servers);
    lane_discard(lane);
    return status;
}

static bool is_not_reached(enum canyon_status status) {
    return status == CANYON_UNAVAILABLE || status == CANYON_TIMEOUT || status == CANYON_BUSY;
}

/* Whether trying another server may help. */
static bool is_worth_another(enum canyon_status status) {
    return is_not_reached(status) || status == CANYON_PROTOCOL;
}

/* Adds another reason to a list of them, cut at its room. */
static void text_append(char *text, size_t room, const char *more) {
    size_t used = strlen(text);
    if (used > 0 && used + 2 < room) {
        memcpy(text + used, "; ", 3);
        used += 2;
    }
    size_t bytes = strnlen(more, room - used - 1);
    memcpy(text + used, more, bytes);
    text[used + bytes] = '\0';
}

/* Who this client is for all of its connections. */
static enum canyon_status client_identify(struct canyon_client *client, const struct canyon_options *options,
                                          struct error *error) {
    enum canyon_status status = identity_create(options, &client->identity, error);
    if (status == CANYON_OK && identity_is_plaintext(client->identity))
        log_event(&client->log, LOG_WARNING, "plaintext",
                  "reason=\"insecure_plaintext was asked for: nothing is encrypted and nobody proves who they are\"");
    return status;
}

/* Tries the given servers in turn until one tells the job; the error has each one's reason. */
static enum canyon_status client_learn_job(struct canyon_client *client, const struct canyon_options *options,
                                           struct error *error) {
    struct job given;
    job_init(&given);
    struct error reasons = {.status = CANYON_UNAVAILABLE};
    enum canyon_status status = job_set_servers(&given, options->servers, strlen(options->servers), ',', error);
    if (status != CANYON_OK) {
        error_prefix(error, "options.servers");
        goto out;
    }
    status = client_identify(client, options, error);
    if (status != CANYON_OK)
        goto out;
    for (uint32_t i = 0; i < given.server_count; i++) {
        status = client_ask(client, given.servers[i], error);
        if (status == CANYON_OK || !is_worth_another(status))
            break;
        text_append(reasons.text, sizeof reasons.text, error->text);
    }
    if (status != CANYON_OK && is_worth_another(status) && given.server_count > 1)
        status = error_set(error, CANYON_UNAVAILABLE, "%s", reasons.text);
    if (status == CANYON_OK && options->job != NULL && strcmp(options->job, client->job.name) != 0)
        status =
            error_set(error, CANYON_CONFIGURATION, "these servers serve the job \"%s\", options.job asks for \"%s\"",
                      client->job.name, options->job);
out:
    job_finish(&given);
    return status;
}

/* ---- all servers ---- */

/* Keeps the first of several failures, except what options.partial forgives. */
static void client_note_failure(const struct canyon_client *client, const struct error *failure, struct error *first) {
    bool forgiven = client->partial && is_not_reached(failure->status);
    if (failure->status != CANYON_OK && first->status == CANYON_OK && !forgiven)
        *first = *failure;
}

static enum canyon_status client_wait_all(struct canyon_client *client, struct error *error) {
    struct error first = {.status = CANYON_OK};
    for (size_t i = 0; i < client->lane_count; i++) {
        struct error failure = {.status = CANYON_OK};
        lane_wait_connected(client->lanes[i], NULL, NULL, &failure);
        client_note_failure(client, &failure, &first);
    }
    if (first.status != CANYON_OK)
        *error = first;
    return first.status;
}

/* Says what differs between the job as the client knows it and as server `index` tells it. */
static enum canyon_status client_compare(const struct canyon_client *client, uint32_t index, const struct job *other,
                                         const struct message_welcome *welcome, struct error *error) {
    const struct job *job = &client->job;
    const char *one = client->told_by, *two = job->servers[index];
    if (strcmp(job->name, other->name) != 0)
        return error_set(error, CANYON_CONFIGURATION,
                         "%s serves the job \"%s\", but %s the job \"%s\": start all with equal --job", one, job->name,
                         two, other->name);
    if (job->shards != other->shards)
        return error_set(error, CANYON_CONFIGURATION, "%s has %u shards, but %s has %u: start all with equal --shards",
                         one, job->shards, two, other->shards);
    if (job->block != other->block)
        return error_set(error, CANYON_CONFIGURATION,
                         "%s has blocks of %u elements, but %s of %u: start all with equal --block", one, job->block,
                         two, other->block);
    if (job->server_count != other->server_count)
        return error_set(error, CANYON_CONFIGURATION,
                         "%s lists %u servers, but %s lists %u: start all with equal --servers", one, job->server_count,
                         two, other->server_count);
    for (uint32_t i = 0; i < job->server_count; i++)
        if (strcmp(job->servers[i], other->servers[i]) != 0)
            return error_set(error, CANYON_CONFIGURATION,
                             "%s lists %s as server %u, but %s lists %s there: start all with equal --servers", one,
                             job->servers[i], i, two, other->servers[i]);
    if (welcome->server != index)
        return error_set(error, CANYON_CONFIGURATION,
                         "%s is server %u of the list, but who answers there says it is %u", two, index,
                         welcome->server);
    return CANYON_OK;
}

/* Server `index`, through its thread 0: how many threads it has, and whether it means the same job. */
static enum canyon_status client_meet(struct canyon_client *client, uint32_t index, struct lane *lane,
                                      struct error *error) {
    struct message_welcome welcome;
    struct job other;
    char *servers = NULL;
    job_init(&other);
    enum canyon_status status = lane_wait_connected(lane, &welcome, &servers, error);
    if (status == CANYON_OK)
        status = job_from_welcome(&other, &welcome, servers, client->job.servers[index], error);
    if (status == CANYON_OK)
        status = client_compare(client, index, &other, &welcome, error);
    if (status == CANYON_OK) {
        client->threads[index] = welcome.threads;
        memcpy(client->versions[index], welcome.version, sizeof client->versions[index]);
        lane_expect(lane, client->digest, index, welcome.threads);
    } else if (is_not_reached(status)) {
        client->threads[index] = 1; /* one lane stands for all of it, and says why it is not there */
        client->absent[index] = true;
        lane_expect(lane, client->digest, index, 0);
    }
    job_finish(&other);
    free(servers);
    return status;
}

/* Connects to thread 0 of every server. The lanes are in client->lanes, one per server, even on an error. */
static enum canyon_status client_meet_all(struct canyon_client *client, struct error *error) {
    uint32_t count = client->job.server_count;
    client->threads = calloc(count, sizeof *client->threads);
    client->absent = calloc(count, sizeof *client->absent);
    client->first_lanes = calloc(count, sizeof *client->first_lanes);
    client->versions = calloc(count, sizeof *client->versions);
    client->lanes = calloc(count, sizeof(struct lane *));
    if (client->threads == NULL || client->absent == NULL || client->first_lanes == NULL || client->versions == NULL ||
        client->lanes == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for %u servers", count);
    for (uint32_t i = 0; i < count; i++) {
        client->lanes[i] = client_new_lane(client, client->job.servers[i], 0, error);
        if (client->lanes[i] == NULL)
            return error->status;
        client->lane_count++;
        lane_connect(client->lanes[i]);
    }
    struct error first = {.status = CANYON_OK};
    for (uint32_t i = 0; i < count; i++) {
        struct error failure = {.status = CANYON_OK};
        client_meet(client, i, client->lanes[i], &failure);
        client_note_failure(client, &failure, &first);
    }
    if (first.status != CANYON_OK)
        *error = first;
    return first.status;
}

/* Spreads the lanes of the servers' threads 0 out and connects the others between them. */
static enum canyon_status client_meet_threads(struct canyon_client *client, struct error *error) {
    size_t total = 0;
    for (uint32_t i = 0; i < client->job.server_count; i++) {
        client->first_lanes[i] = total;
        total += client->threads[i];
    }
    struct lane **lanes = calloc(total, sizeof(struct lane *));
    if (lanes == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for %zu connections", total);
    for (uint32_t i = 0; i < client->job.server_count; i++)
        lanes[client->first_lanes[i]] = client->lanes[i];
    free(client->lanes);
    client->lanes = lanes;
    client->lane_count = total;
    for (uint32_t i = 0; i < client->job.server_count; i++) {
        for (uint32_t thread = 1; thread < client->threads[i]; thread++) {
            struct lane *lane = client_new_lane(client, client->job.servers[i], thread, error);
            if (lane == NULL)
                return error->status;
            lanes[client->first_lanes[i] + thread] = lane;
            lane_expect(lane, client->digest, i, client->threads[i]);
            lane_connect(lane);
        }
    }
    client->layout = (struct plan_layout){.job = &client->job,
                                          .threads = client->threads,
                                          .first_lanes = client->first_lanes,
                                          .lane_count = client->lane_count};
    return client_wait_all(client, error);
}

enum canyon_status canyon_connect(const struct canyon_options *given, canyon_client **client) {
    struct error error = {.status = CANYON_OK};
    struct canyon_options options;
    canyon_client *made = NULL;
    if (client == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_connect: the place for the client is NULL");
    *client = NULL;
    if (options_take(given, &options, &error) != CANYON_OK || random_start(&error) != CANYON_OK)
        goto out;
    codec_start();
    made = client_create(&options);
    if (made == NULL) {
        error_set(&error, CANYON_NO_MEMORY, "no memory for a client");
        goto out;
    }
    if (client_learn_job(made, &options, &error) != CANYON_OK || client_meet_all(made, &error) != CANYON_OK ||
        client_meet_threads(made, &error) != CANYON_OK)
        goto out;
    if (options.consistency != NULL && consistency_agree(made, options.consistency, &error) != CANYON_OK)
        goto out;
    *client = made;
    made = NULL;
    error.status = CANYON_OK; /* some servers may have failed before one answered */
out:
    if (made != NULL) {
        for (size_t i = 0; i < made->lane_count; i++)
            if (made->lanes[i] != NULL)
                lane_close(made->lanes[i]);
        client_destroy(made);
    }
    return last_error_set(&error);
}
