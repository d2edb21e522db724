/* A StartJob that is repeated, against a real joblogd: who gets the lease again, and who is told that the work is
 * another's. */
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

static struct server_fixture *server;
static struct crpc_channel *channel;

static int setup(void **state)
{
    (void)state;
    server = server_fixture_start(NULL);
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

struct starts {
    const char *request_id, *run_id, *worker;
    int32_t max_attempts;
};

/* One job of one queue; NULL and *ret_err when refused. */
static Joblog__V1__StartJobResponse *start_run(struct starts how, struct err *ret_err)
{
    Joblog__V1__StartJobRequest request = JOBLOG__V1__START_JOB_REQUEST__INIT;
    Joblog__V1__StartJobResponse *response = NULL;
    Joblog__V1__RetryPolicy policy = JOBLOG__V1__RETRY_POLICY__INIT;
    Google__Protobuf__Duration backoff = GOOGLE__PROTOBUF__DURATION__INIT;
    Joblog__V1__JobSpec spec = spec_of("run", *how.request_id ? how.request_id : "free");
    policy.max_attempts = how.max_attempts;
    policy.initial_backoff = &backoff;
    spec.retry_policy = &policy;
    request.job = &spec;
    request.request_id = (char *)how.request_id;
    request.run_id = (char *)how.run_id;
    request.worker = (char *)how.worker;
    joblog_v1_worker_service_start_job(channel, NULL, &request, &response, ret_err);
    return response;
}

static void expect_repeat(const Joblog__V1__StartJobResponse *first, struct starts how, bool lease, bool same_run)
{
    struct err err = ERR_NONE;
    Joblog__V1__StartJobResponse *again = start_run(how, &err);
    assert_non_null(again);
    assert_int_equal(again->job->id, first->job->id);
    assert_int_equal(again->job->status, RUNNING);
    assert_true(again->replayed);
    assert_int_equal(again->same_run, same_run);
    assert_int_equal(again->lease_token, lease ? first->lease_token : 0);
    crpc_message_free(&again->base);
}

static void complete(const Joblog__V1__StartJobResponse *started, int64_t token)
{
    Joblog__V1__CompleteJobRequest request = JOBLOG__V1__COMPLETE_JOB_REQUEST__INIT;
    Joblog__V1__CompleteWrite write = JOBLOG__V1__COMPLETE_WRITE__INIT;
    Joblog__V1__Job *job = NULL;
    struct err err = ERR_NONE;
    request.job_id = started->job->id;
    request.lease_token = token;
    request.complete = &write;
    assert_int_equal(joblog_v1_worker_service_complete_job(channel, NULL, &request, &job, &err), 0);
    assert_int_equal(job->status, COMPLETED);
    job_free(job);
}

static void expect_reused(struct starts how)
{
    struct err err = ERR_NONE;
    assert_null(start_run(how, &err));
    assert_int_equal(err.code, ERR_ALREADY_EXISTS);
    assert_string_equal(err.reason, "REQUEST_ID_REUSED");
}

/* Only the run that began it has the lease, whatever program it says it is; without names of runs, every repeat. */
static void a_run_with_a_name_has_its_lease_alone(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    struct starts named = {"named", "run-1", "billing-1", 60}, other = {"named", "run-2", "billing-2", 60};
    struct starts none = {"named", "", "billing-1", 60}, changed = {"named", "run-1", "billing-1", 61};
    Joblog__V1__StartJobResponse *first = start_run(named, &err);
    assert_non_null(first);
    assert_false(first->replayed);
    assert_false(first->same_run);
    assert_true(first->lease_token != 0);
    expect_repeat(first, named, true, true);
    expect_repeat(first, other, false, false);
    expect_repeat(first, named, true, true);
    expect_reused(none);
    expect_reused(changed);
    complete(first, first->lease_token);
    crpc_message_free(&first->base);

    struct starts unnamed = {"unnamed", "", "billing-1", 60}, late = {"unnamed", "run-1", "billing-1", 60};
    first = start_run(unnamed, &err);
    assert_non_null(first);
    expect_repeat(first, unnamed, true, false);
    expect_reused(late);
    complete(first, first->lease_token);
    crpc_message_free(&first->base);

    char long_id[130];
    memset(long_id, 'x', sizeof long_id - 1);
    long_id[sizeof long_id - 1] = '\0';
    assert_null(start_run((struct starts){"too-long", long_id, "", 1}, &err));
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "run_id");

    /* Without a request id nothing is a repeat. */
    struct starts free_one = {"", "run-1", "billing-1", 1};
    Joblog__V1__StartJobResponse *one = start_run(free_one, &err), *two = start_run(free_one, &err);
    assert_non_null(one);
    assert_non_null(two);
    assert_true(one->job->id != two->job->id);
    assert_false(two->replayed);
    complete(one, one->lease_token);
    complete(two, two->lease_token);
    crpc_message_free(&one->base);
    crpc_message_free(&two->base);
}

/* An attempt that followed is another's, also where its worker speaks by unary calls. */
static void a_repeated_start_gets_no_later_attempt(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    const char *run_ids[] = {"run-1", ""};
    for (size_t i = 0; i < 2; i++) {
        struct starts how = {i == 0 ? "later" : "later-unnamed", run_ids[i], "billing-1", 3};
        Joblog__V1__StartJobResponse *first = start_run(how, &err), *again;
        assert_non_null(first);
        Joblog__V1__FailJobRequest fail = JOBLOG__V1__FAIL_JOB_REQUEST__INIT;
        Joblog__V1__FailWrite failure = JOBLOG__V1__FAIL_WRITE__INIT;
        Joblog__V1__Job *job = NULL;
        fail.job_id = first->job->id;
        fail.lease_token = first->lease_token;
        fail.fail = &failure;
        assert_int_equal(joblog_v1_worker_service_fail_job(channel, NULL, &fail, &job, &err), 0);
        assert_int_equal(job->status, PENDING);
        job_free(job);
        struct test_worker *worker = worker_open(channel, "another", how.request_id, 1);
        struct test_lease lease = worker_lease(worker);
        assert_int_equal(lease.job_id, first->job->id);
        worker_cut(worker);
        Joblog__V1__ReportProgressRequest report = JOBLOG__V1__REPORT_PROGRESS_REQUEST__INIT;
        Joblog__V1__ReportProgressResponse *reported = NULL;
        report.job_id = lease.job_id;
        report.lease_token = lease.token;
        assert_int_equal(joblog_v1_worker_service_report_progress(channel, NULL, &report, &reported, &err), 0);
        crpc_message_free(&reported->base);
        again = start_run(how, &err);
        assert_non_null(again);
        assert_int_equal(again->job->id, first->job->id);
        assert_int_equal(again->job->status, RUNNING);
        assert_int_equal(again->job->attempt, 2);
        assert_int_equal(again->lease_token, 0);
        assert_true(again->replayed);
        assert_int_equal(again->same_run, i == 0);
        complete(first, lease.token);
        crpc_message_free(&first->base);
        crpc_message_free(&again->base);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_with_a_name_has_its_lease_alone),
        cmocka_unit_test(a_repeated_start_gets_no_later_attempt),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
