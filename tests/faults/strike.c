#include "tests/faults/strike.h"

#include <stdio.h>

#include "tests/integration/harness.h"
#include "tests/unit/common/seed.h"

#define NEWEST        32  /* connections that may be new */
#define WELCOME_BYTES 129 /* at least, down to a client, of a handshake and its welcome, or a welcome alone */
#define LET_IN_MS     200

static void set(struct proxy *proxy, int which, enum proxy_way way, const char *text) {
    struct proxy_faults faults;
    const char *wrong = proxy_faults_parse(&faults, text);
    if (wrong)
        check_fail("\"%s\" is no fault", wrong);
    proxy_set(proxy, which, way, &faults);
}

/* Whether the servers' welcomes have passed on all connections there are. */
static bool all_welcome(struct proxy *proxy) {
    const int count = (int)proxy_count(proxy);
    bool all = true;
    for (int number = count > NEWEST ? count - NEWEST : 0; number < count; number++) {
        struct proxy_view view;
        check(proxy_look(proxy, number, &view));
        all = all && (!view.open[PROXY_CLIENT] || !view.open[PROXY_SERVER] || view.passed[PROXY_DOWN] >= WELCOME_BYTES);
    }
    return all;
}

/* A client whose connections end in the middle of a handshake six times in a row believes that it is not wanted. On a
 * slow machine, where that takes long, every other strike would do it. */
static void let_in(struct proxy *proxy) {
    for (uint64_t end = now_ms() + LET_IN_MS; !all_welcome(proxy) && now_ms() < end; sleep_ms(1))
        continue;
}

void strike(struct proxy *proxy, uint64_t *random) {
    const int connection = (int)seed_below(random, proxy_count(proxy));
    const int which = seed_below(random, 4) == 0 ? connection : PROXY_LIVE;
    const enum proxy_way way = seed_below(random, 2) ? PROXY_UP : PROXY_DOWN;
    const enum proxy_end end = seed_below(random, 2) ? PROXY_RST : PROXY_FIN;
    const unsigned long long bytes = seed_below(random, 1u << seed_below(random, 16));
    char faults[96] = "";
    switch (seed_below(random, 8)) {
    case 0:
    case 1:
    case 2:
        snprintf(faults, sizeof faults, "cut=%llu,end=%s", bytes, end == PROXY_RST ? "rst" : "fin");
        set(proxy, which, way, faults);
        break;
    case 3: /* those to come, too: in the middle of a handshake, perhaps */
        snprintf(faults, sizeof faults, "cut=%llu", bytes);
        set(proxy, PROXY_EVERY, way, faults);
        break;
    case 4: /* nothing, or nothing more, comes; then it is over with the connection */
        snprintf(faults, sizeof faults, seed_below(random, 2) ? "swallow=%llu" : "stall=%llu", bytes);
        set(proxy, PROXY_LIVE, way, faults);
        sleep_ms((uint32_t)seed_below(random, 20));
        proxy_end(proxy, PROXY_LIVE, PROXY_CLIENT, end);
        proxy_end(proxy, PROXY_LIVE, PROXY_SERVER, end);
        break;
    case 5: /* what the client sent comes later, when it has another connection */
        set(proxy, PROXY_LIVE, PROXY_UP, "hold");
        sleep_ms((uint32_t)seed_below(random, 20));
        proxy_end(proxy, PROXY_LIVE, PROXY_CLIENT, end);
        sleep_ms((uint32_t)seed_below(random, 20));
        break;
    case 6:
        snprintf(faults, sizeof faults, "delay=%llu", (unsigned long long)seed_below(random, 10));
        set(proxy, PROXY_LIVE, way, faults);
        break;
    default:
        snprintf(faults, sizeof faults, "piece=%llu", 1 + bytes);
        set(proxy, PROXY_LIVE, way, faults);
    }
    sleep_ms((uint32_t)seed_below(random, 30));
    /* Held bytes pass, those to come are left alone; whatever else was begun on a connection goes on to its end. */
    set(proxy, PROXY_COMING, PROXY_UP, "");
    set(proxy, PROXY_COMING, PROXY_DOWN, "");
    if (seed_below(random, 2))
        set(proxy, PROXY_LIVE, PROXY_UP, "");
    if (seed_below(random, 2))
        let_in(proxy);
}

void strike_over(struct proxy *proxy) {
    proxy_clear(proxy);
    proxy_end(proxy, PROXY_LIVE, PROXY_CLIENT, PROXY_RST);
}
