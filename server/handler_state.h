/* What a handler is made of, for its own files only: handler.c (life, dispatch), handler_reply.c, handler_catalogue.c,
 * handler_parts.c, handler_replay.c, handler_roles.c, handler_sessions.c, handler_values.c, handler_codecs.c,
 * handler_tables.c, handler_pages.c, handler_workers.c, handler_seeing.c, handler_clocks.c, handler_members.c,
 * handler_plan.c. */
#ifndef CANYON_SERVER_HANDLER_STATE_H
#define CANYON_SERVER_HANDLER_STATE_H

#include <stdbool.h>

#include "common/codec.h"
#include "common/row_hash.h"
#include "server/directory.h"
#include "server/handler.h"
#include "server/members.h"
#include "server/parked.h"
#include "server/sessions.h"
#include "server/shard.h"
#include "server/waits.h"
#include "server/workers.h"
#include "server/workspace.h"

/* A tensor that was defined on this thread, whether or not a block of it is here: what it takes to route its blocks. */
struct handler_tensor {
    struct directory_key key;        /* id, and the name in spec */
    struct tensor_spec spec;         /* canonical */
    uint64_t home, elements, blocks; /* of the whole tensor */
    uint64_t bytes;                  /* of its state in this thread's shards */
    uint8_t definer[SESSION_BYTES];  /* the session that makes its parts: its creator's */
    enum role definer_role;          /* as it was then */
    struct row_hash row_hash;        /* of a table */
    struct staleness staleness;      /* of pushes to it on this thread */
    bool settled;                    /* known to be complete: a worker opened or trained it */
};

/* Ids that were undefined last: a DEFINE that arrives after the UNDEFINE of its id came too late. */
#define HANDLER_UNDEFINED 4096

/* Room for values in other forms than float32. */
struct handler_codecs {
    float *gradient; /* one block, decoded */
    uint8_t *reply;  /* weights of one reply, encoded: handler_payload_limit bytes, */
    size_t used;     /* of which these */
};

/* What tables share, and room for the rows of a frame. */
struct handler_tables {
    struct workspace *workspace; /* lent to the shards */
    float *gradients, *weights;  /* handler_payload_limit bytes each */
    struct rows_result *results; /* LIMIT_RUNS of them, and zeros behind */
    uint64_t *numbers;           /* hashes or ids: LIMIT_BATCH_ROWS of them and one */
    uint64_t *keys;              /* of a frame's rows, and */
    struct row_at *rows;         /* where they are: LIMIT_BATCH_ROWS of them; */
    struct table_found *found;   /* run by run: LIMIT_RUNS of them */
};

/* What decides who may pull: the synchronous clock that is open or 0, the lowest clock of live members or UINT64_MAX.
 */
struct handler_pace {
    uint64_t open, lowest;
    struct consistency_plan plan;
};

