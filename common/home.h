/* Where Canyon's own files are when nobody says otherwise: keys, and the lists of keys that are trusted.
 *
 * $CANYON_HOME, else $XDG_CONFIG_HOME/canyon, else $HOME/.config/canyon. A variable that is empty counts as unset, and
 * so does an XDG_CONFIG_HOME that is not an absolute path. */
#ifndef CANYON_COMMON_HOME_H
#define CANYON_COMMON_HOME_H

#include <stddef.h>

#include "common/status.h"

#define HOME_PATH_BYTES 4096 /* of a whole path, with the NUL */

#define HOME_CLIENT_KEY    "key"
#define HOME_KNOWN_SERVERS "known_servers"
#define HOME_SERVER_KEY    "server.key"
#define HOME_ALLOW         "allow"

/* The path of the file `name` there, whether or not it exists. CONFIGURATION when no variable says where, TOO_LARGE.
 * Reads the environment: not while another thread changes it. */
enum canyon_status home_file(const char *name, char path[HOME_PATH_BYTES], struct error *error);

#endif
