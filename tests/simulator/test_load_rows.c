/* What verifying a table promises: sums that follow from counts alone, and that every way of breaking them is found.
 * The pushes here are made by hand through the public API, one draw after the other, so that what was applied is known
 * whatever the load's code thinks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/simulator/draws.h"
#include "client/simulator/load_batch.h"
#include "client/simulator/load_rows.h"
#include "client/simulator/load_tally.h"
#include "client/simulator/load_verify.h"
#include "servers.h"

#define ROWS    200
#define BATCH   60
#define DIM     5
#define WORKERS 3
#define CALLS   6 /* of each worker */

static struct local *local;

static int start(void **state) {
    (void)state;
    return servers_start(2, &local);
}

static int stop(void **state) {
    (void)state;
    return local_stop(local) ? 0 : -1;
}

/* The definition of the header, written down again. */
static float value_of(uint64_t id, uint32_t column, unsigned base) {
    return (float)(1 + (base + (id % 3 + column) % 3) % 3);
}

/* ---- definitions ---- */

static void ids_and_ranks_go_both_ways(void **state) {
    static const uint64_t ranks[] = {0, 1, 2, 999, 1u << 31, UINT64_C(1) << 48, UINT64_MAX - 1, UINT64_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
        assert_true(load_row_rank(load_row_id(ranks[i])) == ranks[i]);
        assert_true(load_row_id(load_row_rank(ranks[i])) == ranks[i]);
    }
    /* SplitMix64's first number from the seed 0 (Vigna's reference program). */
    assert_true(load_row_id(0) == UINT64_C(0xe220a8397b1dcdaf));
}

static void gradients_are_their_definition(void **state) {
    struct draws draws;
    uint64_t ids[BATCH];
    float gradient[BATCH * DIM];
    struct load_plan plan = {.seed = 4, .batch = BATCH, .dim = DIM, .rows = ROWS, .draws = &draws};
    unsigned bases[3] = {0};
    (void)state;
    assert_true(draws_make(&draws, ROWS, 1.05));
    load_rows_draw(&plan, 1, 2, ids);
    for (unsigned base = 0; base < 3; base++) {
        load_rows_fill(&plan, base, ids, gradient);
        for (size_t i = 0; i < BATCH; i++) {
            assert_true(load_row_rank(ids[i]) < ROWS);
            for (uint32_t c = 0; c < DIM; c++) {
                assert_true(gradient[i * DIM + c] == value_of(ids[i], c, base));
                const uint32_t once[3] = {base == 0, base == 1, base == 2};
                assert_int_equal(load_row_sum(once, load_row_class(ids[i], c)), (int)gradient[i * DIM + c]);
            }
        }
    }
    for (uint64_t n = 0; n < 3000; n++) {
        bases[load_rows_base(4, 2, n)]++;
    }
    for (unsigned base = 0; base < 3; base++) {
        assert_in_range(bases[base], 850, 1150);
    }
    draws_finish(&draws);
}

/* However many ids a call names, the first ones are the same; other calls and other workers have others. */
static void draws_do_not_depend_on_the_batch(void **state) {
    static const uint64_t batches[] = {1, 2, 31, 32, 33, 59};
    struct draws draws;
    uint64_t ids[BATCH], fewer[BATCH];
    struct load_plan plan = {.seed = 4, .dim = DIM, .rows = 1000000, .draws = &draws};
    (void)state;
    assert_true(draws_make(&draws, plan.rows, 0.5));
    plan.batch = BATCH;
    load_rows_draw(&plan, 1, 2, ids);
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        plan.batch = batches[i];
        load_rows_draw(&plan, 1, 2, fewer);
        assert_memory_equal(fewer, ids, batches[i] * sizeof *ids);
    }
    load_rows_draw(&plan, 2, 2, fewer);
    assert_memory_not_equal(fewer, ids, 59 * sizeof *ids);
    load_rows_draw(&plan, 1, 3, fewer);
    assert_memory_not_equal(fewer, ids, 59 * sizeof *ids);
    draws_finish(&draws);
}

