/* The worker's connection: opened by the run thread, read by one of the pool's, opened again when it breaks. The reader
 * touches the worker's shared state only, under its lock, and wakes the run thread for the rest. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "convert.h"
#include "patch.h"
#include "worker_priv.h"

enum { DEFAULT_LEASE_MS = 30000, DEFAULT_HEARTBEAT_MS = 5000 };

static void take_welcome(struct joblog_worker *worker, const Joblog__V1__WorkerWelcome *welcome)
{
    int64_t lease_ms = duration_us_of(welcome->lease_timeout) / 1000;
    int64_t heartbeat_ms = duration_us_of(welcome->heartbeat_interval) / 1000;
    pthread_mutex_lock(&worker->lock);
    worker->lease_timeout_ms = lease_ms > 0 ? lease_ms : DEFAULT_LEASE_MS;
    worker->heartbeat_ms = heartbeat_ms > 0 ? heartbeat_ms : DEFAULT_HEARTBEAT_MS;
    worker->welcomed = true;
    pthread_mutex_unlock(&worker->lock);
    worker_wake(worker);
}

static bool is_transient(int code)
{
    return code == ERR_UNAVAILABLE || code == ERR_ABORTED || code == ERR_RESOURCE_EXHAUSTED ||
           code == ERR_DEADLINE_EXCEEDED;
}

/* Does a refusal say that the lease is gone? Older servers give no reason. */
static bool says_lost(const Joblog__V1__WriteResult *result)
{
    return result->code == ERR_NOT_FOUND ||
           (result->code == ERR_FAILED_PRECONDITION && (!*result->reason || strcmp(result->reason, "LEASE_LOST") == 0));
}

/* With the worker's lock. The lease belongs to someone else now, or to nobody. */
static void lose(struct worker_job *job)
{
    job->lost = true;
    context_cancel(&job->context, false);
    loop_job_cancelled(job, TELL_LOST);
}

/* Is there another end for an attempt whose end is refused for good, while its lease is not lost? */
static bool ends_otherwise(struct worker_job *job, const Joblog__V1__WriteResult *result)
{
    if (says_lost(result) || (job->end != END_COMPLETE && job->end != END_FAIL) ||
        !context_end_refused(&job->context, job->end == END_COMPLETE, result->message))
        return false;
    job->end = END_FAIL;
    return true;
}

/* The answer to a job's end. With the worker's lock. True when the end has to be sent again. */
static bool take_end_result(struct joblog_worker *worker, struct worker_job *job, const Joblog__V1__WriteResult *result)
{
    if (!result->accepted && is_transient(result->code))
        return true;
    if (!result->accepted && ends_otherwise(job, result))
        return true;
    if (!result->accepted)
        job->lost = true;
    job->status = (enum joblog_status)result->status;
    pool_job_over(worker, job);
    return false;
}

/* The answer to a report. With the worker's lock. */
static void take_progress_result(struct joblog_worker *worker, struct worker_job *job,
                                 const Joblog__V1__WriteResult *result)
{
    if (!result->accepted && says_lost(result)) {
        lose(job);
    } else if (!result->accepted && is_transient(result->code)) {
        context_put_back(&job->context, &job->unsent_patch);
        if (job->state != JOB_ENDING)
            job->context.changed(&job->context);
    } else {
        pthread_mutex_lock(&job->context.lock);
        mem_free(job->unsent_patch);
        job->unsent_patch = NULL;
        pthread_mutex_unlock(&job->context.lock);
        /* It lives by the signs of life of this connection now. Shown on and on, a silent handler would seem alive. */
        if (result->accepted)
            job->connection = worker->connection;
    }
}

/* The answer to lines of the log. With the worker's lock. */
static void take_log_result(struct worker_job *job, const Joblog__V1__WriteResult *result)
{
    bool again = !result->accepted && is_transient(result->code);
    if (!log_answered(&job->context, result->write_id, again))
        return;
    if (!result->accepted && says_lost(result))
        lose(job);
    else if (again && job->state != JOB_ENDING)
        job->context.changed(&job->context);
}

