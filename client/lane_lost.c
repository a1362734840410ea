/* A lane whose connection is lost: what ends with it, and what waits for the next attempt, and until when. */
#include <stdarg.h>
#include <stdio.h>

#include "client/lane_state.h"
#include "common/clock.h"

#define STEADY_MS 1000 /* a connection that stood for this long was a good one, whatever came over it */
#define DENIALS   6    /* attempts in a row that end so before it is believed of a server that was reached before */

/* ---- the server is back ---- */

static void lane_recover(struct lane *lane) {
    lane->lost_since = 0;
    lane->retry_at = 0;
    backoff_reset(&lane->backoff);
}

void lane_returned(struct lane *lane) {
    if (lane->lost_since == 0)
        return;
    lane->reconnects++;
    /* One that greets and then hangs up is not back: its answers are, where some are waited for. */
    if (session_outstanding(lane->session) == 0)
        lane_recover(lane);
}

void lane_answered(struct lane *lane) {
    if (session_count(lane->session).answered > lane->lost_answers)
        lane_recover(lane);
}

/* ---- it is gone ---- */

/* Before the welcome, a connection that is cut or damaged on the way looks like one that is refused because of keys. A
 * server that knew this client before is asked some times more: it would be a pity to give up pushes for that. */
static bool lane_may_return(struct lane *lane, enum canyon_status status, bool was_up) {
    if (status == CANYON_UNAUTHENTICATED && !was_up)
        return ++lane->denials < DENIALS;
    return lane->damaged || session_may_return(status);
}

/* Whether what can wait is to wait for another attempt; sets when that is. */
static bool lane_waits(struct lane *lane, enum canyon_status status, bool was_up, uint64_t now) {
    const uint64_t patience = (uint64_t)lane->options.reconnect_ms * LANE_MILLISECOND;
    if (lane->closing || !lane->has_boot || patience == 0 || !lane_may_return(lane, status, was_up))
        return false;
    if (lane->lost_since == 0) {
        lane->lost_since = now;
        lane->lost_answers = session_count(lane->session).answered;
    }
    const uint64_t end = lane->lost_since + patience;
    lane->retry_at = now + backoff_next(&lane->backoff) * (uint64_t)LANE_MILLISECOND;
    if (lane->retry_at > end)
        lane->retry_at = end;
    return now < end;
}

void lane_lose(struct lane *lane, enum canyon_status status, const char *format, ...) {
    const bool was_up = lane->state == LANE_UP;
    const uint64_t now = clock_now();
    lane->failure.status = status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(lane->failure.text, sizeof lane->failure.text, format, arguments);
    va_end(arguments);
    lane_hang_up(lane);
    lane->doubted = false;
    if (was_up && now - lane->up_since >= STEADY_MS * (uint64_t)LANE_MILLISECOND)
        lane_recover(lane);
    if (lane_waits(lane, status, was_up, now))
        session_lose(lane->session, status, lane->failure.text);
    else
        session_fail(lane->session, status, lane->failure.text);
    lane->damaged = false;
    lane->wanted = session_outstanding(lane->session) > 0;
    if (was_up && !lane->wanted)
        lane_recover(lane); /* nobody waits: it is away from when it is wanted on */
    if (status != CANYON_CLOSED) {
        char reason[ERROR_TEXT_BYTES * 2];
        log_event(lane->options.log, LOG_WARNING, was_up ? "disconnected" : "connect_failed",
                  "address=%s thread=%u reason=%s", lane->address_text, lane->options.thread,
                  log_quote(lane->failure.text, reason, sizeof reason));
    }
    pthread_cond_broadcast(&lane->turn);
}
