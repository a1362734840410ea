#include "server/seldom.h"

#include <stddef.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/status.h"

#define SECOND 1000000000ull

void seldom_log(struct seldom *seldom, const struct log *log, enum log_level level, const char *event, const char *from,
                const char *name, const char *reason) {
    char quoted_name[2 * LIMIT_NAME_BYTES] = "", quoted[ERROR_TEXT_BYTES + 32];
    uint64_t now = clock_now();
    if (now < seldom->next) {
        ++seldom->suppressed;
        return;
    }
    if (name != NULL) {
        log_quote(name, quoted_name, sizeof quoted_name);
    }
    log_event(log, level, event, "from=%s%s%s reason=%s suppressed=%llu", from, name != NULL ? " name=" : "",
              quoted_name, log_quote(reason, quoted, sizeof quoted), (unsigned long long)seldom->suppressed);
    seldom->next = now + SECOND;
    seldom->suppressed = 0;
}
