#include "tests/integration/raw.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/address.h"
#include "common/random.h"
#include "tests/integration/harness.h"

#define SEALED_BYTES 65536

static int socket_to(const char *address, int receive_bytes) {
    struct address parsed;
    struct error error;
    if (address_parse(address, &parsed, &error) != CANYON_OK)
        check_fail("%s", error.text);
    bool ipv6 = strchr(parsed.host, ':') != NULL;
    int descriptor = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    check(descriptor >= 0 && setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
    if (receive_bytes > 0)
        check(setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes) == 0);
    int bad;
    if (ipv6) {
        struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons(parsed.port)};
        bad = inet_pton(AF_INET6, parsed.host, &name.sin6_addr) != 1 ||
              connect(descriptor, (const struct sockaddr *)&name, sizeof name);
    } else {
        struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(parsed.port)};
        bad = inet_pton(AF_INET, parsed.host, &name.sin_addr) != 1 ||
              connect(descriptor, (const struct sockaddr *)&name, sizeof name);
    }
    if (bad)
        check_fail("connecting to %s: %s", address, strerror(errno));
    return descriptor;
}

void raw_connect(struct raw *raw, const char *address, int receive_bytes) {
    struct error error;
    *raw = (struct raw){.descriptor = socket_to(address, receive_bytes)};
    check(frame_reader_init(&raw->reader, FRAME_PAYLOAD_LIMIT, NULL, NULL, &error) == CANYON_OK);
}

/* ---- The channel ------------------------------------------------------------------------------------------------ */

