/* Numbers in a shard: what is taken once, what is answered again, what is refused, and that the commands which a shard
 * tells make the same state again. */
#include "tests/unit/server/table_fixture.h"

#include <math.h>

#define TENSOR 7
#define TABLE  8
#define DIM    2

struct place {
    struct job job;
    struct shard *shard, *copy; /* the copy is given what the shard tells */
    struct tensor_spec dense, table;
    struct shard_reply reply;
    struct error error;
    size_t told;
};

/* By way of the canonical string, as a log would have it. */
static void repeat(void *user, const struct command *command) {
    struct place *place = user;
    struct tensor_spec spec;
    struct command back;
    struct shard_reply reply;
    struct error error = {.text = ""};
    size_t count = command_bytes(command);
    uint8_t *bytes = malloc(count);
    assert_non_null(bytes);
    command_encode(command, bytes);
    assert_int_equal(command_decode(bytes, count, &spec, &back, &error), CANYON_OK);
    enum canyon_status status = shard_apply(place->copy, &back, &reply, &error);
    assert_int_equal(status, command->kind == COMMAND_REFUSE ? command->verdict : CANYON_OK);
    assert_true(reply.sequence == ++place->told);
    free(bytes);
}

static int setup(void **state) {
    struct place *place = calloc(1, sizeof *place);
    assert_non_null(place);
    place->job = fixture_job(1, 1, 1024);
    place->shard = shard_create(&place->job, 0);
    place->copy = shard_create(&place->job, 0);
    place->dense = fixture_spec("w", 2, "sgd:lr=1");
    place->dense.initializer = (struct initializer){.kind = INITIALIZER_ZEROS};
    place->table = fixture_table_spec("t", DIM, "sgd:lr=1");
    place->table.row_cap = 3;
    shard_watch(place->shard, repeat, place);
    struct command define = {.kind = COMMAND_DEFINE, .tensor = TENSOR, .spec = &place->dense};
    assert_int_equal(shard_apply(place->shard, &define, &place->reply, &place->error), CANYON_OK);
    define = (struct command){.kind = COMMAND_DEFINE, .tensor = TABLE, .spec = &place->table};
    assert_int_equal(shard_apply(place->shard, &define, &place->reply, &place->error), CANYON_OK);
    *state = place;
    return 0;
}

static int teardown(void **state) {
    struct place *place = *state;
    assert_true(fixture_same(fixture_digest(place->shard), fixture_digest(place->copy)));
    assert_true(shard_sequence(place->shard) == place->told);
    shard_destroy(place->shard);
    shard_destroy(place->copy);
    job_finish(&place->job);
    free(place);
    return 0;
}

static enum canyon_status apply(struct place *place, unsigned session, uint64_t number, struct command command) {
    command.number = number;
    fixture_session(command.session, session);
    memset(&place->error, 0, sizeof place->error);
    return shard_apply(place->shard, &command, &place->reply, &place->error);
}

static enum canyon_status push(struct place *place, unsigned session, uint64_t number, float first) {
    const float values[2] = {first, 1};
    return apply(place, session, number,
                 (struct command){.kind = COMMAND_PUSH, .tensor = TENSOR, .values = values, .count = 2});
}

static enum canyon_status push_rows(struct place *place, unsigned session, uint64_t number, uint64_t id, float first,
                                    float *out) {
    const float values[DIM] = {first, 1};
    return apply(place, session, number,
                 (struct command){.kind = COMMAND_TABLE_PUSH,
                                  .tensor = TABLE,
                                  .ids = &id,
                                  .rows = 1,
                                  .values = values,
                                  .count = DIM,
                                  .out = out});
}

/* Neither the digest nor the order has changed. */
static void unchanged(const struct place *place, struct digest before, uint64_t sequence) {
    assert_true(fixture_same(before, fixture_digest(place->shard)));
    assert_true(shard_sequence(place->shard) == sequence);
    assert_true(place->reply.sequence == 0);
}

