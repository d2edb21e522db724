/* The jobs that a watch of many has shown: at which revision, and whether they are still to become final. One call's,
 * on its worker. Some 21 to 43 bytes each, as they are many; room once taken stays. */
#ifndef CORE_SEEN_H
#define CORE_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct seen_job;

/* Zeroed: none. */
struct seen {
    size_t n_open; /* not final when last shown */
    size_t n_jobs;
    /* private */
    struct seen_job *places;
    size_t n_places; /* 0, or a power of two */
};

/* Revision last shown; 0 for a job that is not there. */
int64_t seen_revision(const struct seen *seen, int64_t job_id);
/* Shown now; ids are positive. False: out of memory. */
bool seen_put(struct seen *seen, int64_t job_id, int64_t revision, bool is_final);
void seen_remove(struct seen *seen, int64_t job_id);
void seen_done(struct seen *seen);

#endif
