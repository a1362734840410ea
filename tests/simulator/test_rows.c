/* Rows in this process, their optimizers against PyTorch and against what FTRL minimises, and batches under way. */
#include "tests/golden/lines.h"

#include <math.h>

#include "client/simulator/counter.h"
#include "client/simulator/flow.h"
#include "client/simulator/gather.h"
#include "client/simulator/row_rule.h"
#include "client/simulator/rows.h"
#include "tests/golden/gradients.h"

#define ELEMENTS  20
#define TOLERANCE 1e-5 /* five times that of tests/golden: written for being read, not for the last bit */

static char text[512];

/* ---- optimizers ---- */

/* Reads a case's settings up to its first step; false when this process has not what it needs. */
static bool case_rule(struct lines *lines, struct row_rule *rule) {
    char optimizer[256];
    size_t at = (size_t)snprintf(optimizer, sizeof optimizer, "%s", lines->words[1]);
    const char *separator = ":";
    assert_true(lines_next(lines));
    for (; lines_is(lines, "set"); assert_true(lines_next(lines))) {
        at += (size_t)snprintf(optimizer + at, sizeof optimizer - at, "%s%s=%s", separator, lines->words[1],
                               lines->words[2]);
        separator = ",";
    }
    return row_rule_read(rule, optimizer, text, sizeof text) == CANYON_OK;
}

/* Elements whose weight or state was not finite in PyTorch are left out from there on. */
static void expect_pytorch(const struct lines *lines, const float *weights, const char *title, bool *left_out) {
    for (size_t i = 0; i < ELEMENTS; i++) {
        const char *word = lines->words[2 + i];
        left_out[i] = left_out[i] || strcmp(word, "weight") == 0 || strcmp(word, "state") == 0;
        if (left_out[i]) {
            continue;
        }
        double theirs = lines_double(lines, 2 + i), error = fabs((double)weights[i] - theirs);
        if (!(error <= TOLERANCE * fmax(1.0, fabs(theirs)))) {
            fail_msg("%s: step %s, element %zu is %.9g, PyTorch has %.9g", title, lines->words[1], i,
                     (double)weights[i], theirs);
        }
    }
}

/* The cases of tests/golden/optimizers.txt that these optimizers know. */
static void optimizers_are_pytorchs(void **state) {
    struct lines lines;
    uint64_t cases = 0, known = 0;
    (void)state;
    lines_open(&lines, CANYON_SOURCE_DIR "/tests/golden/optimizers.txt");
    while (lines_next(&lines)) {
        struct row_rule rule;
        struct generator generator = {++cases};
        float row[(1 + ROW_RULE_SLOTS) * ELEMENTS], gradient[ELEMENTS];
        char title[64];
        bool left_out[ELEMENTS] = {false};
        uint64_t step = 0;
        snprintf(title, sizeof title, "%s %s", lines.words[1], lines.words[2]);
        bool has = case_rule(&lines, &rule);
        known += has;
        for (size_t i = 0; i < ELEMENTS; i++) {
            row[i] = (float)generator_number(&generator);
            row[ELEMENTS + i] = rule.first[0];
            row[2 * ELEMENTS + i] = rule.first[1];
        }
        for (; !lines_is(&lines, "end"); assert_true(lines_next(&lines))) {
            for (; has && step < lines_number(&lines, 1); step++) {
                for (size_t i = 0; i < ELEMENTS; i++) {
                    gradient[i] = generator_gradient(&generator, i);
                }
                row_rule_step(&rule, row, gradient, ELEMENTS, step + 1);
            }
            if (has) {
                expect_pytorch(&lines, row, title, left_out);
            }
        }
    }
    lines_close(&lines);
    print_message("%d of PyTorch's cases\n", (int)known);
    assert_true(known >= 12);
}

/* What McMahan et al. 2013 minimise, eq. 1: g.w + sum of sigma_s (w - w_s)^2 / 2 + l1 |w| + l2 w^2 / 2, with
 * sigma_1 + ... + sigma_t = sqrt(n_t) / alpha and beta / alpha beside l2; by looking for the lowest point. */
static double ftrl_minimum(double z, double curvature, double l1) {
    double low = -1e3, high = 1e3;
    for (int i = 0; i < 200; i++) {
        double a = low + (high - low) / 3.0, b = high - (high - low) / 3.0;
        double at_a = z * a + l1 * fabs(a) + 0.5 * curvature * a * a;
        double at_b = z * b + l1 * fabs(b) + 0.5 * curvature * b * b;
        low = at_a > at_b ? a : low;
        high = at_a > at_b ? high : b;
    }
    return 0.5 * (low + high);
}

