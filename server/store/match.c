/* Which worker gets which job: sessions, their credit, and the lanes they serve. Memory only, no I/O; writer thread but
 * for the functions that say otherwise in store.h. */
#include "store/engine.h"
#include "store/workers.h"

static bool one_of(const struct span *of, size_t n, struct span s)
{
    for (size_t i = 0; i < n; i++) {
        if (span_eq(of[i], s))
            return true;
    }
    return n == 0;
}

struct store_session *session_find(struct writer *w, int64_t id)
{
    for (struct store_session *s = id ? w->sessions : NULL; s; s = s->next) {
        if (s->id == id)
            return s;
    }
    return NULL;
}

bool session_serves(const struct store_session *s, const struct lane *lane)
{
    return one_of(s->names, s->n_names, lane->name) && one_of(s->queues, s->n_queues, lane->queue) &&
           job_scope_holds_lane(&s->scope, lane->queue, lane->name);
}

static bool reserve(void **items, size_t n, size_t *cap)
{
    size_t more = *cap ? *cap * 2 : 4;
    void *grown;

    if (n < *cap)
        return true;
    grown = mem_realloc(*items, more * sizeof(void *));
    if (!grown)
        return false;
    *items = grown;
    *cap = more;
    return true;
}

bool match_join(struct lane *lane, struct store_session *session)
{
    if (!reserve((void **)&lane->sessions, lane->n_sessions, &lane->cap_sessions) ||
        !reserve((void **)&session->lanes, session->n_lanes, &session->cap_lanes))
        return false;
    lane->sessions[lane->n_sessions++] = session;
    session->lanes[session->n_lanes++] = lane;
    if (session_credit(session) > 0)
        lane->dry = false;
    return true;
}

void match_leave(struct store_session *session)
{
    for (size_t i = 0; i < session->n_lanes; i++) {
        struct lane *lane = session->lanes[i];
        for (size_t k = 0; k < lane->n_sessions; k++) {
            if (lane->sessions[k] == session) {
                lane->sessions[k] = lane->sessions[--lane->n_sessions];
                break;
            }
        }
    }
    session->n_lanes = 0;
}

static void wake_lanes(struct store_session *session)
{
    for (size_t i = 0; i < session->n_lanes; i++)
        session->lanes[i]->dry = false;
}

void match_credit(struct store_session *session, int32_t add)
{
    bool had = session_credit(session) > 0;

    session->credit += add;
    if (!had && session_credit(session) > 0)
        wake_lanes(session);
}

void match_revive(struct store_session *session)
{
    if (!session->expired)
        return;
    session->expired = false;
    if (session_credit(session) > 0)
        wake_lanes(session);
}

void match_pause(struct store_session *session, bool paused)
{
    if (atomic_exchange(&session->paused, paused) == paused)
        return;
    if (session_credit(session) > 0)
        wake_lanes(session);
    tag_post(session->wake, true);
}

void match_held(struct store_session *session, int64_t add)
{
    bool had = session_credit(session) > 0;

    session->held += add;
    if (!had && session_credit(session) > 0)
        wake_lanes(session);
}

struct store_session *match_take(struct lane *lane)
{
    if (lane->dry)
        return NULL;
    for (size_t i = 0; i < lane->n_sessions; i++) {
        if (lane->next_session >= lane->n_sessions)
            lane->next_session = 0;
        struct store_session *s = lane->sessions[lane->next_session++];
        if (session_credit(s) > 0) {
            s->credit--;
            return s;
        }
    }
    lane->dry = true;
    return NULL;
}

bool session_push(struct store_session *session, enum delivery_kind kind, int64_t job_id, int64_t token,
                  struct job_snapshot *snapshot)
{
    struct delivery *d = mem_zalloc(sizeof *d);

    if (!d) {
        log_error("out of memory for a delivery job=%lld", (long long)job_id);
        return false;
    }
    d->kind = kind;
    d->job_id = job_id;
    d->token = token;
    d->snapshot = snapshot ? job_snapshot_ref(snapshot) : NULL;
    if (mpsc_push(&session->out, &d->node))
        tag_post(session->wake, true);
    return true;
}

struct delivery *store_session_take(struct store_session *session)
{
    if (!session->taken)
        session->taken = mpsc_take_all(&session->out);
    struct mpsc_node *node = session->taken;
    if (!node)
        return NULL;
    session->taken = node->next;
    return (struct delivery *)((char *)node - offsetof(struct delivery, node));
}

void delivery_free(struct delivery *delivery)
{
    if (!delivery)
        return;
    job_snapshot_unref(delivery->snapshot);
    mem_free(delivery);
}

void store_session_touch(struct store_session *session)
{
    atomic_store_explicit(&session->touch_ms, clock_mono_ms(), memory_order_relaxed);
}

void store_session_touch_at(struct store_session *session, int64_t alive_ms)
{
    atomic_store_explicit(&session->touch_ms, alive_ms, memory_order_relaxed);
}

int32_t store_session_leases(const struct store_session *session)
{
    return atomic_load_explicit(&session->n_leases, memory_order_relaxed);
}

bool store_session_must_leave(const struct store_session *session)
{
    return atomic_load_explicit(&session->must_leave, memory_order_relaxed);
}

bool store_session_is_paused(const struct store_session *session)
{
    return atomic_load_explicit(&session->paused, memory_order_relaxed);
}
