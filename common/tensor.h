/* What a tensor is: its name, shape, optimizer settings and how its first values are made.
 *
 * A tensor_spec is plain data of fixed size: it is copied by assignment, compared field by field and never owns
 * memory. The same struct is spoken by the public client, the messages and the shard. */
#ifndef CANYON_COMMON_TENSOR_H
#define CANYON_COMMON_TENSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/limits.h"
#include "common/status.h"

/* Stable numbers: they are on the wire. */
enum initializer_kind {
    INITIALIZER_ZEROS = 0,
    INITIALIZER_CONSTANT = 1, /* a = the value */
    INITIALIZER_UNIFORM = 2,  /* a <= w < b */
    INITIALIZER_NORMAL = 3,   /* mean a, standard deviation b */
    INITIALIZER_XAVIER = 4,   /* Glorot uniform, gain a: +-a*sqrt(6/(fan_in+fan_out)) */
    INITIALIZER_KAIMING = 5,  /* He normal, gain a (sqrt 2 for ReLU): deviation a/sqrt(fan_in) */
    INITIALIZER_VALUES = 6    /* the creator assigns every block before it marks the tensor complete */
};

/* Values depend on (seed, tensor name, element index) only, so never on the number of servers.
 * fan_in and fan_out follow PyTorch: shape [out, in, kernel...]; one-dimensional tensors use their length for both. */
struct initializer {
    enum initializer_kind kind;
    uint64_t seed;
    double a, b;
};

struct shape {
    uint32_t rank; /* 0 is a scalar: one element */
    uint64_t dims[LIMIT_RANK];
};

/* Stable numbers: they are values of the setting `schedule`, on the wire. */
enum schedule_kind {
    SCHEDULE_CONSTANT = 0,
    SCHEDULE_STEP = 1,
    SCHEDULE_MULTISTEP = 2,
    SCHEDULE_EXPONENTIAL = 3,
    SCHEDULE_COSINE = 4,
    SCHEDULE_ONECYCLE = 5,
    SCHEDULE_POLYNOMIAL = 6,
    SCHEDULE_INVERSE_SQRT = 7
};

/* What becomes of a pushed gradient that holds NaN or infinity. Stable numbers: they are values of the setting
 * `nonfinite`, on the wire. */
enum nonfinite_policy {
    NONFINITE_REFUSE = 0, /* the whole piece is refused */
    NONFINITE_SKIP = 1,   /* those elements keep their weights and slots, the others are updated */
    NONFINITE_CLIP = 2    /* infinity is taken for the largest float, NaN is skipped */
};

/* What becomes of a pushed gradient whose weights were stale. Stable numbers: they are values of the setting
 * `staleness`, on the wire. */
enum staleness_policy {
    STALENESS_ACCEPT = 0, /* it is applied like any other */
    STALENESS_SCALE = 1,  /* the learning rate of its update is divided by 1 + staleness */
    STALENESS_REFUSE = 2  /* it is refused where staleness is above the setting staleness_bound */
};

/* Which count of updates a table's optimizer goes by (bias corrections, warm-ups). Stable numbers: they are values of
 * the setting `steps`, on the wire. */
enum steps_policy {
    STEPS_ROW = 0,  /* the row's own */
    STEPS_SHARD = 1 /* that of the table in the row's shard: as if every row had its turn at every push */
};

/* What of a block is pulled or assigned: its weights, an array of the optimizer's state, or one of the numbers that are
 * kept for the block as a whole. Stable numbers: they are on the wire and in commands. */
enum slot {
    SLOT_WEIGHTS = 0,
    SLOT_ARRAYS = 1,    /* and on: the optimizer's slots, float32, as long as the weights */
    SLOT_STEP = 128,    /* updates of the block, a u64 */
    SLOT_SCALARS = 129, /* and on: the optimizer's scalars of the block, a double each */
    SLOT_HIGH = 255
};
#define SLOT_NUMBER_WORDS 2 /* a number for a block is 8 bytes: two of the 4-byte words that pieces count */

static inline bool slot_is_number(uint32_t slot) {
    return slot >= SLOT_STEP;
}

struct setting {
    char name[LIMIT_SETTING_BYTES];
    double value;
};

struct optimizer_spec {
    char name[LIMIT_OPTIMIZER_BYTES];
    uint32_t count;
    struct setting settings[LIMIT_SETTINGS];
};

