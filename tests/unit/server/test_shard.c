/* The shard: every error leaves the state as it was, every change shows in the digest, and the recorded commands give
 * the same state again. */
#include "tests/unit/server/fixture.h"

#include <math.h>

#include "server/command.h"

#define BLOCK  1024
#define SHARDS 4

static struct job job;

static int setup(void **state) {
    (void)state;
    job = fixture_job(1, SHARDS, BLOCK);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    job_finish(&job);
    return 0;
}

static struct command about(enum command_kind kind, uint64_t tensor, unsigned session) {
    struct command command = {.kind = kind, .tensor = tensor};
    fixture_session(command.session, session);
    return command;
}

static struct command with_spec(enum command_kind kind, uint64_t tensor, const struct tensor_spec *spec) {
    struct command command = about(kind, tensor, 1);
    command.spec = spec;
    return command;
}

static struct command with_values(enum command_kind kind, uint64_t tensor, uint32_t block, uint64_t version,
                                  const float *values, size_t count) {
    return (struct command){
        .kind = kind, .tensor = tensor, .block = block, .version = version, .values = values, .count = count};
}

/* Applies a command that must change the shard. */
static struct shard_reply changes(struct shard *shard, struct command command) {
    struct shard_reply reply;
    struct error error;
    struct digest before = fixture_digest(shard);
    uint64_t sequence = shard_sequence(shard);
    assert_int_equal(shard_apply(shard, &command, &reply, &error), CANYON_OK);
    assert_int_equal(shard_sequence(shard), sequence + 1);
    assert_int_equal(reply.sequence, sequence + 1);
    assert_false(fixture_same(fixture_digest(shard), before));
    return reply;
}

/* Applies a command that must not change it, whatever it answers. */
static void changes_nothing(struct shard *shard, struct command command, enum canyon_status status,
                            const char *fragment) {
    struct shard_reply reply;
    struct error error = {.status = CANYON_OK};
    struct digest before = fixture_digest(shard);
    uint64_t sequence = shard_sequence(shard);
    assert_int_equal(shard_apply(shard, &command, &reply, &error), status);
    if (strstr(error.text, fragment) == NULL) {
        fail_msg("'%s' is not in '%s'", fragment, error.text);
    }
    assert_int_equal(reply.sequence, 0);
    assert_int_equal(shard_sequence(shard), sequence);
    assert_true(fixture_same(fixture_digest(shard), before));
}

static void the_life_of_a_catalogue_entry(void **state) {
    (void)state;
    struct shard *shard = shard_create(&job, 0);
    struct tensor_spec w = fixture_spec("w", 10, "sgd"), v = fixture_spec("v", 10, "adam");
    changes_nothing(shard, about(COMMAND_ADOPT, 5, 1), CANYON_NOT_FOUND, "0000000000000005");
    changes_nothing(shard, about(COMMAND_COMPLETE, 5, 1), CANYON_NOT_FOUND, "0000000000000005");
    changes_nothing(shard, about(COMMAND_DROP, 5, 1), CANYON_NOT_FOUND, "0000000000000005");
    changes_nothing(shard, about(COMMAND_DROPPED, 5, 1), CANYON_NOT_FOUND, "0000000000000005");
    changes_nothing(shard, with_spec(COMMAND_CREATE, 0, &w), CANYON_INVALID_ARGUMENT, "id");
    changes(shard, with_spec(COMMAND_CREATE, 5, &w));
    changes_nothing(shard, with_spec(COMMAND_CREATE, 6, &w), CANYON_CONFLICT, "'w'");
    changes_nothing(shard, with_spec(COMMAND_CREATE, 5, &v), CANYON_CONFLICT, "0000000000000005");
    assert_int_equal(shard_find_name(shard, "w")->state, TENSOR_CREATING);
    assert_ptr_equal(shard_find_id(shard, 5), shard_find_name(shard, "w"));
    assert_memory_equal(shard_creator(shard, 5), about(COMMAND_DROP, 0, 1).session, SESSION_BYTES);

    changes_nothing(shard, about(COMMAND_COMPLETE, 5, 2), CANYON_CONFLICT, "by another worker");
    changes_nothing(shard, about(COMMAND_DROPPED, 5, 1), CANYON_CONFLICT, "being created");
    /* Adopting changes who creates, which is no part of the digest; its sequence number is. */
    changes(shard, about(COMMAND_ADOPT, 5, 2));
    changes_nothing(shard, about(COMMAND_COMPLETE, 5, 1), CANYON_CONFLICT, "by another worker");
    changes(shard, about(COMMAND_COMPLETE, 5, 2));
    assert_null(shard_creator(shard, 5));
    changes_nothing(shard, about(COMMAND_COMPLETE, 5, 2), CANYON_OK, "");
    changes_nothing(shard, about(COMMAND_COMPLETE, 5, 1), CANYON_CONFLICT, "complete");
    changes_nothing(shard, about(COMMAND_ADOPT, 5, 1), CANYON_CONFLICT, "complete");
    changes_nothing(shard, about(COMMAND_DROPPED, 5, 1), CANYON_CONFLICT, "complete");

    changes(shard, about(COMMAND_DROP, 5, 3));
    changes_nothing(shard, about(COMMAND_DROP, 5, 4), CANYON_OK, "");
    changes_nothing(shard, about(COMMAND_COMPLETE, 5, 2), CANYON_CONFLICT, "being dropped");
    changes_nothing(shard, with_spec(COMMAND_CREATE, 6, &w), CANYON_CONFLICT, "'w'");
    changes(shard, about(COMMAND_DROPPED, 5, 9));
    assert_null(shard_find_name(shard, "w"));
    assert_null(shard_creator(shard, 5));
    changes(shard, with_spec(COMMAND_CREATE, 6, &w));
    assert_string_equal(shard_next_name(shard, "")->spec.name, "w");
    assert_null(shard_next_name(shard, "w"));
    shard_destroy(shard);
    shard_destroy(NULL);
}

