/* Statistics from the counters; no job is looked at but those that wait at the head of their lanes. A reader's thread.
 *
 * Every lane that ever had a job has a tally, so the first query finds them all, and what the others say is added to
 * them by lane. A lane that was made in between is left for the next time. */
#include <stdlib.h>

#include "store/read_stats.h"

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
static struct stats_row *row_for(struct stats_table *t, int32_t lane_id, struct span queue, struct span name)
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

static int read_now(struct reader *r, const struct store_stats *cmd, const struct lane_set *lanes,
                    struct stats_table *t, struct err *ret_err)
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

static bool index_lanes(struct stats_table *t)
{
    t->by_lane = arena_alloc(t->arena, (t->n + 1) * sizeof *t->by_lane);
    for (size_t i = 0; t->by_lane && i < t->n; i++)
        t->by_lane[i] = &t->rows[i];
    if (t->by_lane)
        qsort(t->by_lane, t->n, sizeof *t->by_lane, compare_lanes);
    return t->by_lane != NULL;
}

struct stats_row *stats_table_row(const struct stats_table *t, int32_t lane_id)
{
    struct stats_row key = {.lane_id = lane_id}, *at = &key;
    struct stats_row **found = NULL;

    if (t->by_lane)
        found = bsearch(&at, t->by_lane, t->n, sizeof *t->by_lane, compare_lanes);
    return found ? *found : NULL;
}

static void add_waiting_lanes(struct pg_params *p, const struct stats_table *t)
{
    struct pg_param *ids = pg_add_array(p, PG_INT4);

    for (size_t i = 0; i < t->n; i++)
        if (t->rows[i].counts[JOB_PENDING] > 0)
            pg_put_int4(ids, t->rows[i].lane_id);
}

static int read_oldest(struct reader *r, const struct stats_table *t, struct err *ret_err)
{
    struct pg_result *rows;

    pg_params_clear(&r->params);
    add_waiting_lanes(&r->params, t);
    if (r->params.v[0].n == 0)
        return 0;
    rows = read_rows(r, SQL_STATS_OLDEST, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    for (int i = 0; i < pg_rows(rows); i++) {
        struct stats_row *row = stats_table_row(t, (int32_t)pg_int(rows, i, 0));
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
    add_texts(&r->params, cmd->names, cmd->n_names);
    add_texts(&r->params, cmd->queues, cmd->n_queues);
    rows = read_rows(r, SQL_STATS_WORKERS, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    cmd->n_workers = pg_int(rows, 0, 0);
    pg_free(rows);
    return 0;
}

static int read_marks(struct reader *r, struct stats_marks *ret_marks, struct err *ret_err)
{
    struct pg_result *rows;

    pg_params_clear(&r->params);
    rows = read_rows(r, SQL_STATS_MARKS, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    *ret_marks = (struct stats_marks){pg_time(rows, 0, 0), pg_time(rows, 0, 1)};
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
    struct stats_table t = {.arena = cmd->arena};
    struct lane_query query = {cmd->names, cmd->queues, cmd->n_names, cmd->n_queues, &cmd->scope, true};
    struct lane_set lanes = {.restricts = false};
    struct stats_marks marks;
    int rc = cmd->scope.bounded ? read_lanes(r, &query, &lanes, ret_err) : 0;

    if (rc == 0)
        rc = read_now(r, cmd, &lanes, &t, ret_err);
    if (rc == 0 && (!make_buckets(cmd) || !index_lanes(&t)))
        rc = read_out_of_memory(ret_err);
    if (rc == 0)
        rc = read_workers(r, cmd, ret_err);
    if (rc == 0)
        rc = read_marks(r, &marks, ret_err);
    if (rc == 0)
        rc = read_stats_range(r, cmd, &marks, &t, ret_err);
    if (rc == 0)
        rc = read_oldest(r, &t, ret_err);
    pg_free(lanes.rows);
    cmd->rows = t.rows;
    cmd->n_rows = rc == 0 ? t.n : 0;
    return rc;
}
