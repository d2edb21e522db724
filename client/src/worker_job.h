/* A job in the hands of a worker, and who may touch what of it. */
#ifndef CLIENT_WORKER_JOB_H
#define CLIENT_WORKER_JOB_H

#include "base/mpsc.h"
#include "context_log.h"

enum loop_tell { TELL_CANCEL = 1, TELL_LOST = 2 };

enum job_state { JOB_FREE, JOB_QUEUED, JOB_RUNNING, JOB_ENDING };
enum job_list { LIST_NONE, LIST_NOW, LIST_LATER };
enum job_end { END_COMPLETE, END_FAIL, END_RELEASE, END_SNOOZE };

/* A message with leases, shared by the jobs that were in it. */
struct lease_batch {
    atomic_int refs;
    Joblog__V1__WorkResponse *message;
};

struct worker_job;

struct work_item {
    struct mpsc_node node; /* first */
    struct worker_job *job;
    bool is_end;
};

struct worker_job {
    struct joblog_context context; /* first */
    struct joblog_worker *worker;
    unsigned place; /* in worker->jobs */
    int64_t lease_token;
    unsigned connection; /* that it came over */
    struct lease_batch *batch;
    struct arena arena;      /* labels of the job */
    struct worker_job *next; /* in the queue or in the list of free ones */

    enum job_state state;      /* worker->lock */
    bool lost;                 /* worker->lock: the lease is gone */
    bool answered;             /* context.lock: for a pool thread that waits to call the hook */
    enum joblog_status status; /* what has become of it; set before answered */

    /* worker->lock; in the caller's own loop only. */
    int64_t begun_us;
    unsigned due, told; /* bits of enum loop_tell: events to come, and those that have been */
    struct worker_job *prev_due, *next_due;

    /* Set by the pool before the job is ENDING. */
    enum job_end end;
    bool cancelled;

    atomic_bool progress_queued; /* it will be looked at */
    atomic_bool progress_pushed; /* progress_item is in the queue, where it must not be twice */
    struct work_item progress_item, end_item;

    /* The run thread's own. */
    bool end_ready, end_sent, touch;
    enum job_list in_list;
    struct worker_job *prev_listed, *next_listed;
    int64_t last_report_us;

    /* context.lock: shared by the run thread and the reader. */
    uint64_t end_id, progress_id; /* of the last writes sent; 0: none */
    char *unsent_patch;
};

#endif
