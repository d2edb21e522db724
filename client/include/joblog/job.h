/* Jobs: what to run, what became of it; dispatch, get, cancel, retry. */
#ifndef JOBLOG_JOB_H
#define JOBLOG_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "joblog/client.h"

JOBLOG_BEGIN_DECLS

enum joblog_status {
    JOBLOG_PENDING = 1,
    JOBLOG_RUNNING = 2,
    JOBLOG_COMPLETED = 3,
    JOBLOG_FAILED = 4,
    JOBLOG_STATUS_CANCELLED = 5
};

/* "pending" and so on; "unknown" for a number that is none. Static. */
JOBLOG_API const char *joblog_status_name(enum joblog_status status);
/* 0 when name is none. */
JOBLOG_API enum joblog_status joblog_status_parse(const char *name);
static inline bool joblog_status_is_final(enum joblog_status status)
{
    return status >= JOBLOG_COMPLETED;
}

struct joblog_label {
    const char *key, *value;
};

/* How the delay before attempt n + 1 comes about. */
enum joblog_backoff {
    JOBLOG_BACKOFF_EXPONENTIAL = 1, /* initial_backoff_ms x backoff_multiplier^(n-1), at most max_backoff_ms */
    JOBLOG_BACKOFF_LINEAR = 2,      /* initial_backoff_ms x n, at most max_backoff_ms */
    JOBLOG_BACKOFF_FIXED = 3,       /* initial_backoff_ms */
    JOBLOG_BACKOFF_LIST = 4         /* the n-th of delays_ms; the last of them again and again */
};

/* How long a job holds its unique key. */
enum joblog_unique_scope {
    JOBLOG_UNIQUE_NOT_FINAL = 1, /* until it is final */
    JOBLOG_UNIQUE_PENDING = 2,   /* until its first start, or a cancel before */
    JOBLOG_UNIQUE_PERIOD = 3     /* for a time from its dispatch on */
};

/* What becomes of a dispatch whose unique key another job holds. */
enum joblog_on_conflict {
    JOBLOG_CONFLICT_REJECT = 1,          /* -JOBLOG_ALREADY_EXISTS, reason UNIQUE_KEY_TAKEN */
    JOBLOG_CONFLICT_USE_EXISTING = 2,    /* that job is the answer */
    JOBLOG_CONFLICT_REPLACE_PAYLOAD = 3, /* that job gets this payload, if it is pending; else as REJECT */
    JOBLOG_CONFLICT_MERGE_PAYLOAD = 4    /* the same with the members of this payload over its own */
};

/* What to run. Zero or NULL means the default. All texts are borrowed. */
struct joblog_spec {
    const char *job_name; /* required */
    const char *queue;    /* "default" */
    int priority;         /* -1000 to 1000; higher first */
    const char *source_type, *source_id;
    const char *owner;
    const struct joblog_label *labels;
    size_t n_labels;
    const char *payload;         /* JSON object; "{}" */
    int max_attempts;            /* 1 */
    int64_t initial_backoff_ms;  /* 1000 */
    int64_t max_backoff_ms;      /* 600000 */
    double backoff_multiplier;   /* 2 */
    double backoff_jitter;       /* part of the delay that is random, 0 to 1 */
    enum joblog_backoff backoff; /* EXPONENTIAL */
    const int64_t *delays_ms;    /* of LIST */
    size_t n_delays;
    int64_t run_time_us; /* not before; 0: at once */
    const char *batch;
    const char *traceparent;
    const char *request_id;                /* NULL: the library makes one, so that its own retries are safe */
    const char *unique_key;                /* at most one job of this name holds it; NULL: none */
    enum joblog_unique_scope unique_scope; /* NOT_FINAL */
    int64_t unique_period_ms;              /* of PERIOD */
    int64_t start_timeout_ms;     /* CANCELLED ("expired") if never started this long after it might run; 0: never */
    int64_t run_timeout_ms;       /* an attempt that takes longer fails ("RunTimeout"); 0: never */
    int64_t heartbeat_timeout_ms; /* so does one that its worker says nothing about ("HeartbeatTimeout"); 0: never */
    enum joblog_on_conflict on_conflict; /* REJECT */
};

