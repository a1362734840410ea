#include "client/simulator/team.h"

#include <assert.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "client/simulator/crew.h"
#include "client/simulator/interrupt.h"
#include "client/simulator/team_worker.h"
#include "client/tools/number.h"
#include "client/tools/progress.h"

#define TICK_MS   200         /* between looks at local servers and the progress bar */
#define RECENT_NS 2000000000u /* of how long the rate and the loss that are shown are */
#define LEAVE_MS  5000u
#define TWENTIETH 20u /* the last part of the work is that of which the loss is reported */

_Static_assert(TEAM_WORKERS_HIGH <= CREW_HIGH, "a crew has room for the workers");

/* All tallies together at one moment. */
struct snapshot {
    uint64_t time, work, terms, rows;
    double loss;
};

struct team {
    const struct team_plan *plan;
    struct team_result *result;
    struct team_context context;
    struct crew crew;
    struct progress progress;
    uint32_t begun, done, finished;  /* NEWS_BEGUN, NEWS_DONE and NEWS_RESULT that came */
    bool through[TEAM_WORKERS_HIGH]; /* the worker may end now */
    uint64_t began, ended;
    struct snapshot earlier, late; /* for what is shown; for the loss that is reported */
    char recent[128];
    enum outcome outcome; /* the first failure */
};

