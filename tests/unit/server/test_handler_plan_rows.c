/* Rows of tables at a handler whose job is synchronous: kept until their clock closes, counted, and built again. */
#include "tests/unit/server/clocks_fixture.h"

#include <math.h>

#define DIM 3

static struct batch batch;

/* Of shard 0's rows some, by a number of the session where it has one. */
static struct batch_reply give_rows(struct worker *worker, unsigned type, uint64_t table, uint64_t clock,
                                    uint64_t first, uint32_t rows, float gradient, uint64_t number) {
    struct client *client = shard_client(worker, 0);
    struct batch_reply answer;
    uint64_t ids[64];
    assert_true(rows <= 64);
    ids_in(&bench.job, "t", 0, first, rows, ids);
    one_run(&batch, type, table, DIM, 0, ids, rows, gradient);
    batch.message.clock = clock;
    batch.runs[0].number = number;
    take_batch(client, ask_batch(client, &batch), &batch, &answer);
    return answer;
}

static enum canyon_status push_rows(struct worker *worker, uint64_t table, uint64_t clock, uint64_t first,
                                    uint32_t rows, float gradient) {
    const struct batch_reply answer = give_rows(worker, FRAME_TABLE_PUSH, table, clock, first, rows, gradient, 0);
    free(answer.weights);
    return (enum canyon_status)answer.results[0].code;
}

