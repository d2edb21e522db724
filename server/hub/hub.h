/* The hub: fans a change of a job out to those who watch it, from memory, after its commit.
 *
 * Each watcher has a short queue of its own. Transitions are kept, progress is conflated: a newer snapshot of a job
 * replaces an older progress of the same job that the watcher has not taken yet. A watcher that lets more than
 * HUB_BACKLOG_MAX transitions pile up is cut off (hub_next says so) and harms nobody.
 *
 * Any thread may call anything; a lock is held for moments. */
#ifndef HUB_HUB_H
#define HUB_HUB_H

#include <stdbool.h>

#include "base/err.h"
#include "base/tag.h"
#include "core/job.h"

struct hub;
struct hub_watch;

enum {
    HUB_BACKLOG_MAX = 10000
}; /* about 20 MB of snapshots at the worst; a reader that far behind will not catch up */
enum { HUB_WATCHES_MAX = 200000 }; /* more: RESOURCE_EXHAUSTED */
enum {
    HUB_SHOWN_MAX = 390000
}; /* jobs that a watch with statuses remembers to have shown, in 8 MiB (core/seen.h); those past it are not sent once
      more */

struct hub *hub_new(void);      /* NULL: out of memory */
void hub_free(struct hub *hub); /* no watches left; takes NULL */

/* Starts a watch: every change published from now on of a job that the filter matches, or that a snapshot of before
 * matched (a job that ceases to match is sent once more), and every retry of a job that its status may have made match.
 * Copies filter. keeps wake: posted when there is something to take and there was nothing; until hub_unwatch returns.
 * With statuses in the filter it takes two more steps, since what matched before the watch began is in the store only:
 * the watcher reads it there, tells it by hub_shown, and then calls hub_settle; only after that it takes. */
int hub_watch(struct hub *hub, const struct job_filter *filter, struct tag *wake, struct hub_watch **ret_watch,
              struct err *ret_err);
/* The watcher has seen this job in the store: if it matched it is sent once more when it ceases to. */
void hub_shown(struct hub *hub, struct hub_watch *watch, int64_t job_id, bool matched);
/* The watcher has read the store: sorts what has been queued meanwhile by the statuses of the filter. Without
 * statuses it does nothing. */
void hub_settle(struct hub *hub, struct hub_watch *watch);
/* After it returns wake is not posted any more. Takes NULL. */
void hub_unwatch(struct hub *hub, struct hub_watch *watch);

/* Next snapshot, oldest first; gives a reference (job_snapshot_unref). NULL when there is none: then *ret_cut tells
 * whether the watch was cut off. */
struct job_snapshot *hub_next(struct hub *hub, struct hub_watch *watch, bool *ret_cut);

/* For the store's observer. */
bool hub_wanted(void *hub, const struct job *job);
void hub_changed(void *hub, struct job_snapshot *snapshot, bool is_transition);
/* The same for progress that was told at since_us (monotonic) and is in the store only now: for the watches that began
 * after it was told, and may have read the store before it was there. */
bool hub_wanted_since(void *hub, const struct job *job, int64_t since_us);
void hub_repeat(void *hub, struct job_snapshot *snapshot, int64_t since_us);
/* Could a watch want the job with this id? */
bool hub_may_want(void *hub, int64_t job_id);
/* Changes went by untold: cuts off every watch. */
void hub_lost(void *hub);

/* How many watches the changes so far have been held against, in all: those whose filter's ids, source, batch, owner,
 * job names or queues the job fitted, and those that name none. For tests. */
uint64_t hub_looks(struct hub *hub);

#endif
