/* canyon-sim train --consistency, --staleness-policy and --straggle, and canyon-sim study: what modes do to a training
 * run, as its own numbers show it. Nothing here is timed. */
#include "answers.h"
#include "program.h"

#include <jansson.h>
#include <math.h>

#include "canyon.h"
#include "servers.h"

static json_t *object_at(const char *line) {
    json_error_t error;
    json_t *object = json_loadb(line, strcspn(line, "\n"), 0, &error);
    if (object == NULL) {
        fail_msg("%s in:\n%s", error.text, line);
    }
    return object;
}

/* The one object that a run prints; owned. */
static json_t *run(const char *const *words) {
    struct program program;
    program_run(&program, NULL, 0, words);
    json_t *object = object_at(program.said);
    program_finish(&program);
    return object;
}

#define TRAIN(...) WORDS("train", "--json", __VA_ARGS__)

/* A lone worker in a mode does what it does without: nobody is there to wait for, and a mean of one is that one. */
static void a_lone_worker_learns_the_same_in_every_mode(void **state) {
    static const char *const modes[] = {"async", "ssp:0", "sync", "sync:sum,rank"};
    (void)state;
    json_t *plain = run(TRAIN("--local", "2", "-w", "1", "-b", "128", "-e", "3", "-o", "nadam"));
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        json_t *paced = run(TRAIN("--local", "2", "--threads", "2", "-w", "1", "-b", "128", "-e", "3", "-o", "nadam",
                                  "--consistency", modes[i]));
        assert_string_equal(json_string_value(json_object_get(paced, "consistency")), modes[i]);
        assert_true(number_of(paced, "final_loss") == number_of(plain, "final_loss"));
        assert_true(number_of(paced, "steps") == number_of(plain, "steps"));
        json_decref(paced);
    }
    json_decref(plain);
}

/* Four with batches of 32 are one with batches of 128, though the last batch of an epoch (17 images) and of a full one
 * (1,297) cannot be shared out evenly; and four with batches of 1 are one with 4, though three of them have no image in
 * the last. What differs is the order in which floats are added up. */
static void synchronous_workers_are_one_with_the_whole_batch(void **state) {
    static const struct {
        const char *many, *one, *epochs, *optimizer, *model, *mode, *sum;
    } pairs[] = {{"32", "128", "2", "sgd", "mlp", "sync", "sgd"},
                 {"32", "128", "2", "adam", "mlp", "sync:rank", "adam"},
                 {"1", "4", "1", "sgd:lr=0.05", "softmax", "sync", "sgd:lr=0.05"},
                 {"full", "full", "2", "sgd:lr=0.4", "mlp", "sync:sum", "sgd:lr=0.1"}};
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        json_t *one = run(TRAIN("--local", "1", "-w", "1", "-b", pairs[i].one, "-o", pairs[i].optimizer, "-m",
                                pairs[i].model, "-e", pairs[i].epochs));
        json_t *many = run(TRAIN("--local", "2", "--threads", "2", "-w", "4", "-b", pairs[i].many, "-o", pairs[i].sum,
                                 "-m", pairs[i].model, "-e", pairs[i].epochs, "--consistency", pairs[i].mode));
        double expected = number_of(one, "final_loss"), is = number_of(many, "final_loss");
        if (fabs(is - expected) > 1e-5 * expected) {
            fail_msg("%s, batches of %s: the loss is %.9g with four workers and %.9g with one", pairs[i].mode,
                     pairs[i].many, is, expected);
        }
        assert_true(number_of(many, "staleness_max") == 0);
        assert_true(number_of(many, "test_accuracy") == number_of(one, "test_accuracy"));
        json_decref(one);
        json_decref(many);
    }
}

/* In the order of ranks, sums do not depend on who comes first: the same bits, wherever the blocks are. */
static void training_in_the_order_of_ranks_repeats_itself(void **state) {
    static const char *const places[][2] = {{"1", "1"}, {"3", "2"}};
    double losses[2];
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        json_t *object = run(TRAIN("--local", places[i][0], "--threads", places[i][1], "-w", "5", "-b", "16", "-e", "3",
                                   "-o", "adam", "--consistency", "sync:rank"));
        losses[i] = number_of(object, "final_loss");
        json_decref(object);
    }
    assert_true(losses[0] == losses[1]);
}

/* A batch counts as a step once, whatever it took; what was refused had missed nothing when it was taken. */
static void stale_gradients_are_computed_anew(void **state) {
    static const char *const modes[] = {NULL, "async", "ssp:3"};
    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        json_t *object =
            modes[i] == NULL
                ? run(TRAIN("--local", "2", "-e", "2", "--staleness-policy", "refuse:0"))
                : run(TRAIN("--local", "2", "-e", "2", "--staleness-policy", "refuse:0", "--consistency", modes[i]));
        assert_string_equal(json_string_value(json_object_get(object, "staleness_policy")), "refuse:0");
        assert_true(number_of(object, "steps") == 2 * 11 * 4);
        assert_true(number_of(object, "refused") > 0);
        assert_true(number_of(object, "staleness_max") == 0 && number_of(object, "test_accuracy") > 0.5);
        json_decref(object);
    }
    struct program program;
    program_run(&program, NULL, 0,
                WORDS("train", "--local", "2", "-e", "2", "-w", "2", "--staleness-policy", "refuse:1"));
    expect_part(program.said, "refused");
    program_finish(&program);
}

