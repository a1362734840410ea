/* The outcomes every Canyon call can have: stable numbers, the same in the C API, on the wire and in logs.
 *
 * A number never changes its meaning and is never used again; new ones are added at the end. The text that
 * comes with a failure says what was wrong, with the values, and what to do; this code is for programs. */
#ifndef CANYON_STATUS_H
#define CANYON_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

enum canyon_status {
    CANYON_OK = 0, /* done */
    CANYON_INVALID_ARGUMENT =
        1,                  /* a value in the call makes no sense whatever the state; nothing was sent or changed */
    CANYON_NOT_FOUND = 2,   /* no tensor of that name or id */
    CANYON_MISMATCH = 3,    /* it exists with another shape, optimizer, setting or mode; the text names both */
    CANYON_TIMEOUT = 4,     /* the deadline passed before the call began to change anything, or it changes nothing */
    CANYON_UNAVAILABLE = 5, /* a server cannot be reached or went away; the text names it */
    CANYON_OUTCOME_UNKNOWN = 6, /* sent, but no answer tells: it may or may not have been applied */
    CANYON_STATE_LOST = 7,      /* a server came back without the parameters it held */
    CANYON_REFUSED = 8,      /* some pieces of a push were refused, the others were applied; see the item's counters */
    CANYON_NOT_FINITE = 9,   /* a gradient or value holds NaN or infinity; that piece was not applied */
    CANYON_NO_MEMORY = 10,   /* memory could not be had, or a limit on it was reached */
    CANYON_TOO_LARGE = 11,   /* a length is above a limit; the text names both */
    CANYON_PROTOCOL = 12,    /* the peer sent bytes that are not Canyon's protocol */
    CANYON_UNSUPPORTED = 13, /* a protocol version or feature the peer does not know */
    CANYON_CONFIGURATION = 14, /* servers or clients are configured differently; the text names both */
    CANYON_BUSY = 15,          /* a limit on waiting or queued work was reached; try again */
    CANYON_CLOSED = 16,        /* the client was closed while the call was under way */
    CANYON_CONFLICT = 17,      /* what else is there, or under way, does not go with it; the text says what */
    CANYON_INTERNAL = 18,      /* a bug in Canyon; the text has what is needed to report it */
    CANYON_DENIED = 19, /* the server does not allow this client's key to do that; the text names the role needed */
    CANYON_UNAUTHENTICATED = 20, /* the server, or this client, could not prove to be whom the other side trusts */
    CANYON_SESSION_UNKNOWN = 21, /* a server has forgotten this client's session; what was under way may be applied */
    CANYON_GAP = 22,             /* a push before this one did not arrive; the connection ends and begins anew */
    CANYON_STALE = 23,           /* the gradient's weights are older than its tensor takes: pull, compute, push again */
    CANYON_LATE = 24,            /* the gradient's clock was closed without it; go on with the clock the text names */
    CANYON_FENCED = 25,          /* a newer connection of the same session is there; nothing more is taken from this */
    CANYON_STATUS_LAST = CANYON_FENCED /* the highest number */
};

#ifdef __cplusplus
}
#endif

#endif
