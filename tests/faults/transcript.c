#include "tests/faults/transcript.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/faults/socket.h"

#define FORM        "canyon-transcript-1\n"
#define MILLISECOND 1000000u

void transcript_finish(struct transcript *transcript) {
    if (!transcript)
        return;
    free(transcript->bytes);
    free(transcript->pieces);
    *transcript = (struct transcript){0};
}

/* Makes room for one more than `have` plus `more`. */
static void *grown(void *memory, size_t *room, size_t have, size_t more, size_t each) {
    if (have + more <= *room)
        return memory;
    size_t wanted = *room ? *room : 64;
    while (wanted < have + more)
        wanted *= 2;
    void *larger = realloc(memory, wanted * each);
    if (larger)
        *room = wanted;
    return larger;
}

bool transcript_add(struct transcript *transcript, enum proxy_way way, const void *bytes, size_t count) {
    if (count == 0)
        return true;
    uint8_t *larger = grown(transcript->bytes, &transcript->room, transcript->count, count, 1);
    if (!larger)
        return false;
    transcript->bytes = larger;
    struct transcript_piece *last =
        transcript->piece_count > 0 ? &transcript->pieces[transcript->piece_count - 1] : NULL;
    if (!last || last->way != way) {
        struct transcript_piece *pieces =
            grown(transcript->pieces, &transcript->piece_room, transcript->piece_count, 1, sizeof *pieces);
        if (!pieces)
            return false;
        transcript->pieces = pieces;
        last = &pieces[transcript->piece_count++];
        *last = (struct transcript_piece){.way = way, .begin = transcript->count};
    }
    memcpy(transcript->bytes + transcript->count, bytes, count);
    transcript->count += count;
    last->count += count;
    return true;
}

bool transcript_copy(struct transcript *to, const struct transcript *from) {
    *to = (struct transcript){0};
    for (size_t i = 0; i < from->piece_count; i++) {
        const struct transcript_piece *piece = &from->pieces[i];
        if (!transcript_add(to, piece->way, from->bytes + piece->begin, piece->count)) {
            transcript_finish(to);
            return false;
        }
    }
    return true;
}

size_t transcript_total(const struct transcript *transcript, enum proxy_way way) {
    size_t total = 0;
    for (size_t i = 0; i < transcript->piece_count; i++)
        total += transcript->pieces[i].way == way ? transcript->pieces[i].count : 0;
    return total;
}

size_t transcript_find(const struct transcript *transcript, enum proxy_way way, size_t offset) {
    for (size_t i = 0; i < transcript->piece_count; i++) {
        const struct transcript_piece *piece = &transcript->pieces[i];
        if (piece->way != way)
            continue;
        if (offset < piece->count)
            return piece->begin + offset;
        offset -= piece->count;
    }
    return SIZE_MAX;
}

/* ---- Files ----------------------------------------------------------------------------------------------------- */

bool transcript_write(const struct transcript *transcript, FILE *file) {
    bool good = fputs(FORM, file) >= 0;
    for (size_t i = 0; good && i < transcript->piece_count; i++) {
        const struct transcript_piece *piece = &transcript->pieces[i];
        uint8_t head[5] = {piece->way == PROXY_UP ? 'U' : 'D'};
        for (unsigned b = 0; b < 4; b++)
            head[1 + b] = (uint8_t)(piece->count >> (8 * b));
        good = piece->count <= UINT32_MAX && fwrite(head, 1, sizeof head, file) == sizeof head &&
               fwrite(transcript->bytes + piece->begin, 1, piece->count, file) == piece->count;
    }
    return good && fflush(file) == 0;
}

/* The length is only believed as far as there are bytes. */
static bool read_piece(struct transcript *transcript, enum proxy_way way, size_t left, FILE *file) {
    uint8_t some[4096];
    while (left > 0) {
        size_t got = fread(some, 1, left < sizeof some ? left : sizeof some, file);
        if (got == 0 || !transcript_add(transcript, way, some, got))
            return false;
        left -= got;
    }
    return true;
}

bool transcript_read(struct transcript *transcript, FILE *file) {
    char form[sizeof FORM - 1];
    uint8_t head[5];
    size_t got = 0;
    *transcript = (struct transcript){0};
    bool good = fread(form, 1, sizeof form, file) == sizeof form && memcmp(form, FORM, sizeof form) == 0;
    while (good && (got = fread(head, 1, sizeof head, file)) == sizeof head) {
        size_t count = head[1] | (size_t)head[2] << 8 | (size_t)head[3] << 16 | (size_t)head[4] << 24;
        good = (head[0] == 'U' || head[0] == 'D') &&
               read_piece(transcript, head[0] == 'U' ? PROXY_UP : PROXY_DOWN, count, file);
    }
    if (!good || got != 0) {
        transcript_finish(transcript);
        return false;
    }
    return true;
}

/* ---- Replaying ------------------------------------------------------------------------------------------------- */

/* Receives until `count` bytes are there, the server ends, or `wait_ms` have passed. */
static void hear(struct transcript_replay *replay, int descriptor, size_t count, uint32_t wait_ms) {
    uint64_t end = clock_now() + (uint64_t)wait_ms * MILLISECOND;
    while (!replay->closed && replay->replies.count < count) {
        uint8_t bytes[4096];
        uint64_t now = clock_now();
        struct pollfd ready = {.fd = descriptor, .events = POLLIN};
        if (now >= end || poll(&ready, 1, (int)((end - now) / MILLISECOND) + 1) <= 0)
            return;
        ssize_t got = recv(descriptor, bytes, sizeof bytes, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            replay->closed = true;
        else if (!transcript_add(&replay->replies, PROXY_DOWN, bytes, (size_t)got))
            return;
    }
}

static void say(struct transcript_replay *replay, int descriptor, const uint8_t *bytes, size_t count) {
    while (count > 0 && !replay->closed) {
        ssize_t sent = send(descriptor, bytes, count, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            replay->closed = true;
            return;
        }
        bytes += sent;
        count -= (size_t)sent;
        replay->sent += (size_t)sent;
    }
}

bool transcript_replay(const struct transcript *transcript, const char *address, uint32_t wait_ms,
                       struct transcript_replay *replay) {
    size_t expected = 0;
    *replay = (struct transcript_replay){0};
    int descriptor = socket_connect(address, false);
    if (descriptor < 0)
        return false;
    for (size_t i = 0; i < transcript->piece_count && !replay->closed; i++) {
        const struct transcript_piece *piece = &transcript->pieces[i];
        if (piece->way == PROXY_DOWN) {
            expected += piece->count;
            hear(replay, descriptor, expected, wait_ms);
        } else {
            say(replay, descriptor, transcript->bytes + piece->begin, piece->count);
        }
    }
    hear(replay, descriptor, SIZE_MAX, wait_ms);
    close(descriptor);
    return true;
}
