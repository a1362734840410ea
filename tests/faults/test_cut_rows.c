/* A connection that ends at any byte of a push of rows in several shards, or of its answer. */
#include "tests/faults/cutting.h"

#define ROWS 6u
#define RUNS 2u /* at least: ids fall into shards by the table's own hash */

static void encrypted_with_weights(void **state) {
    (void)state;
    cutting_case(SUBJECT_ROWS, ROWS, false, true, RUNS);
}

static void plaintext(void **state) {
    (void)state;
    cutting_case(SUBJECT_ROWS, ROWS, true, false, RUNS);
}

int main(void) {
    const struct CMUnitTest tests[] = {routes_test(encrypted_with_weights), routes_test(plaintext)};
    return cmocka_run_group_tests_name("cut_rows", tests, NULL, NULL);
}
