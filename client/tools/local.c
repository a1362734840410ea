#include "client/tools/local.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/tools/keyring.h"
#include "client/tools/spawn.h"

#define PATH_BYTES    1024
#define ADDRESS_BYTES 32 /* "127.0.0.1:65535" and a comma, with room */
#define STOP_SECONDS  10.0
#define TAIL_BYTES    1500 /* of a log, shown in an error */

struct local_server {
    pid_t process; /* -1: not started, or seen to have ended */
    int outcome;   /* of waitpid, once it ended */
    bool killed;   /* by local_kill */
    int listening; /* -1 once its server has it */
    char address[ADDRESS_BYTES];
    char log[PATH_BYTES + 32];
};

struct local {
    pid_t owner; /* who started them; a forked child must not stop them */
    char directory[PATH_BYTES];
    char program[PATH_BYTES];
    char *list; /* the server list */
    struct keyring keyring;
    struct keys keys; /* the client's part of it, or plaintext */
    uint32_t count;
    struct local_server servers[LOCAL_SERVERS_HIGH];
};

/* Where the text of a failure goes. */
struct report {
    char *text;
    size_t bytes;
};

static enum canyon_status fail(const struct report *report, enum canyon_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum canyon_status fail(const struct report *report, enum canyon_status status, const char *format, ...) {
    va_list values;
    va_start(values, format);
    vsnprintf(report->text, report->bytes, format, values);
    va_end(values);
    return status;
}

static double now_seconds(void) {
    struct timespec now = {0, 0};
    int rc = clock_gettime(CLOCK_MONOTONIC, &now);
    assert(rc == 0);
    (void)rc;
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void sleep_briefly(void) {
    struct timespec pause = {0, 10000000};
    nanosleep(&pause, NULL);
}

void local_options_init(struct local_options *options) {
    *options = (struct local_options){.servers = 1, .threads = 1, .job = "local", .timeout_ms = 20000};
}

static enum canyon_status check_options(const struct local_options *options, const struct report *report) {
    if (options->servers < 1 || options->servers > LOCAL_SERVERS_HIGH) {
        return fail(report, CANYON_INVALID_ARGUMENT, "%u local servers were asked for; 1 to %d can be started",
                    options->servers, LOCAL_SERVERS_HIGH);
    }
    if (options->threads < 1) {
        return fail(report, CANYON_INVALID_ARGUMENT, "a local server needs at least 1 thread");
    }
    return CANYON_OK;
}

static enum canyon_status find_program(struct local *local, const struct local_options *options,
                                       const struct report *report) {
    if (options->program == NULL) {
        if (!spawn_find("canyon-server", local->program, sizeof local->program)) {
            return fail(report, CANYON_NOT_FOUND,
                        "canyon-server is neither beside this program nor on PATH; build or install it, or use servers "
                        "that run already");
        }
        return CANYON_OK;
    }
    int length = snprintf(local->program, sizeof local->program, "%s", options->program);
    if (length < 0 || (size_t)length >= sizeof local->program || access(local->program, X_OK) != 0) {
        return fail(report, CANYON_NOT_FOUND, "%s is not a program that can be run", options->program);
    }
    return CANYON_OK;
}

static enum canyon_status make_directory(struct local *local, const struct report *report) {
    const char *parent = getenv("TMPDIR");
    int length = snprintf(local->directory, sizeof local->directory, "%s/canyon-XXXXXX",
                          parent != NULL && parent[0] == '/' ? parent : "/tmp");
    if (length < 0 || (size_t)length >= sizeof local->directory || mkdtemp(local->directory) == NULL) {
        enum canyon_status status = fail(report, CANYON_INTERNAL, "cannot make a temporary directory %s: %s",
                                         local->directory, strerror(errno));
        local->directory[0] = '\0';
        return status;
    }
    return CANYON_OK;
}

static enum canyon_status make_keys(struct local *local, const struct local_options *options,
                                    const struct report *report) {
    local->keys.plaintext = options->plaintext;
    if (options->plaintext) {
        return CANYON_OK;
    }
    enum canyon_status status = keyring_make(&local->keyring, local->directory, NULL, report->text, report->bytes);
    local->keys.key_file = local->keyring.key;
    local->keys.known_servers_file = local->keyring.known_servers;
    return status;
}

/* Binds every socket before the first server starts, because each is told the addresses of all. */
static enum canyon_status listen_all(struct local *local, const struct report *report) {
    size_t room = local->count * ADDRESS_BYTES, length = 0;
    local->list = calloc(1, room);
    if (local->list == NULL) {
        return fail(report, CANYON_NO_MEMORY, "no memory for the server list");
    }
    for (uint32_t i = 0; i < local->count; i++) {
        struct local_server *server = &local->servers[i];
        unsigned port = 0;
        server->listening = spawn_listen(&port);
        if (server->listening < 0) {
            return fail(report, CANYON_INTERNAL, "cannot listen on 127.0.0.1: %s", strerror(errno));
        }
        snprintf(server->address, sizeof server->address, "127.0.0.1:%u", port);
        snprintf(server->log, sizeof server->log, "%s/server-%u.log", local->directory, i);
        length += (size_t)snprintf(local->list + length, room - length, "%s%s", i == 0 ? "" : ",", server->address);
    }
    return CANYON_OK;
}

static enum canyon_status start_one(struct local *local, uint32_t index, const struct local_options *options,
                                    const struct report *report) {
    struct local_server *server = &local->servers[index];
    char listening[16], threads[16], shards[16], block[16];
    snprintf(listening, sizeof listening, "fd:%d", SPAWN_LISTENING);
    snprintf(threads, sizeof threads, "%u", options->threads);
    snprintf(shards, sizeof shards, "%u", options->shards);
    snprintf(block, sizeof block, "%u", options->block_elements);
    const char *const pairs[][2] = {
        {"listen", listening},
        {"advertise", server->address},
        {"servers", local->list},
        {"threads", threads},
        {"job", options->job},
        {"shards", options->shards == 0 ? NULL : shards},
        {"block", options->block_elements == 0 ? NULL : block},
        {"key", options->plaintext ? NULL : local->keyring.server_key},
        {"allow", options->plaintext ? NULL : local->keyring.allow},
    };
    enum { PAIRS = sizeof pairs / sizeof *pairs };
    char names[PAIRS][16], *argv[2 * PAIRS + 3] = {local->program};
    size_t argc = 1;
    for (size_t i = 0; i < PAIRS; i++) {
        if (pairs[i][1] != NULL) {
            snprintf(names[i], sizeof names[i], "--%s", pairs[i][0]);
            argv[argc++] = names[i];
            argv[argc++] = (char *)(uintptr_t)pairs[i][1]; /* execv does not write to them */
        }
    }
    if (options->plaintext) {
        argv[argc++] = (char *)(uintptr_t) "--insecure-plaintext";
    }
    int log = open(server->log, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0) {
        return fail(report, CANYON_INTERNAL, "cannot write %s: %s", server->log, strerror(errno));
    }
    bool started = spawn_server(argv, server->listening, log, &server->process, report->text, report->bytes);
    close(log);
    /* Closed here, so that a server that dies refuses connections instead of leaving them to wait. */
    close(server->listening);
    server->listening = -1;
    return started ? CANYON_OK : CANYON_INTERNAL;
}

/* The end of a log file, from the beginning of a line when it is cut; "" when there is none. */
static void read_tail(const char *path, char tail[TAIL_BYTES + 1]) {
    FILE *file = fopen(path, "re");
    size_t have = 0;
    tail[0] = '\0';
    if (file == NULL) {
        return;
    }
    bool cut = fseek(file, -TAIL_BYTES, SEEK_END) == 0;
    if (!cut) {
        rewind(file);
    }
    have = fread(tail, 1, TAIL_BYTES, file);
    tail[have] = '\0';
    char *line = cut ? strchr(tail, '\n') : NULL;
    if (line != NULL) {
        memmove(tail, line + 1, strlen(line + 1) + 1);
    }
    fclose(file);
}

static void describe_end(const struct local_server *server, char *text, size_t bytes) {
    char tail[TAIL_BYTES + 1], how[64];
    read_tail(server->log, tail);
    if (WIFSIGNALED(server->outcome)) {
        snprintf(how, sizeof how, "was ended by signal %d", WTERMSIG(server->outcome));
    } else {
        snprintf(how, sizeof how, "ended with exit code %d", WEXITSTATUS(server->outcome));
    }
    snprintf(text, bytes, "the local server %s %s; %s%s", server->address, how,
             tail[0] != '\0' ? "the end of its log:\n" : "its log is empty", tail);
}

/* Takes note of a process that ended. Blocks until it does, when asked to. */
static void reap(struct local_server *server, bool block) {
    if (server->process <= 0) {
        return;
    }
    pid_t ended;
    do {
        ended = waitpid(server->process, &server->outcome, block ? 0 : WNOHANG);
    } while (ended < 0 && errno == EINTR);
    /* ECHILD: the program ignores SIGCHLD or waited for it itself; gone in any case. */
    if (ended != 0) {
        server->process = -1;
    }
}

bool local_check(struct local *local, char *text, size_t bytes) {
    for (uint32_t i = 0; i < local->count; i++) {
        struct local_server *server = &local->servers[i];
        reap(server, false);
        if (server->process <= 0) {
            describe_end(server, text, bytes);
            return false;
        }
    }
    return true;
}

/* Connects once; CANYON_OK when every server answered, else `reason` says what was missing. */
static enum canyon_status try_connect(const struct local *local, char *reason, size_t bytes) {
    struct canyon_options options;
    struct canyon_server_statistics *servers = NULL;
    canyon_client *client = NULL;
    size_t count = 0;
    canyon_options_init(&options);
    options.servers = local->list;
    options.name = "local-start";
    options.timeout_ms = 2000;
    options.connect_ms = 1000;
    keys_apply(&local->keys, &options);
    enum canyon_status status = canyon_connect(&options, &client);
    if (status == CANYON_OK) {
        status = canyon_statistics(client, 0, &servers, &count);
    }
    snprintf(reason, bytes, "%s", status == CANYON_OK ? "" : canyon_error_text());
    for (size_t i = 0; i < count && status == CANYON_OK; i++) {
        if (!servers[i].reachable) {
            status = CANYON_UNAVAILABLE;
            snprintf(reason, bytes, "%s: %s", servers[i].address, servers[i].text);
        }
    }
    canyon_free(servers);
    canyon_close(client);
    return status;
}

static enum canyon_status wait_until_ready(struct local *local, uint32_t timeout_ms, const struct report *report) {
    double deadline = now_seconds() + timeout_ms / 1000.0;
    char reason[1024];
    for (;;) {
        enum canyon_status status = try_connect(local, reason, sizeof reason);
        if (status == CANYON_OK) {
            return status;
        }
        if (!local_check(local, report->text, report->bytes)) {
            return CANYON_UNAVAILABLE;
        }
        bool hopeless = status == CANYON_CONFIGURATION || status == CANYON_UNSUPPORTED ||
                        status == CANYON_UNAUTHENTICATED || status == CANYON_DENIED;
        if (hopeless || now_seconds() > deadline) {
            return fail(report, status, "the local servers %s did not all answer within %u ms: %s", local->list,
                        timeout_ms, reason);
        }
        sleep_briefly();
    }
}

enum canyon_status local_start(const struct local_options *options, struct local **local, char *text, size_t bytes) {
    const struct report report = {text, bytes};
    *local = NULL;
    enum canyon_status status = check_options(options, &report);
    if (status != CANYON_OK) {
        return status;
    }
    struct local *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return fail(&report, CANYON_NO_MEMORY, "no memory to start local servers");
    }
    made->owner = getpid();
    made->count = options->servers;
    for (uint32_t i = 0; i < made->count; i++) {
        made->servers[i].process = -1;
        made->servers[i].listening = -1;
    }
    status = find_program(made, options, &report);
    if (status == CANYON_OK) {
        status = make_directory(made, &report);
    }
    if (status == CANYON_OK) {
        status = make_keys(made, options, &report);
    }
    if (status == CANYON_OK) {
        status = listen_all(made, &report);
    }
    for (uint32_t i = 0; i < made->count && status == CANYON_OK; i++) {
        status = start_one(made, i, options, &report);
    }
    if (status == CANYON_OK) {
        status = wait_until_ready(made, options->timeout_ms, &report);
    }
    if (status != CANYON_OK) {
        local_stop(made);
        made = NULL;
    }
    *local = made;
    return status;
}

const char *local_servers(const struct local *local) {
    return local->list;
}

const char *local_home(const struct local *local) {
    return local->keys.plaintext ? NULL : local->directory;
}

const struct keys *local_keys(const struct local *local) {
    return &local->keys;
}

uint32_t local_count(const struct local *local) {
    return local->count;
}

pid_t local_process(const struct local *local, uint32_t index) {
    assert(index < local->count);
    return local->servers[index].process;
}

const char *local_log(const struct local *local, uint32_t index) {
    assert(index < local->count);
    return local->servers[index].log;
}

void local_kill(struct local *local, uint32_t index, int signal_number) {
    assert(index < local->count);
    struct local_server *server = &local->servers[index];
    reap(server, false);
    if (server->process > 0) {
        server->killed = true;
        kill(server->process, signal_number);
        reap(server, true);
    }
}

/* Ends all processes; false when one would not go or failed. */
static bool stop_processes(struct local *local) {
    bool clean = true, running = true;
    double deadline = now_seconds() + STOP_SECONDS;
    for (uint32_t i = 0; i < local->count; i++) {
        reap(&local->servers[i], false);
        if (local->servers[i].process > 0) {
            kill(local->servers[i].process, SIGTERM);
        }
    }
    while (running && now_seconds() < deadline) {
        running = false;
        for (uint32_t i = 0; i < local->count; i++) {
            reap(&local->servers[i], false);
            running = running || local->servers[i].process > 0;
        }
        if (running) {
            sleep_briefly();
        }
    }
    for (uint32_t i = 0; i < local->count; i++) {
        struct local_server *server = &local->servers[i];
        if (server->process > 0) {
            kill(server->process, SIGKILL);
            reap(server, true);
        }
        clean = clean && (server->killed || server->outcome == 0);
    }
    return clean;
}

bool local_stop(struct local *local) {
    if (local == NULL) {
        return true;
    }
    bool clean = true, owner = local->owner == getpid();
    if (owner) {
        clean = stop_processes(local);
    }
    for (uint32_t i = 0; i < local->count; i++) {
        if (local->servers[i].listening >= 0) {
            close(local->servers[i].listening);
        }
        if (owner && local->servers[i].log[0] != '\0') {
            unlink(local->servers[i].log);
        }
    }
    if (owner && local->directory[0] != '\0') {
        keyring_remove(&local->keyring);
        rmdir(local->directory);
    }
    free(local->list);
    free(local);
    return clean;
}
