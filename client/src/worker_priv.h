/* The worker's threads and what they share.
 *
 *   run thread     owns the connection: opens it, writes everything (worker_write.c), opens it again (worker_stream.c)
 *   pool threads   one more than handlers run at a time (worker_pool.c). One of them is the reader: it takes leases,
 *                  answers and cancels (worker_stream.c). When it has read a lease it runs the handler itself and
 *                  leaves the reading to another one: to wake somebody else for the job would take longer than all
 *                  that the library does for it.
 *
 * With joblog_worker_start (worker_loop.c) the run thread is the library's, the pool has one thread, which only reads,
 * and the caller takes events and ends jobs.
 *
 * A job goes FREE → QUEUED (reader) → RUNNING (pool) → ENDING (pool; the end is on its way to the server) → FREE, when
 * the end is answered. A job that is given back goes from QUEUED to ENDING. Its end is kept and sent again after a cut,
 * under the same lease token, until the server has answered: the server fences what comes too late.
 *
 * Pool and reader hand work to the run thread through a lock-free queue, and wake it only when it sleeps. */
#ifndef CLIENT_WORKER_PRIV_H
#define CLIENT_WORKER_PRIV_H

#include <uthash.h>

#include "worker_job.h"

enum {
    CONCURRENCY_MAX = 1000,
    PREFETCH_MAX = 1000,
    /* Jobs fetched ahead are worth this much work: more would only keep them from other workers. */
    PREFETCH_WORK_US = 10000,
    /* Ends not answered yet: beyond it no new credit, so that a server that does not answer is not run away from. */
    UNANSWERED_MAX = 8192,
    /* A job's place in the table is 16 bits of its write ids; leases given but not asked for are refused beyond. */
    JOBS_MAX = 65535,
    /* Writes in one message; the contract allows 1000, fewer keep memory small and cost nothing. */
    WRITES_MAX = 256,
    MESSAGE_BYTES_MAX = 1024 * 1024
};

struct worker_handler {
    char *job_name; /* key; NULL: any */
    joblog_handler *handler;
    void *user;
    UT_hash_handle hh;
};

/* What the caller's own loop has yet to take; the worker's lock. */
struct worker_loop {
    bool used; /* by joblog_worker_start; does not change after */
    int fd;
    bool readable; /* fd is */
    struct worker_job *due;
    struct worker_job *answered, **answered_tail; /* whose hooks are to be called */
    enum { NOTICE_NONE, NOTICE_READY, NOTICE_LOST } notice;
    bool asked_due;
    enum joblog_asked asked; /* the last word counts */
    struct joblog_error lost_error, over_error;
    bool drain_due, drain_told, over_due;
    bool freed; /* the worker stays for the jobs in hand only */
    pthread_t thread;
};

struct write_cell;

struct joblog_worker {
    struct joblog_client *client;
    char *name, *version, *host;
    char **queues;
    size_t n_queues;
    Joblog__V1__QueueWeight *weights, **weight_list; /* of the queues; NULL: none were given */
    int concurrency, prefetch;
    struct {
        joblog_hook *on_started, *on_finished, *on_completed, *on_failed, *on_cancelled, *on_retried, *on_lease_lost;
    } hooks;
    bool waits; /* for the answer to an end, since a hook wants to know */
    void (*on_ready)(void *user);
    void (*on_lost)(void *user, const struct joblog_error *error);
    void (*on_asked)(void *user, enum joblog_asked what);
    void *hook_user;
    struct worker_handler *handlers, *any_handler;
    bool has_run;

    atomic_bool stop;
    atomic_bool abandoned; /* joblog_worker_free: no word more to the server */
    atomic_bool sleeping;  /* the run thread waits at wake_fd */
    int wake_fd;
    struct mpsc to_write;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t work;  /* a pool thread has something to do, or over */
    bool draining;
    bool over;                /* the run thread has gone: ends are not delivered any more */
    struct worker_job **jobs; /* by place; never shrinks */
    size_t n_jobs;
    struct worker_job *free_jobs;
    struct worker_job *queue_head, **queue_tail;
    int queued, running, ending;
    int busy;            /* pool threads that have a job, or wait for the answer to its end */
    int credit;          /* given to the server and not used */
    int64_t run_time_us; /* moving average of a job; 0: unknown */

    /* One connection. */
    struct crpc_stream *stream;
    bool reading;               /* a thread is the reader */
    pthread_cond_t stream_over; /* stream_ended */
    bool welcomed, server_drains, stream_ended;
    bool paused;        /* by an operator; a new connection is told again */
    int64_t n_received; /* leases of this connection */
    int64_t lease_timeout_ms, heartbeat_ms;
    struct err end_err;

