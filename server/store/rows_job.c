/* The rows of new jobs and of those that wait. They are gathered as arrays like all others; but most batches are of
 * jobs that differ in little, and a column that has one value goes as one value: PostgreSQL takes an array apart
 * element by element. Writer thread. */
#include "core/extra.h"
#include "store/rows.h"

enum {
    EXTRA_PLACE = 18, /* among the parameters of job_insert_extra, from 0 */
    PART_ROWS = 250   /* PostgreSQL inserts so many while the next ones are gathered */
};

static void put_labels(struct pg_param *a, const struct job *job)
{
    size_t at = a->buf.len;
    uint32_t len;

    if (job->n_labels == 0) {
        pg_put_null(a);
        return;
    }
    buf_add_be32(&a->buf, 0);
    buf_add_char(&a->buf, 1); /* version of jsonb's binary format */
    for (size_t i = 0; i < job->n_labels; i++) {
        buf_add_char(&a->buf, i ? ',' : '{');
        json_add_string(&a->buf, job->labels[i].key);
        buf_add_char(&a->buf, ':');
        json_add_string(&a->buf, job->labels[i].value);
    }
    buf_add_char(&a->buf, '}');
    if (a->buf.failed)
        return;
    len = __builtin_bswap32((uint32_t)(a->buf.len - at - 4));
    memcpy(a->buf.data + at, &len, sizeof len);
    a->n++;
}

static const struct retry_policy default_retry = {
    .max_attempts = 1, .initial_backoff_us = 1000000, .max_backoff_us = 600000000, .multiplier = 2};

static void put_retry(struct pg_param *v, const struct retry_policy *p)
{
    /* What equals the default is null, to keep the row short. */
    if (p->initial_backoff_us == default_retry.initial_backoff_us)
        pg_put_null(&v[0]);
    else
        pg_put_int8(&v[0], p->initial_backoff_us);
    if (p->max_backoff_us == default_retry.max_backoff_us)
        pg_put_null(&v[1]);
    else
        pg_put_int8(&v[1], p->max_backoff_us);
    if (p->multiplier == default_retry.multiplier)
        pg_put_null(&v[2]);
    else
        pg_put_double(&v[2], p->multiplier);
    if (p->jitter == default_retry.jitter)
        pg_put_null(&v[3]);
    else
        pg_put_double(&v[3], p->jitter);
}

static void put_extra(struct pg_params *p, const struct job *j)
{
    struct buf text = {0};

    if (p->n == EXTRA_PLACE)
        pg_add_array(p, PG_JSONB);
    extra_write(&text, j);
    pg_put_jsonb(&p->v[EXTRA_PLACE], buf_span(&text));
    p->v[EXTRA_PLACE].buf.failed |= text.failed;
    buf_done(&text);
}

/* Nothing but what every job has: half of the columns are null. */
static bool is_plain(const struct job *j)
{
    const struct retry_policy *p = &j->retry;
    return p->initial_backoff_us == default_retry.initial_backoff_us &&
           p->max_backoff_us == default_retry.max_backoff_us && p->multiplier == default_retry.multiplier &&
           p->jitter == default_retry.jitter && j->source_type.len == 0 && j->source_id.len == 0 && j->batch.len == 0 &&
           j->traceparent.len == 0 && j->request_id.len == 0 && j->n_labels == 0;
}

static void put_plain_job(struct writer *w, const struct job *j, const struct lane *lane)
{
    struct pg_params *p = &w->batch.rows.job_plain;
    struct pg_param *v = p->v;

    ARRAYS(p, PG_INT8, PG_INT4, PG_TIMESTAMPTZ, PG_INT4, PG_INT2, PG_TEXT, PG_TEXT, PG_JSONB);
    pg_put_int8(&v[0], j->id);
    pg_put_int4(&v[1], lane->id);
    pg_put_time(&v[2], j->run_us);
    pg_put_int4(&v[3], j->retry.max_attempts);
    pg_put_int2(&v[4], (int16_t)j->priority);
    pg_put_text_or_null(&v[5], j->owner);
    pg_put_text_or_null(&v[6], j->creator);
    pg_put_jsonb(&v[7], j->payload.len ? j->payload : SPAN_LIT("{}"));
}

