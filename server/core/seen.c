/* See seen.h. An open hash table with linear probing: a place is looked for from its hash on, and one that is freed is
 * filled by what stands behind it. At most three quarters are taken. */
#include "core/seen.h"

#include "base/alloc.h"

enum { PLACES_MIN = 16 };

struct seen_job {
    int64_t id; /* 0: a free place; no job has it */
    int64_t revision_open;
};

static size_t home(const struct seen *seen, int64_t job_id)
{
    return (size_t)((uint64_t)job_id * UINT64_C(0x9E3779B97F4A7C15) >> 20) & (seen->n_places - 1);
}

/* Where the job is, or the free place for it. There are places. */
static size_t place_of(const struct seen *seen, int64_t job_id)
{
    size_t at = home(seen, job_id);
    while (seen->places[at].id != 0 && seen->places[at].id != job_id)
        at = (at + 1) & (seen->n_places - 1);
    return at;
}

static struct seen_job *find(const struct seen *seen, int64_t job_id)
{
    struct seen_job *job = seen->n_places ? &seen->places[place_of(seen, job_id)] : NULL;
    return job && job->id != 0 ? job : NULL;
}

static bool grow(struct seen *seen)
{
    struct seen more = {.n_places = seen->n_places ? 2 * seen->n_places : PLACES_MIN};
    more.places = mem_zalloc(more.n_places * sizeof *more.places);
    if (!more.places)
        return false;
    for (size_t i = 0; i < seen->n_places; i++)
        if (seen->places[i].id != 0)
            more.places[place_of(&more, seen->places[i].id)] = seen->places[i];
    mem_free(seen->places);
    seen->places = more.places;
    seen->n_places = more.n_places;
    return true;
}

int64_t seen_revision(const struct seen *seen, int64_t job_id)
{
    const struct seen_job *job = find(seen, job_id);
    return job ? job->revision_open >> 1 : 0;
}

bool seen_put(struct seen *seen, int64_t job_id, int64_t revision, bool is_final)
{
    struct seen_job *job = find(seen, job_id);
    if (!job) {
        if (4 * (seen->n_jobs + 1) > 3 * seen->n_places && !grow(seen))
            return false;
        job = &seen->places[place_of(seen, job_id)];
        job->id = job_id;
        seen->n_jobs++;
    }
    seen->n_open -= (size_t)(job->revision_open & 1);
    job->revision_open = revision << 1 | !is_final;
    seen->n_open += (size_t)(job->revision_open & 1);
    return true;
}

void seen_remove(struct seen *seen, int64_t job_id)
{
    struct seen_job *job = find(seen, job_id);
    if (!job)
        return;
    seen->n_open -= (size_t)(job->revision_open & 1);
    seen->n_jobs--;
    size_t mask = seen->n_places - 1, gap = (size_t)(job - seen->places);
    for (size_t at = (gap + 1) & mask; seen->places[at].id != 0; at = (at + 1) & mask) {
        /* It may stand in the gap if its own place does not lie between the two. */
        if (((at - home(seen, seen->places[at].id)) & mask) < ((at - gap) & mask))
            continue;
        seen->places[gap] = seen->places[at];
        gap = at;
    }
    seen->places[gap] = (struct seen_job){0};
}

void seen_done(struct seen *seen)
{
    mem_free(seen->places);
    *seen = (struct seen){0};
}
