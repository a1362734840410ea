/* canyon-sim surface: the landscapes, what it prints and draws, and what it says to bad input. */
#include "program.h"

#include <jansson.h>
#include <math.h>

#include "canyon.h"
#include "client/simulator/descent.h"
#include "client/simulator/landscape.h"
#include "servers.h"

static struct local *local;
static canyon_client *client;

static int set_up(void **state) {
    struct canyon_options connect;
    (void)state;
    if (servers_start(2, &local) != 0) {
        return -1;
    }
    canyon_options_init(&connect);
    connect.servers = local_servers(local);
    return canyon_connect(&connect, &client) == CANYON_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    canyon_close(client);
    return local_stop(local) ? 0 : -1;
}

static void expect_no_tensors(void) {
    struct canyon_tensor_info *infos = NULL;
    size_t count = 99;
    assert_int_equal(canyon_tensor_list(client, 0, &infos, &count), CANYON_OK);
    assert_int_equal(count, 0);
    canyon_free(infos);
}

/* Values by hand; and gradients against central differences, whose error is a third derivative times 1e-10. */
static void landscapes_are_what_they_say(void **state) {
    static const double at[][2] = {{0.5, -0.25}, {-1.2, 1.0}, {1.0, 1.0}, {-2.0, 3.0}};
    const double h = 1e-5, saddle[] = {0.25 - 0.0625, 1.44 - 1.0, 0.0, -5.0};
    const double ravine[] = {(0.25 + 50.0 * 0.0625) / 2.0, (1.44 + 50.0) / 2.0, 25.5, 227.0};
    const double rosenbrock[] = {0.25 + 25.0, 4.84 + 100.0 * 0.44 * 0.44, 0.0, 9.0 + 100.0};
    const double *const values[] = {saddle, ravine, rosenbrock};
    (void)state;
    assert_null(landscape_find("plain"));
    for (size_t f = 0; f < LANDSCAPES; f++) {
        const struct landscape *landscape = landscape_at(f);
        assert_ptr_equal(landscape_find(landscape->name), landscape);
        for (size_t p = 0; p < 4; p++) {
            double gradient[2];
            assert_true(fabs(landscape->value(at[p]) - values[f][p]) < 1e-12);
            landscape->gradient(at[p], gradient);
            for (size_t i = 0; i < 2; i++) {
                double up[2] = {at[p][0], at[p][1]}, down[2] = {at[p][0], at[p][1]};
                up[i] += h;
                down[i] -= h;
                double difference = (landscape->value(up) - landscape->value(down)) / (2.0 * h);
                assert_true(fabs(gradient[i] - difference) < 1e-6 * (1.0 + fabs(difference)));
            }
        }
    }
}

static json_t *object_of(const struct program *program) {
    json_error_t error;
    json_t *object = json_loads(program->said, 0, &error);
    if (object == NULL) {
        fail_msg("%s in:\n%s", error.text, program->said);
    }
    return object;
}

