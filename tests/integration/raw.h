/* A client made of frames only, for what the library would never send: stalls, garbage, half a creation, slow reading.
 *
 * Where the server is encrypted, raw_open makes a channel with the keys in CANYON_HOME, and everything after it is
 * sealed: so that it is an authenticated client that misbehaves. Before it, bytes go out as they are. */
#ifndef TESTS_INTEGRATION_RAW_H
#define TESTS_INTEGRATION_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/channel.h"
#include "common/frame.h"
#include "common/message.h"

struct raw {
    int descriptor;
    struct channel *channel; /* NULL: plaintext */
    uint8_t *sealed;         /* what raw_send_some sealed and the socket did not take: [begin, end) */
    size_t begin, end;
    struct frame_reader reader;
    uint64_t request; /* the last one used */
};

/* Connects the socket and says nothing. `receive_bytes` is its receive buffer, 0 for the system's. Fails the test when
 * it cannot. */
void raw_connect(struct raw *raw, const char *address, int receive_bytes);

/* The same, and makes a channel that carries this hello, a whole frame; in plaintext it sends the frame. */
void raw_introduce(struct raw *raw, const char *address, const uint8_t *hello, size_t hello_bytes);

/* Connects and says hello to a thread of the server; `welcome` may be NULL. */
void raw_open(struct raw *raw, const char *address, uint32_t thread, struct message_welcome *welcome);

/* Safe on a closed one. */
void raw_close(struct raw *raw);

/* Sends bytes of the protocol, whatever they are. False when the server closed the connection. */
bool raw_send_bytes(struct raw *raw, const void *bytes, size_t count);

/* Sends one frame with the next request id; returns the id. */
uint64_t raw_send(struct raw *raw, uint16_t type, const uint8_t *message, size_t message_bytes, const void *payload,
                  size_t payload_bytes);

/* As many of the bytes as the socket takes without waiting. */
size_t raw_send_some(struct raw *raw, const void *bytes, size_t count);

/* Writes a frame into `bytes` and returns its length. */
size_t raw_frame(uint8_t *bytes, uint16_t type, uint64_t request, const uint8_t *message, size_t message_bytes,
                 const void *payload, size_t payload_bytes);

enum raw_result { RAW_FRAME, RAW_CLOSED, RAW_SILENCE };

/* The next frame, receiving from the socket at most `piece` bytes at a time (0: as many as come). Borrowed until the
 * next call. */
enum raw_result raw_receive(struct raw *raw, struct frame *frame, size_t piece, uint32_t wait_ms);

/* Receives a frame of this type and this request, or fails the test. */
void raw_expect(struct raw *raw, struct frame *frame, uint16_t type, uint64_t request);

/* Receives an ERROR and returns its code; `text` may be NULL. */
enum canyon_status raw_expect_error(struct raw *raw, char text[ERROR_TEXT_BYTES]);

/* The server ends the connection within `wait_ms`; what it still sends first is dropped, but an ERROR among it is kept
 * in `error` when that is not NULL. */
bool raw_ends(struct raw *raw, struct error *error, uint32_t wait_ms);

/* Asks for a complete tensor by name and returns its id, or fails the test. */
uint64_t raw_find(struct raw *raw, const char *name);

/* A spec of one dimension with sgd at its defaults and the initializer VALUES or ZEROS. */
struct tensor_spec raw_spec(const char *name, uint64_t elements, bool values);

#endif
