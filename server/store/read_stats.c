/* Statistics from the counters; no job is looked at but those that wait at the head of their lanes. A reader's thread.
 *
 * Every lane that ever had a job has a tally, so the first query finds them all, and what the others say is added to
 * them by lane. A lane that was made in between is left for the next time. */
#include <stdlib.h>

#include "store/reader.h"

#define HOUR_US (INT64_C(3600) * 1000000)

struct table {
    struct arena *arena;
    struct stats_row *rows;
    size_t n, cap;
    struct stats_row **by_lane;
};

void stats_sums_add(struct stats_sums *to, const struct stats_sums *more)
{
    to->dispatched += more->dispatched;
    to->completed += more->completed;
    to->failed += more->failed;
    to->cancelled += more->cancelled;
    to->retried += more->retried;
    to->n_runs += more->n_runs;
    to->run_us_sum += more->run_us_sum;
    to->wait_us_sum += more->wait_us_sum;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        to->run_hist[i] += more->run_hist[i];
        to->wait_hist[i] += more->wait_hist[i];
    }
}

/* The rows of a lane come one after the other. */
static struct stats_row *row_for(struct table *t, int32_t lane_id, struct span queue, struct span name)
{
    struct stats_row *row = t->n ? &t->rows[t->n - 1] : NULL;

    if (row && row->lane_id == lane_id)
        return row;
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 16;
        struct stats_row *grown = arena_alloc(t->arena, cap * sizeof *grown);
        if (!grown)
            return NULL;
        if (t->n)
            memcpy(grown, t->rows, t->n * sizeof *grown);
        t->rows = grown;
        t->cap = cap;
    }
    row = &t->rows[t->n++];
    memset(row, 0, sizeof *row);
    row->lane_id = lane_id;
    row->queue = arena_span(t->arena, queue);
    row->name = arena_span(t->arena, name);
    return row->queue.data && row->name.data ? row : NULL;
}

static int read_now(struct reader *r, const struct store_stats *cmd, const struct lane_set *lanes, struct table *t,
                    struct err *ret_err)
{
    struct pg_result *rows;
    bool good = true;

    pg_params_clear(&r->params);
    add_texts(&r->params, cmd->names, cmd->n_names);
    add_texts(&r->params, cmd->queues, cmd->n_queues);
    if (lanes->bounded)
        add_lanes(&r->params, lanes, LANES_OPEN);
    else
        pg_add_null(&r->params);
    rows = read_rows(r, SQL_STATS_NOW, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    for (int i = 0; good && i < pg_rows(rows); i++) {
        struct stats_row *row = row_for(t, (int32_t)pg_int(rows, i, 4), pg_text(rows, i, 0), pg_text(rows, i, 1));
        int status = (int)pg_int(rows, i, 2);
        good = row != NULL;
        if (good && status > 0 && status < JOB_STATUS_COUNT)
            row->counts[status] = pg_int(rows, i, 3);
    }
    pg_free(rows);
    return good ? 0 : read_out_of_memory(ret_err);
}

static int compare_lanes(const void *pa, const void *pb)
{
    const struct stats_row *a = *(struct stats_row *const *)pa, *b = *(struct stats_row *const *)pb;

    return (a->lane_id > b->lane_id) - (a->lane_id < b->lane_id);
}

static bool index_lanes(struct table *t)
{
    t->by_lane = arena_alloc(t->arena, (t->n + 1) * sizeof *t->by_lane);
    for (size_t i = 0; t->by_lane && i < t->n; i++)
        t->by_lane[i] = &t->rows[i];
    if (t->by_lane)
        qsort(t->by_lane, t->n, sizeof *t->by_lane, compare_lanes);
    return t->by_lane != NULL;
}

/* NULL: not among those that were asked for. */
static struct stats_row *row_of_lane(const struct table *t, int64_t lane_id)
{
    struct stats_row key = {.lane_id = (int32_t)lane_id}, *at = &key;
    struct stats_row **found = NULL;

