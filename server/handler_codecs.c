/* The forms in which a piece's values travel: decoded to float32 before the shard sees them, encoded after it. Nothing
 * here allocates: the handler has room for one block's gradient and for the largest reply. */
#include <assert.h>
#include <stdlib.h>

#include "server/handler_state.h"

#define ALIGNMENT 64

static size_t aligned(size_t bytes) {
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

bool codecs_init(struct handler_codecs *codecs, const struct job *job) {
    codecs->gradient = aligned_alloc(ALIGNMENT, aligned(CODEC_SINGLE((size_t)job->block)));
    codecs->reply = aligned_alloc(ALIGNMENT, aligned(handler_payload_limit(job)));
    codecs->used = 0;
    return codecs->gradient != NULL && codecs->reply != NULL;
}

void codecs_finish(struct handler_codecs *codecs) {
    free(codecs->gradient);
    free(codecs->reply);
}

enum canyon_status codecs_check(unsigned type, const struct message_piece *piece, struct error *error) {
    const char *name = frame_type_name(type);
    bool gradient = type == FRAME_PUSH || type == FRAME_PUSH_PULL;
    bool weights = (type == FRAME_PULL || type == FRAME_PUSH_PULL) && piece->slot == SLOT_WEIGHTS;
    if (piece->codec > CODEC_LAST || piece->reply > CODEC_LAST) {
        return error_set(error, CANYON_UNSUPPORTED, "%s names codec %u, which is not known to this server (version %s)",
                         name, piece->codec > CODEC_LAST ? piece->codec : piece->reply, CANYON_VERSION_TEXT);
    }
    if (piece->codec != CODEC_F32 && !gradient) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "%s names codec %s: of what is sent, only gradients have one",
                         name, codec_name(piece->codec));
    }
    if (piece->reply != CODEC_F32 && !weights) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "%s asks for a reply as %s: of what is answered, only weights have a codec", name,
                         codec_name(piece->reply));
    }
    if (piece->reply == CODEC_TOPK) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "%s asks for weights as topk, which is for gradients", name);
    }
    if (piece->kept > (piece->codec == CODEC_TOPK ? piece->elements : 0)) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "%s keeps %u of %u values as %s", name, piece->kept,
                         piece->elements, codec_name(piece->codec));
    }
    return CANYON_OK;
}

enum canyon_status codecs_gradient(struct handler_codecs *codecs, const struct message_piece *piece,
                                   const uint8_t *payload, const float **values, struct error *error) {
    if (piece->codec == CODEC_F32) {
        *values = (const float *)(const void *)payload; /* NULL when all pieces are empty */
        return CANYON_OK;
    }
    *values = codecs->gradient;
    return codec_decode(piece->codec, payload, piece_bytes(piece), piece->elements, piece->kept, codecs->gradient,
                        error);
}

void codecs_weights(struct handler_codecs *codecs, const struct message_piece *piece, uint64_t home, uint64_t version,
                    struct handler_slice *slice) {
    size_t bytes = piece_reply_bytes(piece);
    if (piece->reply == CODEC_F32) {
        return;
    }
    uint8_t *to = codecs->reply + codecs->used;
    codec_encode((enum codec)piece->reply, slice->bytes, piece->elements, codec_seed(home, piece->block, version), to);
    *slice = (struct handler_slice){to, bytes};
    codecs->used += bytes;
}
