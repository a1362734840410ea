/* The canonical byte string of commands: its layout byte for byte, and that no other string is read. */
#include "tests/unit/server/fixture.h"

#include "server/command.h"

static struct tensor_spec spec;
static const uint64_t ids[3] = {0x8070605040302010u, 0, UINT64_MAX};
static float values[5] = {1.0f, -2.5f, 0.0f, 3e38f, -1e-40f};

/* A command with every field set, whether or not its kind has it. */
static struct command full_command(enum command_kind kind) {
    struct command command = {.kind = kind,
                              .tensor = 0x1122334455667788u,
                              .spec = &spec,
                              .block = 0xa1b2c3d4u,
                              .slot = 129,
                              .version = 0x99aabbccddeeff00u,
                              .values = values,
                              .count = 5,
                              .clock = 0x0102030405060708u,
                              .number = 0xf1e2d3c4b5a69788u,
                              .verdict = CANYON_NOT_FINITE,
                              .ids = ids,
                              .rows = 3};
    for (uint8_t i = 0; i < SESSION_BYTES; i++) {
        command.session[i] = (uint8_t)(i + 1);
    }
    if (kind >= COMMAND_CONTRIBUTE) {
        command.clock = 0x010203040506u; /* there are no later ones than LIMIT_CLOCK */
    }
    if (kind == COMMAND_CONTRIBUTE || kind == COMMAND_TABLE_CONTRIBUTE) {
        command.rank = 0x0abc;
    } else if (kind == COMMAND_CONSISTENCY) {
        command.turns = true;
        command.mode = (struct consistency){
            .mode = CONSISTENCY_SYNC, .combine = CONSISTENCY_SUM, .order = CONSISTENCY_RANK, .minimum = 0x0102};
    }
    return command;
}

/* Owned by the caller; the heap's alignment is more than the eight bytes that ids need. */
static uint8_t *encoded(const struct command *command, size_t *count) {
    *count = command_bytes(command);
    uint8_t *bytes = malloc(*count + 8);
    assert_non_null(bytes);
    memset(bytes, 0xee, *count + 8);
    command_encode(command, bytes);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(bytes[*count + i], 0xee);
    }
    return bytes;
}

static int setup(void **state) {
    (void)state;
    spec = fixture_spec("layer/w", 3000, "adam:lr=0.5");
    return 0;
}

static void push_is_laid_out_as_described(void **state) {
    (void)state;
    struct command command = full_command(COMMAND_PUSH);
    command.count = 2;
    static const uint8_t expected[] = {
        2,    9,    0,    0,    0xd4, 0xc3, 0xb2, 0xa1,                                /* form, kind, zero, block */
        0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,                                /* tensor */
        1,    2,    3,    4,    5,    6,    7,    8,    9, 10, 11, 12, 13, 14, 15, 16, /* session */
        0x00, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99,                                /* version */
        0,    0,    0,    0,    2,    0,    0,    0,                                   /* no spec, two values */
        0,    0,    0,    0,    0,    0,    0,    0,                                   /* no clock */
        0x88, 0x97, 0xa6, 0xb5, 0xc4, 0xd3, 0xe2, 0xf1,                                /* number */
        0,    0,    0x80, 0x3f, 0,    0,    0x20, 0xc0,                                /* 1.0, -2.5 */
    };
    size_t count = 0;
    uint8_t *bytes = encoded(&command, &count);
    assert_int_equal(count, sizeof expected);
    assert_memory_equal(bytes, expected, sizeof expected);
    free(bytes);
}

static void assign_is_laid_out_as_described(void **state) {
    (void)state;
    struct command command = full_command(COMMAND_ASSIGN);
    command.number = 0;
    command.count = 2;
    static const uint8_t expected[COMMAND_HEAD_BYTES + 8] = {
        2,           8,    129,  0,    0xd4, 0xc3, 0xb2, 0xa1, /* form, kind, slot, zero, block */
        0x88,        0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, /* tensor; no number: neither session nor version */
        [44] = 2,                                              /* two values: 1.0, -2.5 */
        [66] = 0x80, 0x3f, 0,    0,    0x20, 0xc0};
    size_t count = 0;
    uint8_t *bytes = encoded(&command, &count);
    assert_int_equal(count, sizeof expected);
    assert_memory_equal(bytes, expected, sizeof expected);
    free(bytes);
}