/* A report without an id was refused: only the job's id tells which. */
static void take_anonymous_result(struct joblog_worker *worker, const Joblog__V1__WriteResult *result)
{
    struct worker_job *oldest = NULL;
    for (size_t i = 0; i < worker->n_jobs; i++) {
        struct worker_job *job = worker->jobs[i];
        if (job->state != JOB_FREE && job->context.job.id == result->job_id &&
            (!oldest || job->lease_token < oldest->lease_token))
            oldest = job;
    }
    if (oldest && !result->accepted && says_lost(result))
        lose(oldest);
}

/* With the worker's lock. NULL: it is over. */
static struct worker_job *job_of(const struct joblog_worker *worker, uint64_t write_id)
{
    size_t place = write_id & JOBS_MAX;
    struct worker_job *job = place < worker->n_jobs ? worker->jobs[place] : NULL;
    return job && job->state != JOB_FREE ? job : NULL;
}

/* With the worker's lock. */
static void take_result(struct joblog_worker *worker, const Joblog__V1__WriteResult *result)
{
    if (result->write_id == 0) {
        take_anonymous_result(worker, result);
        return;
    }
    struct worker_job *job = job_of(worker, result->write_id);
    if (!job)
        return;
    pthread_mutex_lock(&job->context.lock);
    bool is_end = job->end_id == result->write_id, is_progress = job->progress_id == result->write_id;
    pthread_mutex_unlock(&job->context.lock);
    if (is_end && take_end_result(worker, job, result))
        work_push(worker, &job->end_item);
    else if (is_progress && !is_end)
        take_progress_result(worker, job, result);
    else if (!is_end)
        take_log_result(job, result);
}

static void take_results(struct joblog_worker *worker, const Joblog__V1__WorkResponse *message)
{
    pthread_mutex_lock(&worker->lock);
    for (size_t i = 0; i < message->n_results; i++)
        take_result(worker, message->results[i]);
    pthread_mutex_unlock(&worker->lock);
    worker_wake(worker); /* a drained worker waits for the last answer */
}

/* With no reader. The one member of a patch that was too long: it is the longest of all that have no answer. */
static void drop_member(struct joblog_worker *worker, uint64_t write_id)
{
    pthread_mutex_lock(&worker->lock);
    struct worker_job *job = job_of(worker, write_id);
    if (job) {
        pthread_mutex_lock(&job->context.lock);
        if (job->unsent_patch)
            patch_drop_longest(&job->unsent_patch);
        pthread_mutex_unlock(&job->context.lock);
    }
    pthread_mutex_unlock(&worker->lock);
}

/* The server has ended the stream for the size of a message, which tells neither of which nor how long one may be: it
 * was the largest, if any. What was in it is sent again after a cut, in smaller ones; a write that cannot be made any
 * smaller is refused. */
static void take_size_refusal(struct joblog_worker *worker)
{
    size_t bytes = worker->largest.bytes;
    if (worker->largest.n_writes != 1 || bytes <= worker->bytes_max) {
        worker->bytes_max = (bytes < worker->bytes_max ? bytes : worker->bytes_max) / 2;
        return;
    }
    if (worker->largest.is_patch) {
        drop_member(worker, worker->largest.write_id);
        return;
    }
    Joblog__V1__WriteResult result = JOBLOG__V1__WRITE_RESULT__INIT;
    char message[100];
    snprintf(message, sizeof message, "the server does not take messages of %zu bytes, as this one would be", bytes);
    result.write_id = worker->largest.write_id;
    result.code = ERR_INVALID_ARGUMENT;
    result.message = message;
    pthread_mutex_lock(&worker->lock);
    take_result(worker, &result);
    pthread_mutex_unlock(&worker->lock);
}

