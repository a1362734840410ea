/* A virtual worker: real sessions, one for each server thread, and somebody who pushes through them.
 *
 * It lives several times: it dies with all that it knows and comes back with another session, or leaves in peace; or it
 * stops for a while, as a process does that is not let run, and goes on where it was. */
#ifndef CANYON_TESTS_SCHEDULES_WORKER_H
#define CANYON_TESTS_SCHEDULES_WORKER_H

#include "client/backoff.h"
#include "client/session.h"
#include "tests/schedules/host.h"
#include "tests/schedules/oracle.h"
#include "tests/schedules/pacer.h"

struct push;
struct worker;

#define WORKER_LINES  8
#define HASTE         50 /* permille of pulls that are left out in any case */
#define WORKER_MOST   4
#define WORKER_READER "reader" /* how names of those begin that may only read */

/* What all workers see. */
struct stage {
    struct schedule *schedule;
    struct network *network;
    struct oracle *oracle;
    const struct job *job;
    struct host *hosts;
    uint32_t host_count;
    const struct tensor_info *tensors; /* what cells name by index */
    /* How workers behave; of the draws of this schedule. */
    unsigned impatient;       /* permille of requests with a deadline that may pass */
    unsigned poisoned;        /* of requests with a piece that the server refuses */
    unsigned starved;         /* of deadlines that pass without memory for what is given up */
    unsigned malformed;       /* of requests that it refuses whole */
    unsigned depth;           /* requests under way, at most */
    uint64_t pause;           /* between two requests, at most */
    uint64_t patience;        /* how long a line waits for a server to come back */
    uint64_t window;          /* of sessions, in bytes */
    bool forgetful;           /* servers forget sessions so soon that nothing is sure about what is not answered */
    bool paced;               /* workers count clocks */
    bool reader;              /* the last of them may only read */
    unsigned hasty;           /* permille of pulls that are left out */
    uint64_t lease;           /* nanoseconds */
    uint32_t wait_ms;         /* of pulls, at most */
    uint64_t steps, timeouts; /* of paced workers: clocks that they began; pulls whose wait was over */
    uint64_t submitted;       /* requests that bring something */
    uint64_t reconnects;
};

/* The way to one server thread: what client/lane.c does with sockets. */
struct line {
    struct worker *worker;
    struct host *host;
    uint32_t thread;
    struct session *session;
    struct link *link; /* NULL without a connection */
    bool connected;
    bool starving; /* there is no memory just now, */
    bool starved;  /* or was none before, in this life: there may be gaps */
    bool silent; /* nothing was heard of the server for long, in this life: it may seem to have forgotten the session */
    uint64_t proved;      /* when the last request that was answered was made; at first, when its life began */
    bool failing;         /* it waits no longer: all its requests end */
    bool welcome, missed; /* while the worker was stopped: the connection was made, and lost */
    uint64_t wakeup;      /* for which a tick is planned */
    uint64_t dial;        /* which attempt this is: what was planned for an older one is void */
    struct age age;       /* of the server, when it was connected last */
    bool aged;
    struct backoff backoff;
    uint64_t lost_since;   /* 0 while it has a connection that answers */
    uint64_t lost_answers; /* requests that had been answered then */
    unsigned poisoned;     /* pieces under way that will be refused */
};

struct worker {
    struct stage *stage;
    unsigned index, life; /* the oracle's */
    bool up, stopped;
    bool leaving; /* makes no more requests, and says goodbye when all are answered */
    struct session_request goodbyes[WORKER_LINES];
    struct line lines[WORKER_LINES];
    size_t line_count;
    struct push *pushes; /* of this life, also those that are over: owned */
    unsigned outstanding;
    unsigned quota;      /* requests still to be made */
    uint64_t generation; /* of what is planned; older plans are void */
    uint64_t stops;
    bool reads; /* may do nothing else */
    struct pacer pacer;
    enum step { STEP_ENTER, STEP_PULL, STEP_ASKED, STEP_PUSH, STEP_WAIT } step; /* of a paced one */
    bool pull_failed;
    bool blocked; /* until a request ends */
    char name[16];
};

void worker_init(struct worker *worker, struct stage *stage, unsigned index);
void worker_finish(struct worker *worker);

/* Begins a life. */
void worker_come(struct worker *worker);
/* Has so many more requests to make. */
void worker_work(struct worker *worker, unsigned requests);
/* Dies: whoever waits is not told. */
void worker_die(struct worker *worker);
/* Makes no more requests, and ends its sessions when all are answered. It still has to die. */
void worker_leave(struct worker *worker);
/* Does nothing for a while; what arrives waits for it. */
void worker_stop(struct worker *worker, uint64_t duration);
/* Has made all its requests, and all are answered: also what goes on behind the scenes. */
bool worker_is_done(const struct worker *worker);

/* ---- of its own files: worker.c (life, what it does), line.c (connections), push.c (requests), step.c (of a paced
 * one) ---- */

void line_init(struct line *line, struct worker *worker, struct host *host, uint32_t thread, const uint8_t *session_id);
/* Its session's requests are not told. */
void line_finish(struct line *line);
/* Sends what there is to send; plans what is due. */
void line_pump(struct line *line);
void line_go_on(struct line *line);
/* The age of the server that it is, or was last, connected to; of the server as it is, when it never was. */
struct age line_age(const struct line *line);

/* Makes one request of the worker's on one of its lines, drawn at random; false when there is no cell for it. */
bool push_make(struct worker *worker);

/* Or this one. */
struct push_order {
    struct line *line;
    unsigned type;
    bool creates, erasing;
    uint64_t clock;   /* of a paced world */
    uint32_t wait_ms; /* of a pull that waits for others */
};
bool push_send(struct worker *worker, const struct push_order *order);

/* A paced worker does what is next: pulls, pushes, goes on to the next clock. Returns when it wants to be called again,
 * in nanoseconds; 0: not before it has something to do. */
uint64_t step_act(struct worker *worker);
/* Neither at a clock nor entering. */
bool step_is_done(const struct worker *worker);

void push_free_all(struct worker *worker);

#endif
