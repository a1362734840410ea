/* Ranks and barriers: shard 0's thread keeps them. */
#include <string.h>

#include "client/error.h"
#include "client/exchange.h"

enum canyon_status canyon_join(canyon_client *client, uint32_t timeout_ms, uint32_t *rank, uint32_t *count) {
    struct error error = {.status = CANYON_OK};
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct message_join join;
    struct message_joined joined = {.rank = 0};
    struct exchange_reply reply;
    if (client_begin(client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    memcpy(join.name, client->name, sizeof join.name);
    struct exchange_request request = {.type = FRAME_JOIN,
                                       .message = message,
                                       .bytes = message_pack_join(&join, message),
                                       .deadline = client_deadline(client, timeout_ms)};
    exchange_reply_init(&reply);
    if (exchange_ask(client, &request, &reply, &error) == CANYON_OK &&
        message_unpack_joined(reply.message, reply.message_bytes, &joined, &error) == CANYON_OK) {
        if (rank != NULL)
            *rank = joined.rank;
        if (count != NULL)
            *count = joined.count;
        pace_want_rank(client->pace, joined.rank);
        lane_pin(client->lanes[0]); /* the rank is the connection's, which exchange_ask asked on */
    }
    exchange_reply_finish(&reply);
    client_leave(client);
    return last_error_set(&error);
}

enum canyon_status canyon_barrier(canyon_client *client, const char *name, uint32_t count, uint32_t timeout_ms) {
    struct error error = {.status = CANYON_OK};
    uint8_t message[LIMIT_MESSAGE_BYTES];
    if (name == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_barrier: the name is NULL");
    if (client_begin(client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    if (name_check(name, "barrier", &error) == CANYON_OK) {
        uint64_t deadline = client_deadline(client, timeout_ms);
        struct message_barrier barrier = {.count = count, .wait_ms = client_remaining_ms(deadline)};
        memcpy(barrier.name, name, strlen(name) + 1);
        struct exchange_request request = {.type = FRAME_BARRIER,
                                           .message = message,
                                           .bytes = message_pack_barrier(&barrier, message),
                                           .deadline = deadline + CLIENT_PARKED_SLACK};
        exchange_ask(client, &request, NULL, &error);
    }
    client_leave(client);
    return last_error_set(&error);
}
