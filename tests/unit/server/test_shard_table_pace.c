/* Synchronous clocks and tables in a shard: gradients of rows that are kept, what a clock's closing makes of them
 * beside one big batch, what is refused, memory, and that commands alone decide. */
#include "tests/unit/server/table_fixture.h"

#include <math.h>

#include "server/workspace.h"

#define DIM     5
#define ID      77u
#define WORKERS 4
#define MANY    9000 /* for which the memory of a shard has to grow */
#define ROWS    150  /* of each worker: more than one piece */

/* Memory that runs out after so many pieces. */
struct purse {
    unsigned left;
};

static void *purse_take(void *user, size_t bytes) {
    struct purse *purse = user;
    if (purse->left == 0) {
        return NULL;
    }
    purse->left--;
    return aligned_alloc(MEMORY_ALIGNMENT, bytes);
}

static void purse_give(void *user, void *piece, size_t bytes) {
    (void)user;
    (void)bytes;
    free(piece);
}

struct place {
    struct purse purse;
    struct memory memory;
    struct workspace *workspace;
    struct shard *shard;
    struct shard_reply reply;
    struct error error;
};

static struct job job;
static uint64_t seed;

static enum canyon_status apply(struct place *place, const struct command *command) {
    memset(&place->error, 0, sizeof place->error);
    return shard_apply(place->shard, command, &place->reply, &place->error);
}

static void place_mode(struct place *place, const char *text, uint64_t from) {
    struct command command = {.kind = COMMAND_CONSISTENCY, .clock = from};
    assert_int_equal(consistency_parse(text, &command.mode, NULL), CANYON_OK);
    assert_int_equal(apply(place, &command), CANYON_OK);
}

static void place_init(struct place *place, const char *optimizer, uint64_t cap, uint8_t secret, const char *mode) {
    struct tensor_spec spec = fixture_table_spec("t", DIM, optimizer);
    const struct command define = {.kind = COMMAND_DEFINE, .tensor = ID, .spec = &spec};
    memset(place, 0, sizeof *place);
    spec.row_cap = cap;
    place->purse.left = UINT32_MAX;
    place->memory = (struct memory){.take = purse_take, .give = purse_give, .user = &place->purse};
    place->workspace = fixture_workspace(&place->memory, secret);
    place->shard = shard_create(&job, 0);
    assert_non_null(place->shard);
    shard_use(place->shard, &place->memory);
    shard_lend(place->shard, place->workspace);
    assert_int_equal(apply(place, &define), CANYON_OK);
    if (mode != NULL) {
        place_mode(place, mode, 1);
    }
}

static void place_finish(struct place *place) {
    shard_destroy(place->shard);
    assert_true(pool_taken(place->workspace->pool) == 0);
    workspace_destroy(place->workspace);
}

static struct command rows_command(enum command_kind kind, uint64_t clock, uint32_t rank, const uint64_t *ids,
                                   size_t rows, const float *values) {
    return (struct command){.kind = kind,
                            .tensor = ID,
                            .clock = clock,
                            .rank = rank,
                            .ids = ids,
                            .rows = rows,
                            .values = values,
                            .count = values != NULL ? rows * DIM : 0};
}

static enum canyon_status contribute(struct place *place, uint64_t clock, uint32_t rank, const uint64_t *ids,
                                     size_t rows, const float *values) {
    const struct command command = rows_command(COMMAND_TABLE_CONTRIBUTE, clock, rank, ids, rows, values);
    return apply(place, &command);
}

static enum canyon_status push(struct place *place, uint64_t clock, const uint64_t *ids, size_t rows,
                               const float *values) {
    const struct command command = rows_command(COMMAND_TABLE_PUSH, clock, 0, ids, rows, values);
    return apply(place, &command);
}

static void close_clock(struct place *place, uint64_t clock) {
    const struct command command = {.kind = COMMAND_CLOSE, .clock = clock};
    assert_int_equal(apply(place, &command), CANYON_OK);
    assert_true(place->reply.sequence != 0);
}

/* Every row with its state, and the counts. */
static bool same_rows(const struct place *one, const struct place *other) {
    struct shard_table here, there;
    assert_int_equal(shard_table(one->shard, ID, &here, NULL), CANYON_OK);
    assert_int_equal(shard_table(other->shard, ID, &there, NULL), CANYON_OK);
    return here.rows == there.rows && here.version == there.version && here.clock == there.clock &&
           memcmp(here.sum, there.sum, sizeof here.sum) == 0;
}

