#include "tests/integration/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/integration/process.h"

#define PATH_BYTES    256
#define STOP_BOUND_MS 15000u
#define CLUSTERS      8

struct server {
    pid_t pid;                           /* 0 when it does not run */
    int reservation;                     /* bound, never listening: keeps the port */
    char direct[CLUSTER_ADDRESS_BYTES];  /* where it listens */
    char address[CLUSTER_ADDRESS_BYTES]; /* advertised */
    char log[PATH_BYTES];
};

struct cluster {
    struct cluster_options options;
    struct server servers[CLUSTER_SERVERS];
    char list[CLUSTER_SERVERS * CLUSTER_ADDRESS_BYTES];
    char directory[PATH_BYTES];
};

/* What this program has running. Only the test's own thread changes it. */
static struct cluster *clusters[CLUSTERS];
static pthread_t test_thread;
static pid_t test_process;
static pthread_mutex_t leaving = PTHREAD_MUTEX_INITIALIZER;
static char home[PATH_BYTES]; /* the directory of the keys; "" while there is none */
static pid_t home_maker;
static struct keyring keyring;

/* Under ThreadSanitizer a child of a process that ever had threads may start its own. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) {
    return "die_after_fork=0";
}

/* ---- Time ------------------------------------------------------------------------------------------------------ */

uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

void sleep_ms(uint32_t ms) {
    struct timespec rest = {.tv_sec = (time_t)(ms / 1000u), .tv_nsec = (long)(ms % 1000u) * 1000000L};
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
        continue;
}

/* ---- Keys ------------------------------------------------------------------------------------------------------ */

static void home_remove(void) {
    if (home[0] == '\0')
        return;
    keyring_remove(&keyring);
    rmdir(home);
    home[0] = '\0';
    unsetenv("CANYON_HOME");
}

/* For programs that do not use the teardown. */
static void home_at_exit(void) {
    if (home_maker == getpid())
        home_remove();
}

static void home_make(void) {
    char text[512];
    if (home[0] != '\0')
        return;
    if (home_maker == 0)
        atexit(home_at_exit);
    home_maker = getpid();
    const char *temporary = getenv("TMPDIR");
    snprintf(home, sizeof home, "%s/canyon-keys-XXXXXX", temporary ? temporary : "/tmp");
    check(mkdtemp(home) != NULL);
    if (keyring_make(&keyring, home, NULL, text, sizeof text) != CANYON_OK)
        check_fail("%s", text);
    setenv("CANYON_HOME", home, 1);
}

const struct keyring *harness_keyring(void) {
    return home[0] != '\0' ? &keyring : NULL;
}

/* ---- What is left after a failure ------------------------------------------------------------------------------ */

static void print_log(const struct server *server) {
    FILE *file = fopen(server->log, "r");
    if (!file)
        return;
    fprintf(stderr, "---- log of server %s ----\n", server->address);
    char line[1024];
    while (fgets(line, sizeof line, file))
        fputs(line, stderr);
    fclose(file);
}

static void cluster_forget(struct cluster *cluster) {
    for (size_t i = 0; i < CLUSTERS; i++) {
        if (clusters[i] == cluster)
            clusters[i] = NULL;
    }
    for (unsigned i = 0; i < cluster->options.servers; i++) {
        if (cluster->servers[i].reservation >= 0)
            close(cluster->servers[i].reservation);
        unlink(cluster->servers[i].log);
    }
    rmdir(cluster->directory);
    free(cluster);
}

/* Ends every server and worker a failed test left; true when there was any. */
static bool end_everything(void) {
    bool any = false;
    process_end_all();
    for (size_t i = 0; i < CLUSTERS; i++) {
        struct cluster *cluster = clusters[i];
        if (!cluster)
            continue;
        any = true;
        for (unsigned s = 0; s < cluster->options.servers; s++) {
            struct server *server = &cluster->servers[s];
            if (server->pid > 0) {
                kill(server->pid, SIGKILL);
                waitpid(server->pid, NULL, 0);
                server->pid = 0;
            }
            print_log(server);
        }
        cluster_forget(cluster);
    }
    home_remove();
    return any;
}

