/* The tables of PROTOCOL.md say what the headers say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/codec.h"
#include "common/frame.h"
#include "common/message.h"

/* A file of the source tree as text, owned by the caller. */
static char *read_source(const char *path) {
    char whole[512];
    snprintf(whole, sizeof whole, "%s/%s", CANYON_SOURCE_DIR, path);
    FILE *file = fopen(whole, "r");
    assert_non_null(file);
    size_t room = 1 << 20;
    char *text = malloc(room);
    assert_non_null(text);
    size_t count = fread(text, 1, room - 1, file);
    assert_in_range(count, 1, room - 2);
    text[count] = '\0';
    fclose(file);
    return text;
}

/* What stands from one heading up to the next of any level, owned by the caller. */
static char *section(const char *heading) {
    char *page = read_source("proto/PROTOCOL.md");
    char line[128];
    snprintf(line, sizeof line, "\n%s\n", heading);
    char *begin = strstr(page, line);
    if (begin == NULL) {
        fail_msg("PROTOCOL.md has no section %s", heading);
        return page;
    }
    begin += strlen(line);
    char *end = strstr(begin, "\n#");
    size_t length = end == NULL ? strlen(begin) : (size_t)(end - begin);
    memmove(page, begin, length);
    page[length] = '\0';
    return page;
}

/* Rows of a table that begin with a number or a name: neither its head nor the rule under it. */
static unsigned count_rows(const char *text) {
    unsigned rows = 0;
    for (const char *at = text; at != NULL; at = strchr(at, '\n')) {
        at += *at == '\n';
        rows += strncmp(at, "| ", 2) == 0;
    }
    return rows - 1; /* the head */
}

static void has_row(const char *text, const char *row) {
    if (strstr(text, row) == NULL) {
        fail_msg("PROTOCOL.md has no row \"%s...\"", row);
    }
}

static void types(void **state) {
    (void)state;
    char *text = section("## Types");
    unsigned known = 0;
    for (unsigned type = 0; type < 1000; type++) {
        if (strcmp(frame_type_name(type), "UNKNOWN_TYPE") != 0) {
            char row[64];
            snprintf(row, sizeof row, "\n| %u | %s |", type, frame_type_name(type));
            has_row(text, row);
            known++;
        }
    }
    assert_int_equal(count_rows(text), known);
    free(text);
}

static void codes(void **state) {
    (void)state;
    char *text = section("## Errors");
    unsigned known = 0;
    for (unsigned code = 0; code < 1000; code++) {
        if (strcmp(status_name((enum canyon_status)code), "UNKNOWN_STATUS") != 0) {
            char row[64];
            snprintf(row, sizeof row, "\n| %u | %s |", code, status_name((enum canyon_status)code));
            has_row(text, row);
            known++;
        }
    }
    assert_int_equal(count_rows(text), known);
    free(text);
}

static void codecs(void **state) {
    (void)state;
    char *text = section("### Codecs");
    for (unsigned codec = 0; codec <= CODEC_LAST; codec++) {
        char row[64];
        snprintf(row, sizeof row, "\n| %u | %s |", codec, codec_name(codec));
        has_row(text, row);
    }
    assert_int_equal(count_rows(text), CODEC_LAST + 1);
    char sentence[64];
    snprintf(sentence, sizeof sentence, "is groups of %d elements", CODEC_GROUP);
    assert_non_null(strstr(text, sentence));
    free(text);
}

