/* A job's life through the store: dispatch, lease, end, retry, cancel. */
#include "store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static void test_dispatch_and_get(void **state)
{
    struct store *s = store_fresh(NULL);
    struct label labels[] = {{SPAN_LIT("k\"1"), SPAN_LIT("v\\\n")}, {SPAN_LIT("tier"), SPAN_LIT("gold")}};
    struct job j = a_job("mail"), got;
    (void)state;
    j.payload = SPAN_LIT("{\"a\": [1, 2]}");
    j.labels = labels;
    j.n_labels = 2;
    j.owner = SPAN_LIT("ana");
    j.creator = SPAN_LIT("svc");
    j.source_type = SPAN_LIT("User");
    j.source_id = SPAN_LIT("42");
    j.batch = SPAN_LIT("b1");
    j.traceparent = SPAN_LIT("00-1-2-3");
    j.priority = -7;
    j.retry = (struct retry_policy){
        .max_attempts = 3, .initial_backoff_us = 5000, .max_backoff_us = 9000, .multiplier = 1.5, .jitter = 0.25};
    got = get_ok(s, dispatch_ok(s, j));
    assert_int_equal(got.status, JOB_PENDING);
    assert_true(span_eq(got.payload, j.payload));
    assert_true(span_eq(got.name, j.name));
    assert_true(span_eq(got.queue, j.queue));
    assert_true(span_eq(got.owner, j.owner));
    assert_true(span_eq(got.creator, j.creator));
    assert_true(span_eq(got.source_type, j.source_type));
    assert_true(span_eq(got.source_id, j.source_id));
    assert_true(span_eq(got.batch, j.batch));
    assert_true(span_eq(got.traceparent, j.traceparent));
    assert_int_equal(got.n_labels, 2);
    assert_true(span_eq(got.labels[0].key, labels[0].key));
    assert_true(span_eq(got.labels[0].value, labels[0].value));
    assert_int_equal(got.priority, -7);
    assert_int_equal(got.retry.max_attempts, 3);
    assert_int_equal(got.retry.initial_backoff_us, 5000);
    assert_true(got.retry.multiplier == 1.5 && got.retry.jitter == 0.25);
    assert_int_equal(got.attempts_left, 3);
    assert_int_equal(got.revision, 1 << 20);
    assert_int_equal(got.n_transitions, 1);
    assert_int_equal(got.transitions[0].to, JOB_PENDING);
    assert_int_equal(got.n_attempts, 0);
    assert_counters_exact();
    store_close(s);
}

static void test_get_of_no_job(void **state)
{
    struct store *s = store_fresh(NULL);
    struct arena a;
    struct store_get g = {.cmd.op = STORE_GET, .id = 4711, .arena = &a};
    (void)state;
    arena_init(&a, NULL, 0, 0);
    assert_int_equal(run_cmd(s, &g.cmd), -ERR_NOT_FOUND);
    assert_string_equal(g.cmd.err.reason, "JOB_NOT_FOUND");
    arena_done(&a);
    store_close(s);
}

static void test_claim_and_complete(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t id = dispatch_ok(s, a_job("mail")), token;
    struct worker w = worker_open(s, "w1", "q");
    struct store_finish f = {.cmd.op = STORE_FINISH, .outcome = ATTEMPT_COMPLETED, .result = SPAN_LIT("[1]")};
    struct job got;
    (void)state;
    worker_credit(&w, 1);
    assert_int_equal(worker_lease(&w, &token), id);
    got = get_ok(s, id);
    assert_int_equal(got.status, JOB_RUNNING);
    assert_true(span_eq(got.worker, SPAN_LIT("w1")));
    assert_int_equal(got.attempt, 1);
    assert_int_equal(got.n_attempts, 1);
    assert_int_equal(got.n_transitions, 2);
    assert_int_equal(store_session_leases(w.session), 1);
    assert_counters_exact();

    f.job_id = id;
    f.token = token;
    assert_int_equal(run_cmd(s, &f.cmd), 0);
    assert_int_equal(f.status, JOB_COMPLETED);
    got = get_ok(s, id);
    assert_int_equal(got.status, JOB_COMPLETED);
    assert_true(span_eq(got.result, SPAN_LIT("[1]")));
    assert_int_equal(got.revision, 3 << 20);
    assert_true(got.end_us >= got.start_us && got.start_us >= got.run_us);
    assert_int_equal(got.n_attempts, 1);
    assert_int_equal(got.attempts[0].outcome, ATTEMPT_COMPLETED);
    assert_int_equal(got.n_transitions, 3);
    assert_int_equal(got.transitions[1].to, JOB_RUNNING);
    assert_int_equal(got.transitions[2].to, JOB_COMPLETED);
    assert_int_equal(store_session_leases(w.session), 0);
    /* The token is used up. */
    assert_string_equal(finish(s, id, token, ATTEMPT_FAILED).cmd.err.reason, "LEASE_LOST");
    assert_counters_exact();
    worker_close(&w, false);
    assert_int_equal(sql_int("select count(*) from joblog.session"), 0);
    store_close(s);
}

