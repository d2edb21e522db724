/* Time-outs: jobs that nobody starts, attempts that take too long; after a restart and by another replica. */
#include "store_fixture.h"

#include <string.h>

#include "base/clock.h"

enum { SOON_US = 20000 };

static struct waiter *ended;

static bool wanted(void *user, const struct job *job)
{
    (void)user;
    (void)job;
    return true;
}

/* Tells of every end and of every way back. */
static void changed(void *user, struct job_snapshot *snapshot, bool is_transition)
{
    (void)user;
    if (is_transition && (job_status_is_final(snapshot->job.status) ||
                          (snapshot->job.status == JOB_PENDING && snapshot->job.attempt > 0)))
        tag_post(&ended->tag, true);
}

static struct store_options told(void)
{
    return (struct store_options){.observer = {.wanted = wanted, .changed = changed}};
}

static int setup(void **state)
{
    ended = waiter_new();
    return store_group_setup(state);
}

static int teardown(void **state)
{
    waiter_free(ended);
    return store_group_teardown(state);
}

static void test_a_job_that_nobody_starts_expires(void **state)
{
    struct store_options o = told();
    struct store *s = store_fresh(&o);
    struct job job = a_job("mail"), got;

    (void)state;
    job.start_timeout_us = SOON_US;
    int64_t id = dispatch_ok(s, job);
    assert_true(waiter_wait(ended));
    got = get_ok(s, id);
    assert_int_equal(got.status, JOB_CANCELLED);
    assert_int_equal(got.start_timeout_us, SOON_US);
    assert_true(got.end_us >= got.run_us + SOON_US);
    assert_int_equal(got.n_transitions, 2);
    assert_true(span_eq(got.transitions[1].actor, SPAN_LIT("joblogd")));
    assert_true(span_eq(got.transitions[1].reason, SPAN_LIT("expired")));
    /* A retry gives it as much time again. */
    struct store_retry r = {.cmd.op = STORE_RETRY, .job_id = id};
    assert_int_equal(run_cmd(s, &r.cmd), 0);
    assert_true(waiter_wait(ended));
    assert_int_equal(get_ok(s, id).status, JOB_CANCELLED);
    /* One that lies ahead expires from its run time on. */
    job.run_us = clock_wall_us() + 2 * SOON_US;
    id = dispatch_ok(s, job);
    assert_true(waiter_wait(ended));
    got = get_ok(s, id);
    assert_int_equal(got.status, JOB_CANCELLED);
    assert_true(got.end_us >= job.run_us + SOON_US);
    assert_int_equal(sql_int("select count(*) from joblog.deadline"), 0);
    assert_int_equal(sql_int("select (select count(*) from joblog.waiting) + (select count(*) from joblog.scheduled)"),
                     0);
    assert_counters_exact();
    store_close(s);
}

/* Started in time it does not expire, nor while it waits for its next attempt. */
static void test_a_start_is_enough(void **state)
{
    struct store_options o = told();
    struct store *s = store_fresh(&o);
    struct worker w = worker_open(s, "w", "q");
    struct job job = a_job("mail");
    int64_t token, id, other;

    (void)state;
    job.start_timeout_us = SOON_US;
    job.retry.max_attempts = 2;
    job.retry.initial_backoff_us = INT64_C(3600000000);
    job.retry.max_backoff_us = INT64_C(3600000000);
    job.queue = SPAN_LIT("elsewhere");
    other = dispatch_ok(s, job);
    job.queue = SPAN_LIT("q");
    /* Put off, so that it waits in the table before it is claimed. */
    sql_value("update joblog.deadline set time = now() + interval '1 hour'");
    worker_credit(&w, 1);
    id = dispatch_ok(s, job);
    assert_int_equal(worker_lease(&w, &token), id);
    struct store_finish f = finish(s, id, token, ATTEMPT_FAILED);
    assert_int_equal(f.cmd.err.code, ERR_OK);
    assert_true(waiter_wait(ended));
    /* A row that says to look at it, as if it had been waiting. */
    sql_value("insert into joblog.deadline select now(), id, 0 from joblog.job");
    while (sql_int("select count(*) from joblog.deadline where time <= now()"))
        (void)get_ok(s, id); /* until the tick has looked */
    assert_int_equal(get_ok(s, id).status, JOB_PENDING);
    assert_int_equal(get_ok(s, other).status, JOB_CANCELLED);
    assert_true(waiter_wait(ended));
    assert_counters_exact();
    worker_close(&w, false);
    store_close(s);
}

