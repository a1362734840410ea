/* Progress: a bar on a terminal (a real one, of a given width), lines elsewhere, and the time left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/tools/progress.h"
#include "client/tools/table.h"
#include "tests/tools/capture.h"

static size_t count_of(const char *text, char character) {
    size_t count = 0;
    for (; *text != '\0'; text++) {
        count += *text == character;
    }
    return count;
}

static void test_lines_when_not_a_terminal(void **state) {
    (void)state;
    struct capture capture;
    struct progress progress;
    capture_begin(&capture);
    progress_init(&progress, capture.file);
    assert_false(progress.terminal);
    progress.started = 100.0;
    progress_update_at(&progress, 0.0, "begin", 100.0);
    progress_update_at(&progress, 0.01, "too soon", 100.4);
    progress_update_at(&progress, 0.05, "loss 0.9", 100.6);
    progress_update_at(&progress, 0.1, "too soon", 102.5);
    progress_update_at(&progress, 0.25, "loss 0.5", 103.0);
    progress_update_at(&progress, 0.3, "too soon", 104.9);
    progress_finish_at(&progress, "end", 112.0);
    char *text = capture_end(&capture);
    /* A quarter in three seconds leaves nine. */
    assert_string_equal(text, "  0%  begin\n  5%  loss 0.9\n 25%  loss 0.5  0:09 left\n100%  end  12.0 s\n");
    free(text);
}

static void test_fractions_out_of_range(void **state) {
    (void)state;
    struct capture capture;
    struct progress progress;
    const double fractions[] = {-1.0, 2.0, (double)__builtin_nanf(""), (double)__builtin_inff()};
    capture_begin(&capture);
    progress_init(&progress, capture.file);
    progress.started = 0.0;
    for (int i = 0; i < 4; i++) {
        progress_update_at(&progress, fractions[i], "x", 10.0 * (i + 1));
    }
    char *text = capture_end(&capture);
    assert_string_equal(text, "  0%  x\n100%  x  0:00 left\n  0%  x\n100%  x  0:00 left\n");
    free(text);
}

/* A terminal of so many columns; what was written to it comes back from the other side. */
struct terminal {
    int master;
    FILE *file;
};

static void open_terminal(struct terminal *terminal, unsigned short columns) {
    int slave = -1;
    struct winsize size = {.ws_row = 24, .ws_col = columns};
    if (openpty(&terminal->master, &slave, NULL, NULL, &size) != 0) {
        print_message("SKIPPED: no terminal can be made here (openpty: %s)\n", strerror(errno));
        skip();
    }
    terminal->file = fdopen(slave, "w");
    assert_non_null(terminal->file);
}

/* Everything written so far, NUL-terminated. Closes the terminal: only then is it sure that what was written has come
 * over to this side, and the end shows as an error. */
static void read_terminal(struct terminal *terminal, char *text, size_t bytes) {
    size_t length = 0;
    ssize_t have;
    fclose(terminal->file);
    while (length + 1 < bytes && (have = read(terminal->master, text + length, bytes - 1 - length)) > 0) {
        length += (size_t)have;
    }
    text[length] = '\0';
    close(terminal->master);
}

static void test_bar_on_a_terminal(void **state) {
    (void)state;
    struct terminal terminal;
    struct progress progress;
    char text[4096];
    open_terminal(&terminal, 80);
    progress_init(&progress, terminal.file);
    assert_true(progress.terminal);
    assert_int_equal(progress.width, 80);
    progress.started = 0.0;
    progress_update_at(&progress, 0.5, "adam: loss 0.31", 60.0);
    progress_update_at(&progress, 0.6, "not drawn: too soon", 60.05);
    progress_update_at(&progress, 0.75, "adam: loss 0.25", 61.0);
    progress_finish_at(&progress, "done", 70.0);
    read_terminal(&terminal, text, sizeof text);
    assert_non_null(strstr(text, "\r[===============>              ]   50%  adam: loss 0.31  1:00 left\033[K"));
    assert_null(strstr(text, "too soon"));
    assert_non_null(strstr(text, " 75%  adam: loss 0.25  0:20 left\033[K"));
    assert_non_null(strstr(text, "[==============================]  100%  done  1m 10s\033[K"));
    assert_int_equal(count_of(text, '\n'), 1);
}

