/* What the store does without being asked: writes progress and signs of life, promotes scheduled jobs, ends leases
 * whose time is over, and looks at what other replicas did. Writer thread. */
#include "store/heartbeat.h"
#include "store/owed.h"
#include "store/pause.h"

enum {
    WRITE_PROGRESS_US = 200 * 1000, /* and the batch that is under way: within 250 ms */
    LOOK_US = 250 * 1000,
    TICK_US = 1000 * 1000,
    AFTER_END_US = 10 * 1000, /* so that many that end together are found together */
    EXPIRED_LONG_US = 10 * 1000,
    SEEN_US = 30 * 1000 * 1000,
    PARTITIONS_US = 600 * 1000 * 1000,
    ORPHANS_US = 60 * 1000 * 1000,
    HINT_US = 20 * 1000,
    SESSIONS_KEPT_US = 60 * 1000 * 1000, /* a process that was held up for so long looks at its sessions first */
    CHANGES_US = 5 * 1000 * 1000
};
static const int64_t far_us = INT64_MAX;

static int64_t touched_us(const struct store_session *s, int64_t now_us)
{
    return now_us - (clock_mono_ms() - atomic_load_explicit(&s->touch_ms, memory_order_relaxed)) * 1000;
}

static bool session_silent(const struct writer *w, const struct store_session *s, int64_t now_us)
{
    return touched_us(s, now_us) + lease_timeout_us(w) < now_us;
}

/* A new sign of life is written when a third of the lease time-out lies between it and the one that is written. */
static bool session_stale(const struct writer *w, const struct store_session *s, int64_t now_us)
{
    return touched_us(s, now_us) + lease_timeout_us(w) - s->expire_written_us > lease_timeout_us(w) / 3;
}

static bool sessions_due(struct writer *w, int64_t now_us)
{
    for (struct store_session *s = w->sessions; s; s = s->next) {
        if (session_silent(w, s, now_us) ? s->leases != NULL : session_stale(w, s, now_us))
            return true;
    }
    return false;
}

bool upkeep_due(struct writer *w, int64_t now_us)
{
    if (now_us < w->not_before_us)
        return false;
    if (pg_lost(w->pg))
        return true; /* to mend it */
    if (w->due_sched_us <= now_us || w->due_deadline_us <= now_us || w->n_expired || w->unknown || w->arrivals ||
        heart_due(w) || owed_due(w, now_us))
        return true;
    if (w->leases.dirty_head && w->leases.dirty_head->dirty_us + WRITE_PROGRESS_US <= now_us)
        return true;
    if (claim_possible(w))
        return true;
    if (w->due_look_us > now_us)
        return false;
    if (sessions_due(w, now_us))
        return true;
    w->due_look_us = now_us + LOOK_US;
    return false;
}

int64_t upkeep_next_us(struct writer *w)
{
    int64_t next = w->due_tick_us;

    if (w->sessions && w->due_look_us < next)
        next = w->due_look_us;
    if (w->due_sched_us < next)
        next = w->due_sched_us;
    if (w->due_deadline_us < next)
        next = w->due_deadline_us;
    if (heart_next_us(w) < next)
        next = heart_next_us(w);
    if (owed_due_us(w) < next)
        next = owed_due_us(w);
    if (w->leases.dirty_head && w->leases.dirty_head->dirty_us + WRITE_PROGRESS_US < next)
        next = w->leases.dirty_head->dirty_us + WRITE_PROGRESS_US;
    if (atomic_load_explicit(&w->store->look, memory_order_relaxed) && w->due_hint_us < next)
        next = w->due_hint_us;
    return next > w->not_before_us ? next : w->not_before_us;
}

static void look_at_sessions(struct writer *w)
{
    struct batch *b = &w->batch;

    w->due_look_us = b->now_us + LOOK_US;
    for (struct store_session *s = w->sessions; s; s = s->next) {
        if (s->closing)
            continue;
        if (session_silent(w, s, b->now_us)) {
            s->expired = true;
            if (s->leases)
                put_lost_session(w, s->id);
        } else if (session_stale(w, s, b->now_us)) {
            struct effect *e = batch_effect(w, EFFECT_TOUCHED);
            if (!e)
                return;
            e->session = s;
            e->time_us = touched_us(s, b->now_us) + lease_timeout_us(w);
            put_session(w, s, e->time_us);
        }
    }
}

