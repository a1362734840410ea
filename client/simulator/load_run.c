#include "client/simulator/load_run.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/simulator/crew.h"
#include "client/simulator/interrupt.h"
#include "client/simulator/load_driver.h"
#include "client/simulator/load_link.h"
#include "client/simulator/load_look.h"
#include "client/simulator/place.h"
#include "client/tools/number.h"
#include "client/tools/progress.h"

#define TICK_MS     200         /* between looks at local servers and the progress bar */
#define BEGIN_NS    20000000u   /* from the order to begin until the beginning: every process has heard it by then */
#define RECENT_NS   1000000000u /* of how long the rate and the p99 that are shown are */
#define LEAVE_MS    5000
#define SLACK_NS    10000000000u /* beyond the deadline of the last call: then a process hangs */
#define MILLISECOND 1000000u

_Static_assert(LOAD_PROCESSES_HIGH <= CREW_HIGH, "a crew has room for the processes");

/* What there was at one moment, for the difference to another. */
struct snapshot {
    uint64_t time, calls, bytes;
    struct histogram latency;
};

struct load_watch {
    const struct load_plan *plan;
    struct local *local;
    struct load_result *result;
    struct load_share *share;
    struct load_context context;
    struct crew crew;
    struct progress progress;
    struct load_link link; /* the parent's own, made when the processes are there: a client does not survive a fork */
    struct load_look looks[2]; /* at the measure's beginning and end */
    uint32_t ready, done;
    bool finished[LOAD_PROCESSES_HIGH];
    struct snapshot earlier, now; /* for what is shown */
    char recent[96];
    enum outcome outcome; /* the first failure */
};

static bool watch_failed(const struct load_watch *watch) {
    return watch->outcome != OUTCOME_DONE;
}

/* Prints the first failure; what follows from it is not worth a line. */
static void watch_fail(struct load_watch *watch, enum outcome outcome, const char *text) {
    char why[LOCAL_TEXT_BYTES];
    if (watch_failed(watch)) {
        return;
    }
    watch->outcome = outcome;
    progress_clear(&watch->progress);
    fprintf(stderr, "%s: %s\n", LOAD_PROGRAM, text);
    if (watch->local != NULL && !local_check(watch->local, why, sizeof why)) {
        fprintf(stderr, "%s: %s\n", LOAD_PROGRAM, why);
    }
}

/* ---- what the processes say ---- */

static void watch_take(struct load_watch *watch, size_t member, const struct news *news) {
    char text[NEWS_TEXT_BYTES + 64];
    if (news->kind == NEWS_BEGUN) {
        watch->ready++;
    } else if (news->kind == NEWS_DONE) {
        watch->done++;
        watch->finished[member] = true;
    } else {
        snprintf(text, sizeof text, "process %zu: %s", member, news->text);
        watch_fail(watch, outcome_of((enum canyon_status)news->status), text);
    }
}

static void watch_read(struct load_watch *watch, size_t member) {
    struct crew_member *from = &watch->crew.members[member];
    char ending[CREW_TEXT_BYTES], text[CREW_TEXT_BYTES + 64];
    struct news news;
    enum news_state state = NEWS_READ;
    while ((state = news_read(&from->reader, from->news, &news)) == NEWS_READ) {
        watch_take(watch, member, &news);
    }
    if (state != NEWS_ENDED) {
        return;
    }
    crew_end(&watch->crew, member, LEAVE_MS);
    if (!watch->finished[member]) {
        snprintf(text, sizeof text, "process %zu ended before its work was done: %s", member,
                 crew_ending(&watch->crew, member, ending, sizeof ending));
        watch_fail(watch, OUTCOME_FAILED, text);
    }
}

/* ---- what is shown meanwhile ---- */