static void a_duplicate_is_answered_with_the_weights_of_now(void **state) {
    struct place *place = *state;
    assert_int_equal(push(place, 1, 1, 2), CANYON_OK);
    assert_true(place->reply.applied == 1 && !place->reply.duplicate && place->reply.weights[0] == -2);
    assert_int_equal(push(place, 1, 2, 3), CANYON_OK);
    assert_int_equal(push(place, 2, 1, 4), CANYON_OK); /* numbers are each session's own */
    const struct digest before = fixture_digest(place->shard);
    const uint64_t sequence = shard_sequence(place->shard);
    for (uint64_t number = 1; number <= 2; number++) {
        assert_int_equal(push(place, 1, number, 1000), CANYON_OK);
        assert_true(place->reply.duplicate && place->reply.applied == 2 && place->reply.refused == CANYON_OK);
        assert_true(place->reply.version == 3 && place->reply.staleness == 0);
        assert_true(place->reply.elements == 2 && place->reply.weights[0] == -9);
        unchanged(place, before, sequence);
    }
}

static void rows_of_a_duplicate_are_read_and_not_made(void **state) {
    struct place *place = *state;
    float out[DIM], again[DIM], initial[DIM];
    uint64_t id = 77;
    assert_int_equal(shard_pull(place->shard, TABLE, &id, 1, initial, NULL), CANYON_OK);
    assert_int_equal(push_rows(place, 1, 1, 5, 2, out), CANYON_OK);
    assert_true(place->reply.rows == 1 && place->reply.version == 1);
    assert_int_equal(push_rows(place, 2, 1, 5, 2, out), CANYON_OK);
    const struct digest before = fixture_digest(place->shard);
    const uint64_t sequence = shard_sequence(place->shard);
    assert_int_equal(push_rows(place, 1, 1, 5, 2, again), CANYON_OK);
    assert_true(place->reply.duplicate && place->reply.version == 2 && place->reply.rows == 0);
    assert_memory_equal(again, out, sizeof out);
    unchanged(place, before, sequence);
    /* Its rows may have gone since. */
    assert_int_equal(push_rows(place, 1, 1, id, 2, again), CANYON_OK);
    assert_memory_equal(again, initial, sizeof initial);
    unchanged(place, before, sequence);
    const struct command command = {
        .kind = COMMAND_TABLE_PUSH, .tensor = TABLE, .ids = &id, .rows = 1, .values = out, .count = DIM, .number = 1};
    struct command reserved = command;
    fixture_session(reserved.session, 1);
    assert_int_equal(shard_reserve(place->shard, &reserved, NULL), CANYON_OK);
    unchanged(place, before, sequence);
    struct shard_row row;
    assert_int_equal(shard_row(place->shard, TABLE, id, &row, NULL), CANYON_NOT_FOUND);
}

static void gaps_and_strangers_change_nothing(void **state) {
    struct place *place = *state;
    assert_int_equal(push(place, 1, 1, 2), CANYON_OK);
    const struct digest before = fixture_digest(place->shard);
    const uint64_t sequence = shard_sequence(place->shard);
    assert_int_equal(push(place, 1, 3, 2), CANYON_GAP);
    assert_non_null(strstr(place->error.text, "number 3"));
    unchanged(place, before, sequence);
    assert_int_equal(push(place, 1, UINT64_MAX, 2), CANYON_GAP);
    unchanged(place, before, sequence);
    assert_int_equal(push_rows(place, 1, 3, 5, 2, NULL), CANYON_GAP);
    unchanged(place, before, sequence);
    assert_int_equal(push(place, 2, 2, 2), CANYON_SESSION_UNKNOWN);
    unchanged(place, before, sequence);
    assert_int_equal(apply(place, 2, 7, (struct command){.kind = COMMAND_REFUSE, .verdict = CANYON_DENIED}),
                     CANYON_SESSION_UNKNOWN);
    unchanged(place, before, sequence);
    assert_int_equal(push(place, 1, 2, 2), CANYON_OK);
}

