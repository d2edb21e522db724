/* Which watches a change of a job may concern. Each stands under the most selective equality of its filter, or under
 * several values of one (ids, job names, queues), so that a change looks only at those whose value the job has, and at
 * those without any equality. Private to the hub, which holds its lock around every function here. */
#ifndef HUB_INDEX_H
#define HUB_INDEX_H

#include "core/job.h"

struct hub_topic;
struct hub_watch;

/* The most selective first. */
enum hub_by {
    HUB_BY_ID,
    HUB_BY_SOURCE_ID,
    HUB_BY_BATCH,
    HUB_BY_OWNER, /* of the filter; or of the scope, when that holds the caller's own jobs only */
    HUB_BY_NAME,
    HUB_BY_SOURCE_TYPE,
    HUB_BY_QUEUE,
    HUB_BY_ANY, /* no equality: every change looks at these */
    HUB_BY_COUNT
};

/* Zeroed: empty. */
struct hub_index {
    struct hub_topic *topics[HUB_BY_COUNT]; /* uthash by the value */
    uint64_t looks;                         /* watches that hub_index_next has given */
};

/* A watch under one value. */
struct hub_interest {
    struct hub_watch *watch;
    struct hub_topic *topic;
    struct hub_interest *prev, *next;
};

/* False: out of memory; then it is not there. */
bool hub_index_add(struct hub_index *index, struct hub_watch *watch);
void hub_index_remove(struct hub_index *index, struct hub_watch *watch);

/* A look at those that may want the job, each once; zeroed but for index and job. Nothing is added or removed
 * meanwhile. */
struct hub_walk {
    struct hub_index *index;
    const struct job *job;
    enum hub_by by;
    struct hub_interest *at;
};
struct hub_watch *hub_index_next(struct hub_walk *walk); /* NULL: no more */

/* Could one want the job with this id? */
bool hub_index_may_want(const struct hub_index *index, int64_t job_id);
/* All of them; one that names several values as often. */
void hub_index_each(const struct hub_index *index, void (*visit)(struct hub_watch *watch));

#endif
