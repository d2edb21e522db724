/* Running jobs: a worker, or one logged run of a callback. */
#ifndef JOBLOG_WORKER_H
#define JOBLOG_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "joblog/job.h"
#include "joblog/log.h"

JOBLOG_BEGIN_DECLS

/* A job that runs, in the hands of its handler. Used by the handler's thread; joblog_job_cancelled by any. Texts that
 * are too long for the server are cut; bytes that are no UTF-8 become "?". */
struct joblog_context;

/* The job as it was leased, FULL view without attempts and transitions. Borrowed from the context. */
JOBLOG_API const struct joblog_job *joblog_job_info(const struct joblog_context *context);
JOBLOG_API void joblog_job_set_step(struct joblog_context *context, const char *step);
/* total 0: unknown. unit may be NULL. */
JOBLOG_API void joblog_job_set_progress(struct joblog_context *context, int64_t done, int64_t total, const char *unit);
JOBLOG_API void joblog_job_set_percent(struct joblog_context *context, double percent);
/* Merges a JSON object of at most 256 KiB into the payload. -JOBLOG_INVALID_ARGUMENT when it is none. It is sent later;
 * the server refuses what would make the payload longer than 1 MiB, and the payload stays as it is. */
JOBLOG_API int joblog_job_merge_payload(struct joblog_context *context, const char *json_object,
                                        struct joblog_error *error);
/* Adds a line to the log of the job, with the present time. It is sent soon, with others, and always before the end of
 * the job. A line over 16 KiB is cut; when the server takes them so slowly that 1 MiB waits, lines are dropped, and one
 * that says how many takes their place. Any thread, until the handler returns. */
