/* Plans: every block exactly once, on the lane that owns it, in frames within the limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/plan.h"
#include "common/frame.h"

/* A job of `servers` servers with `threads` threads each. */
struct map {
    struct job job;
    uint32_t threads[8];
    size_t first_lanes[8];
    struct plan_layout layout;
};

static void map_init(struct map *map, uint32_t servers, uint32_t threads, uint32_t block) {
    memset(map, 0, sizeof *map);
    job_init(&map->job);
    map->job.shards = 64;
    map->job.block = block;
    map->job.server_count = servers; /* placement needs no addresses */
    for (uint32_t i = 0; i < servers; i++) {
        map->threads[i] = threads;
        map->first_lanes[i] = (size_t)i * threads;
    }
    map->layout = (struct plan_layout){.job = &map->job,
                                       .threads = map->threads,
                                       .first_lanes = map->first_lanes,
                                       .lane_count = (size_t)servers * threads};
}

/* Checks everything that must hold of any plan. */
static void check_plan(const struct plan *plan, const struct map *map, const struct plan_item *items, size_t count) {
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += (size_t)job_block_count(&map->job, items[i].elements);
    assert_int_equal(plan->piece_count, total);
    bool *seen = calloc(plan->piece_count + 1, sizeof *seen);
    assert_non_null(seen);
    size_t visited = 0;
    for (size_t f = 0; f < plan->frame_count; f++) {
        const struct plan_frame *frame = &plan->frames[f];
        uint32_t pieces = 0, out = 0, in = 0;
        uint64_t single = 0;
        assert_true(frame->lane < map->layout.lane_count);
        for (size_t index = frame->first; index != PLAN_NONE; index = plan->pieces[index].next) {
            const struct plan_piece *piece = &plan->pieces[index];
            const struct plan_item *item = &items[piece->item];
            assert_false(seen[index]);
            seen[index] = true;
            visited++;
            pieces++;
            out += piece->out;
            in += piece->in;
            single += piece->elements * 4u;
            assert_int_equal(item->type, frame->type);
            assert_int_equal(piece->elements,
                             item->per_block ? 2 : job_block_elements(&map->job, item->elements, piece->block));
            assert_true(piece->offset == (uint64_t)piece->block * (item->per_block ? 2 : map->job.block));
            assert_int_equal(frame->lane, plan_lane_of(&map->layout, item->home, piece->block));
            assert_true(index != frame->last || piece->next == PLAN_NONE);
        }
        assert_int_equal(pieces, frame->count);
        assert_int_equal(out, frame->out);
        assert_int_equal(in, frame->in);
        assert_int_equal(single, frame->single);
        assert_true(pieces >= 1 && pieces <= LIMIT_PIECES);
        assert_true(pieces == 1 || (out <= PLAN_FRAME_BYTES && in <= PLAN_FRAME_BYTES && single <= PLAN_SINGLE_BYTES));
    }
    assert_int_equal(visited, total);
    free(seen);
}

static void test_large_blocks_travel_alone(void **state) {
    (void)state;
    struct map map;
    struct plan plan;
    map_init(&map, 2, 2, 16384);
    const struct plan_item item = {.tensor = 1, .home = 5, .elements = 16384 * 10, .type = FRAME_PUSH_PULL};
    assert_int_equal(plan_make(&plan, &map.layout, &item, 1, NULL), CANYON_OK);
    check_plan(&plan, &map, &item, 1);
    assert_int_equal(plan.frame_count, 10);
    plan_finish(&plan);
}

static void test_small_tensors_of_one_lane_share_a_frame(void **state) {
    (void)state;
    struct map map;
    struct plan plan;
    struct plan_item items[10];
    map_init(&map, 1, 1, 1024);
    for (size_t i = 0; i < 10; i++)
        items[i] = (struct plan_item){.tensor = i + 1, .home = i, .elements = 10, .type = FRAME_PUSH_PULL};
    assert_int_equal(plan_make(&plan, &map.layout, items, 10, NULL), CANYON_OK);
    check_plan(&plan, &map, items, 10);
    assert_int_equal(plan.frame_count, 1);
    plan_finish(&plan);
}