/* What a shard refuses, and what was refused before it: both use up a number, and are remembered. */
static void refusals_use_up_numbers_and_are_remembered(void **state) {
    struct place *place = *state;
    const struct {
        uint64_t number;
        enum canyon_status code;
    } expected[] = {{2, CANYON_NOT_FINITE}, {3, CANYON_DENIED}, {4, CANYON_NOT_FINITE},
                    {5, CANYON_NOT_FOUND},  {6, CANYON_OK},     {7, CANYON_NO_MEMORY}};
    assert_int_equal(push(place, 1, 1, 1), CANYON_OK);
    assert_int_equal(push(place, 1, 2, NAN), CANYON_NOT_FINITE);
    assert_true(place->reply.refused == CANYON_NOT_FINITE && place->reply.applied == 2 && place->reply.sequence == 4);
    assert_int_equal(apply(place, 1, 3, (struct command){.kind = COMMAND_REFUSE, .verdict = CANYON_DENIED}),
                     CANYON_DENIED);
    assert_int_equal(push_rows(place, 1, 4, 5, INFINITY, NULL), CANYON_NOT_FINITE);
    assert_int_equal(apply(place, 1, 5, (struct command){.kind = COMMAND_PUSH, .tensor = 99}), CANYON_NOT_FOUND);
    assert_int_equal(push(place, 1, 6, 1), CANYON_OK);
    assert_int_equal(apply(place, 1, 7, (struct command){.kind = COMMAND_REFUSE, .verdict = CANYON_NO_MEMORY}),
                     CANYON_NO_MEMORY);
    const struct digest before = fixture_digest(place->shard);
    const uint64_t sequence = shard_sequence(place->shard);
    /* The four latest are known, the first one is forgotten: what came before those four may have been refused. */
    for (uint64_t number = 1; number <= 2; number++) {
        assert_int_equal(push(place, 1, number, 1), CANYON_OUTCOME_UNKNOWN);
        assert_true(place->reply.duplicate && place->reply.refused == CANYON_OUTCOME_UNKNOWN);
        unchanged(place, before, sequence);
    }
    for (size_t i = 1; i < sizeof expected / sizeof expected[0]; i++) {
        assert_int_equal(push(place, 1, expected[i].number, 1), expected[i].code);
        assert_true(place->reply.duplicate && place->reply.refused == expected[i].code && place->reply.applied == 7);
        unchanged(place, before, sequence);
    }
    struct shard_block view;
    assert_int_equal(shard_read(place->shard, TENSOR, 0, 0, &view, NULL), CANYON_OK);
    assert_true(view.version == 2 && ((const float *)view.values)[0] == -2);
    /* A refusal has a number and a verdict. */
    assert_int_equal(apply(place, 1, 0, (struct command){.kind = COMMAND_REFUSE, .verdict = CANYON_DENIED}),
                     CANYON_INVALID_ARGUMENT);
    unchanged(place, before, sequence);
}

/* A command that makes no difference otherwise takes its place in the order too, and its number. */
static void what_changes_nothing_takes_its_number(void **state) {
    struct place *place = *state;
    uint64_t id = 5;
    const struct command erase = {.kind = COMMAND_TABLE_ERASE, .tensor = TABLE, .ids = &id, .rows = 1};
    assert_int_equal(apply(place, 1, 1, erase), CANYON_OK);
    assert_true(place->reply.sequence == 3 && place->reply.rows == 0);
    assert_int_equal(apply(place, 1, 0, erase), CANYON_OK);
    assert_true(place->reply.sequence == 0);
    assert_int_equal(apply(place, 1, 1, erase), CANYON_OK);
    assert_true(place->reply.duplicate);
}

/* A gradient for a row above the cap is refused by the shard; what was reserved for it is given back. */
static void a_cap_is_a_refusal_like_others(void **state) {
    struct place *place = *state;
    for (uint64_t number = 1; number <= 3; number++) {
        assert_int_equal(push_rows(place, 1, number, number, 1, NULL), CANYON_OK);
    }
    assert_int_equal(push_rows(place, 1, 4, 4, 1, NULL), CANYON_TOO_LARGE);
    assert_true(place->reply.applied == 4);
    assert_int_equal(push_rows(place, 1, 4, 4, 1, NULL), CANYON_TOO_LARGE);
    assert_true(place->reply.duplicate);
    assert_int_equal(push_rows(place, 1, 5, 3, 1, NULL), CANYON_OK);
}