static void torn_rows_are_seen(void **state) {
    float weights[DIM];
    (void)state;
    memset(weights, 0, sizeof weights);
    assert_true(load_row_whole(DIM, weights));
    for (uint32_t c = 0; c < DIM; c++) {
        weights[c] = -value_of(7, c, 1);
    }
    assert_true(load_row_whole(DIM, weights));
    weights[DIM - 1] -= value_of(7, DIM - 1, 2); /* one column is further than the others of its class */
    assert_false(load_row_whole(DIM, weights));
    weights[0] = -0.5f;
    assert_false(load_row_whole(1, weights));
    weights[0] = 1.0f;
    assert_false(load_row_whole(1, weights));
    weights[0] = (float)strtod("nan", NULL);
    assert_false(load_row_whole(1, weights));
}

static void pushes_end_before_sums_become_inexact(void **state) {
    struct load_plan plan = {.table = true, .batch = 4096, .rows = 10000000, .exponent = 1.05};
    (void)state;
    plan.most = 1.0; /* one row, in every draw: as many as 3 each leave */
    assert_int_equal(load_rows_pushes_high(&plan), ((1 << 24) - 1) / (3 * 4096));
    plan.most = 1e-7; /* never more than a tensor's */
    assert_int_equal(load_rows_pushes_high(&plan), LOAD_PUSHES_HIGH);
    plan.most = draws_most(plan.rows, plan.exponent);
    assert_in_range(load_rows_pushes_high(&plan), 15000, 16500);
}

/* ---- verdicts ---- */

struct scene {
    struct load_plan plan;
    struct draws draws;
    struct load_share *share;
    struct load_link link;
    struct load_verdict verdict;
    uint32_t calls[ROWS]; /* pushes that drew each row, counted here */
};

static bool pushes(const struct scene *scene, uint32_t worker, uint64_t number) {
    return load_kind_pushes(load_pace_kind(&scene->plan.pace, worker, number));
}

/* Pushes a call by the definition. */
static void push(struct scene *scene, uint32_t worker, uint64_t number) {
    uint64_t ids[BATCH];
    float gradient[BATCH * DIM];
    const unsigned base = load_rows_base(scene->plan.seed, worker, number);
    load_rows_draw(&scene->plan, worker, number, ids);
    for (size_t i = 0; i < BATCH; i++) {
        for (uint32_t c = 0; c < DIM; c++) {
            gradient[i * DIM + c] = value_of(ids[i], c, base);
        }
    }
    assert_int_equal(canyon_table_push(scene->link.tables[0], ids, BATCH, gradient, 0), CANYON_OK);
    for (size_t rank = 0; rank < ROWS; rank++) {
        bool drawn = false;
        for (size_t i = 0; i < BATCH; i++) {
            drawn = drawn || ids[i] == load_row_id(rank);
        }
        scene->calls[rank] += drawn;
    }
}

/* Workers whose pushing calls were all applied, but for the one that is `missing` among them. */
static void scene_open(struct scene *scene, const char *prefix, int missing) {
    memset(scene, 0, sizeof *scene);
    scene->plan = (struct load_plan){.pace = {.workers = WORKERS, .in_flight = 1, .seed = 5, .mix = {40, 30, 30}},
                                     .servers = local_servers(local),
                                     .prefix = prefix,
                                     .optimizer = "sgd:lr=1",
                                     .codec = "f32",
                                     .processes = 2,
                                     .clients = 1,
                                     .table = true,
                                     .tensors = 1,
                                     .elements = BATCH * DIM,
                                     .dim = DIM,
                                     .rows = ROWS,
                                     .batch = BATCH,
                                     .exponent = 1.05,
                                     .most = 0.2,
                                     .draws = &scene->draws,
                                     .seed = 5,
                                     .timeout_ms = 10000,
                                     .verify = true};
    assert_true(draws_make(&scene->draws, ROWS, 1.05));
    scene->share = load_share_create(&scene->plan);
    assert_non_null(scene->share);
    assert_int_equal(load_link_open(&scene->link, &scene->plan, 1, NULL, "test"), CANYON_OK);
    int at = 0;
    for (uint32_t worker = 0; worker < WORKERS; worker++) {
        scene->share->begun[worker] = CALLS;
        for (uint64_t number = 0; number < CALLS; number++) {
            if (pushes(scene, worker, number) && at++ != missing) {
                push(scene, worker, number);
            }
        }
    }
    assert_true(at > 3);
}

