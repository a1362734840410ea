/* `canyon`, every command of it, against two real servers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <pty.h>
#include <signal.h>

#include "client/tools/local.h"
#include "client/tools/npy.h"
#include "tests/tools/run.h"

#define PROGRAM CANYON_BINARY_DIR "/bin/canyon"
#define SERVER  CANYON_BINARY_DIR "/bin/canyon-server"

/* Larger than a block, so that pulls and pushes are put together from several servers. */
#define ROWS    50
#define COLUMNS 60

static struct local *local;
static canyon_client *client;
static char directory[64], file[96];
static struct run result;
static unsigned waits; /* of await_in, all together */

/* Runs canyon with these words, split at blanks, "@" standing for the file's path. */
static void canyon(int code, const char *words) {
    char copy[1024], program[] = PROGRAM, *argv[32] = {program}, *place = NULL;
    size_t argc = 1;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok_r(copy, " ", &place); word != NULL; word = strtok_r(NULL, " ", &place)) {
        argv[argc++] = strcmp(word, "@") == 0 ? file : word;
    }
    run_program(&result, argv, -1);
    if (result.code != code) {
        fail_msg("canyon %s: exit code %d instead of %d\n%s%s", words, result.code, code, result.out, result.err);
    }
}

static void expect_in(const char *text, const char *part) {
    if (strstr(text, part) == NULL) {
        fail_msg("'%s' is not in:\n%s", part, text);
    }
}

/* Until it prints `part`: what a client told without waiting may be on its way. */
static void await_in(const char *words, const char *part) {
    do {
        canyon(0, words);
    } while (strstr(result.out, part) == NULL && usleep(10000) == 0 && ++waits < 2000);
    expect_in(result.out, part);
}

/* The one line of JSON that was printed. */
static json_t *printed_json(void) {
    json_error_t error;
    size_t length = strlen(result.out);
    assert_true(length > 0 && result.out[length - 1] == '\n');
    assert_ptr_equal(strchr(result.out, '\n'), result.out + length - 1);
    json_t *value = json_loads(result.out, 0, &error);
    if (value == NULL) {
        fail_msg("%s: %s", error.text, result.out);
    }
    return value;
}

static json_t *member(json_t *object, const char *key) {
    json_t *value = json_object_get(object, key);
    if (value == NULL) {
        fail_msg("there is no %s in %s", key, result.out);
    }
    return value;
}

static void create(const char *name, uint32_t rank, const uint64_t *dims, const char *optimizer, const float *values) {
    struct canyon_tensor_spec spec;
    canyon_tensor *tensor = NULL;
    canyon_tensor_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "%s", name);
    spec.rank = rank;
    for (uint32_t i = 0; i < rank; i++) {
        spec.dims[i] = dims[i];
    }
    assert_int_equal(canyon_tensor_spec_optimizer(&spec, optimizer), CANYON_OK);
    spec.initializer = values != NULL ? CANYON_VALUES : CANYON_ZEROS;
    spec.values = values;
    if (canyon_tensor_create(client, &spec, 0, &tensor) != CANYON_OK) {
        fail_msg("%s", canyon_error_text());
    }
    canyon_tensor_close(tensor);
}

static void push_ones(const char *name, uint64_t elements) {
    canyon_tensor *tensor = NULL;
    float *ones = malloc(elements * sizeof *ones), *weights = malloc(elements * sizeof *weights);
    assert_non_null(ones);
    assert_non_null(weights);
    for (uint64_t i = 0; i < elements; i++) {
        ones[i] = 1.0f;
    }
    assert_int_equal(canyon_tensor_open(client, name, 0, &tensor), CANYON_OK);
    /* Pulled first: a gradient of weights that were never received is stale. */
    assert_int_equal(canyon_pull(tensor, weights, 0), CANYON_OK);
    assert_int_equal(canyon_push(tensor, ones, 0), CANYON_OK);
    canyon_tensor_close(tensor);
    free(weights);
    free(ones);
}

static int set_up(void **state) {
    (void)state;
    struct local_options options;
    struct canyon_options connect;
    char text[LOCAL_TEXT_BYTES];
    float values[ROWS * COLUMNS];
    const uint64_t dims[] = {ROWS, COLUMNS};
    const float three[] = {1.5f, -2.0f, 0.5f};
    const uint64_t length[] = {3};
    local_options_init(&options);
    options.servers = 2;
    options.threads = 2;
    options.block_elements = 1024;
    options.job = "digits";
    options.program = SERVER;
    if (local_start(&options, &local, text, sizeof text) != CANYON_OK) {
        fail_msg("%s", text);
    }
    canyon_options_init(&connect);
    connect.servers = local_servers(local);
    keys_apply(local_keys(local), &connect);
    assert_int_equal(canyon_connect(&connect, &client), CANYON_OK);
    setenv("CANYON_SERVERS", local_servers(local), 1);
    setenv("CANYON_HOME", local_home(local), 1);
    snprintf(directory, sizeof directory, "/tmp/canyon-cli-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(file, sizeof file, "%s/x.npy", directory);
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        values[i] = (float)i;
    }
    create("layer/weight", 2, dims, "adam:lr=0.01", values);
    create("layer/bias", 1, length, "sgd:lr=0.5", three);
    create("scale", 0, NULL, "sgd", NULL);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    canyon_close(client);
    bool clean = local_stop(local);
    unlink(file);
    rmdir(directory);
    return clean ? 0 : -1;
}

