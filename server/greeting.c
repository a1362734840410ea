#include "server/greeting.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX_BYTES 8 /* magic, version, flags and type: what every version keeps */

void greeting_init(struct greeting *greeting, const struct job *job, uint32_t server, uint32_t threads,
                   const uint8_t boot[BOOT_BYTES]) {
    assert(server < job->server_count && threads > 0);
    greeting->job = job;
    greeting->server = server;
    greeting->threads = threads;
    memcpy(greeting->boot, boot, BOOT_BYTES);
    job_digest(job, greeting->digest);
}

void greeting_answer_finish(struct greeting_answer *answer) {
    if (answer != NULL) {
        free(answer->bytes);
        *answer = (struct greeting_answer){0};
    }
}

/* Builds one frame; answer->bytes is NULL when there is no memory. */
static void build(struct greeting_answer *answer, enum frame_type type, uint64_t request, const uint8_t *message,
                  size_t message_bytes, size_t payload_bytes) {
    struct frame_header header = {.type = (uint16_t)type,
                                  .message_bytes = (uint32_t)message_bytes,
                                  .payload_bytes = (uint32_t)payload_bytes,
                                  .request = request};
    answer->count = FRAME_HEADER_BYTES + message_bytes + payload_bytes;
    answer->bytes = malloc(answer->count);
    if (answer->bytes == NULL) {
        answer->count = 0;
        return;
    }
    frame_header_encode(&header, answer->bytes);
    memcpy(answer->bytes + FRAME_HEADER_BYTES, message, message_bytes);
}

void greeting_refusal(uint64_t request, const struct error *error, struct greeting_answer *answer) {
    uint8_t message[LIMIT_MESSAGE_BYTES];
    size_t count = message_pack_error(error, message);
    build(answer, FRAME_ERROR, request, message, count, 0);
}

static enum greeting_verdict refuse(uint64_t request, const struct error *error, struct greeting_answer *answer) {
    greeting_refusal(request, error, answer);
    return GREETING_REFUSED;
}

enum greeting_verdict greeting_header(const uint8_t *bytes, size_t have, struct frame_header *header,
                                      struct greeting_answer *answer, struct error *error) {
    uint8_t padded[FRAME_HEADER_BYTES] = {0};
    if (have < PREFIX_BYTES) {
        return GREETING_NEEDS_MORE;
    }
    /* First the prefix with lengths of zero, then the whole: what is refused for its prefix is refused in the same
     * words however much has come. All refusals here are the last word on a stream that cannot be read on, so they
     * answer no request (id 0): its id may not have come yet. */
    memcpy(padded, bytes, PREFIX_BYTES);
    if (frame_header_decode(padded, FRAME_PAYLOAD_LIMIT, header, error) != CANYON_OK) {
        return refuse(0, error, answer);
    }
    if (header->type != FRAME_HELLO) {
        error_set(error, CANYON_PROTOCOL, "the first frame of a connection must be HELLO, not %s (type %u)",
                  frame_type_name(header->type), header->type);
        return refuse(0, error, answer);
    }
    if (have < FRAME_HEADER_BYTES) {
        return GREETING_NEEDS_MORE;
    }
    /* Any payload is too large for a HELLO, but the general limit first: its text names the fault better. */
    if (frame_header_decode(bytes, FRAME_PAYLOAD_LIMIT, header, error) != CANYON_OK) {
        return refuse(0, error, answer);
    }
    if (header->payload_bytes > 0) {
        error_set(error, CANYON_PROTOCOL, "a HELLO has no payload, but its header announces %u bytes",
                  header->payload_bytes);
        return refuse(0, error, answer);
    }
    if (header->message_bytes > GREETING_HELLO_BYTES - FRAME_HEADER_BYTES) {
        error_set(error, CANYON_TOO_LARGE, "a HELLO has a message of at most %d bytes, but its header announces %u",
                  GREETING_HELLO_BYTES - FRAME_HEADER_BYTES, header->message_bytes);
        return refuse(0, error, answer);
    }
    return GREETING_GOOD;
}

/* "127.0.0.1:1,127.0.0.1:2", cut with "..." where it does not fit. */
static const char *list_text(const struct job *job, char *text, size_t bytes) {
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < job->server_count; ++i) {
        size_t need = strlen(job->servers[i]) + (i > 0);
        if (used + need + sizeof "..." > bytes) {
            snprintf(text + used, bytes - used, "...");
            break;
        }
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", i > 0 ? "," : "", job->servers[i]);
    }
    return text;
}

static enum canyon_status check_hello(const struct greeting *greeting, const struct message_hello *hello,
                                      struct error *error) {
    const struct job *job = greeting->job;
    char list[120];
    if (hello->protocol != GREETING_PROTOCOL) {
        return error_set(error, CANYON_UNSUPPORTED,
                         "the client speaks protocol %" PRIu32 ", this server protocol %d: update the older of the two",
                         hello->protocol, GREETING_PROTOCOL);
    }
    if (hello->has_digest && memcmp(hello->digest, greeting->digest, JOB_DIGEST_BYTES) != 0) {
        return error_set(
            error, CANYON_CONFIGURATION,
            "server %.70s is configured differently: it has job=%.40s shards=%" PRIu32 " block=%" PRIu32 " servers=%s",
            job->servers[greeting->server], job->name, job->shards, job->block, list_text(job, list, sizeof list));
    }
    if (hello->thread >= greeting->threads) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "the client asks for thread %" PRIu32 ", but server %.100s has %" PRIu32 " (counted from 0)",
                         hello->thread, job->servers[greeting->server], greeting->threads);
    }
    return CANYON_OK;
}

static void welcome(const struct greeting *greeting, uint64_t request, uint32_t thread,
                    struct greeting_answer *answer) {
    const struct job *job = greeting->job;
    struct message_welcome message = {.protocol = GREETING_PROTOCOL,
                                      .thread = thread,
                                      .threads = greeting->threads,
                                      .shards = job->shards,
                                      .block = job->block,
                                      .server = greeting->server};
    uint8_t packed[LIMIT_MESSAGE_BYTES];
    size_t payload = 0;
    memcpy(message.boot, greeting->boot, BOOT_BYTES);
    memcpy(message.digest, greeting->digest, JOB_DIGEST_BYTES);
    snprintf(message.job, sizeof message.job, "%s", job->name);
    snprintf(message.version, sizeof message.version, "%s", CANYON_VERSION_TEXT);
    for (uint32_t i = 0; i < job->server_count; ++i) {
        payload += strlen(job->servers[i]) + (i > 0);
    }
    size_t count = message_pack_welcome(&message, packed);
    build(answer, FRAME_WELCOME, request, packed, count, payload);
    if (answer->bytes != NULL) {
        uint8_t *at = answer->bytes + FRAME_HEADER_BYTES + count;
        for (uint32_t i = 0; i < job->server_count; ++i) {
            size_t length = strlen(job->servers[i]);
            if (i > 0) {
                *at++ = '\n';
            }
            memcpy(at, job->servers[i], length);
            at += length;
        }
    }
}

enum greeting_verdict greeting_message(const struct greeting *greeting, const struct frame_header *header,
                                       const uint8_t *message, struct message_hello *hello,
                                       struct greeting_answer *answer, struct error *error) {
    if (message_unpack_hello(message, header->message_bytes, hello, error) != CANYON_OK ||
        check_hello(greeting, hello, error) != CANYON_OK) {
        return refuse(header->request, error, answer);
    }
    welcome(greeting, header->request, hello->thread, answer);
    return GREETING_GOOD;
}
