#include "client/lane_channel.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/frame.h"

#define SLICES 64 /* of the session at a time */

enum stage {
    STAGE_PROVING,  /* waits for the second message: nothing has been said yet that only this server may hear */
    STAGE_PROVEN,   /* the third message, with the session's hello, is still to be made */
    STAGE_ANSWERED, /* records flow; none of the server's has come yet */
    STAGE_WELCOME,  /* one has: the server accepts this client's key */
    STAGE_FINISHED  /* the last record was sealed */
};

struct lane_channel {
    struct lane_channel_options options;
    enum stage stage;
    struct channel_handshake *handshake; /* until the third message was made */
    struct channel *channel;             /* from then on */
    uint8_t second[CHANNEL_SECOND_BYTES];
    size_t second_bytes;
    uint8_t *output; /* the part [begin, end) waits */
    size_t begin, end;
};

/* ---- life ---- */

struct lane_channel *lane_channel_create(const struct lane_channel_options *options) {
    struct lane_channel *channel = calloc(1, sizeof *channel);
    if (channel == NULL)
        return NULL;
    channel->options = *options;
    memset(channel->options.seed, 0, sizeof channel->options.seed); /* the handshake alone shall have it */
    channel->output = malloc(LANE_CHANNEL_OUTPUT_BYTES + CHANNEL_RECORD_BYTES);
    channel->handshake = channel_initiate(options->server->cipher, options->own, options->server->key, options->seed);
    if (channel->output == NULL || channel->handshake == NULL ||
        channel_write_first(channel->handshake, channel->output) != CANYON_OK)
        goto failed;
    channel->end = CHANNEL_FIRST_BYTES;
    return channel;

failed:
    lane_channel_destroy(channel);
    return NULL;
}

void lane_channel_destroy(struct lane_channel *channel) {
    if (channel == NULL)
        return;
    channel_handshake_destroy(channel->handshake);
    channel_destroy(channel->channel);
    free(channel->output);
    free(channel);
}

/* ---- bytes out ---- */

