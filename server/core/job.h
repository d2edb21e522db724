/* What a job is.
 *
 * A job is a record of work that somebody asked for. It is PENDING from its dispatch until a worker leases it (or until
 * its run time, if that lies ahead), RUNNING while a lease on it lives, and then COMPLETED, FAILED or CANCELLED. A
 * lease is one attempt: it has a number, a worker, and a token that fences it. When an attempt fails or its worker
 * vanishes the job is PENDING again while attempts are left. A job may therefore run more than once (at least once),
 * but only the holder of the newest token can write to it. FAILED and CANCELLED jobs can be put back to PENDING.
 *
 * Times are microseconds since 1970 UTC, 0 for "not set". The creation time is part of the id (core/id.h).
 *
 * The revision grows with every change: by one for progress, and to the next multiple of 2^20 for a change of status,
 * so that a change of status is newer than any progress before it even when a crash lost the last progress.
 *
 * Texts are spans: of the caller's memory while a request is under way, of an arena in a snapshot. */
#ifndef CORE_JOB_H
#define CORE_JOB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/span.h"
#include "core/scope.h"

/* Numbers equal those of joblog.v1.JobStatus and of the database. */
enum job_status { JOB_PENDING = 1, JOB_RUNNING = 2, JOB_COMPLETED = 3, JOB_FAILED = 4, JOB_CANCELLED = 5 };
enum { JOB_STATUS_COUNT = 6 };

enum attempt_outcome {
    ATTEMPT_RUNNING = 0,
    ATTEMPT_COMPLETED = 1,
    ATTEMPT_FAILED = 2,
    ATTEMPT_CANCELLED = 3,
    ATTEMPT_LOST = 4,
    ATTEMPT_RELEASED = 5
};

struct label {
    struct span key, value;
};

struct job_progress {
    double percent;
    int64_t done, total;
    struct span unit, step;
    int64_t eta_us;
};

struct job_error {
    struct span type, message, stack_trace; /* type and message empty: no error */
};

/* Numbers equal those of joblog.v1.RetryPolicy.Backoff; 0 is exponential too. */
enum backoff { BACKOFF_EXPONENTIAL = 1, BACKOFF_LINEAR = 2, BACKOFF_FIXED = 3, BACKOFF_LIST = 4 };

struct retry_policy {
    int32_t max_attempts; /* >= 1 */
    int64_t initial_backoff_us, max_backoff_us;
    double multiplier, jitter;
    enum backoff backoff;
    const int64_t *delays_us; /* of BACKOFF_LIST */
    size_t n_delays;
};

/* How long a job holds its unique key. Numbers equal those of joblog.v1.UniqueKey.Scope and of the database. */
enum unique_scope { UNIQUE_NOT_FINAL = 1, UNIQUE_PENDING = 2, UNIQUE_PERIOD = 3 };

struct unique_key {
    struct span key; /* empty: none */
    enum unique_scope scope;
    int64_t period_us; /* of UNIQUE_PERIOD: from the dispatch on */
};

struct cancel_request {
    int64_t time_us; /* 0: none */
    struct span actor, reason;
};

struct attempt {
    int32_t number;
    struct span worker;
    int64_t start_us, end_us;
    enum attempt_outcome outcome;
    struct job_error error;
};

struct transition {
    int64_t revision;
    int from, to; /* enum job_status; from 0 for the dispatch */
    int64_t time_us;
    struct span actor, reason, request_id;
};

struct job {
    int64_t id;
    struct span name, queue;
    enum job_status status;
    enum job_status retried_from; /* in the change that RetryJob makes: the status that it left; else 0 */
    int32_t priority;
    struct span source_type, source_id, owner, creator, batch, traceparent, request_id;
    const struct label *labels;
    size_t n_labels;
    struct span payload, result; /* JSON text; result empty: none */
    struct job_progress progress;
    struct job_error error;
    int32_t attempt;       /* number of the current or last one; 0 before the first */
    int32_t attempts_left; /* further attempts that may follow the current or last one */
    struct retry_policy retry;
    struct unique_key unique;
    int64_t start_timeout_us;     /* it must have been started once by run_us and this; 0: none */
    int64_t run_timeout_us;       /* each attempt must have ended after this; 0: none */
    int64_t heartbeat_timeout_us; /* its worker must say something about it within this; 0: none */
    int64_t run_us, start_us, end_us;
    struct span worker;
    int64_t revision;
    struct cancel_request cancel; /* of a cancelled job only its reason */
    /* Filled for the FULL view only. */
    const struct attempt *attempts;
    size_t n_attempts;
    const struct transition *transitions;
    size_t n_transitions;
};

static inline bool job_status_is_final(enum job_status s)
{
    return s >= JOB_COMPLETED;
}

