/* What keys forbid: servers that are not the expected ones, clients that are not expected, and what a role may not do.
 * Every refusal has a text that says what to do, and nothing was sent. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/channel.h"
#include "tests/integration/harness.h"

#define ELEMENTS 3000u

/* ---- Keys beside those of the harness ---------------------------------------------------------------------------- */

struct other {
    char directory[64];
    struct keyring keyring;
    char allow[128]; /* a list of this test's own */
};

static void other_make(struct other *other, const char *cipher) {
    char text[512];
    *other = (struct other){.directory = "/tmp/canyon-other-XXXXXX"};
    check(mkdtemp(other->directory) != NULL);
    snprintf(other->allow, sizeof other->allow, "%s/allow-of-test", other->directory);
    if (keyring_make(&other->keyring, other->directory, cipher, text, sizeof text) != CANYON_OK)
        check_fail("%s", text);
}

static void other_remove(struct other *other) {
    keyring_remove(&other->keyring);
    unlink(other->allow);
    rmdir(other->directory);
}

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    check(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0 && chmod(path, 0600) == 0);
}

/* An allow-list of two lines: the harness's key as admin, and another with this role, if any. */
static void write_allow(const struct other *other, const char *role) {
    char own[CANYON_KEY_TEXT_BYTES], key[CANYON_KEY_TEXT_BYTES], text[512];
    check_ok(canyon_key_show(harness_keyring()->key, own));
    check_ok(canyon_key_show(other->keyring.key, key));
    snprintf(text, sizeof text, "format canyon-allow-1\nadmin boss %s\n", own);
    if (role)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s other %s\n", role, key);
    write_text(other->allow, text);
}

static enum canyon_status connect_with(const char *servers, const char *key, const char *known,
                                       canyon_client **client) {
    struct canyon_options options;
    canyon_options_init(&options);
    options.servers = servers;
    options.connect_ms = PATIENCE_MS;
    options.timeout_ms = PATIENCE_MS;
    options.key_file = key;
    options.known_servers_file = known;
    return canyon_connect(&options, client);
}

/* The key's first characters, as logs and texts have them. */
static const char *fingerprint_of(const char *key_file, char fingerprint[KEY_FINGERPRINT_BYTES]) {
    char text[CANYON_KEY_TEXT_BYTES];
    check_ok(canyon_key_show(key_file, text));
    snprintf(fingerprint, KEY_FINGERPRINT_BYTES, "%s", text);
    return fingerprint;
}

/* Nobody has created anything there. */
static void check_untouched(const struct cluster *cluster, const char *key, const char *known) {
    struct canyon_tensor_info *infos = NULL;
    size_t count = 1;
    canyon_client *client = NULL;
    check_ok(connect_with(cluster_servers(cluster), key, known, &client));
    check_ok(canyon_tensor_list(client, PATIENCE_MS, &infos, &count));
    check(count == 0);
    canyon_free(infos);
    canyon_close(client);
}

