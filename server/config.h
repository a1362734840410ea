/* The settings of a server: their defaults, how they are read from a file and a command line, and what they must
 * fulfil.
 *
 * Life: config_init -> config_arguments (which reads the file named by --config first) -> config_place, once the
 * listening address is known. Every error text names the place (file and line, or the command line), the key, the value
 * and what is allowed. Not thread-safe; read-only once the server runs. */
#ifndef CANYON_SERVER_CONFIG_H
#define CANYON_SERVER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/address.h"
#include "common/channel.h"
#include "common/congestion.h"
#include "common/home.h"
#include "common/job.h"
#include "common/log.h"
#include "server/affinity.h"

#define CONFIG_SPIN_MAX        1000000 /* microseconds */
#define CONFIG_DRAIN_MAX       3600    /* seconds */
#define CONFIG_LEASE_MIN       100     /* milliseconds */
#define CONFIG_LEASE_MAX       3600000
#define CONFIG_CONNECTIONS_MAX 1000000

struct config {
    char listen[LIMIT_ADDRESS_BYTES];    /* "HOST:PORT", or "fd:N" */
    int listen_descriptor;               /* N of "fd:N", else -1 */
    struct address listen_address;       /* of "HOST:PORT" */
    char advertise[LIMIT_ADDRESS_BYTES]; /* canonical; "" until given or placed */
    uint32_t threads;
    uint32_t drain; /* seconds */
    uint32_t lease; /* milliseconds that a silent worker is waited for */
    enum log_level log_level;
    char key[HOME_PATH_BYTES];   /* path of the server's secret key; "" for the one in Canyon's home */
    char allow[HOME_PATH_BYTES]; /* path of the allow-list, likewise */
    enum channel_cipher cipher;
    uint32_t connections; /* most at once; 0 for as many as descriptors allow */
    uint32_t connections_per_key;
    bool plaintext;          /* nothing is encrypted and nobody identified, instead of everything and everybody */
    bool plaintext_anywhere; /* even where other machines can connect */
    uint64_t memory_limit;   /* bytes for shards' state, of all threads together; 0 for a share of the machine's: */
    uint32_t memory_percent;
    char pin[AFFINITY_TEXT_BYTES]; /* to which processors the threads are bound */
    char congestion[CONGESTION_NAME_BYTES];
    uint32_t spin;   /* microseconds that an idle thread looks for work before it sleeps */
    struct job job;  /* its list is empty until given or placed */
    uint32_t server; /* this server's index in the list, once placed */
};

enum config_action { CONFIG_RUN, CONFIG_HELP, CONFIG_VERSION, CONFIG_CHECK };

/* Every key at its default. finish is safe on a zeroed config and on NULL. */
void config_init(struct config *config);
void config_finish(struct config *config);

/* Sets one key from its text; an empty advertise or servers is the default. INVALID_ARGUMENT with a text
 * "KEY = VALUE: what is allowed"; then nothing has changed. */
enum canyon_status config_set(struct config *config, const char *key, const char *value, struct error *error);

/* Reads "--key value" and "--key=value", after the file that --config names: the command line wins over the file, and a
 * later word over an earlier one. A key that is yes or no may stand alone for yes. `action` says what the user asked
 * for. */
enum canyon_status config_arguments(struct config *config, int argc, char *const *argv, enum config_action *action,
                                    struct error *error);

/* Decides the advertised address and this server's place in the list, given where it listens, and checks the whole.
 * May be called before the port is known (port 0): it then refuses what cannot become right and leaves the rest open.
 * CONFIGURATION: listening on a wildcard, or on port 0 among several servers, with nothing advertised; an advertised
 * address that is not in the list (naming both); plaintext on a numeric address that is not this machine's own. */
enum canyon_status config_place(struct config *config, const struct address *listening, struct error *error);

/* Whether the server identifies its clients and encrypts. */
bool config_encrypts(const struct config *config);

/* Whether a plaintext server may listen there: where only this machine can connect, or anywhere if it was told so.
 * CONFIGURATION. */
enum canyon_status config_check_reach(const struct config *config, bool loopback, struct error *error);

/* Most bytes of parameters and optimizer state, on a machine with so much memory; 0 for no limit (nothing is known of
 * the machine). */
uint64_t config_memory(const struct config *config, uint64_t machine);

/* The key at `index` in the order of the documentation, or NULL after the last. Static memory. */
const char *config_key(size_t index);

/* Whether a key's value is yes or no. */
bool config_is_switch(const char *key);

/* Writes all settings in the form of a configuration file. */
void config_write(const struct config *config, FILE *file);

#endif
