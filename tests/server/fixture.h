/* A real canyon-server process for a test, and clients made of frames by hand: what no well-behaved library would send.
 *
 * Every server gets a listening socket that the test made (--listen fd:N), so connections queue from the first moment
 * and no port is raced for. Everything here fails the cmocka test when it cannot do its work; fixture_end, as teardown,
 * ends what a failed test left and shows the servers' logs. */
#ifndef TESTS_SERVER_FIXTURE_H
#define TESTS_SERVER_FIXTURE_H

#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/channel.h"
#include "common/frame.h"
#include "common/message.h"

#define PATIENCE_MS 20000 /* for what must happen, on a busy machine under a sanitizer */
#define BINARY      CANYON_BINARY_DIR "/bin/canyon-server"

struct process {
    pid_t pid;
    bool ipv6;
    bool encrypted;
    uint16_t port;
    char log[64]; /* path */
};

struct peer {
    int descriptor;
    struct channel *channel; /* NULL in plaintext, and until the handshake is done */
    struct frame_reader reader;
    uint64_t request; /* id of the last one sent */
};

int fixture_end(void **state);

/* From now on servers that are started encrypt, with the keys of keys.h, and peers are admins. Before, both speak
 * plaintext. */
void fixture_encrypt(bool encrypt);

/* ---- processes ---- */

/* Starts a server on a fresh loopback port. `arguments` (NULL-terminated, may be NULL) follow --listen;
 * `descriptors` above zero is its limit of open files. */
struct process *process_start(bool ipv6, const char *const *arguments, unsigned descriptors);

/* Starts the binary with exactly these arguments (NULL-terminated); standard output and error go to its log. */
struct process *process_run(const char *const *arguments);

void process_signal(struct process *process, int number);

/* Its exit code, or 128 + the signal that ended it. Frees it. */
int process_wait(struct process *process, unsigned wait_ms);

/* SIGTERM and exit code 0. */
void process_stop(struct process *process);

/* Waits until its log holds `text`. */
bool process_logged(struct process *process, const char *text, unsigned wait_ms);

/* "VmRSS", "VmHWM" in KiB. */
size_t process_memory(const struct process *process, const char *key);

/* ---- peers (peer.c) ---- */

/* Closes those that are open; fixture_end does. */
void peers_end(void);

/* Connects and says nothing; `receive_bytes` above zero is its receive buffer. */
void peer_connect(struct peer *peer, const struct process *process, int receive_bytes);

/* Connects, says hello to a thread and takes the welcome (which may be NULL). */
void peer_open(struct peer *peer, const struct process *process, uint32_t thread, struct message_welcome *welcome);

/* What a peer may say of itself. Zeroes: the usual. */
struct introduction_options {
    const struct key_pair *key; /* the client's; the admin's */
    const uint8_t *server;      /* the public key it takes the server for; the server's */
    enum channel_cipher cipher;
    uint32_t thread;
    uint8_t session[SESSION_BYTES];    /* a new one */
    const void *hello;                 /* instead of the frame HELLO */
    size_t hello_bytes;                /* of it */
    const struct sockaddr_in *address; /* to connect from */
    int receive_bytes;                 /* as in peer_connect */
    bool byte_by_byte;
    uint8_t *transcript; /* receives the first and the third message, CHANNEL_FIRST_BYTES + CHANNEL_THIRD_LIMIT_BYTES */
    size_t transcript_bytes;
};

/* Connects to an encrypting server and does the handshake; false when the server closes the connection before it is
 * done. What comes then, a WELCOME or an ERROR, is for the caller to receive; it answers request 1. */
bool peer_introduce(struct peer *peer, const struct process *process, struct introduction_options *options);

/* The same, and takes the welcome. */
void peer_open_as(struct peer *peer, const struct process *process, int key);

/* Says that this is all, as a client does before it closes; peer_close is an abort without. */
void peer_finish(struct peer *peer);

void peer_close(struct peer *peer);

/* To the socket as they are. False when the server does not take them all. */
bool peer_write_raw(struct peer *peer, const void *bytes, size_t count);

/* As frames, sealed where there is a channel. False when the server does not take them all. */
bool peer_write(struct peer *peer, const void *bytes, size_t count);

/* Sends one frame and returns its request id. `message` may be NULL. */
uint64_t peer_send(struct peer *peer, unsigned type, const uint8_t *message, size_t message_bytes, const void *payload,
                   size_t payload_bytes);

/* END: the stream ended, with a last record where there is a channel. CUT: it ended without. */
enum peer_result { PEER_FRAME, PEER_END, PEER_CUT, PEER_SILENCE };

/* The next frame, borrowed until the next call. */
enum peer_result peer_receive(struct peer *peer, struct frame *frame, unsigned wait_ms);

/* A frame of this type in answer to this request. */
void peer_expect(struct peer *peer, struct frame *frame, unsigned type, uint64_t request);

/* An ERROR in answer to this request; its text contains `part`. */
void peer_expect_error(struct peer *peer, uint64_t request, enum canyon_status status, const char *part);

/* The server closes the connection, having sent nothing more (but its last record). */
void peer_expect_end(struct peer *peer, unsigned wait_ms);

/* Creates a tensor of zeros of one dimension with sgd on a server of one thread, and returns its id. */
uint64_t peer_create(struct peer *peer, const char *name, uint64_t elements);

/* Packs one piece. */
size_t piece_pack(uint64_t tensor, uint32_t block, uint32_t elements, uint64_t version, uint8_t *bytes);

/* Sends a STATISTICS request and takes the answer: the connection is well. */
void peer_check(struct peer *peer);

uint64_t now_ms(void);
void sleep_ms(unsigned ms);

#endif
