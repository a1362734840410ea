/* An exchange is one control request, to one lane or to many at once, waited for on the caller's thread. */
#ifndef CANYON_CLIENT_EXCHANGE_H
#define CANYON_CLIENT_EXCHANGE_H

#include "client/client.h"

struct exchange_request {
    uint16_t type;
    const uint8_t *message; /* borrowed for the call */
    size_t bytes;
    uint64_t deadline;
    bool changes_state;
    bool reached_only; /* leaves out the servers that canyon_connect could not reach */
};

/* What one lane answered. */
struct exchange_reply {
    struct error error; /* status OK: the rest is the reply */
    size_t message_bytes;
    uint8_t message[LIMIT_MESSAGE_BYTES];
    size_t payload_bytes;
    uint8_t *payload; /* owned; NULL when there is none */
};

/* Zeroes it, and frees what it owns. */
void exchange_reply_init(struct exchange_reply *reply);
void exchange_reply_finish(struct exchange_reply *reply);

/* Sends the request to `count` lanes from `first` on and waits for all of them. `replies` has `count` initialised
 * entries, or is NULL when only success matters. Returns the first failure (in time), whose text names the server. */
enum canyon_status exchange_run(struct canyon_client *client, const struct exchange_request *request, size_t first,
                                size_t count, struct exchange_reply *replies, struct error *error);

/* To the lane of shard 0, which orders the catalogue and the workers. */
enum canyon_status exchange_ask(struct canyon_client *client, const struct exchange_request *request,
                                struct exchange_reply *reply, struct error *error);

/* To every lane. */
enum canyon_status exchange_tell_all(struct canyon_client *client, const struct exchange_request *request,
                                     struct error *error);

#endif