static void watch_snapshot(const struct load_watch *watch, struct snapshot *snapshot) {
    memset(snapshot, 0, sizeof *snapshot);
    snapshot->time = news_clock();
    snapshot->calls = load_total(watch->share, LOAD_CALLS);
    snapshot->bytes = load_total(watch->share, LOAD_BYTES_PUSHED) + load_total(watch->share, LOAD_BYTES_PULLED);
    load_latencies(watch->share, LOAD_KINDS, &snapshot->latency);
}

/* The rate and the p99 since the last time this was done. */
static void watch_sum_up(struct load_watch *watch) {
    char calls[NUMBER_BYTES], p99[NUMBER_BYTES] = "of nobody yet";
    struct snapshot *now = &watch->now, *earlier = &watch->earlier;
    watch_snapshot(watch, now);
    double seconds = (double)(now->time - earlier->time) * 1e-9;
    histogram_subtract(&now->latency, &earlier->latency);
    number_rate((double)(now->calls - earlier->calls) / seconds, calls, sizeof calls);
    if (now->latency.count > 0) {
        number_latency((double)histogram_quantile(&now->latency, 0.99), p99, sizeof p99);
    }
    snprintf(watch->recent, sizeof watch->recent, "%s calls, %.3f GB/s both ways, p99 %s", calls,
             (double)(now->bytes - earlier->bytes) / seconds * 1e-9, p99);
    watch_snapshot(watch, earlier);
}

static void watch_show(struct load_watch *watch) {
    char text[256];
    uint64_t now = news_clock(), begin = atomic_load(&watch->share->begin);
    uint64_t measure = atomic_load(&watch->share->measure), end = atomic_load(&watch->share->end);
    uint64_t failed = load_total(watch->share, LOAD_FAILED), refused = load_total(watch->share, LOAD_REFUSED);
    double fraction = begin == 0 || now < begin ? 0.0 : (double)(now - begin) / (double)(end - begin + 1);
    if (begin == 0) {
        snprintf(text, sizeof text, "%" PRIu32 " of %" PRIu32 " processes are connected", watch->ready,
                 watch->plan->processes);
    } else if (now < measure) {
        snprintf(text, sizeof text, "ramp-up");
    } else {
        if (watch->earlier.time < measure) {
            watch_snapshot(watch, &watch->earlier);
        } else if (now - watch->earlier.time >= RECENT_NS) {
            watch_sum_up(watch);
        }
        int length = snprintf(text, sizeof text, "%s", watch->recent[0] != '\0' ? watch->recent : "measuring");
        if (failed + refused > 0) {
            snprintf(text + length, sizeof text - (size_t)length, ", %" PRIu64 " calls failed, %" PRIu64 " %s refused",
                     failed, refused, load_plan_parts(watch->plan));
        }
    }
    progress_update(&watch->progress, fraction, text);
}

/* One turn: waits for news from anyone, for a signal, or until `until`. */
static void watch_turn(struct load_watch *watch, uint64_t until) {
    struct pollfd waits[CREW_HIGH + 1];
    size_t count = watch->crew.count;
    uint64_t now = news_clock();
    int wait_ms = until <= now                          ? 0
                  : until - now < TICK_MS * MILLISECOND ? (int)((until - now) / MILLISECOND) + 1
                                                        : TICK_MS;
    for (size_t i = 0; i < count; i++) {
        waits[i] = (struct pollfd){.fd = watch->crew.members[i].news, .events = POLLIN}; /* -1 is passed over */
    }
    /* A signal that came is told by a descriptor that stays readable: it is looked at once. */
    bool told = interrupt_signal() != 0;
    waits[count] = (struct pollfd){.fd = told ? -1 : interrupt_descriptor(), .events = POLLIN};
    int ready = poll(waits, (nfds_t)(count + 1), wait_ms);
    for (size_t i = 0; ready > 0 && i < count; i++) {
        if (waits[i].revents != 0) {
            watch_read(watch, i);
        }
    }
    char why[LOCAL_TEXT_BYTES];
    if (watch->local != NULL && !watch_failed(watch) && !local_check(watch->local, why, sizeof why)) {
        watch_fail(watch, OUTCOME_UNREACHABLE, "a local server is gone");
    }
    if (!watch_failed(watch)) {
        watch_show(watch);
    }
}

