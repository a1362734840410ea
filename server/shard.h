/* A shard is the unit of ownership and ordering: a deterministic state machine over commands.
 *
 * state', reply = shard_apply(state, command). No I/O, clock, randomness or thread in it or below it. It holds the
 * blocks of tensors that placement puts here, their optimizer state and versions, and, in shard 0, the catalogue. A
 * shard belongs to one thread and is touched by no other. */
#ifndef CANYON_SERVER_SHARD_H
#define CANYON_SERVER_SHARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/hash.h"
#include "common/job.h"
#include "common/tensor.h"
#include "server/command.h"
#include "server/ledger.h"
#include "server/memory.h"

struct shard;
struct table_found;
struct workspace;

/* What a command answered. */
struct shard_reply {
    uint64_t sequence;  /* the command's place in this shard's order; 0 when it changed nothing and took none */
    uint64_t version;   /* ASSIGN, PUSH: the block's version after; slots but the weights leave it. TABLE_...: pushes to
                         * the table in this shard */
    uint64_t staleness; /* PUSH: version before less command->version, 0 when that is larger */
    const float
        *weights; /* ASSIGN, PUSH: the block's weights, borrowed until a command changes this block or its tensor */
    size_t elements;
    uint64_t rows; /* TABLE_PUSH, TABLE_TOUCH, TABLE_CONTRIBUTE: made by it; TABLE_ERASE: gone */
    /* Of a numbered command: */
    uint64_t applied;           /* the session's last number here, after it */
    bool duplicate;             /* its number had been taken before: nothing changed */
    enum canyon_status refused; /* its number was taken, now or before, without the command being carried out; or it
                                 * was taken before, and whether it was carried out is not known: OUTCOME_UNKNOWN */
};

/* A block to read. Borrowed until a command changes this block or its tensor. */
struct shard_block {
    const void *values; /* of the slot that was asked for, little-endian */
    size_t bytes;
    uint64_t version; /* updates (pushes and assigns of weights) applied to it */
    uint64_t step;    /* optimizer steps applied to it */
};

/* A row to read. Borrowed until a command changes its table. */
struct shard_row {
    uint64_t id;
    uint32_t step;       /* pushes it had, up to 2^32 - 1 */
    uint32_t clock;      /* the largest of what touched it, up to 2^32 - 1 */
    const float *values; /* weights, then each slot: as many numbers, or one where the optimizer is for rows only */
    size_t value_count;
    const double *scalars; /* of the optimizer */
    size_t scalar_count;
};

/* A table in this shard as a whole. */
struct shard_table {
    uint64_t rows, cap; /* the most that it may have, UINT64_MAX for no cap */
    uint64_t bytes;     /* taken for its rows, all in all */
    uint64_t version;   /* pushes */
    uint64_t clock;     /* the largest of a push */
    uint64_t sum[4];    /* over its rows (server/table.h): added up over shards, it says whether two tables are equal */
};

struct shard_totals {
    uint64_t tensors; /* parts here, of tables too */
    uint64_t tables;  /* of them, of tables; */
    uint64_t rows;    /* their rows */
    uint64_t parameters;
    uint64_t state_bytes; /* weights and slots; of tables all bytes that are taken for their rows */
    uint64_t kept;        /* elements of pushes that kept their old values because the new ones were not finite; */
    uint64_t skipped;     /* because the gradient was not, */
    uint64_t clipped;     /* or of which an infinite gradient was clipped: of the parts that are here now */
};

/* `job` is borrowed for the shard's life (only shards and block are used). NULL when memory cannot be had. */
struct shard *shard_create(const struct job *job, uint32_t index);
/* From now on memory of parameters is taken from `memory` (borrowed for the shard's life); before the first DEFINE. At
 * first it is the C library's. */
void shard_use(struct shard *shard, const struct memory *memory);
/* Lends the workspace of this thread's tables, borrowed for the shard's life; before the first DEFINE of a table. Where
 * none was lent, the shard makes one of its own, with a secret that everybody knows: for tests. */
void shard_lend(struct shard *shard, struct workspace *workspace);
void shard_destroy(struct shard *shard);

