/* CancelJobs and RetryJobs against two joblogd on one database: counts, dry runs, pages, records, watchers, workers of
 * the other replica, requests that are sent again. Each test has a queue of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/calls.h"
#include "support/replicas.h"
#include "support/server_fixture.h"

#define PENDING   JOBLOG__V1__JOB_STATUS__JOB_STATUS_PENDING
#define RUNNING   JOBLOG__V1__JOB_STATUS__JOB_STATUS_RUNNING
#define COMPLETED JOBLOG__V1__JOB_STATUS__JOB_STATUS_COMPLETED
#define FAILED    JOBLOG__V1__JOB_STATUS__JOB_STATUS_FAILED
#define CANCELLED JOBLOG__V1__JOB_STATUS__JOB_STATUS_CANCELLED

static struct replicas replicas;
static struct crpc_channel *a, *b;

static int setup(void **state)
{
    (void)state;
    int rc = replicas_start(&replicas, NULL);
    a = replicas.channels[0];
    b = replicas.channels[1];
    return rc;
}

static int teardown(void **state)
{
    (void)state;
    return replicas_stop(&replicas);
}

/* A filter of one queue. */
struct of_queue {
    char *queue;
    Joblog__V1__JobFilter filter;
};

static struct of_queue *of_queue(struct of_queue *q, const char *queue)
{
    joblog__v1__job_filter__init(&q->filter);
    q->queue = (char *)queue;
    q->filter.queues = &q->queue;
    q->filter.n_queues = 1;
    return q;
}

static Joblog__V1__CancelJobsRequest cancel_of(Joblog__V1__JobFilter *filter, const char *reason)
{
    Joblog__V1__CancelJobsRequest request = JOBLOG__V1__CANCEL_JOBS_REQUEST__INIT;
    request.filter = filter;
    request.reason = (char *)reason;
    return request;
}

static Joblog__V1__RetryJobsRequest retry_of(Joblog__V1__JobFilter *filter, const char *request_id)
{
    Joblog__V1__RetryJobsRequest request = JOBLOG__V1__RETRY_JOBS_REQUEST__INIT;
    request.filter = filter;
    request.reason = (char *)"again";
    request.request_id = (char *)request_id;
    return request;
}

/* The answer must hold these; token: whether there must be one, which is then copied there. */
static void expect_outcome(Joblog__V1__BulkOutcome *o, int matched, int changed, int refused, char token[128])
{
    assert_non_null(o);
    assert_int_equal(o->matched, matched);
    assert_int_equal(o->changed, changed);
    assert_int_equal(o->refused, refused);
    assert_int_equal(o->n_refusals, refused < 20 ? refused : 20);
    assert_true((o->next_page_token[0] != 0) == (token != NULL));
    if (token)
        snprintf(token, 128, "%s", o->next_page_token);
    crpc_message_free(&o->base);
}

static void expect_cancel(const Joblog__V1__CancelJobsRequest *request, int matched, int changed, char token[128])
{
    struct err err = ERR_NONE;
    Joblog__V1__BulkOutcome *o = NULL;
    joblog_v1_job_log_service_cancel_jobs(a, NULL, request, &o, &err);
    expect_outcome(o, matched, changed, 0, token);
}

static void expect_retry(struct crpc_channel *at, const Joblog__V1__RetryJobsRequest *request, int matched, int changed,
                         int refused)
{
    struct err err = ERR_NONE;
    Joblog__V1__BulkOutcome *o = NULL;
    joblog_v1_job_log_service_retry_jobs(at, NULL, request, &o, &err);
    expect_outcome(o, matched, changed, refused, NULL);
}