static void limits(void **state) {
    (void)state;
#define LIMIT(name)                                                                                                    \
    { #name, (unsigned long long)(name) }
    static const struct {
        const char *name;
        unsigned long long value;
    } known[] = {LIMIT(LIMIT_NAME_BYTES),
                 LIMIT(LIMIT_ADDRESS_BYTES),
                 LIMIT(LIMIT_RANK),
                 LIMIT(LIMIT_ELEMENTS),
                 LIMIT(LIMIT_SETTINGS),
                 LIMIT(LIMIT_SETTING_BYTES),
                 LIMIT(LIMIT_HYPERPARAMETERS),
                 LIMIT(LIMIT_OPTIMIZER_BYTES),
                 LIMIT(LIMIT_SLOTS),
                 LIMIT(LIMIT_SERVERS),
                 LIMIT(LIMIT_THREADS),
                 LIMIT(LIMIT_SHARDS),
                 LIMIT(LIMIT_BLOCK_LOW),
                 LIMIT(LIMIT_BLOCK_HIGH),
                 LIMIT(LIMIT_TENSORS),
                 LIMIT(LIMIT_DIM),
                 LIMIT(LIMIT_ROWS),
                 LIMIT(LIMIT_BATCH_ROWS),
                 LIMIT(LIMIT_PIECES),
                 LIMIT(LIMIT_MESSAGE_BYTES),
                 LIMIT(LIMIT_WAIT_MS),
                 LIMIT(LIMIT_SCALARS),
                 LIMIT(LIMIT_STEP),
                 LIMIT(LIMIT_OPTIMIZERS),
                 LIMIT(LIMIT_RUNS),
                 LIMIT(LIMIT_CLOCK),
                 LIMIT(LIMIT_MEMBERS)};
    const size_t count = sizeof known / sizeof known[0];
    char *text = section("## Limits"), *header = read_source("common/limits.h");
    for (size_t i = 0; i < count; i++) {
        char row[96];
        snprintf(row, sizeof row, "\n| %s | %llu |", known[i].name, known[i].value);
        has_row(text, row);
    }
    assert_int_equal(count_rows(text), count);
    size_t defined = 0;
    for (const char *at = header; (at = strstr(at, "#define LIMIT_")) != NULL; at++) {
        defined++;
    }
    assert_int_equal(defined, count);
    free(header);
    free(text);
}

/* ---- No message holds itself, however deep: a few bytes must not unpack to a deep nest of memory or stack ---- */

#define MESSAGES 128
#define NAME     64

struct schema {
    char names[MESSAGES][NAME];
    bool holds[MESSAGES][MESSAGES]; /* the first has a field of the second's type */
    size_t count;
};

static size_t message_place(struct schema *schema, const char *name) {
    size_t place = 0;
    while (place < schema->count && strcmp(schema->names[place], name) != 0) {
        place++;
    }
    return place;
}

/* Two walks over the lines of canyon.proto: for the names of messages, then for the fields between their braces. */
static void read_schema(struct schema *schema, const char *text) {
    for (int walk = 0; walk < 2; walk++) {
        size_t inside = MESSAGES;
        for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
            char first[NAME] = "", second[NAME] = "";
            line += *line == '\n';
            int words = sscanf(line, " %63s %63s", first, second);
            if (words == 2 && strcmp(first, "message") == 0) {
                if (walk == 0) {
                    assert_true(schema->count < MESSAGES);
                    memcpy(schema->names[schema->count++], second, NAME);
                }
                inside = walk == 0 ? MESSAGES : message_place(schema, second);
            } else if (words == 2 && inside < MESSAGES) {
                size_t type = message_place(schema, strcmp(first, "repeated") == 0 ? second : first);
                if (type < schema->count) {
                    schema->holds[inside][type] = true;
                }
            }
        }
    }
}

static void no_message_holds_itself(void **state) {
    (void)state;
    static struct schema schema;
    char *text = read_source("proto/canyon.proto");
    size_t fields = 0;
    read_schema(&schema, text);
    free(text);
    assert_true(schema.count > 20 && message_place(&schema, "TensorSpec") < schema.count);
    for (size_t via = 0; via < schema.count; via++) {
        for (size_t from = 0; from < schema.count; from++) {
            fields += schema.holds[via][from];
            for (size_t to = 0; to < schema.count && schema.holds[from][via]; to++) {
                schema.holds[from][to] = schema.holds[from][to] || schema.holds[via][to];
            }
        }
    }
    assert_true(fields > 5);
    for (size_t i = 0; i < schema.count; i++) {
        if (schema.holds[i][i]) {
            fail_msg("message %s can hold itself", schema.names[i]);
        }
    }
}

/* Numbers that stand in the prose. */
static void prose(void **state) {
    (void)state;
    char *page = read_source("proto/PROTOCOL.md");
    assert_int_equal(FRAME_PAYLOAD_LIMIT, 16777216);
    assert_int_equal(LIMIT_SERVERS * LIMIT_ADDRESS_BYTES, 278528);
    assert_int_equal(FRAME_VERSION, 1);
    assert_int_equal(FRAME_HEADER_BYTES, 24);
    assert_non_null(strstr(page, "16,777,216 bytes"));
    assert_non_null(strstr(page, "278,528 bytes"));
    assert_non_null(strstr(page, "| 4 | 1 | version: 1 |"));
    assert_non_null(strstr(page, "| 24 | | message: protobuf"));
    char sentence[64];
    snprintf(sentence, sizeof sentence, "LISTED has at most %d of them", MESSAGE_LIST_PAGE);
    assert_non_null(strstr(page, sentence));
    snprintf(sentence, sizeof sentence, "DIGESTS has %d bytes", MESSAGE_DIGEST_ENTRY_BYTES);
    assert_non_null(strstr(page, sentence));
    snprintf(sentence, sizeof sentence, "name up to %d *pieces*", LIMIT_PIECES);
    assert_non_null(strstr(page, sentence));
    snprintf(sentence, sizeof sentence, "| %d | the block's step", SLOT_STEP);
    assert_non_null(strstr(page, sentence));
    snprintf(sentence, sizeof sentence, "| %d + i | scalar i", SLOT_SCALARS);
    assert_non_null(strstr(page, sentence));
    free(page);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types),
        cmocka_unit_test(codes),
        cmocka_unit_test(codecs),
        cmocka_unit_test(limits),
        cmocka_unit_test(no_message_holds_itself),
        cmocka_unit_test(prose),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
