/* Tables in a shard: their life from CREATE to DROPPED, commands that are refused, replies, totals, and that a
 * command's bytes alone decide the state. */
#include "tests/unit/server/table_fixture.h"

#include <math.h>

#define ID 42

struct place {
    struct job job;
    struct shard *shard;
    struct tensor_spec spec;
    struct shard_reply reply;
    struct error error;
};

static void place_init(struct place *place, const char *optimizer, uint64_t dim, uint64_t cap) {
    memset(place, 0, sizeof *place);
    place->job = fixture_job(1, 4, 1024);
    place->shard = shard_create(&place->job, 0);
    place->spec = fixture_table_spec("t", dim, optimizer);
    place->spec.row_cap = cap;
    assert_non_null(place->shard);
}

static void place_finish(struct place *place) {
    shard_destroy(place->shard);
    job_finish(&place->job);
}

static enum canyon_status apply(struct place *place, struct command command) {
    command.tensor = command.tensor == 0 ? ID : command.tensor;
    memset(&place->error, 0, sizeof place->error);
    return shard_apply(place->shard, &command, &place->reply, &place->error);
}

static enum canyon_status simple(struct place *place, enum command_kind kind) {
    return apply(place, (struct command){.kind = kind, .spec = &place->spec});
}

static enum canyon_status push(struct place *place, const uint64_t *ids, size_t rows, const float *values, size_t count,
                               float *out) {
    return apply(place, (struct command){.kind = COMMAND_TABLE_PUSH,
                                         .ids = ids,
                                         .rows = rows,
                                         .values = values,
                                         .count = count,
                                         .clock = 7,
                                         .out = out});
}

static void a_table_lives_as_a_tensor_does(void **state) {
    (void)state;
    struct place place;
    uint64_t ids[3] = {5, 6, 5};
    float values[6] = {1, 2, 3, 4, 5, 6}, out[6];
    struct shard_totals totals;
    struct shard_row row;
    place_init(&place, "sgd:lr=1", 2, 0);
    struct digest empty = fixture_digest(place.shard);
    assert_int_equal(simple(&place, COMMAND_CREATE), CANYON_OK);
    assert_int_equal(shard_find_name(place.shard, "t")->spec.kind, TENSOR_TABLE);
    assert_int_equal(simple(&place, COMMAND_DEFINE), CANYON_OK);
    assert_int_equal(place.reply.sequence, 2);
    assert_int_equal(simple(&place, COMMAND_DEFINE), CANYON_OK); /* again: no change */
    assert_int_equal(place.reply.sequence, 0);
    assert_int_equal(simple(&place, COMMAND_COMPLETE), CANYON_OK);
    assert_int_equal(push(&place, ids, 3, values, 6, out), CANYON_OK);
    assert_int_equal(place.reply.sequence, 4);
    assert_int_equal(place.reply.version, 1);
    assert_int_equal(place.reply.rows, 2);
    assert_memory_equal(out, out + 4, 2 * sizeof(float));
    assert_int_equal(shard_row(place.shard, ID, 5, &row, NULL), CANYON_OK);
    assert_true(row.values[0] == out[0] && row.values[1] == out[1] && row.value_count == 2);
    assert_true(row.step == 1 && row.clock == 7 && row.scalar_count == 0);
    shard_totals(place.shard, &totals);
    assert_true(totals.tensors == 1 && totals.tables == 1 && totals.rows == 2 && totals.parameters == 4);
    assert_true(totals.state_bytes > shard_define_bytes(place.shard, &place.spec));
    assert_int_equal(apply(&place, (struct command){.kind = COMMAND_TABLE_ERASE, .ids = ids, .rows = 3}), CANYON_OK);
    assert_int_equal(place.reply.rows, 2);
    assert_int_equal(simple(&place, COMMAND_DROP), CANYON_OK);
    assert_int_equal(simple(&place, COMMAND_UNDEFINE), CANYON_OK);
    assert_int_equal(simple(&place, COMMAND_DROPPED), CANYON_OK);
    assert_int_equal(push(&place, ids, 3, values, 6, out), CANYON_NOT_FOUND);
    shard_totals(place.shard, &totals);
    assert_true(totals.tensors == 0 && totals.tables == 0 && totals.state_bytes == 0);
    assert_false(fixture_same(empty, fixture_digest(place.shard))); /* the sequence has moved on */
    place_finish(&place);
}