static void take_cancels(struct joblog_worker *worker, const Joblog__V1__WorkResponse *message)
{
    pthread_mutex_lock(&worker->lock);
    for (size_t i = 0; i < message->n_cancels; i++) {
        const Joblog__V1__CancelLease *cancel = message->cancels[i];
        for (size_t k = 0; k < worker->n_jobs; k++) {
            struct worker_job *job = worker->jobs[k];
            bool is_it = (job->state == JOB_QUEUED || job->state == JOB_RUNNING) &&
                         job->lease_token == cancel->lease_token && job->context.job.id == cancel->job_id;
            if (is_it && cancel->cancel_request) {
                context_cancel(&job->context, true);
                loop_job_cancelled(job, TELL_CANCEL);
            } else if (is_it) {
                lose(job);
            }
        }
    }
    pthread_mutex_unlock(&worker->lock);
}

/* What has not started goes back, so that others run it. */
static void take_pause(struct joblog_worker *worker, bool paused)
{
    pthread_mutex_lock(&worker->lock);
    worker->paused = paused;
    pthread_mutex_unlock(&worker->lock);
    if (paused)
        pool_release_queued(worker);
    loop_tell_asked(worker, paused ? JOBLOG_ASKED_PAUSE : JOBLOG_ASKED_RESUME);
}

static void take_message(struct joblog_worker *worker, Joblog__V1__WorkResponse *message)
{
    if (message->welcome)
        take_welcome(worker, message->welcome);
    if (message->n_results > 0)
        take_results(worker, message);
    if (message->n_cancels > 0)
        take_cancels(worker, message);
    if (message->drain) {
        pthread_mutex_lock(&worker->lock);
        worker->server_drains = true;
        pthread_mutex_unlock(&worker->lock);
        if (message->leave) {
            loop_tell_asked(worker, JOBLOG_ASKED_LEAVE);
            joblog_worker_stop(worker);
        }
        worker_wake(worker);
    }
    if (message->pause)
        take_pause(worker, message->pause == JOBLOG__V1__WORKER_PAUSE__WORKER_PAUSE_PAUSED);
    if (message->n_leases > 0)
        pool_take_leases(worker, message);
    else
        crpc_message_free(&message->base);
}

bool stream_lacks_reader(const struct joblog_worker *worker)
{
    return worker->stream && !worker->stream_ended && !worker->reading;
}

void stream_read(struct joblog_worker *worker)
{
    struct err e = ERR_NONE;
    Joblog__V1__WorkResponse *message = NULL;
    worker->reading = true;
    pthread_mutex_unlock(&worker->lock);
    int rc = joblog_v1_worker_service_work_read(worker->stream, &message, &e);
    if (rc == 1)
        take_message(worker, message);
    pthread_mutex_lock(&worker->lock);
    worker->reading = false;
    if (rc == 1)
        return;
    worker->end_err = e;
    worker->stream_ended = true;
    pthread_cond_signal(&worker->stream_over);
    worker_wake(worker);
}

int worker_held(struct joblog_worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    int held = worker->queued + worker->running + worker->ending;
    pthread_mutex_unlock(&worker->lock);
    return held;
}

bool worker_drains(struct joblog_worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    bool drains = worker->draining;
    pthread_mutex_unlock(&worker->lock);
    return drains;
}

/* From here on the pool reads it, and joblog_worker_free may cancel it. */
static void begin_stream(struct joblog_worker *worker, struct crpc_stream *stream)
{
    pthread_mutex_lock(&worker->lock);
    worker->credit = 0;
    worker->n_received = 0;
    worker->connection++;
    worker->welcomed = worker->server_drains = worker->stream_ended = worker->paused = false;
    worker->ready_told = worker->drain_told = false;
    worker->end_err = ERR_NONE;
    worker->largest.bytes = worker->largest.n_writes = 0;
    worker->stream = stream;
    pthread_mutex_unlock(&worker->lock);
    pthread_cond_signal(&worker->work);
}