static void pending_and_running_jobs_are_cancelled_with_their_record(void **state)
{
    (void)state;
    enum { N = 250 }; /* some pages */
    struct err err = ERR_NONE;
    struct of_queue q;
    int64_t ids[N];
    Joblog__V1__JobSpec spec = spec_of("bulk", "cancel");
    struct test_worker *worker = worker_open(b, "w", "cancel", 1);
    ids[0] = must_dispatch(b, &spec);
    struct test_lease lease = worker_lease(worker);
    assert_int_equal(lease.job_id, ids[0]);
    for (int i = 1; i < N; i++)
        ids[i] = must_dispatch(i % 2 ? a : b, &spec);
    struct crpc_stream *watch = must_watch(b, ids[N - 1], 0, false);
    Joblog__V1__WatchJobResponse *m = watch_next(watch, &err);
    assert_int_equal(m->job->status, PENDING);
    crpc_message_free(&m->base);
    Joblog__V1__CancelJobsRequest request = cancel_of(&of_queue(&q, "cancel")->filter, "no more");
    request.dry_run = true;
    expect_cancel(&request, N, 0, NULL);
    assert_int_equal(must_status(b, ids[1]), PENDING);
    request.dry_run = false;
    expect_cancel(&request, N, N, NULL);
    /* The worker at the other replica is told, the watcher there too. */
    Joblog__V1__CancelLease cancel = worker_cancel(worker);
    assert_int_equal(cancel.job_id, ids[0]);
    assert_string_equal(cancel.cancel_request->reason, "no more");
    m = watch_next(watch, &err);
    assert_int_equal(m->job->status, CANCELLED);
    crpc_message_free(&m->base);
    assert_null(watch_next(watch, &err));
    crpc_stream_free(watch);
    /* Once more: the running one needs nothing, the others do not match. */
    expect_cancel(&request, 1, 0, NULL);
    assert_int_equal(worker_answer(worker, worker_followed_cancel(worker, lease), NULL), 0);
    worker_end(worker, true, NULL);
    for (int i = 0; i < N; i++) {
        Joblog__V1__Job *job = call_get(b, ids[i], true, &err);
        const Joblog__V1__Transition *t = job->transitions[job->n_transitions - 1];
        assert_int_equal(job->status, CANCELLED);
        assert_string_equal(t->reason, "no more");
        assert_true(i == 0 || strcmp(t->actor, server_fixture_actor(replicas.servers[0])) == 0);
        job_free(job);
    }
}

/* To the end of the watch, whose last job must say why. */
static void expect_last_why(struct crpc_stream *watch, const char *why)
{
    struct err err = ERR_NONE;
    Joblog__V1__WatchJobResponse *m, *last = NULL;
    while ((m = watch_next(watch, &err)) != NULL) {
        if (last)
            crpc_message_free(&last->base);
        last = m;
        assert_string_equal(m->job->cancel_reason, m->job->status == CANCELLED ? why : "");
    }
    assert_int_equal(err.code, ERR_OK);
    assert_non_null(last);
    assert_int_equal(last->job->status, CANCELLED);
    assert_null(last->job->cancel_request);
    crpc_message_free(&last->base);
    crpc_stream_free(watch);
}

/* GetJob and ListJobs, in the BASIC view, at both replicas. */
static void expect_why(int64_t id, Joblog__V1__JobStatus status, const char *why)
{
    struct crpc_channel *channels[] = {a, b};
    struct err err = ERR_NONE;
    for (int i = 0; i < 2; i++) {
        Joblog__V1__JobFilter filter = JOBLOG__V1__JOB_FILTER__INIT;
        Joblog__V1__ListJobsRequest request = JOBLOG__V1__LIST_JOBS_REQUEST__INIT;
        Joblog__V1__ListJobsResponse *page = NULL;
        filter.ids = &id;
        filter.n_ids = 1;
        request.filter = &filter;
        Joblog__V1__Job *job = call_get(channels[i], id, false, &err);
        assert_int_equal(job->status, status);
        assert_string_equal(job->cancel_reason, why);
        job_free(job);
        assert_int_equal(joblog_v1_job_log_service_list_jobs(channels[i], NULL, &request, &page, NULL), 0);
        assert_int_equal(page->n_jobs, 1);
        assert_string_equal(page->jobs[0]->cancel_reason, why);
        crpc_message_free(&page->base);
    }
}

static void why_a_job_was_cancelled_stays_with_it(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    Joblog__V1__JobSpec spec = spec_of("bulk", "why");
    struct test_worker *worker = worker_open(b, "w", "why", 1);
    int64_t runs = must_dispatch(a, &spec), waits;
    struct test_lease lease = worker_lease(worker);
    assert_int_equal(lease.job_id, runs);
    waits = must_dispatch(a, &spec);
    struct crpc_stream *watches[] = {must_watch(a, waits, 0, false), must_watch(b, waits, 0, false),
                                     must_watch(a, runs, 0, false), must_watch(b, runs, 0, false)};
    job_free(call_cancel(a, waits, "wrong list", &err));
    job_free(call_cancel(a, runs, "wrong file", &err));
    worker_cancel(worker);
    assert_int_equal(worker_answer(worker, worker_followed_cancel(worker, lease), NULL), 0);
    for (int i = 0; i < 4; i++)
        expect_last_why(watches[i], i < 2 ? "wrong list" : "wrong file");
    expect_why(waits, CANCELLED, "wrong list");
    expect_why(runs, CANCELLED, "wrong file");
    /* Until it is put back. */
    Joblog__V1__Job *job = call_retry(b, waits, "the right one now", &err);
    assert_non_null(job);
    assert_string_equal(job->cancel_reason, "");
    job_free(job);
    expect_why(waits, PENDING, "");
    job_free(call_cancel(b, waits, "", &err));
    expect_why(waits, CANCELLED, "");
    worker_end(worker, true, NULL);
}

