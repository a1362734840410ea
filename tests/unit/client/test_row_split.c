/* Splitting a batch of ids, against naive models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/row_split.h"
#include "common/codec.h"
#include "common/job.h"
#include "common/limits.h"
#include "tests/unit/common/seed.h"

/* ---- a map of shards, and a batch in its own memory ---- */

struct world {
    struct shard_order order;
    struct row_hash hash;
    uint32_t lanes;
};

/* Shards go round the lanes, as they do over the threads of one server. */
static void world_init(struct world *world, uint32_t shards, uint32_t lanes) {
    memset(world, 0, sizeof *world);
    world->lanes = lanes;
    world->order.shards = shards;
    world->order.ranks = malloc(shards * sizeof(uint32_t));
    world->order.sorted = malloc(shards * sizeof(uint32_t));
    world->order.lanes = malloc(shards * sizeof(uint32_t));
    assert_true(world->order.ranks != NULL && world->order.sorted != NULL && world->order.lanes != NULL);
    uint32_t rank = 0;
    for (uint32_t lane = 0; lane < lanes; lane++)
        for (uint32_t shard = lane; shard < shards; shard += lanes) {
            world->order.lanes[shard] = lane;
            world->order.ranks[shard] = rank;
            world->order.sorted[rank++] = shard;
        }
    row_hash_init(&world->hash, "embedding");
}

static void world_finish(struct world *world) {
    free(world->order.ranks);
    free(world->order.sorted);
    free(world->order.lanes);
}

static uint32_t shard_of(const struct world *world, uint64_t id) {
    uint64_t hash;
    row_hash_of(&world->hash, &id, 1, &hash);
    return (uint32_t)(hash % world->order.shards);
}

struct made {
    struct row_split split;
    void *memory;
};

static void *take(size_t bytes) {
    void *memory = NULL;
    assert_int_equal(posix_memalign(&memory, 64, bytes + 64), 0);
    memset(memory, 0xa5, bytes + 64); /* what is in it does not matter */
    return memory;
}

/* Exactly as much memory as is said, with marks behind. */
static void make(struct made *made, const struct world *world, const uint64_t *ids, size_t count, uint32_t frame_rows) {
    struct row_merge merge;
    const size_t scratch_bytes = row_merge_bytes(world->order.shards, count);
    uint8_t *scratch = take(scratch_bytes);
    row_merge_make(&merge, &world->order, &world->hash, ids, count, frame_rows, scratch);
    const size_t bytes = row_split_bytes(&merge);
    made->memory = take(bytes);
    row_split_make(&made->split, &merge, &world->order, made->memory);
    assert_int_equal(made->split.run_count, merge.runs);
    assert_int_equal(made->split.frame_count, merge.frames);
    for (size_t i = 0; i < 64; i++) {
        assert_int_equal(scratch[scratch_bytes + i], 0xa5);
        assert_int_equal(((uint8_t *)made->memory)[bytes + i], 0xa5);
    }
    free(scratch);
}

/* ---- what must hold of any split ---- */

/* Items by id, in order of occurrence: the naive model. */
struct first {
    uint64_t id;
    uint32_t item;
};

static int compare(const void *a, const void *b) {
    const struct first *one = a, *other = b;
    return one->id != other->id ? (one->id < other->id ? -1 : 1) : (one->item < other->item ? -1 : 1);
}

/* Every row's chain is all items of its id, in their order; each id has one row. */
static void check_rows(const struct made *made, const uint64_t *ids, size_t count) {
    const struct row_split *split = &made->split;
    struct first *sorted = malloc((count + 1) * sizeof *sorted), *rows = malloc((split->rows + 1) * sizeof *rows);
    size_t different = 0, at = 0;
    assert_true(sorted != NULL && rows != NULL);
    for (uint32_t i = 0; i < count; i++)
        sorted[i] = (struct first){ids[i], i};
    qsort(sorted, count, sizeof *sorted, compare);
    for (size_t i = 0; i < count; i++)
        different += i == 0 || sorted[i].id != sorted[i - 1].id;
    assert_int_equal(split->rows, different);
    assert_true((split->next != NULL) == (different < count));
    for (uint32_t place = 0; place < split->rows; place++)
        rows[place] = (struct first){split->ids[place], split->items[place]};
    qsort(rows, split->rows, sizeof *rows, compare);
    for (uint32_t row = 0; row < split->rows; row++) {
        uint32_t item = rows[row].item;
        for (const uint64_t id = rows[row].id; at < count && sorted[at].id == id; at++) {
            assert_int_equal(item, sorted[at].item);
            item = split->next == NULL ? ROW_SPLIT_NONE : split->next[item];
        }
        assert_int_equal(item, ROW_SPLIT_NONE);
    }
    assert_int_equal(at, count);
    free(sorted);
    free(rows);
}

