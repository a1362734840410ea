/* Tables against a plain model: every optimizer, random operations, two secrets side by side; what a batch that is
 * refused leaves behind; caps, growth and memory. */
#include "tests/unit/server/table_fixture.h"

#include <float.h>
#include <math.h>

#define MOST 64 /* ids of a batch here */

/* Two tables that differ in their secrets and nothing else, and the model. */
struct trio {
    struct job job;
    struct workspace *workspaces[2];
    struct table *tables[2];
    struct model model;
};

static void trio_init(struct trio *trio, const struct tensor_spec *spec) {
    trio->job = fixture_job(1, 1, 1024);
    for (uint8_t i = 0; i < 2; i++) {
        trio->workspaces[i] = fixture_workspace(NULL, (uint8_t)(11 + 100 * i));
        trio->tables[i] = table_create(&trio->job, 0, 5u + i, spec, trio->workspaces[i]);
        assert_non_null(trio->tables[i]);
    }
    model_init(&trio->model, spec);
}

static void trio_finish(struct trio *trio) {
    for (size_t i = 0; i < 2; i++) {
        table_destroy(trio->tables[i]);
        assert_int_equal(pool_taken(trio->workspaces[i]->pool), 0);
        workspace_destroy(trio->workspaces[i]);
    }
    model_finish(&trio->model);
    job_finish(&trio->job);
}

static void trio_same(const struct trio *trio) {
    model_same(&trio->model, trio->tables[0]);
    model_same(&trio->model, trio->tables[1]);
    assert_true(fixture_same(fixture_table_digest(trio->tables[0]), fixture_table_digest(trio->tables[1])));
}

/* What comes out of an operation: the rows of all ids, as the model has them now or would begin them. */
static void check_out(const struct trio *trio, const uint64_t *ids, size_t count, const float *out) {
    const struct model *model = &trio->model;
    float initial[MOST];
    for (size_t i = 0; i < count; i++) {
        const struct model_row *row = model_find(model, ids[i]);
        initializer_row(&model->recipe, ids[i], model->dim, initial);
        assert_memory_equal(out + i * model->dim, row == NULL ? initial : row->values, model->dim * sizeof(float));
    }
}

static size_t draw_ids(uint64_t *seed, uint64_t range, uint64_t *ids) {
    size_t count = (size_t)seed_below(seed, MOST) + 1;
    for (size_t i = 0; i < count; i++) {
        ids[i] = seed_below(seed, range) * UINT64_C(0x9000000000000007);
        if (i > 0 && seed_below(seed, 8) == 0) {
            ids[i] = ids[seed_below(seed, i)];
        }
    }
    return count;
}

static void random_step(struct trio *trio, uint64_t *seed, uint64_t range) {
    static float gradients[MOST * 64], out[2][MOST * 64];
    uint64_t ids[MOST], clock = seed_below(seed, 40), erased[2];
    size_t count = draw_ids(seed, range, ids), dim = trio->model.dim;
    bool changed[2];
    fixture_fill(seed, gradients, count * dim);
    uint64_t kind = seed_below(seed, 10);
    for (size_t i = 0; i < 2; i++) {
        struct table *table = trio->tables[i];
        bool wants = seed_below(seed, 3) > 0;
        memset(out[i], 0, sizeof out[i]);
        if (kind < 6) {
            assert_int_equal(table_push(table, ids, count, gradients, clock, wants ? out[i] : NULL, NULL), CANYON_OK);
        } else if (kind == 6) {
            assert_int_equal(table_touch(table, ids, count, clock, wants ? out[i] : NULL, &changed[i], NULL),
                             CANYON_OK);
        } else if (kind == 7) {
            assert_int_equal(table_erase(table, ids, count, &erased[i], NULL), CANYON_OK);
        } else {
            wants = true;
            assert_int_equal(table_pull(table, ids, count, out[i], NULL), CANYON_OK);
        }
        if (kind < 6 && i == 0) {
            model_push(&trio->model, ids, count, gradients, clock);
        } else if (kind == 6 && i == 0) {
            model_touch(&trio->model, ids, count, clock);
        } else if (kind == 7 && i == 0) {
            uint64_t before = trio->model.count;
            for (size_t k = 0; k < count; k++) {
                model_erase(&trio->model, ids[k]);
            }
            assert_true(erased[0] == before - trio->model.count);
        }
        if (wants && kind != 7) {
            check_out(trio, ids, count, out[i]);
        }
    }
}

