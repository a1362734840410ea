/* Local servers that the tests of one program share: started by its group's setup, stopped by its teardown. */
#ifndef CANYON_TESTS_SIMULATOR_SERVERS_H
#define CANYON_TESTS_SIMULATOR_SERVERS_H

#include <stdlib.h>

#include "client/tools/local.h"

/* Starts `count` servers with small blocks, so that small models cross shards. 0, or -1 with the reason printed, as
 * cmocka's setups answer. */
static inline int servers_start(unsigned count, struct local **local) {
    struct local_options options;
    char text[LOCAL_TEXT_BYTES];
    local_options_init(&options);
    options.servers = count;
    options.block_elements = 1024;
    options.program = CANYON_BINARY_DIR "/bin/canyon-server";
    if (local_start(&options, local, text, sizeof text) != CANYON_OK) {
        print_error("%s\n", text);
        return -1;
    }
    setenv("CANYON_HOME", local_home(*local), 1); /* of the programs, and of clients in this one */
    return 0;
}

#endif
