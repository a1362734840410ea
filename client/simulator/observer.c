#include "client/simulator/observer.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/simulator/parameters.h"
#include "client/simulator/trail.h"

#define MEASURE_MS 250 /* between two looks at the test images: enough for a progress bar, nothing for the servers */

struct observer {
    const struct plan *plan;
    int news, orders;
    struct parameters parameters;
    struct trail trail; /* zeros unless the plan asks for one */
};

/* True once OBSERVER_FINISH has come, false when wait_ms passed first. *gone is set when the parent has no more to say.
 */
static bool observer_wait(const struct observer *observer, int wait_ms, bool *gone) {
    struct pollfd wait = {.fd = observer->orders, .events = POLLIN};
    char order = 0;
    int ready = poll(&wait, 1, wait_ms);
    if (ready == 0 || (ready < 0 && errno == EINTR)) {
        return false;
    }
    *gone = read(observer->orders, &order, 1) != 1;
    return order == OBSERVER_FINISH;
}

static struct model_score observer_score(const struct observer *observer, const uint32_t *indices, size_t count) {
    return model_evaluate(&observer->plan->model, observer->parameters.weights, observer->plan->digits, indices, count);
}

/* Keeps the weights as they are now. */
static enum canyon_status observer_keep(struct observer *observer) {
    enum canyon_status status = parameters_pull(&observer->parameters);
    if (status == CANYON_OK) {
        const struct trail_point point = {.nanoseconds = news_clock(), .updates = observer->parameters.updates};
        trail_add(&observer->trail, &point, observer->parameters.weights);
    }
    return status;
}

static void observer_tell_trail(const struct observer *observer) {
    const struct plan *plan = observer->plan;
    for (size_t i = 0; i < observer->trail.count; i++) {
        struct model_score score = model_evaluate(&plan->model, trail_weights(&observer->trail, i), plan->digits,
                                                  plan->split->test, SPLIT_TEST);
        struct news news = {.kind = NEWS_TRAIL,
                            .accuracy = score.accuracy,
                            .nanoseconds = observer->trail.points[i].nanoseconds,
                            .updates = observer->trail.points[i].updates};
        news_write(observer->news, &news);
    }
}

static enum canyon_status observer_measure(struct observer *observer) {
    enum canyon_status status = parameters_pull(&observer->parameters);
    if (status == CANYON_OK) {
        struct model_score score = observer_score(observer, observer->plan->split->test, SPLIT_TEST);
        struct news news = {.kind = NEWS_ACCURACY, .accuracy = score.accuracy};
        news_write(observer->news, &news);
    }
    return status;
}

static enum canyon_status observer_result(struct observer *observer) {
    struct canyon_job job;
    enum canyon_status status = parameters_pull(&observer->parameters);
    if (status != CANYON_OK || (status = canyon_job(observer->parameters.client, &job)) != CANYON_OK) {
        return status;
    }
    struct model_score train = observer_score(observer, observer->plan->split->train, SPLIT_TRAIN);
    struct model_score test = observer_score(observer, observer->plan->split->test, SPLIT_TEST);
    struct news news = {.kind = NEWS_RESULT,
                        .loss = train.loss,
                        .accuracy = test.accuracy,
                        .rate = parameters_rate(&observer->parameters),
                        .servers = job.servers};
    status = parameters_drop(&observer->parameters);
    if (status == CANYON_OK || status == CANYON_DENIED) {
        news.status = status;
        news_write(observer->news, &news);
        status = CANYON_OK;
    }
    return status;
}

static enum canyon_status observer_watch(struct observer *observer) {
    enum canyon_status status = CANYON_OK;
    uint32_t trail_ms = observer->plan->trail_ms;
    bool finish = false, gone = false;
    while (status == CANYON_OK && !finish && !gone) {
        finish = observer_wait(observer, trail_ms > 0 ? (int)trail_ms : MEASURE_MS, &gone);
        if (!finish && !gone) {
            status = trail_ms > 0 ? observer_keep(observer) : observer_measure(observer);
        }
    }
    if (status == CANYON_OK && finish) {
        observer_tell_trail(observer);
    }
    return status == CANYON_OK && finish ? observer_result(observer) : status;
}

int observer_task(void *context, uint32_t index, int news_descriptor, int orders) {
    struct observer observer = {.plan = context, .news = news_descriptor, .orders = orders};
    const struct plan *plan = context;
    struct parameters *parameters = &observer.parameters;
    (void)index;
    enum canyon_status status = parameters_connect(parameters, observer.plan, "canyon-sim observer", NULL);
    if (status == CANYON_OK && plan->trail_ms > 0 &&
        !trail_init(&observer.trail, plan->model.parameters, plan->trail_ms * 1000000ull)) {
        snprintf(parameters->text, sizeof parameters->text, "no memory for the weights on their way");
        status = CANYON_NO_MEMORY;
    }
    if (status == CANYON_OK && (status = parameters_create(parameters)) == CANYON_OK) {
        status = observer_watch(&observer);
    }
    if (status != CANYON_OK) {
        struct news news = {.kind = NEWS_FAILED, .status = status};
        memcpy(news.text, parameters->text, sizeof news.text);
        news_write(observer.news, &news);
    }
    parameters_close(parameters);
    trail_finish(&observer.trail);
    return status == CANYON_OK ? 0 : 1;
}