static void test_status(void **state) {
    (void)state;
    push_ones("layer/weight", ROWS * COLUMNS);
    canyon(0, "status");
    expect_in(result.out, "job digits: 2 servers, 4 threads, 256 shards, blocks of 1,024 parameters, 3 tensors\n");
    expect_in(result.out, "staleness");
    expect_in(result.out, canyon_version());
    expect_in(result.out, "encryption");
    expect_in(result.out, "chacha20poly1305");
    assert_null(strstr(result.out, "PLAINTEXT"));
    assert_string_equal(result.err, "");
    expect_in(result.out, "clients that push  known  pushes that came again  connections ended for gaps\n");
    canyon(0, "--json status");
    json_t *status = printed_json(), *servers = member(status, "servers");
    json_int_t parameters = 0, pushes = 0, parts = 0;
    assert_string_equal(json_string_value(member(member(status, "job"), "name")), "digits");
    assert_int_equal(json_array_size(servers), 2);
    for (size_t i = 0; i < 2; i++) {
        json_t *server = json_array_get(servers, i);
        assert_true(json_is_true(member(server, "up")));
        assert_true(json_is_true(member(server, "encrypted")));
        assert_string_equal(json_string_value(member(server, "cipher")), "chacha20poly1305");
        assert_int_equal(strncmp(json_string_value(member(server, "key")), "cnp1", 4), 0);
        expect_in(local_servers(local), json_string_value(member(server, "address")));
        assert_int_equal(json_integer_value(member(server, "threads")), 2);
        assert_true(json_is_real(member(server, "staleness_mean")));
        assert_int_equal(json_integer_value(member(server, "turned_away")), 0);
        assert_true(json_is_integer(member(server, "aborted")));
        assert_int_equal(json_integer_value(member(server, "staleness_max")), 0);
        assert_int_equal(json_integer_value(member(server, "sessions")), 1);
        assert_int_equal(json_integer_value(member(server, "duplicates")), 0);
        assert_int_equal(json_integer_value(member(server, "gaps")), 0);
        assert_true(json_integer_value(member(server, "connections")) >= 2);
        parameters += json_integer_value(member(server, "parameters"));
        pushes += json_integer_value(member(server, "pushes"));
        parts += json_integer_value(member(server, "parts"));
    }
    assert_int_equal(json_integer_value(member(member(status, "job"), "tensors")), 3);
    assert_true(parts >= 3 && parts <= 5); /* no more than blocks */
    assert_int_equal(parameters, ROWS * COLUMNS + 3 + 1);
    assert_true(pushes >= 3);
    json_decref(status);
}

/* Shown when a codec was used, and then as what it saved. */
static void test_status_of_codecs(void **state) {
    (void)state;
    canyon_tensor *tensor = NULL;
    float values[64] = {1.0f};
    canyon(0, "status");
    assert_null(strstr(result.out, "values that travelled"));
    struct canyon_tensor_spec spec;
    canyon_tensor_spec_init(&spec);
    strcpy(spec.name, "coded");
    spec.rank = 1;
    spec.dims[0] = 64;
    assert_int_equal(canyon_tensor_create(client, &spec, 0, &tensor), CANYON_OK);
    assert_int_equal(canyon_tensor_set_codec(tensor, "int8", "bf16"), CANYON_OK);
    for (int i = 0; i < 500; i++)
        assert_int_equal(canyon_push_pull(tensor, values, values, 0), CANYON_OK);
    canyon_tensor_close(tensor);
    canyon(0, "status");
    expect_in(result.out, "values that travelled");
    expect_in(result.out, "saved");
    canyon(0, "--json status");
    json_t *status = printed_json(), *servers = member(status, "servers");
    json_int_t in = 0, in_single = 0, out = 0, out_single = 0;
    for (size_t i = 0; i < json_array_size(servers); i++) {
        json_t *server = json_array_get(servers, i);
        in += json_integer_value(member(server, "values_in"));
        in_single += json_integer_value(member(server, "values_in_single"));
        out += json_integer_value(member(server, "values_out"));
        out_single += json_integer_value(member(server, "values_out_single"));
    }
    /* 68 and 128 bytes instead of 256; what other tests moved was float32. */
    assert_int_equal(in_single - in, 500 * (256 - 68));
    assert_int_equal(out_single - out, 500 * (256 - 128));
    json_decref(status);
    canyon(0, "drop coded --yes");
}

