/* Workers' sessions: opened and closed within a batch, so that the table knows them before their first lease. Writer
 * thread. */
#include "store/engine.h"

/* How long a closed session is kept for those who still hold its address. */
enum { CLOSED_KEEP_MS = 10000 };

static bool copy_spans(struct arena *a, const struct span *from, size_t n, struct span **ret)
{
    struct span *to = arena_alloc(a, n * sizeof *to);

    for (size_t i = 0; to && i < n; i++) {
        to[i] = arena_span(a, from[i]);
        if (!to[i].data)
            return false;
    }
    *ret = to;
    return to != NULL;
}

void session_free(struct store_session *s)
{
    struct delivery *d;

    if (!s)
        return;
    while ((d = store_session_take(s)) != NULL)
        delivery_free(d);
    mem_free(s->lanes);
    arena_done(&s->arena);
    mem_free(s);
}

static bool copy_weights(struct store_session *s, const struct store_session_open *o)
{
    s->shares = arena_zalloc(&s->arena, o->n_queues * sizeof *s->shares);
    for (size_t i = 0; s->shares && i < o->n_queues; i++)
        s->shares[i].weight = o->weights && o->weights[i] > 1 ? o->weights[i] : 1;
    return s->shares != NULL;
}

static struct store_session *session_new(struct writer *w, const struct store_session_open *o)
{
    struct store_session *s = mem_zalloc(sizeof *s);

    if (!s)
        return NULL;
    arena_init(&s->arena, NULL, 0, 0);
    s->worker = arena_span(&s->arena, o->worker);
    s->version = arena_span(&s->arena, o->version);
    s->host = arena_span(&s->arena, o->host);
    if (!s->worker.data || !s->version.data || !s->host.data ||
        !copy_spans(&s->arena, o->names, o->n_names, &s->names) ||
        !copy_spans(&s->arena, o->queues, o->n_queues, &s->queues) || !copy_weights(s, o) ||
        !job_scope_copy(&s->arena, &o->scope, &s->scope)) {
        session_free(s);
        return NULL;
    }
    s->n_names = o->n_names;
    s->n_queues = o->n_queues;
    s->pid = o->pid;
    s->wake = o->wake;
    s->held_max = w->options->held_bytes;
    s->id = id_make(&w->ids, w->batch.now_us);
    s->start_us = w->batch.now_us;
    s->expire_written_us = w->batch.now_us + lease_timeout_us(w);
    atomic_store(&s->touch_ms, clock_mono_ms());
    return s;
}

void session_open_plan(struct writer *w, struct unit *u)
{
    struct store_session_open *o = (struct store_session_open *)u->cmd;
    struct effect *e = batch_effect(w, EFFECT_SESSION);
    struct store_session *s = session_new(w, o);

    if (!e || !s) {
        session_free(s);
        w->batch.failed_memory = true;
        return;
    }
    o->session = s;
    o->session_id = s->id;
    put_session(w, s, s->expire_written_us);
    e->cmd = u->cmd;
}

void session_close_prepare(struct writer *w, struct unit *u)
{
    struct store_session_close *c = (struct store_session_close *)u->cmd;

    c->session->closing = true;
    if (!c->keep_leases && c->session->leases)
        put_lost_session(w, c->session->id);
}

/* Leases that are kept end with the session's expiry; what was released is gone already, or ends with it at once. */
void session_close_plan(struct writer *w, struct unit *u)
{
    struct store_session_close *c = (struct store_session_close *)u->cmd;
    struct store_session *s = c->session;
    struct effect *e = batch_effect(w, EFFECT_SESSION);
    int64_t silent_us = (clock_mono_ms() - atomic_load(&s->touch_ms)) * 1000;

    if (!s->leases)
        put_session_gone(w, s->id);
    else
        put_session(w, s, c->keep_leases ? w->batch.now_us - silent_us + lease_timeout_us(w) : w->batch.now_us);
    if (e)
        e->cmd = u->cmd;
}

static void opened(struct writer *w, struct store_session *s)
{
    struct lane *l, *next;

    s->prev = NULL;
    s->next = w->sessions;
    if (s->next)
        s->next->prev = s;
    w->sessions = s;
    HASH_ITER(hh, w->lanes.by_id, l, next)
    {
        if (session_serves(s, l) && !match_join(l, s))
            log_error("out of memory, a worker does not get the jobs of a lane session=%lld", (long long)s->id);
    }
}

static void closed(struct writer *w, struct store_session *s)
{
    match_leave(s);
    for (struct lease *l = s->leases, *next; l; l = next) {
        next = l->next;
        l->session = NULL;
        l->prev = l->next = NULL;
    }
    s->leases = NULL;
    atomic_store(&s->n_leases, 0);
    s->held = 0;
    *(s->prev ? &s->prev->next : &w->sessions) = s->next;
    if (s->next)
        s->next->prev = s->prev;
    s->closed_ms = clock_mono_ms();
    s->next = w->closed;
    w->closed = s;
    while (s->next) {
        struct store_session *old = s->next;
        if (s->closed_ms - old->closed_ms < CLOSED_KEEP_MS) {
            s = old;
            continue;
        }
        s->next = old->next;
        session_free(old);
    }
}

void session_applied(struct writer *w, struct store_cmd *cmd)
{
    if (cmd->op == STORE_SESSION_OPEN)
        opened(w, ((struct store_session_open *)cmd)->session);
    else
        closed(w, ((struct store_session_close *)cmd)->session);
}

void session_failed(struct writer *w, struct store_cmd *cmd)
{
    if (cmd->op == STORE_SESSION_CLOSE) {
        /* The stream is gone all the same. The row is there until it expires, and ends the leases. */
        closed(w, ((struct store_session_close *)cmd)->session);
        return;
    }
    session_free(((struct store_session_open *)cmd)->session);
    ((struct store_session_open *)cmd)->session = NULL;
}
