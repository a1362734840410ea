#include "tests/faults/strike.h"

#include <stdio.h>

#include "tests/integration/harness.h"
#include "tests/unit/common/seed.h"

/* How many connections to come a strike spoils. With the one there is that makes three of one client, at three strikes
 * running nine; a client takes it for one refusal when two are closed in the middle of a handshake, and for its last
 * word when six refusals come in a row. */
#define SPOILT 2u

static struct proxy_faults parse(const char *text) {
    struct proxy_faults faults;
    const char *wrong = proxy_faults_parse(&faults, text);
    if (wrong)
        check_fail("\"%s\" is no fault", wrong);
    return faults;
}

static void set(struct proxy *proxy, int which, enum proxy_way way, const char *text) {
    const struct proxy_faults faults = parse(text);
    proxy_set(proxy, which, way, &faults);
}

static void set_next(struct proxy *proxy, enum proxy_way way, const char *text) {
    const struct proxy_faults faults = parse(text);
    proxy_set_next(proxy, SPOILT, way, &faults);
}

/* ---- Keeping step ------------------------------------------------------------------------------------------------ */

void strikes_init(struct strikes *strikes, uint64_t seed) {
    *strikes = (struct strikes){.random = seed};
}

void strikes_victim(struct strikes *strikes, struct victim *victim) {
    check(strikes->victim_count < STRIKES_VICTIMS);
    strikes->victims[strikes->victim_count++] = victim;
}

canyon_client *victim_connect(const struct cluster *cluster) {
    struct canyon_options options;
    canyon_client *client = NULL;
    cluster_client(cluster, &options);
    options.reconnect_ms = 3 * PATIENCE_MS;
    check_ok(canyon_connect(&options, &client));
    return client;
}

void victim_await(struct victim *victim, const struct strikes *strikes, uint64_t count) {
    atomic_store(&victim->away, true);
    for (uint64_t end = now_ms() + 3 * PATIENCE_MS; atomic_load(&strikes->count) < count; sleep_ms(1))
        check(now_ms() < end);
    atomic_store(&victim->away, false);
}

/* Of two calls that came through the second was begun after the last strike. A victim that hangs has its own deadline,
 * and says so better than this could. */
static void let_through(struct strikes *strikes) {
    uint64_t answered[STRIKES_VICTIMS];
    const uint64_t end = now_ms() + 4 * PATIENCE_MS;
    for (unsigned v = 0; v < strikes->victim_count; v++)
        answered[v] = atomic_load(&strikes->victims[v]->answered);
    for (unsigned v = 0; v < strikes->victim_count; v++) {
        struct victim *victim = strikes->victims[v];
        while (!atomic_load(&victim->away) && atomic_load(&victim->answered) < answered[v] + 2 && now_ms() < end)
            sleep_ms(1);
    }
    strikes->running = 0;
}

/* ---- Striking ---------------------------------------------------------------------------------------------------- */

void strike(struct strikes *strikes, struct proxy *proxy) {
    uint64_t *random = &strikes->random;
    if (strikes->running > 0 && (strikes->running == STRIKES_RUNNING || seed_below(random, 2)))
        let_through(strikes);
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
        set(proxy, PROXY_LIVE, way, faults);
        set_next(proxy, way, faults);
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
    strikes->running++;
    atomic_fetch_add(&strikes->count, 1);
}

void strike_over(struct proxy *proxy) {
    proxy_clear(proxy);
    proxy_end(proxy, PROXY_LIVE, PROXY_CLIENT, PROXY_RST);
}
