/* Ends of attempts and progress of leases within a batch. A lease that this process does not have in memory (it was
 * given by another one, or before a restart) is read from the database first. Writer thread. */
#include <inttypes.h>

#include "store/plan_log.h"

static struct store_finish *finish_of(const struct unit *u)
{
    return (struct store_finish *)u->cmd;
}

static struct store_progress *progress_of(const struct unit *u)
{
    return (struct store_progress *)u->cmd;
}

static void set_lost(struct err *err, int64_t job_id)
{
    err_set(err, ERR_FAILED_PRECONDITION, "LEASE_LOST", "the lease on job %" PRId64 " is no longer the caller's",
            job_id);
}

static void ask_for(struct writer *w, int64_t job_id)
{
    struct pg_params *p = &w->batch.rows.load;

    if (p->n == 0)
        pg_add_array(p, PG_INT8);
    pg_put_int8(&p->v[0], job_id);
}

/* An end may be the repetition of one that was accepted. */
static void ask_how_ended(struct writer *w, const struct store_finish *f)
{
    static const enum pg_type types[] = {PG_INT8, PG_INT8, PG_INT2, PG_TEXT, PG_TEXT, PG_JSONB};
    struct pg_params *p = &w->batch.rows.ended;

    if (p->n == 0)
        pg_arrays(p, types, 6);
    pg_put_int8(&p->v[0], f->job_id);
    pg_put_int8(&p->v[1], f->token);
    pg_put_int2(&p->v[2], (int16_t)f->outcome);
    pg_put_text_or_null(&p->v[3], f->error.type);
    pg_put_text_or_null(&p->v[4], f->error.message);
    pg_put_jsonb(&p->v[5], f->result);
}

int loaded_row(const struct pg_result *r, int64_t job_id)
{
    for (int i = 0; r && i < pg_rows(r); i++) {
        if (pg_int(r, i, ROW_ID) == job_id)
            return i;
    }
    return -1;
}

/* Does memory know at least what its row does? The worker of another process's session may have reported there, or may
 * have gone there by a new stream; a lease of no session may be reported on anywhere. */
static bool is_newest(const struct lease *lease, int64_t session_id, int64_t revision)
{
    if (lease->dirty_us)
        return true;
    if (lease->session_id != session_id)
        return false;
    return lease->session || (session_id == 0 && lease->revision >= revision);
}

struct lease *loaded_lease(struct writer *w, const struct pg_result *r, int row)
{
    int64_t token = pg_int(r, row, ROW_TOKEN);
    struct lease *lease = leases_find(w, pg_int(r, row, ROW_ID)), *old = lease;
    struct lane *lane;
    struct job job;

    if (lease && lease->token == token && is_newest(lease, pg_int(r, row, ROW_SESSION), pg_int(r, row, ROW_REVISION))) {
        if (lease->session_id != pg_int(r, row, ROW_SESSION))
            lease_move(lease, pg_int(r, row, ROW_SESSION), session_find(w, pg_int(r, row, ROW_SESSION)));
        if (pg_int(r, row, ROW_REVISION) > lease->revision) /* reports went through another process meanwhile */
            lease->revision = job_revision_apart(pg_int(r, row, ROW_REVISION));
        return lease;
    }
    if (token == 0)
        return NULL;
    lane = lanes_add(w, (int32_t)pg_int(r, row, ROW_LANE), pg_text(r, row, ROW_QUEUE), pg_text(r, row, ROW_NAME));
    if (!lane || !row_job(r, row, &w->batch.arena, &job))
        return NULL;
    lease = lease_new(&job, token, lane);
    if (!lease)
        return NULL;
    lease->revision = job_revision_apart(lease->revision);
    lease->has_state = pg_int(r, row, ROW_HAS_STATE) != 0;
    lease->session_id = pg_int(r, row, ROW_SESSION);
    lease->expire_us = lease->expire_written_us = pg_time(r, row, ROW_EXPIRE);
    lease->session = session_find(w, lease->session_id);
    if (old && old->token == token) {
        lease->rate = old->rate;
    }
    /* What is known here of an older attempt, or of what was reported elsewhere, is stale. */
    if (!leases_add(w, lease)) {
        lease_free(lease);
        return NULL;
    }
    return lease;
}

bool lease_is_shared(const struct writer *w, const struct lease *lease)
{
    return !lease->session && (lease->session_id || w->others);
}

bool lease_ask(struct writer *w, int64_t job_id, int64_t token)
{
    const struct lease *lease = leases_find(w, job_id);

    /* One that was written through another process may have changed there. */
    if (lease && lease->token == token && !lease_is_shared(w, lease))
        return false;
    ask_for(w, job_id);
    return true;
}