/* Bytes of weights and slots (of a table: of its index at first) that defining this tensor would take in this shard;
 * the spec is canonical. */
uint64_t shard_define_bytes(const struct shard *shard, const struct tensor_spec *spec);

/* Replaces a spec by its canonical form: optimizer known, every setting known, in range, defaults filled in, descriptor
 * order; unused initializer numbers zero. Errors name the optimizer, the setting, its value and its range. Pure. */
enum canyon_status shard_canonical_spec(struct tensor_spec *spec, struct error *error);

/* Puts other values into a canonical spec's settings and makes it canonical again. Errors as of shard_canonical_spec;
 * the spec is unchanged then. Pure. */
enum canyon_status shard_merge_settings(struct tensor_spec *spec, const struct setting *settings, uint32_t count,
                                        struct error *error);

/* OK when two canonical specs are equal but for a table's capacity, which is a hint; otherwise MISMATCH, with a text
 * that names both. Pure. */
enum canyon_status shard_same_spec(const struct tensor_spec *here, const struct tensor_spec *asked,
                                   struct error *error);

/* Applies one command. On an error nothing has changed, unless the command is numbered. All memory is taken before
 * anything changes.
 *
 * A number, in (session, shard), is judged first:
 *   the next one     the command is carried out or refused, and the number taken, which is a place in the shard's order
 *                    in any case: an error with reply->refused, and a sequence number
 *   taken before     nothing changes. With the code that it was refused with, or OUTCOME_UNKNOWN if it comes
 *                    before the refusals that are still known and others are not (server/ledger.h); else as if it had
 *                    just been applied: version, weights and `out` are those of now. NOT_FOUND, INVALID_ARGUMENT,
 *                    TOO_LARGE and NO_MEMORY where these cannot be read, with reply->refused OK
 *   anything else    GAP; SESSION_UNKNOWN of a session that is not known here: nothing changes
 * Where memory for one more session cannot be had it is NO_MEMORY, and the number is not taken (reply->applied is 0).
 *
 *   CREATE    CONFLICT when the name exists
 *   ADOPT     NOT_FOUND; CONFLICT unless CREATING
 *   COMPLETE  NOT_FOUND; CONFLICT unless CREATING by that session; repeated by the creator: OK, no sequence number
 *   DROP      NOT_FOUND; already DROPPING: OK, no sequence number
 *   DROPPED   NOT_FOUND; CONFLICT unless DROPPING
 *   DEFINE    there already with equal spec: OK, no sequence number; under another spec: MISMATCH;
 *             another tensor of that name here under another id: STATE_LOST (the catalogue forgot it).
 *             No block of it here: OK, no sequence number
 *   UNDEFINE  not there: OK, no sequence number
 *   SET       NOT_FOUND; CONFLICT unless COMPLETE, or when version is not the epoch after the entry's;
 *             MISMATCH when the spec differs in more than settings;
 *             the settings it has already: OK, no sequence number
 *   ADJUST    NOT_FOUND; MISMATCH likewise; an epoch not above the part's: OK, no sequence number
 *   ASSIGN    NOT_FOUND; INVALID_ARGUMENT for a block not here, a count that is not its length, a slot that its
 *             optimizer does not have, and values that the slot never has (server/slot.h); NOT_FINITE
 *   PUSH      NOT_FOUND; INVALID_ARGUMENT likewise; NOT_FINITE only where the tensor's setting nonfinite is refuse
 *   REFUSE    its verdict; INVALID_ARGUMENT without a number or a verdict
 *   EVICT     not known: OK, no sequence number
 *   TABLE_... NOT_FOUND; INVALID_ARGUMENT for what is no table, and gradients that are not rows times dim; TOO_LARGE
 * for more than LIMIT_BATCH_ROWS ids. No ids, nothing that changes: OK, no sequence number TABLE_PUSH    NOT_FINITE as
 * of PUSH, naming rows; TOO_LARGE when there would be more rows than the cap TABLE_TOUCH   TOO_LARGE likewise
 *
 *   CONTRIBUTE  as PUSH; UNSUPPORTED where the mode of its clock is not synchronous; LATE for a clock that is closed,
 *             BUSY for one that is not open yet; NO_MEMORY. The block is as before until the clock is closed
 *   TABLE_CONTRIBUTE as TABLE_PUSH and CONTRIBUTE: the table's weights and version are as before until the clock is
 *             closed, but new rows come to be at once
 *   CLOSE     for a clock that is closed already: OK, no sequence number. What was contributed to the open clock is
 *             applied, block by block, and to each table as one push of
 *             that clock; the clock after the command's is open then
 *   CONSISTENCY the mode that is set already, from the same clock: OK, no sequence number
 *
 * NO_MEMORY from CREATE, a DEFINE that was not reserved, and commands of tables that were not; from these BUSY, too,
 * where ids were chosen to fall on one place (server/row_index.h). */
