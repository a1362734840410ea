/* A look at a load's servers: what they have sent, received and worked so far. */
#ifndef CANYON_SIMULATOR_LOAD_LOOK_H
#define CANYON_SIMULATOR_LOAD_LOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "canyon.h"
#include "client/tools/local.h"

struct load_look {
    bool taken;    /* every server answered */
    uint64_t time; /* news_clock's */
    uint64_t bytes_in, bytes_out;
    uint64_t values_in, single_in, values_out, single_out; /* bytes of values as they travelled, and as float32 */
    bool worked;                                           /* the next is known: the servers are local */
    uint64_t nanoseconds;                                  /* of processor time of all of them */
};

/* `local` may be NULL. */
void load_look_take(struct load_look *look, canyon_client *client, const struct local *local);

#endif
