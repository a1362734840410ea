/* The caller's options of canyon_connect, checked and with the defaults of what its header does not have. */
#ifndef CANYON_CLIENT_OPTIONS_H
#define CANYON_CLIENT_OPTIONS_H

#include "client/include/canyon.h"
#include "common/status.h"

/* Takes a caller's options, which may be of an older and shorter header, over the defaults; texts stay the caller's.
 * INVALID_ARGUMENT, or UNSUPPORTED for those of a newer header. */
enum canyon_status options_take(const struct canyon_options *given, struct canyon_options *options,
                                struct error *error);

#endif
