/* The reference page, server/optimizers/README.md, says what the descriptors say; and this test would notice if not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/optimizers/optimizer.h"

#define PAGE        CANYON_SOURCE_DIR "/server/optimizers/README.md"
#define LINES_HIGH  2000
#define CELLS_HIGH  8
#define TEXT_BYTES  1024
#define COMMON_HEAD "Common settings"

struct page {
    char *text; /* cut into lines */
    char *lines[LINES_HIGH];
    size_t count;
    char problem[TEXT_BYTES]; /* the first one found; "" for none */
};

/* A part of the page: what stands below one heading. */
struct section {
    size_t begin, end;
};

static char *page_read(void) {
    FILE *file = fopen(PAGE, "rb");
    char *text = NULL;
    long bytes = 0;
    assert_non_null(file);
    assert_true(fseek(file, 0, SEEK_END) == 0 && (bytes = ftell(file)) > 0);
    rewind(file);
    text = calloc((size_t)bytes + 1, 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)bytes, file), bytes);
    fclose(file);
    return text;
}

/* Takes the text over. */
static void page_init(struct page *page, char *text) {
    char *place = NULL;
    memset(page, 0, sizeof *page);
    page->text = text;
    for (char *line = strtok_r(text, "\n", &place); line != NULL; line = strtok_r(NULL, "\n", &place)) {
        assert_true(page->count < LINES_HIGH);
        page->lines[page->count++] = line;
    }
}

static void problem(struct page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void problem(struct page *page, const char *format, ...) {
    va_list values;
    va_start(values, format);
    if (page->problem[0] == '\0') {
        vsnprintf(page->problem, sizeof page->problem, format, values);
    }
    va_end(values);
}

static struct section section_of(struct page *page, const char *heading) {
    struct section section = {0, 0};
    size_t found = 0;
    for (size_t i = 0; i < page->count; i++) {
        if (strncmp(page->lines[i], "## ", 3) == 0 && strcmp(page->lines[i] + 3, heading) == 0) {
            section.begin = section.end = i + 1;
            while (section.end < page->count && strncmp(page->lines[section.end], "## ", 3) != 0) {
                section.end++;
            }
            found++;
        }
    }
    if (found != 1) {
        problem(page, "'## %s' is there %zu times", heading, found);
    }
    return section;
}

/* The cells of a row of a table, trimmed, copied into `copy`; 0 when the line is none. */
static size_t cells_of(const char *line, char copy[TEXT_BYTES], const char *cells[CELLS_HIGH]) {
    size_t count = 0;
    if (line[0] != '|' || strlen(line) >= TEXT_BYTES) {
        return 0;
    }
    strcpy(copy, line + 1);
    for (char *at = copy, *bar = NULL; (bar = strchr(at, '|')) != NULL && count < CELLS_HIGH; at = bar + 1) {
        char *end = bar;
        at += strspn(at, " ");
        while (end > at && end[-1] == ' ') {
            end--;
        }
        *end = '\0';
        cells[count++] = at;
    }
    return count;
}

/* Finds the row whose first cell is `key`; the text in its second cell, or NULL. */
static const char *fact_of(const struct page *page, struct section section, const char *key, char copy[TEXT_BYTES]) {
    const char *cells[CELLS_HIGH];
    for (size_t i = section.begin; i < section.end; i++) {
        if (cells_of(page->lines[i], copy, cells) == 2 && strcmp(cells[0], key) == 0) {
            return cells[1];
        }
    }
    return NULL;
}

static unsigned bytes_of(const struct optimizer *optimizer) {
    return 4u * (unsigned)(optimizer->rows_only ? 1 : 1 + optimizer->slot_count);
}

static const char *slots_text(const char *const *names, size_t count, char text[TEXT_BYTES]) {
    strcpy(text, count == 0 ? "none" : "");
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(text);
        snprintf(text + length, TEXT_BYTES - length, "%s`%s`", i == 0 ? "" : ", ", names[i]);
    }
    return text;
}

static const char *row_text(const struct optimizer_hyperparameter *parameter, char text[TEXT_BYTES]) {
    char range[64];
    if (parameter->flag) {
        snprintf(range, sizeof range, "0 or 1");
    } else {
        snprintf(range, sizeof range, "%c%.12g, %.12g%c", parameter->low_open ? '(' : '[', parameter->low,
                 parameter->high, parameter->high_open ? ')' : ']');
    }
    snprintf(text, TEXT_BYTES, "| `%s` | %.12g | %s | %s |", parameter->name, parameter->fallback, range,
             parameter->meaning);
    return text;
}