/* What was refused for NaN is shown once there is something to show. */
static void test_status_of_gradients(void **state) {
    float gradient[ROWS * COLUMNS];
    canyon_tensor *tensor = NULL;
    (void)state;
    canyon(0, "status");
    assert_null(strstr(result.out, "not finite"));
    for (size_t i = 0; i < ROWS * COLUMNS; i++) {
        gradient[i] = strtof("nan", NULL); /* in every block, so none is changed */
    }
    assert_int_equal(canyon_tensor_open(client, "layer/weight", 0, &tensor), CANYON_OK);
    assert_int_equal(canyon_push(tensor, gradient, 0), CANYON_NOT_FINITE);
    canyon_tensor_close(tensor);
    canyon(0, "status");
    expect_in(result.out, "gradients not finite  blocks refused  elements skipped  elements clipped  elements kept\n");
}

static void test_tensors(void **state) {
    (void)state;
    canyon(0, "tensors");
    expect_in(result.out, "layer/weight  (50, 60)       3,000       3  adam       complete\n");
    expect_in(result.out, "layer/bias    (3,)               3       1  sgd        complete\n");
    expect_in(result.out, "scale         ()                 1       1  sgd        complete\n");
    canyon(0, "tensors --json");
    json_t *object = printed_json(), *tensors = member(object, "tensors");
    assert_int_equal(json_array_size(tensors), 3);
    json_t *bias = json_array_get(tensors, 0), *weight = json_array_get(tensors, 1);
    assert_string_equal(json_string_value(member(bias, "name")), "layer/bias");
    assert_true(json_is_true(member(bias, "complete")));
    assert_int_equal(json_array_size(member(weight, "shape")), 2);
    assert_int_equal(json_integer_value(json_array_get(member(weight, "shape"), 1)), COLUMNS);
    assert_int_equal(json_integer_value(member(weight, "blocks")), 3);
    json_decref(object);
}

static void test_show(void **state) {
    (void)state;
    canyon(0, "show layer/bias");
    expect_in(result.out, "optimizer       sgd\n");
    expect_in(result.out, "  lr            0.5\n");
    expect_in(result.out, "  minimum       -2\n");
    expect_in(result.out, "3 finite, 0 not");
    canyon(0, "show layer/bias --json");
    json_t *object = printed_json(), *statistics = member(object, "statistics");
    assert_true(json_number_value(member(statistics, "min")) == -2.0);
    assert_true(json_number_value(member(statistics, "max")) == 1.5);
    assert_true(json_number_value(member(statistics, "mean")) == 0.0);
    /* ((1.5)^2 + 2^2 + 0.5^2) / 3 = 6.5 / 3 */
    assert_true(fabs(json_number_value(member(statistics, "standard_deviation")) - sqrt(6.5 / 3.0)) < 1e-12);
    assert_int_equal(json_integer_value(member(statistics, "finite")), 3);
    assert_true(json_number_value(member(member(member(object, "optimizer"), "settings"), "lr")) == 0.5);
    /* Its creator assigned it. */
    assert_int_equal(json_integer_value(member(object, "version")), 1);
    json_decref(object);
    push_ones("layer/bias", 3);
    canyon(0, "show layer/bias --json");
    object = printed_json();
    assert_int_equal(json_integer_value(member(object, "version")), 2);
    assert_true(json_number_value(member(member(object, "statistics"), "max")) == 1.0);
    json_decref(object);
}

static void test_pull_and_assign(void **state) {
    (void)state;
    struct npy npy;
    char text[NPY_TEXT_BYTES];
    float values[ROWS * COLUMNS];
    const uint64_t dims[] = {ROWS, COLUMNS};
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        values[i] = 1000.0f - (float)i;
    }
    assert_int_equal(npy_write(file, 2, dims, values, text, sizeof text), CANYON_OK);
    canyon(0, "assign layer/weight --input @");
    expect_in(result.out, "assigned");
    unlink(file);
    canyon(0, "pull layer/weight --output @");
    expect_in(result.out, "float32 (50, 60), 11.7 KiB");
    assert_int_equal(npy_read(file, &npy, text, sizeof text), CANYON_OK);
    assert_int_equal(npy.rank, 2);
    assert_memory_equal(npy.dims, dims, sizeof dims);
    assert_memory_equal(npy.values, values, sizeof values);
    npy_finish(&npy);
    canyon(0, "--json assign layer/weight -i @");
    json_t *object = printed_json();
    assert_string_equal(json_string_value(member(object, "input")), file);
    json_decref(object);
}

