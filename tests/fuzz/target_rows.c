/* Rows of tables on their way: what a server takes for a request holds what it says, and ids that a client splits come
 * out of it all, once, where they belong.
 *
 * Input: u8 what. Of payloads (0 to 3 a request's type, 4 and 5 replies to a pull and a push): u16 dim, u16 runs, u16
 * rows, u8 codec, u8 reply's, then the payload. Of splits (any other): u8 shards, u8 rows of a frame, then ids of a
 * byte each or, where it is odd, of eight. */
#include "tests/fuzz/fuzz.h"

#include "client/row_split.h"
#include "common/codec.h"
#include "common/rows.h"

#define SHARDS 64
#define LIMIT  4096

static const unsigned types[] = {FRAME_TABLE_PUSH, FRAME_TABLE_PULL, FRAME_TABLE_PUSH_PULL, FRAME_TABLE_ERASE};

/* Reads all that a request promises to hold. */
static void walk(const struct message_rows *message, const uint8_t *payload, const struct rows_layout *layout,
                 bool values) {
    uint64_t rows = 0, sum = 0;
    for (uint32_t i = 0; i < message->runs; i++) {
        struct rows_run run;
        memcpy(&run, payload + i * sizeof run, sizeof run);
        REQUIRE(run.shard < SHARDS && run.rows > 0);
        rows += run.rows;
    }
    REQUIRE(rows == message->rows && rows > 0);
    for (uint32_t i = 0; i < message->rows; i++) {
        uint64_t id;
        memcpy(&id, payload + layout->ids + i * sizeof id, sizeof id);
        sum += id;
    }
    const size_t row = rows_row_bytes(message->codec, message->dim);
    REQUIRE(layout->ids % 8 == 0 && (!values || (layout->values % 64 == 0 && row % 4 == 0)));
    for (size_t i = 0; values && i < message->rows * row; i++) {
        sum += payload[layout->values + i];
    }
    *(volatile uint64_t *)&sum = sum;
}

static void judge_payload(struct input *input, unsigned what) {
    struct message_rows message = {.table = 1};
    struct rows_layout layout;
    struct error error = {.text = ""};
    size_t count;
    message.dim = input_u16(input) % (LIMIT_DIM + 1);
    message.runs = input_u16(input) % (LIMIT_RUNS + 1);
    message.rows = input_u16(input);
    message.codec = input_u8(input);
    message.reply = input_u8(input);
    const uint8_t *rest = input_bytes(input, input->left, &count);
    uint8_t *payload = exact_copy(rest, count);
    enum canyon_status status;
    if (what < 4) {
        status = rows_check_request(types[what], &message, payload, count, SHARDS, LIMIT, &layout, &error);
        if (status == CANYON_OK) {
            REQUIRE(layout.bytes == count && count <= LIMIT);
            walk(&message, payload, &layout, rows_push(types[what]));
        }
    } else {
        /* As many runs as it says, of a row each. */
        static struct rows_run runs[LIMIT_RUNS];
        struct message_rows_done done = {.runs = message.runs, .rows = message.rows};
        for (uint32_t i = 0; i < message.runs; i++) {
            runs[i] = (struct rows_run){.shard = i, .rows = 1};
        }
        status = rows_check_reply(what == 4 ? FRAME_TABLE_PULL : FRAME_TABLE_PUSH, &message, runs, &done, payload,
                                  count, &layout, &error);
        REQUIRE(status != CANYON_OK || (layout.bytes == count && done.rows <= message.runs));
    }
    REQUIRE(status == CANYON_OK || error.text[0] != '\0');
    free(payload);
}

static void order_init(struct shard_order *order, uint32_t *memory, uint32_t shards) {
    *order = (struct shard_order){
        .shards = shards, .ranks = memory, .sorted = memory + shards, .lanes = memory + 2 * (size_t)shards};
    for (uint32_t shard = 0, rank = 0; shard < shards; shard++) { /* even ones to lane 0, odd ones to lane 1 */
        rank = shard / 2 + (shard % 2) * ((shards + 1) / 2);
        order->ranks[shard] = rank;
        order->sorted[rank] = shard;
        order->lanes[shard] = shard % 2;
    }
}

static void check_split(const struct row_split *split, const uint64_t *ids, size_t count, uint32_t frame_rows) {
    size_t items = 0;
    uint32_t rows = 0;
    for (uint32_t place = 0; place < split->rows; place++) {
        uint32_t before = ROW_SPLIT_NONE, item = split->items[place];
        while (item != ROW_SPLIT_NONE) {
            REQUIRE(item < count && ids[item] == split->ids[place] && (before == ROW_SPLIT_NONE || before < item));
            items++;
            before = item;
            item = split->next == NULL ? ROW_SPLIT_NONE : split->next[item];
        }
    }
    for (uint32_t i = 0; i < split->frame_count; i++) {
        REQUIRE(split->frames[i].first == rows && split->frames[i].rows > 0 && split->frames[i].rows <= frame_rows);
        rows += split->frames[i].rows;
    }
    REQUIRE(items == count && rows == split->rows);
}

static void split(struct input *input, unsigned what) {
    uint32_t memory[3 * 128];
    struct shard_order order;
    struct row_merge merge;
    struct row_split made;
    struct row_hash hash;
    size_t count = 0;
    order_init(&order, memory, 1u << (input_u8(input) % 8));
    const uint32_t frame_rows = 1 + input_u8(input);
    const size_t width = what % 2 == 1 ? 8 : 1;
    uint64_t *ids = malloc((input->left / width + 1) * sizeof *ids);
    REQUIRE(ids != NULL);
    for (; input->left >= width; count++) {
        ids[count] = 0;
        memcpy(&ids[count], input->at, width);
        input->at += width;
        input->left -= width;
    }
    row_hash_init(&hash, "t");
    void *scratch = aligned_alloc(64, row_merge_bytes(order.shards, count) + 64);
    REQUIRE(scratch != NULL);
    row_merge_make(&merge, &order, &hash, ids, count, frame_rows, scratch);
    void *room = aligned_alloc(64, row_split_bytes(&merge) + 64);
    REQUIRE(room != NULL);
    row_split_make(&made, &merge, &order, room);
    check_split(&made, ids, count, frame_rows);
    free(room);
    free(scratch);
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    const unsigned what = input_u8(&input);
    if (what <= 5) {
        judge_payload(&input, what);
    } else {
        split(&input, what);
    }
    return 0;
}
