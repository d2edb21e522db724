/* Inside server/store: changes out of the log, joined with the jobs as they are now; for the feed and for those who
 * resume. One thread at a time. */
#ifndef STORE_CHANGES_H
#define STORE_CHANGES_H

#include "pg/pg.h"
#include "store/change.h"
#include "store/store.h"

enum {
    CHANGES_BATCHES_MAX =
        2000 /* of one replica at once: seconds of the highest load; who is further behind begins anew */
};

/* ---- rows of change_poll.sql ---- */

/* This row says how far a replica is; the others, what was changed. */
bool changes_is_replica(const struct pg_result *log, int row);
/* The last batch of a replica; 0: there is no such one. */
int64_t changes_batch(const struct pg_result *log, int replica);
/* Has one replica more than is read at once? */
bool changes_behind(const struct pg_result *log);

/* ---- with the jobs ---- */

struct changes {
    struct change *entries; /* by job and revision */
    bool *told;
    size_t n;
    struct job *jobs; /* by id, as they are now; in the arena */
    size_t n_jobs;
};

/* log: rows of change_poll.sql. Reads, by pg, the jobs that somebody watches (observer NULL: all of them). Everything
 * lies in arena. 0 or -code. */
int changes_load(struct changes *changes, struct pg_conn *pg, const struct pg_result *log,
                 const struct store_observer *observer, struct arena *arena, struct err *ret_err);

/* The job after entry i. False: it is not to be told (progress that a later entry covers, or a job that is gone). */
bool changes_job(const struct changes *changes, size_t i, struct job *ret_job, bool *ret_is_transition);

/* Tells the observer those of a job that are older than revision, and not told yet. */
void changes_tell(struct changes *changes, int64_t job_id, int64_t revision, const struct store_observer *observer);
void changes_tell_rest(struct changes *changes, const struct store_observer *observer);

#endif