void upkeep_prepare(struct writer *w)
{
    struct batch *b = &w->batch;

    if (w->final)
        return;
    if (w->due_look_us <= b->now_us)
        look_at_sessions(w);
    heart_prepare(w);
    for (struct store_session *s = w->unknown ? w->sessions : NULL; s; s = s->next)
        put_lost_session(w, s->id);
    if (w->unknown)
        put_lost_session(w, 0); /* no session; asks even when there are none */
    for (size_t i = 0; i < w->n_expired; i++)
        put_lost_session(w, w->expired[i]);
    w->n_expired = 0;
    if (w->due_sched_us <= b->now_us)
        b->sent_promote = true;
}

void upkeep_promoted(struct writer *w, const struct pg_result *r)
{
    int64_t n = 0;

    for (int i = 0; i < pg_rows(r); i++) {
        struct lane *l = lanes_by_id(&w->lanes, (int32_t)pg_int(r, i, 0));
        if (l) {
            l->backlog = true;
            claim_note_put(l, (struct queue_place){INT16_MIN, 0});
        }
        n += pg_int(r, i, 1);
    }
    /* Nothing was due: the tick will find out when the next one is. */
    w->due_sched_us = n ? w->batch.now_us : far_us;
    if (!n)
        w->due_tick_us = 0;
}

/* A lease in the name of a worker that is well, but of which neither it nor this process knows: given in a batch whose
 * fate was unknown. */
static bool is_stray(struct writer *w, const struct pg_result *r, int row)
{
    const struct lease *known = leases_find(w, pg_int(r, row, ROW_ID));

    return !known || known->token != pg_int(r, row, ROW_TOKEN);
}

static void plan_lost(struct writer *w, const struct pg_result *r)
{
    for (int i = 0; r && i < pg_rows(r); i++) {
        bool stray = is_stray(w, r, i), well;
        struct lease *l;
        if (!batch_own(w, pg_int(r, i, ROW_ID)))
            continue;
        l = loaded_lease(w, r, i);
        if (!l || l->busy)
            continue;
        if (l->expire_us && l->expire_us > w->batch.now_us)
            continue; /* renewed, but that is not written yet */
        well = l->session && !l->session->closing && !l->session->expired;
        if (well && !stray)
            continue;
        if (l->session_id == 0 && l->base->job.heartbeat_timeout_us)
            timeout_plan(w, l, &heartbeat_timeout);
        else
            lost_plan(w, l, well || (l->session && l->session->closing) ? ATTEMPT_RELEASED : ATTEMPT_LOST);
    }
}

void lease_write(struct writer *w, struct lease *l)
{
    struct effect *e = batch_effect(w, EFFECT_WRITTEN);

    if (!e)
        return;
    e->lease = l;
    put_progress(w, l);
    put_patches(w, l);
}

void upkeep_plan(struct writer *w, bool upkeep)
{
    struct batch *b = &w->batch;

    deadline_plan(w);
    arrival_plan(w);
    heart_plan(w);
    plan_lost(w, b->lost);
    for (struct lease *l = upkeep ? w->leases.dirty_head : NULL; l; l = l->next_dirty) {
        if (l->dirty_us + WRITE_PROGRESS_US > b->now_us && !w->final)
            break;
        if (!l->busy)
            lease_write(w, l);
    }
}

/* ---- the tick ---- */

static void read_lanes(struct writer *w)
{
    struct err err;
    struct pg_result *r;

    pg_params_clear(&w->params);
    pg_add_int4(&w->params, lanes_known_to(&w->lanes));
    r = pg_run(w->pg, sql_name(SQL_LANE_LIST), &w->params, &err);
    for (int i = 0; r && i < pg_rows(r); i++)
        lanes_add(w, (int32_t)pg_int(r, i, 0), pg_text(r, i, 1), pg_text(r, i, 2));
    pg_free(r);
}

/* Other replicas may have put jobs into lanes for which workers wait here. */
static void read_backlog(struct writer *w)
{
    struct lane *l, *next;
    struct pg_param *ids;
    struct err err;
    struct pg_result *r;

    pg_params_clear(&w->params);
    ids = pg_add_array(&w->params, PG_INT4);
    HASH_ITER(hh, w->lanes.by_id, l, next)
    {
        claim_from_start(l);
        if (!l->backlog && l->n_sessions > 0 && !l->dry)
            pg_put_int4(ids, l->id);
    }
    if (ids->n == 0)
        return;
    r = pg_run(w->pg, sql_name(SQL_BACKLOG), &w->params, &err);
    for (int i = 0; r && i < pg_rows(r); i++) {
        l = lanes_by_id(&w->lanes, (int32_t)pg_int(r, i, 0));
        if (l)
            l->backlog = true;
    }
    pg_free(r);
}