static void ftrl_is_the_minimum(void **state) {
    const double alpha = 0.3, beta = 0.7, l1 = 0.4, l2 = 0.2;
    struct row_rule rule;
    float row[3] = {0.0f, 0.0f, 0.0f};
    double gradients = 0.0, pulls = 0.0, squares = 0.0;
    size_t zeros = 0;
    (void)state;
    assert_int_equal(row_rule_read(&rule, "ftrl:lr=0.3,beta=0.7,lambda1=0.4,lambda2=0.2", text, sizeof text),
                     CANYON_OK);
    for (uint64_t step = 1; step <= 500; step++) {
        float gradient = step % 7 == 0 ? 0.0f : counter_sign_unit(2, 0, step) + (step < 250 ? 0.1f : -0.3f);
        double g = (double)gradient, sigma = (sqrt(squares + g * g) - sqrt(squares)) / alpha;
        gradients += g;
        pulls += sigma * (double)row[0];
        squares += g * g;
        row_rule_step(&rule, row, &gradient, 1, step);
        double expected = ftrl_minimum(gradients - pulls, (beta + sqrt(squares)) / alpha + l2, l1);
        if (fabs((double)row[0] - expected) > 2e-5 * (1.0 + fabs(expected))) {
            fail_msg("step %d: %.9g, but the minimum is at %.9g", (int)step, (double)row[0], expected);
        }
        zeros += row[0] == 0.0f;
    }
    assert_true(zeros > 0 && zeros < 500); /* the penalty did its work, and not always */
}

static void what_is_not_here_is_named(void **state) {
    struct row_rule rule;
    (void)state;
    assert_int_equal(row_rule_read(&rule, "nadam", text, sizeof text), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(text, "sgd, adagrad, adam and ftrl"));
    assert_int_equal(row_rule_read(&rule, "adam:weight_decay=1", text, sizeof text), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(text, "lr, beta1, beta2, eps"));
    assert_int_equal(row_rule_read(&rule, "adam:lr", text, sizeof text), CANYON_INVALID_ARGUMENT);
}

/* ---- tables ---- */

static struct rows *open_here(uint32_t dim, float spread, const char *optimizer) {
    struct rows *rows = NULL;
    const struct rows_spec spec = {.name = "t", .dim = dim, .spread = spread, .seed = 9, .optimizer = optimizer};
    if (rows_open_here(&spec, &rows, text, sizeof text) != CANYON_OK) {
        fail_msg("%s", text);
    }
    return rows;
}

static enum canyon_status pull(struct rows *rows, const uint64_t *ids, size_t count, float *weights) {
    struct rows_call call;
    rows_pull(rows, ids, count, weights, &call);
    return rows_wait(rows, &call, text, sizeof text);
}

static enum canyon_status push(struct rows *rows, const uint64_t *ids, size_t count, const float *gradient) {
    struct rows_call call;
    rows_push(rows, ids, count, gradient, &call);
    return rows_wait(rows, &call, text, sizeof text);
}

static uint64_t count_of(struct rows *rows) {
    uint64_t count = UINT64_MAX;
    assert_int_equal(rows_count(rows, &count, text, sizeof text), CANYON_OK);
    return count;
}

