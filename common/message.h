/* Messages as plain structs, packed to and from the protobuf part of a frame. The only module that knows protobuf-c.
 *
 * pack_* writes at most LIMIT_MESSAGE_BYTES and returns the count; a struct within its limits always fits (asserted).
 * unpack_* works in a fixed arena (never malloc), checks every length, count and enum against limits.h before copying,
 * NUL-terminates, fills absent fields with zero, and answers PROTOCOL (malformed, or an impossible value) with a text
 * that names the message and the field; the struct is then not to be used. Status numbers this build does not know
 * become INTERNAL, and texts for people (of errors and refused pieces) are cut, not refused. Nothing borrowed: the
 * structs own all they hold. Pure and thread-safe. */
#ifndef CANYON_COMMON_MESSAGE_H
#define CANYON_COMMON_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/consistency.h"
#include "common/job.h"
#include "common/limits.h"
#include "common/status.h"
#include "common/tensor.h"

#define SESSION_BYTES     16
#define BOOT_BYTES        16
#define MESSAGE_LIST_PAGE 2 /* tensors in one LISTED: as many as always fit */

struct message_hello {
    uint32_t protocol, thread;
    uint8_t session[SESSION_BYTES];
    bool has_digest;
    uint8_t digest[JOB_DIGEST_BYTES];
    char name[LIMIT_NAME_BYTES];
};

struct message_welcome {
    uint32_t protocol, thread, threads;
    uint8_t boot[BOOT_BYTES];
    uint8_t digest[JOB_DIGEST_BYTES];
    char job[LIMIT_NAME_BYTES];
    uint32_t shards, block, server;
    char version[LIMIT_NAME_BYTES];
};

/* ERROR is a struct error. */

struct message_create {
    struct tensor_spec spec;
    uint32_t wait_ms;
};

struct message_created {
    struct tensor_info tensor;
    bool creator;
};

struct message_open {
    char name[LIMIT_NAME_BYTES];
    uint32_t wait_ms;
};

/* COMPLETE, DROP, UNDEFINE, DROPPED, and COMPLETED, DROPPING, DROP_DONE in answer. DROP may have id 0 and go by name.
 */
struct message_tensor {
    uint64_t id;
    char name[LIMIT_NAME_BYTES];
};

/* SET: the settings that change. Answered by SET_DONE with the tensor as it is then (packed as OPENED); with that,
 * packed as DEFINE, ADJUST goes to the parts. */
struct message_set {
    uint64_t id; /* 0: the name says which */
    char name[LIMIT_NAME_BYTES];
    uint32_t count;
    struct setting settings[LIMIT_SETTINGS];
};

struct message_list {
    char after[LIMIT_NAME_BYTES]; /* "" for the beginning */
};

struct message_listed {
    uint32_t count;
    struct tensor_info tensors[MESSAGE_LIST_PAGE];
    bool more;
};

struct message_piece {
    uint64_t tensor;
    uint32_t block, elements;
    uint64_t version;
    uint32_t slot;  /* enum slot, or between; at most SLOT_HIGH */
    uint32_t codec; /* enum codec, or a number that is none: of the values in the request's payload, */
    uint32_t reply; /* and of those in the reply's */
    uint32_t kept;  /* of topk; at most LIMIT_BLOCK_HIGH */
    uint64_t
        number; /* in (session, shard), from 1 on; 0: not numbered. Packs to the same length whatever it is but 0 */
};

struct message_pieces {
    uint32_t count;
    struct message_piece pieces[LIMIT_PIECES];
    uint64_t clock;   /* the worker's */
    uint32_t wait_ms; /* of pulls: at most LIMIT_WAIT_MS */
};

struct message_piece_result {
    enum canyon_status status;
    uint64_t version, staleness;
    uint64_t applied, stable; /* of a numbered piece */
};

