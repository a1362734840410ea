/* Tables over real servers: batches of ids against a model in this program, exactly; the same rows however many servers
 * and threads hold them; and what is refused. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/harness.h"
#include "tests/unit/common/seed.h"

static void spec_of(struct canyon_table_spec *spec, const char *name, uint32_t dim, const char *optimizer) {
    canyon_table_spec_init(spec);
    snprintf(spec->name, sizeof spec->name, "%s", name);
    spec->dim = dim;
    check_ok(canyon_table_spec_optimizer(spec, optimizer));
}

static canyon_table *create(canyon_client *client, const struct canyon_table_spec *spec) {
    canyon_table *table = NULL;
    check_ok(canyon_table_create(client, spec, PATIENCE_MS, &table));
    check(table != NULL);
    return table;
}

/* Of zeros. */
static canyon_table *table_of(canyon_client *client, const char *name, uint32_t dim, const char *optimizer) {
    struct canyon_table_spec spec;
    spec_of(&spec, name, dim, optimizer);
    return create(client, &spec);
}

static uint64_t count_rows(canyon_table *table) {
    struct canyon_table_totals totals;
    check_ok(canyon_table_totals(table, PATIENCE_MS, &totals));
    return totals.rows;
}

/* ---- A model: sgd with lr 1 of whole numbers, so that every sum is exact ---- */

#define KEYS 200
#define DIM  5
#define MOST 700

struct model {
    uint64_t ids[KEYS];
    float rows[KEYS][DIM];
    bool there[KEYS];
};

static uint64_t model_count(const struct model *model) {
    uint64_t count = 0;
    for (size_t i = 0; i < KEYS; i++)
        count += model->there[i];
    return count;
}

struct draw {
    size_t count, keys[MOST];
    uint64_t ids[MOST];
    float gradients[MOST * DIM], weights[MOST * DIM];
};

/* Ids of the model, many of them several times. */
static void draw(struct draw *draw, const struct model *model, uint64_t *random) {
    draw->count = seed_below(random, 5) == 0 ? seed_below(random, 3) : seed_below(random, MOST);
    for (size_t i = 0; i < draw->count; i++) {
        draw->keys[i] = seed_below(random, seed_below(random, 2) ? KEYS : 10);
        draw->ids[i] = model->ids[draw->keys[i]];
        for (size_t j = 0; j < DIM; j++) {
            draw->gradients[i * DIM + j] = (float)seed_below(random, 9) - 4;
            draw->weights[i * DIM + j] = NAN;
        }
    }
}

static void model_push(struct model *model, const struct draw *draw) {
    for (size_t i = 0; i < draw->count; i++) {
        model->there[draw->keys[i]] = true;
        for (size_t j = 0; j < DIM; j++)
            model->rows[draw->keys[i]][j] -= draw->gradients[i * DIM + j];
    }
}

static void check_weights(const struct model *model, const struct draw *draw) {
    for (size_t i = 0; i < draw->count; i++)
        for (size_t j = 0; j < DIM; j++)
            if (draw->weights[i * DIM + j] != model->rows[draw->keys[i]][j])
                check_fail("element %zu of row %llu is %g, not %g", j, (unsigned long long)draw->ids[i],
                           (double)draw->weights[i * DIM + j], (double)model->rows[draw->keys[i]][j]);
}

/* Erases a few; what is erased begins anew. */
static void erase_some(struct model *model, canyon_table *table, uint64_t *random) {
    uint64_t ids[6], erased = 0, expected = 0;
    for (size_t i = 0; i < 6; i++) {
        const size_t key = seed_below(random, KEYS);
        ids[i] = model->ids[key];
        expected += model->there[key];
        model->there[key] = false;
        memset(model->rows[key], 0, sizeof model->rows[key]);
    }
    check_ok(canyon_table_erase(table, ids, 6, PATIENCE_MS, &erased));
    check(erased == expected);
}

