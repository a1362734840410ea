/* A connection that ends at any byte of a frame with several tensors' pieces, in several shards, or of its answer. */
#include "tests/faults/cutting.h"

static void encrypted(void **state) {
    (void)state;
    cutting_case(SUBJECT_STEP, 3, false, false, SUBJECT_TENSORS);
}

static void plaintext_with_weights(void **state) {
    (void)state;
    cutting_case(SUBJECT_STEP, 3, true, true, SUBJECT_TENSORS);
}

int main(void) {
    const struct CMUnitTest tests[] = {routes_test(encrypted), routes_test(plaintext_with_weights)};
    return cmocka_run_group_tests_name("cut_step", tests, NULL, NULL);
}
