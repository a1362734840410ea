/* A stranger's first bytes: the same verdict and answer however few have come, and no answer but whole frames.
 *
 * Input: the stream. */
#include "tests/fuzz/fuzz.h"

#include "server/greeting.h"

static void check_answer(const struct greeting_answer *answer, enum frame_type type) {
    struct frame_header header;
    struct message_welcome welcome;
    struct error told, error;
    const uint8_t *message = answer->bytes + FRAME_HEADER_BYTES;
    REQUIRE(answer->bytes != NULL && answer->count >= FRAME_HEADER_BYTES);
    REQUIRE(frame_header_decode(answer->bytes, FRAME_PAYLOAD_LIMIT, &header, &error) == CANYON_OK);
    REQUIRE(answer->count == FRAME_HEADER_BYTES + header.message_bytes + header.payload_bytes);
    REQUIRE(header.type == type);
    if (type == FRAME_WELCOME) {
        REQUIRE(message_unpack_welcome(message, header.message_bytes, &welcome, &error) == CANYON_OK);
    } else {
        REQUIRE(message_unpack_error(message, header.message_bytes, &told, &error) == CANYON_OK);
        REQUIRE(told.text[0] != '\0');
    }
}

static enum greeting_verdict judge_prefix(const uint8_t *data, size_t have, struct frame_header *header,
                                          struct greeting_answer *answer) {
    struct error error;
    uint8_t *exact = exact_copy(data, have);
    enum greeting_verdict verdict = greeting_header(exact, have, header, answer, &error);
    free(exact);
    REQUIRE((verdict == GREETING_REFUSED) == (answer->bytes != NULL));
    return verdict;
}

/* The verdict on all prefixes of the header; they must agree once there is one. */
static enum greeting_verdict judge_header(const uint8_t *data, size_t size, struct frame_header *header) {
    enum greeting_verdict verdict = GREETING_NEEDS_MORE;
    struct greeting_answer first = {0};
    for (size_t have = 0; have <= size && have <= FRAME_HEADER_BYTES + 1; have++) {
        struct greeting_answer answer = {0};
        enum greeting_verdict now = judge_prefix(data, have, header, &answer);
        REQUIRE(have < FRAME_HEADER_BYTES || now != GREETING_NEEDS_MORE);
        REQUIRE(verdict == GREETING_NEEDS_MORE || verdict == now);
        if (now == GREETING_REFUSED && first.bytes == NULL) {
            check_answer(&answer, FRAME_ERROR);
            first = answer;
            answer = (struct greeting_answer){0};
        } else if (now == GREETING_REFUSED) {
            REQUIRE(first.count == answer.count && memcmp(first.bytes, answer.bytes, first.count) == 0);
        }
        verdict = now;
        greeting_answer_finish(&answer);
    }
    greeting_answer_finish(&first);
    return verdict;
}

static void judge_message(const uint8_t *message, const struct frame_header *header) {
    static const uint8_t boot[BOOT_BYTES] = {1, 2, 3};
    static const char list[] = "127.0.0.1:7001,[::1]:7002";
    struct job job;
    struct greeting greeting;
    struct greeting_answer answer = {0};
    struct message_hello hello;
    struct error error;
    job_init(&job);
    snprintf(job.name, sizeof job.name, "job");
    job.shards = 8;
    job.block = 1024;
    REQUIRE(job_set_servers(&job, list, strlen(list), ',', &error) == CANYON_OK);
    greeting_init(&greeting, &job, 1, 2, boot);
    uint8_t *exact = exact_copy(message, header->message_bytes);
    enum greeting_verdict verdict = greeting_message(&greeting, header, exact, &hello, &answer, &error);
    free(exact);
    REQUIRE(verdict == GREETING_GOOD || verdict == GREETING_REFUSED);
    REQUIRE(verdict == GREETING_REFUSED || hello.thread < 2);
    check_answer(&answer, verdict == GREETING_GOOD ? FRAME_WELCOME : FRAME_ERROR);
    greeting_answer_finish(&answer);
    job_finish(&job);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct frame_header header = {0};
    enum greeting_verdict verdict = judge_header(data, size, &header);
    if (verdict == GREETING_GOOD) {
        REQUIRE(header.message_bytes <= LIMIT_MESSAGE_BYTES && header.payload_bytes == 0);
        if (size - FRAME_HEADER_BYTES >= header.message_bytes) {
            judge_message(data + FRAME_HEADER_BYTES, &header);
        }
    }
    return 0;
}
