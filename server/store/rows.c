/* The rows that a batch writes, gathered as arrays in the order of the statements' parameters (server/store/sql), and
 * their sending. Writer thread. */
#include <assert.h>

#include "store/plan_log.h"
#include "store/rows.h"

static struct pg_params *each(struct rows *r, size_t i)
{
    struct pg_params *all[] = {&r->steer_request, &r->job_extra, &r->job_plain,   &r->deadline,  &r->unique_gone,
                               &r->request_turn,  &r->job,       &r->waiting,     &r->scheduled, &r->lease,
                               &r->lease_gone,    &r->state,     &r->state_plain, &r->update,    &r->attempt,
                               &r->transition,    &r->cancel,    &r->lease_put,   &r->patch,     &r->request,
                               &r->request_find,  &r->load,      &r->remove,      &r->session,   &r->session_gone,
                               &r->lost,          &r->adopt,     &r->ended};
    return i < sizeof all / sizeof all[0] ? all[i] : NULL;
}

void rows_clear(struct rows *r)
{
    struct pg_params *p;

    assert(r);
    for (size_t i = 0; (p = each(r, i)); i++)
        pg_params_clear(p);
    r->update_lo = r->patch_lo = INT64_MAX;
    r->update_hi = r->patch_hi = 0;
}

void rows_done(struct rows *r)
{
    struct pg_params *p;

    for (size_t i = 0; (p = each(r, i)); i++)
        pg_params_done(p);
}

void put_lease_gone(struct writer *w, const struct lease *l)
{
    struct pg_params *p = &w->batch.rows.lease_gone;

    ARRAYS(p, PG_INT8, PG_INT8, PG_TIMESTAMPTZ);
    pg_put_int8(&p->v[0], l->job_id);
    pg_put_int8(&p->v[1], l->token);
    pg_put_time(&p->v[2], l->cancel.time_us);
}

void put_attempt(struct writer *w, const struct job *j, enum attempt_outcome outcome, int64_t end_us,
                 const struct job_error *error)
{
    struct pg_params *p = &w->batch.rows.attempt;
    struct pg_param *v = p->v;

    if (p->n == 0) {
        static const enum pg_type types[] = {PG_INT8,        PG_INT4, PG_INT2, PG_INT8, PG_TIMESTAMPTZ,
                                             PG_TIMESTAMPTZ, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT};
        pg_arrays(p, types, 10);
    }
    pg_put_int8(&v[0], j->id);
    pg_put_int4(&v[1], j->attempt);
    pg_put_int2(&v[2], (int16_t)outcome);
    pg_put_int8(&v[3], j->revision);
    pg_put_time(&v[4], j->start_us);
    pg_put_time(&v[5], end_us);
    pg_put_text_or_null(&v[6], j->worker);
    pg_put_text_or_null(&v[7], error->type);
    pg_put_text_or_null(&v[8], error->message);
    pg_put_text_or_null(&v[9], error->stack_trace);
}

void put_transition(struct writer *w, const struct job *j, int from, struct span actor, struct span reason,
                    struct span request_id)
{
    struct pg_params *p = &w->batch.rows.transition;
    struct pg_param *v = p->v;

    if (p->n == 0) {
        static const enum pg_type first[] = {PG_INT8, PG_INT8};
        static const enum pg_type rest[] = {PG_INT2, PG_INT2, PG_TEXT, PG_TEXT, PG_TEXT};
        pg_arrays(p, first, 2);
        pg_add_time(p, w->batch.now_us);
        pg_arrays(p, rest, 5);
    }
    pg_put_int8(&v[0], j->id);
    pg_put_int8(&v[1], j->revision);
    pg_put_int2(&v[3], (int16_t)from);
    pg_put_int2(&v[4], (int16_t)j->status);
    pg_put_text_or_null(&v[5], actor);
    pg_put_text_or_null(&v[6], reason);
    pg_put_text_or_null(&v[7], request_id);
}

