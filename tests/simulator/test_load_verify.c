/* What verifying promises: sums that follow from counts alone, and that every way of breaking them is found. The pushes
 * here are made by hand through the public API, so that what was applied is known whatever the load's code thinks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/simulator/counter.h"
#include "client/simulator/load_gradient.h"
#include "client/simulator/load_link.h"
#include "client/simulator/load_share.h"
#include "client/simulator/load_verify.h"
#include "client/simulator/news.h"
#include "servers.h"

#define ELEMENTS 5000 /* blocks of 1,024: five, the last one short */
#define BLOCKS   5
#define TENSORS  2
#define WORKERS  3
#define CALLS    4 /* of each worker */

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
static unsigned class_of(uint32_t tensor, uint64_t element) {
    uint64_t group = element / 16, bits = counter_bits(0x706c616365, tensor, group / 16);
    return (unsigned)(((bits >> (4 * (group % 16))) & 15) + element % 16) % 16;
}

/* ---- gradients ---- */

static void values_are_small_whole_and_follow_from_their_names(void **state) {
    unsigned counts[LOAD_VALUE_HIGH + 1] = {0}, equal = 0;
    (void)state;
    for (uint64_t n = 0; n < 1000; n++) {
        uint8_t values[LOAD_CLASSES], same[LOAD_CLASSES], other[LOAD_CLASSES];
        load_values(7, 3, n, values);
        load_values(7, 3, n, same);
        load_values(7, 4, n, other);
        assert_memory_equal(values, same, sizeof values);
        equal += memcmp(values, other, sizeof values) == 0;
        for (unsigned c = 0; c < LOAD_CLASSES; c++) {
            assert_in_range(values[c], 1, LOAD_VALUE_HIGH);
            counts[values[c]]++;
        }
    }
    assert_int_equal(equal, 0);
    for (unsigned v = 1; v <= LOAD_VALUE_HIGH; v++) {
        assert_true(counts[v] > 4000);
    }
    assert_true(LOAD_PUSHES_HIGH * LOAD_VALUE_HIGH < (1u << 24));
    assert_true((float)((1 << 24) - 1) + 1.0f == 16777216.0f && 16777216.0f + 1.0f == 16777216.0f);
}

static void a_gradient_is_its_values_by_class(void **state) {
    uint8_t values[LOAD_CLASSES];
    static float gradient[ELEMENTS];
    unsigned firsts[LOAD_CLASSES] = {0};
    (void)state;
    load_values(1, 2, 3, values);
    load_gradient_fill(values, 1, ELEMENTS, gradient);
    for (uint64_t e = 0; e < ELEMENTS; e++) {
        unsigned class = load_element_class(1, e);
        assert_int_equal(class, class_of(1, e));
        assert_true(gradient[e] == (float)values[class]);
    }
    for (uint64_t e = 0; e < 16000; e += 16) {
        firsts[load_element_class(0, e)]++;
    }
    for (unsigned c = 0; c < LOAD_CLASSES; c++) {
        assert_true(firsts[c] > 20); /* 62.5 are to be expected */
    }
}

static void torn_blocks_are_seen(void **state) {
    uint8_t values[LOAD_CLASSES];
    static float weights[2000];
    const uint64_t first = 1500; /* blocks need not begin with 16 of a kind */
    (void)state;
    for (size_t i = 0; i < 2000; i++) {
        weights[i] = 0.0f;
    }
    assert_true(load_weights_whole(4, first, 2000, weights));
    load_values(1, 1, 1, values);
    for (size_t i = 0; i < 2000; i++) {
        weights[i] -= (float)values[load_element_class(4, first + i)];
    }
    assert_true(load_weights_whole(4, first, 2000, weights));
    for (size_t torn = 17; torn < 2000; torn += 331) { /* another update has reached the rest of the block only */
        float kept[2000];
        memcpy(kept, weights, sizeof kept);
        for (size_t i = torn; i < 2000; i++) {
            weights[i] -= (float)values[load_element_class(4, first + i)];
        }
        assert_false(load_weights_whole(4, first, 2000, weights));
        memcpy(weights, kept, sizeof kept);
    }
    float kept = weights[1999];
    weights[1999] = kept - 0.5f;
    assert_false(load_weights_whole(4, first, 2000, weights));
    weights[0] = 1.0f; /* gradients are positive, weights are not */
    assert_false(load_weights_whole(4, first, 1, weights));
    weights[0] = (float)strtod("nan", NULL);
    assert_false(load_weights_whole(4, first, 1, weights));
}

/* ---- the budget ---- */

