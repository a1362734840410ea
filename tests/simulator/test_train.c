/* canyon-sim train: what it prints, that it learns, and that it cleans up whatever happens. */
#include "answers.h"
#include "program.h"

#include <jansson.h>
#include <math.h>

#include "canyon.h"
#include "client/simulator/report.h"
#include "servers.h"

static struct local *local; /* servers that some of the tests share */

static int start_servers(void **state) {
    (void)state;
    return servers_start(2, &local);
}

static int stop_servers(void **state) {
    (void)state;
    return local_stop(local) ? 0 : -1;
}

/* The object on line `line` of the output, counted from 0; owned. */
static json_t *object_of(const struct program *program, size_t line) {
    json_error_t error;
    const char *at = program->said;
    for (; line > 0; line--) {
        at = strchr(at, '\n');
        assert_non_null(at);
        at++;
    }
    json_t *object = json_loadb(at, strcspn(at, "\n"), 0, &error);
    if (object == NULL) {
        fail_msg("%s in:\n%s", error.text, at);
    }
    return object;
}

static void json_has_its_keys_and_numbers(void **state) {
    static const char *const keys[] = {
        "optimizer", "batch",         "workers",         "servers",        "epochs",         "steps",
        "pushes",    "clipped_steps", "final_loss",      "test_accuracy",  "staleness_mean", "staleness_max",
        "seconds",   "codec",         "bytes_sent",      "bytes_received", "saved",          "refused",
        "late",      "consistency",   "staleness_policy"};
    struct program program;
    (void)state;
    /* Long and slow enough that a worker which the machine holds up for a while, and which is stale then, spoils
     * nothing. */
    program_run(&program, NULL, 0,
                WORDS("train", "--local", "2", "--workers", "4", "--model", "mlp", "--optimizer", "adam:lr=0.002",
                      "--batch", "32", "--epochs", "20", "--seed", "3", "--json"));
    json_t *object = object_of(&program, 0);
    assert_int_equal(json_object_size(object), 21);
    for (size_t i = 0; i < 21; i++) {
        assert_non_null(json_object_get(object, keys[i]));
    }
    assert_string_equal(json_string_value(json_object_get(object, "optimizer")), "adam:lr=0.002");
    assert_true(number_of(object, "batch") == 32 && number_of(object, "workers") == 4);
    assert_true(number_of(object, "servers") == 2 && number_of(object, "epochs") == 20);
    /* Shares are 325, 324, 324, 324 images: 11 batches each. */
    assert_true(number_of(object, "steps") == 4 * 11 * 20);
    assert_true(number_of(object, "pushes") == 4 * 4 * 11 * 20);
    assert_true(number_of(object, "test_accuracy") >= 0.9 && number_of(object, "test_accuracy") <= 1.0);
    assert_true(number_of(object, "final_loss") > 0.0 && number_of(object, "final_loss") < 0.4);
    assert_true(number_of(object, "staleness_mean") >= 0.0);
    assert_true(number_of(object, "staleness_max") >= number_of(object, "staleness_mean"));
    assert_true(number_of(object, "seconds") > 0.0);
    assert_string_equal(json_string_value(json_object_get(object, "codec")), "f32/f32");
    /* 64 x 64 + 64 + 10 x 64 + 10 parameters. */
    assert_true(number_of(object, "bytes_sent") == 880.0 * 4810 * 4 &&
                number_of(object, "bytes_received") == 880.0 * 4810 * 4);
    assert_true(number_of(object, "saved") == 0.0);
    json_decref(object);
    assert_null(strchr(strchr(program.said, '\n') + 1, '\n')); /* one line */
    program_finish(&program);
}

