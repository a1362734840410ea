/* The proxy as a program, for tests of real processes and for people at a terminal. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "tests/faults/proxy.h"

static const char help[] =
    "Usage: fault_proxy [OPTION...] HOST:PORT\n"
    "Forwards TCP connections to HOST:PORT (a literal address) and does to them what networks do.\n"
    "\n"
    "  --listen HOST:PORT  where to listen [127.0.0.1:0, a port that the system chooses]\n"
    "  --up FAULTS         what is done to bytes from clients to the server\n"
    "  --down FAULTS       what is done to bytes from the server to clients\n"
    "  --record FILE       at the end, write what passed on connection N to FILE.N\n"
    "  --replay FILE       instead of all this: send the client's half of a recorded file to HOST:PORT,\n"
    "                      print what became of it, and end\n"
    "  --help              this text\n"
    "\n"
    "FAULTS are words with commas between them; offsets count bytes of one connection from when they are set:\n"
    "  cut=N        N bytes pass, then the connection ends, both ways; end=fin (the default) or end=rst says how\n"
    "  stall=N      N bytes pass, then none\n"
    "  swallow=N    N bytes pass, the others are taken and thrown away\n"
    "  flip=N.B     bit B of the byte at N is inverted\n"
    "  flip_every=N,seed=S   one bit in about N bytes is inverted; which ones follows from S\n"
    "  piece=N      at most N bytes in one segment; gap_us=T microseconds between them\n"
    "  delay=T      everything is T milliseconds late\n"
    "  rate=N       at most N bytes a second\n"
    "  hold         everything is taken and kept until faults without this word are set\n"
    "\n"
    "The first line printed is \"listening on HOST:PORT\". While it runs, each line of standard input is one of\n"
    "  up FAULTS, down FAULTS   from now on, on connections there are and those to come (no FAULTS: none)\n"
    "  refuse, accept           close the port for new connections; open it again\n"
    "  aim HOST:PORT            new connections go there\n"
    "  end client|server fin|rst   end that side of all connections, as if the other had\n"
    "  status                   print one line for each connection\n"
    "  quit                     end (as SIGTERM and SIGINT do; the end of the input does not)\n";

struct settings {
    struct proxy_options options;
    const char *record, *replay;
    struct proxy_faults faults[2];
};

static bool read_faults(struct proxy_faults *faults, const char *text) {
    const char *wrong = proxy_faults_parse(faults, text);
    if (wrong)
        fprintf(stderr, "fault_proxy: \"%s\" is no fault; --help lists them\n", wrong);
    return wrong == NULL;
}

static int usage(const char *what, const char *word) {
    fprintf(stderr, "fault_proxy: %s%s; try --help\n", what, word);
    return 2;
}

/* 0, or the exit code plus one. */
static int read_arguments(struct settings *settings, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        const char **text = strcmp(word, "--listen") == 0   ? &settings->options.listen
                            : strcmp(word, "--record") == 0 ? &settings->record
                            : strcmp(word, "--replay") == 0 ? &settings->replay
                                                            : NULL;
        bool up = strcmp(word, "--up") == 0, down = strcmp(word, "--down") == 0;
        if (strcmp(word, "--help") == 0) {
            fputs(help, stdout);
            return 1;
        }
        if (text || up || down) {
            if (!value)
                return 1 + usage("a value is missing after ", word);
            if (text)
                *text = value;
            else if (!read_faults(&settings->faults[up ? PROXY_UP : PROXY_DOWN], value))
                return 3;
            i++;
        } else if (word[0] == '-' || settings->options.to) {
            return 1 + usage("what is ", word);
        } else {
            settings->options.to = word;
        }
    }
    return settings->options.to ? 0 : 1 + usage("which HOST:PORT to forward to is missing", "");
}

/* ---- Replaying -------------------------------------------------------------------------------------------------- */

static int replay(const char *path, const char *to) {
    struct transcript transcript = {0};
    struct transcript_replay result = {0};
    FILE *file = fopen(path, "rb");
    bool good = file && transcript_read(&transcript, file);
    if (file)
        fclose(file);
    if (!good) {
        fprintf(stderr, "fault_proxy: %s cannot be read as a transcript\n", path);
        return 1;
    }
    good = transcript_replay(&transcript, to, 1000, &result);
    if (good)
        printf("sent %zu of %zu bytes, received %zu (recorded: %zu), %s\n", result.sent,
               transcript_total(&transcript, PROXY_UP), result.replies.count, transcript_total(&transcript, PROXY_DOWN),
               result.closed ? "the server closed" : "the server did not close");
    else
        fprintf(stderr, "fault_proxy: %s cannot be reached: %s\n", to, strerror(errno));
    transcript_finish(&result.replies);
    transcript_finish(&transcript);
    return good ? 0 : 1;
}

