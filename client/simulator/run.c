#include "client/simulator/run.h"

#include <assert.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/simulator/cleaner.h"
#include "client/simulator/crew.h"
#include "client/simulator/interrupt.h"
#include "client/simulator/observer.h"
#include "client/simulator/place.h"
#include "client/simulator/sampler.h"
#include "client/simulator/worker.h"
#include "client/tools/number.h"
#include "client/tools/progress.h"

#define TICK_MS      200  /* between looks at local servers and the progress bar when nothing comes */
#define RECORDS_TURN 256  /* read from one member before the next has its turn */
#define LEAVE_MS     5000 /* a worker that is done closes its connections and ends */
#define SMOOTHING    0.05 /* weight of the newest loss in the one the bar shows */

_Static_assert(RUN_WORKERS_HIGH + 2 <= CREW_HIGH, "workers, the observer and the cleaner");

struct run {
    const struct plan *plan;
    struct local *local;
    const char *label;
    struct run_result *result;
    struct crew crew; /* the workers, then the observer */
    struct progress progress;
    bool done[CREW_HIGH]; /* said NEWS_DONE or NEWS_RESULT */
    uint32_t begun, finished;
    uint64_t steps_planned, began, ended; /* ended: the latest NEWS_DONE */
    uint64_t lost;                        /* batches that are no steps */
    double staleness_sum, loss, accuracy; /* loss: smoothed; negative before the first */
    enum canyon_status dropped;           /* what dropping the tensors answered: OK, or DENIED */
    enum outcome outcome;                 /* the first failure */
};

static bool run_failed(const struct run *run) {
    return run->outcome != OUTCOME_DONE;
}

/* Prints the first failure; what follows from it is not worth a line. */
static void run_fail(struct run *run, enum outcome outcome, const char *who, const char *text) {
    char why[LOCAL_TEXT_BYTES];
    if (run_failed(run)) {
        return;
    }
    run->outcome = outcome;
    progress_clear(&run->progress);
    fprintf(stderr, "%s: %s: %s%s%s\n", run->plan->program, run->label, who, who[0] != '\0' ? ": " : "", text);
    if (run->local != NULL && !local_check(run->local, why, sizeof why)) {
        fprintf(stderr, "%s: %s\n", run->plan->program, why);
    }
}

static size_t run_observer(const struct run *run) {
    return run->plan->workers;
}

static const char *member_name(const struct run *run, size_t member, char *name, size_t bytes) {
    if (member == run_observer(run)) {
        snprintf(name, bytes, "the observer");
    } else {
        snprintf(name, bytes, "worker %zu", member);
    }
    return name;
}

static uint64_t run_planned(const struct plan *plan) {
    uint64_t steps = 0;
    if (plan->pacing.sync) {
        return plan->workers * sampler_steps(0, 1, plan->batch * plan->workers, plan->epochs);
    }
    for (uint32_t i = 0; i < plan->workers; i++) {
        steps += sampler_steps(i, plan->workers, plan->batch, plan->epochs);
    }
    return steps;
}

static void run_start(struct run *run) {
    char text[CREW_TEXT_BYTES];
    void *context = (void *)(uintptr_t)run->plan; /* tasks take any context; these two only read it */
    for (uint32_t i = 0; i <= run->plan->workers && !run_failed(run); i++) {
        crew_task task = i == run_observer(run) ? observer_task : worker_task;
        if (!crew_add(&run->crew, task, context, i, text, sizeof text)) {
            run_fail(run, OUTCOME_FAILED, "", text);
        }
    }
    run->steps_planned = run_planned(run->plan);
}

static void run_take_step(struct run *run, const struct news *news) {
    struct run_result *result = run->result;
    result->steps++;
    result->refused += news->refused;
    result->pushes += news->pushes;
    result->clipped += news->clipped;
    run->staleness_sum += (double)news->staleness_sum;
    result->staleness_max = news->staleness_max > result->staleness_max ? news->staleness_max : result->staleness_max;
    run->loss = run->loss < 0.0 ? news->loss : run->loss + SMOOTHING * (news->loss - run->loss);
    curve_add(&result->curve, news->loss);
}

