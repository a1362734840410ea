/* Tables against what comes from elsewhere: PyTorch's optimizers on sparse gradients (sparse.txt, by make_sparse.py)
 * and on dense ones (optimizers.txt: a row with steps of its own is a small dense tensor), both to 2e-6 * max(1,
 * |PyTorch's|); and, for optimizers that PyTorch lacks, the papers' formulas in double under the lazy rule, to 1e-5 *
 * max(1, |its|). */
#include "tests/golden/lines.h"

#include <math.h>

#include "server/shard.h"
#include "server/table.h"
#include "tests/golden/gradients.h"

#define TOLERANCE       2e-6
#define BATCH           8
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* A table in the only shard of a job, with settings in their text form. */
struct fixture {
    struct job job;
    struct workspace *workspace;
    struct tensor_spec spec;
    struct table *table;
};

static void fixture_make(struct fixture *fixture, const char *name, const char *settings, uint64_t dim) {
    static const uint8_t secret[ROWKEY_SECRET_BYTES] = {9};
    struct error error = {.text = ""};
    memset(fixture, 0, sizeof *fixture);
    job_init(&fixture->job);
    fixture->job.shards = 1;
    fixture->spec.kind = TENSOR_TABLE;
    fixture->spec.shape = (struct shape){1, {dim}};
    fixture->spec.initializer =
        (struct initializer){.kind = INITIALIZER_UNIFORM, .seed = (UINT64_C(1) << 40) + 77, .a = -1.0, .b = 1.0};
    snprintf(fixture->spec.name, sizeof fixture->spec.name, "%s", name);
    if (optimizer_spec_parse(settings, &fixture->spec.optimizer, &error) != CANYON_OK ||
        shard_canonical_spec(&fixture->spec, &error) != CANYON_OK)
        fail_msg("%s: %s", settings, error.text);
    fixture->workspace = workspace_create(NULL, secret);
    fixture->table = table_create(&fixture->job, 0, 1, &fixture->spec, fixture->workspace);
    assert_non_null(fixture->table);
}

static void fixture_drop(struct fixture *fixture) {
    table_destroy(fixture->table);
    workspace_destroy(fixture->workspace);
    job_finish(&fixture->job);
}

static double error_of(double ours, double theirs) {
    return fabs(ours - theirs) / fmax(1.0, fabs(theirs));
}

/* ---- PyTorch, sparse ---- */

#define SPARSE_ROWS 12
#define SPARSE_DIM  5

static size_t whole(struct generator *generator, size_t limit) {
    return (size_t)floor((generator_number(generator) + 1.0) / 2.0 * (double)limit);
}

/* draw_batch of make_sparse.py. */
static size_t draw_batch(struct generator *generator, uint64_t *ids, float *gradients) {
    const size_t count = 1 + whole(generator, BATCH);
    for (size_t i = 0; i < count; i++) {
        const size_t one = whole(generator, SPARSE_ROWS - 1), other = whole(generator, SPARSE_ROWS - 1);
        ids[i] = (one < other ? one : other) * UINT64_C(0x123456789abcdef);
        for (size_t k = 0; k < SPARSE_DIM; k++) {
            const double u = generator_number(generator);
            gradients[i * SPARSE_DIM + k] = (float)(u >= 0.0 ? u + 0.1 : u - 0.1);
        }
    }
    return count;
}

static void sparse_first(struct fixture *fixture, const struct lines *lines) {
    float row[SPARSE_DIM];
    const uint64_t id = lines_number(lines, 1);
    assert_int_equal(table_pull(fixture->table, &id, 1, row, NULL), CANYON_OK);
    for (size_t k = 0; k < SPARSE_DIM; k++)
        assert_true(row[k] == (float)lines_double(lines, 2 + k)); /* exact: products of integers and powers of two */
}

static double sparse_compare(struct fixture *fixture, const struct lines *lines, uint64_t step) {
    float row[SPARSE_DIM];
    const uint64_t id = lines_number(lines, 1);
    double worst = 0.0;
    assert_int_equal(lines->count, 2 + SPARSE_DIM);
    assert_int_equal(table_pull(fixture->table, &id, 1, row, NULL), CANYON_OK);
    for (size_t k = 0; k < SPARSE_DIM; k++) {
        const double theirs = lines_double(lines, 2 + k), error = error_of((double)row[k], theirs);
        if (!(error <= TOLERANCE))
            fail_msg("%s, step %d: row %llu is %.9g at %zu, PyTorch has %.9g", fixture->spec.name, (int)step,
                     (unsigned long long)id, (double)row[k], k, theirs);
        worst = fmax(worst, error);
    }
    return worst;
}

