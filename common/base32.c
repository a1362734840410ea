#include "common/base32.h"

/* 0 .. 31 to 'a' .. 'z', '2' .. '7': the difference wraps around for what is above 25. */
static char character_of(uint32_t value) {
    return (char)('a' + value - (((25u - value) >> 8) & ('a' + 26 - '2')));
}

/* All ones when low <= c <= high, else zero. */
static uint32_t within(uint32_t c, uint32_t low, uint32_t high) {
    return ~((((c - low) | (high - c)) >> 31) * UINT32_MAX);
}

/* The other way round; `bad` is set for a character that is none of them. */
static uint32_t value_of(char character, uint32_t *bad) {
    uint32_t c = (unsigned char)character;
    uint32_t letter = within(c, 'a', 'z'), digit = within(c, '2', '7');
    *bad |= ~(letter | digit);
    return (letter & (c - 'a')) | (digit & (c - '2' + 26));
}

void base32_encode(const void *bytes, size_t count, char *text) {
    const uint8_t *from = bytes;
    uint32_t bits = 0; /* the lowest `held` of them are still to be written */
    unsigned held = 0;
    for (size_t i = 0; i < count; i++) {
        bits = (bits << 8 | from[i]) & 0xfff;
        for (held += 8; held >= 5; held -= 5) {
            *text++ = character_of(bits >> (held - 5) & 31);
        }
    }
    if (held > 0) {
        *text++ = character_of(bits << (5 - held) & 31);
    }
    *text = '\0';
}

bool base32_decode(const char *text, void *bytes, size_t count) {
    uint8_t *to = bytes;
    uint32_t bits = 0, bad = 0;
    unsigned held = 0;
    for (size_t i = 0; i < BASE32_CHARACTERS(count); i++) {
        bits = (bits << 5 | value_of(text[i], &bad)) & 0xfff;
        held += 5;
        if (held >= 8) {
            held -= 8;
            *to++ = (uint8_t)(bits >> held);
        }
    }
    bad |= bits & ((1u << held) - 1);
    return bad == 0;
}