enum canyon_status shard_apply(struct shard *shard, const struct command *command, struct shard_reply *reply,
                               struct error *error);

/* What a number would be to a session here, and its last one: 0 when it is not known. */
enum ledger_verdict shard_judge(struct shard *shard, const uint8_t session[SESSION_BYTES], uint64_t number);
uint64_t shard_applied(struct shard *shard, const uint8_t session[SESSION_BYTES]);

/* A number of this session is about to be judged: begins to bring what that needs into the cache. */
void shard_expect(const struct shard *shard, const uint8_t session[SESSION_BYTES]);

/* Bytes that what is remembered of sessions takes, and by how many a session that is not known here would let them
 * grow.
 */
uint64_t shard_session_bytes(const struct shard *shard);
uint64_t shard_session_growth(const struct shard *shard);

/* Takes the memory that this session's next number will need, so that it cannot fail for lack of it. NO_MEMORY. */
enum canyon_status shard_reserve_session(struct shard *shard, const uint8_t session[SESSION_BYTES],
                                         struct error *error);

/* From now on `watch` is called for each command that takes a sequence number, in their order, after it was applied:
 * whoever applies the same commands to a shard without state comes to the same state. A numbered command that was
 * refused is told as a REFUSE. The command and what it borrows are good for the call, which must not touch the shard.
 * NULL: no longer. */
typedef void shard_watcher(void *user, const struct command *command);
void shard_watch(struct shard *shard, shard_watcher *watch, void *user);

/* Takes the memory that this DEFINE will need, so that of several shards all define a tensor or none; or makes room for
 * the new rows of a TABLE_PUSH, TABLE_CONTRIBUTE or TABLE_TOUCH, so that it cannot fail for anything that is not in the
 * state or the command; of one whose number is not the next, nothing is needed. Errors as of shard_apply, which is to
 * follow at once when every shard is ready; if it does not, shard_release gives the memory back. Neither changes the
 * state; nothing is to be read in between. */
enum canyon_status shard_reserve(struct shard *shard, const struct command *command, struct error *error);
void shard_release(struct shard *shard);

/* The mode of the job, which is the same in all shards; the synchronous clock that is open, 0 when there never was one.
 */
const struct consistency_plan *shard_consistency(const struct shard *shard);
uint64_t shard_open_clock(const struct shard *shard);

/* Bytes that contributions to a tensor or table take here, and, of a tensor, by how many the next CONTRIBUTE can let
 * them grow; 0 where the command cannot be applied. Gives memory back that no contribution needs: nothing when there
 * are some. */
uint64_t shard_contributed(const struct shard *shard, uint64_t tensor);
uint64_t shard_contribution_growth(const struct shard *shard, const struct command *command);
void shard_trim_contributions(struct shard *shard, uint64_t tensor);

/* Reads a slot of a block (common/tensor.h has the numbers): NOT_FOUND (no such tensor here), INVALID_ARGUMENT (no such
 * block here, or no such slot). Changes nothing. */
enum canyon_status shard_read(const struct shard *shard, uint64_t tensor, uint32_t block, uint32_t slot,
                              struct shard_block *view, struct error *error);