static void only_shard_0_has_a_catalogue(void **state) {
    (void)state;
    struct shard *shard = shard_create(&job, 3);
    struct tensor_spec w = fixture_spec("w", 10, "sgd");
    changes_nothing(shard, with_spec(COMMAND_CREATE, 5, &w), CANYON_INVALID_ARGUMENT, "shard 3");
    for (unsigned kind = COMMAND_ADOPT; kind <= COMMAND_DROPPED; kind++) {
        changes_nothing(shard, about((enum command_kind)kind, 5, 1), CANYON_INVALID_ARGUMENT, "shard 3");
    }
    shard_destroy(shard);
}

static void define_and_undefine(void **state) {
    (void)state;
    struct tensor_spec w = fixture_spec("w", 2 * SHARDS * BLOCK, "adam"), small = fixture_spec("w", 10, "adam"),
                       v = fixture_spec("v", 8 * BLOCK, "adam");
    struct tensor_spec other = w;
    other.initializer.seed++;
    uint32_t home = job_shard_of(&job, job_home("w"), 0), away = (home + 1) % SHARDS;
    struct shard *shard = shard_create(&job, away);
    struct shard_totals totals;
    struct shard_block view;
    struct error error;
    changes_nothing(shard, with_spec(COMMAND_DEFINE, 0, &w), CANYON_INVALID_ARGUMENT, "id");
    changes_nothing(shard, with_spec(COMMAND_DEFINE, 5, &small), CANYON_OK, "");
    assert_int_equal(shard_define_bytes(shard, &small), 0);
    changes_nothing(shard, about(COMMAND_UNDEFINE, 5, 1), CANYON_OK, "");
    changes(shard, with_spec(COMMAND_DEFINE, 5, &w));
    changes_nothing(shard, with_spec(COMMAND_DEFINE, 5, &w), CANYON_OK, "");
    changes_nothing(shard, with_spec(COMMAND_DEFINE, 5, &small), CANYON_MISMATCH, "[10]");
    changes_nothing(shard, with_spec(COMMAND_DEFINE, 5, &other), CANYON_MISMATCH, "asked: 2, 8,");
    changes_nothing(shard, with_spec(COMMAND_DEFINE, 5, &v), CANYON_MISMATCH, "asked: 'v'");
    changes_nothing(shard, with_spec(COMMAND_DEFINE, 6, &w), CANYON_STATE_LOST, "0000000000000005");
    shard_totals(shard, &totals);
    assert_int_equal(totals.tensors, 1);
    assert_int_equal(totals.parameters, 2 * BLOCK);
    assert_int_equal(totals.state_bytes, 3 * 2 * BLOCK * sizeof(float));
    assert_int_equal(totals.state_bytes, shard_define_bytes(shard, &w));
    assert_int_equal(shard_read(shard, 5, fixture_first_block(&job, away, "w"), SLOT_WEIGHTS, &view, &error),
                     CANYON_OK);
    assert_int_equal(view.bytes, BLOCK * sizeof(float));
    assert_int_equal(shard_read(shard, 5, fixture_first_block(&job, home, "w"), SLOT_WEIGHTS, &view, &error),
                     CANYON_INVALID_ARGUMENT);
    assert_int_equal(shard_read(shard, 5, 2 * SHARDS + 1, SLOT_WEIGHTS, &view, &error), CANYON_INVALID_ARGUMENT);
    assert_int_equal(shard_read(shard, 6, 0, SLOT_WEIGHTS, &view, &error), CANYON_NOT_FOUND);
    changes(shard, about(COMMAND_UNDEFINE, 5, 1));
    assert_int_equal(shard_read(shard, 5, fixture_first_block(&job, away, "w"), SLOT_WEIGHTS, &view, &error),
                     CANYON_NOT_FOUND);
    shard_totals(shard, &totals);
    assert_int_equal(totals.tensors + totals.parameters + totals.state_bytes, 0);
    shard_destroy(shard);
}

