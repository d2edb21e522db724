/* One run of a callback, logged as a job. The callback runs on the caller's thread; a helper thread keeps the lease
 * alive and sends what the callback reports. Nothing is sent for a lease that is lost. Each run has a name of its own,
 * which all tries of its StartJob carry: so the server gives the lease to one run of a request id, and to no other.
 *
 * A job with a heartbeat time-out lives on what its callback says alone: each report renews the lease, which lasts for
 * that time-out, and the helper says nothing of its own. It only looks at the job now and then, so that a callback that
 * waits hears of a cancel and of the end of its lease. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "box.h"
#include "context_log.h"
#include "convert.h"

enum {
    DEFAULT_LEASE_MS = 30000,
    REPORT_INTERVAL_MS = 100,
    RETRY_INTERVAL_MS = 1000,
    /* A cancel comes with the answers only: somebody who asks for one waits no longer than this for it to be heard. */
    QUIET_MS = 1500
};

struct run {
    struct joblog_context context; /* first */
    struct joblog_client *client;
    int64_t lease_token;
    int64_t lease_ms;
    char *unsent_patch; /* the helper's, and after its end the caller's */

    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool changed, done;
    int64_t changed_ms; /* when the callback said something last */
    bool lost;
};

static bool lives_by_itself(const struct run *run)
{
    return run->context.job.heartbeat_timeout_ms == 0;
}

static void run_changed(struct joblog_context *context)
{
    struct run *run = (struct run *)context;
    pthread_mutex_lock(&run->lock);
    run->changed_ms = clock_mono_ms();
    if (!run->changed) {
        run->changed = true;
        pthread_cond_signal(&run->wake);
    }
    pthread_mutex_unlock(&run->lock);
}

/* The server does not take it, and would not take it later. What is reported is lost then; all else goes on. */
static bool is_refused(const struct err *e)
{
    return e->code == ERR_INVALID_ARGUMENT || message_too_large(e);
}

/* Sends the lines that wait, write by write. 0, or -code. */
static int report_log(struct run *run, struct err *ret_err)
{
    struct log_message m;
    int rc = 0;
    while (rc == 0 && log_take(&run->context, 1, SIZE_MAX, &m)) {
        Joblog__V1__WriteJobLogRequest request = JOBLOG__V1__WRITE_JOB_LOG_REQUEST__INIT;
        ProtobufCMessage *response = NULL;
        request.job_id = run->context.job.id;
        request.lease_token = run->lease_token;
        request.log = &m.write;
        rc = call_unary_within(run->client, WORKER_METHOD(WRITE_JOB_LOG), &request.base, run->lease_ms, NULL, &response,
                               ret_err);
        log_message_done(&m);
        log_answered(&run->context, 1, rc < 0 && call_may_pass(ret_err));
        if (rc == 0 && ((Joblog__V1__WriteJobLogResponse *)response)->cancel_request)
            context_cancel(&run->context, true);
        if (rc == 0)
            crpc_message_free(response);
        else if (is_refused(ret_err))
            *ret_err = ERR_NONE, rc = 0;
    }
    return rc;
}

static int send_report(struct run *run, const Joblog__V1__ReportProgressRequest *request, struct err *ret_err)
{
    ProtobufCMessage *response = NULL;
    int rc = call_unary_within(run->client, WORKER_METHOD(REPORT_PROGRESS), &request->base, run->lease_ms, NULL,
                               &response, ret_err);
    if (rc == 0 && ((Joblog__V1__ReportProgressResponse *)response)->cancel_request)
        context_cancel(&run->context, true);
    if (rc == 0)
        crpc_message_free(response);
    return rc;
}

/* Sends what is new and renews the lease. 0, or -code. */
static int report(struct run *run, bool only_if_new, struct err *ret_err)
{
    struct context_progress values;
    char *patch = NULL;
    context_put_back(&run->context, &run->unsent_patch);
    bool any = context_take(&run->context, PAYLOAD_MAX, &values, &patch, &run->unsent_patch);
    if (!any && only_if_new)
        return 0;
    Joblog__V1__ReportProgressRequest request = JOBLOG__V1__REPORT_PROGRESS_REQUEST__INIT;
    Joblog__V1__ProgressWrite write = JOBLOG__V1__PROGRESS_WRITE__INIT;
    Joblog__V1__Progress progress = JOBLOG__V1__PROGRESS__INIT;
    progress.done = values.done;
    progress.total = values.total;
    progress.percent = values.percent;
    progress.unit = values.unit;
    progress.step = values.step;
    write.progress = values.is_news || patch ? &progress : NULL;
    write.payload_patch = text_for_message(patch);
    request.job_id = run->context.job.id;
    request.lease_token = run->lease_token;
    request.progress = any ? &write : NULL;
    int rc = send_report(run, &request, ret_err);
    bool refused = rc < 0 && is_refused(ret_err);
    if (rc == 0 || refused) {
        mem_free(run->unsent_patch);
        run->unsent_patch = NULL;
    }
    if (refused) {
        *ret_err = ERR_NONE;
        write.payload_patch = text_for_message(NULL); /* which took the progress along */
        rc = patch && values.is_news ? send_report(run, &request, ret_err) : 0;
    }
    mem_free(patch);
    return rc;
}

