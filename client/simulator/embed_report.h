/* What canyon-sim embed prints and saves. */
#ifndef CANYON_SIMULATOR_EMBED_REPORT_H
#define CANYON_SIMULATOR_EMBED_REPORT_H

#include <stdio.h>

#include "client/simulator/embed_plan.h"

/* For people, and as one JSON object. False when it could not be written. */
bool embed_report_table(FILE *out, const struct embed_options *options, const struct embed_data *data,
                        const struct embed_result *result);
bool embed_report_json(FILE *out, const struct embed_options *options, const struct embed_data *data,
                       const struct embed_result *result);

/* Writes all vectors in word2vec's text form to options->save: under a temporary name first, so that no half of a file
 * is left. False with `text` when that failed. */
bool embed_report_save(const struct embed_options *options, const struct embed_data *data,
                       const struct embed_result *result, char *text, size_t bytes);

#endif
