/* Statistics from the counters; no job is looked at. A reader's thread. */
#include "store/reader.h"

struct table {
    struct arena *arena;
    struct stats_row *rows;
    size_t n, cap;
};

/* Is it (queue, name)? Then 0; below 0 when the row stands before it. By name, then by queue. */
static int compare(const struct stats_row *row, struct span queue, struct span name)
{
    int c = span_cmp(row->name, name);

    return c ? c : span_cmp(row->queue, queue);
}

/* The rows of both queries come in this order, so that the place is where the last one was, or after it. */
static struct stats_row *row_for(struct table *t, size_t *at, struct span queue, struct span name)
{
    struct stats_row *row;

    while (*at < t->n && compare(&t->rows[*at], queue, name) < 0)
        (*at)++;
    if (*at < t->n && compare(&t->rows[*at], queue, name) == 0)
        return &t->rows[*at];
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
    row = &t->rows[*at];
    memmove(row + 1, row, (t->n - *at) * sizeof *row);
    memset(row, 0, sizeof *row);
    t->n++;
    row->queue = arena_span(t->arena, queue);
    row->name = arena_span(t->arena, name);
    return row->queue.data && row->name.data ? row : NULL;
}

static void start(struct reader *r, const struct store_stats *cmd, const struct lane_set *lanes)
{
    pg_params_clear(&r->params);
    add_texts(&r->params, cmd->names, cmd->n_names);
    add_texts(&r->params, cmd->queues, cmd->n_queues);
    if (lanes->bounded)
        add_lanes(&r->params, lanes, LANES_OPEN);
    else
        pg_add_null(&r->params);
}

static int read_now(struct reader *r, const struct store_stats *cmd, const struct lane_set *lanes, struct table *t,
                    struct err *ret_err)
{
    struct pg_result *rows;
    size_t at = 0;
    bool good = true;

    start(r, cmd, lanes);
    rows = read_rows(r, SQL_STATS_NOW, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    for (int i = 0; good && i < pg_rows(rows); i++) {
        struct stats_row *row = row_for(t, &at, pg_text(rows, i, 0), pg_text(rows, i, 1));
        int status = (int)pg_int(rows, i, 2);
        good = row != NULL;
        if (good && status > 0 && status < JOB_STATUS_COUNT)
            row->counts[status] = pg_int(rows, i, 3);
    }
    pg_free(rows);
    return good ? 0 : read_out_of_memory(ret_err);
}

static int read_range(struct reader *r, const struct store_stats *cmd, const struct lane_set *lanes, struct table *t,
                      struct err *ret_err)
{
    struct pg_result *rows;
    size_t at = 0;
    bool good = true;

    start(r, cmd, lanes);
    pg_add_time(&r->params, cmd->from_us);
    pg_add_time(&r->params, cmd->to_us);
    rows = read_rows(r, SQL_STATS_RANGE, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    for (int i = 0; good && i < pg_rows(rows); i++) {
        struct stats_row *row = row_for(t, &at, pg_text(rows, i, 0), pg_text(rows, i, 1));
        good = row != NULL;
        if (!good)
            break;
        row->dispatched += pg_int(rows, i, 2);
        row->completed += pg_int(rows, i, 3);
        row->failed += pg_int(rows, i, 4);
        row->cancelled += pg_int(rows, i, 5);
        row->retried += pg_int(rows, i, 6);
        row->n_runs += pg_int(rows, i, 7);
        row->run_us_sum += pg_int(rows, i, 8);
        row->wait_us_sum += pg_int(rows, i, 9);
        pg_add_ints(rows, i, 10, row->run_hist, HISTOGRAM_BUCKETS);
        pg_add_ints(rows, i, 11, row->wait_hist, HISTOGRAM_BUCKETS);
    }
    pg_free(rows);
    return good ? 0 : read_out_of_memory(ret_err);
}

int read_stats(struct reader *r, struct store_stats *cmd, struct err *ret_err)
{
    struct table t = {.arena = cmd->arena};
    struct lane_query query = {cmd->names, cmd->queues, cmd->n_names, cmd->n_queues, &cmd->scope, true};
    struct lane_set lanes = {.restricts = false};
    int rc = cmd->scope.bounded ? read_lanes(r, &query, &lanes, ret_err) : 0;

    if (rc == 0)
        rc = read_now(r, cmd, &lanes, &t, ret_err);
    if (rc == 0)
        rc = read_range(r, cmd, &lanes, &t, ret_err);
    pg_free(lanes.rows);
    cmd->rows = t.rows;
    cmd->n_rows = rc == 0 ? t.n : 0;
    return rc;
}
