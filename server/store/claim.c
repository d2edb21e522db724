/* Claims: jobs that wait in the database go to sessions with credit, one statement a lane. Which session gets which
 * place is settled before the statement is sent, over all lanes (order.c); places that get no job give their credit
 * back. Writer thread. */
#include <stdlib.h>

#include "store/engine.h"

enum {
    CLAIM_MAX = 500, /* larger claims would keep the other commands of the batch waiting */
    ROW_BYTES_UNKNOWN = 64 * 1024,
    HELD_PARTS = 4 /* a session that is just short of its bound goes over it by one claim */
};

bool claim_wanted(const struct lane *lane)
{
    return lane->backlog && !lane->paused && lane->n_sessions > 0 && !lane->dry;
}

int64_t claim_bytes_max(const struct writer *w)
{
    return w->options->held_bytes / HELD_PARTS;
}

int64_t claim_row_bytes(const struct lane *lane)
{
    return lane->row_bytes ? lane->row_bytes : ROW_BYTES_UNKNOWN;
}

void claim_note_bytes(struct lane *lane, int64_t bytes)
{
    if (bytes > lane->row_bytes)
        lane->row_bytes = bytes;
}

static int64_t all_credit(const struct writer *w)
{
    int64_t sum = 0;

    for (const struct store_session *s = w->sessions; s; s = s->next)
        sum += session_credit(s);
    return sum;
}

static bool may_take(struct lane *l)
{
    if (!claim_wanted(l))
        return false;
    for (size_t i = 0; i < l->n_sessions; i++) {
        if (session_credit(l->sessions[i]) > 0)
            return true;
    }
    l->dry = true;
    return false;
}

bool claim_possible(struct writer *w)
{
    struct lane *l, *next;

    if (all_credit(w) == 0)
        return false;
    HASH_ITER(hh, w->lanes.by_id, l, next)
    {
        if (may_take(l))
            return true;
    }
    return false;
}

static struct claim *claim_new(struct writer *w, struct lane *lane, int32_t max)
{
    struct batch *b = &w->batch;
    struct claim *c = arena_zalloc(&b->arena, sizeof *c);

    if (!c)
        return NULL;
    c->lane = lane;
    c->sessions = arena_alloc(&b->arena, (size_t)max * sizeof(struct store_session *));
    c->tokens = arena_alloc(&b->arena, (size_t)max * sizeof *c->tokens);
    if (!c->sessions || !c->tokens)
        return NULL;
    *b->claims_end = c;
    b->claims_end = &c->next;
    return c;
}

static void add_place(struct writer *w, struct claim *c, struct store_session *s)
{
    c->sessions[c->n] = s;
    c->tokens[c->n++] = id_make(&w->ids, w->batch.now_us);
}

bool claim_of(struct writer *w, struct lane *lane, struct store_session *const *sessions, int32_t n)
{
    struct claim *c = claim_new(w, lane, n);

    for (int32_t i = 0; i < n; i++) {
        if (c)
            add_place(w, c, sessions[i]);
        else
            match_credit(sessions[i], 1);
    }
    return c != NULL;
}

/* One lane has jobs: its sessions take places in turn. */
static void claim_from(struct writer *w, struct lane *lane, int64_t credit)
{
    int64_t room = claim_bytes_max(w) / claim_row_bytes(lane) + 1;
    int32_t max = (int32_t)(credit < CLAIM_MAX ? credit : CLAIM_MAX);
    struct claim *c;
    struct store_session *s;

    if (room < max)
        max = (int32_t)room;
    c = claim_new(w, lane, max);
    while (c && c->n < max && (s = match_take(lane)) != NULL)
        add_place(w, c, s);
}

static void send_claim(struct writer *w, const struct claim *c)
{
    struct pg_params *p = &w->params;
    struct pg_param *tokens, *sessions;

    pg_params_clear(p);
    pg_add_int4(p, c->lane->id);
    pg_add_int4(p, c->n);
    pg_add_time(p, w->batch.now_us);
    tokens = pg_add_array(p, PG_INT8);
    sessions = pg_add_array(p, PG_INT8);
    for (int32_t i = 0; i < c->n; i++) {
        pg_put_int8(tokens, c->tokens[i]);
        pg_put_int8(sessions, c->sessions[i]->id);
    }
    pg_add_int2(p, c->lane->after.neg_priority);
    pg_add_int8(p, c->lane->after.id);
    pg_send(w->pg, sql_name(SQL_CLAIM), p);
    w->batch.n_sent++;
}

void claim_settle(struct writer *w)
{
    int64_t credit = all_credit(w);
    struct lane *l, *next, *one = NULL;
    size_t n = 0;

    if (credit == 0)
        return;
    HASH_ITER(hh, w->lanes.by_id, l, next)
    {
        if (may_take(l)) {
            one = l;
            n++;
        }
    }
    if (n > 1)
        order_claims(w, n);
    else if (one)
        claim_from(w, one, credit);
}

void claim_send(struct writer *w)
{
    for (const struct claim *c = w->batch.claims; c; c = c->next) {
        if (c->n)
            send_claim(w, c);
    }
}

/* What was not claimed for lack of room in the batch, and could be taken, comes before new jobs of its queue. */
bool claim_is_behind(struct writer *w, const struct lane *of)
{
    struct batch *b = &w->batch;
    struct lane *l, *next;

    if (!b->knows_behind && all_credit(w) > 0) {
        HASH_ITER(hh, w->lanes.by_id, l, next)
        {
            if (may_take(l)) {
                l->next_behind = b->behind;
                b->behind = l;
            }
        }
    }
    b->knows_behind = true;
    for (l = b->behind; l; l = l->next_behind) {
        if (span_eq(l->queue, of->queue))
            return true;
    }
    return false;
}

