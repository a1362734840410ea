/* A lane's channel is what stands between its session and its socket on an encrypted connection: the client's half of
 * the handshake, then records in both directions. Plaintext lanes have none.
 *
 * It opens no socket and reads no clock: the lane sends what lane_channel_output gives and hands over what it received.
 * Sealing a request's bytes counts as sending them: they are copied, encrypted, into a bounded buffer, and the caller's
 * memory is free of the session's hold on those bytes. Not thread-safe: the lane holds its lock. */
#ifndef CANYON_CLIENT_LANE_CHANNEL_H
#define CANYON_CLIENT_LANE_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/known_servers.h"
#include "client/session.h"
#include "common/channel.h"
#include "common/key.h"

#define LANE_CHANNEL_OUTPUT_BYTES (256u * 1024) /* of sealed bytes that wait for the socket */

struct lane_channel;

struct lane_channel_options {
    const struct key_pair *own;        /* borrowed for the channel's life */
    const struct known_server *server; /* borrowed for the channel's life */
    const char *address;               /* of the server, for texts; borrowed for the channel's life */
    uint8_t seed[KEY_BYTES];           /* of the handshake: unpredictable and used once; wiped by the caller */
};

/* The first message waits to be sent. NULL when memory cannot be had. */
struct lane_channel *lane_channel_create(const struct lane_channel_options *options);
/* Wipes the keys. Safe on NULL. */
void lane_channel_destroy(struct lane_channel *channel);

/* What to send now, 0 for nothing; the memory stays until lane_channel_sent. When nothing waits, it takes what the
 * session has to send: its hello into the third message of the handshake once the server has proven itself, and, once
 * the channel stands, as much of its requests as the buffer takes. NO_MEMORY, in the error, breaks the connection. */
enum canyon_status lane_channel_output(struct lane_channel *channel, struct session *session, struct iovec *bytes,
                                       struct error *error);
void lane_channel_sent(struct lane_channel *channel, size_t count);

/* Bytes that are sealed and not sent. */
size_t lane_channel_waiting(const struct lane_channel *channel);

/* Adds the last record to what waits, and gives all of that: nothing is taken from the session afterwards. False when
 * the channel does not stand yet, or was finished before. */
bool lane_channel_finish(struct lane_channel *channel, struct iovec *rest);

/* Where to receive and how much fits (0 while the third message is still to be made), and that so many bytes came. */
void lane_channel_space(struct lane_channel *channel, uint8_t **at, size_t *room);
void lane_channel_received(struct lane_channel *channel, size_t count);

enum lane_channel_event {
    LANE_CHANNEL_NEEDS_MORE, /* all that was received is used up */
    LANE_CHANNEL_PROVEN,     /* once: the server has proven its key; begin the session, whose hello goes out next */
    LANE_CHANNEL_BYTES,      /* `got` bytes of plaintext were put at the session's space: session_received them */
    LANE_CHANNEL_LAST,       /* the server said that it ends the connection */
    LANE_CHANNEL_FAILED      /* the error says why: close at once */
};

/* What the received bytes amount to; call until NEEDS_MORE, LAST or FAILED. The session is looked at only for its
 * space, and only from PROVEN on. */
enum lane_channel_event lane_channel_next(struct lane_channel *channel, struct session *session, size_t *got,
                                          struct error *error);

/* The stream ended (`failure` 0) or broke (an errno) without a last record: fills in what that means at this point of
 * the conversation. UNAUTHENTICATED when a server that closes without a word at this point says by it that it is not
 * the one expected, or does not accept this client's key; else UNAVAILABLE. */
enum canyon_status lane_channel_ended(const struct lane_channel *channel, int failure, struct error *error);

/* True while a record has begun to come and has not ended. */
bool lane_channel_is_torn(const struct lane_channel *channel);

/* Plaintext bytes carried so far, both directions together. */
uint64_t lane_channel_carried(const struct lane_channel *channel);

#endif
