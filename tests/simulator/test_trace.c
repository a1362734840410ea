/* canyon-sim trace: against PyTorch, through real servers; and what it says to bad input. */
#include "program.h"

#include <inttypes.h>
#include <math.h>

#include "canyon.h"
#include "client/simulator/vector.h"
#include "servers.h"
#include "tests/golden/gradients.h"
#include "tests/golden/lines.h"

#define LINE_BYTES 400

#define ELEMENTS  10
#define STEPS     300
#define TOLERANCE 2e-6

/* One case of trace_golden.txt, and what the program made of it. */
struct golden {
    char optimizer[LINE_BYTES], init[LINE_BYTES];
    FILE *gradients;
    float weights[STEPS][ELEMENTS];
    bool left_out[ELEMENTS]; /* PyTorch's weight or state was not finite at an earlier step */
    size_t step, left;       /* left: elements left out at its end */
    double worst;
};

/* Writes the vectors as trace reads them. */
static void write_vectors(struct golden *golden, uint64_t seed) {
    struct generator generator = {seed};
    size_t at = 0;
    golden->gradients = tmpfile();
    assert_non_null(golden->gradients);
    for (size_t i = 0; i < ELEMENTS; i++) {
        at += (size_t)snprintf(golden->init + at, sizeof golden->init - at, i == 0 ? "%.9g" : " %.9g",
                               (double)(float)generator_number(&generator));
    }
    for (size_t step = 0; step < STEPS; step++) {
        for (size_t i = 0; i < ELEMENTS; i++) {
            fprintf(golden->gradients, i == 0 ? "%.9g" : " %.9g", (double)generator_gradient(&generator, i));
        }
        fputc('\n', golden->gradients);
    }
    fflush(golden->gradients);
}

static void read_weights(struct golden *golden, const char *said) {
    size_t steps = 0;
    for (const char *line = said; *line != '\0'; steps++) {
        char text[VECTOR_TEXT_BYTES], copy[LINE_BYTES];
        size_t count = 0, length = strcspn(line, "\n");
        assert_true(length < sizeof copy && line[length] == '\n' && steps < STEPS);
        snprintf(copy, sizeof copy, "%.*s", (int)length, line);
        if (!vector_read(copy, length, golden->weights[steps], ELEMENTS, &count, text, sizeof text)) {
            fail_msg("%s: '%s': %s", golden->optimizer, copy, text);
        }
        assert_int_equal(count, ELEMENTS);
        line += length + 1;
    }
    assert_int_equal(steps, STEPS);
}

static void compare_step(struct golden *golden, const struct lines *lines) {
    assert_int_equal(lines->count, 2 + ELEMENTS);
    golden->step = lines_number(lines, 1);
    assert_in_range(golden->step, 1, STEPS);
    for (size_t i = 0; i < ELEMENTS; i++) {
        const char *word = lines->words[2 + i];
        if (strcmp(word, "weight") == 0 || strcmp(word, "state") == 0) {
            golden->left += !golden->left_out[i];
            golden->left_out[i] = true;
        }
        if (!golden->left_out[i]) {
            double wanted = lines_double(lines, 2 + i), got = (double)golden->weights[golden->step - 1][i];
            double error = fabs(got - wanted) / fmax(1.0, fabs(wanted));
            if (!(error <= TOLERANCE)) {
                fail_msg("%s, step %zu, element %zu: %.9g where PyTorch has %.9g", golden->optimizer, golden->step, i,
                         got, wanted);
            }
            golden->worst = fmax(golden->worst, error);
        }
    }
}

/* Servers that the tests of this file share. */
static struct local *local;

static int start_servers(void **state) {
    (void)state;
    return servers_start(2, &local);
}

static int stop_servers(void **state) {
    (void)state;
    return local_stop(local) ? 0 : -1;
}