static void table_push_is_laid_out_as_described(void **state) {
    (void)state;
    struct command command = full_command(COMMAND_TABLE_PUSH);
    command.count = 2;
    command.rows = 2;
    static const uint8_t expected[] = {
        2,    12,   0,    0,    2,    0,    0,    0,                                   /* form, kind, zeros, two ids */
        0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,                                /* tensor */
        1,    2,    3,    4,    5,    6,    7,    8,    9, 10, 11, 12, 13, 14, 15, 16, /* session */
        0x00, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99,                                /* version */
        0,    0,    0,    0,    2,    0,    0,    0,                                   /* no spec, two values */
        8,    7,    6,    5,    4,    3,    2,    1,                                   /* clock */
        0x88, 0x97, 0xa6, 0xb5, 0xc4, 0xd3, 0xe2, 0xf1,                                /* number */
        0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0, 0,  0,  0,  0,  0,  0,  0,  /* ids */
        0,    0,    0x80, 0x3f, 0,    0,    0x20, 0xc0,                                /* 1.0, -2.5 */
    };
    size_t count = 0;
    uint8_t *bytes = encoded(&command, &count);
    assert_int_equal(count, sizeof expected);
    assert_memory_equal(bytes, expected, sizeof expected);
    free(bytes);
}

static void consistency_is_laid_out_as_described(void **state) {
    (void)state;
    struct command command = full_command(COMMAND_CONSISTENCY);
    static const uint8_t expected[] = {
        2, 19, 0, 0, 0, 0, 0, 0,                         /* form, kind */
        0, 0,  0, 0, 0, 0, 0, 0,                         /* no tensor */
        0, 0,  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* no session */
        0, 0,  0, 0, 0, 0, 0, 0,                         /* no version */
        0, 0,  0, 0, 0, 0, 0, 0,                         /* neither spec nor values */
        6, 5,  4, 3, 2, 1, 0, 0,                         /* clock */
        0, 0,  0, 0, 0, 0, 0, 0,                         /* no number */
        0, 0,  0, 0, 0, 0, 0, 0,                         /* no rank, no staleness */
        2, 1,  1, 1, 2, 1, 0, 0,                         /* mode, combine, order, turns, minimum */
    };
    size_t count = 0;
    uint8_t *bytes = encoded(&command, &count);
    assert_int_equal(count, sizeof expected);
    assert_memory_equal(bytes, expected, sizeof expected);
    free(bytes);
}

static void refuse_is_laid_out_as_described(void **state) {
    (void)state;
    struct command command = full_command(COMMAND_REFUSE);
    static const uint8_t expected[] = {
        2,    15,   0,    9,    0,    0,    0,    0, /* form, kind, zero, NOT_FINITE, no block */
        0,    0,    0,    0,    0,    0,    0,    0, /* no tensor */
        1,    2,    3,    4,    5,    6,    7,    8,    9, 10, 11, 12, 13, 14, 15, 16, /* session */
        0,    0,    0,    0,    0,    0,    0,    0,                                   /* no version */
        0,    0,    0,    0,    0,    0,    0,    0,                                   /* neither spec nor values */
        0,    0,    0,    0,    0,    0,    0,    0,                                   /* no clock */
        0x88, 0x97, 0xa6, 0xb5, 0xc4, 0xd3, 0xe2, 0xf1,                                /* number */
    };
    size_t count = 0;
    uint8_t *bytes = encoded(&command, &count);
    assert_int_equal(count, sizeof expected);
    assert_memory_equal(bytes, expected, sizeof expected);
    free(bytes);
}

