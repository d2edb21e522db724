/* The rows that attempts begin and end with: leases, and how jobs stood at the end. As with new jobs, most batches are
 * of jobs that differ in little, and a column that has one value goes as one value. Writer thread. */
#include "store/rows.h"

/* ---- leases ---- */

enum { LEASE_SAME_FIRST = 3, LEASE_SAME_LAST = 6 };

void put_lease(struct writer *w, const struct lease *l, const struct job *job)
{
    struct pg_params *p = &w->batch.rows.lease;
    struct pg_param *v = p->v;

    if (p->n == 0) {
        static const enum pg_type first[] = {PG_INT8, PG_INT8};
        static const enum pg_type rest[] = {PG_INT8, PG_TIMESTAMPTZ, PG_INT4, PG_TEXT};
        pg_arrays(p, first, 2);
        pg_add_time(p, w->batch.now_us);
        pg_arrays(p, rest, 4);
    }
    pg_put_int8(&v[0], l->job_id);
    pg_put_int8(&v[1], l->token);
    if (l->session_id)
        pg_put_int8(&v[3], l->session_id);
    else
        pg_put_null(&v[3]);
    pg_put_time(&v[4], l->expire_us);
    pg_put_int4(&v[5], l->lane->id);
    /* The worker of a session is told by the session. */
    pg_put_text_or_null(&v[6], l->session_id ? (struct span){NULL, 0} : job->worker);
}

void rows_send_leases(struct writer *w)
{
    struct pg_params *p = &w->batch.rows.lease;

    if (p->n == 0 || !rows_are_same(p, LEASE_SAME_FIRST, LEASE_SAME_LAST)) {
        rows_send_part(w, SQL_LEASE_INSERT, p);
        return;
    }
    rows_make_scalars(p, LEASE_SAME_FIRST, LEASE_SAME_LAST);
    rows_send_part(w, SQL_LEASE_INSERT_SAME, p);
}

/* ---- states ---- */

enum { STATE_SAME_FIRST = 1, STATE_SAME_LAST = 6 };

static void put_double_or_null(struct pg_param *a, double v)
{
    if (v != 0)
        pg_put_double(a, v);
    else
        pg_put_null(a);
}

static void put_int8_or_null(struct pg_param *a, int64_t v)
{
    if (v != 0)
        pg_put_int8(a, v);
    else
        pg_put_null(a);
}

/* Without progress or error: half of the columns are null. */
static bool is_plain(const struct job *j)
{
    const struct job_progress *p = &j->progress;

    return p->percent == 0 && p->done == 0 && p->total == 0 && p->unit.len == 0 && p->step.len == 0 && p->eta_us == 0 &&
           j->error.type.len == 0 && j->error.message.len == 0 && j->error.stack_trace.len == 0;
}

static void put_plain_state(struct writer *w, const struct job *j, const struct lane *lane, int64_t token)
{
    struct pg_params *p = &w->batch.rows.state_plain;
    struct pg_param *v = p->v;

    ARRAYS(p, PG_INT8, PG_INT4, PG_INT2, PG_INT4, PG_INT4, PG_TIMESTAMPTZ, PG_TEXT, PG_TIMESTAMPTZ, PG_TIMESTAMPTZ,
           PG_INT8, PG_INT8, PG_JSONB);
    pg_put_int8(&v[0], j->id);
    pg_put_int4(&v[1], lane->id);
    pg_put_int2(&v[2], (int16_t)j->status);
    pg_put_int4(&v[3], j->attempt);
    pg_put_int4(&v[4], j->attempts_left);
    pg_put_time(&v[5], j->end_us);
    pg_put_text_or_null(&v[6], j->worker);
    pg_put_time(&v[7], j->run_us);
    pg_put_time(&v[8], j->start_us);
    pg_put_int8(&v[9], j->revision);
    put_int8_or_null(&v[10], token);
    pg_put_jsonb(&v[11], j->result);
}

void put_state(struct writer *w, const struct job *j, const struct lane *lane, int stored_status, int64_t token)
{
    struct rows *r = &w->batch.rows;
    struct pg_params *p = stored_status ? &r->update : &r->state;
    struct pg_param *v = p->v;

    if (!stored_status && is_plain(j)) {
        put_plain_state(w, j, lane, token);
        return;
    }
    ARRAYS(p, PG_INT8, PG_INT4, PG_INT2, PG_INT4, PG_INT4, PG_TIMESTAMPTZ, PG_TIMESTAMPTZ, PG_TIMESTAMPTZ, PG_INT8,
           PG_INT8, PG_TEXT, PG_FLOAT8, PG_INT8, PG_INT8, PG_TEXT, PG_TEXT, PG_TIMESTAMPTZ, PG_TEXT, PG_TEXT, PG_TEXT,
           PG_JSONB);
    pg_put_int8(&v[0], j->id);
    pg_put_int4(&v[1], lane->id);
    pg_put_int2(&v[2], (int16_t)j->status);
    pg_put_int4(&v[3], j->attempt);
    pg_put_int4(&v[4], j->attempts_left);
    pg_put_time(&v[5], j->run_us);
    pg_put_time(&v[6], j->start_us);
    pg_put_time(&v[7], j->end_us);
    pg_put_int8(&v[8], j->revision);
    put_int8_or_null(&v[9], token);
    pg_put_text_or_null(&v[10], j->worker);
    put_double_or_null(&v[11], j->progress.percent);
    put_int8_or_null(&v[12], j->progress.done);
    put_int8_or_null(&v[13], j->progress.total);
    pg_put_text_or_null(&v[14], j->progress.unit);
    pg_put_text_or_null(&v[15], j->progress.step);
    pg_put_time(&v[16], j->progress.eta_us);
    pg_put_text_or_null(&v[17], j->error.type);
    pg_put_text_or_null(&v[18], j->error.message);
    pg_put_text_or_null(&v[19], j->error.stack_trace);
    pg_put_jsonb(&v[20], j->result);
    if (!stored_status)
        return;
    if (p->n == 21)
        pg_add_array(p, PG_INT2);
    pg_put_int2(&v[21], (int16_t)stored_status);
    r->update_lo = j->id < r->update_lo ? j->id : r->update_lo;
    r->update_hi = j->id > r->update_hi ? j->id : r->update_hi;
}

void rows_send_states(struct writer *w)
{
    struct pg_params *p = &w->batch.rows.state_plain;

    rows_send_part(w, SQL_STATE_INSERT, &w->batch.rows.state);
    if (p->n == 0 || !rows_are_same(p, STATE_SAME_FIRST, STATE_SAME_LAST)) {
        rows_send_part(w, SQL_STATE_INSERT_PLAIN, p);
        return;
    }
    rows_make_scalars(p, STATE_SAME_FIRST, STATE_SAME_LAST);
    rows_send_part(w, SQL_STATE_INSERT_SAME, p);
}
