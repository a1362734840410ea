#include "client/tools/record.h"

#include <math.h>

json_t *record_number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *record_unsigned(uint64_t value) {
    return value <= (uint64_t)INT64_MAX ? json_integer((json_int_t)value) : json_real((double)value);
}

bool record_print(FILE *out, json_t *value) {
    bool done = value != NULL && json_dumpf(value, out, JSON_COMPACT | JSON_REAL_PRECISION(15)) == 0;
    json_decref(value);
    /* fflush too: a script on the other side of a pipe reads each line when it is printed. */
    return done && fputc('\n', out) != EOF && fflush(out) == 0;
}