/* Waits until there is something to report (*ret_changed), something is due at due_ms, or the callback has returned.
 * False for the last. */
static bool wait_for_report(struct run *run, int64_t not_before_ms, int64_t due_ms, bool *ret_changed)
{
    pthread_mutex_lock(&run->lock);
    while (!run->done) {
        int64_t now = clock_mono_ms();
        int64_t until = run->changed ? not_before_ms : due_ms;
        if (now >= until)
            break;
        struct timespec at = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
        pthread_cond_timedwait(&run->wake, &run->lock, &at);
    }
    bool goes_on = !run->done;
    *ret_changed = run->changed;
    run->changed = false;
    pthread_mutex_unlock(&run->lock);
    return goes_on;
}

/* What the callback said is said again, as long as it has not been silent for its heartbeat time-out since. */
static void report_again(struct run *run)
{
    pthread_mutex_lock(&run->lock);
    if (lives_by_itself(run) || clock_mono_ms() - run->changed_ms < run->lease_ms)
        run->changed = true;
    pthread_mutex_unlock(&run->lock);
}

/* Asks about the job without saying that it is alive. Not to be had: 0, a report will tell. */
static int look(struct run *run, struct err *ret_err)
{
    Joblog__V1__GetJobRequest request = JOBLOG__V1__GET_JOB_REQUEST__INIT;
    ProtobufCMessage *response = NULL;
    int rc = 0;
    request.id = run->context.job.id;
    request.view = JOBLOG__V1__JOB_VIEW__JOB_VIEW_BASIC;
    if (call_unary(run->client, JOB_LOG_METHOD(GET_JOB), &request.base, NULL, &response, NULL) < 0)
        return 0;
    const Joblog__V1__Job *job = (const Joblog__V1__Job *)response;
    if ((enum joblog_status)job->status != JOBLOG_RUNNING || job->attempt != run->context.job.attempt)
        rc = err_set(ret_err, ERR_FAILED_PRECONDITION, "LEASE_LOST", "the lease was lost");
    else if (job->cancel_request)
        context_cancel(&run->context, true);
    crpc_message_free(response);
    return rc;
}

/* How long the helper says nothing of its own. */
static int64_t quiet_ms(const struct run *run)
{
    return run->lease_ms / 3 < QUIET_MS ? run->lease_ms / 3 : QUIET_MS;
}

static void *keep_alive(void *user)
{
    struct run *run = user;
    int64_t not_before_ms = 0, due_ms = clock_mono_ms() + quiet_ms(run);
    bool changed;
    while (wait_for_report(run, not_before_ms, due_ms, &changed)) {
        struct err e = ERR_NONE;
        bool tells = changed || lives_by_itself(run);
        int rc = tells ? report_log(run, &e) : look(run, &e);
        if (rc == 0 && tells)
            rc = report(run, false, &e);
        int64_t now = clock_mono_ms();
        not_before_ms = now + (rc < 0 ? RETRY_INTERVAL_MS : REPORT_INTERVAL_MS);
        due_ms = now + quiet_ms(run);
        if (rc == -ERR_FAILED_PRECONDITION || rc == -ERR_NOT_FOUND) {
            run->lost = true; /* read after the join */
            context_cancel(&run->context, false);
            break;
        }
        if (rc < 0)
            report_again(run);
        else if (context_has_patch(&run->context))
            run_changed(&run->context);
    }
    return NULL;
}

