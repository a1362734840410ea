#include "tests/server/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"

#define PROCESSES 8
#define PEERS     2048
#define ARGUMENTS 32

static struct process processes[PROCESSES];
static struct peer *peers[PEERS]; /* open ones */

uint64_t now_ms(void) {
    return clock_now() / 1000000;
}

void sleep_ms(unsigned ms) {
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

/* ---- processes ---- */

static struct process *new_process(void) {
    for (size_t i = 0; i < PROCESSES; ++i) {
        if (processes[i].pid == 0) {
            memset(&processes[i], 0, sizeof processes[i]);
            snprintf(processes[i].log, sizeof processes[i].log, "/tmp/canyon-server-log-XXXXXX");
            int descriptor = mkstemp(processes[i].log);
            assert_true(descriptor >= 0);
            close(descriptor);
            return &processes[i];
        }
    }
    fail_msg("too many servers in one test");
    return NULL;
}

static int listening_socket(struct process *process, bool ipv6) {
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    struct sockaddr *name = ipv6 ? (struct sockaddr *)&six : (struct sockaddr *)&four;
    socklen_t bytes = ipv6 ? sizeof six : sizeof four;
    int descriptor = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(descriptor >= 0);
    assert_int_equal(bind(descriptor, name, bytes), 0);
    assert_int_equal(listen(descriptor, 4096), 0);
    assert_int_equal(getsockname(descriptor, name, &bytes), 0);
    process->ipv6 = ipv6;
    process->port = ntohs(ipv6 ? six.sin6_port : four.sin_port);
    return descriptor;
}

/* In the child; `listening` (or -1) becomes descriptor 3. */
static void become(const struct process *process, int listening, const char *const *arguments, unsigned descriptors) {
    char program[] = "canyon-server";
    char *argv[ARGUMENTS] = {program};
    size_t count = 1;
    int log = open(process->log, O_WRONLY | O_APPEND);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (; arguments != NULL && *arguments != NULL && count < ARGUMENTS - 1; ++arguments) {
        argv[count++] = strdup(*arguments);
    }
    if (dup2(log, 1) < 0 || dup2(log, 2) < 0) {
        _exit(99);
    }
    if (listening == 3) {
        fcntl(3, F_SETFD, 0);
    } else if (listening >= 0 && dup2(listening, 3) < 0) {
        _exit(99);
    }
    if (descriptors > 0) {
        struct rlimit limit = {.rlim_cur = descriptors, .rlim_max = descriptors};
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    execv(BINARY, argv);
    _exit(98);
}

static struct process *spawn(struct process *process, int listening, const char *const *arguments,
                             unsigned descriptors) {
    fflush(NULL);
    process->pid = fork();
    assert_true(process->pid >= 0);
    if (process->pid == 0) {
        become(process, listening, arguments, descriptors);
    }
    if (listening >= 0) {
        close(listening);
    }
    return process;
}

struct process *process_start(bool ipv6, const char *const *arguments, unsigned descriptors) {
    const char *all[ARGUMENTS] = {"--listen", "fd:3"};
    struct process *process = new_process();
    int listening = listening_socket(process, ipv6);
    for (size_t i = 2; arguments != NULL && *arguments != NULL && i < ARGUMENTS - 1; ++i, ++arguments) {
        all[i] = *arguments;
    }
    return spawn(process, listening, all, descriptors);
}

struct process *process_run(const char *const *arguments) {
    return spawn(new_process(), -1, arguments, 0);
}

void process_signal(struct process *process, int number) {
    assert_int_equal(kill(process->pid, number), 0);
    if (number == SIGSTOP) {
        /* The signal is only on its way; what the test does next must find the process standing still. */
        int status = 0;
        assert_int_equal(waitpid(process->pid, &status, WUNTRACED), process->pid);
        assert_true(WIFSTOPPED(status));
    }
}

static void forget(struct process *process) {
    unlink(process->log);
    memset(process, 0, sizeof *process);
}

int process_wait(struct process *process, unsigned wait_ms) {
    uint64_t end = now_ms() + wait_ms;
    int status = 0;
    pid_t got = 0;
    while ((got = waitpid(process->pid, &status, WNOHANG)) == 0 && now_ms() < end) {
        sleep_ms(2);
    }
    if (got != process->pid) {
        fail_msg("the server did not end in %u ms", wait_ms);
    }
    forget(process);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void process_stop(struct process *process) {
    process_signal(process, SIGTERM);
    assert_int_equal(process_wait(process, PATIENCE_MS), 0);
}

static bool log_holds(const struct process *process, const char *text) {
    static char bytes[1 << 20];
    FILE *file = fopen(process->log, "r");
    assert_non_null(file);
    size_t count = fread(bytes, 1, sizeof bytes - 1, file);
    fclose(file);
    bytes[count] = '\0';
    return strstr(bytes, text) != NULL;
}

bool process_logged(struct process *process, const char *text, unsigned wait_ms) {
    uint64_t end = now_ms() + wait_ms;
    while (!log_holds(process, text)) {
        if (now_ms() >= end) {
            return false;
        }
        sleep_ms(5);
    }
    return true;
}

size_t process_memory(const struct process *process, const char *key) {
    char path[64], line[256];
    size_t kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)process->pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) {
            kib = strtoul(line + strlen(key) + 1, NULL, 10);
        }
    }
    fclose(file);
    assert_true(kib > 0);
    return kib;
}

