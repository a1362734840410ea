/* Every optimizer against PyTorch: the same gradients, then |ours - PyTorch's| <= 2e-6 * max(1, |PyTorch's|) at each
 * recorded step. optimizers.txt and the gradients' generator are described in make_golden.py. */
#include "tests/golden/lines.h"

#include <math.h>

#include "server/optimizers/optimizer.h"
#include "tests/golden/gradients.h"

#define ELEMENTS  20
#define STEPS     300
#define TOLERANCE 2e-6

/* One block under one optimizer. */
struct run {
    const struct optimizer *optimizer;
    char title[64];
    struct generator generator;
    double hyper[OPTIMIZER_HYPERPARAMETERS];
    double scalars[OPTIMIZER_SCALARS];
    float weights[ELEMENTS];
    float slots[OPTIMIZER_SLOTS][ELEMENTS];
    uint64_t step;
    double worst;
    bool left_out[ELEMENTS]; /* PyTorch's weight or state was not finite at an earlier step */
};

static void run_begin(struct run *run, const struct lines *lines, uint64_t seed) {
    assert_int_equal(lines->count, 3);
    *run = (struct run){.optimizer = optimizer_find(lines->words[1]), .generator = {seed}};
    if (run->optimizer == NULL)
        fail_msg("there is no optimizer %s", lines->words[1]);
    snprintf(run->title, sizeof run->title, "%s %s", lines->words[1], lines->words[2]);
    for (size_t i = 0; i < run->optimizer->hyperparameter_count; i++)
        run->hyper[i] = run->optimizer->hyperparameters[i].fallback;
    for (size_t i = 0; i < ELEMENTS; i++)
        run->weights[i] = (float)generator_number(&run->generator);
}

static void run_set(struct run *run, const struct lines *lines) {
    const size_t index = optimizer_hyperparameter_index(run->optimizer, lines->words[1]);
    const double value = lines_double(lines, 2);
    if (index == run->optimizer->hyperparameter_count)
        fail_msg("%s: no hyperparameter %s", run->title, lines->words[1]);
    if (!optimizer_hyperparameter_valid(&run->optimizer->hyperparameters[index], value))
        fail_msg("%s: %s = %g is out of range", run->title, lines->words[1], value);
    run->hyper[index] = value;
}

/* State as the shard makes it; after all settings are known. */
static void run_first_state(struct run *run) {
    const struct optimizer *optimizer = run->optimizer;
    for (size_t s = 0; s < optimizer->slot_count; s++) {
        const float value = optimizer->slot_initial == NULL ? 0.0f : optimizer->slot_initial(run->hyper, s);
        for (size_t i = 0; i < ELEMENTS; i++)
            run->slots[s][i] = value;
    }
    memcpy(run->scalars, optimizer->scalar_initial, sizeof run->scalars);
}

static void run_step(struct run *run) {
    float gradients[ELEMENTS], prepared[OPTIMIZER_PREPARED];
    float *slots[OPTIMIZER_SLOTS];
    for (size_t i = 0; i < ELEMENTS; i++)
        gradients[i] = generator_gradient(&run->generator, i);
    for (size_t s = 0; s < OPTIMIZER_SLOTS; s++)
        slots[s] = run->slots[s];
    if (run->step == 0)
        run_first_state(run);
    run->step++;
    run->optimizer->prepare(run->hyper, run->step, run->scalars, prepared);
    (void)optimizer_apply(run->optimizer, prepared, ELEMENTS, gradients, run->weights, slots);
}

static void run_compare(struct run *run, const struct lines *lines) {
    assert_int_equal(lines->count, 2 + ELEMENTS);
    const uint64_t step = lines_number(lines, 1);
    assert_true(step > run->step);
    while (run->step < step)
        run_step(run);
    for (size_t i = 0; i < ELEMENTS; i++) {
        const char *word = lines->words[2 + i];
        if (!run->left_out[i] && (strcmp(word, "weight") == 0 || strcmp(word, "state") == 0)) {
            printf("%-28s from step %d or before, element %zu is left out: PyTorch's %s is not finite\n", run->title,
                   (int)step, i, word);
            run->left_out[i] = true;
        }
        if (run->left_out[i])
            continue;
        const double theirs = lines_double(lines, 2 + i), ours = (double)run->weights[i];
        const double error = fabs(ours - theirs) / fmax(1.0, fabs(theirs));
        if (!(error <= TOLERANCE))
            fail_msg("%s: step %d, element %zu is %.9g, PyTorch has %.9g (%.2g)", run->title, (int)step, i, ours,
                     theirs, error);
        run->worst = fmax(run->worst, error);
    }
}

static void all_cases_match_pytorch(void **state) {
    (void)state;
    struct lines lines;
    struct run run = {.optimizer = NULL};
    uint64_t cases = 0;
    size_t seen = 0;
    lines_open(&lines, CANYON_SOURCE_DIR "/tests/golden/optimizers.txt");
    while (lines_next(&lines)) {
        if (lines_is(&lines, "case")) {
            run_begin(&run, &lines, ++cases);
            seen += strcmp(lines.words[2], "defaults") == 0;
        } else if (lines_is(&lines, "set")) {
            run_set(&run, &lines);
        } else if (lines_is(&lines, "step")) {
            run_compare(&run, &lines);
        } else {
            assert_true(lines_is(&lines, "end"));
            assert_true(run.step == STEPS);
            printf("%-28s %3d steps, largest error %.2g\n", run.title, (int)run.step, run.worst);
        }
    }
    lines_close(&lines);
    assert_int_equal(seen, 13);
    assert_true(cases >= 120);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_cases_match_pytorch),
    };
    return cmocka_run_group_tests_name("golden optimizers", tests, NULL, NULL);
}
