#include "common/frame.h"

#include <inttypes.h>
#include <string.h>

#include "common/endian.h"

static const char magic[4] = {'C', 'N', 'Y', 'N'};

const char *frame_type_name(unsigned type) {
    static const char *const names[] = {
        [FRAME_ERROR] = "ERROR",
        [FRAME_HELLO] = "HELLO",
        [FRAME_WELCOME] = "WELCOME",
        [FRAME_CREATE] = "CREATE",
        [FRAME_CREATED] = "CREATED",
        [FRAME_OPEN] = "OPEN",
        [FRAME_OPENED] = "OPENED",
        [FRAME_DEFINE] = "DEFINE",
        [FRAME_DEFINED] = "DEFINED",
        [FRAME_COMPLETE] = "COMPLETE",
        [FRAME_COMPLETED] = "COMPLETED",
        [FRAME_DROP] = "DROP",
        [FRAME_DROPPING] = "DROPPING",
        [FRAME_UNDEFINE] = "UNDEFINE",
        [FRAME_UNDEFINED] = "UNDEFINED",
        [FRAME_DROPPED] = "DROPPED",
        [FRAME_DROP_DONE] = "DROP_DONE",
        [FRAME_LIST] = "LIST",
        [FRAME_LISTED] = "LISTED",
        [FRAME_ASSIGN] = "ASSIGN",
        [FRAME_ASSIGNED] = "ASSIGNED",
        [FRAME_PUSH] = "PUSH",
        [FRAME_PUSHED] = "PUSHED",
        [FRAME_PULL] = "PULL",
        [FRAME_PULLED] = "PULLED",
        [FRAME_PUSH_PULL] = "PUSH_PULL",
        [FRAME_PUSH_PULLED] = "PUSH_PULLED",
        [FRAME_JOIN] = "JOIN",
        [FRAME_JOINED] = "JOINED",
        [FRAME_BARRIER] = "BARRIER",
        [FRAME_BARRIER_PASSED] = "BARRIER_PASSED",
        [FRAME_STATISTICS] = "STATISTICS",
        [FRAME_STATISTICS_ARE] = "STATISTICS_ARE",
        [FRAME_DIGEST] = "DIGEST",
        [FRAME_DIGESTS] = "DIGESTS",
        [FRAME_OPTIMIZER] = "OPTIMIZER",
        [FRAME_OPTIMIZER_IS] = "OPTIMIZER_IS",
        [FRAME_SET] = "SET",
        [FRAME_SET_DONE] = "SET_DONE",
        [FRAME_ADJUST] = "ADJUST",
        [FRAME_ADJUSTED] = "ADJUSTED",
        [FRAME_TABLE_PUSH] = "TABLE_PUSH",
        [FRAME_TABLE_PUSHED] = "TABLE_PUSHED",
        [FRAME_TABLE_PULL] = "TABLE_PULL",
        [FRAME_TABLE_PULLED] = "TABLE_PULLED",
        [FRAME_TABLE_PUSH_PULL] = "TABLE_PUSH_PULL",
        [FRAME_TABLE_PUSH_PULLED] = "TABLE_PUSH_PULLED",
        [FRAME_TABLE_ERASE] = "TABLE_ERASE",
        [FRAME_TABLE_ERASED] = "TABLE_ERASED",
        [FRAME_TABLE_INFO] = "TABLE_INFO",
        [FRAME_TABLE_INFO_IS] = "TABLE_INFO_IS",
        [FRAME_TABLE_ROWS] = "TABLE_ROWS",
        [FRAME_TABLE_ROWS_ARE] = "TABLE_ROWS_ARE",
        [FRAME_RESUME] = "RESUME",
        [FRAME_RESUMED] = "RESUMED",
        [FRAME_LEAVE] = "LEAVE",
        [FRAME_LEFT] = "LEFT",
        [FRAME_ENTER] = "ENTER",
        [FRAME_ENTERED] = "ENTERED",
        [FRAME_CLOCK] = "CLOCK",
        [FRAME_CLOCKED] = "CLOCKED",
        [FRAME_CONSISTENCY] = "CONSISTENCY",
        [FRAME_CONSISTENCY_IS] = "CONSISTENCY_IS",
        [FRAME_MEMBERS] = "MEMBERS",
        [FRAME_MEMBERS_ARE] = "MEMBERS_ARE",
        [FRAME_STALENESS] = "STALENESS",
        [FRAME_STALENESS_IS] = "STALENESS_IS",
    };
    if (type >= sizeof names / sizeof names[0] || names[type] == NULL) {
        return "UNKNOWN_TYPE";
    }
    return names[type];
}

void frame_header_encode(const struct frame_header *header, uint8_t bytes[FRAME_HEADER_BYTES]) {
    memcpy(bytes, magic, sizeof magic);
    bytes[4] = FRAME_VERSION;
    bytes[5] = 0;
    store_u16(bytes + 6, header->type);
    store_u32(bytes + 8, header->message_bytes);
    store_u32(bytes + 12, header->payload_bytes);
    store_u64(bytes + 16, header->request);
}

enum canyon_status frame_header_decode(const uint8_t bytes[FRAME_HEADER_BYTES], uint32_t payload_limit,
                                       struct frame_header *header, struct error *error) {
    if (memcmp(bytes, magic, sizeof magic) != 0) {
        return error_set(
            error, CANYON_PROTOCOL,
            "a frame begins with bytes %02x %02x %02x %02x instead of \"CNYN\": the peer does not speak Canyon's "
            "protocol",
            bytes[0], bytes[1], bytes[2], bytes[3]);
    }
    /* The version before everything that a later version may have changed. */
    if (bytes[4] != FRAME_VERSION) {
        return error_set(
            error, CANYON_UNSUPPORTED,
            "the peer speaks protocol version %u, this side speaks version %u: use releases that share one",
            (unsigned)bytes[4], (unsigned)FRAME_VERSION);
    }
    if (bytes[5] != 0) {
        return error_set(error, CANYON_PROTOCOL, "a frame has flags 0x%02x, version %u knows none", bytes[5],
                         (unsigned)FRAME_VERSION);
    }
    struct frame_header read = {.version = bytes[4],
                                .flags = bytes[5],
                                .type = load_u16(bytes + 6),
                                .message_bytes = load_u32(bytes + 8),
                                .payload_bytes = load_u32(bytes + 12),
                                .request = load_u64(bytes + 16)};
    if (read.message_bytes > LIMIT_MESSAGE_BYTES) {
        return error_set(error, CANYON_TOO_LARGE,
                         "a frame of type %s (%u) has a message of %" PRIu32 " bytes, the limit is %d",
                         frame_type_name(read.type), (unsigned)read.type, read.message_bytes, LIMIT_MESSAGE_BYTES);
    }
    if (read.payload_bytes > payload_limit) {
        return error_set(error, CANYON_TOO_LARGE,
                         "a frame of type %s (%u) has a payload of %" PRIu32 " bytes, the limit is %" PRIu32,
                         frame_type_name(read.type), (unsigned)read.type, read.payload_bytes, payload_limit);
    }
    *header = read;
    return CANYON_OK;
}