static void one_round(struct model *model, canyon_table *table, uint64_t *random) {
    static struct draw batch;
    draw(&batch, model, random);
    const uint64_t before = model_count(model);
    struct canyon_batch request;
    canyon_batch_init(&request);
    request.ids = batch.ids;
    request.count = batch.count;
    request.values = batch.count * DIM;
    const uint64_t what = seed_below(random, 8);
    if (what < 4) {
        model_push(model, &batch);
        request.gradients = batch.gradients;
        request.weights = what < 2 ? batch.weights : NULL;
        check_ok(canyon_table_step(table, &request, PATIENCE_MS));
        check(request.created == model_count(model) - before);
    } else if (what < 6) {
        request.weights = batch.weights;
        request.create = what == 5;
        check_ok(canyon_table_step(table, &request, PATIENCE_MS));
        for (size_t i = 0; i < batch.count && what == 5; i++)
            model->there[batch.keys[i]] = true;
        check(request.created == model_count(model) - before);
    } else if (what == 6) {
        erase_some(model, table, random);
        return;
    } else {
        check_ok(canyon_table_pull(table, batch.ids, batch.count, batch.weights, PATIENCE_MS));
        request.weights = batch.weights;
    }
    check(request.refused == 0);
    if (request.weights != NULL)
        check_weights(model, &batch);
}

static void check_all(const struct model *model, canyon_table *table) {
    static uint64_t ids[KEYS + 1];
    static float weights[(KEYS + 1) * DIM];
    size_t count = 0;
    check_ok(canyon_table_rows(table, 0, KEYS + 1, PATIENCE_MS, ids, weights, &count));
    check(count == model_count(model) && count == count_rows(table));
    for (size_t i = 0; i < count; i++) {
        size_t key = 0;
        while (key < KEYS && model->ids[key] != ids[i])
            key++;
        check(key < KEYS && model->there[key] && (i == 0 || ids[i - 1] < ids[i]));
        check(memcmp(&weights[i * DIM], model->rows[key], sizeof model->rows[key]) == 0 ||
              weights[i * DIM] == model->rows[key][0]); /* -0 is 0 */
    }
}

static void against_a_model(void **state) {
    uint64_t random = seed_begin(__func__);
    static struct model model;
    const unsigned servers = *state == NULL ? 1 : 3;
    struct cluster *cluster =
        cluster_start(&(struct cluster_options){.servers = servers, .threads = servers == 1 ? 1 : 2});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_table *table = table_of(client, "model", DIM, "sgd:lr=1");
    memset(&model, 0, sizeof model);
    for (size_t i = 0; i < KEYS; i++)
        model.ids[i] = i < 3 ? i : i == 3 ? UINT64_MAX : i < 100 ? i * 10 : seed_next(&random);
    for (int round = 0; round < 300; round++)
        one_round(&model, table, &random);
    check_all(&model, table);
    canyon_table_close(table);
    canyon_close(client);
    cluster_stop(cluster);
}

/* ---- The same rows on any number of servers ---- */

#define WORDS 3000
#define WIDE  16

struct exported {
    size_t count;
    uint64_t ids[WORDS];
    float values[WORDS * WIDE * 3];
    uint32_t counts[WORDS * 2];
};

static void export_rows(canyon_table *table, struct exported *to) {
    canyon_cursor *cursor = NULL;
    struct canyon_page page;
    memset(to, 0, sizeof *to);
    check_ok(canyon_table_cursor(table, 1, &cursor));
    for (;;) {
        check_ok(canyon_cursor_next(cursor, PATIENCE_MS, &page));
        if (page.count == 0)
            break;
        check(page.stride == WIDE * 3 && page.scalar_count == 0 && to->count + page.count <= WORDS);
        for (size_t i = 0; i < page.count; i++, to->count++) {
            size_t at = to->count; /* by id: cursors go from shard to shard */
            for (; at > 0 && to->ids[at - 1] > page.ids[i]; at--) {
                to->ids[at] = to->ids[at - 1];
                memcpy(&to->values[at * WIDE * 3], &to->values[(at - 1) * WIDE * 3], WIDE * 3 * sizeof(float));
                memcpy(&to->counts[at * 2], &to->counts[(at - 1) * 2], 2 * sizeof(uint32_t));
            }
            to->ids[at] = page.ids[i];
            memcpy(&to->values[at * WIDE * 3], page.values + i * page.stride, WIDE * 3 * sizeof(float));
            memcpy(&to->counts[at * 2], page.counts + i * 2, 2 * sizeof(uint32_t));
        }
    }
    check_ok(canyon_cursor_next(cursor, PATIENCE_MS, &page)); /* and again: that was all */
    check(page.count == 0);
    canyon_cursor_close(cursor);
}

