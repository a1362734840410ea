#include "server/arrival.h"

#include <stdlib.h>
#include <unistd.h>

void arrival_release(struct arrival *arrival) {
    if (arrival->census != NULL) {
        census_leave(arrival->census, arrival->channel != NULL ? arrival->key : NULL);
        arrival->census = NULL;
    }
    if (arrival->descriptor >= 0) {
        close(arrival->descriptor);
        arrival->descriptor = -1;
    }
    channel_destroy(arrival->channel);
    arrival->channel = NULL;
}

void arrival_destroy(struct arrival *arrival) {
    if (arrival != NULL) {
        arrival_release(arrival);
        free(arrival);
    }
}
