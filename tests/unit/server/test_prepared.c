/* Prepared constants kept by step: the bits of prepare itself, whatever was kept before; and the workspace's sets. */
#include "tests/unit/server/fixture.h"

#include "server/prepared.h"
#include "server/workspace.h"

static void defaults(const struct optimizer *optimizer, double *hyper) {
    memset(hyper, 0, OPTIMIZER_HYPERPARAMETERS * sizeof *hyper);
    for (size_t i = 0; i < optimizer->hyperparameter_count; i++) {
        hyper[i] = optimizer->hyperparameters[i].fallback;
    }
}

static void what_is_kept_is_what_prepare_gives(void **state) {
    (void)state;
    uint64_t seed = seed_begin("what_is_kept_is_what_prepare_gives");
    struct prepared *prepared = aligned_alloc(64, sizeof *prepared);
    assert_non_null(prepared);
    for (size_t o = 0; o < optimizer_count(); o++) {
        const struct optimizer *optimizer = optimizer_at(o);
        double hyper[OPTIMIZER_HYPERPARAMETERS];
        defaults(optimizer, hyper);
        prepared_init(prepared, optimizer, hyper);
        for (unsigned i = 0; i < 5000; i++) {
            /* Few steps again and again, their remainders' rivals, and any; scalars that other settings left behind. */
            uint32_t step = (uint32_t)seed_below(&seed, 6) + 1;
            step += i % 3 == 0 ? PREPARED_STEPS : i % 7 == 0 ? (uint32_t)seed_below(&seed, UINT32_MAX - 10) : 0;
            double expected_scalars[OPTIMIZER_SCALARS], scalars[OPTIMIZER_SCALARS];
            float expected[OPTIMIZER_PREPARED] = {0};
            for (size_t k = 0; k < OPTIMIZER_SCALARS; k++) {
                scalars[k] = expected_scalars[k] = optimizer->scalar_initial[k] / (double)(1 + seed_below(&seed, 2));
            }
            optimizer->prepare(hyper, step, expected_scalars, expected);
            assert_memory_equal(prepared_at(prepared, step, scalars), expected, sizeof expected);
            assert_memory_equal(scalars, expected_scalars, optimizer->scalar_count * sizeof scalars[0]);
        }
    }
    free(prepared);
}

static void a_workspace_keeps_the_sets_used_last(void **state) {
    (void)state;
    static const uint8_t secret[ROWKEY_SECRET_BYTES];
    struct workspace *workspace = workspace_create(NULL, secret);
    const struct optimizer *adam = optimizer_find("adam"), *sgd = optimizer_find("sgd");
    struct prepared *first[WORKSPACE_PREPARED];
    double hyper[OPTIMIZER_HYPERPARAMETERS];
    assert_non_null(workspace);
    defaults(adam, hyper);
    for (size_t i = 0; i < WORKSPACE_PREPARED; i++) {
        hyper[0] = (double)(i + 1);
        first[i] = workspace_prepared(workspace, adam, hyper);
        for (size_t j = 0; j < i; j++) {
            assert_ptr_not_equal(first[i], first[j]);
        }
    }
    for (size_t i = WORKSPACE_PREPARED; i > 1; i--) {
        hyper[0] = (double)i;
        assert_ptr_equal(workspace_prepared(workspace, adam, hyper), first[i - 1]);
    }
    /* The one used longest ago, number 1, makes room; it is made anew. */
    defaults(sgd, hyper);
    assert_ptr_equal(workspace_prepared(workspace, sgd, hyper), first[0]);
    assert_ptr_equal(first[0]->optimizer, sgd);
    defaults(adam, hyper);
    hyper[0] = 1.0;
    assert_ptr_equal(workspace_prepared(workspace, adam, hyper), first[WORKSPACE_PREPARED - 1]);
    workspace_destroy(workspace);
    workspace_destroy(NULL);
}

static void scratch_room_grows(void **state) {
    (void)state;
    static const uint8_t secret[ROWKEY_SECRET_BYTES];
    struct workspace *workspace = workspace_create(NULL, secret);
    for (size_t rows = 1; rows <= LIMIT_BATCH_ROWS; rows = 3 * rows + 1) {
        assert_true(workspace_rows(workspace, rows) && workspace_floats(workspace, 2 * rows));
        struct workspace_scratch *scratch = &workspace->scratch;
        assert_true(scratch->rows >= rows && scratch->slots >= 2 * rows && scratch->floats >= 2 * rows);
        for (size_t i = 0; i < rows; i++) {
            scratch->keys[i] = scratch->ids[i] = scratch->made[i] = i;
            scratch->which[i] = 1;
            scratch->at[i] = (struct row_at){NULL, NULL};
            scratch->values[2 * i] = scratch->values[2 * i + 1] = 1.0f;
        }
        memset(scratch->table, 0, scratch->slots * sizeof *scratch->table);
        float *row = workspace_row(workspace, rows + 1);
        assert_non_null(row);
        row[rows] = 1.0f;
    }
    workspace_destroy(workspace);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_kept_is_what_prepare_gives),
        cmocka_unit_test(a_workspace_keeps_the_sets_used_last),
        cmocka_unit_test(scratch_room_grows),
    };
    return cmocka_run_group_tests_name("prepared", tests, NULL, NULL);
}
