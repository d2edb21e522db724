/* The batch: commands become one transaction, and its effects are applied after the commit; see engine.h. Writer
 * thread. */
#include "store/commit.h"
#include "store/plan_log.h"
#include "store/replay.h"

/* ---- parts ---- */

struct effect *batch_effect(struct writer *w, enum effect_kind kind)
{
    struct effect *e = arena_zalloc(&w->batch.arena, sizeof *e);

    if (!e) {
        w->batch.failed_memory = true;
        return NULL;
    }
    e->kind = kind;
    *w->batch.effects_end = e;
    w->batch.effects_end = &e->next;
    return e;
}

struct job *batch_job(struct writer *w, const struct job *job)
{
    struct job *copy = arena_alloc(&w->batch.arena, sizeof *copy);

    if (copy)
        *copy = *job;
    else
        w->batch.failed_memory = true;
    return copy;
}

static bool batch_owns(struct writer *w, int64_t job_id)
{
    struct busy_id *busy = NULL;

    HASH_FIND(hh, w->batch.busy, &job_id, sizeof job_id, busy);
    return busy != NULL;
}

bool batch_own(struct writer *w, int64_t job_id)
{
    struct batch *b = &w->batch;
    struct busy_id *busy;

    if (batch_owns(w, job_id))
        return false;
    busy = arena_zalloc(&b->arena, sizeof *busy);
    if (!busy) {
        b->failed_memory = true;
        return false;
    }
    busy->id = job_id;
    HASH_ADD(hh, b->busy, id, sizeof busy->id, busy);
    if (!busy->hh.tbl)
        b->failed_memory = true;
    return true;
}

static void batch_start(struct writer *w)
{
    struct batch *b = &w->batch;

    batch_done(b);
    b->now_us = clock_wall_us();
    b->effects_end = &b->effects;
    b->claims_end = &b->claims;
}

/* Everything but the rows' memory, which is used again. */
void batch_done(struct batch *b)
{
    HASH_CLEAR(hh, b->busy);
    HASH_CLEAR(hh, b->by_request);
    HASH_CLEAR(hh, b->logs);
    pg_free(b->loaded);
    pg_free(b->ended);
    pg_free(b->removed);
    pg_free(b->lost);
    pg_free(b->late);
    pg_free(b->arrived);
    arena_reset(&b->arena);
    rows_clear(&b->rows);
    b->effects = NULL;
    b->requests = NULL;
    b->claims = NULL;
    b->behind = NULL;
    b->knows_behind = false;
    b->loaded = b->ended = b->removed = b->lost = NULL;
    b->unique = NULL;
    b->late = b->arrived = NULL;
    b->n_silent = 0;
    b->spoilt = false;
    b->failed_memory = b->sent_lost = b->sent_promote = b->want_lost = b->want_unique = false;
    b->n_sent = 0;
    b->sent_minute_past = b->sent_minute_set = b->sent_minute_put = b->sent_tally_set = b->sent_tally_put = false;
    b->owes = b->pays = b->by_place = false;
}

/* ---- effects ---- */

static void apply_cancel(struct writer *w, struct effect *e)
{
    struct lease *l = e->lease;
    struct job_snapshot *snapshot = job_snapshot_new(e->job);

    lease_set_cancel(l, &e->job->cancel);
    l->revision = e->job->revision;
    if (!snapshot)
        return; /* the worker hears of it with its next progress report */
    if (l->session)
        session_push(l->session, DELIVERY_CANCEL, l->job_id, l->token, snapshot);
    tell(w, e->job, snapshot, true);
    job_snapshot_unref(snapshot);
}

/* It may have been asked to stop while it was away. */
static void apply_adopted(struct effect *e)
{
    struct lease *l = e->lease;
    struct job_snapshot *snapshot;
    struct job job;

    lease_move(l, e->session->id, e->session);
    l->expire_us = 0;
    if (!l->cancel.time_us)
        return;
    lease_job(l, &job);
    snapshot = job_snapshot_new(&job);
    session_push(e->session, DELIVERY_CANCEL, l->job_id, l->token, snapshot);
    job_snapshot_unref(snapshot);
}

static void apply_leased(struct writer *w, struct effect *e)
{
    struct lease *l = e->lease;
    struct job_snapshot *snapshot = job_snapshot_ref(l->base);
    bool known = leases_add(w, l);

    if (!known) {
        log_error("out of memory for a lease job=%lld", (long long)l->job_id);
        lease_free(l);
    }
    if (e->session && (!known || !session_push(e->session, DELIVERY_LEASE, l->job_id, l->token, snapshot))) {
        /* The worker never hears of it, but lives, and the lease with it: it is given back as any that nobody knows. */
        if (known)
            leases_forget(w, l);
        match_credit(e->session, 1);
        w->unknown = true;
    }
    tell(w, &snapshot->job, snapshot, true);
    job_snapshot_unref(snapshot);
}