/* Adam with a schedule: counts, clocks and the initializer matter. */
static void train_words(canyon_client *client, struct exported *rows, uint8_t digest[CANYON_DIGEST_BYTES]) {
    uint64_t random = 77;
    struct canyon_table_spec spec;
    static float gradients[500 * WIDE], weights[500 * WIDE];
    static uint64_t ids[500];
    spec_of(&spec, "words", WIDE, "adam:lr=0.01,schedule=exponential,gamma=0.99");
    spec.initializer = CANYON_NORMAL;
    spec.seed = 3;
    spec.b = 0.1;
    canyon_table *table = create(client, &spec);
    for (uint64_t step = 1; step <= 40; step++) {
        struct canyon_batch batch;
        canyon_batch_init(&batch);
        batch.ids = ids;
        batch.count = 1 + seed_below(&random, 500);
        batch.gradients = gradients;
        batch.weights = weights;
        batch.clock = step;
        for (size_t i = 0; i < batch.count; i++)
            ids[i] = seed_below(&random, WORDS) * 0x123456789abcdefu;
        for (size_t i = 0; i < batch.count * WIDE; i++)
            gradients[i] = (float)((double)(int64_t)seed_next(&random) * 0x1p-63);
        check_ok(canyon_table_step(table, &batch, PATIENCE_MS));
        check(batch.staleness == 0); /* a lone worker's never are */
    }
    export_rows(table, rows);
    check(rows->count == count_rows(table));
    check_ok(canyon_table_digest(table, PATIENCE_MS, digest));
    canyon_table_close(table);
}

static void same_rows_anywhere(void **state) {
    (void)state;
    static const struct cluster_options layouts[] = {{.servers = 1, .threads = 1},
                                                     {.servers = 3, .threads = 1},
                                                     {.servers = 2, .threads = 3},
                                                     {.servers = 1, .threads = 2, .shards = 1}};
    static struct exported first, other;
    uint8_t digest[CANYON_DIGEST_BYTES], same[CANYON_DIGEST_BYTES];
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        struct cluster *cluster = cluster_start(&layouts[i]);
        canyon_client *client = client_connect(cluster_servers(cluster));
        train_words(client, i == 0 ? &first : &other, i == 0 ? digest : same);
        check(first.count > 2000);
        check(i == 0 || memcmp(digest, same, sizeof digest) == 0);
        check(i == 0 || memcmp(&first, &other, sizeof first) == 0);
        canyon_close(client);
        cluster_stop(cluster);
    }
}

/* ---- Rows that are not there ---- */

static void rows_come_to_be(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2, .threads = 2});
    canyon_client *client = client_connect(cluster_servers(cluster));
    struct canyon_table_spec spec;
    uint64_t ids[100];
    float before[100 * 4], made[100 * 4], again[100 * 4];
    spec_of(&spec, "born", 4, "sgd:lr=1");
    spec.initializer = CANYON_UNIFORM;
    spec.a = -1;
    spec.b = 1;
    spec.seed = 12;
    canyon_table *table = create(client, &spec);
    for (size_t i = 0; i < 100; i++)
        ids[i] = i * i * i;
    check_ok(canyon_table_pull(table, ids, 100, before, PATIENCE_MS));
    check(count_rows(table) == 0);
    struct canyon_batch batch;
    canyon_batch_init(&batch);
    batch.ids = ids;
    batch.count = 100;
    batch.weights = made;
    batch.create = 1;
    check_ok(canyon_table_step(table, &batch, PATIENCE_MS));
    check(batch.created == 100 && batch.rows == 100 && count_rows(table) == 100);
    check_ok(canyon_table_step(table, &batch, PATIENCE_MS));
    check(batch.created == 0 && count_rows(table) == 100);
    check_ok(canyon_table_pull(table, ids, 100, again, PATIENCE_MS));
    check(memcmp(before, made, sizeof made) == 0 && memcmp(before, again, sizeof again) == 0);
    check(before[0] != before[4] && fabsf(before[0]) < 1);
    check_ok(canyon_table_push(table, ids, 1, made, PATIENCE_MS)); /* w - w */
    check_ok(canyon_table_pull(table, ids, 1, again, PATIENCE_MS));
    check(again[0] == 0 && again[3] == 0);
    uint64_t erased;
    check_ok(canyon_table_erase(table, ids, 1, PATIENCE_MS, &erased));
    check(erased == 1 && count_rows(table) == 99);
    check_ok(canyon_table_pull(table, ids, 1, again, PATIENCE_MS));
    check(memcmp(again, before, 4 * sizeof(float)) == 0); /* as it began */
    canyon_table_close(table);
    canyon_close(client);
    cluster_stop(cluster);
}