static void follow(const char *settings, uint64_t dim, uint64_t *seed, unsigned steps, uint64_t range) {
    struct tensor_spec spec = fixture_table_spec("t", dim, settings);
    struct trio trio;
    trio_init(&trio, &spec);
    for (unsigned i = 0; i < steps; i++) {
        random_step(&trio, seed, range);
        if (i % 50 == 49) {
            trio_same(&trio);
        }
    }
    trio_same(&trio);
    trio_finish(&trio);
}

static void every_optimizer_follows_the_model(void **state) {
    (void)state;
    static const uint64_t dims[] = {1, 3, 16, 33};
    uint64_t seed = seed_begin("every_optimizer_follows_the_model");
    for (size_t o = 0; o < optimizer_count(); o++) {
        for (size_t d = 0; d < 4; d++) {
            char settings[120];
            const char *name = optimizer_at(o)->name;
            follow(name, dims[d], &seed, 60, 100);
            snprintf(settings, sizeof settings, "%s:steps=shard", name);
            follow(settings, dims[d], &seed, 30, 60);
            snprintf(settings, sizeof settings, "%s:schedule=cosine,T_max=50,warmup=5,clip_value=0.5", name);
            follow(settings, dims[d], &seed, 30, 60);
        }
    }
}

static void growth_and_erasure_follow_the_model(void **state) {
    (void)state;
    uint64_t seed = seed_begin("growth_and_erasure_follow_the_model");
    follow("adam", 2, &seed, 400, 1500);
    follow("nadam:momentum_decay=0.1", 5, &seed, 300, 1000);
}

/* Settings that change between pushes reach every row's next update; Nadam's product is each row's own. */
static void changed_settings_are_followed(void **state) {
    (void)state;
    static const char *const texts[] = {"nadam", "nadam:beta1=0.5,lr=0.1", "nadam:weight_decay=0.1"};
    uint64_t seed = seed_begin("changed_settings_are_followed");
    struct tensor_spec spec = fixture_table_spec("t", 4, texts[0]);
    struct trio trio;
    trio_init(&trio, &spec);
    for (uint64_t i = 0; i < 120; i++) {
        if (i % 20 == 19) {
            struct tensor_spec other = fixture_table_spec("t", 4, texts[i / 20 % 3]);
            table_adjust(trio.tables[0], &other.optimizer, i);
            table_adjust(trio.tables[1], &other.optimizer, i);
            rule_read(&trio.model.rule, &other.optimizer);
        }
        random_step(&trio, &seed, 90);
    }
    trio_same(&trio);
    trio_finish(&trio);
}

/* ---- One table ---- */

struct single {
    struct job job;
    struct workspace *workspace;
    struct table *table;
    struct tensor_spec spec;
};

static void single_init(struct single *single, const char *optimizer, uint64_t dim, uint64_t cap) {
    single->job = fixture_job(1, 4, 1024);
    single->spec = fixture_table_spec("t", dim, optimizer);
    single->spec.row_cap = cap;
    single->workspace = fixture_workspace(NULL, 3);
    single->table = table_create(&single->job, 2, 9, &single->spec, single->workspace);
    assert_non_null(single->table);
}

static void single_finish(struct single *single) {
    table_destroy(single->table);
    workspace_destroy(single->workspace);
    job_finish(&single->job);
}

/* In float, (1e8 + 1) - 1e8 is 0 and (1e8 - 1e8) + 1 is 1: only the order of occurrence gives what is expected. */
static void what_is_there_twice_is_added_in_order(void **state) {
    (void)state;
    static const uint64_t ids[] = {7, 8, 7, 7, 8, 8};
    static const float gradients[] = {1e8f, 1e8f, 1.0f, -1e8f, -1e8f, 1.0f};
    struct single single;
    float out[6], start[2];
    single_init(&single, "sgd:lr=1", 1, 0);
    assert_int_equal(table_pull(single.table, ids, 2, start, NULL), CANYON_OK);
    assert_int_equal(table_push(single.table, ids, 6, gradients, 1, out, NULL), CANYON_OK);
    for (size_t i = 0; i < 6; i++) {
        assert_true(out[i] == (ids[i] == 7 ? start[0] - 0.0f : start[1] - 1.0f));
    }
    struct table_row row;
    assert_true(table_row(single.table, 7, &row) && row.step == 1);
    single_finish(&single);
}

