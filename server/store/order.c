/* Which waiting jobs a batch claims when several lanes have some: the foremost ones of all lanes are looked up, then
 * the sessions with credit choose in turn. A session takes from the queue that is furthest behind its weight
 * (start-time fair queueing, Goyal, Vin and Cheng 1996), and of that queue the first job, by priority and then age,
 * that it serves, whatever its job name. The claims that follow (claim.c) are for so many jobs of each lane. Writer
 * thread. */
#include "store/engine.h"

enum {
    LOOK_LANE_MAX = 500, /* jobs of a lane, as in a claim */
    LOOK_MAX = 4096,     /* jobs of all lanes: about 2 ms; more with many lanes, of each of which some are wanted */
    LOOK_LANE_LEAST = 16,
    LOOK_LANES_MAX = 1024 /* with more lanes each batch looks at others: so exact is the order not any more */
};

/* A lane that was looked at. */
struct looked {
    struct lane *lane;
    struct look_queue *queue;
    int32_t n_rows, n_taken;
    struct store_session **sessions; /* who takes its first, second … job */
};

struct row {
    struct looked *in;
    struct row *next; /* of the queue */
    bool taken;
};

struct look_queue {
    struct span name;
    struct row *first, **end;
    size_t n_full; /* lanes that were used up and may have more jobs than were looked at */
};

/* A session, and what it may take of a queue. */
struct cell {
    struct look_queue *queue;
    struct row *next; /* all before it is taken or not for this session */
    size_t weight_at; /* of the queue in the session */
};

struct chooser {
    struct store_session *session;
    struct cell *cells;
    size_t n_cells;
};

struct look {
    struct looked *lanes;
    size_t n_lanes;
    int32_t each; /* rows of a lane at most */
    struct row *rows;
    int n_rows;
    struct look_queue *queues;
    size_t n_queues;
    struct chooser *choosers;
    size_t n_choosers;
    int64_t bytes; /* of what is chosen, about */
};

static struct look_queue *queue_of(struct look *k, struct span name)
{
    for (size_t i = 0; i < k->n_queues; i++) {
        if (span_eq(k->queues[i].name, name))
            return &k->queues[i];
    }
    struct look_queue *q = &k->queues[k->n_queues++];
    *q = (struct look_queue){.name = name, .end = &q->first};
    return q;
}

static bool gather_lanes(struct writer *w, struct look *k, size_t n)
{
    struct arena *a = &w->batch.arena;
    struct lane *l, *next;
    size_t first = n > LOOK_LANES_MAX ? w->claim_turn * (size_t)LOOK_LANES_MAX % n : 0;

    if (n > LOOK_LANES_MAX)
        n = LOOK_LANES_MAX;
    k->lanes = arena_zalloc(a, n * sizeof *k->lanes);
    k->queues = arena_zalloc(a, n * sizeof *k->queues);
    if (!k->lanes || !k->queues)
        return false;
    for (int round = 0; round < 2; round++) {
        size_t at = 0;
        HASH_ITER(hh, w->lanes.by_id, l, next)
        {
            if (!claim_wanted(l))
                continue;
            if ((at++ >= first) == (round == 0) && k->n_lanes < n)
                k->lanes[k->n_lanes++] = (struct looked){.lane = l, .queue = queue_of(k, l->queue)};
        }
    }
    k->each = LOOK_MAX / (n > 0 ? (int32_t)n : 1);
    if (k->each > LOOK_LANE_MAX)
        k->each = LOOK_LANE_MAX;
    if (k->each < LOOK_LANE_LEAST)
        k->each = LOOK_LANE_LEAST;
    return true;
}

static struct pg_result *ask_rows(struct writer *w, const struct look *k)
{
    static const enum pg_type types[] = {PG_INT4, PG_INT2, PG_INT8};
    struct pg_params *p = &w->params;
    struct err err;
    struct pg_result *r;

    pg_params_clear(p);
    pg_arrays(p, types, 3);
    for (size_t i = 0; i < k->n_lanes; i++) {
        pg_put_int4(&p->v[0], k->lanes[i].lane->id);
        pg_put_int2(&p->v[1], k->lanes[i].lane->after.neg_priority);
        pg_put_int8(&p->v[2], k->lanes[i].lane->after.id);
    }
    pg_add_int4(p, k->each);
    r = pg_run(w->pg, sql_name(SQL_CLAIM_LOOK), p, &err);
    if (!r && !pg_lost(w->pg))
        log_error("cannot look for waiting jobs: %s", err.msg);
    return r;
}

static bool read_rows(struct writer *w, struct look *k, const struct pg_result *r)
{
    k->n_rows = pg_rows(r);
    k->rows = arena_zalloc(&w->batch.arena, (size_t)k->n_rows * sizeof *k->rows + 1);
    if (!k->rows)
        return false;
    for (int i = 0; i < k->n_rows; i++) {
        struct row *row = &k->rows[i];
        row->in = &k->lanes[pg_int(r, i, 0) - 1];
        row->in->n_rows++;
        *row->in->queue->end = row;
        row->in->queue->end = &row->next;
    }
    for (size_t i = 0; i < k->n_lanes; i++) {
        struct looked *l = &k->lanes[i];
        l->sessions = arena_alloc(&w->batch.arena, (size_t)l->n_rows * sizeof(struct store_session *) + 1);
        if (!l->sessions)
            return false;
        if (l->n_rows == 0)
            l->lane->backlog = false;
    }
    return true;
}