static void create_is_laid_out_as_described(void **state) {
    (void)state;
    struct tensor_spec small;
    memset(&small, 0, sizeof small);
    memcpy(small.name, "ab", 2);
    small.kind = TENSOR_TABLE;
    small.row_cap = 0x0a0b;
    small.capacity = 7;
    small.shape.rank = 1;
    small.shape.dims[0] = 258;
    memcpy(small.optimizer.name, "sgd", 3);
    small.optimizer.count = 1;
    memcpy(small.optimizer.settings[0].name, "lr", 2);
    small.optimizer.settings[0].value = 0.5;
    small.initializer = (struct initializer){.kind = INITIALIZER_NORMAL, .seed = 3, .a = 1.0, .b = 2.0};
    struct command command = full_command(COMMAND_CREATE);
    command.spec = &small;
    static const uint8_t expected[] = {
        2,    1,    0,    0,    0,    0,    0,    0,                                       /* no block */
        0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,                                    /* tensor */
        1,    2,    3,    4,    5,    6,    7,    8,    9, 10, 11,   12,   13, 14, 15, 16, /* session */
        0,    0,    0,    0,    0,    0,    0,    0,                                       /* no version */
        85,   0,    0,    0,    0,    0,    0,    0,                                       /* spec bytes, no values */
        0,    0,    0,    0,    0,    0,    0,    0,    0, 0,  0,    0,    0,  0,  0,  0, /* neither clock nor number */
        2,    0,    'a',  'b',  1,    0,    0,    0,    2, 1,  0,    0,    0,  0,  0,  0, /* name, shape */
        3,    0,    's',  'g',  'd',  1,    0,    0,    0,                                /* optimizer, settings */
        2,    0,    'l',  'r',  0,    0,    0,    0,    0, 0,  0xe0, 0x3f,                /* lr = 0.5 */
        3,    0,    0,    0,    3,    0,    0,    0,    0, 0,  0,    0,                   /* normal, seed */
        0,    0,    0,    0,    0,    0,    0xf0, 0x3f, 0, 0,  0,    0,    0,  0,  0,  0x40,
        1,    0,    0,    0,    0x0b, 0x0a, 0,    0,    0, 0,  0,    0, /* a table, row cap */
        7,    0,    0,    0,    0,    0,    0,    0,                    /* capacity */
    };
    size_t count = 0;
    uint8_t *bytes = encoded(&command, &count);
    assert_int_equal(count, sizeof expected);
    assert_memory_equal(bytes, expected, sizeof expected);
    free(bytes);
}

static void every_kind_comes_back(void **state) {
    (void)state;
    for (unsigned kind = COMMAND_CREATE; kind <= COMMAND_LAST; kind++) {
        struct command command = full_command((enum command_kind)kind), back;
        struct tensor_spec back_spec;
        size_t count = 0;
        uint8_t *bytes = encoded(&command, &count);
        assert_int_equal(command_decode(bytes, count, &back_spec, &back, NULL), CANYON_OK);
        bool adjusts = kind == COMMAND_SET || kind == COMMAND_ADJUST;
        bool has_spec = kind == COMMAND_CREATE || kind == COMMAND_DEFINE || adjusts;
        bool keeps = kind == COMMAND_TABLE_CONTRIBUTE;
        bool has_rows = (kind >= COMMAND_TABLE_PUSH && kind <= COMMAND_TABLE_ERASE) || keeps,
             has_clock = (has_rows && kind != COMMAND_TABLE_ERASE) || kind >= COMMAND_CONTRIBUTE;
        bool gives = kind == COMMAND_CONTRIBUTE || keeps, sets = kind == COMMAND_CONSISTENCY;
        bool has_block = kind == COMMAND_ASSIGN || kind == COMMAND_PUSH || kind == COMMAND_CONTRIBUTE;
        bool has_number = has_block || has_rows || kind == COMMAND_REFUSE,
             has_tensor = kind <= COMMAND_TABLE_ERASE || gives;
        bool has_session = kind <= COMMAND_COMPLETE || has_number || kind == COMMAND_EVICT;
        bool has_values = has_block || kind == COMMAND_TABLE_PUSH || keeps;
        bool has_version = adjusts || kind == COMMAND_PUSH || kind == COMMAND_TABLE_PUSH || gives;
        uint8_t none[SESSION_BYTES] = {0};
        assert_int_equal(back.kind, kind);
        assert_true(back.tensor == (has_tensor ? command.tensor : 0));
        assert_true(back.number == (has_number ? command.number : 0));
        assert_int_equal(back.verdict, kind == COMMAND_REFUSE ? CANYON_NOT_FINITE : CANYON_OK);
        assert_memory_equal(back.session, has_session ? command.session : none, SESSION_BYTES);
        assert_int_equal(back.block, has_block ? command.block : 0);
        assert_int_equal(back.slot, kind == COMMAND_ASSIGN ? command.slot : 0);
        assert_true(back.version == (has_version ? command.version : 0));
        assert_int_equal(back.count, has_values ? 5 : 0);
        assert_ptr_equal(back.spec, has_spec ? &back_spec : NULL);
        if (has_spec) {
            assert_memory_equal(&back_spec, &spec, sizeof spec);
        }
        if (has_values) {
            assert_memory_equal(back.values, values, sizeof values);
            assert_ptr_equal(back.values, bytes + COMMAND_HEAD_BYTES + (has_rows ? sizeof ids : 0) +
                                              (gives ? COMMAND_PACE_BYTES : 0));
        }
        assert_int_equal(back.rows, has_rows ? 3 : 0);
        assert_true(back.clock == (has_clock ? command.clock : 0));
        assert_int_equal(back.rank, gives ? command.rank : 0);
        assert_int_equal(back.turns, sets ? command.turns : 0);
        assert_true(consistency_equal(&back.mode, &command.mode));
        if (has_rows) {
            assert_memory_equal(back.ids, ids, sizeof ids);
            assert_ptr_equal(back.ids, bytes + COMMAND_HEAD_BYTES + (keeps ? COMMAND_PACE_BYTES : 0));
        }
        free(bytes);
    }
}

