/* A virtual network: links between a worker and a server process, each two streams of bytes with the faults of TCP.
 *
 * What is written arrives later, in order, in pieces cut anywhere. A stream takes no more than it has room for. It can
 * stall; it can be cut after any byte, and then either side hears of it at its own time, or for long not at all, while
 * bytes that were under way may still arrive: also after those of a newer link. An end that was closed gets no calls
 * any more. Links live as long as the network. */
#ifndef CANYON_TESTS_SCHEDULES_NETWORK_H
#define CANYON_TESTS_SCHEDULES_NETWORK_H

#include "tests/schedules/schedule.h"

enum side { SIDE_CLIENT = 0, SIDE_SERVER = 1 };

struct link;

/* What an end of a link hears. Called from events, never from within a call of this module. */
struct link_end {
    void (*connected)(void *user); /* the client's only: the other end has accepted */
    void (*readable)(void *user);
    void (*writable)(void *user); /* after a write that was not taken whole */
    void (*lost)(void *user);     /* the stream has ended: nothing more will come or go; close it */
    void *user;
};

/* How bad it is. All zero: a perfect network. */
struct network_faults {
    unsigned cut;      /* permille of links that are cut */
    unsigned deaf;     /* permille of cuts of which one side does not hear for long */
    unsigned held;     /* permille of cuts after which bytes under way arrive late */
    unsigned stall;    /* permille of pieces that arrive late, and all behind them */
    unsigned refused;  /* permille of links that are not made */
    uint64_t cut_most; /* bytes before the cut, at most */
    uint64_t latency;  /* of a piece, at most */
    uint64_t lateness; /* of what is late, at most */
};

struct network {
    struct schedule *schedule;
    struct network_faults faults;
    struct link *links; /* all that ever were */
    uint64_t cuts, bytes;
};

void network_init(struct network *network, struct schedule *schedule);
void network_finish(struct network *network);

/* From now on there are no faults: what is held arrives, and who has not heard of a cut does. */
void network_heal(struct network *network);

/* A new link. `accept` is called, from an event, when it reaches the server: it returns whether anybody is there and
 * calls link_attach for the server's end. The client hears `connected`, or `lost`. */
struct link *network_connect(struct network *network, const struct link_end *client,
                             bool (*accept)(void *user, struct link *link), void *user);
void link_attach(struct link *link, const struct link_end *server, uint64_t tag);
/* What the server's end was attached with; 0 before. */
uint64_t link_tag(const struct link *link);

/* Takes at most `count` bytes; returns how many it took. */
size_t link_write(struct link *link, enum side side, const void *bytes, size_t count);
/* What is written from now on arrives no sooner than after `duration`. */
void link_stall(struct link *link, enum side side, uint64_t duration);
/* 0 when there are none now. */
size_t link_read(struct link *link, enum side side, void *at, size_t room);
/* This end is done. What it wrote still arrives, unless `abrupt`. Safe on a closed end. */
void link_close(struct link *link, enum side side, bool abrupt);

/* For traces. */
unsigned link_number(const struct link *link);

#endif
