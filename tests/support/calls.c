/* See calls.h. */
#include "support/calls.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static const struct crpc_call_options options = {.timeout_ms = CALL_TIMEOUT_MS, .wait_for_ready = true};

static struct err *any(struct err *err)
{
    static _Thread_local struct err room;
    return err ? err : &room;
}

/* A call that must not fail. */
static void must(int rc, const struct err *err)
{
    if (rc != 0)
        print_error("%s %s: %s\n", err_code_name((int)err->code), err->field, err->msg);
    assert_int_equal(rc, 0);
}

Joblog__V1__JobSpec spec_of(const char *job_name, const char *queue)
{
    Joblog__V1__JobSpec spec = JOBLOG__V1__JOB_SPEC__INIT;
    spec.job_name = (char *)job_name;
    spec.queue = (char *)queue;
    return spec;
}

Joblog__V1__Job *call_dispatch(struct crpc_channel *channel, const Joblog__V1__JobSpec *spec, const char *request_id,
                               struct err *ret_err)
{
    Joblog__V1__DispatchJobRequest request = JOBLOG__V1__DISPATCH_JOB_REQUEST__INIT;
    Joblog__V1__Job *job = NULL;
    request.job = (Joblog__V1__JobSpec *)spec;
    if (request_id)
        request.request_id = (char *)request_id;
    joblog_v1_job_log_service_dispatch_job(channel, &options, &request, &job, any(ret_err));
    return job;
}

int64_t must_dispatch(struct crpc_channel *channel, const Joblog__V1__JobSpec *spec)
{
    struct err err = ERR_NONE;
    Joblog__V1__Job *job = call_dispatch(channel, spec, NULL, &err);
    must(-(int)err.code, &err);
    assert_non_null(job);
    int64_t id = job->id;
    job_free(job);
    return id;
}

Joblog__V1__Job *call_get(struct crpc_channel *channel, int64_t id, bool full, struct err *ret_err)
{
    Joblog__V1__GetJobRequest request = JOBLOG__V1__GET_JOB_REQUEST__INIT;
    Joblog__V1__Job *job = NULL;
    request.id = id;
    request.view = full ? JOBLOG__V1__JOB_VIEW__JOB_VIEW_FULL : JOBLOG__V1__JOB_VIEW__JOB_VIEW_UNSPECIFIED;
    joblog_v1_job_log_service_get_job(channel, &options, &request, &job, any(ret_err));
    return job;
}

Joblog__V1__JobStatus must_status(struct crpc_channel *channel, int64_t id)
{
    struct err err = ERR_NONE;
    Joblog__V1__Job *job = call_get(channel, id, false, &err);
    must(-(int)err.code, &err);
    Joblog__V1__JobStatus status = job->status;
    job_free(job);
    return status;
}

Joblog__V1__Job *call_cancel(struct crpc_channel *channel, int64_t id, const char *reason, struct err *ret_err)
{
    Joblog__V1__CancelJobRequest request = JOBLOG__V1__CANCEL_JOB_REQUEST__INIT;
    Joblog__V1__Job *job = NULL;
    request.id = id;
    request.reason = (char *)reason;
    joblog_v1_job_log_service_cancel_job(channel, &options, &request, &job, any(ret_err));
    return job;
}

Joblog__V1__Job *call_retry(struct crpc_channel *channel, int64_t id, const char *reason, struct err *ret_err)
{
    Joblog__V1__RetryJobRequest request = JOBLOG__V1__RETRY_JOB_REQUEST__INIT;
    Joblog__V1__Job *job = NULL;
    request.id = id;
    request.reason = (char *)reason;
    joblog_v1_job_log_service_retry_job(channel, &options, &request, &job, any(ret_err));
    return job;
}

void job_free(Joblog__V1__Job *job)
{
    crpc_message_free((ProtobufCMessage *)job);
}

struct crpc_stream *must_watch(struct crpc_channel *channel, int64_t id, int64_t after_revision, bool full)
{
    Joblog__V1__WatchJobRequest request = JOBLOG__V1__WATCH_JOB_REQUEST__INIT;
    struct err err = ERR_NONE;
    request.id = id;
    request.after_revision = after_revision;
    request.view = full ? JOBLOG__V1__JOB_VIEW__JOB_VIEW_FULL : JOBLOG__V1__JOB_VIEW__JOB_VIEW_UNSPECIFIED;
    struct crpc_stream *watch = joblog_v1_job_log_service_watch_job_open(channel, &options, &request, &err);
    assert_non_null(watch);
    return watch;
}