static void run_take_lost(struct run *run, const struct news *news) {
    run->lost++;
    run->result->refused += news->refused;
    run->result->late += news->late;
}

/* A point of the way; before all could begin, and when the last was done, there is none. */
static void run_take_point(struct run *run, uint64_t nanoseconds, uint64_t updates, double accuracy) {
    struct progression *progression = run->result->progression;
    if (progression != NULL && nanoseconds >= run->began && nanoseconds <= run->ended &&
        progression->count < sizeof progression->points / sizeof *progression->points) {
        uint64_t gradients = run->plan->pacing.sync ? run->plan->workers : 1; /* in an update */
        progression->points[progression->count++] = (struct progression_point){
            .seconds = (double)(nanoseconds - run->began) * 1e-9, .steps = updates * gradients, .accuracy = accuracy};
    }
}

static void run_take(struct run *run, size_t member, const struct news *news) {
    char name[32];
    switch ((enum news_kind)news->kind) {
    case NEWS_BEGUN:
        run->began = run->begun == 0 || news->nanoseconds < run->began ? news->nanoseconds : run->began;
        run->begun++;
        break;
    case NEWS_STEP:
        run_take_step(run, news);
        break;
    case NEWS_LOST:
        run_take_lost(run, news);
        break;
    case NEWS_TRAIL:
        run_take_point(run, news->nanoseconds, news->updates, news->accuracy);
        break;
    case NEWS_DONE:
        run->ended = news->nanoseconds > run->ended ? news->nanoseconds : run->ended;
        run->done[member] = true;
        run->finished++;
        run->result->bytes_sent += news->sent;
        run->result->bytes_received += news->received;
        run->result->bytes_single += news->single;
        break;
    case NEWS_ACCURACY:
        run->accuracy = news->accuracy;
        break;
    case NEWS_RESULT:
        run->done[member] = true;
        run->dropped = (enum canyon_status)news->status;
        run->result->final_loss = news->loss;
        run->result->test_accuracy = news->accuracy;
        run->result->rate = news->rate;
        run->result->servers = news->servers;
        break;
    case NEWS_FAILED:
        run_fail(run, outcome_of((enum canyon_status)news->status), member_name(run, member, name, sizeof name),
                 news->text);
        break;
    }
}

/* A member's pipe has ended: fine when it had done its part. */
static void run_take_end(struct run *run, size_t member) {
    char name[32], ending[CREW_TEXT_BYTES], text[CREW_TEXT_BYTES + 64];
    crew_end(&run->crew, member, LEAVE_MS);
    if (!run->done[member]) {
        snprintf(text, sizeof text, "its process ended before its work was done: %s",
                 crew_ending(&run->crew, member, ending, sizeof ending));
        run_fail(run, OUTCOME_FAILED, member_name(run, member, name, sizeof name), text);
    }
}

static void run_read(struct run *run, size_t member) {
    struct crew_member *from = &run->crew.members[member];
    struct news news;
    enum news_state state = NEWS_READ;
    for (int i = 0; i < RECORDS_TURN && state == NEWS_READ; i++) {
        state = news_read(&from->reader, from->news, &news);
        if (state == NEWS_READ) {
            run_take(run, member, &news);
        }
    }
    if (state == NEWS_ENDED) {
        run_take_end(run, member);
    }
}

static void run_show(struct run *run) {
    char text[160], steps[NUMBER_BYTES], accuracy[32] = "";
    double seconds = run->begun == 0 ? 0.0 : (double)(news_clock() - run->began) * 1e-9;
    double rate = seconds > 0.0 ? (double)run->result->steps / seconds : 0.0;
    if (run->accuracy >= 0.0) {
        snprintf(accuracy, sizeof accuracy, "accuracy %.1f %%, ", run->accuracy * 100.0);
    }
    if (run->loss < 0.0) {
        snprintf(text, sizeof text, "%s: %" PRIu32 " workers connect", run->label, run->plan->workers);
    } else {
        snprintf(text, sizeof text, "%s: loss %.3f, %s%s", run->label, run->loss, accuracy,
                 number_rate(rate, steps, sizeof steps));
    }
    progress_update(&run->progress, (double)(run->result->steps + run->lost) / (double)run->steps_planned, text);
}