/* ---- Creating and opening ---- */

static void create_or_open(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2});
    canyon_client *client = client_connect(cluster_servers(cluster));
    struct canyon_table_spec spec;
    struct canyon_tensor_info info, *infos = NULL;
    size_t count = 0;
    canyon_table *one, *two = NULL;
    canyon_tensor *tensor = NULL;
    spec_of(&spec, "t", 8, "adam:lr=0.5,steps=shard");
    spec.row_cap = 1000;
    spec.capacity = 100;
    one = create(client, &spec);
    two = create(client, &spec);
    canyon_table_close(two);
    check_ok(canyon_table_open(client, "t", PATIENCE_MS, &two));
    check_ok(canyon_table_describe(two, &info));
    check(info.kind == CANYON_TABLE && info.rank == 1 && info.dims[0] == 8 && info.row_cap == 1000 &&
          info.capacity == 100 && strcmp(info.optimizer, "adam") == 0);
    canyon_table_close(two);
    spec.capacity = 5000; /* a hint: the table has its creator's */
    two = create(client, &spec);
    check_ok(canyon_table_describe(two, &info));
    check(info.capacity == 100);
    canyon_table_close(two);
    spec.row_cap = 999;
    check_status(canyon_table_create(client, &spec, PATIENCE_MS, &two), CANYON_MISMATCH);
    spec.row_cap = 1000;
    spec.dim = 9;
    check_status(canyon_table_create(client, &spec, PATIENCE_MS, &two), CANYON_MISMATCH);
    check(two == NULL);
    check_status(canyon_tensor_open(client, "t", PATIENCE_MS, &tensor), CANYON_MISMATCH);
    check_text("canyon_table_open");
    check(tensor == NULL);
    canyon_tensor_close(client_vector(client, "v", 8, "sgd"));
    check_status(canyon_table_open(client, "v", PATIENCE_MS, &two), CANYON_MISMATCH);
    check_text("canyon_tensor_open");
    spec_of(&spec, "v", 8, "sgd");
    check_status(canyon_table_create(client, &spec, PATIENCE_MS, &two), CANYON_MISMATCH);
    for (uint32_t dim = 0; dim < 2; dim++) {
        spec_of(&spec, "w", dim == 0 ? 0 : CANYON_MAX_DIM + 1, "sgd");
        check_status(canyon_table_create(client, &spec, PATIENCE_MS, &two), CANYON_INVALID_ARGUMENT);
        check_text("dim from 1 to 16384");
    }
    spec_of(&spec, "w", 8, "sgd");
    spec.initializer = CANYON_VALUES;
    check_status(canyon_table_create(client, &spec, PATIENCE_MS, &two), CANYON_INVALID_ARGUMENT);
    check_ok(canyon_tensor_list(client, PATIENCE_MS, &infos, &count));
    check(count == 2 && infos[0].kind == CANYON_TABLE && infos[1].kind == CANYON_TENSOR);
    canyon_free(infos);
    check_ok(canyon_tensor_set(client, "t", "lr=0.25", PATIENCE_MS, &info));
    check(info.kind == CANYON_TABLE && info.epoch == 1);
    check_ok(canyon_tensor_drop(client, "t", PATIENCE_MS));
    float weights[8];
    const uint64_t id = 1;
    check_status(canyon_table_pull(one, &id, 1, weights, PATIENCE_MS), CANYON_NOT_FOUND);
    check_text("dropped");
    canyon_table_close(one);
    canyon_close(client);
    cluster_stop(cluster);
}

