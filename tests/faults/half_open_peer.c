/* Clients on a host that will be cut off: some idle, some with answers on their way that they do not read.
 *
 *   half_open_peer HOST:PORT IDLE DEAF
 *
 * Prints "ready" when all have said hello, then waits to be killed. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/integration/harness.h"
#include "tests/integration/raw.h"

#define BLOCK    65536u
#define ELEMENTS (4u * BLOCK)

int main(int argc, char **argv) {
    static struct message_pieces pieces = {.count = 1};
    if (argc != 4)
        return 2;
    int idle = atoi(argv[2]), deaf = atoi(argv[3]);
    canyon_client *client = client_connect(argv[1]);
    canyon_tensor *tensor = client_vector(client, "t", ELEMENTS, "sgd");
    for (int i = 0; i < idle + deaf; i++) {
        struct raw raw;
        uint8_t message[LIMIT_MESSAGE_BYTES];
        raw_open(&raw, argv[1], 0, NULL);
        uint64_t id = raw_find(&raw, "t");
        for (uint32_t block = 0; i >= idle && block < 64; block++) {
            pieces.pieces[0] = (struct message_piece){.tensor = id, .block = block % 4, .elements = BLOCK};
            raw_send(&raw, FRAME_PULL, message, message_pack_pieces(&pieces, message), NULL, 0);
        }
    }
    canyon_tensor_close(tensor);
    printf("ready\n");
    fflush(stdout);
    for (;;)
        pause();
}