static uint64_t ids[WORKERS][ROWS];
static float gradients[WORKERS][ROWS * DIM];

/* Rows that are partly the same for several workers, some twice for one; gradients whose sums depend on their order. */
static void draw(void) {
    for (size_t w = 0; w < WORKERS; w++) {
        for (size_t i = 0; i < ROWS; i++) {
            ids[w][i] = seed_below(&seed, 250) * 1000003u;
        }
        for (size_t i = 0; i < (size_t)ROWS * DIM; i++) {
            gradients[w][i] = fixture_float(&seed) * (w % 2 == 0 ? 1e4f : 1e-3f);
        }
    }
}

/* One batch of what all workers have: first each worker's own rows added up, then those sums, worker by worker, in this
 * order; divided by how many workers had the row. */
static size_t big_batch(const unsigned *order, bool mean, uint64_t *all, float *sums) {
    static float own[WORKERS * ROWS][DIM];
    unsigned givers[WORKERS * ROWS];
    size_t count = 0;
    for (size_t turn = 0; turn < WORKERS; turn++) {
        const unsigned w = order[turn];
        bool had[WORKERS * ROWS] = {false};
        for (size_t i = 0; i < ROWS; i++) {
            size_t at = 0;
            while (at < count && all[at] != ids[w][i]) {
                at++;
            }
            if (at == count) {
                all[count] = ids[w][i];
                givers[count++] = 0;
            }
            for (size_t k = 0; k < DIM; k++) {
                const float g = gradients[w][i * DIM + k];
                own[at][k] = had[at] ? own[at][k] + g : g;
            }
            had[at] = true;
        }
        for (size_t at = 0; at < count; at++) {
            for (size_t k = 0; k < DIM && had[at]; k++) {
                sums[at * DIM + k] = givers[at] > 0 ? sums[at * DIM + k] + own[at][k] : own[at][k];
            }
            givers[at] += had[at];
        }
    }
    for (size_t at = 0; at < count && mean; at++) {
        for (size_t k = 0; k < DIM; k++) {
            sums[at * DIM + k] /= (float)givers[at];
        }
    }
    return count;
}

static void a_closed_clock_is_one_big_batch(void **state) {
    (void)state;
    static const unsigned arrival[WORKERS] = {2, 0, 3, 1}, ranks[WORKERS] = {0, 1, 2, 3};
    static const char *const modes[] = {"sync:sum", "sync:sum,rank", "sync", "sync:rank"};
    static const char *const optimizers[] = {"adam:lr=0.1", "nadam:lr=0.1,steps=shard", "rowwise_adagrad:lr=0.1",
                                             "sgd:lr=0.1,nonfinite=clip,schedule=cosine,T_max=9"};
    static uint64_t all[WORKERS * ROWS];
    static float sums[WORKERS * ROWS * DIM];
    for (size_t m = 0; m < 16; m++) {
        struct place place, alone;
        place_init(&place, optimizers[m / 4], 0, 1, modes[m % 4]);
        place_init(&alone, optimizers[m / 4], 0, 2, NULL);
        for (uint64_t clock = 1; clock <= 3; clock++) {
            draw();
            for (size_t i = 0; i < WORKERS; i++) {
                const unsigned w = arrival[i];
                assert_int_equal(contribute(&place, clock, w, ids[w], ROWS, gradients[w]), CANYON_OK);
                assert_true(place.reply.version == clock - 1 && place.reply.sequence > 0); /* not yet */
            }
            close_clock(&place, clock);
            const size_t count = big_batch(m % 2 == 1 ? ranks : arrival, m % 4 >= 2, all, sums);
            assert_true(count > 2 * ROW_CONTRIBUTIONS_PIECE);
            assert_int_equal(push(&alone, clock, all, count, sums), CANYON_OK);
            assert_true(same_rows(&place, &alone));
        }
        place_finish(&place);
        place_finish(&alone);
    }
}

/* A worker that sends its rows in two halves, the second time in another order, counts once; a row of one worker alone
 * is not divided; what is open shows in no weight, and new rows are there as they begin. */
