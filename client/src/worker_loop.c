/* A worker within the caller's own loop: the run thread is the library's, events wait here until the caller takes them.
 * What has happened is kept as state, not as a list of events: a job is in the queue until it is taken, a cancel is a
 * bit of its job. So nothing grows while the caller does other things, and a job that is ended takes what was to be
 * told about it along. The descriptor is an eventfd, written when there is something and read when there is nothing
 * more, both under the worker's lock. */
#include "joblog/loop.h"

#include <assert.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/thread.h"
#include "worker_priv.h"

/* With the worker's lock. */
static void set_readable(struct joblog_worker *worker, bool readable)
{
    struct worker_loop *loop = &worker->loop;
    if (!loop->used || loop->readable == readable)
        return;
    uint64_t one = 1;
    ssize_t n = readable ? write(loop->fd, &one, sizeof one) : read(loop->fd, &one, sizeof one);
    (void)n; /* neither blocks nor fails: readable is what the counter says */
    loop->readable = readable;
}

void loop_job_cancelled(struct worker_job *job, enum loop_tell what)
{
    struct joblog_worker *worker = job->worker;
    if (!worker->loop.used || job->state != JOB_RUNNING || (job->told & what))
        return;
    if (!job->due)
        DL_APPEND2(worker->loop.due, job, prev_due, next_due);
    job->due |= what;
    set_readable(worker, true);
}

void loop_job_answered(struct worker_job *job)
{
    struct worker_loop *loop = &job->worker->loop;
    job->answered = true;
    job->next = NULL;
    *loop->answered_tail = job;
    loop->answered_tail = &job->next;
    set_readable(job->worker, true);
}

void loop_draining(struct joblog_worker *worker)
{
    if (!worker->loop.used || worker->loop.drain_told)
        return;
    worker->loop.drain_told = worker->loop.drain_due = true;
    set_readable(worker, true);
}

void loop_queued(struct joblog_worker *worker)
{
    if (worker->queue_head && worker->running < worker->concurrency)
        set_readable(worker, true);
}

static void notice(struct joblog_worker *worker, int what)
{
    pthread_mutex_lock(&worker->lock);
    worker->loop.notice = what;
    set_readable(worker, true);
    pthread_mutex_unlock(&worker->lock);
}

void loop_tell_ready(struct joblog_worker *worker)
{
    if (worker->on_ready && worker->loop.used)
        notice(worker, NOTICE_READY);
    else if (worker->on_ready)
        worker->on_ready(worker->hook_user);
}

void loop_tell_lost(struct joblog_worker *worker, const struct err *e)
{
    struct joblog_error error;
    if (!worker->on_lost)
        return;
    error_give(&error, e);
    if (!worker->loop.used) {
        worker->on_lost(worker->hook_user, &error);
        return;
    }
    pthread_mutex_lock(&worker->lock);
    worker->loop.lost_error = error;
    pthread_mutex_unlock(&worker->lock);
    notice(worker, NOTICE_LOST);
}

void loop_tell_asked(struct joblog_worker *worker, enum joblog_asked what)
{
    if (!worker->on_asked)
        return;
    if (!worker->loop.used) {
        worker->on_asked(worker->hook_user, what);
        return;
    }
    pthread_mutex_lock(&worker->lock);
    worker->loop.asked = what;
    worker->loop.asked_due = true;
    set_readable(worker, true);
    pthread_mutex_unlock(&worker->lock);
}

/* ---- the library's thread ---- */