void finish_prepare(struct writer *w, struct unit *u)
{
    int64_t id = u->cmd->op == STORE_FINISH ? finish_of(u)->job_id : progress_of(u)->job_id;
    int64_t token = u->cmd->op == STORE_FINISH ? finish_of(u)->token : progress_of(u)->token;
    struct lease *lease = leases_find(w, id);
    bool asked = lease_ask(w, id, token);

    /* Nor is memory to be trusted when the worker comes from another process. */
    if (!asked && u->cmd->op == STORE_PROGRESS && progress_moves(w, lease, progress_of(u)))
        ask_for(w, id);
    if (asked && u->cmd->op == STORE_FINISH)
        ask_how_ended(w, finish_of(u));
}

bool lease_is_within(const struct lease *lease, const struct job_scope *scope)
{
    return !scope || job_scope_holds(scope, lease->lane->queue, lease->lane->name, lease->base->job.owner);
}

/* Tokens are no secret: they are ids of the moment at which the attempt began, which anybody may know. Who may not see
 * the job has no lease on it, whatever token he brings. */
struct lease *lease_of(struct writer *w, int64_t job_id, int64_t token, const struct job_scope *scope, struct err *err)
{
    struct lease *lease = leases_find(w, job_id);
    int row = loaded_row(w->batch.loaded, job_id);

    if (row >= 0)
        lease = loaded_lease(w, w->batch.loaded, row);
    else if (lease && !lease->session && lease->session_id)
        lease = NULL;
    if (!lease || lease->token != token || !lease_is_within(lease, scope)) {
        set_lost(err, job_id);
        return NULL;
    }
    return lease;
}

static struct span worker_actor(struct writer *w, struct span worker)
{
    char *s = arena_printf(&w->batch.arena, "worker:%.*s", (int)worker.len, worker.data ? worker.data : "");

    return span_str(s);
}

const struct job_error run_timeout = {
    .type = SPAN_LIT("RunTimeout"),
    .message = SPAN_LIT("the attempt took longer than the job's run time-out"),
};

const struct job_error heartbeat_timeout = {
    .type = SPAN_LIT("HeartbeatTimeout"),
    .message = SPAN_LIT("the worker said nothing about the job within its heartbeat time-out"),
};

/* The change of status. Who asked for a cancel is who made it, if it came to that, and the job keeps why; if it was
 * completed all the same, the record says that somebody had asked. Completion needs no record else. */
static void put_end(struct writer *w, struct job *j, struct span actor, struct span reason)
{
    const struct cancel_request *cancel = &j->cancel;

    if (cancel->time_us && j->status == JOB_CANCELLED) {
        actor = cancel->actor;
        reason = cancel->reason;
    } else if (cancel->time_us) {
        reason = span_str(arena_printf(&w->batch.arena, "a cancel was asked for by %.*s%s%.*s", (int)cancel->actor.len,
                                       cancel->actor.data ? cancel->actor.data : "", cancel->reason.len ? ": " : "",
                                       (int)cancel->reason.len, cancel->reason.data ? cancel->reason.data : ""));
    }
    if (cancel->time_us || j->status != JOB_COMPLETED)
        put_transition(w, j, JOB_RUNNING, actor, reason, (struct span){NULL, 0});
    j->cancel = (struct cancel_request){.reason = j->status == JOB_CANCELLED ? reason : (struct span){NULL, 0}};
}

/* The one place where an attempt ends. error: of this attempt. */
static enum job_status end_attempt(struct writer *w, struct lease *lease, const struct attempt_end *end,
                                   const struct job_error *error, struct span result, struct span actor,
                                   struct span reason)
{
    struct batch *b = &w->batch;
    struct effect *e = batch_effect(w, EFFECT_ENDED);
    struct job now, *j;
    int64_t run_us, end_us;

    lease_job(lease, &now);
    j = batch_job(w, &now);
    if (!e || !j)
        return JOB_RUNNING;
    /* A batch has the time of its beginning, and this one may have waited for the other replica's that began the
     * attempt. */
    end_us = b->now_us > j->start_us ? b->now_us : j->start_us;
    j->status = job_after_attempt(j, end, b->now_us, writer_random(w), &run_us);
    j->revision = job_revision_transition(j->revision);
    j->progress.eta_us = 0;
    if (error->type.len || error->message.len)
        j->error = *error;
    if (end->outcome == ATTEMPT_COMPLETED)
        j->result = result;
    if (end->outcome == ATTEMPT_RELEASED && j->attempts_left < j->retry.max_attempts)
        j->attempts_left++;
    lease->busy = true;
    put_patches(w, lease);
    put_lease_gone(w, lease);
    if (end->outcome != ATTEMPT_COMPLETED)
        put_attempt(w, j, end->outcome, end_us, error);
    put_end(w, j, actor, reason);
    count_change(w, lease->lane, JOB_RUNNING, j->status);
    if (j->status == JOB_PENDING && end->outcome != ATTEMPT_RELEASED)
        count_retry(w, lease->lane);
    if (job_status_is_final(j->status)) {
        j->end_us = end_us;
        unique_release(w, j);
        count_run(w, lease->lane, j);
    } else {
        j->run_us = run_us;
        put_pending(w, j, lease->lane, true);
    }
    put_state(w, j, lease->lane, lease->has_state ? JOB_PENDING : 0, lease->token);
    e->job = j;
    e->lease = lease;
    e->lost = end->outcome == ATTEMPT_LOST || error == &run_timeout ||
              error == &heartbeat_timeout; /* the worker does not know */
    return j->status;
}