/* Steps that are longer than they may be are counted, and shortened: training takes another way. */
static void gradients_are_clipped_to_a_norm(void **state) {
    static const char *const norms[] = {"1e30", "0.5", "1e-6", "1e-9"};
    double clipped[4], losses[4];
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct program program;
        program_run(&program, NULL, 0,
                    WORDS("train", "-s", local_servers(local), "-w", "1", "-m", "softmax", "-o", "sgd", "-e", "2",
                          "--json", "--clip-norm", norms[i]));
        json_t *object = object_of(&program, 0);
        assert_true(number_of(object, "steps") == 82);
        clipped[i] = number_of(object, "clipped_steps");
        losses[i] = number_of(object, "final_loss");
        json_decref(object);
        program_finish(&program);
    }
    assert_true(clipped[0] == 0 && clipped[1] > 0 && clipped[1] < 82 && clipped[2] == 82);
    /* The steps of the last two are 1e-7 and 1e-10 long: they end where they began. */
    assert_true(losses[0] < losses[1] && losses[1] < losses[2] && fabs(losses[3] - losses[2]) < 1e-3);
    struct program program;
    program_run(&program, NULL, 0,
                WORDS("train", "-s", local_servers(local), "-w", "2", "-m", "softmax", "-o", "sgd", "-e", "1",
                      "--clip-norm=1e-6"));
    expect_part(program.said, "clipped");
    expect_part(program.said, "100.0 %");
    program_finish(&program);
    program_run(&program, NULL, 2, WORDS("train", "--clip-norm", "0"));
    expect_part(program.told, "--clip-norm");
    program_finish(&program);
}

/* Bytes are what the codecs' definitions say, of every tensor and step; and it learns all the same. */
static void values_travel_in_other_forms(void **state) {
    static const struct {
        const char *text, *name;
        double sent, received; /* of one step; softmax: 10 x 64 weights and 10 biases */
    } codecs[] = {
        {"bf16", "bf16/f32", 650 * 2, 650 * 4},
        {"f16/bf16", "f16/bf16", 650 * 2, 650 * 2},
        {"int8:stochastic/int8", "int8:stochastic/int8", 650 + 11 * 4 + 2, 650 + 11 * 4 + 2},
        {"topk:0.1/f32", "topk:0.1/f32", (64 + 1) * 8, 650 * 4},
        {"int8:feedback/f16", "int8:feedback/f16", 650 + 11 * 4 + 2, 650 * 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        struct program program;
        program_run(&program, NULL, 0,
                    WORDS("train", "-s", local_servers(local), "-w", "1", "-m", "softmax", "-o", "adam", "-e", "8",
                          "--json", "--codec", codecs[i].text));
        json_t *object = object_of(&program, 0);
        double steps = number_of(object, "steps"), sent = codecs[i].sent * steps, received = codecs[i].received * steps;
        assert_true(steps == 8 * 41);
        assert_string_equal(json_string_value(json_object_get(object, "codec")), codecs[i].name);
        assert_true(number_of(object, "bytes_sent") == sent && number_of(object, "bytes_received") == received);
        assert_true(fabs(number_of(object, "saved") - (1 - (sent + received) / (2 * 650 * 4 * steps))) < 1e-12);
        assert_true(number_of(object, "test_accuracy") > 0.5);
        json_decref(object);
        program_finish(&program);
    }
    struct program program;
    program_run(
        &program, NULL, 0,
        WORDS("train", "-s", local_servers(local), "-w", "2", "-m", "softmax", "-e", "1", "--codec", "bf16/bf16"));
    expect_part(program.said, "saved");
    expect_part(program.said, "50.0 %");
    program_finish(&program);
    static const char *const wrong[][2] = {{"zip", "'zip' is no codec of gradients"},
                                           {"bf16/topk:0.1", "'topk:0.1' is no codec of weights"},
                                           {"bf16/", "'' is no codec of weights"},
                                           {"", "'' is no codec of gradients"},
                                           {"topk:7", "topk:FRACTION"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        program_run(&program, NULL, 2, WORDS("train", "--codec", wrong[i][0]));
        expect_part(program.told, wrong[i][1]);
        program_finish(&program);
    }
}

/* One worker sees nobody's updates but its own, so servers and threads change nothing, to the last bit. */
static void a_lone_worker_is_never_stale_and_repeats_itself(void **state) {
    static const char *const places[][2] = {{"1", "1"}, {"3", "2"}};
    double losses[2] = {0};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct program program;
        program_run(&program, NULL, 0,
                    WORDS("train", "--local", places[i][0], "--threads", places[i][1], "--workers", "1", "--optimizer",
                          "nadam", "--epochs", "3", "--json"));
        json_t *object = object_of(&program, 0);
        assert_true(number_of(object, "staleness_max") == 0.0);
        assert_true(number_of(object, "staleness_mean") == 0.0);
        losses[i] = number_of(object, "final_loss");
        json_decref(object);
        program_finish(&program);
    }
    assert_true(losses[0] == losses[1]);
}

static void batches_are_full_one_or_many(void **state) {
    struct program program;
    (void)state;
    program_run(&program, NULL, 0,
                WORDS("train", "-s", local_servers(local), "-w", "3", "-m", "softmax", "-o", "sgd", "-b", "full", "-e",
                      "5", "--json"));
    json_t *object = object_of(&program, 0);
    assert_string_equal(json_string_value(json_object_get(object, "batch")), "full");
    assert_true(number_of(object, "steps") == 15 && number_of(object, "pushes") == 30);
    json_decref(object);
    program_finish(&program);
    program_run(&program, NULL, 0,
                WORDS("train", "-s", local_servers(local), "-w", "3", "-m", "softmax", "-o", "sgd:lr=0.05", "-b", "1",
                      "-e", "1", "--json"));
    object = object_of(&program, 0);
    assert_true(number_of(object, "steps") == 1297);
    assert_true(number_of(object, "test_accuracy") > 0.8);
    json_decref(object);
    program_finish(&program);
    servers_hold_nothing(local);
}

/* What the servers have for tensors. */
static size_t suite_of(struct canyon_optimizer_info **infos) {
    struct canyon_options options;
    canyon_client *client = NULL;
    size_t count = 0, kept = 0;
    canyon_options_init(&options);
    options.servers = local_servers(local);
    assert_int_equal(canyon_connect(&options, &client), CANYON_OK);
    assert_int_equal(canyon_optimizers(client, 0, infos, &count), CANYON_OK);
    canyon_close(client);
    for (size_t i = 0; i < count; i++) {
        if (!(*infos)[i].rows_only) {
            (*infos)[kept++] = (*infos)[i];
        }
    }
    return kept;
}

static size_t count_of(const char *text, const char *part) {
    size_t count = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        count++;
    }
    return count;
}