/* Runs the command line program with a home directory; what it prints comes to `text`; its exit code is returned. */
static int run_cli(const char *home, const char *arguments, char *text, size_t bytes) {
    char command[1024];
    snprintf(command, sizeof command, "CANYON_HOME='%s' '%s/bin/canyon' %s 2>&1", home, CANYON_BINARY_DIR, arguments);
    FILE *program = popen(command, "r");
    check(program != NULL);
    size_t got = fread(text, 1, bytes - 1, program);
    text[got] = '\0';
    int status = pclose(program);
    check(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* ---- The server -------------------------------------------------------------------------------------------------- */

/* A server in the place of the known one, with a key of its own: the client says what it expected, and goes. */
static void another_server_at_the_address(void **state) {
    (void)state;
    struct other other;
    other_make(&other, NULL);
    char fingerprint[KEY_FINGERPRINT_BYTES], text[4096], arguments[256];
    struct cluster *cluster = cluster_start(&(struct cluster_options){.server_key = other.keyring.server_key});
    canyon_client *client = NULL;
    check_status(connect_with(cluster_servers(cluster), NULL, NULL, &client), CANYON_UNAUTHENTICATED);
    check(client == NULL);
    check_text("did not prove to have the key");
    check_text(cluster_address(cluster, 0));
    check_text(fingerprint_of(harness_keyring()->server_key, fingerprint));
    check_text("no data was sent");
    snprintf(arguments, sizeof arguments, "--servers %s status", cluster_servers(cluster));
    int code = run_cli(getenv("CANYON_HOME"), arguments, text, sizeof text);
    if (code != 4 || !strstr(text, "did not prove"))
        check_fail("canyon status over a wrong key: exit code %d, %s", code, text);
    check_untouched(cluster, NULL, other.keyring.known_servers);
    cluster_stop(cluster);
    other_remove(&other);
}

struct attempt {
    char address[CLUSTER_ADDRESS_BYTES];
    enum canyon_status status;
    char text[512];
};

static void *attempt_connect(void *user) {
    struct attempt *attempt = user;
    struct canyon_options options;
    canyon_client *client = NULL;
    canyon_options_init(&options);
    options.servers = attempt->address;
    options.name = "worker-of-whom-nobody-may-know";
    options.connect_ms = 700;
    attempt->status = canyon_connect(&options, &client);
    snprintf(attempt->text, sizeof attempt->text, "%s", canyon_error_text());
    canyon_close(client);
    return NULL;
}

/* All that somebody who sits at a server's address, without its key, gets to hear: 64 bytes that look like noise. */
static void what_a_wrong_server_hears(void **state) {
    (void)state;
    struct attempt attempt;
    pthread_t thread;
    uint8_t heard[1024];
    size_t have = 0;
    int port = port_silent(attempt.address);
    check(pthread_create(&thread, NULL, attempt_connect, &attempt) == 0);
    int descriptor = accept(port, NULL, NULL);
    check(descriptor >= 0);
    for (ssize_t got = 1; got > 0 && have < sizeof heard;) {
        got = recv(descriptor, heard + have, sizeof heard - have, 0);
        have += got > 0 ? (size_t)got : 0;
        if (have == CHANNEL_FIRST_BYTES) /* an answer that proves nothing does not loosen its tongue */
            check(send(descriptor, heard, CHANNEL_SECOND_BYTES, MSG_NOSIGNAL) == CHANNEL_SECOND_BYTES);
    }
    check(pthread_join(thread, NULL) == 0);
    check_status(attempt.status, CANYON_UNAUTHENTICATED);
    check(strstr(attempt.text, "did not prove") != NULL);
    check(have == CHANNEL_FIRST_BYTES);
    for (size_t i = 0; i + 4 <= have; i++)
        check(memcmp(heard + i, "CNYN", 4) != 0 && memcmp(heard + i, "work", 4) != 0);
    close(descriptor);
    close(port);
}

/* A server that accepts and says nothing is away, not false. */
static void a_server_that_says_nothing(void **state) {
    (void)state;
    struct attempt attempt;
    int port = port_silent(attempt.address);
    attempt_connect(&attempt);
    check_status(attempt.status, CANYON_UNAVAILABLE);
    check(strstr(attempt.text, "handshake") != NULL && strstr(attempt.text, "700 ms") != NULL);
    close(port);
}

/* While a client lives its server comes back with another key, and then with its own again. */
static void a_server_comes_back_with_another_key(void **state) {
    (void)state;
    struct other other;
    other_make(&other, NULL);
    static float gradient[ELEMENTS];
    struct cluster *cluster = cluster_start(NULL);
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "t", ELEMENTS, "sgd");
    check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
    cluster_kill(cluster, 0);
    cluster_restart(cluster, 0, &(struct cluster_options){.server_key = other.keyring.server_key});
    enum canyon_status status = canyon_push(tensor, gradient, PATIENCE_MS);
    if (status == CANYON_UNAVAILABLE || status == CANYON_OUTCOME_UNKNOWN) /* sent into the dead connection */
        status = canyon_push(tensor, gradient, PATIENCE_MS);
    check_status(status, CANYON_UNAUTHENTICATED);
    check_text("did not prove");
    check_status(canyon_push(tensor, gradient, PATIENCE_MS), CANYON_UNAUTHENTICATED);
    cluster_kill(cluster, 0);
    cluster_restart(cluster, 0, NULL);
    status = canyon_push(tensor, gradient, PATIENCE_MS);
    check(status == CANYON_STATE_LOST || status == CANYON_NOT_FOUND);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
    other_remove(&other);
}

static void an_address_that_is_not_known(void **state) {
    (void)state;
    struct other other;
    other_make(&other, NULL);
    struct cluster *cluster = cluster_start(NULL);
    check(cluster_logged(cluster, 0, " listening ", PATIENCE_MS)); /* nobody connects to it before it is stopped */
    canyon_client *client = NULL;
    char line[CLUSTER_ADDRESS_BYTES + 32];
    write_text(other.keyring.known_servers, "format canyon-known-servers-1\n");
    check_status(connect_with(cluster_servers(cluster), NULL, other.keyring.known_servers, &client),
                 CANYON_UNAUTHENTICATED);
    snprintf(line, sizeof line, "\"server %s cnp1...\"", cluster_address(cluster, 0));
    check_text(line);
    check_text(other.keyring.known_servers);
    check_text("canyon keygen --show");
    cluster_stop(cluster);
    other_remove(&other);
}

/* The cipher is no part of what two ends agree on: it must be the same beforehand. */
static void ciphers_must_be_equal(void **state) {
    (void)state;
    if (!channel_cipher_usable(CHANNEL_AES256GCM)) {
        print_message("SKIPPED: this CPU cannot do AES-256-GCM; unequal ciphers were not tested\n");
        return;
    }
    struct other other;
    other_make(&other, "aes256gcm");
    for (int server_aes = 0; server_aes < 2; server_aes++) {
        for (int client_aes = 0; client_aes < 2; client_aes++) {
            canyon_client *client = NULL;
            struct cluster_options options = {.server_key = other.keyring.server_key,
                                              .cipher = server_aes ? "aes256gcm" : NULL};
            char known[512], key[CANYON_KEY_TEXT_BYTES];
            check_ok(canyon_key_show(other.keyring.server_key, key));
            snprintf(known, sizeof known, "format canyon-known-servers-1\nserver 127.0.0.1:* %s%s\n", key,
                     client_aes ? " cipher=aes256gcm" : "");
            write_text(other.keyring.known_servers, known);
            struct cluster *cluster = cluster_start(&options);
            enum canyon_status status =
                connect_with(cluster_servers(cluster), NULL, other.keyring.known_servers, &client);
            if (server_aes == client_aes) {
                check_status(status, CANYON_OK);
                canyon_tensor_close(client_vector(client, "t", ELEMENTS, "sgd"));
            } else {
                check_status(status, CANYON_UNAUTHENTICATED);
                check_text("another cipher=");
            }
            canyon_close(client);
            cluster_stop(cluster);
        }
    }
    other_remove(&other);
}

/* ---- The client -------------------------------------------------------------------------------------------------- */

static void no_key_at_all(void **state) {
    (void)state;
    char empty[] = "/tmp/canyon-empty-XXXXXX", path[64], text[4096];
    check(mkdtemp(empty) != NULL);
    snprintf(path, sizeof path, "%s/key", empty);
    canyon_client *client = NULL;
    check_status(connect_with("127.0.0.1:1", path, NULL, &client), CANYON_UNAUTHENTICATED);
    check_text("canyon keygen");
    check_text(path);
    int code = run_cli(empty, "--servers 127.0.0.1:1 status", text, sizeof text);
    if (code != 4 || !strstr(text, "canyon keygen"))
        check_fail("canyon status without a key: exit code %d, %s", code, text);
    snprintf(path, sizeof path, "%s/known_servers", empty);
    check_status(connect_with("127.0.0.1:1", NULL, path, &client), CANYON_UNAUTHENTICATED);
    check_text(path);
    check_text("format canyon-known-servers-1");
    rmdir(empty);
}

static void a_key_that_others_can_read(void **state) {
    (void)state;
    struct other other;
    other_make(&other, NULL);
    canyon_client *client = NULL;
    check(chmod(other.keyring.key, 0644) == 0);
    check_status(connect_with("127.0.0.1:1", other.keyring.key, NULL, &client), CANYON_INVALID_ARGUMENT);
    check_text(other.keyring.key);
    other_remove(&other);
}

/* The server does not say a word to it; the client says what to ask for. */
static void a_key_that_is_not_in_the_list(void **state) {
    (void)state;
    struct other other;
    other_make(&other, NULL);
    struct cluster *cluster = cluster_start(&(struct cluster_options){.threads = 2});
    canyon_client *client = NULL;
    char key[CANYON_KEY_TEXT_BYTES], line[CANYON_KEY_TEXT_BYTES + 32];
    check_status(connect_with(cluster_servers(cluster), other.keyring.key, NULL, &client), CANYON_UNAUTHENTICATED);
    check_ok(canyon_key_show(other.keyring.key, key));
    snprintf(line, sizeof line, "\"worker NAME %s\"", key);
    check_text(line);
    check_text("allow-list");
    check_untouched(cluster, NULL, NULL);
    cluster_stop(cluster);
    other_remove(&other);
}

/* A client whose key has a role: what it may, and what it may not. */
static void roles_are_enforced(void **state) {
    static const char *const roles[] = {"reader", "worker", "admin"};
    const size_t role = *(const size_t *)*state;
    static float values[ELEMENTS];
    struct other other;
    other_make(&other, NULL);
    write_allow(&other, roles[role]);
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2, .allow = other.allow});
    canyon_client *boss = client_connect(cluster_servers(cluster)), *client = NULL;
    canyon_tensor_close(client_vector(boss, "t", ELEMENTS, "sgd"));
    check_ok(connect_with(cluster_servers(cluster), other.keyring.key, NULL, &client));
    canyon_tensor *tensor = NULL;
    check_ok(canyon_tensor_open(client, "t", PATIENCE_MS, &tensor));
    check_ok(canyon_pull(tensor, values, PATIENCE_MS));
    const enum canyon_status of_worker = role >= 1 ? CANYON_OK : CANYON_DENIED,
                             of_admin = role >= 2 ? CANYON_OK : CANYON_DENIED;
    check_status(canyon_push(tensor, values, PATIENCE_MS), of_worker);
    if (of_worker == CANYON_DENIED) {
        check_text("worker");
        check_text("reader");
        check_text("other");
    }
    check_status(canyon_push_pull(tensor, values, values, PATIENCE_MS), of_worker);
    check_status(canyon_join(client, PATIENCE_MS, NULL, NULL), of_worker);
    struct canyon_tensor_spec spec;
    canyon_tensor *made = NULL;
    canyon_tensor_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "new");
    check_status(canyon_tensor_create(client, &spec, PATIENCE_MS, &made), of_worker);
    canyon_tensor_close(made);
    check_status(canyon_assign(tensor, values, PATIENCE_MS), of_admin);
    check_status(canyon_tensor_set(client, "t", "lr=0.5", PATIENCE_MS, NULL), of_admin);
    check_status(canyon_tensor_drop(client, "t", PATIENCE_MS), of_admin);
    if (of_admin == CANYON_DENIED) {
        check_text("admin");
        check_text(roles[role]);
        check_ok(canyon_pull(tensor, values, PATIENCE_MS));
    }
    canyon_tensor_close(tensor);
    canyon_close(client);
    canyon_close(boss);
    cluster_stop(cluster);
    other_remove(&other);
}

