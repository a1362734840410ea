/* A table's rows, one page after another: the lowest ids of all shards, and cursors. */
#include <stdlib.h>
#include <string.h>

#include "client/error.h"
#include "client/exchange.h"
#include "client/table.h"

struct page {
    struct message_row_page message;
    struct rows_page_layout layout;
    struct exchange_reply reply; /* whose payload it is */
};

/* The next rows of one shard. Finish the reply in any case. */
static enum canyon_status ask_page(const struct canyon_table *table, const struct message_row_query *query,
                                   uint64_t deadline, struct page *page, struct error *error) {
    struct canyon_client *client = table->tensor->client;
    const size_t lane = table->order.lanes[query->shard];
    uint8_t message[LIMIT_MESSAGE_BYTES];
    const struct exchange_request request = {.type = FRAME_TABLE_ROWS,
                                             .message = message,
                                             .bytes = message_pack_row_query(query, message),
                                             .deadline = deadline};
    enum canyon_status status = exchange_run(client, &request, lane, 1, &page->reply, error);
    if (status == CANYON_OK)
        status = message_unpack_row_page(page->reply.message, page->reply.message_bytes, &page->message, error);
    if (status != CANYON_OK)
        return status;
    const struct message_row_page *is = &page->message;
    page->layout = rows_page_layout(is, query->state);
    uint64_t least = query->from, id = 0;
    bool good = page->reply.payload_bytes == page->layout.bytes && is->rows <= query->most &&
                (is->rows == 0 || is->values >= table->dim) && (is->rows > 0 || !is->more);
    for (uint32_t i = 0; i < is->rows && good; i++, least = id + 1) {
        memcpy(&id, page->reply.payload + i * sizeof id, sizeof id);
        good = id >= least && (i == 0 || least != 0);
    }
    good = good && (!is->more || least != 0); /* nothing is behind the highest id */
    if (!good)
        return error_set(error, CANYON_PROTOCOL, "%s answered %u rows that were not asked for, or not as it says",
                         lane_address(client->lanes[lane]), is->rows);
    return CANYON_OK;
}

/* ---- the lowest ids of all shards ---- */

/* The best so far, in order of ids; `spare` has the same room. */
struct lowest {
    size_t room, count, dim;
    uint64_t *ids, *spare_ids;
    float *weights, *spare_weights; /* or NULL */
};

static void lowest_put(struct lowest *lowest, size_t at, uint64_t id, const float *weights) {
    lowest->spare_ids[at] = id;
    if (lowest->weights != NULL)
        memcpy(lowest->spare_weights + at * lowest->dim, weights, lowest->dim * sizeof *weights);
}

/* Merges a page into them. No id is in two shards. */
static void lowest_merge(struct lowest *lowest, const struct page *page) {
    const uint8_t *payload = page->reply.payload;
    const float *weights = (const float *)(const void *)(payload + page->layout.values);
    size_t at = 0, old = 0;
    uint32_t new = 0;
    for (; at < lowest->room && (old < lowest->count || new < page->message.rows); at++) {
        uint64_t id = 0;
        if (new < page->message.rows)
            memcpy(&id, payload + new * sizeof id, sizeof id);
        if (new < page->message.rows && (old == lowest->count || id < lowest->ids[old])) {
            lowest_put(lowest, at, id, weights + (size_t) new * page->message.values);
            new ++;
        } else {
            lowest_put(lowest, at, lowest->ids[old],
                       lowest->weights == NULL ? NULL : lowest->weights + old * lowest->dim);
            old++;
        }
    }
    uint64_t *ids = lowest->ids;
    float *values = lowest->weights;
    lowest->ids = lowest->spare_ids;
    lowest->weights = lowest->spare_weights;
    lowest->spare_ids = ids;
    lowest->spare_weights = values;
    lowest->count = at;
}

/* All of a shard's rows that may be among them. */
static enum canyon_status lowest_of_shard(struct lowest *lowest, const struct canyon_table *table, uint32_t shard,
                                          uint64_t from, uint64_t deadline, struct error *error) {
    struct message_row_query query = {
        .table = table->tensor->info.id, .from = from, .shard = shard, .most = (uint32_t)lowest->room};
    enum canyon_status status = CANYON_OK;
    bool more = true;
    while (status == CANYON_OK && more) {
        struct page page;
        exchange_reply_init(&page.reply);
        status = ask_page(table, &query, deadline, &page, error);
        more = false;
        if (status == CANYON_OK && page.message.rows > 0) {
            uint64_t last;
            memcpy(&last, page.reply.payload + (page.message.rows - 1) * sizeof last, sizeof last);
            lowest_merge(lowest, &page);
            query.from = last + 1;
            more = page.message.more && (lowest->count < lowest->room || last < lowest->ids[lowest->count - 1]);
        }
        exchange_reply_finish(&page.reply);
    }
    return status;
}

static enum canyon_status rows_check(const canyon_table *table, size_t room, const uint64_t *ids, const size_t *count) {
    if (table == NULL || count == NULL || (ids == NULL && room > 0))
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_table_rows: the %s NULL",
                                 table == NULL   ? "table is"
                                 : count == NULL ? "place for the count is"
                                                 : "ids are");
    if (room > LIMIT_BATCH_ROWS)
        return last_error_format(CANYON_TOO_LARGE, "canyon_table_rows: %zu rows at once are more than %d: use a cursor",
                                 room, LIMIT_BATCH_ROWS);
    return CANYON_OK;
}

