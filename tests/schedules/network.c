#include "tests/schedules/network.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PIPE_ROOM 65536

/* What one side writes and the other reads: counts are of bytes since the beginning. */
struct pipe {
    uint8_t *bytes; /* owned; from `read` on */
    size_t room;
    uint64_t read, arrived, written;
    uint64_t limit;   /* bytes that are not read yet, at most */
    uint64_t last;    /* when the last piece arrives: none overtakes it */
    uint64_t cut;     /* only so many bytes arrive */
    bool full;        /* the writer waits */
    bool ended;       /* the writer is done */
    bool told;        /* the reader has heard of the end */
    uint64_t told_at; /* when it will, if it is planned */
};

struct link {
    struct network *network;
    unsigned number;
    uint64_t tag;
    struct link_end ends[2];
    bool open[2];         /* the end is in use */
    bool cut;             /* the cable is through: what is written is lost */
    struct pipe pipes[2]; /* by who writes */
    uint64_t latency;
    bool (*accept)(void *user, struct link *link);
    void *user;
    struct link *next;
};

void network_init(struct network *network, struct schedule *schedule) {
    memset(network, 0, sizeof *network);
    network->schedule = schedule;
}

void network_finish(struct network *network) {
    while (network->links != NULL) {
        struct link *link = network->links;
        network->links = link->next;
        free(link->pipes[0].bytes);
        free(link->pipes[1].bytes);
        free(link);
    }
}

unsigned link_number(const struct link *link) {
    return link->number;
}

static enum side other(enum side side) {
    return side == SIDE_CLIENT ? SIDE_SERVER : SIDE_CLIENT;
}

/* ---- hearing of the end ---- */

static void hear(void *user, uint64_t side) {
    struct link *link = user;
    struct pipe *pipe = &link->pipes[1 - side]; /* which it reads */
    if (!link->open[side] || pipe->told || link->network->schedule->now < pipe->told_at) {
        return;
    }
    pipe->told = true;
    link->ends[side].lost(link->ends[side].user);
}

/* The end at `side` hears at `time` that the stream is over, after all that arrives before. */
static void plan_end(struct link *link, enum side side, uint64_t time) {
    struct pipe *pipe = &link->pipes[other(side)];
    pipe->told_at = time > pipe->last ? time : pipe->last;
    schedule_at(link->network->schedule, pipe->told_at, hear, link, side);
}

/* ---- bytes under way ---- */

static void arrive(void *user, uint64_t argument) {
    struct link *link = user;
    enum side writer = (enum side)(argument & 1), reader = other(writer);
    struct pipe *pipe = &link->pipes[writer];
    const uint64_t upto = argument >> 1;
    if (upto > pipe->arrived) {
        pipe->arrived = upto;
        if (link->open[reader]) {
            link->ends[reader].readable(link->ends[reader].user);
        }
    }
}

static uint64_t lateness(struct network *network) {
    return schedule_between(network->schedule, MILLISECOND, network->faults.lateness);
}

/* The cable is through after the bytes that the writer's stream was allowed. */
static void sever(struct link *link, enum side writer) {
    struct network *network = link->network;
    struct schedule *schedule = network->schedule;
    const struct network_faults *faults = &network->faults;
    const unsigned deaf = schedule_chance(schedule, faults->deaf) ? (unsigned)schedule_below(schedule, 2) : 2;
    link->cut = true;
    network->cuts++;
    /* What the other side has under way is lost or not. */
    struct pipe *back = &link->pipes[other(writer)];
    back->cut = schedule_chance(schedule, 500) ? back->arrived : back->written;
    schedule_trace(schedule, "link %u is cut after %llu bytes of the %s", link->number,
                   (unsigned long long)link->pipes[writer].cut, writer == SIDE_CLIENT ? "client" : "server");
    for (unsigned side = 0; side < 2; side++) {
        uint64_t time = schedule->now + schedule_between(schedule, 1, link->latency);
        plan_end(link, (enum side)side, side == deaf ? time + lateness(network) : time);
    }
}

/* Plans the arrival of [from, to), in pieces. */
static void send_off(struct link *link, enum side writer, uint64_t from, uint64_t to) {
    struct network *network = link->network;
    struct schedule *schedule = network->schedule;
    struct pipe *pipe = &link->pipes[writer];
    while (from < to) {
        uint64_t piece = schedule_chance(schedule, 300) ? schedule_between(schedule, 1, to - from) : to - from;
        uint64_t time = schedule->now + schedule_between(schedule, 1, link->latency);
        if (network->faults.stall > 0 && schedule_chance(schedule, network->faults.stall)) {
            time += lateness(network);
        }
        pipe->last = time > pipe->last ? time : pipe->last;
        from += piece;
        schedule_at(schedule, pipe->last, arrive, link, from << 1 | (uint64_t)writer);
    }
}