struct handler {
    const struct job *job;
    uint32_t server, thread, threads;
    const struct handler_environment *environment;
    uint64_t started;
    struct shard **shards;   /* job->shards of them; NULL where another thread owns it */
    const struct shard *any; /* one of them, for what is the same in all; NULL where there is none */
    struct directory tensors;
    uint64_t state_bytes; /* of all tensors here, and of what shards remember of sessions */
    uint64_t undefined[HANDLER_UNDEFINED];
    uint64_t undefined_home[HANDLER_UNDEFINED]; /* where the blocks of these were */
    size_t undefined_next;                      /* place of the oldest, which the next one takes */
    struct handler_peer *peers;
    struct parked_list parked;
    struct workers *workers;
    struct members *members;
    struct waits waits;        /* for the clocks of members */
    struct handler_pace pace;  /* as it was when those that wait were looked through last */
    bool moved;                /* a pull or push has told a clock: see clocks_settle */
    bool rebuilt;              /* by handler_replay, and nobody came yet; then: */
    uint64_t unsure_until;     /* what commands do not tell of the workers is not known before */
    struct sessions *sessions; /* whose they are; of an encrypting server */
    bool stopping;
    struct message_statistics counters; /* the parts that are counted, not looked up */
    uint8_t reply[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    struct handler_slice slices[1 + LIMIT_PIECES];
    struct handler_codecs codecs;
    struct handler_tables tables;
};

/* Whom to answer. */
struct request {
    struct handler_peer *peer;
    uint64_t id;
    bool released; /* it has waited already */
    bool limited;  /* its role is enough only for what its own session is creating, or what changes nothing */
};

/* ---- Replies (handler_reply.c) ---- */

/* Where the reply's message is packed: LIMIT_MESSAGE_BYTES bytes. */
uint8_t *reply_message(struct handler *handler);

/* Sends header, the packed message and `payload_count` slices that were put into handler->slices + 1. */
void reply_send(struct handler *handler, const struct request *request, enum frame_type type, size_t message_bytes,
                size_t payload_count);

/* Sends an ERROR and counts it. */
void reply_error(struct handler *handler, const struct request *request, const struct error *error);

/* Ends a peer with an ERROR in answer to no request, which is the last that it is sent: its parked requests are
 * forgotten. */
void reply_end(struct handler *handler, struct handler_peer *peer, const struct error *error);

/* Executes one type of request. OK: it was answered or parked. Otherwise nothing was sent and the caller answers ERROR.
 */
typedef enum canyon_status (*request_execute)(struct handler *handler, const struct request *request,
                                              const struct frame *frame, struct error *error);

/* ---- What the files offer each other ---- */

#define NANOSECONDS_PER_MS 1000000ull

static inline uint64_t handler_now(const struct handler *handler) {
    return handler->environment->now(handler->environment->user);
}

/* True when this thread owns shard 0; otherwise fills the error with who does. `what` is "the catalogue", "barriers".
 */
bool handler_has_catalogue(const struct handler *handler, const char *what, struct error *error);

/* "server 0 (10.0.0.1:7077), thread 2", of a shard's owner. Returns `text`. */
char *handler_owner_text(const struct handler *handler, uint32_t shard, char *text, size_t bytes);
#define HANDLER_OWNER_BYTES (LIMIT_ADDRESS_BYTES + 48)

/* Answers the parked requests whose time is over. */
void handler_end_overdue(struct handler *handler);

/* Lets a request wait for wait_ms. TOO_LARGE, BUSY, NO_MEMORY, and UNAVAILABLE when the server is stopping. `parked`,
 * which may be NULL, receives it, borrowed. */
enum canyon_status handler_park(struct handler *handler, const struct request *request, enum frame_type type,
                                const char *name, const struct tensor_spec *spec, uint32_t wait_ms,
                                struct parked **parked, struct error *error);

/* The peer's parked requests will not be answered. */
void handler_forget_parked(struct handler *handler, const struct handler_peer *peer);

/* Judges a request's role and executes it. */
enum canyon_status handler_execute(struct handler *handler, struct request *request, const struct frame *frame,
                                   struct error *error);

/* ---- Who waits, and what a push counts for (handler_clocks.c) ---- */

/* Whether a pull at this clock must wait for other workers: then OK with *waits, it was put aside and will be executed
 * again. The mode in question is that of its clock; who does not count clocks does not wait. TIMEOUT where it may not
 * wait at all, BUSY, NO_MEMORY. */
enum canyon_status clocks_wait(struct handler *handler, const struct request *request, const struct frame *frame,
                               uint64_t clock, uint32_t wait_ms, bool *waits, struct error *error);

/* How a gradient is to be applied that comes at this clock: as it comes (false), or with others when its clock is
 * closed: then *clock and *rank are those of the contribution. CONFLICT from who does not count clocks where the job
 * is synchronous, LATE from a worker that this clock goes on without. */
enum canyon_status clocks_gathers(struct handler *handler, const struct request *request, uint64_t *clock,
                                  uint32_t *rank, bool *gathers, struct error *error);

/* Whether new gradients of this peer cannot be judged now: the handler was rebuilt a short while ago, clocks of the job
 * are synchronous, and this worker has not told where it is. BUSY then, and the peer is to be ended where they have
 * numbers, which are not taken: it tells its clock, and sends them again. */
enum canyon_status clocks_check_known(const struct handler *handler, const struct request *request,
                                      struct error *error);

/* Something moved: a clock, a lease, the mode. Closes what all have passed, and carries out the pulls that wait for
 * nobody any more. */
void clocks_proceed(struct handler *handler);

/* A member has left: as clocks_proceed; its own pulls wait for nobody any more. */
void clocks_left(struct handler *handler, const struct member *member);

/* Both clocks_wait and clocks_gathers note how far a live member is that names a clock beyond its own. This carries out
 * the pulls that wait for that no more: after the request that told it. */
void clocks_settle(struct handler *handler);

/* Leases and deadlines that are over; when that wants to be called; and the end of all waits. */
void clocks_tick(struct handler *handler, uint64_t now);
uint64_t clocks_wakeup(const struct handler *handler);
void clocks_stop(struct handler *handler);

/* A peer's pulls that wait will not be answered. */
void clocks_forget_waits(struct handler *handler, const struct handler_peer *peer);

/* ---- Members, and how stale pushes were (handler_members.c) ---- */

/* False when there is no memory; finish in any case, before the peers go. */
bool membership_init(struct handler *handler);
void membership_finish(struct handler *handler);

/* A peer came; it sent something. */
void membership_peer_came(struct handler *handler, struct handler_peer *peer);
void membership_heard(struct handler *handler, struct handler_peer *peer);

/* A message of a live member is made at this clock, which says as much as a CLOCK. INVALID_ARGUMENT. */
enum canyon_status membership_hear_clock(struct handler *handler, struct member *member, uint64_t clock,
                                         struct error *error);

/* The handler is being rebuilt: what a command tells of the workers. NO_MEMORY. */
enum canyon_status membership_restore(struct handler *handler, const struct command *command, struct error *error);
/* The first peer comes: whoever contributed lately is waited for as long as a lease. */
void membership_begin(struct handler *handler);
/* Since when the handler was rebuilt a lease has passed: who has not told its clock is none of the workers. */
bool membership_is_sure(const struct handler *handler);

/* Its session is over. */
void membership_leave(struct handler *handler, const uint8_t session[SESSION_BYTES]);

/* Ends the leases that are over, and returns how many those were. */
size_t membership_expire(struct handler *handler, uint64_t now);

/* Notes the staleness of a push for its tensor and its worker. */
void membership_count(struct handler_tensor *tensor, const struct request *request, uint64_t staleness);

enum canyon_status serve_enter(struct handler *, const struct request *, const struct frame *, struct error *);
enum canyon_status serve_clock(struct handler *, const struct request *, const struct frame *, struct error *);
enum canyon_status serve_members(struct handler *, const struct request *, const struct frame *, struct error *);
enum canyon_status serve_staleness(struct handler *, const struct request *, const struct frame *, struct error *);

/* ---- The mode of each clock (handler_plan.c) ---- */

/* It is the same in all shards. On a thread that has none nothing is pulled or pushed. */
const struct consistency_plan *plan_of(const struct handler *handler);
/* The synchronous clock that is open here, or 0. */
uint64_t plan_open(const struct handler *handler);
/* Closes what all that must have passed, have. */
void plan_close_passed(struct handler *handler);

enum canyon_status serve_consistency(struct handler *, const struct request *, const struct frame *, struct error *);

/* ---- Codecs (handler_codecs.c) ---- */

/* False when there is no memory; finish it in any case. */
bool codecs_init(struct handler_codecs *codecs, const struct job *job);
void codecs_finish(struct handler_codecs *codecs);

/* Whether a piece's codecs make sense in a request of this type: UNSUPPORTED, INVALID_ARGUMENT. Only then the sizes
 * below mean something: what it has in a payload that brings values, and what its weights or slot have in a reply. */
enum canyon_status codecs_check(unsigned type, const struct message_piece *piece, struct error *error);

static inline size_t piece_bytes(const struct message_piece *piece) {
    return codec_bytes((enum codec)piece->codec, piece->elements, piece->kept);
}
static inline size_t piece_reply_bytes(const struct message_piece *piece) {
    return codec_bytes((enum codec)piece->reply, piece->elements, 0);
}

/* The gradient as float32, where it lies or decoded: borrowed until the next call. INVALID_ARGUMENT for bytes that are
 * no encoding. The piece has at most a block's elements. */
enum canyon_status codecs_gradient(struct handler_codecs *codecs, const struct message_piece *piece,
                                   const uint8_t *payload, const float **values, struct error *error);

/* Replaces weights that the piece wants in another form by their encoding. The caller sets used to 0 for each reply,
 * and has checked that it fits. */
void codecs_weights(struct handler_codecs *codecs, const struct message_piece *piece, uint64_t home, uint64_t version,
                    struct handler_slice *slice);

/* ---- Who may do what (handler_roles.c) ---- */

/* DENIED unless the role is enough for requests of this type, which must be one that is known; says whether it is so
 * with limits. */
enum canyon_status role_check(struct request *request, unsigned type, struct error *error);

/* DENIED unless the request's key may touch a tensor of this name. */
enum canyon_status role_check_tensor(const struct request *request, const char *name, struct error *error);

/* DENIED: the role has limits, and a request of this type for this tensor is beyond them. */
enum canyon_status role_refuse(const struct request *request, unsigned type, const char *name, struct error *error);

/* DENIED: the job's mode is not this role's to set. */
enum canyon_status role_refuse_mode(const struct request *request, struct error *error);

/* The least role that may send a request of this type at all, and the least that may do so without limits; ROLE_NONE
 * for a type that is no request. */
enum role role_least(unsigned type);
enum role role_full(unsigned type);

/* The first peer of a session, or NULL. */
struct handler_peer *handler_find_session(const struct handler *handler, const uint8_t session[SESSION_BYTES]);

/* ---- Sessions and numbers (handler_sessions.c) ---- */

/* The shard of this thread that has, or had, this block of a tensor; NULL when it is not here or nobody knows. */
struct shard *handler_shard_of(const struct handler *handler, uint64_t tensor, uint32_t block);

/* The home of an id that was undefined here, by which its blocks were placed. False when it is not remembered. */
bool handler_undefined_home(const struct handler *handler, uint64_t tensor, uint64_t *home);

/* Judges a number, which is not 0, of the request's session, whose last one in the shard will be `last` by then. OK
 * when it was taken, or is the next: then what it needs to be taken is there. GAP, SESSION_UNKNOWN, NO_MEMORY, BUSY:
 * the request's peer is to be ended with that, and nothing of the frame is to be carried out. */
enum canyon_status handler_judge(struct handler *handler, const struct request *request, struct shard *shard,
                                 uint64_t last, uint64_t number, struct error *error);

/* The same for all pieces and runs of a frame. `shards` receives whose they are, or NULL for what has no number or is
 * not here; what is not here is not judged. */
enum canyon_status handler_judge_pieces(struct handler *handler, const struct request *request,
                                        const struct message_pieces *pieces, struct shard **shards,
                                        struct error *error);
struct rows_run;
enum canyon_status handler_judge_runs(struct handler *handler, const struct request *request,
                                      const struct rows_run *runs, uint32_t count, struct error *error);

/* Whether a piece or run, whose number was judged, is still to be carried out: it has no number (0), or one that the
 * shard has not taken. Not when it has one and its shard is not here (NULL). */
bool handler_is_new(struct shard *shard, const struct request *request, uint64_t number);

/* A numbered piece or run was refused before its shard saw it: uses up its number, if it is the next. `status` is why,
 * and `error` has its text. Returns what is to be answered: OK for what had been applied before, as far as that is an
 * answer without weights (`bare`). */
enum canyon_status handler_refuse(struct shard *shard, const struct request *request, uint64_t number,
                                  enum canyon_status status, bool bare, struct shard_reply *reply);

/* A frame was refused as a whole: uses up its numbers, as far as they can be read. OK, or errors of handler_judge. */
enum canyon_status handler_refuse_frame(struct handler *handler, const struct request *request,
                                        const struct frame *frame, enum canyon_status status, struct error *error);

enum canyon_status serve_resume(struct handler *, const struct request *, const struct frame *, struct error *);
/* Ends the session's connections that are older than this one. */
void handler_fence(struct handler *handler, const struct handler_peer *peer);
enum canyon_status serve_leave(struct handler *, const struct request *, const struct frame *, struct error *);

enum canyon_status serve_create(struct handler *, const struct request *, const struct frame *, struct error *);
enum canyon_status serve_open(struct handler *, const struct request *, const struct frame *, struct error *);
enum canyon_status serve_complete(struct handler *, const struct request *, const struct frame *, struct error *);
enum canyon_status serve_drop(struct handler *, const struct request *, const struct frame *, struct error *);
enum canyon_status serve_dropped(struct handler *, const struct request *, const struct frame *, struct error *);
enum canyon_status serve_set(struct handler *, const struct request *, const struct frame *, struct error *);
enum canyon_status serve_list(struct handler *, const struct request *, const struct frame *, struct error *);
/* The last peer of a session is gone: what it was creating passes to whoever waits to create it. */
void handler_session_gone(struct handler *handler, const uint8_t session[SESSION_BYTES]);
/* Why a CREATE or OPEN did not get what it waited for. */
void handler_tensor_timeout(const struct handler *handler, const struct parked *parked, struct error *error);

enum canyon_status serve_define(struct handler *, const struct request *, const struct frame *, struct error *);
enum canyon_status serve_adjust(struct handler *, const struct request *, const struct frame *, struct error *);
enum canyon_status serve_undefine(struct handler *, const struct request *, const struct frame *, struct error *);

/* The thread's note of a tensor, made if there is none yet: nobody's, and without bytes. NO_MEMORY. */
enum canyon_status handler_note_tensor(struct handler *handler, uint64_t id, const struct tensor_spec *spec,
                                       struct handler_tensor **noted, struct error *error);
/* It has no part here any more. */
void handler_forget_tensor(struct handler *handler, struct handler_tensor *tensor);

enum canyon_status serve_values(struct handler *, const struct request *, const struct frame *, struct error *);

/* ---- Tables (handler_tables.c) ---- */

struct rows_result;

/* Room and workspace; false when memory cannot be had. finish after the shards are gone; safe on zeroed ones. */
bool tables_init(struct handler_tables *tables, const struct job *job, const struct handler_environment *environment);
void tables_finish(struct handler_tables *tables);

/* The table of this id that the request may touch. NOT_FOUND, DENIED, INVALID_ARGUMENT (a tensor). */
enum canyon_status tables_find(const struct handler *handler, const struct request *request, uint64_t id,
                               struct handler_tensor **table, struct error *error);

/* A shard of this thread; INVALID_ARGUMENT with its owner when it is another's. */
enum canyon_status tables_shard(const struct handler *handler, const struct handler_tensor *table, uint32_t index,
                                struct shard **shard, struct error *error);

enum canyon_status serve_rows(struct handler *, const struct request *, const struct frame *, struct error *);
enum canyon_status serve_table_info(struct handler *, const struct request *, const struct frame *, struct error *);
enum canyon_status serve_table_rows(struct handler *, const struct request *, const struct frame *, struct error *);

enum canyon_status serve_join(struct handler *, const struct request *, const struct frame *, struct error *);
enum canyon_status serve_barrier(struct handler *, const struct request *, const struct frame *, struct error *);
/* Answers those whose barrier has opened. */
void handler_answer_passed(struct handler *handler);
void handler_barrier_timeout(const struct handler *handler, const struct parked *parked, struct error *error);

enum canyon_status serve_statistics(struct handler *, const struct request *, const struct frame *, struct error *);
enum canyon_status serve_digest(struct handler *, const struct request *, const struct frame *, struct error *);
enum canyon_status serve_optimizer(struct handler *, const struct request *, const struct frame *, struct error *);

#endif
