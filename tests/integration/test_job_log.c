/* JobLogService against a real joblogd: one job: dispatch, look, watch, steer. Reads like transcripts; each
 * test has a queue of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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

/* Next message of a watch: status and percent. Gives the revision. */
static int64_t expect_state(struct crpc_stream *watch, Joblog__V1__JobStatus status, double percent)
{
    struct err err;
    Joblog__V1__WatchJobResponse *m = watch_next(watch, &err);
    if (!m)
        fail_msg("the watch has ended: %s %s", err_code_name((int)err.code), err.msg);
    assert_int_equal(m->job->status, status);
    assert_true((m->job->progress ? m->job->progress->percent : 0) == percent);
    int64_t revision = m->job->revision;
    crpc_message_free(&m->base);
    return revision;
}

static void expect_end(struct crpc_stream *watch)
{
    struct err err;
    assert_null(watch_next(watch, &err));
    assert_int_equal(err.code, ERR_OK);
    crpc_stream_free(watch);
}

static void life_of_a_job_seen_by_a_watch(void **state)
{
    (void)state;
    Joblog__V1__JobSpec spec = spec_of("send_newsletter", "life");
    Joblog__V1__Source source = JOBLOG__V1__SOURCE__INIT;
    source.type = (char *)"User";
    source.id = (char *)"42";
    spec.source = &source;
    spec.owner = (char *)"ana";
    spec.payload = (char *)"{\"edition\": 7}";
    int64_t id = must_dispatch(channel, &spec);
    struct crpc_stream *watch = must_watch(channel, id, 0, false);
    int64_t pending = expect_state(watch, PENDING, 0);

    struct test_worker *worker = worker_open(channel, "mailer-1", "life", 1);
    struct test_lease lease = worker_lease(worker);
    assert_int_equal(lease.job_id, id);
    assert_string_equal(lease.job->job_name, "send_newsletter");
    assert_string_equal(lease.job->payload, "{\"edition\": 7}");
    assert_string_equal(lease.job->source->type, "User");
    assert_int_equal(lease.job->attempt, 1);
    int64_t running = expect_state(watch, RUNNING, 0);
    assert_true(running > pending);

    assert_int_equal(worker_answer(worker, worker_progress(worker, lease, 1, 4, "sending", "{\"sent\": 1}"), NULL), 0);
    int64_t quarter = expect_state(watch, RUNNING, 25);
    assert_true(quarter > running);
    assert_int_equal(worker_answer(worker, worker_complete(worker, lease, "[1, 2]"), NULL), 0);
    int64_t completed = expect_state(watch, COMPLETED, 25);
    assert_true(completed > quarter);
    expect_end(watch);
    assert_int_equal(worker_end(worker, true, NULL), 0);

    /* The record. */
    Joblog__V1__Job *job = call_get(channel, id, true, NULL);
    assert_non_null(job);
    assert_int_equal(job->status, COMPLETED);
    assert_int_equal(job->revision, completed);
    assert_string_equal(job->owner, "ana");
    assert_string_equal(job->worker, "mailer-1");
    assert_string_equal(job->result, "[1, 2]");
    assert_non_null(strstr(job->payload, "edition"));
    assert_non_null(strstr(job->payload, "sent"));
    assert_non_null(job->create_time);
    assert_non_null(job->start_time);
    assert_non_null(job->end_time);
    assert_non_null(job->execution_duration);
    assert_non_null(job->wait_duration);
    assert_int_equal(job->n_attempts, 1);
    assert_int_equal(job->attempts[0]->outcome, JOBLOG__V1__ATTEMPT__OUTCOME__OUTCOME_COMPLETED);
    assert_string_equal(job->attempts[0]->worker, "mailer-1");
    assert_int_equal(job->n_transitions, 3);
    assert_int_equal(job->transitions[0]->to_status, PENDING);
    assert_string_equal(job->transitions[0]->actor, server_fixture_actor(server));
    assert_int_equal(job->transitions[2]->from_status, RUNNING);
    assert_int_equal(job->transitions[2]->to_status, COMPLETED);
    assert_string_equal(job->transitions[2]->actor, "worker:mailer-1");
    job_free(job);

    /* BASIC leaves the big parts out. */
    job = call_get(channel, id, false, NULL);
    assert_string_equal(job->payload, "");
    assert_string_equal(job->result, "");
    assert_int_equal(job->n_attempts, 0);
    assert_int_equal(job->n_transitions, 0);
    job_free(job);
}