static void settings_change_but_steps_do_not(void **state) {
    (void)state;
    struct place place;
    place_init(&place, "adam", 2, 0);
    struct tensor_spec steps = fixture_table_spec("t", 2, "adam:steps=shard");
    struct tensor_spec rate = fixture_table_spec("t", 2, "adam:lr=0.5");
    assert_int_equal(simple(&place, COMMAND_CREATE), CANYON_OK);
    assert_int_equal(simple(&place, COMMAND_DEFINE), CANYON_OK);
    assert_int_equal(simple(&place, COMMAND_COMPLETE), CANYON_OK);
    for (enum command_kind kind = COMMAND_SET; kind <= COMMAND_ADJUST; kind++) {
        assert_int_equal(apply(&place, (struct command){.kind = kind, .spec = &steps, .version = 1}), CANYON_MISMATCH);
        assert_non_null(strstr(place.error.text, "steps"));
        assert_int_equal(apply(&place, (struct command){.kind = kind, .spec = &rate, .version = 1}), CANYON_OK);
        assert_true(place.reply.sequence != 0);
    }
    uint64_t id = 1;
    float one[2] = {1, 1}, before[2], after[2];
    assert_int_equal(shard_pull(place.shard, ID, &id, 1, before, NULL), CANYON_OK);
    assert_int_equal(push(&place, &id, 1, one, 2, after), CANYON_OK);
    assert_true(fabsf(before[0] - 0.5f - after[0]) < 1e-5f); /* Adam's first step is lr */
    place_finish(&place);
}

