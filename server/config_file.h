/* A configuration file: "key = value" lines, comments after # or ; at the start of a line (or " ;" behind a value). */
#ifndef CANYON_SERVER_CONFIG_FILE_H
#define CANYON_SERVER_CONFIG_FILE_H

#include "server/config.h"

/* Sets the keys that the file names. A value of `servers` may go on over indented lines; a line has at most 197 bytes.
 * INVALID_ARGUMENT with a text "FILE:LINE: ..." for a fault: a line that is no setting, an unknown or repeated
 * key, a section, a bad value; NOT_FOUND when the file cannot be read; NO_MEMORY. */
enum canyon_status config_file_read(struct config *config, const char *path, struct error *error);

#endif
