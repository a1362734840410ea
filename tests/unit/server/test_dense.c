/* Parts: which blocks they hold, where their arrays lie, and what an assign and a push do to them. */
#include "tests/unit/server/fixture.h"

#include <float.h>
#include <math.h>

#include "server/dense.h"
#include "server/initializer.h"

#define BLOCK 1024

static const uint64_t sizes[] = {0, 1, 15, 16, 17, 1023, 1024, 1025, 4096, 8 * 1024, 8 * 1024 + 1, 100001};

static void the_shards_share_every_block(void **state) {
    (void)state;
    struct job job = fixture_job(1, 8, BLOCK);
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        struct tensor_spec spec = fixture_spec("w", sizes[s], "adam");
        uint64_t blocks = 0, elements = 0, expected_blocks = (sizes[s] + BLOCK - 1) / BLOCK;
        uint8_t *seen = calloc((size_t)expected_blocks + 1, 1);
        for (uint32_t shard = 0; shard < job.shards; shard++) {
            struct dense_size size;
            dense_measure(&job, shard, &spec, &size);
            blocks += size.blocks;
            elements += size.elements;
            assert_true(size.bytes >= size.elements * 3 * sizeof(float));
            assert_true(size.bytes <= (size.elements + size.blocks * 15) * 3 * sizeof(float));
            if (size.blocks == 0) {
                continue;
            }
            struct dense *dense = dense_create(&job, shard, 5, &spec, NULL);
            assert_non_null(dense);
            assert_int_equal(dense->count, size.blocks);
            for (size_t place = 0; place < dense->count; place++) {
                uint32_t number = dense_number(dense, place);
                assert_int_equal(job_shard_of(&job, job_home("w"), number), shard);
                assert_int_equal(dense_place(dense, number), place);
                assert_int_equal(seen[number], 0);
                assert_int_equal(dense_elements(dense, place), job_block_elements(&job, sizes[s], number));
                seen[number] = 1;
            }
            for (uint32_t number = 0; number < 2 * expected_blocks + 20; number++) {
                bool here = number < expected_blocks && job_shard_of(&job, job_home("w"), number) == shard;
                assert_int_equal(dense_place(dense, number) < dense->count, here);
            }
            dense_destroy(dense);
        }
        assert_int_equal(blocks, expected_blocks);
        assert_int_equal(elements, sizes[s]);
        free(seen);
    }
    job_finish(&job);
}

static void arrays_are_aligned_and_apart(void **state) {
    (void)state;
    struct job job = fixture_job(1, 2, BLOCK);
    struct tensor_spec spec = fixture_spec("w", 6 * BLOCK + 17, "adam");
    for (uint32_t shard = 0; shard < job.shards; shard++) {
        struct dense *dense = dense_create(&job, shard, 5, &spec, NULL);
        const float *end = dense->memory;
        for (size_t place = 0; place < dense->count; place++) {
            const float *arrays[3] = {dense_weights(dense, place), dense_slot(dense, place, 0),
                                      dense_slot(dense, place, 1)};
            for (size_t i = 0; i < 3; i++) {
                assert_int_equal((uintptr_t)arrays[i] % 64, 0);
                assert_true(arrays[i] >= end);
                end = arrays[i] + dense_elements(dense, place);
            }
        }
        assert_true((size_t)(end - dense->memory) * sizeof(float) <= dense->size.bytes);
        dense_destroy(dense);
    }
    job_finish(&job);
}

/* The first values come from the initializer and the descriptor, whatever the cut into blocks. */
static void first_values(void **state) {
    (void)state;
    struct job job = fixture_job(1, 4, BLOCK);
    struct tensor_spec spec = fixture_spec("w", 5000, "adagrad:initial_accumulator_value=0.25");
    float *expected = malloc(5000 * sizeof(float));
    initializer_fill(&spec, 0, 5000, expected);
    for (uint32_t shard = 0; shard < job.shards; shard++) {
        struct dense *dense = dense_create(&job, shard, 5, &spec, NULL);
        for (size_t place = 0; place < dense->count; place++) {
            size_t elements = dense_elements(dense, place);
            assert_memory_equal(dense_weights(dense, place), expected + (size_t)dense_number(dense, place) * BLOCK,
                                elements * sizeof(float));
            for (size_t i = 0; i < elements; i++) {
                assert_true(dense_slot(dense, place, 0)[i] == 0.25f);
            }
            assert_int_equal(dense->blocks[place].version, 0);
            assert_int_equal(dense->blocks[place].step, 0);
        }
        dense_destroy(dense);
    }
    free(expected);
    job_finish(&job);
}

