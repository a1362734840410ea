/* Servers whose every connection comes through a fault proxy: each server advertises its proxy's address, so that is
 * what clients learn and connect to. */
#ifndef TESTS_FAULTS_ROUTES_H
#define TESTS_FAULTS_ROUTES_H

#include "tests/faults/proxy.h"
#include "tests/integration/harness.h"

struct routes {
    struct cluster *cluster;
    struct proxy *proxies[CLUSTER_SERVERS]; /* by server */
    struct proxy_options options;           /* of each proxy; `to` is the server's */
};

/* Starts a cluster as cluster_start does, with a proxy before each server. `proxy_options` may be NULL. */
void routes_start(struct routes *routes, const struct cluster_options *options,
                  const struct proxy_options *proxy_options);

/* Stops the proxies, then the servers as cluster_stop does. */
void routes_stop(struct routes *routes);

/* One fault in text form (pipe.h) for connections of the first server's proxy. */
void routes_fault(struct routes *routes, int which, enum proxy_way way, const char *text);

/* For the teardown of a test that failed: proxies that were not stopped. */
int routes_setup(void **state);
int routes_teardown(void **state);

#define routes_test(function) cmocka_unit_test_setup_teardown(function, routes_setup, routes_teardown)

#endif