static void specs_that_are_not_canonical_are_refused(void **state) {
    (void)state;
    struct shard *shard = shard_create(&job, 0);
    struct tensor_spec raw = fixture_raw_spec("w", 10, "adam:lr=0.5"), unknown = fixture_spec("w", 10, "adam");
    memcpy(unknown.optimizer.name, "nada", 4);
    changes_nothing(shard, with_spec(COMMAND_CREATE, 5, &raw), CANYON_INVALID_ARGUMENT, "canonical");
    changes_nothing(shard, with_spec(COMMAND_DEFINE, 5, &raw), CANYON_INVALID_ARGUMENT, "canonical");
    changes_nothing(shard, with_spec(COMMAND_DEFINE, 5, &unknown), CANYON_INVALID_ARGUMENT, "nada");
    shard_destroy(shard);
}

static void a_part_beyond_memory_changes_nothing(void **state) {
    (void)state;
    if (fixture_overcommits()) {
        print_message("SKIPPED: this machine promises any amount of memory (vm.overcommit_memory is 1)\n");
        skip();
    }
    struct tensor_spec huge = fixture_spec("huge", LIMIT_ELEMENTS, "adam");
    struct shard *shard = shard_create(&job, 2);
    char bytes[32];
    snprintf(bytes, sizeof bytes, "%llu bytes", (unsigned long long)(LIMIT_ELEMENTS / SHARDS * 12));
    changes_nothing(shard, with_spec(COMMAND_DEFINE, 5, &huge), CANYON_NO_MEMORY, bytes);
    shard_destroy(shard);
}

