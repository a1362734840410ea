/* Peers: connections to a server, in frames made by hand. */
#include "tests/server/fixture.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/random.h"
#include "tests/server/keys.h"

#define PEERS 2048

/* Open ones. A test that failed has left its stack, and the peers that were on it: what they owned is lost, but for the
 * descriptor. */
static struct {
    struct peer *peer;
    int descriptor;
} peers[PEERS];

void peers_end(void) {
    for (size_t i = 0; i < PEERS; ++i) {
        if (peers[i].peer != NULL) {
            close(peers[i].descriptor);
            peers[i].peer = NULL;
        }
    }
}

static void remember(struct peer *from, struct peer *to) {
    size_t i = 0;
    while (i < PEERS && peers[i].peer != from) {
        ++i;
    }
    assert_true(i < PEERS);
    peers[i].peer = to;
    peers[i].descriptor = to != NULL ? to->descriptor : -1;
}

static void connect_from(struct peer *peer, const struct process *process, int receive_bytes,
                         const struct sockaddr_in *from) {
    struct sockaddr_in four = {
        .sin_family = AF_INET, .sin_port = htons(process->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = htons(process->port), .sin6_addr = in6addr_loopback};
    const struct sockaddr *name = process->ipv6 ? (struct sockaddr *)&six : (struct sockaddr *)&four;
    memset(peer, 0, sizeof *peer);
    peer->descriptor = socket(name->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(peer->descriptor >= 0);
    assert_int_equal(frame_reader_init(&peer->reader, FRAME_PAYLOAD_LIMIT, NULL, NULL, NULL), CANYON_OK);
    remember(NULL, peer);
    if (receive_bytes > 0) {
        assert_int_equal(setsockopt(peer->descriptor, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes), 0);
    }
    if (from != NULL) {
        assert_int_equal(bind(peer->descriptor, (const struct sockaddr *)from, sizeof *from), 0);
    }
    assert_int_equal(connect(peer->descriptor, name, process->ipv6 ? sizeof six : sizeof four), 0);
}

void peer_connect(struct peer *peer, const struct process *process, int receive_bytes) {
    connect_from(peer, process, receive_bytes, NULL);
}

/* The hello of the next session; returns its bytes. */
static size_t make_hello(const uint8_t session[SESSION_BYTES], uint32_t thread, uint8_t *bytes) {
    static const uint8_t none[SESSION_BYTES];
    static uint16_t sessions;
    struct message_hello hello = {.protocol = 1, .thread = thread, .name = "by-hand"};
    ++sessions;
    if (memcmp(session, none, SESSION_BYTES) != 0) {
        memcpy(hello.session, session, SESSION_BYTES);
    } else {
        memcpy(hello.session, &sessions, sizeof sessions);
    }
    return message_pack_hello(&hello, bytes);
}

static bool write_pieces(struct peer *peer, const uint8_t *bytes, size_t count, bool byte_by_byte) {
    const int on = 1;
    bool good = true;
    if (!byte_by_byte) {
        return peer_write_raw(peer, bytes, count);
    }
    setsockopt(peer->descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (size_t i = 0; i < count && good; ++i) {
        good = peer_write_raw(peer, bytes + i, 1);
        sleep_ms(1);
    }
    return good;
}

/* Receives exactly so many bytes; false when the stream ends before. */
static bool read_raw(struct peer *peer, uint8_t *at, size_t count) {
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000}, none = {.tv_sec = 0};
    setsockopt(peer->descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ssize_t got = recv(peer->descriptor, at, count, MSG_WAITALL);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        fail_msg("the server says nothing, and does not close");
    }
    setsockopt(peer->descriptor, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none);
    return got == (ssize_t)count;
}

bool peer_introduce(struct peer *peer, const struct process *process, struct introduction_options *options) {
    const struct key_pair *key = options->key != NULL ? options->key : key_of(KEY_ADMIN);
    const uint8_t *server = options->server != NULL ? options->server : key_of(KEY_SERVER)->public;
    uint8_t seed[KEY_BYTES], first[CHANNEL_FIRST_BYTES], second[CHANNEL_SECOND_BYTES];
    uint8_t third[CHANNEL_THIRD_LIMIT_BYTES], hello[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    struct frame_header header = {.type = FRAME_HELLO, .request = 1};
    size_t third_bytes = 0;
    bool good = false;
    header.message_bytes = (uint32_t)make_hello(options->session, options->thread, hello + FRAME_HEADER_BYTES);
    frame_header_encode(&header, hello);
    random_fill(seed, sizeof seed);
    struct channel_handshake *handshake = channel_initiate(options->cipher, key, server, seed);
    assert_non_null(handshake);
    connect_from(peer, process, options->receive_bytes, options->address);
    peer->request = 1;
    assert_int_equal(channel_write_first(handshake, first), CANYON_OK);
    if (!write_pieces(peer, first, sizeof first, options->byte_by_byte) || !read_raw(peer, second, sizeof second) ||
        channel_read_second(handshake, second) != CANYON_OK) {
        goto out;
    }
    assert_int_equal(
        channel_write_third(handshake, options->hello != NULL ? options->hello : hello,
                            options->hello != NULL ? options->hello_bytes : FRAME_HEADER_BYTES + header.message_bytes,
                            third, &third_bytes),
        CANYON_OK);
    if (options->transcript != NULL) {
        memcpy(options->transcript, first, sizeof first);
        memcpy(options->transcript + sizeof first, third, third_bytes);
        options->transcript_bytes = sizeof first + third_bytes;
    }
    if (write_pieces(peer, third, third_bytes, options->byte_by_byte)) {
        peer->channel = channel_establish(handshake);
        assert_non_null(peer->channel);
        good = true;
    }
out:
    channel_handshake_destroy(handshake);
    return good;
}

static void take_welcome(struct peer *peer, uint64_t request, struct message_welcome *welcome) {
    struct message_welcome ignored;
    struct frame frame;
    peer_expect(peer, &frame, FRAME_WELCOME, request);
    assert_int_equal(
        message_unpack_welcome(frame.message, frame.header.message_bytes, welcome != NULL ? welcome : &ignored, NULL),
        CANYON_OK);
}

void peer_open_as(struct peer *peer, const struct process *process, int key) {
    struct introduction_options options = {.key = key_of(key)};
    assert_true(peer_introduce(peer, process, &options));
    take_welcome(peer, 1, NULL);
}

void peer_open(struct peer *peer, const struct process *process, uint32_t thread, struct message_welcome *welcome) {
    static const uint8_t fresh[SESSION_BYTES];
    struct introduction_options options = {.thread = thread};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    uint64_t request = 1;
    if (process->encrypted) {
        assert_true(peer_introduce(peer, process, &options));
    } else {
        peer_connect(peer, process, 0);
        request = peer_send(peer, FRAME_HELLO, bytes, make_hello(fresh, thread, bytes), NULL, 0);
    }
    take_welcome(peer, request, welcome);
}

void peer_close(struct peer *peer) {
    remember(peer, NULL);
    close(peer->descriptor);
    frame_reader_finish(&peer->reader);
    channel_destroy(peer->channel);
    peer->channel = NULL;
}

bool peer_write_raw(struct peer *peer, const void *bytes, size_t count) {
    const uint8_t *at = bytes;
    while (count > 0) {
        ssize_t sent = send(peer->descriptor, at, count, MSG_NOSIGNAL);
        if (sent <= 0 && errno != EINTR) {
            return false;
        }
        at += sent > 0 ? sent : 0;
        count -= sent > 0 ? (size_t)sent : 0;
    }
    return true;
}

bool peer_write(struct peer *peer, const void *bytes, size_t count) {
    static uint8_t sealed[4 * (CHANNEL_BULK_BYTES + CHANNEL_RECORD_BYTES)];
    struct iovec slice = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = count};
    size_t done = 0, taken = 0;
    if (peer->channel == NULL) {
        return peer_write_raw(peer, bytes, count);
    }
    for (bool good = true; done < count && good; done += taken) {
        size_t ready = channel_seal(peer->channel, &slice, 1, done, sealed, sizeof sealed, &taken);
        good = peer_write_raw(peer, sealed, ready);
        if (!good) {
            return false;
        }
    }
    return true;
}

void peer_finish(struct peer *peer) {
    uint8_t record[CHANNEL_RECORD_BYTES];
    if (peer->channel != NULL) {
        channel_seal_last(peer->channel, record);
        (void)peer_write_raw(peer, record, sizeof record);
    }
    (void)shutdown(peer->descriptor, SHUT_WR);
}

uint64_t peer_send(struct peer *peer, unsigned type, const uint8_t *message, size_t message_bytes, const void *payload,
                   size_t payload_bytes) {
    uint8_t head[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    struct frame_header header = {.type = (uint16_t)type,
                                  .message_bytes = (uint32_t)message_bytes,
                                  .payload_bytes = (uint32_t)payload_bytes,
                                  .request = ++peer->request};
    frame_header_encode(&header, head);
    if (message_bytes > 0) {
        memcpy(head + FRAME_HEADER_BYTES, message, message_bytes);
    }
    assert_true(peer_write(peer, head, FRAME_HEADER_BYTES + message_bytes));
    if (payload_bytes > 0) {
        assert_true(peer_write(peer, payload, payload_bytes));
    }
    return peer->request;
}

enum peer_result peer_receive(struct peer *peer, struct frame *frame, unsigned wait_ms) {
    uint64_t end = now_ms() + wait_ms;
    for (;;) {
        struct error error;
        uint8_t *at;
        size_t room;
        enum frame_reader_result result = frame_reader_next(&peer->reader, frame, &error);
        if (result == FRAME_READER_FRAME) {
            return PEER_FRAME;
        }
        if (result == FRAME_READER_BROKEN) {
            fail_msg("the server sent what is not a frame: %s", error.text);
        }
        frame_reader_space(&peer->reader, &at, &room);
        if (peer->channel != NULL) {
            size_t got = 0;
            enum channel_result opened = channel_read(peer->channel, at, room, &got);
            if (opened == CHANNEL_BYTES) {
                frame_reader_received(&peer->reader, got);
                continue;
            }
            if (opened == CHANNEL_LAST) {
                return PEER_END;
            }
            assert_int_equal(opened, CHANNEL_NEEDS_MORE);
            channel_space(peer->channel, &at, &room);
        }
        uint64_t now = now_ms();
        struct pollfd ready = {.fd = peer->descriptor, .events = POLLIN};
        if (poll(&ready, 1, now < end ? (int)(end - now) : 0) <= 0) {
            return PEER_SILENCE;
        }
        ssize_t got = recv(peer->descriptor, at, room, 0);
        if (got <= 0) {
            return peer->channel != NULL ? PEER_CUT : PEER_END;
        }
        if (peer->channel != NULL) {
            channel_received(peer->channel, (size_t)got);
        } else {
            frame_reader_received(&peer->reader, (size_t)got);
        }
    }
}

void peer_expect(struct peer *peer, struct frame *frame, unsigned type, uint64_t request) {
    enum peer_result result = peer_receive(peer, frame, PATIENCE_MS);
    if (result != PEER_FRAME) {
        fail_msg("expected %s for request %llu, but %s", frame_type_name(type), (unsigned long long)request,
                 result == PEER_SILENCE ? "nothing came" : "the connection ended");
    }
    if (frame->header.type == FRAME_ERROR && type != FRAME_ERROR) {
        struct error told = {.text = "?"};
        message_unpack_error(frame->message, frame->header.message_bytes, &told, NULL);
        fail_msg("expected %s, got %s: %s", frame_type_name(type), status_name(told.status), told.text);
    }
    assert_int_equal(frame->header.type, type);
    assert_int_equal(frame->header.request, request);
}

void peer_expect_error(struct peer *peer, uint64_t request, enum canyon_status status, const char *part) {
    struct frame frame;
    struct error told = {.text = ""};
    peer_expect(peer, &frame, FRAME_ERROR, request);
    assert_int_equal(message_unpack_error(frame.message, frame.header.message_bytes, &told, NULL), CANYON_OK);
    if (told.status != status || strstr(told.text, part) == NULL) {
        fail_msg("expected %s with \"%s\", got %s: %s", status_name(status), part, status_name(told.status), told.text);
    }
}

void peer_expect_end(struct peer *peer, unsigned wait_ms) {
    struct frame frame;
    enum peer_result result = peer_receive(peer, &frame, wait_ms);
    if (result != PEER_END) {
        fail_msg("expected the end, but %s", result == PEER_FRAME ? "a frame came"
                                             : result == PEER_CUT ? "the stream was cut"
                                                                  : "nothing came");
    }
}

uint64_t peer_create(struct peer *peer, const char *name, uint64_t elements) {
    struct message_create create = {.spec = {.shape = {.rank = 1, .dims = {elements}}, .optimizer = {.name = "sgd"}}};
    struct message_created created;
    struct frame frame;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    snprintf(create.spec.name, sizeof create.spec.name, "%s", name);
    uint64_t request = peer_send(peer, FRAME_CREATE, bytes, message_pack_create(&create, bytes), NULL, 0);
    peer_expect(peer, &frame, FRAME_CREATED, request);
    assert_int_equal(message_unpack_created(frame.message, frame.header.message_bytes, &created, NULL), CANYON_OK);
    assert_true(created.creator);
    request = peer_send(peer, FRAME_DEFINE, bytes, message_pack_define(&created.tensor, bytes), NULL, 0);
    peer_expect(peer, &frame, FRAME_DEFINED, request);
    struct message_tensor complete = {.id = created.tensor.id};
    snprintf(complete.name, sizeof complete.name, "%s", name);
    request = peer_send(peer, FRAME_COMPLETE, bytes, message_pack_tensor(&complete, bytes), NULL, 0);
    peer_expect(peer, &frame, FRAME_COMPLETED, request);
    return created.tensor.id;
}

size_t piece_pack(uint64_t tensor, uint32_t block, uint32_t elements, uint64_t version, uint8_t *bytes) {
    struct message_pieces pieces = {
        .count = 1, .pieces = {{.tensor = tensor, .block = block, .elements = elements, .version = version}}};
    return message_pack_pieces(&pieces, bytes);
}

void peer_check(struct peer *peer) {
    struct frame frame;
    uint64_t request = peer_send(peer, FRAME_STATISTICS, NULL, 0, NULL, 0);
    peer_expect(peer, &frame, FRAME_STATISTICS_ARE, request);
}