static void an_evicted_session_is_unknown(void **state) {
    struct place *place = *state;
    assert_int_equal(push(place, 1, 1, 1), CANYON_OK);
    assert_int_equal(push(place, 2, 1, 1), CANYON_OK);
    assert_int_equal(push(place, 2, 2, NAN), CANYON_NOT_FINITE);
    const struct digest before = fixture_digest(place->shard);
    assert_int_equal(apply(place, 2, 0, (struct command){.kind = COMMAND_EVICT}), CANYON_OK);
    assert_true(place->reply.sequence == 6);
    assert_false(fixture_same(before, fixture_digest(place->shard)));
    assert_int_equal(apply(place, 2, 0, (struct command){.kind = COMMAND_EVICT}), CANYON_OK);
    assert_true(place->reply.sequence == 0); /* it was not here */
    assert_int_equal(push(place, 2, 3, 1), CANYON_SESSION_UNKNOWN);
    assert_int_equal(push(place, 1, 2, 1), CANYON_OK);
    assert_int_equal(push(place, 2, 1, 1), CANYON_OK);
    assert_true(place->reply.applied == 1 && !place->reply.duplicate);
}

/* A duplicate whose tensor is gone has nothing to answer with; it is not a refusal. */
static void a_duplicate_outlives_its_tensor(void **state) {
    struct place *place = *state;
    assert_int_equal(push(place, 1, 1, 1), CANYON_OK);
    assert_int_equal(apply(place, 1, 0, (struct command){.kind = COMMAND_UNDEFINE, .tensor = TENSOR}), CANYON_OK);
    assert_int_equal(push(place, 1, 1, 1), CANYON_NOT_FOUND);
    assert_true(place->reply.duplicate && place->reply.refused == CANYON_OK && place->reply.applied == 1);
    assert_int_equal(push(place, 1, 2, 1), CANYON_NOT_FOUND);
    assert_true(!place->reply.duplicate && place->reply.refused == CANYON_NOT_FOUND && place->reply.applied == 2);
}

/* Any commands, from sessions that repeat themselves, leave out numbers and push what is refused: each number counts
 * once, which sums of small whole numbers show exactly. The copy follows (see teardown). */
static void sums_are_exact_whatever_is_repeated(void **state) {
    struct place *place = *state;
    uint64_t seed = seed_begin("sums_are_exact_whatever_is_repeated"), last[5] = {0};
    float sum = 0;
    for (int round = 0; round < 20000; round++) {
        const unsigned session = (unsigned)seed_below(&seed, 5);
        const uint64_t number = last[session] + seed_below(&seed, 4);
        const float value = seed_below(&seed, 9) == 0 ? NAN : (float)seed_below(&seed, 7);
        if (number == 0) {
            continue;
        }
        const enum canyon_status status = push(place, 10 + session, number, value);
        if (number == last[session] + 1) {
            assert_int_equal(status, isnan(value) ? CANYON_NOT_FINITE : CANYON_OK);
            last[session]++;
            sum += isnan(value) ? 0 : value;
        } else if (number > last[session]) {
            assert_int_equal(status, last[session] == 0 ? CANYON_SESSION_UNKNOWN : CANYON_GAP);
        } else {
            assert_true(place->reply.duplicate);
        }
        if (seed_below(&seed, 400) == 0) {
            const bool known = last[session] > 0;
            assert_int_equal(apply(place, 10 + session, 0, (struct command){.kind = COMMAND_EVICT}), CANYON_OK);
            assert_int_equal(place->reply.sequence != 0, known);
            last[session] = 0;
        }
    }
    struct shard_block view;
    assert_int_equal(shard_read(place->shard, TENSOR, 0, 0, &view, NULL), CANYON_OK);
    assert_true(((const float *)view.values)[0] == -sum);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_duplicate_is_answered_with_the_weights_of_now),
        TEST(rows_of_a_duplicate_are_read_and_not_made),
        TEST(gaps_and_strangers_change_nothing),
        TEST(refusals_use_up_numbers_and_are_remembered),
        TEST(what_changes_nothing_takes_its_number),
        TEST(a_cap_is_a_refusal_like_others),
        TEST(an_evicted_session_is_unknown),
        TEST(a_duplicate_outlives_its_tensor),
        TEST(sums_are_exact_whatever_is_repeated),
    };
    optimizer_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
