#include "common/number.h"

#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The decimal point follows the thread's locale in printf and strtod alike; so the text is mended around them, which,
 * unlike switching the locale, cannot fail. */
static char point(void) {
    const struct lconv *conventions = localeconv();
    return conventions->decimal_point[0] == '\0' ? '.' : conventions->decimal_point[0];
}

static void replace(char *text, char from, char to) {
    char *at = from == to ? NULL : strchr(text, from);
    if (at != NULL) {
        *at = to;
    }
}

char *number_text(double value, char *text, size_t bytes) {
    char digits[NUMBER_TEXT_BYTES];
    for (int precision = 1; precision <= 17; precision++) {
        int length = snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (length < 0 || strtod(digits, NULL) == value) {
            break;
        }
    }
    replace(digits, point(), '.');
    snprintf(text, bytes, "%s", digits);
    return text;
}

bool number_parse(const char *text, double *value) {
    char digits[128];
    size_t length = strlen(text);
    if (length == 0 || length >= sizeof digits || isspace((unsigned char)text[0])) {
        return false;
    }
    memcpy(digits, text, length + 1);
    char separator = point();
    if (separator != '.' && strchr(digits, separator) != NULL) {
        return false;
    }
    replace(digits, '.', separator);
    char *end = NULL;
    errno = 0;
    double number = strtod(digits, &end);
    if (end != digits + length) {
        return false;
    }
    if (errno == ERANGE && isinf(number)) {
        return false;
    }
    *value = number;
    return true;
}

bool number_parse_u64(const char *text, uint64_t limit, uint64_t *value) {
    if (text[0] == '\0') {
        return false;
    }
    uint64_t number = 0;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9') {
            return false;
        }
        uint64_t digit = (uint64_t)(*at - '0');
        if (number > (UINT64_MAX - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    if (number > limit) {
        return false;
    }
    *value = number;
    return true;
}
