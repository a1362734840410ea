/* How a server greets: from the first frame of a connection to the bytes of the answer. No socket in sight.
 *
 * The first frame must be a HELLO of at most GREETING_HELLO_BYTES. It is judged as early as its bytes allow, so that a
 * stranger costs no more than the memory of one small message: first the header (greeting_header), then the message
 * (greeting_message). */
#ifndef CANYON_SERVER_GREETING_H
#define CANYON_SERVER_GREETING_H

#include <stddef.h>
#include <stdint.h>

#include "common/frame.h"
#include "common/job.h"
#include "common/message.h"

#define GREETING_PROTOCOL    1
#define GREETING_HELLO_BYTES 448 /* most bytes of the frame HELLO */

/* What the server says of itself. `job` is borrowed; the rest is filled by greeting_init. */
struct greeting {
    const struct job *job;
    uint32_t server; /* index in job's list */
    uint32_t threads;
    uint8_t boot[BOOT_BYTES];
    uint8_t digest[JOB_DIGEST_BYTES];
};

/* An answer. `bytes` is owned: free it with greeting_answer_finish. */
struct greeting_answer {
    uint8_t *bytes; /* one frame: WELCOME, or ERROR; NULL when memory could not be had */
    size_t count;
};

void greeting_init(struct greeting *greeting, const struct job *job, uint32_t server, uint32_t threads,
                   const uint8_t boot[BOOT_BYTES]);

void greeting_answer_finish(struct greeting_answer *answer);

enum greeting_verdict {
    GREETING_NEEDS_MORE, /* bytes */
    GREETING_GOOD,       /* go on */
    GREETING_REFUSED     /* send `answer`, then close; the reason is in `error` too, for the log */
};

/* Judges the `have` first bytes of a connection (up to FRAME_HEADER_BYTES are looked at). GOOD when the header is
 * whole: header->message_bytes bytes of message follow. A stranger is refused after 8 bytes. */
enum greeting_verdict greeting_header(const uint8_t *bytes, size_t have, struct frame_header *header,
                                      struct greeting_answer *answer, struct error *error);

/* Judges the HELLO's message. Both GOOD (a WELCOME; `hello` is filled, hello->thread is valid) and REFUSED have an
 * answer. CANYON_UNSUPPORTED       another protocol number CANYON_INVALID_ARGUMENT  a thread this server does not have
 *   CANYON_CONFIGURATION     the client expects another job; the text says what this server is configured with */
enum greeting_verdict greeting_message(const struct greeting *greeting, const struct frame_header *header,
                                       const uint8_t *message, struct message_hello *hello,
                                       struct greeting_answer *answer, struct error *error);

/* An ERROR frame in answer to `request` (0: to none). */
void greeting_refusal(uint64_t request, const struct error *error, struct greeting_answer *answer);

#endif
