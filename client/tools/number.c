#include "client/tools/number.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* Three significant figures or so: one decimal below 100, none above. The next unit begins where rounding would reach
 * it. */
static char *scaled(double amount, double base, const char *const *units, size_t unit_count, char *text, size_t bytes) {
    size_t unit = 0;
    bool negative = amount < 0.0;
    double rest = negative ? -amount : amount;
    while (unit + 1 < unit_count && rest >= base - 0.5 && rest <= 1.7e308) {
        rest /= base;
        unit++;
    }
    bool whole = rest >= 99.95 || (unit == 0 && rest < base && rest == (double)(uint64_t)rest);
    snprintf(text, bytes, "%s%.*f%s", negative ? "-" : "", whole ? 0 : 1, rest, units[unit]);
    return text;
}

char *number_bytes(double amount, char *text, size_t bytes) {
    static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
    return scaled(amount, 1024.0, units, sizeof units / sizeof *units, text, bytes);
}

char *number_count(double amount, char *text, size_t bytes) {
    static const char *const units[] = {"", " k", " M", " G", " T", " P", " E"};
    return scaled(amount, 1000.0, units, sizeof units / sizeof *units, text, bytes);
}

char *number_rate(double per_second, char *text, size_t bytes) {
    static const char *const units[] = {"/s", " k/s", " M/s", " G/s", " T/s", " P/s", " E/s"};
    return scaled(per_second, 1000.0, units, sizeof units / sizeof *units, text, bytes);
}

/* Whole seconds that fit 64 bits; what is not a time becomes 0. */
static uint64_t whole_seconds(double seconds) {
    uint64_t whole = 0;
    if (seconds >= 1e18) {
        whole = 1000000000000000000u;
    } else if (seconds > 0.0) {
        whole = (uint64_t)seconds;
    }
    return whole;
}

char *number_duration(double seconds, char *text, size_t bytes) {
    uint64_t whole = whole_seconds(seconds);
    unsigned long long days = whole / 86400, hours = whole / 3600 % 24, minutes = whole / 60 % 60, rest = whole % 60;
    if (days > 0) {
        snprintf(text, bytes, "%llud %02lluh", days, hours);
    } else if (hours > 0) {
        snprintf(text, bytes, "%lluh %02llum", hours, minutes);
    } else if (minutes > 0) {
        snprintf(text, bytes, "%llum %02llus", minutes, rest);
    } else if (seconds >= 0.9995) {
        snprintf(text, bytes, "%.1f s", seconds < 59.9 ? seconds : 59.9);
    } else {
        snprintf(text, bytes, "%.0f ms", seconds > 0.0 ? seconds * 1000.0 : 0.0);
    }
    return text;
}

char *number_latency(double nanoseconds, char *text, size_t bytes) {
    static const struct {
        double unit;
        int digits;
        const char *name;
    } units[] = {{1.0, 0, "ns"}, {1e3, 1, "us"}, {1e6, 2, "ms"}, {1e9, 2, "s"}};
    size_t u = 0;
    nanoseconds = nanoseconds > 0.0 ? nanoseconds : 0.0;
    /* What would be rounded to a thousand of one unit is one of the next. */
    while (u + 1 < sizeof units / sizeof *units && nanoseconds >= 0.9995 * units[u + 1].unit) {
        u++;
    }
    snprintf(text, bytes, "%.*f %s", units[u].digits, nanoseconds / units[u].unit, units[u].name);
    return text;
}

char *number_clock(double seconds, char *text, size_t bytes) {
    uint64_t whole = whole_seconds(seconds);
    unsigned long long hours = whole / 3600, minutes = whole / 60 % 60, rest = whole % 60;
    if (hours > 0) {
        snprintf(text, bytes, "%llu:%02llu:%02llu", hours, minutes, rest);
    } else {
        snprintf(text, bytes, "%llu:%02llu", minutes, rest);
    }
    return text;
}

char *number_grouped(uint64_t amount, char *text, size_t bytes) {
    char reversed[NUMBER_BYTES];
    size_t length = 0, digits = 0;
    do {
        if (digits > 0 && digits % 3 == 0) {
            reversed[length++] = ',';
        }
        reversed[length++] = (char)('0' + amount % 10);
        amount /= 10;
        digits++;
    } while (amount > 0);
    size_t written = 0;
    while (length > 0 && written + 1 < bytes) {
        text[written++] = reversed[--length];
    }
    if (bytes > 0) {
        text[written] = '\0';
    }
    return text;
}

char *number_shortest(double value, char *text, size_t bytes) {
    char digits[NUMBER_BYTES];
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value) {
            break;
        }
    }
    snprintf(text, bytes, "%s", digits);
    return text;
}