/* Optimizer state: arrays through files, numbers of blocks by hand and through files. */
static void test_slots(void **state) {
    (void)state;
    struct npy npy;
    char text[NPY_TEXT_BYTES];
    static float values[ROWS * COLUMNS];
    const uint64_t dims[] = {ROWS, COLUMNS};
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        values[i] = (float)(i % 11);
    }
    create("state", 2, dims, "nadam", NULL);
    canyon(0, "show state");
    expect_in(result.out, "slots           exp_avg, exp_avg_sq\n");
    expect_in(result.out, "  step          0 (of each block)\n");
    expect_in(result.out, "  mu_product    1 (of each block)\n");
    assert_int_equal(npy_write(file, 2, dims, values, text, sizeof text), CANYON_OK);
    canyon(0, "assign state --slot exp_avg_sq --input @");
    expect_in(result.out, "to exp_avg_sq of tensor 'state'");
    unlink(file);
    canyon(0, "pull state --slot exp_avg_sq --output @");
    expect_in(result.out, "exp_avg_sq of tensor 'state', float32 (50, 60)");
    assert_int_equal(npy_read(file, &npy, text, sizeof text), CANYON_OK);
    assert_memory_equal(npy.dims, dims, sizeof dims);
    assert_memory_equal(npy.values, values, sizeof values);
    npy_finish(&npy);
    values[5] = -1;
    assert_int_equal(npy_write(file, 2, dims, values, text, sizeof text), CANYON_OK);
    canyon(1, "assign state --slot exp_avg_sq --input @");
    expect_in(result.err, "never negative");

    canyon(0, "assign state --slot step --value 1000");
    expect_in(result.out, "assigned 1000 to step of tensor 'state' (3 blocks)\n");
    canyon(0, "assign state --slot mu_product --value 0.25 --json");
    canyon(0, "pull state --slot step");
    assert_string_equal(result.out, "step of tensor 'state': 1000 (3 blocks)\n");
    canyon(0, "pull state --slot mu_product --json");
    json_t *object = printed_json();
    assert_int_equal(json_array_size(member(object, "values")), 3);
    assert_true(json_number_value(json_array_get(member(object, "values"), 2)) == 0.25);
    json_decref(object);
    /* Blocks of different steps, beyond what float32 could tell apart. */
    const uint64_t blocks[] = {3};
    const double steps[] = {16777217, 16777219, 16777218};
    assert_int_equal(npy_write_doubles(file, 1, blocks, steps, text, sizeof text), CANYON_OK);
    canyon(0, "assign state --slot step --input @");
    unlink(file);
    canyon(0, "pull state --slot step --output @");
    expect_in(result.out, "16777217 to 16777219 (3 blocks)");
    assert_int_equal(npy_read_doubles(file, &npy, text, sizeof text), CANYON_OK);
    assert_memory_equal(npy.doubles, steps, sizeof steps);
    npy_finish(&npy);
    canyon(0, "show state --json");
    object = printed_json();
    assert_int_equal(json_array_size(member(object, "slots")), 2);
    assert_true(json_number_value(json_array_get(member(member(object, "numbers"), "step"), 1)) == 16777219);
    json_decref(object);
    canyon(0, "optimizers nadam");
    expect_in(result.out, "each block  step, mu_product\n");

    canyon(1, "pull state --slot velocity --output @");
    expect_in(result.err, "there is exp_avg, exp_avg_sq, step, mu_product");
    canyon(1, "pull state --slot exp_avg");
    expect_in(result.err, "--output FILE");
    canyon(1, "assign state --slot exp_avg --value 1");
    expect_in(result.err, "--input FILE");
    canyon(1, "assign state --slot step --value 1.5");
    expect_in(result.err, "not a whole number");
    canyon(1, "assign state --slot mu_product --value 2");
    expect_in(result.err, "outside [0, 1]");
    assert_int_equal(npy_write(file, 2, dims, values, text, sizeof text), CANYON_OK);
    canyon(1, "assign state --slot step --input @");
    expect_in(result.err, "3 blocks; nothing was assigned");
    canyon(2, "assign state --value 1");
    canyon(2, "assign state --slot step --value 1 --input @");
    canyon(2, "assign state --slot step");
    canyon(2, "pull state");
    canyon(0, "drop state --yes");
}

static void test_a_single_number_keeps_its_shape(void **state) {
    (void)state;
    struct npy npy;
    char text[NPY_TEXT_BYTES];
    const float value = 2.25f;
    assert_int_equal(npy_write(file, 0, NULL, &value, text, sizeof text), CANYON_OK);
    canyon(0, "assign scale --input @ --json");
    canyon(0, "pull scale --output @ --json");
    json_t *object = printed_json();
    assert_int_equal(json_array_size(member(object, "shape")), 0);
    json_decref(object);
    assert_int_equal(npy_read(file, &npy, text, sizeof text), CANYON_OK);
    assert_int_equal(npy.rank, 0);
    assert_true(npy.values[0] == 2.25f);
    npy_finish(&npy);
}

