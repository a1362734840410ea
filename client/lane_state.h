/* What lane.c (who drives, and who submits), lane_session.c (what is said of the session as a whole),
 * lane_connection.c (the socket under it) and lane_lost.c (when that is gone) share. For them only. */
#ifndef CANYON_CLIENT_LANE_STATE_H
#define CANYON_CLIENT_LANE_STATE_H

#include <pthread.h>
#include <uv.h>

#include "client/backoff.h"
#include "client/lane.h"
#include "client/lane_channel.h"
#include "client/lane_dial.h"
#include "common/address.h"

#define LANE_MILLISECOND 1000000u

/* From SECURING on there is a socket to read and write; a plaintext lane has no SECURING. */
enum lane_state { LANE_DOWN = 0, LANE_DIALING = 1, LANE_SECURING = 2, LANE_GREETING = 3, LANE_UP = 4 };

/* A socket with its place in the loop. Only the driver may close it. */
struct link {
    uv_poll_t poll;
    int descriptor;
    int events; /* polled for now */
    int least;  /* bytes that must have come before the poll reports them */
};

struct lane {
    pthread_mutex_t lock; /* of everything below, and of the session */
    pthread_cond_t turn;  /* the token is free, or something ended: for waiting callers */
    pthread_cond_t work;  /* for the I/O thread */
    pthread_t thread;
    bool driving; /* the token: whoever set it may use the loop and its handles */
    bool closing, stopping;
    unsigned waiters;
    uint64_t wakeup; /* when the driver's turn ends at the latest */

    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t timer;
    struct dial *dial;
    struct link *link;
    const struct known_server *known; /* the server's key and cipher; NULL for plaintext */
    struct lane_channel *channel;     /* of the connection, while there is one; NULL for plaintext */

    enum lane_state state;
    bool wanted;       /* somebody wants it connected */
    bool blocked;      /* the socket took less than there is to send */
    bool doubted;      /* the server closed without a word, and is asked once more whether it means it */
    unsigned denials;  /* attempts in a row, since it was UP last, that ended as if for their keys */
    bool damaged;      /* what came was not sealed by the server: a new connection may do better */
    bool pinned;       /* lane_pin */
    uint64_t up_since; /* monotonic ns */
    uint64_t heard;    /* the same: when the last byte came */
    bool hasty;        /* bulk did not come as it should: bytes are waited for one by one until little is awaited */
    bool stirred;      /* in this turn of the loop something happened; the driver's own */
    uint64_t attempt_deadline;
    struct backoff backoff;
    uint64_t lost_since;   /* monotonic ns: since when the server is away and waited for; 0: it is not */
    uint64_t lost_answers; /* of the session, until then */
    uint64_t retry_at;     /* no attempt before */
    uint64_t reconnects;
    bool leaving; /* the session was or is being ended: nothing more is submitted */
    bool left;    /* and that is over */
    struct session_request leave;
    struct session *session;
    struct lane_task *tasks, **last_task;

    bool expects;
    uint8_t digest[JOB_DIGEST_BYTES];
    uint32_t server, threads;
    bool has_boot;
    uint8_t boot[BOOT_BYTES];
    uint32_t restarts;
    struct error failure; /* of the last attempt or connection */

    struct lane_options options;
    char address_text[LIMIT_ADDRESS_BYTES];
    struct address address;
};

void lane_lock(struct lane *lane);
/* Unlocks and runs what the ends of requests left to do. */
void lane_unlock(struct lane *lane);

/* Something changed that the driver, or the I/O thread, should know; `attended`: the caller will drive. The lock is
 * held. */
void lane_notify(struct lane *lane, bool attended);

/* Runs the loop until something happens; where it `spins`, without sleeping for the time that the options say. The
 * driver calls, without the lock. (lane_spin.c) */
void lane_run_loop(struct lane *lane, bool spins);

/* All of these are called with the lane's lock held. Only the driver, who may use the loop, calls dial and close_link.
 */

/* Begins to connect. */
void lane_dial(struct lane *lane);

/* Offers the socket what the session has to send. */
void lane_flush(struct lane *lane);

/* True when not all that was submitted has gone to the socket. */
bool lane_is_sending(const struct lane *lane);

/* Tells the server that nothing more comes, as far as the socket takes that without waiting. */
void lane_say_last(struct lane *lane);

/* Whether the connection, which is UP, should be replaced; and ends it, when it is idle, so that a new one is made. */
bool lane_is_old(const struct lane *lane);
void lane_renew(struct lane *lane);

/* Reads what has come, up to a turn's share. */
void lane_read(struct lane *lane);

/* The connection is over, or the attempt failed: every request ends, or waits for the next attempt (lane_lost.c). The
 * socket itself is closed by the driver. */
void lane_lose(struct lane *lane, enum canyon_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void lane_close_link(struct lane *lane);
/* No connection any more, nor its keys. */
void lane_hang_up(struct lane *lane);

/* The lane is UP; something was answered: is an outage over by that? (lane_lost.c) */
void lane_returned(struct lane *lane);
void lane_answered(struct lane *lane);

/* Polls the socket for what is wanted now. True when it reports bytes in bulk only, so that the driver is to look again
 * after LANE_BULK_NS: a reply may be shorter than it was hoped to be. */
#define LANE_BULK_NS 2000000u
bool lane_poll_link(struct lane *lane);

#endif
