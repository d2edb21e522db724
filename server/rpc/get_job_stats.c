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

#define MINUTE_US        (INT64_C(60) * 1000000)
#define HOUR_US          (60 * MINUTE_US)
#define DAY_US           (24 * HOUR_US)
#define RANGE_DEFAULT_US DAY_US
#define RANGE_MAX_US     (1000 * DAY_US)
/* A shorter range begins with a whole minute. */
#define FINE_US (6 * HOUR_US)
/* The least that the server can be set to keep. */
#define MINUTES_KEPT_US (2 * DAY_US)
enum { ROWS_MAX = 1000, BUCKETS_MAX = 1500 };

struct get_job_stats {
    struct crpc_event stored;
    struct store_stats stats;
};

static enum crpc_next get_job_stats_start(struct crpc_call *call);
static enum crpc_next get_job_stats_loaded(struct crpc_call *call);

static const struct crpc_step START = {"start", get_job_stats_start};
static const struct crpc_step LOADED = {"loaded", get_job_stats_loaded};

static int check_bucket(Joblog__V1__StatsBucket bucket, int64_t *ret_us, struct err *ret_err)
{
    static const int64_t lengths[] = {0, MINUTE_US, HOUR_US, DAY_US};
    if ((unsigned)bucket >= sizeof lengths / sizeof *lengths)
        return err_field(ret_err, "bucket", "bucket is no length of a part: %d", (int)bucket);
    *ret_us = lengths[bucket];
    return 0;
}

/* How finely a range is told. Without parts a short one is, by minutes, as long as every server has them; one that lies
 * further back is of whole hours, as a long one is. */
static int64_t step_of(const struct store_stats *stats, int64_t range_us, int64_t now_us)
{
    if (stats->bucket_us)
        return stats->bucket_us;
    return range_us < FINE_US && stats->to_us - range_us - MINUTE_US >= now_us - MINUTES_KEPT_US ? MINUTE_US : HOUR_US;
}

/* The range, from a time on up to which counters can be told apart. */
static int check_range(const Joblog__V1__GetJobStatsRequest *request, struct store_stats *stats, struct err *ret_err)
{
    int64_t now_us = clock_wall_us(), range_us = 0;
    int rc = check_duration(request->range, RANGE_DEFAULT_US, RANGE_MAX_US, "", "range", &range_us, ret_err);
    if (rc != 0 || (rc = check_time(request->range_end, "", "range_end", &stats->to_us, ret_err)) != 0 ||
        (rc = check_bucket(request->bucket, &stats->bucket_us, ret_err)) != 0)
        return rc;
    if (range_us == 0)
        return err_field(ret_err, "range", "range must be longer than nothing");
    if (stats->to_us == 0)
        stats->to_us = now_us;
    if (stats->to_us <= range_us)
        return err_field(ret_err, "range_end", "range_end must not lie before 1970 with the whole range");
    int64_t step_us = step_of(stats, range_us, now_us);
    stats->from_us = stats->to_us - range_us;
    stats->from_us -= stats->from_us % step_us;
    if (stats->bucket_us && (stats->to_us - stats->from_us) / stats->bucket_us >= BUCKETS_MAX)
        return err_field(ret_err, "bucket", "range must have at most %d parts of this length", BUCKETS_MAX);
    if (stats->bucket_us == MINUTE_US && stats->from_us < now_us - MINUTES_KEPT_US)
        return err_field(ret_err, "bucket",
                         "a range that begins more than two days ago cannot be told in minutes: ask for hours");
    /* Where minutes are no longer kept the range ends with a whole hour, too. */
    if (step_us > MINUTE_US && stats->to_us < now_us - MINUTES_KEPT_US)
        stats->to_us += (HOUR_US - stats->to_us % HOUR_US) % HOUR_US;
    return 0;
}

