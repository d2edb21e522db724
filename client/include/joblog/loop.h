/* A worker within the caller's own loop: no handlers and no threads of handlers. The library's own thread talks to the
 * server; the caller polls a descriptor and takes what has happened, without blocking. */
#ifndef JOBLOG_LOOP_H
#define JOBLOG_LOOP_H

#include "joblog/worker.h"

JOBLOG_BEGIN_DECLS

enum joblog_event_kind {
    /* context: a job to run, in the caller's hands until joblog_job_end. */
    JOBLOG_EVENT_JOB = 1,
    /* Somebody asked to cancel the job of context: end it soon, with a negative number. */
    JOBLOG_EVENT_CANCEL,
    /* The lease of the job of context is lost, it runs elsewhere by now: end it soon, it does not matter how. */
    JOBLOG_EVENT_LEASE_LOST,
    /* The worker takes no more jobs: joblog_worker_stop, or an operator's wish. End those in hand. */
    JOBLOG_EVENT_DRAIN,
    /* The last event. error: code JOBLOG_OK when the worker was stopped and all is told to the server; else as from
     * joblog_worker_run. */
    JOBLOG_EVENT_OVER
};

struct joblog_event {
    enum joblog_event_kind kind;
    struct joblog_context *context; /* of JOB, CANCEL and LEASE_LOST; else NULL */
    void *user;                     /* of JOB: as given to joblog_worker_handle for its name */
    struct joblog_error error;      /* of OVER */
};

/* Begins to work: what joblog_worker_run does, on a thread of the library's own, with events instead of handlers. Once
 * a worker, instead of joblog_worker_run. Job names are those of joblog_worker_handle with handler NULL; none: all.
 * options->concurrency is how many jobs the caller has in hand at once at most. Connecting goes on behind one's back.
 */
JOBLOG_API int joblog_worker_start(struct joblog_worker *worker, struct joblog_error *error);
/* A descriptor that is readable (POLLIN) as long as joblog_worker_next has something. The worker's; do not read it. */
JOBLOG_API int joblog_worker_fd(const struct joblog_worker *worker);
/* The next event: 1 and *ret_event, or 0 when there is none now. Never blocks. The hooks of the options are called
 * within it, on_ready and on_lost too (of several connections only the last). One thread at a time; not from a hook. */
JOBLOG_API int joblog_worker_next(struct joblog_worker *worker, struct joblog_event *ret_event);
/* Ends a job that came as an event, by what a handler would return:
 *   joblog_job_end(job, 0)                                              completed, with joblog_job_set_result
 *   joblog_job_end(job, joblog_job_fail(job, "SmtpTimeout", "..."))     failed
 *   joblog_job_end(job, joblog_job_snooze(job, 30000, "no paper"))      put off
 * Any thread, any time later, also after joblog_worker_free; context is gone then, events about it too. Never blocks:
 * what the server says to it is told by the hooks. */
JOBLOG_API void joblog_job_end(struct joblog_context *context, int returned);

JOBLOG_END_DECLS

#endif