int harness_setup(void **state) {
    (void)state;
    test_thread = pthread_self();
    test_process = getpid();
    signal(SIGPIPE, SIG_IGN);
    home_make();
    return 0;
}

int harness_teardown(void **state) {
    (void)state;
    end_everything();
    return 0;
}

/* ---- Checking -------------------------------------------------------------------------------------------------- */

void harness_fail(const char *file, int line, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    bool child = test_process != getpid();
    if (!child && pthread_equal(test_thread, pthread_self())) {
        print_error("%s\n", text);
        _fail(file, line);
    }
    if (!child) /* of several threads that fail at once one cleans up and leaves, for all */
        pthread_mutex_lock(&leaving);
    /* Also what was printed before: a child's own, for process_start forks with nothing that is still to be written. */
    fflush(stdout);
    fprintf(stderr, "%s:%d: in a worker %s: %s\n", file, line, child ? "process" : "thread", text);
    if (!child)
        end_everything();
    _exit(1);
}

void harness_check(bool good, const char *expression, const char *file, int line) {
    if (!good)
        harness_fail(file, line, "%s: not so", expression);
}

void harness_check_status(enum canyon_status got, enum canyon_status expected, const char *expression, const char *file,
                          int line) {
    if (got != expected)
        harness_fail(file, line, "%s: %s, expected %s. %s", expression, canyon_status_name(got),
                     canyon_status_name(expected), got == CANYON_OK ? "" : canyon_error_text());
}

void harness_check_text(const char *part, const char *file, int line) {
    if (!strstr(canyon_error_text(), part))
        harness_fail(file, line, "the error's text lacks \"%s\": %s", part, canyon_error_text());
}

/* ---- Ports ----------------------------------------------------------------------------------------------------- */

/* A socket bound to the loopback address; port 0 lets the system choose. -1 when that cannot be. */
static int bind_loopback(bool ipv6, uint16_t port) {
    int descriptor = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return -1;
    int one = 1;
    int bad = setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    bad |= setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (ipv6) {
        struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback};
        bad |= bind(descriptor, (const struct sockaddr *)&name, sizeof name);
    } else {
        struct sockaddr_in name = {
            .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        bad |= bind(descriptor, (const struct sockaddr *)&name, sizeof name);
    }
    if (bad) {
        close(descriptor);
        return -1;
    }
    return descriptor;
}

static uint16_t bound_port(int descriptor) {
    struct sockaddr_storage name = {0};
    socklen_t bytes = sizeof name;
    check(getsockname(descriptor, (struct sockaddr *)&name, &bytes) == 0);
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    if (name.ss_family == AF_INET6) {
        memcpy(&in6, &name, sizeof in6);
        return ntohs(in6.sin6_port);
    }
    memcpy(&in, &name, sizeof in);
    return ntohs(in.sin_port);
}

static int port_reserve(bool ipv6, char address[CLUSTER_ADDRESS_BYTES]) {
    int descriptor = bind_loopback(ipv6, 0);
    if (descriptor < 0)
        check_fail("a port cannot be bound on loopback: %s", strerror(errno));
    snprintf(address, CLUSTER_ADDRESS_BYTES, ipv6 ? "[::1]:%u" : "127.0.0.1:%u", bound_port(descriptor));
    return descriptor;
}

int port_dead(char address[CLUSTER_ADDRESS_BYTES]) {
    return port_reserve(false, address);
}

int port_silent(char address[CLUSTER_ADDRESS_BYTES]) {
    int descriptor = port_reserve(false, address);
    check(listen(descriptor, 64) == 0);
    return descriptor;
}