/* The third message carries the session's hello, which is one slice. */
static enum canyon_status make_third(struct lane_channel *channel, struct session *session, struct error *error) {
    struct iovec hello;
    size_t third_bytes = 0;
    if (session_output(session, &hello, 1) == 0)
        return CANYON_OK;
    enum canyon_status status =
        channel_write_third(channel->handshake, hello.iov_base, hello.iov_len, channel->output, &third_bytes);
    if (status != CANYON_OK)
        return error_set(error, CANYON_INTERNAL, "the handshake with %s cannot be finished with a hello of %zu bytes",
                         channel->options.address, hello.iov_len);
    session_sent(session, hello.iov_len);
    channel->channel = channel_establish(channel->handshake);
    channel_handshake_destroy(channel->handshake);
    channel->handshake = NULL;
    if (channel->channel == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for the connection to %s", channel->options.address);
    channel->begin = 0;
    channel->end = third_bytes;
    channel->stage = STAGE_ANSWERED;
    return CANYON_OK;
}

/* Seals what the session has, until the buffer is full. */
static void seal(struct lane_channel *channel, struct session *session) {
    struct iovec slices[SLICES];
    channel->begin = channel->end = 0;
    for (;;) {
        size_t taken = 0;
        size_t count = session_output(session, slices, SLICES);
        if (count == 0)
            return;
        size_t made = channel_seal(channel->channel, slices, count, 0, channel->output + channel->end,
                                   LANE_CHANNEL_OUTPUT_BYTES - channel->end, &taken);
        if (made == 0)
            return;
        channel->end += made;
        session_sent(session, taken);
    }
}

enum canyon_status lane_channel_output(struct lane_channel *channel, struct session *session, struct iovec *bytes,
                                       struct error *error) {
    enum canyon_status status = CANYON_OK;
    if (channel->begin == channel->end && channel->stage == STAGE_PROVEN)
        status = make_third(channel, session, error);
    else if (channel->begin == channel->end && (channel->stage == STAGE_ANSWERED || channel->stage == STAGE_WELCOME))
        seal(channel, session);
    *bytes = (struct iovec){.iov_base = channel->output + channel->begin, .iov_len = channel->end - channel->begin};
    return status;
}

void lane_channel_sent(struct lane_channel *channel, size_t count) {
    assert(count <= channel->end - channel->begin);
    channel->begin += count;
}

size_t lane_channel_waiting(const struct lane_channel *channel) {
    return channel->end - channel->begin;
}

bool lane_channel_finish(struct lane_channel *channel, struct iovec *rest) {
    if (channel->stage != STAGE_ANSWERED && channel->stage != STAGE_WELCOME)
        return false;
    /* Its room was kept behind the buffer. */
    channel_seal_last(channel->channel, channel->output + channel->end);
    channel->end += CHANNEL_RECORD_BYTES;
    channel->stage = STAGE_FINISHED;
    *rest = (struct iovec){.iov_base = channel->output + channel->begin, .iov_len = channel->end - channel->begin};
    return true;
}

/* ---- bytes in ---- */

void lane_channel_space(struct lane_channel *channel, uint8_t **at, size_t *room) {
    if (channel->channel != NULL) {
        channel_space(channel->channel, at, room);
        return;
    }
    *at = channel->second + channel->second_bytes;
    *room = sizeof channel->second - channel->second_bytes;
}

void lane_channel_received(struct lane_channel *channel, size_t count) {
    if (channel->channel != NULL)
        channel_received(channel->channel, count);
    else
        channel->second_bytes += count;
}

/* What came first is the beginning of a frame: an error that a plaintext server sends to who makes no sense to it. */
static bool answers_in_plaintext(const struct lane_channel *channel) {
    static const uint8_t magic[4] = {'C', 'N', 'Y', 'N'};
    return channel->second_bytes >= sizeof magic && memcmp(channel->second, magic, sizeof magic) == 0;
}

static enum canyon_status set_not_proven(const struct lane_channel *channel, struct error *error) {
    char fingerprint[KEY_FINGERPRINT_BYTES];
    if (answers_in_plaintext(channel))
        return error_set(error, CANYON_UNAUTHENTICATED,
                         "%s answers in plaintext: it seems to run with --insecure-plaintext, and this client does "
                         "not; no data was sent",
                         channel->options.address);
    return error_set(error, CANYON_UNAUTHENTICATED,
                     "%s did not prove to have the key known_servers has for it (%s...): another server, another "
                     "cipher= or a plaintext server; no data was sent",
                     channel->options.address, key_fingerprint(channel->options.server->key, fingerprint));
}

static enum lane_channel_event next_of_handshake(struct lane_channel *channel, struct error *error) {
    if (channel->stage != STAGE_PROVING || channel->second_bytes < sizeof channel->second)
        return LANE_CHANNEL_NEEDS_MORE;
    if (channel_read_second(channel->handshake, channel->second) != CANYON_OK) {
        set_not_proven(channel, error);
        return LANE_CHANNEL_FAILED;
    }
    channel->stage = STAGE_PROVEN;
    return LANE_CHANNEL_PROVEN;
}

enum lane_channel_event lane_channel_next(struct lane_channel *channel, struct session *session, size_t *got,
                                          struct error *error) {
    uint8_t *at = NULL;
    size_t room = 0;
    if (channel->channel == NULL)
        return next_of_handshake(channel, error);
    session_space(session, &at, &room);
    enum lane_channel_event event = LANE_CHANNEL_FAILED;
    switch (channel_read(channel->channel, at, room, got)) {
    case CHANNEL_BYTES:
        if (channel->stage == STAGE_ANSWERED)
            channel->stage = STAGE_WELCOME;
        event = LANE_CHANNEL_BYTES;
        break;
    case CHANNEL_NEEDS_MORE:
        event = LANE_CHANNEL_NEEDS_MORE;
        break;
    case CHANNEL_LAST:
        event = LANE_CHANNEL_LAST;
        break;
    case CHANNEL_BROKEN:
        error_set(error, CANYON_PROTOCOL,
                  "what came from %s was not sealed by it here and now: the connection was damaged or tampered with, "
                  "and was ended",
                  channel->options.address);
        break;
    }
    return event;
}

enum canyon_status lane_channel_ended(const struct lane_channel *channel, int failure, struct error *error) {
    char text[KEY_TEXT_BYTES];
    const char *address = channel->options.address;
    if (channel->stage == STAGE_PROVING && (failure == 0 || answers_in_plaintext(channel)))
        return set_not_proven(channel, error);
    if (channel->stage == STAGE_ANSWERED && failure == 0)
        return error_set(error, CANYON_UNAUTHENTICATED,
                         "%s does not accept this client's key: ask for a line \"worker NAME %s\" in its allow-list",
                         address, key_text(channel->options.own->public, text));
    if (failure != 0)
        return error_set(error, CANYON_UNAVAILABLE, "%s closed the connection: %s; is it still running?", address,
                         strerror(failure));
    return error_set(error, CANYON_UNAVAILABLE,
                     "the connection to %s was cut off, without the server's last record; is it still running?",
                     address);
}

bool lane_channel_is_torn(const struct lane_channel *channel) {
    return channel->channel != NULL && !channel_idle(channel->channel);
}

uint64_t lane_channel_carried(const struct lane_channel *channel) {
    return channel->channel != NULL ? channel_carried(channel->channel) : 0;
}