static void sparse_gradients_match_pytorch(void **state) {
    (void)state;
    struct lines lines;
    struct fixture fixture = {.table = NULL};
    struct generator generator = {0};
    uint64_t cases = 0, step = 0;
    double worst = 0.0;
    lines_open(&lines, CANYON_SOURCE_DIR "/tests/golden/sparse.txt");
    while (lines_next(&lines)) {
        if (lines_is(&lines, "case")) {
            fixture_make(&fixture, lines.words[1], lines.words[2], SPARSE_DIM);
            generator.state = ++cases;
            step = 0;
            worst = 0.0;
        } else if (lines_is(&lines, "row")) {
            sparse_first(&fixture, &lines);
        } else if (lines_is(&lines, "step")) {
            for (const uint64_t wanted = lines_number(&lines, 1); step < wanted; step++) {
                uint64_t ids[BATCH];
                float gradients[BATCH * SPARSE_DIM];
                const size_t count = draw_batch(&generator, ids, gradients);
                assert_int_equal(table_push(fixture.table, ids, count, gradients, step, NULL, NULL), CANYON_OK);
            }
        } else if (lines_is(&lines, "now")) {
            worst = fmax(worst, sparse_compare(&fixture, &lines, step));
        } else {
            assert_true(lines_is(&lines, "end"));
            assert_int_equal(table_rows(fixture.table), SPARSE_ROWS - 1); /* the last one was never named */
            printf("%-14s %d steps, largest error %.2g\n", fixture.spec.name, (int)step, worst);
            fixture_drop(&fixture);
        }
    }
    lines_close(&lines);
    assert_int_equal(cases, 7);
}

/* ---- PyTorch, dense: the cases of test_optimizers.c, each two rows ---- */

#define ELEMENTS 20
#define RECORDS  10
#define LATE     7 /* pushes before the second row's first one */

/* What one case says, and the table it is tried on. */
struct dense_case {
    char settings[512];
    uint64_t seed;
    size_t records;
    uint64_t steps[RECORDS];
    double expected[RECORDS][ELEMENTS]; /* NaN where PyTorch's weight or state is not finite */
    struct fixture fixture;
    struct generator generators[2];
    bool left_out[2][ELEMENTS];
    double worst;
};

static void dense_read(struct dense_case *this, const struct lines *lines) {
    const size_t used = strlen(this->settings);
    if (lines_is(lines, "set")) {
        snprintf(this->settings + used, sizeof this->settings - used, "%c%s=%s",
                 strchr(this->settings, ':') == NULL ? ':' : ',', lines->words[1], lines->words[2]);
        return;
    }
    assert_true(lines_is(lines, "step") && this->records < RECORDS && lines->count == 2 + ELEMENTS);
    this->steps[this->records] = lines_number(lines, 1);
    for (size_t i = 0; i < ELEMENTS; i++) {
        const char *word = lines->words[2 + i];
        const bool none = strcmp(word, "weight") == 0 || strcmp(word, "state") == 0;
        this->expected[this->records][i] = none ? (double)NAN : lines_double(lines, 2 + i);
    }
    this->records++;
}

/* The first weights are those of the dense test, whatever the table would begin with. */
static void dense_begin(struct dense_case *this) {
    static const uint64_t ids[2] = {0, 1};
    bool changed;
    fixture_make(&this->fixture, "t", this->settings, ELEMENTS);
    assert_int_equal(table_touch(this->fixture.table, ids, 2, 0, NULL, &changed, NULL), CANYON_OK);
    for (uint64_t id = 0; id < 2; id++) {
        uint64_t key;
        this->generators[id].state = this->seed;
        rowkey_of(&this->fixture.workspace->rowkey, &id, 1, &key);
        float *weights = row_store_at(&this->fixture.table->store, row_index_find(&this->fixture.table->index, key));
        for (size_t i = 0; i < ELEMENTS; i++)
            weights[i] = (float)generator_number(&this->generators[id]);
    }
}

static void dense_compare(struct dense_case *this, uint64_t id) {
    struct table_row row;
    size_t record = 0;
    assert_true(table_row(this->fixture.table, id, &row));
    while (record < this->records && this->steps[record] != row.step)
        record++;
    for (size_t i = 0; record < this->records && i < ELEMENTS; i++) {
        const double theirs = this->expected[record][i], error = error_of((double)row.values[i], theirs);
        this->left_out[id][i] = this->left_out[id][i] || isnan(theirs);
        if (this->left_out[id][i])
            continue;
        if (!(error <= TOLERANCE))
            fail_msg("%s: row %d at step %d, element %zu is %.9g, PyTorch has %.9g", this->settings, (int)id,
                     (int)row.step, i, (double)row.values[i], theirs);
        this->worst = fmax(this->worst, error);
    }
}