bool ipv6_available(void) {
    int descriptor = bind_loopback(true, 0);
    if (descriptor < 0) {
        print_message("SKIPPED: ::1 cannot be bound here (%s); nothing was tested over IPv6\n", strerror(errno));
        return false;
    }
    close(descriptor);
    return true;
}

/* ---- Servers --------------------------------------------------------------------------------------------------- */

static struct cluster_options with_defaults(const struct cluster_options *options) {
    struct cluster_options full = options ? *options : (struct cluster_options){0};
    full.servers = full.servers ? full.servers : 1;
    full.threads = full.threads ? full.threads : 1;
    full.shards = full.shards ? full.shards : 16;
    full.block = full.block ? full.block : 1024;
    full.job = full.job ? full.job : "test";
    full.server_key = full.server_key ? full.server_key : keyring.server_key;
    full.allow = full.allow ? full.allow : keyring.allow;
    full.cipher = full.cipher ? full.cipher : "chacha20poly1305";
    full.log_level = full.log_level ? full.log_level : "info";
    return full;
}

/* Only calls that are safe in the child of a process with threads. */
static void run_server(int listening, int log, pid_t parent, char **arguments) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    fcntl(listening, F_SETFD, 0);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execv(arguments[0], arguments);
    _exit(127);
}

static void server_spawn(struct cluster *cluster, unsigned index, const struct cluster_options *options) {
    struct server *server = &cluster->servers[index];
    check(server->pid == 0);
    int listening = bind_loopback(options->ipv6, bound_port(server->reservation));
    check(listening >= 0 && listen(listening, 128) == 0);
    int log = open(server->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    check(log >= 0);
    char listen_text[16], threads[16], shards[16], block[16], spin[16], lease[16];
    snprintf(listen_text, sizeof listen_text, "fd:%d", listening);
    snprintf(threads, sizeof threads, "%u", options->threads);
    snprintf(shards, sizeof shards, "%u", options->shards);
    snprintf(block, sizeof block, "%u", options->block);
    snprintf(spin, sizeof spin, "%u", options->spin_us);
    snprintf(lease, sizeof lease, "%u", options->lease_ms != 0 ? options->lease_ms : 10000);
    char *arguments[] = {(char *)(uintptr_t)(CANYON_BINARY_DIR "/bin/canyon-server"),
                         (char *)(uintptr_t) "--listen",
                         listen_text,
                         (char *)(uintptr_t) "--advertise",
                         server->address,
                         (char *)(uintptr_t) "--threads",
                         threads,
                         (char *)(uintptr_t) "--job",
                         (char *)(uintptr_t)options->job,
                         (char *)(uintptr_t) "--shards",
                         shards,
                         (char *)(uintptr_t) "--block",
                         block,
                         (char *)(uintptr_t) "--spin",
                         spin,
                         (char *)(uintptr_t) "--lease",
                         lease,
                         (char *)(uintptr_t) "--servers",
                         cluster->list,
                         (char *)(uintptr_t)(options->plaintext ? "--insecure-plaintext" : "--key"),
                         options->plaintext ? NULL : (char *)(uintptr_t)options->server_key,
                         (char *)(uintptr_t) "--allow",
                         (char *)(uintptr_t)options->allow,
                         (char *)(uintptr_t) "--cipher",
                         (char *)(uintptr_t)options->cipher,
                         (char *)(uintptr_t) "--log-level",
                         (char *)(uintptr_t)options->log_level,
                         (char *)(uintptr_t)(options->memory_limit ? "--memory-limit" : NULL),
                         (char *)(uintptr_t)options->memory_limit,
                         NULL};
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0)
        run_server(listening, log, parent, arguments);
    close(listening);
    close(log);
    check(child > 0);
    server->pid = child;
}

