#include "client/simulator/load_report.h"

#include <inttypes.h>
#include <string.h>

#include "client/simulator/load_link.h"
#include "client/tools/number.h"
#include "client/tools/record.h"
#include "client/tools/table.h"

#define GIGA 1e9
#define MEGA 1e6

static double per_second(const struct load_result *result, enum load_counter counter) {
    return result->seconds > 0.0 ? (double)result->totals[counter] / result->seconds : 0.0;
}

bool load_report_kept_up(const struct load_plan *plan, const struct load_result *result) {
    double due = plan->pace.rate * result->seconds, slack = 2.0 + 0.01 * due;
    return (double)result->totals[LOAD_WAITING] <= slack && (double)result->totals[LOAD_CALLS] >= due - slack;
}

/* ---- for people ---- */

static void describe(const struct load_plan *plan, const struct load_result *result, char *text, size_t bytes) {
    char size[NUMBER_BYTES], of[192], rate[64] = "as fast as it goes", kind[96];
    number_bytes((double)plan->elements * sizeof(float), size, sizeof size);
    snprintf(of, sizeof of, "%" PRIu32 " x %s", plan->tensors, size);
    if (plan->table) {
        snprintf(of, sizeof of, "%" PRIu64 " draws (%s) of %" PRIu64 " rows of %" PRIu32, plan->batch,
                 plan->distribution, plan->rows, plan->dim);
    }
    if (plan->pace.rate > 0.0) {
        snprintf(rate, sizeof rate, "%.10g calls/s", plan->pace.rate);
    }
    snprintf(kind, sizeof kind, "%s", plan->mode);
    if (strcmp(plan->mode, "mixed") == 0) {
        snprintf(kind, sizeof kind, "mixed %" PRIu32 "/%" PRIu32 "/%" PRIu32, plan->pace.mix[0], plan->pace.mix[1],
                 plan->pace.mix[2]);
    }
    snprintf(text, bytes,
             "%s of %s, %s, %s, %" PRIu32 " worker%s in %" PRIu32 " process%s, %" PRIu32 " in flight, %s; %" PRIu32
             " server%s, %" PRIu32 " thread%s, %s",
             kind, of, plan->codec, plan->optimizer, plan->pace.workers, plan->pace.workers == 1 ? "" : "s",
             plan->processes, plan->processes == 1 ? "" : "es", plan->pace.in_flight, rate, result->servers,
             result->servers == 1 ? "" : "s", result->threads, result->threads == 1 ? "" : "s",
             result->encrypted ? "encrypted" : "PLAINTEXT");
}

static void row(struct table *table, const char *name, const char *text) {
    table_cell(table, "%s", name);
    table_cell(table, "%s", text);
}

static void latency_row(struct table *table, const char *name, const struct histogram *histogram) {
    static const double quantiles[] = {0.5, 0.9, 0.99, 0.999};
    char text[256], number[NUMBER_BYTES];
    static const char *const names[] = {"p50", "p90", "p99", "p99.9"};
    size_t length = 0;
    if (histogram->count == 0) {
        return;
    }
    for (size_t i = 0; i < 4; i++) {
        length += (size_t)snprintf(
            text + length, sizeof text - length, "%s %s, ", names[i],
            number_latency((double)histogram_quantile(histogram, quantiles[i]), number, sizeof number));
    }
    length += (size_t)snprintf(text + length, sizeof text - length, "max %s",
                               number_latency((double)histogram->max, number, sizeof number));
    snprintf(text + length, sizeof text - length, " of %s calls",
             number_grouped(histogram->count, number, sizeof number));
    row(table, name, text);
}

static void throughput_rows(struct table *table, const struct load_plan *plan, const struct load_result *result) {
    char text[256], calls[NUMBER_BYTES], pushes[NUMBER_BYTES], pushed[NUMBER_BYTES], pulled[NUMBER_BYTES];
    snprintf(text, sizeof text, "%.3f GB/s pushed", per_second(result, LOAD_BYTES_PUSHED) / GIGA);
    row(table, "gradients", text);
    snprintf(text, sizeof text, "%.3f GB/s pulled", per_second(result, LOAD_BYTES_PULLED) / GIGA);
    row(table, "weights", text);
    if (plan->table) {
        snprintf(text, sizeof text, "%.3f M rows/s, each once a call", per_second(result, LOAD_ROWS) / MEGA);
        row(table, "rows", text);
    }
    snprintf(text, sizeof text, "%s calls, %s pushes%s, %s %s pushed, %s pulled",
             number_rate(per_second(result, LOAD_CALLS), calls, sizeof calls),
             number_rate(per_second(result, LOAD_PUSHES), pushes, sizeof pushes), plan->table ? "" : " of a tensor",
             number_rate(per_second(result, LOAD_BLOCKS_PUSHED), pushed, sizeof pushed), load_plan_parts(plan),
             number_rate(per_second(result, LOAD_BLOCKS_PULLED), pulled, sizeof pulled));
    row(table, "rates", text);
}