static void test_waiting_worker_gets_the_job_in_the_same_commit(void **state)
{
    struct store *s = store_fresh(NULL);
    struct worker w = worker_open(s, "w1", "q");
    int64_t id, token;

    (void)state;
    worker_credit(&w, 3);
    /* The first one finds out that nothing is waiting. */
    id = dispatch_ok(s, a_job("mail"));
    assert_int_equal(worker_lease(&w, &token), id);
    id = dispatch_ok(s, a_job("mail"));
    assert_int_equal(worker_lease(&w, &token), id);
    assert_int_equal(sql_int("select count(*) from joblog.lease"), 2);
    assert_counters_exact();
    worker_close(&w, false);
    store_close(s);
}

static void test_credit_is_a_bound(void **state)
{
    struct store *s = store_fresh(NULL);
    struct worker w = worker_open(s, "w1", "q");
    int64_t token;

    (void)state;
    for (int i = 0; i < 5; i++)
        dispatch_ok(s, a_job("mail"));
    worker_credit(&w, 2);
    worker_lease(&w, &token);
    worker_lease(&w, &token);
    dispatch_ok(s, a_job("mail"));
    assert_int_equal(sql_int("select count(*) from joblog.lease"), 2);
    assert_null(store_session_take(w.session));
    worker_credit(&w, 4);
    for (int i = 0; i < 4; i++)
        worker_lease(&w, &token);
    assert_int_equal(sql_int("select count(*) from joblog.waiting"), 0);
    worker_close(&w, false);
    store_close(s);
}

static void test_order_is_priority_then_age(void **state)
{
    struct store *s = store_fresh(NULL);
    int priorities[] = {0, 5, -5, 5, 0};
    int64_t ids[5], token;
    struct worker w;

    (void)state;
    for (int i = 0; i < 5; i++) {
        struct job j = a_job("mail");
        j.priority = priorities[i];
        ids[i] = dispatch_ok(s, j);
    }
    w = worker_open(s, "w1", "q");
    worker_credit(&w, 5);
    assert_int_equal(worker_lease(&w, &token), ids[1]);
    assert_int_equal(worker_lease(&w, &token), ids[3]);
    assert_int_equal(worker_lease(&w, &token), ids[0]);
    assert_int_equal(worker_lease(&w, &token), ids[4]);
    assert_int_equal(worker_lease(&w, &token), ids[2]);
    worker_close(&w, false);
    store_close(s);
}

static void test_failure_is_retried_after_its_delay(void **state)
{
    struct store *s = store_fresh(NULL);
    struct worker w = worker_open(s, "w1", "q");
    struct job j = a_job("mail"), got;
    int64_t id, token, first;
    struct store_finish f;

    (void)state;
    j.retry = (struct retry_policy){
        .max_attempts = 2, .initial_backoff_us = 300000, .max_backoff_us = 600000, .multiplier = 2};
    worker_credit(&w, 2);
    id = dispatch_ok(s, j);
    worker_lease(&w, &first);
    f = finish(s, id, first, ATTEMPT_FAILED);
    assert_int_equal(f.cmd.err.code, ERR_OK);
    assert_int_equal(f.status, JOB_PENDING);
    got = get_ok(s, id);
    assert_int_equal(got.status, JOB_PENDING);
    assert_true(got.run_us - got.attempts[0].end_us == 300000);
    assert_true(span_eq(got.error.type, SPAN_LIT("Boom")));
    assert_counters_exact();
    /* Promoted when it is due, not before. */
    assert_int_equal(worker_lease(&w, &token), id);
    assert_true(clock_wall_us() >= got.run_us);
    assert_true(token != first);
    assert_int_equal(finish(s, id, first, ATTEMPT_COMPLETED).cmd.err.code, ERR_FAILED_PRECONDITION);
    f = finish(s, id, token, ATTEMPT_FAILED);
    assert_int_equal(f.status, JOB_FAILED);
    got = get_ok(s, id);
    assert_int_equal(got.status, JOB_FAILED);
    assert_int_equal(got.attempt, 2);
    assert_int_equal(got.attempts_left, 0);
    assert_int_equal(got.n_attempts, 2);
    assert_true(span_eq(got.attempts[1].error.stack_trace, SPAN_LIT("at main.c:1")));
    assert_int_equal(got.n_transitions, 5);
    for (size_t i = 1; i < got.n_transitions; i++) {
        assert_int_equal(got.transitions[i].from, got.transitions[i - 1].to);
        assert_int_equal(got.transitions[i].revision, got.transitions[i - 1].revision + (1 << 20));
    }
    assert_int_equal(sql_int("select sum(retried) from joblog.minute_now"), 1);
    assert_counters_exact();
    worker_close(&w, false);
    store_close(s);
}