/* The program's exit code says that it is about keys, and its text what is needed. */
static void a_readers_program(void **state) {
    (void)state;
    struct other other;
    char arguments[256], text[4096];
    other_make(&other, NULL);
    write_allow(&other, "reader");
    struct cluster *cluster = cluster_start(&(struct cluster_options){.allow = other.allow});
    canyon_client *boss = client_connect(cluster_servers(cluster));
    canyon_tensor_close(client_vector(boss, "t", ELEMENTS, "sgd"));
    canyon_close(boss);
    snprintf(arguments, sizeof arguments, "--servers %s --known-servers %s set t lr=0.5", cluster_servers(cluster),
             harness_keyring()->known_servers);
    int code = run_cli(other.directory, arguments, text, sizeof text);
    if (code != 4 || !strstr(text, "admin") || !strstr(text, "reader"))
        check_fail("canyon set with a reader's key: exit code %d, %s", code, text);
    snprintf(arguments, sizeof arguments, "--servers %s --known-servers %s status", cluster_servers(cluster),
             harness_keyring()->known_servers);
    code = run_cli(other.directory, arguments, text, sizeof text);
    if (code != 0 || !strstr(text, "chacha20poly1305"))
        check_fail("canyon status with a reader's key: exit code %d, %s", code, text);
    cluster_stop(cluster);
    other_remove(&other);
}