static void nonsense_is_refused(void **state) {
    (void)state;
    struct place place;
    uint64_t ids[4] = {1, 2, 3, 4};
    float values[8] = {1, 1, 1, 1, NAN, 1, 1, 1};
    uint64_t *many = calloc(LIMIT_BATCH_ROWS + 1, sizeof *many), count = 0, bytes = 0;
    struct tensor_spec tensor = fixture_spec("w", 8192, "sgd"); /* some of it is in every shard */
    struct shard_block block;
    struct shard_row row;
    struct shard_table totals;
    float out[8];
    place_init(&place, "adagrad", 2, 0);
    assert_int_equal(simple(&place, COMMAND_DEFINE), CANYON_OK);
    assert_int_equal(apply(&place, (struct command){.kind = COMMAND_DEFINE, .tensor = 2, .spec = &tensor}), CANYON_OK);
    assert_int_equal(push(&place, ids, 2, values, 4, NULL), CANYON_OK);
    struct digest before = fixture_digest(place.shard);
    assert_int_equal(push(&place, ids, 2, values, 3, NULL), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(place.error.text, "gradients of 2 rows are 4 values, not 3"));
    assert_int_equal(push(&place, ids, 3, values, 8, NULL), CANYON_INVALID_ARGUMENT);
    assert_int_equal(push(&place, ids, 4, values, 8, NULL), CANYON_NOT_FINITE);
    assert_non_null(strstr(place.error.text, "row 3"));
    assert_int_equal(
        apply(&place, (struct command){.kind = COMMAND_TABLE_TOUCH, .ids = many, .rows = LIMIT_BATCH_ROWS + 1}),
        CANYON_TOO_LARGE);
    /* Tables are no tensors, and the other way round. */
    assert_int_equal(apply(&place, (struct command){.kind = COMMAND_PUSH, .values = values, .count = 2}),
                     CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(place.error.text, "is a table"));
    assert_int_equal(apply(&place, (struct command){.kind = COMMAND_ASSIGN, .values = values, .count = 2}),
                     CANYON_INVALID_ARGUMENT);
    assert_int_equal(shard_read(place.shard, ID, 0, SLOT_WEIGHTS, &block, NULL), CANYON_INVALID_ARGUMENT);
    for (enum command_kind kind = COMMAND_TABLE_PUSH; kind <= COMMAND_TABLE_ERASE; kind++) {
        assert_int_equal(
            apply(&place,
                  (struct command){.kind = kind, .tensor = 2, .ids = ids, .rows = 1, .values = values, .count = 2}),
            CANYON_INVALID_ARGUMENT);
        assert_non_null(strstr(place.error.text, "is a tensor"));
        assert_int_equal(
            apply(&place,
                  (struct command){.kind = kind, .tensor = 3, .ids = ids, .rows = 1, .values = values, .count = 2}),
            CANYON_NOT_FOUND);
    }
    assert_int_equal(shard_pull(place.shard, 2, ids, 1, out, NULL), CANYON_INVALID_ARGUMENT);
    assert_int_equal(shard_pull(place.shard, 3, ids, 1, out, NULL), CANYON_NOT_FOUND);
    assert_int_equal(shard_pull(place.shard, ID, many, LIMIT_BATCH_ROWS + 1, out, NULL), CANYON_TOO_LARGE);
    assert_int_equal(shard_row(place.shard, ID, 3, &row, NULL), CANYON_NOT_FOUND);
    assert_int_equal(shard_next_rows(place.shard, 2, 0, 1, many, &count, NULL), CANYON_INVALID_ARGUMENT);
    assert_int_equal(shard_table(place.shard, 2, &totals, NULL), CANYON_INVALID_ARGUMENT);
    const struct command touch = {.kind = COMMAND_TABLE_TOUCH, .tensor = 3, .ids = ids, .rows = 1};
    assert_int_equal(shard_growth(place.shard, &touch, true, &bytes, NULL), CANYON_NOT_FOUND);
    assert_int_equal(shard_reserve(place.shard, &touch, NULL), CANYON_NOT_FOUND);
    assert_true(fixture_same(before, fixture_digest(place.shard)));
    free(many);
    place_finish(&place);
}

/* What changes nothing takes no sequence number. */
static void nothing_is_nothing(void **state) {
    (void)state;
    struct place place;
    uint64_t id = 9;
    place_init(&place, "adagrad", 2, 0);
    assert_int_equal(simple(&place, COMMAND_DEFINE), CANYON_OK);
    struct digest before = fixture_digest(place.shard);
    for (enum command_kind kind = COMMAND_TABLE_PUSH; kind <= COMMAND_TABLE_ERASE; kind++) {
        assert_int_equal(apply(&place, (struct command){.kind = kind}), CANYON_OK);
        assert_int_equal(place.reply.sequence, 0);
    }
    assert_int_equal(apply(&place, (struct command){.kind = COMMAND_TABLE_ERASE, .ids = &id, .rows = 1}), CANYON_OK);
    assert_int_equal(place.reply.sequence, 0);
    assert_true(fixture_same(before, fixture_digest(place.shard)));
    struct command touch = {.kind = COMMAND_TABLE_TOUCH, .ids = &id, .rows = 1, .clock = 5};
    assert_int_equal(apply(&place, touch), CANYON_OK);
    assert_true(place.reply.sequence != 0 && place.reply.rows == 1);
    assert_int_equal(apply(&place, touch), CANYON_OK);
    assert_true(place.reply.sequence == 0 && place.reply.rows == 0);
    touch.clock = 6;
    assert_int_equal(apply(&place, touch), CANYON_OK);
    assert_true(place.reply.sequence != 0 && place.reply.rows == 0);
    place_finish(&place);
}

