/* The messages that go with values: pieces, and what became of them. */
#include <assert.h>
#include <string.h>

#include "common/message_codec.h"

size_t message_pack_pieces(const struct message_pieces *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    assert(message->count <= LIMIT_PIECES);
    Canyon__Pieces wire = CANYON__PIECES__INIT;
    Canyon__Piece pieces[LIMIT_PIECES];
    Canyon__Piece *list[LIMIT_PIECES];
    for (uint32_t i = 0; i < message->count; i++) {
        canyon__piece__init(&pieces[i]);
        pieces[i].tensor = message->pieces[i].tensor;
        pieces[i].block = message->pieces[i].block;
        pieces[i].elements = message->pieces[i].elements;
        pieces[i].version = message->pieces[i].version;
        pieces[i].slot = message->pieces[i].slot;
        pieces[i].codec = message->pieces[i].codec;
        pieces[i].reply = message->pieces[i].reply;
        pieces[i].kept = message->pieces[i].kept;
        pieces[i].number = message->pieces[i].number;
        list[i] = &pieces[i];
    }
    wire.n_pieces = message->count;
    wire.pieces = list;
    wire.clock = message->clock;
    wire.wait_ms = message->wait_ms;
    return message_pack(&wire.base, bytes);
}

/* A number has always the same length and is the last field of its piece, as fields are packed in their order. */
uint8_t *message_piece_number(uint8_t *bytes, size_t count, size_t *at) {
    enum { PIECE_TAG = 1 << 3 | 2, NUMBER_TAG = 9 << 3 | 1, NUMBER_BYTES = 8 };
    if (*at + 2 > count || bytes[*at] != PIECE_TAG || bytes[*at + 1] >= 0x80)
        return NULL;
    const size_t end = *at + 2 + bytes[*at + 1];
    if (end > count || bytes[*at + 1] < NUMBER_BYTES + 1 || bytes[end - NUMBER_BYTES - 1] != NUMBER_TAG)
        return NULL;
    *at = end;
    return bytes + end - NUMBER_BYTES;
}

enum canyon_status message_unpack_pieces(const uint8_t *bytes, size_t count, struct message_pieces *message,
                                         struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Pieces *wire = message_unpack(&unpacking, "PIECES", &canyon__pieces__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->count = message_take_count(&unpacking, "pieces", wire->n_pieces, LIMIT_PIECES);
    for (uint32_t i = 0; i < message->count; i++) {
        const Canyon__Piece *from = wire->pieces[i];
        struct message_piece *piece = &message->pieces[i];
        piece->tensor = from->tensor;
        piece->block = from->block;
        piece->elements =
            (uint32_t)message_take_number(&unpacking, "pieces.elements", from->elements, 0, LIMIT_BLOCK_HIGH);
        piece->version = from->version;
        piece->slot = (uint32_t)message_take_number(&unpacking, "pieces.slot", from->slot, SLOT_WEIGHTS, SLOT_HIGH);
        piece->codec = from->codec;
        piece->reply = from->reply;
        piece->kept = (uint32_t)message_take_number(&unpacking, "pieces.kept", from->kept, 0, LIMIT_BLOCK_HIGH);
        piece->number = from->number;
    }
    message->clock = wire->clock;
    message->wait_ms = (uint32_t)message_take_number(&unpacking, "wait_ms", wire->wait_ms, 0, LIMIT_WAIT_MS);
    return unpacking.status;
}

size_t message_pack_piece_results(const struct message_piece_results *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    assert(message->count <= LIMIT_PIECES);
    Canyon__PieceResults wire = CANYON__PIECE_RESULTS__INIT;
    Canyon__PieceResult results[LIMIT_PIECES];
    Canyon__PieceResult *list[LIMIT_PIECES];
    for (uint32_t i = 0; i < message->count; i++) {
        canyon__piece_result__init(&results[i]);
        results[i].code = (uint32_t)message->results[i].status;
        results[i].version = message->results[i].version;
        results[i].staleness = message->results[i].staleness;
        results[i].applied = message->results[i].applied;
        results[i].stable = message->results[i].stable;
        list[i] = &results[i];
    }
    wire.n_results = message->count;
    wire.results = list;
    wire.text = message_give_text(message->text);
    wire.clock = message->clock;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_piece_results(const uint8_t *bytes, size_t count,
                                                struct message_piece_results *message, struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__PieceResults *wire =
        message_unpack(&unpacking, "PIECE_RESULTS", &canyon__piece_results__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->count = message_take_count(&unpacking, "results", wire->n_results, LIMIT_PIECES);
    for (uint32_t i = 0; i < message->count; i++) {
        message->results[i].status = message_status(wire->results[i]->code);
        message->results[i].version = wire->results[i]->version;
        message->results[i].staleness = wire->results[i]->staleness;
        message->results[i].applied = wire->results[i]->applied;
        message->results[i].stable = wire->results[i]->stable;
    }
    message_take_prose(wire->text, message->text, sizeof message->text);
    message->clock = wire->clock;
    return unpacking.status;
}
