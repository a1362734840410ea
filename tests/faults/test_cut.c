/* A connection that ends at any byte of a push or of its answer: the caller does not notice, and each block has the
 * push once.
 *
 * sgd with lr=1 and gradients of 1: the negated weight counts the pushes that were applied. */
#include "tests/faults/cutting.h"

#define BLOCK 1024u
#define MOST  (2 * BLOCK) /* elements */

static void every_byte_of_a_small_push(void **state) {
    (void)state;
    static struct cutting cutting;
    for (int reset = 0; reset < 2; reset++) {
        const enum cutting_end end = reset ? CUTTING_RST : CUTTING_FIN;
        cutting_start(&cutting, SUBJECT_VECTOR, 6, false, false);
        uint64_t bytes = cutting_everywhere(&cutting, PROXY_UP, end, 1);
        print_message("a push of 6 elements is %llu bytes; of %u cut ones %llu had arrived\n",
                      (unsigned long long)bytes, cutting.pushes - 1, (unsigned long long)cutting.duplicates);
        check(bytes >= 6 * sizeof(float) && bytes < 4096);
        /* Without its last byte none has arrived. */
        check(cutting.duplicates <= 1 && cutting.pushes >= bytes);
        bytes = cutting_everywhere(&cutting, PROXY_DOWN, end, 1);
        print_message("its answer is %llu bytes; of %u cut ones %llu had arrived\n", (unsigned long long)bytes,
                      cutting.pushes - 1, (unsigned long long)cutting.duplicates);
        check(cutting.duplicates >= bytes - 1 && cutting.duplicates <= cutting.pushes);
        cutting_stop(&cutting);
    }
}

/* Also: what a push receives that had counted before are the weights of now. */
static void every_byte_in_plaintext(void **state) {
    (void)state;
    cutting_case(SUBJECT_VECTOR, 6, true, true, 1);
}

static void strides_of_a_push_of_two_blocks(void **state) {
    (void)state;
    static struct cutting cutting;
    cutting_start(&cutting, SUBJECT_VECTOR, MOST, false, false);
    uint64_t bytes = cutting_everywhere(&cutting, PROXY_UP, CUTTING_FIN, 61);
    check(bytes > MOST * sizeof(float) - 61 && cutting.pushes > MOST * sizeof(float) / 61);
    cutting_everywhere(&cutting, PROXY_UP, CUTTING_RST, 211);
    cutting_stop(&cutting);
}

/* The connection was dead before the push began. */
static void before_the_first_byte(void **state) {
    (void)state;
    static struct cutting cutting;
    cutting_start(&cutting, SUBJECT_VECTOR, 6, false, false);
    cutting_push(&cutting, PROXY_UP, 0, false);
    cutting_push(&cutting, PROXY_DOWN, 0, true);
    cutting_stop(&cutting);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        routes_test(every_byte_of_a_small_push),
        routes_test(every_byte_in_plaintext),
        routes_test(strides_of_a_push_of_two_blocks),
        routes_test(before_the_first_byte),
    };
    return cmocka_run_group_tests_name("cut", tests, NULL, NULL);
}