/* A row is what (name, seed, id) make it: not the order, the shard, other rows, or a pull before. */
static void first_values_depend_on_nothing_else(void **state) {
    (void)state;
    enum { ROWS = 500, DIM = 7 };
    static uint64_t ids[ROWS], backwards[ROWS];
    static float first[ROWS * DIM], second[ROWS * DIM], other[ROWS * DIM];
    struct single one, two, three;
    bool changed;
    for (uint64_t i = 0; i < ROWS; i++) {
        ids[i] = i * i * UINT64_C(0x123456789abcdef);
        backwards[ROWS - 1 - i] = ids[i];
    }
    single_init(&one, "adam", DIM, 0);
    single_init(&two, "sgd", DIM, 0);
    single_init(&three, "sgd", DIM, 0);
    assert_int_equal(table_touch(one.table, ids, ROWS, 1, first, &changed, NULL), CANYON_OK);
    assert_true(changed);
    assert_int_equal(table_pull(two.table, backwards, ROWS, second, NULL), CANYON_OK);
    assert_int_equal(table_rows(two.table), 0);
    assert_int_equal(table_touch(two.table, backwards, ROWS, 1, other, &changed, NULL), CANYON_OK);
    assert_memory_equal(second, other, sizeof other);
    for (size_t i = 0; i < ROWS; i++) {
        assert_memory_equal(first + i * DIM, second + (ROWS - 1 - i) * DIM, DIM * sizeof(float));
    }
    three.table->recipe.seed++;
    assert_int_equal(table_pull(three.table, ids, ROWS, other, NULL), CANYON_OK);
    size_t same = 0;
    for (size_t i = 0; i < ROWS * DIM; i++) {
        same += other[i] == first[i];
        assert_true(first[i] >= -1.0f && first[i] < 1.0f);
    }
    assert_in_range(same, 0, 3);
    single_finish(&one);
    single_finish(&two);
    single_finish(&three);
}