static void staleness_is_told(void **state) {
    (void)state;
    struct place place;
    uint64_t id = 9;
    float value[2] = {1, 1};
    place_init(&place, "sgd", 2, 0);
    assert_int_equal(simple(&place, COMMAND_DEFINE), CANYON_OK);
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(apply(&place, (struct command){.kind = COMMAND_TABLE_PUSH,
                                                        .ids = &id,
                                                        .rows = 1,
                                                        .values = value,
                                                        .count = 2,
                                                        .version = i < 4 ? i / 2 : 77}),
                         CANYON_OK);
        assert_true(place.reply.version == i + 1);
        assert_true(place.reply.staleness == (i < 4 ? i - i / 2 : 0));
    }
    place_finish(&place);
}

/* A reservation is no change; another command than the one it was made for takes it back. */
static void reservations_end(void **state) {
    (void)state;
    struct place place;
    uint64_t ids[3] = {1, 2, 3};
    float values[3] = {1, 1, 1};
    place_init(&place, "sgd", 1, 8); /* two rows a shard */
    struct tensor_spec other = fixture_table_spec("u", 1, "sgd");
    assert_int_equal(simple(&place, COMMAND_DEFINE), CANYON_OK);
    assert_int_equal(apply(&place, (struct command){.kind = COMMAND_DEFINE, .tensor = 2, .spec = &other}), CANYON_OK);
    const struct command two = {.kind = COMMAND_TABLE_TOUCH, .tensor = ID, .ids = ids, .rows = 2};
    const struct command three = {.kind = COMMAND_TABLE_TOUCH, .tensor = ID, .ids = ids, .rows = 3};
    struct digest before = fixture_digest(place.shard);
    assert_int_equal(shard_reserve(place.shard, &three, &place.error), CANYON_TOO_LARGE);
    assert_int_equal(shard_reserve(place.shard, &two, NULL), CANYON_OK);
    shard_release(place.shard);
    assert_true(fixture_same(before, fixture_digest(place.shard)));
    /* Of another table. */
    assert_int_equal(shard_reserve(place.shard, &two, NULL), CANYON_OK);
    assert_int_equal(apply(&place, (struct command){.kind = COMMAND_TABLE_TOUCH, .tensor = 2, .ids = ids, .rows = 1}),
                     CANYON_OK);
    struct shard_row row;
    assert_int_equal(shard_row(place.shard, ID, 1, &row, NULL), CANYON_NOT_FOUND);
    /* Refused for what was not reserved. */
    values[1] = NAN;
    assert_int_equal(shard_reserve(place.shard, &two, NULL), CANYON_OK);
    assert_int_equal(push(&place, ids, 2, values, 2, NULL), CANYON_NOT_FINITE);
    assert_int_equal(shard_row(place.shard, ID, 1, &row, NULL), CANYON_NOT_FOUND);
    /* The table goes. */
    assert_int_equal(shard_reserve(place.shard, &two, NULL), CANYON_OK);
    assert_int_equal(simple(&place, COMMAND_UNDEFINE), CANYON_OK);
    shard_release(place.shard);
    /* Used. */
    assert_int_equal(simple(&place, COMMAND_DEFINE), CANYON_OK);
    assert_int_equal(shard_reserve(place.shard, &two, NULL), CANYON_OK);
    values[1] = 1;
    assert_int_equal(push(&place, ids, 2, values, 2, NULL), CANYON_OK);
    assert_int_equal(place.reply.rows, 2);
    place_finish(&place);
}

