#include "tests/faults/pipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "tests/faults/socket.h"

#define CHUNK       16384u
#define MICROSECOND 1000u
#define MILLISECOND 1000000u
#define SECOND      1000000000u
#define TURN        256 /* sends of one turn, so that the other connections get theirs */

struct pipe_chunk {
    struct pipe_chunk *next;
    uint64_t due;
    size_t begin, end;
    uint8_t bytes[CHUNK];
};

void pipe_init(struct pipe *pipe, enum proxy_way way, struct transcript *transcript) {
    *pipe = (struct pipe){.way = way, .transcript = transcript, .wakeup = PROXY_NEVER};
    proxy_faults_init(&pipe->faults);
    pipe->next_flip = PROXY_NEVER;
}

static void drop_first(struct pipe *pipe) {
    struct pipe_chunk *chunk = pipe->first;
    pipe->first = chunk->next;
    if (!pipe->first)
        pipe->last = NULL;
    free(chunk);
}

static void drop_all(struct pipe *pipe) {
    while (pipe->first)
        drop_first(pipe);
    pipe->queued = 0;
}

void pipe_finish(struct pipe *pipe) {
    drop_all(pipe);
}

/* splitmix64: small, and the same everywhere. */
static uint64_t draw(struct pipe *pipe) {
    uint64_t x = pipe->random += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* 1 to twice the mean less one, all alike. */
static uint64_t distance(struct pipe *pipe) {
    return 1 + draw(pipe) % (2 * pipe->faults.flip_every - 1);
}

void pipe_set(struct pipe *pipe, const struct proxy_faults *faults) {
    const enum proxy_end end = pipe->faults.cut_end;
    pipe->faults = *faults;
    if (pipe->at_cut)
        pipe->faults.cut_end = end;
    pipe->position = 0;
    pipe->flips_to = 0;
    pipe->random = faults->seed;
    pipe->next_flip = faults->flip_every > 0 ? distance(pipe) - 1 : PROXY_NEVER;
    pipe->next_piece = 0;
    pipe->credit = 0;
    pipe->credit_at = clock_now();
    for (struct pipe_chunk *chunk = pipe->first; chunk; chunk = chunk->next)
        chunk->due = faults->delay_ms > 0 ? chunk->due : 0;
}

/* ---- In -------------------------------------------------------------------------------------------------------- */

bool pipe_wants_input(const struct pipe *pipe) {
    return !pipe->source_ended && pipe->queued < (pipe->faults.hold ? PIPE_HELD : PIPE_ROOM);
}

void pipe_take(struct pipe *pipe, int source, bool at_once) {
    while (!pipe->source_ended && (at_once || pipe_wants_input(pipe))) {
        struct pipe_chunk *chunk = malloc(sizeof *chunk);
        ssize_t got = chunk ? recv(source, chunk->bytes, CHUNK, MSG_DONTWAIT) : -1;
        if (got > 0) {
            chunk->next = NULL;
            chunk->due = pipe->faults.delay_ms ? clock_now() + (uint64_t)pipe->faults.delay_ms * MILLISECOND : 0;
            chunk->begin = 0;
            chunk->end = (size_t)got;
            if (pipe->last)
                pipe->last->next = chunk;
            else
                pipe->first = chunk;
            pipe->last = chunk;
            pipe->queued += (size_t)got;
            pipe->came += (uint64_t)got;
            continue;
        }
        int reason = errno;
        free(chunk);
        if (got < 0 && (reason == EAGAIN || reason == EWOULDBLOCK))
            return;
        if (got < 0 && reason == EINTR)
            continue;
        pipe->source_ended = true;
        pipe->ended_by = got == 0 ? PROXY_FIN : PROXY_RST;
    }
}

/* ---- Out ------------------------------------------------------------------------------------------------------- */

static size_t least(size_t a, uint64_t b) {
    return b < a ? (size_t)b : a;
}

/* Inverts what is to be inverted in the first `count` bytes, once. */
static void flip(struct pipe *pipe, uint8_t *bytes, size_t count) {
    const uint64_t end = pipe->position + count;
    const struct proxy_faults *faults = &pipe->faults;
    if (faults->flip_at >= pipe->flips_to && faults->flip_at >= pipe->position && faults->flip_at < end) {
        bytes[faults->flip_at - pipe->position] ^= (uint8_t)(1u << (faults->flip_bit & 7));
        pipe->flipped++;
    }
    while (pipe->next_flip < pipe->position) /* swallowed */
        pipe->next_flip += distance(pipe);
    for (; pipe->next_flip < end; pipe->next_flip += distance(pipe)) {
        bytes[pipe->next_flip - pipe->position] ^= (uint8_t)(1u << (draw(pipe) & 7));
        pipe->flipped++;
    }
    pipe->flips_to = end > pipe->flips_to ? end : pipe->flips_to;
}

/* How much the rate allows now, at most `wanted`; 0 sets the wake-up. */
static size_t allowed(struct pipe *pipe, size_t wanted) {
    const uint64_t rate = pipe->faults.rate;
    if (rate == 0)
        return wanted;
    uint64_t now = clock_now(), passed = now - pipe->credit_at, most = rate / 20 + 1;
    passed = passed > SECOND ? SECOND : passed;
    uint64_t earned = passed * rate / SECOND;
    if (earned > 0) {
        pipe->credit_at = now;
        pipe->credit = pipe->credit + earned > most ? most : pipe->credit + earned;
    }
    uint64_t worthwhile = least(wanted, rate / 100 + 1);
    if (pipe->credit >= worthwhile)
        return least(wanted, pipe->credit);
    pipe->wakeup = now + (worthwhile - pipe->credit) * SECOND / rate + 1;
    return 0;
}

static void consumed(struct pipe *pipe, size_t count) {
    pipe->first->begin += count;
    pipe->queued -= count;
    pipe->position += count;
    if (pipe->first->begin == pipe->first->end)
        drop_first(pipe);
}

/* How many bytes of the first chunk may be sent in one go now. */
static size_t share(struct pipe *pipe) {
    const struct proxy_faults *faults = &pipe->faults;
    uint64_t now = clock_now();
    size_t count = pipe->first->end - pipe->first->begin;
    if (pipe->first->due > now || pipe->next_piece > now) {
        pipe->wakeup = pipe->first->due > pipe->next_piece ? pipe->first->due : pipe->next_piece;
        return 0;
    }
    count = least(count, faults->cut_after - pipe->position);
    count = least(count, faults->stall_after - pipe->position);
    if (faults->swallow_after > pipe->position)
        count = least(count, faults->swallow_after - pipe->position);
    if (faults->piece > 0)
        count = least(count, faults->piece);
    return count > 0 ? allowed(pipe, count) : 0;
}

/* One send; false when it cannot go on now. */
static bool send_some(struct pipe *pipe, int sink, size_t count) {
    uint8_t *bytes = pipe->first->bytes + pipe->first->begin;
    flip(pipe, bytes, count);
    ssize_t sent = send(sink, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
        pipe->blocked = errno == EAGAIN || errno == EWOULDBLOCK;
        pipe->sink_broken = !pipe->blocked && errno != EINTR;
        return errno == EINTR;
    }
    if (pipe->transcript)
        (void)transcript_add(pipe->transcript, pipe->way, bytes, (size_t)sent);
    pipe->passed += (uint64_t)sent;
    pipe->credit -= pipe->faults.rate ? (uint64_t)sent : 0;
    if (pipe->faults.gap_us > 0)
        pipe->next_piece = clock_now() + (uint64_t)pipe->faults.gap_us * MICROSECOND;
    consumed(pipe, (size_t)sent);
    return true;
}

static enum pipe_event at_the_cut(struct pipe *pipe, int sink) {
    pipe->at_cut = true;
    drop_all(pipe);
    if (!pipe->sink_broken && socket_unsent(sink) > 0) {
        pipe->wakeup = clock_now() + MILLISECOND;
        return PIPE_WAITS;
    }
    return PIPE_CUT;
}

/* The source's end, once nothing is left before it. */
static enum pipe_event pass_end(struct pipe *pipe, int sink) {
    if (!pipe->source_ended || pipe->end_passed)
        return PIPE_WAITS;
    pipe->end_passed = true;
    if (pipe->ended_by == PROXY_FIN && shutdown(sink, SHUT_WR) == 0)
        return PIPE_PASSED;
    return PIPE_BROKEN;
}

enum pipe_event pipe_pass(struct pipe *pipe, int sink) {
    const struct proxy_faults *faults = &pipe->faults;
    pipe->wakeup = PROXY_NEVER;
    pipe->blocked = false;
    for (int i = 0; i < TURN; i++) {
        if (pipe->at_cut || pipe->position >= faults->cut_after)
            return at_the_cut(pipe, sink);
        if (faults->hold || pipe->position >= faults->stall_after)
            return PIPE_WAITS;
        if (!pipe->first)
            return pass_end(pipe, sink);
        if (pipe->sink_broken || pipe->position >= faults->swallow_after) {
            size_t count = pipe->first->end - pipe->first->begin;
            count = pipe->sink_broken ? count : least(count, faults->cut_after - pipe->position);
            pipe->swallowed += count;
            consumed(pipe, count);
            continue;
        }
        size_t count = share(pipe);
        if (count == 0 || !send_some(pipe, sink, count))
            return pipe->sink_broken ? PIPE_BROKEN : PIPE_WAITS;
    }
    pipe->wakeup = 0;
    return PIPE_WAITS;
}
