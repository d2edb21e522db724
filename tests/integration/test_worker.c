/* WorkerService against a real joblogd: the stream with its credit, leases, cancels and drains. Leases run out
 * after a second here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
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

/* A spec with attempts, one millisecond apart. */
static Joblog__V1__JobSpec retried_spec(const char *name, int attempts)
{
    static Google__Protobuf__Duration backoff = GOOGLE__PROTOBUF__DURATION__INIT;
    static Joblog__V1__RetryPolicy policy = JOBLOG__V1__RETRY_POLICY__INIT;
    Joblog__V1__JobSpec spec = spec_of(name, name);
    backoff.nanos = 1000000;
    policy.max_attempts = attempts;
    policy.initial_backoff = &backoff;
    spec.retry_policy = &policy;
    return spec;
}

static void credit_is_respected(void **state)
{
    (void)state;
    Joblog__V1__JobSpec spec = spec_of("credit", "credit");
    int64_t ids[3];
    for (int i = 0; i < 3; i++)
        ids[i] = must_dispatch(channel, &spec);
    struct test_worker *w = worker_open(channel, "w", "credit", 2);
    struct test_lease a = worker_lease(w), b = worker_lease(w);
    assert_int_equal(a.job_id, ids[0]);
    assert_int_equal(b.job_id, ids[1]);
    assert_int_equal(worker_answer(w, worker_complete(w, a, ""), NULL), 0);
    assert_int_equal(worker_answer(w, worker_complete(w, b, ""), NULL), 0);
    /* Both are done, yet without credit the third job stays where it is. */
    assert_int_equal(worker_leases_read(w), 0);
    assert_int_equal(must_status(channel, ids[2]), PENDING);
    worker_credit(w, 1);
    struct test_lease c = worker_lease(w);
    assert_int_equal(c.job_id, ids[2]);
    assert_int_equal(worker_answer(w, worker_complete(w, c, ""), NULL), 0);
    assert_int_equal(worker_end(w, true, NULL), ERR_OK);
}

static void a_new_job_goes_to_a_waiting_worker(void **state)
{
    (void)state;
    struct test_worker *w = worker_open(channel, "w", "waiting", 10);
    Joblog__V1__JobSpec spec = spec_of("waiting", "waiting");
    for (int i = 0; i < 5; i++) {
        int64_t id = must_dispatch(channel, &spec);
        struct test_lease lease = worker_lease(w);
        assert_int_equal(lease.job_id, id);
        assert_int_equal(worker_answer(w, worker_complete(w, lease, "null"), NULL), 0);
    }
    worker_end(w, true, NULL);
}

static void a_failed_attempt_is_followed_by_another(void **state)
{
    (void)state;
    Joblog__V1__JobSpec spec = retried_spec("again", 2);
    int64_t id = must_dispatch(channel, &spec);
    struct test_worker *w = worker_open(channel, "w", "again", 2);
    struct test_lease first = worker_lease(w);
    assert_int_equal(
        worker_answer(w, worker_fail(w, first, "SmtpTimeout", "no answer", "at send\nat main", false), NULL), 0);
    struct test_lease second = worker_lease(w);
    assert_int_equal(second.job_id, id);
    assert_int_equal(second.job->attempt, 2);
    assert_true(second.token != first.token);
    /* The first attempt's token opens nothing any more. */
    assert_int_equal(worker_answer(w, worker_complete(w, first, ""), NULL), ERR_FAILED_PRECONDITION);
    assert_int_equal(must_status(channel, id), RUNNING);
    assert_int_equal(worker_answer(w, worker_complete(w, second, ""), NULL), 0);
    /* The same again, as after a lost answer. */
    assert_int_equal(worker_answer(w, worker_complete(w, second, ""), NULL), 0);
    worker_end(w, true, NULL);
    Joblog__V1__Job *job = call_get(channel, id, true, NULL);
    assert_int_equal(job->status, COMPLETED);
    assert_int_equal(job->n_attempts, 2);
    assert_int_equal(job->attempts[0]->outcome, JOBLOG__V1__ATTEMPT__OUTCOME__OUTCOME_FAILED);
    assert_string_equal(job->attempts[0]->error->type, "SmtpTimeout");
    assert_string_equal(job->attempts[0]->error->stack_trace, "at send\nat main");
    assert_int_equal(job->attempts[1]->outcome, JOBLOG__V1__ATTEMPT__OUTCOME__OUTCOME_COMPLETED);
    job_free(job);
}