static void read_schedule(struct writer *w)
{
    struct err err;
    struct pg_result *r = pg_run(w->pg, sql_name(SQL_SCHEDULE_NEXT), NULL, &err);

    if (r)
        w->due_sched_us = pg_rows(r) ? pg_time(r, 0, 0) : far_us;
    pg_free(r);
    r = pg_run(w->pg, sql_name(SQL_DEADLINE_NEXT), NULL, &err);
    if (r)
        w->due_deadline_us = pg_rows(r) ? pg_time(r, 0, 0) : far_us;
    pg_free(r);
}

/* For want of a notification, or of somebody who took it. */
static void read_arrivals(struct writer *w)
{
    struct err err;
    struct pg_result *r = pg_run(w->pg, sql_name(SQL_ARRIVAL_ANY), NULL, &err);

    if (r)
        w->arrivals |= pg_int(r, 0, 0) != 0;
    pg_free(r);
}

static void read_cancels(struct writer *w, int64_t now_us)
{
    struct err err;
    struct pg_result *r;

    /* A request shows when its transaction commits, which may be later than its time. */
    pg_params_clear(&w->params);
    pg_add_time(&w->params, w->cancel_seen_us - 30 * (int64_t)TICK_US);
    r = pg_run(w->pg, sql_name(SQL_CANCEL_LIST), &w->params, &err);
    if (!r)
        return;
    w->cancel_seen_us = now_us;
    for (int i = 0; i < pg_rows(r); i++) {
        struct lease *l = leases_find(w, pg_int(r, i, 0));
        struct cancel_request cancel = {pg_time(r, i, 2), pg_text(r, i, 3), pg_text(r, i, 4)};
        int64_t revision = pg_int(r, i, 5);
        struct job job;
        if (!l || l->token != pg_int(r, i, 1) || l->cancel.time_us)
            continue;
        lease_set_cancel(l, &cancel);
        l->revision = revision > l->revision ? revision : job_revision_progress(l->revision);
        lease_job(l, &job);
        struct job_snapshot *snapshot = job_snapshot_new(&job);
        if (snapshot && l->session)
            session_push(l->session, DELIVERY_CANCEL, l->job_id, l->token, snapshot);
        if (snapshot)
            tell(w, &job, snapshot, true);
        job_snapshot_unref(snapshot);
    }
    pg_free(r);
}

/* Whom somebody asked to drain, and who is paused. */
static void read_asked(struct writer *w)
{
    struct err err;
    struct pg_result *r;

    if (!w->sessions)
        return;
    for (struct store_session *s = w->sessions; s; s = s->next)
        s->pause_seen = false;
    pg_params_clear(&w->params);
    pg_add_int4(&w->params, w->replica);
    r = pg_run(w->pg, sql_name(SQL_SESSION_ASKED), &w->params, &err);
    for (int i = 0; r && i < pg_rows(r); i++) {
        struct store_session *s = session_find(w, pg_int(r, i, 0));
        if (!s || s->closing)
            continue;
        s->pause_seen = pg_int(r, i, 2) != 0;
        if (pg_int(r, i, 1) && !atomic_exchange(&s->must_leave, true))
            tag_post(s->wake, true);
    }
    for (struct store_session *s = w->sessions; r && s; s = s->next)
        if (!s->closing)
            match_pause(s, s->pause_seen);
    pg_free(r);
}

static bool is_own_session(const struct writer *w, int64_t id)
{
    for (const struct store_session *s = w->sessions; s; s = s->next) {
        if (s->id == id)
            return true;
    }
    return false;
}

static bool push_id(int64_t **ids, size_t *n, int64_t id)
{
    int64_t *grown = mem_realloc(*ids, (*n + 1) * sizeof *grown);

    if (!grown)
        return false;
    *ids = grown;
    grown[(*n)++] = id;
    return true;
}

/* Sessions whose process died, or that were closed here; those that live here are judged by memory. The statement reads
 * all leases, with those that are gone but that an old snapshot keeps: it may take a tenth of the time. */
static void read_expired(struct writer *w, int64_t now_us)
{
    struct err err;
    struct pg_result *r;
    int64_t start_us = clock_mono_us();

    if (start_us < w->expired_rest_us) {
        if (now_us + w->expired_rest_us - start_us < w->due_tick_us)
            w->due_tick_us = now_us + w->expired_rest_us - start_us;
        return;
    }
    pg_params_clear(&w->params);
    pg_add_time(&w->params, now_us);
    r = pg_run(w->pg, sql_name(SQL_SESSION_EXPIRED), &w->params, &err);
    w->n_expired = 0;
    for (int i = 0; r && i < pg_rows(r); i++) {
        int64_t id = pg_int(r, i, 0);
        if (!is_own_session(w, id))
            push_id(&w->expired, &w->n_expired, id);
    }
    pg_free(r);
    int64_t took_us = clock_mono_us() - start_us;
    if (took_us > EXPIRED_LONG_US)
        w->expired_rest_us = start_us + 10 * took_us;
}

