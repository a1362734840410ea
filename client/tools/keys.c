#include "client/tools/keys.h"

enum arguments_verdict keys_check(const struct command_line *line, const struct keys *keys) {
    if ((keys->plaintext || keys->plaintext_anywhere) && (keys->key_file != NULL || keys->known_servers_file != NULL)) {
        return arguments_wrong(line, "--%s is for encryption; leave it or --insecure-plaintext%s out",
                               keys->key_file != NULL ? "key" : "known-servers",
                               keys->plaintext_anywhere ? "-anywhere" : "");
    }
    return ARGUMENTS_RUN;
}

void keys_apply(const struct keys *keys, struct canyon_options *options) {
    options->key_file = keys->key_file;
    options->known_servers_file = keys->known_servers_file;
    options->insecure_plaintext = keys->plaintext_anywhere ? 2 : keys->plaintext ? 1 : 0;
}