static void a_worker_counts_once_and_rows_begin_at_once(void **state) {
    (void)state;
    static const char *const modes[] = {"sync", "sync:rank"};
    for (size_t m = 0; m < 2; m++) {
        struct place place;
        const uint64_t some[] = {5, 9}, back[] = {9, 5, 6};
        const float twos[3 * DIM] = {2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2};
        float begins[3 * DIM], now[3 * DIM];
        struct shard_row row;
        place_init(&place, "sgd:lr=1", 0, 1, modes[m]);
        assert_int_equal(shard_pull(place.shard, ID, back, 3, begins, NULL), CANYON_OK);
        assert_int_equal(contribute(&place, 1, 3, some, 2, twos), CANYON_OK);
        assert_int_equal(place.reply.rows, 2);
        struct command command = rows_command(COMMAND_TABLE_CONTRIBUTE, 1, 3, back, 3, twos);
        command.out = now;
        assert_int_equal(apply(&place, &command), CANYON_OK);
        assert_int_equal(place.reply.rows, 1);
        assert_memory_equal(now, begins, sizeof now);
        assert_int_equal(contribute(&place, 1, 1, some, 1, twos), CANYON_OK);
        assert_int_equal(shard_row(place.shard, ID, 5, &row, NULL), CANYON_OK);
        assert_true(row.step == 0 && row.clock == 0);
        assert_int_equal(shard_table_version(place.shard, ID), 0);
        close_clock(&place, 1);
        assert_int_equal(shard_table_version(place.shard, ID), 1);
        assert_int_equal(shard_pull(place.shard, ID, back, 3, now, NULL), CANYON_OK);
        for (size_t k = 0; k < DIM; k++) {
            assert_true(now[k] == begins[k] - 4.0f);                       /* 9: of one worker, twice */
            assert_true(now[DIM + k] == begins[DIM + k] - (4.0f + 2) / 2); /* 5: of two */
            assert_true(now[2 * DIM + k] == begins[2 * DIM + k] - 2.0f);   /* 6 */
        }
        assert_int_equal(shard_row(place.shard, ID, 5, &row, NULL), CANYON_OK);
        assert_true(row.step == 1 && row.clock == 1);
        close_clock(&place, 2); /* with nothing in it */
        assert_int_equal(shard_table_version(place.shard, ID), 1);
        place_finish(&place);
    }
}

static void what_is_refused_changes_nothing(void **state) {
    (void)state;
    struct place place;
    const uint64_t four[] = {1, 2, 3, 4};
    float values[4 * DIM] = {1};
    place_init(&place, "sgd:lr=1", 3, 1, NULL);
    assert_int_equal(contribute(&place, 1, 0, four, 2, values), CANYON_UNSUPPORTED);
    place_mode(&place, "sync", 3);
    assert_int_equal(contribute(&place, 3, 0, four, 2, values), CANYON_OK);
    struct digest before = fixture_digest(place.shard);
    assert_int_equal(contribute(&place, 4, 0, four, 2, values), CANYON_BUSY);
    assert_int_equal(contribute(&place, 3, 0, four, 4, values), CANYON_TOO_LARGE); /* two more would be four */
    values[DIM] = NAN;
    assert_int_equal(contribute(&place, 3, 0, four + 1, 2, values), CANYON_NOT_FINITE);
    assert_non_null(strstr(place.error.text, "row 3"));
    assert_true(fixture_same(before, fixture_digest(place.shard)));
    values[DIM] = 1;
    close_clock(&place, 3);
    before = fixture_digest(place.shard);
    assert_int_equal(contribute(&place, 3, 0, four, 1, values), CANYON_LATE);
    assert_non_null(strstr(place.error.text, "rows of table 't'"));
    struct command wrong = rows_command(COMMAND_TABLE_CONTRIBUTE, 4, 0, four, 1, values);
    wrong.count = DIM - 1;
    assert_int_equal(apply(&place, &wrong), CANYON_INVALID_ARGUMENT);
    wrong.tensor++;
    assert_int_equal(apply(&place, &wrong), CANYON_NOT_FOUND);
    assert_true(fixture_same(before, fixture_digest(place.shard)));
    place_finish(&place);
}

