#include "tests/schedules/bugs.h"

#include <string.h>

#include "common/mutant.h"

const char *mutant_chosen;

const struct bug bugs[] = {
    {"accept_gap", "a number above the next one is taken", 1},
    {"unknown_session_accepted", "a session that a shard does not know may begin at any number", 1},
    {"apply_duplicate", "a number that was taken before is carried out again", 1},
    {"number_not_consumed", "what is refused does not use up its number", 1},
    {"forget_last_on_refusal", "a refusal forgets the session", 1},
    {"verdict_not_replayed", "a duplicate of what was refused is answered OK", 1},
    {"ring_forgets", "a shard remembers one refusal of a session instead of four", 1},
    {"refused_frame_keeps_numbers", "a frame that is refused whole does not use up its numbers", 1},
    {"half_frame_applied", "only a frame's first number is judged before the frame is carried out", 1},
    {"duplicate_answers_error", "a duplicate is answered with an error", 1},
    {"duplicate_rows_not_read", "a duplicate of a push to a table is answered with whatever rows stand there", 1},
    {"reply_rows_before", "a push to a table is answered with the rows as they were before it", 1},
    {"weights_of_first_piece", "all pieces of a frame are answered with the weights of its first", 1},
    {"applied_runs_ahead", "an answer says that one number more was taken", 1},
    {"resume_does_not_fence", "older connections of a session go on after a RESUME", 1},
    {"resumed_one_too_many", "RESUMED says that one number more was taken", 1},
    {"resumed_one_too_few", "RESUMED says that one number less was taken", 1},
    {"leave_keeps_numbers", "LEAVE forgets nothing", 1},
    {"evict_one_shard", "a session is forgotten in one shard alone", 1},
    {"evict_not_ordered", "forgetting a session takes no place in the shard's order", 1},
    {"evict_too_early", "a session that has just lost its connection may be forgotten", 1},
    {"ledger_not_in_replay", "a server that is built again from its log does not know its sessions", 1},
    {"refusal_not_logged", "refusals are not in the log", 1},
    {"resend_skips_first", "the first request is not sent again over the next connection", 1},
    {"resend_out_of_order", "what was sent is sent again behind what was not", 1},
    {"renumber_on_resend", "what the server has taken is sent again with a new number", 1},
    {"number_taken_when_queued", "numbers are taken when a request is submitted, also of what is never sent", 1},
    {"tentative_numbers_kept", "what was not sent over a lost connection keeps its number", 1},
    {"session_shared_across_shards", "one count of numbers for all shards", 1},
    {"orphan_dropped", "what is given up at its deadline is not sent on", 1},
    {"orphan_copied_late", "what is given up is sent on from its owner's memory", 1},
    {"deadline_applies_twice", "what is given up is sent on twice", 1},
    {"drop_unacked_on_reconnect", "what was sent ends with its connection", 1},
    {"read_ends_with_connection", "a read ends with its connection", 1},
    {"resume_skipped", "a new connection does not begin with RESUME", 1},
    {"taken_kept_after_loss", "numbers go on where a server that lost its state no longer knows them", 1},
    {"gap_not_closed", "numbers of what was dropped stay left out", 1},
};
const size_t bug_count = sizeof bugs / sizeof bugs[0];

bool mutant_is(const char *name) {
    return strcmp(mutant_chosen, name) == 0;
}

bool bug_choose(const char *name) {
    mutant_chosen = NULL;
    for (size_t i = 0; i < bug_count && name != NULL; i++) {
        if (strcmp(bugs[i].name, name) == 0) {
            mutant_chosen = bugs[i].name;
        }
    }
    return name == NULL || mutant_chosen != NULL;
}
