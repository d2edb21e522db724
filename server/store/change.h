/* One change of a job as the log of changes (table joblog.change) keeps it, and how to make of the job's present row
 * the job as it was right after the change. Pure; any thread. */
#ifndef STORE_CHANGE_H
#define STORE_CHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "core/job.h"

struct change {
    int64_t job_id, revision, time_us;
    int32_t attempt;
    enum job_status status;
    enum job_status retried_from; /* as in struct job; 0 where an older joblogd wrote it */
    bool is_transition;           /* false: progress */
};

enum {
    CHANGE_BYTES = 32,
    /* What a resume point may lie back: 130 000 changes, more than a watcher wants to catch up with one by one. */
    CHANGES_READ_MAX_BYTES = 4 << 20,
    /* What is kept for that, and for other replicas that are behind (feed.c): generously more. */
    CHANGES_MARK_BYTES = 1 << 20,
    CHANGES_MARKS = 8,
    CHANGES_KEPT_BATCHES = 5000
};

void change_put(struct buf *buf, const struct change *change);
/* How many there are in a text of the table; 0 for one that is none. */
size_t change_count(struct span entries);
/* The change at place i, which must be smaller than change_count. */
struct change change_at(struct span entries, size_t i);
/* By job, then by revision; for qsort. */
int change_compare(const void *a, const void *b);

/* The change is the last transition of the job as it is now: nothing to rewind. */
bool change_is_present(const struct change *change, const struct job *now);
/* Turns a job that has gone on since into what it was. Exact but for what no row tells any more: the worker of an
 * attempt that another followed, and progress and error of that time, which are empty then. */
void change_rewind(const struct change *change, struct job *job);

#endif