/* ---- the course of it ---- */

/* All processes and the parent are connected and have memory. */
static void watch_gather(struct load_watch *watch) {
    char text[CREW_TEXT_BYTES];
    for (uint32_t p = 0; p < watch->plan->processes && !watch_failed(watch); p++) {
        if (!crew_add(&watch->crew, load_driver_task, &watch->context, p, text, sizeof text)) {
            watch_fail(watch, OUTCOME_FAILED, text);
        }
    }
    if (!watch_failed(watch)) {
        enum canyon_status status = load_link_open(&watch->link, watch->plan, 1, NULL, LOAD_PROGRAM " parent");
        if (status != CANYON_OK) {
            watch_fail(watch, outcome_of(status), watch->link.text);
        }
    }
    while (!watch_failed(watch) && watch->ready < watch->plan->processes) {
        watch_turn(watch, UINT64_MAX);
        if (interrupt_signal() != 0) {
            watch_fail(watch, OUTCOME_FAILED, "interrupted before it began");
        }
    }
}

static void watch_begin(struct load_watch *watch) {
    uint64_t begin = news_clock() + BEGIN_NS;
    atomic_store(&watch->share->measure, begin + watch->plan->warmup);
    atomic_store(&watch->share->end, begin + watch->plan->warmup + watch->plan->duration);
    atomic_store(&watch->share->begin, begin);
    for (size_t p = 0; p < watch->crew.count; p++) {
        crew_order(&watch->crew, p, LOAD_BEGIN);
    }
}

/* Until `time`, or the end if that is moved before it. */
static void watch_until(struct load_watch *watch, uint64_t time) {
    uint64_t end = 0;
    while (!watch_failed(watch) && news_clock() < time && news_clock() < (end = atomic_load(&watch->share->end))) {
        watch_turn(watch, time < end ? time : end);
        if (interrupt_signal() != 0) {
            load_share_end_by(watch->share, news_clock());
            watch->result->interrupted = true;
        }
    }
}

/* From the beginning until every call has ended. */
static void watch_course(struct load_watch *watch) {
    canyon_client *client = watch->link.clients[0];
    watch_until(watch, atomic_load(&watch->share->measure));
    if (!watch_failed(watch)) {
        load_look_take(&watch->looks[0], client, watch->local);
    }
    watch_until(watch, UINT64_MAX);
    if (!watch_failed(watch)) {
        load_look_take(&watch->looks[1], client, watch->local);
    }
    uint64_t hopeless = atomic_load(&watch->share->end) + (uint64_t)watch->plan->timeout_ms * MILLISECOND + SLACK_NS;
    while (!watch_failed(watch) && watch->done < watch->plan->processes) {
        watch_turn(watch, UINT64_MAX);
        if (news_clock() > hopeless) {
            watch_fail(watch, OUTCOME_FAILED, "a process did not end its calls within their deadlines");
        }
    }
}

/* Negative when there is nothing to compare with. */
static double ratio(uint64_t part, uint64_t whole) {
    return whole == 0 ? -1.0 : (double)part / (double)whole;
}