/* Every instruction set, lengths around the spans that are looked at together, the bad value everywhere. */
static void the_first_bad_value_is_found(void **state) {
    (void)state;
    enum { MOST = 3 * 256 + 2 };
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    static const size_t counts[] = {0, 1, 7, 200, 255, 256, 257, 511, 512, 513, MOST};
    float values[MOST];
    for (size_t i = 0; i < MOST; i++) {
        values[i] = i % 3 == 0 ? -FLT_MAX : 1e-42f; /* the largest and the subnormal are finite */
    }
    for (unsigned set = 0; set < OPTIMIZER_SETS; set++) {
        for (size_t c = 0; c < sizeof counts / sizeof counts[0] && optimizer_set_supported(set); c++) {
            const size_t count = counts[c];
            assert_int_equal(optimizer_finite[set](values, count), count);
            for (size_t at = 0; at < count; at++) {
                const float before = values[at], last = values[count - 1];
                values[count - 1] = NAN;
                values[at] = bad[at % 4];
                assert_int_equal(optimizer_finite[set](values, count), at);
                assert_int_equal(optimizer_finite[set](values, at), at);
                values[count - 1] = last;
                values[at] = before;
            }
        }
    }
}

/* Every optimizer, a block whose length no vector divides: dense_push is the descriptor's update of the whole block.
 */
static void a_push_is_the_optimizers_update(void **state) {
    (void)state;
    uint64_t seed = seed_begin("a_push_is_the_optimizers_update");
    enum { LENGTH = 3077 };
    struct job job = fixture_job(1, 1, 2 * LENGTH);
    static float w[LENGTH], g[LENGTH], slots[OPTIMIZER_SLOTS][LENGTH];
    for (size_t o = 0; o < optimizer_count(); o++) {
        const struct optimizer *optimizer = optimizer_at(o);
        if (optimizer->rows_only) {
            continue;
        }
        struct tensor_spec spec = fixture_spec("w", LENGTH, optimizer->name);
        struct dense *dense = dense_create(&job, 0, 5, &spec, NULL);
        double scalars[OPTIMIZER_SCALARS] = {0};
        float *pointers[OPTIMIZER_SLOTS] = {slots[0], slots[1], slots[2], slots[3]};
        memcpy(w, dense_weights(dense, 0), sizeof w);
        for (size_t slot = 0; slot < optimizer->slot_count; slot++) {
            memcpy(slots[slot], dense_slot(dense, 0, slot), sizeof w);
        }
        memcpy(scalars, optimizer->scalar_initial, sizeof scalars);
        for (uint64_t step = 1; step <= 5; step++) {
            float prepared[OPTIMIZER_PREPARED] = {0};
            fixture_fill(&seed, g, LENGTH);
            optimizer->prepare(dense->hyper, step, scalars, prepared);
            assert_int_equal(optimizer_apply(optimizer, prepared, LENGTH, g, w, pointers), 0);
            dense_push(dense, 0, g, 0);
            assert_memory_equal(dense_weights(dense, 0), w, sizeof w);
            for (size_t slot = 0; slot < optimizer->slot_count; slot++) {
                assert_memory_equal(dense_slot(dense, 0, slot), slots[slot], sizeof w);
            }
            for (size_t i = 0; i < optimizer->scalar_count; i++) {
                assert_true(dense->blocks[0].scalars[i] == scalars[i]);
            }
            assert_int_equal(dense->blocks[0].version, step);
            assert_int_equal(dense->blocks[0].step, step);
        }
        assert_int_equal(dense->kept, 0);
        dense_destroy(dense);
    }
    job_finish(&job);
}

static void an_assign_replaces_weights_only(void **state) {
    (void)state;
    struct job job = fixture_job(1, 1, BLOCK);
    struct tensor_spec spec = fixture_spec("w", 10, "momentum");
    struct dense *dense = dense_create(&job, 0, 5, &spec, NULL);
    static const float ones[10] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    float slot[10], values[10] = {9, 8, 7, 6, 5, 4, 3, 2, 1, 0};
    dense_push(dense, 0, ones, 0);
    memcpy(slot, dense_slot(dense, 0, 0), sizeof slot);
    dense_assign(dense, 0, values);
    assert_memory_equal(dense_weights(dense, 0), values, sizeof values);
    assert_memory_equal(dense_slot(dense, 0, 0), slot, sizeof slot);
    assert_int_equal(dense->blocks[0].version, 2);
    assert_int_equal(dense->blocks[0].step, 1);
    dense_destroy(dense);
    job_finish(&job);
}