static void caps_hold(void **state) {
    (void)state;
    uint64_t ids[8] = {1, 2, 3, 4, 5, 6, 7, 8}, erased = 0;
    float gradients[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    struct error error;
    struct single single;
    bool changed = false;
    single_init(&single, "adagrad", 1, 18); /* 18 rows over 4 shards: 5 in each */
    assert_int_equal(single.table->cap, 5);
    assert_int_equal(table_push(single.table, ids, 3, gradients, 1, NULL, NULL), CANYON_OK);
    struct digest before = fixture_table_digest(single.table);
    /* Rows that are there and rows that are too many in one push: none of them changes. */
    assert_int_equal(table_push(single.table, ids, 6, gradients, 2, NULL, &error), CANYON_TOO_LARGE);
    assert_non_null(strstr(error.text, "at most 5"));
    assert_int_equal(table_touch(single.table, ids, 8, 2, NULL, &changed, &error), CANYON_TOO_LARGE);
    assert_int_equal(table_reserve(single.table, ids, 6, &error), CANYON_TOO_LARGE);
    assert_true(fixture_same(before, fixture_table_digest(single.table)));
    assert_int_equal(table_push(single.table, ids, 5, gradients, 2, NULL, NULL), CANYON_OK);
    assert_int_equal(table_push(single.table, ids, 5, gradients, 2, NULL, NULL), CANYON_OK);
    assert_int_equal(table_push(single.table, ids + 5, 1, gradients, 2, NULL, &error), CANYON_TOO_LARGE);
    /* The same new id five times is one row. */
    uint64_t again[5] = {99, 99, 99, 99, 99};
    assert_int_equal(table_erase(single.table, ids, 1, &erased, NULL), CANYON_OK);
    assert_int_equal(erased, 1);
    assert_int_equal(table_push(single.table, again, 5, gradients, 2, NULL, NULL), CANYON_OK);
    assert_int_equal(table_rows(single.table), 5);
    single_finish(&single);
}

static void poisoned_rows_are_refused_and_named(void **state) {
    (void)state;
    enum { DIM = 3 };
    uint64_t ids[5] = {100, 200, 300, 400, 500};
    float gradients[5 * DIM];
    struct error error;
    struct single single;
    single_init(&single, "adam", DIM, 0);
    for (size_t i = 0; i < 5 * DIM; i++) {
        gradients[i] = 1.0f;
    }
    assert_int_equal(table_push(single.table, ids, 3, gradients, 1, NULL, NULL), CANYON_OK);
    struct digest before = fixture_table_digest(single.table);
    gradients[1 * DIM + 2] = NAN;
    gradients[4 * DIM] = -INFINITY;
    assert_int_equal(table_push(single.table, ids, 5, gradients, 2, NULL, &error), CANYON_NOT_FINITE);
    assert_non_null(strstr(error.text, "row 200 at index 2 is nan"));
    assert_non_null(strstr(error.text, "500"));
    assert_null(strstr(error.text, "400"));
    assert_true(fixture_same(before, fixture_table_digest(single.table)));
    /* Each finite, their sum is not. */
    uint64_t twice[2] = {300, 300};
    float halves[2 * DIM] = {0, 3e38f, 0, 0, 3e38f, 0};
    assert_int_equal(table_push(single.table, twice, 2, halves, 2, NULL, &error), CANYON_NOT_FINITE);
    assert_non_null(strstr(error.text, "row 300 at index 1 is inf"));
    /* Many: some are named, the others counted. */
    uint64_t many[20];
    float bad[20 * DIM];
    for (size_t i = 0; i < 20; i++) {
        many[i] = 1000 + i;
        bad[i * DIM] = NAN;
        bad[i * DIM + 1] = bad[i * DIM + 2] = 0;
    }
    assert_int_equal(table_push(single.table, many, 20, bad, 2, NULL, &error), CANYON_NOT_FINITE);
    assert_non_null(strstr(error.text, "1000"));
    assert_non_null(strstr(error.text, "and 13 more"));
    assert_int_equal(table_rows(single.table), 3);
    assert_true(fixture_same(before, fixture_table_digest(single.table)));
    single_finish(&single);
}

static void other_policies_skip_and_clip(void **state) {
    (void)state;
    uint64_t ids[3] = {1, 2, 1};
    float gradients[6] = {NAN, 1, INFINITY, 1, 2, -INFINITY}, before[4], out[6];
    struct single skip, clip;
    single_init(&skip, "sgd:lr=0.5,nonfinite=skip", 2, 0);
    single_init(&clip, "sgd:lr=1e-30,nonfinite=clip", 2, 0);
    assert_int_equal(table_pull(skip.table, ids, 2, before, NULL), CANYON_OK);
    /* Row 1's sum is (NaN, -inf), row 2's gradient (inf, 1). */
    assert_int_equal(table_push(skip.table, ids, 3, gradients, 1, out, NULL), CANYON_OK);
    assert_true(out[0] == before[0] && out[1] == before[1]);
    assert_true(out[2] == before[2] && out[3] == before[3] - 0.5f);
    assert_memory_equal(out, out + 4, 2 * sizeof(float));
    assert_int_equal(skip.table->skipped, 3);
    assert_int_equal(skip.table->clipped, 0);
    assert_int_equal(skip.table->kept, 0);
    assert_int_equal(table_push(clip.table, ids, 3, gradients, 1, out, NULL), CANYON_OK);
    assert_true(out[0] == before[0] && fabsf(out[1] - (before[1] + FLT_MAX * 1e-30f)) <= fabsf(out[1]) * 1e-6f);
    assert_true(fabsf(out[2] - (before[2] - FLT_MAX * 1e-30f)) <= fabsf(out[2]) * 1e-6f);
    assert_int_equal(clip.table->skipped, 1);
    assert_int_equal(clip.table->clipped, 2);
    single_finish(&skip);
    single_finish(&clip);
}

static void erased_rows_begin_anew_in_old_places(void **state) {
    (void)state;
    enum { ROWS = 3000 };
    static uint64_t ids[ROWS], others[ROWS];
    static float gradients[ROWS], first[ROWS], later[ROWS];
    struct single single;
    uint64_t erased, bytes;
    single_init(&single, "momentum", 1, 0);
    for (uint64_t i = 0; i < ROWS; i++) {
        ids[i] = i;
        others[i] = 1000000 + i;
        gradients[i] = 1.0f;
    }
    assert_int_equal(table_push(single.table, ids, ROWS, gradients, 4, first, NULL), CANYON_OK);
    bytes = row_store_bytes(&single.table->store);
    for (unsigned round = 0; round < 5; round++) {
        assert_int_equal(table_erase(single.table, ids, ROWS, &erased, NULL), CANYON_OK);
        assert_int_equal(erased, ROWS);
        assert_int_equal(table_erase(single.table, ids, ROWS, &erased, NULL), CANYON_OK);
        assert_int_equal(erased, 0);
        assert_int_equal(table_push(single.table, others, ROWS, gradients, 4, NULL, NULL), CANYON_OK);
        assert_int_equal(table_erase(single.table, others, ROWS, &erased, NULL), CANYON_OK);
        assert_int_equal(table_push(single.table, ids, ROWS, gradients, 4, later, NULL), CANYON_OK);
        assert_memory_equal(first, later, sizeof first);
        assert_int_equal(row_store_bytes(&single.table->store), bytes);
    }
    single_finish(&single);
}

static void steps_stay_at_their_limit(void **state) {
    (void)state;
    uint64_t id = 4, key;
    float gradient = 1.0f;
    struct table_row row;
    struct single single;
    single_init(&single, "adam", 1, 0);
    assert_int_equal(table_push(single.table, &id, 1, &gradient, UINT64_MAX, NULL, NULL), CANYON_OK);
    rowkey_of(&single.workspace->rowkey, &id, 1, &key);
    row_store_marks(&single.table->store, row_index_find(&single.table->index, key))->step = UINT32_MAX - 1;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(table_push(single.table, &id, 1, &gradient, 0, NULL, NULL), CANYON_OK);
        assert_true(table_row(single.table, id, &row) && isfinite(row.values[0]));
        assert_true(row.step == UINT32_MAX && row.clock == UINT32_MAX);
    }
    assert_true(single.table->clock == UINT64_MAX);
    single_finish(&single);
}