static void test_no_retry_fails_at_once(void **state)
{
    struct store *s = store_fresh(NULL);
    struct job j = a_job("mail");
    int64_t token, id;

    (void)state;
    j.retry.max_attempts = 5;
    id = start_ok(s, j, &token);
    struct store_finish f = {
        .cmd.op = STORE_FINISH, .job_id = id, .token = token, .outcome = ATTEMPT_FAILED, .no_retry = true};
    assert_int_equal(run_cmd(s, &f.cmd), 0);
    assert_int_equal(f.status, JOB_FAILED);
    store_close(s);
}

static struct store_cancel cancel(struct store *s, int64_t id)
{
    struct store_cancel c = {.cmd.op = STORE_CANCEL,
                             .job_id = id,
                             .actor = SPAN_LIT("ana"),
                             .reason = SPAN_LIT("changed my mind"),
                             .request_id = SPAN_LIT("r-9")};

    run_cmd(s, &c.cmd);
    return c;
}

static struct store_retry retry(struct store *s, int64_t id)
{
    struct store_retry c = {.cmd.op = STORE_RETRY, .job_id = id, .actor = SPAN_LIT("ana"), .reason = SPAN_LIT("again")};

    run_cmd(s, &c.cmd);
    return c;
}

static void test_cancel_of_waiting_scheduled_and_final_jobs(void **state)
{
    struct store *s = store_fresh(NULL);
    struct job later = a_job("mail"), got;
    struct store_cancel c;
    int64_t id;

    (void)state;
    id = dispatch_ok(s, a_job("mail"));
    assert_int_equal(cancel(s, id).cmd.err.code, ERR_OK);
    got = get_ok(s, id);
    assert_int_equal(got.status, JOB_CANCELLED);
    assert_true(got.end_us > 0);
    assert_int_equal(got.n_transitions, 2);
    assert_true(span_eq(got.transitions[1].actor, SPAN_LIT("ana")));
    assert_true(span_eq(got.transitions[1].reason, SPAN_LIT("changed my mind")));
    assert_true(span_eq(got.transitions[1].request_id, SPAN_LIT("r-9")));

    later.run_us = clock_wall_us() + INT64_C(3600000000);
    id = dispatch_ok(s, later);
    assert_int_equal(sql_int("select count(*) from joblog.scheduled"), 1);
    assert_int_equal(cancel(s, id).cmd.err.code, ERR_OK);
    assert_int_equal(sql_int("select count(*) from joblog.scheduled"), 0);

    c = cancel(s, id);
    assert_int_equal(c.cmd.err.code, ERR_FAILED_PRECONDITION);
    assert_string_equal(c.cmd.err.reason, "JOB_TRANSITION_REFUSED");
    assert_int_equal(cancel(s, 99).cmd.err.code, ERR_NOT_FOUND);
    assert_counters_exact();
    store_close(s);
}