static void pushes_and_assigns(void **state) {
    (void)state;
    static float values[BLOCK], gradient[BLOCK];
    uint64_t seed = 11;
    struct tensor_spec w = fixture_spec("w", 3 * SHARDS * BLOCK - BLOCK + 7, "sgd:lr=0.5");
    uint32_t home = job_shard_of(&job, job_home("w"), 0), last = (home + SHARDS - 1) % SHARDS;
    uint32_t first = fixture_first_block(&job, last, "w"), tail = first + 2 * SHARDS;
    struct shard *shard = shard_create(&job, last);
    fixture_fill(&seed, values, BLOCK);
    fixture_fill(&seed, gradient, BLOCK);
    changes_nothing(shard, with_values(COMMAND_PUSH, 5, first, 0, gradient, BLOCK), CANYON_NOT_FOUND,
                    "0000000000000005");
    changes_nothing(shard, with_values(COMMAND_ASSIGN, 5, first, 0, gradient, BLOCK), CANYON_NOT_FOUND, "5");
    changes(shard, with_spec(COMMAND_DEFINE, 5, &w));
    changes_nothing(shard, with_values(COMMAND_PUSH, 5, first + 1, 0, gradient, BLOCK), CANYON_INVALID_ARGUMENT,
                    "block");
    changes_nothing(shard, with_values(COMMAND_PUSH, 5, first, 0, gradient, BLOCK - 1), CANYON_INVALID_ARGUMENT,
                    "1023");
    changes_nothing(shard, with_values(COMMAND_ASSIGN, 5, first, 0, gradient, 0), CANYON_INVALID_ARGUMENT, "1024");
    changes_nothing(shard, with_values(COMMAND_PUSH, 5, tail, 0, gradient, BLOCK), CANYON_INVALID_ARGUMENT,
                    "has 7 elements");
    gradient[37] = NAN;
    gradient[900] = INFINITY;
    changes_nothing(shard, with_values(COMMAND_PUSH, 5, first, 0, gradient, BLOCK), CANYON_NOT_FINITE, "index 37");
    changes_nothing(shard, with_values(COMMAND_ASSIGN, 5, first, 0, gradient, BLOCK), CANYON_NOT_FINITE, "index 37");
    gradient[37] = 1;
    changes_nothing(shard, with_values(COMMAND_PUSH, 5, first, 0, gradient, BLOCK), CANYON_NOT_FINITE, "is inf");
    gradient[900] = -1;

    struct shard_reply reply = changes(shard, with_values(COMMAND_ASSIGN, 5, first, 0, values, BLOCK));
    assert_int_equal(reply.version, 1);
    assert_int_equal(reply.elements, BLOCK);
    assert_memory_equal(reply.weights, values, sizeof values);
    /* The same values again are another update. */
    changes(shard, with_values(COMMAND_ASSIGN, 5, first, 0, values, BLOCK));
    reply = changes(shard, with_values(COMMAND_PUSH, 5, first, 2, gradient, BLOCK));
    assert_int_equal(reply.version, 3);
    for (size_t i = 0; i < BLOCK; i++) {
        assert_true(reply.weights[i] == values[i] - 0.5f * gradient[i]);
    }
    struct shard_block view;
    assert_int_equal(shard_read(shard, 5, first, SLOT_WEIGHTS, &view, NULL), CANYON_OK);
    assert_ptr_equal(view.values, reply.weights);
    assert_int_equal(view.version, 3);
    assert_int_equal(view.step, 1);
    assert_int_equal(shard_read(shard, 5, first + SHARDS, SLOT_WEIGHTS, &view, NULL), CANYON_OK);
    assert_int_equal(view.version, 0);
    reply = changes(shard, with_values(COMMAND_PUSH, 5, tail, 0, gradient, 7));
    assert_int_equal(reply.elements, 7);
    shard_destroy(shard);
}

/* Staleness: the block's version before the push, less the version the gradient's weights had. */
static void staleness_is_a_difference_of_versions(void **state) {
    (void)state;
    float gradient[3] = {1, 2, 3};
    struct tensor_spec w = fixture_spec("w", 3, "sgd");
    struct shard *shard = shard_create(&job, job_shard_of(&job, job_home("w"), 0));
    static const struct {
        uint64_t version, staleness;
    } pushes[] = {{0, 0}, {1, 0}, {2, 0}, {0, 3}, {3, 1}, {5, 0}, {1000, 0}, {0, 7}};
    changes(shard, with_spec(COMMAND_DEFINE, 5, &w));
    for (size_t i = 0; i < sizeof pushes / sizeof pushes[0]; i++) {
        struct shard_reply reply = changes(shard, with_values(COMMAND_PUSH, 5, 0, pushes[i].version, gradient, 3));
        assert_int_equal(reply.version, i + 1);
        assert_int_equal(reply.staleness, pushes[i].staleness);
    }
    shard_destroy(shard);
}

static void empty_and_scalar_tensors(void **state) {
    (void)state;
    float one = 1;
    struct tensor_spec empty = fixture_spec("e", 0, "sgd"), scalar = fixture_raw_spec("s", 0, "sgd");
    scalar.shape.rank = 0;
    assert_int_equal(shard_canonical_spec(&scalar, NULL), CANYON_OK);
    for (uint32_t index = 0; index < SHARDS; index++) {
        struct shard *shard = shard_create(&job, index);
        changes_nothing(shard, with_spec(COMMAND_DEFINE, 5, &empty), CANYON_OK, "");
        if (job_shard_of(&job, job_home("s"), 0) == index) {
            changes(shard, with_spec(COMMAND_DEFINE, 6, &scalar));
            changes(shard, with_values(COMMAND_PUSH, 6, 0, 0, &one, 1));
        } else {
            changes_nothing(shard, with_spec(COMMAND_DEFINE, 6, &scalar), CANYON_OK, "");
        }
        shard_destroy(shard);
    }
}