static bool has_line(const struct page *page, struct section section, const char *line) {
    for (size_t i = section.begin; i < section.end; i++) {
        if (strcmp(page->lines[i], line) == 0) {
            return true;
        }
    }
    return false;
}

/* The table of all: one row each, in the order of the registry. */
static void check_overview(struct page *page) {
    struct section section = section_of(page, "All of them");
    size_t index = 0;
    for (size_t i = section.begin; i < section.end; i++) {
        char wanted[2 * TEXT_BYTES], slots[TEXT_BYTES];
        if (strncmp(page->lines[i], "| [", 3) != 0) {
            continue;
        }
        if (index == optimizer_count()) {
            problem(page, "the table of all has more rows than there are optimizers: %s", page->lines[i]);
            return;
        }
        const struct optimizer *optimizer = optimizer_at(index++);
        snprintf(wanted, sizeof wanted, "| [%s](#%s) | %u | %s | %s |", optimizer->name, optimizer->name,
                 bytes_of(optimizer), slots_text(optimizer->slots, optimizer->slot_count, slots), optimizer->summary);
        if (strcmp(page->lines[i], wanted) != 0) {
            problem(page, "the table of all has\n%s\nwhere it should have\n%.900s", page->lines[i], wanted);
        }
    }
    if (index != optimizer_count()) {
        problem(page, "the table of all lacks '%s'", optimizer_at(index)->name);
    }
}

static void expect_fact(struct page *page, struct section section, const struct optimizer *optimizer, const char *key,
                        const char *wanted) {
    char copy[TEXT_BYTES];
    const char *fact = fact_of(page, section, key, copy);
    if (fact == NULL || (wanted != NULL && strcmp(fact, wanted) != 0) || fact[0] == '\0') {
        problem(page, "%s: %s is '%s' and should be '%s'", optimizer->name, key, fact == NULL ? "missing" : fact,
                wanted == NULL ? "something" : wanted);
    }
}

static void check_facts(struct page *page, struct section section, const struct optimizer *optimizer) {
    char text[TEXT_BYTES], copy[TEXT_BYTES];
    expect_fact(page, section, optimizer, "source", optimizer->source);
    expect_fact(page, section, optimizer, "slots", slots_text(optimizer->slots, optimizer->slot_count, text));
    const char *never[OPTIMIZER_SLOTS];
    size_t nevers = 0;
    for (size_t i = 0; i < optimizer->slot_count; i++) {
        if (optimizer->never_negative[i]) {
            never[nevers++] = optimizer->slots[i];
        }
    }
    if (nevers > 0) {
        expect_fact(page, section, optimizer, "never negative", slots_text(never, nevers, text));
    } else if (fact_of(page, section, "never negative", copy) != NULL) {
        problem(page, "%s: its slots may all be negative", optimizer->name);
    }
    snprintf(text, sizeof text, "%u bytes a parameter", bytes_of(optimizer));
    if (optimizer->rows_only) {
        snprintf(text, sizeof text, "%u bytes a parameter, and %zu a row", bytes_of(optimizer),
                 4 * optimizer->slot_count);
    }
    expect_fact(page, section, optimizer, "memory", text);
    expect_fact(page, section, optimizer, "PyTorch", NULL);
    expect_fact(page, section, optimizer, "TensorFlow", NULL);
    if (optimizer->scalar_count > 0) {
        size_t length = strlen(slots_text(optimizer->scalars, optimizer->scalar_count, text));
        snprintf(text + length, sizeof text - length, ", %zu bytes a block", 8 * optimizer->scalar_count);
        expect_fact(page, section, optimizer, "block scalars", text);
    } else if (fact_of(page, section, "block scalars", copy) != NULL) {
        problem(page, "%s: it has no block scalars", optimizer->name);
    }
    if (!has_line(page, section, "```")) {
        problem(page, "%s: there is no update rule", optimizer->name);
    }
}