static void a_limit_leaves_the_rest_for_the_next_call(void **state)
{
    (void)state;
    struct of_queue q;
    char token[128];
    struct err err = ERR_NONE;
    Joblog__V1__BulkOutcome *o = NULL;
    Joblog__V1__JobSpec spec = spec_of("bulk", "limit");
    for (int i = 0; i < 5; i++)
        must_dispatch(a, &spec);
    Joblog__V1__CancelJobsRequest request = cancel_of(&of_queue(&q, "limit")->filter, "");
    request.limit = 3;
    expect_cancel(&request, 3, 3, token);
    request.page_token = token;
    expect_cancel(&request, 2, 2, NULL);
    /* A token of one filter is none of another's. */
    of_queue(&q, "elsewhere");
    joblog_v1_job_log_service_cancel_jobs(a, NULL, &request, &o, &err);
    assert_null(o);
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "page_token");
}

static int64_t fail_one(struct test_worker *worker)
{
    struct test_lease lease = worker_lease(worker);
    assert_int_equal(worker_answer(worker, worker_fail(worker, lease, "E", "m", "", true), NULL), 0);
    return lease.job_id;
}

static void failed_jobs_are_retried_and_cancelled_ones_when_asked_for(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    struct of_queue q;
    Joblog__V1__JobSpec spec = spec_of("bulk", "retry");
    struct test_worker *worker = worker_open(b, "w", "retry", 1);
    int64_t failed = must_dispatch(a, &spec), cancelled;
    assert_int_equal(fail_one(worker), failed);
    cancelled = must_dispatch(a, &spec);
    job_free(call_cancel(a, cancelled, "", &err));
    Joblog__V1__RetryJobsRequest request = retry_of(&of_queue(&q, "retry")->filter, "");
    expect_retry(a, &request, 1, 1, 0);
    assert_int_equal(must_status(b, failed), PENDING);
    assert_int_equal(must_status(b, cancelled), CANCELLED);
    Joblog__V1__JobStatus statuses[] = {FAILED, CANCELLED};
    q.filter.statuses = statuses;
    q.filter.n_statuses = 2;
    expect_retry(b, &request, 1, 1, 0);
    assert_int_equal(must_status(a, cancelled), PENDING);
    worker_end(worker, true, NULL);
}

/* Under one request id a job is put back once, whichever replica is asked, and not for another reason. */
static void a_retry_that_is_sent_again_is_done_once(void **state)
{
    (void)state;
    struct of_queue q;
    Joblog__V1__JobSpec spec = spec_of("bulk", "again");
    struct test_worker *worker = worker_open(b, "w", "again", 1);
    must_dispatch(a, &spec);
    fail_one(worker);
    Joblog__V1__RetryJobsRequest request = retry_of(&of_queue(&q, "again")->filter, "bulk-1");
    expect_retry(a, &request, 1, 1, 0);
    worker_credit(worker, 1);
    fail_one(worker);
    expect_retry(b, &request, 1, 0, 0);
    request.reason = (char *)"other";
    expect_retry(a, &request, 1, 0, 1);
    request.request_id = (char *)"bulk-2";
    expect_retry(a, &request, 1, 1, 0);
    worker_end(worker, true, NULL);
}

static Joblog__V1__Job *steer_one(struct crpc_channel *at, bool cancels, int64_t id, const char *reason,
                                  const char *request_id, struct err *ret_err)
{
    Joblog__V1__CancelJobRequest cancel = JOBLOG__V1__CANCEL_JOB_REQUEST__INIT;
    Joblog__V1__RetryJobRequest retry = JOBLOG__V1__RETRY_JOB_REQUEST__INIT;
    Joblog__V1__Job *job = NULL;
    cancel.id = retry.id = id;
    cancel.reason = retry.reason = (char *)reason;
    cancel.request_id = retry.request_id = (char *)request_id;
    if (cancels)
        joblog_v1_job_log_service_cancel_job(at, NULL, &cancel, &job, ret_err);
    else
        joblog_v1_job_log_service_retry_job(at, NULL, &retry, &job, ret_err);
    return job;
}

