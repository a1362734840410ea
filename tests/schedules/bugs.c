#include "tests/schedules/bugs.h"

#include <string.h>

#include "common/mutant.h"

const char *mutant_chosen;

/* {name, seed}: canyon-schedules --write-seeds wrote it. */
static const struct {
    const char *name;
    uint64_t seed;
} seeds[] = {
#include "tests/schedules/seeds.inc"
};

const struct bug bugs[] = {
    {"accept_gap", "a number above the next one is taken"},
    {"unknown_session_accepted", "a session that a shard does not know may begin at any number"},
    {"apply_duplicate", "a number that was taken before is carried out again"},
    {"number_not_consumed", "what is refused does not use up its number"},
    {"forget_last_on_refusal", "a refusal forgets the session"},
    {"verdict_not_replayed", "a duplicate of what was refused is answered OK"},
    {"ring_forgets", "a shard remembers one refusal of a session instead of four"},
    {"refused_frame_keeps_numbers", "a frame that is refused whole does not use up its numbers"},
    {"half_frame_applied", "only a frame's first number is judged before the frame is carried out"},
    {"duplicate_answers_error", "a duplicate is answered with an error"},
    {"duplicate_rows_not_read", "a duplicate of a push to a table is answered with whatever rows stand there"},
    {"reply_rows_before", "a push to a table is answered with the rows as they were before it"},
    {"weights_of_first_piece", "all pieces of a frame are answered with the weights of its first"},
    {"applied_runs_ahead", "an answer says that one number more was taken"},
    {"resume_does_not_fence", "older connections of a session go on after a RESUME"},
    {"resumed_one_too_many", "RESUMED says that one number more was taken"},
    {"resumed_one_too_few", "RESUMED says that one number less was taken"},
    {"leave_keeps_numbers", "LEAVE forgets nothing"},
    {"evict_one_shard", "a session is forgotten in one shard alone"},
    {"evict_not_ordered", "forgetting a session takes no place in the shard's order"},
    {"evict_too_early", "a session that has just lost its connection may be forgotten"},
    {"ledger_not_in_replay", "a server that is built again from its log does not know its sessions"},
    {"members_not_in_replay",
     "a server that is built again from its log does not know who and how far its workers were"},
    {"clock_not_told_again", "a worker does not tell a server that was restarted its clock before what it sends again"},
    {"refusal_not_logged", "refusals are not in the log"},
    {"resend_skips_first", "the first request is not sent again over the next connection"},
    {"resend_out_of_order", "what was sent is sent again behind what was not"},
    {"renumber_on_resend", "what the server has taken is sent again with a new number"},
    {"number_taken_when_queued", "numbers are taken when a request is submitted, also of what is never sent"},
    {"tentative_numbers_kept", "what was not sent over a lost connection keeps its number"},
    {"session_shared_across_shards", "one count of numbers for all shards"},
    {"orphan_dropped", "what is given up at its deadline is not sent on"},
    {"orphan_copied_late", "what is given up is sent on from its owner's memory"},
    {"deadline_applies_twice", "what is given up is sent on twice"},
    {"drop_unacked_on_reconnect", "what was sent ends with its connection"},
    {"read_ends_with_connection", "a read ends with its connection"},
    {"resume_skipped", "a new connection does not begin with RESUME"},
    {"taken_kept_after_loss", "numbers go on where a server that lost its state no longer knows them"},
    {"absence_ignored",
     "after whatever absence a server that does not know the session is taken for one that never did"},
    {"gap_not_closed", "numbers of what was dropped stay left out"},
    {"erase_again", "rows are erased again when the request comes again"},
    {"create_not_numbered", "a pull that creates rows does not use up its number"},
    {"denied_keeps_number", "what a reader may not do does not use up its number"},
    {"dropped_keeps_number", "a push to a tensor that is gone does not use up its number"},
    {"pull_ignores_mode", "pulls wait for nobody"},
    {"ssp_one_too_stale", "pulls let workers be one clock further behind than the bound"},
    {"wait_never_released", "pulls that wait are let go by nothing but time"},
    {"close_one_early", "a clock is closed when all are at it, not beyond"},
    {"one_closes_for_all", "one worker that has passed a clock closes it"},
    {"minimum_of_the_mode_before", "so many as close a clock of one mode close those of the next mode too"},
    {"close_forgets_rows", "closing a clock leaves rows of tables to the next"},
    {"close_not_ordered", "closing a clock takes no place in the shard's order"},
    {"mode_of_one_shard", "a mode is set in one shard of a thread alone"},
    {"turn_forgets_open", "a mode leaves a clock open that nobody will close"},
    {"late_applied", "what comes for a clock that is closed is kept for the next"},
    {"contribution_twice", "what a second worker contributes to a block counts twice"},
    {"contribution_survives_close", "what was contributed to a block is applied again when the next clock closes"},
    {"mean_is_the_sum", "the mean of a block's gradients is not divided"},
    {"rows_divided_by_all", "the mean of a row's gradients is divided by those of all rows"},
    {"row_twice_counts_twice", "a worker that contributes to a row twice counts as two"},
    {"rank_reused", "a worker contributes under the rank of one that is gone to the same clock"},
    {"enter_at_the_beginning", "who comes late begins at the first clock"},
    {"another_keys_session", "a session may be gone on with by whoever names it"},
    {"newcomer_fences", "a connection ends the older ones of its session by coming"},
    {"pause_not_excused", "a server that was stopped takes everybody for dead whose signs of life it has not read"},
    {"last_lease_kept", "after a time without workers the next one's lease is longer by as much"},
    {"lease_never_ends", "a worker that died is waited for for ever"},
    {"dead_member_counts", "the clock of a worker that is gone goes on to be the lowest"},
};
const size_t bug_count = sizeof bugs / sizeof bugs[0];

uint64_t bug_seed(const char *name) {
    uint64_t seed = 0;
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
        seed = strcmp(seeds[i].name, name) == 0 ? seeds[i].seed : seed;
    }
    return seed;
}

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