    /* The run thread's own. */
    bool ready_told, ever_ready, drain_told;
    unsigned connection; /* counts them; changes while there is no reader */
    int64_t shown_us;    /* when leases of earlier connections were shown last */
    uint64_t last_id;
    /* A message takes no further write once it is so long; less than MESSAGE_BYTES_MAX when the server has refused one.
     */
    size_t bytes_max;
    struct {
        size_t bytes, n_writes;
        uint64_t write_id; /* of its first write */
        bool is_patch;     /* that is */
    } largest;             /* message of this connection with writes */
    int64_t last_write_us;
    struct worker_job *write_now, *write_later;
    int64_t later_us; /* when write_later is due; 0: it is empty */
    struct worker_loop loop;
    struct write_cell *cells;
    pthread_t *threads;
    int n_threads;
};

/* worker_pool.c */
int pool_start(struct joblog_worker *worker, struct err *ret_err);
/* After worker_serve: waits for the handlers to return. */
void pool_join(struct joblog_worker *worker);
/* Takes message; what it leases is queued, or given back while draining. */
void pool_take_leases(struct joblog_worker *worker, Joblog__V1__WorkResponse *message);
/* Gives back all that has not started. */
void pool_release_queued(struct joblog_worker *worker);
/* The end of a job is known to the server, or has become meaningless. With the worker's lock. */
void pool_job_over(struct joblog_worker *worker, struct worker_job *job);
void pool_free(struct joblog_worker *worker);
/* The next job becomes RUNNING; NULL: none. With the worker's lock. */
struct worker_job *pool_take(struct joblog_worker *worker);
/* False: its end is known before it begins. Calls on_started. */
bool pool_job_begin(struct joblog_worker *worker, struct worker_job *job);
/* What the server is told at its end. */
void pool_job_judge(struct worker_job *job, bool completed);
/* RUNNING becomes ENDING. With the worker's lock. */
void pool_job_ended(struct joblog_worker *worker, struct worker_job *job);
/* For so long a job has kept its thread from the next one: what jobs are fetched ahead by. With the worker's lock. */
void pool_job_took(struct joblog_worker *worker, int64_t took_us);
void pool_call_hooks(const struct joblog_worker *worker, const struct worker_job *job);
/* Its place is free. With the worker's lock. */
void pool_job_recycle(struct joblog_worker *worker, struct worker_job *job);
struct worker_handler *pool_handler(const struct joblog_worker *worker, const struct worker_job *job);

/* worker_loop.c: each does nothing but in a worker with its own loop, those that tell call the hook in others. */
/* With the worker's lock. */
void loop_job_cancelled(struct worker_job *job, enum loop_tell what);
void loop_job_answered(struct worker_job *job);
void loop_draining(struct joblog_worker *worker);
void loop_queued(struct joblog_worker *worker);
/* Without. */
void loop_tell_ready(struct joblog_worker *worker);
void loop_tell_lost(struct joblog_worker *worker, const struct err *e);
void loop_tell_asked(struct joblog_worker *worker, enum joblog_asked what);
/* Ends the library's thread. False: jobs are in hand, the last joblog_job_end calls worker_destroy. */
bool loop_stop(struct joblog_worker *worker);

/* worker.c */
void worker_destroy(struct joblog_worker *worker);

/* worker_write.c; on the run thread but for work_push. */
/* Any thread: hands the item to the run thread. */
void work_push(struct joblog_worker *worker, struct work_item *item);
void worker_wake(struct joblog_worker *worker);
/* Writes until the connection has ended, or the worker is drained. True when the call is to be cancelled: it may not
 * have ended by itself. */
bool write_loop(struct joblog_worker *worker);
int write_cells_new(struct joblog_worker *worker, struct err *ret_err);

/* worker_message.c: fills the next message from write_now; returns the number of writes. Notes the largest. */
size_t message_fill(struct joblog_worker *worker, Joblog__V1__WorkRequest *request);
/* Frees the texts that it needed. */
void message_clear(struct joblog_worker *worker, size_t n_writes);

/* worker_stream.c: on the run thread; 0 after a stop, or -code. */
int worker_serve(struct joblog_worker *worker, struct err *ret_err);
/* With the worker's lock: there is a connection that nobody reads. */
bool stream_lacks_reader(const struct joblog_worker *worker);
/* Likewise: reads a message and takes it, without the lock. */
void stream_read(struct joblog_worker *worker);
/* Jobs that the worker still has. */
int worker_held(struct joblog_worker *worker);
bool worker_drains(struct joblog_worker *worker);

#endif