/* Whether a TABLE_PUSH, TABLE_CONTRIBUTE or TABLE_TOUCH, or a read by shard_pull_rows, is about a table that is here
 * and about as many gradients as it must be: errors as of shard_apply. *found then has the table, ids and count; with
 * keys and room for rows put in by the caller, table_find (server/table_found.h) looks up those of several commands to
 * as many shards at once, and each may go into its command. */
enum canyon_status shard_find_rows(const struct shard *shard, const struct command *command, struct table_found *found,
                                   struct error *error);

/* The most bytes by which a TABLE_PUSH, TABLE_CONTRIBUTE or TABLE_TOUCH can let the table grow: as if all its ids were
 * new, or with `exact` for those that are. Errors as of shard_apply, but nothing about gradients. */
enum canyon_status shard_growth(const struct shard *shard, const struct command *command, bool exact, uint64_t *bytes,
                                struct error *error);

/* Copies rows' weights to `out` [count x dim]; a row that is not there reads as it would begin, and is not made.
 * NOT_FOUND, INVALID_ARGUMENT, TOO_LARGE, NO_MEMORY. */
enum canyon_status shard_pull(const struct shard *shard, uint64_t tensor, const uint64_t *ids, size_t count, float *out,
                              struct error *error);

/* The same of a command's tensor, ids, rows, out and found. */
enum canyon_status shard_pull_rows(const struct shard *shard, const struct command *command, struct error *error);

/* A row with its state: NOT_FOUND also when there is no such row. */
enum canyon_status shard_row(const struct shard *shard, uint64_t tensor, uint64_t id, struct shard_row *row,
                             struct error *error);

/* How many numbers each of a table's rows has: weights and slots, and scalars. NOT_FOUND, INVALID_ARGUMENT. */
enum canyon_status shard_row_numbers(const struct shard *shard, uint64_t tensor, size_t *values, size_t *scalars,
                                     struct error *error);

/* Walks through a table's rows here in order of their ids: the lowest ones from `from` on, `room` at most. Takes one
 * pass over the table's index here, whatever the room. */
enum canyon_status shard_next_rows(const struct shard *shard, uint64_t tensor, uint64_t from, size_t room,
                                   uint64_t *ids, size_t *count, struct error *error);

/* Of a table that is here: bytes taken for its rows, and pushes. 0 when it is not. */
uint64_t shard_table_bytes(const struct shard *shard, uint64_t tensor);
uint64_t shard_table_version(const struct shard *shard, uint64_t tensor);

/* A table here as a whole: without the sum, which is zero then; or with it, for which all rows are read. NOT_FOUND,
 * INVALID_ARGUMENT. */
enum canyon_status shard_table_counts(const struct shard *shard, uint64_t tensor, struct shard_table *totals,
                                      struct error *error);
enum canyon_status shard_table(const struct shard *shard, uint64_t tensor, struct shard_table *totals,
                               struct error *error);

/* The catalogue, in shard 0 only. Borrowed until the next command. NULL when there is none. */
const struct tensor_info *shard_find_name(const struct shard *shard, const char *name);
const struct tensor_info *shard_find_id(const struct shard *shard, uint64_t tensor);
/* The first entry whose name is above `after` in byte order, or NULL. */
const struct tensor_info *shard_next_name(const struct shard *shard, const char *after);
/* The settings an entry was created with; NULL when there is no such entry. */
const struct optimizer_spec *shard_created_with(const struct shard *shard, uint64_t tensor);
/* The session of the creator of a CREATING entry; NULL when it is not CREATING. */
const uint8_t *shard_creator(const struct shard *shard, uint64_t tensor);

/* Commands applied so far. */
uint64_t shard_sequence(const struct shard *shard);

void shard_totals(const struct shard *shard, struct shard_totals *totals);

/* BLAKE2b-256 of the whole state in a canonical order (tensors by name): catalogue, specs, weights, slots, scalars,
 * steps, versions, sequence number, what is known of sessions. Tensor and session ids are left out: they are names for
 * things, drawn at random, and two runs of the same commands differ in nothing else. */
void shard_digest(const struct shard *shard, uint8_t digest[HASH_BYTES]);

#endif