static void write_transcripts(struct proxy *proxy, const char *base) {
    for (unsigned i = 0; i < proxy_count(proxy); i++) {
        char path[4096];
        struct transcript transcript;
        snprintf(path, sizeof path, "%s.%u", base, i);
        FILE *file = fopen(path, "wb");
        if (!file || !proxy_transcript(proxy, (int)i, &transcript)) {
            fprintf(stderr, "fault_proxy: %s cannot be written\n", path);
        } else {
            if (!transcript_write(&transcript, file))
                fprintf(stderr, "fault_proxy: %s cannot be written\n", path);
            transcript_finish(&transcript);
        }
        if (file)
            fclose(file);
    }
}

/* ---- Commands --------------------------------------------------------------------------------------------------- */

static void print_status(struct proxy *proxy) {
    struct proxy_view view;
    for (int i = 0; proxy_look(proxy, i, &view); i++) {
        printf("connection=%d live=%d", i, view.live);
        for (int way = 0; way < 2; way++) {
            const char *name = way == PROXY_UP ? "up" : "down";
            printf(" %s_came=%llu %s_passed=%llu %s_swallowed=%llu %s_flipped=%llu %s_waiting=%zu", name,
                   (unsigned long long)view.came[way], name, (unsigned long long)view.passed[way], name,
                   (unsigned long long)view.swallowed[way], name, (unsigned long long)view.flipped[way], name,
                   view.queued[way]);
        }
        printf("\n");
    }
    printf("end\n");
}

/* False: quit. */
static bool obey(struct proxy *proxy, char *line) {
    struct proxy_faults faults;
    line[strcspn(line, "\r\n")] = '\0';
    bool up = strncmp(line, "up", 2) == 0, down = strncmp(line, "down", 4) == 0;
    const char *rest = line + (up ? 2 : 4);
    if ((up || down) && (*rest == ' ' || *rest == '\0')) {
        if (read_faults(&faults, *rest ? rest + 1 : rest))
            proxy_set(proxy, PROXY_EVERY, up ? PROXY_UP : PROXY_DOWN, &faults);
    } else if (strcmp(line, "refuse") == 0 || strcmp(line, "accept") == 0) {
        proxy_refuse(proxy, line[0] == 'r');
    } else if (strncmp(line, "aim ", 4) == 0) {
        proxy_aim(proxy, line + 4);
    } else if (strncmp(line, "end ", 4) == 0 && strlen(line) == 14) {
        proxy_end(proxy, PROXY_EVERY, strncmp(line + 4, "client", 6) == 0 ? PROXY_CLIENT : PROXY_SERVER,
                  strcmp(line + 11, "rst") == 0 ? PROXY_RST : PROXY_FIN);
    } else if (strcmp(line, "status") == 0) {
        print_status(proxy);
    } else if (strcmp(line, "quit") == 0) {
        return false;
    } else if (line[0] != '\0') {
        fprintf(stderr, "fault_proxy: \"%s\" is no command; --help lists them\n", line);
    }
    return true;
}

/* Reads lines until one, or a signal, says to end. */
static void listen_to_input(struct proxy *proxy, int signals) {
    char line[1024];
    size_t have = 0;
    struct pollfd fds[2] = {{.fd = signals, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return;
        if (fds[0].revents != 0)
            return;
        if (fds[1].revents == 0)
            continue;
        ssize_t got = read(STDIN_FILENO, line + have, sizeof line - 1 - have);
        if (got <= 0) {
            fds[1].fd = -1;
            continue;
        }
        have += (size_t)got;
        line[have] = '\0';
        for (char *end; (end = memchr(line, '\n', have)) != NULL;) {
            size_t used = (size_t)(end - line) + 1;
            *end = '\0';
            if (!obey(proxy, line))
                return;
            have -= used;
            memmove(line, line + used, have + 1);
        }
        if (have == sizeof line - 1)
            have = 0; /* no line is so long */
    }
}

static int serve(const struct settings *settings) {
    char text[PROXY_TEXT_BYTES];
    struct proxy_options options = settings->options;
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    int signals = signalfd(-1, &ends, SFD_CLOEXEC);
    options.record = settings->record != NULL;
    struct proxy *proxy = signals >= 0 ? proxy_start(&options, text) : NULL;
    if (!proxy) {
        fprintf(stderr, "fault_proxy: %s\n", signals >= 0 ? text : strerror(errno));
        if (signals >= 0)
            close(signals);
        return 1;
    }
    proxy_set(proxy, PROXY_EVERY, PROXY_UP, &settings->faults[PROXY_UP]);
    proxy_set(proxy, PROXY_EVERY, PROXY_DOWN, &settings->faults[PROXY_DOWN]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("listening on %s\n", proxy_address(proxy));
    listen_to_input(proxy, signals);
    if (settings->record)
        write_transcripts(proxy, settings->record);
    proxy_stop(proxy);
    close(signals);
    return 0;
}

int main(int argc, char **argv) {
    struct settings settings = {0};
    proxy_faults_init(&settings.faults[PROXY_UP]);
    proxy_faults_init(&settings.faults[PROXY_DOWN]);
    int verdict = read_arguments(&settings, argc, argv);
    if (verdict > 0)
        return verdict - 1;
    return settings.replay ? replay(settings.replay, settings.options.to) : serve(&settings);
}
