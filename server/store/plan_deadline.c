/* Time-outs of jobs within a batch: those that had to be started by now, and attempts that had to be at their end. The
 * table joblog.deadline says when to look. Writer thread. */
#include "store/engine.h"

enum { DEADLINE_TOKEN = ROW_EXTRA + 1, DEADLINE_TAKEN };

static void put_deadline(struct writer *w, int64_t time_us, int64_t job_id, int64_t token)
{
    static const enum pg_type types[] = {PG_TIMESTAMPTZ, PG_INT8, PG_INT8};
    struct pg_params *p = &w->batch.rows.deadline;

    if (p->n == 0)
        pg_arrays(p, types, 3);
    pg_put_time(&p->v[0], time_us);
    pg_put_int8(&p->v[1], job_id);
    pg_put_int8(&p->v[2], token);
    if (time_us < w->due_deadline_us)
        w->due_deadline_us = time_us;
}

void deadline_of_start(struct writer *w, const struct job *job)
{
    if (job->start_timeout_us && job->attempt == 0)
        put_deadline(w, job->run_us + job->start_timeout_us, job->id, 0);
}

void deadline_of_run(struct writer *w, const struct job *job, int64_t token)
{
    if (job->run_timeout_us)
        put_deadline(w, w->batch.now_us + job->run_timeout_us, job->id, token);
}

void deadline_send(struct writer *w)
{
    pg_params_clear(&w->params);
    pg_add_time(&w->params, w->batch.now_us);
    pg_send(w->pg, sql_name(SQL_DEADLINE_TAKE), &w->params);
    w->batch.n_sent++;
}

/* Never started, though its time is over, and yet in none of the places where jobs wait: another replica is just moving
 * or claiming it, and what it does cannot be seen before this batch is over. So it is looked at again. */
static void look_again(struct writer *w, const struct pg_result *r, int row)
{
    enum { AGAIN_US = 1000000 };
    struct job *j = arena_alloc(&w->batch.arena, sizeof *j);

    if (!j || !row_job(r, row, &w->batch.arena, j))
        w->batch.failed_memory = true;
    else if (j->status == JOB_PENDING && j->attempt == 0 && j->run_us + j->start_timeout_us <= w->batch.now_us)
        put_deadline(w, w->batch.now_us + AGAIN_US, j->id, 0);
}

static void plan_row(struct writer *w, const struct pg_result *r, int row)
{
    int64_t token = pg_int(r, row, DEADLINE_TOKEN);
    bool is_taken = pg_int(r, row, DEADLINE_TAKEN) != 0;
    struct lease *lease;

    if (!token && !is_taken)
        look_again(w, r, row);
    if (token ? pg_int(r, row, ROW_TOKEN) != token : !is_taken)
        return; /* it has ended, or started, in time */
    if (!batch_own(w, pg_int(r, row, ROW_ID))) {
        w->batch.spoilt = true;
        return;
    }
    if (!token) {
        expire_plan(w, r, row);
        return;
    }
    lease = loaded_lease(w, r, row);
    if (!lease)
        w->batch.failed_memory = true;
    else
        timeout_plan(w, lease, &run_timeout);
}

void deadline_plan(struct writer *w)
{
    const struct pg_result *r = w->batch.late;

    if (!r)
        return;
    for (int i = 0; i < pg_rows(r); i++)
        plan_row(w, r, i);
    /* Where there are some there may be more; otherwise the tick finds out when the next is. */
    w->due_deadline_us = pg_rows(r) ? w->batch.now_us : INT64_MAX;
    if (!pg_rows(r))
        w->due_tick_us = 0;
}