struct cluster *cluster_start(const struct cluster_options *options) {
    struct cluster *cluster = calloc(1, sizeof *cluster);
    check(cluster != NULL);
    home_make();
    cluster->options = with_defaults(options);
    check(cluster->options.servers <= CLUSTER_SERVERS);
    const char *temporary = getenv("TMPDIR");
    snprintf(cluster->directory, sizeof cluster->directory, "%s/canyon-test-XXXXXX", temporary ? temporary : "/tmp");
    check(mkdtemp(cluster->directory) != NULL);
    for (unsigned i = 0; i < cluster->options.servers; i++) {
        struct server *server = &cluster->servers[i];
        server->reservation = port_reserve(cluster->options.ipv6, server->direct);
        snprintf(server->address, sizeof server->address, "%s",
                 cluster->options.advertise
                     ? cluster->options.advertise(cluster->options.advertise_user, i, server->direct)
                     : server->direct);
        snprintf(server->log, sizeof server->log, "%.200s/server-%u.log", cluster->directory, i);
        size_t used = strlen(cluster->list);
        snprintf(cluster->list + used, sizeof cluster->list - used, "%s%s", i == 0 ? "" : ",", server->address);
    }
    size_t place = 0;
    while (place < CLUSTERS && clusters[place])
        place++;
    check(place < CLUSTERS);
    clusters[place] = cluster;
    for (unsigned i = 0; i < cluster->options.servers; i++)
        server_spawn(cluster, i, &cluster->options);
    return cluster;
}

const char *cluster_servers(const struct cluster *cluster) {
    return cluster->list;
}

const char *cluster_address(const struct cluster *cluster, unsigned server) {
    return cluster->servers[server].address;
}

const char *cluster_direct(const struct cluster *cluster, unsigned server) {
    return cluster->servers[server].direct;
}

pid_t cluster_pid(const struct cluster *cluster, unsigned server) {
    return cluster->servers[server].pid;
}

void cluster_kill(struct cluster *cluster, unsigned server) {
    struct server *victim = &cluster->servers[server];
    check(victim->pid > 0);
    check(kill(victim->pid, SIGKILL) == 0);
    check(waitpid(victim->pid, NULL, 0) == victim->pid);
    victim->pid = 0;
}