static void erasing_a_row_takes_what_was_contributed_along(void **state) {
    (void)state;
    static const char *const modes[] = {"sync:sum", "sync:sum,rank"};
    for (size_t m = 0; m < 2; m++) {
        struct place place, other;
        const uint64_t some[] = {5, 6};
        const float values[2 * DIM] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
        const struct command erase = rows_command(COMMAND_TABLE_ERASE, 0, 0, some, 1, NULL);
        place_init(&place, "adam", 0, 1, modes[m]);
        place_init(&other, "adam", 0, 1, modes[m]);
        assert_int_equal(contribute(&place, 1, 0, some, 2, values), CANYON_OK);
        assert_int_equal(apply(&place, &erase), CANYON_OK);
        assert_int_equal(contribute(&other, 1, 0, some + 1, 1, values + DIM), CANYON_OK);
        close_clock(&place, 1);
        close_clock(&other, 1);
        assert_true(same_rows(&place, &other));
        /* One that comes again begins anew; of all being gone nothing is applied. */
        assert_int_equal(contribute(&place, 2, 0, some, 1, values), CANYON_OK);
        assert_int_equal(apply(&place, &erase), CANYON_OK);
        assert_int_equal(contribute(&place, 2, 1, some, 1, values), CANYON_OK);
        assert_int_equal(contribute(&other, 2, 1, some, 1, values), CANYON_OK);
        close_clock(&place, 2);
        close_clock(&other, 2);
        assert_true(same_rows(&place, &other));
        assert_int_equal(contribute(&place, 3, 0, some, 1, values), CANYON_OK);
        assert_int_equal(apply(&place, &erase), CANYON_OK);
        close_clock(&place, 3);
        assert_int_equal(shard_table_version(place.shard, ID), 2);
        place_finish(&place);
        place_finish(&other);
    }
}

/* An order that is set while a clock is open is for the next one. */
static void the_first_contribution_decides_on_the_order(void **state) {
    (void)state;
    struct place place, other;
    const uint64_t id = 5;
    const float values[DIM] = {1, 2, 3, 4, 5};
    place_init(&place, "sgd:lr=1", 0, 1, "sync:sum");
    place_init(&other, "sgd:lr=1", 0, 1, "sync:sum");
    for (uint32_t rank = 0; rank < 3; rank++) {
        assert_int_equal(contribute(&place, 1, rank, &id, 1, values), CANYON_OK);
        assert_int_equal(contribute(&other, 1, rank, &id, 1, values), CANYON_OK);
    }
    place_mode(&place, "sync:sum,rank", 1);
    assert_int_equal(contribute(&place, 1, 2, &id, 1, values), CANYON_OK);
    assert_int_equal(contribute(&other, 1, 2, &id, 1, values), CANYON_OK);
    close_clock(&place, 1);
    close_clock(&other, 1);
    assert_true(same_rows(&place, &other));
    place_finish(&place);
    place_finish(&other);
}

/* Whichever piece of memory cannot be had, the contribution is refused, or taken whole; closing needs none. What it may
 * take was said before; what is not needed is given back. */
static void memory_is_taken_before_anything_changes(void **state) {
    (void)state;
    static const char *const modes[] = {"sync", "sync:rank"};
    static uint64_t many[MANY];
    static float values[MANY * DIM];
    unsigned refused = 0;
    for (size_t i = 0; i < MANY * DIM; i++) {
        values[i] = fixture_float(&seed);
    }
    for (size_t m = 0; m < 2; m++) {
        struct place place, other;
        place_init(&place, "adam:lr=0.1", 0, 1, modes[m]);
        place_init(&other, "adam:lr=0.1", 0, 1, modes[m]);
        for (uint64_t clock = 1; clock <= 3; clock++) {
            for (uint32_t w = 0; w < WORKERS; w++) {
                for (uint64_t i = 0; i < MANY; i++) {
                    many[i] = i + w * (MANY / 3);
                }
                const struct command command = rows_command(COMMAND_TABLE_CONTRIBUTE, clock, w, many, MANY, values);
                const uint64_t had = shard_table_bytes(place.shard, ID);
                uint64_t most = 0, exact = 0;
                unsigned pieces = 0;
                assert_int_equal(shard_growth(place.shard, &command, false, &most, NULL), CANYON_OK);
                assert_int_equal(shard_growth(place.shard, &command, true, &exact, NULL), CANYON_OK);
                assert_true(exact <= most);
                const struct digest before = fixture_digest(place.shard);
                place.purse.left = pieces;
                while (apply(&place, &command) != CANYON_OK) {
                    assert_int_equal(place.error.status, CANYON_NO_MEMORY);
                    assert_true(fixture_same(before, fixture_digest(place.shard)));
                    place.purse.left = ++pieces;
                    refused++;
                }
                assert_true(shard_table_bytes(place.shard, ID) <= had + exact);
                place.purse.left = UINT32_MAX;
                /* The other's room is reserved, and once more for nothing. */
                const struct digest unreserved = fixture_digest(other.shard);
                assert_int_equal(shard_reserve(other.shard, &command, NULL), CANYON_OK);
                shard_release(other.shard);
                assert_true(fixture_same(unreserved, fixture_digest(other.shard)));
                assert_int_equal(shard_reserve(other.shard, &command, NULL), CANYON_OK);
                other.purse.left = 0;
                assert_int_equal(apply(&other, &command), CANYON_OK);
                other.purse.left = UINT32_MAX;
                assert_true(fixture_same(fixture_digest(place.shard), fixture_digest(other.shard)));
            }
            const uint64_t had = shard_contributed(place.shard, ID);
            shard_trim_contributions(place.shard, ID);
            assert_true(had > 0 && shard_contributed(place.shard, ID) == had);
            place.purse.left = other.purse.left = 0;
            close_clock(&place, clock);
            close_clock(&other, clock);
            place.purse.left = other.purse.left = UINT32_MAX;
            assert_true(fixture_same(fixture_digest(place.shard), fixture_digest(other.shard)));
        }
        const uint64_t bytes = shard_table_bytes(place.shard, ID), kept = shard_contributed(place.shard, ID);
        shard_trim_contributions(place.shard, ID);
        assert_true(shard_contributed(place.shard, ID) == 0 && shard_table_bytes(place.shard, ID) == bytes - kept);
        place_finish(&place);
        place_finish(&other);
    }
    assert_true(refused >= 2); /* pieces are large; tests/allocation has every small one fail */
}