Joblog__V1__WatchJobResponse *watch_next(struct crpc_stream *watch, struct err *ret_err)
{
    Joblog__V1__WatchJobResponse *response = NULL;
    *ret_err = ERR_NONE;
    return joblog_v1_job_log_service_watch_job_read(watch, &response, ret_err) == 1 ? response : NULL;
}

/* ---- Work ---- */

struct test_worker {
    struct crpc_stream *stream;
    uint64_t next_write_id;
    int64_t session_id;
    /* what was read and not yet asked for; messages are kept to the end, so that pointers stay good */
    Joblog__V1__WorkResponse **messages;
    size_t n_messages;
    Joblog__V1__Lease **leases;
    size_t n_leases, next_lease;
    Joblog__V1__WriteResult **results;
    size_t n_results;
    Joblog__V1__CancelLease **cancels;
    size_t n_cancels, next_cancel;
    bool drain;
    struct err end; /* status of the stream */
    bool ended;
    /* worker_keep_alive */
    pthread_t beat;
    bool beating;
    pthread_mutex_t lock; /* guards writes, stop and waits for it */
    pthread_cond_t woken;
    bool stop;
    Joblog__V1__WorkerPause pause; /* the last that it was told */
};

static void *grow(void *array, size_t n, size_t more)
{
    void *grown = realloc(array, (n + more + 1) * sizeof(void *));
    assert_non_null(grown);
    return grown;
}

/* Reads one message and sorts it in. False at the end of the stream. */
static bool worker_read(struct test_worker *w)
{
    Joblog__V1__WorkResponse *m = NULL;
    w->end = ERR_NONE;
    if (joblog_v1_worker_service_work_read(w->stream, &m, &w->end) != 1) {
        w->ended = true;
        return false;
    }
    w->pause = m->pause ? m->pause : w->pause;
    w->messages = grow(w->messages, w->n_messages, 1);
    w->messages[w->n_messages++] = m;
    w->leases = grow(w->leases, w->n_leases, m->n_leases);
    for (size_t i = 0; i < m->n_leases; i++)
        w->leases[w->n_leases++] = m->leases[i];
    w->results = grow(w->results, w->n_results, m->n_results);
    for (size_t i = 0; i < m->n_results; i++)
        w->results[w->n_results++] = m->results[i];
    w->cancels = grow(w->cancels, w->n_cancels, m->n_cancels);
    for (size_t i = 0; i < m->n_cancels; i++)
        w->cancels[w->n_cancels++] = m->cancels[i];
    w->drain = w->drain || m->drain;
    if (m->welcome)
        w->session_id = m->welcome->session_id;
    return true;
}

static void must_read(struct test_worker *w)
{
    if (!worker_read(w))
        fail_msg("the stream has ended: %s %s", err_code_name((int)w->end.code), w->end.msg);
}

void worker_send(struct test_worker *w, const Joblog__V1__WorkRequest *request)
{
    struct err err = ERR_NONE;
    pthread_mutex_lock(&w->lock);
    int rc = joblog_v1_worker_service_work_write(w->stream, request, &err);
    pthread_mutex_unlock(&w->lock);
    must(rc, &err);
}

/* Empty messages, until it is told to stop or the stream has ended. */
static void *beat(void *arg)
{
    enum { BEAT_MS = 200 };
    struct test_worker *w = arg;
    Joblog__V1__WorkRequest empty = JOBLOG__V1__WORK_REQUEST__INIT;
    pthread_mutex_lock(&w->lock);
    while (!w->stop && joblog_v1_worker_service_work_write(w->stream, &empty, NULL) == 0) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += BEAT_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        while (!w->stop && pthread_cond_timedwait(&w->woken, &w->lock, &until) == 0)
            ;
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

void worker_keep_alive(struct test_worker *w)
{
    w->beating = pthread_create(&w->beat, NULL, beat, w) == 0;
    assert_true(w->beating);
}

static void beat_end(struct test_worker *w)
{
    if (!w->beating)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->woken);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->beat, NULL);
    w->beating = false;
}