size_t link_write(struct link *link, enum side side, const void *bytes, size_t count) {
    struct pipe *pipe = &link->pipes[side];
    assert(link->open[side]);
    uint64_t waiting = link->cut ? 0 : pipe->written - pipe->read;
    size_t taken = waiting >= pipe->limit ? 0 : (size_t)(pipe->limit - waiting);
    taken = taken < count ? taken : count;
    pipe->full = taken < count;
    if (link->cut || !link->open[other(side)]) {
        return count; /* into the void, as far as is known here */
    }
    const uint64_t before = pipe->written;
    const size_t kept = (size_t)(pipe->written - pipe->read);
    if (kept + taken > pipe->room) {
        pipe->room = (kept + taken) * 2;
        pipe->bytes = schedule_memory(realloc(pipe->bytes, pipe->room));
    }
    memcpy(pipe->bytes + kept, bytes, taken);
    pipe->written += taken;
    link->network->bytes += taken;
    if (pipe->written < pipe->cut) {
        send_off(link, side, before, pipe->written);
        return taken;
    }
    if (pipe->cut > before) {
        const bool held = schedule_chance(link->network->schedule, link->network->faults.held);
        if (held) {
            pipe->last += lateness(link->network);
        }
        send_off(link, side, before, pipe->cut);
    }
    sever(link, side);
    return taken;
}

void link_stall(struct link *link, enum side side, uint64_t duration) {
    struct pipe *pipe = &link->pipes[side];
    const uint64_t time = link->network->schedule->now + duration;
    pipe->last = time > pipe->last ? time : pipe->last;
}

static void give_room(void *user, uint64_t side) {
    struct link *link = user;
    if (link->open[side]) {
        link->ends[side].writable(link->ends[side].user);
    }
}

size_t link_read(struct link *link, enum side side, void *at, size_t room) {
    struct pipe *pipe = &link->pipes[other(side)];
    const uint64_t end = pipe->arrived < pipe->cut ? pipe->arrived : pipe->cut;
    size_t count = end > pipe->read ? (size_t)(end - pipe->read) : 0;
    count = count < room ? count : room;
    if (count > 0) {
        memcpy(at, pipe->bytes, count);
        memmove(pipe->bytes, pipe->bytes + count, (size_t)(pipe->written - pipe->read) - count);
        pipe->read += count;
    }
    if (count > 0 && pipe->full) {
        pipe->full = false;
        schedule_at(link->network->schedule, link->network->schedule->now + link->latency, give_room, link,
                    (uint64_t)other(side));
    }
    return count;
}

/* ---- life ---- */

static void reach(void *user, uint64_t argument) {
    struct link *link = user;
    (void)argument;
    if (!link->open[SIDE_CLIENT]) {
        return;
    }
    link->open[SIDE_SERVER] = true;
    const bool refused = schedule_chance(link->network->schedule, link->network->faults.refused);
    if (refused || !link->accept(link->user, link)) {
        link->open[SIDE_SERVER] = false;
        plan_end(link, SIDE_CLIENT, link->network->schedule->now + link->latency);
    } else {
        link->ends[SIDE_CLIENT].connected(link->ends[SIDE_CLIENT].user);
    }
}

struct link *network_connect(struct network *network, const struct link_end *client,
                             bool (*accept)(void *user, struct link *link), void *user) {
    struct schedule *schedule = network->schedule;
    const struct network_faults *faults = &network->faults;
    struct link *link = schedule_memory(calloc(1, sizeof *link));
    link->network = network;
    link->number = network->links == NULL ? 1 : network->links->number + 1;
    link->next = network->links;
    network->links = link;
    link->accept = accept;
    link->user = user;
    link->ends[SIDE_CLIENT] = *client;
    link->open[SIDE_CLIENT] = true;
    link->latency = schedule_between(schedule, MICROSECOND, faults->latency > 0 ? faults->latency : MILLISECOND);
    for (unsigned side = 0; side < 2; side++) {
        struct pipe *pipe = &link->pipes[side];
        pipe->cut = UINT64_MAX;
        pipe->limit = schedule_chance(schedule, 300) ? schedule_between(schedule, 32, 512) : PIPE_ROOM;
    }
    if (schedule_chance(schedule, faults->cut)) {
        struct pipe *pipe = &link->pipes[schedule_below(schedule, 2)];
        pipe->cut = schedule_between(schedule, 1, faults->cut_most);
    }
    schedule_at(schedule, schedule->now + link->latency, reach, link, 0);
    return link;
}

void link_attach(struct link *link, const struct link_end *server, uint64_t tag) {
    link->ends[SIDE_SERVER] = *server;
    link->tag = tag;
}

uint64_t link_tag(const struct link *link) {
    return link->tag;
}

void link_close(struct link *link, enum side side, bool abrupt) {
    struct pipe *pipe = &link->pipes[side];
    if (!link->open[side]) {
        return;
    }
    link->open[side] = false;
    pipe->ended = true;
    if (abrupt && pipe->cut > pipe->written) {
        pipe->cut = pipe->arrived;
    }
    if (!link->cut) {
        plan_end(link, other(side),
                 link->network->schedule->now + schedule_between(link->network->schedule, 1, link->latency));
    }
}

void network_heal(struct network *network) {
    memset(&network->faults, 0, sizeof network->faults);
    for (struct link *link = network->links; link != NULL; link = link->next) {
        for (unsigned side = 0; side < 2; side++) {
            struct pipe *pipe = &link->pipes[side];
            if (!link->cut) {
                pipe->cut = pipe->cut > pipe->written ? UINT64_MAX : pipe->cut;
            } else if (link->open[1 - side] && !pipe->told) {
                plan_end(link, other((enum side)side), network->schedule->now + MILLISECOND);
            }
        }
    }
}
