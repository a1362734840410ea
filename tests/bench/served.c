#include "tests/bench/served.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/measure.h"

#define SERVERS      16
#define PATH_BYTES   SERVED_PATH_BYTES
#define MOST_WORDS   40
#define BACKLOG      1024 /* as the server's own */
#define PATIENCE_MS  30000
#define STOP_SECONDS 20.0

struct served {
    enum served_channel channel;
    pid_t pid;
    uint16_t port;
    int listening;
    char address[32];
    char home[PATH_BYTES / 2]; /* a directory, with keys when it encrypts */
    char key[CANYON_KEY_TEXT_BYTES];
};

static struct served *running[SERVERS];
static pid_t owner;

const char *served_channel_name(enum served_channel channel) {
    static const char *const names[SERVED_CHANNELS] = {"plaintext", "chacha20poly1305", "aes256gcm"};
    return names[channel];
}

/* ---- files ---- */

static const char *const files[] = {"server.key", "key", "allow", "known_servers", "log"};

static const char *file_of(const struct served *served, const char *name, char path[PATH_BYTES]) {
    snprintf(path, PATH_BYTES, "%s/%s", served->home, name);
    return path;
}

static void write_list(const struct served *served, const char *name, const char *text) {
    char path[PATH_BYTES];
    FILE *file = fopen(file_of(served, name, path), "w");
    bench_must(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0, path);
}

static void make_keys(struct served *served) {
    char path[PATH_BYTES], client[CANYON_KEY_TEXT_BYTES], text[512];
    bench_must_ok(canyon_key_generate(file_of(served, "server.key", path), served->key), path);
    bench_must_ok(canyon_key_generate(file_of(served, "key", path), client), path);
    snprintf(text, sizeof text, "format canyon-allow-1\nadmin bench %s\n", client);
    write_list(served, "allow", text);
    snprintf(text, sizeof text, "format canyon-known-servers-1\nserver 127.0.0.1:* %s cipher=%s\n", served->key,
             served_channel_name(served->channel));
    write_list(served, "known_servers", text);
}

static void remove_files(const struct served *served) {
    char path[PATH_BYTES];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        (void)unlink(file_of(served, files[i], path));
    (void)rmdir(served->home);
}

/* ---- processes ---- */

/* What a benchmark that failed leaves; its children leave without. */
static void stop_all(void) {
    for (size_t i = 0; i < SERVERS && getpid() == owner; i++) {
        if (running[i] != NULL) {
            kill(running[i]->pid, SIGKILL);
            waitpid(running[i]->pid, NULL, 0);
            remove_files(running[i]);
        }
    }
}

static void keep(struct served *served) {
    size_t place = 0;
    if (owner == 0) {
        owner = getpid();
        bench_must(atexit(stop_all) == 0, "atexit");
    }
    while (place < SERVERS && running[place] != NULL)
        place++;
    bench_must(place < SERVERS, "too many servers");
    running[place] = served;
}

static void forget(const struct served *served) {
    for (size_t i = 0; i < SERVERS; i++)
        running[i] = running[i] == served ? NULL : running[i];
}

int served_listen(uint16_t *port) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof name;
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bench_must(descriptor >= 0 && bind(descriptor, (struct sockaddr *)&name, sizeof name) == 0 &&
                   listen(descriptor, BACKLOG) == 0 && getsockname(descriptor, (struct sockaddr *)&name, &bytes) == 0,
               "a port cannot be had");
    *port = ntohs(name.sin_port);
    return descriptor;
}

/* Only calls that are safe in the child of a process with threads. */
static void run(int listening, int log, char **arguments) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fcntl(listening, F_SETFD, 0);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execv(arguments[0], arguments);
    _exit(127);
}