static void rows_are_kept_until_their_clock_closes(void **state) {
    (void)state;
    const uint64_t table = worker_create_table(&anna, "t", DIM, "sgd:lr=1", 0).id;
    set_mode("sync", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    /* New rows are there at once, as they begin; the weights that come back are those of now. */
    struct batch_reply answer = give_rows(&anna, FRAME_TABLE_PUSH_PULL, table, 1, 0, 2, -1.0f, 0);
    assert_true(answer.results[0].code == CANYON_OK && answer.results[0].rows == 2 && answer.results[0].version == 0);
    assert_true(answer.weights[0] == 0.0f && answer.done.clock == 0);
    free(answer.weights);
    /* A number counts once, whatever is sent again. */
    for (int i = 0; i < 3; i++) {
        answer = give_rows(&bert, FRAME_TABLE_PUSH, table, 0, 0, 1, -3.0f, 1);
        assert_true(answer.results[0].code == CANYON_OK && answer.results[0].applied == 1);
        free(answer.weights);
    }
    worker_clock(&anna, 2);
    answer = give_rows(&anna, FRAME_TABLE_PUSH, table, 2, 0, 1, -1.0f, 0);
    assert_true(answer.results[0].code == CANYON_BUSY && answer.done.clock == 1);
    free(answer.weights);
    worker_clock(&bert, 2);
    answer = give_rows(&bert, FRAME_TABLE_PULL, table, 2, 0, 2, 0, 0);
    assert_true(answer.results[0].version == 1);
    assert_true(answer.weights[0] == 2.0f);   /* the mean of both */
    assert_true(answer.weights[DIM] == 1.0f); /* of one alone */
    free(answer.weights);
    answer = give_rows(&bert, FRAME_TABLE_PUSH, table, 1, 0, 2, -9.0f, 2);
    assert_true(answer.results[0].code == CANYON_LATE && answer.done.clock == 2 && answer.results[0].applied == 2);
    assert_non_null(strstr(answer.done.text, "clock 1 is closed"));
    free(answer.weights);
    const struct message_table_totals totals = shard_totals_of(&anna, table, 0, NULL);
    assert_true(totals.rows == 2 && totals.version == 1 && totals.clock == 1);
}

static void rows_that_are_kept_count_against_the_limit(void **state) {
    (void)state;
    const uint64_t table = worker_create_table(&anna, "t", DIM, "sgd:lr=1", 0).id;
    struct client *client = shard_client(&anna, 0);
    set_mode("sync:rank", 1);
    (void)worker_enter(&anna);
    (void)worker_enter(&bert);
    assert_int_equal(push_rows(&anna, table, 1, 0, 8, -1.0f), CANYON_OK);
    const uint64_t taken = client_statistics(client).state_bytes;
    bench.environment.state_limit = taken; /* what there is has room for a few more */
    assert_int_equal(push_rows(&bert, table, 1, 0, 8, -1.0f), CANYON_OK);
    assert_true(client_statistics(client).state_bytes == taken);
    enum canyon_status status = CANYON_OK;
    uint32_t given = 0;
    while (status == CANYON_OK && given < 10000) {
        status = push_rows(&anna, table, 1, 100 + 1000 * given++, 64, -1.0f);
        assert_true(client_statistics(client).state_bytes <= taken);
    }
    assert_int_equal(status, CANYON_NO_MEMORY);
    /* Rows that are there already take memory too, of another worker. */
    bench.environment.state_limit = 0;
    for (uint64_t i = 0; i < 40; i++) {
        assert_int_equal(push_rows(&anna, table, 1, 100 + 2000 * i, 64, -1.0f), CANYON_OK);
    }
    const uint64_t alone = client_statistics(client).state_bytes;
    bench.environment.state_limit = alone;
    status = CANYON_OK;
    for (uint64_t i = 0; i < 40 && status == CANYON_OK; i++) {
        status = push_rows(&bert, table, 1, 100 + 2000 * i, 64, -1.0f);
    }
    assert_int_equal(status, CANYON_NO_MEMORY);
    assert_true(client_statistics(client).state_bytes == alone);
    bench.environment.state_limit = 0;
    for (uint64_t i = 0; i < 40; i++) {
        assert_int_equal(push_rows(&bert, table, 1, 100 + 2000 * i, 64, -1.0f), CANYON_OK);
    }
    assert_true(client_statistics(client).state_bytes > alone);
    /* With the last synchronous clock what was taken for it goes. */
    set_mode("async", 2);
    worker_clock(&anna, 2);
    worker_clock(&bert, 2);
    assert_true(client_statistics(client).state_bytes < alone);
    const uint64_t now = client_statistics(client).state_bytes;
    assert_int_equal(push_rows(&anna, table, 2, 0, 8, -1.0f), CANYON_OK);
    assert_true(client_statistics(client).state_bytes == now);
    assert_true(shard_totals_of(&anna, table, 0, NULL).version == 2);
}

static struct bench copy;

static void repeat(void *user, const struct command *command) {
    const uint32_t shard = (uint32_t)(uintptr_t)user;
    struct error error = {.text = ""};
    if (handler_replay(copy.handlers[bench_place(&copy, shard)], shard, command, &error) != CANYON_OK) {
        fail_msg("kind %d of shard %u: %s", (int)command->kind, shard, error.text);
    }
}

/* Told to another handler as they happen, contributions, duplicates, refusals and closed clocks give the same digests,
 * and count the same bytes. */
static void rows_that_are_kept_are_built_again(void **state) {
    (void)state;
    struct bench_digests one, other;
    const uint32_t place = bench_place(&bench, 0);
    uint64_t numbers[2] = {0, 0};
    bench_init(&copy, 2, 2, 16, 1024);
    worker_go(&anna);
    worker_go(&bert);
    bench_finish(&bench);
    bench_init(&bench, 2, 2, 16, 1024);
    for (uint32_t shard = 0; shard < 16; shard++) {
        assert_true(handler_watch(bench.handlers[bench_place(&bench, shard)], shard, repeat, (void *)(uintptr_t)shard));
    }
    worker_come(&anna, &bench, 1, "anna");
    worker_come(&bert, &bench, 2, "bert");
    const uint64_t table = worker_create_table(&anna, "t", DIM, "adam", 0).id;
    set_mode("sync:rank", 1);
    (void)worker_enter(&bert);
    (void)worker_enter(&anna);
    for (uint64_t step = 0; step < 60; step++) {
        struct worker *worker = step % 3 == 0 ? &anna : &bert;
        uint64_t *number = &numbers[step % 3 == 0];
        *number += step % 7 != 6 || *number == 0;
        const float gradient = step % 11 == 10 ? NAN : (float)step - 20.0f;
        free(give_rows(worker, step % 2 == 0 ? FRAME_TABLE_PUSH : FRAME_TABLE_PUSH_PULL, table, step % 13 == 12 ? 1 : 0,
                       step * 40, 30, gradient, *number)
                 .weights);
        if (step % 10 == 9) {
            worker_clock(&anna, step / 10 + 2);
            worker_clock(&bert, step / 10 + 2);
        }
        struct worker look = {.bench = &copy};
        client_come(&look.clients[place], copy.handlers[place], 99, "look");
        memset(&one, 0, sizeof one);
        memset(&other, 0, sizeof other);
        client_digests(&anna.clients[place], &one);
        client_digests(&look.clients[place], &other);
        assert_memory_equal(&one, &other, sizeof one);
        assert_true(client_statistics(&look.clients[place]).state_bytes ==
                    client_statistics(&anna.clients[place]).state_bytes);
        client_go(&look.clients[place]);
    }
    assert_true(shard_totals_of(&anna, table, 0, NULL).version == 6);
    for (uint32_t shard = 0; shard < 16; shard++) {
        assert_true(handler_watch(bench.handlers[bench_place(&bench, shard)], shard, NULL, NULL));
    }
    bench_finish(&copy);
}

static void who_does_not_count_cannot_contribute(void **state) {
    (void)state;
    set_mode("sync", 1);
    (void)worker_enter(&anna);
    assert_int_equal(take_pushed(&bert, 0, ask_push(&bert, FRAME_PUSH, 0, 1, -1.0f), NULL).status, CANYON_CONFLICT);
    const uint64_t table = worker_create_table(&anna, "t", DIM, "sgd:lr=1", 0).id;
    assert_int_equal(push_rows(&bert, table, 1, 0, 1, -1.0f), CANYON_CONFLICT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(rows_are_kept_until_their_clock_closes),
        TEST(rows_that_are_kept_count_against_the_limit),
        TEST(rows_that_are_kept_are_built_again),
        TEST(who_does_not_count_cannot_contribute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
