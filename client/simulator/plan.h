/* What one training run is to do: read by the parent, the workers and the observer alike. */
#ifndef CANYON_SIMULATOR_PLAN_H
#define CANYON_SIMULATOR_PLAN_H

#include <stdint.h>

#include "client/simulator/digits.h"
#include "client/simulator/model.h"
#include "client/simulator/pacing.h"
#include "client/simulator/split.h"
#include "client/tools/coding.h"
#include "client/tools/keys.h"

#define PLAN_PREFIX_BYTES 64

struct plan {
    const char *program; /* begins what is printed: "canyon-sim train" */
    const struct digits *digits;
    const struct split *split;
    const char *servers;   /* addresses, as canyon_options.servers */
    struct keys keys;      /* by which they are spoken to */
    const char *prefix;    /* of tensor and barrier names, at most PLAN_PREFIX_BYTES with its NUL */
    const char *optimizer; /* "NAME[:key=value,...]" */
    struct model model;
    uint32_t workers;
    uint64_t batch; /* 0: a worker's whole share */
    uint64_t epochs;
    uint64_t seed;
    double clip_norm;     /* most of the norm of a step's gradients; 0: any */
    struct coding coding; /* how workers' gradients and weights travel */
    struct pacing pacing; /* how the workers keep together */
    uint32_t trail_ms;    /* how often the observer keeps the weights, to score them at the end; 0: not at all */
    uint32_t timeout_ms;  /* of every call */
};

#endif
