#include "server/trust.h"

#include <stdio.h>
#include <string.h>

#include "common/home.h"
#include "common/secret.h"

/* The path that the setting names, or that of the file in Canyon's home. */
static enum canyon_status find(const char *setting, const char *name, char path[HOME_PATH_BYTES], struct error *error) {
    if (setting[0] == '\0') {
        return home_file(name, path, error);
    }
    snprintf(path, HOME_PATH_BYTES, "%s", setting);
    return CANYON_OK;
}

static enum canyon_status read_list(const struct config *config, struct allow **allow, struct error *error) {
    char path[HOME_PATH_BYTES];
    enum canyon_status status = find(config->allow, HOME_ALLOW, path, error);
    if (status == CANYON_OK) {
        status = allow_read(path, allow, error);
    }
    if (status == CANYON_NOT_FOUND) {
        error_set(error, status,
                  "there is no allow-list %.150s: make one, beginning with the line \"format " ALLOW_FORMAT
                  "\", then a line for each client: ROLE NAME KEY (canyon keygen prints it)",
                  path);
    }
    return status;
}

enum canyon_status trust_load(const struct config *config, struct trust *trust, struct error *error) {
    char path[HOME_PATH_BYTES];
    *trust = (struct trust){.key = NULL};
    if (!config_encrypts(config)) {
        return CANYON_OK;
    }
    if (!channel_cipher_usable(config->cipher)) {
        return error_set(error, CANYON_CONFIGURATION,
                         "cipher = %s: this machine's CPU cannot do it; use chacha20poly1305 here and in the clients' "
                         "known_servers",
                         channel_cipher_name(config->cipher));
    }
    enum canyon_status status = find(config->key, HOME_SERVER_KEY, path, error);
    if (status == CANYON_OK) {
        status = key_file_read(path, &trust->key, error);
    }
    if (status == CANYON_NOT_FOUND) {
        error_set(error, status,
                  "there is no server key %.150s: make one with canyon keygen --server --output %.80s, or say "
                  "--insecure-plaintext on both sides to do without",
                  path, path);
    }
    if (status == CANYON_OK) {
        status = read_list(config, &trust->allow, error);
    }
    if (status != CANYON_OK) {
        trust_finish(trust);
        status = status == CANYON_NO_MEMORY ? status : CANYON_CONFIGURATION;
        error->status = status;
    }
    return status;
}

void trust_finish(struct trust *trust) {
    key_pair_destroy(trust->key);
    allow_release(trust->allow);
    *trust = (struct trust){.key = NULL};
}

enum canyon_status trust_reload(const struct config *config, struct trust *trust, struct error *error) {
    struct allow *fresh = NULL;
    enum canyon_status status = read_list(config, &fresh, error);
    if (status == CANYON_OK) {
        allow_release(trust->allow);
        trust->allow = fresh;
    }
    return status;
}

void trust_log(const struct config *config, const struct trust *trust, const struct log *log) {
    char text[KEY_TEXT_BYTES], fingerprint[KEY_FINGERPRINT_BYTES];
    const char *cipher = channel_cipher_name(config->cipher);
    if (trust->key == NULL) {
        log_event(log, LOG_WARNING, "plaintext",
                  "reason=\"insecure-plaintext: nothing is encrypted, and whoever can connect may do everything\"");
        return;
    }
    bool usual = config->cipher == CHANNEL_CHACHA20POLY1305;
    log_event(log, LOG_INFO, "encrypted", "key=%s cipher=%s allowed=%zu known_servers=\"server %s %s%s%s\"",
              key_fingerprint(trust->key->public, fingerprint), cipher, allow_count(trust->allow), config->advertise,
              key_text(trust->key->public, text), usual ? "" : " cipher=", usual ? "" : cipher);
    if (allow_count(trust->allow) == 0) {
        log_event(log, LOG_WARNING, "nobody-allowed", "reason=\"the allow-list has no key: nobody can connect\"");
    }
    if (!secret_locked()) {
        log_event(log, LOG_WARNING, "secrets-unlocked",
                  "reason=\"keys may be swapped to disk: raise the limit on locked memory (ulimit -l)\"");
    }
}