static uint64_t rows_of(const struct scene *scene) {
    uint64_t rows = 0;
    for (size_t rank = 0; rank < ROWS; rank++) {
        rows += scene->calls[rank] > 0;
    }
    return rows;
}

static void scene_judge(struct scene *scene) {
    assert_int_equal(load_verify(&scene->plan, scene->share, &scene->link, &scene->verdict), CANYON_OK);
    assert_true(scene->verdict.done);
}

static void scene_close(struct scene *scene) {
    assert_int_equal(load_link_drop(&scene->link), CANYON_OK);
    load_link_close(&scene->link);
    load_share_destroy(scene->share);
    draws_finish(&scene->draws);
}

static uint64_t first_push(const struct scene *scene, uint32_t worker) {
    uint64_t number = 0;
    while (!pushes(scene, worker, number)) {
        number++;
    }
    return number;
}

/* Different rows of a call. */
static uint64_t rows_in(const struct scene *scene, uint32_t worker, uint64_t number) {
    uint64_t ids[BATCH], rows = 0;
    load_rows_draw(&scene->plan, worker, number, ids);
    for (size_t i = 0; i < BATCH; i++) {
        bool again = false;
        for (size_t j = 0; j < i; j++) {
            again = again || ids[j] == ids[i];
        }
        rows += !again;
    }
    return rows;
}

static void what_was_pushed_once_is_good(void **state) {
    struct scene scene;
    (void)state;
    scene_open(&scene, "rows-good/", -1);
    scene_judge(&scene);
    assert_true(load_verdict_good(&scene.verdict));
    assert_int_equal(scene.verdict.blocks, rows_of(&scene));
    scene_close(&scene);
}

static void a_lost_push_is_found(void **state) {
    struct scene scene;
    (void)state;
    scene_open(&scene, "rows-lost/", 0); /* the first of worker 0 */
    const uint64_t number = first_push(&scene, 0), lost = rows_in(&scene, 0, number);
    scene_judge(&scene);
    assert_int_equal(scene.verdict.wrong, lost);
    for (uint64_t i = 0; i < lost && i < LOAD_FAULTS_SHOWN; i++) {
        const struct load_fault *fault = &scene.verdict.faults[i];
        assert_true(fault->applied == fault->updates - 1.0 && fault->found > fault->expected);
        assert_int_equal(fault->wrong, DIM);
        assert_true(load_row_rank(fault->block) < ROWS);
        assert_true(fault->applied == (double)scene.calls[load_row_rank(fault->block)]);
    }
    scene_close(&scene);
}

static void a_doubled_push_is_found(void **state) {
    struct scene scene;
    (void)state;
    scene_open(&scene, "rows-doubled/", -1);
    const uint64_t number = first_push(&scene, 2);
    push(&scene, 2, number);
    scene_judge(&scene);
    assert_int_equal(scene.verdict.wrong, rows_in(&scene, 2, number));
    assert_true(scene.verdict.faults[0].applied == scene.verdict.faults[0].updates + 1.0);
    scene_close(&scene);
}

static void strange_and_missing_rows_are_found(void **state) {
    struct scene scene;
    const uint64_t strange = load_row_id(ROWS), within = load_row_id(3);
    float gradient[DIM] = {0};
    uint64_t erased = 0;
    (void)state;
    scene_open(&scene, "rows-strange/", -1);
    /* A row that nobody may have pushed to; even without any weight in it. */
    assert_int_equal(canyon_table_push(scene.link.tables[0], &strange, 1, gradient, 0), CANYON_OK);
    scene_judge(&scene);
    assert_int_equal(scene.verdict.wrong, 1);
    assert_true(scene.verdict.faults[0].block == strange && scene.verdict.faults[0].applied == 1.0);
    assert_int_equal(canyon_table_erase(scene.link.tables[0], &strange, 1, 0, &erased), CANYON_OK);
    /* One that has gone. */
    assert_true(scene.calls[3] > 0);
    assert_int_equal(canyon_table_erase(scene.link.tables[0], &within, 1, 0, &erased), CANYON_OK);
    scene_judge(&scene);
    assert_int_equal(scene.verdict.wrong, 1);
    assert_true(scene.verdict.faults[0].block == within && scene.verdict.faults[0].applied == 0.0);
    assert_true(scene.verdict.faults[0].updates == (double)scene.calls[3]);
    scene_close(&scene);
}