static void test_kinds_do_not_share(void **state) {
    (void)state;
    struct map map;
    struct plan plan;
    map_init(&map, 1, 1, 1024);
    const struct plan_item items[] = {{.tensor = 1, .elements = 10, .type = FRAME_PUSH},
                                      {.tensor = 2, .elements = 10, .type = FRAME_PULL},
                                      {.tensor = 3, .elements = 10, .type = FRAME_PUSH_PULL},
                                      {.tensor = 4, .elements = 10, .type = FRAME_PUSH}};
    assert_int_equal(plan_make(&plan, &map.layout, items, 4, NULL), CANYON_OK);
    check_plan(&plan, &map, items, 4);
    assert_int_equal(plan.frame_count, 3);
    plan_finish(&plan);
}

/* Eight bytes for each block: at the block's owner, as many pieces in a frame as may be. */
static void test_numbers_of_blocks(void **state) {
    (void)state;
    struct map map;
    struct plan plan;
    map_init(&map, 1, 2, 65536);
    const struct plan_item item = {
        .tensor = 1, .home = 5, .elements = 65536 * 200 + 1, .per_block = true, .type = FRAME_ASSIGN};
    assert_int_equal(plan_make(&plan, &map.layout, &item, 1, NULL), CANYON_OK);
    check_plan(&plan, &map, &item, 1);
    assert_int_equal(plan.frame_count, 4); /* 100 or 101 pieces to each thread */
    plan_finish(&plan);
}

static void test_shared_frames_end_at_the_piece_limit(void **state) {
    (void)state;
    struct map map;
    struct plan plan;
    struct plan_item items[2 * LIMIT_PIECES + 1];
    size_t count = sizeof items / sizeof items[0];
    map_init(&map, 1, 1, 1024);
    for (size_t i = 0; i < count; i++)
        items[i] = (struct plan_item){.tensor = i + 1, .home = i, .elements = 1, .type = FRAME_PUSH};
    assert_int_equal(plan_make(&plan, &map.layout, items, count, NULL), CANYON_OK);
    check_plan(&plan, &map, items, count);
    assert_int_equal(plan.frame_count, 3);
    plan_finish(&plan);
}

static void test_shared_frames_end_at_the_byte_limit(void **state) {
    (void)state;
    struct map map;
    struct plan plan;
    map_init(&map, 1, 1, 16383); /* just under what travels alone: four of them fill a frame, a fifth does not fit */
    const struct plan_item item = {.tensor = 1, .elements = 16383 * 5, .type = FRAME_PUSH};
    assert_int_equal(plan_make(&plan, &map.layout, &item, 1, NULL), CANYON_OK);
    check_plan(&plan, &map, &item, 1);
    assert_int_equal(plan.frame_count, 2);
    plan_finish(&plan);
}

/* What travels counts, not what it stands for. */
static void test_encoded_blocks_travel_as_their_bytes_ask_for(void **state) {
    (void)state;
    static const struct {
        uint16_t type;
        enum codec codec, reply;
        uint32_t out, in;
        size_t frames; /* of twelve blocks */
    } cases[] = {
        {FRAME_PUSH, CODEC_F32, CODEC_F32, 262144, 0, 12},
        {FRAME_PUSH, CODEC_BF16, CODEC_F32, 131072, 0, 12},
        {FRAME_PUSH, CODEC_INT8, CODEC_F32, 69632, 0, 12},
        /* 5,248 bytes, 262,144 as float32: servers take 1 MiB of that in a frame. */
        {FRAME_PUSH, CODEC_TOPK, CODEC_F32, 5248, 0, 3},
        {FRAME_PUSH_PULL, CODEC_TOPK, CODEC_F32, 5248, 262144, 12},
        {FRAME_PUSH_PULL, CODEC_TOPK, CODEC_INT8_STOCHASTIC, 5248, 69632, 12},
        {FRAME_PULL, CODEC_TOPK, CODEC_F16, 0, 131072, 12},
    };
    struct map map;
    map_init(&map, 1, 1, 65536);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct plan plan;
        const struct plan_item item = {.tensor = 1,
                                       .elements = 65536 * 12,
                                       .type = cases[i].type,
                                       .codec = cases[i].codec,
                                       .fraction = 0.01,
                                       .reply = cases[i].reply};
        assert_int_equal(plan_make(&plan, &map.layout, &item, 1, NULL), CANYON_OK);
        check_plan(&plan, &map, &item, 1);
        assert_int_equal(plan.frame_count, cases[i].frames);
        for (size_t k = 0; k < plan.piece_count; k++) {
            assert_int_equal(plan.pieces[k].out, cases[i].out);
            assert_int_equal(plan.pieces[k].in, cases[i].in);
            assert_int_equal(plan.pieces[k].kept,
                             cases[i].codec == CODEC_TOPK && cases[i].type != FRAME_PULL ? 656 : 0);
        }
        plan_finish(&plan);
    }
}