struct test_worker *worker_open(struct crpc_channel *channel, const char *name, const char *queue, int32_t credit)
{
    Joblog__V1__WorkerHello hello = JOBLOG__V1__WORKER_HELLO__INIT;
    hello.name = (char *)name;
    hello.queues = (char **)&queue;
    hello.n_queues = queue ? 1 : 0;
    return worker_open_as(channel, &hello, credit);
}

struct test_worker *worker_open_as(struct crpc_channel *channel, Joblog__V1__WorkerHello *hello, int32_t credit)
{
    Joblog__V1__WorkRequest request = JOBLOG__V1__WORK_REQUEST__INIT;
    struct err err = ERR_NONE;
    struct test_worker *w = calloc(1, sizeof *w);
    assert_non_null(w);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->woken, NULL);
    w->stream = joblog_v1_worker_service_work_open(channel, &options, &err);
    assert_non_null(w->stream);
    request.hello = hello;
    request.add_credit = credit;
    worker_send(w, &request);
    while (w->session_id == 0)
        must_read(w);
    return w;
}

int64_t worker_session_id(const struct test_worker *w)
{
    return w->session_id;
}

struct test_lease worker_lease(struct test_worker *w)
{
    while (w->next_lease == w->n_leases)
        must_read(w);
    Joblog__V1__Lease *lease = w->leases[w->next_lease++];
    return (struct test_lease){.job_id = lease->job->id, .token = lease->lease_token, .job = lease->job};
}

Joblog__V1__CancelLease worker_cancel(struct test_worker *w)
{
    while (w->next_cancel == w->n_cancels)
        must_read(w);
    return *w->cancels[w->next_cancel++];
}

void worker_drain(struct test_worker *w)
{
    while (!w->drain)
        must_read(w);
}

void worker_paused(struct test_worker *w, bool paused)
{
    while (w->pause !=
           (paused ? JOBLOG__V1__WORKER_PAUSE__WORKER_PAUSE_PAUSED : JOBLOG__V1__WORKER_PAUSE__WORKER_PAUSE_RESUMED))
        must_read(w);
}

static const Joblog__V1__WriteResult *result_of(struct test_worker *w, uint64_t write_id)
{
    for (size_t i = 0;; i++) {
        while (i == w->n_results)
            must_read(w);
        const Joblog__V1__WriteResult *result = w->results[i];
        if (result->write_id != write_id)
            continue;
        assert_true(result->accepted == (result->code == 0));
        assert_true(result->accepted == (*result->message == 0));
        assert_true(result->accepted == (*result->reason == 0));
        return result;
    }
}

int worker_answer(struct test_worker *w, uint64_t write_id, const char **ret_message)
{
    const Joblog__V1__WriteResult *result = result_of(w, write_id);
    if (ret_message)
        *ret_message = result->message;
    return result->code;
}

const char *worker_refusal(struct test_worker *w, uint64_t write_id)
{
    return result_of(w, write_id)->reason;
}

size_t worker_leases_read(const struct test_worker *w)
{
    return w->n_leases - w->next_lease;
}

void worker_credit(struct test_worker *w, int32_t credit)
{
    Joblog__V1__WorkRequest request = JOBLOG__V1__WORK_REQUEST__INIT;
    request.add_credit = credit;
    worker_send(w, &request);
}

static uint64_t send_write(struct test_worker *w, struct test_lease lease, Joblog__V1__WorkerWrite *write)
{
    Joblog__V1__WorkRequest request = JOBLOG__V1__WORK_REQUEST__INIT;
    write->write_id = ++w->next_write_id;
    write->job_id = lease.job_id;
    write->lease_token = lease.token;
    request.writes = &write;
    request.n_writes = 1;
    worker_send(w, &request);
    return write->write_id;
}

uint64_t worker_complete(struct test_worker *w, struct test_lease lease, const char *result)
{
    Joblog__V1__WorkerWrite write = JOBLOG__V1__WORKER_WRITE__INIT;
    Joblog__V1__CompleteWrite complete = JOBLOG__V1__COMPLETE_WRITE__INIT;
    complete.result = (char *)result;
    write.write_case = JOBLOG__V1__WORKER_WRITE__WRITE_COMPLETE;
    write.complete = &complete;
    return send_write(w, lease, &write);
}

