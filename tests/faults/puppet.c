#include "tests/faults/puppet.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/integration/process.h"

struct puppet {
    pid_t process;
    char name[32], servers[CLUSTER_SERVERS * CLUSTER_ADDRESS_BYTES];
    bool plaintext;
    uint32_t sizes[SUBJECT_KINDS];
    struct puppet_order order;
    struct puppet_answer answer;
    _Atomic uint32_t begun, done; /* calls */
};

/* ---- In its process ---------------------------------------------------------------------------------------------- */

static canyon_client *client;
static struct subject subjects[SUBJECT_KINDS];

static enum canyon_status connect_all(const struct puppet *puppet) {
    struct canyon_options options;
    canyon_options_init(&options);
    options.servers = puppet->servers;
    options.name = puppet->name;
    options.insecure_plaintext = puppet->plaintext;
    options.connect_ms = options.timeout_ms = PATIENCE_MS;
    enum canyon_status status = canyon_connect(&options, &client);
    for (int kind = 0; kind < SUBJECT_KINDS && status == CANYON_OK; kind++)
        subject_open(&subjects[kind], client, (enum subject_kind)kind, puppet->sizes[kind]);
    return status;
}

static void close_all(void) {
    for (int kind = 0; kind < SUBJECT_KINDS; kind++)
        subject_close(&subjects[kind]);
    canyon_close(client);
}

static enum canyon_status obey(struct puppet *puppet) {
    const struct puppet_order *order = &puppet->order;
    struct puppet_answer *answer = &puppet->answer;
    struct subject *subject = &subjects[order->kind];
    const uint32_t timeout_ms = order->timeout_ms > 0 ? order->timeout_ms : PATIENCE_MS;
    enum canyon_status status = CANYON_OK;
    switch (order->call) {
    case PUPPET_CONNECT:
        status = connect_all(puppet);
        break;
    case PUPPET_CLOCK:
        status = canyon_clock(client, &answer->clock);
        break;
    case PUPPET_PUSH:
        status = subject_push(subject, order->value, false, timeout_ms);
        break;
    case PUPPET_PULL:
        status = subject_try_pull(subject, timeout_ms);
        memcpy(answer->weights, subject->weights, sizeof answer->weights);
        break;
    case PUPPET_CLOSE:
        close_all();
    }
    return status;
}

static int serve(void *user) {
    struct puppet *puppet = user;
    for (uint32_t turn = 1; puppet->order.call != PUPPET_CLOSE || turn == 1; turn++) {
        while (atomic_load(&puppet->begun) < turn)
            sleep_ms(1);
        const uint64_t begun = now_ms();
        puppet->answer.status = obey(puppet);
        puppet->answer.took_ms = now_ms() - begun;
        snprintf(puppet->answer.text, sizeof puppet->answer.text, "%s",
                 puppet->answer.status != CANYON_OK ? canyon_error_text() : "");
        atomic_fetch_add(&puppet->done, 1);
    }
    return 0;
}

/* ---- In the test's ------------------------------------------------------------------------------------------------
 */

struct puppet *puppet_start(const char *name, bool plaintext, const uint32_t sizes[SUBJECT_KINDS]) {
    struct puppet *puppet = shared_alloc(sizeof *puppet);
    snprintf(puppet->name, sizeof puppet->name, "%s", name);
    puppet->plaintext = plaintext;
    memcpy(puppet->sizes, sizes, sizeof puppet->sizes);
    puppet->process = process_start(serve, puppet);
    return puppet;
}

void puppet_aim(struct puppet *puppet, const char *servers) {
    snprintf(puppet->servers, sizeof puppet->servers, "%s", servers);
}

pid_t puppet_pid(const struct puppet *puppet) {
    return puppet->process;
}

void puppet_begin(struct puppet *puppet, struct puppet_order order) {
    check(puppet_is_done(puppet));
    puppet->order = order;
    atomic_fetch_add(&puppet->begun, 1);
}

bool puppet_is_done(const struct puppet *puppet) {
    return atomic_load(&puppet->done) == atomic_load(&puppet->begun);
}

const struct puppet_answer *puppet_end(struct puppet *puppet) {
    for (uint64_t end = now_ms() + 2 * PATIENCE_MS; !puppet_is_done(puppet); sleep_ms(1))
        if (now_ms() > end)
            check_fail("%s did not end its call", puppet->name);
    return &puppet->answer;
}

const struct puppet_answer *puppet_do(struct puppet *puppet, struct puppet_order order) {
    puppet_begin(puppet, order);
    return puppet_end(puppet);
}

void puppet_pause(struct puppet *puppet) {
    int status = 0;
    check(kill(puppet->process, SIGSTOP) == 0);
    check(waitpid(puppet->process, &status, WUNTRACED) == puppet->process && WIFSTOPPED(status));
}

void puppet_resume(struct puppet *puppet) {
    check(kill(puppet->process, SIGCONT) == 0);
}

void puppet_kill(struct puppet *puppet) {
    process_kill(puppet->process);
    shared_free(puppet, sizeof *puppet);
}

void puppet_stop(struct puppet *puppet) {
    (void)puppet_do(puppet, (struct puppet_order){.call = PUPPET_CLOSE});
    check(process_wait(puppet->process, PATIENCE_MS) == 0);
    shared_free(puppet, sizeof *puppet);
}
