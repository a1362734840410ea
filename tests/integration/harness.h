/* Real servers for the integration tests: started without races over ports, killed, stopped, restarted, and never left
 * over.
 *
 * Every server has a port that this program keeps reserved with a bound socket that does not listen. A start binds a
 * second socket to the same port, listens on it and passes it on as `--listen fd:N`: from that moment connections queue
 * until the server accepts them, so nothing needs to wait for it to be ready; when the server dies its port refuses;
 * and when it is started again it has the same port, which nobody could take meanwhile.
 *
 * Connections are encrypted, with keys made for the test: clients find theirs in CANYON_HOME, which is set, and are of
 * the role admin. A test about something else says so in its options.
 *
 * Use integration_test() to register a test: its teardown ends whatever a failed test left and prints the servers'
 * logs. */
#ifndef TESTS_INTEGRATION_HARNESS_H
#define TESTS_INTEGRATION_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "canyon.h"
#include "client/tools/keyring.h"

#define CLUSTER_SERVERS       8
#define CLUSTER_ADDRESS_BYTES 64
/* What a call may take beyond its deadline on a busy machine under a sanitizer. */
#define SLACK_MS 3000u
/* The deadline of calls that are expected to succeed. */
#define PATIENCE_MS 20000u

/* How the servers of a cluster are started; zero stands for the value in brackets. */
struct cluster_options {
    unsigned servers;                        /* [1] */
    unsigned threads;                        /* of each server [1] */
    unsigned shards;                         /* [16] */
    unsigned block;                          /* elements [1024] */
    const char *job;                         /* ["test"] */
    bool ipv6;                               /* on ::1 instead of 127.0.0.1 */
    bool plaintext;                          /* instead of encrypted, with the harness's keys */
    const char *server_key, *allow, *cipher; /* other files, another cipher [those of the harness] */
    unsigned spin_us;                        /* [0: they sleep] */
    unsigned lease_ms;                       /* [10,000] */
    const char *log_level;                   /* ["info"] */
    const char *memory_limit;                /* as --memory-limit has it [the server's own default] */
    /* Called once for each server with the address it will listen on; what it returns, valid for the call, is
     * advertised instead (of a proxy before it, say). NULL: the address itself. */
    const char *(*advertise)(void *user, unsigned server, const char *address);
    void *advertise_user;
};

struct cluster;

/* ---- Checking: usable in the test, in its threads and in its worker processes ------------------------------------ */

/* Fails the test: through cmocka on the test's own thread, elsewhere by printing and leaving with exit code 1. */
void harness_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4), noreturn));

void harness_check(bool good, const char *expression, const char *file, int line);
void harness_check_status(enum canyon_status got, enum canyon_status expected, const char *expression, const char *file,
                          int line);
void harness_check_text(const char *part, const char *file, int line);

#define check(condition)             harness_check((condition), #condition, __FILE__, __LINE__)
#define check_ok(call)               harness_check_status((call), CANYON_OK, #call, __FILE__, __LINE__)
#define check_status(call, expected) harness_check_status((call), (expected), #call, __FILE__, __LINE__)
/* The last error's text on this thread contains `part`. */
#define check_text(part) harness_check_text((part), __FILE__, __LINE__)
#define check_fail(...)  harness_fail(__FILE__, __LINE__, __VA_ARGS__)

int harness_setup(void **state);
int harness_teardown(void **state);

/* A cmocka test that leaves nothing behind, and one with a value in *state. */
#define integration_test(function) cmocka_unit_test_setup_teardown(function, harness_setup, harness_teardown)
#define integration_case(name, function, value)                                                                        \
    { #function ", " name, function, harness_setup, harness_teardown, (void *)(value) }

/* ---- Servers --------------------------------------------------------------------------------------------------- */

/* Starts all servers of a cluster; `options` may be NULL. Never returns NULL. */
struct cluster *cluster_start(const struct cluster_options *options);

/* SIGTERM to every server that runs; each must end with exit code 0 in bounded time (which under a sanitizer says that
 * it found nothing). Then the cluster is freed. */
void cluster_stop(struct cluster *cluster);

/* All addresses, separated by commas, and one of them. Valid until cluster_stop. */
const char *cluster_servers(const struct cluster *cluster);
const char *cluster_address(const struct cluster *cluster, unsigned server);
/* Where it listens: the same, unless another was advertised. */
const char *cluster_direct(const struct cluster *cluster, unsigned server);
pid_t cluster_pid(const struct cluster *cluster, unsigned server);

/* SIGKILL, and waits until the process is gone: from then on its port refuses. */
void cluster_kill(struct cluster *cluster, unsigned server);

/* SIGTERM; returns the exit code, or 128 + the signal that ended it. Fails when it does not end in `bound_ms`. */
int cluster_terminate(struct cluster *cluster, unsigned server, uint32_t bound_ms);

/* Starts a server that was killed or terminated on the port it had, empty; with other options when they are not NULL
 * (its address and the list of servers stay). */
void cluster_restart(struct cluster *cluster, unsigned server, const struct cluster_options *options);

/* SIGSTOP, returning when all its threads stand still; and SIGCONT. */
void cluster_pause(struct cluster *cluster, unsigned server);
void cluster_resume(struct cluster *cluster, unsigned server);

/* Waits until the server's log contains the text; false when it does not within `wait_ms`. */
bool cluster_logged(const struct cluster *cluster, unsigned server, const char *text, uint32_t wait_ms);

/* The path of its log. Valid until cluster_stop. */
const char *cluster_log(const struct cluster *cluster, unsigned server);

/* A value in kB of a server's /proc/PID/status, such as "VmHWM"; 0 when it cannot be read. */
uint64_t cluster_memory_kb(const struct cluster *cluster, unsigned server, const char *key);

/* Sets servers of this cluster, patient deadlines, and plaintext where the cluster is: for canyon_connect. */
void cluster_client(const struct cluster *cluster, struct canyon_options *options);

/* The keys that clients use (NULL: there are none, no cluster was started), and whether the server of this address was
 * started in plaintext. */
const struct keyring *harness_keyring(void);
bool harness_is_plaintext(const char *address);

/* ---- Ports without a server ------------------------------------------------------------------------------------ */

/* Puts an address into `address` that refuses connections, or (accepting) takes them and never answers. Returns the
 * descriptor that holds the port: close it. */
int port_dead(char address[CLUSTER_ADDRESS_BYTES]);
int port_silent(char address[CLUSTER_ADDRESS_BYTES]);

/* False, and a line that says so, when ::1 cannot be bound here. */
bool ipv6_available(void);

/* ---- Clients --------------------------------------------------------------------------------------------------- */

/* Connects with default options (plaintext where the server is), or fails the test. */
canyon_client *client_connect(const char *servers);
/* With so many bytes under way on a connection; 0: the default. */
canyon_client *client_connect_window(const char *servers, uint64_t window_bytes);
/* With reconnect_ms 0: calls end with their connection. */
canyon_client *client_connect_once(const char *servers);

/* Creates or opens a tensor of one dimension with the optimizer's text form and zeros, or fails the test. */
canyon_tensor *client_vector(canyon_client *client, const char *name, uint64_t elements, const char *optimizer);

/* The digest of the whole state, or fails the test. */
void client_digest(canyon_client *client, uint8_t digest[CANYON_DIGEST_BYTES]);

/* ---- Time ------------------------------------------------------------------------------------------------------ */

/* Milliseconds of a monotonic clock. */
uint64_t now_ms(void);
void sleep_ms(uint32_t ms);

#endif
