/* Looking at the servers: counters, digests, optimizers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/error.h"
#include "client/exchange.h"
#include "common/endian.h"
#include "common/hash.h"

/* One initialised reply for each lane; freed by replies_destroy. */
static struct exchange_reply *replies_create(const struct canyon_client *client, struct error *error) {
    struct exchange_reply *replies = calloc(client->lane_count, sizeof *replies);
    if (replies == NULL)
        error_set(error, CANYON_NO_MEMORY, "no memory for the replies of %zu connections", client->lane_count);
    for (size_t i = 0; replies != NULL && i < client->lane_count; i++)
        exchange_reply_init(&replies[i]);
    return replies;
}

static void replies_destroy(const struct canyon_client *client, struct exchange_reply *replies) {
    for (size_t i = 0; replies != NULL && i < client->lane_count; i++)
        exchange_reply_finish(&replies[i]);
    free(replies);
}

/* ---- statistics ---- */

static void statistics_add(struct canyon_server_statistics *sum, const struct message_statistics *part) {
    if (part->uptime_ms > sum->uptime_ms)
        sum->uptime_ms = part->uptime_ms;
    if (part->staleness_max > sum->staleness_max)
        sum->staleness_max = part->staleness_max;
    sum->connections += part->connections;
    sum->frames += part->frames;
    sum->bytes_in += part->bytes_in;
    sum->bytes_out += part->bytes_out;
    sum->pushes += part->pushes;
    sum->pulls += part->pulls;
    sum->assigns += part->assigns;
    sum->refused += part->refused;
    sum->errors += part->errors;
    sum->shards += part->shards;
    sum->parts += part->tensors;
    sum->parameters += part->parameters;
    sum->state_bytes += part->state_bytes;
    sum->staleness_sum += part->staleness_sum;
    sum->not_finite += part->not_finite;
    sum->kept += part->kept;
    sum->skipped += part->skipped;
    sum->clipped += part->clipped;
    sum->turned_away += part->turned_away;
    sum->aborted += part->aborted;
    sum->values_in += part->values_in;
    sum->values_in_single += part->values_in_single;
    sum->values_out += part->values_out;
    sum->values_out_single += part->values_out_single;
    sum->tables += part->tables;
    sum->rows += part->rows;
    sum->rows_pushed += part->rows_pushed;
    sum->rows_pulled += part->rows_pulled;
    sum->rows_made += part->rows_made;
    sum->duplicates += part->duplicates;
    sum->gaps += part->gaps;
    if (part->sessions > sum->sessions)
        sum->sessions = part->sessions;
}

/* How this client speaks to it: it knows by itself, and a server's word would be worth nothing here. */
static void statistics_of_connection(const struct canyon_client *client, struct canyon_server_statistics *sum) {
    char fingerprint[KEY_FINGERPRINT_BYTES];
    const struct known_server *known = NULL;
    struct error ignored;
    if (identity_find(client->identity, sum->address, &known, &ignored) != CANYON_OK || known == NULL)
        return;
    sum->encrypted = 1;
    snprintf(sum->cipher, sizeof sum->cipher, "%s", channel_cipher_name(known->cipher));
    snprintf(sum->key, sizeof sum->key, "%s", key_fingerprint(known->key, fingerprint));
}

/* Adds the threads of one server up; the first that did not answer makes it unreachable. */
static void statistics_of_server(const struct canyon_client *client, uint32_t server,
                                 const struct exchange_reply *replies, struct canyon_server_statistics *sum) {
    struct error error = {.status = CANYON_OK};
    for (uint32_t thread = 0; thread < client->threads[server] && error.status == CANYON_OK; thread++) {
        const struct exchange_reply *reply = &replies[client->first_lanes[server] + thread];
        struct message_statistics part;
        error = reply->error;
        if (error.status == CANYON_OK &&
            message_unpack_statistics(reply->message, reply->message_bytes, &part, &error) == CANYON_OK)
            statistics_add(sum, &part);
    }
    if (error.status != CANYON_OK)
        memset(sum, 0, sizeof *sum);
    snprintf(sum->address, sizeof sum->address, "%s", client->job.servers[server]);
    memcpy(sum->version, client->versions[server], sizeof sum->version);
    sum->threads = client->absent[server] ? 0 : client->threads[server];
    sum->reachable = error.status == CANYON_OK;
    if (!sum->reachable)
        memcpy(sum->text, error.text, sizeof sum->text);
    statistics_of_connection(client, sum);
}

