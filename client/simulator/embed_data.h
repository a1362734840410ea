/* What canyon-sim embed works on: a text, its words, and which of them mean the same. */
#ifndef CANYON_SIMULATOR_EMBED_DATA_H
#define CANYON_SIMULATOR_EMBED_DATA_H

#include "client/simulator/embed_plan.h"

/* Reads and prepares everything. WordNet may be missing when there is another text and nobody asked for it: then there
 * are no synonyms, and data->unjudged says why. False with `text` for what cannot be done without. embed_data_finish in
 * any case. */
bool embed_data_make(struct embed_data *data, const struct embed_options *options, char *text, size_t bytes);
void embed_data_finish(struct embed_data *data);

#endif