static int get_job_stats_check(struct crpc_call *call, struct store_stats *stats, struct err *ret_err)
{
    const Joblog__V1__GetJobStatsRequest *request = joblog_v1_job_log_service_get_job_stats_request(call);
    struct arena *arena = crpc_call_arena(call);
    int rc = check_names(request->job_names, request->n_job_names, FILTER_VALUES_MAX, "", "job_names", arena,
                         &stats->names, ret_err);
    if (rc != 0 ||
        (rc = check_names(request->queues, request->n_queues, FILTER_VALUES_MAX, "", "queues", arena, &stats->queues,
                          ret_err)) != 0 ||
        (rc = check_range(request, stats, ret_err)) != 0)
        return rc;
    stats->scope = caller_of(call)->scope;
    if (job_scope_names_owners(&stats->scope))
        return err_set(ret_err, ERR_PERMISSION_DENIED, "OUT_OF_SCOPE",
                       "statistics count the jobs of all owners: not for a caller who sees those of some only");
    stats->n_names = request->n_job_names;
    stats->n_queues = request->n_queues;
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
    stats_sums_add(&sum->sums, &row->sums);
    if (row->waiting_since_us && (!sum->waiting_since_us || row->waiting_since_us < sum->waiting_since_us))
        sum->waiting_since_us = row->waiting_since_us;
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

static Joblog__V1__JobStatsRow *row_message(struct arena *arena, const struct stats_row *row, int64_t range_us)
{
    const struct stats_sums *sums = &row->sums;
    Joblog__V1__JobStatsRow *m = arena_alloc(arena, sizeof *m);
    if (!m)
        return NULL;
    joblog__v1__job_stats_row__init(m);
    m->job_name = convert_text(arena, row->name);
    m->queue = convert_text(arena, row->queue);
    m->counts = counts_message(arena, row);
    m->dispatched = sums->dispatched;
    m->completed = sums->completed;
    m->failed = sums->failed;
    m->cancelled = sums->cancelled;
    m->retried = sums->retried;
    m->execution = durations_message(arena, sums->n_runs, sums->run_us_sum, sums->run_hist);
    m->wait = durations_message(arena, sums->n_runs, sums->wait_us_sum, sums->wait_hist);
    m->throughput = (double)sums->completed * 1e6 / (double)range_us;
    if (sums->completed + sums->failed > 0)
        m->failure_rate = (double)sums->failed / (double)(sums->completed + sums->failed);
    if (row->waiting_since_us && !(m->waiting_since = convert_time(arena, row->waiting_since_us)))
        return NULL;
    return m->job_name && m->queue && m->counts && m->execution && m->wait ? m : NULL;
}

static Joblog__V1__JobStatsBucket *bucket_message(struct arena *arena, const struct stats_sums *sums, int64_t start_us)
{
    Joblog__V1__JobStatsBucket *m = arena_alloc(arena, sizeof *m);
    if (!m)
        return NULL;
    joblog__v1__job_stats_bucket__init(m);
    m->start = convert_time(arena, start_us);
    m->dispatched = sums->dispatched;
    m->completed = sums->completed;
    m->failed = sums->failed;
    m->cancelled = sums->cancelled;
    m->retried = sums->retried;
    m->execution = durations_message(arena, sums->n_runs, sums->run_us_sum, sums->run_hist);
    m->wait = durations_message(arena, sums->n_runs, sums->wait_us_sum, sums->wait_hist);
    return m->start && m->execution && m->wait ? m : NULL;
}

/* False: out of memory. */
static bool add_rows(struct arena *arena, const struct store_stats *stats, Joblog__V1__JobStats *response)
{
    int64_t range_us = stats->to_us - stats->from_us;
    size_t n_rows = stats->n_rows < ROWS_MAX ? stats->n_rows : ROWS_MAX;
    struct stats_row total;
    memset(&total, 0, sizeof total);
    response->rows = arena_alloc(arena, n_rows * sizeof *response->rows);
    if (!response->rows)
        return false;
    for (size_t i = 0; i < stats->n_rows; i++) {
        stats_add(&total, &stats->rows[i]);
        if (i < n_rows && !(response->rows[response->n_rows++] = row_message(arena, &stats->rows[i], range_us)))
            return false;
    }
    response->total = row_message(arena, &total, range_us);
    return response->total != NULL;
}

static bool add_buckets(struct arena *arena, const struct store_stats *stats, Joblog__V1__JobStats *response)
{
    response->buckets = arena_alloc(arena, stats->n_buckets * sizeof *response->buckets);
    if (!response->buckets)
        return false;
    for (size_t i = 0; i < stats->n_buckets; i++) {
        int64_t start_us = stats->from_us + (int64_t)i * stats->bucket_us;
        if (!(response->buckets[response->n_buckets++] = bucket_message(arena, &stats->buckets[i], start_us)))
            return false;
    }
    return true;
}

static enum crpc_next get_job_stats_loaded(struct crpc_call *call)
{
    struct get_job_stats *g = crpc_call_state(call);
    struct arena *arena = crpc_call_arena(call);
    Joblog__V1__JobStats response = JOBLOG__V1__JOB_STATS__INIT;
    if (g->stats.cmd.err.code != ERR_OK)
        return crpc_finish(call, &g->stats.cmd.err);
    if (!add_rows(arena, &g->stats, &response) || !add_buckets(arena, &g->stats, &response))
        return service_no_memory(call);
    response.workers = g->stats.n_workers;
    response.range_start = convert_time(arena, g->stats.from_us);
    response.range_end = convert_time(arena, g->stats.to_us);
    if (!response.range_start || !response.range_end)
        return service_no_memory(call);
    return joblog_v1_job_log_service_get_job_stats_reply(call, &response);
}

const struct crpc_handler get_job_stats_handler = {
    .first = &START, .state_size = sizeof(struct get_job_stats), .ignores_cancel = true};