static void test_cancel_of_a_running_job(void **state)
{
    struct store *s = store_fresh(NULL);
    struct worker w = worker_open(s, "w1", "q");
    struct job j = a_job("mail"), got;
    struct delivery *d;
    int64_t id, token;

    (void)state;
    j.retry.max_attempts = 3;
    worker_credit(&w, 2);
    id = dispatch_ok(s, j);
    worker_lease(&w, &token);
    /* Nobody asked yet. */
    assert_string_equal(finish(s, id, token, ATTEMPT_CANCELLED).cmd.err.reason, "CANCEL_NOT_REQUESTED");
    assert_int_equal(cancel(s, id).cmd.err.code, ERR_OK);
    d = worker_next(&w);
    assert_int_equal(d->kind, DELIVERY_CANCEL);
    assert_int_equal(d->token, token);
    assert_true(span_eq(d->snapshot->job.cancel.reason, SPAN_LIT("changed my mind")));
    delivery_free(d);
    got = get_ok(s, id);
    assert_int_equal(got.status, JOB_RUNNING);
    assert_true(got.cancel.time_us > 0);
    assert_true(span_eq(got.cancel.actor, SPAN_LIT("ana")));
    assert_int_equal(got.revision, (2 << 20) + 1);
    /* A failure after a cancel is not retried. */
    assert_int_equal(finish(s, id, token, ATTEMPT_FAILED).status, JOB_CANCELLED);
    got = get_ok(s, id);
    assert_int_equal(got.status, JOB_CANCELLED);
    assert_int_equal(got.cancel.time_us, 0);
    assert_int_equal(got.revision, 3 << 20);

    id = dispatch_ok(s, j);
    worker_lease(&w, &token);
    cancel(s, id);
    delivery_free(worker_next(&w));
    assert_int_equal(finish(s, id, token, ATTEMPT_CANCELLED).status, JOB_CANCELLED);
    assert_counters_exact();
    worker_close(&w, false);
    store_close(s);
}