void put_cancel(struct writer *w, int64_t job_id, int64_t token, int64_t revision, const struct cancel_request *cancel,
                struct span request_id)
{
    struct pg_params *p = &w->batch.rows.cancel;

    ARRAYS(p, PG_INT8, PG_INT8, PG_INT8, PG_TEXT, PG_TEXT, PG_TEXT);
    pg_put_int8(&p->v[0], job_id);
    pg_put_int8(&p->v[1], token);
    pg_put_int8(&p->v[2], revision);
    pg_put_text_or_null(&p->v[3], cancel->actor);
    pg_put_text_or_null(&p->v[4], cancel->reason);
    pg_put_text_or_null(&p->v[5], request_id);
}

void put_adoption(struct writer *w, const struct lease *l, const struct store_session *s)
{
    struct pg_params *p = &w->batch.rows.adopt;

    ARRAYS(p, PG_INT8, PG_INT8, PG_INT8);
    pg_put_int8(&p->v[0], l->job_id);
    pg_put_int8(&p->v[1], l->token);
    pg_put_int8(&p->v[2], s->id);
}

/* As a JSON array. */
static void put_text_list(struct pg_param *a, const struct span *texts, size_t n)
{
    struct buf text = BUF_INIT;

    buf_add_char(&text, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_add_char(&text, ',');
        json_add_string(&text, texts[i]);
    }
    buf_add_char(&text, ']');
    pg_put_jsonb(a, buf_span(&text));
    a->buf.failed |= text.failed;
    buf_done(&text);
}

void put_session(struct writer *w, const struct store_session *s, int64_t expire_us)
{
    struct pg_params *p = &w->batch.rows.session;
    struct pg_param *v = p->v;

    if (p->n == 0) {
        static const enum pg_type first[] = {PG_INT8, PG_TIMESTAMPTZ, PG_TIMESTAMPTZ};
        static const enum pg_type rest[] = {PG_INT8, PG_TEXT, PG_TEXT, PG_TEXT, PG_JSONB, PG_JSONB, PG_INT4};
        pg_arrays(p, first, 3);
        pg_add_int4(p, w->replica);
        pg_arrays(p, rest, 7);
    }
    pg_put_int8(&v[0], s->id);
    pg_put_time(&v[1], expire_us);
    pg_put_time(&v[2], s->start_us);
    pg_put_int8(&v[4], s->pid);
    pg_put_text(&v[5], s->worker);
    pg_put_text_or_null(&v[6], s->version);
    pg_put_text_or_null(&v[7], s->host);
    put_text_list(&v[8], s->queues, s->n_queues);
    put_text_list(&v[9], s->names, s->n_names);
    pg_put_int4(&v[10], session_credit(s));
}

static void put_id(struct pg_params *p, int64_t id)
{
    ARRAYS(p, PG_INT8);
    pg_put_int8(&p->v[0], id);
}

void put_session_gone(struct writer *w, int64_t session_id)
{
    put_id(&w->batch.rows.session_gone, session_id);
}

void put_lost_session(struct writer *w, int64_t session_id)
{
    w->batch.want_lost = true;
    put_id(&w->batch.rows.lost, session_id);
}

void put_patches(struct writer *w, const struct lease *l)
{
    struct rows *r = &w->batch.rows;
    const char *at = l->patches.data, *end = at + l->patches.len;

    if (l->patches.len == 0)
        return;
    ARRAYS(&r->patch, PG_INT8, PG_JSONB, PG_INT8);
    for (; at < end; at += strlen(at) + 1) {
        pg_put_int8(&r->patch.v[0], l->job_id);
        pg_put_jsonb(&r->patch.v[1], span_str(at));
        pg_put_int8(&r->patch.v[2], l->token);
    }
    r->patch_lo = l->job_id < r->patch_lo ? l->job_id : r->patch_lo;
    r->patch_hi = l->job_id > r->patch_hi ? l->job_id : r->patch_hi;
}