/* Both rows have the same gradients, the second one some pushes later: each goes by its own steps. */
static void dense_run(struct dense_case *this) {
    static const uint64_t ids[2] = {0, 1};
    const uint64_t last = this->steps[this->records - 1];
    dense_begin(this);
    for (uint64_t push = 1; push <= last + LATE; push++) {
        const size_t first = push <= last ? 0 : 1, end = push > LATE ? 2 : 1;
        float gradients[2 * ELEMENTS];
        for (size_t row = first; row < end; row++) {
            for (size_t i = 0; i < ELEMENTS; i++)
                gradients[row * ELEMENTS + i] = generator_gradient(&this->generators[row], i);
        }
        assert_int_equal(
            table_push(this->fixture.table, ids + first, end - first, gradients + first * ELEMENTS, push, NULL, NULL),
            CANYON_OK);
        for (size_t row = first; row < end; row++)
            dense_compare(this, row);
    }
    fixture_drop(&this->fixture);
}

static void rows_match_dense_pytorch(void **state) {
    (void)state;
    struct lines lines;
    static struct dense_case this;
    uint64_t cases = 0;
    double worst = 0.0;
    lines_open(&lines, CANYON_SOURCE_DIR "/tests/golden/optimizers.txt");
    while (lines_next(&lines)) {
        if (lines_is(&lines, "case")) {
            memset(&this, 0, sizeof this);
            snprintf(this.settings, sizeof this.settings, "%s", lines.words[1]);
            this.seed = ++cases;
        } else if (lines_is(&lines, "end")) {
            dense_run(&this);
            worst = fmax(worst, this.worst);
        } else {
            dense_read(&this, &lines);
        }
    }
    lines_close(&lines);
    printf("%d cases, largest error %.2g\n", (int)cases, worst);
    assert_true(cases >= 120);
}

/* ---- Papers, in double, row by row ---- */

#define PAPER_ROWS      6
#define PAPER_DIM       3
#define PAPER_STEPS     200
#define PAPER_TOLERANCE 1e-5

/* A row: weights, up to two states of each element (the first also for the row as a whole), its own steps. */
struct paper_row {
    double w[PAPER_DIM], a[PAPER_DIM], b[PAPER_DIM];
    int step;
};

static double sign_of(double x) {
    return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : 0.0;
}

/* Zaheer et al. 2018, algorithm 2, at Canyon's defaults. */
static void yogi(struct paper_row *row, const double *g) {
    for (size_t k = 0; k < PAPER_DIM; k++) {
        row->b[k] = row->step == 1 ? 1e-6 : row->b[k];
        row->a[k] = 0.9 * row->a[k] + 0.1 * g[k];
        row->b[k] -= 0.001 * sign_of(row->b[k] - g[k] * g[k]) * g[k] * g[k];
        row->w[k] -= 0.01 * row->a[k] / (sqrt(row->b[k]) + 1e-3);
    }
}

/* Zhuang et al. 2020, algorithm 2. */
static void adabelief(struct paper_row *row, const double *g) {
    for (size_t k = 0; k < PAPER_DIM; k++) {
        row->a[k] = 0.9 * row->a[k] + 0.1 * g[k];
        row->b[k] = 0.999 * row->b[k] + 0.001 * (g[k] - row->a[k]) * (g[k] - row->a[k]) + 1e-8;
        row->w[k] -=
            0.01 * row->a[k] / (1.0 - pow(0.9, row->step)) / (sqrt(row->b[k] / (1.0 - pow(0.999, row->step))) + 1e-8);
    }
}

/* Chen et al. 2023, algorithm 2. */
static void lion(struct paper_row *row, const double *g) {
    for (size_t k = 0; k < PAPER_DIM; k++) {
        const double c = 0.9 * row->a[k] + 0.1 * g[k];
        assert_true(fabs(c) > 1e-5); /* else its sign hung on roundings: another seed would do */
        row->a[k] = 0.99 * row->a[k] + 0.01 * g[k];
        row->w[k] -= 0.01 * sign_of(c);
    }
}

