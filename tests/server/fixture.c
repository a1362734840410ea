#include "tests/server/fixture.h"

#include <fcntl.h>
#include <netinet/in.h>
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
#include "tests/server/keys.h"

#define PROCESSES 8
#define ARGUMENTS 32

static struct process processes[PROCESSES];
static bool encrypting;

void fixture_encrypt(bool encrypt) {
    encrypting = encrypt;
}

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
    process->encrypted = encrypting;
    all[2] = encrypting ? "--key" : "--insecure-plaintext";
    all[3] = encrypting ? keys_server_path() : "yes";
    all[4] = "--allow";
    all[5] = keys_allow_path();
    for (size_t i = 6; arguments != NULL && *arguments != NULL && i < ARGUMENTS - 1; ++i, ++arguments) {
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
    peers_end();
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
