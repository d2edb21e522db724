/* The leases of this process in memory: the job as it was when the attempt began, and what has changed since. Progress
 * lives here and is written later. Writer thread. */
#include "store/heartbeat.h"
#include "store/plan_log.h"
#include <assert.h>

/* A lease carries the payload: with all else it must fit into the 4 MiB that a client of gRPC takes by default. */
enum { PAYLOAD_MAX_BYTES = 1024 * 1024, OTHER_BYTES = 1024 };

struct lease *lease_new(const struct job *job, int64_t token, struct lane *lane)
{
    struct lease *l = mem_zalloc(sizeof *l);

    if (!l)
        return NULL;
    l->base = job_snapshot_new(job);
    if (!l->base) {
        mem_free(l);
        return NULL;
    }
    l->job_id = job->id;
    l->token = token;
    l->lane = lane;
    l->revision = job->revision;
    l->progress = l->base->job.progress;
    l->cancel = l->base->job.cancel;
    return l;
}

void lease_free(struct lease *l)
{
    if (!l)
        return;
    job_snapshot_unref(l->base);
    buf_done(&l->texts);
    buf_done(&l->cancel_texts);
    buf_done(&l->payload);
    buf_done(&l->patches);
    mem_free(l);
}

struct lease *leases_find(struct writer *w, int64_t job_id)
{
    struct lease *l = NULL;

    HASH_FIND(hh, w->leases.map, &job_id, sizeof job_id, l);
    return l;
}

int64_t lease_bytes(const struct lease *l)
{
    return OTHER_BYTES + (int64_t)(l->base->job.payload.len + l->payload.len);
}

static void unlink_session(struct lease *l)
{
    if (!l->session)
        return;
    if (l->prev)
        l->prev->next = l->next;
    else
        l->session->leases = l->next;
    if (l->next)
        l->next->prev = l->prev;
    l->prev = l->next = NULL;
    atomic_fetch_sub_explicit(&l->session->n_leases, 1, memory_order_relaxed);
    match_held(l->session, -lease_bytes(l));
    l->session = NULL;
}

static void link_session(struct lease *l)
{
    if (!l->session)
        return;
    l->prev = NULL;
    l->next = l->session->leases;
    if (l->next)
        l->next->prev = l;
    l->session->leases = l;
    atomic_fetch_add_explicit(&l->session->n_leases, 1, memory_order_relaxed);
    match_held(l->session, lease_bytes(l));
}

void lease_move(struct lease *l, int64_t session_id, struct store_session *session)
{
    unlink_session(l);
    l->session_id = session_id;
    l->session = session;
    link_session(l);
}

bool leases_add(struct writer *w, struct lease *l)
{
    struct lease *old = leases_find(w, l->job_id);

    if (old)
        leases_forget(w, old);
    HASH_ADD(hh, w->leases.map, job_id, sizeof l->job_id, l);
    if (!l->hh.tbl)
        return false;
    heart_add(w, l);
    link_session(l);
    return true;
}

void lease_clean(struct writer *w, struct lease *l)
{
    if (!l->dirty_us)
        return;
    *(l->prev_dirty ? &l->prev_dirty->next_dirty : &w->leases.dirty_head) = l->next_dirty;
    *(l->next_dirty ? &l->next_dirty->prev_dirty : &w->leases.dirty_tail) = l->prev_dirty;
    l->next_dirty = l->prev_dirty = NULL;
    l->dirty_us = 0;
}

static void set_dirty(struct writer *w, struct lease *l, int64_t now_us)
{
    if (l->dirty_us)
        return;
    l->dirty_us = now_us;
    l->next_dirty = NULL;
    l->prev_dirty = w->leases.dirty_tail;
    *(l->prev_dirty ? &l->prev_dirty->next_dirty : &w->leases.dirty_head) = l;
    w->leases.dirty_tail = l;
}

void leases_forget(struct writer *w, struct lease *l)
{
    lease_clean(w, l);
    heart_remove(w, l);
    unlink_session(l);
    assert(w->leases.map); /* it is in there */
    HASH_DELETE(hh, w->leases.map, l);
    lease_free(l);
}