/* "gradients took 50.0 % of float32's bytes"; returns its length. */
static size_t coded_text(char *text, size_t bytes, const char *what, double ratio) {
    text[0] = '\0';
    return ratio < 0.0 ? 0 : (size_t)snprintf(text, bytes, "%s at %.1f %% of float32's bytes", what, ratio * 100.0);
}

static void cost_rows(struct table *table, const struct load_result *result) {
    char text[256], servers[48] = "not known";
    if (result->wire) {
        snprintf(text, sizeof text, "%.3f GB/s to the servers, %.3f GB/s from them",
                 (double)result->wire_in / result->wire_seconds / GIGA,
                 (double)result->wire_out / result->wire_seconds / GIGA);
        row(table, "wire", text);
    }
    if (result->coded_in >= 0.0 || result->coded_out >= 0.0) {
        size_t length = 0;
        length += coded_text(text, sizeof text, "gradients", result->coded_in);
        coded_text(text + length, sizeof text - length, length > 0 ? ", weights" : "weights", result->coded_out);
        row(table, "codec", text);
    }
    if (result->cpu_servers >= 0.0) {
        snprintf(servers, sizeof servers, "%.2f s", result->cpu_servers);
    }
    snprintf(text, sizeof text, "servers %s, workers %.2f s, in %.2f s", servers, result->cpu_workers, result->seconds);
    row(table, "processors", text);
}

static void verdict_row(struct table *table, const struct load_plan *plan, const struct load_result *result) {
    const struct load_verdict *verdict = &result->verdict;
    char text[256], pushes[NUMBER_BYTES], blocks[NUMBER_BYTES];
    number_grouped(verdict->pushes, pushes, sizeof pushes);
    number_grouped(verdict->blocks, blocks, sizeof blocks);
    if (!verdict->done) {
        snprintf(text, sizeof text, "NOT DECIDED");
    } else if (load_verdict_good(verdict)) {
        snprintf(text, sizeof text, "yes: %s pushing calls, each applied exactly once in all of %s %s", pushes, blocks,
                 load_plan_parts(plan));
    } else {
        snprintf(text, sizeof text,
                 "%s: of %s %s %" PRIu64 " are wrong, %" PRIu64 " undecided; %" PRIu64 " were torn on the way",
                 verdict->wrong + verdict->torn > 0 ? "NO" : "NOT DECIDED", blocks, load_plan_parts(plan),
                 verdict->wrong, verdict->undecided, verdict->torn);
    }
    row(table, "verified", text);
}

bool load_report_table(FILE *out, const struct load_plan *plan, const struct load_result *result) {
    struct table *table = table_create();
    char text[512];
    unsigned kinds = 0;
    table_column(table, "load", TABLE_LEFT);
    table_column(table, "", TABLE_LEFT);
    describe(plan, result, text, sizeof text);
    row(table, "workload", text);
    snprintf(text, sizeof text, "%.2f s after %.2f s of ramp-up%s", result->seconds, (double)plan->warmup / 1e9,
             result->interrupted ? ", then interrupted" : "");
    row(table, "measured", text);
    throughput_rows(table, plan, result);
    latency_row(table, "latency", &result->latency);
    for (unsigned k = 0; k < LOAD_KINDS; k++) {
        kinds += result->latencies[k].count > 0;
    }
    for (unsigned k = 0; k < LOAD_KINDS && kinds > 1; k++) {
        snprintf(text, sizeof text, "  of %s", load_kind_name((enum load_kind)k));
        latency_row(table, text, &result->latencies[k]);
    }
    cost_rows(table, result);
    snprintf(text, sizeof text, "%" PRIu64 " calls failed, %" PRIu64 " %s refused", result->totals[LOAD_FAILED],
             result->totals[LOAD_REFUSED], load_plan_parts(plan));
    row(table, "errors", text);
    if (plan->verify) {
        verdict_row(table, plan, result);
    }
    bool printed = table_print(table, out);
    table_destroy(table);
    return printed && fflush(out) == 0;
}

bool load_report_brief(FILE *out, const struct load_plan *plan, const struct load_result *result) {
    char size[NUMBER_BYTES], p99[NUMBER_BYTES];
    number_bytes((double)load_plan_call_bytes(plan), size, sizeof size);
    number_latency((double)histogram_quantile(&result->latency, 0.99), p99, sizeof p99);
    fprintf(out, "%.3f GB/s of gradients pushed, and as many of fresh weights pulled\n",
            per_second(result, LOAD_BYTES_PUSHED) / GIGA);
    fprintf(out, "%s: 99 of 100 calls, which push and pull %s each, took no longer\n", p99, size);
    return fflush(out) == 0 && ferror(out) == 0;
}

