/* Synchronous clocks in a shard: what is kept, what is applied when a clock closes, in which order, and with which
 * memory; modes as commands; staleness policies. */
#include "server/shard.h"
#include "tests/unit/server/fixture.h"

#define ELEMENTS 1500 /* two blocks of one shard */
#define ID       0x1234u

/* Memory that runs out after so many pieces. */
struct purse {
    unsigned left;
    uint64_t taken;
};

static void *purse_take(void *user, size_t bytes) {
    struct purse *purse = user;
    if (purse->left == 0) {
        return NULL;
    }
    purse->left--;
    purse->taken += bytes;
    return aligned_alloc(MEMORY_ALIGNMENT, bytes);
}

static void purse_give(void *user, void *piece, size_t bytes) {
    ((struct purse *)user)->taken -= bytes;
    free(piece);
}

static struct job job;
static struct purse purse;
static struct memory memory = {.take = purse_take, .give = purse_give, .user = &purse};
static uint64_t seed;

static struct shard *make(const char *optimizer) {
    struct shard *shard = shard_create(&job, 0);
    const struct tensor_spec spec = fixture_spec("w", ELEMENTS, optimizer);
    const struct command define = {.kind = COMMAND_DEFINE, .tensor = ID, .spec = &spec};
    struct shard_reply reply;
    assert_non_null(shard);
    shard_use(shard, &memory);
    assert_int_equal(shard_apply(shard, &define, &reply, NULL), CANYON_OK);
    return shard;
}

static int setup(void **state) {
    (void)state;
    job = fixture_job(1, 1, 1024);
    purse = (struct purse){.left = UINT32_MAX};
    seed = 11;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    job_finish(&job);
    return purse.taken != 0;
}

static enum canyon_status apply(struct shard *shard, const struct command *command, struct shard_reply *reply) {
    struct shard_reply ignored;
    struct error error;
    return shard_apply(shard, command, reply != NULL ? reply : &ignored, &error);
}

static void set_mode(struct shard *shard, const char *text, uint64_t from, bool turns) {
    struct command command = {.kind = COMMAND_CONSISTENCY, .clock = from, .turns = turns};
    assert_int_equal(consistency_parse(text, &command.mode, NULL), CANYON_OK);
    assert_int_equal(apply(shard, &command, NULL), CANYON_OK);
}

static size_t length_of(uint32_t block) {
    return block == 0 ? 1024 : ELEMENTS - 1024;
}

static enum canyon_status contribute(struct shard *shard, uint64_t clock, uint32_t rank, uint32_t block,
                                     const float *values, struct shard_reply *reply) {
    const struct command command = {.kind = COMMAND_CONTRIBUTE,
                                    .tensor = ID,
                                    .block = block,
                                    .clock = clock,
                                    .rank = rank,
                                    .values = values,
                                    .count = length_of(block)};
    return apply(shard, &command, reply);
}

static enum canyon_status push(struct shard *shard, uint32_t block, uint64_t version, const float *values,
                               struct shard_reply *reply) {
    const struct command command = {.kind = COMMAND_PUSH,
                                    .tensor = ID,
                                    .block = block,
                                    .version = version,
                                    .values = values,
                                    .count = length_of(block)};
    return apply(shard, &command, reply);
}

static void close_clock(struct shard *shard, uint64_t clock) {
    const struct command command = {.kind = COMMAND_CLOSE, .clock = clock};
    assert_int_equal(apply(shard, &command, NULL), CANYON_OK);
}

static const float *weights_of(const struct shard *shard, uint32_t block) {
    struct shard_block view;
    assert_int_equal(shard_read(shard, ID, block, SLOT_WEIGHTS, &view, NULL), CANYON_OK);
    return view.values;
}

static bool same_weights(const struct shard *one, const struct shard *other) {
    return memcmp(weights_of(one, 0), weights_of(other, 0), 1024 * sizeof(float)) == 0 &&
           memcmp(weights_of(one, 1), weights_of(other, 1), (ELEMENTS - 1024) * sizeof(float)) == 0;
}