void put_job(struct writer *w, const struct job *j, const struct lane *lane)
{
    bool has_extra = extra_is_there(j);
    if (!has_extra && is_plain(j)) {
        put_plain_job(w, j, lane);
        return;
    }
    struct pg_params *p = has_extra ? &w->batch.rows.job_extra : &w->batch.rows.job;
    struct pg_param *v = p->v;

    ARRAYS(p, PG_INT8, PG_INT4, PG_TIMESTAMPTZ, PG_INT4, PG_INT2, PG_INT8, PG_INT8, PG_FLOAT8, PG_FLOAT8, PG_TEXT,
           PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_JSONB, PG_JSONB);
    if (has_extra)
        put_extra(p, j);
    pg_put_int8(&v[0], j->id);
    pg_put_int4(&v[1], lane->id);
    pg_put_time(&v[2], j->run_us);
    pg_put_int4(&v[3], j->retry.max_attempts);
    pg_put_int2(&v[4], (int16_t)j->priority);
    put_retry(&v[5], &j->retry);
    pg_put_text_or_null(&v[9], j->source_type);
    pg_put_text_or_null(&v[10], j->source_id);
    pg_put_text_or_null(&v[11], j->owner);
    pg_put_text_or_null(&v[12], j->creator);
    pg_put_text_or_null(&v[13], j->batch);
    pg_put_text_or_null(&v[14], j->traceparent);
    pg_put_text_or_null(&v[15], j->request_id);
    put_labels(&v[16], j);
    pg_put_jsonb(&v[17], j->payload.len ? j->payload : SPAN_LIT("{}"));
}

void put_pending(struct writer *w, const struct job *job, struct lane *lane, bool has_state)
{
    struct pg_params *p;

    claim_note_bytes(lane, (int64_t)job->payload.len);
    if (job->run_us <= w->batch.now_us) {
        p = &w->batch.rows.waiting;
        ARRAYS(p, PG_INT4, PG_INT2, PG_INT8, PG_INT4);
        pg_put_int4(&p->v[0], lane->id);
        pg_put_int2(&p->v[1], (int16_t)-job->priority);
        pg_put_int8(&p->v[2], job->id);
        pg_put_int4(&p->v[3], has_state);
        lane->backlog = true;
        claim_note_put(lane, (struct queue_place){(int16_t)-job->priority, job->id});
        return;
    }
    p = &w->batch.rows.scheduled;
    ARRAYS(p, PG_TIMESTAMPTZ, PG_INT8, PG_INT4, PG_INT2, PG_INT4);
    pg_put_time(&p->v[0], job->run_us);
    pg_put_int8(&p->v[1], job->id);
    pg_put_int4(&p->v[2], lane->id);
    pg_put_int2(&p->v[3], (int16_t)-job->priority);
    pg_put_int4(&p->v[4], has_state);
    if (job->run_us < w->due_sched_us)
        w->due_sched_us = job->run_us;
}

/* ---- sending ---- */

static void send_plain_jobs(struct writer *w)
{
    struct pg_params *p = &w->batch.rows.job_plain;

    if (p->n == 0 || !rows_are_same(p, 1, 6)) {
        rows_send_part(w, SQL_JOB_INSERT_PLAIN, p);
        return;
    }
    rows_make_scalars(p, 1, 6);
    rows_send_part(w, SQL_JOB_INSERT_SAME, p);
}

static void send_waiting(struct writer *w)
{
    struct pg_params *p = &w->batch.rows.waiting;

    if (p->n == 0 || !rows_are_same(p, 0, 1) || !rows_are_same(p, 3, 3)) {
        rows_send_part(w, SQL_WAITING_INSERT, p);
        return;
    }
    rows_make_scalars(p, 0, 1);
    rows_make_scalars(p, 3, 3);
    rows_send_part(w, SQL_WAITING_INSERT_SAME, p);
}

void rows_send_jobs(struct writer *w)
{
    struct rows *r = &w->batch.rows;

    rows_send_part(w, SQL_JOB_INSERT, &r->job);
    send_plain_jobs(w);
    rows_send_part(w, SQL_JOB_INSERT_EXTRA, &r->job_extra);
    rows_send_part(w, SQL_DEADLINE_INSERT, &r->deadline);
    send_waiting(w);
}

void rows_send_early(struct writer *w)
{
    struct rows *r = &w->batch.rows;

    if (r->job_plain.n == 0 || r->job_plain.v[0].n < PART_ROWS)
        return;
    send_plain_jobs(w);
    send_waiting(w);
    pg_params_clear(&r->job_plain);
    pg_params_clear(&r->waiting);
    pg_push(w->pg);
}