static void watch_result(struct load_watch *watch) {
    struct load_result *result = watch->result;
    const struct load_share *share = watch->share;
    const struct load_look *looks = watch->looks;
    uint64_t measure = atomic_load(&share->measure), end = atomic_load(&share->end);
    result->servers = watch->link.job.servers;
    result->threads = watch->link.job.threads;
    result->block_elements = watch->link.job.block_elements;
    result->encrypted = !watch->plan->keys.plaintext && !watch->plan->keys.plaintext_anywhere;
    result->seconds = end > measure ? (double)(end - measure) / 1e9 : 0.0;
    result->exhausted = atomic_load(&share->exhausted) != 0;
    for (unsigned c = 0; c < LOAD_COUNTERS; c++) {
        result->totals[c] = load_total(share, (enum load_counter)c);
    }
    load_latencies(share, LOAD_KINDS, &result->latency);
    for (unsigned k = 0; k < LOAD_KINDS; k++) {
        load_latencies(share, k, &result->latencies[k]);
    }
    result->coded_in = result->coded_out = -1.0;
    result->wire = looks[0].taken && looks[1].taken && looks[1].time > looks[0].time;
    if (result->wire) {
        result->wire_seconds = (double)(looks[1].time - looks[0].time) * 1e-9;
        result->wire_in = looks[1].bytes_in - looks[0].bytes_in;
        result->wire_out = looks[1].bytes_out - looks[0].bytes_out;
        result->coded_in = ratio(looks[1].values_in - looks[0].values_in, looks[1].single_in - looks[0].single_in);
        result->coded_out = ratio(looks[1].values_out - looks[0].values_out, looks[1].single_out - looks[0].single_out);
    }
    bool worked = looks[0].worked && looks[1].worked;
    result->cpu_servers = worked ? (double)(looks[1].nanoseconds - looks[0].nanoseconds) * 1e-9 : -1.0;
    result->cpu_workers = (double)(result->totals[LOAD_CPU_END] - result->totals[LOAD_CPU_BEGIN]) * 1e-9;
    for (uint32_t p = 0; p < share->processes && result->failure[0] == '\0'; p++) {
        memcpy(result->failure, share->process[p].text, sizeof result->failure);
    }
}

static void watch_verify(struct load_watch *watch) {
    struct load_result *result = watch->result;
    if (load_verify(watch->plan, watch->share, &watch->link, &result->verdict) != CANYON_OK) {
        snprintf(result->unverified, sizeof result->unverified, "%s", watch->link.text);
    }
}

/* Takes the load's tensors off servers that go on without it. Nobody uses them any more. */
static void watch_drop(struct load_watch *watch) {
    char what[CANYON_NAME_BYTES + 32];
    if (watch->local != NULL) {
        return;
    }
    snprintf(what, sizeof what, "what is named %s...", watch->plan->prefix);
    enum canyon_status status = load_link_drop(&watch->link);
    if (place_leave(LOAD_PROGRAM, what, status) != CANYON_OK) {
        fprintf(stderr, "%s: %s: %s may be left on the servers: canyon drop takes it off\n", LOAD_PROGRAM,
                watch->link.text, what);
    }
}

enum outcome load_run(const struct load_plan *plan, struct local *local, struct load_result *result) {
    struct load_watch *watch = calloc(1, sizeof *watch);
    struct load_share *share = load_share_create(plan);
    enum outcome outcome = OUTCOME_FAILED;
    memset(result, 0, sizeof *result);
    if (watch == NULL || share == NULL) {
        fprintf(stderr, "%s: no memory for a load\n", LOAD_PROGRAM);
        goto out;
    }
    *watch = (struct load_watch){.plan = plan, .local = local, .result = result, .share = share};
    watch->context = (struct load_context){.plan = plan, .share = share};
    crew_init(&watch->crew);
    progress_init(&watch->progress, stderr);
    watch_gather(watch);
    if (!watch_failed(watch)) {
        watch_begin(watch);
        watch_course(watch);
    }
    for (size_t i = 0; i < watch->crew.count; i++) {
        crew_end(&watch->crew, i, watch_failed(watch) ? 0 : LEAVE_MS);
    }
    if (!watch_failed(watch)) {
        progress_finish(&watch->progress, watch->recent[0] != '\0' ? watch->recent : "done");
        watch_result(watch);
        if (plan->verify) {
            watch_verify(watch);
        }
    }
    watch_drop(watch);
    outcome = watch->outcome;
    load_link_close(&watch->link);
    crew_finish(&watch->crew);
out:
    load_share_destroy(share);
    free(watch);
    return outcome;
}