#define WORKERS 5
static float gradients[WORKERS][1024];

/* Sums of these are not exact. */
static void draw(void) {
    for (size_t w = 0; w < WORKERS; w++) {
        for (size_t i = 0; i < 1024; i++) {
            gradients[w][i] = fixture_float(&seed) * (w % 2 == 0 ? 1e4f : 1e-3f);
        }
    }
}

static void sum_of(const unsigned *order, size_t count, float *sum) {
    memcpy(sum, gradients[order[0]], sizeof gradients[0]);
    for (size_t i = 1; i < count; i++) {
        for (size_t j = 0; j < 1024; j++) {
            sum[j] += gradients[order[i]][j];
        }
    }
}

static void by_rank_or_as_they_arrive(void **state) {
    (void)state;
    static const unsigned arrival[] = {3, 0, 4, 2, 1}, ranks[] = {0, 1, 2, 3, 4};
    static const char *const modes[] = {"sync:sum", "sync:sum,rank", "sync", "sync:rank"};
    for (size_t m = 0; m < 4; m++) {
        struct shard *shard = make("adam:lr=0.1"), *alone = make("adam:lr=0.1");
        set_mode(shard, modes[m], 1, false);
        for (uint64_t clock = 1; clock <= 3; clock++) {
            float sum[1024];
            draw();
            for (size_t i = 0; i < WORKERS; i++) {
                struct shard_reply reply;
                assert_int_equal(contribute(shard, clock, arrival[i], 0, gradients[arrival[i]], &reply), CANYON_OK);
                assert_true(reply.version == clock - 1 && reply.sequence > 0); /* not yet */
                assert_ptr_equal(reply.weights, weights_of(shard, 0));
            }
            /* Of the other block only two, and its mean is of those. */
            assert_int_equal(contribute(shard, clock, 4, 1, gradients[4], NULL), CANYON_OK);
            assert_int_equal(contribute(shard, clock, 0, 1, gradients[0], NULL), CANYON_OK);
            close_clock(shard, clock);
            assert_int_equal(shard_open_clock(shard), clock + 1);
            sum_of(m % 2 == 1 ? ranks : arrival, WORKERS, sum);
            for (size_t i = 0; i < 1024 && m >= 2; i++) {
                sum[i] /= 5.0f;
            }
            assert_int_equal(push(alone, 0, clock - 1, sum, NULL), CANYON_OK);
            const unsigned two[] = {m % 2 == 1 ? 0 : 4, m % 2 == 1 ? 4 : 0};
            sum_of(two, 2, sum);
            for (size_t i = 0; i < 1024 && m >= 2; i++) {
                sum[i] /= 2.0f;
            }
            assert_int_equal(push(alone, 1, clock - 1, sum, NULL), CANYON_OK);
            assert_true(same_weights(shard, alone));
        }
        shard_destroy(shard);
        shard_destroy(alone);
    }
}

static void a_worker_counts_once_whatever_it_sends(void **state) {
    (void)state;
    static const char *const modes[] = {"sync", "sync:rank"};
    for (size_t m = 0; m < 2; m++) {
        struct shard *shard = make("sgd:lr=1"), *alone = make("sgd:lr=1");
        float ones[1024], expected[1024];
        for (size_t i = 0; i < 1024; i++) {
            ones[i] = 1.0f;
            expected[i] = 2.0f; /* (1 + 1 + 1) + 1, of two workers */
        }
        set_mode(shard, modes[m], 7, false);
        assert_int_equal(shard_open_clock(shard), 7);
        for (uint32_t i = 0; i < 4; i++) {
            assert_int_equal(contribute(shard, 7, i == 2 ? 1 : 9, 0, ones, NULL), CANYON_OK);
        }
        close_clock(shard, 7);
        assert_int_equal(push(alone, 0, 0, expected, NULL), CANYON_OK);
        assert_true(same_weights(shard, alone));
        shard_destroy(shard);
        shard_destroy(alone);
    }
}