/* Was the lease ended before, by the same word? Then the answer was lost, and is given again. */
static bool ended_before(struct writer *w, struct store_finish *f)
{
    const struct pg_result *r = w->batch.ended;
    int row = loaded_row(w->batch.loaded, f->job_id);
    struct job job;

    if (row < 0 || !row_job(w->batch.loaded, row, &w->batch.arena, &job) ||
        (f->scope && !job_scope_holds(f->scope, job.queue, job.name, job.owner)))
        return false;
    for (int i = 0; r && i < pg_rows(r); i++) {
        if (pg_int(r, i, 0) != f->job_id || pg_int(r, i, 1) != f->token)
            continue;
        f->status = (enum job_status)pg_int(r, i, 2);
        return true;
    }
    return false;
}

void finish_plan(struct writer *w, struct unit *u)
{
    struct store_finish *f = finish_of(u);
    struct lease *lease = lease_of(w, f->job_id, f->token, f->scope, &u->cmd->err);
    struct attempt_end end = {f->outcome, f->no_retry, f->delay_us};
    struct span reason;

    if (!lease) {
        if (ended_before(w, f))
            u->cmd->err = ERR_NONE;
        return;
    }
    if (f->outcome == ATTEMPT_CANCELLED && lease->cancel.time_us == 0) {
        err_set(&u->cmd->err, ERR_FAILED_PRECONDITION, "CANCEL_NOT_REQUESTED",
                "nobody asked for a cancel of job %" PRId64, f->job_id);
        return;
    }
    reason = f->outcome != ATTEMPT_RELEASED ? f->error.type : f->reason.len ? f->reason : SPAN_LIT("given back");
    f->status = end_attempt(w, lease, &end, &f->error, f->result, worker_actor(w, lease->base->job.worker), reason);
}

void timeout_plan(struct writer *w, struct lease *lease, const struct job_error *timeout)
{
    static const struct attempt_end end = {.outcome = ATTEMPT_FAILED};

    end_attempt(w, lease, &end, timeout, (struct span){NULL, 0}, SPAN_LIT("joblogd"), timeout->type);
}

void lost_plan(struct writer *w, struct lease *lease, enum attempt_outcome outcome)
{
    static const struct job_error lost = {
        .type = {"LeaseLost", 9},
        .message = {"the worker gave no sign of life within the lease time-out", 57},
    };
    static const struct job_error none = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
    struct attempt_end end = {.outcome = outcome};
    bool is_lost = outcome == ATTEMPT_LOST;

    end_attempt(w, lease, &end, is_lost ? &lost : &none, (struct span){NULL, 0},
                is_lost ? SPAN_LIT("joblogd") : worker_actor(w, lease->base->job.worker),
                is_lost ? SPAN_LIT("lease lost") : SPAN_LIT("given back"));
}

bool progress_moves(struct writer *w, const struct lease *lease, const struct store_progress *cmd)
{
    struct store_session *session;

    if (cmd->session_id == lease->session_id || lease->session_id == 0)
        return false;
    /* A session that was silent gets nothing before its sign of life is written. */
    session = session_find(w, cmd->session_id);
    return session && !session->closing && !session->expired;
}

void progress_plan(struct writer *w, struct unit *u)
{
    struct store_progress *p = progress_of(u);
    struct lease *lease = lease_of(w, p->job_id, p->token, p->scope, &u->cmd->err);
    struct effect *e;

    int rc;

    if (!lease)
        return;
    /* It may follow a change that another replica made and the feed has yet to read; this batch is told after it. */
    w->planning = true;
    rc = lease_progress(w, lease, p, &u->cmd->err);
    w->planning = false;
    if (rc < 0)
        return;
    lease_write(w, lease);
    if (!progress_moves(w, lease, p))
        return;
    e = batch_effect(w, EFFECT_ADOPTED);
    if (!e)
        return;
    e->lease = lease;
    e->session = session_find(w, p->session_id);
    put_adoption(w, lease, e->session);
}