static void a_watch_resumes_after_a_revision(void **state)
{
    (void)state;
    Joblog__V1__JobSpec spec = spec_of("resume", "resume");
    int64_t id = must_dispatch(channel, &spec);
    struct crpc_stream *watch = must_watch(channel, id, 0, false);
    expect_state(watch, PENDING, 0);
    struct test_worker *worker = worker_open(channel, "w", "resume", 1);
    struct test_lease lease = worker_lease(worker);
    int64_t running = expect_state(watch, RUNNING, 0);
    crpc_stream_cancel(watch);
    crpc_stream_free(watch);

    /* The present state was seen, so the next message is the next change. */
    watch = must_watch(channel, id, running, false);
    worker_answer(worker, worker_complete(worker, lease, ""), NULL);
    int64_t completed = expect_state(watch, COMPLETED, 0);
    expect_end(watch);
    /* A final state is always sent, then OK. */
    watch = must_watch(channel, id, completed, false);
    assert_int_equal(expect_state(watch, COMPLETED, 0), completed);
    expect_end(watch);
    worker_end(worker, true, NULL);
}

/* The store writes progress a little later than it takes it. */
static void a_watch_that_begins_late_hears_of_progress(void **state)
{
    (void)state;
    Joblog__V1__JobSpec spec = spec_of("late", "late");
    int64_t id = must_dispatch(channel, &spec);
    struct test_worker *worker = worker_open(channel, "w", "late", 1);
    struct test_lease lease = worker_lease(worker);
    assert_int_equal(worker_answer(worker, worker_progress(worker, lease, 1, 4, "", ""), NULL), 0);
    Joblog__V1__WatchJobsRequest request = JOBLOG__V1__WATCH_JOBS_REQUEST__INIT;
    Joblog__V1__JobFilter filter = JOBLOG__V1__JOB_FILTER__INIT;
    char *queue = (char *)"late";
    filter.queues = &queue;
    filter.n_queues = 1;
    request.filter = &filter;
    struct crpc_call_options options = {.timeout_ms = CALL_TIMEOUT_MS};
    struct crpc_stream *watch = must_watch(channel, id, 0, false);
    struct crpc_stream *many = joblog_v1_job_log_service_watch_jobs_open(channel, &options, &request, NULL);
    double percent = 0;
    struct err err;
    while (percent < 25) {
        Joblog__V1__WatchJobResponse *m = watch_next(watch, &err);
        assert_non_null(m);
        percent = m->job->progress ? m->job->progress->percent : 0;
        crpc_message_free(&m->base);
    }
    for (percent = 0; percent < 25;) {
        Joblog__V1__WatchJobsResponse *m = NULL;
        assert_int_equal(joblog_v1_job_log_service_watch_jobs_read(many, &m, &err), 1);
        bool is_job = m->event_case == JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_JOB;
        percent = is_job && m->job->progress ? m->job->progress->percent : 0;
        crpc_message_free(&m->base);
    }
    crpc_stream_cancel(many);
    crpc_stream_free(many);
    crpc_stream_cancel(watch);
    crpc_stream_free(watch);
    assert_int_equal(worker_answer(worker, worker_complete(worker, lease, ""), NULL), 0);
    assert_int_equal(worker_end(worker, true, NULL), 0);
}