static void pushes_end_before_sums_become_inexact(void **state) {
    const struct load_plan plan = {.processes = 1, .pace = {.workers = 1}};
    struct load_share *share = load_share_create(&plan);
    (void)state;
    assert_non_null(share);
    atomic_store(&share->end, UINT64_MAX);
    assert_true(load_share_take_push(share));
    assert_int_equal(atomic_load(&share->pushes), 1);
    atomic_store(&share->pushes, LOAD_PUSHES_HIGH - 1);
    assert_true(load_share_take_push(share));
    assert_int_equal(atomic_load(&share->exhausted), 0);
    assert_false(load_share_take_push(share));
    assert_int_equal(atomic_load(&share->exhausted), 1);
    assert_true(atomic_load(&share->end) <= news_clock());
    load_share_end_by(share, UINT64_MAX); /* it never ends later again */
    assert_true(atomic_load(&share->end) <= news_clock());
    load_share_destroy(share);
}

/* ---- verdicts ---- */

struct scene {
    struct load_plan plan;
    struct load_share *share;
    struct load_link link;
    struct load_verdict verdict;
};

/* Pushes call `number` of `worker` to one tensor, by the definition. */
static void push(struct scene *scene, uint32_t worker, uint64_t number, uint32_t tensor) {
    static float gradient[ELEMENTS];
    uint8_t values[LOAD_CLASSES];
    load_values(scene->plan.seed, worker, number, values);
    for (uint64_t e = 0; e < ELEMENTS; e++) {
        gradient[e] = (float)values[class_of(tensor, e)];
    }
    assert_int_equal(canyon_push(scene->link.tensors[tensor], gradient, 0), CANYON_OK);
}

/* Three workers whose calls were all applied, as far as `missing` (worker, number and tensor) allows. */
static void scene_open(struct scene *scene, const char *prefix, int missing) {
    memset(scene, 0, sizeof *scene);
    scene->plan = (struct load_plan){.pace = {.workers = WORKERS, .in_flight = 1, .seed = 5, .mix = {40, 30, 30}},
                                     .servers = local_servers(local),
                                     .prefix = prefix,
                                     .optimizer = "sgd:lr=1",
                                     .codec = "f32",
                                     .processes = 2,
                                     .clients = 1,
                                     .tensors = TENSORS,
                                     .elements = ELEMENTS,
                                     .seed = 5,
                                     .timeout_ms = 10000,
                                     .verify = true};
    scene->share = load_share_create(&scene->plan);
    assert_non_null(scene->share);
    assert_int_equal(load_link_open(&scene->link, &scene->plan, 1, NULL, "test"), CANYON_OK);
    int at = 0;
    for (uint32_t worker = 0; worker < WORKERS; worker++) {
        scene->share->begun[worker] = CALLS;
        for (uint64_t number = 0; number < CALLS; number++) {
            bool pushes = load_kind_pushes(load_pace_kind(&scene->plan.pace, worker, number));
            for (uint32_t t = 0; pushes && t < TENSORS; t++, at++) {
                if (at != missing) {
                    push(scene, worker, number, t);
                }
            }
        }
    }
}

static void scene_judge(struct scene *scene) {
    assert_int_equal(load_verify(&scene->plan, scene->share, &scene->link, &scene->verdict), CANYON_OK);
    assert_true(scene->verdict.done);
    assert_int_equal(scene->verdict.blocks, TENSORS * BLOCKS);
}

static void scene_close(struct scene *scene) {
    assert_int_equal(load_link_drop(&scene->link), CANYON_OK);
    load_link_close(&scene->link);
    load_share_destroy(scene->share);
}

/* A worker and a number whose call pushes (or pulls only). */
static uint64_t call_that(const struct scene *scene, uint32_t worker, bool pushes) {
    uint64_t number = 0;
    while (load_kind_pushes(load_pace_kind(&scene->plan.pace, worker, number)) != pushes) {
        number++;
    }
    return number;
}

static void what_was_pushed_once_is_good(void **state) {
    struct scene scene;
    (void)state;
    scene_open(&scene, "good/", -1);
    scene_judge(&scene);
    assert_true(load_verdict_good(&scene.verdict));
    load_count(&scene.share->process[1], LOAD_TORN, 1);
    scene_judge(&scene);
    assert_false(load_verdict_good(&scene.verdict));
    scene_close(&scene);
}

static void a_lost_push_is_found(void **state) {
    struct scene scene;
    (void)state;
    scene_open(&scene, "lost/", 3); /* the second tensor of the second push */
    scene_judge(&scene);
    assert_false(load_verdict_good(&scene.verdict));
    assert_int_equal(scene.verdict.wrong, BLOCKS);
    for (uint64_t b = 0; b < BLOCKS; b++) {
        const struct load_fault *fault = &scene.verdict.faults[b];
        assert_int_equal(fault->tensor, 1);
        assert_int_equal(fault->block, b);
        assert_int_equal(fault->element, b * 1024);
        assert_int_equal(fault->wrong, b == 4 ? ELEMENTS - 4 * 1024 : 1024); /* every element of it */
        assert_true(fault->found > fault->expected && fault->found <= fault->expected + 3.0);
        assert_true(fault->applied == fault->updates - 1.0);
    }
    scene_close(&scene);
}