/* Decoding never reads beyond its bytes (the sanitizer watches an exact copy), and what it accepts encodes to the same.
 */
static bool accepted(const uint8_t *bytes, size_t count) {
    uint8_t *exact = malloc(count > 0 ? count : 1);
    struct tensor_spec back_spec;
    struct command back;
    struct error error = {.status = CANYON_OK};
    assert_non_null(exact);
    memcpy(exact, bytes, count);
    enum canyon_status status = command_decode(exact, count, &back_spec, &back, &error);
    if (status == CANYON_OK) {
        size_t again = 0;
        uint8_t *copy = encoded(&back, &again);
        assert_int_equal(again, count);
        assert_memory_equal(copy, exact, count);
        free(copy);
    } else {
        assert_int_equal(status, CANYON_PROTOCOL);
        assert_true(error.text[0] != '\0');
    }
    free(exact);
    return status == CANYON_OK;
}

static void only_whole_strings_are_read(void **state) {
    (void)state;
    for (unsigned kind = COMMAND_CREATE; kind <= COMMAND_LAST; kind++) {
        struct command command = full_command((enum command_kind)kind);
        size_t count = 0;
        uint8_t *bytes = encoded(&command, &count);
        for (size_t cut = 0; cut < count; cut++) {
            assert_false(accepted(bytes, cut));
        }
        assert_true(accepted(bytes, count));
        assert_false(accepted(bytes, count + 1));
        assert_false(accepted(bytes, count + 4));
        free(bytes);
    }
}

static void a_changed_byte_is_refused_or_is_another_command(void **state) {
    (void)state;
    for (unsigned kind = COMMAND_CREATE; kind <= COMMAND_LAST; kind++) {
        struct command command = full_command((enum command_kind)kind);
        size_t count = 0;
        uint8_t *bytes = encoded(&command, &count);
        for (size_t at = 0; at < count; at++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                bytes[at] ^= (uint8_t)(1u << bit);
                (void)accepted(bytes, count);
                bytes[at] ^= (uint8_t)(1u << bit);
            }
        }
        bytes[0] = 1; /* another form */
        assert_false(accepted(bytes, count));
        free(bytes);
    }
}