static bool send_all(int descriptor, const uint8_t *at, size_t count) {
    while (count > 0) {
        ssize_t sent = send(descriptor, at, count, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        at += sent;
        count -= (size_t)sent;
    }
    return true;
}

/* A key of the home directory that the environment names: the harness's, or that of a script. */
static struct key_pair *read_key(const char *name) {
    struct key_pair *pair = NULL;
    struct error error;
    char path[512];
    snprintf(path, sizeof path, "%s/%s", getenv("CANYON_HOME"), name);
    if (key_file_read(path, &pair, &error) != CANYON_OK)
        check_fail("%s", error.text);
    return pair;
}

/* The initiator's half of the handshake. */
static void shake_hands(struct raw *raw, const uint8_t *hello, size_t hello_bytes) {
    uint8_t seed[KEY_BYTES], first[CHANNEL_FIRST_BYTES], second[CHANNEL_SECOND_BYTES], third[CHANNEL_THIRD_LIMIT_BYTES];
    size_t third_bytes = 0;
    struct key_pair *own = read_key("key"), *server = read_key("server.key");
    check(random_start(NULL) == CANYON_OK);
    random_fill(seed, sizeof seed);
    struct channel_handshake *handshake = channel_initiate(CHANNEL_CHACHA20POLY1305, own, server->public, seed);
    check(handshake != NULL && channel_write_first(handshake, first) == CANYON_OK);
    check(send_all(raw->descriptor, first, sizeof first));
    check(recv(raw->descriptor, second, sizeof second, MSG_WAITALL) == (ssize_t)sizeof second);
    check(channel_read_second(handshake, second) == CANYON_OK);
    check(channel_write_third(handshake, hello, hello_bytes, third, &third_bytes) == CANYON_OK);
    check(send_all(raw->descriptor, third, third_bytes));
    raw->channel = channel_establish(handshake);
    raw->sealed = malloc(SEALED_BYTES);
    check(raw->channel != NULL && raw->sealed != NULL);
    channel_handshake_destroy(handshake);
    key_pair_destroy(own);
    key_pair_destroy(server);
}

void raw_introduce(struct raw *raw, const char *address, const uint8_t *hello, size_t hello_bytes) {
    raw_connect(raw, address, 0);
    if (getenv("CANYON_HOME") == NULL || harness_is_plaintext(address))
        raw_send_bytes(raw, hello, hello_bytes);
    else
        shake_hands(raw, hello, hello_bytes);
}

void raw_open(struct raw *raw, const char *address, uint32_t thread, struct message_welcome *welcome) {
    static _Atomic uint32_t opened;
    struct message_hello hello = {.protocol = FRAME_VERSION, .thread = thread, .session = {1}, .name = "raw"};
    uint32_t mark[2] = {(uint32_t)getpid(), atomic_fetch_add(&opened, 1)};
    memcpy(hello.session + 1, mark, sizeof mark);
    uint8_t message[LIMIT_MESSAGE_BYTES], bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    size_t count = raw_frame(bytes, FRAME_HELLO, 1, message, message_pack_hello(&hello, message), NULL, 0);
    raw_introduce(raw, address, bytes, count);
    raw->request = 1;
    struct frame frame;
    raw_expect(raw, &frame, FRAME_WELCOME, raw->request);
    struct message_welcome ignored;
    struct error error;
    check(message_unpack_welcome(frame.message, frame.header.message_bytes, welcome ? welcome : &ignored, &error) ==
          CANYON_OK);
}

void raw_close(struct raw *raw) {
    if (raw->descriptor >= 0) {
        close(raw->descriptor);
        frame_reader_finish(&raw->reader);
        channel_destroy(raw->channel);
        free(raw->sealed);
    }
    raw->channel = NULL;
    raw->sealed = NULL;
    raw->descriptor = -1;
}

/* ---- Bytes out -------------------------------------------------------------------------------------------------- */

/* Seals as many of the bytes as there is room for, when nothing waits; returns how many. */
static size_t seal_some(struct raw *raw, const void *bytes, size_t count) {
    union {
        const void *from;
        void *to;
    } base = {bytes};
    const struct iovec slice = {.iov_base = base.to, .iov_len = count};
    size_t taken = 0;
    raw->begin = 0;
    raw->end = channel_seal(raw->channel, &slice, 1, 0, raw->sealed, SEALED_BYTES, &taken);
    return taken;
}

bool raw_send_bytes(struct raw *raw, const void *bytes, size_t count) {
    const uint8_t *at = bytes;
    if (raw->channel == NULL)
        return send_all(raw->descriptor, at, count);
    bool good = send_all(raw->descriptor, raw->sealed + raw->begin, raw->end - raw->begin);
    while (good && count > 0) {
        size_t taken = seal_some(raw, at, count);
        good = send_all(raw->descriptor, raw->sealed, raw->end);
        at += taken;
        count -= taken;
    }
    raw->begin = raw->end = 0;
    return good;
}

static size_t send_some(int descriptor, const void *bytes, size_t count) {
    ssize_t sent = send(descriptor, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent > 0 ? (size_t)sent : 0;
}

size_t raw_send_some(struct raw *raw, const void *bytes, size_t count) {
    size_t taken = 0;
    if (raw->channel == NULL)
        return send_some(raw->descriptor, bytes, count);
    if (raw->begin == raw->end)
        taken = seal_some(raw, bytes, count);
    raw->begin += send_some(raw->descriptor, raw->sealed + raw->begin, raw->end - raw->begin);
    return taken;
}

size_t raw_frame(uint8_t *bytes, uint16_t type, uint64_t request, const uint8_t *message, size_t message_bytes,
                 const void *payload, size_t payload_bytes) {
    struct frame_header header = {.type = type,
                                  .message_bytes = (uint32_t)message_bytes,
                                  .payload_bytes = (uint32_t)payload_bytes,
                                  .request = request};
    frame_header_encode(&header, bytes);
    if (message_bytes > 0)
        memcpy(bytes + FRAME_HEADER_BYTES, message, message_bytes);
    if (payload_bytes > 0)
        memcpy(bytes + FRAME_HEADER_BYTES + message_bytes, payload, payload_bytes);
    return FRAME_HEADER_BYTES + message_bytes + payload_bytes;
}

uint64_t raw_send(struct raw *raw, uint16_t type, const uint8_t *message, size_t message_bytes, const void *payload,
                  size_t payload_bytes) {
    uint8_t head[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    struct frame_header header = {.type = type,
                                  .message_bytes = (uint32_t)message_bytes,
                                  .payload_bytes = (uint32_t)payload_bytes,
                                  .request = ++raw->request};
    frame_header_encode(&header, head);
    if (message_bytes > 0)
        memcpy(head + FRAME_HEADER_BYTES, message, message_bytes);
    raw_send_bytes(raw, head, FRAME_HEADER_BYTES + message_bytes);
    if (payload_bytes > 0)
        raw_send_bytes(raw, payload, payload_bytes);
    return raw->request;
}

/* ---- Bytes in --------------------------------------------------------------------------------------------------- */

/* What the channel holds of plaintext goes to the reader; RAW_SILENCE when that is nothing. */
static enum raw_result open_records(struct raw *raw, uint8_t *at, size_t room) {
    size_t got = 0;
    enum raw_result result = RAW_SILENCE;
    switch (channel_read(raw->channel, at, room, &got)) {
    case CHANNEL_BYTES:
        frame_reader_received(&raw->reader, got);
        result = RAW_FRAME;
        break;
    case CHANNEL_NEEDS_MORE:
        break;
    case CHANNEL_LAST:
        result = RAW_CLOSED;
        break;
    case CHANNEL_BROKEN:
        check_fail("the server's bytes are not records");
    }
    return result;
}

enum raw_result raw_receive(struct raw *raw, struct frame *frame, size_t piece, uint32_t wait_ms) {
    uint64_t end = now_ms() + wait_ms;
    for (;;) {
        struct error error;
        enum frame_reader_result result = frame_reader_next(&raw->reader, frame, &error);
        if (result == FRAME_READER_FRAME)
            return RAW_FRAME;
        if (result == FRAME_READER_BROKEN)
            check_fail("the server's bytes are not frames: %s", error.text);
        uint8_t *at;
        size_t room;
        frame_reader_space(&raw->reader, &at, &room);
        enum raw_result opened = raw->channel ? open_records(raw, at, room) : RAW_SILENCE;
        if (opened == RAW_CLOSED)
            return RAW_CLOSED;
        if (opened == RAW_FRAME)
            continue;
        uint64_t now = now_ms();
        struct pollfd waiting = {.fd = raw->descriptor, .events = POLLIN};
        if (now >= end || poll(&waiting, 1, (int)(end - now)) <= 0)
            return RAW_SILENCE;
        if (raw->channel)
            channel_space(raw->channel, &at, &room);
        ssize_t got = recv(raw->descriptor, at, piece > 0 && piece < room ? piece : room, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return RAW_CLOSED;
        if (raw->channel)
            channel_received(raw->channel, (size_t)got);
        else
            frame_reader_received(&raw->reader, (size_t)got);
    }
}

void raw_expect(struct raw *raw, struct frame *frame, uint16_t type, uint64_t request) {
    enum raw_result result = raw_receive(raw, frame, 0, PATIENCE_MS);
    if (result != RAW_FRAME)
        check_fail("expected %s, but %s", frame_type_name(type),
                   result == RAW_CLOSED ? "the connection was closed" : "nothing came");
    if (frame->header.type == FRAME_ERROR && type != FRAME_ERROR) {
        struct error said, error;
        check(message_unpack_error(frame->message, frame->header.message_bytes, &said, &error) == CANYON_OK);
        check_fail("expected %s, but the server says %s: %s", frame_type_name(type), canyon_status_name(said.status),
                   said.text);
    }
    if (frame->header.type != type || frame->header.request != request)
        check_fail("expected %s for request %llu, got %s for %llu", frame_type_name(type), (unsigned long long)request,
                   frame_type_name(frame->header.type), (unsigned long long)frame->header.request);
}

enum canyon_status raw_expect_error(struct raw *raw, char text[ERROR_TEXT_BYTES]) {
    struct frame frame;
    raw_expect(raw, &frame, FRAME_ERROR, raw->request);
    struct error said, error;
    check(message_unpack_error(frame.message, frame.header.message_bytes, &said, &error) == CANYON_OK);
    if (text)
        memcpy(text, said.text, ERROR_TEXT_BYTES);
    return said.status;
}

bool raw_ends(struct raw *raw, struct error *error, uint32_t wait_ms) {
    uint64_t end = now_ms() + wait_ms;
    for (;;) {
        uint64_t now = now_ms();
        struct frame frame;
        enum raw_result result = raw_receive(raw, &frame, 0, now < end ? (uint32_t)(end - now) : 0);
        struct error ignored;
        if (result == RAW_FRAME && frame.header.type == FRAME_ERROR && error)
            check(message_unpack_error(frame.message, frame.header.message_bytes, error, &ignored) == CANYON_OK);
        if (result != RAW_FRAME)
            return result == RAW_CLOSED;
    }
}

uint64_t raw_find(struct raw *raw, const char *name) {
    struct message_open open = {.wait_ms = PATIENCE_MS / 2};
    snprintf(open.name, sizeof open.name, "%s", name);
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    uint64_t request = raw_send(raw, FRAME_OPEN, bytes, message_pack_open(&open, bytes), NULL, 0);
    struct frame frame;
    raw_expect(raw, &frame, FRAME_OPENED, request);
    struct tensor_info info;
    struct error error;
    check(message_unpack_opened(frame.message, frame.header.message_bytes, &info, &error) == CANYON_OK);
    return info.id;
}

struct tensor_spec raw_spec(const char *name, uint64_t elements, bool values) {
    struct tensor_spec spec = {.shape = {.rank = 1, .dims = {elements}},
                               .optimizer = {.name = "sgd"},
                               .initializer = {.kind = values ? INITIALIZER_VALUES : INITIALIZER_ZEROS}};
    snprintf(spec.name, sizeof spec.name, "%s", name);
    return spec;
}
