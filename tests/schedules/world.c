#include "tests/schedules/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/schedules/world_state.h"

#define PACED         400            /* permille of worlds in which workers count clocks */
#define IDLE          300            /* of these: in which later nobody does for an hour */
#define HEALED_TIME   (300 * SECOND) /* of virtual time, and */
#define HEALED_EVENTS 2000000u       /* events in which all must come to an end */
#define SAFETY_EVENTS 2000000u

/* ---- what is drawn ---- */

unsigned long long schedules_numbered, schedules_away_ns, schedules_memory_ns;

/* How many sessions servers know, and how long they have to. In a forgetful world hardly longer than it takes to come
 * back. */
static void draw_limits(struct world *world) {
    world->forgetful = schedule_chance(&world->schedule, 450) && !world->paced;
    schedules_numbered = world->forgetful ? world->worker_count : world->worker_count + (world->paced ? 4 : 2);
    schedules_away_ns = world->forgetful ? 50 * MILLISECOND : 60 * SECOND;
    schedules_memory_ns = schedules_away_ns * 9 / 10;
    if (world->forgetful) {
        world->network.faults.cut = 1000;
        world->network.faults.cut_most = 1500;
    }
}

/* One statement for each draw: the order of draws is part of what a seed means, whatever the compiler. From hardly a
 * fault to hardly a link that lasts. */
static void draw_faults(struct world *world) {
    struct schedule *schedule = &world->schedule;
    struct network_faults *faults = &world->network.faults;
    const unsigned bad = (unsigned)schedule_below(schedule, 4);
    faults->cut = 250 * (bad + 1);
    faults->deaf = (unsigned)schedule_below(schedule, 500);
    faults->held = (unsigned)schedule_below(schedule, 1000);
    faults->stall = (unsigned)schedule_below(schedule, 20) * bad;
    faults->refused = (unsigned)schedule_below(schedule, 100) * bad;
    faults->cut_most = schedule_between(schedule, 200, 6000);
    faults->latency = schedule_between(schedule, 10, 2000) * MICROSECOND;
    faults->lateness = schedule_between(schedule, 10, 2000) * MILLISECOND;
}

static void draw_stage(struct world *world) {
    struct schedule *schedule = &world->schedule;
    struct stage *stage = &world->stage;
    *stage = (struct stage){.schedule = schedule,
                            .network = &world->network,
                            .oracle = &world->oracle,
                            .job = &world->job,
                            .hosts = world->hosts,
                            .host_count = world->job.server_count,
                            .tensors = world->tensors,
                            .forgetful = world->forgetful,
                            .paced = world->paced,
                            .lease = world->lease_ms * MILLISECOND,
                            .wait_ms = 4000,
                            .patience = UINT64_MAX,
                            .window = 1u << 20};
    stage->reader = !world->paced && schedule_chance(schedule, 500);
    stage->hasty = world->paced && schedule_chance(schedule, 400) ? 600 : HASTE;
    stage->impatient = (unsigned)schedule_below(schedule, 3) * 150;
    stage->poisoned = (unsigned)schedule_below(schedule, 3) * 60;
    stage->malformed = (unsigned)schedule_below(schedule, 2) * 40;
    stage->depth = (unsigned)schedule_between(schedule, 1, 8);
    stage->pause = schedule_between(schedule, 10, 20000) * MICROSECOND;
    if (stage->hasty > HASTE && schedule_chance(schedule, 500)) {
        /* Those who are ahead are heard of late. */
        world->network.faults.cut = 1000;
        world->network.faults.cut_most = 1500;
    }
    if (schedule_chance(schedule, 300)) {
        stage->patience = schedule_between(schedule, 1, 1000) * MILLISECOND;
    }
    if (schedule_chance(schedule, 300)) {
        stage->window = 1000;
    }
    if (schedule_chance(schedule, 300)) {
        /* Without memory for what is given up, of which there is much. */
        stage->starved = 600;
        stage->reader = !world->paced && schedule_chance(schedule, 500);
        stage->hasty = world->paced && schedule_chance(schedule, 400) ? 600 : HASTE;
        stage->impatient = 500;
        stage->depth = 12;
    }
}

/* ---- what happens ---- */

static void come_back(void *user, uint64_t argument) {
    struct world *world = user;
    struct worker *worker = &world->workers[argument];
    if (worker->up && worker->leaving) {
        worker_die(worker);
    }
    if (!worker->up) {
        worker_come(worker);
    }
}

enum strike { STRIKE_DIES, STRIKE_LEAVES, STRIKE_STOPS };