static void expect_one(struct crpc_channel *at, bool cancels, int64_t id, const char *request_id,
                       Joblog__V1__JobStatus status)
{
    struct err err = ERR_NONE;
    Joblog__V1__Job *job = steer_one(at, cancels, id, "why", request_id, &err);
    assert_non_null(job);
    assert_int_equal(job->status, status);
    job_free(job);
}

static void one_job_is_steered_once_under_a_request_id(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    Joblog__V1__JobSpec spec = spec_of("bulk", "one");
    int64_t id = must_dispatch(a, &spec), other = must_dispatch(a, &spec);
    expect_one(a, true, id, "cancel-1", CANCELLED);
    expect_one(b, true, id, "cancel-1", CANCELLED);
    expect_one(a, false, id, "retry-1", PENDING);
    /* The first cancel once more: it is not done again, and the job still runs. */
    expect_one(b, true, id, "cancel-1", PENDING);
    expect_one(b, false, id, "retry-1", PENDING);
    struct test_worker *worker = worker_open(b, "w", "one", 1);
    struct test_lease lease = worker_lease(worker);
    assert_int_equal(lease.job_id, id);
    assert_int_equal(worker_answer(worker, worker_complete(worker, lease, ""), NULL), 0);
    worker_end(worker, true, NULL);
    /* Another job, another reason, another method: refused, and nothing is done. */
    assert_null(steer_one(a, true, other, "why", "cancel-1", &err));
    assert_int_equal(err.code, ERR_ALREADY_EXISTS);
    assert_string_equal(err.reason, "REQUEST_ID_REUSED");
    assert_null(steer_one(b, true, id, "else", "cancel-1", &err));
    assert_string_equal(err.reason, "REQUEST_ID_REUSED");
    assert_null(steer_one(b, false, id, "why", "cancel-1", &err));
    assert_string_equal(err.reason, "REQUEST_ID_REUSED");
    assert_null(call_dispatch(a, &spec, "cancel-1", &err));
    assert_string_equal(err.reason, "REQUEST_ID_REUSED");
    /* What was refused may be asked for again under the same id. */
    assert_null(steer_one(a, false, other, "why", "retry-2", &err));
    assert_int_equal(err.code, ERR_FAILED_PRECONDITION);
}

static void expect_bad(const Joblog__V1__CancelJobsRequest *request, const char *field)
{
    struct err err = ERR_NONE;
    Joblog__V1__BulkOutcome *o = NULL;
    joblog_v1_job_log_service_cancel_jobs(a, NULL, request, &o, &err);
    assert_null(o);
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, field);
}

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static char text[502];
    struct of_queue q;
    Joblog__V1__JobFilter everything = JOBLOG__V1__JOB_FILTER__INIT;
    Joblog__V1__JobStatus failed = FAILED;
    memset(text, 'x', 501);
    Joblog__V1__CancelJobsRequest request = cancel_of(NULL, "");
    expect_bad(&request, "filter");
    request.filter = &everything;
    expect_bad(&request, "filter");
    request.filter = &of_queue(&q, "bad")->filter;
    request.limit = -1;
    expect_bad(&request, "limit");
    request.limit = 0;
    request.reason = text;
    expect_bad(&request, "reason");
    request.reason = (char *)"";
    request.request_id = text + 400; /* 101 bytes */
    expect_bad(&request, "request_id");
    request.request_id = (char *)"";
    request.page_token = (char *)"nonsense";
    expect_bad(&request, "page_token");
    request.page_token = (char *)"";
    q.filter.statuses = &failed;
    q.filter.n_statuses = 1;
    expect_bad(&request, "filter.statuses");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pending_and_running_jobs_are_cancelled_with_their_record),
        cmocka_unit_test(why_a_job_was_cancelled_stays_with_it),
        cmocka_unit_test(a_limit_leaves_the_rest_for_the_next_call),
        cmocka_unit_test(failed_jobs_are_retried_and_cancelled_ones_when_asked_for),
        cmocka_unit_test(a_retry_that_is_sent_again_is_done_once),
        cmocka_unit_test(one_job_is_steered_once_under_a_request_id),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
