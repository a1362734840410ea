// The public header as C++ sees it: every function is named, so that a signature C++ cannot take is an error here.
#include <canyon.h>

namespace {

template <typename... Functions> bool all_there(Functions... functions) {
    const bool there[] = {(functions != nullptr)...};
    for (bool one : there)
        if (!one)
            return false;
    return true;
}

} // namespace

int main() {
    canyon_options options;
    canyon_options_init(&options);
    canyon_tensor_spec spec;
    canyon_tensor_spec_init(&spec);
    canyon_table_spec table;
    canyon_table_spec_init(&table);
    canyon_batch batch;
    canyon_batch_init(&batch);
    const bool there = all_there(
        canyon_version, canyon_status_name, canyon_error_text, canyon_options_init_sized, canyon_connect, canyon_close,
        canyon_job, canyon_tensor_spec_init, canyon_tensor_spec_optimizer, canyon_tensor_create, canyon_tensor_open,
        canyon_tensor_close, canyon_tensor_describe, canyon_tensor_list, canyon_tensor_drop, canyon_assign, canyon_pull,
        canyon_push, canyon_push_pull, canyon_step, canyon_step_async, canyon_future_wait, canyon_future_done,
        canyon_future_then, canyon_future_release, canyon_join, canyon_barrier, canyon_statistics, canyon_shard_digest,
        canyon_optimizers, canyon_free, canyon_table_spec_init, canyon_table_spec_optimizer, canyon_table_create,
        canyon_table_open, canyon_table_close, canyon_table_describe, canyon_table_set_codec, canyon_batch_init,
        canyon_table_step, canyon_table_step_async, canyon_table_push, canyon_table_pull, canyon_table_push_pull,
        canyon_table_erase, canyon_table_totals, canyon_table_digest, canyon_table_rows, canyon_table_cursor,
        canyon_cursor_next, canyon_cursor_close, canyon_assign_number, canyon_assign_numbers, canyon_assign_slot,
        canyon_client_counters, canyon_clock, canyon_codec_check, canyon_consistency_get, canyon_consistency_set,
        canyon_home_file, canyon_key_generate, canyon_key_show, canyon_pull_numbers, canyon_pull_slot, canyon_rank,
        canyon_setting_text, canyon_staleness_of, canyon_step_with, canyon_step_with_async, canyon_tensor_set,
        canyon_tensor_set_codec, canyon_tensor_slots, canyon_worker_list);
    return there && options.size == sizeof options && spec.rank == 0 && table.dim == 0 && batch.size == sizeof batch
               ? 0
               : 1;
}