/* Runs and frames cover all places, each row in its shard and each shard in its lane, within the limits; and a shard is
 * cut only when it does not fit a frame. */
static void check_frames(const struct made *made, const struct world *world, uint32_t frame_rows) {
    const struct row_split *split = &made->split;
    uint32_t place = 0, run = 0;
    for (uint32_t i = 0; i < split->frame_count; i++) {
        const struct row_split_frame *frame = &split->frames[i];
        assert_int_equal(frame->first, place);
        assert_int_equal(frame->first_run, run);
        assert_in_range(frame->rows, 1, frame_rows);
        assert_in_range(frame->runs, 1, LIMIT_RUNS);
        uint32_t rows = 0;
        for (uint32_t j = 0; j < frame->runs; j++, run++) {
            const struct rows_run *at = &split->runs[run];
            assert_true(j == 0 || split->runs[run - 1].shard < at->shard);
            assert_int_equal(world->order.lanes[at->shard], frame->lane);
            assert_int_equal(at->version, 0);
            const bool cut = run > 0 && split->runs[run - 1].shard == at->shard;
            assert_true(!cut || split->runs[run - 1].rows == frame_rows);
            for (uint32_t k = 0; k < at->rows; k++)
                assert_int_equal(shard_of(world, split->ids[place + k]), at->shard);
            place += at->rows;
            rows += at->rows;
        }
        assert_int_equal(rows, frame->rows);
    }
    assert_int_equal(place, split->rows);
    assert_int_equal(run, split->run_count);
}

/* Sums in order of occurrence and every item's weights, bit for bit. */
static void check_values(const struct made *made, size_t count, size_t dim, uint64_t *random) {
    const struct row_split *split = &made->split;
    float *gradients = malloc((count * dim + 1) * sizeof *gradients), *out = malloc((count * dim + 1) * sizeof *out);
    float *sums = malloc((split->rows * dim + 1) * sizeof *sums);
    assert_true(gradients != NULL && out != NULL && sums != NULL);
    for (size_t i = 0; i < count * dim; i++)
        gradients[i] = (float)((double)(int64_t)seed_next(random) * 0x1p-40);
    for (uint32_t i = 0; i < split->frame_count; i++) {
        const struct row_split_frame *frame = &split->frames[i];
        row_split_gather(split, frame->first, frame->rows, gradients, dim, sums + frame->first * dim);
        row_split_scatter(split, frame->first, frame->rows, sums + frame->first * dim, dim, out);
    }
    for (uint32_t place = 0; place < split->rows; place++)
        for (size_t j = 0; j < dim; j++) {
            uint32_t item = split->items[place];
            float sum = gradients[item * dim + j];
            while (split->next != NULL && (item = split->next[item]) != ROW_SPLIT_NONE)
                sum += gradients[item * dim + j];
            assert_memory_equal(&sum, &sums[place * dim + j], sizeof sum);
            for (item = split->items[place]; item != ROW_SPLIT_NONE;
                 item = split->next == NULL ? ROW_SPLIT_NONE : split->next[item])
                assert_memory_equal(&sum, &out[item * dim + j], sizeof sum);
        }
    free(gradients);
    free(out);
    free(sums);
}

static void check(const struct world *world, const uint64_t *ids, size_t count, uint32_t frame_rows, size_t dim,
                  uint64_t *random) {
    struct made made;
    make(&made, world, ids, count, frame_rows);
    check_rows(&made, ids, count);
    check_frames(&made, world, frame_rows);
    check_values(&made, count, dim, random);
    free(made.memory);
}

/* ---- batches ---- */