static void no_retry_means_failed(void **state)
{
    (void)state;
    Joblog__V1__JobSpec spec = retried_spec("no_retry", 5);
    int64_t id = must_dispatch(channel, &spec);
    struct test_worker *w = worker_open(channel, "w", "no_retry", 1);
    struct test_lease lease = worker_lease(w);
    assert_int_equal(worker_answer(w, worker_fail(w, lease, "BadAddress", "never", "", true), NULL), 0);
    worker_end(w, true, NULL);
    assert_int_equal(must_status(channel, id), FAILED);
}

static void a_release_does_not_count(void **state)
{
    (void)state;
    Joblog__V1__JobSpec spec = spec_of("release", "release");
    int64_t id = must_dispatch(channel, &spec);
    struct test_worker *w = worker_open(channel, "w", "release", 2);
    struct test_lease lease = worker_lease(w);
    assert_int_equal(worker_answer(w, worker_release(w, lease), NULL), 0);
    lease = worker_lease(w);
    assert_int_equal(lease.job_id, id);
    /* One attempt was allowed, and this is one. */
    assert_int_equal(worker_answer(w, worker_complete(w, lease, ""), NULL), 0);
    worker_end(w, true, NULL);
    Joblog__V1__Job *job = call_get(channel, id, true, NULL);
    assert_int_equal(job->status, COMPLETED);
    assert_int_equal(job->attempts[0]->outcome, JOBLOG__V1__ATTEMPT__OUTCOME__OUTCOME_RELEASED);
    job_free(job);
}

static void a_running_job_is_cancelled_by_its_worker(void **state)
{
    (void)state;
    struct err err;
    Joblog__V1__JobSpec spec = retried_spec("stop", 3);
    int64_t id = must_dispatch(channel, &spec);
    struct test_worker *w = worker_open(channel, "w", "stop", 1);
    struct test_lease lease = worker_lease(w);
    /* Nobody asked: refused. */
    assert_string_equal(worker_refusal(w, worker_followed_cancel(w, lease)), "CANCEL_NOT_REQUESTED");
    assert_int_equal(must_status(channel, id), RUNNING);
    Joblog__V1__Job *job = call_cancel(channel, id, "too late", &err);
    assert_non_null(job);
    assert_int_equal(job->status, RUNNING);
    assert_string_equal(job->cancel_request->reason, "too late");
    job_free(job);
    Joblog__V1__CancelLease cancel = worker_cancel(w);
    assert_int_equal(cancel.job_id, id);
    assert_int_equal(cancel.lease_token, lease.token);
    assert_string_equal(cancel.cancel_request->reason, "too late");
    assert_string_equal(cancel.cancel_request->actor, server_fixture_actor(server));
    assert_int_equal(worker_answer(w, worker_followed_cancel(w, lease), NULL), 0);
    worker_end(w, true, NULL);
    job = call_get(channel, id, true, NULL);
    assert_int_equal(job->status, CANCELLED);
    assert_int_equal(job->attempts[0]->outcome, JOBLOG__V1__ATTEMPT__OUTCOME__OUTCOME_CANCELLED);
    assert_string_equal(job->transitions[2]->actor, server_fixture_actor(server));
    assert_string_equal(job->transitions[2]->reason, "too late");
    job_free(job);
}