static void show_log(const struct process *process) {
    char line[1024];
    FILE *file = fopen(process->log, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        print_message("  server %d: %s", (int)process->pid, line);
    }
    if (file != NULL) {
        fclose(file);
    }
}

int fixture_end(void **state) {
    (void)state;
    for (size_t i = 0; i < PEERS; ++i) {
        if (peers[i] != NULL) {
            close(peers[i]->descriptor);
            frame_reader_finish(&peers[i]->reader);
            peers[i] = NULL;
        }
    }
    for (size_t i = 0; i < PROCESSES; ++i) {
        if (processes[i].pid != 0) {
            kill(processes[i].pid, SIGKILL);
            waitpid(processes[i].pid, NULL, 0);
            show_log(&processes[i]);
            forget(&processes[i]);
        }
    }
    return 0;
}

/* ---- peers ---- */

static void remember(struct peer *from, struct peer *to) {
    size_t i = 0;
    while (i < PEERS && peers[i] != from) {
        ++i;
    }
    assert_true(i < PEERS);
    peers[i] = to;
}

void peer_connect(struct peer *peer, const struct process *process, int receive_bytes) {
    struct sockaddr_in four = {
        .sin_family = AF_INET, .sin_port = htons(process->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = htons(process->port), .sin6_addr = in6addr_loopback};
    const struct sockaddr *name = process->ipv6 ? (struct sockaddr *)&six : (struct sockaddr *)&four;
    memset(peer, 0, sizeof *peer);
    peer->descriptor = socket(name->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(peer->descriptor >= 0);
    assert_int_equal(frame_reader_init(&peer->reader, FRAME_PAYLOAD_LIMIT, NULL, NULL, NULL), CANYON_OK);
    remember(NULL, peer);
    if (receive_bytes > 0) {
        assert_int_equal(setsockopt(peer->descriptor, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes), 0);
    }
    assert_int_equal(connect(peer->descriptor, name, process->ipv6 ? sizeof six : sizeof four), 0);
}

void peer_open(struct peer *peer, const struct process *process, uint32_t thread, struct message_welcome *welcome) {
    struct message_hello hello = {.protocol = 1, .thread = thread, .name = "by-hand"};
    struct message_welcome ignored;
    struct frame frame;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    static uint8_t session;
    hello.session[0] = ++session;
    peer_connect(peer, process, 0);
    uint64_t request = peer_send(peer, FRAME_HELLO, bytes, message_pack_hello(&hello, bytes), NULL, 0);
    peer_expect(peer, &frame, FRAME_WELCOME, request);
    assert_int_equal(
        message_unpack_welcome(frame.message, frame.header.message_bytes, welcome != NULL ? welcome : &ignored, NULL),
        CANYON_OK);
}

void peer_close(struct peer *peer) {
    remember(peer, NULL);
    close(peer->descriptor);
    frame_reader_finish(&peer->reader);
}

bool peer_write(struct peer *peer, const void *bytes, size_t count) {
    const uint8_t *at = bytes;
    while (count > 0) {
        ssize_t sent = send(peer->descriptor, at, count, MSG_NOSIGNAL);
        if (sent <= 0 && errno != EINTR) {
            return false;
        }
        at += sent > 0 ? sent : 0;
        count -= sent > 0 ? (size_t)sent : 0;
    }
    return true;
}

uint64_t peer_send(struct peer *peer, unsigned type, const uint8_t *message, size_t message_bytes, const void *payload,
                   size_t payload_bytes) {
    uint8_t head[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    struct frame_header header = {.type = (uint16_t)type,
                                  .message_bytes = (uint32_t)message_bytes,
                                  .payload_bytes = (uint32_t)payload_bytes,
                                  .request = ++peer->request};
    frame_header_encode(&header, head);
    if (message_bytes > 0) {
        memcpy(head + FRAME_HEADER_BYTES, message, message_bytes);
    }
    assert_true(peer_write(peer, head, FRAME_HEADER_BYTES + message_bytes));
    if (payload_bytes > 0) {
        assert_true(peer_write(peer, payload, payload_bytes));
    }
    return peer->request;
}

enum peer_result peer_receive(struct peer *peer, struct frame *frame, unsigned wait_ms) {
    uint64_t end = now_ms() + wait_ms;
    for (;;) {
        struct error error;
        uint8_t *at;
        size_t room;
        enum frame_reader_result result = frame_reader_next(&peer->reader, frame, &error);
        if (result == FRAME_READER_FRAME) {
            return PEER_FRAME;
        }
        if (result == FRAME_READER_BROKEN) {
            fail_msg("the server sent what is not a frame: %s", error.text);
        }
        uint64_t now = now_ms();
        struct pollfd ready = {.fd = peer->descriptor, .events = POLLIN};
        if (poll(&ready, 1, now < end ? (int)(end - now) : 0) <= 0) {
            return PEER_SILENCE;
        }
        frame_reader_space(&peer->reader, &at, &room);
        ssize_t got = recv(peer->descriptor, at, room, 0);
        if (got <= 0) {
            return PEER_END;
        }
        frame_reader_received(&peer->reader, (size_t)got);
    }
}

void peer_expect(struct peer *peer, struct frame *frame, unsigned type, uint64_t request) {
    enum peer_result result = peer_receive(peer, frame, PATIENCE_MS);
    if (result != PEER_FRAME) {
        fail_msg("expected %s for request %llu, but %s", frame_type_name(type), (unsigned long long)request,
                 result == PEER_END ? "the connection ended" : "nothing came");
    }
    if (frame->header.type == FRAME_ERROR && type != FRAME_ERROR) {
        struct error told = {.text = "?"};
        message_unpack_error(frame->message, frame->header.message_bytes, &told, NULL);
        fail_msg("expected %s, got %s: %s", frame_type_name(type), status_name(told.status), told.text);
    }
    assert_int_equal(frame->header.type, type);
    assert_int_equal(frame->header.request, request);
}

void peer_expect_error(struct peer *peer, uint64_t request, enum canyon_status status, const char *part) {
    struct frame frame;
    struct error told = {.text = ""};
    peer_expect(peer, &frame, FRAME_ERROR, request);
    assert_int_equal(message_unpack_error(frame.message, frame.header.message_bytes, &told, NULL), CANYON_OK);
    if (told.status != status || strstr(told.text, part) == NULL) {
        fail_msg("expected %s with \"%s\", got %s: %s", status_name(status), part, status_name(told.status), told.text);
    }
}

void peer_expect_end(struct peer *peer, unsigned wait_ms) {
    struct frame frame;
    enum peer_result result = peer_receive(peer, &frame, wait_ms);
    if (result != PEER_END) {
        fail_msg("expected the end, but %s", result == PEER_FRAME ? "a frame came" : "nothing came");
    }
}

uint64_t peer_create(struct peer *peer, const char *name, uint64_t elements) {
    struct message_create create = {.spec = {.shape = {.rank = 1, .dims = {elements}}, .optimizer = {.name = "sgd"}}};
    struct message_created created;
    struct frame frame;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    snprintf(create.spec.name, sizeof create.spec.name, "%s", name);
    uint64_t request = peer_send(peer, FRAME_CREATE, bytes, message_pack_create(&create, bytes), NULL, 0);
    peer_expect(peer, &frame, FRAME_CREATED, request);
    assert_int_equal(message_unpack_created(frame.message, frame.header.message_bytes, &created, NULL), CANYON_OK);
    assert_true(created.creator);
    request = peer_send(peer, FRAME_DEFINE, bytes, message_pack_define(&created.tensor, bytes), NULL, 0);
    peer_expect(peer, &frame, FRAME_DEFINED, request);
    struct message_tensor complete = {.id = created.tensor.id};
    snprintf(complete.name, sizeof complete.name, "%s", name);
    request = peer_send(peer, FRAME_COMPLETE, bytes, message_pack_tensor(&complete, bytes), NULL, 0);
    peer_expect(peer, &frame, FRAME_COMPLETED, request);
    return created.tensor.id;
}

size_t piece_pack(uint64_t tensor, uint32_t block, uint32_t elements, uint64_t version, uint8_t *bytes) {
    struct message_pieces pieces = {
        .count = 1, .pieces = {{.tensor = tensor, .block = block, .elements = elements, .version = version}}};
    return message_pack_pieces(&pieces, bytes);
}

void peer_check(struct peer *peer) {
    struct frame frame;
    uint64_t request = peer_send(peer, FRAME_STATISTICS, NULL, 0, NULL, 0);
    peer_expect(peer, &frame, FRAME_STATISTICS_ARE, request);
}
