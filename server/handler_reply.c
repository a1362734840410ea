#include "server/handler_state.h"

#include <assert.h>

uint8_t *reply_message(struct handler *handler) {
    return handler->reply + FRAME_HEADER_BYTES;
}

void reply_send(struct handler *handler, const struct request *request, enum frame_type type, size_t message_bytes,
                size_t payload_count) {
    size_t payload_bytes = 0;
    assert(message_bytes <= LIMIT_MESSAGE_BYTES && payload_count <= LIMIT_PIECES);
    for (size_t i = 1; i <= payload_count; i++) {
        payload_bytes += handler->slices[i].count;
    }
    assert(payload_bytes <= FRAME_PAYLOAD_LIMIT);
    struct frame_header header = {
        .type = (uint16_t)type,
        .message_bytes = (uint32_t)message_bytes,
        .payload_bytes = (uint32_t)payload_bytes,
        .request = request->id,
    };
    frame_header_encode(&header, handler->reply);
    handler->slices[0] = (struct handler_slice){handler->reply, FRAME_HEADER_BYTES + message_bytes};
    request->peer->send(request->peer, handler->slices, 1 + payload_count);
}

void reply_error(struct handler *handler, const struct request *request, const struct error *error) {
    handler->counters.errors++;
    reply_send(handler, request, FRAME_ERROR, message_pack_error(error, reply_message(handler)), 0);
}

void reply_end(struct handler *handler, struct handler_peer *peer, const struct error *error) {
    const struct request nothing = {.peer = peer};
    handler_forget_parked(handler, peer);
    reply_error(handler, &nothing, error);
    peer->ended = true;
    if (peer->close != NULL) {
        peer->close(peer);
    }
}