static void a_cut_stream_gives_the_job_to_another(void **state)
{
    (void)state;
    struct err err;
    Joblog__V1__JobSpec spec = retried_spec("cut", 2);
    int64_t id = must_dispatch(channel, &spec);
    struct test_worker *a = worker_open(channel, "a", "cut", 1), *b = worker_open(channel, "b", "cut", 0);
    struct test_lease old = worker_lease(a);
    worker_keep_alive(b);
    worker_credit(b, 1);
    worker_cut(a);
    struct test_lease lease = worker_lease(b);
    assert_int_equal(lease.job_id, id);
    assert_int_equal(lease.job->attempt, 2);
    /* The old attempt is fenced off. */
    Joblog__V1__CompleteJobRequest request = JOBLOG__V1__COMPLETE_JOB_REQUEST__INIT;
    Joblog__V1__Job *job = NULL;
    request.job_id = id;
    request.lease_token = old.token;
    joblog_v1_worker_service_complete_job(channel, NULL, &request, &job, &err);
    assert_null(job);
    assert_int_equal(err.code, ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "LEASE_LOST");
    assert_int_equal(worker_answer(b, worker_complete(b, lease, "1"), NULL), 0);
    worker_end(b, true, NULL);
    job = call_get(channel, id, true, NULL);
    assert_int_equal(job->status, COMPLETED);
    assert_string_equal(job->worker, "b");
    assert_int_equal(job->attempts[0]->outcome, JOBLOG__V1__ATTEMPT__OUTCOME__OUTCOME_LOST);
    job_free(job);
}

static void a_silent_worker_loses_its_lease(void **state)
{
    (void)state;
    Joblog__V1__JobSpec spec = spec_of("silent", "silent");
    int64_t id = must_dispatch(channel, &spec);
    struct test_worker *w = worker_open(channel, "deaf", "silent", 1);
    struct test_lease lease = worker_lease(w);
    /* It says nothing until the server takes the lease away. */
    Joblog__V1__CancelLease lost = worker_cancel(w);
    assert_int_equal(lost.job_id, id);
    assert_int_equal(lost.lease_token, lease.token);
    assert_null(lost.cancel_request);
    uint64_t late = worker_complete(w, lease, "");
    assert_int_equal(worker_answer(w, late, NULL), ERR_FAILED_PRECONDITION);
    assert_string_equal(worker_refusal(w, late), "LEASE_LOST");
    worker_end(w, true, NULL);
    Joblog__V1__Job *job = call_get(channel, id, true, NULL);
    assert_int_equal(job->status, FAILED);
    assert_int_equal(job->attempts[0]->outcome, JOBLOG__V1__ATTEMPT__OUTCOME__OUTCOME_LOST);
    job_free(job);
}

static void a_draining_worker_finishes_and_leaves(void **state)
{
    (void)state;
    Joblog__V1__JobSpec spec = spec_of("drain", "drain");
    int64_t first = must_dispatch(channel, &spec), second = must_dispatch(channel, &spec);
    struct test_worker *w = worker_open(channel, "w", "drain", 1);
    struct test_lease lease = worker_lease(w);
    worker_draining(w);
    uint64_t write = worker_complete(w, lease, "");
    assert_int_equal(worker_answer(w, write, NULL), 0);
    /* The server ends the stream by itself. */
    assert_int_equal(worker_end(w, false, NULL), ERR_OK);
    assert_int_equal(must_status(channel, first), COMPLETED);
    assert_int_equal(must_status(channel, second), PENDING);
    job_free(call_cancel(channel, second, "", NULL));
}

static void a_worker_that_leaves_in_order_gives_its_jobs_back(void **state)
{
    (void)state;
    Joblog__V1__JobSpec spec = spec_of("leaves", "leaves");
    int64_t id = must_dispatch(channel, &spec);
    struct test_worker *w = worker_open(channel, "w", "leaves", 1);
    worker_lease(w);
    worker_draining(w);
    assert_int_equal(worker_end(w, true, NULL), ERR_OK);
    assert_int_equal(must_status(channel, id), PENDING);
    w = worker_open(channel, "w", "leaves", 1);
    assert_int_equal(worker_answer(w, worker_complete(w, worker_lease(w), ""), NULL), 0);
    worker_end(w, true, NULL);
    assert_int_equal(must_status(channel, id), COMPLETED);
}

