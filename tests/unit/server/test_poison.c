/* Gradients of which some are poisoned: whatever the optimizer and the policy, no weight and no slot ever holds NaN or
 * infinity, and what is refused changes nothing. CANYON_PUSHES says how many pushes (20,000 without). */
#include "tests/unit/server/fixture.h"

#include <float.h>
#include <math.h>

#include "server/dense.h"
#include "server/optimizers/optimizer.h"

#define ELEMENTS 64

static struct job job;
static uint64_t seed;

static uint64_t pushes_wanted(void) {
    const char *given = getenv("CANYON_PUSHES");
    return given != NULL ? strtoull(given, NULL, 10) : 20000;
}

/* One in a hundred is NaN, infinite, at the end of the range, or denormal. */
static void fill(float *gradient) {
    static const float poisons[] = {(float)NAN, (float)INFINITY, (float)-INFINITY, FLT_MAX,
                                    -FLT_MAX,   1e30f,           FLT_MIN / 2.0f,   -FLT_TRUE_MIN};
    fixture_fill(&seed, gradient, ELEMENTS);
    if (seed_below(&seed, 100) == 0) {
        for (uint64_t times = 1 + seed_below(&seed, 4); times > 0; times--) {
            gradient[seed_below(&seed, ELEMENTS)] = poisons[seed_below(&seed, sizeof poisons / sizeof poisons[0])];
        }
    }
}

static void all_finite(const struct dense *part) {
    assert_int_equal(optimizer_first_not_finite(dense_weights(part, 0), ELEMENTS), ELEMENTS);
    for (size_t slot = 0; slot < part->optimizer->slot_count; slot++) {
        if (optimizer_first_not_finite(dense_slot(part, 0, slot), ELEMENTS) != ELEMENTS) {
            fail_msg("%s: slot %s holds what is not finite", part->optimizer->name, part->optimizer->slots[slot]);
        }
    }
    for (size_t i = 0; i < part->optimizer->scalar_count; i++) {
        assert_true(isfinite(part->blocks[0].scalars[i]));
    }
}

/* The part beside the shard takes what the shard took; both must agree, so its slots, which the shard does not show,
 * are the shard's. */
static void push_many(const char *optimizer, uint64_t pushes) {
    struct tensor_spec spec = fixture_spec("w", ELEMENTS, optimizer);
    uint32_t index = job_shard_of(&job, job_home("w"), 0);
    struct shard *shard = shard_create(&job, index);
    struct dense *part = dense_create(&job, index, 1, &spec, NULL);
    struct command define = {.kind = COMMAND_DEFINE, .tensor = 1, .spec = &spec};
    struct shard_reply reply;
    uint64_t refused = 0;
    assert_non_null(shard);
    assert_non_null(part);
    assert_int_equal(shard_apply(shard, &define, &reply, NULL), CANYON_OK);
    for (uint64_t i = 0; i < pushes; i++) {
        float gradient[ELEMENTS];
        struct command push = {.kind = COMMAND_PUSH, .tensor = 1, .version = i, .values = gradient, .count = ELEMENTS};
        fill(gradient);
        enum canyon_status status = shard_apply(shard, &push, &reply, NULL);
        bool finite = optimizer_first_not_finite(gradient, ELEMENTS) == ELEMENTS;
        if (status == CANYON_OK) {
            dense_push(part, 0, gradient, 0);
            all_finite(part);
            assert_memory_equal(reply.weights, dense_weights(part, 0), ELEMENTS * sizeof(float));
        } else {
            assert_int_equal(status, CANYON_NOT_FINITE);
            assert_false(finite);
            refused++;
        }
    }
    assert_int_equal(refused + shard_sequence(shard), pushes + 1);
    assert_true(pushes < 5000 || refused > 0 || part->nonfinite != NONFINITE_REFUSE);
    dense_destroy(part);
    shard_destroy(shard);
}

static void nothing_that_is_not_finite_stays(void **state) {
    (void)state;
    static const char *const policies[] = {"refuse", "skip", "clip"};
    uint64_t pushes = pushes_wanted(), runs = 0, total = 0;
    seed = seed_begin("nothing_that_is_not_finite_stays");
    job = fixture_job(1, 4, LIMIT_BLOCK_LOW);
    for (size_t o = 0; o < optimizer_count(); o++) {
        runs += optimizer_at(o)->rows_only ? 0 : 3;
    }
    for (size_t o = 0; o < optimizer_count(); o++) {
        for (size_t p = 0; p < 3 && !optimizer_at(o)->rows_only; p++) {
            char text[96];
            snprintf(text, sizeof text, "%s:nonfinite=%s", optimizer_at(o)->name, policies[p]);
            push_many(text, pushes / runs + 1);
            total += pushes / runs + 1;
        }
    }
    printf("%" PRIu64 " pushes of %d elements, %zu optimizers\n", total, ELEMENTS, optimizer_count());
    job_finish(&job);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_that_is_not_finite_stays)};
    optimizer_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