static void all_are_pytorchs(void **state) {
    struct lines lines;
    struct golden *golden = calloc(1, sizeof *golden);
    uint64_t cases = 0;
    size_t plain = 0;
    double worst = 0.0;
    (void)state;
    assert_non_null(golden);
    lines_open(&lines, CANYON_SOURCE_DIR "/tests/simulator/trace_golden.txt");
    while (lines_next(&lines)) {
        if (lines_is(&lines, "case")) {
            struct program program;
            assert_int_equal(lines.count, 2);
            memset(golden, 0, sizeof *golden);
            snprintf(golden->optimizer, sizeof golden->optimizer, "%s", lines.words[1]);
            plain += strchr(golden->optimizer, ':') == NULL;
            write_vectors(golden, ++cases);
            program_run(&program, golden->gradients, 0,
                        WORDS("trace", "--servers", local_servers(local), "--optimizer", golden->optimizer, "--init",
                              golden->init));
            assert_string_equal(program.told, "");
            read_weights(golden, program.said);
            program_finish(&program);
            fclose(golden->gradients);
        } else if (lines_is(&lines, "step")) {
            compare_step(golden, &lines);
        } else {
            assert_true(lines_is(&lines, "end") && golden->step == STEPS);
            assert_true(golden->left < ELEMENTS / 2);
            worst = fmax(worst, golden->worst);
            printf("%-9.2g %s", golden->worst, golden->optimizer);
            printf(golden->left > 0 ? "; left out where PyTorch is not finite: %zu of 10\n" : "\n", golden->left);
        }
    }
    printf("%" PRIu64 " cases, largest error %.2g of max(1, |PyTorch's|)\n", cases, worst);
    assert_int_equal(plain, 13); /* all that PyTorch 1.13 has, with their defaults */
    assert_true(cases >= 80);
    lines_close(&lines);
    free(golden);
}

static FILE *input_of(const char *text, size_t bytes) {
    FILE *input = tmpfile();
    assert_non_null(input);
    assert_int_equal(fwrite(text, 1, bytes, input), bytes);
    fflush(input);
    return input;
}

static void trace(struct program *program, const char *gradients, int code) {
    FILE *input = input_of(gradients, strlen(gradients));
    program_run(program, input, code,
                WORDS("trace", "--servers", local_servers(local), "-o", "sgd:lr=1", "--init", "1,2"));
    fclose(input);
}

static void output_is_the_weights_and_nothing_else(void **state) {
    struct program program;
    (void)state;
    trace(&program, "0.5, 0.25\n0 -1e-1\r\n 1\t1", 0);
    assert_string_equal(program.said, "0.5 1.75\n0.5 1.85000002\n-0.5 0.850000024\n");
    assert_string_equal(program.told, "");
    program_finish(&program);
    trace(&program, "", 0);
    assert_string_equal(program.said, "");
    program_finish(&program);
}