/* Random commands as bytes, played on two shards with other secrets. */
static void a_replay_gives_the_same_state(void **state) {
    (void)state;
    enum { COMMANDS = 400, BATCH = 30, DIM = 3 };
    uint64_t seed = seed_begin("a_replay_gives_the_same_state");
    struct place first, second;
    struct workspace *workspace = fixture_workspace(NULL, 250);
    place_init(&first, "nadam", DIM, 400);
    place_init(&second, "nadam", DIM, 400);
    shard_lend(second.shard, workspace);
    assert_int_equal(simple(&first, COMMAND_DEFINE), CANYON_OK);
    assert_int_equal(simple(&second, COMMAND_DEFINE), CANYON_OK);
    uint64_t refused = 0;
    for (unsigned i = 0; i < COMMANDS; i++) {
        uint64_t ids[BATCH];
        float values[BATCH * DIM];
        size_t rows = (size_t)seed_below(&seed, BATCH) + 1;
        for (size_t k = 0; k < rows; k++) {
            ids[k] = seed_below(&seed, 130) * UINT64_C(0x123456789abcdef1);
        }
        fixture_fill(&seed, values, rows * DIM);
        uint64_t kind = seed_below(&seed, 8);
        struct command command = {.kind = kind < 5   ? COMMAND_TABLE_PUSH
                                          : kind < 6 ? COMMAND_TABLE_TOUCH
                                                     : COMMAND_TABLE_ERASE,
                                  .tensor = ID,
                                  .ids = ids,
                                  .rows = kind < 6 ? rows : rows / 3,
                                  .values = values,
                                  .count = rows * DIM,
                                  .clock = seed_below(&seed, 100)};
        size_t bytes = command_bytes(&command);
        uint8_t *string = malloc(bytes);
        command_encode(&command, string);
        struct tensor_spec spec;
        struct command again;
        assert_int_equal(command_decode(string, bytes, &spec, &again, NULL), CANYON_OK);
        enum canyon_status one = apply(&first, command), other = apply(&second, again);
        assert_int_equal(one, other);
        refused += one != CANYON_OK;
        assert_int_equal(first.reply.sequence, second.reply.sequence);
        free(string);
        if (i % 20 == 0) {
            assert_true(fixture_same(fixture_digest(first.shard), fixture_digest(second.shard)));
        }
    }
    assert_true(fixture_same(fixture_digest(first.shard), fixture_digest(second.shard)));
    assert_in_range(refused, 1, COMMANDS / 2); /* the cap of 100 rows was met */
    place_finish(&first);
    place_finish(&second);
    workspace_destroy(workspace);
}

/* Tables and tensors of one shard do not mix, and both are in the digest. */
static void a_tensor_beside_a_table(void **state) {
    (void)state;
    struct place place;
    uint64_t id = 1;
    float value = 1;
    place_init(&place, "sgd", 1, 0);
    place.job.shards = 1; /* all blocks are here */
    struct tensor_spec tensor = fixture_spec("t", 3000, "sgd"), dense = fixture_spec("w", 3000, "sgd");
    assert_int_equal(simple(&place, COMMAND_DEFINE), CANYON_OK);
    assert_int_equal(apply(&place, (struct command){.kind = COMMAND_DEFINE, .tensor = 2, .spec = &tensor}),
                     CANYON_STATE_LOST);
    assert_int_equal(apply(&place, (struct command){.kind = COMMAND_DEFINE, .spec = &tensor}), CANYON_MISMATCH);
    assert_int_equal(apply(&place, (struct command){.kind = COMMAND_DEFINE, .tensor = 3, .spec = &dense}), CANYON_OK);
    struct digest before = fixture_digest(place.shard);
    assert_int_equal(push(&place, &id, 1, &value, 1, NULL), CANYON_OK);
    struct digest after = fixture_digest(place.shard);
    assert_false(fixture_same(before, after));
    struct shard_totals totals;
    shard_totals(place.shard, &totals);
    assert_true(totals.tensors == 2 && totals.tables == 1 && totals.parameters == 3001);
    place_finish(&place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_lives_as_a_tensor_does),
        cmocka_unit_test(settings_change_but_steps_do_not),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(nothing_is_nothing),
        cmocka_unit_test(staleness_is_told),
        cmocka_unit_test(reservations_end),
        cmocka_unit_test(a_replay_gives_the_same_state),
        cmocka_unit_test(a_tensor_beside_a_table),
    };
    return cmocka_run_group_tests_name("shard table", tests, NULL, NULL);
}