static void other_clocks_than_the_open_one_are_refused(void **state) {
    (void)state;
    struct shard *shard = make("sgd:lr=1");
    draw();
    assert_int_equal(contribute(shard, 1, 0, 0, gradients[0], NULL), CANYON_UNSUPPORTED);
    set_mode(shard, "sync", 5, false);
    assert_int_equal(contribute(shard, 4, 0, 0, gradients[0], NULL), CANYON_UNSUPPORTED); /* asynchronous still */
    assert_int_equal(contribute(shard, 6, 0, 0, gradients[0], NULL), CANYON_BUSY);
    assert_int_equal(contribute(shard, 5, 0, 0, gradients[0], NULL), CANYON_OK);
    close_clock(shard, 8); /* all up to there */
    const struct digest before = fixture_digest(shard);
    assert_int_equal(contribute(shard, 5, 1, 0, gradients[1], NULL), CANYON_LATE);
    assert_int_equal(contribute(shard, 8, 1, 0, gradients[1], NULL), CANYON_LATE);
    close_clock(shard, 8); /* again: nothing */
    gradients[1][3] = 1.0f / 0.0f;
    assert_int_equal(contribute(shard, 9, 1, 0, gradients[1], NULL), CANYON_NOT_FINITE);
    assert_true(fixture_same(before, fixture_digest(shard)));
    struct command wrong = {.kind = COMMAND_CONTRIBUTE, .tensor = ID, .clock = 9, .values = gradients[0], .count = 3};
    assert_int_equal(apply(shard, &wrong, NULL), CANYON_INVALID_ARGUMENT);
    wrong.tensor = 99;
    assert_int_equal(apply(shard, &wrong, NULL), CANYON_NOT_FOUND);
    shard_destroy(shard);
}

/* Also where the first one is for a short block: room is taken for any. */
static void growth_is_what_is_taken(void **state) {
    (void)state;
    struct shard *shard = make("sgd:lr=1");
    draw();
    set_mode(shard, "sync", 1, false);
    for (uint32_t block = 2; block-- > 0;) {
        const struct command command = {.kind = COMMAND_CONTRIBUTE,
                                        .tensor = ID,
                                        .block = block,
                                        .clock = 1,
                                        .values = gradients[0],
                                        .count = length_of(block)};
        const uint64_t before = purse.taken, growth = shard_contribution_growth(shard, &command);
        assert_int_equal(growth, 1024 * sizeof(float));
        assert_int_equal(apply(shard, &command, NULL), CANYON_OK);
        assert_int_equal(purse.taken - before, growth);
        assert_int_equal(shard_contribution_growth(shard, &command), 0);
    }
    shard_destroy(shard);
}

/* Commands may say so, in whatever order they come. */
static void a_block_keeps_the_order_that_it_began_with(void **state) {
    (void)state;
    static const char *const modes[] = {"sync:sum", "sync:sum,rank"};
    for (size_t m = 0; m < 2; m++) {
        struct shard *shard = make("sgd:lr=1"), *alone = make("sgd:lr=1");
        float ones[1024], expected[1024];
        for (size_t i = 0; i < 1024; i++) {
            ones[i] = 1.0f;
            expected[i] = 5.0f;
        }
        set_mode(shard, modes[m], 1, false);
        assert_int_equal(contribute(shard, 1, 1, 0, ones, NULL), CANYON_OK);
        assert_int_equal(contribute(shard, 1, 2, 0, ones, NULL), CANYON_OK);
        set_mode(shard, modes[1 - m], 1, false);
        assert_int_equal(contribute(shard, 1, 2, 0, ones, NULL), CANYON_OK);
        assert_int_equal(contribute(shard, 1, 0, 0, ones, NULL), CANYON_OK);
        assert_int_equal(contribute(shard, 1, 3, 0, ones, NULL), CANYON_OK);
        close_clock(shard, 1);
        assert_int_equal(push(alone, 0, 0, expected, NULL), CANYON_OK);
        assert_true(same_weights(shard, alone));
        shard_destroy(shard);
        shard_destroy(alone);
    }
}