static void a_full_watch_brings_the_history(void **state)
{
    (void)state;
    struct err err;
    Joblog__V1__JobSpec spec = spec_of("full", "full");
    spec.payload = (char *)"{\"a\": 1}";
    int64_t id = must_dispatch(channel, &spec);
    struct crpc_stream *watch = must_watch(channel, id, 0, true);
    Joblog__V1__WatchJobResponse *m = watch_next(watch, &err);
    assert_non_null(m);
    assert_string_equal(m->job->payload, "{\"a\": 1}");
    assert_int_equal(m->job->n_transitions, 1);
    crpc_message_free(&m->base);
    struct test_worker *worker = worker_open(channel, "w", "full", 1);
    struct test_lease lease = worker_lease(worker);
    m = watch_next(watch, &err);
    assert_int_equal(m->job->status, RUNNING);
    assert_int_equal(m->job->n_transitions, 2);
    assert_int_equal(m->job->n_attempts, 1);
    crpc_message_free(&m->base);
    worker_answer(worker, worker_progress(worker, lease, 1, 2, "half", ""), NULL);
    m = watch_next(watch, &err);
    assert_string_equal(m->job->progress->step, "half");
    assert_string_equal(m->job->payload, "{\"a\": 1}");
    assert_int_equal(m->job->n_transitions, 2);
    crpc_message_free(&m->base);
    worker_answer(worker, worker_fail(worker, lease, "Boom", "it broke", "at f\nat g", false), NULL);
    m = watch_next(watch, &err);
    assert_int_equal(m->job->status, FAILED);
    assert_string_equal(m->job->error->stack_trace, "at f\nat g");
    assert_int_equal(m->job->attempts[0]->outcome, JOBLOG__V1__ATTEMPT__OUTCOME__OUTCOME_FAILED);
    assert_int_equal(m->job->n_transitions, 3);
    crpc_message_free(&m->base);
    expect_end(watch);
    worker_end(worker, true, NULL);
}

/* The kind of back-off comes back as it was asked for, and the server waits as it says. */
static void delays_are_kept_as_a_list(void **state)
{
    (void)state;
    Google__Protobuf__Duration delays[2] = {GOOGLE__PROTOBUF__DURATION__INIT, GOOGLE__PROTOBUF__DURATION__INIT};
    Google__Protobuf__Duration *pointers[2] = {&delays[0], &delays[1]};
    Joblog__V1__RetryPolicy policy = JOBLOG__V1__RETRY_POLICY__INIT;
    Joblog__V1__JobSpec spec = spec_of("listed", "listed");
    delays[0].nanos = 1000000;
    delays[1].seconds = 7200;
    policy.max_attempts = 3;
    policy.backoff = JOBLOG__V1__RETRY_POLICY__BACKOFF__BACKOFF_LIST;
    policy.delays = pointers;
    policy.n_delays = 2;
    spec.retry_policy = &policy;
    int64_t id = must_dispatch(channel, &spec);
    struct test_worker *w = worker_open(channel, "w", "listed", 2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(worker_answer(w, worker_fail(w, worker_lease(w), "Oops", "", "", false), NULL), ERR_OK);
    for (int full = 0; full < 2; full++) {
        Joblog__V1__Job *job = call_get(channel, id, full, NULL);
        assert_int_equal(job->status, PENDING);
        assert_int_equal(job->attempt, 2);
        int64_t wait_s = job->run_time->seconds - job->start_time->seconds;
        assert_true(wait_s >= 7200 && wait_s < 7260);
        assert_int_equal(job->retry_policy->backoff, policy.backoff);
        assert_int_equal(job->retry_policy->n_delays, 2);
        assert_int_equal(job->retry_policy->delays[0]->nanos, 1000000);
        assert_int_equal(job->retry_policy->delays[1]->seconds, 7200);
        job_free(job);
    }
    worker_end(w, true, NULL);
}

static void expect_refused(const Joblog__V1__JobSpec *spec, const char *field)
{
    struct err err = ERR_NONE;
    assert_null(call_dispatch(channel, spec, NULL, &err));
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, field);
}