enum canyon_status canyon_table_rows(canyon_table *table, uint64_t from, size_t room, uint32_t timeout_ms,
                                     uint64_t *ids, float *weights, size_t *count) {
    struct error error = {.status = CANYON_OK};
    enum canyon_status status = rows_check(table, room, ids, count);
    if (status != CANYON_OK)
        return status;
    *count = 0;
    if (client_begin(table->tensor->client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    const uint64_t deadline = client_deadline(table->tensor->client, timeout_ms);
    const size_t dim = table->dim, values = weights == NULL ? 0 : room * dim;
    struct lowest lowest = {.room = room, .dim = dim};
    uint64_t *two = malloc((2 * room + 1) * sizeof *two);
    float *four = malloc((2 * values + 1) * sizeof *four);
    if (two == NULL || four == NULL) {
        error_set(&error, CANYON_NO_MEMORY, "no memory for %zu rows", room);
        goto out;
    }
    lowest.ids = two;
    lowest.spare_ids = two + room;
    lowest.weights = weights == NULL ? NULL : four;
    lowest.spare_weights = weights == NULL ? NULL : four + values;
    for (uint32_t shard = 0; shard < table->order.shards && room > 0 && error.status == CANYON_OK; shard++)
        lowest_of_shard(&lowest, table, shard, from, deadline, &error);
    if (error.status != CANYON_OK)
        goto out;
    if (lowest.count > 0)
        memcpy(ids, lowest.ids, lowest.count * sizeof *ids);
    if (weights != NULL && lowest.count > 0)
        memcpy(weights, lowest.weights, lowest.count * dim * sizeof *weights);
    *count = lowest.count;
out:
    free(two);
    free(four);
    client_leave(table->tensor->client);
    return last_error_set(&error);
}

/* ---- cursors ---- */

struct canyon_cursor {
    canyon_table *table;
    bool state;
    uint32_t shard; /* the next page's */
    uint64_t from;
    struct page page; /* the last one */
};

enum canyon_status canyon_table_cursor(canyon_table *table, int state, canyon_cursor **cursor) {
    if (table == NULL || cursor == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_table_cursor: the %s is NULL",
                                 table == NULL ? "table" : "place for the cursor");
    *cursor = calloc(1, sizeof **cursor);
    if (*cursor == NULL)
        return last_error_format(CANYON_NO_MEMORY, "no memory for a cursor");
    (*cursor)->table = table;
    (*cursor)->state = state != 0;
    exchange_reply_init(&(*cursor)->page.reply);
    return CANYON_OK;
}

void canyon_cursor_close(canyon_cursor *cursor) {
    if (cursor == NULL)
        return;
    exchange_reply_finish(&cursor->page.reply);
    free(cursor);
}

static void cursor_publish(const struct canyon_cursor *cursor, struct canyon_page *page) {
    const struct message_row_page *is = &cursor->page.message;
    const struct rows_page_layout *layout = &cursor->page.layout;
    const uint8_t *payload = cursor->page.reply.payload;
    page->count = is->rows;
    page->ids = (const uint64_t *)(const void *)payload;
    page->values = (const float *)(const void *)(payload + layout->values);
    page->stride = is->values;
    if (!cursor->state)
        return;
    page->counts = (const uint32_t *)(const void *)(payload + layout->counts);
    page->scalars = (const double *)(const void *)(payload + layout->scalars);
    page->scalar_count = is->scalars;
}

/* Asks shard after shard until one has rows. Where the cursor stands changes with a page that came whole. */
static enum canyon_status cursor_advance(struct canyon_cursor *cursor, uint64_t deadline, struct canyon_page *page,
                                         struct error *error) {
    const struct canyon_table *table = cursor->table;
    while (cursor->shard < table->order.shards && page->count == 0) {
        const struct message_row_query query = {.table = table->tensor->info.id,
                                                .from = cursor->from,
                                                .shard = cursor->shard,
                                                .most = LIMIT_BATCH_ROWS,
                                                .state = cursor->state};
        exchange_reply_finish(&cursor->page.reply);
        exchange_reply_init(&cursor->page.reply);
        enum canyon_status status = ask_page(table, &query, deadline, &cursor->page, error);
        if (status != CANYON_OK)
            return status;
        if (cursor->page.message.more) {
            uint64_t last;
            memcpy(&last, cursor->page.reply.payload + (cursor->page.message.rows - 1) * sizeof last, sizeof last);
            cursor->from = last + 1;
        } else {
            cursor->shard++;
            cursor->from = 0;
        }
        if (cursor->page.message.rows > 0)
            cursor_publish(cursor, page);
    }
    return CANYON_OK;
}

enum canyon_status canyon_cursor_next(canyon_cursor *cursor, uint32_t timeout_ms, struct canyon_page *page) {
    struct error error = {.status = CANYON_OK};
    if (cursor == NULL || page == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_cursor_next: the %s is NULL",
                                 cursor == NULL ? "cursor" : "place for the page");
    memset(page, 0, sizeof *page);
    struct canyon_client *client = cursor->table->tensor->client;
    if (client_begin(client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    cursor_advance(cursor, client_deadline(client, timeout_ms), page, &error);
    client_leave(client);
    return last_error_set(&error);
}