static void a_walk_is_in_order_of_ids(void **state) {
    (void)state;
    enum { ROWS = 2500, ROOM = 300 };
    uint64_t seed = seed_begin("a_walk_is_in_order_of_ids"), from = 0, page[ROOM], last = 0;
    static uint64_t ids[ROWS];
    size_t count = 1, seen = 0;
    struct single single;
    bool changed;
    single_init(&single, "sgd", 1, 0);
    table_next(single.table, 0, ROOM, page, &count);
    assert_int_equal(count, 0);
    for (size_t i = 0; i < ROWS; i++) {
        ids[i] = i < 3 ? UINT64_MAX - i : seed_next(&seed) >> seed_below(&seed, 64);
    }
    assert_int_equal(table_touch(single.table, ids, ROWS, 1, NULL, &changed, NULL), CANYON_OK);
    do {
        table_next(single.table, from, ROOM, page, &count);
        for (size_t i = 0; i < count; i++) {
            struct table_row row;
            assert_true((seen == 0 && i == 0) || page[i] > last);
            assert_true(table_row(single.table, page[i], &row));
            last = page[i];
        }
        seen += count;
        from = last + 1;
    } while (count == ROOM && last != UINT64_MAX);
    assert_int_equal(seen, table_rows(single.table));
    table_next(single.table, 0, 0, page, &count);
    assert_int_equal(count, 0);
    single_finish(&single);
}

