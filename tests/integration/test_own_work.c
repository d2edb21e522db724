/* StartJob, ReportProgress, CompleteJob and FailJob against a real joblogd: a service that runs its own work and wants
 * it logged. Leases run out after a second here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "support/calls.h"
#include "support/channel.h"
#include "support/server_fixture.h"

#define PENDING   JOBLOG__V1__JOB_STATUS__JOB_STATUS_PENDING
#define RUNNING   JOBLOG__V1__JOB_STATUS__JOB_STATUS_RUNNING
#define COMPLETED JOBLOG__V1__JOB_STATUS__JOB_STATUS_COMPLETED
#define FAILED    JOBLOG__V1__JOB_STATUS__JOB_STATUS_FAILED
#define CANCELLED JOBLOG__V1__JOB_STATUS__JOB_STATUS_CANCELLED

static const char *const server_args[] = {"--lease-timeout-ms=1000", NULL};
static struct server_fixture *server;
static struct crpc_channel *channel;

static int setup(void **state)
{
    (void)state;
    server = server_fixture_start(&(struct server_fixture_options){.args = server_args});
    if (server)
        channel = channel_open(server, NULL);
    return channel ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    crpc_channel_free(channel);
    int code = server ? server_fixture_stop(server) : -1;
    server_fixture_free(server);
    return code;
}

static Joblog__V1__StartJobResponse *start_job(const char *name, const char *request_id, struct err *ret_err)
{
    Joblog__V1__StartJobRequest request = JOBLOG__V1__START_JOB_REQUEST__INIT;
    Joblog__V1__StartJobResponse *response = NULL;
    Joblog__V1__JobSpec spec = spec_of(name, name);
    spec.payload = (char *)"{\"invoice\": 17}";
    request.job = &spec;
    request.worker = (char *)"billing-1";
    request.request_id = (char *)request_id;
    joblog_v1_worker_service_start_job(channel, NULL, &request, &response, ret_err);
    return response;
}

/* The job as it is then; it must be taken. */
static Joblog__V1__Job *complete_job(const Joblog__V1__StartJobResponse *started, const char *result)
{
    Joblog__V1__CompleteJobRequest request = JOBLOG__V1__COMPLETE_JOB_REQUEST__INIT;
    Joblog__V1__CompleteWrite write = JOBLOG__V1__COMPLETE_WRITE__INIT;
    Joblog__V1__Job *job = NULL;
    struct err err = ERR_NONE;
    write.result = (char *)result;
    request.job_id = started->job->id;
    request.lease_token = started->lease_token;
    request.complete = &write;
    assert_int_equal(joblog_v1_worker_service_complete_job(channel, NULL, &request, &job, &err), 0);
    return job;
}

static void own_work_is_logged(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    Joblog__V1__StartJobResponse *started = start_job("invoice", "", &err);
    assert_non_null(started);
    assert_int_equal(started->job->status, RUNNING);
    assert_string_equal(started->job->worker, "billing-1");
    assert_int_equal(started->lease_timeout->seconds, 1);

    Joblog__V1__ReportProgressRequest report = JOBLOG__V1__REPORT_PROGRESS_REQUEST__INIT;
    Joblog__V1__ReportProgressResponse *reported = NULL;
    Joblog__V1__FailJobRequest fail = JOBLOG__V1__FAIL_JOB_REQUEST__INIT;
    Joblog__V1__ProgressWrite progress = JOBLOG__V1__PROGRESS_WRITE__INIT;
    Joblog__V1__Progress values = JOBLOG__V1__PROGRESS__INIT;
    values.percent = 40;
    progress.progress = &values;
    report.job_id = started->job->id;
    report.lease_token = started->lease_token;
    report.progress = &progress;
    assert_int_equal(joblog_v1_worker_service_report_progress(channel, NULL, &report, &reported, &err), 0);
    assert_null(reported->cancel_request);
    crpc_message_free(&reported->base);
    job_free(call_cancel(channel, started->job->id, "stop it", NULL));
    assert_int_equal(joblog_v1_worker_service_report_progress(channel, NULL, &report, &reported, &err), 0);
    assert_string_equal(reported->cancel_request->reason, "stop it");
    crpc_message_free(&reported->base);

    /* It had finished already, and says so. */
    Joblog__V1__Job *job = complete_job(started, "{\"invoices\": 3}");
    assert_int_equal(job->status, COMPLETED);
    job_free(job);
    /* A second time, as after a lost answer: the same. Another end is none of this lease's any more. */
    job = complete_job(started, "{\"invoices\": 3}");
    assert_int_equal(job->status, COMPLETED);
    job_free(job);
    fail.job_id = started->job->id;
    fail.lease_token = started->lease_token;
    assert_int_equal(joblog_v1_worker_service_fail_job(channel, NULL, &fail, &job, &err), -ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "LEASE_LOST");
    crpc_message_free(&started->base);
}

