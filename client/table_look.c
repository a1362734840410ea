/* What can be seen of a table as a whole. */
#include <stdlib.h>
#include <string.h>

#include "client/error.h"
#include "client/exchange.h"
#include "client/table.h"

/* ---- totals ---- */

static struct exchange_reply *replies_create(size_t count, struct error *error) {
    struct exchange_reply *replies = malloc(count * sizeof *replies);
    if (replies == NULL)
        error_set(error, CANYON_NO_MEMORY, "no memory for the replies of %zu connections", count);
    for (size_t i = 0; replies != NULL && i < count; i++)
        exchange_reply_init(&replies[i]);
    return replies;
}

static void replies_destroy(struct exchange_reply *replies, size_t count) {
    for (size_t i = 0; replies != NULL && i < count; i++)
        exchange_reply_finish(&replies[i]);
    free(replies);
}

static enum canyon_status ask_totals(const struct canyon_table *table, uint64_t deadline,
                                     struct canyon_table_totals *totals, struct error *error) {
    struct canyon_client *client = table->tensor->client;
    uint8_t message[LIMIT_MESSAGE_BYTES];
    const struct message_table_query query = {.table = table->tensor->info.id};
    const struct exchange_request request = {.type = FRAME_TABLE_INFO,
                                             .message = message,
                                             .bytes = message_pack_table_query(&query, message),
                                             .deadline = deadline};
    struct exchange_reply *replies = replies_create(client->lane_count, error);
    if (replies == NULL)
        return error->status;
    enum canyon_status status = exchange_run(client, &request, 0, client->lane_count, replies, error);
    for (size_t i = 0; i < client->lane_count && status == CANYON_OK; i++) {
        struct message_table_totals part;
        status = message_unpack_table_totals(replies[i].message, replies[i].message_bytes, &part, error);
        if (status != CANYON_OK) {
            error_prefix(error, "%s", lane_address(client->lanes[i]));
            break;
        }
        totals->rows += part.rows;
        totals->bytes += part.bytes;
        totals->version += part.version;
        totals->clock = part.clock > totals->clock ? part.clock : totals->clock;
    }
    replies_destroy(replies, client->lane_count);
    return status;
}

enum canyon_status canyon_table_totals(canyon_table *table, uint32_t timeout_ms, struct canyon_table_totals *totals) {
    struct error error = {.status = CANYON_OK};
    if (table == NULL || totals == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_table_totals: the %s NULL",
                                 table == NULL ? "table is" : "totals are");
    memset(totals, 0, sizeof *totals);
    if (client_begin(table->tensor->client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    ask_totals(table, client_deadline(table->tensor->client, timeout_ms), totals, &error);
    client_leave(table->tensor->client);
    return last_error_set(&error);
}

/* ---- digest ---- */

static enum canyon_status add_sum(const struct canyon_table *table, uint32_t shard, uint64_t deadline, uint64_t sum[4],
                                  struct error *error) {
    struct canyon_client *client = table->tensor->client;
    const size_t lane = table->order.lanes[shard];
    uint8_t message[LIMIT_MESSAGE_BYTES];
    const struct message_table_query query = {.table = table->tensor->info.id, .sum = true, .shard = shard};
    const struct exchange_request request = {.type = FRAME_TABLE_INFO,
                                             .message = message,
                                             .bytes = message_pack_table_query(&query, message),
                                             .deadline = deadline};
    struct exchange_reply reply;
    exchange_reply_init(&reply);
    enum canyon_status status = exchange_run(client, &request, lane, 1, &reply, error);
    if (status == CANYON_OK && reply.payload_bytes != 4 * sizeof(uint64_t))
        status = error_set(error, CANYON_PROTOCOL, "%s answered a sum of %zu bytes", lane_address(client->lanes[lane]),
                           reply.payload_bytes);
    for (size_t i = 0; i < 4 && status == CANYON_OK; i++) {
        uint64_t word;
        memcpy(&word, reply.payload + i * sizeof word, sizeof word);
        sum[i] += word;
    }
    exchange_reply_finish(&reply);
    return status;
}

enum canyon_status canyon_table_digest(canyon_table *table, uint32_t timeout_ms, uint8_t digest[CANYON_DIGEST_BYTES]) {
    struct error error = {.status = CANYON_OK};
    uint64_t sum[4] = {0};
    _Static_assert(sizeof sum == CANYON_DIGEST_BYTES, "four words");
    if (table == NULL || digest == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_table_digest: the %s is NULL",
                                 table == NULL ? "table" : "digest");
    if (client_begin(table->tensor->client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    const uint64_t deadline = client_deadline(table->tensor->client, timeout_ms);
    for (uint32_t shard = 0; shard < table->order.shards && error.status == CANYON_OK; shard++)
        add_sum(table, shard, deadline, sum, &error);
    memcpy(digest, sum, sizeof sum);
    client_leave(table->tensor->client);
    return last_error_set(&error);
}