static void read_orphans(struct writer *w, int64_t now_us)
{
    struct err err;
    struct pg_result *r;

    pg_params_clear(&w->params);
    pg_add_time(&w->params, now_us - 2 * lease_timeout_us(w));
    r = pg_run(w->pg, sql_name(SQL_LEASE_ORPHANS), &w->params, &err);
    for (int i = 0; r && i < pg_rows(r); i++)
        push_id(&w->expired, &w->n_expired, pg_int(r, i, 0));
    pg_free(r);
}

/* Have leases of their own expired? Then a batch looks at them. */
static void read_lone_leases(struct writer *w, int64_t now_us)
{
    struct err err;
    struct pg_result *r;

    pg_params_clear(&w->params);
    pg_add_time(&w->params, now_us);
    r = pg_run(w->pg, sql_name(SQL_LEASE_EXPIRED), &w->params, &err);
    /* 0 is no session: it makes the batch ask. */
    if (r && pg_int(r, 0, 0))
        push_id(&w->expired, &w->n_expired, 0);
    pg_free(r);
}

/* What ends before the next tick is looked at when it ends. That of live workers will have been renewed by then. */
static void read_next_end(struct writer *w, int64_t now_us)
{
    struct err err;
    struct pg_result *r;
    int64_t end_us;

    pg_params_clear(&w->params);
    pg_add_time(&w->params, now_us);
    r = pg_run(w->pg, sql_name(SQL_LEASE_NEXT), &w->params, &err);
    end_us = r ? pg_time(r, 0, 0) : 0;
    if (end_us && end_us + AFTER_END_US < w->due_tick_us)
        w->due_tick_us = end_us + AFTER_END_US;
    pg_free(r);
}

static void run_rarely(struct writer *w, int64_t now_us)
{
    struct err err;

    if (w->due_seen_us <= now_us) {
        w->due_seen_us = now_us + SEEN_US;
        pg_params_clear(&w->params);
        pg_add_int4(&w->params, w->replica);
        pg_free(pg_run(w->pg, sql_name(SQL_REPLICA_SEEN), &w->params, &err));
        w->mark_place = 0; /* the row has moved */
    }
    if (w->due_partitions_us <= now_us) {
        w->due_partitions_us = now_us + PARTITIONS_US;
        pg_free(pg_run(w->pg, sql_name(SQL_PARTITIONS), NULL, &err));
    }
    if (w->due_changes_us <= now_us) {
        w->due_changes_us = now_us + (note_purge(w, now_us) ? 0 : CHANGES_US);
        pg_params_clear(&w->params);
        pg_add_time(&w->params, now_us);
        pg_free(pg_run(w->pg, sql_name(SQL_UNIQUE_PURGE), &w->params, &err));
        pg_params_clear(&w->params);
        pg_add_time(&w->params, now_us - SESSIONS_KEPT_US - lease_timeout_us(w));
        pg_free(pg_run(w->pg, sql_name(SQL_SESSION_PURGE), &w->params, &err));
    }
    if (w->due_orphans_us <= now_us) {
        w->due_orphans_us = now_us + ORPHANS_US;
        read_orphans(w, now_us);
    }
}

void upkeep_look(struct writer *w, int64_t now_us)
{
    w->due_hint_us = now_us + HINT_US;
    if (pg_lost(w->pg) || (!w->sessions && !w->leases.map))
        return;
    read_lanes(w);
    pause_read(w);
    read_backlog(w);
    read_cancels(w, now_us);
    read_asked(w);
}

/* A failure shows in the connection, which the next batch mends. */
void upkeep_tick(struct writer *w, int64_t now_us)
{
    w->due_tick_us = now_us + TICK_US;
    if (pg_lost(w->pg))
        return;
    read_lanes(w);
    pause_read(w);
    read_backlog(w);
    read_schedule(w);
    read_arrivals(w);
    read_cancels(w, now_us);
    read_asked(w);
    read_expired(w, now_us);
    read_lone_leases(w, now_us);
    read_next_end(w, now_us);
    leases_check(w, now_us);
    run_rarely(w, now_us);
}
