#include "client/simulator/cleaner.h"

#include "client/simulator/parameters.h"

int cleaner_task(void *context, uint32_t index, int news, int orders) {
    struct parameters parameters;
    (void)index;
    (void)news;
    (void)orders;
    enum canyon_status status = parameters_connect(&parameters, context, "canyon-sim cleaner", NULL);
    if (status == CANYON_OK) {
        status = parameters_drop(&parameters);
    }
    parameters_close(&parameters);
    return status == CANYON_OK ? 0 : 1;
}
