/* What one load is to do: read by the command, its processes and the report alike. */
#ifndef CANYON_SIMULATOR_LOAD_PLAN_H
#define CANYON_SIMULATOR_LOAD_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/simulator/load_pace.h"
#include "client/tools/coding.h"
#include "client/tools/keys.h"

#define LOAD_WORKERS_HIGH   16384
#define LOAD_PROCESSES_HIGH 64
#define LOAD_CLIENTS_HIGH   64
#define LOAD_TENSORS_HIGH   1024
#define LOAD_SIZE_HIGH      (UINT64_C(1) << 40) /* bytes of a tensor's weights */

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
    uint64_t elements;         /* of each tensor; one dimension */
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

/* Bytes of a call in one direction. */
uint64_t load_plan_call_bytes(const struct load_plan *plan);

/* Bytes that all processes take for gradients and weights; UINT64_MAX when that is not a number any more. */
uint64_t load_plan_memory(const struct load_plan *plan);

#endif