void put_progress(struct writer *w, const struct lease *l)
{
    struct pg_params *p = &w->batch.rows.lease_put;
    struct pg_param *v = p->v;

    ARRAYS(p, PG_INT8, PG_INT8, PG_INT8, PG_FLOAT8, PG_INT8, PG_INT8, PG_TEXT, PG_TEXT, PG_TIMESTAMPTZ, PG_TIMESTAMPTZ);
    pg_put_int8(&v[0], l->job_id);
    pg_put_int8(&v[1], l->token);
    pg_put_int8(&v[2], l->revision);
    pg_put_double(&v[3], l->progress.percent);
    pg_put_int8(&v[4], l->progress.done);
    pg_put_int8(&v[5], l->progress.total);
    pg_put_text_or_null(&v[6], l->progress.unit);
    pg_put_text_or_null(&v[7], l->progress.step);
    pg_put_time(&v[8], l->progress.eta_us);
    pg_put_time(&v[9], l->expire_us);
}

bool rows_are_same(const struct pg_params *p, int first, int last)
{
    for (int i = first; i <= last; i++)
        if (!pg_param_is_same(&p->v[i]))
            return false;
    return true;
}

void rows_make_scalars(struct pg_params *p, int first, int last)
{
    for (int i = first; i <= last; i++)
        pg_param_make_scalar(&p->v[i]);
}

void rows_send_part(struct writer *w, enum sql_id id, struct pg_params *p)
{
    if (p->n == 0)
        return;
    pg_send(w->pg, sql_name(id), p);
    w->batch.n_sent++;
}

void rows_send(struct writer *w)
{
    struct rows *r = &w->batch.rows;

    if (!w->asks_requests)
        rows_send_part(w, SQL_REQUEST_PUT, &r->request);
    if (r->steer_request.n)
        pg_add_time(&r->steer_request, w->batch.now_us);
    rows_send_part(w, SQL_REQUEST_PUT, &r->steer_request);
    rows_send_part(w, SQL_REQUEST_TURN, &r->request_turn);
    rows_send_part(w, SQL_SESSION_PUT, &r->session);
    rows_send_jobs(w);
    rows_send_part(w, SQL_SCHEDULED_INSERT, &r->scheduled);
    rows_send_leases(w);
    rows_send_part(w, SQL_LEASE_PUT, &r->lease_put);
    if (r->adopt.n) {
        pg_add_int4(&r->adopt, r->adopt.v[0].n);
        rows_send_part(w, SQL_LEASE_ADOPT, &r->adopt);
    }
    if (r->cancel.n) {
        pg_add_time(&r->cancel, w->batch.now_us);
        pg_add_int4(&r->cancel, r->cancel.v[0].n);
        rows_send_part(w, SQL_CANCEL_PUT, &r->cancel);
    }
    if (r->patch.n) {
        pg_add_int8(&r->patch, r->patch_lo);
        pg_add_int8(&r->patch, r->patch_hi);
        rows_send_part(w, SQL_PAYLOAD_PATCH, &r->patch);
    }
    log_send_rows(w);
    rows_send_part(w, SQL_TRANSITION_INSERT, &r->transition); /* before the leases go */
    if (r->lease_gone.n) {
        pg_add_int4(&r->lease_gone, r->lease_gone.v[0].n);
        rows_send_part(w, SQL_LEASE_DELETE, &r->lease_gone);
    }
    rows_send_states(w);
    if (r->update.n) {
        pg_add_int4(&r->update, r->update.v[0].n);
        pg_add_int8(&r->update, r->update_lo);
        pg_add_int8(&r->update, r->update_hi);
        rows_send_part(w, SQL_STATE_UPDATE, &r->update);
    }
    rows_send_part(w, SQL_ATTEMPT_INSERT, &r->attempt);
    rows_send_part(w, SQL_SESSION_DELETE, &r->session_gone);
    rows_send_part(w, SQL_UNIQUE_RELEASE, &r->unique_gone);
}
