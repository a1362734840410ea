/* What a lane is told and asked about its session as a whole: to connect, to leave, and how it went. */
#include <stdio.h>
#include <string.h>

#include "client/lane_state.h"

/* ---- connecting on purpose ---- */

void lane_expect(struct lane *lane, const uint8_t digest[JOB_DIGEST_BYTES], uint32_t server, uint32_t threads) {
    lane_lock(lane);
    lane->expects = true;
    memcpy(lane->digest, digest, sizeof lane->digest);
    lane->server = server;
    lane->threads = threads;
    lane_unlock(lane);
}

void lane_connect(struct lane *lane) {
    lane_lock(lane);
    if (lane->state == LANE_DOWN && !lane->closing) {
        lane->wanted = true;
        lane_notify(lane, false);
    }
    lane_unlock(lane);
}

static bool lane_attempt_is_over(void *user) {
    const struct lane *lane = user;
    return lane->state == LANE_UP || (lane->state == LANE_DOWN && !lane->wanted) || lane->closing;
}

enum canyon_status lane_wait_connected(struct lane *lane, struct message_welcome *welcome, char **servers,
                                       struct error *error) {
    enum canyon_status status = CANYON_OK;
    lane_drive(lane, lane_attempt_is_over, lane, UINT64_MAX);
    lane_lock(lane);
    if (lane->state != LANE_UP) {
        status = error_set(error, lane->failure.status, "%s", lane->failure.text);
        goto out;
    }
    if (welcome != NULL)
        *welcome = *session_welcome(lane->session);
    if (servers != NULL) {
        size_t bytes = 0;
        const char *text = session_servers(lane->session, &bytes);
        *servers = strndup(text, bytes);
        if (*servers == NULL)
            status = error_set(error, CANYON_NO_MEMORY, "no memory for the server list of %s", lane->address_text);
    }
out:
    lane_unlock(lane);
    return status;
}

void lane_pin(struct lane *lane) {
    lane_lock(lane);
    lane->pinned = true;
    lane_unlock(lane);
}

const char *lane_address(const struct lane *lane) {
    return lane->address_text;
}

uint32_t lane_restarts(struct lane *lane) {
    lane_lock(lane);
    uint32_t restarts = lane->restarts;
    lane_unlock(lane);
    return restarts;
}

struct lane_counters lane_count(struct lane *lane) {
    lane_lock(lane);
    const struct session_counters counters = session_count(lane->session);
    const struct lane_counters count = {
        .reconnects = lane->reconnects, .resent = counters.resent, .duplicates = counters.duplicates};
    lane_unlock(lane);
    return count;
}

/* ---- leaving ---- */

static void lane_left(struct session_request *request, enum canyon_status status, const char *text,
                      const struct frame *reply) {
    struct lane *lane = request->user;
    (void)status; /* whatever it is: a session that nobody uses is forgotten some time */
    (void)text;
    (void)reply;
    lane->left = true;
    pthread_cond_broadcast(&lane->turn);
}

void lane_leave(struct lane *lane, uint64_t deadline) {
    lane_lock(lane);
    const bool leaves = !lane->closing && !lane->leaving && lane->state == LANE_UP &&
                        session_outstanding(lane->session) == 0 && session_has_numbers(lane->session);
    if (leaves) {
        lane->leaving = true;
        lane->leave = (struct session_request){
            .type = FRAME_LEAVE, .deadline = deadline, .changes_state = true, .done = lane_left, .user = lane};
        session_submit(lane->session, &lane->leave);
        lane_flush(lane);
        lane_notify(lane, true);
    }
    lane_unlock(lane);
}

static bool lane_has_left(void *user) {
    const struct lane *lane = user;
    return lane->left || !lane->leaving;
}

void lane_wait_left(struct lane *lane) {
    lane_drive(lane, lane_has_left, lane, UINT64_MAX);
}