/* The rows' sum is the same however they are spread. */
static void the_sum_does_not_depend_on_shards(void **state) {
    (void)state;
    enum { ROUNDS = 30, BATCH = 40, DIM = 4 };
    uint64_t sums[3][HASH_BYTES / 8] = {{0}};
    static const uint32_t shards[3] = {1, 2, 8};
    for (size_t s = 0; s < 3; s++) {
        struct job job = fixture_job(1, shards[s], 1024);
        struct tensor_spec spec = fixture_table_spec("t", DIM, "adam");
        struct workspace *workspace = fixture_workspace(NULL, (uint8_t)s);
        struct table *tables[8];
        uint64_t seed = 77;
        for (uint32_t i = 0; i < shards[s]; i++) {
            tables[i] = table_create(&job, i, 5, &spec, workspace);
        }
        for (unsigned round = 0; round < ROUNDS; round++) {
            uint64_t ids[BATCH], mine[BATCH];
            float gradients[BATCH * DIM], part[BATCH * DIM];
            for (size_t i = 0; i < BATCH; i++) {
                ids[i] = seed_below(&seed, 100);
            }
            fixture_fill(&seed, gradients, BATCH * DIM);
            for (uint32_t shard = 0; shard < shards[s]; shard++) {
                size_t count = 0;
                for (size_t i = 0; i < BATCH; i++) {
                    if (ids[i] % shards[s] == shard) {
                        memcpy(part + count * DIM, gradients + i * DIM, DIM * sizeof(float));
                        mine[count++] = ids[i];
                    }
                }
                assert_int_equal(table_push(tables[shard], mine, count, part, round, NULL, NULL), CANYON_OK);
            }
        }
        for (uint32_t i = 0; i < shards[s]; i++) {
            uint64_t sum[HASH_BYTES / 8];
            table_sum(tables[i], sum);
            for (size_t word = 0; word < HASH_BYTES / 8; word++) {
                sums[s][word] += sum[word];
            }
            table_destroy(tables[i]);
        }
        workspace_destroy(workspace);
        job_finish(&job);
    }
    assert_memory_equal(sums[0], sums[1], HASH_BYTES);
    assert_memory_equal(sums[0], sums[2], HASH_BYTES);
}

/* Changes one thing of the state at a time and puts it back. */
static void everything_is_in_the_digest(void **state) {
    (void)state;
    uint64_t ids[3] = {1, 2, 3}, key;
    float gradients[6] = {1, 2, 3, 4, 5, 6};
    struct single single;
    single_init(&single, "nadam", 2, 0);
    assert_int_equal(table_push(single.table, ids, 3, gradients, 9, NULL, NULL), CANYON_OK);
    rowkey_of(&single.workspace->rowkey, ids, 1, &key);
    uint32_t place = row_index_find(&single.table->index, key);
    float *record = row_store_at(&single.table->store, place);
    struct row_marks *marks = row_store_marks(&single.table->store, place);
    struct digest before = fixture_table_digest(single.table);
    for (size_t i = 0; i < 6; i++) {
        float old = record[i];
        record[i] = nextafterf(old, 10.0f);
        assert_false(fixture_same(before, fixture_table_digest(single.table)));
        record[i] = old;
    }
    double *scalar = row_scalars(&single.table->store.layout, record), old = *scalar;
    *scalar = nextafter(old, 10.0);
    assert_false(fixture_same(before, fixture_table_digest(single.table)));
    *scalar = old;
    uint32_t *small[] = {&marks->step, &marks->clock};
    for (size_t i = 0; i < 2; i++) {
        *small[i] ^= 1;
        assert_false(fixture_same(before, fixture_table_digest(single.table)));
        *small[i] ^= 1;
    }
    struct table *table = single.table;
    uint64_t *numbers[] = {&table->version, &table->clock, &table->kept,         &table->skipped,
                           &table->clipped, &table->epoch, &table->spec.row_cap, &table->spec.initializer.seed};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        *numbers[i] ^= 1;
        assert_false(fixture_same(before, fixture_table_digest(single.table)));
        *numbers[i] ^= 1;
    }
    table->settings.settings[0].value = 0.5;
    assert_false(fixture_same(before, fixture_table_digest(single.table)));
    single_finish(&single);
}

