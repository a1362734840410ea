/* Rows that are looked up together: what is found; and that commands which are lent it do what they do without, to the
 * bit, whether rows are there, are missing, or come twice. */
#include "tests/unit/server/table_fixture.h"

#include <math.h>

#include "server/table_found.h"

#define ID     42
#define DIM    3
#define SHARDS 8
#define MOST   48 /* ids of a command here */

/* As many shards twice, under different secrets. Those of `lent` get what was found beforehand; those of `plain` look
 * rows up themselves. */
struct pair {
    struct job job;
    struct workspace *workspaces[2];
    struct shard *lent[SHARDS], *plain[SHARDS];
};

/* What goes to each shard at a time: `first` of each in arrays that are common to all. */
struct frame_of_rows {
    struct command commands[SHARDS];
    struct table_found found[SHARDS];
    size_t first[SHARDS], count;
    uint64_t ids[SHARDS * MOST], keys[SHARDS * MOST];
    struct row_at rows[SHARDS * MOST];
    float gradients[SHARDS * MOST * DIM], out[2][SHARDS * MOST * DIM];
};

static void pair_init(struct pair *pair, const char *optimizer, uint64_t cap) {
    struct tensor_spec spec = fixture_table_spec("t", DIM, optimizer);
    spec.row_cap = cap;
    pair->job = fixture_job(1, SHARDS, 1024);
    for (uint8_t i = 0; i < 2; i++) {
        pair->workspaces[i] = fixture_workspace(NULL, (uint8_t)(3 + i));
    }
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct shard **both[2] = {&pair->lent[i], &pair->plain[i]};
        for (size_t k = 0; k < 2; k++) {
            const struct command define = {.kind = COMMAND_DEFINE, .tensor = ID, .spec = &spec};
            struct shard_reply reply;
            *both[k] = shard_create(&pair->job, i);
            assert_non_null(*both[k]);
            shard_lend(*both[k], pair->workspaces[k]);
            assert_int_equal(shard_apply(*both[k], &define, &reply, NULL), CANYON_OK);
        }
    }
}