/* Until it has been read to its end; reads it here when nobody of the pool does. */
static void end_stream(struct joblog_worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    while (!worker->stream_ended) {
        if (stream_lacks_reader(worker))
            stream_read(worker);
        else
            pthread_cond_wait(&worker->stream_over, &worker->lock);
    }
    worker->stream = NULL;
    pthread_mutex_unlock(&worker->lock);
    pthread_cond_signal(&worker->work); /* for what was read here */
}

/* One connection from its start to its end. *ret_err: how it ended, OK when the server ended it well. */
static void connection(struct joblog_worker *worker, struct err *ret_err)
{
    struct call_options options;
    call_options_init(&options, &worker->client->credentials, 0);
    struct crpc_stream *stream = joblog_v1_worker_service_work_open(worker->client->channel, &options.options, ret_err);
    call_options_done(&options);
    if (!stream)
        return;
    begin_stream(worker, stream);
    if (write_loop(worker))
        crpc_stream_cancel(stream);
    end_stream(worker);
    *ret_err = worker->end_err;
    if (message_too_large(ret_err) && worker->largest.n_writes > 0)
        take_size_refusal(worker);
    crpc_stream_free(stream);
}

/* The server does not want this worker, and will not want it later either. */
static bool is_refused(const struct joblog_worker *worker, const struct err *e)
{
    return !worker->ever_ready &&
           (e->code == ERR_INVALID_ARGUMENT || e->code == ERR_PERMISSION_DENIED || e->code == ERR_UNAUTHENTICATED ||
            e->code == ERR_UNIMPLEMENTED || message_too_large(e) /* its hello */);
}

/* Waits, but not beyond a stop; a drain that has begun does not hurry it. */
static void pause_before_next(struct joblog_worker *worker, int64_t pause_ms)
{
    int64_t until = clock_mono_ms() + pause_ms;
    bool stopped_before = atomic_load(&worker->stop);
    for (int64_t left = pause_ms; left > 0; left = until - clock_mono_ms()) {
        if (atomic_load(&worker->abandoned) || (atomic_load(&worker->stop) && !stopped_before))
            break;
        call_pause_part(worker->client, left);
    }
}

/* A stop that comes while there is no connection: what has not started runs again elsewhere when its lease ends. */
static bool is_done(struct joblog_worker *worker)
{
    if (atomic_load(&worker->abandoned))
        return true;
    if (!atomic_load(&worker->stop))
        return false;
    pthread_mutex_lock(&worker->lock);
    worker->draining = true;
    loop_draining(worker);
    pthread_mutex_unlock(&worker->lock);
    pool_release_queued(worker);
    return worker_held(worker) == 0;
}

int worker_serve(struct joblog_worker *worker, struct err *ret_err)
{
    struct backoff backoff = BACKOFF_STREAM;
    int64_t away_since_ms = clock_mono_ms();
    worker->lease_timeout_ms = DEFAULT_LEASE_MS;
    worker->heartbeat_ms = DEFAULT_HEARTBEAT_MS;
    while (!is_done(worker)) {
        struct err e = ERR_NONE;
        connection(worker, &e);
        if (is_done(worker))
            break;
        if (is_refused(worker, &e)) {
            *ret_err = e;
            return -(int)e.code;
        }
        if (e.code == ERR_OK)
            err_set(&e, ERR_UNAVAILABLE, NULL, "the server ended the connection");
        if (worker->ready_told) {
            away_since_ms = clock_mono_ms();
            backoff.next_ms = 0;
        }
        loop_tell_lost(worker, &e);
        pthread_mutex_lock(&worker->lock);
        bool only_ends = worker->draining && worker->running == 0;
        pthread_mutex_unlock(&worker->lock);
        if (only_ends && clock_mono_ms() - away_since_ms > worker->lease_timeout_ms)
            return err_set(ret_err, ERR_UNAVAILABLE, NULL, "the server is away and does not know how %d jobs ended",
                           worker_held(worker));
        worker->ready_told = false;
        pause_before_next(worker, backoff_next_ms(&backoff, e.retry_after_ms));
    }
    return 0;
}
