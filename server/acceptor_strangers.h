/* The strangers are the accepted connections that are not greeted yet: from the descriptor to an arrival, a refusal, or
 * the end of their time.
 *
 * For the acceptor's own files only: acceptor.c listens and accepts, and owns the loop and its thread;
 * acceptor_strangers.c keeps them all, their deadlines, and the answers to them; what a stranger has to say is heard by
 * acceptor_handshake.c (encrypted) or acceptor_hello.c (plaintext). */
#ifndef CANYON_SERVER_ACCEPTOR_STRANGERS_H
#define CANYON_SERVER_ACCEPTOR_STRANGERS_H

#include <netinet/in.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/queue.h>
#include <uv.h>

#include "server/acceptor.h"
#include "server/seldom.h"

/* All that a stranger may cost in user space, before it has proven an allowed key: its struct, its introduction and its
 * handshake. */
#define STRANGER_BYTES 1536

enum stranger_stage {
    STAGE_FIRST,    /* its first message is on the way: a handshake's, or the header of a HELLO */
    STAGE_SECOND,   /* our second message goes out */
    STAGE_THIRD,    /* its last message is on the way: a handshake's third, or that of a HELLO */
    STAGE_TURN,     /* what it said waits for a turn to be computed upon */
    STAGE_WELCOME,  /* our answer goes out, then it is delivered */
    STAGE_REFUSAL,  /* our answer goes out */
    STAGE_FAREWELL, /* our end is closed; what comes is thrown away until the stranger closes, or its time is over */
    STAGE_GONE
};

/* Who gives way when there are too many: the first of the lowest rank. */
enum stranger_rank {
    RANK_SILENT,   /* has said nothing that makes sense yet, or was told why it must go */
    RANK_KNOCKING, /* in the middle of its introduction */
    RANK_KNOWN,    /* is being answered */
    RANKS
};

/* What a stranger needs once its first message was plausible. */
struct introduction {
    struct stranger *stranger;
    TAILQ_ENTRY(introduction) turn;
    struct channel_handshake *handshake; /* owned; NULL in plaintext */
    uint8_t bytes[CHANNEL_THIRD_LIMIT_BYTES];
};

struct stranger {
    uv_poll_t poll;
    struct strangers *strangers;
    TAILQ_ENTRY(stranger) all, peers; /* of all, and of those of its rank */
    uint64_t deadline;
    struct introduction *introduction; /* owned */
    struct arrival *arrival;           /* owned; once it is to be welcomed */
    uint8_t *answer;                   /* owned */
    uint32_t answer_bytes;
    uint32_t have; /* bytes of the current message, or of the answer, that have gone through */
    int descriptor;
    uint8_t stage, rank;
    uint8_t first[CHANNEL_FIRST_BYTES];
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } address;
};

TAILQ_HEAD(stranger_list, stranger);

/* Must not move between strangers_init and the end of the loop. Only the thread of the loop touches it. */
struct strangers {
    uv_loop_t *loop;
    const struct acceptor_options *options;
    pthread_mutex_t lock; /* guards the following */
    struct allow *allow;  /* held; NULL in plaintext */
    uv_timer_t deadlines;
    uv_idle_t turns;          /* runs while somebody waits for a turn */
    struct stranger_list all; /* in the order they came, which is that of their deadlines */
    struct stranger_list ranks[RANKS];
    TAILQ_HEAD(, introduction) waiting;
    size_t count, knocking;
    struct seldom refused, crowded, unknown;
};

/* ---- acceptor_strangers.c ---- */

/* None yet. Borrows the loop, where it puts handles, and the options, until the loop has ended. Holds the list. */
void strangers_init(struct strangers *strangers, uv_loop_t *loop, const struct acceptor_options *options,
                    struct allow *allow);

/* One more; somebody else gives way when there are too many. Takes over the descriptor (also when it cannot stay). */
void strangers_meet(struct strangers *strangers, int descriptor, const struct sockaddr *address, socklen_t bytes);

/* A newcomer needs a place, and has a better claim than who has been at the door for longest: that one goes. False when
 * all are being answered. */
bool strangers_make_place(struct strangers *strangers);

/* From now on keys are looked up in this list (held). Any thread. */
void strangers_allow(struct strangers *strangers, struct allow *allow);

/* Lets all of them go and closes the handles; the loop must run once more for that. */
void strangers_stop(struct strangers *strangers);

/* After the loop has ended. */
void strangers_finish(struct strangers *strangers);

/* Its address as text, in ARRIVAL_FROM_BYTES; returns `text`. */
char *stranger_from(const struct stranger *stranger, char text[ARRIVAL_FROM_BYTES]);

/* It goes, without a word. */
void stranger_dismiss(struct stranger *stranger);

/* The same, with a line in the log, at most one a second of each kind. */
void stranger_dismiss_for(struct stranger *stranger, struct seldom *seldom, const char *event, const char *reason);

/* It has said something plausible, and an introduction begins. False: there is no memory, and it was dismissed. */
bool stranger_knock(struct stranger *stranger);

/* It has earned its turn: from now on those who have not give way before it. */
void stranger_advance(struct stranger *stranger);

/* Receives into `at` until `whole` bytes are there; its `have` says how many are. True when they all are. False when
 * more have to come, or it went. */
bool stranger_receive(struct stranger *stranger, uint8_t *at, size_t whole);

/* Sends `whole` bytes, of which its `have` says how many went. True when they all did; false when more have to go, or
 * it went. */
bool stranger_send(struct stranger *stranger, const uint8_t *bytes, size_t whole);

/* Makes it watch for what its stage waits for. */
void stranger_watch(struct stranger *stranger);

/* It wants a turn: the next step costs much, and others wait too. The step is handshake_turn. Who has had one comes
 * first: there are never more of those than had a turn, so that they keep nobody waiting for long, and a flood of first
 * messages does not keep them from getting in. */
void stranger_queue(struct stranger *stranger);

/* Takes over `bytes` (from malloc; NULL: no memory, it goes) and sends them; then it is delivered (STAGE_WELCOME, its
 * arrival is there) or has STAGE_FAREWELL. `reason` of a refusal is logged. */
void stranger_answer(struct stranger *stranger, enum stranger_stage stage, uint8_t *bytes, size_t count,
                     const char *reason);

/* An arrival for a hello that was judged good. NULL when there is no memory. */
struct arrival *stranger_arrival(const struct stranger *stranger, const struct message_hello *hello);

/* ---- acceptor_handshake.c ---- */

/* STAGE_FIRST, STAGE_SECOND, STAGE_THIRD: its socket is ready. */
void handshake_ready(struct stranger *stranger);

/* STAGE_TURN: computes what the message that is whole asks for. */
void handshake_turn(struct stranger *stranger);

/* ---- acceptor_hello.c ---- */

/* STAGE_FIRST, STAGE_THIRD: its socket is ready. */
void hello_ready(struct stranger *stranger);

#endif