/* Every setting is a row of the optimizer's own, or named among the common ones and a row there. Nothing else is. */
static void check_settings(struct page *page, struct section section, const struct optimizer *optimizer) {
    struct section common = section_of(page, COMMON_HEAD);
    char row[TEXT_BYTES], copy[TEXT_BYTES], quoted[64];
    const char *named = fact_of(page, section, "common settings", copy);
    size_t rows = 0, listed = 0, shared = 0;
    named = named == NULL ? "" : named;
    for (size_t i = 0; i < optimizer->hyperparameter_count; i++) {
        const struct optimizer_hyperparameter *parameter = &optimizer->hyperparameters[i];
        row_text(parameter, row);
        snprintf(quoted, sizeof quoted, "`%s`", parameter->name);
        if (strstr(named, quoted) != NULL) {
            shared++;
            if (!has_line(page, common, row)) {
                problem(page, "%s: '" COMMON_HEAD "' has no row\n%s", optimizer->name, row);
            }
        } else if (!has_line(page, section, row)) {
            problem(page, "%s: there is no row\n%s", optimizer->name, row);
        } else {
            rows++;
        }
    }
    for (size_t i = section.begin; i < section.end; i++) {
        listed += strncmp(page->lines[i], "| `", 3) == 0;
    }
    size_t quotes = 0;
    for (const char *at = named; *at != '\0'; at++) {
        quotes += *at == '`';
    }
    if (rows != listed || 2 * shared != quotes) {
        problem(page, "%s: the page has settings that it has not", optimizer->name);
    }
}

/* Sections named like an optimizer are one. */
static void check_strangers(struct page *page) {
    for (size_t i = 0; i < page->count; i++) {
        const char *heading = page->lines[i] + 3;
        if (strncmp(page->lines[i], "## ", 3) == 0 && islower((unsigned char)heading[0]) &&
            optimizer_find(heading) == NULL) {
            problem(page, "there is no optimizer '%s'", heading);
        }
    }
}

static void page_check(struct page *page) {
    check_overview(page);
    for (size_t i = 0; i < optimizer_count() && page->problem[0] == '\0'; i++) {
        struct section section = section_of(page, optimizer_at(i)->name);
        check_facts(page, section, optimizer_at(i));
        check_settings(page, section, optimizer_at(i));
    }
    check_strangers(page);
}

static void the_page_says_what_the_optimizers_are(void **state) {
    static struct page page;
    (void)state;
    page_init(&page, page_read());
    page_check(&page);
    if (page.problem[0] != '\0') {
        fail_msg("%s: %s", PAGE, page.problem);
    }
    free(page.text);
}

/* The page with the first `from` replaced; a longer text fits. */
static char *changed(const char *from, const char *to) {
    char *text = page_read(), *at = strstr(text, from);
    if (at == NULL) {
        fail_msg("'%s' is not in the page", from);
    }
    size_t before = (size_t)(at - text), bytes = strlen(text) + strlen(to) + 1;
    char *result = calloc(bytes, 1);
    assert_non_null(result);
    snprintf(result, bytes, "%.*s%s%s", (int)before, text, to, at + strlen(from));
    free(text);
    return result;
}

static void drift_is_noticed(void **state) {
    static const struct {
        const char *from, *to, *names; /* what the problem must name */
    } changes[] = {
        {"| [adam](#adam) |", "| adam |", "adam"}, /* gone from the table of all */
        {"| [adam](#adam) | 12", "| [adam](#adam) | 8", "adam"},
        {"\n## nag\n", "\n### nag\n", "momentum"}, /* its section is gone */
        {"\n## nag\n", "\n## nagging\n", "nag"},
        {"\n## What is said", "\n## zadam\n\n## What is said", "zadam"},
        {"| `momentum` | 0.9 |", "| `momentum` | 0.8 |", "momentum"},
        {"| `momentum` | 0.9 | [0, 1) |", "| `momentum` | 0.9 | [0, 1] |", "momentum"},
        {"| `rho` | 0.9 |", "| `rhos` | 0.9 |", "rho"},
        {"added to the root of the corrected average", "added to the corrected average", "eps"},
        {"| `dampening` |", "| `new` | 1 | 0 or 1 | x |\n| `dampening` |", "momentum"},
        {"| source | Duchi", "| source | Dutchi", "adagrad"},
        {"| slots | `sum` |", "| slots | `sums` |", "adagrad"},
        {"| memory | 16 bytes", "| memory | 8 bytes", "rmsprop"},
        {"| block scalars |", "| scalars |", "nadam"},
        {"| `clip_value` | 0 |", "| `clip_value` | 1 |", "clip_value"},
        {"| common settings | `weight_decay`, ", "| common settings | ", "weight_decay"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        static struct page page;
        page_init(&page, changed(changes[i].from, changes[i].to));
        page_check(&page);
        if (page.problem[0] == '\0' || strstr(page.problem, changes[i].names) == NULL) {
            fail_msg("'%s' in place of '%s' was not noticed: '%s'", changes[i].to, changes[i].from, page.problem);
        }
        free(page.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_says_what_the_optimizers_are),
        cmocka_unit_test(drift_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
