/* Heartbeat time-outs: attempts about which their workers say nothing. */
#include "store_fixture.h"

#include "base/clock.h"

#define SHORT_US INT64_C(200000)
#define LONG_US  INT64_C(1500000)

static struct job a_job_with(int64_t heartbeat_us, int32_t attempts)
{
    struct job j = a_job("mail");

    j.heartbeat_timeout_us = heartbeat_us;
    j.retry.max_attempts = attempts;
    j.retry.initial_backoff_us = 1;
    return j;
}

/* The worker is connected and well, but says nothing: the attempt fails, the worker is told, another one follows. */
static void test_silent_attempt_fails_and_another_follows(void **state)
{
    struct store *s = store_fresh(NULL);
    struct worker w = worker_open(s, "w1", "q");
    struct delivery *d;
    struct job j;
    int64_t id, token, again;

    (void)state;
    worker_credit(&w, 2);
    id = dispatch_ok(s, a_job_with(SHORT_US, 2));
    assert_int_equal(worker_lease(&w, &token), id);
    d = worker_next(&w);
    assert_int_equal(d->kind, DELIVERY_LOST);
    assert_int_equal(d->token, token);
    delivery_free(d);
    assert_int_equal(worker_lease(&w, &again), id);
    assert_string_equal(finish(s, id, token, ATTEMPT_COMPLETED).cmd.err.reason, "LEASE_LOST");
    assert_string_equal(finish(s, id, token, ATTEMPT_FAILED).cmd.err.reason, "LEASE_LOST");
    j = get_ok(s, id);
    assert_int_equal(j.n_attempts, 2);
    assert_int_equal(j.attempts[0].outcome, ATTEMPT_FAILED);
    assert_true(span_eq(j.attempts[0].error.type, SPAN_LIT("HeartbeatTimeout")));
    /* The last attempt, too, is silent: the job has failed. */
    d = worker_next(&w);
    assert_int_equal(d->kind, DELIVERY_LOST);
    delivery_free(d);
    j = get_ok(s, id);
    assert_int_equal(j.status, JOB_FAILED);
    assert_true(span_eq(j.error.type, SPAN_LIT("HeartbeatTimeout")));
    assert_true(span_eq(j.transitions[j.n_transitions - 1].reason, SPAN_LIT("HeartbeatTimeout")));
    assert_true(span_eq(j.transitions[j.n_transitions - 1].actor, SPAN_LIT("joblogd")));
    assert_counters_exact();
    store_close(s);
}

/* A report without anything in it is a heartbeat; another job's is none. */
static void test_reports_about_the_job_keep_it(void **state)
{
    struct store *s = store_fresh(NULL);
    struct worker w = worker_open(s, "w1", "q");
    struct store_progress p = {.cmd.op = STORE_PROGRESS, .session_id = w.id};
    int64_t heard, quiet, token, ignored, end = clock_mono_us() + 2 * LONG_US;
    struct delivery *d;

    (void)state;
    worker_credit(&w, 2);
    heard = dispatch_ok(s, a_job_with(LONG_US, 1));
    assert_int_equal(worker_lease(&w, &token), heard);
    quiet = dispatch_ok(s, a_job_with(SHORT_US, 1));
    assert_int_equal(worker_lease(&w, &ignored), quiet);
    p.job_id = heard;
    p.token = token;
    while (clock_mono_us() < end)
        assert_int_equal(run_cmd(s, &p.cmd), 0);
    d = worker_next(&w);
    assert_int_equal(d->kind, DELIVERY_LOST);
    assert_int_equal(d->job_id, quiet);
    delivery_free(d);
    assert_int_equal(get_ok(s, heard).status, JOB_RUNNING);
    assert_int_equal(finish(s, heard, token, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    store_close(s);
}

/* For a job that a service runs itself it takes the place of the lease time-out, which is 30 s here. */
static void test_lease_without_a_session_ends_by_it(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t token, id = start_ok(s, a_job_with(SHORT_US, 1), &token);
    int64_t end = clock_mono_us() + INT64_C(15000000);

    (void)state;
    while (get_ok(s, id).status == JOB_RUNNING && clock_mono_us() < end) {
    }
    assert_int_equal(get_ok(s, id).status, JOB_FAILED);
    assert_true(span_eq(get_ok(s, id).error.type, SPAN_LIT("HeartbeatTimeout")));
    assert_string_equal(finish(s, id, token, ATTEMPT_COMPLETED).cmd.err.reason, "LEASE_LOST");
    assert_string_equal(finish(s, id, token, ATTEMPT_FAILED).cmd.err.reason, "LEASE_LOST");
    store_close(s);
}

/* Another replica has ended the attempt: memory is put right, and nothing fails a second time. */
static void test_attempt_that_ended_elsewhere_is_left_alone(void **state)
{
    struct store *s = store_fresh(NULL), *other = store_again(NULL);
    struct worker w = worker_open(s, "w1", "q");
    struct delivery *d;
    int64_t id, token;

    (void)state;
    worker_credit(&w, 1);
    id = dispatch_ok(s, a_job_with(LONG_US, 1));
    worker_lease(&w, &token);
    assert_int_equal(finish(other, id, token, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    d = worker_next(&w);
    assert_int_equal(d->kind, DELIVERY_LOST);
    delivery_free(d);
    assert_int_equal(get_ok(s, id).status, JOB_COMPLETED);
    assert_counters_exact();
    store_close(other);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silent_attempt_fails_and_another_follows),
        cmocka_unit_test(test_reports_about_the_job_keep_it),
        cmocka_unit_test(test_lease_without_a_session_ends_by_it),
        cmocka_unit_test(test_attempt_that_ended_elsewhere_is_left_alone),
    };
    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