static void without_memory_nothing_changes(void **state) {
    (void)state;
    static const char *const modes[] = {"sync", "sync:rank"};
    for (size_t m = 0; m < 2; m++) {
        struct shard *shard = make("adam:lr=0.1");
        uint64_t refused = 0;
        draw();
        set_mode(shard, modes[m], 1, false);
        for (uint32_t rank = 0; rank < WORKERS; rank++) {
            const struct command command = {.kind = COMMAND_CONTRIBUTE,
                                            .tensor = ID,
                                            .clock = 1,
                                            .rank = rank,
                                            .values = gradients[rank],
                                            .count = 1024};
            const struct digest before = fixture_digest(shard);
            const uint64_t had = shard_contributed(shard, ID), growth = shard_contribution_growth(shard, &command);
            purse.left = 0;
            enum canyon_status status = apply(shard, &command, NULL);
            if (growth > 0) {
                assert_int_equal(status, CANYON_NO_MEMORY);
                assert_true(fixture_same(before, fixture_digest(shard)));
                purse.left = 1;
                assert_int_equal(apply(shard, &command, NULL), CANYON_OK);
                refused++;
            } else {
                assert_int_equal(status, CANYON_OK);
            }
            assert_int_equal(shard_contributed(shard, ID), had + growth);
            assert_false(fixture_same(before, fixture_digest(shard)));
            purse.left = UINT32_MAX;
        }
        assert_int_equal(refused, m == 0 ? 1 : WORKERS);
        /* What was taken serves the next clock, and goes when it is asked to. */
        const uint64_t had = shard_contributed(shard, ID);
        shard_trim_contributions(shard, ID);
        assert_int_equal(shard_contributed(shard, ID), had);
        close_clock(shard, 1);
        purse.left = 0;
        for (uint32_t rank = 0; rank < WORKERS; rank++) {
            assert_int_equal(contribute(shard, 2, rank, 0, gradients[rank], NULL), CANYON_OK);
        }
        purse.left = UINT32_MAX;
        close_clock(shard, 2);
        shard_trim_contributions(shard, ID);
        assert_int_equal(shard_contributed(shard, ID), 0);
        shard_destroy(shard);
    }
}

/* ---- modes ---- */

static void modes_take_their_turns(void **state) {
    (void)state;
    struct shard *shard = make("sgd:lr=1");
    const struct consistency_plan *plan = shard_consistency(shard);
    const struct digest none = fixture_digest(shard);
    assert_false(plan->set);
    set_mode(shard, "ssp:3", 5, false);
    assert_true(plan->set && plan->from == 5 && plan->now.mode == CONSISTENCY_ASYNC && shard_open_clock(shard) == 0);
    assert_false(fixture_same(none, fixture_digest(shard)));
    const uint64_t sequence = shard_sequence(shard);
    set_mode(shard, "ssp:3", 5, false); /* again */
    assert_int_equal(shard_sequence(shard), sequence);
    set_mode(shard, "sync", 9, false); /* instead of it */
    assert_true(plan->now.mode == CONSISTENCY_ASYNC && shard_open_clock(shard) == 9);
    set_mode(shard, "sync:sum", 4, false); /* earlier */
    assert_int_equal(shard_open_clock(shard), 4);
    close_clock(shard, 6);
    set_mode(shard, "ssp:1", 20, true); /* after it */
    assert_true(plan->now.combine == CONSISTENCY_SUM && plan->next.mode == CONSISTENCY_SSP);
    assert_int_equal(shard_open_clock(shard), 7);
    draw();
    assert_int_equal(contribute(shard, 7, 0, 0, gradients[0], NULL), CANYON_OK);
    close_clock(shard, 19);
    set_mode(shard, "sync", 30, true);
    assert_true(plan->now.mode == CONSISTENCY_SSP && shard_open_clock(shard) == 30);
    shard_destroy(shard);
}

