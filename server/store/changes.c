/* See changes.h. The thread of the feed, or of a reader. */
#include "store/changes.h"

#include <stdlib.h>

#include "base/log.h"
#include "store/engine.h"
#include "store/point.h"

enum { JOBS_A_QUERY = 1000 };

bool changes_is_replica(const struct pg_result *log, int row)
{
    return pg_is_null(log, row, 2);
}

int64_t changes_batch(const struct pg_result *log, int replica)
{
    for (int i = 0; i < pg_rows(log); i++)
        if (changes_is_replica(log, i) && pg_int(log, i, 0) == replica)
            return pg_int(log, i, 1);
    return 0;
}

bool changes_behind(const struct pg_result *log)
{
    int n[POINT_REPLICAS] = {0};
    bool behind = false;

    for (int i = 0; i < pg_rows(log); i++)
        if (!changes_is_replica(log, i))
            behind |= ++n[pg_int(log, i, 0)] == CHANGES_BATCHES_MAX;
    return behind;
}

static bool may_concern(const struct store_observer *o, int64_t job_id)
{
    return !o || !o->may_want || o->may_want(o->user, job_id);
}

static int out_of_memory(struct err *ret_err)
{
    return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
}

static bool unpack(struct changes *c, const struct pg_result *log, const struct store_observer *o, struct arena *arena)
{
    size_t cap = 0;

    for (int i = 0; i < pg_rows(log); i++)
        cap += change_count(pg_text(log, i, 2));
    c->entries = arena_alloc(arena, cap * sizeof *c->entries);
    if (!c->entries)
        return false;
    for (int i = 0; i < pg_rows(log); i++) {
        struct span entries = pg_text(log, i, 2);
        for (size_t k = 0, n = change_count(entries); k < n; k++) {
            struct change change = change_at(entries, k);
            if (may_concern(o, change.job_id))
                c->entries[c->n++] = change;
        }
    }
    c->told = arena_zalloc(arena, (c->n + 1) * sizeof *c->told);
    if (c->n)
        qsort(c->entries, c->n, sizeof *c->entries, change_compare);
    return c->told != NULL;
}

static int by_id(const void *pa, const void *pb)
{
    const struct job *a = pa, *b = pb;

    return (a->id > b->id) - (a->id < b->id);
}

/* Reads the next jobs from entry *at on. 0 or -code. */
static int read_some(struct changes *c, struct pg_conn *pg, size_t *at, struct arena *arena, struct err *ret_err)
{
    struct pg_params p = {.n = 0};
    struct pg_param *ids = pg_add_array(&p, PG_INT8);
    struct pg_result *r;
    bool good = true;

    for (int n = 0; *at < c->n && n < JOBS_A_QUERY; n++) {
        int64_t id = c->entries[*at].job_id;
        pg_put_int8(ids, id);
        while (*at < c->n && c->entries[*at].job_id == id)
            ++*at;
    }
    r = pg_run(pg, sql_name(SQL_JOB_BASIC), &p, ret_err);
    pg_params_done(&p);
    if (!r)
        return -(int)ret_err->code;
    for (int i = 0; good && i < pg_rows(r); i++) {
        struct job job;
        good = row_job(r, i, arena, &job) && job_copy(arena, &job, &c->jobs[c->n_jobs++]);
    }
    pg_free(r);
    return good ? 0 : out_of_memory(ret_err);
}

int changes_load(struct changes *c, struct pg_conn *pg, const struct pg_result *log,
                 const struct store_observer *observer, struct arena *arena, struct err *ret_err)
{
    int rc = 0;

    *c = (struct changes){.n = 0};
    if (!unpack(c, log, observer, arena))
        return out_of_memory(ret_err);
    if (c->n == 0)
        return 0;
    c->jobs = arena_alloc(arena, c->n * sizeof *c->jobs);
    if (!c->jobs)
        return out_of_memory(ret_err);
    for (size_t at = 0; rc == 0 && at < c->n;)
        rc = read_some(c, pg, &at, arena, ret_err);
    qsort(c->jobs, c->n_jobs, sizeof *c->jobs, by_id);
    return rc;
}

/* Of the changes since the job's last transition the first stands for all: the present row has them. */
static bool is_covered(const struct changes *c, size_t i)
{
    const struct change *change = &c->entries[i], *before = i > 0 ? change - 1 : NULL;

    return before && before->job_id == change->job_id &&
           before->revision >> JOB_REVISION_SHIFT == change->revision >> JOB_REVISION_SHIFT;
}

static bool is_transition_covered(const struct changes *c, size_t i)
{
    bool is_transition = c->entries[i].is_transition;

    for (size_t k = i + 1; k < c->n && c->entries[k].job_id == c->entries[i].job_id && is_covered(c, k); k++)
        is_transition |= c->entries[k].is_transition;
    return is_transition;
}

bool changes_job(const struct changes *c, size_t i, struct job *ret_job, bool *ret_is_transition)
{
    const struct change *change = &c->entries[i];
    struct job key = {.id = change->job_id}, *now = NULL;

    if (c->n_jobs)
        now = bsearch(&key, c->jobs, c->n_jobs, sizeof *c->jobs, by_id);
    if (!now || is_covered(c, i))
        return false;
    *ret_job = *now;
    ret_job->retried_from = change->retried_from;
    *ret_is_transition = is_transition_covered(c, i);
    if (change_is_present(change, now))
        return true;
    if (change->revision % ((int64_t)1 << JOB_REVISION_SHIFT) != 0)
        return false; /* progress of an attempt that is over */
    change_rewind(change, ret_job);
    return true;
}

static void tell_one(struct changes *c, size_t i, const struct store_observer *o)
{
    struct job job;
    bool is_transition = false;

    if (c->told[i])
        return;
    c->told[i] = true;
    if (!changes_job(c, i, &job, &is_transition) || !o->wanted || !o->wanted(o->user, &job))
        return;
    struct job_snapshot *snapshot = job_snapshot_new(&job);
    if (snapshot)
        o->changed(o->user, snapshot, is_transition);
    else
        log_error("out of memory for a snapshot job=%lld", (long long)job.id);
    job_snapshot_unref(snapshot);
}

void changes_tell(struct changes *c, int64_t job_id, int64_t revision, const struct store_observer *o)
{
    size_t lo = 0, hi = c->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->entries[mid].job_id < job_id)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < c->n && c->entries[lo].job_id == job_id && c->entries[lo].revision < revision; lo++)
        tell_one(c, lo, o);
}

void changes_tell_rest(struct changes *c, const struct store_observer *o)
{
    for (size_t i = 0; i < c->n; i++)
        tell_one(c, i, o);
}
