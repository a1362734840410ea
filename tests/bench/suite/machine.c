#include "tests/bench/suite/machine.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/measure.h"
#include "tests/bench/suite/runner.h"

#define TEXT_BYTES 128

/* The first line of a file; "unknown" when it cannot be read. */
static void read_line(const char *path, char text[TEXT_BYTES]) {
    FILE *file = fopen(path, "r");
    snprintf(text, TEXT_BYTES, "unknown");
    if (file != NULL && fgets(text, TEXT_BYTES, file) == NULL)
        snprintf(text, TEXT_BYTES, "unknown");
    text[strcspn(text, "\n")] = '\0';
    if (file != NULL)
        fclose(file);
}

static void read_cpu(char text[TEXT_BYTES]) {
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    snprintf(text, TEXT_BYTES, "unknown");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon != NULL) {
            snprintf(text, TEXT_BYTES, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
            break;
        }
    }
    if (file != NULL)
        fclose(file);
}

/* What stands in brackets: "always [madvise] never" is madvise. */
static void read_huge(char text[TEXT_BYTES]) {
    char line[TEXT_BYTES];
    read_line("/sys/kernel/mm/transparent_hugepage/enabled", line);
    const char *begin = strchr(line, '[');
    snprintf(text, TEXT_BYTES, "%.*s", begin != NULL ? (int)strcspn(begin + 1, "]") : 7,
             begin != NULL ? begin + 1 : "unknown");
}

struct facts {
    char cpu[TEXT_BYTES], kernel[TEXT_BYTES], congestion[TEXT_BYTES], huge[TEXT_BYTES];
    unsigned processors;
    double memory_gib;
};

static struct facts facts(void) {
    struct facts facts = {.processors = runner_processors()};
    struct utsname name;
    read_cpu(facts.cpu);
    read_huge(facts.huge);
    read_line("/proc/sys/net/ipv4/tcp_congestion_control", facts.congestion);
    snprintf(facts.kernel, TEXT_BYTES, "%s", uname(&name) == 0 ? name.release : "unknown");
    facts.memory_gib = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 0x1p30;
    return facts;
}

json_t *machine_json(void) {
    const struct facts f = facts();
    json_t *json = json_pack("{s:s,s:i,s:f,s:s,s:s,s:s}", "cpu", f.cpu, "processors", (int)f.processors, "memory_gib",
                             f.memory_gib, "kernel", f.kernel, "host_congestion", f.congestion, "huge_pages", f.huge);
    bench_must(json != NULL, "memory");
    return json;
}

const char *machine_text(void) {
    static char text[5 * TEXT_BYTES];
    const struct facts f = facts();
    snprintf(text, sizeof text, "%u x %s, %.0f GiB, Linux %s, the host's congestion control %s, huge pages %s",
             f.processors, f.cpu, f.memory_gib, f.kernel, f.congestion, f.huge);
    return text;
}

const char *machine_congestion(void) {
    static const char *const preferred[] = {"cubic", "reno"};
    char available[TEXT_BYTES], *rest = NULL;
    for (size_t i = 0; i < 2; i++) {
        read_line("/proc/sys/net/ipv4/tcp_available_congestion_control", available);
        for (char *word = strtok_r(available, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
            if (strcmp(word, preferred[i]) == 0)
                return preferred[i];
        }
    }
    return "";
}

const char *machine_date(void) {
    static char text[32];
    struct tm parts;
    const time_t now = time(NULL);
    bench_must(gmtime_r(&now, &parts) != NULL && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts) > 0,
               "the date");
    return text;
}

uint64_t machine_available(void) {
    FILE *file = fopen("/proc/meminfo", "r");
    unsigned long long kib = 0;
    char line[128];
    while (file != NULL && kib == 0 && fgets(line, sizeof line, file) != NULL)
        (void)sscanf(line, "MemAvailable: %llu kB", &kib);
    if (file != NULL)
        fclose(file);
    return 1024 * (uint64_t)kib;
}
