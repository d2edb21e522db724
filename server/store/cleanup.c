/* See cleanup.h. */
#include "store/cleanup.h"

#include "store/reader.h"

/* A call ends after this time, or so many jobs; who wants more calls again. So a reader is soon free for others. */
enum { CALL_MS = 2000 };

/* The ids of the rows, and the counts; the last row tells where to go on. */
static int read_pick(const struct pg_result *r, bool has_status, struct pg_params *ids, struct cleanup_chunk *chunk)
{
    int last = pg_rows(r) - 1, place = has_status ? 2 : 1;
    struct pg_param *a;

    pg_params_clear(ids);
    a = pg_add_array(ids, PG_INT8);
    chunk->n = 0;
    for (int i = 0; i < last; i++) {
        pg_put_int8(a, pg_int(r, i, 0));
        if (has_status)
            chunk->by_status[pg_int(r, i, 1)]++;
        chunk->n++;
    }
    chunk->end = pg_is_null(r, last, place);
    if (!chunk->end)
        chunk->after_id = pg_int(r, last, place);
    return last;
}

static void add_bounds(struct pg_params *ids, const struct pg_result *r, int n)
{
    int64_t lo = INT64_MAX, hi = 0;

    for (int i = 0; i < n; i++) {
        int64_t id = pg_int(r, i, 0);
        lo = id < lo ? id : lo;
        hi = id > hi ? id : hi;
    }
    pg_add_int8(ids, lo);
    pg_add_int8(ids, hi);
}

int cleanup_run(struct pg_conn *pg, struct pg_params *params, enum sql_id pick, struct cleanup_chunk *chunk,
                struct err *ret_err)
{
    struct pg_result *r;
    int n = 0;

    pg_send(pg, sql_texts[pick].name, params);
    pg_flush(pg);
    r = pg_read(pg);
    if (r)
        n = read_pick(r, pick == SQL_CLEANUP_PICK, params, chunk);
    if (n > 0) {
        add_bounds(params, r, n);
        pg_send(pg, sql_texts[SQL_JOB_FORGET].name, params);
    }
    pg_free(r);
    return pg_commit(pg, ret_err);
}

/* ---- for a caller ---- */

static void add_question(struct reader *r, const struct store_cleanup *cmd, const struct lane_set *lanes,
                         int64_t after_id, int64_t left)
{
    pg_params_clear(&r->params);
    pg_add_int8(&r->params, after_id);
    pg_add_int4(&r->params, (int32_t)cmd->status_mask);
    pg_add_time(&r->params, cmd->before_us);
    if (lanes->restricts || lanes->bounded)
        add_lanes(&r->params, lanes, LANES_OPEN);
    else
        pg_add_null(&r->params);
    pg_add_int4(&r->params, (int32_t)left);
}

static int count_chunk(struct reader *r, struct cleanup_chunk *chunk, struct err *ret_err)
{
    struct pg_result *rows = read_rows(r, SQL_CLEANUP_COUNT, ret_err);
    int last;

    if (!rows)
        return -(int)ret_err->code;
    last = pg_rows(rows) - 1;
    for (int i = 0; i < last; i++) {
        chunk->by_status[pg_int(rows, i, 1)] += pg_int(rows, i, 2);
        chunk->n += pg_int(rows, i, 2);
    }
    chunk->end = pg_is_null(rows, last, 2);
    if (!chunk->end)
        chunk->after_id = pg_int(rows, last, 2);
    pg_free(rows);
    return 0;
}

static int run_chunks(struct reader *r, struct store_cleanup *cmd, const struct lane_set *lanes, struct err *ret_err)
{
    int64_t until_ms = clock_mono_ms() + CALL_MS, left = cmd->limit;
    int rc = 0;

    cmd->next_id = cmd->after_id;
    do {
        struct cleanup_chunk chunk = {.after_id = cmd->next_id};
        add_question(r, cmd, lanes, cmd->next_id, left);
        rc = cmd->dry_run ? count_chunk(r, &chunk, ret_err)
                          : cleanup_run(r->pg, &r->params, SQL_CLEANUP_PICK, &chunk, ret_err);
        if (rc < 0)
            return rc;
        for (int i = 0; i < JOB_STATUS_COUNT; i++)
            cmd->counts[i] += chunk.by_status[i];
        left -= chunk.n;
        cmd->next_id = chunk.after_id;
        cmd->more = !chunk.end;
    } while (cmd->more && left > 0 && clock_mono_ms() < until_ms);
    return 0;
}

/* Only the end of the call waits for the disk. A commit that does flushes all that was written, and dispatches queue up
 * behind it: two megabytes of a chunk, at once, where the disk is slow, are felt by everybody. */
static int delete_chunks(struct reader *r, struct store_cleanup *cmd, const struct lane_set *lanes, struct err *ret_err)
{
    static const char flush[] = "set synchronous_commit = on; select pg_logical_emit_message(true, 'joblog', '')";
    struct err err;
    int rc = pg_exec(r->pg, "set synchronous_commit = off", ret_err), flushed;

    if (rc < 0)
        return rc;
    rc = run_chunks(r, cmd, lanes, ret_err);
    flushed = pg_exec(r->pg, flush, rc < 0 ? &err : ret_err);
    return rc < 0 ? rc : flushed;
}

int read_cleanup(struct reader *r, struct store_cleanup *cmd, struct err *ret_err)
{
    struct lane_query query = {cmd->names, cmd->queues, cmd->n_names, cmd->n_queues, &cmd->scope, true};
    struct lane_set lanes = {.restricts = false};
    int rc = read_lanes(r, &query, &lanes, ret_err);

    memset(cmd->counts, 0, sizeof cmd->counts);
    cmd->more = false;
    if (rc == 0)
        rc = cmd->dry_run ? run_chunks(r, cmd, &lanes, ret_err) : delete_chunks(r, cmd, &lanes, ret_err);
    pg_free(lanes.rows);
    return rc;
}
