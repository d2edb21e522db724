/* One watch of the hub; see watch.h. Under the hub's lock, on any thread; must not block and must not call out but for
 * posting `wake`. */
#include "hub/watch.h"

struct hub_entry {
    int64_t job_id;
    struct job_snapshot *snapshot;
    bool is_transition;
    struct hub_entry *next;
    UT_hash_handle hh;
};

struct hub_watch *watch_new(const struct job_filter *filter, struct tag *wake)
{
    struct hub_watch *w = mem_zalloc(sizeof *w);
    if (!w)
        return NULL;
    arena_init(&w->arena, w->room, sizeof w->room, 0);
    if (!job_filter_copy(&w->arena, filter, &w->filter))
        goto no_memory;
    if (job_filter_is_fickle(&w->filter)) {
        w->now = arena_alloc(&w->arena, sizeof *w->now);
        if (!w->now)
            goto no_memory;
        *w->now = w->filter;
    }
    job_filter_forget_now(&w->filter);
    w->wide = w->now != NULL;
    w->wake = wake;
    return w;

no_memory:
    watch_free(w);
    return NULL;
}

static void watch_clear(struct hub_watch *w)
{
    HASH_CLEAR(hh, w->latest);
    while (w->first) {
        struct hub_entry *e = w->first;
        w->first = e->next;
        job_snapshot_unref(e->snapshot);
        mem_free(e);
    }
    w->last = NULL;
    w->n_entries = w->n_transitions = 0;
}

void watch_free(struct hub_watch *w)
{
    watch_clear(w);
    seen_done(&w->shown);
    arena_done(&w->arena);
    mem_free(w);
}

bool watch_concerns(const struct hub_watch *w, const struct job *job)
{
    return job_filter_matches(&w->filter, job);
}

static bool watches_one_job(const struct hub_watch *w)
{
    return w->filter.n_ids == 1;
}

static struct hub_entry *find_latest(struct hub_watch *w, int64_t job_id)
{
    struct hub_entry *e = w->last;
    if (!watches_one_job(w))
        HASH_FIND(hh, w->latest, &job_id, sizeof job_id, e);
    return e;
}

/* Too slow, out of memory, or changes were lost. */
void watch_cut(struct hub_watch *w)
{
    watch_clear(w);
    w->cut = true;
    tag_post(w->wake, true);
}

/* Appends. False: out of memory. */
static bool watch_append(struct hub_watch *w, struct job_snapshot *snapshot, bool is_transition)
{
    struct hub_entry *before = find_latest(w, snapshot->job.id), *e = mem_zalloc(sizeof *e);
    if (!e)
        return false;
    e->job_id = snapshot->job.id;
    e->is_transition = is_transition;
    if (!watches_one_job(w)) {
        if (before)
            HASH_DEL(w->latest, before);
        HASH_ADD(hh, w->latest, job_id, sizeof e->job_id, e);
        if (!e->hh.tbl) {
            mem_free(e);
            return false;
        }
    }
    e->snapshot = job_snapshot_ref(snapshot);
    if (w->last)
        w->last->next = e;
    else
        w->first = e;
    w->last = e;
    w->n_entries++;
    w->n_transitions += is_transition;
    return true;
}

static void watch_queue(struct hub_watch *w, struct job_snapshot *snapshot, bool is_transition)
{
    bool was_empty = !w->first;
    struct hub_entry *before = find_latest(w, snapshot->job.id);
    if (before && !before->is_transition) {
        job_snapshot_unref(before->snapshot);
        before->snapshot = job_snapshot_ref(snapshot);
        before->is_transition = is_transition;
        w->n_transitions += is_transition;
        return;
    }
    /* Progress is dropped rather than queued without end: another will follow. */
    if (!is_transition && w->n_entries >= HUB_BACKLOG_MAX)
        return;
    if ((is_transition && w->n_transitions >= HUB_BACKLOG_MAX) || !watch_append(w, snapshot, is_transition))
        watch_cut(w);
    else if (was_empty)
        tag_post(w->wake, true);
}

void watch_remember(struct hub_watch *w, int64_t job_id)
{
    if (w->now && w->shown.n_jobs < HUB_SHOWN_MAX)
        (void)seen_put(&w->shown, job_id, 0, true);
}

bool watch_forget(struct hub_watch *w, int64_t job_id)
{
    size_t before = w->shown.n_jobs;
    seen_remove(&w->shown, job_id);
    return w->shown.n_jobs < before;
}

/* Keeps the set of shown jobs; is this change to be sent? */
static bool watch_wants(struct hub_watch *w, const struct job *job)
{
    if (job_filter_matches_now(w->now, job)) {
        /* A completed job stays one for ever. */
        if (job->status != JOB_COMPLETED)
            watch_remember(w, job->id);
        return true;
    }
    /* What had failed or was cancelled before the watch began nobody has shown to it here. */
    return watch_forget(w, job->id) || job_filter_lets_go(w->now, job);
}

void watch_publish(struct hub_watch *w, struct job_snapshot *snapshot, bool is_transition)
{
    bool all = w->wide || !w->now;
    if (!w->cut && watch_concerns(w, &snapshot->job) && (all || watch_wants(w, &snapshot->job)))
        watch_queue(w, snapshot, is_transition);
}

/* Takes the first entry off the queue; gives it. */
static struct hub_entry *watch_shift(struct hub_watch *w)
{
    struct hub_entry *e = w->first;
    if (!e)
        return NULL;
    if (!watches_one_job(w) && find_latest(w, e->job_id) == e)
        HASH_DEL(w->latest, e);
    w->first = e->next;
    if (!w->first)
        w->last = NULL;
    w->n_entries--;
    w->n_transitions -= e->is_transition;
    return e;
}

void watch_settle(struct hub_watch *w)
{
    struct hub_entry *e;
    size_t n = w->n_entries;
    if (!w->wide)
        return;
    w->wide = false;
    /* Once around, in order, as if each change came only now. */
    while (n-- > 0 && (e = watch_shift(w))) {
        if (watch_wants(w, &e->snapshot->job) && !watch_append(w, e->snapshot, e->is_transition))
            watch_cut(w);
        job_snapshot_unref(e->snapshot);
        mem_free(e);
    }
}

struct job_snapshot *watch_take(struct hub_watch *w)
{
    struct hub_entry *e = watch_shift(w);
    struct job_snapshot *snapshot = e ? e->snapshot : NULL;
    mem_free(e);
    return snapshot;
}