static void test_assign_refuses(void **state) {
    (void)state;
    char text[NPY_TEXT_BYTES];
    const uint64_t turned[] = {COLUMNS, ROWS}, three[] = {3};
    const float bad[] = {1.0f, NAN, 2.0f};
    static const float zeros[ROWS * COLUMNS];
    assert_int_equal(npy_write(file, 2, turned, zeros, text, sizeof text), CANYON_OK);
    canyon(1, "assign layer/weight --input @");
    expect_in(result.err, "(60, 50)");
    expect_in(result.err, "(50, 60)");
    assert_int_equal(npy_write(file, 1, three, bad, text, sizeof text), CANYON_OK);
    canyon(1, "assign layer/bias --input @");
    expect_in(result.err, "element 1 is nan");
    canyon(1, "assign layer/bias --input /nonexistent.npy");
    expect_in(result.err, "/nonexistent.npy");
    canyon(1, "pull layer/bias --output /nonexistent/x.npy");
    expect_in(result.err, "/nonexistent/x.npy");
}

static void test_unknown_tensor(void **state) {
    (void)state;
    canyon(1, "show layer/wieght");
    expect_in(result.err, "'layer/wieght'");
    expect_in(result.err, "did you mean 'layer/weight'");
    canyon(1, "pull other --output @");
    canyon(1, "drop other --yes");
    expect_in(result.err, "no tensor 'other'");
}

/* Drop asks on a terminal. Returns what was printed to standard output. */
static void drop_on_a_terminal(int code, const char *answer) {
    char program[] = PROGRAM, command[] = "drop", name[] = "temporary", *argv[] = {program, command, name, NULL};
    int master = -1, slave = -1;
    if (openpty(&master, &slave, NULL, NULL, NULL) != 0) {
        print_message("SKIPPED: no terminal can be made here (openpty: %s)\n", strerror(errno));
        skip();
    }
    assert_int_equal(write(master, answer, strlen(answer)), strlen(answer));
    run_program(&result, argv, slave);
    close(slave);
    close(master);
    expect_in(result.err, "Drop tensor 'temporary', shape (3,), 3 parameters");
    assert_int_equal(result.code, code);
}

static void test_set(void **state) {
    (void)state;
    const uint64_t dims[] = {3};
    create("schedule", 1, dims, "adam:lr=0.5", NULL);
    canyon(0, "set schedule lr=0.25 beta1=0.5");
    expect_in(result.out, "tensor 'schedule' has settings of epoch 1 now: adam(lr=0.25, beta1=0.5, beta2=0.999");
    canyon(0, "set schedule lr=0.25 --json");
    json_t *object = printed_json();
    assert_int_equal(json_integer_value(member(object, "epoch")), 1);
    assert_true(json_real_value(member(member(member(object, "optimizer"), "settings"), "beta1")) == 0.5);
    json_decref(object);
    canyon(0, "set schedule schedule=cosine T_max=100 warmup=5");
    expect_in(result.out, "schedule=cosine, T_max=100, eta_min=0)");
    canyon(0, "show schedule");
    expect_in(result.out, "  schedule      cosine\n");
    canyon(0, "show schedule --json");
    object = printed_json();
    assert_string_equal(json_string_value(member(member(member(object, "optimizer"), "settings"), "schedule")),
                        "cosine");
    json_decref(object);
    canyon(1, "set schedule schedule=step");
    expect_in(result.err, "needs step_size");
    canyon(1, "set schedule beta2=2");
    expect_in(result.err, "beta2=2 is outside [0, 1)");
    canyon(1, "set schedules lr=2");
    expect_in(result.err, "did you mean 'schedule'?");
    canyon(2, "set schedule");
    expect_in(result.err, "SETTING is missing");
    canyon(0, "set --help");
    expect_in(result.out, "NAME SETTING... [OPTION...]");
    canyon(0, "drop schedule --yes");
}

static void test_drop(void **state) {
    (void)state;
    const uint64_t dims[] = {3};
    create("temporary", 1, dims, "adam", NULL);
    canyon(2, "drop temporary");
    expect_in(result.err, "--yes");
    drop_on_a_terminal(1, "n\n");
    expect_in(result.err, "was not dropped");
    canyon(0, "show temporary");
    drop_on_a_terminal(0, "y\n");
    assert_string_equal(result.out, "dropped tensor 'temporary'\n");
    canyon(1, "show temporary");
    create("temporary", 1, dims, "adam", NULL);
    canyon(0, "drop temporary --yes --json");
    json_t *object = printed_json();
    assert_string_equal(json_string_value(member(object, "dropped")), "temporary");
    json_decref(object);
}

