/* A job's life through the store: dispatch, lease, end, retry, cancel. */
#include "store_fixture.h"

#include <stdio.h>
#include <string.h>

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
    j.retry = (struct retry_policy){3, 5000, 9000, 1.5, 0.25};
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
    assert_int_equal(run_cmd(s, &f.cmd), -ERR_FAILED_PRECONDITION);
    assert_string_equal(f.cmd.err.reason, "LEASE_LOST");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dispatch_and_get),
        cmocka_unit_test(test_get_of_no_job),
        cmocka_unit_test(test_claim_and_complete),
        cmocka_unit_test(test_waiting_worker_gets_the_job_in_the_same_commit),
    };

    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