/* Stable numbers: they are on the wire and in commands. */
enum tensor_kind {
    TENSOR_DENSE = 0, /* a tensor proper: blocks of elements */
    TENSOR_TABLE = 1  /* rows by id, created when they are first touched */
};

static inline const char *tensor_kind_name(enum tensor_kind kind) {
    return kind == TENSOR_TABLE ? "table" : "tensor";
}

/* Of a tensor or a table: both stand in the catalogue. */
struct tensor_spec {
    char name[LIMIT_NAME_BYTES];
    struct shape shape; /* of a table: that of one row, [dim] */
    struct optimizer_spec optimizer;
    struct initializer initializer;
    enum tensor_kind kind;
    uint64_t
        row_cap; /* a table's rows in the whole job, at most: rows / shards, rounded up, in each shard; 0: no cap */
    uint64_t capacity; /* rows that are expected of a table: its index is made for them; 0: not known */
};

/* Stable numbers: they are on the wire. */
enum tensor_state {
    TENSOR_CREATING = 1, /* the creator is defining parts; others wait */
    TENSOR_COMPLETE = 2,
    TENSOR_DROPPING = 3 /* parts are going; whoever finds it so finishes the drop */
};

/* A catalogue entry as clients see it. */
struct tensor_info {
    uint64_t id; /* random, never zero, never reused */
    enum tensor_state state;
    struct tensor_spec spec; /* with the settings as they are now */
    uint64_t epoch;          /* how often the settings were changed */
};

/* A name is 1 to 127 of A-Z a-z 0-9 _ - . / and starts with a letter or digit. `what` ("tensor", "job") is for the
 * text. */
enum canyon_status name_check(const char *name, const char *what, struct error *error);

/* The number of elements: the product of the dims. Zero in a dim gives zero elements, which is valid. TOO_LARGE when
 * the product of the dims other than zero is above LIMIT_ELEMENTS, so that the answer does not depend on their order
 * and no product of some of them overflows; INVALID_ARGUMENT for a rank above LIMIT_RANK. `elements` is written on
 * success only. */
enum canyon_status shape_elements(const struct shape *shape, uint64_t *elements, struct error *error);

bool shape_equal(const struct shape *one, const struct shape *other);

/* Writes "[3, 4]" into `text` (cut, NUL-terminated) and returns it. */
char *shape_text(const struct shape *shape, char *text, size_t bytes);

/* Writes "adam(lr=0.001, beta1=0.9)" into `text` (cut, NUL-terminated) and returns it. Numbers are shortest round-trip.
 */
char *optimizer_spec_text(const struct optimizer_spec *spec, char *text, size_t bytes);

/* Same name and the same settings, in whatever order they come, value for value. */
bool optimizer_spec_equal(const struct optimizer_spec *one, const struct optimizer_spec *other);

/* Sets or replaces one setting; TOO_LARGE beyond LIMIT_SETTINGS, INVALID_ARGUMENT for an over-long name. */
enum canyon_status optimizer_spec_set(struct optimizer_spec *spec, const char *name, double value, struct error *error);

/* The word for a value of a setting whose values are words ("cosine", of schedule=4); NULL when there is none. */
const char *setting_word(const char *name, double value);

/* Writes a setting's value, the word where it is one, into `text` (cut, NUL-terminated) and returns it. */
char *setting_text(const char *name, double value, char *text, size_t bytes);

/* Parses "lr=0.01,beta1=0.8" and adds the settings to `spec`, of which only they are touched. INVALID_ARGUMENT for one
 * that the text has twice; TOO_LARGE beyond LIMIT_SETTINGS. On an error `spec` is not to be used. */
enum canyon_status optimizer_settings_parse(const char *text, struct optimizer_spec *spec, struct error *error);

/* Parses "adam:lr=0.01,beta1=0.8" (the text form of the command line). */
enum canyon_status optimizer_spec_parse(const char *text, struct optimizer_spec *spec, struct error *error);

/* Everything about a spec that can be judged without knowing the optimizers: name, shape, numbers finite, initializer
 * ranges, a table's dim and caps. The first thing either side does with a spec from outside. */
enum canyon_status tensor_spec_check(const struct tensor_spec *spec, struct error *error);

#endif
