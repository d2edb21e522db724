/* The jobs that a watch of many has shown: at which revision, and whether they are still to become final. One call's,
 * on its worker. */
#ifndef RPC_SEEN_H
#define RPC_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct seen_job;

struct seen {
    struct seen_job *jobs; /* uthash */
    size_t n_open;         /* not final when last shown */
};

/* Revision last shown; 0 for a job that is not there. */
int64_t seen_revision(const struct seen *seen, int64_t job_id);
/* Shown now. False: out of memory. */
bool seen_put(struct seen *seen, int64_t job_id, int64_t revision, bool is_final);
void seen_remove(struct seen *seen, int64_t job_id);
size_t seen_count(const struct seen *seen);
void seen_done(struct seen *seen);

#endif
