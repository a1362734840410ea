#include "common/home.h"

#include <stdio.h>
#include <stdlib.h>

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

enum canyon_status home_file(const char *name, char path[HOME_PATH_BYTES], struct error *error) {
    const char *canyon = variable("CANYON_HOME"), *configuration = variable("XDG_CONFIG_HOME");
    const char *home = variable("HOME");
    int length = -1;
    if (canyon != NULL) {
        length = snprintf(path, HOME_PATH_BYTES, "%s/%s", canyon, name);
    } else if (configuration != NULL && configuration[0] == '/') {
        length = snprintf(path, HOME_PATH_BYTES, "%s/canyon/%s", configuration, name);
    } else if (home != NULL) {
        length = snprintf(path, HOME_PATH_BYTES, "%s/.config/canyon/%s", home, name);
    } else {
        return error_set(error, CANYON_CONFIGURATION,
                         "nothing says where the file %s is: set CANYON_HOME to a directory, or name the file", name);
    }
    if (length < 0 || length >= HOME_PATH_BYTES) {
        return error_set(error, CANYON_TOO_LARGE, "the path of the file %s would have more than %d bytes", name,
                         HOME_PATH_BYTES - 1);
    }
    return CANYON_OK;
}