/* What was reserved and released leaves nothing; what was reserved and pushed is what would have been pushed. */
static void reserving_is_no_change(void **state) {
    (void)state;
    uint64_t ids[6] = {1, 2, 3, 3, 4, 5};
    float gradients[6] = {1, 2, 3, 4, 5, 6};
    struct single one, two;
    bool changed = false;
    single_init(&one, "adam", 1, 0);
    single_init(&two, "adam", 1, 0);
    assert_int_equal(table_push(one.table, ids, 2, gradients, 9, NULL, NULL), CANYON_OK);
    assert_int_equal(table_push(two.table, ids, 2, gradients, 9, NULL, NULL), CANYON_OK);
    struct digest before = fixture_table_digest(one.table);
    assert_int_equal(table_reserve(one.table, ids, 6, NULL), CANYON_OK);
    assert_int_equal(one.table->reserved_count, 3);
    table_release(one.table);
    table_release(one.table);
    assert_true(fixture_same(before, fixture_table_digest(one.table)));
    assert_int_equal(table_reserve(one.table, ids, 6, NULL), CANYON_OK);
    assert_int_equal(table_reserve(one.table, ids, 4, NULL), CANYON_OK);
    assert_int_equal(one.table->reserved_count, 1);
    assert_int_equal(table_push(one.table, ids, 4, gradients, 10, NULL, NULL), CANYON_OK);
    assert_int_equal(table_push(two.table, ids, 4, gradients, 10, NULL, NULL), CANYON_OK);
    assert_int_equal(table_reserve(one.table, ids, 6, NULL), CANYON_OK);
    assert_int_equal(table_touch(one.table, ids, 6, 3, NULL, &changed, NULL), CANYON_OK);
    assert_true(changed);
    assert_int_equal(table_touch(two.table, ids, 6, 3, NULL, &changed, NULL), CANYON_OK);
    table_release(one.table);
    assert_true(fixture_same(fixture_table_digest(one.table), fixture_table_digest(two.table)));
    single_finish(&one);
    single_finish(&two);
}

/* ---- Growth and memory ---- */

/* Counted, not timed: while a table grows a thousandfold, no push moves more lines of the index than its new rows
 * allow, and takes no more memory than was said before. */
static void growth_is_spread_over_pushes(void **state) {
    (void)state;
    enum { BATCH = 500, PUSHES = 500, DIM = 2 };
    uint64_t seed = seed_begin("growth_is_spread_over_pushes"), ids[BATCH], most = 0, missing = 0;
    static float gradients[BATCH * DIM];
    struct single single;
    single_init(&single, "adam", DIM, 0);
    for (unsigned push = 0; push < PUSHES; push++) {
        for (size_t i = 0; i < BATCH; i++) {
            ids[i] = i % 5 == 0 ? seed_below(&seed, 1000) : seed_next(&seed);
        }
        uint64_t moved = single.table->index.moved, before = table_rows(single.table);
        uint64_t bytes = table_bytes(single.table);
        assert_int_equal(table_missing(single.table, ids, BATCH, &missing, NULL), CANYON_OK);
        uint64_t room = table_room(single.table, missing);
        assert_true(room <= table_room(single.table, BATCH));
        assert_int_equal(table_push(single.table, ids, BATCH, gradients, 1, NULL, NULL), CANYON_OK);
        uint64_t made = table_rows(single.table) - before;
        assert_true(made == missing);
        moved = single.table->index.moved - moved;
        most = moved > most ? moved : most;
        assert_true(moved <= made * ROW_INDEX_MOVES);
        assert_true(table_bytes(single.table) <= bytes + room);
    }
    printf("%d rows; at most %d lines moved in a push of %d, %.1f bytes a row beyond its record\n",
           (int)table_rows(single.table), (int)most, BATCH,
           (double)(table_bytes(single.table) - table_value_bytes(single.table)) / (double)table_rows(single.table));
    single_finish(&single);
}

/* With as many rows as a shard has of 10 million in 256 shards, give or take what chance gives and takes. */
static void memory_a_row_is_as_stated(void **state) {
    (void)state;
    enum { BATCH = 62, FEW = 38462, MANY = 39662 };
    uint64_t ids[BATCH], next = 0;
    double worst = 0, sum = 0, count = 0;
    struct single single;
    bool changed;
    single_init(&single, "adam", 16, 0);
    while (next < MANY) {
        for (size_t i = 0; i < BATCH; i++) {
            ids[i] = next++;
        }
        assert_int_equal(table_touch(single.table, ids, BATCH, 1, NULL, &changed, NULL), CANYON_OK);
        double beyond = (double)(table_bytes(single.table) - next * 192) / (double)next;
        if (next >= FEW) {
            worst = beyond > worst ? beyond : worst;
            sum += beyond;
            count++;
        }
    }
    printf("bytes a row beyond weights and slots: at most %.2f, on average %.2f\n", worst, sum / count);
    assert_true(worst <= 24.0);
    single_finish(&single);
}

