/* TCP sockets of the proxy and of the tests around it: by address text, on whichever family it names. */
#ifndef TESTS_FAULTS_SOCKET_H
#define TESTS_FAULTS_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Connects to "HOST:PORT", the host a literal address. With `wait_not` the socket is non-blocking and the connection
 * may be under way still. TCP_NODELAY is set. -1 with errno. */
int socket_connect(const char *address, bool wait_not);

/* Listens on "HOST:PORT", port 0 being any, non-blocking; with `reserve` the socket is bound only and keeps the port
 * for others that are bound to it later. `bound` receives the address with the port. -1 with errno. */
int socket_listen(const char *address, bool reserve, char *bound, size_t bytes);

/* Bytes in the socket's buffer that have not gone out. (An acknowledgement may take its time; on a loopback what went
 * out has arrived.) */
int socket_unsent(int descriptor);

/* Closes it with a reset instead of an end. */
void socket_reset(int descriptor);

#endif
