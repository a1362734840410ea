#define _GNU_SOURCE /* memmem */
/* Where secret keys are while a server and a worker work: in memory that is locked and left out of dumps, and nowhere
 * else; nor in what either of them logs. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/key.h"
#include "common/random.h"
#include "tests/integration/harness.h"
#include "tests/integration/process.h"

#define ELEMENTS  3000u
#define PIECE     ((size_t)1 << 20)
#define HUGE_SIZE ((uint64_t)1 << 30) /* no part of these programs; a sanitizer's shadow is larger */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

struct worker {
    struct gate worked, searched;
    char servers[CLUSTER_ADDRESS_BYTES], log[64];
};

static void write_line(void *user, enum canyon_log_level level, const char *text) {
    (void)level;
    fprintf(user, "%s\n", text);
    fflush(user);
}

static int work(void *user) {
    static float values[ELEMENTS];
    struct worker *worker = user;
    struct canyon_options options;
    canyon_client *client = NULL;
    FILE *log = fopen(worker->log, "w");
    check(log != NULL);
    canyon_options_init(&options);
    options.servers = worker->servers;
    options.connect_ms = options.timeout_ms = PATIENCE_MS;
    options.log = write_line;
    options.log_user = log;
    options.log_level = CANYON_LOG_DEBUG;
    check_ok(canyon_connect(&options, &client));
    canyon_tensor *tensor = client_vector(client, "t", ELEMENTS, "sgd");
    for (unsigned i = 0; i < 20; i++)
        check_ok(canyon_push_pull(tensor, values, values, PATIENCE_MS));
    gate_arrive(&worker->worked);
    gate_wait(&worker->searched, 1);
    check_ok(canyon_push(tensor, values, PATIENCE_MS));
    canyon_tensor_close(tensor);
    canyon_close(client);
    check(fclose(log) == 0);
    return 0;
}

struct found {
    unsigned kept, unlocked, dumped, mappings, huge;
};

static unsigned count_in(int memory, uint64_t start, uint64_t end, const void *wanted, size_t bytes) {
    static uint8_t piece[PIECE];
    unsigned count = 0;
    for (uint64_t at = start; at + bytes <= end; at += PIECE - bytes + 1) {
        ssize_t got = pread(memory, piece, end - at < PIECE ? (size_t)(end - at) : PIECE, (off_t)at);
        const uint8_t *from = piece, *hit;
        while (got > 0 && (hit = memmem(from, (size_t)(piece + got - from), wanted, bytes)) != NULL) {
            count++;
            from = hit + 1;
        }
    }
    return count;
}

/* In every readable mapping of the process. */
static struct found search(pid_t process, const void *wanted, size_t bytes) {
    char path[64], line[512], mapping[512] = "", rights[8] = "";
    uint64_t start = 0, end = 0, low, high;
    struct found found = {0};
    snprintf(path, sizeof path, "/proc/%d/mem", (int)process);
    int memory = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "/proc/%d/smaps", (int)process);
    FILE *smaps = fopen(path, "r");
    check(memory >= 0 && smaps != NULL);
    while (fgets(line, sizeof line, smaps)) {
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &low, &high, rights) == 3) {
            start = low;
            end = high;
            memcpy(mapping, line, sizeof mapping);
        } else if (strncmp(line, "VmFlags:", 8) == 0 && rights[0] == 'r') {
            if (end - start > HUGE_SIZE) {
                found.huge++;
                continue;
            }
            unsigned count = count_in(memory, start, end, wanted, bytes);
            bool locked = strstr(line, " lo") != NULL, kept = strstr(line, " dd") != NULL;
            if (count > 0 && (!kept || (!locked && !SANITIZED)))
                print_message("found %u times in %s with %s", count, mapping, line);
            found.mappings++;
            found.dumped += kept ? 0 : count;
            found.unlocked += locked ? 0 : count;
            found.kept += kept ? count : 0;
        }
    }
    fclose(smaps);
    close(memory);
    return found;
}

static bool file_has(const char *path, const void *wanted, size_t bytes) {
    static char text[1 << 20];
    FILE *file = fopen(path, "r");
    check(file != NULL);
    size_t count = fread(text, 1, sizeof text, file);
    check(count > 0 && count < sizeof text && fclose(file) == 0);
    return memmem(text, count, wanted, bytes) != NULL;
}

/* The secret line of a key's file, without its newline. */
static void read_text(const char *path, char text[KEY_TEXT_BYTES + 1]) {
    char line[256];
    FILE *file = fopen(path, "r");
    check(file != NULL);
    text[0] = '\0';
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "cns1", 4) == 0)
            snprintf(text, KEY_TEXT_BYTES + 1, "%.*s", (int)strcspn(line, "\n"), line);
    }
    fclose(file);
    check(strlen(text) == KEY_TEXT_BYTES - 1);
}