static void all_are_lines_of_a_table_and_the_best_are_marked(void **state) {
    struct program program;
    struct canyon_optimizer_info *infos = NULL;
    size_t count = suite_of(&infos);
    (void)state;
    assert_true(count >= 17);
    program_run(&program, NULL, 0,
                WORDS("train", "-s", local_servers(local), "-w", "2", "-o", "all", "-o", "adam:lr=0.01", "-e", "1",
                      "-b", "full"));
    for (size_t i = 0; i < count; i++) {
        char name[48];
        snprintf(name, sizeof name, "\n%s ", infos[i].name);
        assert_int_equal(count_of(program.said, name), 1);
    }
    canyon_free(infos);
    expect_part(program.said, "adam:lr=0.01 ");
    assert_int_equal(count_of(program.said, "\n"), 2 + count + 1);
    assert_int_equal(count_of(program.said, " 1st "), 1);
    assert_null(strstr(program.said, " 4th "));
    program_finish(&program);
    program_run(&program, NULL, 0,
                WORDS("train", "-s", local_servers(local), "-o", "adam", "-o", "sgd", "-e", "1", "-b", "full"));
    assert_null(strstr(program.said, "best")); /* of two there is nothing to mark */
    program_finish(&program);
    servers_hold_nothing(local);
}

/* By accuracy, of equal ones by loss; equal in both share a place; a loss that is not a number is the worst. */
static void places_are_by_accuracy_then_loss(void **state) {
    static const double accuracies[] = {0.9, 0.95, 0.9, 0.95, 0.9, 0.9},
                        losses[] = {0.3, 0.2, 0.1, 0.4, 0.3, (double)NAN};
    static const size_t places[] = {4, 1, 3, 2, 4, 6};
    struct run_result *results = calloc(6, sizeof *results);
    (void)state;
    assert_non_null(results);
    for (size_t i = 0; i < 6; i++) {
        results[i].test_accuracy = accuracies[i];
        results[i].final_loss = losses[i];
    }
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(report_place(results, 6, i), places[i]);
    }
    free(results);
}

