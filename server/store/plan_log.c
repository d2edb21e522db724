/* What jobs log within a batch. Several writes of one job may share a batch, and its end too when it comes after them:
 * so a worker that logs much waits for no more commits than one that logs little. The count of a job's lines is kept
 * in the database, where any replica may add to it. Writer thread. */
#include "store/plan_log.h"

/* A write of the batch. */
struct log_write {
    const struct store_log_write *cmd;
    struct log_write *next;
};

static struct store_log_write *write_of(const struct unit *u)
{
    return (struct store_log_write *)u->cmd;
}

void log_prepare(struct writer *w, struct unit *u)
{
    lease_ask(w, write_of(u)->job_id, write_of(u)->token);
}

static struct log_mark *mark_of(struct writer *w, const struct lease *lease)
{
    struct batch *b = &w->batch;
    struct log_mark *mark = NULL;

    HASH_FIND(hh, b->logs, &lease->job_id, sizeof lease->job_id, mark);
    if (mark)
        return mark;
    mark = arena_zalloc(&b->arena, sizeof *mark);
    if (!mark)
        return NULL;
    mark->job_id = lease->job_id;
    mark->token = lease->token;
    mark->attempt = lease->base->job.attempt;
    mark->end = &mark->first;
    HASH_ADD(hh, b->logs, job_id, sizeof mark->job_id, mark);
    return mark->hh.tbl ? mark : NULL;
}

void log_plan(struct writer *w, struct unit *u)
{
    struct store_log_write *c = write_of(u);
    struct lease *lease = lease_of(w, c->job_id, c->token, c->scope, &u->cmd->err);
    struct log_write *write;
    struct log_mark *mark;
    struct effect *e;

    if (!lease)
        return;
    mark = mark_of(w, lease);
    write = arena_zalloc(&w->batch.arena, sizeof *write);
    e = batch_effect(w, EFFECT_LOGGED);
    if (!mark || !write || !e) {
        w->batch.failed_memory = true;
        return;
    }
    e->cmd = u->cmd;
    write->cmd = c;
    *mark->end = write;
    mark->end = &write->next;
    mark->lines += (int64_t)c->n_lines;
    for (size_t i = 0; i < c->n_lines; i++)
        mark->bytes += (int64_t)c->lines[i].text.len + LOG_LINE_EXTRA;
}

static void put_lines(struct writer *w, struct pg_params *p, const struct log_mark *mark)
{
    int64_t lines = mark->lines, bytes = mark->bytes;

    for (const struct log_write *write = mark->first; write; write = write->next)
        for (size_t i = 0; i < write->cmd->n_lines; i++) {
            const struct log_line *line = &write->cmd->lines[i];
            bytes -= (int64_t)line->text.len + LOG_LINE_EXTRA;
            pg_put_int8(&p->v[0], mark->job_id);
            pg_put_int4(&p->v[1], (int32_t)--lines);
            pg_put_int8(&p->v[2], bytes);
            pg_put_int4(&p->v[3], mark->attempt);
            pg_put_time(&p->v[4], line->time_us ? line->time_us : w->batch.now_us);
            pg_put_int2(&p->v[5], (int16_t)line->level);
            pg_put_text(&p->v[6], line->text);
        }
}

void log_send_rows(struct writer *w)
{
    static const enum pg_type count_types[] = {PG_INT8, PG_INT8, PG_INT8, PG_INT8};
    static const enum pg_type line_types[] = {PG_INT8, PG_INT4, PG_INT8, PG_INT4, PG_TIMESTAMPTZ, PG_INT2, PG_TEXT};
    struct pg_params *p = &w->params;
    int32_t n = 0;

    if (!w->batch.logs)
        return;
    pg_params_clear(p);
    pg_arrays(p, count_types, 4);
    for (const struct log_mark *mark = w->batch.logs; mark; mark = mark->hh.next, n++) {
        pg_put_int8(&p->v[0], mark->job_id);
        pg_put_int8(&p->v[1], mark->token);
        pg_put_int8(&p->v[2], mark->lines);
        pg_put_int8(&p->v[3], mark->bytes);
    }
    pg_add_int4(p, n);
    pg_send(w->pg, sql_name(SQL_LOG_COUNT), p);
    pg_params_clear(p);
    pg_arrays(p, line_types, 7);
    for (const struct log_mark *mark = w->batch.logs; mark; mark = mark->hh.next)
        put_lines(w, p, mark);
    pg_add_int8(p, w->options->log_bytes);
    pg_send(w->pg, sql_name(SQL_LOG_INSERT), p);
    w->batch.n_sent += 2;
}

/* Whoever follows the log is woken as by progress. The lease may have been read anew since it was planned. */
void log_applied(struct writer *w, struct store_cmd *cmd)
{
    struct store_log_write *c = (struct store_log_write *)cmd;
    struct lease *lease = leases_find(w, c->job_id);

    if (lease && lease->token == c->token)
        lease_logged(w, lease, c);
}