/* One turn: waits for news from anyone, for a signal, or for the next tick. */
static void run_turn(struct run *run) {
    struct pollfd waits[CREW_HIGH + 1];
    for (size_t i = 0; i < run->crew.count; i++) {
        waits[i] = (struct pollfd){.fd = run->crew.members[i].news, .events = POLLIN}; /* -1 is passed over */
    }
    waits[run->crew.count] = (struct pollfd){.fd = interrupt_descriptor(), .events = POLLIN};
    int ready = poll(waits, (nfds_t)(run->crew.count + 1), TICK_MS);
    for (size_t i = 0; ready > 0 && i < run->crew.count; i++) {
        if (waits[i].revents != 0) {
            run_read(run, i);
        }
    }
    if (interrupt_signal() != 0) {
        run_fail(run, OUTCOME_FAILED, "", "interrupted; stopping");
    }
    if (!run_failed(run)) {
        run_show(run);
    }
}

static void run_collect(struct run *run) {
    while (!run_failed(run) && run->finished < run->plan->workers) {
        run_turn(run);
    }
    if (!run_failed(run)) {
        crew_order(&run->crew, run_observer(run), OBSERVER_FINISH);
    }
    while (!run_failed(run) && !run->done[run_observer(run)]) {
        run_turn(run);
    }
}

/* After a failure. Local servers are stopped soon and take everything with them; others must be left as they were. */
static void run_abort(struct run *run) {
    char text[CREW_TEXT_BYTES] = "";
    size_t cleaner = run->crew.count;
    for (size_t i = 0; i < cleaner; i++) {
        crew_end(&run->crew, i, 0);
    }
    if (run->local != NULL || cleaner == 0) {
        return;
    }
    bool added = crew_add(&run->crew, cleaner_task, (void *)(uintptr_t)run->plan, 0, text, sizeof text);
    if (added) {
        crew_end(&run->crew, cleaner, CLEANER_MS);
    }
    if (!added || run->crew.members[cleaner].status != 0) {
        fprintf(stderr, "%s: tensors named %s... may be left on the servers: canyon drop takes them off\n",
                run->plan->program, run->plan->prefix);
    }
}

static void run_finish(struct run *run) {
    struct run_result *result = run->result;
    char text[160], loss[NUMBER_BYTES];
    for (size_t i = 0; i < run->crew.count; i++) {
        crew_end(&run->crew, i, LEAVE_MS);
    }
    result->optimizer = run->plan->optimizer;
    result->staleness_mean = result->pushes == 0 ? 0.0 : run->staleness_sum / (double)result->pushes;
    result->seconds = (double)(run->ended - run->began) * 1e-9;
    run_take_point(run, run->ended, result->steps / (run->plan->pacing.sync ? run->plan->workers : 1),
                   result->test_accuracy);
    snprintf(loss, sizeof loss, "%.4f", result->final_loss);
    snprintf(text, sizeof text, "%s: loss %s, accuracy %.1f %%", run->label, loss, result->test_accuracy * 100.0);
    progress_finish(&run->progress, text);
    snprintf(text, sizeof text, "what is named %s...", run->plan->prefix);
    place_leave(run->plan->program, text, run->dropped);
}

enum outcome run_train(const struct plan *plan, struct local *local, const char *label, struct run_result *result) {
    enum outcome outcome = OUTCOME_FAILED;
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL) {
        fprintf(stderr, "%s: no memory for a run\n", plan->program);
        return outcome;
    }
    assert(plan->workers <= RUN_WORKERS_HIGH);
    assert(plan->trail_ms == 0 || result->progression != NULL);
    *result = (struct run_result){.progression = result->progression};
    curve_init(&result->curve);
    *run = (struct run){.plan = plan, .local = local, .label = label, .result = result, .loss = -1.0, .accuracy = -1.0};
    crew_init(&run->crew);
    progress_init(&run->progress, stderr);
    run_start(run);
    run_collect(run);
    if (run_failed(run)) {
        run_abort(run);
    } else {
        run_finish(run);
    }
    outcome = run->outcome;
    crew_finish(&run->crew);
    free(run);
    return outcome;
}