static void staleness_scales_the_rate(void **state) {
    (void)state;
    json_t *accepted = run(TRAIN("--local", "2", "-w", "8", "-e", "6", "--staleness-policy", "accept"));
    json_t *scaled = run(TRAIN("--local", "2", "-w", "8", "-e", "6", "--staleness-policy", "scale"));
    assert_true(number_of(scaled, "staleness_mean") > 1.0);
    assert_true(number_of(scaled, "refused") == 0);
    /* Rates that are divided by several learn so much less that luck does not matter. */
    assert_true(number_of(scaled, "final_loss") > number_of(accepted, "final_loss"));
    json_decref(accepted);
    json_decref(scaled);
}

/* Worker 0 is slow, and clocks close with three: its batches are late, and every clock's others count. */
static void late_batches_are_lost(void **state) {
    struct program program;
    (void)state;
    json_t *object = run(TRAIN("--local", "2", "-e", "4", "--consistency", "sync:minimum=3", "--straggle", "0:40"));
    double steps = number_of(object, "steps"), late = number_of(object, "late");
    /* 11 clocks an epoch, of which the slow one skips those that closed while it was late. The machine may hold up
     * another one of them for a while, too. */
    assert_true(late > 0 && steps >= 2 * 11 * 4 && steps + late < 4 * 11 * 4);
    assert_true(number_of(object, "test_accuracy") > 0.3);
    json_decref(object);
    program_run(&program, NULL, 0,
                WORDS("train", "--local", "1", "-e", "1", "--consistency", "sync:minimum=3", "--straggle", "0:20"));
    expect_part(program.said, "late");
    program_finish(&program);
}

/* With a bound of 0 nobody computes before all have pushed the step before: a gradient misses at most what the other
 * three push in the same clock, however slow one of them is. */
static void bounded_staleness_holds_with_a_straggler(void **state) {
    (void)state;
    json_t *object = run(TRAIN("--local", "2", "--threads", "2", "-e", "3", "--consistency", "ssp:0", "--straggle",
                               "1:5", "--straggle", "1:3,2:1"));
    assert_true(number_of(object, "staleness_max") <= 3 && number_of(object, "staleness_mean") > 0);
    assert_true(number_of(object, "steps") == 3 * 11 * 4);
    json_decref(object);
}

/* Runs on the same servers go on where the clocks of the ones before ended; another mode is refused in words. */
static void servers_keep_their_mode(void **state) {
    struct program program;
    struct local *local = NULL;
    (void)state;
    assert_int_equal(servers_start(2, &local), 0);
    program_run(&program, NULL, 0,
                WORDS("train", "-s", local_servers(local), "--json", "-e", "2", "-o", "sgd", "-o", "adam",
                      "--consistency", "sync:rank"));
    json_t *first = object_at(program.said);
    program_finish(&program);
    json_t *again = run(TRAIN("-s", local_servers(local), "-e", "2", "-o", "sgd", "--consistency", "sync:rank"));
    assert_true(number_of(first, "final_loss") == number_of(again, "final_loss"));
    json_decref(first);
    json_decref(again);
    program_run(&program, NULL, 1, WORDS("train", "-s", local_servers(local), "--consistency", "ssp:3"));
    expect_part(program.told, "this job is sync");
    program_finish(&program);
    assert_true(local_stop(local));
}

static void wrong_words_are_refused(void **state) {
    static const char *const wrong[][3] = {
        {"train", "--consistency", "ssp"},  {"train", "--consistency", "sync:fast"}, {"train", "--straggle", "4:1"},
        {"train", "--straggle", "1"},       {"train", "--staleness-policy", "no"},   {"study", "--consistency", "ssp"},
        {"study", "--plot", "picture.jpg"}, {"study", "--optimizer", "all"},         {"study", "--goal", "101"},
        {"study", "--seeds", "0"}};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct program program;
        program_run(&program, NULL, 2, WORDS(wrong[i][0], wrong[i][1], wrong[i][2]));
        expect_part(program.told, wrong[i][1]);
        assert_string_equal(program.said, "");
        program_finish(&program);
    }
}