/* ---- What is refused ---- */

static void bad_calls(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(NULL);
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_table *table = table_of(client, "t", 4, "sgd");
    const uint64_t ids[] = {1, 2, 3};
    float values[12] = {0};
    struct canyon_batch batch;
    canyon_batch_init(&batch);
    check_ok(canyon_table_step(table, &batch, PATIENCE_MS)); /* nothing */
    check_ok(canyon_table_push(table, NULL, 0, NULL, PATIENCE_MS));
    check_ok(canyon_table_pull(table, NULL, 0, NULL, PATIENCE_MS));
    check_ok(canyon_table_push_pull(table, ids, 0, values, values, PATIENCE_MS));
    check_ok(canyon_table_erase(table, NULL, 0, PATIENCE_MS, NULL));
    canyon_future *future = NULL;
    check_ok(canyon_table_step_async(table, &batch, PATIENCE_MS, &future));
    check_ok(canyon_future_wait(future, UINT32_MAX));
    canyon_future_release(future);
    batch.ids = ids;
    batch.count = 3;
    check_status(canyon_table_step(table, &batch, PATIENCE_MS), CANYON_INVALID_ARGUMENT);
    check_text("neither gradients");
    batch.gradients = values;
    batch.values = 9; /* another dim */
    check_status(canyon_table_step(table, &batch, PATIENCE_MS), CANYON_INVALID_ARGUMENT);
    check_text("rows of 4 elements: 3 ids take 12 values, not 9");
    batch.values = 12;
    batch.create = 1;
    check_status(canyon_table_step(table, &batch, PATIENCE_MS), CANYON_INVALID_ARGUMENT);
    check_text("create");
    batch.create = 0;
    batch.values = 0;
    batch.count = CANYON_MAX_BATCH + 1;
    check_status(canyon_table_step(table, &batch, PATIENCE_MS), CANYON_TOO_LARGE);
    check_text("16777217 ids");
    batch.count = SIZE_MAX;
    check_status(canyon_table_step(table, &batch, PATIENCE_MS), CANYON_TOO_LARGE);
    batch.count = 3;
    batch.ids = NULL;
    check_status(canyon_table_step(table, &batch, PATIENCE_MS), CANYON_INVALID_ARGUMENT);
    check_status(canyon_table_push(table, ids, 3, NULL, PATIENCE_MS), CANYON_INVALID_ARGUMENT);
    check_status(canyon_table_pull(table, ids, 3, NULL, PATIENCE_MS), CANYON_INVALID_ARGUMENT);
    check_status(canyon_table_push_pull(table, ids, 3, values, NULL, PATIENCE_MS), CANYON_INVALID_ARGUMENT);
    check_status(canyon_table_push(NULL, ids, 3, values, PATIENCE_MS), CANYON_INVALID_ARGUMENT);
    check_status(canyon_table_set_codec(table, "topk:0.1", NULL), CANYON_INVALID_ARGUMENT);
    check_status(canyon_table_set_codec(table, "int8:feedback", NULL), CANYON_INVALID_ARGUMENT);
    check_status(canyon_table_set_codec(table, "heat", NULL), CANYON_INVALID_ARGUMENT);
    size_t count;
    uint64_t some[1];
    check_status(canyon_table_rows(table, 0, 65537, PATIENCE_MS, some, NULL, &count), CANYON_TOO_LARGE);
    check(count_rows(table) == 0);
    canyon_table_close(table);
    canyon_table_close(NULL);
    canyon_cursor_close(NULL);
    canyon_close(client);
    cluster_stop(cluster);
}