static void test_an_attempt_that_takes_too_long_fails(void **state)
{
    struct store_options o = told();
    struct store *s = store_fresh(&o);
    struct worker w = worker_open(s, "w", "q");
    struct job job = a_job("mail"), got;
    int64_t token, second;

    (void)state;
    job.run_timeout_us = SOON_US;
    job.retry.max_attempts = 2;
    job.retry.initial_backoff_us = 1;
    worker_credit(&w, 2);
    int64_t id = dispatch_ok(s, job);
    assert_int_equal(worker_lease(&w, &token), id);
    struct delivery *d = worker_next(&w);
    assert_int_equal(d->kind, DELIVERY_LOST);
    assert_int_equal(d->token, token);
    delivery_free(d);
    assert_true(waiter_wait(ended));
    struct store_finish f = finish(s, id, token, ATTEMPT_COMPLETED);
    assert_string_equal(f.cmd.err.reason, "LEASE_LOST");
    /* Nor did it fail by its worker's word. */
    assert_string_equal(finish(s, id, token, ATTEMPT_FAILED).cmd.err.reason, "LEASE_LOST");
    assert_int_equal(worker_lease(&w, &second), id);
    assert_true(waiter_wait(ended));
    got = get_ok(s, id);
    assert_int_equal(got.status, JOB_FAILED);
    assert_true(span_eq(got.error.type, SPAN_LIT("RunTimeout")));
    assert_int_equal(got.n_attempts, 2);
    assert_int_equal(got.attempts[0].outcome, ATTEMPT_FAILED);
    assert_true(got.attempts[0].end_us - got.attempts[0].start_us >= SOON_US);
    /* One that ends in time has nothing to fear. */
    job.run_timeout_us = INT64_C(3600000000);
    worker_credit(&w, 1);
    d = worker_next(&w);
    while (d->kind != DELIVERY_LEASE) {
        delivery_free(d);
        id = dispatch_ok(s, job);
        d = worker_next(&w);
    }
    f = finish(s, id, d->token, ATTEMPT_COMPLETED);
    delivery_free(d);
    assert_int_equal(f.cmd.err.code, ERR_OK);
    assert_true(waiter_wait(ended));
    assert_counters_exact();
    worker_close(&w, false);
    store_close(s);
}

/* The lease and the deadline outlive the process that gave them. */
static void test_after_a_restart_and_by_another_replica(void **state)
{
    struct store_options o = told();
    struct store *a = store_fresh(NULL);
    struct job job = a_job("mail");
    int64_t token, id;

    (void)state;
    job.run_timeout_us = INT64_C(3600000000);
    job.worker = SPAN_LIT("me");
    id = start_ok(a, job, &token);
    job.start_timeout_us = INT64_C(3600000000);
    int64_t waits = dispatch_ok(a, job);
    store_close(a);
    sql_value("update joblog.deadline set time = now()");
    sql_value("update joblog.job set run_time = run_time - interval '1 hour' where extra ? 'start_timeout_us'");
    struct store *b = store_again(&o);
    assert_true(waiter_wait(ended));
    assert_true(waiter_wait(ended));
    assert_int_equal(get_ok(b, id).status, JOB_FAILED);
    assert_int_equal(get_ok(b, waits).status, JOB_CANCELLED);
    assert_counters_exact();
    store_close(b);
}

/* Another replica promotes the job at that moment: what it puts in line cannot be seen yet. */
static void test_one_that_is_being_moved_expires_later(void **state)
{
    struct store_options o = told();
    struct store *s = store_fresh(&o);
    struct job job = a_job("mail"), got;

    (void)state;
    job.run_us = clock_wall_us() + 1000000;
    job.start_timeout_us = SOON_US;
    int64_t id = dispatch_ok(s, job);
    sql_value("begin");
    assert_int_equal(
        sql_int("with gone as (delete from joblog.scheduled returning lane_id, neg_priority, id, has_state),"
                " put as (insert into joblog.waiting (lane_id, neg_priority, id, has_state)"
                " select * from gone returning id) select count(*) from put"),
        1);
    await_sql("select (count(*) > 0)::int from pg_locks where not granted");
    sql_value("commit");
    assert_true(waiter_wait(ended));
    got = get_ok(s, id);
    assert_int_equal(got.status, JOB_CANCELLED);
    assert_true(span_eq(got.transitions[1].reason, SPAN_LIT("expired")));
    assert_int_equal(sql_int("select count(*) from joblog.deadline"), 0);
    assert_counters_exact();
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_job_that_nobody_starts_expires),
        cmocka_unit_test(test_a_start_is_enough),
        cmocka_unit_test(test_an_attempt_that_takes_too_long_fails),
        cmocka_unit_test(test_after_a_restart_and_by_another_replica),
        cmocka_unit_test(test_one_that_is_being_moved_expires_later),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
