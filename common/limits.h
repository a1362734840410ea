/* Every explicit limit of the protocol and of a job, in one place; PROTOCOL.md lists the same numbers. */
#ifndef CANYON_COMMON_LIMITS_H
#define CANYON_COMMON_LIMITS_H

#define LIMIT_NAME_BYTES      128                 /* job, tensor and barrier names, with the NUL */
#define LIMIT_ADDRESS_BYTES   272                 /* "HOST:PORT" or "[IPv6]:PORT", with the NUL */
#define LIMIT_RANK            8                   /* dimensions of a tensor */
#define LIMIT_ELEMENTS        (1ull << 40)        /* elements of a tensor */
#define LIMIT_SETTINGS        32                  /* settings of a tensor's optimizer, its schedule's among them */
#define LIMIT_HYPERPARAMETERS 16                  /* of an optimizer alone */
#define LIMIT_SETTING_BYTES   32                  /* a hyperparameter's name, with the NUL */
#define LIMIT_OPTIMIZER_BYTES 32                  /* an optimizer's name, with the NUL */
#define LIMIT_SLOTS           4                   /* optimizer state arrays of the weights' shape */
#define LIMIT_OPTIMIZERS      256                 /* that a server has */
#define LIMIT_SCALARS         2                   /* numbers of optimizer state for each block, beside its step */
#define LIMIT_STEP            1000000000000000ull /* updates that a block can be assigned to have had */
#define LIMIT_SERVERS         1024                /* servers of a job */
#define LIMIT_THREADS         256                 /* threads of a server */
#define LIMIT_SHARDS          65536               /* shards of a job, a power of two */
#define LIMIT_BLOCK_LOW       1024                /* elements of a block: least, */
#define LIMIT_BLOCK_HIGH      (1u << 22)          /* most (16 MiB of float32) */
#define LIMIT_TENSORS         65536               /* tensors of a job */
#define LIMIT_DIM             16384               /* elements of a table's row */
#define LIMIT_ROWS            (1ull << 48)        /* rows of a table */
#define LIMIT_BATCH_ROWS      65536               /* ids in one frame, and in one push to a shard of a table */
#define LIMIT_RUNS            4096                /* shards whose rows are in one frame */
#define LIMIT_PIECES          64                  /* pieces in one frame */
#define LIMIT_CLOCK           1000000000000000ull /* a worker's clock */
#define LIMIT_MEMBERS         4096                /* workers that count clocks, at a time */
#define LIMIT_MESSAGE_BYTES   4096                /* protobuf part of a frame */
#define LIMIT_WAIT_MS         86400000u           /* longest wait a request may ask for: a day */

#endif