static double number_of(json_t *object, const char *key) {
    json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static double at_of(json_t *object, const char *key, size_t index) {
    return json_number_value(json_array_get(json_object_get(object, key), index));
}

/* sgd on the saddle, by hand: x halves and y grows by half, all exactly in float32. */
static void json_has_the_whole_way(void **state) {
    struct program program;
    (void)state;
    program_run(&program, NULL, 0,
                WORDS("surface", "-s", local_servers(local), "-f", "saddle", "-o", "sgd:lr=0.25", "--start", "-4,1",
                      "--steps", "3", "--json"));
    json_t *object = object_of(&program), *path = json_object_get(object, "path");
    assert_string_equal(json_string_value(json_object_get(object, "function")), "saddle");
    assert_string_equal(json_string_value(json_object_get(object, "optimizer")), "sgd:lr=0.25");
    assert_true(number_of(object, "lr") == 0.25 && number_of(object, "steps") == 3);
    assert_true(at_of(object, "start", 0) == -4.0 && at_of(object, "start", 1) == 1.0);
    assert_int_equal(json_array_size(path), 4);
    double x = -4.0, y = 1.0;
    for (size_t t = 0; t < 4; t++, x *= 0.5, y *= 1.5) {
        assert_true(json_number_value(json_array_get(json_array_get(path, t), 0)) == x);
        assert_true(json_number_value(json_array_get(json_array_get(path, t), 1)) == y);
    }
    assert_true(at_of(object, "end", 0) == -0.5 && at_of(object, "end", 1) == 3.375);
    assert_true(number_of(object, "start_loss") == 15.0 && number_of(object, "loss") == 0.25 - 3.375 * 3.375);
    assert_true(number_of(object, "arrived") == 2.0); /* 1 - 5.0625; before it 4 - 2.25 */
    json_decref(object);
    program_finish(&program);
    expect_no_tensors();
}

static void effective_steps_of_sgd_are_its_rate(void **state) {
    struct descent descent;
    char text[512];
    const float start[2] = {-1.0f, 2.0f};
    (void)state;
    assert_int_equal(
        descent_run(client, "x/", landscape_find("ravine"), start, 20, "sgd:lr=0.01", &descent, text, sizeof text),
        CANYON_OK);
    assert_true(descent_rate(&descent) == 0.01 && descent.steps == 20);
    for (uint64_t t = 1; t <= 20; t++) {
        assert_true(fabs(descent_effective(&descent, t) / 0.01 - 1.0) < 1e-4);
        assert_true(fabs(descent_effective_of(&descent, t, 0) / 0.01 - 1.0) < 1e-3);
    }
    /* Of the first step: 0.01 * |(-1, 100)|. */
    assert_true(fabs(descent_length(&descent, 1) - 0.01 * hypot(1.0, 100.0)) < 1e-6);
    assert_int_equal(descent_arrival(&descent, 1e9), 0);
    assert_true(descent_arrival(&descent, -1.0) == UINT64_MAX);
    descent_finish(&descent);
    expect_no_tensors();
}

/* At the minimum the gradient is 0, and there is no step size to speak of. */
static void no_gradient_gives_no_step_size(void **state) {
    struct program program;
    (void)state;
    program_run(&program, NULL, 0,
                WORDS("surface", "-s", local_servers(local), "-f", "rosenbrock", "-o", "adam", "--start", "1,1", "-n",
                      "2", "--json"));
    json_t *object = object_of(&program);
    assert_true(json_is_null(json_object_get(json_object_get(object, "effective_step"), "first")));
    assert_true(number_of(object, "arrived") == 0.0 && number_of(object, "loss") == 0.0);
    assert_true(number_of(object, "lr") == landscape_rate(landscape_find("rosenbrock"), "adam"));
    json_decref(object);
    program_finish(&program);
    program_run(
        &program, NULL, 0,
        WORDS("surface", "-s", local_servers(local), "-f", "rosenbrock", "-o", "adam", "--start", "1,1", "-n", "2"));
    expect_part(program.said, "  0           -        -          -\n");
    program_finish(&program);
}

/* A way that leads to infinity ends, and does not fail. */
static void far_away_is_the_end(void **state) {
    struct program program;
    (void)state;
    program_run(&program, NULL, 0,
                WORDS("surface", "-s", local_servers(local), "-o", "sgd:lr=5", "--steps", "100000", "--json"));
    json_t *object = object_of(&program);
    /* y = 0.001 * 11^t and x = (-9)^t: beyond 1e6 with 9^7 = 4.8e6. */
    assert_true(number_of(object, "steps") == 7);
    json_decref(object);
    program_finish(&program);
    expect_no_tensors();
}

static void all_are_lines_of_a_table(void **state) {
    static const char *const functions[] = {"saddle", "ravine", "rosenbrock"};
    struct canyon_optimizer_info *infos = NULL;
    size_t count = 0;
    (void)state;
    assert_int_equal(canyon_optimizers(client, 0, &infos, &count), CANYON_OK);
    for (size_t f = 0; f < LANDSCAPES; f++) {
        struct program program;
        program_run(&program, NULL, 0, WORDS("surface", "-f", functions[f], "-s", local_servers(local), "-n", "40"));
        expect_part(program.said, functions[f]);
        for (size_t i = 0; i < count; i++) {
            char name[48];
            snprintf(name, sizeof name, "\n%s ", infos[i].name);
            assert_true((strstr(program.said, name) == NULL) == (infos[i].rows_only != 0));
            /* Each has a rate of its own here, so that none goes unseen in the pictures. */
            assert_true(infos[i].rows_only || landscape_rate(landscape_at(f), infos[i].name) > 0.0);
        }
        program_finish(&program);
    }
    canyon_free(infos);
    expect_no_tensors();
}

static void pictures_are_drawn(void **state) {
    static const char *const names[] = {"a.png", "b.svg"};
    static const char *const begins[] = {"\x89PNG", "<?xml"};
    char folder[] = "/tmp/canyon-surface-XXXXXX", path[64];
    (void)state;
    if (system("gnuplot --version > /dev/null 2>&1") != 0) {
        print_message("SKIPPED: gnuplot is not installed\n");
        skip();
    }
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < 2; i++) {
        struct program program;
        char bytes[8] = {0};
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        /* A start outside of what is usually shown, and a way that leaves it. */
        program_run(&program, NULL, 0,
                    WORDS("surface", "-s", local_servers(local), "--start", "3,-0.5", "--plot", path, "-o", "all", "-o",
                          "sgd:lr=0.9"));
        expect_part(program.said, path);
        assert_string_equal(program.told, "");
        FILE *file = fopen(path, "rb");
        assert_non_null(file);
        assert_int_equal(fread(bytes, 1, strlen(begins[i]), file), strlen(begins[i]));
        assert_string_equal(bytes, begins[i]);
        fseek(file, 0, SEEK_END);
        assert_true(ftell(file) > 10000);
        fclose(file);
        unlink(path);
        program_finish(&program);
    }
    assert_int_equal(rmdir(folder), 0); /* nothing else was left in it */
}