/* Two modes, each without a slow worker and with one: four rows, of which the goal is reached by those that say so. */
static void a_study_has_a_row_for_each_mode_and_worker(void **state) {
    static const char *const modes[] = {"async", "sync:rank", "async", "sync:rank"};
    struct program program;
    (void)state;
    program_run(&program, NULL, 0,
                WORDS("study", "--json", "--local", "1", "--epochs", "3", "--work", "1", "--slow", "5", "--goal", "30",
                      "--seeds", "2", "--consistency", "async", "--consistency", "sync:rank", "-o", "adam:lr=0.004"));
    const char *line = program.said;
    double accuracies[4];
    for (size_t i = 0; i < 4; i++, line = strchr(line, '\n') + 1) {
        json_t *object = object_at(line), *way = json_object_get(object, "accuracy");
        assert_string_equal(json_string_value(json_object_get(object, "consistency")), modes[i]);
        assert_true(number_of(object, "slow_ms") == (i < 2 ? 0 : 5) && number_of(object, "steps") == 3 * 11 * 4);
        assert_true(number_of(object, "seconds_to_goal") > 0.0 &&
                    number_of(object, "seconds_to_goal") <= number_of(object, "seconds"));
        assert_true(number_of(object, "seconds_to_goal_error") >= 0.0 && number_of(object, "steps_to_goal") >= 1);
        assert_true(json_array_size(way) >= 2);
        double seconds = 0.0;
        for (size_t p = 0; p < json_array_size(way); p++) {
            const json_t *point = json_array_get(way, p);
            double at = json_number_value(json_array_get(point, 0));
            assert_true(at >= seconds);
            seconds = at;
        }
        /* The end of the way is the end of the run. */
        const json_t *last = json_array_get(way, json_array_size(way) - 1);
        assert_true(json_integer_value(json_array_get(last, 1)) == 3 * 11 * 4);
        accuracies[i] = number_of(object, "test_accuracy");
        json_decref(object);
    }
    assert_string_equal(line, "");
    assert_true(accuracies[1] == accuracies[3]); /* synchronous: a slow worker changes when, not what */
    program_finish(&program);
}

static void a_study_draws_and_tabulates(void **state) {
    struct program program;
    char directory[] = "/tmp/canyon-study-XXXXXX", picture[64], magic[8] = "";
    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(picture, sizeof picture, "%s/study.png", directory);
    program_run(&program, NULL, 0,
                WORDS("study", "--local", "1", "--epochs", "2", "--work", "0", "--slow", "1", "--consistency", "ssp:1",
                      "--goal", "99.9", "--plot", picture));
    expect_part(program.said, "to 99.9 %");
    expect_part(program.said, "ssp:1");
    expect_part(program.said, "+1 ms");
    expect_part(program.said, picture);
    program_finish(&program);
    FILE *file = fopen(picture, "rb");
    assert_non_null(file);
    assert_int_equal(fread(magic, 1, 4, file), 4);
    assert_memory_equal(magic, "\x89PNG", 4);
    fclose(file);
    assert_int_equal(unlink(picture), 0);
    assert_int_equal(rmdir(directory), 0); /* nothing else is left in it */
    program_run(&program, NULL, 0, WORDS("help", "study"));
    for (const char *line = program.said; *line != '\0'; line += strcspn(line, "\n") + 1) {
        assert_true(strcspn(line, "\n") <= 80);
    }
    program_finish(&program);
}

/* Interrupted between its first run's first step and its last run's last. */
static void an_interrupted_study_leaves_nothing_behind(void **state) {
    struct program program;
    pid_t sims[PROGRAM_PROCESSES], servers[PROGRAM_PROCESSES];
    (void)state;
    program_start(&program, NULL, WORDS("study", "--epochs", "1000", "--work", "5"));
    assert_int_equal(program_wait_children(program.process, "canyon-server", 2, servers), 2);
    assert_int_equal(program_wait_children(program.process, "canyon-sim", 5, sims), 5);
    kill(program.process, SIGINT);
    program_wait(&program, 60);
    assert_int_equal(program.code, 128 + SIGINT);
    expect_part(program.told, "canyon-sim study: ");
    expect_part(program.told, "interrupted");
    assert_string_equal(program.said, "");
    program_expect_gone(sims, 5);
    program_expect_gone(servers, 2);
    program_finish(&program);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lone_worker_learns_the_same_in_every_mode),
        cmocka_unit_test(synchronous_workers_are_one_with_the_whole_batch),
        cmocka_unit_test(training_in_the_order_of_ranks_repeats_itself),
        cmocka_unit_test(stale_gradients_are_computed_anew),
        cmocka_unit_test(staleness_scales_the_rate),
        cmocka_unit_test(late_batches_are_lost),
        cmocka_unit_test(bounded_staleness_holds_with_a_straggler),
        cmocka_unit_test(servers_keep_their_mode),
        cmocka_unit_test(wrong_words_are_refused),
        cmocka_unit_test(a_study_has_a_row_for_each_mode_and_worker),
        cmocka_unit_test(a_study_draws_and_tabulates),
        cmocka_unit_test(an_interrupted_study_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
