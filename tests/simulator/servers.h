/* Local servers that the tests of one program share: started by its group's setup, stopped by its teardown. */
#ifndef CANYON_TESTS_SIMULATOR_SERVERS_H
#define CANYON_TESTS_SIMULATOR_SERVERS_H

#include <stdlib.h>

#include "canyon.h"
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

/* What a program made there is gone: its servers have no tensor or table. */
static inline void servers_hold_nothing(const struct local *local) {
    struct canyon_options options;
    canyon_client *client = NULL;
    struct canyon_tensor_info *infos = NULL;
    size_t count = 99;
    canyon_options_init(&options);
    options.servers = local_servers(local);
    assert_int_equal(canyon_connect(&options, &client), CANYON_OK);
    assert_int_equal(canyon_tensor_list(client, 0, &infos, &count), CANYON_OK);
    assert_int_equal(count, 0);
    canyon_free(infos);
    canyon_close(client);
}

#endif
