/* What connection.c (a connection's life), connection_input.c (from bytes received to frames executed) and
 * connection_output.c (from replies to bytes sent) share. For them only. */
#ifndef CANYON_SERVER_CONNECTION_STATE_H
#define CANYON_SERVER_CONNECTION_STATE_H

#include "server/connection.h"

/* ---- connection.c ---- */

/* Puts it into the host's ready list: it wants another turn soon. */
void connection_schedule(struct connection *connection);

/* Arms the poll handle for what the state wants. */
void connection_watch(struct connection *connection);

/* The socket is of no use any more. Closing waits for the next turn: this may be deep inside a call of the handler. */
void connection_fail(struct connection *connection, enum log_level level, const char *reason);

/* OPEN: executes nothing more; what waits goes out first, and the last record. The connection may be CLOSED afterwards.
 */
void connection_wind_up(struct connection *connection);

/* OPEN: the client broke the protocol, or asks for too much. Tells it what was wrong, in answer to no request, and
 * winds up. */
void connection_refuse(struct connection *connection, const struct error *error);

/* ---- connection_input.c ---- */

/* OPEN: carries out pulls that waited and do no more, then frames in the order they came, until input, output or the
 * turn's budget gives out. */
void connection_input_execute(struct connection *connection);

/* Draining: whether to wait for more once the receive buffer was found empty. What a client sent before the stop may
 * still be in its own send buffer, which moves as ours empties: so for a short grace always, and after it for the rest
 * of a frame that has begun. */
bool connection_input_drained(const struct connection *connection, uint64_t now);

/* OPEN: nothing more is to be read: the client closed its end, or the server stops and the input has drained or the
 * time is over. Winds up. */
void connection_input_over(struct connection *connection);

/* Nothing more will be received into frames: the reader goes, and what it took of the host's `received`. Does nothing
 * the second time. */
void connection_input_release(struct connection *connection);

/* Nothing has come for a while: what the buffers take goes back to the system until something does. */
void connection_input_rest(struct connection *connection);

/* Nothing of a next frame has been received, in whatever form. */
bool connection_input_idle(const struct connection *connection);

/* Reading stops, or goes on, for the pace's sake. To be asked again and again whether it goes on: what lies unread
 * meanwhile is a sign of life. */
void connection_set_paced(struct connection *connection, bool paced);
void connection_input_resume(struct connection *connection, uint64_t now);

/* LINGERING: throws input away; closes when the client has closed. */
void connection_input_discard(struct connection *connection);

/* ---- connection_output.c ---- */

/* The handler's way out: one frame. */
void connection_send(struct handler_peer *peer, const struct handler_slice *slices, size_t count);

/* An ERROR in answer to no request. */
void connection_send_error(struct connection *connection, const struct error *error);

/* With a channel: the last record, once; no byte may follow. */
void connection_send_last(struct connection *connection);

/* Sends what waits; a pause ends when enough went. */
void connection_flush(struct connection *connection);

#endif
