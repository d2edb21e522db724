/* The log of a job. A reader's thread. */
#include "store/job_log.h"
#include "store/reader.h"

/* First the job: what one that has ended has logged is all there when the lines are read. */
static int read_standing(struct reader *r, struct store_log_read *cmd, struct err *ret_err)
{
    struct store_get get = {.id = cmd->job_id, .scope = cmd->scope, .arena = cmd->arena};
    int rc = read_get(r, &get, ret_err);

    cmd->status = get.job.status;
    cmd->job_attempt = get.job.attempt;
    return rc;
}

static int read_size(struct reader *r, struct store_log_read *cmd, struct err *ret_err)
{
    struct pg_result *rows;

    pg_params_clear(&r->params);
    pg_add_int8(&r->params, cmd->job_id);
    rows = read_rows(r, SQL_LOG_SIZE, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    cmd->dropped = pg_rows(rows) ? pg_int(rows, 0, 0) - pg_int(rows, 0, 1) : 0;
    pg_free(rows);
    return 0;
}

static void add_params(struct reader *r, const struct store_log_read *cmd, int32_t limit)
{
    pg_params_clear(&r->params);
    pg_add_int8(&r->params, cmd->job_id);
    pg_add_int8(&r->params, cmd->after);
    pg_add_int4(&r->params, cmd->attempt);
    pg_add_int4(&r->params, (int32_t)cmd->min_level);
    pg_add_int4(&r->params, limit);
}

static int find_tail(struct reader *r, struct store_log_read *cmd, struct err *ret_err)
{
    struct pg_result *rows;

    add_params(r, cmd, cmd->tail);
    rows = read_rows(r, SQL_LOG_TAIL, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    if (pg_int(rows, 0, 0) > cmd->after)
        cmd->after = pg_int(rows, 0, 0);
    pg_free(rows);
    return 0;
}

static int read_lines(struct reader *r, struct store_log_read *cmd, struct err *ret_err)
{
    struct pg_result *rows;
    bool good;

    add_params(r, cmd, cmd->limit);
    rows = read_rows(r, SQL_LOG_READ, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    cmd->n_lines = (size_t)pg_rows(rows);
    cmd->lines = arena_alloc(cmd->arena, cmd->n_lines * sizeof *cmd->lines);
    good = cmd->lines != NULL;
    for (int i = 0; good && i < pg_rows(rows); i++) {
        struct span text = pg_text(rows, i, 4);
        cmd->lines[i] = (struct log_line){.sequence = pg_int(rows, i, 0),
                                          .attempt = (int32_t)pg_int(rows, i, 1),
                                          .time_us = pg_time(rows, i, 2),
                                          .level = (enum log_line_level)pg_int(rows, i, 3),
                                          .text = arena_span(cmd->arena, text)};
        good = cmd->lines[i].text.data != NULL;
    }
    pg_free(rows);
    return good ? 0 : read_out_of_memory(ret_err);
}

int read_log(struct reader *r, struct store_log_read *cmd, struct err *ret_err)
{
    int rc = read_standing(r, cmd, ret_err);

    if (rc == 0 && cmd->tail)
        rc = find_tail(r, cmd, ret_err);
    if (rc == 0)
        rc = read_lines(r, cmd, ret_err);
    /* After the lines: what is not kept has no number that a line to come could have. */
    return rc == 0 ? read_size(r, cmd, ret_err) : rc;
}
