/* What one load is to do: read by the command, its processes and the report alike. */
#ifndef CANYON_SIMULATOR_LOAD_PLAN_H
#define CANYON_SIMULATOR_LOAD_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/simulator/load_pace.h"
#include "client/tools/coding.h"
#include "client/tools/keys.h"

#define LOAD_PROGRAM "canyon-sim load" /* begins every message */

#define LOAD_WORKERS_HIGH   16384
#define LOAD_PROCESSES_HIGH 64
#define LOAD_CLIENTS_HIGH   64
#define LOAD_TENSORS_HIGH   1024
#define LOAD_SIZE_HIGH      (UINT64_C(1) << 40) /* bytes of a tensor's weights */
#define LOAD_BATCH_HIGH     (UINT64_C(1) << 20) /* ids of a call */
#define LOAD_TALLY_BYTES    24                  /* of a row that is verified */

struct draws;

struct load_plan {
    struct load_pace pace;
    const char *servers; /* addresses, as canyon_options.servers */
    struct keys keys;
    const char *prefix;    /* of tensor names */
    const char *optimizer; /* "NAME[:key=value,...]" */
    const char *codec;     /* as it was given, */
    struct coding coded;   /* and what it means */
    const char *mode;      /* "push_pull", "push", "pull", "mixed" */
    uint32_t processes;    /* worker w is in process w % processes */
    uint32_t clients;      /* of each process; a client has one connection to every server thread */
    uint32_t tensors;
    uint64_t elements; /* of each tensor; one dimension */
    bool table;        /* of rows, instead of tensors: `tensors` is 1 and `elements` what a call moves, batch x dim */
    uint32_t dim;
    uint64_t rows, batch;      /* rows that ids are drawn from; ids of a call, as they are drawn */
    const char *distribution;  /* as it was given, */
    double exponent, most;     /* what it means (draws.h), and the share of the likeliest row */
    const struct draws *draws; /* by which ids are drawn; made before the load begins */
    uint64_t warmup, duration; /* nanoseconds: not measured, then measured */
    uint64_t seed;
    uint32_t timeout_ms; /* of every call */
    bool verify;
};

/* The workers of a process. */
uint32_t load_plan_workers(const struct load_plan *plan, uint32_t process);

/* True when calls of this load push (pull) at all. */
bool load_plan_pushes(const struct load_plan *plan);
bool load_plan_pulls(const struct load_plan *plan);

/* What is counted: "blocks", or "rows" of a table. */
const char *load_plan_parts(const struct load_plan *plan);

/* Bytes of a call in one direction; of a table, as ids are drawn. */
uint64_t load_plan_call_bytes(const struct load_plan *plan);

/* Pushing calls that a verified load may make: then no sum passes what float32 holds exactly. */
uint64_t load_plan_pushes_high(const struct load_plan *plan);

/* Bytes that all processes take for gradients, weights, ids and the list of a call's tensors, for drawing ids and for
 * verifying rows; UINT64_MAX when that is not a number any more. */
uint64_t load_plan_memory(const struct load_plan *plan);

#endif