/* Leases that are younger than the time-out are passed over: nobody ends them behind their worker's back. */
void leases_check(struct writer *w, int64_t now_us)
{
    enum { LOOK_MAX = 2000, ASK_MAX = 500 };
    struct lease *asked[ASK_MAX], *l = leases_find(w, w->leases.checked);
    struct pg_param *jobs, *tokens;
    struct pg_result *r;
    struct err err;
    int n = 0;

    pg_params_clear(&w->params);
    jobs = pg_add_array(&w->params, PG_INT8);
    tokens = pg_add_array(&w->params, PG_INT8);
    l = l ? l->hh.next : w->leases.map;
    w->leases.checked = 0; /* the end: from the start again */
    for (int i = 0; l && n < ASK_MAX; l = l->hh.next, i++) {
        if (i == LOOK_MAX)
            break;
        w->leases.checked = l->job_id;
        if (l->base->job.start_us + lease_life_us(w, &l->base->job) > now_us &&
            l->base->job.start_us + lease_timeout_us(w) > now_us)
            continue;
        asked[n++] = l;
        pg_put_int8(jobs, l->job_id);
        pg_put_int8(tokens, l->token);
    }
    if (!l)
        w->leases.checked = 0;
    if (n == 0)
        return;
    r = pg_run(w->pg, sql_name(SQL_LEASE_GONE), &w->params, &err);
    for (int i = 0; r && i < pg_rows(r); i++) {
        l = asked[pg_int(r, i, 0) - 1];
        if (l->session)
            session_push(l->session, DELIVERY_LOST, l->job_id, l->token, NULL);
        leases_forget(w, l);
    }
    pg_free(r);
}

void lease_job(const struct lease *l, struct job *ret_job)
{
    *ret_job = l->base->job;
    ret_job->revision = l->revision;
    ret_job->progress = l->progress;
    ret_job->cancel = l->cancel;
    if (l->payload.len)
        ret_job->payload = buf_span(&l->payload);
}

void lease_set_cancel(struct lease *l, const struct cancel_request *cancel)
{
    buf_clear(&l->cancel_texts);
    buf_reserve(&l->cancel_texts, cancel->actor.len + cancel->reason.len);
    buf_add(&l->cancel_texts, cancel->actor.data ? cancel->actor.data : "", cancel->actor.len);
    buf_add(&l->cancel_texts, cancel->reason.data ? cancel->reason.data : "", cancel->reason.len);
    l->cancel.time_us = cancel->time_us;
    l->cancel.actor = l->cancel.reason = (struct span){NULL, 0};
    if (!l->cancel_texts.failed) {
        l->cancel.actor = span_of(l->cancel_texts.data, cancel->actor.len);
        l->cancel.reason = span_of(l->cancel_texts.data + cancel->actor.len, cancel->reason.len);
    }
}

static bool set_progress(struct lease *l, const struct job_progress *p, int64_t since_us, int64_t now_us)
{
    struct span unit = p->unit, step = p->step;
    int64_t eta_us = job_rate_eta(&l->rate, &l->progress, p, since_us, now_us);

    buf_clear(&l->texts);
    buf_reserve(&l->texts, unit.len + step.len);
    buf_add(&l->texts, unit.data ? unit.data : "", unit.len);
    buf_add(&l->texts, step.data ? step.data : "", step.len);
    if (l->texts.failed)
        return false;
    l->progress = *p;
    l->progress.unit = span_of(l->texts.data, unit.len);
    l->progress.step = span_of(l->texts.data + unit.len, step.len);
    if (p->total > 0) {
        double percent = 100.0 * (double)p->done / (double)p->total;
        l->progress.percent = percent < 0 ? 0 : percent > 100 ? 100 : percent;
    }
    l->progress.eta_us = eta_us;
    return true;
}