static void at_random(void **state) {
    (void)state;
    uint64_t random = seed_begin(__func__);
    static uint64_t ids[3000];
    for (int round = 0; round < 150; round++) {
        struct world world;
        const uint32_t shards = 1u << seed_below(&random, 11);
        const size_t count = seed_below(&random, 4) == 0 ? seed_below(&random, 4) : seed_below(&random, 3000);
        const uint64_t range = UINT64_MAX >> seed_below(&random, 64);
        world_init(&world, shards, 1 + (uint32_t)seed_below(&random, 5));
        for (size_t i = 0; i < count; i++)
            ids[i] = seed_next(&random) % range;
        check(&world, ids, count, 1 + (uint32_t)seed_below(&random, 2000), 1 + seed_below(&random, 40), &random);
        world_finish(&world);
    }
}

static void all_ids_equal(void **state) {
    (void)state;
    uint64_t random = seed_begin(__func__);
    uint64_t ids[500];
    struct world world;
    world_init(&world, 16, 2);
    for (size_t i = 0; i < 500; i++)
        ids[i] = UINT64_MAX;
    check(&world, ids, 500, 10, 8, &random);
    for (size_t i = 0; i < 500; i++)
        ids[i] = 0;
    check(&world, ids, 500, 10, 16, &random);
    world_finish(&world);
}

static void nothing(void **state) {
    (void)state;
    uint64_t random = seed_begin(__func__);
    struct world world;
    world_init(&world, 16, 2);
    check(&world, NULL, 0, 10, 8, &random);
    world_finish(&world);
}

/* Ids whose hashes begin alike crowd one stretch of slots: it takes longer and is as right. */
static void ids_that_collide(void **state) {
    (void)state;
    uint64_t random = seed_begin(__func__);
    static uint64_t ids[400];
    struct world world;
    world_init(&world, 4, 2);
    for (size_t found = 0; found < 400;) {
        uint64_t id = seed_next(&random), hash;
        row_hash_of(&world.hash, &id, 1, &hash);
        if (hash >> 57 == 127) /* and the search goes round the end of the slots */
            ids[found++] = id;
    }
    memcpy(ids + 300, ids, 100 * sizeof *ids);
    check(&world, ids, 400, 1000, 4, &random);
    world_finish(&world);
}

/* More shards than a frame has runs; a lane that none of the ids is of. */
static void many_shards(void **state) {
    (void)state;
    uint64_t random = seed_begin(__func__);
    struct world world;
    static uint64_t ids[60000];
    world_init(&world, LIMIT_SHARDS, 1);
    for (size_t i = 0; i < 60000; i++)
        ids[i] = i;
    struct made made;
    make(&made, &world, ids, 60000, 65536);
    check_rows(&made, ids, 60000);
    check_frames(&made, &world, 65536);
    assert_true(made.split.frame_count >= 9); /* 39,000 shards or so in frames of 4,096 */
    free(made.memory);
    world_finish(&world);
    world_init(&world, 4, 4);
    check(&world, ids, 1, 100, 4, &random);
    world_finish(&world);
}

/* One shard, several frames. */
static void a_shard_that_is_cut(void **state) {
    (void)state;
    uint64_t ids[25];
    struct world world;
    struct made made;
    world_init(&world, 1, 1);
    for (size_t i = 0; i < 25; i++)
        ids[i] = i;
    make(&made, &world, ids, 25, 10);
    assert_int_equal(made.split.frame_count, 3);
    assert_int_equal(made.split.frames[0].rows, 10);
    assert_int_equal(made.split.frames[1].rows, 10);
    assert_int_equal(made.split.frames[2].rows, 5);
    for (size_t i = 0; i < 25; i++)
        assert_int_equal(made.split.ids[i], i); /* the order is kept */
    free(made.memory);
    world_finish(&world);
}

static void rows_of_a_frame(void **state) {
    (void)state;
    assert_int_equal(row_split_frame_rows(64), 3640);
    assert_int_equal(row_split_frame_rows(4), 21845);
    assert_int_equal(row_split_frame_rows(0), 32768);
    assert_int_equal(row_split_frame_rows(LIMIT_DIM * 4), 3);
}

int main(void) {
    codec_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_random),        cmocka_unit_test(all_ids_equal), cmocka_unit_test(nothing),
        cmocka_unit_test(ids_that_collide), cmocka_unit_test(many_shards),   cmocka_unit_test(a_shard_that_is_cut),
        cmocka_unit_test(rows_of_a_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