static ProtobufCMessage *start_job(struct joblog_client *client, const struct joblog_spec *spec, struct err *ret_err)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    char made_id[REQUEST_ID_SIZE], run_id[REQUEST_ID_SIZE];
    Joblog__V1__StartJobRequest request = JOBLOG__V1__START_JOB_REQUEST__INIT;
    ProtobufCMessage *response = NULL;
    request.job = convert_spec(&arena, spec, ret_err);
    if (request.job) {
        if (!spec->request_id)
            request_id_make(made_id);
        request_id_make(run_id);
        request.request_id = text_for_message(spec->request_id ? spec->request_id : made_id);
        request.run_id = run_id; /* the tries of this call, and nobody else */
        request.worker = client->program;
        call_unary(client, WORKER_METHOD(START_JOB), &request.base, NULL, &response, ret_err);
    }
    arena_done(&arena);
    return response;
}

/* After a repeat, "not your lease" may mean that the first try, whose answer was lost, has ended the attempt already:
 * then the attempt's outcome says so. */
static struct joblog_job *recover(const struct run *run, const char *outcome, struct err *e)
{
    struct joblog_job *job = NULL;
    if (joblog_get(run->client, run->context.job.id, &job, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < job->n_attempts; i++) {
        const struct joblog_attempt *attempt = &job->attempts[i];
        if (attempt->number == run->context.job.attempt && strcmp(attempt->outcome, outcome) == 0) {
            *e = ERR_NONE;
            return job;
        }
    }
    joblog_job_free(job);
    return NULL;
}

/* Tells the server how the callback ended. Gives the job as it is then; NULL and *ret_err on failure. */
static struct joblog_job *end_job(struct run *run, bool completed, struct err *ret_err)
{
    struct joblog_context *context = &run->context;
    Joblog__V1__CompleteJobRequest complete_request = JOBLOG__V1__COMPLETE_JOB_REQUEST__INIT;
    Joblog__V1__CompleteWrite complete = JOBLOG__V1__COMPLETE_WRITE__INIT;
    Joblog__V1__FailJobRequest fail_request = JOBLOG__V1__FAIL_JOB_REQUEST__INIT;
    Joblog__V1__FailWrite fail = JOBLOG__V1__FAIL_WRITE__INIT;
    Joblog__V1__JobError error = JOBLOG__V1__JOB_ERROR__INIT;
    bool cancelled = !completed && context->cancel_asked;
    complete.result = text_for_message(context->result);
    complete_request.complete = &complete;
    fail.no_retry = true; /* nobody but this program could run it again */
    fail.cancelled = cancelled;
    if (context->failed) {
        error.type = text_for_message(context->error_type);
        error.message = text_for_message(context->error_message);
        error.stack_trace = text_for_message(context->stack_trace);
        fail.error = &error;
    }
    fail_request.fail = &fail;
    complete_request.job_id = fail_request.job_id = context->job.id;
    complete_request.lease_token = fail_request.lease_token = run->lease_token;
    ProtobufCMessage *response = NULL;
    int tries = 0;
    int rc =
        completed
            ? call_unary(run->client, WORKER_METHOD(COMPLETE_JOB), &complete_request.base, &tries, &response, ret_err)
            : call_unary(run->client, WORKER_METHOD(FAIL_JOB), &fail_request.base, &tries, &response, ret_err);
    if (rc == 0)
        return convert_job_box(response, (const Joblog__V1__Job *)response, ret_err);
    if (ret_err->code == ERR_FAILED_PRECONDITION && tries > 1)
        return recover(run, completed ? "completed" : cancelled ? "cancelled" : "failed", ret_err);
    return NULL;
}

/* All that is left to report. */
static int report_last(struct run *run, struct err *ret_err)
{
    int rc = report_log(run, ret_err);
    while (rc == 0 && (rc = report(run, true, ret_err)) == 0 && context_has_patch(&run->context))
        ;
    return rc;
}

/* After what the end is not worth a try: the lease is another's, or the server is away. */
static bool forbids_end(const struct err *e)
{
    return e->code == ERR_FAILED_PRECONDITION || e->code == ERR_NOT_FOUND || e->code == ERR_DEADLINE_EXCEEDED ||
           call_may_pass(e);
}

/* An end that is refused, for its size, makes room for one that says so: else the job would run on, to nobody, until
 * its lease is lost. *ret_err is the refusal's all the same. */
static struct joblog_job *end_in_any_case(struct run *run, bool completed, struct err *ret_err)
{
    struct err ignored = ERR_NONE;
    *ret_err = ERR_NONE;
    struct joblog_job *job = end_job(run, completed, ret_err);
    if (!job && is_refused(ret_err) && context_end_refused(&run->context, completed, ret_err->msg))
        joblog_job_free(end_job(run, false, &ignored));
    return job;
}

/* Runs the callback with the helper beside it; then the last report and the end. */
static int run_and_end(struct run *run, joblog_handler *callback, void *user, struct joblog_job **ret_job,
                       struct err *ret_err)
{
    pthread_t helper;
    bool helped = thread_start(&helper, keep_alive, run) == 0;
    int returned = -1;
    bool completed = false;
    if (helped) {
        completed = context_run(&run->context, callback, user, &returned);
        pthread_mutex_lock(&run->lock);
        run->done = true;
        pthread_cond_signal(&run->wake);
        pthread_mutex_unlock(&run->lock);
        pthread_join(helper, NULL);
    } else {
        context_fail(&run->context, "NoThread", "could not start a thread", NULL);
        err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "could not start a thread");
    }
    struct err e = ERR_NONE;
    struct joblog_job *job = NULL;
    if (run->lost)
        err_set(&e, ERR_FAILED_PRECONDITION, "LEASE_LOST", "the lease was lost while the callback ran");
    else if (report_last(run, &e) == 0 || !forbids_end(&e))
        job = end_in_any_case(run, completed, &e);
    if (e.code != ERR_OK)
        *ret_err = e;
    if (job && ret_job && ret_err->code == ERR_OK) {
        /* In full, if it can be had. */
        struct joblog_job *full = NULL;
        if (joblog_get(run->client, job->id, &full, NULL) == 0) {
            joblog_job_free(job);
            job = full;
        }
        *ret_job = job;
    } else {
        joblog_job_free(job);
    }
    return ret_err->code == ERR_OK ? returned : -(int)ret_err->code;
}