static void spawn(struct served *served, unsigned threads, unsigned block, const char *const *words) {
    char program[256], descriptor[16], thread_text[16], block_text[16];
    char log_path[PATH_BYTES], key_path[PATH_BYTES], allow_path[PATH_BYTES];
    const char *given = getenv("CANYON_SERVER");
    char *arguments[MOST_WORDS] = {program};
    size_t count = 1;
#define ADD(word) (arguments[count++] = (char *)(uintptr_t)(word))
    snprintf(program, sizeof program, "%s", given != NULL ? given : CANYON_BINARY_DIR "/bin/canyon-server");
    bench_must(access(program, X_OK) == 0, program); /* else only the first connection's deadline would tell */
    snprintf(descriptor, sizeof descriptor, "fd:%d", served->listening);
    snprintf(thread_text, sizeof thread_text, "%u", threads);
    snprintf(block_text, sizeof block_text, "%u", block);
    ADD("--listen"), ADD(descriptor), ADD("--threads"), ADD(thread_text), ADD("--block"), ADD(block_text);
    if (served->channel == SERVED_PLAINTEXT) {
        ADD("--insecure-plaintext");
    } else {
        ADD("--key"), ADD(file_of(served, "server.key", key_path));
        ADD("--allow"), ADD(file_of(served, "allow", allow_path));
        ADD("--cipher"), ADD(served_channel_name(served->channel));
    }
    for (; words != NULL && *words != NULL && count + 1 < MOST_WORDS; words++)
        ADD(*words);
#undef ADD
    int log = open(file_of(served, "log", log_path), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    bench_must(log >= 0, log_path);
    served->pid = fork();
    bench_must(served->pid >= 0, "fork");
    if (served->pid == 0)
        run(served->listening, log, arguments);
    close(log);
}

struct served *served_start(enum served_channel channel, unsigned threads, unsigned block) {
    return served_start_with(channel, threads, block, NULL);
}

struct served *served_start_with(enum served_channel channel, unsigned threads, unsigned block,
                                 const char *const *words) {
    struct served *served = calloc(1, sizeof *served);
    const char *temporary = getenv("TMPDIR");
    bench_must(served != NULL, "memory");
    served->channel = channel;
    snprintf(served->home, sizeof served->home, "%.40s/canyon-bench-XXXXXX", temporary != NULL ? temporary : "/tmp");
    bench_must(mkdtemp(served->home) != NULL, served->home);
    if (channel != SERVED_PLAINTEXT)
        make_keys(served);
    served->listening = served_listen(&served->port);
    snprintf(served->address, sizeof served->address, "127.0.0.1:%u", served->port);
    spawn(served, threads, block, words);
    keep(served);
    return served;
}

static void print_log(const struct served *served) {
    char path[PATH_BYTES], line[512];
    FILE *file = fopen(file_of(served, "log", path), "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        fputs(line, stderr);
    if (file != NULL)
        fclose(file);
}

void served_stop(struct served *served) {
    int status = 0;
    pid_t ended = 0;
    kill(served->pid, SIGTERM);
    for (double end = measure_now() + STOP_SECONDS; ended == 0 && measure_now() < end; measure_sleep(0.005))
        ended = waitpid(served->pid, &status, WNOHANG);
    if (ended != served->pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        print_log(served);
        bench_fail("the server did not end as it should");
    }
    forget(served);
    remove_files(served);
    close(served->listening);
    free(served);
}

/* ---- clients ---- */

uint16_t served_port(const struct served *served) {
    return served->port;
}

const char *served_address(const struct served *served) {
    return served->address;
}

const char *served_file(const struct served *served, const char *name, char path[SERVED_PATH_BYTES]) {
    return file_of(served, name, path);
}

const char *served_key(const struct served *served) {
    return served->key;
}

canyon_client *served_connect(const struct served *served, uint64_t window_bytes) {
    char key_path[PATH_BYTES], known_path[PATH_BYTES];
    struct canyon_options options;
    canyon_client *client = NULL;
    canyon_options_init(&options);
    options.servers = served->address;
    options.timeout_ms = PATIENCE_MS;
    options.connect_ms = PATIENCE_MS;
    options.window_bytes = window_bytes != 0 ? window_bytes : options.window_bytes;
    if (served->channel == SERVED_PLAINTEXT) {
        options.insecure_plaintext = 1;
    } else {
        options.key_file = file_of(served, "key", key_path);
        options.known_servers_file = file_of(served, "known_servers", known_path);
    }
    enum canyon_status status = canyon_connect(&options, &client);
    if (status != CANYON_OK)
        print_log(served);
    bench_must_ok(status, "canyon_connect");
    return client;
}

canyon_tensor *served_tensor(canyon_client *client, const char *name, uint64_t elements, const char *optimizer) {
    struct canyon_tensor_spec spec;
    canyon_tensor *tensor = NULL;
    canyon_tensor_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "%s", name);
    spec.rank = 1;
    spec.dims[0] = elements;
    bench_must_ok(canyon_tensor_spec_optimizer(&spec, optimizer), optimizer);
    bench_must_ok(canyon_tensor_create(client, &spec, PATIENCE_MS, &tensor), name);
    return tensor;
}

/* ---- what it takes ---- */

uint64_t served_memory_kib(const struct served *served, const char *key) {
    char path[64], line[256];
    uint64_t value = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)served->pid);
    FILE *file = fopen(path, "r");
    bench_must(file != NULL, path);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':')
            value = strtoull(line + strlen(key) + 1, NULL, 10);
    }
    fclose(file);
    return value;
}

double served_cpu(const struct served *served) {
    clockid_t id;
    struct timespec used;
    bench_must(clock_getcpuclockid(served->pid, &id) == 0 && clock_gettime(id, &used) == 0, "the server's time");
    return (double)used.tv_sec + 1e-9 * (double)used.tv_nsec;
}

uint32_t served_queue(const struct served *served) {
    struct tcp_info info = {.tcpi_state = 0};
    socklen_t bytes = sizeof info;
    bench_must(getsockopt(served->listening, IPPROTO_TCP, TCP_INFO, &info, &bytes) == 0, "TCP_INFO");
    return info.tcpi_unacked;
}