static void report_fault(FILE *out, const struct load_plan *plan, const struct load_fault *fault) {
    const char *part = plan->table ? "row" : "block";
    char name[CANYON_NAME_BYTES];
    load_tensor_name(plan, fault->tensor, name);
    fprintf(out,
            LOAD_PROGRAM ": %s %s, %s %" PRIu64 ": element %" PRIu64 " must be %.0f and is %.9g (%" PRIu64
                         " elements of the %s are wrong); the %s was to have %.0f pushes and has had %.0f: %s\n",
            plan->table ? "table" : "tensor", name, part, fault->block, fault->element, fault->expected, fault->found,
            fault->wrong, part, part, fault->updates, fault->applied,
            fault->applied < fault->updates   ? "lost"
            : fault->applied > fault->updates ? "doubled, or pushed by somebody else"
                                              : "applied otherwise than they were made");
}

static void report_verdict_faults(FILE *out, const struct load_plan *plan, const struct load_result *result) {
    const struct load_verdict *verdict = &result->verdict;
    uint64_t shown = verdict->wrong < LOAD_FAULTS_SHOWN ? verdict->wrong : LOAD_FAULTS_SHOWN;
    if (!verdict->done) {
        fprintf(out, LOAD_PROGRAM ": not verified: %s\n", result->unverified);
        return;
    }
    for (uint64_t i = 0; i < shown; i++) {
        report_fault(out, plan, &verdict->faults[i]);
    }
    if (verdict->wrong > shown) {
        fprintf(out, LOAD_PROGRAM ": and %" PRIu64 " more %s\n", verdict->wrong - shown, load_plan_parts(plan));
    }
    if (verdict->torn > 0) {
        fprintf(out, LOAD_PROGRAM ": %" PRIu64 " %s came with weights of two moments mixed\n", verdict->torn,
                load_plan_parts(plan));
    }
    if (verdict->undecided > 0) {
        fprintf(out,
                LOAD_PROGRAM ": %" PRIu64 " %s cannot be judged: of some of their pushes nobody knows whether "
                             "they were applied\n",
                verdict->undecided, load_plan_parts(plan));
    }
}

void load_report_faults(FILE *out, const struct load_plan *plan, const struct load_result *result) {
    const uint64_t *totals = result->totals;
    if (totals[LOAD_FAILED] > 0) {
        fprintf(out, LOAD_PROGRAM ": %" PRIu64 " calls failed, %" PRIu64 " of them with an unknown outcome\n",
                totals[LOAD_FAILED], totals[LOAD_UNKNOWN]);
    }
    if (totals[LOAD_REFUSED] > 0) {
        fprintf(out, LOAD_PROGRAM ": %" PRIu64 " %s were refused\n", totals[LOAD_REFUSED], load_plan_parts(plan));
    }
    if (totals[LOAD_FAILED] + totals[LOAD_REFUSED] > 0 && result->failure[0] != '\0') {
        fprintf(out, LOAD_PROGRAM ": the first failure said: %s\n", result->failure);
    }
    if (plan->pace.rate > 0.0 && !load_report_kept_up(plan, result)) {
        fprintf(out,
                LOAD_PROGRAM ": %.10g calls/s were asked for, and %.1f calls/s were done (%" PRIu64
                             " calls that were due could not begin): latencies grow with the duration\n",
                plan->pace.rate, per_second(result, LOAD_CALLS), totals[LOAD_WAITING]);
    }
    if (result->exhausted) {
        fprintf(out,
                LOAD_PROGRAM ": ended after %" PRIu64
                             " pushing calls: the sums of more would not be exact in float32\n",
                load_plan_pushes_high(plan));
    }
    if (plan->verify) {
        report_verdict_faults(out, plan, result);
    }
}

/* ---- for scripts ---- */

static json_t *latency_json(const struct histogram *histogram) {
    if (histogram->count == 0) {
        return json_null();
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "count", record_unsigned(histogram->count), "mean_us",
                     record_number(histogram_mean(histogram) / 1e3), "p50_us",
                     record_number((double)histogram_quantile(histogram, 0.5) / 1e3), "p90_us",
                     record_number((double)histogram_quantile(histogram, 0.9) / 1e3), "p99_us",
                     record_number((double)histogram_quantile(histogram, 0.99) / 1e3), "p99_9_us",
                     record_number((double)histogram_quantile(histogram, 0.999) / 1e3), "max_us",
                     record_number((double)histogram->max / 1e3));
}

/* What only the one kind of load has. */
static json_t *of_tensors(const struct load_plan *plan, uint64_t value) {
    return plan->table ? json_null() : record_unsigned(value);
}

static json_t *of_table(const struct load_plan *plan, uint64_t value) {
    return plan->table ? record_unsigned(value) : json_null();
}