static void pair_finish(struct pair *pair) {
    for (size_t i = 0; i < SHARDS; i++) {
        shard_destroy(pair->lent[i]);
        shard_destroy(pair->plain[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pool_taken(pair->workspaces[i]->pool), 0);
        workspace_destroy(pair->workspaces[i]);
    }
    job_finish(&pair->job);
}

static void same_states(const struct pair *pair) {
    for (size_t i = 0; i < SHARDS; i++) {
        assert_true(fixture_same(fixture_digest(pair->lent[i]), fixture_digest(pair->plain[i])));
    }
}

/* Ids of a command to each shard, of none to some. */
static void draw(struct frame_of_rows *frame, uint64_t *seed, uint64_t range, bool twice) {
    frame->count = 0;
    for (size_t i = 0; i < SHARDS; i++) {
        const size_t rows = seed_below(seed, 5) == 0 ? 0 : (size_t)seed_below(seed, MOST) + 1;
        uint64_t *ids = frame->ids + frame->count, from = seed_below(seed, range);
        for (size_t k = 0; k < rows; k++) {
            ids[k] = (from + k) % range * UINT64_C(0x9000000000000007) + (k >= range ? k : 0);
            if (twice && k > 0 && seed_below(seed, 8) == 0) {
                ids[k] = ids[seed_below(seed, k)];
            }
        }
        frame->first[i] = frame->count;
        frame->commands[i] = (struct command){.tensor = ID, .ids = ids, .rows = rows};
        frame->count += rows;
    }
    fixture_fill(seed, frame->gradients, frame->count * DIM);
}

static void find(const struct pair *pair, struct frame_of_rows *frame) {
    const struct rowkey *rowkey = &pair->workspaces[0]->rowkey;
    rowkey_of(rowkey, frame->ids, frame->count, frame->keys);
    for (size_t i = 0; i < SHARDS; i++) {
        struct table_found *found = &frame->found[i];
        assert_int_equal(shard_find_rows(pair->lent[i], &frame->commands[i], found, NULL), CANYON_OK);
        assert_true(found->ids == frame->commands[i].ids && found->count == frame->commands[i].rows);
        found->keys = frame->keys + frame->first[i];
        found->rows = frame->rows + frame->first[i];
        found->behind = frame->count - frame->first[i] - found->count;
        found->asked = i > 0;
    }
    memset(frame->rows, 0xaa, sizeof frame->rows);
    table_find(frame->found, SHARDS);
}

/* One command to every shard of both kinds, and the same answers. */
static void apply_all(const struct pair *pair, struct frame_of_rows *frame, enum command_kind kind, uint64_t clock,
                      bool reserves, bool wants) {
    memset(frame->out, 0, sizeof frame->out);
    for (size_t i = 0; i < SHARDS; i++) {
        enum canyon_status statuses[2];
        struct shard_reply replies[2];
        struct error errors[2] = {{.status = CANYON_OK}, {.status = CANYON_OK}};
        for (size_t k = 0; k < 2; k++) {
            struct shard *shard = k == 0 ? pair->lent[i] : pair->plain[i];
            struct command command = frame->commands[i];
            command.kind = kind;
            command.clock = clock;
            command.values = kind == COMMAND_TABLE_PUSH ? frame->gradients + frame->first[i] * DIM : NULL;
            command.count = kind == COMMAND_TABLE_PUSH ? command.rows * DIM : 0;
            command.out = wants ? frame->out[k] + frame->first[i] * DIM : NULL;
            command.found = k == 0 ? &frame->found[i] : NULL;
            statuses[k] = reserves ? shard_reserve(shard, &command, &errors[k]) : CANYON_OK;
            if (reserves && k == 0 && statuses[k] == CANYON_OK) {
                assert_int_equal(frame->found[i].missing, 0); /* they were made */
            }
            if (statuses[k] == CANYON_OK) {
                statuses[k] = shard_apply(shard, &command, &replies[k], &errors[k]);
            }
            assert_null(pair->workspaces[k]->found); /* for this one and no other */
        }
        assert_int_equal(statuses[0], statuses[1]);
        assert_string_equal(errors[0].text, errors[1].text);
        if (statuses[0] == CANYON_OK) {
            assert_true(replies[0].rows == replies[1].rows && replies[0].version == replies[1].version &&
                        replies[0].sequence == replies[1].sequence);
        }
    }
    assert_memory_equal(frame->out[0], frame->out[1], sizeof frame->out[0]);
}

static void read_all(const struct pair *pair, struct frame_of_rows *frame) {
    for (size_t i = 0; i < SHARDS; i++) {
        struct command command = frame->commands[i];
        float *out = frame->out[1] + frame->first[i] * DIM;
        command.out = frame->out[0] + frame->first[i] * DIM;
        command.found = &frame->found[i];
        assert_int_equal(shard_pull_rows(pair->lent[i], &command, NULL), CANYON_OK);
        assert_int_equal(shard_pull(pair->plain[i], ID, command.ids, command.rows, out, NULL), CANYON_OK);
    }
    assert_memory_equal(frame->out[0], frame->out[1], frame->count * DIM * sizeof(float));
}

static void erase_some(const struct pair *pair, const struct frame_of_rows *frame) {
    for (size_t i = 0; i < SHARDS; i++) {
        struct command command = frame->commands[i];
        struct shard_reply replies[2];
        command.kind = COMMAND_TABLE_ERASE;
        assert_int_equal(shard_apply(pair->lent[i], &command, &replies[0], NULL), CANYON_OK);
        assert_int_equal(shard_apply(pair->plain[i], &command, &replies[1], NULL), CANYON_OK);
        assert_true(replies[0].rows == replies[1].rows);
    }
}

static void what_is_found_is_there(void **state) {
    (void)state;
    static struct frame_of_rows frame;
    struct pair pair;
    uint64_t seed = seed_begin("what_is_found_is_there");
    pair_init(&pair, "adam", 0);
    for (unsigned turn = 0; turn < 60; turn++) {
        draw(&frame, &seed, 400, true);
        find(&pair, &frame);
        for (size_t i = 0; i < SHARDS; i++) {
            const struct table_found *found = &frame.found[i];
            size_t missing = 0;
            for (size_t k = 0; k < found->count; k++) {
                struct shard_row row;
                const bool here = shard_row(pair.lent[i], ID, found->ids[k], &row, NULL) == CANYON_OK;
                assert_true(here ? found->rows[k].values == row.values && found->rows[k].marks->step == row.step
                                 : found->rows[k].values == NULL);
                missing += !here;
            }
            assert_int_equal(found->missing, missing);
        }
        apply_all(&pair, &frame, COMMAND_TABLE_PUSH, turn, false, false);
    }
    pair_finish(&pair);
}

static void commands_that_are_lent_it_do_the_same(void **state) {
    (void)state;
    static const char *const optimizers[] = {"adam", "adam:steps=shard", "ftrl", "rowwise_adagrad",
                                             "sgd:nonfinite=skip"};
    static struct frame_of_rows frame;
    uint64_t seed = seed_begin("commands_that_are_lent_it_do_the_same");
    for (size_t i = 0; i < sizeof optimizers / sizeof optimizers[0]; i++) {
        struct pair pair;
        pair_init(&pair, optimizers[i], 0);
        for (unsigned turn = 0; turn < 120; turn++) {
            const uint64_t kind = seed_below(&seed, 10);
            const bool reserves = seed_below(&seed, 2) == 0, wants = seed_below(&seed, 3) > 0;
            draw(&frame, &seed, 60 + 10 * turn, seed_below(&seed, 2) == 0);
            find(&pair, &frame);
            if (kind < 6) {
                apply_all(&pair, &frame, COMMAND_TABLE_PUSH, seed_below(&seed, 50), reserves, wants);
            } else if (kind == 6) {
                apply_all(&pair, &frame, COMMAND_TABLE_TOUCH, seed_below(&seed, 50), reserves, wants);
            } else if (kind < 9) {
                read_all(&pair, &frame);
            } else {
                erase_some(&pair, &frame);
            }
        }
        same_states(&pair);
        pair_finish(&pair);
    }
}

/* Gradients that are refused, and a cap that would be passed: before and after rows were made for them. */
static void refusals_leave_nothing_behind(void **state) {
    (void)state;
    static struct frame_of_rows frame;
    struct pair pair;
    uint64_t seed = seed_begin("refusals_leave_nothing_behind");
    pair_init(&pair, "adagrad", SHARDS * 100);
    for (unsigned turn = 0; turn < 80; turn++) {
        draw(&frame, &seed, 300, turn % 2 == 0);
        for (size_t i = 0; i < SHARDS; i++) {
            if (frame.commands[i].rows > 0 && seed_below(&seed, 3) == 0) {
                frame.gradients[frame.first[i] * DIM + seed_below(&seed, frame.commands[i].rows * DIM)] = NAN;
            }
        }
        find(&pair, &frame);
        apply_all(&pair, &frame, COMMAND_TABLE_PUSH, turn, turn % 3 == 0, true);
        same_states(&pair);
    }
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard_table totals;
        assert_int_equal(shard_table_counts(pair.lent[i], ID, &totals, NULL), CANYON_OK);
        assert_true(totals.rows > 50 && totals.rows <= 100);
    }
    pair_finish(&pair);
}

