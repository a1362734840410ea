/* What canyon-sim train --model lr prints. */
#ifndef CANYON_SIMULATOR_REGRESS_REPORT_H
#define CANYON_SIMULATOR_REGRESS_REPORT_H

#include <stdio.h>

#include "client/simulator/regress_plan.h"

/* For people, and as one JSON object. False when it could not be written. */
bool regress_report_text(FILE *out, const struct regress_options *options, const struct regress_survey *survey,
                         const struct regress_result *result);
bool regress_report_json(FILE *out, const struct regress_options *options, const struct regress_survey *survey,
                         const struct regress_result *result);

#endif
