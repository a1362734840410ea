#include "client/simulator/words.h"

#include <string.h>

void words_init(struct words *words, const char *text, size_t bytes) {
    *words = (struct words){.at = text, .end = text + bytes};
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_part(char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || (unsigned char)c > 127;
}

static bool is_joint(char c) {
    return c == '\'' || c == '-';
}

/* The end of the run that begins at `at`. */
static const char *run_end(const char *at, const char *end) {
    while (at < end && (is_part(*at) || (is_joint(*at) && at + 1 < end && is_part(at[1])))) {
        at++;
    }
    return at;
}

/* The run as a word, or false. A joint stands between two parts, so a word neither begins nor ends with one. */
static bool run_word(const char *at, const char *end, char word[WORDS_BYTES], size_t *length) {
    size_t bytes = (size_t)(end - at);
    if (bytes > 2 && end[-2] == '\'' && (end[-1] == 's' || end[-1] == 'S')) {
        bytes -= 2;
    }
    if (bytes == 0 || bytes > WORDS_HIGH) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (!is_letter(at[i]) && !is_joint(at[i])) {
            return false;
        }
        word[i] = (char)(at[i] >= 'A' && at[i] <= 'Z' ? at[i] + ('a' - 'A') : at[i]);
    }
    word[bytes] = '\0';
    *length = bytes;
    return true;
}

/* Goes to the next run. */
static bool words_skip(struct words *words, bool *gap) {
    bool line_empty = false; /* since the last newline there were blanks only */
    while (words->at < words->end && !is_part(*words->at)) {
        char c = *words->at++;
        if (c == '\n') {
            if (line_empty && gap != NULL) {
                *gap = true;
            }
            line_empty = true;
        } else if (c != ' ' && c != '\t' && c != '\r') {
            line_empty = false;
        }
    }
    return words->at < words->end;
}

bool words_next(struct words *words, char word[WORDS_BYTES], size_t *length, bool *gap) {
    while (words_skip(words, gap)) {
        const char *begin = words->at;
        words->at = run_end(begin, words->end);
        if (run_word(begin, words->at, word, length)) {
            return true;
        }
    }
    return false;
}

bool words_only(const char *text, size_t bytes, char word[WORDS_BYTES], size_t *length) {
    const char *end = text + bytes;
    return bytes > 0 && is_part(*text) && run_end(text, end) == end && run_word(text, end, word, length);
}
