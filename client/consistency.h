/* The job's consistency mode as a client of it asks for. */
#ifndef CANYON_CLIENT_CONSISTENCY_H
#define CANYON_CLIENT_CONSISTENCY_H

#include "client/client.h"

/* What options.consistency asks for: compared with what the job has, or set where it has none. MISMATCH names both. */
enum canyon_status consistency_agree(struct canyon_client *client, const char *text, struct error *error);

#endif