static void own_work_fails(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    Joblog__V1__StartJobResponse *started = start_job("invoice_fails", "", &err);
    assert_non_null(started);
    Joblog__V1__FailJobRequest request = JOBLOG__V1__FAIL_JOB_REQUEST__INIT;
    Joblog__V1__FailWrite failure = JOBLOG__V1__FAIL_WRITE__INIT;
    Joblog__V1__JobError error = JOBLOG__V1__JOB_ERROR__INIT;
    Joblog__V1__Job *job = NULL;
    error.type = (char *)"DiskFull";
    error.message = (char *)"no room";
    failure.error = &error;
    request.job_id = started->job->id;
    request.lease_token = started->lease_token;
    request.fail = &failure;
    assert_int_equal(joblog_v1_worker_service_fail_job(channel, NULL, &request, &job, &err), 0);
    assert_int_equal(job->status, FAILED);
    assert_string_equal(job->error->type, "DiskFull");
    job_free(job);
    crpc_message_free(&started->base);
}

static void a_repeated_start_gives_the_same_lease(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    Joblog__V1__StartJobResponse *first = start_job("start_once", "start-1", &err);
    Joblog__V1__StartJobResponse *again = start_job("start_once", "start-1", &err);
    assert_non_null(first);
    assert_non_null(again);
    assert_int_equal(first->job->id, again->job->id);
    assert_int_equal(first->lease_token, again->lease_token);
    /* With what a handler needs, as any lease, and without the history. */
    assert_string_equal(first->job->payload, "{\"invoice\": 17}");
    assert_string_equal(again->job->payload, "{\"invoice\": 17}");
    assert_int_equal(again->job->n_attempts, 0);
    assert_int_equal(again->job->n_transitions, 0);
    crpc_message_free(&again->base);

    job_free(complete_job(first, "3"));
    again = start_job("start_once", "start-1", &err);
    assert_non_null(again);
    assert_int_equal(again->job->status, COMPLETED);
    assert_int_equal(again->lease_token, 0);
    assert_string_equal(again->job->result, "3");
    crpc_message_free(&first->base);
    crpc_message_free(&again->base);
}

static void own_work_that_goes_silent_is_lost(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    Joblog__V1__StartJobResponse *started = start_job("vanish", "", &err);
    assert_non_null(started);
    struct crpc_stream *watch = must_watch(channel, started->job->id, started->job->revision, false);
    Joblog__V1__WatchJobResponse *m = watch_next(watch, &err);
    assert_non_null(m);
    assert_int_equal(m->job->status, FAILED);
    crpc_message_free(&m->base);
    assert_null(watch_next(watch, &err));
    assert_int_equal(err.code, ERR_OK);
    crpc_stream_free(watch);
    crpc_message_free(&started->base);
}

/* Only the server dispatches and runs the jobs that run within it: an export has an owner that nobody may forge. */
static void the_servers_own_names_are_refused(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    Joblog__V1__JobSpec name = spec_of("joblog.export", "q"), queue = spec_of("export", "joblog.exports");
    assert_null(call_dispatch(channel, &name, NULL, &err));
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "job.job_name");
    assert_null(call_dispatch(channel, &queue, NULL, &err));
    assert_string_equal(err.field, "job.queue");
    assert_null(start_job("joblog.export", "", &err));
    assert_string_equal(err.field, "job.job_name");
    Joblog__V1__JobSpec near = spec_of("joblog", "joblogs");
    assert_true(must_dispatch(channel, &near) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_servers_own_names_are_refused),
        cmocka_unit_test(own_work_is_logged),
        cmocka_unit_test(own_work_fails),
        cmocka_unit_test(a_repeated_start_gives_the_same_lease),
        cmocka_unit_test(own_work_that_goes_silent_is_lost),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