static void wrong_delays_and_time_outs_are_named(void **state)
{
    (void)state;
    Google__Protobuf__Duration bad = GOOGLE__PROTOBUF__DURATION__INIT, *delays[] = {&bad};
    Joblog__V1__RetryPolicy policy = JOBLOG__V1__RETRY_POLICY__INIT;
    Joblog__V1__JobSpec spec = spec_of("wrong", "wrong");
    spec.retry_policy = &policy;
    policy.backoff = (Joblog__V1__RetryPolicy__Backoff)5;
    expect_refused(&spec, "job.retry_policy.backoff");
    policy.backoff = (Joblog__V1__RetryPolicy__Backoff)-1;
    expect_refused(&spec, "job.retry_policy.backoff");
    policy.backoff = JOBLOG__V1__RETRY_POLICY__BACKOFF__BACKOFF_LIST;
    expect_refused(&spec, "job.retry_policy.delays");
    policy.delays = delays;
    policy.n_delays = 1;
    bad.seconds = -1;
    expect_refused(&spec, "job.retry_policy.delays");
    policy.backoff = JOBLOG__V1__RETRY_POLICY__BACKOFF__BACKOFF_LINEAR;
    expect_refused(&spec, "job.retry_policy.delays");
    policy.n_delays = 0;
    policy.multiplier = 2;
    expect_refused(&spec, "job.retry_policy.multiplier");
    policy.multiplier = 0;
    spec.start_timeout = &bad;
    expect_refused(&spec, "job.start_timeout");
    spec.start_timeout = NULL;
    spec.run_timeout = &bad;
    bad.seconds = INT64_C(366) * 86400;
    expect_refused(&spec, "job.run_timeout");
    spec.run_timeout = NULL;
    spec.heartbeat_timeout = &bad;
    expect_refused(&spec, "job.heartbeat_timeout");
    bad.seconds = -1;
    expect_refused(&spec, "job.heartbeat_timeout");
}

static void time_outs_end_what_does_not_end_by_itself(void **state)
{
    (void)state;
    Google__Protobuf__Duration soon = GOOGLE__PROTOBUF__DURATION__INIT, later = GOOGLE__PROTOBUF__DURATION__INIT;
    Joblog__V1__JobSpec spec = spec_of("late", "late");
    struct err err = ERR_NONE;
    soon.nanos = 20000000;
    later.seconds = 3600;
    spec.start_timeout = &soon;
    spec.run_timeout = &later;
    spec.heartbeat_timeout = &later;
    int64_t id = must_dispatch(channel, &spec);
    struct crpc_stream *watch = must_watch(channel, id, 0, false);
    for (Joblog__V1__WatchJobResponse *r; (r = watch_next(watch, &err)) != NULL; crpc_message_free(&r->base))
        if (r->job->start_timeout->nanos != soon.nanos ||
            strcmp(r->job->cancel_reason, r->job->status == CANCELLED ? "expired" : "") != 0)
            fail_msg("status %d: \"%s\"", (int)r->job->status, r->job->cancel_reason);
    assert_int_equal(err.code, ERR_OK);
    crpc_stream_free(watch);
    Joblog__V1__Job *job = call_get(channel, id, true, NULL);
    assert_int_equal(job->status, CANCELLED);
    assert_int_equal(job->run_timeout->seconds, later.seconds);
    assert_int_equal(job->heartbeat_timeout->seconds, later.seconds);
    assert_string_equal(job->transitions[job->n_transitions - 1]->reason, "expired");
    assert_string_equal(job->cancel_reason, "expired");
    job_free(job);
    spec.start_timeout = NULL;
    spec.run_timeout = &soon;
    struct test_worker *w = worker_open(channel, "w", "late", 1);
    id = must_dispatch(channel, &spec);
    struct test_lease lease = worker_lease(w);
    watch = must_watch(channel, id, 0, false);
    for (Joblog__V1__WatchJobResponse *r; (r = watch_next(watch, &err)) != NULL; crpc_message_free(&r->base))
        continue;
    crpc_stream_free(watch);
    job = call_get(channel, id, true, NULL);
    assert_int_equal(job->status, FAILED);
    assert_string_equal(job->error->type, "RunTimeout");
    job_free(job);
    assert_int_equal(worker_answer(w, worker_complete(w, lease, "{}"), NULL), ERR_FAILED_PRECONDITION);
    worker_end(w, true, NULL);
}