/* NaN in a few of many rows: those of its shard are refused before any has changed, the others are updated. */
static void not_a_number(void **state) {
    (void)state;
    enum { N = 640 };
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2, .threads = 2});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_table *table = table_of(client, "t", 2, "sgd:lr=1");
    static uint64_t ids[N];
    static float gradients[N * 2], weights[N * 2];
    struct canyon_batch batch;
    for (size_t i = 0; i < N; i++) {
        ids[i] = 1000 + i;
        gradients[2 * i] = gradients[2 * i + 1] = -1;
        weights[2 * i] = weights[2 * i + 1] = 77;
    }
    gradients[2 * 300 + 1] = NAN;
    canyon_batch_init(&batch);
    batch.ids = ids;
    batch.count = N;
    batch.gradients = gradients;
    batch.weights = weights;
    check_status(canyon_table_step(table, &batch, PATIENCE_MS), CANYON_NOT_FINITE);
    check_text("1300"); /* the row that has it */
    check_text("were refused");
    check(batch.refused > 1 && batch.refused < N / 4); /* a shard's of 16 */
    check(batch.created == N - batch.refused && count_rows(table) == batch.created);
    size_t untouched = 0;
    for (size_t i = 0; i < N; i++) {
        check(weights[2 * i] == weights[2 * i + 1] && (weights[2 * i] == 1 || weights[2 * i] == 77));
        untouched += weights[2 * i] == 77;
    }
    check(untouched == batch.refused && weights[2 * 300] == 77);
    for (size_t i = 0; i < batch.refused && i < CANYON_BATCH_REFUSED; i++)
        check(batch.refused_ids[i] >= 1000 && weights[2 * (batch.refused_ids[i] - 1000)] == 77);
    /* What is finite and adds up to infinity, too. */
    const uint64_t twice[] = {5, 5};
    const float huge[] = {3e38f, 0, 3e38f, 0};
    check_status(canyon_table_push(table, twice, 2, huge, PATIENCE_MS), CANYON_NOT_FINITE);
    canyon_table_close(table);
    canyon_close(client);
    cluster_stop(cluster);
}

/* A cap of 160 rows over 16 shards is 10 in each. */
static void row_cap(void **state) {
    (void)state;
    enum { N = 640 };
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 1});
    canyon_client *client = client_connect(cluster_servers(cluster));
    struct canyon_table_spec spec;
    static uint64_t ids[N];
    static float ones[N];
    struct canyon_batch batch;
    spec_of(&spec, "capped", 1, "sgd:lr=1");
    spec.row_cap = 160;
    canyon_table *table = create(client, &spec);
    for (size_t i = 0; i < N; i++) {
        ids[i] = i;
        ones[i] = 1;
    }
    canyon_batch_init(&batch);
    batch.ids = ids;
    batch.count = N;
    batch.gradients = ones;
    check_status(canyon_table_step(table, &batch, PATIENCE_MS), CANYON_TOO_LARGE);
    check(batch.refused + batch.created == N && batch.refused > N / 2); /* 40 rows a shard, or so: hardly any fit */
    check(count_rows(table) == batch.created);
    for (size_t i = 0; i < N; i++) /* one by one they fill up */
        (void)canyon_table_push(table, &ids[i], 1, ones, PATIENCE_MS);
    check(count_rows(table) == 160);
    float weight = 0;
    size_t count = 0;
    check_ok(canyon_table_rows(table, 0, N, PATIENCE_MS, ids, ones, &count));
    check(count == 160);
    check_ok(canyon_table_push_pull(table, ids, 1, &ones[0], &weight, PATIENCE_MS)); /* those that are there go on */
    check_ok(canyon_table_erase(table, ids, 160, PATIENCE_MS, NULL));
    check(count_rows(table) == 0);
    canyon_table_close(table);
    canyon_close(client);
    cluster_stop(cluster);
}

/* ---- Many at once ---- */

