/* Strangers of a plaintext server: the HELLO, first its header, then its message. */
#include "server/acceptor_strangers.h"

/* Welcomes it, or sends what the judgement says instead. */
static void conclude(struct stranger *stranger, enum greeting_verdict verdict, const struct message_hello *hello,
                     uint64_t request, struct greeting_answer *answer, struct error *error) {
    const struct acceptor_options *options = stranger->strangers->options;
    enum stranger_stage stage = STAGE_REFUSAL;
    if (verdict == GREETING_GOOD && census_enter(options->census, NULL, error) != CANYON_OK) {
        greeting_answer_finish(answer);
        greeting_refusal(request, error, answer);
    } else if (verdict == GREETING_GOOD) {
        stranger->arrival = stranger_arrival(stranger, hello);
        if (stranger->arrival == NULL) {
            census_leave(options->census, NULL);
            greeting_answer_finish(answer);
            stranger_dismiss(stranger);
            return;
        }
        stranger->arrival->census = options->census;
        stage = STAGE_WELCOME;
    }
    stranger_answer(stranger, stage, answer->bytes, answer->count, error->text);
}

void hello_ready(struct stranger *stranger) {
    struct frame_header header;
    struct message_hello hello;
    struct greeting_answer answer = {.bytes = NULL};
    struct error error = {.status = CANYON_OK};
    enum greeting_verdict verdict = GREETING_GOOD;
    size_t have = FRAME_HEADER_BYTES;
    if (stranger->stage == STAGE_FIRST) {
        (void)stranger_receive(stranger, stranger->first, FRAME_HEADER_BYTES);
        have = stranger->have;
    }
    if (stranger->stage == STAGE_GONE) {
        return;
    }
    /* Looked at again when the message is there: the stranger does not keep what its header says. */
    verdict = greeting_header(stranger->first, have, &header, &answer, &error);
    if (verdict == GREETING_NEEDS_MORE) {
        return;
    }
    if (verdict == GREETING_REFUSED) {
        conclude(stranger, verdict, NULL, 0, &answer, &error);
        return;
    }
    if (stranger->stage == STAGE_FIRST) {
        if (!stranger_knock(stranger)) {
            return;
        }
        stranger->stage = STAGE_THIRD;
        stranger->have = 0;
    }
    if (stranger_receive(stranger, stranger->introduction->bytes, header.message_bytes)) {
        verdict = greeting_message(stranger->strangers->options->greeting, &header, stranger->introduction->bytes,
                                   &hello, &answer, &error);
        conclude(stranger, verdict, &hello, header.request, &answer, &error);
    }
}