/* "pending" and so on; NULL for a number that is none. */
const char *job_status_name(int status);
/* 0 when name is none. */
int job_status_parse(struct span name);

/* ---- revisions ---- */

enum { JOB_REVISION_SHIFT = 20 };
/* After a change of status. */
static inline int64_t job_revision_transition(int64_t revision)
{
    return ((revision >> JOB_REVISION_SHIFT) + 1) << JOB_REVISION_SHIFT;
}
/* Of a running job that another process knew before this one: apart from the revisions that the other may have told of
 * and not yet written, as long as there is room below the next transition. */
static inline int64_t job_revision_apart(int64_t revision)
{
    int64_t next = (revision | ((1 << 14) - 1)) + 1;
    return next % (1 << JOB_REVISION_SHIFT) == 0 ? revision : next;
}
/* After progress; stays below the next transition. */
static inline int64_t job_revision_progress(int64_t revision)
{
    int64_t mask = ((int64_t)1 << JOB_REVISION_SHIFT) - 1;
    return (revision & mask) == mask ? revision : revision + 1;
}

/* ---- snapshots ---- */

/* A job at one revision, unchanging, counted, shared between threads. */
struct job_snapshot {
    struct job job; /* texts lie in the arena */
    /* What a user of the snapshot derived from it, made at most once (an encoded message for BASIC and for FULL);
     * freed by derived_free with the snapshot. Fill by compare-and-swap from NULL. */
    _Atomic(void *) derived[2];
    void (*derived_free)(void *);
    /* private */
    atomic_int refs;
    struct arena arena;
};

/* Deep copy, one reference. NULL: out of memory. */
struct job_snapshot *job_snapshot_new(const struct job *job);
/* Any thread. */
struct job_snapshot *job_snapshot_ref(struct job_snapshot *snapshot);
void job_snapshot_unref(struct job_snapshot *snapshot); /* takes NULL */
/* Deep copy into an arena. False: out of memory. */
bool job_copy(struct arena *arena, const struct job *from, struct job *ret_job);

/* ---- which jobs ---- */

/* A value within a payload: at a path of keys and subscripts with dots between. */
struct payload_match {
    struct span path;
    bool has_equals, has_contains; /* neither: any value but null */
    struct span text;              /* what it is, or holds */
};

/* Empty parts do not restrict. */
struct job_filter {
    const int64_t *ids;
    size_t n_ids;
    const struct span *names;
    size_t n_names;
    const struct span *queues;
    size_t n_queues;
    unsigned status_mask; /* bit (1 << status); 0: any */
    struct span source_type, source_id, owner, batch;
    const struct label *labels;
    size_t n_labels;
    int64_t create_from_us, create_before_us; /* 0: open; as are the following */
    int64_t start_from_us, start_before_us, end_from_us, end_before_us;
    const struct span *error_types; /* of the last error */
    size_t n_error_types;
    struct span error_text;              /* within its message */
    const struct payload_match *payload; /* all of them; not looked at in a job whose payload was not read */
    size_t n_payload;
    struct job_scope scope; /* what the caller may see */
};

/* Does it mean every job, but for the scope? */
bool job_filter_is_empty(const struct job_filter *filter);
bool job_filter_matches(const struct job_filter *filter, const struct job *job);
/* The parts that a job may cease to fit: status, last error, last start and end. Its payload is looked at elsewhere. */
bool job_filter_matches_now(const struct job_filter *filter, const struct job *job);
/* Of a job that does not match now: did it, as far as its status tells, until the retry that this change is? Its last
 * error and its end are gone then, and count as fitting. */
bool job_filter_lets_go(const struct job_filter *filter, const struct job *job);
/* Does it have such parts? */
static inline bool job_filter_is_fickle(const struct job_filter *filter)
{
    return filter->status_mask || filter->n_error_types || filter->error_text.len || filter->start_from_us ||
           filter->start_before_us || filter->end_from_us || filter->end_before_us;
}
/* Has it parts that no index knows (but for error_types)? */
static inline bool job_filter_needs_sifting(const struct job_filter *filter)
{
    return filter->error_text.len || filter->n_payload || filter->start_from_us || filter->start_before_us ||
           filter->end_from_us || filter->end_before_us;
}
/* Takes them out. */
static inline void job_filter_forget_now(struct job_filter *filter)
{
    filter->status_mask = 0;
    filter->n_error_types = 0;
    filter->error_text = (struct span){NULL, 0};
    filter->start_from_us = filter->start_before_us = filter->end_from_us = filter->end_before_us = 0;
}
/* Deep copy into an arena. False: out of memory. */
bool job_filter_copy(struct arena *arena, const struct job_filter *from, struct job_filter *ret_filter);
/* FNV-1a over everything in it; binds a page token to its filter. */
uint64_t job_filter_hash(const struct job_filter *filter);

#endif