static void ids_that_crowd_are_refused(void **state) {
    (void)state;
    enum { BATCH = 100 };
    uint64_t ids[BATCH], next = 0, refused = 0;
    float gradients[BATCH] = {0};
    struct error error;
    struct single single;
    single_init(&single, "sgd", 1, 0);
    for (unsigned push = 0; push < 20; push++) {
        for (size_t i = 0; i < BATCH; i++) { /* as somebody would who knows the secret */
            ids[i] = rowkey_id(&single.workspace->rowkey, UINT64_C(0x4000000000000000) + next++);
        }
        struct digest before = fixture_table_digest(single.table);
        uint64_t rows = table_rows(single.table);
        enum canyon_status status = table_push(single.table, ids, BATCH, gradients, 1, NULL, &error);
        if (status != CANYON_OK) {
            assert_int_equal(status, CANYON_BUSY);
            assert_non_null(strstr(error.text, "secret"));
            assert_int_equal(table_rows(single.table), rows);
            assert_true(fixture_same(before, fixture_table_digest(single.table)));
            refused++;
        }
    }
    assert_true(refused >= 15);
    /* Under another secret they are rows like others. */
    struct workspace *other = fixture_workspace(NULL, 200);
    struct table *table = table_create(&single.job, 2, 9, &single.spec, other);
    assert_int_equal(table_push(table, ids, BATCH, gradients, 1, NULL, NULL), CANYON_OK);
    table_destroy(table);
    workspace_destroy(other);
    single_finish(&single);
}

/* Memory that ends after so many pieces. */
struct scarce {
    unsigned left;
};

static void *scarce_take(void *user, size_t bytes) {
    struct scarce *scarce = user;
    return scarce->left == 0 ? NULL : (scarce->left--, aligned_alloc(MEMORY_ALIGNMENT, bytes));
}

static void scarce_give(void *user, void *piece, size_t bytes) {
    (void)user;
    (void)bytes;
    free(piece);
}

static void without_memory_nothing_happens(void **state) {
    (void)state;
    enum { BATCH = 2000, DIM = 64 };
    static uint64_t ids[BATCH];
    static float gradients[BATCH * DIM];
    struct scarce scarce = {.left = 1};
    const struct memory memory = {scarce_take, scarce_give, &scarce};
    struct job job = fixture_job(1, 1, 1024);
    struct tensor_spec spec = fixture_table_spec("t", DIM, "adam");
    struct workspace *workspace = fixture_workspace(&memory, 1);
    struct table *table = table_create(&job, 0, 9, &spec, workspace);
    struct error error;
    uint64_t next = 0, pushes = 0, refusals = 0;
    assert_non_null(table);
    while (pushes < 30) {
        for (size_t i = 0; i < BATCH; i++) {
            ids[i] = next + i;
        }
        struct digest before = fixture_table_digest(table);
        uint64_t rows = table_rows(table);
        enum canyon_status status = table_push(table, ids, BATCH, gradients, 1, NULL, &error);
        if (status == CANYON_OK) {
            next += BATCH - 100;
            pushes++;
        } else {
            assert_int_equal(status, CANYON_NO_MEMORY);
            assert_int_equal(table_rows(table), rows);
            assert_true(fixture_same(before, fixture_table_digest(table)));
            refusals++;
            scarce.left++;
        }
    }
    assert_true(refusals >= 8);
    table_destroy(table);
    workspace_destroy(workspace);
    job_finish(&job);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_optimizer_follows_the_model),
        cmocka_unit_test(growth_and_erasure_follow_the_model),
        cmocka_unit_test(changed_settings_are_followed),
        cmocka_unit_test(what_is_there_twice_is_added_in_order),
        cmocka_unit_test(first_values_depend_on_nothing_else),
        cmocka_unit_test(caps_hold),
        cmocka_unit_test(poisoned_rows_are_refused_and_named),
        cmocka_unit_test(other_policies_skip_and_clip),
        cmocka_unit_test(erased_rows_begin_anew_in_old_places),
        cmocka_unit_test(steps_stay_at_their_limit),
        cmocka_unit_test(a_walk_is_in_order_of_ids),
        cmocka_unit_test(the_sum_does_not_depend_on_shards),
        cmocka_unit_test(everything_is_in_the_digest),
        cmocka_unit_test(reserving_is_no_change),
        cmocka_unit_test(growth_is_spread_over_pushes),
        cmocka_unit_test(memory_a_row_is_as_stated),
        cmocka_unit_test(ids_that_crowd_are_refused),
        cmocka_unit_test(without_memory_nothing_happens),
    };
    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