/* Whatever the width and the text, one line never wraps, and no character is cut in two. */
static void test_every_width_fits(void **state) {
    (void)state;
    static const char *const texts[] = {
        "", "adam", "nesterov: Genauigkeit über 0,95 — größer als nötig für zwölf Bücher", "a\nb\tc\033[2J"};
    for (unsigned short columns = 1; columns <= 200; columns = (unsigned short)(columns + 3)) {
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            struct terminal terminal;
            struct progress progress;
            char text[4096];
            open_terminal(&terminal, columns);
            progress_init(&progress, terminal.file);
            progress.started = 0.0;
            progress_update_at(&progress, 0.3, texts[i], 5.0);
            read_terminal(&terminal, text, sizeof text);
            char *end = strstr(text, "\033[K");
            assert_non_null(end);
            *end = '\0';
            assert_int_equal(text[0], '\r');
            assert_null(strchr(text + 1, '\033'));
            assert_int_equal(count_of(text, '\n'), 0);
            /* Percent and blanks are the least that is shown. */
            size_t high = columns > 7 ? columns - 1u : 6;
            assert_true(table_width(text + 1) <= high);
        }
    }
}

/* What a run of several says fits 80 columns with a bar, and what gives way for less is never half a number. */
static void test_what_gives_way(void **state) {
    (void)state;
    static const char long_text[] = "8/8 adadelta: loss 0.031, accuracy 98.4 %, 10.9 k/s";
    static const struct {
        unsigned short columns;
        const char *line;
    } cases[] = {
        {80, "\r[===>   ]   50%  8/8 adadelta: loss 0.031, accuracy 98.4 %, 10.9 k/s  1:00 left\033[K"},
        {69, "\r 50%  8/8 adadelta: loss 0.031, accuracy 98.4 %, 10.9 k/s  1:00 left\033[K"},
        {68, "\r[==>  ]   50%  8/8 adadelta: loss 0.031, accuracy 98.4 %  1:00 left\033[K"},
        {44, "\r 50%  8/8 adadelta: loss 0.031  1:00 left\033[K"},
        {40, "\r[===>  ]   50%  8/8 adadelta  1:00 left\033[K"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct terminal terminal;
        struct progress progress;
        char text[4096];
        open_terminal(&terminal, cases[i].columns);
        progress_init(&progress, terminal.file);
        progress.started = 0.0;
        progress_update_at(&progress, 0.5, long_text, 60.0);
        read_terminal(&terminal, text, sizeof text);
        assert_string_equal(text, cases[i].line);
    }
}

static void test_clear(void **state) {
    (void)state;
    struct terminal terminal;
    struct progress progress;
    char text[4096];
    open_terminal(&terminal, 80);
    progress_init(&progress, terminal.file);
    progress.started = 0.0;
    progress_clear(&progress);
    progress_update_at(&progress, 0.5, "first", 1.0);
    progress_clear(&progress);
    progress_update_at(&progress, 0.5, "again", 1.01);
    read_terminal(&terminal, text, sizeof text);
    const char *cleared = strstr(text, "\033[K\r\033[K");
    assert_non_null(cleared);
    assert_non_null(strstr(cleared, "again"));
}

static void test_real_clock(void **state) {
    (void)state;
    struct capture capture;
    struct progress progress;
    capture_begin(&capture);
    progress_init(&progress, capture.file);
    for (int i = 0; i <= 1000; i++) {
        progress_update(&progress, i / 1000.0, "x");
    }
    progress_finish(&progress, "end");
    char *text = capture_end(&capture);
    assert_true(count_of(text, '\n') >= 2 && count_of(text, '\n') < 20);
    assert_non_null(strstr(text, "100%  end  "));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_when_not_a_terminal),
        cmocka_unit_test(test_fractions_out_of_range),
        cmocka_unit_test(test_bar_on_a_terminal),
        cmocka_unit_test(test_every_width_fits),
        cmocka_unit_test(test_what_gives_way),
        cmocka_unit_test(test_clear),
        cmocka_unit_test(test_real_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
