/* The client: the job it found, the servers' threads and a lane to each of them. */
#ifndef CANYON_CLIENT_CLIENT_H
#define CANYON_CLIENT_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/identity.h"
#include "client/include/canyon.h"
#include "client/lane.h"
#include "client/pace.h"
#include "client/plan.h"
#include "common/congestion.h"
#include "common/job.h"
#include "common/log.h"
#include "common/message.h"

/* Memory for a step's gradients, copied or encoded: words of 4 bytes. */
struct client_room {
    float *values;
    uint64_t elements;
};

#define CLIENT_SPARES      16
#define CLIENT_SPARE_WORDS (1ull << 28) /* of all of them together: 1 GiB */

struct canyon_client {
    struct job job;
    uint8_t digest[JOB_DIGEST_BYTES];
    char told_by[LIMIT_ADDRESS_BYTES];  /* the server that told the job */
    uint32_t *threads;                  /* of each server; 1 for an absent one */
    bool *absent;                       /* of each server: not reached by canyon_connect, with options.partial */
    size_t *first_lanes;                /* of each server: the lane of its thread 0 */
    char (*versions)[LIMIT_NAME_BYTES]; /* of each server's software */
    struct lane **lanes;
    size_t lane_count;
    struct plan_layout layout; /* the fields above as the plan wants them */

    struct pace *pace;         /* its clock */
    struct identity *identity; /* of all lanes */
    char name[LIMIT_NAME_BYTES];
    uint8_t session_id[SESSION_BYTES];
    uint32_t timeout_ms, connect_ms, reconnect_ms;
    uint64_t window_bytes;
    char congestion[CONGESTION_NAME_BYTES];
    uint32_t spin_us;
    bool partial; /* absent servers are allowed */

    struct log log;
    pthread_mutex_t log_lock; /* one log callback at a time */
    canyon_log_callback log_callback;
    void *log_user;

    /* Steps whose gradients were measured before they were sent, and what came of it. */
    _Atomic uint64_t checked, clipped, not_finite;
    /* Bytes of values in frames that were answered, and what they would have been as float32. */
    _Atomic uint64_t sent, sent_single, received, received_single;

    pthread_mutex_t lock; /* of the three below */
    pthread_cond_t idle;
    size_t calls; /* public calls and futures under way: the client lives until they have ended */
    bool closing;
    struct client_room spares[CLIENT_SPARES]; /* what steps that ended have left for the next ones */
};

/* A public call begins: CLOSED when the client is being closed, INVALID_ARGUMENT when it is NULL, CONFLICT when it
 * would block inside a callback. Every client_begin that is OK is followed by client_leave. */
enum canyon_status client_begin(struct canyon_client *client, bool blocks, struct error *error);

/* One more reason to stay alive, for who has one already. */
void client_enter(struct canyon_client *client);
void client_leave(struct canyon_client *client);

/* Room for `elements` numbers, a spare one when one is large enough; false when there is no memory. Every room that
 * was taken is given back; the client keeps the CLIENT_SPARES largest, as far as they are CLIENT_SPARE_WORDS together,
 * and frees them with itself. So steps that repeat take no memory after the first ones, unless they are larger. A
 * zeroed room may be given back too. */
bool client_take_room(struct canyon_client *client, uint64_t elements, struct client_room *room);
void client_give_room(struct canyon_client *client, struct client_room *room);

/* What waits at a server is ended there first, with an explanation: ns that the client waits longer. */
#define CLIENT_PARKED_SLACK 250000000u

/* When a call that begins now must end (monotonic ns); 0 means the client's default. */
uint64_t client_deadline(const struct canyon_client *client, uint32_t timeout_ms);

/* Milliseconds that are left, rounded down, at most LIMIT_WAIT_MS, and at least 1: to a server 0 means not to wait. */
uint32_t client_remaining_ms(uint64_t deadline);

/* The server a lane leads to. */
uint32_t client_server_of(const struct canyon_client *client, size_t lane);

#endif
