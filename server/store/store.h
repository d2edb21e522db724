/* The store: everything that is kept, and the commit engine.
 *
 * One writer thread owns one connection in pipeline mode. Commands arrive from any thread; those that have arrived
 * while a batch was being committed form the next batch: a few statements over arrays, one commit, one wake-up for all.
 * An idle store commits a single command at once. The same thread owns the leases of this process, the workers'
 * sessions and their credit, so it can hand a job to a waiting worker in the commit that inserts it. Reader threads,
 * each with a connection, serve the queries.
 *
 * A command is a struct of the caller's that must stay valid, with all that it points to, until its `done` tag is
 * posted (from a thread of the store, exactly once). Before the post `err` is filled; code OK means committed. When
 * store_submit returns an error nothing is posted.
 *
 * Nothing here knows of protobuf or gRPC. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mpsc.h"
#include "base/span.h"
#include "base/tag.h"
#include "core/histogram.h"
#include "core/job.h"

struct store;
struct store_session;

/* Told of every change after its commit (progress: when it is taken), in order for each job, those of other replicas
 * included; by one thread of the store at a time (feed.h). */
struct store_observer {
    /* Is anybody interested? Asked first, so that a snapshot is made only when somebody is. */
    bool (*wanted)(void *user, const struct job *job);
    /* Borrows snapshot (take a reference to keep it). is_transition: false for progress. */
    void (*changed)(void *user, struct job_snapshot *snapshot, bool is_transition);
    /* Progress is told before it is written; who begins to look in between reads the job without it. So it is told once
     * more when it has been written, to those who came after since_us (monotonic) when it was told first. As above. */
    bool (*wanted_since)(void *user, const struct job *job, int64_t since_us);
    void (*repeated)(void *user, struct job_snapshot *snapshot, int64_t since_us);
    /* Could anybody be interested in the job with this id? Asked before it is read. Optional. */
    bool (*may_want)(void *user, int64_t job_id);
    /* Changes went by that could not be told: whoever looks must begin anew. Optional. */
    void (*lost)(void *user);
    void *user;
};

struct store_options {
    const char *uri; /* libpq connection URI or keyword string; several hosts allowed */
    struct store_observer observer;
    unsigned n_readers;    /* 0: 2 */
    unsigned batch_max;    /* commands a batch; 0: 1000 */
    unsigned change_bytes; /* an eighth of what the log of changes keeps at a high load; 0: 1 MiB, less only in tests */
    unsigned queue_max;    /* commands that wait; more: RESOURCE_EXHAUSTED. 0: 100000 */
    int64_t lease_timeout_ms; /* 0: 30000 */
    int64_t held_bytes;       /* from so many in its leases on a session gets no more; 0: 64 MiB */
    int64_t request_ttl_ms;   /* how long request ids are kept; 0: 24 h */
    int64_t log_bytes;        /* that are kept of a job's log; 0: none */
    int64_t minute_days;      /* how long counters of minutes are kept; hours and days are for ever. 0: 14 */
    bool poll_only;           /* no LISTEN and NOTIFY: for poolers; changes of other replicas show up to 200 ms later */
    int64_t reconnect_ms;     /* how long commands wait for a database that went away; then UNAVAILABLE. 0: 30000 */
};

/* Connects, migrates (under an advisory lock), takes a replica number, starts the threads. NULL and *ret_err on
 * failure. */
struct store *store_open(const struct store_options *options, struct err *ret_err);
/* Any thread. The end is near: a database that is away is waited for only 3 s from now on. */
void store_hurry(struct store *store);
/* Finishes what was submitted, then ends the threads. Takes NULL. */
void store_close(struct store *store);
int64_t store_lease_timeout_ms(const struct store *store);
/* How long what comes now is going to wait: as long as the dispatches, or (reads) the queries, that are served now, as
 * the batches to come will take by the last one's time, as the batch under way has taken already. While the database
 * is away, that does not count. Any thread. */
int64_t store_wait_ms(const struct store *store, bool reads);

