/* Inside server/store: lanes, which are pairs of queue and job name, and the counters of each. Writer thread. */
#ifndef STORE_LANES_H
#define STORE_LANES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "core/histogram.h"
#include "core/job.h"
#include "store/hash.h"

struct writer;
struct store_session;

/* More (queue, job name) pairs than this are a caller's mistake, such as ids in names; each costs about 2 KiB here. */
enum { LANES_MAX = 100000 };

struct minute_counters {
    int64_t dispatched, completed, failed, cancelled, retried, n_runs, run_us_sum, wait_us_sum;
    int32_t run_hist[HISTOGRAM_BUCKETS], wait_hist[HISTOGRAM_BUCKETS];
};

/* A place in the order of claims. */
struct queue_place {
    int16_t neg_priority;
    int64_t id;
};

struct lane {
    int32_t id;
    struct span queue, name; /* in the same piece of memory */
    /* Sessions that serve it, and the one to ask first. */
    struct store_session **sessions;
    size_t n_sessions, cap_sessions, next_session;
    bool backlog;      /* jobs may be waiting in the database */
    bool paused;       /* its queue is (pause.h) */
    bool dry;          /* no session here has credit, as far as is known */
    int64_t row_bytes; /* claim_row_bytes; 0: not known */
    /* Nothing waits up to here, in the order of claims, as far as this replica knows; forgotten at each tick. */
    struct queue_place after;
    struct queue_place least_put; /* foremost job that was put in since the last claim */
    /* Counters of this replica: what is committed, and what the present batch adds. */
    int64_t minute_us; /* of `now`; 0: none */
    struct minute_counters now, more;
    int64_t tally[JOB_STATUS_COUNT], tally_more[JOB_STATUS_COUNT];
    /* Where the rows of `now` and `tally` lie (pg_place); 0: not known. */
    uint64_t minute_place, tally_place[JOB_STATUS_COUNT];
    bool touched;
    /* What its rows do not say yet (owed.c): of `now`, and of the statuses in this set. */
    bool owes_minute;
    unsigned owed_statuses;
    struct lane *next_touched, *next_owing, *next_behind;
    UT_hash_handle hh;     /* by id */
    UT_hash_handle by_key; /* by queue, NUL, name */
    char key[];
};

struct lanes {
    struct lane *by_id, *by_key;
    struct lane *touched;           /* by the present batch */
    struct lane *owing;             /* since owing_us */
    int64_t owing_us, owed_rest_us; /* not written before, when it failed the last time */
    int32_t newest;                 /* largest id */
    struct buf key;
};

/* NULL when it is not known here. */
struct lane *lanes_get(struct lanes *lanes, struct span queue, struct span name);
struct lane *lanes_by_id(struct lanes *lanes, int32_t id);
/* Learns of a lane. NULL: out of memory. */
struct lane *lanes_add(struct writer *w, int32_t id, struct span queue, struct span name);
/* Lanes that are not known yet have larger ids. A smaller id may show later than a larger one: other replicas commit
 * when they do. So it stays behind the newest by more than can be under way. */
int32_t lanes_known_to(const struct lanes *lanes);
void lanes_done(struct lanes *lanes);

/* ---- counters (counters.c) ---- */

void count_change(struct writer *w, struct lane *lane, int from, int to); /* 0: none */
/* An attempt that counts has ended, and another will follow. */
void count_retry(struct writer *w, struct lane *lane);
/* The end of an attempt that ended the job. */
void count_run(struct writer *w, struct lane *lane, const struct job *job);
/* Sends what the batch adds, or notes it as owed for the mark. Counts the statements that are worth a commit. */
void counters_send(struct writer *w);
/* After the statements that follow have been sent, n_after of them: reads where the rows lie now. */
void counters_read(struct writer *w, int n_after);
void counters_commit(struct writer *w);
void counters_drop(struct writer *w);
/* What the lane's row of a minute is to say. past: an earlier minute than the batch's. False: nothing new. */
bool counters_minute(const struct lane *lane, int64_t minute_us, bool past, struct minute_counters *ret);
/* A histogram as an array of SQL in text, from the first bucket in use to the last. */
void counters_hist(struct buf *buf, const int32_t *hist);
/* Forgets what it has and reads the present replica's. 0 or -code. */
int counters_load(struct writer *w, struct err *ret_err);

#endif
