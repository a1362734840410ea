/* canyon keygen: makes a key, or shows the public half of one, with the line that lets others trust it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/cli.h"

#define PATH_BYTES 4096
#define NAME_HIGH  255 /* the longest address that fits a list, with room for its port */

struct keygen {
    bool server, show, json;
    const char *file, *output, *name, *role;
    char path[PATH_BYTES];    /* of the key's file */
    char own_name[NAME_HIGH]; /* the name when none was given, or the given one completed */
    char text[CANYON_KEY_TEXT_BYTES];
};

/* A name with other characters than these would not be read back from a list. */
static bool name_is_clean(const char *name) {
    static const char clean[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./";
    size_t length = strspn(name, clean);
    return length > 0 && length < CANYON_NAME_BYTES && name[length] == '\0' && strchr("_-./", name[0]) == NULL;
}

/* An address has colons, brackets and perhaps a star besides. */
static bool address_is_clean(const char *name) {
    size_t length = strcspn(name, " \t\r\n\v\f,\"'/#");
    return length > 0 && length < NAME_HIGH - 2 && name[length] == '\0';
}

/* What the line calls the key's owner: unless it was given, this machine's name. */
static enum arguments_verdict choose_name(const struct command_line *line, struct keygen *keygen) {
    char host[NAME_HIGH - 2] = "";
    const char *name = keygen->name;
    if (name == NULL) {
        name = gethostname(host, sizeof host - 1) == 0 && name_is_clean(host) ? host : "host";
    } else if (!keygen->server && !name_is_clean(name)) {
        return arguments_wrong(line,
                               "--name %.140s: a client's name is 1 to %d of A-Z a-z 0-9 _ - . / and begins with a "
                               "letter or digit",
                               name, CANYON_NAME_BYTES - 1);
    } else if (keygen->server && !address_is_clean(name)) {
        return arguments_wrong(line, "--name %.140s: a server's name is the address it advertises, HOST:PORT", name);
    }
    /* HOST:* stands for every port of a server's machine. */
    bool complete = !keygen->server || strchr(name, ':') != NULL;
    snprintf(keygen->own_name, sizeof keygen->own_name, "%s%s", name, complete ? "" : ":*");
    return ARGUMENTS_RUN;
}

static enum outcome choose_file(struct keygen *keygen) {
    const char *given = keygen->show ? keygen->file : keygen->output;
    if (given == NULL) {
        return outcome_report(
            "canyon", "find the key's file",
            canyon_home_file(keygen->server ? "server.key" : "key", keygen->path, sizeof keygen->path));
    }
    if (strlen(given) >= sizeof keygen->path) {
        return cli_fail("the path %.64s... is longer than %zu bytes", given, sizeof keygen->path - 1);
    }
    memcpy(keygen->path, given, strlen(given) + 1);
    return OUTCOME_DONE;
}

static enum outcome print_json(const struct keygen *keygen, const char *line) {
    return cli_print(json_pack("{s:s, s:b, s:s, s:s}", "file", keygen->path, "made", !keygen->show, "public_key",
                               keygen->text, "line", line));
}

static enum outcome print(const struct keygen *keygen) {
    char line[NAME_HIGH + CANYON_KEY_TEXT_BYTES + 16];
    snprintf(line, sizeof line, "%s %s %s", keygen->server ? "server" : keygen->role, keygen->own_name, keygen->text);
    if (keygen->json) {
        return print_json(keygen, line);
    }
    if (keygen->show) {
        puts(keygen->text);
        return OUTCOME_DONE;
    }
    printf("made a key; its secret half stays in %s\n"
           "public key: %s\n\n"
           "Add this line to %s (a new one begins with the line \"format %s\"):\n\n%s\n",
           keygen->path, keygen->text,
           keygen->server ? "the file known_servers of every client" : "the file allow of every server",
           keygen->server ? "canyon-known-servers-1" : "canyon-allow-1", line);
    return OUTCOME_DONE;
}

static enum outcome make_or_show(struct keygen *keygen) {
    char doing[PATH_BYTES + 32];
    enum outcome outcome = choose_file(keygen);
    if (outcome != OUTCOME_DONE) {
        return outcome;
    }
    snprintf(doing, sizeof doing, "%s a key", keygen->show ? "show" : "make");
    enum canyon_status status =
        keygen->show ? canyon_key_show(keygen->path, keygen->text) : canyon_key_generate(keygen->path, keygen->text);
    outcome = outcome_report("canyon", doing, status);
    if (status == CANYON_CONFLICT) {
        fprintf(stderr, "canyon: `canyon keygen --show FILE` prints the public half of a key that is there\n");
    }
    return outcome == OUTCOME_DONE ? print(keygen) : outcome;
}

static const char details[] = "Two machines that are to trust each other exchange public keys, which are no\n"
                              "secrets; the secret halves never leave their machines:\n"
                              "\n"
                              "  server$ canyon keygen --server --name 10.0.0.1:7077\n"
                              "      prints  server 10.0.0.1:7077 cnp1...   -> known_servers on the worker's machine\n"
                              "  worker$ canyon keygen --name trainer-07\n"
                              "      prints  worker trainer-07 cnp1...      -> allow on the server's machine\n"
                              "\n"
                              "All four files are in CANYON_HOME when that is set in the environment, else in\n"
                              "~/.config/canyon: key and known_servers of clients, server.key and allow of\n"
                              "servers. Several servers of a job may share one key.";

enum outcome cli_keygen(struct cli *cli, int argc, char **argv) {
    static const char *const roles[] = {"reader", "worker", "admin", NULL};
    struct keygen keygen = {.role = "worker"};
    const struct argument options[] = {
        {.name = "output",
         .letter = 'o',
         .value = "FILE",
         .help = "where to put the key; it must not exist (default: key, or server.key, in the directory below)",
         .kind = ARGUMENT_TEXT,
         .target = &keygen.output},
        {.name = "server", .help = "a server's key, not a client's", .kind = ARGUMENT_FLAG, .target = &keygen.server},
        {.name = "show",
         .help = "make nothing; print the public half of the key in FILE (default: as for --output)",
         .kind = ARGUMENT_FLAG,
         .target = &keygen.show},
        {.name = "name",
         .value = "NAME",
         .help = "what the line to paste calls the key's owner: any name for a client, the address it advertises "
                 "(HOST:PORT, or HOST:* for every port) for a server (default: this machine's name)",
         .kind = ARGUMENT_TEXT,
         .target = &keygen.name},
        {.name = "role",
         .value = "ROLE",
         .help = "what the line to paste lets a client do: reader (look), worker (also train; the default) or admin "
                 "(also change and delete)",
         .kind = ARGUMENT_TEXT,
         .target = &keygen.role,
         .choices = roles},
        {.name = "json",
         .letter = 'j',
         .help = "print one line of JSON instead of text",
         .kind = ARGUMENT_FLAG,
         .target = &cli->json},
    };
    const struct positional positionals[] = {{"FILE", "with --show: the key's file", &keygen.file, true}};
    const struct command_line line = {
        .program = "canyon keygen",
        .summary = "Makes a key: the identity by which servers know a client, or clients a server. Its secret half is "
                   "written to a file that only its owner can read; its public half is printed, with the line to give "
                   "to whoever is to trust it. Talks to no server.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .positionals = positionals,
        .positional_count = 1,
        .details = details,
        .examples = "  canyon keygen\n"
                    "  canyon keygen --role admin --name alice\n"
                    "  canyon keygen --server --output /etc/canyon/server.key\n"
                    "  canyon keygen --show /etc/canyon/server.key",
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    if (verdict == ARGUMENTS_RUN && keygen.file != NULL && !keygen.show) {
        verdict = arguments_wrong(&line, "FILE goes with --show; say --output FILE to make a key there");
    }
    if (verdict == ARGUMENTS_RUN && keygen.output != NULL && keygen.show) {
        verdict = arguments_wrong(&line, "--show makes nothing, so it does not go with --output");
    }
    if (verdict == ARGUMENTS_RUN) {
        verdict = choose_name(&line, &keygen);
    }
    keygen.json = cli->json;
    return verdict == ARGUMENTS_RUN ? make_or_show(&keygen) : cli_parsed(verdict);
}
