/* A table's life with every allocation failing once: the command that met it is refused with NO_MEMORY and has changed
 * nothing; done again it is done, and the state is the same as if memory had never been short. */
#include "tests/allocation/fail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/job.h"
#include "server/optimizers/optimizer.h"
#include "server/shard.h"

#define ID     7
#define BATCH  700
#define DIM    20
#define CLOSES 16 /* the step that closes a clock */

static struct job job = {.name = "job", .shards = 1, .block = 1024, .server_count = 1};
static struct tensor_spec spec;
static uint8_t expected[HASH_BYTES];
static unsigned spared; /* allocations that a closing clock did without */
static uint64_t ids[BATCH];
static float values[BATCH * DIM], out[BATCH * DIM];

/* One step of the scenario, which may be refused once. */
static enum canyon_status step(struct shard *shard, unsigned number, struct error *error) {
    struct command command = {.kind = COMMAND_TABLE_PUSH,
                              .tensor = ID,
                              .spec = &spec,
                              .ids = ids,
                              .rows = BATCH,
                              .values = values,
                              .count = BATCH * DIM,
                              .clock = number,
                              .out = out};
    struct shard_reply reply;
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < BATCH; i++) {
        /* New rows, old ones, and some twice. */
        ids[i] = (number % 2 == 0 ? i : i / 2) + 300 * number;
    }
    switch (number) {
    case 0:
        command.kind = COMMAND_DEFINE;
        return shard_apply(shard, &command, &reply, error);
    case 3: { /* reserved first */
        enum canyon_status status = shard_reserve(shard, &command, error);
        return status == CANYON_OK ? shard_apply(shard, &command, &reply, error) : status;
    }
    case 4:
        command.kind = COMMAND_TABLE_TOUCH;
        return shard_apply(shard, &command, &reply, error);
    case 5:
        return shard_pull(shard, ID, ids, BATCH, out, error);
    case 6:
        command.kind = COMMAND_TABLE_ERASE;
        return shard_apply(shard, &command, &reply, error);
    case 7:
        return shard_growth(shard, &command, true, &bytes, error);
    case 12:
    case 17:
        command = (struct command){
            .kind = COMMAND_CONSISTENCY,
            .clock = number == 12 ? 13 : 18,
            .turns = number == 17,
            .mode = {.mode = CONSISTENCY_SYNC, .order = number == 12 ? CONSISTENCY_RANK : CONSISTENCY_ARRIVAL}};
        return shard_apply(shard, &command, &reply, error);
    case 13:
    case 14:
    case 15:
    case 18:
    case 19: { /* kept until a clock is closed, the second time reserved first */
        command.kind = COMMAND_TABLE_CONTRIBUTE;
        command.clock = number < 16 ? 13 : 18;
        command.rank = 20 - number;
        enum canyon_status status = number % 5 == 4 ? shard_reserve(shard, &command, error) : CANYON_OK;
        return status == CANYON_OK ? shard_apply(shard, &command, &reply, error) : status;
    }
    case CLOSES: /* which asks for constants of its clock, and does without that memory */
    case 20:
        command = (struct command){.kind = COMMAND_CLOSE, .clock = number == CLOSES ? 17 : 18};
        return shard_apply(shard, &command, &reply, error);
    default:
        return shard_apply(shard, &command, &reply, error);
    }
}

static void life(size_t nth) {
    struct shard *shard = shard_create(&job, 0);
    uint8_t before[HASH_BYTES], after[HASH_BYTES];
    bool refused = false, closed = false;
    assert_non_null(shard);
    fail_begin(nth);
    for (unsigned number = 0; number < 21; number++) {
        struct error error = {.text = ""};
        shard_digest(shard, before);
        fail_arm();
        enum canyon_status status = step(shard, number, &error);
        fail_disarm();
        closed = closed || (fail_happened() && !refused && number == CLOSES);
        if (status != CANYON_OK) {
            if (refused || !fail_happened() || status != CANYON_NO_MEMORY || error.text[0] == '\0') {
                fail_msg("step %u: %s (%s)", number, error.text, fail_place());
            }
            refused = true;
            shard_release(shard);
            shard_digest(shard, after);
            assert_memory_equal(before, after, HASH_BYTES);
            assert_int_equal(step(shard, number, &error), CANYON_OK);
        }
    }
    spared += closed;
    if (fail_happened() && !refused && !closed) {
        fail_msg("nothing was refused: %s", fail_place());
    }
    shard_digest(shard, after);
    if (nth == SIZE_MAX) {
        memcpy(expected, after, HASH_BYTES);
    } else {
        assert_memory_equal(expected, after, HASH_BYTES);
    }
    shard_destroy(shard);
}

static void every_allocation_of_a_table(void **state) {
    (void)state;
    life(SIZE_MAX); /* nothing fails */
    fail_each("a table's life", life, 10000);
    assert_int_equal(spared, 1);
}

static int setup(void **state) {
    (void)state;
    struct error error = {.text = ""};
    optimizer_start();
    memset(&spec, 0, sizeof spec);
    snprintf(spec.name, sizeof spec.name, "t");
    spec.kind = TENSOR_TABLE;
    spec.shape = (struct shape){1, {DIM}};
    spec.initializer = (struct initializer){.kind = INITIALIZER_UNIFORM, .a = -1, .b = 1};
    for (size_t i = 0; i < BATCH * DIM; i++) {
        values[i] = (float)(i % 13) - 6.0f;
    }
    if (optimizer_spec_parse("nadam:nonfinite=skip,schedule=cosine,T_max=50", &spec.optimizer, &error) != CANYON_OK ||
        shard_canonical_spec(&spec, &error) != CANYON_OK) {
        fail_msg("%s", error.text);
    }
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_of_a_table),
    };
    return cmocka_run_group_tests_name("allocation table", tests, setup, NULL);
}