static bool add_chooser(struct writer *w, struct look *k, struct store_session *s)
{
    struct chooser *c = &k->choosers[k->n_choosers];

    *c = (struct chooser){.session = s, .cells = arena_alloc(&w->batch.arena, k->n_queues * sizeof *c->cells + 1)};
    if (!c->cells)
        return false;
    for (size_t i = 0; i < k->n_queues; i++) {
        for (size_t at = 0; k->queues[i].first && at < s->n_queues; at++) {
            if (span_eq(s->queues[at], k->queues[i].name)) {
                c->cells[c->n_cells++] = (struct cell){&k->queues[i], k->queues[i].first, at};
                break;
            }
        }
    }
    k->n_choosers += c->n_cells > 0;
    return true;
}

static bool gather_choosers(struct writer *w, struct look *k)
{
    size_t n = 0;

    for (struct store_session *s = w->sessions; s; s = s->next)
        n += session_credit(s) > 0;
    k->choosers = arena_alloc(&w->batch.arena, n * sizeof *k->choosers + 1);
    if (!k->choosers)
        return false;
    for (struct store_session *s = w->sessions; s; s = s->next) {
        if (session_credit(s) > 0 && !add_chooser(w, k, s))
            return false;
    }
    return true;
}

/* Does the session serve a lane of the queue of which more jobs may wait than are known? They could come first. */
static bool is_beyond(const struct look *k, const struct cell *cell, const struct store_session *s)
{
    for (size_t i = 0; cell->queue->n_full && i < k->n_lanes; i++) {
        const struct looked *l = &k->lanes[i];
        if (l->queue == cell->queue && l->n_rows == k->each && l->n_taken == l->n_rows && session_serves(s, l->lane))
            return true;
    }
    return false;
}

/* The next job of the queue for this session; NULL: none that is known to be next. */
static struct row *next_row(const struct look *k, struct cell *cell, const struct store_session *s)
{
    while (cell->next && (cell->next->taken || !session_serves(s, cell->next->in->lane)))
        cell->next = cell->next->next;
    return is_beyond(k, cell, s) ? NULL : cell->next;
}

/* When the session's next job of the queue begins, on the clock of its weights. */
static double start_of(const struct store_session *s, const struct cell *cell)
{
    const struct queue_share *share = &s->shares[cell->weight_at];

    return share->finish > s->virtual_time ? share->finish : s->virtual_time;
}

/* False: nothing is left for it. */
static bool choose(struct look *k, struct chooser *c)
{
    struct store_session *s = c->session;
    struct cell *best = NULL;

    for (size_t i = 0; i < c->n_cells;) {
        struct cell *cell = &c->cells[i];
        if (!next_row(k, cell, s)) {
            *cell = c->cells[--c->n_cells];
            if (best == &c->cells[c->n_cells])
                best = cell;
            continue;
        }
        if (!best || start_of(s, cell) < start_of(s, best))
            best = cell;
        i++;
    }
    if (!best)
        return false;
    struct row *row = best->next;
    struct queue_share *share = &s->shares[best->weight_at];
    s->virtual_time = start_of(s, best);
    share->finish = s->virtual_time + 1.0 / share->weight;
    s->credit--;
    row->taken = true;
    row->in->sessions[row->in->n_taken++] = s;
    k->bytes += claim_row_bytes(row->in->lane);
    if (row->in->n_taken == k->each)
        row->in->queue->n_full++;
    return true;
}

static void choose_all(struct writer *w, struct look *k)
{
    size_t at = k->n_choosers ? w->claim_turn++ % k->n_choosers : 0;

    while (k->n_choosers && k->bytes < claim_bytes_max(w)) {
        if (at >= k->n_choosers)
            at = 0;
        struct chooser *c = &k->choosers[at];
        if (session_credit(c->session) > 0 && choose(k, c))
            at++;
        else
            memmove(c, c + 1, (--k->n_choosers - at) * sizeof *c);
    }
}

static bool make_claims(struct writer *w, const struct look *k)
{
    bool good = true;

    for (size_t i = 0; i < k->n_lanes; i++) {
        const struct looked *l = &k->lanes[i];
        if (l->n_taken > 0 && good)
            good = claim_of(w, l->lane, l->sessions, l->n_taken);
        else if (!good) /* memory ran out: nobody gets these */
            for (int32_t n = 0; n < l->n_taken; n++)
                l->sessions[n]->credit++;
    }
    return good;
}

void order_claims(struct writer *w, size_t n_lanes)
{
    struct look look = {.n_lanes = 0};
    struct pg_result *r;

    if (!gather_lanes(w, &look, n_lanes)) {
        w->batch.failed_memory = true;
        return;
    }
    r = ask_rows(w, &look);
    if (!r)
        return;
    if (read_rows(w, &look, r) && gather_choosers(w, &look)) {
        choose_all(w, &look);
        if (make_claims(w, &look)) {
            pg_free(r);
            return;
        }
    }
    w->batch.failed_memory = true;
    pg_free(r);
}
