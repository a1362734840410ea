#include "client/tools/record.h"

#include <math.h>
#include <string.h>

#include "client/tools/number.h"

json_t *record_number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *record_unsigned(uint64_t value) {
    return value <= (uint64_t)INT64_MAX ? json_integer((json_int_t)value) : json_real((double)value);
}

json_t *record_object(const struct record_field *fields, size_t count) {
    json_t *object = json_object();
    bool good = object != NULL;
    for (size_t i = 0; i < count; i++) {
        /* Takes the value, and refuses NULL; without an object the value is given up too. */
        good = json_object_set_new(object, fields[i].key, fields[i].value) == 0 && good;
    }
    if (!good) {
        json_decref(object);
        object = NULL;
    }
    return object;
}

static bool print_value(FILE *out, json_t *value);

/* The shortest digits that read back as the same number; jansson prints 0.1 either inexactly or as 0.10000000000000001.
 */
static bool print_real(FILE *out, double value) {
    char text[NUMBER_BYTES];
    number_shortest(value, text, sizeof text);
    /* A whole number keeps a sign of being real. */
    return fprintf(out, "%s%s", text, strpbrk(text, ".e") == NULL ? ".0" : "") > 0;
}

static bool print_text(FILE *out, const char *text) {
    json_t *string = json_string(text);
    bool done = string != NULL && json_dumpf(string, out, JSON_ENCODE_ANY) == 0;
    json_decref(string);
    return done;
}

static bool print_object(FILE *out, json_t *object) {
    bool done = fputc('{', out) != EOF;
    const char *key = NULL;
    json_t *value = NULL;
    size_t count = 0;
    json_object_foreach(object, key, value) {
        done = done && (count++ == 0 || fputc(',', out) != EOF) && print_text(out, key) && fputc(':', out) != EOF &&
               print_value(out, value);
    }
    return done && fputc('}', out) != EOF;
}

static bool print_array(FILE *out, json_t *array) {
    bool done = fputc('[', out) != EOF;
    for (size_t i = 0; i < json_array_size(array); i++) {
        done = done && (i == 0 || fputc(',', out) != EOF) && print_value(out, json_array_get(array, i));
    }
    return done && fputc(']', out) != EOF;
}

static bool print_value(FILE *out, json_t *value) {
    bool done = false;
    if (json_is_object(value)) {
        done = print_object(out, value);
    } else if (json_is_array(value)) {
        done = print_array(out, value);
    } else if (json_is_real(value)) {
        done = print_real(out, json_real_value(value));
    } else {
        done = json_dumpf(value, out, JSON_ENCODE_ANY) == 0;
    }
    return done;
}

bool record_print(FILE *out, json_t *value) {
    bool done = value != NULL && print_value(out, value);
    json_decref(value);
    /* fflush too: a script on the other side of a pipe reads each line when it is printed. */
    return done && fputc('\n', out) != EOF && fflush(out) == 0;
}