struct joblog_attempt {
    int number;
    const char *worker;
    int64_t start_us, end_us;
    const char *outcome; /* "running", "completed", "failed", "cancelled", "lost", "released" */
    const char *error_type, *error_message, *stack_trace;
};

struct joblog_transition {
    int64_t revision;
    enum joblog_status from, to; /* from 0 for the dispatch */
    int64_t time_us;
    const char *actor, *reason, *request_id;
};

/* A job as the server described it. No text is NULL; absent ones are "". */
struct joblog_job {
    int64_t id;
    const char *job_name, *queue;
    enum joblog_status status;
    int priority;
    const char *source_type, *source_id, *owner, *creator, *batch, *traceparent, *request_id, *worker;
    const char *unique_key;
    const struct joblog_label *labels;
    size_t n_labels;
    const char *payload, *result; /* FULL view */
    double percent;
    int64_t done, total;
    const char *unit, *step;
    int64_t eta_us;
    const char *error_type, *error_message, *stack_trace; /* stack_trace: FULL view */
    int attempt, max_attempts;
    int uncounted_attempts; /* of these up to attempt: given back or put off, or before the last joblog_retry */
    enum joblog_backoff backoff;
    int64_t initial_backoff_ms, max_backoff_ms;
    double backoff_multiplier, backoff_jitter;
    const int64_t *delays_ms; /* of LIST */
    size_t n_delays;
    int64_t start_timeout_ms, run_timeout_ms, heartbeat_timeout_ms; /* 0: none */
    int64_t create_us, run_us, start_us, end_us;
    int64_t wait_us, execution_us;
    bool has_wait, has_execution; /* whether these two are known: not while the job waits, nor if it never ran */
    int64_t revision;
    bool cancel_requested;
    const char *cancel_actor, *cancel_reason; /* a cancelled job has only the reason; its transitions have the rest */
    const struct joblog_attempt *attempts;    /* FULL view */
    size_t n_attempts;
    const struct joblog_transition *transitions; /* FULL view */
    size_t n_transitions;
};

/* Takes NULL. */
JOBLOG_API void joblog_job_free(struct joblog_job *job);

/* Returns once the job is durable; it may be one that was there before, as on_conflict says. */
JOBLOG_API int joblog_dispatch(struct joblog_client *client, const struct joblog_spec *spec, int64_t *ret_id,
                               struct joblog_error *error);
/* FULL view. Gives the job (joblog_job_free). */
JOBLOG_API int joblog_get(struct joblog_client *client, int64_t id, struct joblog_job **ret_job,
                          struct joblog_error *error);
/* Cancels a job: a pending one at once; a running one is asked to stop, and *ret_job is still RUNNING with
 * cancel_requested, unless its worker was quick to follow. -JOBLOG_FAILED_PRECONDITION when it is already final. reason
 * may be NULL. Gives the job unless ret_job is NULL. */
JOBLOG_API int joblog_cancel(struct joblog_client *client, int64_t id, const char *reason, struct joblog_job **ret_job,
                             struct joblog_error *error);
/* Puts a failed or cancelled job back to PENDING; -JOBLOG_FAILED_PRECONDITION otherwise. The rest as above. */
JOBLOG_API int joblog_retry(struct joblog_client *client, int64_t id, const char *reason, struct joblog_job **ret_job,
                            struct joblog_error *error);
/* The two under a request id of the caller's own, so that a program that starts again may ask again: the same id gets
 * the answer that it got, and does nothing. NULL: the library makes one, as the two above do, for its own retries. */
JOBLOG_API int joblog_cancel_with_request_id(struct joblog_client *client, int64_t id, const char *reason,
                                             const char *request_id, struct joblog_job **ret_job,
                                             struct joblog_error *error);
JOBLOG_API int joblog_retry_with_request_id(struct joblog_client *client, int64_t id, const char *reason,
                                            const char *request_id, struct joblog_job **ret_job,
                                            struct joblog_error *error);

JOBLOG_END_DECLS

#endif
