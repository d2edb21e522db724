/* Queues and what they hold. A reader's thread. */
#include "core/id.h"
#include "store/reader.h"

enum { COL_QUEUE, COL_NAME, COL_PENDING, COL_RUNNING, COL_WAITING, COL_OLDEST, COL_TIME, COL_ACTOR, COL_REASON };

/* The row of a pause has no job name. */
static bool is_within(const struct job_scope *scope, const struct pg_result *r, int row)
{
    struct span queue = pg_text(r, row, COL_QUEUE), name = pg_text(r, row, COL_NAME);

    return name.len ? !scope->bounded || job_scope_holds_lane(scope, queue, name) : job_scope_holds_queue(scope, queue);
}

static bool keep(struct arena *a, struct span text, struct span *ret)
{
    *ret = text.len ? arena_span(a, text) : (struct span){NULL, 0};
    return text.len == 0 || ret->data;
}

static bool add_row(struct arena *a, const struct pg_result *r, int row, struct queue_info *q)
{
    int64_t oldest = pg_int(r, row, COL_OLDEST), pending = pg_int(r, row, COL_PENDING);
    int64_t oldest_us = oldest ? id_time_us(oldest) : 0;

    q->waiting += pg_int(r, row, COL_WAITING);
    q->scheduled += pending - pg_int(r, row, COL_WAITING); /* once all rows of the queue are summed up */
    q->running += pg_int(r, row, COL_RUNNING);
    if (oldest_us && (!q->oldest_us || oldest_us < q->oldest_us))
        q->oldest_us = oldest_us;
    if (pg_text(r, row, COL_NAME).len)
        return true;
    q->pause_us = pg_time(r, row, COL_TIME);
    return keep(a, pg_text(r, row, COL_ACTOR), &q->pause_actor) &&
           keep(a, pg_text(r, row, COL_REASON), &q->pause_reason);
}

int read_queues(struct reader *r, struct store_queues *cmd, struct err *ret_err)
{
    struct pg_result *rows;
    bool good;

    cmd->n_infos = 0;
    pg_params_clear(&r->params);
    add_texts(&r->params, cmd->queues, cmd->n_queues);
    rows = read_rows(r, SQL_QUEUE_LIST, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    cmd->infos = arena_zalloc(cmd->arena, (size_t)pg_rows(rows) * sizeof *cmd->infos + 1);
    good = cmd->infos != NULL;
    for (int i = 0; good && i < pg_rows(rows); i++) {
        struct queue_info *last = cmd->n_infos ? &cmd->infos[cmd->n_infos - 1] : NULL;
        if (!is_within(&cmd->scope, rows, i))
            continue;
        if (!last || !span_eq(last->name, pg_text(rows, i, COL_QUEUE))) {
            last = &cmd->infos[cmd->n_infos++];
            good = keep(cmd->arena, pg_text(rows, i, COL_QUEUE), &last->name);
        }
        good = good && add_row(cmd->arena, rows, i, last);
    }
    pg_free(rows);
    for (size_t i = 0; i < cmd->n_infos; i++) {
        if (cmd->infos[i].scheduled < 0)
            cmd->infos[i].scheduled = 0;
    }
    return good ? 0 : read_out_of_memory(ret_err);
}
