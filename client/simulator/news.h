/* What the processes of a run tell their parent: records of one size through a pipe each. */
#ifndef CANYON_SIMULATOR_NEWS_H
#define CANYON_SIMULATOR_NEWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NEWS_TEXT_BYTES 512

enum news_kind {
    NEWS_BEGUN,    /* a worker: the barrier opened, at `nanoseconds` */
    NEWS_STEP,     /* a worker: one step is done: loss, pushes, clipped, refused, staleness_sum, staleness_max */
    NEWS_LOST,     /* a worker: a step's gradient counts for nothing: refused, late */
    NEWS_DONE,     /* a worker: all its steps are, at `nanoseconds`: sent, received, single */
    NEWS_ACCURACY, /* the observer: test accuracy on the way */
    NEWS_TRAIL,    /* the observer, before its result: the accuracy that the weights had at `nanoseconds`, after
                      `updates` */
    NEWS_RESULT,   /* the observer: loss, accuracy, rate and servers at the end; the tensors are dropped */
    NEWS_FAILED    /* any: status and text; nothing follows */
};

struct news {
    uint32_t kind;        /* enum news_kind */
    uint32_t status;      /* enum canyon_status; with a result, of dropping the tensors: OK or DENIED */
    uint64_t nanoseconds; /* of the monotonic clock, which all processes of a machine share */
    double loss, accuracy, rate /* learning rate; negative when the optimizer has none */;
    uint32_t servers;
    uint32_t pushes;
    uint32_t clipped;                      /* 1: the step's gradients were longer than plan->clip_norm */
    uint32_t refused;                      /* times that the step's gradient was too stale, in part or as a whole */
    uint32_t late;                         /* 1: its clock was closed without it */
    uint64_t updates;                      /* of the block that had fewest */
    uint64_t staleness_sum, staleness_max; /* over the tensors pushed */
    uint64_t sent, received;               /* bytes of gradients and weights in all steps, as they travelled, */
    uint64_t single;                       /* and both together as float32 */
    char text[NEWS_TEXT_BYTES];
};

/* Writes a whole record. False when nobody listens any more. */
bool news_write(int descriptor, const struct news *news);

/* Now, for `nanoseconds`. */
uint64_t news_clock(void);

/* The reading end: keeps what is not a whole record yet. Begin with zeros. */
struct news_reader {
    unsigned char bytes[sizeof(struct news)];
    size_t have;
};

enum news_state {
    NEWS_READ,  /* *news is filled in */
    NEWS_LATER, /* nothing whole is there now */
    NEWS_ENDED  /* the other side has closed or an error came: nothing will follow */
};

/* The descriptor should not block. Texts are NUL-terminated whatever was sent. */
enum news_state news_read(struct news_reader *reader, int descriptor, struct news *news);

#endif