uint64_t worker_fail(struct test_worker *w, struct test_lease lease, const char *type, const char *message,
                     const char *stack_trace, bool no_retry)
{
    Joblog__V1__WorkerWrite write = JOBLOG__V1__WORKER_WRITE__INIT;
    Joblog__V1__FailWrite fail = JOBLOG__V1__FAIL_WRITE__INIT;
    Joblog__V1__JobError error = JOBLOG__V1__JOB_ERROR__INIT;
    error.type = (char *)type;
    error.message = (char *)message;
    error.stack_trace = (char *)stack_trace;
    fail.error = &error;
    fail.no_retry = no_retry;
    write.write_case = JOBLOG__V1__WORKER_WRITE__WRITE_FAIL;
    write.fail = &fail;
    return send_write(w, lease, &write);
}

uint64_t worker_followed_cancel(struct test_worker *w, struct test_lease lease)
{
    Joblog__V1__WorkerWrite write = JOBLOG__V1__WORKER_WRITE__INIT;
    Joblog__V1__FailWrite fail = JOBLOG__V1__FAIL_WRITE__INIT;
    fail.cancelled = true;
    write.write_case = JOBLOG__V1__WORKER_WRITE__WRITE_FAIL;
    write.fail = &fail;
    return send_write(w, lease, &write);
}

uint64_t worker_progress(struct test_worker *w, struct test_lease lease, int64_t done, int64_t total, const char *step,
                         const char *payload_patch)
{
    Joblog__V1__WorkerWrite write = JOBLOG__V1__WORKER_WRITE__INIT;
    Joblog__V1__ProgressWrite progress = JOBLOG__V1__PROGRESS_WRITE__INIT;
    Joblog__V1__Progress values = JOBLOG__V1__PROGRESS__INIT;
    values.done = done;
    values.total = total;
    values.step = (char *)step;
    progress.progress = &values;
    progress.payload_patch = (char *)payload_patch;
    write.write_case = JOBLOG__V1__WORKER_WRITE__WRITE_PROGRESS;
    write.progress = &progress;
    return send_write(w, lease, &write);
}

uint64_t worker_log(struct test_worker *w, struct test_lease lease, const char *const *texts, size_t n)
{
    Joblog__V1__WorkerWrite write = JOBLOG__V1__WORKER_WRITE__INIT;
    Joblog__V1__LogWrite log = JOBLOG__V1__LOG_WRITE__INIT;
    Joblog__V1__LogLine *lines = calloc(n + 1, sizeof *lines), **pointers = calloc(n + 1, sizeof *pointers);
    assert_non_null(lines);
    assert_non_null(pointers);
    for (size_t i = 0; i < n; i++) {
        joblog__v1__log_line__init(&lines[i]);
        lines[i].text = (char *)texts[i];
        pointers[i] = &lines[i];
    }
    log.lines = pointers;
    log.n_lines = n;
    write.write_case = JOBLOG__V1__WORKER_WRITE__WRITE_LOG;
    write.log = &log;
    uint64_t id = send_write(w, lease, &write);
    free(lines);
    free(pointers);
    return id;
}

uint64_t worker_release(struct test_worker *w, struct test_lease lease)
{
    Joblog__V1__WorkerWrite write = JOBLOG__V1__WORKER_WRITE__INIT;
    Joblog__V1__ReleaseWrite release = JOBLOG__V1__RELEASE_WRITE__INIT;
    write.write_case = JOBLOG__V1__WORKER_WRITE__WRITE_RELEASE;
    write.release = &release;
    return send_write(w, lease, &write);
}

void worker_draining(struct test_worker *w)
{
    Joblog__V1__WorkRequest request = JOBLOG__V1__WORK_REQUEST__INIT;
    request.draining = true;
    worker_send(w, &request);
}

static void worker_free(struct test_worker *w)
{
    crpc_stream_free(w->stream);
    for (size_t i = 0; i < w->n_messages; i++)
        crpc_message_free(&w->messages[i]->base);
    free(w->messages);
    free(w->leases);
    free(w->results);
    free(w->cancels);
    free(w);
}

int worker_end(struct test_worker *w, bool close, struct err *ret_err)
{
    beat_end(w);
    if (close)
        crpc_stream_close_write(w->stream, NULL);
    while (!w->ended && worker_read(w))
        ;
    int code = (int)w->end.code;
    if (ret_err)
        *ret_err = w->end;
    worker_free(w);
    return code;
}

void worker_cut(struct test_worker *w)
{
    beat_end(w);
    crpc_stream_cancel(w->stream);
    worker_free(w);
}
