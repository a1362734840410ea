#include "client/simulator/team_report.h"

#include <inttypes.h>

#include "client/tools/number.h"

static double per_second(const struct team_result *team, uint64_t count) {
    return team->seconds > 0.0 ? (double)count / team->seconds : 0.0;
}

double team_rate(const struct team_result *team) {
    return per_second(team, team->work);
}

void team_print(FILE *out, const struct team_told *told, const struct team_result *team) {
    char seconds[NUMBER_BYTES], rate[NUMBER_BYTES], rows[NUMBER_BYTES];
    if (told->single) {
        fprintf(out, "trained by  one process, without servers");
    } else {
        fprintf(out, "trained by  %" PRIu64 " worker%s on %" PRIu32 " server%s", told->workers,
                told->workers == 1 ? "" : "s", team->servers, team->servers == 1 ? "" : "s");
    }
    fprintf(out, ", %s, %" PRIu64 " epoch%s\n", told->optimizer, told->epochs, told->epochs == 1 ? "" : "s");
    fprintf(out, "            %s, %s %s/s, %s rows/s each way, loss %.4f\n",
            number_duration(team->seconds, seconds, sizeof seconds), number_count(team_rate(team), rate, sizeof rate),
            told->work, number_count(per_second(team, team->rows), rows, sizeof rows), team->loss);
}