static int await_exit(struct server *server, uint32_t bound_ms) {
    uint64_t end = now_ms() + bound_ms;
    int status = 0;
    pid_t got;
    while ((got = waitpid(server->pid, &status, WNOHANG)) == 0 && now_ms() < end)
        sleep_ms(2);
    if (got != server->pid)
        check_fail("server %s (process %d) did not end in %u ms after SIGTERM", server->address, (int)server->pid,
                   bound_ms);
    server->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int cluster_terminate(struct cluster *cluster, unsigned server, uint32_t bound_ms) {
    struct server *victim = &cluster->servers[server];
    check(victim->pid > 0);
    check(kill(victim->pid, SIGTERM) == 0);
    return await_exit(victim, bound_ms);
}

void cluster_stop(struct cluster *cluster) {
    for (unsigned i = 0; i < cluster->options.servers; i++) {
        if (cluster->servers[i].pid > 0)
            check(kill(cluster->servers[i].pid, SIGTERM) == 0);
    }
    for (unsigned i = 0; i < cluster->options.servers; i++) {
        if (cluster->servers[i].pid > 0) {
            int code = await_exit(&cluster->servers[i], STOP_BOUND_MS);
            if (code != 0)
                check_fail("server %s ended with %d instead of 0", cluster->servers[i].address, code);
        }
    }
    cluster_forget(cluster);
}

void cluster_restart(struct cluster *cluster, unsigned server, const struct cluster_options *options) {
    struct cluster_options full = options ? with_defaults(options) : cluster->options;
    full.ipv6 = cluster->options.ipv6;
    server_spawn(cluster, server, &full);
}

void cluster_pause(struct cluster *cluster, unsigned server) {
    int status = 0;
    pid_t pid = cluster->servers[server].pid;
    check(kill(pid, SIGSTOP) == 0);
    /* The signal takes its time to reach every thread. */
    check(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
}

void cluster_resume(struct cluster *cluster, unsigned server) {
    check(kill(cluster->servers[server].pid, SIGCONT) == 0);
}

static bool file_contains(const char *path, const char *text) {
    FILE *file = fopen(path, "r");
    bool found = false;
    char line[2048];
    while (file && !found && fgets(line, sizeof line, file))
        found = strstr(line, text) != NULL;
    if (file)
        fclose(file);
    return found;
}

bool cluster_logged(const struct cluster *cluster, unsigned server, const char *text, uint32_t wait_ms) {
    uint64_t end = now_ms() + wait_ms;
    while (!file_contains(cluster->servers[server].log, text)) {
        if (now_ms() >= end)
            return false;
        sleep_ms(10);
    }
    return true;
}

const char *cluster_log(const struct cluster *cluster, unsigned server) {
    return cluster->servers[server].log;
}

bool harness_is_plaintext(const char *address) {
    for (size_t i = 0; i < CLUSTERS; i++) {
        for (unsigned s = 0; clusters[i] && s < clusters[i]->options.servers; s++) {
            const struct server *server = &clusters[i]->servers[s];
            if (strcmp(server->address, address) == 0 || strcmp(server->direct, address) == 0)
                return clusters[i]->options.plaintext;
        }
    }
    return false;
}

void cluster_client(const struct cluster *cluster, struct canyon_options *options) {
    canyon_options_init(options);
    options->servers = cluster->list;
    options->timeout_ms = PATIENCE_MS;
    options->connect_ms = PATIENCE_MS;
    options->insecure_plaintext = cluster->options.plaintext;
}

uint64_t cluster_memory_kb(const struct cluster *cluster, unsigned server, const char *key) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/status", (int)cluster->servers[server].pid);
    FILE *file = fopen(path, "r");
    uint64_t value = 0;
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':')
            value = strtoull(line + strlen(key) + 1, NULL, 10);
    }
    if (file)
        fclose(file);
    return value;
}

/* ---- Clients --------------------------------------------------------------------------------------------------- */

canyon_client *client_connect(const char *servers) {
    return client_connect_window(servers, 0);
}

static canyon_client *client_connect_with(const char *servers, struct canyon_options options) {
    options.servers = servers;
    options.timeout_ms = PATIENCE_MS;
    options.connect_ms = PATIENCE_MS;
    char first[CLUSTER_ADDRESS_BYTES];
    snprintf(first, sizeof first, "%.*s", (int)strcspn(servers, ","), servers);
    options.insecure_plaintext = harness_is_plaintext(first);
    canyon_client *client = NULL;
    check_ok(canyon_connect(&options, &client));
    check(client != NULL);
    return client;
}

canyon_client *client_connect_window(const char *servers, uint64_t window_bytes) {
    struct canyon_options options;
    canyon_options_init(&options);
    options.window_bytes = window_bytes;
    return client_connect_with(servers, options);
}

canyon_client *client_connect_once(const char *servers) {
    struct canyon_options options;
    canyon_options_init(&options);
    options.reconnect_ms = 0;
    return client_connect_with(servers, options);
}

canyon_tensor *client_vector(canyon_client *client, const char *name, uint64_t elements, const char *optimizer) {
    struct canyon_tensor_spec spec;
    canyon_tensor_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "%s", name);
    spec.rank = 1;
    spec.dims[0] = elements;
    check_ok(canyon_tensor_spec_optimizer(&spec, optimizer));
    canyon_tensor *tensor = NULL;
    check_ok(canyon_tensor_create(client, &spec, PATIENCE_MS, &tensor));
    check(tensor != NULL);
    return tensor;
}

void client_digest(canyon_client *client, uint8_t digest[CANYON_DIGEST_BYTES]) {
    memset(digest, 0, CANYON_DIGEST_BYTES);
    check_ok(canyon_shard_digest(client, PATIENCE_MS, digest));
}
