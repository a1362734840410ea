/* One event, one line, whatever its values hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"

struct seen {
    int calls;
    enum log_level level;
    char text[4096];
};

static void remember(void *user, enum log_level level, const char *text) {
    struct seen *seen = user;
    seen->calls++;
    seen->level = level;
    strncpy(seen->text, text, sizeof seen->text - 1);
}

static void callbacks_get_the_text(void **state) {
    (void)state;
    struct seen seen = {.calls = 0};
    struct log log = {.threshold = LOG_INFO, .descriptor = -1, .callback = remember, .user = &seen};
    log_event(&log, LOG_WARNING, "lost", "server=%d", 3);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.level, LOG_WARNING);
    assert_string_equal(seen.text, "lost server=3");
    log_event(&log, LOG_INFO, "stopped", "%s", "");
    assert_string_equal(seen.text, "stopped");
}

static void the_threshold_drops(void **state) {
    (void)state;
    struct seen seen = {.calls = 0};
    struct log log = {.descriptor = -1, .callback = remember, .user = &seen};
    for (int threshold = LOG_DEBUG; threshold <= LOG_SILENT; threshold++) {
        for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
            seen.calls = 0;
            log.threshold = (enum log_level)threshold;
            log_event(&log, (enum log_level)level, "x", "%s", "");
            assert_int_equal(seen.calls, level >= threshold);
        }
    }
    log_event(NULL, LOG_ERROR, "nowhere", "%s", "");
    struct log nowhere = {.threshold = LOG_DEBUG, .descriptor = -1};
    log_event(&nowhere, LOG_ERROR, "nowhere", "%s", "");
}

/* Writes one event to a pipe and reads what came out of it. */
static void line_of(const char *value, char *line, size_t bytes) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct log log = {.threshold = LOG_DEBUG, .descriptor = ends[1]};
    errno = EDOM;
    log_event(&log, LOG_INFO, "event", "value=%s", value);
    assert_int_equal(errno, EDOM);
    close(ends[1]);
    ssize_t got = read(ends[0], line, bytes - 1);
    assert_true(got > 0);
    line[got] = '\0';
    close(ends[0]);
}

static void lines_have_time_level_and_event(void **state) {
    (void)state;
    char line[4096];
    line_of("7", line, sizeof line);
    assert_string_equal(line + strlen("2026-01-31T12:00:00.123Z"), " info event value=7\n");
    assert_int_equal(line[10], 'T');
}

static void an_event_stays_one_line(void **state) {
    (void)state;
    char line[4096], big[4000];
    line_of("a\nb\rc\x1b[0m", line, sizeof line);
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    assert_non_null(strstr(line, "value=a?b?c?[0m\n"));
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    line_of(big, line, sizeof line);
    assert_in_range(strlen(line), 1000, 2048);
    assert_int_equal(line[strlen(line) - 1], '\n');
}

static void quoting(void **state) {
    (void)state;
    char text[64], small[8];
    assert_string_equal(log_quote("plain text", text, sizeof text), "\"plain text\"");
    assert_string_equal(log_quote("a\"b\\c\nd\x01", text, sizeof text), "\"a\\\"b\\\\c\\nd\\x01\"");
    assert_string_equal(log_quote("", text, sizeof text), "\"\"");
    /* Cut before an escape that does not fit, and closed all the same. */
    assert_string_equal(log_quote("abcdefgh", small, sizeof small), "\"abcde\"");
    assert_string_equal(log_quote("abcd\x01", small, sizeof small), "\"abcd\"");
    for (size_t bytes = 0; bytes < 12; bytes++) {
        char *exact = malloc(bytes + 1);
        assert_non_null(exact);
        log_quote("a\"\n\x02longer", exact, bytes);
        assert_true(bytes == 0 || strlen(exact) < bytes);
        free(exact);
    }
}

static void levels_have_names(void **state) {
    (void)state;
    for (int i = LOG_DEBUG; i <= LOG_SILENT; i++) {
        enum log_level level;
        assert_int_equal(log_level_parse(log_level_name((enum log_level)i), &level), 0);
        assert_int_equal(level, i);
    }
    enum log_level level = LOG_ERROR;
    assert_int_equal(log_level_parse("loud", &level), -1);
    assert_int_equal(log_level_parse("", &level), -1);
    assert_int_equal(level, LOG_ERROR);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(callbacks_get_the_text),
        cmocka_unit_test(the_threshold_drops),
        cmocka_unit_test(lines_have_time_level_and_event),
        cmocka_unit_test(an_event_stays_one_line),
        cmocka_unit_test(quoting),
        cmocka_unit_test(levels_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
