/* The promise of canyon-sim embed: what four workers learn from WordNet's glosses, beside one process. */
#include "program.h"

#include <jansson.h>

#define GLOSSES          "/usr/share/wordnet/data.noun"
#define LEARNING_SECONDS 300 /* that four workers may take on two processors; a third of it is usual */
#define NOT_TESTED       77  /* exit code, which ctest reports as a test that was skipped */

/* A table's worth of numbers from one run's JSON. */
static double run(const char *const *words, double *seconds) {
    struct program program;
    json_error_t error;
    program_start(&program, NULL, words);
    program_wait(&program, 1500);
    if (program.code != 0) {
        fail_msg("exit code %d; it said:\n%s%s", program.code, program.said, program.told);
    }
    json_t *object = json_loads(program.said, 0, &error);
    assert_non_null(object);
    double area = json_number_value(json_object_get(object, "auc"));
    *seconds = json_number_value(json_object_get(object, "seconds"));
    json_decref(object);
    program_finish(&program);
    return area;
}

static void four_workers_learn_as_well_as_one_process(void **state) {
    double seconds = 0.0, single_seconds = 0.0;
    (void)state;
    double area = run(WORDS("embed", "--local", "2", "--workers", "4", "--json"), &seconds);
    double single = run(WORDS("embed", "--single", "--json"), &single_seconds);
    print_message("AUC %.4f by four workers in %.0f s, %.4f by one process in %.0f s\n", area, seconds, single,
                  single_seconds);
    assert_true(area >= 0.75);
    assert_true(area >= single - 0.02);
    assert_true(seconds > 0 && seconds <= LEARNING_SECONDS);
}

int main(void) {
    if (access(GLOSSES, R_OK) != 0) {
        printf("SKIPPED: there is no " GLOSSES " (Debian: wordnet-base), so no vectors were learnt from glosses\n");
        return NOT_TESTED;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_workers_learn_as_well_as_one_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