static void wrong_command_lines_are_refused(void **state) {
    static const struct {
        const char *option, *value;
    } wrong[] = {{"--batch", "0"},   {"--batch", "half"},        {"--batch", "5000"},
                 {"--workers", "0"}, {"--workers", "1000"},      {"--epochs", "0"},
                 {"--model", "cnn"}, {"--optimizer", "adam:lr"}, {"--plot", "picture.jpg"},
                 {"--local", "0"},   {"--plot", "/no/a.png"},    {"--nonsense", "1"},
                 {"--key", "x"},     {"--known-servers", "x"}};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct program program;
        program_run(&program, NULL, 2, WORDS("train", wrong[i].option, wrong[i].value));
        expect_part(program.told, wrong[i].option);
        assert_string_equal(program.said, "");
        program_finish(&program);
    }
}

static void what_servers_refuse_is_told_once(void **state) {
    struct program program;
    (void)state;
    program_run(&program, NULL, 1, WORDS("train", "-s", local_servers(local), "-o", "adam:beta1=2"));
    expect_part(program.told, "beta1");
    assert_string_equal(program.said, "");
    program_finish(&program);
    program_run(&program, NULL, 3, WORDS("train", "-s", "127.0.0.1:1", "-o", "adam"));
    expect_part(program.told, "127.0.0.1:1");
    program_finish(&program);
    servers_hold_nothing(local);
}

static void a_run_that_diverges_says_so(void **state) {
    struct program program;
    (void)state;
    program_run(
        &program, NULL, 1,
        WORDS("train", "-s", local_servers(local), "-e", "2", "-o", "sgd", "-o", "sgd:lr=100000,weight_decay=1000"));
    expect_part(program.told, "sgd:lr=100000,weight_decay=1000");
    expect_part(program.told, "smaller lr");
    expect_part(program.said, "\nsgd "); /* the run before it is reported */
    program_finish(&program);
    servers_hold_nothing(local);
}

static void without_gnuplot_the_table_is_printed_all_the_same(void **state) {
    struct program program;
    char *path = strdup(getenv("PATH"));
    (void)state;
    setenv("PATH", "/nonexistent", 1);
    program_run(&program, NULL, 1,
                WORDS("train", "-s", local_servers(local), "-o", "sgd", "-e", "1", "-p", "/tmp/canyon-none.png"));
    setenv("PATH", path, 1);
    free(path);
    expect_part(program.said, "\nsgd ");
    expect_part(program.told, "apt-get install gnuplot-nox");
    program_finish(&program);
}

/* A run that would take days, once it is under way: two workers, an observer and perhaps servers. */
static void start_long_run(struct program *program, bool own_servers, pid_t sims[PROGRAM_PROCESSES],
                           pid_t servers[PROGRAM_PROCESSES]) {
    const char *where = own_servers ? "--local" : "--servers", *which = own_servers ? "2" : local_servers(local);
    program_start(
        program, NULL,
        WORDS("train", where, which, "-w", "2", "-m", "softmax", "-b", "1", "-e", "1000000", "--timeout", "3000"));
    if (own_servers) {
        assert_int_equal(program_wait_children(program->process, "canyon-server", 2, servers), 2);
    }
    assert_int_equal(program_wait_children(program->process, "canyon-sim", 3, sims), 3);
    struct timespec pause = {.tv_nsec = 10000000};
    for (unsigned turns = 0; turns < 3000; turns++) { /* until a line of progress tells of steps */
        char *told = program_text(program->err);
        bool running = strstr(told, "loss") != NULL;
        free(told);
        if (running) {
            return;
        }
        nanosleep(&pause, NULL);
    }
    fail_msg("no step was done");
}

static void a_killed_worker_ends_the_run(void **state) {
    struct program program;
    pid_t sims[PROGRAM_PROCESSES];
    (void)state;
    for (size_t victim = 0; victim < 3; victim += 2) { /* a worker, and the observer, which is started last */
        start_long_run(&program, false, sims, NULL);
        kill(sims[victim], SIGKILL);
        program_wait(&program, 60);
        assert_int_equal(program.code, 1);
        expect_part(program.told, "signal 9");
        assert_string_equal(program.said, "");
        program_expect_gone(sims, 3);
        program_finish(&program);
        servers_hold_nothing(local);
    }
}