/* A session without a number, a refusal without a number or with a code that there is not. */
static void numbers_are_canonical(void **state) {
    (void)state;
    struct command command = full_command(COMMAND_PUSH);
    size_t count = 0;
    uint8_t *bytes = encoded(&command, &count);
    assert_true(accepted(bytes, count));
    memset(bytes + 56, 0, 8);
    assert_false(accepted(bytes, count));
    memset(bytes + 16, 0, SESSION_BYTES);
    assert_true(accepted(bytes, count));
    bytes[3] = CANYON_NOT_FINITE;
    assert_false(accepted(bytes, count));
    free(bytes);
    command = full_command(COMMAND_REFUSE);
    bytes = encoded(&command, &count);
    bytes[3] = CANYON_STATUS_LAST;
    assert_true(accepted(bytes, count));
    bytes[3] = CANYON_STATUS_LAST + 1;
    assert_false(accepted(bytes, count));
    bytes[3] = CANYON_OK;
    assert_false(accepted(bytes, count));
    bytes[3] = CANYON_DENIED;
    memset(bytes + 56, 0, 8);
    assert_false(accepted(bytes, count));
    free(bytes);
}

static void random_bytes_are_never_trouble(void **state) {
    (void)state;
    uint64_t seed = seed_begin("random_bytes_are_never_trouble");
    struct command command = full_command(COMMAND_DEFINE);
    size_t count = 0;
    uint8_t *bytes = encoded(&command, &count), noise[400];
    for (int round = 0; round < 20000; round++) {
        memcpy(noise, bytes, count < sizeof noise ? count : sizeof noise);
        size_t length = seed_below(&seed, sizeof noise);
        for (uint64_t n = seed_below(&seed, 6); n > 0; n--) {
            noise[seed_below(&seed, sizeof noise)] = (uint8_t)seed_next(&seed);
        }
        (void)accepted(noise, length);
    }
    free(bytes);
}

static void a_nul_inside_a_name_is_refused(void **state) {
    (void)state;
    struct command command = full_command(COMMAND_CREATE);
    size_t count = 0;
    uint8_t *bytes = encoded(&command, &count);
    assert_int_equal(bytes[COMMAND_HEAD_BYTES], strlen("layer/w"));
    bytes[COMMAND_HEAD_BYTES + 2 + 3] = 0;
    assert_false(accepted(bytes, count));
    free(bytes);
}

static void no_spec_is_longer_than_the_limit(void **state) {
    (void)state;
    struct tensor_spec longest;
    memset(&longest, 'x', sizeof longest);
    longest.name[LIMIT_NAME_BYTES - 1] = '\0';
    longest.shape.rank = LIMIT_RANK;
    longest.optimizer.name[LIMIT_OPTIMIZER_BYTES - 1] = '\0';
    longest.optimizer.count = LIMIT_SETTINGS;
    for (int i = 0; i < LIMIT_SETTINGS; i++) {
        longest.optimizer.settings[i].name[LIMIT_SETTING_BYTES - 1] = '\0';
    }
    uint8_t bytes[COMMAND_SPEC_LIMIT];
    longest.initializer.kind = INITIALIZER_ZEROS;
    assert_true(command_spec_bytes(&longest) <= COMMAND_SPEC_LIMIT);
    assert_int_equal(command_spec_encode(&longest, bytes), command_spec_bytes(&longest));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(push_is_laid_out_as_described),
        cmocka_unit_test(assign_is_laid_out_as_described),
        cmocka_unit_test(table_push_is_laid_out_as_described),
        cmocka_unit_test(create_is_laid_out_as_described),
        cmocka_unit_test(refuse_is_laid_out_as_described),
        cmocka_unit_test(consistency_is_laid_out_as_described),
        cmocka_unit_test(every_kind_comes_back),
        cmocka_unit_test(only_whole_strings_are_read),
        cmocka_unit_test(a_changed_byte_is_refused_or_is_another_command),
        cmocka_unit_test(numbers_are_canonical),
        cmocka_unit_test(random_bytes_are_never_trouble),
        cmocka_unit_test(a_nul_inside_a_name_is_refused),
        cmocka_unit_test(no_spec_is_longer_than_the_limit),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