static void check_process(const char *who, pid_t process, const struct key_pair *pair, const char *text) {
    const struct found secret = search(process, pair->secret, KEY_BYTES);
    /* As the arithmetic on the curve has it (RFC 7748): its ends are changed, the rest is the same. */
    const struct found clamped = search(process, pair->secret + 1, KEY_BYTES - 2);
    const struct found written = search(process, text + 4, 40);
    print_message("%s: %u mappings (%u too large to look at); its secret key is %u times in memory left out of dumps, "
                  "%u times elsewhere, its text %u times\n",
                  who, secret.mappings, secret.huge, secret.kept, secret.dumped, written.kept + written.dumped);
    check(secret.kept > 0); /* the search finds what is in use */
    check(secret.dumped == 0 && clamped.dumped == 0 && written.dumped == 0 && written.kept == 0);
    check(SANITIZED || (secret.unlocked == 0 && clamped.unlocked == 0));
}

static void check_log(const char *path, const struct key_pair *pair) {
    char hex[2 * KEY_BYTES + 1], upper[2 * KEY_BYTES + 1];
    for (unsigned i = 0; i < KEY_BYTES; i++) {
        snprintf(hex + (size_t)2 * i, 3, "%02x", pair->secret[i]);
        snprintf(upper + (size_t)2 * i, 3, "%02X", pair->secret[i]);
    }
    check(!file_has(path, "cns1", 4));
    check(!file_has(path, pair->secret, KEY_BYTES));
    check(!file_has(path, hex, 16) && !file_has(path, upper, 16));
}

static void check_no_dumps(pid_t server) {
    char path[64], line[256];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/limits", (int)server);
    FILE *file = fopen(path, "r");
    check(file != NULL);
    while (fgets(line, sizeof line, file)) {
        char soft[32], hard[32];
        if (sscanf(line, "Max core file size %31s %31s", soft, hard) == 2)
            found = strcmp(soft, "0") == 0 && strcmp(hard, "0") == 0;
    }
    fclose(file);
    check(found);
}

static void keys_are_only_where_they_may_be(void **state) {
    (void)state;
    if (geteuid() != 0) {
        print_message("SKIPPED: only root may look into the memory of a server; none was searched for keys\n");
        skip();
    }
    if (SANITIZED)
        print_message("SKIPPED: locking does nothing under a sanitizer; only whether dumps have the keys is tested\n");
    struct error error;
    struct key_pair *pairs[2] = {NULL, NULL};
    char texts[2][KEY_TEXT_BYTES + 1];
    struct worker *worker = shared_alloc(sizeof *worker);
    struct cluster *cluster = cluster_start(&(struct cluster_options){.log_level = "debug"});
    snprintf(worker->servers, sizeof worker->servers, "%s", cluster_servers(cluster));
    snprintf(worker->log, sizeof worker->log, "/tmp/canyon-worker-log-XXXXXX");
    int descriptor = mkstemp(worker->log);
    check(descriptor >= 0 && close(descriptor) == 0);
    pid_t child = process_start(work, worker); /* before the keys are read here: it would inherit them */
    const pid_t processes[2] = {cluster_pid(cluster, 0), child};
    const char *const files[2] = {harness_keyring()->server_key, harness_keyring()->key};
    gate_wait(&worker->worked, 1);
    check(random_start(&error) == CANYON_OK);
    for (unsigned i = 0; i < 2; i++) {
        check(key_file_read(files[i], &pairs[i], &error) == CANYON_OK);
        read_text(files[i], texts[i]);
        check_process(i == 0 ? "the server" : "the worker", processes[i], pairs[i], texts[i]);
    }
    /* Neither has the other's. */
    for (unsigned i = 0; i < 2; i++) {
        struct found other = search(processes[i], pairs[1 - i]->secret, KEY_BYTES);
        check(other.kept == 0 && other.dumped == 0);
    }
    check_no_dumps(processes[0]);
    gate_arrive(&worker->searched);
    check(process_wait(child, PATIENCE_MS) == 0);
    for (unsigned i = 0; i < 2; i++) {
        check_log(cluster_log(cluster, 0), pairs[i]);
        check_log(worker->log, pairs[i]);
        key_pair_destroy(pairs[i]);
    }
    unlink(worker->log);
    shared_free(worker, sizeof *worker);
    cluster_stop(cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {integration_test(keys_are_only_where_they_may_be)};
    return cmocka_run_group_tests_name("secrets", tests, NULL, NULL);
}