struct message_piece_results {
    uint32_t count;
    struct message_piece_result results[LIMIT_PIECES];
    char text[ERROR_TEXT_BYTES]; /* of the first refused piece, else "" */
    uint64_t clock;              /* where one was LATE or too early: the clock that is open; else 0 */
};

/* TABLE_PUSH, TABLE_PULL, TABLE_PUSH_PULL, TABLE_ERASE: rows of one table. Which, stands in the payload
 * (common/rows.h). */
struct message_rows {
    uint64_t table, clock;
    uint32_t dim;          /* at most LIMIT_DIM */
    uint32_t runs, rows;   /* at most LIMIT_RUNS and LIMIT_BATCH_ROWS */
    uint32_t codec, reply; /* enum codec, or a number that is none: of a row's values there and back */
    bool create;
    uint32_t wait_ms; /* of pulls: at most LIMIT_WAIT_MS */
};

struct message_rows_done {
    uint32_t runs, rows;
    char text[ERROR_TEXT_BYTES]; /* of the first refused run, else "" */
    uint64_t clock;              /* where one was LATE or too early: the synchronous clock that is open; else 0 */
};

/* TABLE_INFO, TABLE_INFO_IS. */
struct message_table_query {
    uint64_t table;
    bool sum;
    uint32_t shard;
};

struct message_table_totals {
    uint64_t shards, rows, bytes, version, clock;
};

/* TABLE_ROWS, TABLE_ROWS_ARE. */
struct message_row_query {
    uint64_t table, from;
    uint32_t shard, most; /* most: at most LIMIT_BATCH_ROWS */
    bool state;
};

struct message_row_page {
    uint32_t rows;            /* at most LIMIT_BATCH_ROWS */
    uint32_t values, scalars; /* at most LIMIT_DIM * (1 + LIMIT_SLOTS) and LIMIT_SCALARS */
    bool more;
};

struct message_join {
    char name[LIMIT_NAME_BYTES];
};

struct message_joined {
    uint32_t rank, count;
};

struct message_barrier {
    char name[LIMIT_NAME_BYTES];
    uint32_t count, wait_ms;
};

struct message_enter {
    uint32_t rank; /* one more than the rank; 0: any */
    uint64_t clock;
};

struct message_entered {
    uint32_t rank;
    uint64_t clock;
    uint32_t lease_ms, workers;
};

struct message_clock {
    uint64_t clock;
    uint32_t rank; /* as of message_enter */
    bool leave;
};

struct message_clocked {
    uint64_t clock, lowest;
    uint32_t rank;
};

/* Packs and unpacks modes as they are; consistency_check judges them. */
struct message_consistency {
    bool set;
    struct consistency mode;
    uint64_t from, highest;
};

struct message_consistency_is {
    bool set;
    struct consistency now, next;
    uint64_t from, highest, open;
    uint32_t workers, lease_ms;
};

struct message_members {
    uint64_t after;
};

struct message_member {
    uint64_t serial, tag;
    char name[LIMIT_NAME_BYTES];
    uint32_t rank;
    bool live;
    uint64_t clock, seen_ms;
    uint32_t lease_ms;
    uint64_t pushes, staleness_sum, staleness_max, interval_us;
};

#define MESSAGE_MEMBERS_PAGE 16 /* as many as always fit */

struct message_members_are {
    uint32_t count;
    struct message_member members[MESSAGE_MEMBERS_PAGE];
    bool more;
};

struct message_staleness {
    uint64_t tensor, tag;
};

struct message_statistics {
    uint64_t uptime_ms, connections, frames, bytes_in, bytes_out, pushes, pulls, assigns, refused, errors, tensors,
        parameters, state_bytes, staleness_sum, staleness_max, shards, parked, not_finite, kept, skipped, clipped,
        turned_away, aborted, values_in, values_in_single, values_out, values_out_single, tables, rows, rows_pushed,
        rows_pulled, rows_made, duplicates, gaps, sessions;
};