static void rows_come_to_be_when_they_are_touched(void **state) {
    struct rows *rows = open_here(3, 0.5f, "sgd:lr=1");
    const uint64_t ids[] = {7, UINT64_MAX, 0};
    float first[9], again[9], gradient[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    (void)state;
    assert_int_equal(rows_read(rows, ids, 3, first, text, sizeof text), CANYON_OK);
    assert_int_equal(pull(rows, ids, 3, again), CANYON_OK);
    assert_int_equal(count_of(rows), 0);
    assert_memory_equal(first, again, sizeof first);
    for (size_t i = 0; i < 9; i++) {
        assert_true(first[i] >= -0.5f && first[i] < 0.5f);
        assert_true(i == 0 || first[i] != first[i - 1]);
    }
    assert_int_equal(push(rows, ids, 3, gradient), CANYON_OK);
    assert_int_equal(count_of(rows), 3);
    assert_int_equal(rows_read(rows, ids, 3, again, text, sizeof text), CANYON_OK);
    for (size_t i = 0; i < 9; i++) {
        assert_true(again[i] == first[i] - gradient[i]);
    }
    assert_int_equal(push(rows, ids, 0, gradient), CANYON_OK);
    rows_close(rows);
    rows_close(NULL);
}

static void a_gradient_that_is_not_finite_changes_nothing(void **state) {
    struct rows *rows = open_here(2, 0.0f, "adagrad:lr=1");
    const uint64_t ids[] = {1, 2};
    float weights[4];
    (void)state;
    assert_int_equal(push(rows, ids, 2, (float[]){1, 1, 1, NAN}), CANYON_NOT_FINITE);
    assert_non_null(strstr(text, "smaller lr"));
    assert_int_equal(rows_read(rows, ids, 2, weights, text, sizeof text), CANYON_OK);
    assert_true(weights[0] == 0.0f && weights[3] == 0.0f);
    rows_close(rows);
}

/* Each row takes its own steps: adam's first is lr, whenever it comes. */
static void steps_are_counted_for_each_row(void **state) {
    struct rows *rows = open_here(1, 0.0f, "adam:lr=0.5");
    float weights[2];
    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(push(rows, (uint64_t[]){1}, 1, (float[]){1.0f}), CANYON_OK);
    }
    assert_int_equal(push(rows, (uint64_t[]){2}, 1, (float[]){1.0f}), CANYON_OK);
    assert_int_equal(rows_read(rows, (uint64_t[]){1, 2}, 2, weights, text, sizeof text), CANYON_OK);
    assert_true(fabsf(weights[0] + 5.0f) < 1e-5f && fabsf(weights[1] + 0.5f) < 1e-6f);
    rows_close(rows);
}

static void many_rows_are_found_again(void **state) {
    enum { MANY = 50000 };
    struct rows *rows = open_here(1, 0.0f, "sgd:lr=1");
    (void)state;
    for (uint64_t i = 0; i < MANY; i++) {
        uint64_t id = counter_bits(3, 0, i) << (i % 2 == 0 ? 0 : 20); /* half of them with low bits of zero */
        float gradient = -(float)i;
        assert_int_equal(push(rows, &id, 1, &gradient), CANYON_OK);
    }
    assert_int_equal(count_of(rows), MANY);
    for (uint64_t i = 0; i < MANY; i++) {
        uint64_t id = counter_bits(3, 0, i) << (i % 2 == 0 ? 0 : 20);
        float weight = 0.0f;
        assert_int_equal(rows_read(rows, &id, 1, &weight, text, sizeof text), CANYON_OK);
        assert_true(weight == (float)i);
    }
    rows_close(rows);
}

static void ids_are_gathered_once(void **state) {
    struct gather gather = {.count = 0};
    (void)state;
    for (int round = 0; round < 3; round++) {
        gather_begin(&gather);
        assert_int_equal(gather.count, 0);
        for (uint64_t i = 0; i < 10000; i++) {
            size_t place = gather_place(&gather, i % 3000 * UINT64_C(0x100000000));
            assert_int_equal(place, i % 3000);
        }
        assert_int_equal(gather.count, 3000);
        assert_int_equal(gather.ids[2999], 2999 * UINT64_C(0x100000000));
    }
    gather_finish(&gather);
    gather_finish(&gather);
}

/* ---- flows ---- */

/* Rows that note what is asked of them: P pull, G push, lower case when it is waited for. */
struct noting {
    struct rows rows;
    char *notes;
    size_t fail_at; /* note whose call fails; 0: none */
    uint64_t under_way;
};

static void note(struct noting *noting, char what, struct rows_call *call) {
    size_t length = strlen(noting->notes);
    noting->notes[length] = what;
    noting->notes[length + 1] = '\0';
    call->future = (canyon_future *)(uintptr_t)(length + 1); /* never looked into */
    noting->under_way++;
}

static void noting_pull(struct rows *rows, const uint64_t *ids, size_t count, float *weights, struct rows_call *call) {
    (void)ids;
    memset(weights, 0, count * rows->dim * sizeof *weights);
    note((struct noting *)rows, 'P', call);
}

static void noting_push(struct rows *rows, const uint64_t *ids, size_t count, const float *gradient,
                        struct rows_call *call) {
    (void)ids;
    for (size_t i = 0; i < count * rows->dim; i++) {
        assert_true(gradient[i] == (float)ids[0]);
    }
    note((struct noting *)rows, 'G', call);
}