/* Its mode is forgotten with the turn; what was contributed is not. */
static void a_turn_closes_what_is_open(void **state) {
    (void)state;
    struct shard *shard = make("sgd:lr=1"), *alone = make("sgd:lr=1");
    float ones[1024];
    for (size_t i = 0; i < 1024; i++) {
        ones[i] = 1.0f;
    }
    set_mode(shard, "sync", 1, false);
    set_mode(shard, "async", 2, true);
    assert_int_equal(contribute(shard, 1, 0, 0, ones, NULL), CANYON_OK);
    assert_int_equal(contribute(shard, 1, 1, 0, ones, NULL), CANYON_OK);
    set_mode(shard, "ssp:3", 5, true);
    assert_int_equal(push(alone, 0, 0, ones, NULL), CANYON_OK);
    assert_true(same_weights(shard, alone));
    shard_destroy(shard);
    shard_destroy(alone);
}

static void a_log_gives_the_same_bits_again(void **state) {
    (void)state;
    struct shard *shard = make("adam:lr=0.1"), *again = make("adam:lr=0.1");
    static const uint32_t ranks[] = {4, 1, 3, 0, 2};
    struct command commands[40];
    size_t count = 0;
    static float values[40][1024];
    commands[count++] = (struct command){.kind = COMMAND_CONSISTENCY, .clock = 1, .mode = {.mode = CONSISTENCY_SYNC}};
    for (uint64_t clock = 1; clock <= 6; clock++) {
        for (size_t i = 0; i < WORKERS; i++) {
            fixture_fill(&seed, values[count], 1024);
            commands[count] = (struct command){.kind = COMMAND_CONTRIBUTE,
                                               .tensor = ID,
                                               .clock = clock,
                                               .rank = ranks[i],
                                               .values = values[count],
                                               .count = 1024};
            count++;
        }
        commands[count++] = (struct command){.kind = COMMAND_CLOSE, .clock = clock};
    }
    assert_true(count <= 40);
    for (size_t i = 0; i < count; i++) {
        /* The second shard gets what the byte strings say. */
        _Alignas(8) static uint8_t bytes[COMMAND_HEAD_BYTES + COMMAND_PACE_BYTES + sizeof values[0]];
        struct tensor_spec spec;
        struct command read;
        assert_true(command_bytes(&commands[i]) <= sizeof bytes);
        command_encode(&commands[i], bytes);
        assert_int_equal(command_decode(bytes, command_bytes(&commands[i]), &spec, &read, NULL), CANYON_OK);
        assert_int_equal(apply(shard, &commands[i], NULL), CANYON_OK);
        assert_int_equal(apply(again, &read, NULL), CANYON_OK);
        assert_true(fixture_same(fixture_digest(shard), fixture_digest(again)));
    }
    shard_destroy(shard);
    shard_destroy(again);
}

/* A mode may be replaced while its first clock is ahead of all members, and contributions to it have come already. */
static void the_first_contribution_decides_on_the_order(void **state) {
    (void)state;
    static const char *const modes[] = {"sync:sum", "sync:sum,rank"};
    for (size_t m = 0; m < 2; m++) {
        struct shard *shard = make("sgd:lr=1"), *other = make("sgd:lr=1");
        draw();
        set_mode(shard, modes[m], 1, false);
        set_mode(other, modes[m], 1, false);
        for (uint32_t rank = 0; rank < 3; rank++) {
            assert_int_equal(contribute(shard, 1, rank, 0, gradients[rank], NULL), CANYON_OK);
            assert_int_equal(contribute(other, 1, rank, 0, gradients[rank], NULL), CANYON_OK);
        }
        set_mode(shard, modes[1 - m], 1, false);
        for (uint32_t rank = 4; rank > 1; rank--) {
            assert_int_equal(contribute(shard, 1, rank, 0, gradients[rank], NULL), CANYON_OK);
            assert_int_equal(contribute(other, 1, rank, 0, gradients[rank], NULL), CANYON_OK);
        }
        close_clock(shard, 1);
        close_clock(other, 1);
        assert_true(same_weights(shard, other));
        shard_destroy(shard);
        shard_destroy(other);
    }
}