struct message_hyperparameter {
    char name[LIMIT_SETTING_BYTES];
    double fallback, low, high;
    bool low_open, high_open;
    char meaning[96];
};

struct message_optimizer_request {
    uint32_t index;
    char name[LIMIT_OPTIMIZER_BYTES]; /* "": the index says which */
};

struct message_optimizer {
    uint32_t index, total;
    char name[LIMIT_OPTIMIZER_BYTES];
    char summary[160];
    char source[160];
    uint32_t slot_count;
    char slots[LIMIT_SLOTS][LIMIT_SETTING_BYTES];
    uint32_t hyperparameter_count;
    struct message_hyperparameter hyperparameters[LIMIT_HYPERPARAMETERS];
    bool rows_only;
    uint32_t scalar_count;
    char scalars[LIMIT_SCALARS][LIMIT_SETTING_BYTES];
};

/* DIGESTS has no message; its payload is entries of this many bytes: u32 shard, u64 sequence, 32 bytes digest. */
#define MESSAGE_DIGEST_ENTRY_BYTES 44

/* RESUMED likewise: u32 shard, u32 zero, u64 applied, u64 stable. */
#define MESSAGE_RESUMED_ENTRY_BYTES 24

size_t message_pack_hello(const struct message_hello *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_welcome(const struct message_welcome *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_error(const struct error *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_create(const struct message_create *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_created(const struct message_created *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_open(const struct message_open *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_opened(const struct tensor_info *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_define(const struct tensor_info *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_tensor(const struct message_tensor *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_set(const struct message_set *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_list(const struct message_list *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_listed(const struct message_listed *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_pieces(const struct message_pieces *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
/* Where the next piece's number stands in a packed message_pieces of which all pieces are numbered: 8 bytes,
 * little-endian, not aligned, to be read and changed in place. *at is 0 for the first piece and moved on; NULL: there
 * is no more. */
uint8_t *message_piece_number(uint8_t *bytes, size_t count, size_t *at);
size_t message_pack_piece_results(const struct message_piece_results *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_rows(const struct message_rows *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_rows_done(const struct message_rows_done *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_table_query(const struct message_table_query *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_table_totals(const struct message_table_totals *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_row_query(const struct message_row_query *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_row_page(const struct message_row_page *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_join(const struct message_join *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_joined(const struct message_joined *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_barrier(const struct message_barrier *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_enter(const struct message_enter *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_entered(const struct message_entered *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_clock(const struct message_clock *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_clocked(const struct message_clocked *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_consistency(const struct message_consistency *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_consistency_is(const struct message_consistency_is *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_members(const struct message_members *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_members_are(const struct message_members_are *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_staleness(const struct message_staleness *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_staleness_is(const struct staleness *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_statistics(const struct message_statistics *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_optimizer_request(const struct message_optimizer_request *message,
                                      uint8_t bytes[LIMIT_MESSAGE_BYTES]);
size_t message_pack_optimizer(const struct message_optimizer *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);

enum canyon_status message_unpack_hello(const uint8_t *bytes, size_t count, struct message_hello *message,
                                        struct error *error);
enum canyon_status message_unpack_welcome(const uint8_t *bytes, size_t count, struct message_welcome *message,
                                          struct error *error);
/* `message` receives the peer's code and text; the return value says whether they could be read. */
enum canyon_status message_unpack_error(const uint8_t *bytes, size_t count, struct error *message, struct error *error);
enum canyon_status message_unpack_create(const uint8_t *bytes, size_t count, struct message_create *message,
                                         struct error *error);
enum canyon_status message_unpack_created(const uint8_t *bytes, size_t count, struct message_created *message,
                                          struct error *error);
enum canyon_status message_unpack_open(const uint8_t *bytes, size_t count, struct message_open *message,
                                       struct error *error);
enum canyon_status message_unpack_opened(const uint8_t *bytes, size_t count, struct tensor_info *message,
                                         struct error *error);
enum canyon_status message_unpack_define(const uint8_t *bytes, size_t count, struct tensor_info *message,
                                         struct error *error);
enum canyon_status message_unpack_tensor(const uint8_t *bytes, size_t count, struct message_tensor *message,
                                         struct error *error);
enum canyon_status message_unpack_set(const uint8_t *bytes, size_t count, struct message_set *message,
                                      struct error *error);
enum canyon_status message_unpack_list(const uint8_t *bytes, size_t count, struct message_list *message,
                                       struct error *error);
enum canyon_status message_unpack_listed(const uint8_t *bytes, size_t count, struct message_listed *message,
                                         struct error *error);
enum canyon_status message_unpack_pieces(const uint8_t *bytes, size_t count, struct message_pieces *message,
                                         struct error *error);
enum canyon_status message_unpack_piece_results(const uint8_t *bytes, size_t count,
                                                struct message_piece_results *message, struct error *error);
enum canyon_status message_unpack_rows(const uint8_t *bytes, size_t count, struct message_rows *message,
                                       struct error *error);
enum canyon_status message_unpack_rows_done(const uint8_t *bytes, size_t count, struct message_rows_done *message,
                                            struct error *error);
enum canyon_status message_unpack_table_query(const uint8_t *bytes, size_t count, struct message_table_query *message,
                                              struct error *error);
enum canyon_status message_unpack_table_totals(const uint8_t *bytes, size_t count, struct message_table_totals *message,
                                               struct error *error);
enum canyon_status message_unpack_row_query(const uint8_t *bytes, size_t count, struct message_row_query *message,
                                            struct error *error);
enum canyon_status message_unpack_row_page(const uint8_t *bytes, size_t count, struct message_row_page *message,
                                           struct error *error);
enum canyon_status message_unpack_join(const uint8_t *bytes, size_t count, struct message_join *message,
                                       struct error *error);
enum canyon_status message_unpack_joined(const uint8_t *bytes, size_t count, struct message_joined *message,
                                         struct error *error);
enum canyon_status message_unpack_barrier(const uint8_t *bytes, size_t count, struct message_barrier *message,
                                          struct error *error);
enum canyon_status message_unpack_enter(const uint8_t *bytes, size_t count, struct message_enter *message,
                                        struct error *error);
enum canyon_status message_unpack_entered(const uint8_t *bytes, size_t count, struct message_entered *message,
                                          struct error *error);
enum canyon_status message_unpack_clock(const uint8_t *bytes, size_t count, struct message_clock *message,
                                        struct error *error);
enum canyon_status message_unpack_clocked(const uint8_t *bytes, size_t count, struct message_clocked *message,
                                          struct error *error);
enum canyon_status message_unpack_consistency(const uint8_t *bytes, size_t count, struct message_consistency *message,
                                              struct error *error);
enum canyon_status message_unpack_consistency_is(const uint8_t *bytes, size_t count,
                                                 struct message_consistency_is *message, struct error *error);
enum canyon_status message_unpack_members(const uint8_t *bytes, size_t count, struct message_members *message,
                                          struct error *error);
enum canyon_status message_unpack_members_are(const uint8_t *bytes, size_t count, struct message_members_are *message,
                                              struct error *error);
enum canyon_status message_unpack_staleness(const uint8_t *bytes, size_t count, struct message_staleness *message,
                                            struct error *error);
enum canyon_status message_unpack_staleness_is(const uint8_t *bytes, size_t count, struct staleness *message,
                                               struct error *error);
enum canyon_status message_unpack_statistics(const uint8_t *bytes, size_t count, struct message_statistics *message,
                                             struct error *error);
enum canyon_status message_unpack_optimizer_request(const uint8_t *bytes, size_t count,
                                                    struct message_optimizer_request *message, struct error *error);
enum canyon_status message_unpack_optimizer(const uint8_t *bytes, size_t count, struct message_optimizer *message,
                                            struct error *error);

#endif
