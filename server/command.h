/* A command is anything that changes a shard: a plain struct, and its one canonical byte string.
 *
 * Everything that depends on the outside (ids, sessions, which worker creates) was decided before and stands in the
 * command, so that applying the same commands in the same order gives the same state, bit for bit, anywhere. */
#ifndef CANYON_SERVER_COMMAND_H
#define CANYON_SERVER_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/message.h"
#include "common/status.h"
#include "common/tensor.h"

/* Stable numbers: they are in canonical byte strings. */
enum command_kind {
    COMMAND_CREATE = 1,   /* shard 0: tensor, session, spec */
    COMMAND_ADOPT = 2,    /* shard 0: tensor, session: the creator is gone, this session creates now */
    COMMAND_COMPLETE = 3, /* shard 0: tensor, session (which must be the creator's) */
    COMMAND_DROP = 4,     /* shard 0: tensor: state becomes TENSOR_DROPPING */
    COMMAND_DROPPED = 5,  /* shard 0: tensor: the entry goes */
    COMMAND_DEFINE = 6,   /* any shard: tensor, spec: its blocks here come to be */
    COMMAND_UNDEFINE = 7, /* any shard: tensor: its blocks here go */
    COMMAND_ASSIGN = 8,   /* any shard: tensor, block, slot, values */
    COMMAND_PUSH = 9,     /* any shard: tensor, block, version, values (the gradient) */
    COMMAND_SET = 10,     /* shard 0: tensor, spec with other settings, version (the epoch this makes) */
    COMMAND_ADJUST = 11,  /* any shard: tensor, spec, version (the epoch of its settings): its blocks here take them */
    COMMAND_TABLE_PUSH = 12,  /* any shard: tensor, version, clock, ids, values (a gradient for each id) */
    COMMAND_TABLE_TOUCH = 13, /* any shard: tensor, clock, ids: rows that are not there come to be */
    COMMAND_TABLE_ERASE = 14, /* any shard: tensor, ids: their rows go */
    COMMAND_REFUSE = 15,      /* any shard: session, number, verdict: a numbered command that was refused */
    COMMAND_EVICT = 16,       /* any shard: session: its numbers are forgotten */
    COMMAND_CONTRIBUTE = 17,  /* any shard: tensor, block, version, clock, rank, values: as PUSH, but it is kept until
                               * its clock is closed */
    COMMAND_CLOSE = 18,       /* any shard: clock: what was contributed is applied, and the clock after it is open */
    COMMAND_CONSISTENCY = 19, /* any shard: mode, clock (the first it is for), turns */
    COMMAND_TABLE_CONTRIBUTE = 20, /* any shard: tensor, version, clock, rank, ids, values: as TABLE_PUSH, but it is
                                    * kept until its clock is closed */
    COMMAND_LAST = COMMAND_TABLE_CONTRIBUTE
};

struct table_found;

struct command {
    enum command_kind kind;
    uint64_t tensor;
    uint8_t session[SESSION_BYTES]; /* ASSIGN, PUSH, TABLE_...: whose number it has, if it has one */
    uint64_t number;                /* ASSIGN, PUSH, TABLE_..., REFUSE: in (session, shard), from 1 on; 0: none */
    enum canyon_status verdict;     /* REFUSE: why; not OK */
    const struct tensor_spec *spec; /* borrowed; canonical: every setting filled in, in descriptor order */
    uint32_t block;
    uint8_t slot; /* ASSIGN: enum slot, or between */
    uint64_t
        version; /* PUSH, TABLE_PUSH, contributions: the version the gradient's weights had; SET, ADJUST: the epoch */
    const float *values; /* borrowed; where the slot is a number for the block, its 8 bytes */
    size_t count;        /* of values: 4-byte words */
    uint64_t clock;      /* TABLE_PUSH, TABLE_TOUCH, CONTRIBUTE, TABLE_CONTRIBUTE: the worker's; CLOSE, CONSISTENCY */
    uint32_t rank;       /* CONTRIBUTE, TABLE_CONTRIBUTE: the worker's */
    bool turns; /* CONSISTENCY: the mode that was set before is in force already, where this one begins later */
    struct consistency mode; /* CONSISTENCY */
    const uint64_t *ids;     /* borrowed; of rows, any number of times each */
    size_t rows;             /* of ids */
    float *out; /* TABLE_PUSH, TABLE_TOUCH, TABLE_CONTRIBUTE: receives the rows of the ids, in their order, as they are
                 * after it; or NULL. No part of the command's string */
    struct table_found
        *found; /* TABLE_PUSH, TABLE_TOUCH, TABLE_CONTRIBUTE: where the rows of the ids are, when shard_find_rows looked
                 * them up already and the table was not changed since; or NULL. Likewise no part of it */
};

/* The canonical string, integers little-endian, doubles as their IEEE-754 bits:
 *
 *   offset size field
 *        0    1 version of this form, 2
 *        1    1 kind
 *        2    1 slot
 *        3    1 verdict
 *        4    4 block; number of ids
 *        8    8 tensor
 *       16   16 session; where a number may be and is 0, zeros
 *       32    8 version
 *       40    4 bytes of spec
 *       44    4 number of values
 *       48    8 clock
 *       56    8 number in (session, shard)
 *       64      what the kind has of: pace, spec, ids (u64 each), values (float32; where the slot is a number of the
 *               block, a u64 or a double)
 *
 * a pace, of CONTRIBUTE, TABLE_CONTRIBUTE and CONSISTENCY: u32 rank, u32 staleness, u8 mode, u8 combine, u8 order, u8
 * turns, u32 minimum;
 *
 * and a spec: its name (u16 length, bytes), u32 rank, rank dims of u64, the optimizer's name, u32 settings, each its
 * name and a double, u32 initializer, u64 seed, double a, double b, u32 kind, u64 row cap, u64 capacity.
 *
 * A field that the kind does not use is zero, a length that it does not use too. REFUSE has a number and a verdict. */
#define COMMAND_VERSION    2
#define COMMAND_HEAD_BYTES 64
#define COMMAND_PACE_BYTES 16
/* No canonical spec is longer. */
#define COMMAND_SPEC_LIMIT                                                                                             \
    (2 + LIMIT_NAME_BYTES + 4 + LIMIT_RANK * 8 + 2 + LIMIT_OPTIMIZER_BYTES + 4 +                                       \
     LIMIT_SETTINGS * (2 + LIMIT_SETTING_BYTES + 8) + 4 + 8 + 8 + 8 + 4 + 8 + 8)

/* Bytes of the canonical string. */
size_t command_bytes(const struct command *command);

/* Writes exactly command_bytes(command) bytes. */
void command_encode(const struct command *command, uint8_t *bytes);

/* Reads a canonical string. `spec` receives the spec, if the kind has one, and command->spec points to it;
 * command->ids and command->values point into `bytes`, which must be 8-byte aligned. PROTOCOL for a string that is not
 * canonical. */
enum canyon_status command_decode(const uint8_t *bytes, size_t count, struct tensor_spec *spec, struct command *command,
                                  struct error *error);

/* The spec's part alone, at most COMMAND_SPEC_LIMIT bytes; equal strings, equal specs. */
size_t command_spec_bytes(const struct tensor_spec *spec);
size_t command_spec_encode(const struct tensor_spec *spec, uint8_t *bytes);
bool command_specs_equal(const struct tensor_spec *one, const struct tensor_spec *other);

#endif
