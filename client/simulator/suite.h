/* The optimizers that a command is to run: those its --optimizer options name, "all" being those the servers have
 * for tensors. */
#ifndef CANYON_SIMULATOR_SUITE_H
#define CANYON_SIMULATOR_SUITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "canyon.h"
#include "client/simulator/place.h"
#include "client/tools/arguments.h"

#define SUITE_HIGH 64 /* most runs */

struct suite {
    const char *runs[SUITE_HIGH]; /* "NAME[:key=value,...]", in the order asked for */
    size_t count;
    struct canyon_optimizer_info *infos; /* what "all" stands for; NULL when nobody asked */
};

/* What can be found wrong without a server, which it prints. Ask before the work. */
enum arguments_verdict suite_check(const struct command_line *line, const struct argument_texts *asked);

/* Fills in the suite; for "all" it asks the client's servers. The texts asked for must outlive it. On CANYON_OK the
 * suite is to be finished; otherwise `text` says why not. */
enum canyon_status suite_open(struct suite *suite, const struct argument_texts *asked, canyon_client *client,
                              char *text, size_t bytes);

/* The same with a connection of its own, which is closed again, so that fork() afterwards is fine; made only when "all"
 * is among those asked for. */
enum canyon_status suite_ask(struct suite *suite, const struct argument_texts *asked, const struct place *place,
                             char *text, size_t bytes);

/* Frees. Safe on a zeroed one. */
void suite_finish(struct suite *suite);

#endif