static void without_gnuplot_the_table_is_printed_all_the_same(void **state) {
    struct program program;
    char *path = strdup(getenv("PATH"));
    (void)state;
    setenv("PATH", "/nonexistent", 1);
    program_run(&program, NULL, 1,
                WORDS("surface", "-s", local_servers(local), "-o", "sgd", "-p", "/tmp/canyon-none.png"));
    setenv("PATH", path, 1);
    free(path);
    expect_part(program.said, "\nsgd ");
    expect_part(program.told, "apt-get install gnuplot-nox");
    program_finish(&program);
}

static void wrong_command_lines_are_refused(void **state) {
    static const struct {
        const char *option, *value;
    } wrong[] = {{"--function", "hill"}, {"--start", "1"},        {"--start", "1,2,3"},  {"--start", "a,b"},
                 {"--start", "1,2000"},  {"--steps", "0"},        {"--steps", "100001"}, {"--optimizer", "adam:lr"},
                 {"--plot", "x.jpg"},    {"--plot", "/no/a.png"}, {"--local", "0"}};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct program program;
        program_run(&program, NULL, 2, WORDS("surface", wrong[i].option, wrong[i].value));
        expect_part(program.told, wrong[i].option);
        assert_string_equal(program.said, "");
        program_finish(&program);
    }
}

static void what_servers_refuse_is_told(void **state) {
    struct program program;
    (void)state;
    program_run(&program, NULL, 1, WORDS("surface", "-s", local_servers(local), "-o", "sgd", "-o", "adam:beta1=2"));
    expect_part(program.told, "beta1");
    expect_part(program.said, "\nsgd "); /* the one before it is reported */
    program_finish(&program);
    program_run(&program, NULL, 1, WORDS("surface", "-s", local_servers(local), "-o", "nonesuch"));
    expect_part(program.told, "nonesuch");
    assert_string_equal(program.said, "");
    program_finish(&program);
    program_run(&program, NULL, 3, WORDS("surface", "-s", "127.0.0.1:1"));
    expect_part(program.told, "127.0.0.1:1");
    program_finish(&program);
    expect_no_tensors();
}

static void help_has_the_defaults(void **state) {
    struct program program;
    (void)state;
    program_run(&program, NULL, 0, WORDS("help", "surface"));
    for (size_t f = 0; f < LANDSCAPES; f++) {
        expect_part(program.said, landscape_at(f)->formula);
    }
    expect_part(program.said, "momentum");
    expect_part(program.said, "0.039");
    expect_part(program.said, "-1.2,1");
    expect_part(program.said, "Exit codes:");
    program_finish(&program);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(landscapes_are_what_they_say),
        cmocka_unit_test(json_has_the_whole_way),
        cmocka_unit_test(effective_steps_of_sgd_are_its_rate),
        cmocka_unit_test(no_gradient_gives_no_step_size),
        cmocka_unit_test(far_away_is_the_end),
        cmocka_unit_test(all_are_lines_of_a_table),
        cmocka_unit_test(pictures_are_drawn),
        cmocka_unit_test(without_gnuplot_the_table_is_printed_all_the_same),
        cmocka_unit_test(wrong_command_lines_are_refused),
        cmocka_unit_test(what_servers_refuse_is_told),
        cmocka_unit_test(help_has_the_defaults),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