static void a_doubled_push_is_found(void **state) {
    struct scene scene;
    (void)state;
    scene_open(&scene, "doubled/", -1);
    push(&scene, 2, call_that(&scene, 2, true), 0);
    scene_judge(&scene);
    assert_int_equal(scene.verdict.wrong, BLOCKS);
    assert_int_equal(scene.verdict.faults[0].tensor, 0);
    assert_true(scene.verdict.faults[0].found < scene.verdict.faults[0].expected);
    assert_true(scene.verdict.faults[0].applied == scene.verdict.faults[0].updates + 1.0);
    scene_close(&scene);
}

/* As many pushes as there should be, but one of them twice and another not at all. */
static void a_lost_and_a_doubled_push_do_not_make_good(void **state) {
    struct scene scene;
    (void)state;
    scene_open(&scene, "both/", 0);
    push(&scene, 2, call_that(&scene, 2, true), 0);
    scene_judge(&scene);
    assert_int_equal(scene.verdict.wrong, BLOCKS);
    assert_true(scene.verdict.faults[0].applied == scene.verdict.faults[0].updates);
    scene_close(&scene);
}

/* One block's gradient in another one's place: the sums of all blocks together are as they should be. */
static void a_misplaced_block_is_found(void **state) {
    struct scene scene;
    static float weights[ELEMENTS], swapped[ELEMENTS];
    (void)state;
    scene_open(&scene, "misplaced/", -1);
    assert_int_equal(canyon_pull(scene.link.tensors[0], weights, 0), CANYON_OK);
    memcpy(swapped, weights, sizeof weights);
    memcpy(swapped, weights + 1024, 1024 * sizeof *weights);
    memcpy(swapped + 1024, weights, 1024 * sizeof *weights);
    assert_int_equal(canyon_assign(scene.link.tensors[0], swapped, 0), CANYON_OK);
    scene_judge(&scene);
    assert_int_equal(scene.verdict.wrong, 2);
    weights[ELEMENTS - 1] += 1.0f; /* and a single element, the last */
    assert_int_equal(canyon_assign(scene.link.tensors[0], weights, 0), CANYON_OK);
    scene_judge(&scene);
    assert_int_equal(scene.verdict.wrong, 1);
    assert_int_equal(scene.verdict.faults[0].element, ELEMENTS - 1);
    assert_int_equal(scene.verdict.faults[0].wrong, 1);
    scene_close(&scene);
}

static void failures_are_taken_into_account(void **state) {
    struct scene scene;
    (void)state;
    scene_open(&scene, "failures/", 1); /* the first push never reached tensor 1 */
    struct load_process *process = &scene.share->process[0];
    uint64_t number = call_that(&scene, 0, true);
    /* It is known to have been refused there: good again. */
    process->failures[process->failure_count++] =
        (struct load_failure){.worker = 0, .number = number, .tensor = 1, .blocks = UINT64_MAX, .certain = true};
    scene_judge(&scene);
    assert_true(load_verdict_good(&scene.verdict));
    /* Refused by one block only: the other four are short of it. */
    process->failures[0].first = 2;
    process->failures[0].blocks = 1;
    scene_judge(&scene);
    assert_int_equal(scene.verdict.wrong, BLOCKS - 1);
    /* Nobody knows: those blocks are not judged, and it is not good. */
    process->failures[0] = (struct load_failure){.worker = 0, .number = number, .tensor = 1, .blocks = UINT64_MAX};
    scene_judge(&scene);
    assert_int_equal(scene.verdict.wrong, 0);
    assert_int_equal(scene.verdict.undecided, BLOCKS);
    assert_false(load_verdict_good(&scene.verdict));
    process->failures[0].tensor = LOAD_EVERY_TENSOR;
    scene_judge(&scene);
    assert_int_equal(scene.verdict.undecided, TENSORS * BLOCKS);
    /* More failures than were kept: no verdict at all. */
    process->failures_lost = true;
    assert_int_not_equal(load_verify(&scene.plan, scene.share, &scene.link, &scene.verdict), CANYON_OK);
    assert_false(load_verdict_good(&scene.verdict));
    scene_close(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_small_whole_and_follow_from_their_names),
        cmocka_unit_test(a_gradient_is_its_values_by_class),
        cmocka_unit_test(torn_blocks_are_seen),
        cmocka_unit_test(pushes_end_before_sums_become_inexact),
        cmocka_unit_test(what_was_pushed_once_is_good),
        cmocka_unit_test(a_lost_push_is_found),
        cmocka_unit_test(a_doubled_push_is_found),
        cmocka_unit_test(a_lost_and_a_doubled_push_do_not_make_good),
        cmocka_unit_test(a_misplaced_block_is_found),
        cmocka_unit_test(failures_are_taken_into_account),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
