/* See seen.h. */
#include "rpc/seen.h"

#include "base/alloc.h"

#define uthash_malloc(size)  mem_alloc(size)
#define uthash_free(p, size) mem_free(p)
#define HASH_NONFATAL_OOM    1
#include <uthash.h>

struct seen_job {
    int64_t id, revision;
    bool open;
    UT_hash_handle hh;
};

static struct seen_job *find(const struct seen *seen, int64_t job_id)
{
    struct seen_job *job;
    HASH_FIND(hh, seen->jobs, &job_id, sizeof job_id, job);
    return job;
}

int64_t seen_revision(const struct seen *seen, int64_t job_id)
{
    const struct seen_job *job = find(seen, job_id);
    return job ? job->revision : 0;
}

bool seen_put(struct seen *seen, int64_t job_id, int64_t revision, bool is_final)
{
    struct seen_job *job = find(seen, job_id);
    if (!job) {
        job = mem_zalloc(sizeof *job);
        if (!job)
            return false;
        job->id = job_id;
        HASH_ADD(hh, seen->jobs, id, sizeof job->id, job);
        if (!job->hh.tbl) {
            mem_free(job);
            return false;
        }
    }
    seen->n_open -= job->open;
    job->open = !is_final;
    seen->n_open += job->open;
    job->revision = revision;
    return true;
}

void seen_remove(struct seen *seen, int64_t job_id)
{
    struct seen_job *job = find(seen, job_id);
    if (!job)
        return;
    seen->n_open -= job->open;
    HASH_DEL(seen->jobs, job);
    mem_free(job);
}

size_t seen_count(const struct seen *seen)
{
    return HASH_COUNT(seen->jobs);
}

void seen_done(struct seen *seen)
{
    struct seen_job *job, *next;
    HASH_ITER(hh, seen->jobs, job, next)
    {
        HASH_DEL(seen->jobs, job);
        mem_free(job);
    }
    seen->n_open = 0;
}