/* McMahan et al. 2013, algorithm 1, from weights that are not zero: z begins where it gives them. */
static void ftrl(struct paper_row *row, const double *g) {
    const double lr = 0.5, beta = 1.0, l1 = 0.2, l2 = 0.1;
    for (size_t k = 0; k < PAPER_DIM; k++) {
        if (row->step == 1)
            row->a[k] = -row->w[k] * (beta / lr + l2) - sign_of(row->w[k]) * l1;
        const double sigma = (sqrt(row->b[k] + g[k] * g[k]) - sqrt(row->b[k])) / lr;
        row->a[k] += g[k] - sigma * row->w[k];
        row->b[k] += g[k] * g[k];
        row->w[k] =
            fabs(row->a[k]) <= l1 ? 0.0 : -(row->a[k] - sign_of(row->a[k]) * l1) / ((beta + sqrt(row->b[k])) / lr + l2);
    }
}

/* FBGEMM's exact row-wise Adagrad. */
static void rowwise(struct paper_row *row, const double *g) {
    double squares = 0.0;
    for (size_t k = 0; k < PAPER_DIM; k++)
        squares += g[k] * g[k];
    row->a[0] += squares / PAPER_DIM;
    for (size_t k = 0; k < PAPER_DIM; k++)
        row->w[k] -= 0.1 * g[k] / (sqrt(row->a[0]) + 1e-8);
}

/* Rows that are named take their step, the others stand still: nothing decays that is not touched. */
static double paper_run(const char *settings, void (*paper)(struct paper_row *, const double *), uint64_t seed) {
    struct fixture fixture;
    struct paper_row rows[PAPER_ROWS];
    struct generator generator = {seed};
    double worst = 0.0;
    fixture_make(&fixture, "paper", settings, PAPER_DIM);
    memset(rows, 0, sizeof rows);
    for (uint64_t id = 0; id < PAPER_ROWS; id++) {
        float first[PAPER_DIM];
        assert_int_equal(table_pull(fixture.table, &id, 1, first, NULL), CANYON_OK);
        for (size_t k = 0; k < PAPER_DIM; k++)
            rows[id].w[k] = (double)first[k];
    }
    for (uint64_t step = 0; step < PAPER_STEPS; step++) {
        uint64_t ids[PAPER_ROWS];
        float gradients[PAPER_ROWS * PAPER_DIM];
        size_t count = 0;
        for (uint64_t id = 0; id < PAPER_ROWS; id++) {
            if (whole(&generator, PAPER_ROWS) > id)
                continue;
            double g[PAPER_DIM];
            for (size_t k = 0; k < PAPER_DIM; k++) {
                gradients[count * PAPER_DIM + k] = (float)(generator_number(&generator) + 0.3);
                g[k] = (double)gradients[count * PAPER_DIM + k];
            }
            rows[id].step++;
            paper(&rows[id], g);
            ids[count++] = id;
        }
        assert_int_equal(table_push(fixture.table, ids, count, gradients, step, NULL, NULL), CANYON_OK);
        for (uint64_t id = 0; id < PAPER_ROWS; id++) {
            float now[PAPER_DIM];
            assert_int_equal(table_pull(fixture.table, &id, 1, now, NULL), CANYON_OK);
            for (size_t k = 0; k < PAPER_DIM; k++)
                worst = fmax(worst, error_of((double)now[k], rows[id].w[k]));
        }
    }
    fixture_drop(&fixture);
    return worst;
}

static void rows_follow_the_papers(void **state) {
    (void)state;
    static const struct {
        const char *settings;
        void (*paper)(struct paper_row *, const double *);
    } cases[] = {
        {"yogi:lr=0.01,beta1=0.9,beta2=0.999,eps=0.001,initial_accumulator_value=1e-6", yogi},
        {"adabelief:lr=0.01,eps=1e-8", adabelief},
        {"lion:lr=0.01,beta1=0.9,beta2=0.99,weight_decay=0", lion},
        {"ftrl:lr=0.5,beta=1,lambda1=0.2,lambda2=0.1", ftrl},
        {"rowwise_adagrad:lr=0.1", rowwise},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const double worst = paper_run(cases[i].settings, cases[i].paper, 100 + i);
        printf("%-80s largest error %.2g\n", cases[i].settings, worst);
        assert_true(worst <= PAPER_TOLERANCE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sparse_gradients_match_pytorch),
        cmocka_unit_test(rows_match_dense_pytorch),
        cmocka_unit_test(rows_follow_the_papers),
    };
    return cmocka_run_group_tests_name("golden rows", tests, NULL, NULL);
}