static void a_pending_job_is_cancelled_and_retried(void **state)
{
    (void)state;
    struct err err;
    Joblog__V1__JobSpec spec = spec_of("steer", "steer");
    int64_t id = must_dispatch(channel, &spec);
    struct crpc_stream *watch = must_watch(channel, id, 0, false);
    expect_state(watch, PENDING, 0);
    Joblog__V1__Job *job = call_cancel(channel, id, "changed my mind", &err);
    assert_non_null(job);
    assert_int_equal(job->status, CANCELLED);
    assert_non_null(job->end_time);
    job_free(job);
    expect_state(watch, CANCELLED, 0);
    expect_end(watch);

    /* Cancelling what is final is refused and changes nothing. */
    assert_null(call_cancel(channel, id, "again", &err));
    assert_int_equal(err.code, ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "JOB_TRANSITION_REFUSED");
    assert_int_equal(must_status(channel, id), CANCELLED);

    job = call_retry(channel, id, "after all", &err);
    assert_non_null(job);
    assert_int_equal(job->status, PENDING);
    assert_null(job->end_time);
    job_free(job);
    assert_null(call_retry(channel, id, "again", &err));
    assert_int_equal(err.code, ERR_FAILED_PRECONDITION);

    job = call_get(channel, id, true, NULL);
    assert_int_equal(job->n_transitions, 3);
    assert_string_equal(job->transitions[1]->reason, "changed my mind");
    assert_int_equal(job->transitions[2]->from_status, CANCELLED);
    assert_string_equal(job->transitions[2]->reason, "after all");
    job_free(job);

    /* And it runs. */
    struct test_worker *worker = worker_open(channel, "w", "steer", 1);
    struct test_lease lease = worker_lease(worker);
    assert_int_equal(lease.job_id, id);
    assert_int_equal(worker_answer(worker, worker_complete(worker, lease, "true"), NULL), 0);
    worker_end(worker, true, NULL);
    assert_int_equal(must_status(channel, id), COMPLETED);
}

static void a_request_id_makes_one_job(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    Joblog__V1__JobSpec spec = spec_of("once", "once");
    spec.payload = (char *)"{\"n\": 1}";
    Joblog__V1__Job *first = call_dispatch(channel, &spec, "order-1", &err);
    Joblog__V1__Job *again = call_dispatch(channel, &spec, "order-1", &err);
    assert_non_null(first);
    assert_non_null(again);
    assert_int_equal(first->id, again->id);
    assert_string_equal(again->request_id, "order-1");
    assert_string_equal(again->job_name, "once");
    /* A default spelled out is the same request. */
    Joblog__V1__RetryPolicy one = JOBLOG__V1__RETRY_POLICY__INIT;
    one.max_attempts = 1;
    spec.retry_policy = &one;
    Joblog__V1__Job *spelled = call_dispatch(channel, &spec, "order-1", &err);
    assert_non_null(spelled);
    assert_int_equal(spelled->id, first->id);
    /* Another body is not. */
    spec.payload = (char *)"{\"n\": 2}";
    assert_null(call_dispatch(channel, &spec, "order-1", &err));
    assert_int_equal(err.code, ERR_ALREADY_EXISTS);
    assert_string_equal(err.reason, "REQUEST_ID_REUSED");
    job_free(first);
    job_free(again);
    job_free(spelled);
}

static void the_caller_is_recorded(void **state)
{
    (void)state;
    struct crpc_metadata actor = {.key = "joblog-actor", .value = SPAN_LIT("billing")};
    struct crpc_channel_options options = {.metadata = &actor, .n_metadata = 1};
    struct crpc_channel *billing = channel_open(server, &options);
    Joblog__V1__JobSpec spec = spec_of("actor", "actor");
    int64_t id = must_dispatch(billing, &spec);
    job_free(call_cancel(billing, id, "", NULL));
    Joblog__V1__Job *job = call_get(channel, id, true, NULL);
    char expected[100];
    snprintf(expected, sizeof expected, "%s for billing", server_fixture_actor(server));
    assert_string_equal(job->creator, expected);
    assert_string_equal(job->transitions[1]->actor, expected);
    job_free(job);
    crpc_channel_free(billing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(life_of_a_job_seen_by_a_watch),
        cmocka_unit_test(a_watch_resumes_after_a_revision),
        cmocka_unit_test(a_watch_that_begins_late_hears_of_progress),
        cmocka_unit_test(a_full_watch_brings_the_history),
        cmocka_unit_test(delays_are_kept_as_a_list),
        cmocka_unit_test(wrong_delays_and_time_outs_are_named),
        cmocka_unit_test(time_outs_end_what_does_not_end_by_itself),
        cmocka_unit_test(a_pending_job_is_cancelled_and_retried),
        cmocka_unit_test(a_request_id_makes_one_job),
        cmocka_unit_test(the_caller_is_recorded),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
