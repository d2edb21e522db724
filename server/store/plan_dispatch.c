/* Dispatches within a batch: ids, lanes, request ids, and the choice between a worker that waits and the queue. Writer
 * thread. */

#include <string.h>

#include "store/heartbeat.h"

/* What is kept of a request: the hash of its body and, where its caller names its run, that of the run behind it. */
enum { HASH_BYTES = 16, REQUEST_BYTES_MAX = 2 * HASH_BYTES };

static struct store_dispatch *dispatch_of(const struct unit *u)
{
    return (struct store_dispatch *)u->cmd;
}

/* Lanes that the units need and nobody knows yet are made in a transaction of their own: within the batch's they would
 * make other replicas wait for its commit. False: nothing of the batch was done, *ret_err says why. */
bool dispatch_lanes(struct writer *w, struct unit *units, size_t n, struct err *ret_err)
{
    struct pg_params *p = &w->params;
    struct pg_param *queues = NULL, *names = NULL;
    struct pg_result *r;
    bool good = true;

    for (size_t i = 0; i < n; i++) {
        if (units[i].cmd->op != STORE_DISPATCH)
            continue;
        for (uint32_t k = units[i].lo; k < units[i].hi; k++) {
            const struct job *j = &dispatch_of(&units[i])->items[k].job;
            if (lanes_get(&w->lanes, j->queue, j->name) || HASH_CNT(hh, w->lanes.by_id) >= LANES_MAX)
                continue;
            if (!queues) {
                pg_params_clear(p);
                queues = pg_add_array(p, PG_TEXT);
                names = pg_add_array(p, PG_TEXT);
            }
            pg_put_text(queues, j->queue);
            pg_put_text(names, j->name);
        }
    }
    if (!queues)
        return true;
    r = pg_run(w->pg, sql_name(SQL_LANE_MAKE), p, ret_err);
    if (!r)
        return false;
    pg_free(r);
    r = pg_run(w->pg, sql_name(SQL_LANE_FIND), p, ret_err);
    if (!r)
        return false;
    for (int i = 0; good && i < pg_rows(r); i++)
        good = lanes_add(w, (int32_t)pg_int(r, i, 0), pg_text(r, i, 1), pg_text(r, i, 2)) != NULL;
    pg_free(r);
    if (!good)
        err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    return good;
}

static struct span request_bytes(const struct dispatch_item *item, char room[REQUEST_BYTES_MAX])
{
    memcpy(room, item->body_hash, HASH_BYTES);
    memcpy(room + HASH_BYTES, item->run_hash, HASH_BYTES);
    return span_of(room, item->has_run ? REQUEST_BYTES_MAX : HASH_BYTES);
}

/* Gives the item a place among the batch's request ids, or makes it follow an earlier item with the same one. */
static void mark_request(struct writer *w, struct dispatch_item *item)
{
    struct batch *b = &w->batch;
    struct rows *r = &b->rows;
    struct request_mark *m = arena_zalloc(&b->arena, sizeof *m), *first = NULL;
    struct span id = item->job.request_id;
    char bytes[REQUEST_BYTES_MAX];

    if (!m) {
        b->failed_memory = true;
        return;
    }
    m->item = item;
    HASH_FIND(hh, b->by_request, id.data, id.len, first);
    m->next = b->requests;
    b->requests = m;
    if (first) {
        m->first = first->item;
        return;
    }
    HASH_ADD_KEYPTR(hh, b->by_request, id.data, id.len, m);
    if (!m->hh.tbl)
        b->failed_memory = true;
    if (r->request.n == 0) {
        pg_add_array(&r->request, PG_TEXT);
        pg_add_array(&r->request, PG_INT8);
        pg_add_array(&r->request, PG_BYTEA);
        pg_add_array(&r->request_find, PG_TEXT);
    }
    pg_put_text(&r->request.v[0], id);
    pg_put_int8(&r->request.v[1], item->job.id);
    pg_put_text(&r->request.v[2], request_bytes(item, bytes));
    pg_put_text(&r->request_find.v[0], id);
    m->place = r->request.v[0].n;
}

void dispatch_prepare(struct writer *w, struct unit *u)
{
    struct batch *b = &w->batch;

    for (uint32_t i = u->lo; i < u->hi; i++) {
        struct dispatch_item *item = &dispatch_of(u)->items[i];
        struct job *j = &item->job;
        bool scheduled = j->run_us > b->now_us && !item->start;

        item->err = ERR_NONE;
        item->replayed = item->existing = item->same_run = false;
        if (j->unique.key.len)
            unique_prepare(w, item);
        item->lease_token = 0;
        j->id = id_make(&w->ids, b->now_us);
        j->status = JOB_PENDING;
        if (!scheduled)
            j->run_us = b->now_us;
        j->start_us = j->end_us = 0;
        j->attempt = 0;
        if (!item->start)
            j->worker = (struct span){NULL, 0};
        if (j->retry.max_attempts < 1)
            j->retry.max_attempts = 1;
        j->attempts_left = j->retry.max_attempts;
        j->revision = job_revision_transition(0);
        if (j->request_id.len)
            mark_request(w, item);
    }
}

