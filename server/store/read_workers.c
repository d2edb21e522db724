/* Workers' sessions as the table has them. A reader's thread. */
#include "store/reader.h"
#include "store/workers.h"

static void add_text(struct reader *r, struct span text)
{
    pg_add_text_or_null(&r->params, text);
}

static struct span keep(struct arena *a, struct span s, bool *failed)
{
    struct span copy = arena_span(a, s);

    *failed |= !copy.data;
    return copy;
}

static void take_row(const struct pg_result *rows, int i, struct arena *a, struct worker_info *ret, bool *failed)
{
    *ret = (struct worker_info){
        .session_id = pg_int(rows, i, 0),
        .expire_us = pg_time(rows, i, 1),
        .start_us = pg_time(rows, i, 2),
        .replica = (int32_t)pg_int(rows, i, 3),
        .pid = pg_int(rows, i, 4),
        .worker = keep(a, pg_text(rows, i, 5), failed),
        .version = keep(a, pg_text(rows, i, 6), failed),
        .host = keep(a, pg_text(rows, i, 7), failed),
        .queues = keep(a, pg_text(rows, i, 8), failed),
        .job_names = keep(a, pg_text(rows, i, 9), failed),
        .credit = (int32_t)pg_int(rows, i, 10),
        .drain = {pg_time(rows, i, 11), keep(a, pg_text(rows, i, 12), failed), keep(a, pg_text(rows, i, 13), failed)},
        .n_jobs = pg_int(rows, i, 14),
        .job_ids = keep(a, pg_text(rows, i, 15), failed),
        .pause = {pg_time(rows, i, 16), keep(a, pg_text(rows, i, 17), failed), keep(a, pg_text(rows, i, 18), failed)},
    };
}

int read_worker_list(struct reader *r, struct store_worker_list *cmd, struct err *ret_err)
{
    struct pg_result *rows;
    bool failed;

    pg_params_clear(&r->params);
    pg_add_int8(&r->params, cmd->after_id);
    pg_add_int4(&r->params, cmd->limit + 1);
    add_text(r, cmd->worker);
    add_text(r, cmd->host);
    add_text(r, cmd->version);
    add_text(r, cmd->queue);
    rows = read_rows(r, SQL_WORKER_LIST, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    cmd->n_workers = (size_t)pg_rows(rows);
    cmd->more = cmd->n_workers > (size_t)cmd->limit;
    if (cmd->more)
        cmd->n_workers = (size_t)cmd->limit;
    cmd->workers = arena_alloc(cmd->arena, cmd->n_workers * sizeof *cmd->workers);
    failed = !cmd->workers;
    for (size_t i = 0; !failed && i < cmd->n_workers; i++)
        take_row(rows, (int)i, cmd->arena, &cmd->workers[i], &failed);
    pg_free(rows);
    return failed ? read_out_of_memory(ret_err) : 0;
}

/* Those of the server's own that a drain has passed over. Where it has met no others somebody means them. */
static int leave_own(const struct pg_result *rows, struct store_worker_ask *cmd, struct err *ret_err)
{
    size_t n_own = 0, n = cmd->n_asked;

    cmd->n_asked = 0;
    for (size_t i = 0; i < n; i++)
        if (pg_int(rows, (int)i, 1) != 0)
            n_own++;
        else
            cmd->asked[cmd->n_asked++] = pg_int(rows, (int)i, 0);
    if (n_own == 0 || cmd->n_asked > 0)
        return 0;
    return err_set(ret_err, ERR_FAILED_PRECONDITION, "SERVER_WORKER",
                   "the server's own workers, which make exports, cannot be drained: they end with their server; pause "
                   "them instead");
}

int read_worker_ask(struct reader *r, struct store_worker_ask *cmd, struct err *ret_err)
{
    struct pg_result *rows;
    struct pg_param *ids;
    int rc = 0;

    pg_params_clear(&r->params);
    if (cmd->n_session_ids) {
        ids = pg_add_array(&r->params, PG_INT8);
        for (size_t i = 0; i < cmd->n_session_ids; i++)
            pg_put_int8(ids, cmd->session_ids[i]);
    } else {
        pg_add_null(&r->params);
    }
    add_text(r, cmd->worker);
    add_text(r, cmd->host);
    add_text(r, cmd->version);
    add_text(r, cmd->actor);
    add_text(r, cmd->reason);
    rows = read_rows(r,
                     cmd->cmd.op == STORE_WORKER_DRAIN   ? SQL_WORKER_DRAIN
                     : cmd->cmd.op == STORE_WORKER_PAUSE ? SQL_WORKER_PAUSE
                                                         : SQL_WORKER_RESUME,
                     ret_err);
    if (!rows)
        return -(int)ret_err->code;
    cmd->n_asked = (size_t)pg_rows(rows);
    cmd->asked = arena_alloc(cmd->arena, cmd->n_asked * sizeof *cmd->asked);
    for (size_t i = 0; cmd->asked && i < cmd->n_asked; i++)
        cmd->asked[i] = pg_int(rows, (int)i, 0);
    if (cmd->asked && cmd->cmd.op == STORE_WORKER_DRAIN)
        rc = leave_own(rows, cmd, ret_err);
    pg_free(rows);
    return cmd->asked ? rc : read_out_of_memory(ret_err);
}