static void growth_counts_what_is_missing(void **state) {
    (void)state;
    static struct frame_of_rows frame;
    struct pair pair;
    uint64_t seed = seed_begin("growth_counts_what_is_missing"), bytes = 1;
    pair_init(&pair, "sgd", 0);
    do {
        draw(&frame, &seed, 1000, false);
    } while (frame.commands[0].rows == 0);
    find(&pair, &frame);
    frame.commands[0].kind = COMMAND_TABLE_TOUCH;
    frame.commands[0].found = &frame.found[0];
    assert_int_equal(shard_growth(pair.lent[0], &frame.commands[0], false, &bytes, NULL), CANYON_OK);
    assert_true(bytes > 0);
    apply_all(&pair, &frame, COMMAND_TABLE_TOUCH, 1, true, false);
    find(&pair, &frame);
    frame.commands[0].kind = COMMAND_TABLE_TOUCH;
    frame.commands[0].found = &frame.found[0];
    assert_int_equal(shard_growth(pair.lent[0], &frame.commands[0], false, &bytes, NULL), CANYON_OK);
    assert_int_equal(bytes, 0);
    pair_finish(&pair);
}

static void what_is_no_table_is_not_looked_up(void **state) {
    (void)state;
    struct pair pair;
    struct table_found found;
    struct error error;
    const uint64_t id = 1;
    pair_init(&pair, "sgd", 0);
    struct command command = {.kind = COMMAND_TABLE_PUSH, .tensor = ID + 1, .ids = &id, .rows = 1, .count = DIM};
    assert_int_equal(shard_find_rows(pair.lent[0], &command, &found, &error), CANYON_NOT_FOUND);
    command.tensor = ID;
    command.count = DIM + 1;
    assert_int_equal(shard_find_rows(pair.lent[0], &command, &found, &error), CANYON_INVALID_ARGUMENT);
    command.rows = LIMIT_BATCH_ROWS + 1;
    assert_int_equal(shard_find_rows(pair.lent[0], &command, &found, &error), CANYON_TOO_LARGE);
    table_find(NULL, 0);
    pair_finish(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_found_is_there),
        cmocka_unit_test(commands_that_are_lent_it_do_the_same),
        cmocka_unit_test(refusals_leave_nothing_behind),
        cmocka_unit_test(growth_counts_what_is_missing),
        cmocka_unit_test(what_is_no_table_is_not_looked_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