/* ---- Settings ---- */

static struct command with_settings(enum command_kind kind, uint64_t tensor, const struct tensor_spec *spec,
                                    uint64_t epoch) {
    struct command command = {.kind = kind, .tensor = tensor, .spec = spec, .version = epoch};
    return command;
}

static void settings_are_ordered_by_the_catalogue(void **state) {
    (void)state;
    struct shard *shard = shard_create(&job, 0), *away = shard_create(&job, 1);
    struct tensor_spec w = fixture_spec("w", 10, "adam"), faster = fixture_spec("w", 10, "adam:lr=0.5"),
                       sgd = fixture_spec("w", 10, "sgd"), longer = fixture_spec("w", 11, "adam:lr=0.5"),
                       raw = fixture_raw_spec("w", 10, "adam:lr=0.5");
    changes_nothing(shard, with_settings(COMMAND_SET, 5, &faster, 1), CANYON_NOT_FOUND, "0000000000000005");
    changes_nothing(away, with_settings(COMMAND_SET, 5, &faster, 1), CANYON_INVALID_ARGUMENT, "shard 1");
    changes(shard, with_spec(COMMAND_CREATE, 5, &w));
    changes_nothing(shard, with_settings(COMMAND_SET, 5, &faster, 1), CANYON_CONFLICT, "being created");
    changes(shard, about(COMMAND_COMPLETE, 5, 1));
    changes_nothing(shard, with_settings(COMMAND_SET, 5, &sgd, 1), CANYON_MISMATCH, "sgd(");
    changes_nothing(shard, with_settings(COMMAND_SET, 5, &longer, 1), CANYON_MISMATCH, "[11]");
    changes_nothing(shard, with_settings(COMMAND_SET, 5, &raw, 1), CANYON_INVALID_ARGUMENT, "canonical");
    changes_nothing(shard, with_settings(COMMAND_SET, 5, &faster, 2), CANYON_CONFLICT, "epoch 2 is not next");
    changes(shard, with_settings(COMMAND_SET, 5, &faster, 1));
    assert_true(shard_find_id(shard, 5)->epoch == 1);
    assert_true(shard_find_id(shard, 5)->spec.optimizer.settings[0].value == 0.5);
    assert_true(shard_created_with(shard, 5)->settings[0].value == 0.001);
    assert_null(shard_created_with(shard, 6));
    changes_nothing(shard, with_settings(COMMAND_SET, 5, &faster, 2), CANYON_OK, ""); /* it has them */
    changes(shard, with_settings(COMMAND_SET, 5, &w, 2));
    changes(shard, about(COMMAND_DROP, 5, 1));
    changes_nothing(shard, with_settings(COMMAND_SET, 5, &faster, 3), CANYON_CONFLICT, "being dropped");
    shard_destroy(shard);
    shard_destroy(away);
}