static void a_killed_server_ends_the_run(void **state) {
    struct program program;
    pid_t sims[PROGRAM_PROCESSES], servers[PROGRAM_PROCESSES];
    (void)state;
    start_long_run(&program, true, sims, servers);
    kill(servers[1], SIGKILL);
    program_wait(&program, 60);
    assert_true(program.code == 1 || program.code == 3);
    expect_part(program.told, "worker");
    expect_part(program.told, "127.0.0.1:");
    program_expect_gone(sims, 3);
    program_expect_gone(servers, 2);
    program_finish(&program);
}

static void signals_leave_nothing_behind(void **state) {
    static const int signals[] = {SIGINT, SIGTERM};
    struct program program;
    pid_t sims[PROGRAM_PROCESSES], servers[PROGRAM_PROCESSES];
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        start_long_run(&program, i == 0, sims, servers);
        kill(program.process, signals[i]);
        program_wait(&program, 60);
        assert_int_equal(program.code, 128 + signals[i]);
        expect_part(program.told, "interrupted");
        program_expect_gone(sims, 3);
        program_expect_gone(servers, i == 0 ? 2 : 0);
        program_finish(&program);
        servers_hold_nothing(local);
    }
}

/* All but its directory of logs and keys: nobody is left who could take that away. */
static void a_killed_parent_takes_all_with_it(void **state) {
    struct program program;
    pid_t sims[PROGRAM_PROCESSES], servers[PROGRAM_PROCESSES];
    char directory[] = "/tmp/canyon-killed-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(directory));
    setenv("TMPDIR", directory, 1);
    start_long_run(&program, true, sims, servers);
    kill(program.process, SIGKILL);
    program_wait(&program, 30);
    unsetenv("TMPDIR");
    assert_int_equal(program.code, 128 + SIGKILL);
    program_expect_gone(sims, 3);
    program_expect_gone(servers, 2);
    program_finish(&program);
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", directory);
    assert_int_equal(system(command), 0);
}

/* A terminal of 80 columns shows it as it is meant. */
static void expect_narrow(const char *text) {
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        if (strcspn(line, "\n") > 80) {
            fail_msg("wider than 80 columns: %.*s", (int)strcspn(line, "\n"), line);
        }
    }
}

static void help_and_version_are_there(void **state) {
    struct program program;
    (void)state;
    program_run(&program, NULL, 0, WORDS("--version"));
    assert_string_equal(program.said, "canyon-sim " CANYON_VERSION_TEXT "\n");
    program_finish(&program);
    program_run(&program, NULL, 0, WORDS("help"));
    expect_part(program.said, "trace");
    expect_narrow(program.said);
    program_finish(&program);
    program_run(&program, NULL, 0, WORDS("help", "train"));
    expect_part(program.said, "pushes");
    expect_narrow(program.said);
    program_finish(&program);
    program_run(&program, NULL, 0, WORDS("trace", "--help"));
    expect_part(program.said, "--init");
    expect_narrow(program.said);
    program_finish(&program);
    program_run(&program, NULL, 2, WORDS("trian"));
    expect_part(program.told, "did you mean 'train'?");
    program_finish(&program);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_has_its_keys_and_numbers),
        cmocka_unit_test(gradients_are_clipped_to_a_norm),
        cmocka_unit_test(values_travel_in_other_forms),
        cmocka_unit_test(a_lone_worker_is_never_stale_and_repeats_itself),
        cmocka_unit_test(batches_are_full_one_or_many),
        cmocka_unit_test(all_are_lines_of_a_table_and_the_best_are_marked),
        cmocka_unit_test(places_are_by_accuracy_then_loss),
        cmocka_unit_test(wrong_command_lines_are_refused),
        cmocka_unit_test(what_servers_refuse_is_told_once),
        cmocka_unit_test(a_run_that_diverges_says_so),
        cmocka_unit_test(without_gnuplot_the_table_is_printed_all_the_same),
        cmocka_unit_test(a_killed_worker_ends_the_run),
        cmocka_unit_test(a_killed_server_ends_the_run),
        cmocka_unit_test(signals_leave_nothing_behind),
        cmocka_unit_test(a_killed_parent_takes_all_with_it),
        cmocka_unit_test(help_and_version_are_there),
    };
    return cmocka_run_group_tests(tests, start_servers, stop_servers);
}
