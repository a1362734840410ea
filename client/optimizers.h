/* The optimizers the servers have, as they describe them. */
#ifndef CANYON_CLIENT_OPTIMIZERS_H
#define CANYON_CLIENT_OPTIMIZERS_H

#include "client/client.h"

/* Asks for one by its name. NOT_FOUND: the servers do not have it. */
enum canyon_status optimizers_find(struct canyon_client *client, const char *name, uint64_t deadline,
                                   struct message_optimizer *optimizer, struct error *error);

#endif
