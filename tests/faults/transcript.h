/* A transcript is what passed over one connection: pieces of bytes in the order they went, each with its way.
 *
 * The proxy records them; a test looks at them, keeps them in a file, or sends the client's half to a server again, at
 * the pace at which the server's half came. Not thread-safe. */
#ifndef TESTS_FAULTS_TRANSCRIPT_H
#define TESTS_FAULTS_TRANSCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Up is from the client to the server. */
enum proxy_way { PROXY_UP = 0, PROXY_DOWN = 1 };

struct transcript_piece {
    enum proxy_way way;
    size_t begin, count; /* in bytes */
};

/* Zeroed is empty. */
struct transcript {
    uint8_t *bytes; /* owned */
    size_t count, room;
    struct transcript_piece *pieces; /* owned; neighbours go different ways */
    size_t piece_count, piece_room;
};

/* Safe on NULL and on an empty one. */
void transcript_finish(struct transcript *transcript);

/* Appends; false when memory cannot be had. */
bool transcript_add(struct transcript *transcript, enum proxy_way way, const void *bytes, size_t count);

bool transcript_copy(struct transcript *to, const struct transcript *from);

/* How many bytes went this way. */
size_t transcript_total(const struct transcript *transcript, enum proxy_way way);

/* The byte at an offset of one way: where it is in `bytes`; SIZE_MAX beyond the end. */
size_t transcript_find(const struct transcript *transcript, enum proxy_way way, size_t offset);

/* The file's form is "canyon-transcript-1\n", then for each piece one byte 'U' or 'D', its length as a little-endian
 * u32, and its bytes. Read and write return false when the file cannot be read or written or is not of that form; what
 * was read is then finished. */
bool transcript_write(const struct transcript *transcript, FILE *file);
bool transcript_read(struct transcript *transcript, FILE *file);

/* What became of a replay. */
struct transcript_replay {
    size_t sent;               /* bytes that the socket took */
    struct transcript replies; /* owned: transcript_finish it; all of them down */
    bool closed;               /* the server ended the connection; else the time was over, or it was all sent */
};

/* Connects to the address and sends the pieces that went up. Before each, waits until as many bytes have come down as
 * had when it was recorded, or until `wait_ms` have passed for that piece. After the last it waits as long for the
 * server to close. False when the connection could not be made. */
bool transcript_replay(const struct transcript *transcript, const char *address, uint32_t wait_ms,
                       struct transcript_replay *replay);

#endif
