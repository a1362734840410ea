/* Congestion control: which algorithm of the kernel decides how fast a TCP connection sends.
 *
 * It matters most where nothing is ever congested: an algorithm that paces what it sends (BBR, the default of some
 * systems) doubles the processor time of loopback traffic with its timers. A name here is the kernel's ("cubic",
 * "reno", "bbr", ...), or "auto": cubic, or else reno, on loopback and the system's choice elsewhere; or "system": the
 * system's choice everywhere. Any thread. */
#ifndef CANYON_COMMON_CONGESTION_H
#define CANYON_COMMON_CONGESTION_H

#include <sys/socket.h>

#include "common/status.h"

#define CONGESTION_NAME_BYTES 16 /* with the NUL: the kernel's TCP_CA_NAME_MAX */

/* INVALID_ARGUMENT unless this system lets this process use it; the text names what the system has. */
enum canyon_status congestion_check(const char *name, struct error *error);

/* Applies a checked name to a TCP socket whose other end is, or will be, `peer`. A socket that cannot be changed keeps
 * what it has: it works all the same. */
void congestion_set(int descriptor, const struct sockaddr *peer, const char *name);

#endif
