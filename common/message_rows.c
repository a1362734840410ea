/* The messages about rows of tables. Ids and values stand in the payload: common/rows.h. */
#include <string.h>

#include "common/message_codec.h"

size_t message_pack_rows(const struct message_rows *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Rows wire = CANYON__ROWS__INIT;
    wire.table = message->table;
    wire.dim = message->dim;
    wire.runs = message->runs;
    wire.rows = message->rows;
    wire.clock = message->clock;
    wire.create = message->create;
    wire.codec = message->codec;
    wire.reply = message->reply;
    wire.wait_ms = message->wait_ms;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_rows(const uint8_t *bytes, size_t count, struct message_rows *message,
                                       struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Rows *wire = message_unpack(&unpacking, "ROWS", &canyon__rows__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->table = wire->table;
    message->dim = (uint32_t)message_take_number(&unpacking, "dim", wire->dim, 0, LIMIT_DIM);
    message->runs = (uint32_t)message_take_number(&unpacking, "runs", wire->runs, 0, LIMIT_RUNS);
    message->rows = (uint32_t)message_take_number(&unpacking, "rows", wire->rows, 0, LIMIT_BATCH_ROWS);
    message->clock = wire->clock;
    message->create = wire->create != 0;
    message->codec = wire->codec;
    message->reply = wire->reply;
    message->wait_ms = (uint32_t)message_take_number(&unpacking, "wait_ms", wire->wait_ms, 0, LIMIT_WAIT_MS);
    return unpacking.status;
}

size_t message_pack_rows_done(const struct message_rows_done *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__RowsDone wire = CANYON__ROWS_DONE__INIT;
    wire.runs = message->runs;
    wire.rows = message->rows;
    wire.text = message_give_text(message->text);
    wire.clock = message->clock;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_rows_done(const uint8_t *bytes, size_t count, struct message_rows_done *message,
                                            struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__RowsDone *wire =
        message_unpack(&unpacking, "ROWS_DONE", &canyon__rows_done__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->runs = (uint32_t)message_take_number(&unpacking, "runs", wire->runs, 0, LIMIT_RUNS);
    message->rows = (uint32_t)message_take_number(&unpacking, "rows", wire->rows, 0, LIMIT_BATCH_ROWS);
    message_take_prose(wire->text, message->text, sizeof message->text);
    message->clock = wire->clock;
    return unpacking.status;
}

size_t message_pack_table_query(const struct message_table_query *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__TableQuery wire = CANYON__TABLE_QUERY__INIT;
    wire.table = message->table;
    wire.sum = message->sum;
    wire.shard = message->shard;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_table_query(const uint8_t *bytes, size_t count, struct message_table_query *message,
                                              struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__TableQuery *wire =
        message_unpack(&unpacking, "TABLE_QUERY", &canyon__table_query__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->table = wire->table;
    message->sum = wire->sum != 0;
    message->shard = (uint32_t)message_take_number(&unpacking, "shard", wire->shard, 0, LIMIT_SHARDS - 1);
    return unpacking.status;
}

size_t message_pack_table_totals(const struct message_table_totals *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__TableTotals wire = CANYON__TABLE_TOTALS__INIT;
    wire.shards = message->shards;
    wire.rows = message->rows;
    wire.bytes = message->bytes;
    wire.version = message->version;
    wire.clock = message->clock;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_table_totals(const uint8_t *bytes, size_t count, struct message_table_totals *message,
                                               struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__TableTotals *wire =
        message_unpack(&unpacking, "TABLE_TOTALS", &canyon__table_totals__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->shards = message_take_number(&unpacking, "shards", wire->shards, 0, LIMIT_SHARDS);
    message->rows = wire->rows;
    message->bytes = wire->bytes;
    message->version = wire->version;
    message->clock = wire->clock;
    return unpacking.status;
}

size_t message_pack_row_query(const struct message_row_query *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__RowQuery wire = CANYON__ROW_QUERY__INIT;
    wire.table = message->table;
    wire.shard = message->shard;
    wire.from = message->from;
    wire.most = message->most;
    wire.state = message->state;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_row_query(const uint8_t *bytes, size_t count, struct message_row_query *message,
                                            struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__RowQuery *wire =
        message_unpack(&unpacking, "ROW_QUERY", &canyon__row_query__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->table = wire->table;
    message->shard = (uint32_t)message_take_number(&unpacking, "shard", wire->shard, 0, LIMIT_SHARDS - 1);
    message->from = wire->from;
    message->most = (uint32_t)message_take_number(&unpacking, "most", wire->most, 0, LIMIT_BATCH_ROWS);
    message->state = wire->state != 0;
    return unpacking.status;
}

size_t message_pack_row_page(const struct message_row_page *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__RowPage wire = CANYON__ROW_PAGE__INIT;
    wire.rows = message->rows;
    wire.values = message->values;
    wire.scalars = message->scalars;
    wire.more = message->more;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_row_page(const uint8_t *bytes, size_t count, struct message_row_page *message,
                                           struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__RowPage *wire =
        message_unpack(&unpacking, "ROW_PAGE", &canyon__row_page__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->rows = (uint32_t)message_take_number(&unpacking, "rows", wire->rows, 0, LIMIT_BATCH_ROWS);
    message->values =
        (uint32_t)message_take_number(&unpacking, "values", wire->values, 0, (uint64_t)LIMIT_DIM * (1 + LIMIT_SLOTS));
    message->scalars = (uint32_t)message_take_number(&unpacking, "scalars", wire->scalars, 0, LIMIT_SCALARS);
    message->more = wire->more != 0;
    return unpacking.status;
}