/* A part takes the highest epoch, whatever order they come in, from the next push on. */
static void a_part_takes_settings_at_one_point(void **state) {
    (void)state;
    float one = 1, weight;
    struct tensor_spec w = fixture_spec("w", 1, "sgd:lr=0.5"), second = fixture_spec("w", 1, "sgd:lr=0.25"),
                       third = fixture_spec("w", 1, "sgd:lr=2"), adam = fixture_spec("w", 1, "adam"),
                       v = fixture_spec("v", 1, "sgd");
    struct shard *shard = shard_create(&job, job_shard_of(&job, job_home("w"), 0));
    changes_nothing(shard, with_settings(COMMAND_ADJUST, 5, &second, 1), CANYON_NOT_FOUND, "0000000000000005");
    changes(shard, with_spec(COMMAND_DEFINE, 5, &w));
    weight = changes(shard, with_values(COMMAND_PUSH, 5, 0, 0, &one, 1)).weights[0];
    changes_nothing(shard, with_settings(COMMAND_ADJUST, 5, &adam, 1), CANYON_MISMATCH, "adam(");
    changes_nothing(shard, with_settings(COMMAND_ADJUST, 5, &v, 1), CANYON_MISMATCH, "'v'");
    changes_nothing(shard, with_settings(COMMAND_ADJUST, 5, &second, 0), CANYON_OK, "");
    changes(shard, with_settings(COMMAND_ADJUST, 5, &third, 2));
    changes_nothing(shard, with_settings(COMMAND_ADJUST, 5, &third, 2), CANYON_OK, "");
    changes_nothing(shard, with_settings(COMMAND_ADJUST, 5, &second, 1), CANYON_OK, "");
    assert_true(changes(shard, with_values(COMMAND_PUSH, 5, 0, 1, &one, 1)).weights[0] == weight - 2);
    /* It is defined as it was, and a definition that comes again changes nothing. */
    changes_nothing(shard, with_spec(COMMAND_DEFINE, 5, &w), CANYON_OK, "");
    changes_nothing(shard, with_spec(COMMAND_DEFINE, 5, &third), CANYON_MISMATCH, "lr=2");
    changes(shard, with_settings(COMMAND_ADJUST, 5, &second, 7));
    assert_true(changes(shard, with_values(COMMAND_PUSH, 5, 0, 1, &one, 1)).weights[0] == weight - 2 - 0.25f);
    shard_destroy(shard);
}

/* NaN and infinity under each policy, with an optimizer whose slots a zero gradient would change. */
static void gradients_that_are_not_finite(void **state) {
    (void)state;
    static const char *const policies[] = {"adam:lr=0.5", "adam:lr=0.5,nonfinite=skip",
                                           "momentum:lr=1e-30,nonfinite=clip"};
    const float inf = (float)INFINITY, good[4] = {1, 2, -1, 3}, bad[4] = {(float)NAN, inf, -1, -inf};
    for (unsigned policy = 0; policy < 3; policy++) {
        struct tensor_spec w = fixture_spec("w", 4, policies[policy]);
        struct shard *shard = shard_create(&job, job_shard_of(&job, job_home("w"), 0));
        struct shard_totals totals;
        float before[4];
        changes(shard, with_spec(COMMAND_DEFINE, 5, &w));
        memcpy(before, changes(shard, with_values(COMMAND_PUSH, 5, 0, 0, good, 4)).weights, sizeof before);
        changes_nothing(shard, with_values(COMMAND_ASSIGN, 5, 0, 0, bad, 4), CANYON_NOT_FINITE, "index 0");
        if (policy == NONFINITE_REFUSE) {
            changes_nothing(shard, with_values(COMMAND_PUSH, 5, 0, 1, bad, 4), CANYON_NOT_FINITE, "index 0");
        } else {
            const float *after = changes(shard, with_values(COMMAND_PUSH, 5, 0, 1, bad, 4)).weights;
            bool clips = policy == NONFINITE_CLIP;
            assert_true(after[0] == before[0]);
            assert_true(clips ? after[1] < before[1] : after[1] == before[1]);
            assert_true(clips ? after[2] <= 1.0f : after[2] > before[2]);
            assert_true(clips ? after[3] > before[3] : after[3] == before[3]);
        }
        shard_totals(shard, &totals);
        assert_int_equal(totals.skipped, policy == NONFINITE_SKIP ? 3 : policy == NONFINITE_CLIP ? 1 : 0);
        assert_int_equal(totals.clipped, policy == NONFINITE_CLIP ? 2 : 0);
        assert_int_equal(totals.kept, 0);
        shard_destroy(shard);
    }
}