    if (t->by_lane)
        found = bsearch(&at, t->by_lane, t->n, sizeof *t->by_lane, compare_lanes);
    return found ? *found : NULL;
}

static void add_row(const struct pg_result *rows, int i, struct stats_sums *sums)
{
    sums->dispatched += pg_int(rows, i, 2);
    sums->completed += pg_int(rows, i, 3);
    sums->failed += pg_int(rows, i, 4);
    sums->cancelled += pg_int(rows, i, 5);
    sums->retried += pg_int(rows, i, 6);
    sums->n_runs += pg_int(rows, i, 7);
    sums->run_us_sum += pg_int(rows, i, 8);
    sums->wait_us_sum += pg_int(rows, i, 9);
    pg_add_ints(rows, i, 10, sums->run_hist, HISTOGRAM_BUCKETS);
    pg_add_ints(rows, i, 11, sums->wait_hist, HISTOGRAM_BUCKETS);
}

/* Minutes, hours or days: the longest that no bucket cuts. */
static int16_t span_for(const struct store_stats *cmd)
{
    return cmd->bucket_us == 0 || cmd->bucket_us > HOUR_US ? 2 : cmd->bucket_us == HOUR_US ? 1 : 0;
}

static void add_table_lanes(struct pg_params *p, const struct table *t, bool waiting_only)
{
    struct pg_param *ids = pg_add_array(p, PG_INT4);

    for (size_t i = 0; i < t->n; i++)
        if (!waiting_only || t->rows[i].counts[JOB_PENDING] > 0)
            pg_put_int4(ids, t->rows[i].lane_id);
}

static int read_range(struct reader *r, struct store_stats *cmd, bool restricts, const struct table *t,
                      struct err *ret_err)
{
    struct pg_result *rows;

    pg_params_clear(&r->params);
    pg_add_time(&r->params, cmd->from_us);
    pg_add_time(&r->params, cmd->to_us);
    pg_add_int4(&r->params, span_for(cmd));
    if (restricts)
        add_table_lanes(&r->params, t, false);
    else
        pg_add_null(&r->params);
    rows = read_rows(r, SQL_STATS_RANGE, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    for (int i = 0; i < pg_rows(rows); i++) {
        struct stats_row *row = row_of_lane(t, pg_int(rows, i, 1));
        if (!row)
            continue;
        add_row(rows, i, &row->sums);
        int64_t at = cmd->bucket_us ? (pg_time(rows, i, 0) - cmd->from_us) / cmd->bucket_us : -1;
        if (at >= 0 && (size_t)at < cmd->n_buckets)
            add_row(rows, i, &cmd->buckets[at]);
    }
    pg_free(rows);
    return 0;
}

static int read_oldest(struct reader *r, const struct table *t, struct err *ret_err)
{
    struct pg_result *rows;

    pg_params_clear(&r->params);
    add_table_lanes(&r->params, t, true);
    if (r->params.v[0].n == 0)
        return 0;
    rows = read_rows(r, SQL_STATS_OLDEST, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    for (int i = 0; i < pg_rows(rows); i++) {
        struct stats_row *row = row_of_lane(t, pg_int(rows, i, 0));
        if (row)
            row->waiting_since_us = pg_time(rows, i, 1);
    }
    pg_free(rows);
    return 0;
}

static int read_workers(struct reader *r, struct store_stats *cmd, struct err *ret_err)
{
    struct pg_result *rows;

    pg_params_clear(&r->params);
    rows = read_rows(r, SQL_SESSION_COUNT, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    cmd->n_workers = pg_int(rows, 0, 0);
    pg_free(rows);
    return 0;
}

static bool make_buckets(struct store_stats *cmd)
{
    cmd->n_buckets = 0;
    cmd->buckets = NULL;
    if (!cmd->bucket_us)
        return true;
    size_t n = (size_t)((cmd->to_us - cmd->from_us + cmd->bucket_us - 1) / cmd->bucket_us);
    cmd->buckets = arena_zalloc(cmd->arena, n * sizeof *cmd->buckets);
    cmd->n_buckets = cmd->buckets ? n : 0;
    return cmd->buckets != NULL;
}

int read_stats(struct reader *r, struct store_stats *cmd, struct err *ret_err)
{
    struct table t = {.arena = cmd->arena};
    struct lane_query query = {cmd->names, cmd->queues, cmd->n_names, cmd->n_queues, &cmd->scope, true};
    struct lane_set lanes = {.restricts = false};
    int rc = cmd->scope.bounded ? read_lanes(r, &query, &lanes, ret_err) : 0;

    if (rc == 0)
        rc = read_now(r, cmd, &lanes, &t, ret_err);
    if (rc == 0 && (!make_buckets(cmd) || !index_lanes(&t)))
        rc = read_out_of_memory(ret_err);
    if (rc == 0)
        rc = read_range(r, cmd, lanes.bounded || cmd->n_names || cmd->n_queues, &t, ret_err);
    if (rc == 0)
        rc = read_oldest(r, &t, ret_err);
    if (rc == 0)
        rc = read_workers(r, cmd, ret_err);
    pg_free(lanes.rows);
    cmd->rows = t.rows;
    cmd->n_rows = rc == 0 ? t.n : 0;
    return rc;
}