/* More rows than a frame takes, in batches that overtake nothing: each push of a handle finds the one before it. */
static void large_batches_under_way(void **state) {
    enum { N = 60000, WAYS = 6 };
    struct cluster *cluster =
        cluster_start(&(struct cluster_options){.servers = 2, .threads = 2, .shards = *state == NULL ? 256 : 1});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_table *table = table_of(client, "large", 8, "sgd:lr=1");
    uint64_t *ids = malloc(N * sizeof *ids);
    float *gradients = malloc(N * 8 * sizeof *gradients), *weights[WAYS];
    struct canyon_batch batches[WAYS];
    canyon_future *futures[WAYS];
    check(ids != NULL && gradients != NULL);
    for (size_t i = 0; i < N; i++)
        ids[i] = (i % (N / 2)) * 7; /* all of them twice */
    for (size_t i = 0; i < N * 8; i++)
        gradients[i] = -(float)(i % 8);
    for (size_t way = 0; way < WAYS; way++) {
        weights[way] = malloc(N * 8 * sizeof(float));
        check(weights[way] != NULL);
        canyon_batch_init(&batches[way]);
        batches[way].ids = ids;
        batches[way].count = N;
        batches[way].gradients = gradients;
        batches[way].weights = weights[way];
        check_ok(canyon_table_step_async(table, &batches[way], PATIENCE_MS, &futures[way]));
    }
    for (size_t way = 0; way < WAYS; way++) {
        check_ok(canyon_future_wait(futures[way], UINT32_MAX));
        canyon_future_release(futures[way]);
        check(batches[way].rows == N / 2 && batches[way].created == (way == 0 ? N / 2 : 0));
        for (size_t i = 0; i < N * 8; i++)
            check(weights[way][i] == (float)(2 * (way + 1) * (i % 8)));
        free(weights[way]);
    }
    struct canyon_table_totals totals;
    check_ok(canyon_table_totals(table, PATIENCE_MS, &totals));
    check(totals.rows == N / 2 && totals.clock == WAYS && totals.bytes > N / 2 * 8 * sizeof(float));
    free(ids);
    free(gradients);
    canyon_table_close(table);
    canyon_close(client);
    cluster_stop(cluster);
}

/* More pulls than the window takes, of a client that counts clocks, whose pulls may wait for others: here none does,
 * and none finds what was pushed after it was begun. */
static void pulls_find_no_later_push(void **state) {
    (void)state;
    enum { N = 600, WIDTH = 64, WAYS = 8, ROUNDS = 10 };
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 1, .threads = 2, .shards = 16});
    struct canyon_options options;
    canyon_client *client = NULL;
    cluster_client(cluster, &options);
    options.window_bytes = 20000;
    check_ok(canyon_connect(&options, &client));
    check_ok(canyon_clock(client, NULL));
    canyon_table *table = table_of(client, "late", WIDTH, "sgd:lr=1");
    static uint64_t ids[N];
    static float gradients[N * WIDTH], weights[WAYS][N * WIDTH];
    for (size_t i = 0; i < N; i++)
        ids[i] = i;
    for (size_t i = 0; i < N * WIDTH; i++)
        gradients[i] = -1.0f;
    for (int round = 0; round < ROUNDS; round++) {
        struct canyon_batch batches[WAYS];
        canyon_future *futures[WAYS];
        for (size_t way = 0; way < WAYS; way++) {
            canyon_batch_init(&batches[way]);
            batches[way].ids = ids;
            batches[way].count = N;
            batches[way].weights = weights[way];
            check_ok(canyon_table_step_async(table, &batches[way], PATIENCE_MS, &futures[way]));
        }
        check_ok(canyon_table_push(table, ids, N, gradients, PATIENCE_MS));
        for (size_t way = 0; way < WAYS; way++) {
            check_ok(canyon_future_wait(futures[way], UINT32_MAX));
            canyon_future_release(futures[way]);
            for (size_t i = 0; i < N * WIDTH; i++)
                check(weights[way][i] == (float)round);
        }
    }
    canyon_table_close(table);
    canyon_close(client);
    cluster_stop(cluster);
}