/* What is skipped is as if it had not been in the gradient: element by element, slots too, as the next push shows. */
static void a_skipped_element_keeps_its_slots(void **state) {
    (void)state;
    float first[BLOCK], second[BLOCK], third[BLOCK];
    uint64_t seed = seed_begin("a_skipped_element_keeps_its_slots");
    struct tensor_spec w = fixture_spec("w", BLOCK, "momentum:lr=0.5,nonfinite=skip");
    struct shard *one = shard_create(&job, job_shard_of(&job, job_home("w"), 0)),
                 *other = shard_create(&job, job_shard_of(&job, job_home("w"), 0));
    fixture_fill(&seed, first, BLOCK);
    fixture_fill(&seed, second, BLOCK);
    fixture_fill(&seed, third, BLOCK);
    for (size_t i = 0; i < BLOCK; i += 3) {
        second[i] = i % 2 == 0 ? (float)NAN : (float)INFINITY;
    }
    const float *pushes[] = {first, second, third};
    const float *here = NULL, *there = NULL;
    changes(one, with_spec(COMMAND_DEFINE, 5, &w));
    changes(other, with_spec(COMMAND_DEFINE, 5, &w));
    for (size_t p = 0; p < 3; p++) {
        here = changes(one, with_values(COMMAND_PUSH, 5, 0, p, pushes[p], BLOCK)).weights;
        if (p != 1) {
            there = changes(other, with_values(COMMAND_PUSH, 5, 0, p, pushes[p], BLOCK)).weights;
        }
    }
    for (size_t i = 0; i < BLOCK; i++) {
        assert_true(i % 3 == 0 ? here[i] == there[i] : here[i] != there[i]);
    }
    shard_destroy(one);
    shard_destroy(other);
}

/* ---- Replay ---- */

#define NAMES 6

/* A random command for a shard, sensible or not. `values` has BLOCK + 1 floats. */
static struct command random_command(uint64_t *seed, uint32_t index, const struct tensor_spec *specs,
                                     struct tensor_spec *other, float *values) {
    static const enum command_kind often[] = {COMMAND_DEFINE, COMMAND_PUSH, COMMAND_PUSH, COMMAND_PUSH, COMMAND_ASSIGN};
    enum command_kind kind =
        seed_below(seed, 2) ? often[seed_below(seed, 5)] : (enum command_kind)(1 + seed_below(seed, COMMAND_LAST));
    uint64_t which = seed_below(seed, NAMES);
    struct command command = about(kind, 1 + which, (unsigned)seed_below(seed, 3));
    if (seed_below(seed, 20) == 0) {
        command.tensor = seed_below(seed, NAMES + 2);
    }
    if (kind == COMMAND_CREATE || kind == COMMAND_DEFINE) {
        command.spec = &specs[which];
    }
    if (kind == COMMAND_SET || kind == COMMAND_ADJUST) {
        *other = specs[which];
        other->optimizer.settings[0].value = 0.001 * (double)(1 + seed_below(seed, 9));
        command.spec = other;
        command.version = 1 + seed_below(seed, 9);
    }
    if (kind == COMMAND_ASSIGN || kind == COMMAND_PUSH) {
        command.block = (uint32_t)seed_below(seed, 12);
        if (seed_below(seed, 8) > 0) {
            command.block =
                fixture_first_block(&job, index, specs[which].name) + SHARDS * (uint32_t)seed_below(seed, 2);
        }
        command.version = seed_below(seed, 5);
        command.count = seed_below(seed, 3) == 0 ? seed_below(seed, BLOCK + 1) : BLOCK;
        command.values = values;
        fixture_fill(seed, values, BLOCK);
        if (seed_below(seed, 10) == 0) {
            values[seed_below(seed, BLOCK)] = seed_below(seed, 2) ? NAN : 3e38f;
        }
    }
    return command;
}

struct record {
    uint8_t *bytes;
    size_t count;
};

/* A fresh shard fed the recorded strings. */
static void replay(uint32_t index, const struct record *records, size_t count, const struct shard *original) {
    struct shard *shard = shard_create(&job, index);
    for (size_t i = 0; i < count; i++) {
        struct tensor_spec spec;
        struct command command;
        struct shard_reply reply;
        assert_int_equal(command_decode(records[i].bytes, records[i].count, &spec, &command, NULL), CANYON_OK);
        assert_int_equal(shard_apply(shard, &command, &reply, NULL), CANYON_OK);
        assert_int_equal(reply.sequence, i + 1);
    }
    assert_int_equal(shard_sequence(shard), shard_sequence(original));
    assert_true(fixture_same(fixture_digest(shard), fixture_digest(original)));
    shard_destroy(shard);
}