static void failures_are_taken_into_account(void **state) {
    struct scene scene;
    (void)state;
    scene_open(&scene, "rows-failures/", 0); /* the first push of worker 0 was not made */
    struct load_process *process = &scene.share->process[1];
    const uint64_t number = first_push(&scene, 0), rows = rows_in(&scene, 0, number);
    uint64_t ids[BATCH];
    load_rows_draw(&scene.plan, 0, number, ids);
    process->failures[process->failure_count++] = (struct load_failure){
        .worker = 0, .number = number, .tensor = LOAD_EVERY_TENSOR, .blocks = UINT64_MAX, .certain = true};
    scene_judge(&scene);
    assert_true(load_verdict_good(&scene.verdict));
    /* Nobody knows: those rows are not judged, and it is not good. */
    process->failures[0].certain = false;
    scene_judge(&scene);
    assert_int_equal(scene.verdict.wrong, 0);
    assert_int_equal(scene.verdict.undecided, rows);
    assert_false(load_verdict_good(&scene.verdict));
    /* One of its rows was refused: it is short of the others only. */
    process->failures[0] =
        (struct load_failure){.worker = 0, .number = number, .first = ids[0], .blocks = 1, .certain = true};
    scene_judge(&scene);
    assert_int_equal(scene.verdict.wrong, rows - 1);
    process->failures_lost = true;
    assert_int_not_equal(load_verify(&scene.plan, scene.share, &scene.link, &scene.verdict), CANYON_OK);
    assert_false(load_verdict_good(&scene.verdict));
    scene_close(&scene);
}

/* What is kept of a push whose rows were refused: each of them, where the answer names them all. */
static void refused_rows_are_remembered(void **state) {
    const struct load_plan plan = {.table = true, .batch = BATCH, .dim = DIM, .processes = 2};
    struct load_process *counts = calloc(1, sizeof *counts);
    struct load_calls calls = {.plan = &plan, .counts = counts, .process = 1};
    struct load_place place = {.calls = &calls, .worker = 3, .call = {.number = 12}};
    (void)state;
    assert_non_null(counts);
    const struct load_failure failure = {.worker = load_place_worker(&place), .number = 12, .blocks = UINT64_MAX};
    struct load_failure given = failure;
    assert_int_equal(failure.worker, 7);
    place.batch = (struct canyon_batch){.rows = 20, .refused = 3, .refused_ids = {11, 22, 33}};
    load_batch_remember(&place, &given);
    assert_int_equal(counts->failure_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        const struct load_failure *kept = &counts->failures[i];
        assert_true(kept->certain && kept->worker == 7 && kept->number == 12 && kept->blocks == 1);
        assert_int_equal(kept->first, 11 * (i + 1));
    }
    given = failure;
    place.batch.refused = 20; /* all */
    load_batch_remember(&place, &given);
    assert_int_equal(counts->failure_count, 4);
    assert_true(counts->failures[3].certain && counts->failures[3].blocks == UINT64_MAX);
    given = failure;
    place.batch.refused = CANYON_BATCH_REFUSED + 1; /* some that are not named */
    load_batch_remember(&place, &given);
    assert_int_equal(counts->failure_count, 5);
    assert_true(!counts->failures[4].certain && counts->failures[4].blocks == UINT64_MAX);
    free(counts);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_and_ranks_go_both_ways),
        cmocka_unit_test(gradients_are_their_definition),
        cmocka_unit_test(draws_do_not_depend_on_the_batch),
        cmocka_unit_test(torn_rows_are_seen),
        cmocka_unit_test(pushes_end_before_sums_become_inexact),
        cmocka_unit_test(what_was_pushed_once_is_good),
        cmocka_unit_test(a_lost_push_is_found),
        cmocka_unit_test(a_doubled_push_is_found),
        cmocka_unit_test(strange_and_missing_rows_are_found),
        cmocka_unit_test(failures_are_taken_into_account),
        cmocka_unit_test(refused_rows_are_remembered),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
