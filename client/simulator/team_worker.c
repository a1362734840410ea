#include "client/simulator/team_worker.h"

#include <stdio.h>
#include <string.h>

#include "client/simulator/news.h"
#include "client/simulator/rows_there.h"

#define BARRIER_MS 60000u /* the slowest worker to connect; the parent ends all of them when one fails */

_Static_assert(TEAM_TEXT_BYTES <= NEWS_TEXT_BYTES, "a worker's text fits into its news");

static void table_name(const struct team_context *context, size_t table, char name[CANYON_NAME_BYTES]) {
    snprintf(name, CANYON_NAME_BYTES, "%s%s", context->prefix, context->plan->tables[table].name);
}

enum canyon_status team_tables_open(struct team_tables *tables, const struct team_context *context, const char *name,
                                    char *text, size_t bytes) {
    const struct team_plan *plan = context->plan;
    char full[CANYON_NAME_BYTES];
    enum canyon_status status = CANYON_OK;
    memset(tables, 0, sizeof *tables);
    if (plan->place != NULL) {
        status = rows_connect(plan->place, name, &tables->client, text, bytes);
    }
    for (size_t t = 0; t < plan->table_count && status == CANYON_OK; t++) {
        struct rows_spec spec = plan->tables[t];
        table_name(context, t, full);
        spec.name = full;
        status = plan->place != NULL ? rows_open_there(tables->client, &spec, &tables->rows[t], text, bytes)
                                     : rows_open_here(&spec, &tables->rows[t], text, bytes);
    }
    return status;
}

void team_tables_close(struct team_tables *tables) {
    for (size_t t = 0; t < FLOW_TABLES; t++) {
        rows_close(tables->rows[t]);
    }
    canyon_close(tables->client);
    memset(tables, 0, sizeof *tables);
}

enum canyon_status team_tables_drop(struct team_tables *tables, const struct team_context *context, char *text,
                                    size_t bytes) {
    enum canyon_status first = CANYON_OK;
    for (size_t t = 0; t < context->plan->table_count; t++) {
        char name[CANYON_NAME_BYTES], why[TEAM_TEXT_BYTES];
        table_name(context, t, name);
        enum canyon_status status = rows_drop(tables->client, name, why, sizeof why);
        if (status != CANYON_OK && first == CANYON_OK) {
            first = status;
            snprintf(text, bytes, "%s", why);
        }
    }
    return first;
}

/* Waits until all workers have their tables. */
static enum canyon_status worker_meet(const struct team_context *context, canyon_client *client, char *text,
                                      size_t bytes) {
    char name[CANYON_NAME_BYTES];
    uint32_t rank = 0, count = 0;
    enum canyon_status status = canyon_join(client, 0, &rank, &count);
    if (status == CANYON_OK) {
        snprintf(name, sizeof name, "%sstart", context->prefix);
        status = canyon_barrier(client, name, context->plan->workers, BARRIER_MS);
    }
    if (status != CANYON_OK) {
        snprintf(text, bytes, "cannot meet the other workers: %s", canyon_error_text());
    }
    return status;
}

/* False when the parent is gone: there is nobody to work for. */
static bool tell(int descriptor, enum news_kind kind, canyon_client *client) {
    struct news news = {.kind = kind, .nanoseconds = news_clock()};
    struct canyon_client_counters counters;
    if (client != NULL && canyon_client_counters(client, &counters) == CANYON_OK) {
        news.sent = counters.sent;
        news.received = counters.received;
    }
    return news_write(descriptor, &news);
}

int team_worker_task(void *task_context, uint32_t index, int news_descriptor, int orders) {
    const struct team_context *context = task_context;
    const struct team_plan *plan = context->plan;
    struct team_tables tables;
    struct news news = {.kind = NEWS_FAILED};
    char name[CANYON_NAME_BYTES];
    (void)orders; /* a worker's only order is SIGTERM or SIGKILL */
    snprintf(name, sizeof name, "%s worker %u", plan->program, index);
    enum canyon_status status = team_tables_open(&tables, context, name, news.text, sizeof news.text);
    if (status == CANYON_OK && tables.client != NULL) {
        status = worker_meet(context, tables.client, news.text, sizeof news.text);
    }
    bool told = status == CANYON_OK && tell(news_descriptor, NEWS_BEGUN, NULL);
    if (told) {
        status = plan->train(plan->context, index, tables.rows, &context->tallies[index], news.text, sizeof news.text);
        told = status == CANYON_OK && tell(news_descriptor, NEWS_DONE, tables.client);
    }
    if (told && tables.client == NULL) {
        status = plan->finish(plan->context, tables.rows, news.text, sizeof news.text);
        told = status == CANYON_OK && tell(news_descriptor, NEWS_RESULT, NULL);
    }
    if (status != CANYON_OK) {
        news.status = (uint32_t)status;
        news_write(news_descriptor, &news);
    }
    team_tables_close(&tables);
    return status == CANYON_OK && told ? 0 : 1;
}
