/* What is counted across the threads of a server, for statistics. Any thread adds; whoever reads sees a value that was
 * right a moment ago. */
#ifndef CANYON_SERVER_TALLY_H
#define CANYON_SERVER_TALLY_H

#include <stdatomic.h>

/* Zeroed at first. */
struct tally {
    atomic_ullong turned_away; /* connections that went without having been greeted, whatever the reason */
    atomic_ullong aborted;     /* greeted ones that ended without a last record */
};

#endif
