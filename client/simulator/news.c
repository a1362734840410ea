#include "client/simulator/news.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(struct news) <= PIPE_BUF, "a record is written to a pipe as a whole");

bool news_write(int descriptor, const struct news *news) {
    const unsigned char *bytes = (const unsigned char *)news;
    size_t done = 0;
    while (done < sizeof *news) {
        ssize_t written = write(descriptor, bytes + done, sizeof *news - done);
        if (written < 0 && errno != EINTR) {
            return false;
        }
        done += written > 0 ? (size_t)written : 0;
    }
    return true;
}

uint64_t news_clock(void) {
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

enum news_state news_read(struct news_reader *reader, int descriptor, struct news *news) {
    while (reader->have < sizeof *news) {
        ssize_t got = read(descriptor, reader->bytes + reader->have, sizeof *news - reader->have);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return NEWS_LATER;
        }
        if (got <= 0) {
            return NEWS_ENDED;
        }
        reader->have += (size_t)got;
    }
    memcpy(news, reader->bytes, sizeof *news);
    news->text[NEWS_TEXT_BYTES - 1] = '\0';
    reader->have = 0;
    return NEWS_READ;
}