/* A key leaves the list: its connections end within a second, and it is told why by the next attempt. */
static void a_revoked_key(void **state) {
    (void)state;
    static float values[ELEMENTS];
    struct other other;
    other_make(&other, NULL);
    write_allow(&other, "worker");
    struct cluster *cluster = cluster_start(&(struct cluster_options){.threads = 2, .allow = other.allow});
    canyon_client *boss = client_connect(cluster_servers(cluster)), *client = NULL;
    check_ok(connect_with(cluster_servers(cluster), other.keyring.key, NULL, &client));
    canyon_tensor *tensor = client_vector(client, "t", ELEMENTS, "sgd");
    check_ok(canyon_push(tensor, values, PATIENCE_MS));

    write_text(other.allow, "format canyon-allow-1\nthis is no line\n"); /* a list with a fault changes nothing */
    check(kill(cluster_pid(cluster, 0), SIGHUP) == 0);
    sleep_ms(300);
    check_ok(canyon_push(tensor, values, PATIENCE_MS));

    write_allow(&other, NULL);
    check(kill(cluster_pid(cluster, 0), SIGHUP) == 0);
    uint64_t begun = now_ms();
    enum canyon_status status = CANYON_OK;
    while (status == CANYON_OK && now_ms() < begun + PATIENCE_MS) {
        status = canyon_push(tensor, values, PATIENCE_MS);
        sleep_ms(5);
    }
    check(now_ms() - begun < 1000 + SLACK_MS);
    if (status == CANYON_UNAVAILABLE || status == CANYON_OUTCOME_UNKNOWN) /* the connection ended under it */
        status = canyon_push(tensor, values, PATIENCE_MS);
    check_status(status, CANYON_UNAUTHENTICATED);
    check_text("allow-list");
    struct canyon_tensor_info *infos = NULL;
    size_t count = 0;
    check_ok(canyon_tensor_list(boss, PATIENCE_MS, &infos, &count)); /* others are not disturbed */
    check(count == 1);
    canyon_free(infos);
    canyon_tensor_close(tensor);
    canyon_close(client);
    canyon_close(boss);
    cluster_stop(cluster);
    other_remove(&other);
}