static enum canyon_status noting_wait(struct rows *rows, struct rows_call *call, char *why, size_t bytes) {
    struct noting *noting = (struct noting *)rows;
    size_t number = (size_t)(uintptr_t)call->future, length = strlen(noting->notes);
    noting->notes[length] = (char)(noting->notes[number - 1] + ('a' - 'A'));
    noting->notes[length + 1] = '\0';
    noting->under_way--;
    if (number == noting->fail_at) {
        snprintf(why, bytes, "call %zu failed", number);
        return CANYON_UNAVAILABLE;
    }
    return CANYON_OK;
}

struct making {
    uint64_t made, batches, ids[FLOW_PLACES(FLOW_AHEAD_HIGH)];
    enum canyon_status compute;
    char *notes;
};

static enum canyon_status making_make(void *context, size_t place, struct flow_part *parts, bool *more, char *why,
                                      size_t bytes) {
    struct making *making = context;
    (void)why;
    (void)bytes;
    *more = making->made < making->batches;
    making->ids[place] = making->made++;
    parts[0].ids = &making->ids[place];
    parts[0].count = 1;
    return CANYON_OK;
}

static enum canyon_status making_compute(void *context, size_t place, const struct flow_part *parts, char *why,
                                         size_t bytes) {
    struct making *making = context;
    strcat(making->notes, "*");
    parts[0].gradient[0] = (float)making->ids[place];
    snprintf(why, bytes, "computing failed");
    return making->compute;
}

static enum canyon_status flow(uint64_t batches, size_t ahead, size_t fail_at, enum canyon_status compute,
                               char notes[1024]) {
    static const struct rows_kind kind = {.pull = noting_pull, .push = noting_push, .wait = noting_wait};
    struct noting noting = {.rows = {.kind = &kind, .dim = 1}, .notes = notes, .fail_at = fail_at};
    struct making making = {.batches = batches, .compute = compute, .notes = notes};
    const struct flow_maker maker = {.context = &making, .make = making_make, .compute = making_compute};
    struct rows *table = &noting.rows;
    notes[0] = '\0';
    enum canyon_status status = flow_run(&maker, &table, 1, ahead, text, sizeof text);
    assert_int_equal(noting.under_way, 0);
    return status;
}

static void batches_go_ahead_as_far_as_they_may(void **state) {
    char notes[1024];
    (void)state;
    assert_int_equal(flow(3, 0, 0, CANYON_OK, notes), CANYON_OK);
    assert_string_equal(notes, "Pp*GgPp*GgPp*Gg");
    assert_int_equal(flow(3, 1, 0, CANYON_OK, notes), CANYON_OK);
    assert_string_equal(notes, "PPp*GPp*Ggp*Ggg");
    assert_int_equal(flow(2, 4, 0, CANYON_OK, notes), CANYON_OK);
    assert_string_equal(notes, "PPp*Gp*Ggg");
    assert_int_equal(flow(0, 2, 0, CANYON_OK, notes), CANYON_OK);
    assert_string_equal(notes, "");
}

static void a_failure_ends_the_flow_and_leaves_nothing_under_way(void **state) {
    char notes[1024];
    (void)state;
    for (size_t ahead = 0; ahead <= 3; ahead++) {
        assert_int_equal(flow(5, ahead, 1, CANYON_OK, notes), CANYON_UNAVAILABLE);
        assert_string_equal(text, "call 1 failed");
        assert_null(strchr(notes, '*'));
        assert_int_equal(flow(5, ahead, 0, CANYON_NOT_FINITE, notes), CANYON_NOT_FINITE);
        assert_string_equal(text, "computing failed");
        assert_null(strchr(notes, 'G'));
    }
    assert_int_equal(flow(1, 0, 4, CANYON_OK, notes), CANYON_UNAVAILABLE); /* the push: "Pp*G" */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(optimizers_are_pytorchs),
        cmocka_unit_test(ftrl_is_the_minimum),
        cmocka_unit_test(what_is_not_here_is_named),
        cmocka_unit_test(rows_come_to_be_when_they_are_touched),
        cmocka_unit_test(a_gradient_that_is_not_finite_changes_nothing),
        cmocka_unit_test(steps_are_counted_for_each_row),
        cmocka_unit_test(many_rows_are_found_again),
        cmocka_unit_test(ids_are_gathered_once),
        cmocka_unit_test(batches_go_ahead_as_far_as_they_may),
        cmocka_unit_test(a_failure_ends_the_flow_and_leaves_nothing_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
