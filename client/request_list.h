/* Requests in order, and what one of them amounts to: the session's bookkeeping. */
#ifndef CANYON_CLIENT_REQUEST_LIST_H
#define CANYON_CLIENT_REQUEST_LIST_H

#include "client/session.h"

/* Linked through the requests themselves; zeroed it is empty. */
struct request_list {
    struct session_request *first, *last;
    size_t count;
};

void request_list_append(struct request_list *list, struct session_request *request);
/* Behind `before`, which must be in the list; NULL: first. */
void request_list_insert(struct request_list *list, struct session_request *before, struct session_request *request);
/* `request` must be in the list. */
void request_list_remove(struct request_list *list, struct session_request *request);
/* Puts `request` in the place of `old`, which must be in the list. */
void request_list_replace(struct request_list *list, const struct session_request *old,
                          struct session_request *request);
/* Moves all of `more` to the end. */
void request_list_join(struct request_list *list, struct request_list *more);
/* The request of that id, or NULL. Replies mostly come in order: it is near the front. */
struct session_request *request_list_find(const struct request_list *list, uint64_t id);

/* Its whole frame. */
size_t request_bytes(const struct session_request *request);
/* What it takes of the window: the larger of what it sends and what comes back. */
uint64_t request_cost(const struct session_request *request);
bool request_is_sent(const struct session_request *request);
/* How it ends when it ends early with `status`: OUTCOME_UNKNOWN where it may have changed something. */
enum canyon_status request_verdict(const struct session_request *request, enum canyon_status status);
/* Whether it outlasts its connection and is sent again over the next one: it is numbered, a read, or the
 * worker's clock. */
bool request_lasts(const struct session_request *request);

#endif
