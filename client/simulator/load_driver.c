#include "client/simulator/load_driver.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "client/simulator/load_agenda.h"
#include "client/simulator/load_call.h"
#include "client/simulator/news.h"

#define LOOK_NS        20000000u /* between looks at the end, which may be moved forward */
#define WAITING_STEPS  1024      /* of a worker whose calls wait: so many of them, or fewer for several, are timed */
#define TIMER_SLACK_NS 1000ul    /* how late this process's timers may be; the system's default is 50,000 */
#define BURST          64        /* calls begun between two looks at those that ended */

struct load_driver {
    const struct load_plan *plan;
    struct load_share *share;
    struct load_process *counts;
    uint32_t index;
    struct load_link link;
    struct load_calls calls;
    bool calls_made;
    struct load_worker *workers;
    uint32_t worker_count;
    struct load_agenda agenda;
    bool blocking; /* one place in the whole process */
    bool measured; /* the measure has begun */
};

static uint64_t driver_cpu(void) {
    struct timespec now = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static enum canyon_status driver_open(struct load_driver *driver, char *text, size_t bytes) {
    const struct load_plan *plan = driver->plan;
    char name[CANYON_NAME_BYTES];
    snprintf(name, sizeof name, LOAD_PROGRAM " %" PRIu32, driver->index);
    enum canyon_status status = load_link_open(&driver->link, plan, plan->clients, &plan->coded, name);
    if (status != CANYON_OK) {
        snprintf(text, bytes, "%s", driver->link.text);
        return status;
    }
    driver->workers = calloc(driver->worker_count, sizeof *driver->workers);
    driver->calls_made = true;
    if (driver->workers == NULL || !load_agenda_init(&driver->agenda, driver->worker_count) ||
        !load_calls_init(&driver->calls, plan, driver->counts, &driver->link, driver->index, driver->worker_count)) {
        snprintf(text, bytes, "no memory for the gradients and weights of %" PRIu32 " workers", driver->worker_count);
        return CANYON_NO_MEMORY;
    }
    return CANYON_OK;
}

static void driver_start(struct load_driver *driver) {
    uint64_t begin = atomic_load(&driver->share->begin);
    for (uint32_t i = 0; i < driver->worker_count; i++) {
        load_worker_init(&driver->workers[i], &driver->plan->pace, driver->index + i * driver->plan->processes, begin);
        load_agenda_set(&driver->agenda, i, load_worker_due(&driver->workers[i]));
    }
}

/* Takes in what ended until `until`; at least once. */
static void driver_take(struct load_driver *driver, uint64_t until) {
    struct load_place *next = NULL, *place = load_calls_wait(&driver->calls, until);
    uint64_t measure = atomic_load(&driver->share->measure), end = atomic_load(&driver->share->end);
    for (; place != NULL; place = next) {
        struct load_worker *worker = &driver->workers[place->worker];
        uint32_t member = place->worker;
        uint64_t ended = place->ended;
        next = place->next;
        if (load_calls_settle(&driver->calls, place, measure, end)) {
            load_worker_hold(worker, ended + LOAD_BACKOFF_MS * 1000000u);
        }
        load_worker_end(worker, ended);
        load_agenda_set(&driver->agenda, member, load_worker_due(worker));
    }
}

/* Begins what is due, a burst of it at most; false when the load has ended because no more pushes may be made. */
static bool driver_begin(struct load_driver *driver, uint64_t now) {
    const struct load_plan *plan = driver->plan;
    uint64_t due = 0;
    uint32_t member = load_agenda_first(&driver->agenda, &due);
    for (int i = 0; due <= now && i < BURST; i++) {
        struct load_worker *worker = &driver->workers[member];
        enum load_kind kind = load_pace_kind(&plan->pace, worker->index, worker->begun);
        if (plan->verify && load_kind_pushes(kind) && !load_share_take_push(driver->share)) {
            return false;
        }
        struct load_call call = load_worker_begin(worker, now);
        if (plan->pace.rate <= 0.0) {
            call.intended = LOAD_NEVER; /* in a closed loop a call counts from when it is really begun */
        }
        load_calls_begin(&driver->calls, member, &call, driver->blocking);
        load_agenda_set(&driver->agenda, member, load_worker_due(worker));
        member = load_agenda_first(&driver->agenda, &due);
    }
    return true;
}

static void driver_measure(struct load_driver *driver, uint64_t now) {
    if (!driver->measured && now >= atomic_load(&driver->share->measure)) {
        driver->measured = true;
        load_count(driver->counts, LOAD_CPU_BEGIN, driver_cpu());
    }
}

/* What an open loop's schedule has for the time before the end and has a place is begun, even if this process got the
 * processor too late for that: what then waits, waits for the servers. */
static void driver_catch_up(struct load_driver *driver) {
    uint64_t end = atomic_load(&driver->share->end), due = 0;
    bool going = driver->plan->pace.rate > 0.0;
    while (going && (load_agenda_first(&driver->agenda, &due), due < end)) {
        going = driver_begin(driver, end - 1);
    }
}

static void driver_run(struct load_driver *driver) {
    uint64_t now = news_clock(), end = 0;
    bool going = true;
    driver_start(driver);
    while (going && now < (end = atomic_load(&driver->share->end))) {
        uint64_t due = 0, until = now + LOOK_NS;
        driver_measure(driver, now);
        going = driver_begin(driver, now);
        load_agenda_first(&driver->agenda, &due);
        until = due < until ? due : until;
        until = end < until ? end : until;
        driver_take(driver, until);
        now = news_clock();
    }
    if (going) {
        driver_catch_up(driver);
    }
}

/* Calls of an open loop that were due and had to wait until it was over count with the time they have waited, which is
 * less than they would have taken; leaving them out would hide the worst. */
static void driver_count_waiting(struct load_driver *driver) {
    const struct load_pace *pace = &driver->plan->pace;
    uint64_t begin = atomic_load(&driver->share->begin), measure = atomic_load(&driver->share->measure);
    uint64_t end = atomic_load(&driver->share->end);
    for (uint32_t i = 0; pace->rate > 0.0 && end > begin && i < driver->worker_count; i++) {
        const struct load_worker *worker = &driver->workers[i];
        uint64_t due = load_pace_due_before(pace, worker->index, end - begin);
        uint64_t first = measure > begin ? load_pace_due_before(pace, worker->index, measure - begin) : 0;
        first = worker->begun > first ? worker->begun : first;
        /* There may be any number of them: neighbours count as one, many times. */
        for (uint64_t from = first, step = 1 + (due - first) / WAITING_STEPS; first < due && from < due; from += step) {
            uint64_t times = due - from < step ? due - from : step, number = from + times / 2;
            uint64_t waited = end - begin - load_pace_due(pace, worker->index, number);
            enum load_kind kind = load_pace_kind(pace, worker->index, number);
            histogram_record_many(&driver->counts->latencies[kind], waited, times);
            load_count(driver->counts, LOAD_WAITING, times);
        }
    }
}

/* No call begins any more; all that are under way end, at their deadlines if not before. */
static void driver_drain(struct load_driver *driver) {
    driver_measure(driver, news_clock());
    load_count(driver->counts, LOAD_CPU_END, driver_cpu());
    while (driver->calls.under_way > 0) {
        driver_take(driver, news_clock() + LOOK_NS);
    }
    driver_count_waiting(driver);
    for (uint32_t i = 0; i < driver->worker_count; i++) {
        driver->share->begun[driver->workers[i].index] = driver->workers[i].begun;
    }
}

/* False when the parent is gone, or has nothing to begin. */
static bool driver_await_order(int orders) {
    char order = 0;
    ssize_t got = 0;
    do {
        got = read(orders, &order, 1);
    } while (got < 0 && errno == EINTR);
    return got == 1 && order == LOAD_BEGIN;
}

static void driver_close(struct load_driver *driver) {
    if (driver->calls_made) {
        load_calls_finish(&driver->calls);
    }
    load_link_close(&driver->link);
    load_agenda_finish(&driver->agenda);
    free(driver->workers);
}

int load_driver_task(void *context, uint32_t index, int descriptor, int orders) {
    const struct load_context *given = context;
    struct load_driver driver = {.plan = given->plan,
                                 .share = given->share,
                                 .counts = &given->share->process[index],
                                 .index = index,
                                 .worker_count = load_plan_workers(given->plan, index)};
    struct news news = {.kind = NEWS_BEGUN};
    driver.blocking = driver.worker_count * given->plan->pace.in_flight == 1;
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0ul, 0ul, 0ul);
    enum canyon_status status = driver_open(&driver, news.text, sizeof news.text);
    if (status != CANYON_OK) {
        news.kind = NEWS_FAILED;
        news.status = status;
    }
    bool told = news_write(descriptor, &news);
    if (status == CANYON_OK && told && driver_await_order(orders)) {
        driver_run(&driver);
        driver_drain(&driver);
        news.kind = NEWS_DONE;
        told = news_write(descriptor, &news);
    }
    driver_close(&driver);
    return status == CANYON_OK && told ? 0 : 1;
}