enum store_op {
    STORE_DISPATCH,
    STORE_FINISH,
    STORE_PROGRESS,
    STORE_CANCEL,
    STORE_RETRY,
    STORE_LOG_WRITE, /* store/job_log.h */
    STORE_PAUSE,
    STORE_RESUME,
    STORE_SESSION_OPEN,
    STORE_SESSION_CREDIT,
    STORE_SESSION_CLOSE,
    STORE_GET,
    STORE_LIST,
    STORE_STATS,
    STORE_STATUSES,
    STORE_CHANGES,
    STORE_LOG_READ,    /* store/job_log.h */
    STORE_WORKER_LIST, /* store/workers.h */
    STORE_WORKER_DRAIN,
    STORE_WORKER_PAUSE,
    STORE_WORKER_RESUME,
    STORE_CLEANUP,
    STORE_QUEUES,
    STORE_TOKEN_CREATE, /* store/access.h */
    STORE_TOKEN_REVOKE,
    STORE_TOKEN_LIST,
    STORE_TOKEN_LOAD,
    STORE_TOKEN_USED
};

struct store_cmd {
    enum store_op op;
    struct tag *done;
    struct err err;        /* out */
    bool light;            /* a write of a caller that has little under way: before others' that wait already */
    struct mpsc_node node; /* private, as is what follows */
    int64_t submit_us;     /* monotonic */
};

/* Any thread. 0, or -RESOURCE_EXHAUSTED (queue full), -UNAVAILABLE (closing) and *ret_err; then done never fires. */
int store_submit(struct store *store, struct store_cmd *cmd, struct err *ret_err);

/* ---- writes ---- */

/* What happens to a dispatch whose unique key is held by another job. Numbers equal joblog.v1.UniqueKey.OnConflict. */
enum unique_conflict {
    UNIQUE_REJECT = 1,          /* ALREADY_EXISTS, UNIQUE_KEY_TAKEN */
    UNIQUE_USE_EXISTING = 2,    /* that job is the answer */
    UNIQUE_REPLACE_PAYLOAD = 3, /* that job, which must be pending, gets this payload */
    UNIQUE_MERGE_PAYLOAD = 4    /* it gets the members of this payload over its own */
};

/* One job of a dispatch. In: job, filled from the request (name, queue, priority, source, owner, creator, labels,
 * payload, retry, unique, run_us (0: at once), batch, traceparent, request_id). Out: id, status, revision, run_us and
 * so on of the job as it was inserted. */
struct dispatch_item {
    struct job job;
    uint8_t body_hash[16];            /* of the request's body; compared when request_id was used before */
    bool has_run;                     /* with start: the caller names its run, apart from others with this request_id */
    uint8_t run_hash[16];             /* of that name */
    enum unique_conflict on_conflict; /* of the unique key; 0: UNIQUE_REJECT */
    /* What its caller may see; NULL: everything. A job outside of it that holds the key is never the answer. */
    const struct job_scope *scope;
    bool start;        /* insert it running, leased to the caller (StartJob); job.worker names it */
    struct span given; /* private: the payload, while another item of the batch has put its own in its place */
    /* out */
    struct err err; /* this item's own outcome: ALREADY_EXISTS (reason REQUEST_ID_REUSED) … */
    bool replayed;  /* request_id was used before with the same body: job.id is that job's, nothing else is filled */
    bool existing;  /* another job holds the unique key, and on_conflict makes it the answer: as for replayed */
    bool same_run;  /* of a replay: the run that made the job, or neither names one */
    int64_t lease_token; /* with start; of a replay by the same run only, while that attempt runs */
};

struct store_dispatch {
    struct store_cmd cmd; /* err: of the whole; the items have their own */
    struct dispatch_item *items;
    size_t n_items;
};

/* Ends an attempt. FAILED_PRECONDITION (reason LEASE_LOST) when token is not the present one; but when it is the one
 * that ended last, by the same outcome, this is a repetition after a lost answer: good, with the same status. */
struct store_finish {
    struct store_cmd cmd;
    int64_t job_id, token;
    const struct job_scope *scope; /* of the caller; NULL: everything. A lease outside of it is not the caller's */
    enum attempt_outcome outcome;  /* COMPLETED, FAILED, CANCELLED or RELEASED */
    bool no_retry;
    int64_t delay_us; /* of RELEASED: how long the job waits; with reason: "" for "given back" */
    struct span reason;
    struct span result; /* JSON text or empty */
    struct job_error error;
    /* out */
    enum job_status status; /* what became of the job */
};

/* Progress and payload patch of a running job; taken from memory, written within 250 ms. LEASE_LOST as above. For a
 * lease that belongs to no session (StartJob) it renews the lease. A lease of another session moves to session_id, and
 * done is posted after the commit of that: it lives with that session from now on, which is told of cancels. Progress
 * without a patch does not wait for the commit of a patch before it; of what was submitted the last stands all the
 * same. */
