/* Ends of attempts that are out of the ordinary. */
#include "store_fixture.h"

#include <libpq-fe.h>
#include <stdio.h>

/* The answer was lost: the same end again is good, with the same status; another one is not. */
static void test_repeated_end_is_answered_again(void **state)
{
    struct store *s = store_fresh(NULL);
    struct worker w = worker_open(s, "w1", "q");
    struct job j = a_job("mail");
    const struct span no_queue = SPAN_LIT("other");
    const struct job_scope elsewhere = {.bounded = true, .queues = &no_queue, .n_queues = 1};
    struct store_finish f;
    int64_t id, other, token, again, last;

    (void)state;
    j.retry.max_attempts = 2;
    worker_credit(&w, 10);
    id = dispatch_ok(s, j);
    worker_lease(&w, &token);
    assert_int_equal(finish(s, id, token, ATTEMPT_FAILED).status, JOB_PENDING);
    f = finish(s, id, token, ATTEMPT_FAILED);
    assert_int_equal(f.cmd.err.code, ERR_OK);
    assert_int_equal(f.status, JOB_PENDING);
    assert_string_equal(finish(s, id, token, ATTEMPT_COMPLETED).cmd.err.reason, "LEASE_LOST");
    assert_string_equal(finish(s, id, token, ATTEMPT_RELEASED).cmd.err.reason, "LEASE_LOST");
    assert_int_equal(sql_int("select count(*) from joblog.attempt"), 1);
    /* The second attempt, under way or ended. */
    assert_int_equal(worker_lease(&w, &again), id);
    assert_int_equal(finish(s, id, token, ATTEMPT_FAILED).cmd.err.code, ERR_OK);
    assert_int_equal(get_ok(s, id).status, JOB_RUNNING);
    assert_int_equal(finish(s, id, again, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    assert_string_equal(finish(s, id, token, ATTEMPT_FAILED).cmd.err.reason, "LEASE_LOST");
    f = finish(s, id, again, ATTEMPT_COMPLETED);
    assert_int_equal(f.cmd.err.code, ERR_OK);
    assert_int_equal(f.status, JOB_COMPLETED);
    /* Whom the job is none of the business learns nothing. */
    f.scope = &elsewhere;
    assert_int_equal(run_cmd(s, &f.cmd), -ERR_FAILED_PRECONDITION);
    assert_string_equal(finish(s, id, again, ATTEMPT_FAILED).cmd.err.reason, "LEASE_LOST");
    assert_string_equal(finish(s, id, again + 1, ATTEMPT_COMPLETED).cmd.err.reason, "LEASE_LOST");
    /* An attempt that was lost did not fail by its worker's word. */
    other = dispatch_ok(s, a_job("mail"));
    worker_lease(&w, &last);
    worker_close(&w, false);
    assert_string_equal(finish(s, other, last, ATTEMPT_FAILED).cmd.err.reason, "LEASE_LOST");
    assert_int_equal(finish(s, other, last, ATTEMPT_RELEASED).status, JOB_PENDING);
    assert_counters_exact();
    store_close(s);
}

/* What is said the second time must be what was said the first time: else something would be taken for kept. */
static void test_another_end_is_no_repetition(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t token, id = start_ok(s, a_job("mail"), &token);
    struct store_finish f = {.cmd.op = STORE_FINISH,
                             .job_id = id,
                             .token = token,
                             .outcome = ATTEMPT_COMPLETED,
                             .result = SPAN_LIT("{\"a\": 1, \"b\": 2}")};

    (void)state;
    assert_int_equal(run_cmd(s, &f.cmd), 0);
    f.result = SPAN_LIT("{\"b\":2,\"a\":1}"); /* the same value */
    assert_int_equal(run_cmd(s, &f.cmd), 0);
    f.result = SPAN_LIT("2");
    assert_int_equal(run_cmd(s, &f.cmd), -ERR_FAILED_PRECONDITION);
    f.result = (struct span){NULL, 0};
    assert_int_equal(run_cmd(s, &f.cmd), -ERR_FAILED_PRECONDITION);
    f.job_id = start_ok(s, a_job("mail"), &f.token);
    f.outcome = ATTEMPT_FAILED;
    f.error = (struct job_error){.type = SPAN_LIT("Disk"), .message = SPAN_LIT("full")};
    assert_int_equal(run_cmd(s, &f.cmd), 0);
    assert_int_equal(run_cmd(s, &f.cmd), 0);
    f.error.message = SPAN_LIT("gone");
    assert_int_equal(run_cmd(s, &f.cmd), -ERR_FAILED_PRECONDITION);
    f.error = (struct job_error){.type = SPAN_LIT("Net"), .message = SPAN_LIT("full")};
    assert_int_equal(run_cmd(s, &f.cmd), -ERR_FAILED_PRECONDITION);
    assert_true(span_eq(get_ok(s, f.job_id).error.type, SPAN_LIT("Disk")));
    store_close(s);
}

/* Who asked for a running job's cancel, why, and by which request, is in its record, whatever became of it. */
static void test_the_record_says_who_asked_for_the_cancel(void **state)
{
    struct store *s = store_fresh(NULL);
    static const enum attempt_outcome outcomes[] = {ATTEMPT_CANCELLED, ATTEMPT_FAILED, ATTEMPT_COMPLETED};

    (void)state;
    for (int i = 0; i < 3; i++) {
        int64_t token, id = start_ok(s, a_job("mail"), &token);
        struct store_cancel c = {.cmd.op = STORE_CANCEL,
                                 .job_id = id,
                                 .actor = SPAN_LIT("ann"),
                                 .reason = SPAN_LIT("wrong file"),
                                 .request_id = SPAN_LIT("cancel-1")};
        assert_int_equal(run_cmd(s, &c.cmd), 0);
        enum job_status status = finish(s, id, token, outcomes[i]).status;
        struct job got = get_ok(s, id);
        assert_int_equal(got.n_transitions, 3);
        struct transition t = got.transitions[2];
        assert_int_equal(status, i < 2 ? JOB_CANCELLED : JOB_COMPLETED);
        assert_int_equal(t.from, JOB_RUNNING);
        assert_int_equal(t.to, status);
        assert_true(span_eq(t.request_id, SPAN_LIT("cancel-1")));
        assert_true(span_eq(t.actor, i < 2 ? SPAN_LIT("ann") : SPAN_LIT("worker:self")));
        assert_true(
            span_eq(t.reason, i < 2 ? SPAN_LIT("wrong file") : SPAN_LIT("a cancel was asked for by ann: wrong file")));
    }
    assert_counters_exact();
    store_close(s);
}

/* This store has not heard of the cancel yet when the attempt fails: it must not be lost with the lease. */
static void test_a_cancel_that_is_not_known_yet_counts(void **state)
{
    struct store *s = store_fresh(NULL);
    struct worker w = worker_open(s, "w1", "q");
    struct job j = a_job("mail");
    int64_t token, id;

    (void)state;
    j.retry.max_attempts = 3;
    worker_credit(&w, 1);
    id = dispatch_ok(s, j);
    assert_int_equal(worker_lease(&w, &token), id);
    /* As another replica would record it; of a time that is not looked at any more. */
    sql_value("update joblog.lease set cancel_time = now() - interval '1 hour', cancel_actor = 'ann', cancel_reason = "
              "'stop'");
    assert_int_equal(finish(s, id, token, ATTEMPT_FAILED).status, JOB_CANCELLED);
    assert_true(span_eq(get_ok(s, id).transitions[2].actor, SPAN_LIT("ann")));
    assert_counters_exact();
    worker_close(&w, false);
    store_close(s);
}

/* Retried are attempts that failed, or were lost, and are followed by another: not those that were given back. */
static void test_what_counts_as_retried(void **state)
{
    struct store *s = store_fresh(NULL);
    struct worker w = worker_open(s, "w1", "q");
    struct job j = a_job("mail");
    int64_t id, token;

    (void)state;
    j.retry = (struct retry_policy){.max_attempts = 2, .initial_backoff_us = 1000, .max_backoff_us = 1000};
    j.attempts_left = 2;
    id = dispatch_ok(s, j);
    worker_credit(&w, 3);
    assert_int_equal(worker_lease(&w, &token), id);
    assert_int_equal(finish(s, id, token, ATTEMPT_RELEASED).status, JOB_PENDING);
    assert_int_equal(worker_lease(&w, &token), id);
    assert_int_equal(finish(s, id, token, ATTEMPT_FAILED).status, JOB_PENDING);
    assert_int_equal(worker_lease(&w, &token), id);
    assert_int_equal(finish(s, id, token, ATTEMPT_FAILED).status, JOB_FAILED);
    assert_counters_exact();
    worker_close(&w, false);
    store_close(s);
    assert_int_equal(sql_int("select sum(retried) from joblog.minute_now"), 1);
    assert_int_equal(sql_int("select sum(failed) from joblog.minute_now"), 1);
}

/* It waits for its time, without losing an attempt; a cancel that was asked for ends it. */
static void test_snoozed_job_waits(void **state)
{
    enum { DELAY_US = 2000000 };
    struct store *s = store_fresh(NULL);
    struct worker w = worker_open(s, "w1", "q");
    struct store_finish f = {
        .cmd.op = STORE_FINISH, .outcome = ATTEMPT_RELEASED, .delay_us = DELAY_US, .reason = SPAN_LIT("no paper")};
    struct store_cancel c = {.cmd.op = STORE_CANCEL};
    int64_t token;
    struct job got;

    (void)state;
    worker_credit(&w, 4);
    f.job_id = dispatch_ok(s, a_job("mail"));
    worker_lease(&w, &f.token);
    assert_int_equal(run_cmd(s, &f.cmd), 0);
    assert_int_equal(f.status, JOB_PENDING);
    got = get_ok(s, f.job_id);
    assert_int_equal(got.status, JOB_PENDING);
    assert_int_equal(got.attempts_left, 1);
    assert_true(got.run_us - got.attempts[0].end_us == DELAY_US);
    assert_true(span_eq(got.transitions[2].reason, SPAN_LIT("no paper")));
    assert_int_equal(sql_int("select count(*) from joblog.scheduled"), 1);
    assert_int_equal(worker_lease(&w, &token), f.job_id);
    got = get_ok(s, f.job_id);
    assert_true(got.start_us >= got.run_us);
    assert_int_equal(got.attempt, 2);
    c.job_id = f.job_id;
    assert_int_equal(run_cmd(s, &c.cmd), 0);
    f.token = token;
    assert_int_equal(run_cmd(s, &f.cmd), 0);
    assert_int_equal(f.status, JOB_CANCELLED);
    assert_counters_exact();
    worker_close(&w, false);
    store_close(s);
}

static int64_t report(struct store *s, int64_t id, int64_t token, const char *patch)
{
    struct store_progress p = {
        .cmd.op = STORE_PROGRESS, .job_id = id, .token = token, .payload_patch = span_str(patch)};

    assert_int_equal(run_cmd(s, &p.cmd), 0);
    /* A patch is answered when it is durable. */
    return sql_int("select revision from joblog.job_now");
}

/* A worker that goes from replica to replica: nothing that was accepted is lost, and revisions grow. */
static void test_reports_through_two_replicas(void **state)
{
    struct store *a = store_fresh(NULL), *b = store_again(NULL);
    int64_t token, last = 2 << 20, id = start_ok(a, a_job("mail"), &token);
    static const char *const patches[] = {"{\"one\": 1}", "{\"two\": 2}", "{\"three\": 3}", "{\"four\": 4}"};

    (void)state;
    for (int i = 0; i < 4; i++) {
        int64_t revision = report(i % 2 ? b : a, id, token, patches[i]);
        assert_true(revision > last);
        assert_int_equal(revision >> 20, 2);
        last = revision;
    }
    assert_int_equal(finish(b, id, token, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    assert_string_equal(sql_value("select payload from joblog.job"),
                        "{\"one\": 1, \"two\": 2, \"four\": 4, \"three\": 3}");
    assert_int_equal(sql_int("select revision from joblog.job_now"), 3 << 20);
    store_close(b);
    store_close(a);
}

/* It began by another replica's clock, or in a batch that waited for less long than the one that ends it. */
static void test_an_attempt_does_not_end_before_it_starts(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t token, failed = start_ok(s, a_job("a"), &token), other;

    (void)state;
    store_close(s);
    sql_value("update joblog.lease set start_time = start_time + interval '10 s'");
    s = store_again(NULL);
    assert_int_equal(finish(s, failed, token, ATTEMPT_FAILED).cmd.err.code, ERR_OK);
    assert_int_equal(sql_int("select count(*) from joblog.attempt where end_time = start_time"), 1);
    struct job job = get_ok(s, failed);
    assert_int_equal(job.status, JOB_FAILED);
    assert_int_equal(job.end_us, job.start_us);
    other = start_ok(s, a_job("a"), &token);
    assert_int_equal(finish(s, other, token, ATTEMPT_FAILED).cmd.err.code, ERR_OK);
    job = get_ok(s, other);
    assert_true(job.end_us >= job.start_us);
    assert_counters_exact();
    store_close(s);
}

/* Leases and ends travel as columns, some of which are sent once for all: whatever the jobs of a batch have in common
 * or not, each row is its own. */
static void ends_of_one_batch(bool alike)
{
    enum { JOBS = 40 };
    struct store *s = store_fresh(NULL);
    struct waiter *waiter = waiter_new();
    PGconn *locker = PQconnectdb(store_uri());
    struct dispatch_item items[JOBS];
    struct store_dispatch d = {.cmd.op = STORE_DISPATCH, .items = items, .n_items = JOBS};
    struct store_finish f[JOBS];
    static char results[JOBS][8];
    struct err err;

    for (int i = 0; i < JOBS; i++) {
        items[i] = (struct dispatch_item){.job = a_job(alike || i % 2 ? "mail" : "other"), .start = true};
        items[i].job.worker = alike || i % 3 ? SPAN_LIT("w1") : SPAN_LIT("w2");
        items[i].job.retry.max_attempts = alike ? 1 : 1 + i % 2;
    }
    assert_int_equal(run_cmd(s, &d.cmd), 0);
    /* Behind the first end all others gather. */
    PQclear(PQexec(locker, "begin; lock table joblog.job_state in exclusive mode"));
    assert_int_equal(PQtransactionStatus(locker), PQTRANS_INTRANS);
    for (int i = 0; i < JOBS; i++) {
        f[i] = (struct store_finish){.cmd = {.op = STORE_FINISH, .done = &waiter->tag},
                                     .job_id = items[i].job.id,
                                     .token = items[i].lease_token,
                                     .outcome = ATTEMPT_COMPLETED};
        snprintf(results[i], sizeof results[i], "%d", i);
        if (alike || i % 4)
            f[i].result = span_str(results[i]);
        if (!alike && i % 5 == 0) {
            f[i].outcome = ATTEMPT_FAILED;
            f[i].no_retry = true;
            f[i].error = (struct job_error){SPAN_LIT("Broken"), span_str(results[i]), {NULL, 0}};
        }
        assert_int_equal(store_submit(s, &f[i].cmd, &err), 0);
    }
    PQfinish(locker);
    for (int i = 0; i < JOBS; i++)
        assert_true(waiter_wait(waiter));
    for (int i = 0; i < JOBS; i++) {
        struct job job = get_ok(s, items[i].job.id);
        bool failed = f[i].outcome == ATTEMPT_FAILED;
        assert_int_equal(f[i].cmd.err.code, ERR_OK);
        assert_int_equal(job.status, failed ? JOB_FAILED : JOB_COMPLETED);
        assert_true(span_eq(job.name, items[i].job.name));
        assert_true(span_eq(job.worker, alike || i % 3 ? SPAN_LIT("w1") : SPAN_LIT("w2")));
        assert_int_equal(job.attempt, 1);
        assert_int_equal(job.attempts_left, items[i].job.retry.max_attempts - 1);
        assert_true(job.start_us > 0 && job.end_us >= job.start_us);
        assert_true(span_eq(job.error.message, failed ? span_str(results[i]) : SPAN_LIT("")));
        if (!failed)
            assert_true(span_eq(job.result, alike || i % 4 ? span_str(results[i]) : SPAN_LIT("")));
    }
    assert_int_equal(sql_int("select count(*) from joblog.lease"), 0);
    assert_int_equal(sql_int("select count(distinct last_token) from joblog.job_state"), JOBS);
    assert_counters_exact();
    waiter_free(waiter);
    store_close(s);
}

static void test_ends_that_are_alike(void **state)
{
    (void)state;
    ends_of_one_batch(true);
}

static void test_ends_that_differ(void **state)
{
    (void)state;
    ends_of_one_batch(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_attempt_does_not_end_before_it_starts),
        cmocka_unit_test(test_repeated_end_is_answered_again),
        cmocka_unit_test(test_another_end_is_no_repetition),
        cmocka_unit_test(test_the_record_says_who_asked_for_the_cancel),
        cmocka_unit_test(test_a_cancel_that_is_not_known_yet_counts),
        cmocka_unit_test(test_ends_that_are_alike),
        cmocka_unit_test(test_ends_that_differ),
        cmocka_unit_test(test_what_counts_as_retried),
        cmocka_unit_test(test_snoozed_job_waits),
        cmocka_unit_test(test_reports_through_two_replicas),
    };
    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
