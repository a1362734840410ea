#include "server/seldom.h"

#include <stddef.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/status.h"

#define SECOND 1000000000ull

bool seldom_suppresses(struct seldom *seldom) {
    bool soon = clock_now() < seldom->next;
    seldom->suppressed += soon;
    return soon;
}

void seldom_log(struct seldom *seldom, const struct log *log, enum log_level level, const char *event, const char *from,
                const char *name, const char *reason) {
    char quoted_name[2 * LIMIT_NAME_BYTES] = "", quoted[ERROR_TEXT_BYTES + 32];
    if (seldom_suppresses(seldom)) {
        return;
    }
    if (name != NULL) {
        log_quote(name, quoted_name, sizeof quoted_name);
    }
    log_event(log, level, event, "from=%s%s%s reason=%s suppressed=%llu", from, name != NULL ? " name=" : "",
              quoted_name, log_quote(reason, quoted, sizeof quoted), (unsigned long long)seldom->suppressed);
    seldom->next = clock_now() + SECOND;
    seldom->suppressed = 0;
}