JOBLOG_API void joblog_job_log(struct joblog_context *context, enum joblog_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* When the attempt times out (microseconds since 1970); 0: never. */
JOBLOG_API int64_t joblog_job_deadline_us(const struct joblog_context *context);
/* A text that is the job's own and the same in each of its attempts: for systems that take an idempotency key, so that
 * an attempt that follows another does not do again what that one has done. Borrowed from the context. */
JOBLOG_API const char *joblog_job_key(const struct joblog_context *context);
/* Dispatches a job on behalf of this one, from the handler. Without a request_id in the spec the n-th child of each
 * attempt has the same one: a later attempt that dispatches the same children in the same order gets those of before.
 */
JOBLOG_API int joblog_job_dispatch(struct joblog_context *context, const struct joblog_spec *spec, int64_t *ret_id,
                                   struct joblog_error *error);
/* Says that the job is alive, for one that has nothing else to say and a heartbeat time-out: everything that is
 * reported about a job says so too. May be called as often as one likes; it never blocks. Any thread. */
JOBLOG_API void joblog_job_heartbeat(struct joblog_context *context);
/* A cancel was asked for, or the lease is lost: stop soon and return joblog_job_fail(...) or any negative number. */
JOBLOG_API bool joblog_job_cancelled(const struct joblog_context *context);
/* Waits up to timeout_ms (-1: for ever), or until joblog_job_cancelled is true; returns joblog_job_cancelled. */
JOBLOG_API bool joblog_job_wait_cancelled(struct joblog_context *context, int64_t timeout_ms);
/* JSON value kept as the job's result. Copied. */
JOBLOG_API int joblog_job_set_result(struct joblog_context *context, const char *json, struct joblog_error *error);
/* Records an error with the present backtrace, and returns -1 for `return joblog_job_fail(context, "SmtpTimeout", …)`.
 * A macro of the same name adds the place in the source, and keeps the handler's frame from being optimised away. */
JOBLOG_API int joblog_job_fail(struct joblog_context *context, const char *type, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, and no further attempt is made. */
JOBLOG_API int joblog_job_fail_for_good(struct joblog_context *context, const char *type, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* What the macros call. Borrows the texts. file NULL: without a backtrace, for an error of something else than this
 * program, such as a command that it runs. */
JOBLOG_API void joblog_job_fail_at(struct joblog_context *context, const char *file, int line, const char *function,
                                   bool for_good, const char *type, const char *fmt, ...)
    __attribute__((format(printf, 7, 8)));
static inline int joblog_job_failed(void)
{
    return -1;
}
#define joblog_job_fail(context, ...)                                                                                  \
    (joblog_job_fail_at((context), __FILE__, __LINE__, __func__, false, __VA_ARGS__), joblog_job_failed())
#define joblog_job_fail_for_good(context, ...)                                                                         \
    (joblog_job_fail_at((context), __FILE__, __LINE__, __func__, true, __VA_ARGS__), joblog_job_failed())

/* The job cannot be done yet: returns -1 for `return joblog_job_snooze(...)`, and it waits for delay_ms (at most 30
 * days) at least before it runs again, here or elsewhere; this attempt does not count. reason, for people, may be NULL.
 * In joblog_run_logged, where nobody runs it again, an error of type "CannotSnooze". */
JOBLOG_API int joblog_job_snooze(struct joblog_context *context, int64_t delay_ms, const char *reason);

/* Runs one job. 0: completed. Negative: failed (with the error of joblog_job_fail, or a general one), or cancelled when
 * joblog_job_cancelled was true. Runs on a thread of the worker's pool; several at once, as many as its concurrency.
 * The pool has one thread more, so also with a concurrency of 1 not always on the same one. Not called for a job that
 * is cancelled before a thread is free for it. */
typedef int joblog_handler(struct joblog_context *context, void *user);

/* Hooks, on the thread that ran the job, after the server has accepted the end. status: COMPLETED, FAILED, CANCELLED,
 * or PENDING for a retry. job: as it was leased. */
typedef void joblog_hook(void *user, const struct joblog_job *job, enum joblog_status status);

struct joblog_worker;

/* What an operator asks of a worker (joblog_pause_workers, joblog_resume_workers, joblog_drain_workers). It is done
 * without further ado; this is for the program's own log. */
enum joblog_asked {
    JOBLOG_ASKED_PAUSE, /* no more jobs; what runs goes on. Said again after each connection while it lasts */
    JOBLOG_ASKED_RESUME,
    JOBLOG_ASKED_LEAVE /* as joblog_worker_stop */
};

struct joblog_worker_options {
    const char *name; /* NULL: host:pid */
    const char *version;
    const char *const *queues; /* none: "default" */
    size_t n_queues;
    /* Weights of the queues, 1 to 1000, n_queues of them: while jobs wait in several, a queue of weight 3 gets three
     * jobs for each of one of weight 1. NULL: all have the same. */
    const int *queue_weights;
    int concurrency; /* jobs at once, each on a thread; 0: 1; at most 1000 */
    /* Jobs taken ahead of a free thread. 0: as many as run in 10 ms, judged by the jobs that ran (so none for jobs that
     * take long; with the wait for an answer and the hooks, where a thread has those), at most 1000. Negative: none. */
    int prefetch;
    /* Each may be NULL. on_started: on the thread that runs the job, before its handler; status is RUNNING. The others,
     * with which a thread waits for the server's answer before its next job: on_finished after every end, then the one
     * for what has become of the job. on_retried: the attempt failed, was snoozed, and the job runs again. */
    joblog_hook *on_started, *on_finished, *on_completed, *on_failed, *on_cancelled, *on_retried;
    /* Instead of these, when the handler has returned: how it ended is told to nobody, since the job was taken from
     * this worker (a time-out of the attempt or of the lease, an end that never got through). status is RUNNING. Not
     * with joblog_worker_start, which has JOBLOG_EVENT_LEASE_LOST. */
    joblog_hook *on_lease_lost;
    /* On the thread of joblog_worker_run; may be NULL. on_ready: the server has welcomed the worker, after each
     * connection. on_lost: the connection is gone or could not be made; the worker tries again by itself. */
    void (*on_ready)(void *user);
    void (*on_lost)(void *user, const struct joblog_error *error);
    /* On the thread that reads the connection, which waits for it; may be NULL. */
    void (*on_asked)(void *user, enum joblog_asked what);
    void *hook_user;
};

/* Keeps client. Borrows options (NULL: defaults). Gives the worker (joblog_worker_free). */
JOBLOG_API struct joblog_worker *joblog_worker_new(struct joblog_client *client,
                                                   const struct joblog_worker_options *options,
                                                   struct joblog_error *error);
/* Before run. job_name NULL: every job name of the queues. handler NULL: for joblog_worker_start (joblog/loop.h). */
JOBLOG_API int joblog_worker_handle(struct joblog_worker *worker, const char *job_name, joblog_handler *handler,
                                    void *user, struct joblog_error *error);
/* Runs until joblog_worker_stop, then finishes what runs and returns 0. Reconnects by itself with back-off, for ever;
 * how jobs ended while the server was away is told to it afterwards. Once per worker. Negative: the server refused the
 * worker (bad options); or, after a stop, the server stayed away for longer than the leases last, so that it could not
 * be told how the last jobs ended (-JOBLOG_UNAVAILABLE; they run again elsewhere). */
JOBLOG_API int joblog_worker_run(struct joblog_worker *worker, struct joblog_error *error);
/* Drain: takes no more jobs, gives back what has not started, lets what runs end. Any thread, and signal handlers. */
JOBLOG_API void joblog_worker_stop(struct joblog_worker *worker);
/* SIGTERM and SIGINT call joblog_worker_stop. For programs that are nothing but a worker. */
JOBLOG_API int joblog_worker_stop_on_signals(struct joblog_worker *worker, struct joblog_error *error);
/* Takes NULL. A worker of joblog_worker_start that is not over goes as if its program had died: the jobs in hand run
 * again elsewhere once their leases end. Their contexts stay good until joblog_job_end, and what they say is told to
 * nobody. */
JOBLOG_API void joblog_worker_free(struct joblog_worker *worker);

/* Runs callback now, on this thread, and logs it as a job: makes the record, marks it running, keeps its lease alive
 * (with spec->heartbeat_timeout_ms only as long as the callback reports something, or calls joblog_job_heartbeat),
 * completes it with the result that the callback set, or marks it failed with the error and a backtrace. Returns what
 * the callback returned (0 or more: completed); or -code and *error when the record could not be made (the callback has
 * then not run) or its end could not be recorded. *error is left with code JOBLOG_OK when everything was recorded; a
 * patch that the server refuses is no error here either. A result that it refuses for its size is one, and the job has
 * failed with "ResultRefused". A callback that reports nothing hears of a cancel within two seconds.
 * Gives the job as it ended, FULL view, unless ret_job is NULL or *error is set (but see below). spec->run_time_us must
 * be 0.
 * With a spec->request_id the callback runs once, whoever comes with it, in this process or another: the run that made
 * the job runs it, and no other does, at the same time or later. Of a run that is over the others get the job as it
 * ended, and 0 when it completed, -1 when it did not. While the job runs, or waits, -JOBLOG_ALREADY_EXISTS, reason
 * REQUEST_ID_IN_USE, and *ret_job is the job as it stands all the same: joblog_wait waits for its end. Who shall do
 * work again that ended badly takes another request id, or joblog_retry, for a worker. -JOBLOG_FAILED_PRECONDITION,
 * reason LEASE_LOST, and the callback has not run, when the server's answer came only after the lease's time. */
JOBLOG_API int joblog_run_logged(struct joblog_client *client, const struct joblog_spec *spec, joblog_handler *callback,
                                 void *user, struct joblog_job **ret_job, struct joblog_error *error);

JOBLOG_END_DECLS

#endif
