/* See hub.h. A change looks only at the watches that index.h finds for it. One lock over all; changes come from the
 * store's writer thread or the feed's, everything else from the workers. Must not block. */
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "hub/watch.h"

/* The last revision published of a job. */
struct hub_told {
    int64_t job_id, revision;
    UT_hash_handle hh;
};

/* Those of the oldest jobs are dropped, 80 bytes each: of them a watcher may be told the same once more. */
enum { HUB_TOLD_MAX = 50000 };

struct hub {
    pthread_mutex_t lock;
    atomic_uint n_watches;
    struct hub_index index;
    struct hub_told *told; /* uthash, oldest first */
};

struct hub *hub_new(void)
{
    struct hub *hub = mem_zalloc(sizeof *hub);
    if (hub)
        pthread_mutex_init(&hub->lock, NULL);
    return hub;
}

static void forget_told(struct hub *hub, struct hub_told *told)
{
    HASH_DEL(hub->told, told);
    mem_free(told);
}

void hub_free(struct hub *hub)
{
    if (!hub)
        return;
    while (hub->told)
        forget_told(hub, hub->told);
    pthread_mutex_destroy(&hub->lock);
    mem_free(hub);
}

int hub_watch(struct hub *hub, const struct job_filter *filter, struct tag *wake, struct hub_watch **ret_watch,
              struct err *ret_err)
{
    if (atomic_fetch_add(&hub->n_watches, 1) >= HUB_WATCHES_MAX) {
        atomic_fetch_sub(&hub->n_watches, 1);
        int rc = err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_WATCHES", "too many watches at once");
        if (ret_err)
            ret_err->retry_after_ms = 1000;
        return rc;
    }
    struct hub_watch *w = watch_new(filter, wake);
    pthread_mutex_lock(&hub->lock);
    bool linked = w && hub_index_add(&hub->index, w);
    if (linked)
        w->begin_us = clock_mono_us(); /* after it is there: what is told later it hears */
    pthread_mutex_unlock(&hub->lock);
    if (!linked) {
        if (w)
            watch_free(w);
        atomic_fetch_sub(&hub->n_watches, 1);
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    }
    *ret_watch = w;
    return 0;
}

void hub_shown(struct hub *hub, struct hub_watch *w, int64_t job_id, bool matched)
{
    pthread_mutex_lock(&hub->lock);
    if (matched)
        watch_remember(w, job_id);
    else
        watch_forget(w, job_id);
    pthread_mutex_unlock(&hub->lock);
}

void hub_settle(struct hub *hub, struct hub_watch *w)
{
    pthread_mutex_lock(&hub->lock);
    watch_settle(w);
    pthread_mutex_unlock(&hub->lock);
}

void hub_unwatch(struct hub *hub, struct hub_watch *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&hub->lock);
    hub_index_remove(&hub->index, w);
    pthread_mutex_unlock(&hub->lock);
    atomic_fetch_sub(&hub->n_watches, 1);
    watch_free(w);
}

struct job_snapshot *hub_next(struct hub *hub, struct hub_watch *w, bool *ret_cut)
{
    pthread_mutex_lock(&hub->lock);
    struct job_snapshot *snapshot = watch_take(w);
    *ret_cut = !snapshot && w->cut;
    pthread_mutex_unlock(&hub->lock);
    return snapshot;
}

bool hub_wanted_since(void *user, const struct job *job, int64_t since_us)
{
    struct hub *hub = user;
    bool wanted = false;
    /* The change is committed: a watch that begins after this look finds it in the store. */
    if (atomic_load_explicit(&hub->n_watches, memory_order_seq_cst) == 0)
        return false;
    pthread_mutex_lock(&hub->lock);
    struct hub_walk walk = {.index = &hub->index, .job = job};
    for (struct hub_watch *w; !wanted && (w = hub_index_next(&walk));)
        wanted = w->begin_us >= since_us && watch_concerns(w, job);
    pthread_mutex_unlock(&hub->lock);
    return wanted;
}

bool hub_wanted(void *user, const struct job *job)
{
    return hub_wanted_since(user, job, 0);
}

/* Is it newer than what has been published of the job? With several replicas a job's progress comes by two ways, from
 * its lease and from the log of changes; a change of status may be told together with progress that followed it; and a
 * replica takes a lease for good for a while after another one has ended it. */
static bool is_news(struct hub *hub, const struct job *job, bool is_transition)
{
    struct hub_told *told;
    HASH_FIND(hh, hub->told, &job->id, sizeof job->id, told);
    if (told && job->revision <= told->revision &&
        (!is_transition || job->revision >> JOB_REVISION_SHIFT == told->revision >> JOB_REVISION_SHIFT))
        return false;
    if (!told) {
        if (HASH_COUNT(hub->told) >= HUB_TOLD_MAX)
            forget_told(hub, hub->told);
        if (!(told = mem_zalloc(sizeof *told)))
            return true;
        told->job_id = job->id;
        HASH_ADD(hh, hub->told, job_id, sizeof told->job_id, told);
        if (!told->hh.tbl) {
            mem_free(told);
            return true;
        }
    }
    told->revision = job->revision;
    return true;
}

static void publish(struct hub *hub, struct job_snapshot *snapshot, bool is_transition, int64_t since_us)
{
    pthread_mutex_lock(&hub->lock);
    bool news = since_us > 0 || is_news(hub, &snapshot->job, is_transition);
    struct hub_walk walk = {.index = &hub->index, .job = &snapshot->job};
    for (struct hub_watch *w; news && (w = hub_index_next(&walk));)
        if (w->begin_us >= since_us)
            watch_publish(w, snapshot, is_transition);
    pthread_mutex_unlock(&hub->lock);
}

void hub_changed(void *user, struct job_snapshot *snapshot, bool is_transition)
{
    publish(user, snapshot, is_transition, 0);
}

void hub_repeat(void *user, struct job_snapshot *snapshot, int64_t since_us)
{
    publish(user, snapshot, false, since_us);
}

bool hub_may_want(void *user, int64_t job_id)
{
    struct hub *hub = user;
    if (atomic_load_explicit(&hub->n_watches, memory_order_seq_cst) == 0)
        return false;
    pthread_mutex_lock(&hub->lock);
    bool wanted = hub_index_may_want(&hub->index, job_id);
    pthread_mutex_unlock(&hub->lock);
    return wanted;
}

void hub_lost(void *user)
{
    struct hub *hub = user;
    pthread_mutex_lock(&hub->lock);
    hub_index_each(&hub->index, watch_cut);
    pthread_mutex_unlock(&hub->lock);
}

uint64_t hub_looks(struct hub *hub)
{
    pthread_mutex_lock(&hub->lock);
    uint64_t looks = hub->index.looks;
    pthread_mutex_unlock(&hub->lock);
    return looks;
}