static void the_recorded_commands_give_the_same_state(void **state) {
    (void)state;
    enum { ROUNDS = 600 };
    uint64_t seed = seed_begin("the_recorded_commands_give_the_same_state");
    static float values[BLOCK + 1];
    struct tensor_spec specs[NAMES], other;
    for (size_t i = 0; i < NAMES; i++) {
        char name[2] = {(char)('a' + i), '\0'};
        specs[i] = fixture_spec(name, SHARDS * BLOCK + seed_below(&seed, SHARDS * BLOCK),
                                i == 0   ? "adam:nonfinite=skip"
                                : i == 1 ? "momentum:nonfinite=clip,schedule=cosine,T_max=3"
                                         : optimizer_at(i % optimizer_count())->name);
    }
    for (uint32_t index = 0; index < SHARDS; index++) {
        struct shard *shard = shard_create(&job, index);
        struct record *records = calloc(ROUNDS, sizeof *records);
        size_t applied = 0, refused = 0;
        for (int round = 0; round < ROUNDS; round++) {
            struct command command = random_command(&seed, index, specs, &other, values);
            struct shard_reply reply;
            struct digest before = fixture_digest(shard);
            enum canyon_status status = shard_apply(shard, &command, &reply, NULL);
            if (status == CANYON_OK && reply.sequence > 0) {
                records[applied].count = command_bytes(&command);
                records[applied].bytes = malloc(records[applied].count);
                command_encode(&command, records[applied].bytes);
                applied++;
            } else {
                assert_true(fixture_same(fixture_digest(shard), before));
                refused += status != CANYON_OK;
            }
        }
        assert_true(applied > ROUNDS / 20 && refused > ROUNDS / 20);
        replay(index, records, applied, shard);
        for (size_t i = 0; i < applied; i++) {
            free(records[i].bytes);
        }
        free(records);
        shard_destroy(shard);
    }
}

/* The same commands under other ids and sessions, with the digest the same; in another order, not. */
static void ids_and_sessions_are_no_part_of_the_digest(void **state) {
    (void)state;
    float values[2][4] = {{1, 2, 3, 4}, {-1, 0.5f, 7, 2}};
    struct digest digests[3];
    /* Names that live in shard 0, which has the catalogue too. */
    char name[8];
    unsigned number = 0;
    do {
        snprintf(name, sizeof name, "n%u", number++);
    } while (job_shard_of(&job, job_home(name), 0) != 0);
    struct tensor_spec spec = fixture_spec(name, 4, "adam");
    for (unsigned run = 0; run < 3; run++) {
        struct shard *shard = shard_create(&job, 0);
        uint64_t id = 10 + run;
        struct command create = with_spec(COMMAND_CREATE, id, &spec);
        fixture_session(create.session, 40 + run);
        changes(shard, create);
        changes(shard, with_spec(COMMAND_DEFINE, id, &spec));
        changes(shard, about(COMMAND_COMPLETE, id, 40 + run));
        changes(shard, with_values(COMMAND_PUSH, id, 0, 0, values[run == 2], 4));
        changes(shard, with_values(COMMAND_PUSH, id, 0, 1, values[run != 2], 4));
        digests[run] = fixture_digest(shard);
        shard_destroy(shard);
    }
    assert_true(fixture_same(digests[0], digests[1]));
    assert_false(fixture_same(digests[0], digests[2]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_life_of_a_catalogue_entry),
        cmocka_unit_test(only_shard_0_has_a_catalogue),
        cmocka_unit_test(define_and_undefine),
        cmocka_unit_test(specs_that_are_not_canonical_are_refused),
        cmocka_unit_test(a_part_beyond_memory_changes_nothing),
        cmocka_unit_test(pushes_and_assigns),
        cmocka_unit_test(staleness_is_a_difference_of_versions),
        cmocka_unit_test(empty_and_scalar_tensors),
        cmocka_unit_test(settings_are_ordered_by_the_catalogue),
        cmocka_unit_test(a_part_takes_settings_at_one_point),
        cmocka_unit_test(gradients_that_are_not_finite),
        cmocka_unit_test(a_skipped_element_keeps_its_slots),
        cmocka_unit_test(the_recorded_commands_give_the_same_state),
        cmocka_unit_test(ids_and_sessions_are_no_part_of_the_digest),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