static void a_wrong_write_is_refused_and_the_stream_lives(void **state)
{
    (void)state;
    Joblog__V1__JobSpec spec = spec_of("wrong", "wrong");
    int64_t id = must_dispatch(channel, &spec);
    struct test_worker *w = worker_open(channel, "w", "wrong", 1);
    struct test_lease lease = worker_lease(w);
    const char *why = NULL;
    assert_int_equal(worker_answer(w, worker_complete(w, lease, "{\"a\":"), &why), ERR_INVALID_ARGUMENT);
    assert_true(why[0] != 0);
    assert_string_equal(worker_refusal(w, worker_progress(w, lease, 1, 2, "", "[1]")), "INVALID_ARGUMENT");
    assert_int_equal(worker_answer(w, worker_progress(w, lease, -1, 2, "", ""), NULL), ERR_INVALID_ARGUMENT);
    assert_int_equal(must_status(channel, id), RUNNING);
    assert_int_equal(worker_answer(w, worker_complete(w, lease, "{}"), NULL), 0);
    worker_end(w, true, NULL);
}

/* A lease carries the whole payload: it must stay within what a worker takes in one message. */
static void a_payload_does_not_grow_without_end(void **state)
{
    (void)state;
    enum { PATCH = 250 * 1024 };
    Joblog__V1__JobSpec spec = spec_of("grows", "grows");
    int64_t id = must_dispatch(channel, &spec);
    struct test_worker *w = worker_open(channel, "w", "grows", 1);
    struct test_lease lease = worker_lease(w);
    char *patch = malloc(PATCH + 50);
    for (int i = 0; i < 20; i++) {
        int n = sprintf(patch, "{\"key %d\": \"", i);
        memset(patch + n, 'x', PATCH - 20);
        strcpy(patch + n + PATCH - 20, "\"}");
        int answer = worker_answer(w, worker_progress(w, lease, 1, 2, "", patch), NULL);
        assert_int_equal(answer, i < 4 ? 0 : ERR_INVALID_ARGUMENT);
    }
    free(patch);
    /* What was there can still be changed, and read. */
    assert_int_equal(worker_answer(w, worker_progress(w, lease, 1, 2, "", "{\"key 0\": 1}"), NULL), 0);
    assert_int_equal(worker_answer(w, worker_release(w, lease), NULL), 0);
    worker_credit(w, 1);
    lease = worker_lease(w);
    assert_int_equal(lease.job_id, id);
    assert_true(strlen(lease.job->payload) > 3 * (PATCH - 20));
    assert_int_equal(worker_answer(w, worker_complete(w, lease, "{}"), NULL), 0);
    worker_end(w, true, NULL);
}

static void many_writes_in_one_message(void **state)
{
    (void)state;
    enum { N = 300 };
    static int64_t ids[N];
    static Joblog__V1__WorkerWrite writes[N], *pointers[N];
    static Joblog__V1__CompleteWrite complete = JOBLOG__V1__COMPLETE_WRITE__INIT;
    Joblog__V1__JobSpec spec = spec_of("many", "many");
    for (int i = 0; i < N; i++)
        ids[i] = must_dispatch(channel, &spec);
    struct test_worker *w = worker_open(channel, "w", "many", N);
    for (int i = 0; i < N; i++) {
        struct test_lease lease = worker_lease(w);
        joblog__v1__worker_write__init(&writes[i]);
        writes[i].write_id = (uint64_t)i == N - 1 ? 7 : 0; /* only the last wants an answer */
        writes[i].job_id = lease.job_id;
        writes[i].lease_token = lease.token;
        writes[i].write_case = JOBLOG__V1__WORKER_WRITE__WRITE_COMPLETE;
        writes[i].complete = &complete;
        pointers[i] = &writes[i];
    }
    Joblog__V1__WorkRequest request = JOBLOG__V1__WORK_REQUEST__INIT;
    request.writes = pointers;
    request.n_writes = N;
    worker_send(w, &request);
    assert_int_equal(worker_answer(w, 7, NULL), 0);
    assert_int_equal(worker_end(w, true, NULL), ERR_OK);
    for (int i = 0; i < N; i++)
        assert_int_equal(must_status(channel, ids[i]), COMPLETED);
}

