/* Statistics. One unary call, on the caller's thread. */
#include "box.h"
#include "convert.h"

static struct joblog_durations durations_of(const Joblog__V1__DurationStats *d)
{
    if (!d)
        return (struct joblog_durations){0};
    return (struct joblog_durations){d->count, duration_us_of(d->average), duration_us_of(d->p50),
                                     duration_us_of(d->p95), duration_us_of(d->p99)};
}

static struct joblog_stats_row row_of(const Joblog__V1__JobStatsRow *r)
{
    if (!r)
        return (struct joblog_stats_row){.job_name = "", .queue = ""};
    struct joblog_stats_row row = {
        .job_name = text_of(r->job_name),
        .queue = text_of(r->queue),
        .dispatched = r->dispatched,
        .completed = r->completed,
        .failed = r->failed,
        .cancelled = r->cancelled,
        .retried = r->retried,
        .execution = durations_of(r->execution),
        .wait = durations_of(r->wait),
        .throughput = r->throughput,
        .failure_rate = r->failure_rate,
        .waiting_since_us = time_us_of(r->waiting_since),
    };
    if (r->counts) {
        row.pending = r->counts->pending;
        row.running = r->counts->running;
        row.completed_now = r->counts->completed;
        row.failed_now = r->counts->failed;
        row.cancelled_now = r->counts->cancelled;
    }
    return row;
}

static struct joblog_stats_bucket bucket_of(const Joblog__V1__JobStatsBucket *b)
{
    return (struct joblog_stats_bucket){
        .start_us = time_us_of(b->start),
        .dispatched = b->dispatched,
        .completed = b->completed,
        .failed = b->failed,
        .cancelled = b->cancelled,
        .retried = b->retried,
        .execution = durations_of(b->execution),
        .wait = durations_of(b->wait),
    };
}

static struct joblog_stats *stats_of(ProtobufCMessage *message, struct err *ret_err)
{
    const Joblog__V1__JobStats *m = (const Joblog__V1__JobStats *)message;
    struct joblog_stats *stats = box_new(message, sizeof *stats);
    if (stats)
        stats->rows = arena_alloc(box_arena(stats), m->n_rows * sizeof *stats->rows);
    if (stats)
        stats->buckets = arena_alloc(box_arena(stats), m->n_buckets * sizeof *stats->buckets);
    if (!stats || !stats->rows || !stats->buckets) {
        box_free(stats);
        error_no_memory(ret_err);
        return NULL;
    }
    stats->total = row_of(m->total);
    stats->n_rows = m->n_rows;
    for (size_t i = 0; i < m->n_rows; i++)
        stats->rows[i] = row_of(m->rows[i]);
    stats->n_buckets = m->n_buckets;
    for (size_t i = 0; i < m->n_buckets; i++)
        stats->buckets[i] = bucket_of(m->buckets[i]);
    stats->workers = m->workers;
    stats->range_start_us = time_us_of(m->range_start);
    stats->range_end_us = time_us_of(m->range_end);
    return stats;
}

int joblog_query_stats(struct joblog_client *client, const struct joblog_stats_query *query,
                       struct joblog_stats **ret_stats, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    char room[128];
    struct arena arena;
    arena_init(&arena, room, sizeof room, 0);
    Joblog__V1__GetJobStatsRequest request = JOBLOG__V1__GET_JOB_STATS_REQUEST__INIT;
    if (query->filter) {
        request.n_job_names = query->filter->n_job_names;
        request.job_names = (char **)query->filter->job_names;
        request.n_queues = query->filter->n_queues;
        request.queues = (char **)query->filter->queues;
    }
    bool failed = false;
    request.range = duration_for(&arena, query->range_ms, &failed);
    request.range_end = timestamp_for(&arena, query->range_end_us, &failed);
    request.bucket = (Joblog__V1__StatsBucket)query->parts;
    ProtobufCMessage *response = NULL;
    if (failed)
        error_no_memory(&e);
    else
        call_unary(client, JOB_LOG_METHOD(GET_JOB_STATS), &request.base, NULL, &response, &e);
    struct joblog_stats *stats = response ? stats_of(response, &e) : NULL;
    if (stats)
        *ret_stats = stats;
    arena_done(&arena);
    return error_give(error, &e);
}

int joblog_get_stats(struct joblog_client *client, const struct joblog_filter *filter, int64_t range_ms,
                     struct joblog_stats **ret_stats, struct joblog_error *error)
{
    struct joblog_stats_query query = {.filter = filter, .range_ms = range_ms};
    return joblog_query_stats(client, &query, ret_stats, error);
}

void joblog_stats_free(struct joblog_stats *stats)
{
    box_free(stats);
}