static void *loop_thread(void *user)
{
    struct joblog_worker *worker = user;
    struct err e = ERR_NONE;
    if (pool_start(worker, &e) == 0)
        worker_serve(worker, &e);
    pool_join(worker);
    pthread_mutex_lock(&worker->lock);
    worker->loop.over_due = true;
    error_give(&worker->loop.over_error, &e);
    set_readable(worker, true);
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

int joblog_worker_start(struct joblog_worker *worker, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    bool handles = worker->any_handler && worker->any_handler->handler;
    for (const struct worker_handler *h = worker->handlers; h; h = h->hh.next)
        handles |= h->handler != NULL;
    if (worker->has_run) {
        err_set(&e, ERR_FAILED_PRECONDITION, NULL, "a worker runs once");
        return error_give(error, &e);
    }
    if (handles) {
        err_set(&e, ERR_FAILED_PRECONDITION, NULL, "a worker with handlers is run by joblog_worker_run");
        return error_give(error, &e);
    }
    worker->loop.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (worker->loop.fd < 0) {
        err_set(&e, ERR_RESOURCE_EXHAUSTED, NULL, "could not make an event descriptor");
        return error_give(error, &e);
    }
    worker->has_run = worker->loop.used = true;
    int rc = thread_start(&worker->loop.thread, loop_thread, worker);
    if (rc != 0) {
        worker->loop.used = false;
        err_set(&e, ERR_RESOURCE_EXHAUSTED, NULL, "could not start a thread");
    }
    return error_give(error, &e);
}

bool loop_stop(struct joblog_worker *worker)
{
    uint64_t one = 1;
    atomic_store(&worker->abandoned, true);
    ssize_t n = write(worker->wake_fd, &one, sizeof one);
    (void)n; /* fails only when it is readable already */
    pthread_mutex_lock(&worker->lock);
    if (worker->stream)
        crpc_stream_cancel(worker->stream);
    pthread_mutex_unlock(&worker->lock);
    pthread_join(worker->loop.thread, NULL);
    pthread_mutex_lock(&worker->lock);
    worker->loop.freed = true;
    for (size_t i = 0; i < worker->n_jobs; i++)
        if (worker->jobs[i]->state == JOB_RUNNING) {
            atomic_store(&worker->jobs[i]->context.orphaned, true);
            context_cancel(&worker->jobs[i]->context, false);
        }
    bool none = worker->running == 0;
    pthread_mutex_unlock(&worker->lock);
    return none;
}

/* ---- the caller's thread ---- */

int joblog_worker_fd(const struct joblog_worker *worker)
{
    return worker->loop.fd;
}

/* With the worker's lock, which is let go: the hook about a connection. */
static void tell_notice(struct joblog_worker *worker)
{
    bool ready = worker->loop.notice == NOTICE_READY;
    struct joblog_error error = worker->loop.lost_error;
    worker->loop.notice = NOTICE_NONE;
    pthread_mutex_unlock(&worker->lock);
    if (ready)
        worker->on_ready(worker->hook_user);
    else
        worker->on_lost(worker->hook_user, &error);
}

/* Likewise: what an operator asks. */
static void tell_asked(struct joblog_worker *worker)
{
    enum joblog_asked what = worker->loop.asked;
    worker->loop.asked_due = false;
    pthread_mutex_unlock(&worker->lock);
    worker->on_asked(worker->hook_user, what);
}

/* Likewise: the hooks about the end of a job. */
static void tell_end(struct joblog_worker *worker)
{
    struct worker_loop *loop = &worker->loop;
    struct worker_job *job = loop->answered;
    loop->answered = job->next;
    if (!loop->answered)
        loop->answered_tail = &loop->answered;
    pthread_mutex_unlock(&worker->lock);
    pool_call_hooks(worker, job);
    pthread_mutex_lock(&worker->lock);
    pool_job_recycle(worker, job);
    pthread_mutex_unlock(&worker->lock);
}

/* With the worker's lock: it is the caller's no more. */
static void end_with_lock(struct joblog_worker *worker, struct worker_job *job)
{
    assert(job->state == JOB_RUNNING); /* ended twice */
    if (job->due)
        DL_DELETE2(worker->loop.due, job, prev_due, next_due);
    job->due = 0;
    pool_job_took(worker, clock_mono_us() - job->begun_us);
    pool_job_ended(worker, job);
    if (worker->over) { /* nobody is there to tell */
        worker->ending--;
        pool_job_recycle(worker, job);
    } else {
        work_push(worker, &job->end_item);
        loop_queued(worker);
    }
}

/* Likewise. False: its end is known already, and on its way. */
static bool take_job(struct joblog_worker *worker, struct joblog_event *ret_event)
{
    struct worker_job *job = pool_take(worker);
    struct worker_handler *h = pool_handler(worker, job);
    job->begun_us = clock_mono_us();
    pthread_mutex_unlock(&worker->lock);
    if (!pool_job_begin(worker, job)) {
        pool_job_judge(job, false);
        pthread_mutex_lock(&worker->lock);
        end_with_lock(worker, job);
        pthread_mutex_unlock(&worker->lock);
        return false;
    }
    context_begin(&job->context);
    ret_event->kind = JOBLOG_EVENT_JOB;
    ret_event->context = &job->context;
    ret_event->user = h ? h->user : NULL;
    return true;
}

/* With the worker's lock: an event about a job in hand. */
static void take_due(struct joblog_worker *worker, struct joblog_event *ret_event)
{
    struct worker_job *job = worker->loop.due;
    enum loop_tell what = job->due & TELL_CANCEL ? TELL_CANCEL : TELL_LOST;
    job->due &= ~(unsigned)what;
    job->told |= what;
    if (!job->due)
        DL_DELETE2(worker->loop.due, job, prev_due, next_due);
    ret_event->kind = what == TELL_CANCEL ? JOBLOG_EVENT_CANCEL : JOBLOG_EVENT_LEASE_LOST;
    ret_event->context = &job->context;
}

/* With the worker's lock: events that are about no job in particular. */
static bool take_general(struct joblog_worker *worker, struct joblog_event *ret_event)
{
    struct worker_loop *loop = &worker->loop;
    if (loop->drain_due) {
        loop->drain_due = false;
        ret_event->kind = JOBLOG_EVENT_DRAIN;
    } else if (loop->over_due) {
        loop->over_due = false;
        ret_event->kind = JOBLOG_EVENT_OVER;
        ret_event->error = loop->over_error;
    }
    return ret_event->kind != 0;
}

int joblog_worker_next(struct joblog_worker *worker, struct joblog_event *ret_event)
{
    struct worker_loop *loop = &worker->loop;
    assert(loop->used);
    memset(ret_event, 0, sizeof *ret_event);
    for (;;) {
        pthread_mutex_lock(&worker->lock);
        if (loop->notice != NOTICE_NONE) {
            tell_notice(worker);
        } else if (loop->asked_due) {
            tell_asked(worker);
        } else if (loop->answered) {
            tell_end(worker);
        } else if (loop->due) {
            take_due(worker, ret_event);
            pthread_mutex_unlock(&worker->lock);
            return 1;
        } else if (worker->queue_head && worker->running < worker->concurrency && !worker->draining) {
            if (take_job(worker, ret_event))
                return 1;
        } else {
            bool any = take_general(worker, ret_event);
            if (!any)
                set_readable(worker, false);
            pthread_mutex_unlock(&worker->lock);
            return any;
        }
    }
}

void joblog_job_end(struct joblog_context *context, int returned)
{
    assert(context->may_end);
    struct worker_job *job = (struct worker_job *)context;
    struct joblog_worker *worker = job->worker;
    pool_job_judge(job, context_returned(context, returned));
    pthread_mutex_lock(&worker->lock);
    end_with_lock(worker, job);
    bool last = worker->loop.freed && worker->running == 0;
    pthread_mutex_unlock(&worker->lock);
    if (last)
        worker_destroy(worker);
}
