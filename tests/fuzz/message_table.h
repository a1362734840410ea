/* Which message a frame of each type carries. */
#ifndef CANYON_TESTS_FUZZ_MESSAGE_TABLE_H
#define CANYON_TESTS_FUZZ_MESSAGE_TABLE_H

#include "common/frame.h"
#include "tests/unit/common/message_kinds.h"

/* NULL for a type that carries none, or is unknown. */
static inline const struct message_kind *message_kind_of(unsigned type) {
    static const char *const names[FRAME_LAST + 1] = {
        [FRAME_ERROR] = "error",
        [FRAME_HELLO] = "hello",
        [FRAME_WELCOME] = "welcome",
        [FRAME_CREATE] = "create",
        [FRAME_CREATED] = "created",
        [FRAME_OPEN] = "open",
        [FRAME_OPENED] = "opened",
        [FRAME_DEFINE] = "define",
        [FRAME_COMPLETE] = "tensor",
        [FRAME_COMPLETED] = "tensor",
        [FRAME_DROP] = "tensor",
        [FRAME_DROPPING] = "tensor",
        [FRAME_UNDEFINE] = "tensor",
        [FRAME_DROPPED] = "tensor",
        [FRAME_DROP_DONE] = "tensor",
        [FRAME_LIST] = "list",
        [FRAME_LISTED] = "listed",
        [FRAME_ASSIGN] = "pieces",
        [FRAME_ASSIGNED] = "piece_results",
        [FRAME_PUSH] = "pieces",
        [FRAME_PUSHED] = "piece_results",
        [FRAME_PULL] = "pieces",
        [FRAME_PULLED] = "piece_results",
        [FRAME_PUSH_PULL] = "pieces",
        [FRAME_PUSH_PULLED] = "piece_results",
        [FRAME_JOIN] = "join",
        [FRAME_JOINED] = "joined",
        [FRAME_BARRIER] = "barrier",
        [FRAME_STATISTICS_ARE] = "statistics",
        [FRAME_OPTIMIZER] = "optimizer_request",
        [FRAME_OPTIMIZER_IS] = "optimizer",
        [FRAME_SET] = "set",
        [FRAME_SET_DONE] = "opened",
        [FRAME_ADJUST] = "define",
        [FRAME_TABLE_PUSH] = "rows",
        [FRAME_TABLE_PUSHED] = "rows_done",
        [FRAME_TABLE_PULL] = "rows",
        [FRAME_TABLE_PULLED] = "rows_done",
        [FRAME_TABLE_PUSH_PULL] = "rows",
        [FRAME_TABLE_PUSH_PULLED] = "rows_done",
        [FRAME_TABLE_ERASE] = "rows",
        [FRAME_TABLE_ERASED] = "rows_done",
        [FRAME_TABLE_INFO] = "table_query",
        [FRAME_TABLE_INFO_IS] = "table_totals",
        [FRAME_TABLE_ROWS] = "row_query",
        [FRAME_TABLE_ROWS_ARE] = "row_page",
        [FRAME_ENTER] = "enter",
        [FRAME_ENTERED] = "entered",
        [FRAME_CLOCK] = "clock",
        [FRAME_CLOCKED] = "clocked",
        [FRAME_CONSISTENCY] = "consistency",
        [FRAME_CONSISTENCY_IS] = "consistency_is",
        [FRAME_MEMBERS] = "members",
        [FRAME_MEMBERS_ARE] = "members_are",
        [FRAME_STALENESS] = "staleness",
        [FRAME_STALENESS_IS] = "staleness_is",
    };
    const char *name = type <= FRAME_LAST ? names[type] : NULL;
    for (size_t i = 0; name != NULL && i < MESSAGE_KINDS; i++) {
        if (strcmp(message_kinds[i].name, name) == 0) {
            return &message_kinds[i];
        }
    }
    return NULL;
}

#endif