/* There is no lease for this run: the work of this request id is another's, or this run's answer came when its lease
 * was lost. The callback does not run. Takes started. */
static int not_run(struct joblog_client *client, ProtobufCMessage *started, struct joblog_job **ret_job,
                   struct joblog_error *error)
{
    const Joblog__V1__StartJobResponse *m = (const Joblog__V1__StartJobResponse *)started;
    struct err e = ERR_NONE;
    struct joblog_job *job = NULL;
    int rc = 0;
    if (m->same_run) {
        err_set(&e, ERR_FAILED_PRECONDITION, "LEASE_LOST",
                "the lease of job %" PRId64 " was lost before the answer to its start came", m->job->id);
        crpc_message_free(started);
        return error_give(error, &e);
    }
    if (joblog_get(client, m->job->id, &job, NULL) == 0) /* in full, if it can be had */
        crpc_message_free(started);
    else if (!(job = convert_job_box(started, m->job, &e)))
        return error_give(error, &e);
    if (joblog_status_is_final(job->status))
        rc = job->status == JOBLOG_COMPLETED ? 0 : -1;
    else
        rc = err_set(&e, ERR_ALREADY_EXISTS, "REQUEST_ID_IN_USE", "job %" PRId64 " of this request id is %s", job->id,
                     joblog_status_name(job->status));
    if (ret_job)
        *ret_job = job;
    else
        joblog_job_free(job);
    error_give(error, &e);
    return rc;
}

int joblog_run_logged(struct joblog_client *client, const struct joblog_spec *spec, joblog_handler *callback,
                      void *user, struct joblog_job **ret_job, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    ProtobufCMessage *started = start_job(client, spec, &e);
    if (!started)
        return error_give(error, &e);
    Joblog__V1__StartJobResponse *m = (Joblog__V1__StartJobResponse *)started;
    if (m->job && ((enum joblog_status)m->job->status != JOBLOG_RUNNING || m->lease_token == 0))
        return not_run(client, started, ret_job, error);
    struct run run = {.client = client, .lease_token = m->lease_token};
    run.lease_ms = duration_us_of(m->lease_timeout) / 1000;
    if (run.lease_ms <= 0)
        run.lease_ms = DEFAULT_LEASE_MS;
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&run.lock, NULL);
    pthread_cond_init(&run.wake, &attr);
    pthread_condattr_destroy(&attr);
    int rc = -ERR_RESOURCE_EXHAUSTED;
    if (convert_job(&arena, m->job, &run.context.job) && context_init(&run.context, client, run_changed)) {
        rc = run_and_end(&run, callback, user, ret_job, &e);
        mem_free(run.unsent_patch);
        context_done(&run.context);
    } else {
        error_no_memory(&e);
    }
    pthread_cond_destroy(&run.wake);
    pthread_mutex_destroy(&run.lock);
    arena_done(&arena);
    crpc_message_free(started);
    error_give(error, &e);
    return rc;
}
