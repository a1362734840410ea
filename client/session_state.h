/* What a session is made of, for its own files only: session.c (its life, its requests and their ends),
 * session_traffic.c (bytes out and in), session_wait.c (pulls that may wait), session_number.c (numbers in requests),
 * session_resume.c (what a new connection finds) and session_orphan.c (what outlives its owner). */
#ifndef CANYON_CLIENT_SESSION_STATE_H
#define CANYON_CLIENT_SESSION_STATE_H

#include "client/request_list.h"
#include "client/session.h"

#define SESSION_PACE_BYTES 32 /* no message of an ENTER or CLOCK is longer */

/* One shard's numbers. */
struct session_shard {
    uint64_t taken;   /* the highest number given to a request */
    uint64_t applied; /* of the last RESUMED; */
    uint64_t least;   /* while that is judged: the lowest number under way */
    bool known;       /* was in it */
    bool dropped;     /* number 1 was given up, and nobody knows whether it arrived */
};

struct session {
    struct session_options options;
    enum session_state state;
    struct frame_reader reader;
    struct request_list queue; /* not wholly sent; only the first may be partly sent */
    struct request_list sent;  /* waiting for their replies, in the order in which they were sent */
    struct request_list later; /* may wait at the server, where there is no place for them now: not in the queue yet */
    uint64_t next_id;
    uint64_t awaited;                  /* reply_bytes of the requests in `sent` */
    uint64_t in_flight;                /* cost of every request of which a byte was sent on this connection; */
    uint64_t patience;                 /* of those that may wait and were admitted, sent or not, instead */
    uint32_t patient;                  /* how many those are, */
    uint32_t waiting;                  /* and of how many it is known that they wait */
    uint64_t earliest;                 /* no deadline is before this */
    struct session_request *receiving; /* the one whose destination the reader is filling */
    uint8_t *scratch;                  /* where an abandoned reply goes instead */
    /* What goes out before any request: the hello, then perhaps a RESUME, with what a server that was restarted is told
     * of this worker's clock: */
    uint64_t control_id;
    size_t control_bytes, control_sent;
    uint8_t control[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    uint8_t pace[SESSION_PACE_BYTES]; /* the message of the last ENTER or CLOCK that was answered, */
    size_t pace_bytes;
    uint16_t pace_type; /* 0: there was none, or it has left */
    struct message_welcome welcome;
    char *servers;
    size_t servers_bytes;
    struct session_shard *shards; /* [shard_count], from the first welcome on */
    uint32_t shard_count;
    uint64_t now;                /* session_clock */
    uint64_t known_at;           /* the server knew this session then, or had never heard of it: when what it answered
                                  * last went out, or the first number */
    uint64_t control_at;         /* when what goes out before any request was made */
    bool numbered;               /* a number has gone out at some time */
    char lost[ERROR_TEXT_BYTES]; /* why there is no connection, while it is waited for; else "" */
    bool has_boot;
    uint8_t boot[BOOT_BYTES]; /* of the server that was READY last */
    struct session_counters counters;
    char waited[ERROR_TEXT_BYTES]; /* of the last answer to a pull: for whom it waited in vain; else "" */
    bool asks;                     /* whether any pull waits: `ask` is in a list */
    struct session_request ask;
    uint8_t ask_message[LIMIT_MESSAGE_BYTES];
};

/* ---- session.c ---- */

/* Takes a request out of its list and the window. */
void session_forget(struct session *session, struct session_request *request);

/* Its number on the wire, and its header. */
void session_number(struct session *session, struct session_request *request);

/* ---- session_wait.c ---- */

/* Queues requests that may wait at the server, as many as may be under way. Only before what is to be sent is chosen:
 * they go before others in the queue. */
void session_admit(struct session *session);

/* One that was admitted leaves its list and the window. */
void session_dismiss(struct session *session, struct session_request *request);

/* What goes out next where `request` (NULL: nothing) stands in the queue. It stays, NULL, when it would go past a pull
 * that was not admitted, and of none that was it is known that it waits for other workers. That is asked first: the
 * request that asks is put before it in the queue, and returned. */
struct session_request *session_turn(struct session *session, struct session_request *request);

/* A request was answered, which is still in `sent`: the pulls sent before it that were not wait for other workers. */
void session_notice(struct session *session, const struct session_request *answered);

/* How a pull that may wait was answered. */
void session_note(struct session *session, enum canyon_status status, const char *text);

/* What is said of one whose deadline passed, when it was sent or not admitted. */
void session_explain(const struct session *session, const struct session_request *request, char text[ERROR_TEXT_BYTES]);

/* ---- session_traffic.c ---- */

/* The reader's target for the payload of a reply. */
void *session_target(void *user, const struct frame_header *header, const uint8_t *message);

/* A server's ERROR that ends the connection or refuses what it began with. */
enum canyon_status session_refused(struct session *session, const struct frame *frame, const char *what,
                                   struct error *error);

/* Puts a frame without payload at the place of what goes out before any request. */
void session_control(struct session *session, uint16_t type, size_t message_bytes);

/* Puts what was told of the clock last behind that, if anything was. Its answer says nothing that the next one's does
 * not: it is for nobody. */
void session_control_pace(struct session *session);

/* ---- session_number.c ---- */

/* The pieces of a numbered request, one after another. Zeroed it is before the first. */
struct number_cursor {
    uint32_t index;
    size_t at; /* in the message */
};

/* The next piece: its shard, and where its number stands (8 bytes, little-endian, not aligned). False: no more. */
bool number_next(const struct session_request *request, struct number_cursor *cursor, uint32_t *shard, uint8_t **place);

/* Gives each piece the next number of its shard, tentatively: nothing of the request went out yet. */
void number_take(struct session *session, struct session_request *request);

/* A request that was begun is given up, and no orphan stands in for it. */
void number_drop(struct session *session, const struct session_request *request);

/* Takes all tentative numbers back: the next output gives them anew. */
void number_take_back(struct session *session);

/* ---- session_resume.c ---- */

/* The welcome is there: RESUME goes out when numbers ever did, else the session is READY. */
enum canyon_status session_welcomed(struct session *session, struct error *error);

/* The answer to RESUME. On OK the session is READY. */
enum canyon_status session_resumed(struct session *session, const struct frame *frame, struct error *error);

/* ---- session_orphan.c ---- */

/* A copy of a request, its message and its payload, that stands in for it: its end frees it. NULL without memory. */
struct session_request *orphan_create(const struct session_request *request);

#endif
