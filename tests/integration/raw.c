#include "tests/integration/raw.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/address.h"
#include "tests/integration/harness.h"

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

void raw_open(struct raw *raw, const char *address, uint32_t thread, struct message_welcome *welcome) {
    raw_connect(raw, address, 0);
    struct message_hello hello = {.protocol = FRAME_VERSION, .thread = thread, .session = {1}, .name = "raw"};
    hello.session[1] = (uint8_t)getpid();
    hello.session[2] = (uint8_t)(getpid() >> 8);
    hello.session[3] = (uint8_t)raw->descriptor;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    uint64_t request = raw_send(raw, FRAME_HELLO, bytes, message_pack_hello(&hello, bytes), NULL, 0);
    struct frame frame;
    raw_expect(raw, &frame, FRAME_WELCOME, request);
    struct message_welcome ignored;
    struct error error;
    check(message_unpack_welcome(frame.message, frame.header.message_bytes, welcome ? welcome : &ignored, &error) ==
          CANYON_OK);
}

void raw_close(struct raw *raw) {
    if (raw->descriptor >= 0) {
        close(raw->descriptor);
        frame_reader_finish(&raw->reader);
    }
    raw->descriptor = -1;
}

bool raw_send_bytes(struct raw *raw, const void *bytes, size_t count) {
    const uint8_t *at = bytes;
    while (count > 0) {
        ssize_t sent = send(raw->descriptor, at, count, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        at += sent;
        count -= (size_t)sent;
    }
    return true;
}

size_t raw_send_some(struct raw *raw, const void *bytes, size_t count) {
    ssize_t sent = send(raw->descriptor, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent > 0 ? (size_t)sent : 0;
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

enum raw_result raw_receive(struct raw *raw, struct frame *frame, size_t piece, uint32_t wait_ms) {
    uint64_t end = now_ms() + wait_ms;
    for (;;) {
        struct error error;
        enum frame_reader_result result = frame_reader_next(&raw->reader, frame, &error);
        if (result == FRAME_READER_FRAME)
            return RAW_FRAME;
        if (result == FRAME_READER_BROKEN)
            check_fail("the server's bytes are not frames: %s", error.text);
        uint64_t now = now_ms();
        struct pollfd waiting = {.fd = raw->descriptor, .events = POLLIN};
        if (now >= end || poll(&waiting, 1, (int)(end - now)) <= 0)
            return RAW_SILENCE;
        uint8_t *at;
        size_t room;
        frame_reader_space(&raw->reader, &at, &room);
        ssize_t got = recv(raw->descriptor, at, piece > 0 && piece < room ? piece : room, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return RAW_CLOSED;
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