struct store_progress {
    struct store_cmd cmd;
    int64_t job_id, token;
    const struct job_scope *scope; /* as above */
    int64_t session_id;            /* of the stream that it came by; 0: by none */
    bool has_progress;
    struct job_progress progress;
    int64_t since_us;          /* when what it counts began, 0 done by then; 0: told by the reports (core/rate.h) */
    struct span payload_patch; /* JSON object text or empty */
    struct arena *arena;       /* for out texts */
    int64_t number;            /* private: by arrival, of all reports */
    /* out */
    struct cancel_request cancel; /* time_us != 0: should stop */
};

/* Under which a cancel or a retry may be repeated: the same body is done once and answered again; another body is
 * refused with ALREADY_EXISTS (REQUEST_ID_REUSED). Kept with the request ids of dispatches, and for as long. */
struct steer_key {
    struct span id;        /* empty: none; every time anew */
    uint8_t body_hash[16]; /* of what is asked for */
    /* out */
    bool replayed; /* it was done before; nothing was done now */
    bool reused;   /* private: with another body */
};

/* NOT_FOUND; FAILED_PRECONDITION (JOB_TRANSITION_REFUSED). */
struct store_cancel {
    struct store_cmd cmd;
    int64_t job_id;
    struct span actor, reason, request_id; /* for the record */
    struct steer_key key;
    bool changed; /* out: false when its worker had been told to stop before, or it is a repetition */
};

/* NOT_FOUND; FAILED_PRECONDITION (JOB_TRANSITION_REFUSED). */
struct store_retry {
    struct store_cmd cmd;
    int64_t job_id;
    struct span actor, reason, request_id;
    struct steer_key key;
    bool changed; /* out: false when it is a repetition */
};

/* Stops a queue (STORE_PAUSE): nothing of it is given to a worker from the answer on here, and within a second by other
 * replicas; or lets it go on (STORE_RESUME). Either may be repeated. */
struct store_pause {
    struct store_cmd cmd;
    struct span queue, actor, reason;
};

/* ---- workers ---- */

enum delivery_kind { DELIVERY_LEASE, DELIVERY_CANCEL, DELIVERY_LOST };

/* Something for a worker. Freed with delivery_free. */
struct delivery {
    struct mpsc_node node;
    enum delivery_kind kind;
    int64_t job_id, token;
    struct job_snapshot *snapshot; /* of LEASE: the job, running; of CANCEL: with its cancel request; of LOST: NULL */
};
void delivery_free(struct delivery *delivery);

struct store_session_open {
    struct store_cmd cmd;
    struct span worker, version, host;
    int64_t pid;
    const struct span *names; /* none: every name */
    size_t n_names;
    const struct span *queues; /* at least one */
    size_t n_queues;
    const int32_t *weights; /* of the queues, in their order; NULL: 1 each */
    struct job_scope scope; /* lanes outside of it are not served; must not name owners (job_scope_names_owners) */
    struct tag *wake;       /* posted when deliveries wait, from the writer thread; until STORE_SESSION_CLOSE is done */
    /* out */
    struct store_session *session;
    int64_t session_id;
};

/* More credit; draining: credit becomes 0 and stays there. No commit: done is posted soon. */
struct store_session_credit {
    struct store_cmd cmd;
    struct store_session *session;
    int32_t add;
    bool draining;
};

/* The stream is gone. Leases that it still holds are given up as: lost after the lease time-out (keep_leases, so that a
 * worker that comes back can still finish them by token), or RELEASED at once. Gives the session back: it must not be
 * used after done. */
struct store_session_close {
    struct store_cmd cmd;
    struct store_session *session;
    bool keep_leases;
};

/* One consumer thread. Oldest first, NULL when none. Gives the delivery (delivery_free). */
struct delivery *store_session_take(struct store_session *session);
/* Any thread: the worker gave a sign of life. */
void store_session_touch(struct store_session *session);
/* Likewise: as of a time (monotonic) that may lie back. */
void store_session_touch_at(struct store_session *session, int64_t alive_ms);
/* Leases that it holds; any thread; may lag. */
int32_t store_session_leases(const struct store_session *session);

/* NOT_FOUND (reason JOB_NOT_FOUND), as every command says it of a job that does not exist. Returns -code. */
int store_no_job(int64_t id, struct err *ret_err);

/* ---- reads; texts and arrays go into `arena` ---- */