static void test_optimizers(void **state) {
    (void)state;
    canyon(0, "optimizers");
    expect_in(result.out, "\nadam                12  Adam:");
    expect_in(result.out, "\nsgd                  4  ");
    canyon(0, "optimizers adagrad");
    expect_in(result.out, "optimizer   adagrad\n");
    expect_in(result.out, "torch.optim.Adagrad\n");
    expect_in(result.out, "slots       sum\n");
    expect_in(result.out, "memory      8 bytes a parameter: its weight and 1 slot of 4 bytes\n");
    expect_in(result.out, "  0.01  (0, 1e+06] ");
    canyon(0, "optimizers rowwise_adagrad");
    expect_in(result.out, "memory      4 bytes a parameter: its weight; and 4 bytes a row");
    canyon(0, "optimizers sgd");
    expect_in(result.out, "slots       none\n");
    canyon(0, "optimizers --json");
    json_t *object = printed_json(), *list = member(object, "optimizers");
    assert_true(json_array_size(list) >= 18);
    assert_string_equal(json_string_value(member(json_array_get(list, 0), "name")), "sgd");
    json_decref(object);
    canyon(0, "optimizers adam --json");
    object = printed_json();
    json_t *settings = member(object, "settings"), *beta2 = json_array_get(settings, 2);
    assert_int_equal(json_integer_value(member(object, "bytes_per_parameter")), 12);
    assert_int_equal(json_array_size(member(object, "slots")), 2);
    assert_true(json_is_false(member(object, "rows_only")));
    assert_string_equal(json_string_value(member(beta2, "name")), "beta2");
    assert_true(json_number_value(member(beta2, "default")) == 0.999);
    assert_true(json_number_value(member(beta2, "high")) == 1.0 && json_is_true(member(beta2, "high_open")));
    assert_true(json_number_value(member(beta2, "low")) == 0.0 && json_is_false(member(beta2, "low_open")));
    json_decref(object);
    canyon(1, "optimizers adma");
    expect_in(result.err, "did you mean 'adam'");
    canyon(1, "optimizers something");
    expect_in(result.err, "`canyon optimizers` lists");
    canyon(2, "optimizers adam sgd");
}

static void test_usage(void **state) {
    (void)state;
    static const char *const wrong[] = {"",
                                        "statsu",
                                        "status extra",
                                        "show",
                                        "show a b",
                                        "pull layer/bias",
                                        "assign layer/bias",
                                        "status --timeout 0",
                                        "status -z",
                                        "--serves x status",
                                        "--key x --insecure-plaintext status",
                                        "status --insecure-plaintext-anywhere --known-servers x",
                                        "help nothing"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        canyon(2, wrong[i]);
        assert_string_equal(result.out, "");
        expect_in(result.err, "canyon");
    }
    canyon(2, "statsu");
    expect_in(result.err, "did you mean 'status'");
    canyon(2, "status --servers nonsense");
    expect_in(result.err, "nonsense");
    canyon(0, "--version");
    expect_in(result.out, canyon_version());
}

/* A terminal of 80 columns shows it as it is meant. */
static void expect_narrow(const char *text) {
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        if (strcspn(line, "\n") > 80) {
            fail_msg("wider than 80 columns: %.*s", (int)strcspn(line, "\n"), line);
        }
    }
}

static void test_help(void **state) {
    (void)state;
    static const char *const commands[] = {"status", "tensors", "show", "pull", "assign", "drop", "optimizers"};
    char words[64];
    canyon(0, "--help");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        expect_in(result.out, commands[i]);
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        snprintf(words, sizeof words, "help %s", commands[i]);
        canyon(0, words);
        expect_in(result.out, "Usage: canyon ");
        expect_in(result.out, "--servers LIST");
        expect_in(result.out, "Exit codes:");
        expect_in(result.out, "4 keys:");
        expect_in(result.out, "--insecure-plaintext-anywhere");
        expect_narrow(result.out);
    }
    canyon(0, "help");
    expect_in(result.out, "CANYON_SERVERS");
    expect_narrow(result.out);
}

/* Nobody listens at port 1 of loopback. */
static void test_no_server(void **state) {
    (void)state;
    static const char *const commands[] = {"status",       "tensors",           "show x",
                                           "drop x --yes", "pull x --output @", "optimizers"};
    char words[128];
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        snprintf(words, sizeof words, "--servers 127.0.0.1:1 --timeout 2000 %s", commands[i]);
        canyon(3, words);
        assert_string_equal(result.out, "");
        expect_in(result.err, "127.0.0.1:1 ");
        expect_in(result.err, strerror(ECONNREFUSED));
        expect_in(result.err, "canyon-server");
    }
}

static void test_output_that_cannot_be_written(void **state) {
    (void)state;
    if (access("/dev/full", W_OK) != 0) {
        print_message("SKIPPED: this machine has no /dev/full\n");
        skip();
    }
    char program[] = "/bin/sh", option[] = "-c", command[] = PROGRAM " tensors > /dev/full";
    char *argv[] = {program, option, command, NULL};
    run_program(&result, argv, -1);
    assert_int_equal(result.code, 1);
    assert_string_not_equal(result.err, "");
}