static void strike_worker(struct world *world, enum strike strike) {
    struct schedule *schedule = &world->schedule;
    const uint64_t index = schedule_below(schedule, world->worker_count);
    struct worker *worker = &world->workers[index];
    if (!worker->up || worker->leaving) {
        return;
    }
    if (strike == STRIKE_STOPS) {
        worker_stop(worker, schedule_between(schedule, MILLISECOND, world->longest_stop));
        world->stops++;
        return;
    }
    if (strike == STRIKE_DIES) {
        worker_die(worker);
    } else {
        worker_leave(worker);
    }
    const uint64_t away = world->paced ? 2 * world->lease_ms * MILLISECOND : SECOND; /* also beyond its lease */
    schedule_at(schedule, schedule->now + schedule_between(schedule, 0, away), come_back, world, index);
}

static void start_again(void *user, uint64_t argument) {
    struct world *world = user;
    struct host *host = &world->hosts[argument >> 1];
    if (!host_is_up(host)) {
        host_start(host, (argument & 1) != 0);
    }
}

static void strike_host(struct world *world, bool with_state) {
    struct schedule *schedule = &world->schedule;
    const uint64_t index = schedule_below(schedule, world->job.server_count);
    if (!host_is_up(&world->hosts[index])) {
        return;
    }
    host_kill(&world->hosts[index]);
    world->kills++;
    world->losses += !with_state;
    schedule_at(schedule, schedule->now + schedule_between(schedule, 0, 2 * SECOND), start_again, world,
                index << 1 | with_state);
}

/* Now and then, until the world is healed. */
static void strike(void *user, uint64_t argument) {
    struct world *world = user;
    struct schedule *schedule = &world->schedule;
    (void)argument;
    if (world->healed) {
        return;
    }
    unsigned what = (unsigned)schedule_below(schedule, 1000);
    for (unsigned i = 0; i < STRIKES; i++) {
        if (what < world->strikes[i]) {
            if (i <= STRIKE_STOPS) {
                strike_worker(world, (enum strike)i);
            } else if (i == STRIKE_STOPS + 3) {
                host_stop(&world->hosts[schedule_below(schedule, world->job.server_count)],
                          schedule_between(schedule, 1, 6000) * MILLISECOND);
            } else {
                strike_host(world, i == STRIKE_STOPS + 1);
            }
            break;
        }
        what -= world->strikes[i];
    }
    schedule_at(schedule, schedule->now + schedule_between(schedule, 1, 500 * MILLISECOND), strike, world, 0);
}

static void draw_strikes(struct world *world) {
    struct schedule *schedule = &world->schedule;
    world->strikes[STRIKE_DIES] = schedule_chance(schedule, 400) ? 100 : 0;
    world->strikes[STRIKE_LEAVES] = schedule_chance(schedule, 400) ? 100 : 0;
    world->strikes[STRIKE_STOPS] = schedule_chance(schedule, 400) ? 100 : 0;
    world->strikes[STRIKE_STOPS + 1] = schedule_chance(schedule, 400) ? 100 : 0; /* a server, which keeps its state, */
    world->strikes[STRIKE_STOPS + 2] = schedule_chance(schedule, 250) ? 60 : 0;  /* or does not */
    world->strikes[STRIKE_STOPS + 3] = schedule_chance(schedule, 400) ? 80 : 0;  /* or is stopped for a while */
    if (world->paced) {
        world->strikes[STRIKE_STOPS + 2] = schedule_chance(schedule, 400) ? 100 : 0;
        world->strikes[STRIKE_DIES] = world->fickle                    ? 300
                                      : schedule_chance(schedule, 500) ? 200
                                                                       : world->strikes[STRIKE_DIES];
    }
    if (world->forgetful) {
        world->strikes[STRIKE_DIES] = 200;
        world->strikes[STRIKE_STOPS] = 200;
    }
    /* Now and then for longer than servers are bound to remember it. */
    world->longest_stop = schedule_chance(schedule, 200) ? 120 * SECOND : 30 * SECOND;
    world->longest_stop = world->forgetful ? 500 * MILLISECOND : world->longest_stop;
    strike(world, 0);
}

/* ---- the two phases ---- */

static void heal(struct world *world) {
    schedule_trace(&world->schedule, "the world is healed");
    world->healed = true;
    network_heal(&world->network);
    world->stage.impatient = 0;
    world->stage.patience = UINT64_MAX;
    world->stage.wait_ms = LIMIT_WAIT_MS; /* whoever waits waits until he may go on */
    director_stop(&world->director);
    intruder_stop(&world->intruder);
    for (uint64_t i = 0; i < world->job.server_count; i++) {
        start_again(world, i << 1 | 1);
        host_go_on(&world->hosts[i]);
    }
    for (uint64_t i = 0; i < world->worker_count; i++) {
        come_back(world, i);
        worker_work(&world->workers[i], 3);
    }
}

static bool all_done(const struct world *world) {
    bool done = rogue_is_done(&world->rogue);
    for (unsigned i = 0; i < world->worker_count; i++) {
        done = done && worker_is_done(&world->workers[i]);
    }
    return done;
}

