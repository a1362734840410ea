/* The gradients of a step before they are sent: measured together, checked for NaN and infinity, scaled when long. */
#ifndef CANYON_CLIENT_GRADIENTS_H
#define CANYON_CLIENT_GRADIENTS_H

#include "client/client.h"
#include "client/transfer.h"

/* The Euclidean norm of all gradients among the items. Squares are exact in double; they are added in double, in an
 * order that depends on the items' number and lengths alone, so that equal gradients give equal bits. Infinite or NaN
 * exactly when an element is. */
double gradients_norm(const struct transfer_item *items, size_t count);

/* What `options` ask for; fills in their norm and clipped, and counts in the client's counters. When gradients are too
 * long, `copy` receives room for all of them, and the items' `out` lead there: each element times clip_norm / norm, the
 * product of double precision rounded to float once. The caller's gradients are only read. On a failure nothing is to
 * be sent.
 *   INVALID_ARGUMENT  options of an unknown size, clip_norm negative or NaN
 *   NOT_FINITE        the text names tensor and element
 *   NO_MEMORY         for the copy */
enum canyon_status gradients_treat(struct canyon_client *client, struct transfer_item *items, size_t count,
                                   struct canyon_step_options *options, struct client_room *copy, struct error *error);

#endif