/* ---- Plaintext --------------------------------------------------------------------------------------------------- */

/* Both ends encrypted or both in plaintext, or nothing passes. */
static void mixed_pairs_exchange_nothing(void **state) {
    (void)state;
    for (int server_plain = 0; server_plain < 2; server_plain++) {
        struct cluster *cluster = cluster_start(&(struct cluster_options){.threads = 2, .plaintext = server_plain});
        for (int client_plain = 0; client_plain < 2; client_plain++) {
            struct canyon_options options;
            canyon_client *client = NULL;
            cluster_client(cluster, &options);
            options.insecure_plaintext = client_plain;
            enum canyon_status status = canyon_connect(&options, &client);
            if (server_plain == client_plain) {
                struct canyon_tensor_info *infos = NULL;
                size_t count = 1;
                check_status(status, CANYON_OK);
                check_ok(canyon_tensor_list(client, PATIENCE_MS, &infos, &count));
                check(count == 0);
                canyon_free(infos);
            } else {
                check_status(status, client_plain ? CANYON_UNAVAILABLE : CANYON_UNAUTHENTICATED);
                check_text("--insecure-plaintext");
            }
            canyon_close(client);
        }
        cluster_stop(cluster);
    }
}

/* What the client says of its connections is what they are. */
static void statistics_say_how_servers_are_spoken_to(void **state) {
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        char fingerprint[KEY_FINGERPRINT_BYTES], text[4096], arguments[256];
        struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2, .plaintext = plain});
        struct canyon_options options;
        struct canyon_server_statistics *servers = NULL;
        size_t count = 0;
        canyon_client *client = NULL;
        cluster_client(cluster, &options);
        check_ok(canyon_connect(&options, &client));
        check_ok(canyon_statistics(client, PATIENCE_MS, &servers, &count));
        fingerprint_of(harness_keyring()->server_key, fingerprint);
        for (size_t i = 0; i < count; i++) {
            check(servers[i].encrypted == !plain);
            check(strcmp(servers[i].cipher, plain ? "" : "chacha20poly1305") == 0);
            check(strcmp(servers[i].key, plain ? "" : fingerprint) == 0);
        }
        snprintf(arguments, sizeof arguments, "--servers %s %s status", cluster_servers(cluster),
                 plain ? "--insecure-plaintext" : "");
        int code = run_cli(getenv("CANYON_HOME"), arguments, text, sizeof text);
        if (code != 0 || !strstr(text, plain ? "PLAINTEXT" : fingerprint))
            check_fail("canyon status: exit code %d, %s", code, text);
        canyon_free(servers);
        canyon_close(client);
        cluster_stop(cluster);
    }
}

int main(void) {
    static const size_t reader = 0, worker = 1, admin = 2;
    const struct CMUnitTest tests[] = {
        integration_test(another_server_at_the_address),
        integration_test(what_a_wrong_server_hears),
        integration_test(a_server_that_says_nothing),
        integration_test(a_server_comes_back_with_another_key),
        integration_test(an_address_that_is_not_known),
        integration_test(ciphers_must_be_equal),
        integration_test(no_key_at_all),
        integration_test(a_key_that_others_can_read),
        integration_test(a_key_that_is_not_in_the_list),
        integration_case("reader", roles_are_enforced, &reader),
        integration_case("worker", roles_are_enforced, &worker),
        integration_case("admin", roles_are_enforced, &admin),
        integration_test(a_readers_program),
        integration_test(a_revoked_key),
        integration_test(mixed_pairs_exchange_nothing),
        integration_test(statistics_say_how_servers_are_spoken_to),
    };
    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
