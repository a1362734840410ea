/* A time in which a world has no workers: leases of before must be of no account after it. */
#include "tests/schedules/world_state.h"

#define HOUR (3600 * SECOND)

static void come_again(void *user, uint64_t argument) {
    (void)argument;
    worker_come(user);
}

/* Dies as soon as somebody may wait for it: not before it has told a clock. It comes back as another. */
static void doom(void *user, uint64_t argument) {
    struct world *world = user;
    struct worker *doomed = world->doomed;
    struct schedule *schedule = &world->schedule;
    if (worker_is_done(doomed)) {
        return;
    }
    if (doomed->pacer.clock == 0) {
        schedule_at(schedule, schedule->now + MILLISECOND, doom, world, argument);
        return;
    }
    worker_die(doomed);
    world->doomed = NULL;
    schedule_at(schedule, schedule->now + schedule_between(schedule, 0, 2 * world->lease_ms * MILLISECOND), come_again,
                doomed, 0);
}

static void wake_up(void *user, uint64_t argument) {
    struct world *world = user;
    (void)argument;
    schedule_trace(&world->schedule, "there is work again");
    world->idle = false;
    for (unsigned i = 0; i < world->worker_count; i++) {
        worker_work(&world->workers[i], 5);
    }
    world->doomed = &world->workers[schedule_below(&world->schedule, world->worker_count)];
    doom(world, 0);
}

void world_idle(struct world *world) {
    struct schedule *schedule = &world->schedule;
    world->idle = true;
    world->idles++;
    schedule_at(schedule, schedule->now + HOUR, wake_up, world, 0);
    while (world->idle && !schedule->failed && schedule_step(schedule)) {
    }
}
