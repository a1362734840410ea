/* A key list is a text file that says whom to trust: one line per key, or the whole file is refused.
 *
 *     format canyon-allow-1
 *     # comment
 *     worker  trainer-07  cnp1...  conns=4   # comment
 *
 * The first line that is neither blank nor a comment names the format. Then each line has a kind, a name, a public key
 * and options NAME=VALUE, each at most once, separated by spaces or tabs. "#" at the beginning of a line or after a
 * blank begins a comment. A line has at most 1,024 bytes, ended by LF or CR LF, and the file 4 MiB. Control characters
 * are refused, and so is whatever looks like a secret key, in comments too; no error repeats one. What kinds, names and
 * options there are is the reader's affair: the server's allow-list, and the client's known servers. */
#ifndef CANYON_COMMON_KEY_LIST_H
#define CANYON_COMMON_KEY_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "common/key.h"

#define KEY_LIST_LINE_BYTES 1024
#define KEY_LIST_BYTES      (4u * 1024 * 1024)
#define KEY_LIST_OPTIONS    16

struct key_list_option {
    const char *key, *value; /* both NUL-terminated and not empty */
};

/* One line. Borrowed for the call. */
struct key_list_line {
    size_t number; /* from 1 */
    const char *kind, *name;
    uint8_t key[KEY_BYTES];
    const struct key_list_option *options;
    size_t option_count;
};

/* Anything but OK ends the parsing; the text gets the line's number put before it. */
typedef enum canyon_status (*key_list_take)(void *user, const struct key_list_line *line, struct error *error);

/* Parses `bytes` of text. `format` is what the first line must name. INVALID_ARGUMENT with "line N: ...". Says nothing
 * of doubled names or keys: that is the reader's affair too. A list that has only the format is good; one without is
 * not. `text` needs no NUL behind it. Pure. */
enum canyon_status key_list_parse(const char *text, size_t bytes, const char *format, key_list_take take, void *user,
                                  struct error *error);

/* Reads and parses a file: a regular file that group and others cannot write (checked on the opened descriptor). Unlike
 * a key's, it may be reached through a symbolic link and belong to anyone, as configuration that a container is given
 * does: whoever names the file to the program trusts its owner. NOT_FOUND, INVALID_ARGUMENT, NO_MEMORY:
 * the text names the file. */
enum canyon_status key_list_read(const char *path, const char *format, key_list_take take, void *user,
                                 struct error *error);

#endif