static void apply(struct writer *w, struct effect *e)
{
    struct lease *l = e->lease;

    switch (e->kind) {
    case EFFECT_DISPATCHED:
    case EFFECT_CHANGED:
        tell(w, e->job, NULL, true);
        break;
    case EFFECT_LEASED:
        apply_leased(w, e);
        break;
    case EFFECT_ENDED:
        if (e->lost && l->session)
            session_push(l->session, DELIVERY_LOST, l->job_id, l->token, NULL);
        tell(w, e->job, NULL, true);
        leases_forget(w, l);
        break;
    case EFFECT_CANCEL_ASKED:
        apply_cancel(w, e);
        break;
    case EFFECT_ADOPTED:
        apply_adopted(e);
        break;
    case EFFECT_WRITTEN:
        lease_clean(w, l);
        lease_written(w, l);
        buf_clear(&l->patches);
        l->expire_written_us = l->expire_us;
        break;
    case EFFECT_LOGGED:
        log_applied(w, e->cmd);
        break;
    case EFFECT_TOUCHED:
        e->session->expire_written_us = e->time_us;
        match_revive(e->session);
        break;
    case EFFECT_SESSION:
        session_applied(w, e->cmd);
        break;
    }
}

static void drop(struct effect *e)
{
    switch (e->kind) {
    case EFFECT_LEASED:
        if (e->session)
            match_credit(e->session, 1);
        lease_free(e->lease);
        break;
    case EFFECT_ENDED:
        if (e->lease) /* memory may have run out before it was set */
            e->lease->busy = false;
        break;
    case EFFECT_SESSION:
        if (e->cmd && e->cmd->op == STORE_SESSION_OPEN) {
            session_free(((struct store_session_open *)e->cmd)->session);
            ((struct store_session_open *)e->cmd)->session = NULL;
        }
        break;
    default:
        break;
    }
}

static void batch_apply(struct writer *w)
{
    unique_settle(w);
    dispatch_settle(w);
    claim_applied(w);
    for (struct effect *e = w->batch.effects; e; e = e->next)
        apply(w, e);
}

static void batch_drop(struct writer *w)
{
    for (struct effect *e = w->batch.effects; e; e = e->next)
        drop(e);
    claim_drop(w);
    counters_drop(w);
}

/* ---- steps ---- */

bool batch_takes(struct writer *w, const struct store_cmd *cmd)
{
    switch (cmd->op) {
    case STORE_FINISH:
        return batch_own(w, ((const struct store_finish *)cmd)->job_id);
    case STORE_PROGRESS:
        return batch_own(w, ((const struct store_progress *)cmd)->job_id);
    case STORE_LOG_WRITE:
        return !batch_owns(w, ((const struct store_log_write *)cmd)->job_id); /* others of the job may follow */
    case STORE_CANCEL:
        return batch_own(w, ((const struct store_cancel *)cmd)->job_id);
    case STORE_RETRY:
        return batch_own(w, ((const struct store_retry *)cmd)->job_id);
    default:
        return true;
    }
}

static void prepare(struct writer *w, struct unit *u)
{
    u->cmd->err = ERR_NONE;
    u->deferred = !batch_takes(w, u->cmd);
    if (u->deferred)
        return;
    switch (u->cmd->op) {
    case STORE_DISPATCH:
        dispatch_prepare(w, u);
        break;
    case STORE_FINISH:
    case STORE_PROGRESS:
        finish_prepare(w, u);
        break;
    case STORE_LOG_WRITE:
        log_prepare(w, u);
        break;
    case STORE_CANCEL:
    case STORE_RETRY:
        steer_prepare(w, u);
        break;
    case STORE_SESSION_CLOSE:
        session_close_prepare(w, u);
        break;
    default:
        break;
    }
}

static void plan(struct writer *w, struct unit *u)
{
    if (u->deferred)
        return;
    switch (u->cmd->op) {
    case STORE_DISPATCH:
        dispatch_plan(w, u);
        break;
    case STORE_FINISH:
        finish_plan(w, u);
        break;
    case STORE_PROGRESS:
        progress_plan(w, u);
        break;
    case STORE_LOG_WRITE:
        log_plan(w, u);
        break;
    case STORE_CANCEL:
        cancel_plan(w, u);
        break;
    case STORE_RETRY:
        retry_plan(w, u);
        break;
    case STORE_SESSION_OPEN:
        session_open_plan(w, u);
        break;
    case STORE_SESSION_CLOSE:
        session_close_plan(w, u);
        break;
    default:
        break;
    }
}