/* Whole numbers up to 256 are exact in bf16, and in f16: coded batches must not differ. */
static void coded(void **state) {
    const char *codec = *state;
    enum { N = 3000 };
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2, .threads = 1});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_table *table = table_of(client, "coded", 3, "sgd:lr=1");
    static uint64_t ids[N];
    static float gradients[N * 3], weights[N * 3];
    check_ok(canyon_table_set_codec(table, codec, codec));
    for (size_t i = 0; i < N; i++) {
        ids[i] = i % 2000;
        for (size_t j = 0; j < 3; j++)
            gradients[3 * i + j] = j == 0 ? 127 : -(float)(i % 50); /* int8's scale is then 1 */
    }
    for (size_t i = 0; i < 3; i++)
        gradients[i] = i == 0 ? 127 : 0;
    for (size_t i = 2000; i < N; i++)
        for (size_t j = 0; j < 3; j++)
            gradients[3 * i + j] = 0;
    check_ok(canyon_table_push_pull(table, ids, N, gradients, weights, PATIENCE_MS));
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < 3; j++)
            check(weights[3 * i + j] == -gradients[3 * (i % 2000) + j]);
    canyon_table_close(table);
    canyon_close(client);
    cluster_stop(cluster);
}

/* What a row becomes in its form does not depend on what else was asked for, nor by whose clock. */
static void rounded_alike(void **state) {
    (void)state;
    enum { N = 600, BREADTH = 40 };
    struct cluster *cluster = cluster_start(NULL);
    canyon_client *client = client_connect(cluster_servers(cluster));
    struct canyon_table_spec spec;
    canyon_table *table = NULL;
    static uint64_t ids[N];
    static float all[N * BREADTH], one[BREADTH];
    spec_of(&spec, "rounded", BREADTH, "sgd:lr=1");
    spec.initializer = CANYON_NORMAL;
    spec.b = 1.0;
    check_ok(canyon_table_create(client, &spec, PATIENCE_MS, &table));
    check_ok(canyon_table_set_codec(table, "f32", "int8:stochastic"));
    for (size_t i = 0; i < N; i++)
        ids[i] = 1000 + i;
    check_ok(canyon_table_pull(table, ids, N, all, PATIENCE_MS));
    for (size_t i = 0; i < N; i += 17) {
        check_ok(canyon_table_pull(table, &ids[i], 1, one, PATIENCE_MS));
        check(memcmp(one, all + i * BREADTH, sizeof one) == 0);
    }
    canyon_table_close(table);
    canyon_close(client);
    cluster_stop(cluster);
}

/* ---- A server that comes back empty ---- */

static void lost(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_table *table = table_of(client, "t", 1, "sgd");
    uint64_t ids[64];
    float values[64] = {0};
    for (size_t i = 0; i < 64; i++)
        ids[i] = i;
    check_ok(canyon_table_push(table, ids, 64, values, PATIENCE_MS));
    cluster_kill(cluster, 1);
    check(canyon_table_push(table, ids, 64, values, 2000) != CANYON_OK);
    cluster_restart(cluster, 1, NULL);
    enum canyon_status status = CANYON_OK;
    for (int i = 0; i < 20 && status != CANYON_STATE_LOST; i++)
        status = canyon_table_push(table, ids, 64, values, PATIENCE_MS);
    check(status == CANYON_STATE_LOST);
    check_text("came back without its part of table \"t\"");
    canyon_table_close(table);
    canyon_close(client);
    cluster_stop(cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        integration_case("one server", against_a_model, NULL),
        integration_case("three servers", against_a_model, "3"),
        integration_test(same_rows_anywhere),
        integration_test(rows_come_to_be),
        integration_test(create_or_open),
        integration_test(bad_calls),
        integration_test(not_a_number),
        integration_test(row_cap),
        integration_case("256 shards", large_batches_under_way, NULL),
        integration_case("one shard", large_batches_under_way, "1"),
        integration_test(pulls_find_no_later_push),
        integration_case("bf16", coded, "bf16"),
        integration_case("f16", coded, "f16"),
        integration_case("int8", coded, "int8"),
        integration_case("int8:stochastic", coded, "int8:stochastic"),
        integration_test(rounded_alike),
        integration_test(lost),
    };
    return cmocka_run_group_tests_name("tables", tests, NULL, NULL);
}
