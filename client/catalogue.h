/* Creating and opening tensors and tables: the client's half of the catalogue's rules. For the public calls. */
#ifndef CANYON_CLIENT_CATALOGUE_H
#define CANYON_CLIENT_CATALOGUE_H

#include "client/client.h"
#include "client/tensor.h"

/* Creates what the spec says, or opens it. `values` are a tensor's first ones, or NULL. On OK *tensor is owned. Within
 * client_begin only. */
enum canyon_status catalogue_create(struct canyon_client *client, const struct tensor_spec *spec, const float *values,
                                    uint64_t deadline, struct canyon_tensor **tensor, struct error *error);

/* Waits until it is there, complete, and opens it. MISMATCH when it is of the other kind. */
enum canyon_status catalogue_open(struct canyon_client *client, const char *name, enum tensor_kind kind,
                                  uint64_t deadline, struct canyon_tensor **tensor, struct error *error);

#endif