/* Gradients whose square overflows leave their element as it was, and all others as they would have been. */
static void an_overflowing_element_keeps_its_values(void **state) {
    (void)state;
    enum { LENGTH = 2051, BAD = 1025 };
    struct job job = fixture_job(1, 1, 4096);
    struct tensor_spec spec = fixture_spec("w", LENGTH, "adagrad");
    struct dense *dense = dense_create(&job, 0, 5, &spec, NULL), *other = dense_create(&job, 0, 5, &spec, NULL);
    static float g[LENGTH], w[LENGTH];
    uint64_t seed = 3;
    fixture_fill(&seed, g, LENGTH);
    memcpy(w, dense_weights(dense, 0), sizeof w);
    dense_push(other, 0, g, 0);
    g[BAD] = 3e38f;
    dense_push(dense, 0, g, 0);
    for (size_t i = 0; i < LENGTH; i++) {
        assert_true(dense_weights(dense, 0)[i] == (i == BAD ? w[i] : dense_weights(other, 0)[i]));
        assert_true(dense_slot(dense, 0, 0)[i] == (i == BAD ? 0.0f : dense_slot(other, 0, 0)[i]));
    }
    assert_int_equal(dense->kept, 1);
    assert_int_equal(dense->blocks[0].version, 1);
    dense_destroy(dense);
    dense_destroy(other);
    job_finish(&job);
}

static struct digest digest_of(const struct dense *dense) {
    struct digest digest;
    struct hash hash;
    hash_init(&hash);
    dense_digest(dense, &hash);
    hash_final(&hash, digest.bytes);
    return digest;
}

/* Changes one thing at a time and puts it back. */
static void everything_but_the_id_is_in_the_digest(void **state) {
    (void)state;
    struct job job = fixture_job(1, 2, BLOCK);
    struct tensor_spec spec = fixture_spec("w", 3 * BLOCK + 5, "nadam");
    struct dense *dense = dense_create(&job, 0, 5, &spec, NULL);
    struct digest before = digest_of(dense);
    float *floats[] = {&dense_weights(dense, 0)[0], &dense_weights(dense, 1)[dense_elements(dense, 1) - 1],
                       &dense_slot(dense, 0, 1)[3], &dense_slot(dense, 1, 0)[dense_elements(dense, 1) - 1]};
    uint64_t *numbers[] = {&dense->blocks[1].version, &dense->blocks[0].step, &dense->kept,
                           &dense->spec.initializer.seed, &dense->spec.shape.dims[0]};
    double *doubles[] = {&dense->blocks[1].scalars[0], &dense->spec.optimizer.settings[0].value};
    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) {
        float old = *floats[i];
        *floats[i] = nextafterf(old, 10.0f);
        assert_false(fixture_same(digest_of(dense), before));
        *floats[i] = old;
    }
    /* The shape goes last, for it moves the arrays. */
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        *numbers[i] ^= 1;
        assert_false(fixture_same(digest_of(dense), before));
        *numbers[i] ^= 1;
    }
    for (size_t i = 0; i < sizeof doubles / sizeof doubles[0]; i++) {
        double old = *doubles[i];
        *doubles[i] = nextafter(old, 10.0);
        assert_false(fixture_same(digest_of(dense), before));
        *doubles[i] = old;
    }
    dense->key.id++;
    assert_true(fixture_same(digest_of(dense), before));
    dense_destroy(dense);
    job_finish(&job);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shards_share_every_block),
        cmocka_unit_test(arrays_are_aligned_and_apart),
        cmocka_unit_test(first_values),
        cmocka_unit_test(the_first_bad_value_is_found),
        cmocka_unit_test(a_push_is_the_optimizers_update),
        cmocka_unit_test(an_assign_replaces_weights_only),
        cmocka_unit_test(an_overflowing_element_keeps_its_values),
        cmocka_unit_test(everything_but_the_id_is_in_the_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
