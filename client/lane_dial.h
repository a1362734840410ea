/* A dial turns an address into a connected socket on a libuv loop: it looks the name up and tries each answer in turn.
 *
 * Raw descriptors and uv_poll instead of uv_tcp, because a library may not ignore SIGPIPE for its program: only
 * send(MSG_NOSIGNAL) is safe there, and because exactly what the kernel took is known when a deadline passes. */
#ifndef CANYON_CLIENT_LANE_DIAL_H
#define CANYON_CLIENT_LANE_DIAL_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/address.h"

/* Called at most once, from the loop: a connected non-blocking descriptor, now the receiver's; or -1 and why not. */
typedef void (*dial_done)(void *user, int descriptor, const char *text);

struct dial;

/* Begins; `done` is never called from here. NULL when memory cannot be had. The thread that runs the loop calls.
 * `congestion` is a name of common/congestion.h, borrowed for the dial's life. */
struct dial *dial_start(uv_loop_t *loop, const struct address *address, const char *congestion, uint64_t deadline,
                        dial_done done, void *user);

/* Gives up; `done` will not be called. The memory goes when libuv lets go of it, within later turns of the loop; a name
 * lookup that has begun cannot be interrupted. Safe on NULL; not after `done` was called. */
void dial_stop(struct dial *dial);

/* Where the other end of a socket that was connected is: on this machine, on another, or gone before it could be seen.
 */
enum dial_peer { DIAL_NEAR, DIAL_FAR, DIAL_GONE };
enum dial_peer dial_peer(int descriptor);

#endif