static bool send(struct writer *w, enum sql_id id, struct pg_params *p)
{
    if (p->n == 0)
        return false;
    pg_send(w->pg, sql_name(id), p);
    w->batch.n_sent++;
    return true;
}

/* Asks what must be known before anything can be planned; one round trip, none when nothing is asked. */
static void ask(struct writer *w, bool upkeep)
{
    struct batch *b = &w->batch;
    struct rows *r = &b->rows;
    bool requests = r->request.n > 0 && w->asks_requests, removes, loads, ended, promotes = false;
    struct pg_result *found;

    if (r->request.n > 0)
        pg_add_time(&r->request, b->now_us);
    if (r->request.n > 0 && !requests)
        dispatch_answers(w, NULL); /* they are new, or request_put says otherwise */
    if (requests) {
        send(w, SQL_REQUEST_INSERT, &r->request);
        send(w, SQL_REQUEST_FIND, &r->request_find);
    }
    removes = send(w, SQL_WAIT_REMOVE, &r->remove);
    loads = send(w, SQL_JOB_GET, &r->load);
    ended = send(w, SQL_LEASE_ENDED, &r->ended);
    if (b->want_lost) {
        pg_add_time(&r->lost, b->now_us);
        b->sent_lost = send(w, SQL_LEASE_LOST, &r->lost);
    }
    if (upkeep && b->sent_promote) {
        pg_params_clear(&w->params);
        pg_add_time(&w->params, b->now_us);
        promotes = send(w, SQL_PROMOTE, &w->params);
    }
    bool deadlines = upkeep && !w->final && w->due_deadline_us <= b->now_us;
    if (deadlines)
        deadline_send(w);
    bool arrivals = upkeep && !w->final && w->arrivals;
    if (arrivals)
        arrival_send(w);
    claim_send(w);
    if (b->n_sent == 0)
        return;
    pg_flush(w->pg);
    if (requests) {
        pg_free(pg_read(w->pg));
        found = pg_read(w->pg);
        dispatch_answers(w, found);
        pg_free(found);
    }
    if (removes)
        b->removed = pg_read(w->pg);
    if (loads)
        b->loaded = pg_read(w->pg);
    if (ended)
        b->ended = pg_read(w->pg);
    if (b->sent_lost)
        b->lost = pg_read(w->pg);
    if (promotes) {
        struct pg_result *promoted = pg_read(w->pg);
        if (promoted)
            upkeep_promoted(w, promoted);
        pg_free(promoted);
    }
    if (deadlines)
        b->late = pg_read(w->pg);
    if (arrivals)
        b->arrived = pg_read(w->pg);
    claim_read(w);
}

int batch_run(struct writer *w, struct unit *units, size_t n, bool upkeep, struct err *ret_err)
{
    int rc;

    if (pg_lost(w->pg) && batch_recover(w, false, ret_err) < 0)
        return err_set(ret_err, ERR_UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database cannot be reached");
    /* After that: the counters were read for the minute of the reconnect. */
    batch_start(w);
    if (!dispatch_lanes(w, units, n, ret_err))
        return pg_lost(w->pg) ? batch_reconnected(ret_err) : -(int)ret_err->code;
    if (!steer_look_up(w, units, n, ret_err))
        return pg_lost(w->pg) ? batch_reconnected(ret_err) : -(int)ret_err->code;
    for (size_t i = 0; i < n; i++)
        prepare(w, &units[i]);
    if (upkeep)
        upkeep_prepare(w); /* after the sessions that close are known */
    if (upkeep && !w->final)
        claim_settle(w); /* before anything is sent: it may ask */
    ask(w, upkeep);
    if (w->batch.want_unique && !pg_failed(w->pg))
        unique_take(w, units, n);
    if (!pg_failed(w->pg)) {
        for (size_t i = 0; i < n; i++)
            plan(w, &units[i]);
        /* Releases of closed sessions come this way too. */
        upkeep_plan(w, upkeep);
    }
    rc = batch_commit(w, ret_err);
    if (rc == 0 && upkeep && w->batch.sent_lost)
        w->unknown = false;
    if (rc == 0) {
        batch_apply(w);
        w->others = feed_applied(w->store->feed, w->replica, w->batch_number);
    } else {
        batch_drop(w);
    }
    return rc;
}