static int merge_payload(struct lease *l, struct span patch, struct err *ret_err)
{
    struct buf merged = BUF_INIT;
    struct job job;

    lease_job(l, &job);
    if (!json_merge(&merged, job.payload, patch) || !buf_reserve(&l->patches, patch.len + 1)) {
        buf_done(&merged);
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    }
    if (merged.len > PAYLOAD_MAX_BYTES) {
        buf_done(&merged);
        return err_field(ret_err, "progress.payload_patch", "the payload would become longer than %d bytes",
                         PAYLOAD_MAX_BYTES);
    }
    if (l->session)
        match_held(l->session, (int64_t)merged.len - (int64_t)l->payload.len);
    buf_done(&l->payload);
    l->payload = merged;
    buf_add(&l->patches, patch.data, patch.len);
    buf_add_char(&l->patches, '\0');
    return 0;
}

/* A sign of life, and with news what is to be written and told. */
static void reported(struct writer *w, struct lease *l, bool news)
{
    int64_t now = clock_wall_us();
    struct job job;

    heart_beat(l);
    if (!l->session)
        l->expire_us = now + lease_life_us(w, &l->base->job);
    if (news)
        l->revision = job_revision_progress(l->revision);
    /* A renewal alone is written when a third of its time has gone. */
    if (news || (!l->session && l->expire_us - l->expire_written_us > lease_life_us(w, &l->base->job) / 3))
        set_dirty(w, l, now);
    if (!news)
        return;
    lease_job(l, &job);
    l->told_us = clock_mono_us();
    tell(w, &job, NULL, false);
}

static void give_cancel(const struct lease *l, struct arena *arena, struct cancel_request *ret_cancel)
{
    *ret_cancel = l->cancel;
    if (arena && l->cancel.time_us) {
        ret_cancel->actor = arena_span(arena, l->cancel.actor);
        ret_cancel->reason = arena_span(arena, l->cancel.reason);
    }
}

void lease_logged(struct writer *w, struct lease *l, struct store_log_write *cmd)
{
    reported(w, l, cmd->n_lines > 0);
    give_cancel(l, cmd->arena, &cmd->cancel);
}

/* Reports that need no commit pass by those that wait for one. What such a one says of the progress is old by then:
 * the newest to arrive stands. */
int lease_progress(struct writer *w, struct lease *l, struct store_progress *cmd, struct err *ret_err)
{
    int rc = cmd->payload_patch.len ? merge_payload(l, cmd->payload_patch, ret_err) : 0;
    bool newest = cmd->has_progress && cmd->number >= l->progress_number;

    if (rc != 0)
        return rc;
    if (newest && !set_progress(l, &cmd->progress, cmd->since_us, clock_wall_us()))
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    if (newest)
        l->progress_number = cmd->number;
    reported(w, l, newest || cmd->payload_patch.len);
    give_cancel(l, cmd->arena, &cmd->cancel);
    return 0;
}

void lease_written(struct writer *w, struct lease *l)
{
    const struct store_observer *o = &w->options->observer;
    int64_t told_us = l->told_us;
    struct job job;

    l->told_us = 0;
    if (told_us == 0 || !o->wanted_since || !o->repeated)
        return;
    lease_job(l, &job);
    if (!o->wanted_since(o->user, &job, told_us))
        return;
    struct job_snapshot *snapshot = job_snapshot_new(&job);
    if (!snapshot) {
        log_error("out of memory for a snapshot job=%lld", (long long)job.id);
        return;
    }
    if (!feed_take(w->store->feed, w->batch_number, snapshot, false, told_us))
        o->repeated(o->user, snapshot, told_us);
    job_snapshot_unref(snapshot);
}

void tell(struct writer *w, const struct job *job, struct job_snapshot *snapshot, bool is_transition)
{
    const struct store_observer *o = &w->options->observer;

    if (!o->wanted || !o->changed || !o->wanted(o->user, job))
        return;
    snapshot = snapshot ? job_snapshot_ref(snapshot) : job_snapshot_new(job);
    if (!snapshot) {
        log_error("out of memory for a snapshot job=%lld", (long long)job->id);
        return;
    }
    if (!feed_take(w->store->feed, w->batch_number + w->planning, snapshot, is_transition, 0))
        o->changed(o->user, snapshot, is_transition);
    job_snapshot_unref(snapshot);
}