enum canyon_status canyon_statistics(canyon_client *client, uint32_t timeout_ms,
                                     struct canyon_server_statistics **servers, size_t *count) {
    struct error error = {.status = CANYON_OK}, ignored = {.status = CANYON_OK};
    struct canyon_server_statistics *list = NULL;
    if (servers == NULL || count == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_statistics: the place for the list is NULL");
    *servers = NULL;
    *count = 0;
    if (client_begin(client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    struct exchange_request request = {.type = FRAME_STATISTICS, .deadline = client_deadline(client, timeout_ms)};
    struct exchange_reply *replies = replies_create(client, &error);
    list = calloc(client->job.server_count, sizeof *list);
    if (replies == NULL || list == NULL) {
        error_set(&error, CANYON_NO_MEMORY, "no memory for the statistics of %u servers", client->job.server_count);
        free(list);
        goto out;
    }
    if (exchange_run(client, &request, 0, client->lane_count, replies, &ignored) == CANYON_CLOSED) {
        error = ignored;
        free(list);
        goto out;
    }
    for (uint32_t i = 0; i < client->job.server_count; i++)
        statistics_of_server(client, i, replies, &list[i]);
    *servers = list;
    *count = client->job.server_count;
out:
    replies_destroy(client, replies);
    client_leave(client);
    return last_error_set(&error);
}

/* ---- digest ---- */

/* Files the entries of one lane's reply under their shards. */
static enum canyon_status digest_collect(const struct canyon_client *client, size_t lane,
                                         const struct exchange_reply *reply, uint8_t (*digests)[HASH_BYTES],
                                         bool *present, struct error *error) {
    const char *address = lane_address(client->lanes[lane]);
    if (reply->payload_bytes % MESSAGE_DIGEST_ENTRY_BYTES != 0)
        return error_set(error, CANYON_PROTOCOL, "%s sent %zu bytes of digests", address, reply->payload_bytes);
    for (size_t at = 0; at < reply->payload_bytes; at += MESSAGE_DIGEST_ENTRY_BYTES) {
        uint32_t shard = load_u32(reply->payload + at);
        if (shard >= client->job.shards || present[shard])
            return error_set(error, CANYON_INTERNAL, "%s sent a digest of shard %u, which is %s", address, shard,
                             shard >= client->job.shards ? "not in the job" : "there already");
        present[shard] = true;
        memcpy(digests[shard], reply->payload + at + 12, HASH_BYTES);
    }
    return CANYON_OK;
}

static enum canyon_status digest_combine(const struct canyon_client *client, const struct exchange_reply *replies,
                                         uint8_t digest[CANYON_DIGEST_BYTES], struct error *error) {
    enum canyon_status status = CANYON_OK;
    uint8_t(*digests)[HASH_BYTES] = calloc(client->job.shards, sizeof *digests);
    bool *present = calloc(client->job.shards, sizeof *present);
    if (digests == NULL || present == NULL)
        status = error_set(error, CANYON_NO_MEMORY, "no memory for the digests of %u shards", client->job.shards);
    for (size_t i = 0; i < client->lane_count && status == CANYON_OK; i++)
        status = digest_collect(client, i, &replies[i], digests, present, error);
    for (uint32_t shard = 0; shard < client->job.shards && status == CANYON_OK; shard++)
        if (!present[shard])
            status = error_set(error, CANYON_INTERNAL, "no server sent a digest of shard %u", shard);
    if (status == CANYON_OK) {
        struct hash hash;
        hash_init(&hash);
        hash_update(&hash, digests, (size_t)client->job.shards * HASH_BYTES);
        hash_final(&hash, digest);
    }
    free(digests);
    free(present);
    return status;
}

enum canyon_status canyon_shard_digest(canyon_client *client, uint32_t timeout_ms,
                                       uint8_t digest[CANYON_DIGEST_BYTES]) {
    struct error error = {.status = CANYON_OK};
    if (digest == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_shard_digest: the place for the digest is NULL");
    if (client_begin(client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    struct exchange_request request = {.type = FRAME_DIGEST, .deadline = client_deadline(client, timeout_ms)};
    struct exchange_reply *replies = replies_create(client, &error);
    if (replies != NULL && exchange_run(client, &request, 0, client->lane_count, replies, &error) == CANYON_OK)
        digest_combine(client, replies, digest, &error);
    replies_destroy(client, replies);
    client_leave(client);
    return last_error_set(&error);
}