static void test_nothing_to_move(void **state) {
    (void)state;
    struct map map;
    struct plan plan;
    map_init(&map, 1, 1, 1024);
    const struct plan_item empty = {.tensor = 1, .elements = 0, .type = FRAME_PUSH};
    assert_int_equal(plan_make(&plan, &map.layout, &empty, 1, NULL), CANYON_OK);
    assert_int_equal(plan.frame_count, 0);
    plan_finish(&plan);
    assert_int_equal(plan_make(&plan, &map.layout, NULL, 0, NULL), CANYON_OK);
    assert_int_equal(plan.frame_count, 0);
    plan_finish(&plan);
    plan_finish(NULL);
}

static void test_the_same_tensor_twice_is_refused(void **state) {
    (void)state;
    struct map map;
    struct plan plan;
    struct error error;
    map_init(&map, 1, 1, 1024);
    const struct plan_item items[] = {{.tensor = 7, .elements = 10, .type = FRAME_PUSH},
                                      {.tensor = 3, .elements = 10, .type = FRAME_PUSH},
                                      {.tensor = 7, .elements = 10, .type = FRAME_PULL}};
    assert_int_equal(plan_make(&plan, &map.layout, items, 3, &error), CANYON_INVALID_ARGUMENT);
    plan_finish(&plan);
}

/* Random jobs and steps; CANYON_SEED replays one. */
static void test_any_step_is_covered(void **state) {
    (void)state;
    const char *given = getenv("CANYON_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : 20260131u;
    printf("CANYON_SEED=%u\n", seed);
    srand(seed);
    static const uint16_t types[] = {FRAME_PUSH, FRAME_PULL, FRAME_PUSH_PULL};
    for (int round = 0; round < 200; round++) {
        struct map map;
        struct plan plan;
        struct plan_item items[40];
        size_t count = (size_t)(rand() % 40);
        map_init(&map, 1 + (uint32_t)(rand() % 5), 1 + (uint32_t)(rand() % 3), 1024u << (rand() % 7));
        for (size_t i = 0; i < count; i++)
            items[i] = (struct plan_item){.tensor = i + 1,
                                          .home = (uint64_t)rand() * 2654435761u,
                                          .elements = (uint64_t)(rand() % 3 == 0 ? rand() % 300000 : rand() % 3000),
                                          .type = types[rand() % 3]};
        assert_int_equal(plan_make(&plan, &map.layout, items, count, NULL), CANYON_OK);
        check_plan(&plan, &map, items, count);
        plan_finish(&plan);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_large_blocks_travel_alone),
        cmocka_unit_test(test_small_tensors_of_one_lane_share_a_frame),
        cmocka_unit_test(test_kinds_do_not_share),
        cmocka_unit_test(test_numbers_of_blocks),
        cmocka_unit_test(test_shared_frames_end_at_the_piece_limit),
        cmocka_unit_test(test_shared_frames_end_at_the_byte_limit),
        cmocka_unit_test(test_encoded_blocks_travel_as_their_bytes_ask_for),
        cmocka_unit_test(test_nothing_to_move),
        cmocka_unit_test(test_the_same_tensor_twice_is_refused),
        cmocka_unit_test(test_any_step_is_covered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
