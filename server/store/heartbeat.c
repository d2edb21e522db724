/* See heartbeat.h. Writer thread. */
#include "store/heartbeat.h"

enum {
    LOOK_US = 50 * 1000, /* between two looks at all of them at least */
    SILENT_MAX = 500     /* ended in one batch */
};

static bool is_in(const struct writer *w, const struct lease *l)
{
    return l->prev_heart || w->leases.hearts == l;
}

void heart_add(struct writer *w, struct lease *l)
{
    int64_t timeout_us = l->base->job.heartbeat_timeout_us;

    heart_beat(l);
    if (!timeout_us || l->session_id == 0)
        return;
    if (!w->leases.hearts || l->heard_us + timeout_us < w->leases.heart_look_us)
        w->leases.heart_look_us = l->heard_us + timeout_us;
    l->prev_heart = NULL;
    l->next_heart = w->leases.hearts;
    if (l->next_heart)
        l->next_heart->prev_heart = l;
    w->leases.hearts = l;
}

void heart_remove(struct writer *w, struct lease *l)
{
    if (!is_in(w, l))
        return;
    *(l->prev_heart ? &l->prev_heart->next_heart : &w->leases.hearts) = l->next_heart;
    if (l->next_heart)
        l->next_heart->prev_heart = l->prev_heart;
    l->prev_heart = l->next_heart = NULL;
}

void heart_beat(struct lease *l)
{
    l->heard_us = clock_mono_us();
}

bool heart_due(const struct writer *w)
{
    return w->leases.hearts && w->leases.heart_look_us <= clock_mono_us();
}

int64_t heart_next_us(const struct writer *w)
{
    return w->leases.hearts ? clock_wall_us() + w->leases.heart_look_us - clock_mono_us() : INT64_MAX;
}

/* The worker is away, not deaf: then the lease time-out counts, and once it is back it begins anew. */
static bool is_away(struct lease *l)
{
    if (l->session && !l->session->closing)
        return false;
    heart_beat(l);
    return true;
}

static void ask_for(struct writer *w, int64_t job_id)
{
    struct pg_params *p = &w->batch.rows.load;

    if (p->n == 0)
        pg_add_array(p, PG_INT8);
    pg_put_int8(&p->v[0], job_id);
    w->batch.silent[w->batch.n_silent++] = job_id;
}

void heart_prepare(struct writer *w)
{
    struct batch *b = &w->batch;
    int64_t now = clock_mono_us(), next = INT64_MAX;

    if (!heart_due(w))
        return;
    b->silent = arena_alloc(&b->arena, SILENT_MAX * sizeof *b->silent);
    if (!b->silent) {
        b->failed_memory = true;
        return;
    }
    for (struct lease *l = w->leases.hearts; l; l = l->next_heart) {
        int64_t end = l->heard_us + l->base->job.heartbeat_timeout_us;
        if (end <= now && is_away(l))
            end = l->heard_us + l->base->job.heartbeat_timeout_us;
        if (end > now)
            next = end < next ? end : next;
        else if (b->n_silent < SILENT_MAX && batch_own(w, l->job_id))
            ask_for(w, l->job_id);
        else /* a command of this batch is about it */
            next = now;
    }
    w->leases.heart_look_us = next > now + LOOK_US ? next : now + LOOK_US;
}

void heart_plan(struct writer *w)
{
    struct batch *b = &w->batch;

    for (size_t i = 0; i < b->n_silent; i++) {
        struct lease *l = leases_find(w, b->silent[i]);
        int row = loaded_row(b->loaded, b->silent[i]);
        if (!l || l->busy)
            continue;
        if (row < 0 || pg_int(b->loaded, row, ROW_TOKEN) != l->token) {
            /* Another replica has ended it. */
            if (l->session)
                session_push(l->session, DELIVERY_LOST, l->job_id, l->token, NULL);
            leases_forget(w, l);
            continue;
        }
        l = loaded_lease(w, b->loaded, row);
        if (!l)
            b->failed_memory = true;
        else if (l->session)
            timeout_plan(w, l, &heartbeat_timeout);
    }
}
