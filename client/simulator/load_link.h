/* A process's connections to the servers of a load: some clients, each with handles of all the load's tensors, or of
 * its table. */
#ifndef CANYON_SIMULATOR_LOAD_LINK_H
#define CANYON_SIMULATOR_LOAD_LINK_H

#include "canyon.h"
#include "client/simulator/load_plan.h"
#include "client/simulator/news.h"

struct load_link {
    const struct load_plan *plan;
    uint32_t count;
    canyon_client **clients;
    canyon_tensor **tensors; /* client c's handle of tensor t is tensors[c * plan->tensors + t]; of a table NULL, */
    canyon_table **tables;   /* and this each client's */
    struct canyon_job job;
    char text[NEWS_TEXT_BYTES]; /* of the last failure: what was being done, and why it failed */
};

/* Connects `clients` clients under the name `name` and creates the tensors, or the table, or opens those that are
 * there; their values travel as `codec` says, as float32 when it is NULL. The plan must outlive it; load_link_close in
 * every case. */
enum canyon_status load_link_open(struct load_link *link, const struct load_plan *plan, uint32_t clients,
                                  const struct coding *codec, const char *name);

/* The name of a tensor: PREFIX, "load.", its number; a table is number 0. */
void load_tensor_name(const struct load_plan *plan, uint32_t tensor, char name[CANYON_NAME_BYTES]);

/* Drops all the load's tensors, or its table; ones that do not exist count as dropped. The first failure is the result,
 * the others are tried all the same. */
enum canyon_status load_link_drop(struct load_link *link);

/* Closes handles and connections and frees. Safe on a zeroed one. */
void load_link_close(struct load_link *link);

#endif
