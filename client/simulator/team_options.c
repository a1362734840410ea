#include "client/simulator/team_options.h"

#include "client/simulator/row_rule.h"

#define WORKERS 4
#define AHEAD   2

/* In one process, whose rows are its own memory, the optimizer is this program's. */
static enum arguments_verdict check_single(const struct team_options *options, const struct command_line *line,
                                           const struct place_options *where, const char *optimizer) {
    struct row_rule rule;
    char text[TEAM_TEXT_BYTES];
    if (where->servers != NULL || where->local != 0) {
        return arguments_wrong(line, "--single trains without servers; --servers and --local are not for it");
    }
    if (options->workers != 0 || options->ahead != TEAM_AHEAD_DEFAULT) {
        return arguments_wrong(line, "--single is one process, one batch after another; --workers and --ahead are not "
                                     "for it");
    }
    if (row_rule_read(&rule, optimizer, text, sizeof text) != CANYON_OK) {
        return arguments_wrong(line, "--optimizer: %s", text);
    }
    return ARGUMENTS_RUN;
}

enum arguments_verdict team_options_check(struct team_options *options, const struct command_line *line,
                                          const struct place_options *where, const char *optimizer) {
    struct canyon_tensor_spec spec;
    enum arguments_verdict verdict = place_check(line, where);
    if (verdict != ARGUMENTS_RUN) {
        return verdict;
    }
    canyon_tensor_spec_init(&spec);
    if (canyon_tensor_spec_optimizer(&spec, optimizer) != CANYON_OK) {
        return arguments_wrong(line, "--optimizer: %s", canyon_error_text());
    }
    if (options->single) {
        verdict = check_single(options, line, where, optimizer);
        options->workers = 1;
        options->ahead = 0;
        return verdict;
    }
    options->workers = options->workers == 0 ? WORKERS : options->workers;
    options->ahead = options->ahead == TEAM_AHEAD_DEFAULT ? AHEAD : options->ahead;
    return ARGUMENTS_RUN;
}
