#include "client/simulator/progression.h"

const struct progression_point *progression_reaches(const struct progression *progression, double accuracy) {
    for (size_t i = 0; i < progression->count; i++) {
        if (progression->points[i].accuracy >= accuracy) {
            return &progression->points[i];
        }
    }
    return NULL;
}
