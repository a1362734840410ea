/* How a driver waits: by sleeping in the loop, or looking for a while first. */
#include <sched.h>

#include "client/lane_state.h"
#include "common/clock.h"

#define LOOKS 8 /* into the socket, until the loop is asked */

/* True when there was something in the socket, or it is of no use any more. */
static bool lane_look(struct lane *lane) {
    pthread_mutex_lock(&lane->lock);
    const uint64_t before = lane->heard;
    const bool usable = lane->state == LANE_UP && !lane->blocked;
    if (usable)
        lane_read(lane);
    const bool found = lane->heard != before || (usable && lane->state != LANE_UP);
    if (found && lane->state == LANE_UP)
        lane_flush(lane);
    pthread_mutex_unlock(&lane->lock);
    return found;
}

/* Looking into the socket is sooner than asking the loop, which is asked now and then for all else. Others get the
 * processor between two looks, among them perhaps the server. */
void lane_run_loop(struct lane *lane, bool spins) {
    uint64_t until = spins ? clock_now() + lane->options.spin_us * 1000ull : 0;
    lane->stirred = false;
    for (unsigned looks = 0; spins; looks++) {
        if (lane_look(lane))
            return;
        if (looks % LOOKS == LOOKS - 1)
            uv_run(&lane->loop, UV_RUN_NOWAIT);
        if (lane->stirred)
            return;
        sched_yield();
        spins = clock_now() < until;
    }
    uv_run(&lane->loop, UV_RUN_ONCE);
}