static void plan_row(struct writer *w, const struct claim *c, const struct pg_result *r, int row, int32_t place)
{
    struct batch *b = &w->batch;
    struct effect *e = batch_effect(w, EFFECT_LEASED);
    struct job j;
    struct lease *lease = NULL;

    if (e && row_job(r, row, &b->arena, &j)) {
        j.queue = c->lane->queue;
        j.name = c->lane->name;
        j.status = JOB_RUNNING;
        j.attempt++;
        j.attempts_left--;
        j.start_us = b->now_us;
        j.end_us = 0;
        j.revision = job_revision_transition(j.revision);
        j.worker = c->sessions[place]->worker;
        j.progress = (struct job_progress){0};
        lease = lease_new(&j, c->tokens[place], c->lane);
    }
    if (!lease) {
        b->failed_memory = true;
        match_credit(c->sessions[place], 1);
        return;
    }
    claim_note_bytes(c->lane, lease_bytes(lease));
    lease->has_state = pg_int(r, row, ROW_HAS_STATE) != 0;
    lease->session = c->sessions[place];
    lease->session_id = lease->session->id;
    e->lease = lease;
    e->session = lease->session;
    e->job = &lease->base->job;
    count_change(w, c->lane, JOB_PENDING, JOB_RUNNING);
    unique_release(w, e->job);
    deadline_of_run(w, e->job, lease->token);
}

static int by_order(const void *a, const void *b)
{
    const struct job *x = (*(struct effect *const *)a)->job, *y = (*(struct effect *const *)b)->job;

    if (x->priority != y->priority)
        return x->priority > y->priority ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

/* Leases of several lanes go to their workers in the order of the jobs. */
static void sort_effects(struct writer *w, struct effect **from)
{
    struct batch *b = &w->batch;
    struct effect **all, **at = from;
    size_t n = 0;

    for (const struct effect *e = *from; e; e = e->next)
        n++;
    all = arena_alloc(&b->arena, n * sizeof(struct effect *) + 1);
    if (!all) {
        b->failed_memory = true;
        return;
    }
    n = 0;
    for (struct effect *e = *from; e; e = e->next)
        all[n++] = e;
    qsort(all, n, sizeof(struct effect *), by_order);
    for (size_t i = 0; i < n; i++) {
        *at = all[i];
        at = &all[i]->next;
    }
    *at = NULL;
    b->effects_end = at;
}

static const struct queue_place start = {INT16_MIN, 0}, nowhere = {INT16_MAX, INT64_MAX};

static bool is_before(struct queue_place a, struct queue_place b)
{
    return a.neg_priority != b.neg_priority ? a.neg_priority < b.neg_priority : a.id <= b.id;
}

/* Which row each place of the claim got, -1 for none. NULL: out of memory. */
static int *rows_by_place(struct writer *w, const struct claim *c, const struct pg_result *r)
{
    int *row_of = arena_alloc(&w->batch.arena, ((size_t)c->n + 1) * sizeof *row_of);

    for (int32_t i = 0; row_of && i < c->n; i++)
        row_of[i] = -1;
    for (int i = 0; row_of && i < pg_rows(r); i++) {
        int64_t place = pg_int(r, i, ROW_TOKEN);
        if (place >= 1 && place <= c->n)
            row_of[place - 1] = i;
    }
    return row_of;
}

static void read_claim(struct writer *w, struct claim *c, const struct pg_result *r)
{
    const int *row_of = rows_by_place(w, c, r);
    int32_t taken = 0;

    c->read = true;
    c->lane->row_bytes -= c->lane->row_bytes / 8; /* large ones are forgotten in time */
    if (!row_of)
        w->batch.failed_memory = true;
    for (int32_t place = 0; place < c->n; place++) {
        int row = row_of ? row_of[place] : -1;
        if (row < 0) {
            match_credit(c->sessions[place], 1);
            continue;
        }
        struct queue_place at = {(int16_t)-pg_int(r, row, ROW_PRIORITY), pg_int(r, row, ROW_ID)};
        if (c->last.id == 0 || is_before(c->last, at))
            c->last = at;
        plan_row(w, c, r, row, place);
        taken = place + 1;
    }
    if (taken < c->n)
        c->lane->backlog = false;
}

void claim_read(struct writer *w)
{
    struct effect **from = w->batch.effects_end;

    for (struct claim *c = w->batch.claims; c; c = c->next) {
        if (c->n == 0)
            continue;
        struct pg_result *r = pg_read(w->pg);
        if (!r)
            return;
        read_claim(w, c, r);
        pg_free(r);
    }
    if (w->batch.claims && w->batch.claims->next && !w->batch.failed_memory)
        sort_effects(w, from);
}

void claim_from_start(struct lane *lane)
{
    lane->after = start;
}

void claim_note_put(struct lane *lane, struct queue_place place)
{
    if (is_before(place, lane->after))
        lane->after = start;
    if (is_before(place, lane->least_put))
        lane->least_put = place;
}

void claim_applied(struct writer *w)
{
    for (struct claim *c = w->batch.claims; c; c = c->next) {
        struct lane *lane = c->lane;
        if (!c->read || c->last.id == 0)
            continue;
        if (is_before(lane->after, c->last))
            lane->after = c->last;
        /* This very batch may have put a job before what it claimed. */
        if (is_before(lane->least_put, lane->after))
            lane->after = start;
        lane->least_put = nowhere;
    }
}

void claim_drop(struct writer *w)
{
    for (struct claim *c = w->batch.claims; c; c = c->next) {
        c->lane->backlog = true; /* what it took waits again */
        for (int32_t i = 0; !c->read && i < c->n; i++)
            match_credit(c->sessions[i], 1);
    }
}