static void a_dropped_tensor_takes_its_contributions_along(void **state) {
    (void)state;
    struct shard *shard = make("sgd:lr=1");
    draw();
    set_mode(shard, "sync:rank", 1, false);
    assert_int_equal(contribute(shard, 1, 0, 0, gradients[0], NULL), CANYON_OK);
    const struct command undefine = {.kind = COMMAND_UNDEFINE, .tensor = ID};
    assert_int_equal(apply(shard, &undefine, NULL), CANYON_OK);
    assert_int_equal(purse.taken, 0);
    close_clock(shard, 1);
    shard_destroy(shard);
}

/* ---- staleness ---- */

static void a_stale_gradient_takes_a_shorter_step(void **state) {
    (void)state;
    struct shard *scaled = make("sgd:lr=0.5,staleness=scale"), *plain = make("sgd:lr=0.5");
    struct shard_reply reply;
    draw();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(push(scaled, 0, (uint64_t)i, gradients[0], NULL), CANYON_OK);
        assert_int_equal(push(plain, 0, (uint64_t)i, gradients[0], NULL), CANYON_OK);
    }
    assert_true(same_weights(scaled, plain));
    float before[1024];
    memcpy(before, weights_of(scaled, 0), sizeof before);
    assert_int_equal(push(scaled, 0, 0, gradients[1], &reply), CANYON_OK);
    assert_int_equal(reply.staleness, 3);
    for (size_t i = 0; i < 1024; i++) {
        const float step = 0.125f * gradients[1][i]; /* 0.5 / (1 + 3), exactly */
        assert_true(weights_of(scaled, 0)[i] == before[i] - step);
    }
    shard_destroy(scaled);
    shard_destroy(plain);
}

static void a_gradient_beyond_the_bound_is_refused(void **state) {
    (void)state;
    struct shard *shard = make("sgd:lr=0.5,staleness=refuse,staleness_bound=2");
    draw();
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(push(shard, 0, 0, gradients[0], NULL), CANYON_OK);
    }
    const struct digest before = fixture_digest(shard);
    assert_int_equal(push(shard, 0, 0, gradients[0], NULL), CANYON_STALE);
    assert_true(fixture_same(before, fixture_digest(shard)));
    assert_int_equal(push(shard, 0, 1, gradients[0], NULL), CANYON_OK);
    shard_destroy(shard);
}

static void policies_are_settings(void **state) {
    (void)state;
    static const char *const bad[] = {
        "sgd:staleness=refuse", "sgd:staleness_bound=3", "sgd:staleness=scale,staleness_bound=3",
        "sgd:staleness=refuse,staleness_bound=-1", "sgd:staleness=refuse,staleness_bound=1.5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct tensor_spec spec = fixture_raw_spec("w", 10, bad[i]);
        if (shard_canonical_spec(&spec, NULL) != CANYON_INVALID_ARGUMENT) {
            fail_msg("%s was taken", bad[i]);
        }
    }
    struct tensor_spec spec = fixture_spec("w", 10, "sgd:staleness=refuse,staleness_bound=4");
    const struct tensor_spec plain = fixture_spec("w", 10, "sgd"), said = fixture_spec("w", 10, "sgd:staleness=accept");
    assert_true(command_specs_equal(&plain, &said)); /* the default leaves no trace */
    const struct setting accept = {.name = "staleness", .value = STALENESS_ACCEPT};
    assert_int_equal(shard_merge_settings(&spec, &accept, 1, NULL), CANYON_OK);
    assert_true(command_specs_equal(&plain, &spec)); /* its bound went with it */
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(by_rank_or_as_they_arrive),
        TEST(a_worker_counts_once_whatever_it_sends),
        TEST(other_clocks_than_the_open_one_are_refused),
        TEST(a_block_keeps_the_order_that_it_began_with),
        TEST(growth_is_what_is_taken),
        TEST(without_memory_nothing_changes),
        TEST(modes_take_their_turns),
        TEST(a_turn_closes_what_is_open),
        TEST(a_log_gives_the_same_bits_again),
        TEST(the_first_contribution_decides_on_the_order),
        TEST(a_dropped_tensor_takes_its_contributions_along),
        TEST(a_stale_gradient_takes_a_shorter_step),
        TEST(a_gradient_beyond_the_bound_is_refused),
        TEST(policies_are_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
