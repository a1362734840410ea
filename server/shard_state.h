/* What a shard is made of. Private to server/shard*.c; server/shard.h tells what it does. */
#ifndef CANYON_SERVER_SHARD_STATE_H
#define CANYON_SERVER_SHARD_STATE_H

#include <stddef.h>

#include "server/catalogue.h"
#include "server/dense.h"
#include "server/shard.h"
#include "server/table.h"

/* What a dense part and a table part begin with. spec.kind says which it is. */
struct part {
    struct directory_key key;
    struct tensor_spec spec;
    struct optimizer_spec settings;
    uint64_t epoch;
};

#define BEGINS_LIKE_PART(type)                                                                                         \
    (offsetof(type, key) == offsetof(struct part, key) && offsetof(type, spec) == offsetof(struct part, spec) &&       \
     offsetof(type, settings) == offsetof(struct part, settings) &&                                                    \
     offsetof(type, epoch) == offsetof(struct part, epoch))
_Static_assert(BEGINS_LIKE_PART(struct dense) && BEGINS_LIKE_PART(struct table), "both are parts");

struct shard {
    const struct job *job;
    uint32_t index;
    uint64_t sequence;
    struct ledger ledger; /* here, so that little of a shard that was not touched for long is wanted by a push */
    struct directory parts;
    struct catalogue catalogue;   /* stays empty but in shard 0 */
    struct consistency_plan plan; /* of the job's mode; set: likewise in every shard */
    uint64_t open;                /* the synchronous clock that is open; 0 before there was any */
    shard_watcher *watch;         /* or NULL */
    void *watcher;
    const struct memory *memory; /* of the parts' arrays; borrowed; NULL: the C library */
    struct workspace *workspace; /* of the tables; borrowed, or `own` */
    struct workspace *own;       /* made for the first table where none was lent */
    struct part *reserved;       /* the part of a DEFINE that is about to be applied, or NULL; no part of the state */
    struct table *filled;        /* the table whose rows were reserved, or NULL; likewise */
};

/* Whether a command's spec is one that shard_canonical_spec made, and its id one. INVALID_ARGUMENT. */
enum canyon_status shard_check_canonical(const struct command *command, struct error *error);

/* Whether a command's spec differs in settings only that may be changed. MISMATCH. */
enum canyon_status shard_check_settings(const struct tensor_spec *here, const struct command *command,
                                        struct error *error);

/* CREATE, ADOPT, COMPLETE, DROP, DROPPED, SET. (shard_catalogue.c) */
enum canyon_status shard_apply_catalogue(struct shard *shard, const struct command *command, struct error *error);

/* CONTRIBUTE, with the place of its block found and its gradient judged; CLOSE; CONSISTENCY. (shard_pace.c) */
enum canyon_status shard_contribute(struct shard *shard, struct dense *part, size_t place,
                                    const struct command *command, struct error *error);
/* Whether contributions to a clock are taken now: UNSUPPORTED, LATE, BUSY. `what` they are to is for the text. */
enum canyon_status shard_judge_clock(const struct shard *shard, const char *what, uint64_t clock, struct error *error);
bool shard_close(struct shard *shard, const struct command *command);
bool shard_set_consistency(struct shard *shard, const struct command *command);
/* Mode and open clock, where there was ever any. */
void shard_digest_pace(const struct shard *shard, struct hash *hash);
/* Part and place of a block, or an error that says what is missing. */
enum canyon_status shard_find_block(const struct shard *shard, uint64_t tensor, uint32_t block, struct dense **part,
                                    size_t *place, struct error *error);

/* Answers a command whose number was taken before. (shard_sessions.c) */
enum canyon_status shard_answer_again(struct shard *shard, const struct command *command, struct shard_reply *reply,
                                      struct error *error);

/* GAP or SESSION_UNKNOWN. */
enum canyon_status shard_gap(struct shard *shard, const struct command *command, struct error *error);

/* Tells of a command that took a sequence number; `status` is what it came to. */
void shard_tell(const struct shard *shard, const struct command *command, enum canyon_status status);

/* The table of a command or a read; NOT_FOUND, or INVALID_ARGUMENT where it is a tensor. (shard_table.c) */
enum canyon_status shard_find_table(const struct shard *shard, uint64_t tensor, struct table **table,
                                    struct error *error);

/* Makes the part of a DEFINE. NULL when memory cannot be had. */
struct part *shard_make_table(struct shard *shard, const struct command *command);

/* Reserves, applies: TABLE_PUSH, TABLE_TOUCH, TABLE_ERASE, TABLE_CONTRIBUTE. Apply says whether the state changed. */
enum canyon_status shard_reserve_rows(struct shard *shard, const struct command *command, struct error *error);
enum canyon_status shard_apply_rows(struct shard *shard, const struct command *command, struct shard_reply *reply,
                                    bool *changed, struct error *error);

#endif
