/* JobLogService.GetJobStats. On the call's worker.
 *
 *   start: check, ask the store --store--> loaded: sum up, percentiles --reply--> end
 *
 * The store gives counters and histograms by name and queue; here they become a total and rows. */
#include <string.h>

#include "base/clock.h"
#include "joblog/v1/job_log.crpc.h"
#include "rpc/check.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

#define RANGE_DEFAULT_US (INT64_C(24) * 3600 * 1000000)
#define RANGE_MAX_US     (INT64_C(90) * 24 * 3600 * 1000000)
enum { ROWS_MAX = 1000 };

struct get_job_stats {
    struct crpc_event stored;
    struct store_stats stats;
};

static enum crpc_next get_job_stats_start(struct crpc_call *call);
static enum crpc_next get_job_stats_loaded(struct crpc_call *call);

static const struct crpc_step START = {"start", get_job_stats_start};
static const struct crpc_step LOADED = {"loaded", get_job_stats_loaded};

static int get_job_stats_check(struct crpc_call *call, struct store_stats *stats, struct err *ret_err)
{
    const Joblog__V1__GetJobStatsRequest *request = joblog_v1_job_log_service_get_job_stats_request(call);
    struct arena *arena = crpc_call_arena(call);
    int64_t range_us = 0;
    int rc = check_names(request->job_names, request->n_job_names, FILTER_VALUES_MAX, "", "job_names", arena,
                         &stats->names, ret_err);
    if (rc != 0 || (rc = check_names(request->queues, request->n_queues, FILTER_VALUES_MAX, "", "queues", arena,
                                     &stats->queues, ret_err)) != 0)
        return rc;
    if ((rc = check_duration(request->range, RANGE_DEFAULT_US, RANGE_MAX_US, "", "range", &range_us, ret_err)) != 0)
        return rc;
    if (range_us == 0)
        return err_field(ret_err, "range", "range must be longer than nothing");
    stats->scope = caller_of(call)->scope;
    if (job_scope_names_owners(&stats->scope))
        return err_set(ret_err, ERR_PERMISSION_DENIED, "OUT_OF_SCOPE",
                       "statistics count the jobs of all owners: not for a caller who sees those of some only");
    stats->n_names = request->n_job_names;
    stats->n_queues = request->n_queues;
    stats->to_us = clock_wall_us();
    stats->from_us = stats->to_us - range_us;
    return 0;
}

static enum crpc_next get_job_stats_start(struct crpc_call *call)
{
    struct get_job_stats *g = crpc_call_state(call);
    struct err err = ERR_NONE;
    g->stats = (struct store_stats){.cmd = {.op = STORE_STATS}, .arena = crpc_call_arena(call)};
    if (get_job_stats_check(call, &g->stats, &err) != 0)
        return crpc_finish(call, &err);
    return service_submit(call, &g->stats.cmd, &g->stored, &LOADED);
}

static void stats_add(struct stats_row *sum, const struct stats_row *row)
{
    for (int i = 0; i < JOB_STATUS_COUNT; i++)
        sum->counts[i] += row->counts[i];
    sum->dispatched += row->dispatched;
    sum->completed += row->completed;
    sum->failed += row->failed;
    sum->cancelled += row->cancelled;
    sum->retried += row->retried;
    sum->n_runs += row->n_runs;
    sum->run_us_sum += row->run_us_sum;
    sum->wait_us_sum += row->wait_us_sum;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        sum->run_hist[i] += row->run_hist[i];
        sum->wait_hist[i] += row->wait_hist[i];
    }
}

static Joblog__V1__DurationStats *durations_message(struct arena *arena, int64_t n, int64_t sum_us,
                                                    const int64_t *histogram)
{
    Joblog__V1__DurationStats *m = arena_alloc(arena, sizeof *m);
    if (!m)
        return NULL;
    joblog__v1__duration_stats__init(m);
    m->count = n;
    m->average = convert_duration(arena, n > 0 ? sum_us / n : 0);
    m->p50 = convert_duration(arena, histogram_quantile_us(histogram, 0.50));
    m->p95 = convert_duration(arena, histogram_quantile_us(histogram, 0.95));
    m->p99 = convert_duration(arena, histogram_quantile_us(histogram, 0.99));
    return m->average && m->p50 && m->p95 && m->p99 ? m : NULL;
}

static Joblog__V1__StatusCounts *counts_message(struct arena *arena, const struct stats_row *row)
{
    Joblog__V1__StatusCounts *m = arena_alloc(arena, sizeof *m);
    if (!m)
        return NULL;
    joblog__v1__status_counts__init(m);
    m->pending = row->counts[JOB_PENDING];
    m->running = row->counts[JOB_RUNNING];
    m->completed = row->counts[JOB_COMPLETED];
    m->failed = row->counts[JOB_FAILED];
    m->cancelled = row->counts[JOB_CANCELLED];
    return m;
}

static Joblog__V1__JobStatsRow *row_message(struct arena *arena, const struct stats_row *row)
{
    Joblog__V1__JobStatsRow *m = arena_alloc(arena, sizeof *m);
    if (!m)
        return NULL;
    joblog__v1__job_stats_row__init(m);
    m->job_name = convert_text(arena, row->name);
    m->queue = convert_text(arena, row->queue);
    m->counts = counts_message(arena, row);
    m->dispatched = row->dispatched;
    m->completed = row->completed;
    m->failed = row->failed;
    m->cancelled = row->cancelled;
    m->retried = row->retried;
    m->execution = durations_message(arena, row->n_runs, row->run_us_sum, row->run_hist);
    m->wait = durations_message(arena, row->n_runs, row->wait_us_sum, row->wait_hist);
    return m->job_name && m->queue && m->counts && m->execution && m->wait ? m : NULL;
}

static enum crpc_next get_job_stats_loaded(struct crpc_call *call)
{
    struct get_job_stats *g = crpc_call_state(call);
    struct arena *arena = crpc_call_arena(call);
    Joblog__V1__JobStats response = JOBLOG__V1__JOB_STATS__INIT;
    struct stats_row total;
    if (g->stats.cmd.err.code != ERR_OK)
        return crpc_finish(call, &g->stats.cmd.err);
    memset(&total, 0, sizeof total);
    size_t n_rows = g->stats.n_rows < ROWS_MAX ? g->stats.n_rows : ROWS_MAX;
    response.rows = arena_alloc(arena, n_rows * sizeof *response.rows);
    if (!response.rows)
        return service_no_memory(call);
    for (size_t i = 0; i < g->stats.n_rows; i++) {
        stats_add(&total, &g->stats.rows[i]);
        if (i < n_rows && !(response.rows[response.n_rows++] = row_message(arena, &g->stats.rows[i])))
            return service_no_memory(call);
    }
    response.total = row_message(arena, &total);
    response.range_start = convert_time(arena, g->stats.from_us);
    response.range_end = convert_time(arena, g->stats.to_us);
    if (!response.total || !response.range_start || !response.range_end)
        return service_no_memory(call);
    return joblog_v1_job_log_service_get_job_stats_reply(call, &response);
}

const struct crpc_handler get_job_stats_handler = {
    .first = &START, .state_size = sizeof(struct get_job_stats), .ignores_cancel = true};
