/* Settings that change while training runs: ordered by shard 0, then taken over by every part. */
#ifndef CANYON_CLIENT_SETTINGS_H
#define CANYON_CLIENT_SETTINGS_H

#include <stdbool.h>

#include "client/client.h"
#include "common/tensor.h"

/* Brings the settings of a catalogue entry (complete, its epoch above 0) to every part. Parts that have them, or later
 * ones, stay as they are, so that it may be repeated by anybody. `reached_only` leaves out servers that canyon_connect
 * could not reach. */
enum canyon_status settings_adjust(struct canyon_client *client, const struct tensor_info *info, bool reached_only,
                                   uint64_t deadline, struct error *error);

#endif
