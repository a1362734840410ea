#include "tests/faults/routes.h"

#include <stdio.h>

/* Started and not stopped. Only the test's own thread touches it. */
static struct proxy *running[CLUSTER_SERVERS];

static const char *through_proxy(void *user, unsigned server, const char *address) {
    struct routes *routes = user;
    struct proxy_options options = routes->options;
    char text[PROXY_TEXT_BYTES];
    options.to = address;
    routes->proxies[server] = proxy_start(&options, text);
    if (!routes->proxies[server])
        check_fail("%s", text);
    running[server] = routes->proxies[server];
    return proxy_address(routes->proxies[server]);
}

void routes_start(struct routes *routes, const struct cluster_options *options,
                  const struct proxy_options *proxy_options) {
    struct cluster_options all = options ? *options : (struct cluster_options){0};
    *routes = (struct routes){.options = proxy_options ? *proxy_options : (struct proxy_options){0}};
    all.advertise = through_proxy;
    all.advertise_user = routes;
    routes->cluster = cluster_start(&all);
}

void routes_stop(struct routes *routes) {
    for (unsigned i = 0; i < CLUSTER_SERVERS; i++) {
        proxy_stop(routes->proxies[i]);
        running[i] = NULL;
    }
    cluster_stop(routes->cluster);
}

void routes_fault(struct routes *routes, int which, enum proxy_way way, const char *text) {
    struct proxy_faults faults;
    const char *wrong = proxy_faults_parse(&faults, text);
    if (wrong)
        check_fail("\"%s\" is no fault", wrong);
    proxy_set(routes->proxies[0], which, way, &faults);
}

int routes_setup(void **state) {
    return harness_setup(state);
}

int routes_teardown(void **state) {
    for (unsigned i = 0; i < CLUSTER_SERVERS; i++) {
        proxy_stop(running[i]);
        running[i] = NULL;
    }
    return harness_teardown(state);
}