/* kept: of the request that has the id (request_bytes). */
static void replay_or_refuse(struct dispatch_item *item, int64_t job_id, struct span kept)
{
    char room[REQUEST_BYTES_MAX];
    struct span own = request_bytes(item, room);

    if (kept.data && kept.len >= HASH_BYTES && memcmp(kept.data, own.data, HASH_BYTES) == 0) {
        item->replayed = true;
        item->same_run = span_eq(kept, own);
        item->job.id = job_id;
    } else {
        err_set(&item->err, ERR_ALREADY_EXISTS, "REQUEST_ID_REUSED",
                "request_id was used before with a different request");
    }
}

void dispatch_answers(struct writer *w, const struct pg_result *found)
{
    struct batch *b = &w->batch;
    int n = found ? pg_rows(found) : 0;
    int *row_of = arena_alloc(&b->arena, ((size_t)b->rows.request.v[0].n + 1) * sizeof *row_of);

    if (!row_of) {
        b->failed_memory = true;
        return;
    }
    for (int i = 0; i <= b->rows.request.v[0].n; i++)
        row_of[i] = -1;
    for (int i = 0; i < n; i++)
        row_of[pg_int(found, i, 0)] = i;
    for (struct request_mark *m = b->requests; m; m = m->next) {
        int row = m->place ? row_of[m->place] : -1;
        if (row < 0)
            continue;
        int64_t job_id = pg_int(found, row, 1);
        if (job_id != m->item->job.id)
            replay_or_refuse(m->item, job_id, pg_text(found, row, 2));
    }
    /* Those that follow an item of this batch get no row of their own; dispatch_settle answers them. */
    for (struct request_mark *m = b->requests; m; m = m->next) {
        if (m->first)
            m->item->replayed = true;
    }
}

void dispatch_settle(struct writer *w)
{
    for (struct request_mark *m = w->batch.requests; m; m = m->next) {
        if (!m->first)
            continue;
        m->item->replayed = false;
        if (m->first->err.code != ERR_OK && !m->first->replayed) {
            m->item->err = m->first->err;
            continue;
        }
        char room[REQUEST_BYTES_MAX];
        replay_or_refuse(m->item, m->first->job.id, request_bytes(m->first, room));
    }
}

/* The job is inserted running: leased to a session, or to the caller itself (session NULL). */
static void plan_lease(struct writer *w, struct dispatch_item *item, struct lane *lane, struct store_session *session)
{
    struct batch *b = &w->batch;
    struct job *j = &item->job;
    struct job *before = batch_job(w, j);
    struct effect *told = batch_effect(w, EFFECT_DISPATCHED), *e = batch_effect(w, EFFECT_LEASED);
    struct lease *lease;

    if (session)
        j->worker = session->worker;
    j->status = JOB_RUNNING;
    j->attempt = 1;
    j->attempts_left--;
    j->start_us = b->now_us;
    j->revision = job_revision_transition(j->revision);
    lease = lease_new(j, id_make(&w->ids, b->now_us), lane);
    if (!before || !told || !e || !lease) {
        lease_free(lease);
        if (session)
            match_credit(session, 1);
        b->failed_memory = true;
        return;
    }
    lease->session = session;
    lease->session_id = session ? session->id : 0;
    if (!session)
        lease->expire_us = lease->expire_written_us = b->now_us + lease_life_us(w, j);
    item->lease_token = session ? 0 : lease->token;
    put_lease(w, lease, j);
    unique_release(w, j);
    deadline_of_run(w, j, lease->token);
    told->job = before;
    e->job = j;
    e->lease = lease;
    e->session = session;
}

void dispatch_place(struct writer *w, struct dispatch_item *item, struct lane *lane)
{
    struct job *j = &item->job;
    struct store_session *session = NULL;
    bool due = j->run_us <= w->batch.now_us;

    if (!item->start && due && !lane->paused && !lane->backlog && !claim_is_behind(w, lane))
        session = match_take(lane);
    count_change(w, lane, 0, JOB_PENDING);
    if (item->start || session) {
        count_change(w, lane, JOB_PENDING, JOB_RUNNING);
        plan_lease(w, item, lane, session);
        return;
    }
    put_pending(w, j, lane, false);
    deadline_of_start(w, j);
    struct effect *e = batch_effect(w, EFFECT_DISPATCHED);
    if (e)
        e->job = j;
}

/* Either there are too many, or somebody's transaction is making it. */
static void refuse_lane(struct writer *w, struct err *ret_err)
{
    if (HASH_CNT(hh, w->lanes.by_id) >= LANES_MAX) {
        err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_JOB_NAMES",
                "there are too many different job names and queues");
        return;
    }
    err_set(ret_err, ERR_ABORTED, "JOB_NAME_BUSY",
            "a transaction that dispatches under this job name and queue for the first time has not ended yet");
    ret_err->retry_after_ms = 100;
}

void dispatch_plan(struct writer *w, struct unit *u)
{
    for (uint32_t i = u->lo; i < u->hi; i++) {
        struct dispatch_item *item = &dispatch_of(u)->items[i];
        struct lane *lane = lanes_get(&w->lanes, item->job.queue, item->job.name);

        if (item->replayed || item->existing || item->err.code != ERR_OK)
            continue;
        if (!lane) {
            refuse_lane(w, &item->err);
            continue;
        }
        put_job(w, &item->job, lane);
        dispatch_place(w, item, lane);
        rows_send_early(w);
    }
}
