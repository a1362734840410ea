#include "client/identity.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/home.h"

struct identity {
    struct key_pair *key;        /* NULL in plaintext */
    struct known_servers *known; /* NULL in plaintext */
    bool anywhere;
    char known_path[HOME_PATH_BYTES]; /* where it was read, for texts */
};

/* The given file, or the one of that name in the home directory. */
static enum canyon_status find_file(const char *given, const char *name, char path[HOME_PATH_BYTES],
                                    struct error *error) {
    if (given == NULL)
        return home_file(name, path, error);
    int length = snprintf(path, HOME_PATH_BYTES, "%s", given);
    if (length < 0 || length >= HOME_PATH_BYTES)
        return error_set(error, CANYON_INVALID_ARGUMENT, "the path of %s is longer than %d bytes", name,
                         HOME_PATH_BYTES - 1);
    return CANYON_OK;
}

static enum canyon_status read_key(struct identity *identity, const struct canyon_options *options,
                                   struct error *error) {
    char path[HOME_PATH_BYTES];
    enum canyon_status status = find_file(options->key_file, HOME_CLIENT_KEY, path, error);
    if (status == CANYON_OK)
        status = key_file_read(path, &identity->key, error);
    if (status == CANYON_NOT_FOUND && options->key_file != NULL)
        status = error_set(error, CANYON_UNAUTHENTICATED,
                           "there is no key %s: make one with `canyon keygen --output %s`, and ask for its line in the "
                           "servers' allow-lists",
                           path, path);
    else if (status == CANYON_NOT_FOUND)
        status = error_set(error, CANYON_UNAUTHENTICATED,
                           "this client has no key (%s): make one with `canyon keygen`, and ask for its line in the "
                           "servers' allow-lists",
                           path);
    return status;
}

static enum canyon_status read_known(struct identity *identity, const struct canyon_options *options,
                                     struct error *error) {
    enum canyon_status status = find_file(options->known_servers_file, HOME_KNOWN_SERVERS, identity->known_path, error);
    if (status == CANYON_OK)
        status = known_servers_read(identity->known_path, &identity->known, error);
    if (status == CANYON_NOT_FOUND)
        status = error_set(error, CANYON_UNAUTHENTICATED,
                           "there is no file %s, which says by what keys servers are known: write into it the line "
                           "\"format canyon-known-servers-1\" and, for each server, \"server ADDRESS cnp1...\" as its "
                           "log says when it starts",
                           identity->known_path);
    return status;
}

enum canyon_status identity_create(const struct canyon_options *options, struct identity **identity,
                                   struct error *error) {
    enum canyon_status status = CANYON_OK;
    *identity = calloc(1, sizeof **identity);
    if (*identity == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for a client's identity");
    if (options->insecure_plaintext != 0) {
        (*identity)->anywhere = options->insecure_plaintext > 1;
        return CANYON_OK;
    }
    status = read_key(*identity, options, error);
    if (status == CANYON_OK)
        status = read_known(*identity, options, error);
    if (status != CANYON_OK) {
        identity_destroy(*identity);
        *identity = NULL;
    }
    return status;
}

struct identity *identity_create_plaintext(bool anywhere) {
    struct identity *identity = calloc(1, sizeof *identity);
    if (identity != NULL)
        identity->anywhere = anywhere;
    return identity;
}

void identity_destroy(struct identity *identity) {
    if (identity == NULL)
        return;
    key_pair_destroy(identity->key);
    known_servers_destroy(identity->known);
    free(identity);
}

bool identity_is_plaintext(const struct identity *identity) {
    return identity->key == NULL;
}

bool identity_plaintext_anywhere(const struct identity *identity) {
    return identity->anywhere;
}

const struct key_pair *identity_key(const struct identity *identity) {
    return identity->key;
}

enum canyon_status identity_find(const struct identity *identity, const char *address,
                                 const struct known_server **server, struct error *error) {
    *server = NULL;
    if (identity_is_plaintext(identity))
        return CANYON_OK;
    const struct known_server *found = known_servers_find(identity->known, address);
    if (found == NULL)
        return error_set(error, CANYON_UNAUTHENTICATED,
                         "the key of %s is not known: add the line \"server %s cnp1...\" to %s; the server's log shows "
                         "its key when it starts, and so does `canyon keygen --show` on its key file",
                         address, address, identity->known_path);
    if (!channel_cipher_usable(found->cipher))
        return error_set(error, CANYON_UNSUPPORTED,
                         "%s has cipher=%s for %s, which this CPU cannot do: start the server with another",
                         identity->known_path, channel_cipher_name(found->cipher), address);
    *server = found;
    return CANYON_OK;
}