static void test_retry_by_a_caller(void **state)
{
    struct store *s = store_fresh(NULL);
    struct worker w = worker_open(s, "w1", "q");
    int64_t id, token;
    struct job got;

    (void)state;
    worker_credit(&w, 5);
    id = dispatch_ok(s, a_job("mail"));
    worker_lease(&w, &token);
    assert_int_equal(retry(s, id).cmd.err.code, ERR_FAILED_PRECONDITION);
    assert_int_equal(finish(s, id, token, ATTEMPT_FAILED).status, JOB_FAILED);
    assert_int_equal(retry(s, id).cmd.err.code, ERR_OK);
    worker_lease(&w, &token);
    got = get_ok(s, id);
    assert_int_equal(got.attempt, 2);
    assert_int_equal(got.attempts_left, 0);
    assert_int_equal(finish(s, id, token, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    assert_int_equal(retry(s, id).cmd.err.code, ERR_FAILED_PRECONDITION);
    assert_int_equal(retry(s, 1).cmd.err.code, ERR_NOT_FOUND);
    got = get_ok(s, id);
    assert_int_equal(got.n_attempts, 2);
    assert_int_equal(got.n_transitions, 6);
    assert_counters_exact();
    worker_close(&w, false);
    store_close(s);
}

static void test_released_attempt_does_not_count(void **state)
{
    struct store *s = store_fresh(NULL);
    struct worker w = worker_open(s, "w1", "q");
    int64_t id, token, again;
    struct job got;

    (void)state;
    worker_credit(&w, 2);
    id = dispatch_ok(s, a_job("mail"));
    worker_lease(&w, &token);
    assert_int_equal(finish(s, id, token, ATTEMPT_RELEASED).status, JOB_PENDING);
    assert_int_equal(worker_lease(&w, &again), id);
    got = get_ok(s, id);
    assert_int_equal(got.attempt, 2);
    assert_int_equal(got.attempts_left, 0);
    assert_int_equal(got.attempts[0].outcome, ATTEMPT_RELEASED);
    assert_int_equal(finish(s, id, again, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    assert_counters_exact();
    worker_close(&w, false);
    store_close(s);
}

static void test_progress_is_kept_and_written(void **state)
{
    struct store *s = store_fresh(NULL);
    struct arena a;
    int64_t token, id = start_ok(s, a_job("mail"), &token);
    struct store_progress p = {
        .cmd.op = STORE_PROGRESS,
        .job_id = id,
        .token = token,
        .has_progress = true,
        .progress = {.done = 30, .total = 120, .unit = SPAN_LIT("rows"), .step = SPAN_LIT("reading")},
        .payload_patch = SPAN_LIT("{\"x\": 1}")};
    struct job got;
    int64_t until = clock_mono_us() + 5000000;

    (void)state;
    arena_init(&a, NULL, 0, 0);
    p.arena = &a;
    assert_int_equal(run_cmd(s, &p.cmd), 0);
    assert_int_equal(p.cancel.time_us, 0);
    p.payload_patch = SPAN_LIT("{\"y\": {\"z\": [true]}, \"x\": 2}");
    assert_int_equal(run_cmd(s, &p.cmd), 0);
    do {
        got = get_ok(s, id);
    } while (got.progress.done == 0 && clock_mono_us() < until);
    assert_int_equal(got.progress.done, 30);
    assert_true(got.progress.percent == 25);
    assert_true(span_eq(got.progress.step, SPAN_LIT("reading")));
    assert_int_equal(got.revision, (2 << 20) + 2);
    assert_string_equal(sql_value("select payload from joblog.job"), "{\"x\": 2, \"y\": {\"z\": [true]}}");
    p.payload_patch = SPAN_LIT("{\"last\": \"\\u00e9\"}");
    assert_int_equal(run_cmd(s, &p.cmd), 0);
    assert_int_equal(finish(s, id, token, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    assert_string_equal(sql_value("select payload->>'last' from joblog.job"), "\xc3\xa9");
    got = get_ok(s, id);
    assert_int_equal(got.progress.done, 30);
    assert_int_equal(got.revision, 3 << 20);
    p.payload_patch = (struct span){NULL, 0};
    assert_int_equal(run_cmd(s, &p.cmd), -ERR_FAILED_PRECONDITION);
    assert_string_equal(p.cmd.err.reason, "LEASE_LOST");
    arena_done(&a);
    store_close(s);
}

static void test_close_writes_progress(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t token, id = start_ok(s, a_job("mail"), &token);
    struct store_progress p = {.cmd.op = STORE_PROGRESS,
                               .job_id = id,
                               .token = token,
                               .has_progress = true,
                               .progress = {.percent = 12},
                               .payload_patch = SPAN_LIT("{\"k\": 5}")};

    (void)state;
    assert_int_equal(run_cmd(s, &p.cmd), 0);
    store_close(s);
    assert_int_equal(sql_int("select percent from joblog.job_now"), 12);
    assert_int_equal(sql_int("select payload->'k' from joblog.job_now"), 5);
    /* The number of the replica is free again. */
    s = store_again(NULL);
    assert_int_equal(sql_int("select count(*) from joblog.replica"), 1);
    assert_int_equal(finish(s, id, token, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    assert_counters_exact();
    store_close(s);
}

static void test_scheduled_job_runs_when_due(void **state)
{
    struct store *s = store_fresh(NULL);
    struct worker w = worker_open(s, "w1", "q");
    struct job j = a_job("mail");
    int64_t token, id, late_us;

    (void)state;
    worker_credit(&w, 1);
    j.run_us = clock_wall_us() + 400000;
    id = dispatch_ok(s, j);
    assert_int_equal(get_ok(s, id).status, JOB_PENDING);
    assert_int_equal(worker_lease(&w, &token), id);
    late_us = clock_wall_us() - j.run_us;
    assert_true(late_us >= 0);
    /* The tick alone, once a second, would be later on the average. */
    assert_true(late_us < 900000);
    assert_counters_exact();
    worker_close(&w, false);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dispatch_and_get),
        cmocka_unit_test(test_get_of_no_job),
        cmocka_unit_test(test_claim_and_complete),
        cmocka_unit_test(test_waiting_worker_gets_the_job_in_the_same_commit),
        cmocka_unit_test(test_credit_is_a_bound),
        cmocka_unit_test(test_order_is_priority_then_age),
        cmocka_unit_test(test_failure_is_retried_after_its_delay),
        cmocka_unit_test(test_no_retry_fails_at_once),
        cmocka_unit_test(test_cancel_of_waiting_scheduled_and_final_jobs),
        cmocka_unit_test(test_cancel_of_a_running_job),
        cmocka_unit_test(test_retry_by_a_caller),
        cmocka_unit_test(test_released_attempt_does_not_count),
        cmocka_unit_test(test_progress_is_kept_and_written),
        cmocka_unit_test(test_close_writes_progress),
        cmocka_unit_test(test_scheduled_job_runs_when_due),
    };
    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
