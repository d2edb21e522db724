/* Cancel and retry within a batch. Whether a job still waits is decided by taking its row out of the queue; the rest by
 * the record and the lease, read after that. Writer thread. */
#include <inttypes.h>

#include "store/replay.h"

static int64_t job_of(const struct unit *u)
{
    return u->cmd->op == STORE_CANCEL ? ((struct store_cancel *)u->cmd)->job_id
                                      : ((struct store_retry *)u->cmd)->job_id;
}

void steer_prepare(struct writer *w, struct unit *u)
{
    struct rows *r = &w->batch.rows;

    if (steer_is_known(u))
        return;
    if (r->load.n == 0)
        pg_add_array(&r->load, PG_INT8);
    pg_put_int8(&r->load.v[0], job_of(u));
    if (u->cmd->op != STORE_CANCEL) {
        w->batch.want_unique = true; /* it may have one */
        return;
    }
    if (r->remove.n == 0)
        pg_add_array(&r->remove, PG_INT8);
    pg_put_int8(&r->remove.v[0], job_of(u));
}

static struct job *loaded_job(struct writer *w, struct unit *u, int *ret_row, struct lane **ret_lane)
{
    const struct pg_result *r = w->batch.loaded;
    int row = loaded_row(r, job_of(u));
    struct job *j = arena_alloc(&w->batch.arena, sizeof *j);

    if (row < 0) {
        store_no_job(job_of(u), &u->cmd->err);
        return NULL;
    }
    *ret_row = row;
    *ret_lane = lanes_add(w, (int32_t)pg_int(r, row, ROW_LANE), pg_text(r, row, ROW_QUEUE), pg_text(r, row, ROW_NAME));
    if (!j || !*ret_lane || !row_job(r, row, &w->batch.arena, j)) {
        w->batch.failed_memory = true;
        return NULL;
    }
    return j;
}

static bool was_removed(const struct writer *w, int64_t job_id)
{
    const struct pg_result *r = w->batch.removed;

    for (int i = 0; r && i < pg_rows(r); i++) {
        if (pg_int(r, i, 0) == job_id)
            return true;
    }
    return false;
}

static void cancel_waiting(struct writer *w, const struct store_cancel *c, struct job *j, struct lane *lane,
                           bool has_state)
{
    struct effect *e = batch_effect(w, EFFECT_CHANGED);

    if (!e)
        return;
    j->status = JOB_CANCELLED;
    j->revision = job_revision_transition(j->revision);
    j->end_us = w->batch.now_us;
    put_state(w, j, lane, has_state ? JOB_PENDING : 0, 0);
    put_transition(w, j, JOB_PENDING, c->actor, c->reason, c->request_id);
    j->cancel = (struct cancel_request){.reason = c->reason};
    count_change(w, lane, JOB_PENDING, JOB_CANCELLED);
    unique_release(w, j);
    e->job = j;
}

void expire_plan(struct writer *w, const struct pg_result *r, int row)
{
    static const struct store_cancel expired = {.actor = SPAN_LIT("joblogd"), .reason = SPAN_LIT("expired")};
    struct lane *lane =
        lanes_add(w, (int32_t)pg_int(r, row, ROW_LANE), pg_text(r, row, ROW_QUEUE), pg_text(r, row, ROW_NAME));
    struct job *j = arena_alloc(&w->batch.arena, sizeof *j);

    if (!lane || !j || !row_job(r, row, &w->batch.arena, j)) {
        w->batch.failed_memory = true;
        return;
    }
    cancel_waiting(w, &expired, j, lane, pg_int(r, row, ROW_HAS_STATE) != 0);
}

/* The request is recorded with the lease. A second one changes nothing: false. */
static bool cancel_running(struct writer *w, const struct store_cancel *c, int row)
{
    struct lease *lease = loaded_lease(w, w->batch.loaded, row);
    struct cancel_request cancel = {w->batch.now_us, c->actor, c->reason};
    struct effect *e;
    struct job now;

    if (!lease) {
        w->batch.failed_memory = true;
        return false;
    }
    if (lease->cancel.time_us)
        return false;
    e = batch_effect(w, EFFECT_CANCEL_ASKED);
    if (!e)
        return false;
    lease_job(lease, &now);
    now.cancel = cancel;
    now.revision = job_revision_progress(now.revision);
    put_cancel(w, lease->job_id, lease->token, now.revision, &cancel, c->request_id);
    e->job = batch_job(w, &now);
    e->lease = lease;
    return true;
}

void cancel_plan(struct writer *w, struct unit *u)
{
    struct store_cancel *c = (struct store_cancel *)u->cmd;
    struct lane *lane;
    int row = 0;
    struct job *j = steer_is_known(u) ? NULL : loaded_job(w, u, &row, &lane);

    c->changed = false;
    if (!j)
        return;
    c->changed = true;
    if (was_removed(w, j->id)) {
        cancel_waiting(w, c, j, lane, pg_int(w->batch.loaded, row, ROW_HAS_STATE) != 0);
    } else if (j->status == JOB_RUNNING) {
        c->changed = cancel_running(w, c, row);
    } else if (j->status == JOB_PENDING) {
        /* Another replica is just moving it. */
        err_set(&u->cmd->err, ERR_ABORTED, NULL, "job %" PRId64 " is changing at this moment, try again", j->id);
        u->cmd->err.retry_after_ms = 100;
    } else {
        job_transition_check(j->id, j->status, JOB_CANCELLED, &u->cmd->err);
    }
    if (u->cmd->err.code == ERR_OK)
        steer_note(w, &c->key, j->id);
    else
        c->changed = false;
}

void retry_plan(struct writer *w, struct unit *u)
{
    struct store_retry *c = (struct store_retry *)u->cmd;
    struct lane *lane;
    int row = 0, from;
    struct job *j = steer_is_known(u) ? NULL : loaded_job(w, u, &row, &lane);
    struct effect *e;

    c->changed = false;
    if (!j || u->cmd->err.code != ERR_OK) /* its unique key is another job's by now */
        return;
    from = j->status;
    if (from == JOB_RUNNING) { /* it may become pending again, but not by a caller's wish */
        err_set(&u->cmd->err, ERR_FAILED_PRECONDITION, "JOB_TRANSITION_REFUSED",
                "job %" PRId64 " is running: cannot be put back to pending", j->id);
        return;
    }
    if (job_transition_check(j->id, from, JOB_PENDING, &u->cmd->err) < 0)
        return;
    e = batch_effect(w, EFFECT_CHANGED);
    if (!e)
        return;
    j->status = JOB_PENDING;
    j->retried_from = (enum job_status)from;
    j->revision = job_revision_transition(j->revision);
    j->attempts_left = j->retry.max_attempts;
    j->run_us = w->batch.now_us;
    j->end_us = 0;
    j->error = (struct job_error){0};
    j->cancel = (struct cancel_request){0};
    j->result = (struct span){NULL, 0};
    j->progress = (struct job_progress){0};
    put_state(w, j, lane, from, 0);
    put_transition(w, j, from, c->actor, c->reason, c->request_id);
    put_pending(w, j, lane, true);
    deadline_of_start(w, j);
    count_change(w, lane, from, JOB_PENDING);
    steer_note(w, &c->key, j->id);
    c->changed = true;
    e->job = j;
}
