/* Rows on servers: tables of the public API as rows.h has them, and the connection they are reached by. */
#ifndef CANYON_SIMULATOR_ROWS_THERE_H
#define CANYON_SIMULATOR_ROWS_THERE_H

#include "client/simulator/place.h"
#include "client/simulator/rows.h"

/* Connects to the place's servers under the name `name`. On CANYON_OK the client is to be closed; otherwise `text` says
 * why not. */
enum canyon_status rows_connect(const struct place *place, const char *name, canyon_client **client, char *text,
                                size_t bytes);

/* Creates the table, or opens it when another process was first. The client must outlive the rows. On CANYON_OK *rows
 * is to be closed. */
enum canyon_status rows_open_there(canyon_client *client, const struct rows_spec *spec, struct rows **rows, char *text,
                                   size_t bytes);

/* Drops a table; one that does not exist counts as dropped. */
enum canyon_status rows_drop(canyon_client *client, const char *name, char *text, size_t bytes);

#endif
