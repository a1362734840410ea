#include "client/client.h"

#include <stdlib.h>
#include <string.h>

#include "client/error.h"
#include "client/future.h"
#include "common/clock.h"

#define MILLISECOND 1000000u

enum canyon_status client_begin(struct canyon_client *client, bool blocks, struct error *error) {
    if (client == NULL)
        return error_set(error, CANYON_INVALID_ARGUMENT, "the client is NULL: canyon_connect gives one");
    if (blocks && future_in_callback())
        return error_set(error, CANYON_CONFLICT,
                         "a future's callback must not make blocking calls: it would wait for "
                         "itself; use canyon_step_async");
    pthread_mutex_lock(&client->lock);
    bool closing = client->closing;
    if (!closing)
        client->calls++;
    pthread_mutex_unlock(&client->lock);
    return closing ? error_set(error, CANYON_CLOSED, "the client is being closed") : CANYON_OK;
}

void client_enter(struct canyon_client *client) {
    pthread_mutex_lock(&client->lock);
    client->calls++;
    pthread_mutex_unlock(&client->lock);
}

void client_leave(struct canyon_client *client) {
    pthread_mutex_lock(&client->lock);
    if (--client->calls == 0)
        pthread_cond_broadcast(&client->idle);
    pthread_mutex_unlock(&client->lock);
}

/* The spare that fits best: the smallest that is large enough, else the largest, which is then replaced. */
static struct client_room *best_spare(struct canyon_client *client, uint64_t elements) {
    struct client_room *best = &client->spares[0];
    for (size_t i = 1; i < CLIENT_SPARES; i++) {
        struct client_room *room = &client->spares[i];
        bool enough = best->elements >= elements;
        if (enough ? room->elements >= elements && room->elements < best->elements : room->elements > best->elements)
            best = room;
    }
    return best;
}

bool client_take_room(struct canyon_client *client, uint64_t elements, struct client_room *room) {
    pthread_mutex_lock(&client->lock);
    struct client_room *spare = best_spare(client, elements);
    *room = *spare;
    *spare = (struct client_room){.values = NULL};
    pthread_mutex_unlock(&client->lock);
    if (room->elements < elements) {
        free(room->values);
        room->values = elements <= SIZE_MAX / sizeof(float) ? malloc((size_t)elements * sizeof(float)) : NULL;
        room->elements = room->values == NULL ? 0 : elements;
    }
    return room->values != NULL || elements == 0;
}

/* The smallest spare: an empty place, where there is one, unless it is to be one that is `used`. */
static struct client_room *least_spare(struct canyon_client *client, bool used) {
    struct client_room *least = NULL;
    for (size_t i = 0; i < CLIENT_SPARES; i++) {
        struct client_room *room = &client->spares[i];
        if ((room->values != NULL || !used) && (least == NULL || room->elements < least->elements))
            least = room;
    }
    return least;
}

static uint64_t spare_words(const struct canyon_client *client) {
    uint64_t words = 0;
    for (size_t i = 0; i < CLIENT_SPARES; i++)
        words += client->spares[i].elements;
    return words;
}

void client_give_room(struct canyon_client *client, struct client_room *room) {
    if (room->values == NULL)
        return;
    pthread_mutex_lock(&client->lock);
    struct client_room *least = least_spare(client, false);
    if (room->elements > least->elements && room->elements <= CLIENT_SPARE_WORDS) {
        const struct client_room smaller = *least;
        *least = *room;
        *room = smaller;
    }
    while (spare_words(client) > CLIENT_SPARE_WORDS) {
        least = least_spare(client, true);
        free(least->values);
        *least = (struct client_room){.values = NULL};
    }
    pthread_mutex_unlock(&client->lock);
    free(room->values);
    *room = (struct client_room){.values = NULL};
}

uint64_t client_deadline(const struct canyon_client *client, uint32_t timeout_ms) {
    return clock_now() + (uint64_t)(timeout_ms == 0 ? client->timeout_ms : timeout_ms) * MILLISECOND;
}

uint32_t client_remaining_ms(uint64_t deadline) {
    uint64_t now = clock_now();
    uint64_t left = deadline > now ? (deadline - now) / MILLISECOND : 0;
    left = left > 0 ? left : 1;
    return left > LIMIT_WAIT_MS ? LIMIT_WAIT_MS : (uint32_t)left;
}

uint32_t client_server_of(const struct canyon_client *client, size_t lane) {
    uint32_t server = client->job.server_count - 1;
    while (client->first_lanes[server] > lane)
        server--;
    return server;
}

enum canyon_status canyon_job(canyon_client *client, struct canyon_job *job) {
    if (client == NULL || job == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_job: the %s is NULL",
                                 client == NULL ? "client" : "job");
    *job = (struct canyon_job){
        .shards = client->job.shards, .block_elements = client->job.block, .servers = client->job.server_count};
    for (uint32_t i = 0; i < client->job.server_count; i++)
        job->threads += client->absent[i] ? 0 : client->threads[i];
    memcpy(job->name, client->job.name, sizeof job->name);
    return CANYON_OK;
}

enum canyon_status canyon_client_counters(canyon_client *client, struct canyon_client_counters *counters) {
    if (client == NULL || counters == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_client_counters: the %s NULL",
                                 client == NULL ? "client is" : "counters are");
    struct lane_counters lanes = {.reconnects = 0};
    for (size_t i = 0; i < client->lane_count; i++) {
        const struct lane_counters lane = lane_count(client->lanes[i]);
        lanes.reconnects += lane.reconnects;
        lanes.resent += lane.resent;
        lanes.duplicates += lane.duplicates;
    }
    *counters = (struct canyon_client_counters){.checked = atomic_load(&client->checked),
                                                .clipped = atomic_load(&client->clipped),
                                                .not_finite = atomic_load(&client->not_finite),
                                                .sent = atomic_load(&client->sent),
                                                .sent_single = atomic_load(&client->sent_single),
                                                .received = atomic_load(&client->received),
                                                .received_single = atomic_load(&client->received_single),
                                                .reconnects = lanes.reconnects,
                                                .resent = lanes.resent,
                                                .duplicates = lanes.duplicates};
    return CANYON_OK;
}

void canyon_free(void *array) {
    free(array);
}