/* Numbered contributions, duplicates and refusals among them, as byte strings, to a shard with another secret: after
 * every command both have the same digest. */
static void a_log_gives_the_same_bits_under_any_secret(void **state) {
    (void)state;
    static const char *const modes[] = {"sync", "sync:rank"};
    for (size_t m = 0; m < 2; m++) {
        struct place place, again;
        uint64_t number = 0;
        place_init(&place, "adam:lr=0.1", 0, 1, modes[m]);
        place_init(&again, "adam:lr=0.1", 0, 99, modes[m]);
        for (unsigned step = 0; step < 60; step++) {
            const uint64_t open = shard_open_clock(place.shard);
            const uint32_t rank = (uint32_t)seed_below(&seed, WORKERS);
            draw();
            struct command command =
                rows_command(COMMAND_TABLE_CONTRIBUTE, open, rank, ids[rank], ROWS, gradients[rank]);
            if (seed_below(&seed, 5) == 0) {
                command = (struct command){.kind = COMMAND_CLOSE, .clock = open};
            } else if (seed_below(&seed, 8) == 0) {
                command = rows_command(COMMAND_TABLE_ERASE, 0, 0, ids[0], 20, NULL);
            } else {
                const bool twice = number > 0 && seed_below(&seed, 5) == 0, late = seed_below(&seed, 6) == 0;
                memset(command.session, 7, SESSION_BYTES);
                number += !twice;
                command.number = number;
                command.clock = late && open > 1 ? open - 1 : open;
            }
            _Alignas(
                8) static uint8_t bytes[COMMAND_HEAD_BYTES + COMMAND_PACE_BYTES + sizeof ids[0] + sizeof gradients[0]];
            struct tensor_spec spec;
            struct command read;
            assert_true(command_bytes(&command) <= sizeof bytes);
            command_encode(&command, bytes);
            assert_int_equal(command_decode(bytes, command_bytes(&command), &spec, &read, NULL), CANYON_OK);
            assert_int_equal(apply(&place, &command), apply(&again, &read));
            assert_true(fixture_same(fixture_digest(place.shard), fixture_digest(again.shard)));
            if (place.reply.duplicate) {
                assert_true(place.reply.sequence == 0 && place.reply.applied == number);
            }
        }
        assert_true(shard_table_version(place.shard, ID) > 2);
        place_finish(&place);
        place_finish(&again);
    }
}

static int setup(void **state) {
    (void)state;
    job = fixture_job(1, 1, 1024);
    seed = 12;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    job_finish(&job);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_closed_clock_is_one_big_batch),
        TEST(a_worker_counts_once_and_rows_begin_at_once),
        TEST(what_is_refused_changes_nothing),
        TEST(erasing_a_row_takes_what_was_contributed_along),
        TEST(the_first_contribution_decides_on_the_order),
        TEST(memory_is_taken_before_anything_changes),
        TEST(a_log_gives_the_same_bits_under_any_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
