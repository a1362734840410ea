/* Trust is who a server is and whom it trusts: its secret key, and the allow-list, from the files that its settings
 * name. */
#ifndef CANYON_SERVER_TRUST_H
#define CANYON_SERVER_TRUST_H

#include "common/log.h"
#include "server/allow.h"
#include "server/config.h"

struct trust {
    struct key_pair *key; /* owned; NULL for a plaintext server, as is the list */
    struct allow *allow;  /* held; as last read */
};

/* Reads both; leaves both NULL when the settings ask for plaintext. CONFIGURATION when a file is not there, or not as
 * it must be: the text names it, and the command that makes one. NO_MEMORY. finish is safe after a failure, and on
 * zeroes. */
enum canyon_status trust_load(const struct config *config, struct trust *trust, struct error *error);
void trust_finish(struct trust *trust);

/* Reads the allow-list again. A good one takes the old one's place in `trust`; otherwise the old one stays. */
enum canyon_status trust_reload(const struct config *config, struct trust *trust, struct error *error);

/* Writes to the log whom clients must know this server as: the line for their known_servers, ready to paste. */
void trust_log(const struct config *config, const struct trust *trust, const struct log *log);

#endif