/* Progress alone is taken at once, with a patch when that is durable; an old report does not come out on top for it. */
static void writes_about_one_job_keep_their_order(void **state)
{
    (void)state;
    static const char *const patches[] = {"{\"a\":1}", "", "{\"b\":1}", ""};
    Joblog__V1__WorkerWrite writes[5], *pointers[5];
    Joblog__V1__ProgressWrite reports[4];
    Joblog__V1__Progress values[4];
    Joblog__V1__CompleteWrite complete = JOBLOG__V1__COMPLETE_WRITE__INIT;
    Joblog__V1__WorkRequest request = JOBLOG__V1__WORK_REQUEST__INIT;
    Joblog__V1__JobSpec spec = spec_of("order", "order");
    int64_t id = must_dispatch(channel, &spec);
    struct test_worker *w = worker_open(channel, "w", "order", 1);
    struct test_lease lease = worker_lease(w);
    for (int i = 0; i < 5; i++) {
        joblog__v1__worker_write__init(&writes[i]);
        writes[i].write_id = 100 + (uint64_t)i;
        writes[i].job_id = lease.job_id;
        writes[i].lease_token = lease.token;
        pointers[i] = &writes[i];
        if (i == 4)
            break;
        joblog__v1__progress__init(&values[i]);
        joblog__v1__progress_write__init(&reports[i]);
        values[i].done = i + 1;
        values[i].total = 4;
        reports[i].progress = &values[i];
        reports[i].payload_patch = (char *)patches[i];
        writes[i].write_case = JOBLOG__V1__WORKER_WRITE__WRITE_PROGRESS;
        writes[i].progress = &reports[i];
    }
    writes[4].write_case = JOBLOG__V1__WORKER_WRITE__WRITE_COMPLETE;
    writes[4].complete = &complete;
    request.writes = pointers;
    request.n_writes = 5;
    worker_send(w, &request);
    for (int i = 0; i < 5; i++)
        assert_int_equal(worker_answer(w, writes[i].write_id, NULL), 0);
    worker_end(w, true, NULL);
    Joblog__V1__Job *job = call_get(channel, id, true, NULL);
    assert_int_equal(job->progress->done, 4);
    assert_string_equal(job->payload, "{\"a\": 1, \"b\": 1}");
    job_free(job);
}

/* Opens the stream with a first message and gives the status that it ends with. */
static void expect_stream_error(const Joblog__V1__WorkRequest *first, const Joblog__V1__WorkRequest *second,
                                const char *field)
{
    static const struct crpc_call_options options = {.timeout_ms = CALL_TIMEOUT_MS};
    struct err err = ERR_NONE;
    struct crpc_stream *stream = joblog_v1_worker_service_work_open(channel, &options, &err);
    assert_non_null(stream);
    assert_int_equal(joblog_v1_worker_service_work_write(stream, first, &err), 0);
    if (second)
        joblog_v1_worker_service_work_write(stream, second, &err);
    Joblog__V1__WorkResponse *m = NULL;
    int rc;
    while ((rc = joblog_v1_worker_service_work_read(stream, &m, &err)) == 1)
        crpc_message_free(&m->base);
    assert_int_equal(rc, -ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, field);
    crpc_stream_free(stream);
}

