/* One watch: its filter and its queue. Private to the hub, which holds its lock around every function here. */
#ifndef HUB_WATCH_H
#define HUB_WATCH_H

#include "base/alloc.h"
#include "core/seen.h"
#include "hub/hub.h"
#include "hub/index.h"

/* uthash must not end the process when memory runs out: an element that was not added has hh.tbl NULL. */
#define uthash_malloc(size)  mem_alloc(size)
#define uthash_free(p, size) mem_free(p)
#define HASH_NONFATAL_OOM    1
#include <uthash.h>

struct hub_entry;

struct hub_watch {
    struct arena arena;       /* of the filter */
    char room[128];           /* its beginning, enough for most: thousands of watches keep one */
    struct job_filter filter; /* without the parts that a job may cease to fit, which are here: */
    struct job_filter *now;   /* job_filter_matches_now only; shares its texts with the filter; NULL: none */
    struct tag *wake;
    int64_t begin_us;                /* monotonic; what happened before may have gone past it */
    bool wide;                       /* every status is queued: the watcher still reads the store */
    bool cut;                        /* was too slow; the queue is empty for good */
    struct hub_entry *first, *last;  /* the queue, oldest first */
    struct hub_entry *latest;        /* uthash by job: the last entry of each; not for a watch of one job */
    size_t n_entries, n_transitions; /* in the queue */
    struct seen shown;               /* matched when last sent, and may cease to; without revisions */
    struct hub_interest *interests;  /* where the index has it */
    size_t n_interests;
    struct hub_interest only_interest; /* the room for one, enough for most */
};

/* NULL: out of memory. */
struct hub_watch *watch_new(const struct job_filter *filter, struct tag *wake);
void watch_free(struct hub_watch *watch);
/* Statuses apart. */
bool watch_concerns(const struct hub_watch *watch, const struct job *job);
/* Queues the snapshot if it is wanted and posts wake if the queue was empty. */
void watch_publish(struct hub_watch *watch, struct job_snapshot *snapshot, bool is_transition);
/* Ends the wide phase: drops from the queue what the statuses leave out. */
void watch_settle(struct hub_watch *watch);
void watch_remember(struct hub_watch *watch, int64_t job_id);
/* False: it was not remembered. */
bool watch_forget(struct hub_watch *watch, int64_t job_id);
/* A gap must not go unseen: it hears nothing any more, and hub_next says so. */
void watch_cut(struct hub_watch *watch);
struct job_snapshot *watch_take(struct hub_watch *watch);

#endif