/* Last: it ends a server. What is left can still be looked at, and what is missing is named. */
static void test_a_server_goes_down(void **state) {
    (void)state;
    char down[64];
    snprintf(down, sizeof down, "%s", strchr(local_servers(local), ',') + 1);
    local_kill(local, 1, SIGKILL);
    canyon(3, "status --timeout 3000");
    expect_in(result.out, "2 servers (1 down), 2 threads");
    expect_in(result.out, "3 tensors");
    expect_in(result.out, down);
    expect_in(result.out, " is down: ");
    expect_in(result.out, strerror(ECONNREFUSED));
    assert_string_equal(result.err, "");
    canyon(3, "status --json");
    json_t *status = printed_json(), *servers = member(status, "servers");
    assert_int_equal(json_array_size(servers), 2);
    assert_true(json_is_true(member(json_array_get(servers, 0), "up")));
    assert_true(json_is_false(member(json_array_get(servers, 1), "up")));
    expect_in(json_string_value(member(json_array_get(servers, 1), "reason")), down);
    json_decref(status);
    canyon(0, "tensors");
    expect_in(result.out, "layer/weight");
    canyon(3, "pull layer/weight --output @ --timeout 3000");
    expect_in(result.err, down);
    assert_string_equal(result.out, "");
    canyon(3, "drop layer/weight --yes --timeout 3000"); /* nothing is half dropped */
    expect_in(result.err, down);
}

/* ---- tables ---- */

static canyon_table *make_table(void) {
    struct canyon_table_spec spec;
    canyon_table *table = NULL;
    const uint64_t ids[] = {7, 3, UINT64_MAX, 7};
    const float gradients[] = {1, 2, 3, 4, -5, -6, 1, 0};
    canyon_table_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "words");
    spec.dim = 2;
    spec.row_cap = 1000;
    assert_int_equal(canyon_table_spec_optimizer(&spec, "sgd:lr=1"), CANYON_OK);
    if (canyon_table_create(client, &spec, 0, &table) != CANYON_OK ||
        canyon_table_push(table, ids, 4, gradients, 0) != CANYON_OK) {
        fail_msg("%s", canyon_error_text());
    }
    return table;
}

static void test_tables(void **state) {
    (void)state;
    canyon_table *table = make_table();
    canyon(0, "tensors");
    expect_in(result.out, "words");
    expect_in(result.out, "rows of 2");
    canyon(0, "show words");
    expect_in(result.out, "row cap         1,000\n");
    expect_in(result.out, "capacity        not known\n");
    expect_in(result.out, "rows            3\n");
    expect_in(result.out, "bytes a row\n");
    expect_in(result.out, "clock           1 ");
    canyon(0, "rows words");
    assert_string_equal(result.out, "3                    -3 -4\n"
                                    "7                    -2 -2\n"
                                    "18446744073709551615 5 6\n");
    canyon(0, "rows words --from 4 -n 1");
    assert_string_equal(result.out, "7                    -2 -2\n");
    canyon(0, "status");
    expect_in(result.out, "rows of tables");
    canyon(1, "pull words --output @");
    expect_in(result.err, "'words' is a table: `canyon rows words`");
    canyon(1, "rows scale");
    expect_in(result.err, "'scale' is a tensor");
    canyon(1, "rows wrods");
    expect_in(result.err, "did you mean 'words'");
    canyon(2, "rows words --count 0");
    canyon(0, "set words lr=0.5");
    canyon(0, "drop words --yes");
    assert_string_equal(result.out, "dropped table 'words'\n");
    canyon_table_close(table);
}

static void test_tables_in_json(void **state) {
    (void)state;
    canyon_table *table = make_table();
    canyon(0, "show words --json");
    json_t *shown = printed_json();
    assert_string_equal(json_string_value(member(shown, "kind")), "table");
    assert_int_equal(json_integer_value(member(shown, "rows")), 3);
    assert_int_equal(json_integer_value(member(shown, "row_cap")), 1000);
    json_decref(shown);
    canyon(0, "rows words --json --count 2");
    json_t *printed = printed_json(), *rows = member(printed, "rows");
    assert_int_equal(json_array_size(rows), 2);
    assert_int_equal(json_integer_value(member(json_array_get(rows, 1), "id")), 7);
    assert_true(json_number_value(json_array_get(member(json_array_get(rows, 1), "weights"), 1)) == -2.0);
    json_decref(printed);
    canyon(0, "status --json");
    json_t *status = printed_json();
    json_int_t total = 0;
    for (size_t i = 0; i < 2; i++) {
        total += json_integer_value(member(json_array_get(member(status, "servers"), i), "rows"));
    }
    assert_int_equal(total, 3);
    json_decref(status);
    canyon(0, "drop words --yes --json");
    canyon_table_close(table);
}

/* ---- workers that count clocks ---- */