struct store_get {
    struct store_cmd cmd;
    int64_t id;
    bool full; /* payload, result, stack trace, attempts, transitions too */
    /* NULL: everything. A job outside of it is NOT_FOUND, and as soon as if it were: nothing large is read of it. */
    const struct job_scope *scope;
    struct arena *arena;
    struct job job; /* out */
};

struct store_list {
    struct store_cmd cmd;
    struct job_filter filter;
    bool oldest_first;
    int64_t before_id; /* only smaller ids, or greater ones with oldest_first; 0: from the newest, or oldest */
    int32_t limit;     /* 1 to 1000 */
    bool with_payload; /* exports need it */
    struct arena *arena;
    /* out */
    struct job *jobs; /* in order */
    size_t n_jobs;
    bool more;              /* there are further ones */
    int64_t next_before_id; /* with more: where they begin; jobs may be none all the same, when they ceased to
                             * match, or none of those that were looked at fits what no index knows */
};

/* What happened in a time. */
struct stats_sums {
    int64_t dispatched, completed, failed, cancelled, retried;
    int64_t n_runs, run_us_sum, wait_us_sum;
    int64_t run_hist[HISTOGRAM_BUCKETS], wait_hist[HISTOGRAM_BUCKETS];
};
void stats_sums_add(struct stats_sums *to, const struct stats_sums *more);

struct stats_row {
    int32_t lane_id;
    struct span name, queue;
    int64_t counts[JOB_STATUS_COUNT]; /* by enum job_status, now */
    int64_t waiting_since_us;         /* when the first dispatched of those that wait could run; 0: none waits */
    struct stats_sums sums;           /* in the range */
};

struct store_stats {
    struct store_cmd cmd;
    const struct span *names, *queues;
    size_t n_names, n_queues;
    struct job_scope scope; /* must not name owners (job_scope_names_owners): the counters do not know them */
    int64_t from_us, to_us; /* from a whole minute on, or a whole bucket */
    int64_t bucket_us;      /* a minute, an hour or a day (of UTC); 0: none are asked for */
    struct arena *arena;
    /* out: by name and queue, sorted */
    struct stats_row *rows;
    size_t n_rows;
    struct stats_sums *buckets; /* all rows together, in order from from_us on */
    size_t n_buckets;
    int64_t n_workers; /* that are alive and may get such jobs; the server's own only when their queue is asked for */
};

/* Deletes the records of jobs that have ended, oldest first, with all that belongs to them. Ends after some time, or at
 * the limit: then `more` is set, and next_id is where to go on. */
struct store_cleanup {
    struct store_cmd cmd;
    const struct span *names, *queues;
    size_t n_names, n_queues;
    struct job_scope scope; /* must not name owners */
    unsigned status_mask;   /* of final statuses */
    int64_t before_us;      /* those that ended before */
    int64_t after_id;       /* only larger ids; 0: from the oldest */
    int64_t limit;          /* 1 to 1000000 */
    bool dry_run;           /* deletes nothing */
    /* out */
    int64_t counts[JOB_STATUS_COUNT]; /* by status as it was */
    int64_t next_id;
    bool more;
};

struct queue_info {
    struct span name;
    int64_t pause_us; /* 0: it is not paused */
    struct span pause_actor, pause_reason;
    int64_t waiting, scheduled, running;
    int64_t oldest_us; /* dispatch of the oldest that waits; 0: none does */
};

struct store_queues {
    struct store_cmd cmd;
    const struct span *queues; /* none: all */
    size_t n_queues;
    struct job_scope scope; /* must not name owners (job_scope_names_owners) */
    struct arena *arena;
    /* out: by name; those that had jobs within the scope, or are paused and within it */
    struct queue_info *infos;
    size_t n_infos;
};

struct status_info {
    int status;
    struct span name, label, color, icon;
};

struct store_statuses {
    struct store_cmd cmd;
    struct span language;
    struct arena *arena;
    struct status_info *statuses; /* out */
    size_t n_statuses;
};

/* What changed after a resume point, of all jobs, whatever replica did it. INVALID_ARGUMENT for a text that is no
 * point; OUT_OF_RANGE (RESUME_POINT_EXPIRED) when the log does not go back that far, or too much has changed. */
struct store_changes {
    struct store_cmd cmd;
    struct span point;
    struct arena *arena;
    /* out */
    struct job *jobs; /* without payload, by id and revision; transitions one by one, progress only the last */
    size_t n_jobs;
};

/* Any thread. Appends a point: everything up to it has been told to the observer. Good for ten minutes at least. */
void store_point(struct store *store, struct buf *ret_point);

#endif
