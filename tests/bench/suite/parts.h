/* The parts of a run, of which a command line can choose some. Pure. */
#ifndef TESTS_BENCH_SUITE_PARTS_H
#define TESTS_BENCH_SUITE_PARTS_H

#include <stdbool.h>
#include <stddef.h>

enum part {
    PART_DENSE_1,
    PART_DENSE_2,
    PART_SECURE_1,
    PART_SECURE_2,
    PART_LATENCY,
    PART_MEMORY,
    PART_SPARSE_1,
    PART_SPARSE_2,
    PART_SPARSE_GROWTH,
    PART_IPERF, /* these three where they are installed */
    PART_PEERS,
    PART_REDIS,
    PARTS
};
#define PARTS_DENSE PART_LATENCY /* those before it are push_pulls of a large tensor */

#define PARTS_LIST                                                                                                     \
    "dense_1,dense_2,dense_secure_1,dense_secure_2,latency,memory,sparse_1,sparse_2,sparse_growth,iperf3,peers,redis"

/* "dense_1": as the command line and the figures have it. */
const char *parts_name(enum part part);
/* Threads of a dense or sparse one's server, and whether it is encrypted. */
unsigned parts_threads(enum part part);
bool parts_encrypted(enum part part);

/* Reads names separated by commas. False, with the first that does not exist in `wrong` (cut to its size), or with ""
 * when there is none at all. */
bool parts_choose(const char *list, bool parts[PARTS], char *wrong, size_t bytes);

#endif