static void test_workers_and_consistency(void **state) {
    (void)state;
    uint64_t clock = 0, dims[2] = {ROWS, COLUMNS};
    static float gradient[ROWS * COLUMNS];
    canyon(0, "workers");
    expect_in(result.out, "no worker counts clocks: those that do (canyon_clock;");
    canyon(0, "consistency");
    expect_in(result.out, "async (nobody set a mode)\nno worker counts clocks; a lease is 10.0 s\n");
    canyon(2, "consistency --from 3");
    canyon(1, "consistency nonsense");
    expect_in(result.err, "ssp:CLOCKS");
    canyon(0, "consistency ssp:5 --json");
    json_t *object = printed_json();
    assert_string_equal(json_string_value(member(object, "mode")), "ssp:5");
    assert_true(json_is_null(member(object, "next")));
    assert_int_equal(json_integer_value(member(object, "lease_ms")), 10000);
    json_decref(object);
    create("stale", 2, dims, "sgd", NULL);
    canyon_tensor *tensor = NULL;
    assert_int_equal(canyon_tensor_open(client, "stale", 0, &tensor), CANYON_OK);
    assert_int_equal(canyon_clock(client, &clock), CANYON_OK);
    assert_int_equal(canyon_clock(client, &clock), CANYON_OK);
    assert_int_equal(canyon_push(tensor, gradient, 0), CANYON_OK);
    assert_int_equal(canyon_push(tensor, gradient, 0), CANYON_OK);
    canyon(0, "workers --staleness");
    expect_in(result.out, "clocks/s");
    expect_in(result.out, "(rank 0)");
    expect_in(result.out, "staleness");
    canyon(0, "workers --staleness --json");
    object = printed_json();
    json_t *worker = json_array_get(member(object, "workers"), 0);
    assert_int_equal(json_integer_value(member(worker, "clock")), (json_int_t)clock);
    assert_int_equal(json_integer_value(member(worker, "lag")), 0);
    assert_true(json_is_true(member(worker, "live")));
    assert_int_equal(json_integer_value(member(worker, "staleness_max")), 1);
    json_t *counts = member(member(worker, "staleness"), "counts");
    assert_int_equal(json_array_size(counts), 2);
    assert_int_equal(json_integer_value(member(json_array_get(counts, 1), "from")), 1);
    json_decref(object);
    canyon(0, "workers --of stale");
    expect_in(result.out, "staleness 0.50 on average, 1 at most\n");
    canyon(1, "workers --of stael");
    expect_in(result.err, "did you mean 'stale'");
    canyon(1, "consistency sync --from 2");
    expect_in(result.err, "a worker at clock 2 already");
    canyon(0, "consistency sync --from 9");
    expect_in(result.out, "ssp:5, from clock 9 on sync\n1 worker counts clocks, the furthest is at clock 2;");
    assert_null(strstr(result.out, "is open")); /* clock 9 is nobody's yet */
    canyon(0, "drop stale --yes");
    canyon_tensor_close(tensor);

    while (clock < 9) { /* where it waits for nobody */
        assert_int_equal(canyon_clock(client, &clock), CANYON_OK);
    }
    await_in("consistency",
             "sync\n1 worker counts clocks, the furthest is at clock 9; a lease is 10.0 s\nclock 9 is open:");
}

/* One that has left stays in the list, and nothing is said of where it goes. */
static void test_a_worker_that_left(void **state) {
    (void)state;
    struct canyon_options connect;
    canyon_client *other = NULL;
    canyon_options_init(&connect);
    connect.servers = local_servers(local);
    connect.name = "bert";
    keys_apply(local_keys(local), &connect);
    assert_int_equal(canyon_connect(&connect, &other), CANYON_OK);
    assert_int_equal(canyon_clock(other, NULL), CANYON_OK);
    canyon_close(other);
    canyon(0, "workers");
    const char *row = strstr(result.out, "\nbert ");
    assert_non_null(row);
    char words[6][16];
    assert_int_equal(
        sscanf(row, " bert %15s %15s %15s %15s %15s %15s", words[0], words[1], words[2], words[3], words[4], words[5]),
        6);
    assert_string_equal(words[1], "9"); /* it began where the others are */
    assert_string_equal(words[2], "-");
    assert_string_equal(words[3], "-");
    expect_in(row, "  gone\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_status_of_codecs),
        cmocka_unit_test(test_status_of_gradients),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_show),
        cmocka_unit_test(test_pull_and_assign),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_a_single_number_keeps_its_shape),
        cmocka_unit_test(test_assign_refuses),
        cmocka_unit_test(test_unknown_tensor),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_drop),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_tables_in_json),
        cmocka_unit_test(test_workers_and_consistency),
        cmocka_unit_test(test_a_worker_that_left),
        cmocka_unit_test(test_optimizers),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_no_server),
        cmocka_unit_test(test_output_that_cannot_be_written),
        cmocka_unit_test(test_a_server_goes_down),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
