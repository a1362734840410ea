/* Every message decoder: what is accepted is within all limits, so that it can be packed and read again the same.
 *
 * Input: u8 which message, then its bytes. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/message_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    const struct message_kind *kind = &message_kinds[input_u8(&input) % MESSAGE_KINDS];
    uint8_t packed[LIMIT_MESSAGE_BYTES], again[LIMIT_MESSAGE_BYTES];
    union any_message message;
    struct error error = {.text = ""};
    uint8_t *exact = exact_copy(input.at, input.left);
    memset(&message, 0xa5, sizeof message);
    enum canyon_status status = kind->unpack(exact, input.left, &message, &error);
    free(exact);
    if (status != CANYON_OK) {
        REQUIRE(status == CANYON_PROTOCOL && error.status == status && strncmp(error.text, "message ", 8) == 0);
        return 0;
    }
    size_t count = kind->pack(&message, packed);
    REQUIRE(count <= sizeof packed);
    memset(&message, 0x5a, sizeof message);
    REQUIRE(kind->unpack(packed, count, &message, &error) == CANYON_OK);
    REQUIRE(kind->pack(&message, again) == count && memcmp(packed, again, count) == 0);
    return 0;
}