static void a_wrong_line_is_named(void **state) {
    static const struct {
        const char *gradients, *told;
    } wrong[] = {
        {"1 1\n1 1\n1 x\n1 1\n", "line 3: 'x' is not a decimal number"},
        {"1 1\n1 1\n1\n", "line 3: 1 numbers, but --init has 2"},
        {"1 1\n1 1\n1 2 3\n", "line 3: 3 numbers, but --init has 2"},
        {"1 1\n1 1\n\n1 1\n", "line 3: there are no numbers"},
        {"1 1\n1 1\n1,,1\n", "line 3: a number is missing"},
        {"1 1\n1 1\nnan 1\n", "line 3: 'nan' is not a decimal number"},
        {"1 1\n1 1\n1e99 1\n", "line 3: '1e99' is outside the range"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct program program;
        trace(&program, wrong[i].gradients, 2);
        assert_string_equal(program.said, "0 1\n-1 0\n"); /* what came before it was done */
        expect_part(program.told, wrong[i].told);
        program_finish(&program);
    }
}

static void wrong_command_lines_are_refused(void **state) {
    static const char *const optimizers[][2] = {
        {"nosuch", "nosuch"}, {"adam:lr=-1", "lr"}, {"adam:beta1=1", "beta1"}, {"adam:speed=1", "speed"}};
    struct program program;
    (void)state;
    program_run(&program, NULL, 2, WORDS("trace", "--init", "1"));
    expect_part(program.told, "--optimizer is missing");
    program_finish(&program);
    program_run(&program, NULL, 2, WORDS("trace", "--optimizer", "sgd"));
    expect_part(program.told, "--init is missing");
    program_finish(&program);
    program_run(&program, NULL, 2, WORDS("trace", "--optimizer", "sgd", "--init", "1,x"));
    expect_part(program.told, "--init: 'x'");
    program_finish(&program);
    program_run(&program, NULL, 2, WORDS("trace", "--optimizer", "sgd:lr", "--init", "1"));
    expect_part(program.told, "--optimizer");
    program_finish(&program);
    program_run(&program, NULL, 2, WORDS("trace", "-o", "sgd", "--init", "1", "-s", "127.0.0.1:1", "--local", "1"));
    expect_part(program.told, "--local");
    program_finish(&program);
    for (size_t i = 0; i < 4; i++) { /* these only a server can know */
        program_run(&program, NULL, 1,
                    WORDS("trace", "-s", local_servers(local), "-o", optimizers[i][0], "--init", "1"));
        expect_part(program.told, optimizers[i][1]);
        assert_string_equal(program.said, "");
        program_finish(&program);
    }
}

static void without_servers_the_exit_code_is_3(void **state) {
    struct program program;
    (void)state;
    program_run(&program, NULL, 3, WORDS("trace", "-s", "127.0.0.1:1", "-o", "sgd", "--init", "1"));
    expect_part(program.told, "127.0.0.1:1");
    program_finish(&program);
}

static void local_servers_come_and_go(void **state) {
    struct program program;
    FILE *input = input_of("1\n2\n", 4);
    (void)state;
    program_run(&program, input, 0, WORDS("trace", "--local", "3", "--threads=2", "-o", "sgd:lr=1", "--init", "10"));
    assert_string_equal(program.said, "9\n7\n");
    expect_part(program.told, "encrypted, with keys made for this run");
    program_finish(&program);
    fclose(input);
}

static void local_servers_in_plaintext(void **state) {
    struct program program;
    FILE *input = input_of("1\n2\n", 4);
    (void)state;
    program_run(&program, input, 0,
                WORDS("trace", "--local", "2", "--insecure-plaintext", "-o", "sgd:lr=1", "--init", "10"));
    assert_string_equal(program.said, "9\n7\n");
    assert_string_equal(program.told, "");
    program_finish(&program);
    fclose(input);
}

/* Reads while it has nothing to read, and is told to stop. */
static void an_interrupt_ends_it(void **state) {
    struct program program;
    int ends[2];
    pid_t servers[PROGRAM_PROCESSES];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[1], F_SETFD, FD_CLOEXEC), 0);
    FILE *input = fdopen(ends[0], "r");
    assert_non_null(input);
    program_start(&program, input, WORDS("trace", "--local", "2", "-o", "sgd:lr=1", "--init", "10"));
    assert_int_equal(write(ends[1], "1\n", 2), 2);
    struct timespec pause = {.tv_nsec = 10000000};
    for (unsigned turns = 0; turns < 3000 && (fseek(program.out, 0, SEEK_END) != 0 || ftell(program.out) < 2);
         turns++) {
        nanosleep(&pause, NULL); /* until the first step is done, hence all is set up */
    }
    size_t count = program_wait_children(program.process, "canyon-server", 2, servers);
    kill(program.process, SIGINT);
    program_wait(&program, 30);
    assert_int_equal(program.code, 130);
    assert_string_equal(program.said, "9\n");
    program_expect_gone(servers, count);
    program_finish(&program);
    close(ends[1]);
    fclose(input);
}

static void no_tensor_is_left(void **state) {
    (void)state;
    servers_hold_nothing(local);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_are_pytorchs),
        cmocka_unit_test(output_is_the_weights_and_nothing_else),
        cmocka_unit_test(a_wrong_line_is_named),
        cmocka_unit_test(wrong_command_lines_are_refused),
        cmocka_unit_test(without_servers_the_exit_code_is_3),
        cmocka_unit_test(local_servers_come_and_go),
        cmocka_unit_test(local_servers_in_plaintext),
        cmocka_unit_test(an_interrupt_ends_it),
        cmocka_unit_test(no_tensor_is_left), /* by all of them */
    };
    return cmocka_run_group_tests(tests, start_servers, stop_servers);
}