static void who_breaks_the_protocol_is_cut_off(void **state)
{
    (void)state;
    Joblog__V1__WorkRequest empty = JOBLOG__V1__WORK_REQUEST__INIT, first = empty, second = empty;
    Joblog__V1__WorkerHello hello = JOBLOG__V1__WORKER_HELLO__INIT;
    char *queue = (char *)"protocol";
    hello.queues = &queue;
    hello.n_queues = 1;
    expect_stream_error(&empty, NULL, "hello");
    first.hello = &hello;
    expect_stream_error(&first, NULL, "hello.name");
    hello.name = (char *)"w";
    queue = (char *)"joblog.exports";
    expect_stream_error(&first, NULL, "hello.queues");
    queue = (char *)"protocol";
    expect_stream_error(&first, &first, "hello");
    second.add_credit = -1;
    expect_stream_error(&first, &second, "add_credit");
    second.add_credit = 10001;
    expect_stream_error(&first, &second, "add_credit");
    second.add_credit = 0;
    Joblog__V1__WorkerWrite nothing = JOBLOG__V1__WORKER_WRITE__INIT, *writes[] = {&nothing};
    second.writes = writes;
    second.n_writes = 1;
    expect_stream_error(&first, &second, "writes[0].write");
}

/* ---- the server goes down ---- */

static void a_stopping_server_lets_workers_finish(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    struct server_fixture *other = server_fixture_start(NULL);
    assert_non_null(other);
    struct crpc_channel *to_other = channel_open(other, NULL);
    Joblog__V1__JobSpec spec = spec_of("last", "last");
    int64_t id = must_dispatch(to_other, &spec);
    struct test_worker *w = worker_open(to_other, "w", "last", 2), *idle = worker_open(to_other, "idle", "idle", 1);
    struct test_lease lease = worker_lease(w);
    struct crpc_stream *watch = must_watch(to_other, id, 0, false);
    Joblog__V1__WatchJobResponse *m = watch_next(watch, &err);
    assert_non_null(m);
    crpc_message_free(&m->base);

    server_fixture_terminate(other);
    worker_drain(w);
    assert_null(watch_next(watch, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    assert_string_equal(err.reason, "SERVER_DRAINING");
    assert_int_equal(worker_end(idle, false, NULL), ERR_OK);
    assert_int_equal(worker_answer(w, worker_complete(w, lease, "1"), NULL), 0);
    assert_int_equal(worker_end(w, false, NULL), ERR_OK);
    crpc_stream_free(watch);
    assert_int_equal(server_fixture_wait(other), 0);

    /* What it acknowledged is there when it comes back. */
    assert_true(server_fixture_restart(other));
    assert_int_equal(must_status(to_other, id), COMPLETED);
    crpc_channel_free(to_other);
    server_fixture_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(credit_is_respected),
        cmocka_unit_test(a_new_job_goes_to_a_waiting_worker),
        cmocka_unit_test(a_failed_attempt_is_followed_by_another),
        cmocka_unit_test(no_retry_means_failed),
        cmocka_unit_test(a_release_does_not_count),
        cmocka_unit_test(a_running_job_is_cancelled_by_its_worker),
        cmocka_unit_test(a_cut_stream_gives_the_job_to_another),
        cmocka_unit_test(a_silent_worker_loses_its_lease),
        cmocka_unit_test(a_draining_worker_finishes_and_leaves),
        cmocka_unit_test(a_worker_that_leaves_in_order_gives_its_jobs_back),
        cmocka_unit_test(a_wrong_write_is_refused_and_the_stream_lives),
        cmocka_unit_test(a_payload_does_not_grow_without_end),
        cmocka_unit_test(many_writes_in_one_message),
        cmocka_unit_test(writes_about_one_job_keep_their_order),
        cmocka_unit_test(who_breaks_the_protocol_is_cut_off),
        cmocka_unit_test(a_stopping_server_lets_workers_finish),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
