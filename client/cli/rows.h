/* What `canyon` says of tables. */
#ifndef CANYON_CLI_ROWS_H
#define CANYON_CLI_ROWS_H

#include "client/cli/cli.h"

/* `canyon show` of a table: its specification, rows and memory. */
enum outcome rows_show(const struct cli *cli, canyon_client *client, const char *name);

#endif