static void run_safety(struct world *world) {
    struct schedule *schedule = &world->schedule;
    const uint64_t end = schedule->now + schedule_between(schedule, 100, 5000) * MILLISECOND;
    const uint64_t limit = schedule->executed + SAFETY_EVENTS;
    while (!schedule->failed && schedule->count > 0 && schedule->heap[0].time < end && schedule->executed < limit) {
        schedule_step(schedule);
    }
    if (schedule->executed == limit) {
        schedule_fail(schedule, "a livelock: %u events in the first phase", SAFETY_EVENTS);
    }
}

static void run_liveness(struct world *world) {
    struct schedule *schedule = &world->schedule;
    const uint64_t end = schedule->now + HEALED_TIME, limit = schedule->executed + HEALED_EVENTS;
    while (!schedule->failed && !all_done(world)) {
        if (schedule->executed == limit || !schedule_step(schedule) || schedule->now > end) {
            schedule_fail(schedule, "not everybody has come to an end %.3f s after the world was healed, %llu events",
                          (double)(schedule->now + HEALED_TIME - end) / (double)SECOND,
                          (unsigned long long)(schedule->executed + HEALED_EVENTS - limit));
        }
    }
    /* What is still under way of old links arrives: nobody must take it for new. */
    while (!schedule->failed && schedule->executed < limit && schedule->count > 0 && schedule->heap[0].time < end) {
        schedule_step(schedule);
    }
}

/* ---- all of it ---- */

static void add_up(const struct world *world, struct world_totals *totals) {
    totals->requests += world->stage.submitted;
    totals->pushes += world->oracle.pushes;
    totals->ok += world->oracle.ok;
    totals->refused += world->oracle.refused;
    totals->unknown += world->oracle.unknown;
    totals->died += world->oracle.died;
    totals->links += world->network.links == NULL ? 0 : link_number(world->network.links);
    totals->cuts += world->network.cuts;
    totals->kills += world->kills;
    totals->losses += world->losses;
    totals->stops += world->stops;
    totals->idles += world->idles;
    totals->lives += world->oracle.lives;
    totals->intrusions += world->intruder.pretended + world->intruder.replayed;
    totals->closes += world->oracle.closes;
    totals->kept += world->oracle.kept;
    totals->clocks += world->stage.steps;
    totals->changes += world->director.changes;
    totals->conflicts += world->director.conflicts;
    totals->paced += world->paced;
    for (uint32_t i = 0; i < world->job.server_count; i++) {
        totals->frames += world->hosts[i].frames;
        totals->pauses += world->hosts[i].stops;
        for (uint32_t thread = 0; thread < world->hosts[i].threads; thread++) {
            totals->waits += world->hosts[i].witnesses[thread].waits;
        }
    }
    totals->events += world->schedule.executed;
    totals->seconds += world->schedule.now / SECOND;
}

bool world_run(uint64_t seed, bool verbose, struct world_totals *totals, char *failure, unsigned failure_bytes) {
    struct world *world = schedule_memory(calloc(1, sizeof *world));
    struct schedule *schedule = &world->schedule;
    schedule_init(schedule, seed, verbose);
    network_init(&world->network, schedule);
    oracle_init(&world->oracle, schedule, &world->job);
    world->paced = schedule_chance(schedule, PACED);
    world_found(world);
    draw_faults(world);
    world->worker_count = (unsigned)schedule_between(schedule, 1, world->fickle ? 2 : WORLD_WORKERS);
    draw_limits(world);
    draw_stage(world);
    for (unsigned i = 0; i < world->worker_count; i++) {
        worker_init(&world->workers[i], &world->stage, i);
        worker_come(&world->workers[i]);
        worker_work(&world->workers[i], (unsigned)schedule_between(schedule, 10, 60));
    }
    if (world->paced) {
        director_begin(&world->director, world->fickle ? 200 * MILLISECOND : 1500 * MILLISECOND);
    }
    world_drop(world);
    if (!world->forgetful && schedule_chance(schedule, 300)) {
        intruder_begin(&world->intruder, schedule, &world->network, world->hosts, world->job.server_count);
    }
    if (!world->paced && !world->forgetful && schedule_chance(schedule, 500)) {
        rogue_init(&world->rogue, &world->stage, (unsigned)schedule_between(schedule, 5, 60));
    }
    draw_strikes(world);
    run_safety(world);
    heal(world);
    run_liveness(world);
    if (world->paced && !schedule->failed && schedule_chance(schedule, IDLE)) {
        world_idle(world);
        run_liveness(world);
    }
    if (!schedule->failed) {
        world_judge(world);
    }
    add_up(world, totals);
    const bool well = !schedule->failed;
    snprintf(failure, failure_bytes, "%s", schedule->failure);
    for (unsigned i = 0; i < world->worker_count; i++) {
        worker_finish(&world->workers[i]);
    }
    rogue_finish(&world->rogue);
    intruder_finish(&world->intruder);
    world_demolish(world);
    network_finish(&world->network);
    oracle_finish(&world->oracle);
    schedule_finish(schedule);
    free(world);
    return well;
}