void *team_share(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void team_unshare(void *memory, size_t bytes) {
    if (memory != NULL) {
        munmap(memory, bytes);
    }
}

double team_loss(const struct team_tally *tally) {
    uint64_t bits = atomic_load_explicit(&tally->loss, memory_order_relaxed);
    double loss = 0.0;
    memcpy(&loss, &bits, sizeof loss);
    return loss;
}

void team_add_loss(struct team_tally *tally, double loss, uint64_t terms) {
    double sum = team_loss(tally) + loss; /* one writer: a load and a store are enough */
    uint64_t bits = 0;
    memcpy(&bits, &sum, sizeof bits);
    atomic_store_explicit(&tally->loss, bits, memory_order_relaxed);
    atomic_fetch_add_explicit(&tally->terms, terms, memory_order_relaxed);
}

static bool team_failed(const struct team *team) {
    return team->outcome != OUTCOME_DONE;
}

static struct local *team_local(const struct team *team) {
    return team->plan->place == NULL ? NULL : team->plan->place->local;
}

/* Prints the first failure; what follows from it is not worth a line. */
static void team_fail(struct team *team, enum outcome outcome, const char *text) {
    char why[LOCAL_TEXT_BYTES];
    if (team_failed(team)) {
        return;
    }
    team->outcome = outcome;
    progress_clear(&team->progress);
    fprintf(stderr, "%s: %s\n", team->plan->program, text);
    if (team_local(team) != NULL && !local_check(team_local(team), why, sizeof why)) {
        fprintf(stderr, "%s: %s\n", team->plan->program, why);
    }
}

/* ---- what the workers say ---- */

static void team_take(struct team *team, size_t member, const struct news *news) {
    char text[NEWS_TEXT_BYTES + 64];
    switch ((enum news_kind)news->kind) {
    case NEWS_BEGUN:
        team->began = team->begun == 0 || news->nanoseconds < team->began ? news->nanoseconds : team->began;
        team->begun++;
        break;
    case NEWS_DONE:
        team->ended = news->nanoseconds > team->ended ? news->nanoseconds : team->ended;
        team->done++;
        team->through[member] = team->plan->place != NULL;
        team->result->sent += news->sent;
        team->result->received += news->received;
        break;
    case NEWS_RESULT:
        team->finished++;
        team->through[member] = true;
        break;
    default:
        snprintf(text, sizeof text, "worker %zu: %s", member, news->text);
        team_fail(team, outcome_of((enum canyon_status)news->status), text);
        break;
    }
}

static void team_read(struct team *team, size_t member) {
    struct crew_member *from = &team->crew.members[member];
    char ending[CREW_TEXT_BYTES], text[CREW_TEXT_BYTES + 64];
    struct news news;
    enum news_state state = NEWS_READ;
    while ((state = news_read(&from->reader, from->news, &news)) == NEWS_READ) {
        team_take(team, member, &news);
    }
    if (state != NEWS_ENDED) {
        return;
    }
    crew_end(&team->crew, member, LEAVE_MS);
    if (!team->through[member]) {
        snprintf(text, sizeof text, "worker %zu ended before its work was done: %s", member,
                 crew_ending(&team->crew, member, ending, sizeof ending));
        team_fail(team, OUTCOME_FAILED, text);
    }
}

/* ---- what is shown meanwhile ---- */

static struct snapshot team_snapshot(const struct team *team) {
    struct snapshot now = {.time = news_clock()};
    for (uint32_t w = 0; w < team->plan->workers; w++) {
        const struct team_tally *tally = &team->context.tallies[w];
        now.work += atomic_load_explicit(&tally->work, memory_order_relaxed);
        now.terms += atomic_load_explicit(&tally->terms, memory_order_relaxed);
        now.rows += atomic_load_explicit(&tally->rows, memory_order_relaxed);
        now.loss += team_loss(tally);
    }
    return now;
}

/* The mean loss between two moments; of all so far when nothing happened between them. */
static double loss_between(const struct snapshot *from, const struct snapshot *to) {
    if (to->terms > from->terms) {
        return (to->loss - from->loss) / (double)(to->terms - from->terms);
    }
    return to->terms > 0 ? to->loss / (double)to->terms : 0.0;
}

static void team_show(struct team *team) {
    char text[256], rate[NUMBER_BYTES];
    struct snapshot now = team_snapshot(team);
    const struct team_plan *plan = team->plan;
    double fraction = plan->work == 0 ? 0.0 : (double)now.work / (double)plan->work;
    if (now.work + plan->work / TWENTIETH < plan->work) {
        team->late = now; /* at last: when all but a twentieth was done */
    }
    if (now.terms == 0) {
        snprintf(text, sizeof text, "%s: %" PRIu32 " of %" PRIu32 " worker%s ready", plan->label, team->begun,
                 plan->workers, plan->workers == 1 ? "" : "s");
    } else {
        if (team->earlier.time == 0) {
            team->earlier = now;
            team->earlier.time = team->began;
            team->earlier.work = 0;
        }
        if (now.time - team->earlier.time >= RECENT_NS || team->recent[0] == '\0') {
            double seconds = (double)(now.time - team->earlier.time) * 1e-9;
            number_count(seconds > 0.0 ? (double)(now.work - team->earlier.work) / seconds : 0.0, rate, sizeof rate);
            snprintf(team->recent, sizeof team->recent, "loss %.4f, %s %s/s", loss_between(&team->earlier, &now), rate,
                     plan->unit);
            team->earlier = now;
        }
        snprintf(text, sizeof text, "%s: %s", plan->label, team->recent);
    }
    progress_update(&team->progress, fraction, text);
}

/* One turn: waits for news from anyone, for a signal, or for the next tick. */
static void team_turn(struct team *team) {
    struct pollfd waits[CREW_HIGH + 1];
    char why[LOCAL_TEXT_BYTES];
    size_t count = team->crew.count;
    for (size_t i = 0; i < count; i++) {
        waits[i] = (struct pollfd){.fd = team->crew.members[i].news, .events = POLLIN}; /* -1 is passed over */
    }
    waits[count] = (struct pollfd){.fd = interrupt_descriptor(), .events = POLLIN};
    int ready = poll(waits, (nfds_t)(count + 1), TICK_MS);
    for (size_t i = 0; ready > 0 && i < count; i++) {
        if (waits[i].revents != 0) {
            team_read(team, i);
        }
    }
    if (interrupt_signal() != 0) {
        team_fail(team, OUTCOME_FAILED, "interrupted; stopping");
    }
    if (team_local(team) != NULL && !team_failed(team) && !local_check(team_local(team), why, sizeof why)) {
        team_fail(team, OUTCOME_UNREACHABLE, "a local server is gone");
    }
    if (!team_failed(team)) {
        team_show(team);
    }
}

/* ---- the course of it ---- */

static void team_train(struct team *team) {
    char text[CREW_TEXT_BYTES];
    const struct team_plan *plan = team->plan;
    for (uint32_t w = 0; w < plan->workers && !team_failed(team); w++) {
        if (!crew_add(&team->crew, team_worker_task, &team->context, w, text, sizeof text)) {
            team_fail(team, OUTCOME_FAILED, text);
        }
    }
    while (!team_failed(team) && (team->done < plan->workers || (plan->place == NULL && team->finished == 0))) {
        team_turn(team);
    }
    for (size_t i = 0; i < team->crew.count; i++) {
        crew_end(&team->crew, i, team_failed(team) ? 0 : LEAVE_MS);
    }
}

/* With the tables on servers: looks at what was learnt, and takes them off servers that go on without this. */
static void team_close(struct team *team) {
    const struct team_plan *plan = team->plan;
    char text[TEAM_TEXT_BYTES], what[CANYON_NAME_BYTES + 32];
    struct team_tables tables;
    struct canyon_job job;
    enum canyon_status status = CANYON_OK;
    if (team_failed(team) && team_local(team) != NULL) {
        return; /* its servers are stopped soon, and take everything with them */
    }
    status = team_tables_open(&tables, &team->context, plan->program, text, sizeof text);
    if (status == CANYON_OK && (status = canyon_job(tables.client, &job)) == CANYON_OK) {
        team->result->servers = job.servers;
    }
    if (status == CANYON_OK && !team_failed(team)) {
        status = plan->finish(plan->context, tables.rows, text, sizeof text);
    }
    if (status != CANYON_OK) {
        team_fail(team, outcome_of(status), text);
    }
    if (team_local(team) == NULL) {
        snprintf(what, sizeof what, "what is named %s...", team->context.prefix);
        status = tables.client == NULL ? status : team_tables_drop(&tables, &team->context, text, sizeof text);
        if (place_leave(plan->program, what, status) != CANYON_OK) {
            fprintf(stderr, "%s: %s: %s may be left on the servers: canyon drop takes it off\n", plan->program, text,
                    what);
        }
    }
    team_tables_close(&tables);
}

static void team_sum_up(struct team *team) {
    struct team_result *result = team->result;
    char text[192], rate[NUMBER_BYTES];
    struct snapshot now = team_snapshot(team);
    result->work = now.work;
    result->rows = now.rows;
    result->loss = loss_between(&team->late, &now);
    result->seconds = team->ended > team->began ? (double)(team->ended - team->began) * 1e-9 : 0.0;
    number_count(result->seconds > 0.0 ? (double)now.work / result->seconds : 0.0, rate, sizeof rate);
    snprintf(text, sizeof text, "%s: loss %.4f, %s %s/s", team->plan->label, result->loss, rate, team->plan->unit);
    progress_finish(&team->progress, text);
}

enum outcome team_run(const struct team_plan *plan, struct team_result *result) {
    size_t bytes = plan->workers * sizeof(struct team_tally);
    struct team *team = calloc(1, sizeof *team);
    struct team_tally *tallies = team_share(bytes);
    char prefix[PLAN_PREFIX_BYTES] = "";
    enum outcome outcome = OUTCOME_FAILED;
    memset(result, 0, sizeof *result);
    assert(plan->workers >= 1 && plan->workers <= TEAM_WORKERS_HIGH && (plan->place != NULL || plan->workers == 1));
    if (team == NULL || tallies == NULL) {
        fprintf(stderr, "%s: no memory for a run\n", plan->program);
        goto out;
    }
    if (plan->place != NULL) {
        place_prefix(plan->place, 1, prefix);
    }
    *team = (struct team){.plan = plan, .result = result};
    team->context = (struct team_context){.plan = plan, .prefix = prefix, .tallies = tallies};
    crew_init(&team->crew);
    progress_init(&team->progress, stderr);
    team_train(team);
    if (!team_failed(team)) {
        team_sum_up(team);
    }
    if (plan->place != NULL) {
        team_close(team);
    }
    outcome = team->outcome;
    crew_finish(&team->crew);
out:
    team_unshare(tallies, bytes);
    free(team);
    return outcome;
}