static json_t *workload_json(const struct load_plan *plan, const struct load_result *result) {
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:o, s:o, s:o, s:o, s:b, "
                     "s:b, s:o, s:o, s:o, s:o}",
                     "mode", plan->mode, "codec", plan->codec, "optimizer", plan->optimizer, "workers",
                     record_unsigned(plan->pace.workers), "processes", record_unsigned(plan->processes), "clients",
                     record_unsigned(plan->clients), "in_flight", record_unsigned(plan->pace.in_flight), "tensors",
                     of_tensors(plan, plan->tensors), "tensor_bytes", of_tensors(plan, plan->elements * sizeof(float)),
                     "rate", record_number(plan->pace.rate), "verify", plan->verify, "encrypted", result->encrypted,
                     "servers", record_unsigned(result->servers), "server_threads", record_unsigned(result->threads),
                     "warmup_s", record_number((double)plan->warmup / 1e9), "duration_s",
                     record_number(result->seconds), "interrupted", result->interrupted, "table", plan->table, "dim",
                     of_table(plan, plan->dim), "rows", of_table(plan, plan->rows), "batch",
                     of_table(plan, plan->batch), "distribution",
                     plan->table ? json_string(plan->distribution) : json_null());
}

static json_t *rates_json(const struct load_plan *plan, const struct load_result *result) {
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "calls",
        record_unsigned(result->totals[LOAD_CALLS]), "calls_per_s", record_number(per_second(result, LOAD_CALLS)),
        "pushes_per_s", record_number(per_second(result, LOAD_PUSHES)), "blocks_pushed_per_s",
        record_number(per_second(result, LOAD_BLOCKS_PUSHED)), "blocks_pulled_per_s",
        record_number(per_second(result, LOAD_BLOCKS_PULLED)), "gradient_gbps",
        record_number(per_second(result, LOAD_BYTES_PUSHED) / GIGA), "weight_gbps",
        record_number(per_second(result, LOAD_BYTES_PULLED) / GIGA), "mrows_s",
        plan->table ? record_number(per_second(result, LOAD_ROWS) / MEGA) : json_null(), "latency",
        latency_json(&result->latency), "latency_push_pull", latency_json(&result->latencies[LOAD_PUSH_PULL]),
        "latency_push", latency_json(&result->latencies[LOAD_PUSH]), "latency_pull",
        latency_json(&result->latencies[LOAD_PULL]));
}

static json_t *costs_json(const struct load_plan *plan, const struct load_result *result) {
    const struct load_verdict *verdict = &result->verdict;
    const uint64_t *totals = result->totals;
    bool judged = plan->verify && verdict->done;
    bool undecided = judged && verdict->undecided > 0 && verdict->wrong + verdict->torn == 0;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                     "wire_in_bytes", result->wire ? record_unsigned(result->wire_in) : json_null(), "wire_out_bytes",
                     result->wire ? record_unsigned(result->wire_out) : json_null(), "wire_s",
                     result->wire ? record_number(result->wire_seconds) : json_null(), "gradient_ratio",
                     result->coded_in >= 0.0 ? record_number(result->coded_in) : json_null(), "weight_ratio",
                     result->coded_out >= 0.0 ? record_number(result->coded_out) : json_null(), "cpu_servers_s",
                     result->cpu_servers >= 0.0 ? record_number(result->cpu_servers) : json_null(), "cpu_workers_s",
                     record_number(result->cpu_workers), "failed_calls", record_unsigned(totals[LOAD_FAILED]),
                     "unknown_calls", record_unsigned(totals[LOAD_UNKNOWN]), "refused_blocks",
                     record_unsigned(totals[LOAD_REFUSED]), "waiting_calls", record_unsigned(totals[LOAD_WAITING]),
                     "kept_up", plan->pace.rate > 0.0 ? json_boolean(load_report_kept_up(plan, result)) : json_null(),
                     "failure", json_string(result->failure), "verified",
                     judged && !undecided ? json_boolean(load_verdict_good(verdict)) : json_null(), "wrong_blocks",
                     judged ? record_unsigned(verdict->wrong) : json_null(), "undecided_blocks",
                     judged ? record_unsigned(verdict->undecided) : json_null(), "torn_blocks",
                     judged ? record_unsigned(verdict->torn) : json_null());
}

bool load_report_json(FILE *out, const struct load_plan *plan, const struct load_result *result) {
    json_t *object = workload_json(plan, result), *rates = rates_json(plan, result), *costs = costs_json(plan, result);
    bool whole = object != NULL && rates != NULL && costs != NULL && json_object_update(object, rates) == 0 &&
                 json_object_update(object, costs) == 0;
    json_decref(rates);
    json_decref(costs);
    if (!whole) {
        json_decref(object);
        object = NULL;
    }
    return record_print(out, object);
}
