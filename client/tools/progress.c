#include "client/tools/progress.h"

#include <assert.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "client/tools/number.h"
#include "client/tools/table.h"

#define REDRAW_SECONDS  0.1
#define FIRST_SECONDS   0.5 /* after the first line, which mostly says that something begins */
#define LINE_SECONDS    2.0
#define TEXT_BYTES      512
#define PERCENT_COLUMNS 6
#define WIDTH_HIGH      160 /* a bar wider than this is harder to read, not easier */
#define BAR_LOW         5   /* columns of the bar itself; less is none at all */
#define BAR_HIGH        30

static double now_seconds(void) {
    struct timespec now = {0, 0};
    int rc = clock_gettime(CLOCK_MONOTONIC, &now);
    assert(rc == 0);
    (void)rc;
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void progress_init(struct progress *progress, FILE *out) {
    struct winsize size = {0};
    int descriptor = fileno(out);
    *progress = (struct progress){.out = out, .width = 80, .drawn = -1.0};
    progress->terminal = descriptor >= 0 && isatty(descriptor) == 1;
    if (progress->terminal && ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        progress->width = size.ws_col;
    }
    progress->started = now_seconds();
}

static double cut_fraction(double fraction) {
    if (!(fraction > 0.0)) {
        return 0.0;
    }
    return fraction < 1.0 ? fraction : 1.0;
}

/* Cuts a text to so many columns without cutting a character in two. */
static void cut_columns(char *text, size_t columns) {
    while (table_width(text) > columns) {
        size_t length = strlen(text);
        do {
            length--;
        } while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80);
        text[length] = '\0';
    }
}

/* The same, where possible at the end of a phrase, a heading or at least a word: half a number would mislead. */
static void cut_phrases(char *text, size_t columns) {
    static const char marks[] = {',', ':', ' '};
    if (table_width(text) <= columns) {
        return;
    }
    cut_columns(text, columns);
    for (size_t i = 0; i < sizeof marks; i++) {
        char *mark = strrchr(text, marks[i]);
        if (mark != NULL) {
            *mark = '\0';
            return;
        }
    }
}

/* "[====>   ]  " with `columns` between the brackets. */
static void make_bar(char *bar, size_t bytes, double fraction, unsigned columns) {
    assert(columns + 5 <= bytes);
    unsigned filled = (unsigned)(fraction * columns);
    bar[0] = '[';
    for (unsigned i = 0; i < columns; i++) {
        bar[i + 1] = i < filled ? '=' : ' ';
    }
    if (filled < columns) {
        bar[filled + 1] = '>';
    }
    memcpy(bar + columns + 1, "]  ", 4);
}

/* Columns for the bar when the rest of the line takes `taken` of `width`: 0 when there is no room for a useful one. */
static unsigned bar_columns(size_t width, size_t taken) {
    unsigned columns = 0;
    if (width >= taken + 4 + BAR_LOW) {
        size_t room = width - taken - 4;
        columns = room < BAR_HIGH ? (unsigned)room : BAR_HIGH;
    }
    return columns;
}

static void draw_bar(struct progress *progress, double fraction, char *text, const char *ending) {
    char bar[BAR_HIGH + 8] = "";
    /* One column stays free: a character in the last one makes some terminals begin a new line. */
    size_t width = progress->width > 1 ? progress->width - 1 : 1;
    width = width < WIDTH_HIGH ? width : WIDTH_HIGH;
    size_t fixed = PERCENT_COLUMNS + table_width(ending);
    bool room = width > fixed;
    cut_phrases(text, room ? width - fixed : 0);
    unsigned columns = bar_columns(width, fixed + table_width(text));
    if (columns > 0) {
        make_bar(bar, sizeof bar, fraction, columns);
    }
    fprintf(progress->out, "\r%s%3d%%  %s%s\033[K", bar, (int)(fraction * 100.0), text, room ? ending : "");
    progress->on_line = true;
}

static void draw(struct progress *progress, double fraction, const char *text, const char *ending) {
    char clean[TEXT_BYTES];
    snprintf(clean, sizeof clean, "%s", text);
    for (char *c = clean; *c != '\0'; c++) {
        *c = (unsigned char)*c < 0x20 || *c == 0x7f ? ' ' : *c;
    }
    if (progress->terminal) {
        draw_bar(progress, fraction, clean, ending);
    } else {
        fprintf(progress->out, "%3d%%  %s%s\n", (int)(fraction * 100.0), clean, ending);
    }
    fflush(progress->out);
}

void progress_update_at(struct progress *progress, double fraction, const char *text, double now) {
    double interval = progress->terminal ? REDRAW_SECONDS : progress->lines == 1 ? FIRST_SECONDS : LINE_SECONDS;
    double elapsed = now - progress->started;
    char left[NUMBER_BYTES], ending[NUMBER_BYTES + 8] = "";
    if (progress->drawn >= 0.0 && now - progress->drawn < interval) {
        return;
    }
    fraction = cut_fraction(fraction);
    /* A guess from less than a second or a hundredth of the way is worth nothing. */
    if (fraction >= 0.01 && elapsed >= 1.0) {
        number_clock(elapsed * (1.0 - fraction) / fraction + 0.5, left, sizeof left);
        snprintf(ending, sizeof ending, "  %s left", left);
    }
    draw(progress, fraction, text, ending);
    progress->drawn = now;
    progress->lines++;
}

void progress_finish_at(struct progress *progress, const char *text, double now) {
    char took[NUMBER_BYTES], ending[NUMBER_BYTES + 8];
    number_duration(now - progress->started, took, sizeof took);
    snprintf(ending, sizeof ending, "  %s", took);
    draw(progress, 1.0, text, ending);
    if (progress->terminal) {
        fputc('\n', progress->out);
        fflush(progress->out);
    }
    progress->on_line = false;
    progress->drawn = now;
}

void progress_update(struct progress *progress, double fraction, const char *text) {
    progress_update_at(progress, fraction, text, now_seconds());
}

void progress_finish(struct progress *progress, const char *text) {
    progress_finish_at(progress, text, now_seconds());
}

void progress_clear(struct progress *progress) {
    if (progress->on_line) {
        fputs("\r\033[K", progress->out);
        fflush(progress->out);
        progress->on_line = false;
        progress->drawn = -1.0;
    }
}
