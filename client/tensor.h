/* A tensor handle: what a tensor is, and the versions of its blocks that this handle received last. */
#ifndef CANYON_CLIENT_TENSOR_H
#define CANYON_CLIENT_TENSOR_H

#include <stdatomic.h>
#include <stdint.h>

#include "client/client.h"
#include "client/encoding.h"
#include "common/tensor.h"

struct canyon_tensor {
    struct canyon_client *client;
    struct tensor_info info;
    uint64_t elements, blocks, home;
    uint32_t restarts;          /* of shard 0's server when the handle was opened */
    _Atomic uint64_t *versions; /* of the weights of each block received last; of its first values before that */
    struct encoding encoding;
};

/* A handle for a complete tensor. NULL with NO_MEMORY or PROTOCOL (a shape that cannot be). */
struct canyon_tensor *tensor_create(struct canyon_client *client, const struct tensor_info *info, struct error *error);
void tensor_destroy(struct canyon_tensor *tensor);

/* The public form of a catalogue entry. */
void tensor_info_publish(const struct canyon_client *client, const struct tensor_info *info,
                         struct canyon_tensor_info *public);

/* The internal form of a public spec, checked; its `values` stay behind. */
enum canyon_status tensor_spec_take(const struct canyon_tensor_spec *given, struct tensor_spec *spec,
                                    const float **values, struct error *error);

/* ---- What specs of tables are taken with, too ---- */

/* Copies a name of `bytes` bytes that may lack its NUL. INVALID_ARGUMENT then. */
enum canyon_status tensor_take_name(char *to, const char *from, size_t bytes, const char *what, struct error *error);

/* The internal form of an optimizer and its settings; whether they exist is the server's to say. */
enum canyon_status optimizer_take(const char optimizer[LIMIT_OPTIMIZER_BYTES], uint32_t count,
                                  const struct canyon_setting settings[LIMIT_SETTINGS], struct optimizer_spec *spec,
                                  struct error *error);

/* Reads "adam:lr=0.01" into a public spec's members; sets the last error. The members are touched only if `spec`, which
 * they are of, is not NULL. */
enum canyon_status optimizer_read(const char *call, const void *spec, const char *text,
                                  char optimizer[LIMIT_OPTIMIZER_BYTES], uint32_t *count,
                                  struct canyon_setting settings[LIMIT_SETTINGS]);

#endif
