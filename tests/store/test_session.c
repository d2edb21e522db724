/* Workers that vanish, leave, come back; two stores on one database. */
#include "store_fixture.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

enum { LEASE_MS = 600 };

static const struct store_options quick = {.lease_timeout_ms = LEASE_MS};

/* Waits for a status; the store changes it by itself. */
static struct job wait_status(struct store *s, int64_t id, enum job_status status)
{
    int64_t until = clock_mono_us() + 10000000;
    struct job j;

    do {
        j = get_ok(s, id);
    } while (j.status != status && clock_mono_us() < until);
    assert_int_equal(j.status, status);
    return j;
}

static void test_silent_worker_loses_its_leases(void **state)
{
    struct store *s = store_fresh(&quick);
    struct worker w = worker_open(s, "w1", "q");
    struct job j = a_job("mail"), got;
    int64_t id, last, token, start;
    struct delivery *d;

    (void)state;
    j.retry.max_attempts = 2;
    worker_credit(&w, 2);
    id = dispatch_ok(s, j);
    last = dispatch_ok(s, a_job("mail"));
    assert_int_equal(worker_lease(&w, &token), id);
    start = clock_mono_us();
    delivery_free(worker_next(&w));
    got = wait_status(s, last, JOB_FAILED);
    assert_true(clock_mono_us() - start < (LEASE_MS + 1500) * 1000);
    assert_true(span_eq(got.error.type, SPAN_LIT("LeaseLost")));
    assert_int_equal(got.attempts[0].outcome, ATTEMPT_LOST);
    assert_true(span_eq(got.transitions[2].actor, SPAN_LIT("joblogd")));
    got = wait_status(s, id, JOB_PENDING);
    assert_int_equal(got.attempts_left, 1);
    for (int i = 0; i < 2; i++) {
        d = worker_next(&w);
        assert_int_equal(d->kind, DELIVERY_LOST);
        delivery_free(d);
    }
    assert_string_equal(finish(s, id, token, ATTEMPT_COMPLETED).cmd.err.reason, "LEASE_LOST");
    /* A sign of life, and it gets work again. */
    store_session_touch(w.session);
    worker_credit(&w, 1);
    assert_int_equal(worker_lease(&w, &token), id);
    assert_int_equal(finish(s, id, token, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    assert_counters_exact();
    worker_close(&w, false);
    store_close(s);
}

static void test_touched_worker_keeps_its_leases(void **state)
{
    struct store *s = store_fresh(&quick);
    struct worker w = worker_open(s, "w1", "q");
    int64_t id, token, until;
    struct timespec pause = {.tv_nsec = 20000000};

    (void)state;
    worker_credit(&w, 1);
    id = dispatch_ok(s, a_job("mail"));
    worker_lease(&w, &token);
    /* Three time-outs long; the pauses are the worker's heartbeat. */
    for (until = clock_mono_us() + INT64_C(3) * LEASE_MS * 1000; clock_mono_us() < until;) {
        store_session_touch(w.session);
        nanosleep(&pause, NULL);
    }
    assert_int_equal(sql_int("select count(*) from joblog.session where expire_time > now()"), 1);
    assert_int_equal(finish(s, id, token, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    worker_close(&w, false);
    store_close(s);
}

static void test_close_releases(void **state)
{
    struct store *s = store_fresh(NULL);
    struct worker w = worker_open(s, "w1", "q"), other;
    int64_t id, token;
    struct job got;

    (void)state;
    worker_credit(&w, 5);
    id = dispatch_ok(s, a_job("mail"));
    worker_lease(&w, &token);
    worker_close(&w, false);
    got = get_ok(s, id);
    assert_int_equal(got.status, JOB_PENDING);
    assert_int_equal(got.attempts[0].outcome, ATTEMPT_RELEASED);
    assert_int_equal(got.attempts_left, 1);
    other = worker_open(s, "w2", "q");
    worker_credit(&other, 1);
    assert_int_equal(worker_lease(&other, &token), id);
    assert_int_equal(finish(s, id, token, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    assert_counters_exact();
    worker_close(&other, false);
    store_close(s);
}

static void test_close_keeps_until_the_time_out(void **state)
{
    struct store *s = store_fresh(&(struct store_options){.lease_timeout_ms = 5 * LEASE_MS});
    struct worker w = worker_open(s, "w1", "q");
    int64_t ids[2], tokens[2];

    (void)state;
    worker_credit(&w, 2);
    for (int i = 0; i < 2; i++) {
        dispatch_ok(s, a_job("mail"));
        ids[i] = worker_lease(&w, &tokens[i]);
    }
    worker_close(&w, true);
    /* It came back in time with one of them. */
    assert_int_equal(finish(s, ids[0], tokens[0], ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    wait_status(s, ids[1], JOB_FAILED);
    assert_counters_exact();
    store_close(s);
}

/* Sessions of workers that are gone, whoever they were connected to, are judged when they end, not some time later:
 * here they end at four moments of a second, of which a look once a second would miss one by 750 ms. */
static void test_ends_are_seen_when_they_come(void **state)
{
    enum { N = 4 };
    struct store *s = store_fresh(NULL);
    int64_t ids[N], token;

    (void)state;
    for (int i = 0; i < N; i++) {
        struct worker w = worker_open(s, "w", "q");
        worker_credit(&w, 1);
        dispatch_ok(s, a_job("mail"));
        ids[i] = worker_lease(&w, &token);
        worker_close(&w, true);
    }
    sql_value("create table public.due as select l.job_id, clock_timestamp() + interval '1.2 s' +"
              " interval '250 ms' * row_number() over () as t from joblog.lease l");
    sql_value("update joblog.session s set expire_time = t from joblog.lease l join public.due using (job_id)"
              " where s.session_id = l.session_id");
    for (int i = 0; i < N; i++)
        wait_status(s, ids[i], JOB_FAILED);
    assert_int_equal(sql_int("select count(*) from joblog.attempt join public.due using (job_id) where end_time >= t"),
                     N);
    assert_true(sql_int("select extract(epoch from max(end_time - t)) * 1000 from joblog.attempt join public.due"
                        " using (job_id)") < 600);
    store_close(s);
}

static void test_draining_gets_nothing(void **state)
{
    struct store *s = store_fresh(NULL);
    struct worker w = worker_open(s, "w1", "q");
    struct store_session_credit c = {.cmd.op = STORE_SESSION_CREDIT, .session = w.session, .draining = true};

    (void)state;
    worker_credit(&w, 5);
    assert_int_equal(run_cmd(s, &c.cmd), 0);
    worker_credit(&w, 5);
    dispatch_ok(s, a_job("mail"));
    assert_int_equal(sql_int("select count(*) from joblog.waiting"), 1);
    assert_null(store_session_take(w.session));
    worker_close(&w, false);
    store_close(s);
}

static void test_names_and_queues_choose(void **state)
{
    struct store *s = store_fresh(NULL);
    struct waiter *wake = waiter_new();
    struct span names[] = {SPAN_LIT("mail")}, queues[] = {SPAN_LIT("q"), SPAN_LIT("r")};
    struct store_session_open o = {.cmd.op = STORE_SESSION_OPEN,
                                   .worker = SPAN_LIT("w"),
                                   .names = names,
                                   .n_names = 1,
                                   .queues = queues,
                                   .n_queues = 2,
                                   .wake = &wake->tag};
    struct worker w = {.store = s, .wake = wake};
    struct job j = a_job("mail");
    int64_t token, id;

    (void)state;
    assert_int_equal(run_cmd(s, &o.cmd), 0);
    w.session = o.session;
    worker_credit(&w, 10);
    dispatch_ok(s, a_job("other"));
    j.queue = SPAN_LIT("z");
    dispatch_ok(s, j);
    j.queue = SPAN_LIT("r");
    id = dispatch_ok(s, j);
    assert_int_equal(worker_lease(&w, &token), id);
    assert_int_equal(sql_int("select count(*) from joblog.waiting"), 2);
    worker_close(&w, false);
    store_close(s);
}

static void test_jobs_go_round(void **state)
{
    struct store *s = store_fresh(NULL);
    struct worker a = worker_open(s, "a", "q"), b = worker_open(s, "b", "q");
    int64_t token;

    (void)state;
    for (int i = 0; i < 10; i++)
        dispatch_ok(s, a_job("mail"));
    worker_credit(&a, 5);
    worker_credit(&b, 5);
    for (int i = 0; i < 5; i++) {
        worker_lease(&a, &token);
        worker_lease(&b, &token);
    }
    worker_close(&a, false);
    worker_close(&b, false);
    assert_int_equal(sql_int("select count(*) from joblog.waiting"), 10);
    store_close(s);
}

static void test_restart_with_leases_held(void **state)
{
    struct store *s = store_fresh(NULL);
    struct worker w = worker_open(s, "w1", "q");
    int64_t ids[3], tokens[3], waiting;
    struct arena a;

    (void)state;
    arena_init(&a, NULL, 0, 0);
    worker_credit(&w, 3);
    for (int i = 0; i < 3; i++) {
        dispatch_ok(s, a_job("mail"));
        ids[i] = worker_lease(&w, &tokens[i]);
    }
    waiting = dispatch_ok(s, a_job("mail"));
    /* The process ends without a word to the session. */
    store_close(s);
    waiter_free(w.wake);
    s = store_again(NULL);
    assert_int_equal(get_ok(s, ids[0]).status, JOB_RUNNING);
    assert_int_equal(finish(s, ids[0], tokens[0], ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    struct store_progress p = {.cmd.op = STORE_PROGRESS,
                               .job_id = ids[1],
                               .token = tokens[1],
                               .has_progress = true,
                               .progress = {.percent = 50},
                               .arena = &a};
    assert_int_equal(run_cmd(s, &p.cmd), 0);
    assert_int_equal(finish(s, ids[1], tokens[1], ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    sql_value("update joblog.session set expire_time = now()");
    wait_status(s, ids[2], JOB_FAILED);
    struct worker again = worker_open(s, "w2", "q");
    worker_credit(&again, 1);
    assert_int_equal(worker_lease(&again, &tokens[0]), waiting);
    assert_int_equal(finish(s, waiting, tokens[0], ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    assert_counters_exact();
    worker_close(&again, false);
    store_close(s);
    arena_done(&a);
}

static void test_started_job_needs_progress_to_live(void **state)
{
    struct store *s = store_fresh(&quick);
    int64_t token, lost_token, until, id = start_ok(s, a_job("own"), &token),
                                      lost = start_ok(s, a_job("own"), &lost_token);
    struct timespec pause = {.tv_nsec = 20000000};
    struct store_progress p = {.cmd.op = STORE_PROGRESS, .job_id = id, .token = token};

    (void)state;
    for (until = clock_mono_us() + INT64_C(3) * LEASE_MS * 1000; clock_mono_us() < until;) {
        assert_int_equal(run_cmd(s, &p.cmd), 0);
        nanosleep(&pause, NULL);
    }
    assert_int_equal(get_ok(s, id).status, JOB_RUNNING);
    wait_status(s, lost, JOB_FAILED);
    assert_int_equal(finish(s, id, token, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    assert_counters_exact();
    store_close(s);
}

/* As worker_next, for a worker that gives signs of life meanwhile. */
static struct delivery *next_alive(struct worker *w)
{
    int64_t until = clock_mono_us() + 20000000;
    struct timespec pause = {.tv_nsec = 5000000};
    struct delivery *d;

    while (!(d = store_session_take(w->session)) && clock_mono_us() < until) {
        store_session_touch(w->session);
        nanosleep(&pause, NULL);
    }
    assert_non_null(d);
    return d;
}

static void test_two_stores_share(void **state)
{
    struct store *a = store_fresh(&quick), *b = store_again(&quick);
    struct worker w = worker_open(b, "w1", "q");
    struct store_cancel c = {.cmd.op = STORE_CANCEL, .reason = SPAN_LIT("stop")};
    struct delivery *d;
    int64_t id, token;

    (void)state;
    worker_credit(&w, 2);
    /* Found by b's look at what waits. */
    id = dispatch_ok(a, a_job("mail"));
    d = next_alive(&w);
    assert_int_equal(d->job_id, id);
    token = d->token;
    delivery_free(d);
    /* A cancel there reaches the worker here. */
    c.job_id = id;
    assert_int_equal(run_cmd(a, &c.cmd), 0);
    d = next_alive(&w);
    assert_int_equal(d->kind, DELIVERY_CANCEL);
    assert_true(span_eq(d->snapshot->job.cancel.reason, SPAN_LIT("stop")));
    delivery_free(d);
    /* And an end there ends the lease here. */
    assert_int_equal(finish(a, id, token, ATTEMPT_CANCELLED).status, JOB_CANCELLED);
    assert_string_equal(finish(b, id, token, ATTEMPT_COMPLETED).cmd.err.reason, "LEASE_LOST");
    d = next_alive(&w);
    assert_int_equal(d->kind, DELIVERY_LOST);
    assert_int_equal(d->job_id, id);
    delivery_free(d);
    assert_counters_exact();
    /* The process of a worker dies: the other store ends its leases. */
    id = dispatch_ok(b, a_job("mail"));
    d = next_alive(&w);
    assert_int_equal(d->job_id, id);
    delivery_free(d);
    store_close(b);
    waiter_free(w.wake);
    wait_status(a, id, JOB_FAILED);
    assert_counters_exact();
    store_close(a);
}

/* A replica that is late in writing a sign of life is not one that is dead: its session stays in the table, or nobody
 * would know of the leases that it gives. */
static void test_late_session_is_not_forgotten(void **state)
{
    struct store *a = store_fresh(NULL), *b = store_again(NULL);
    struct worker w = worker_open(b, "w1", "q");
    int64_t id, token;

    (void)state;
    worker_credit(&w, 1);
    sql_value("update joblog.session set expire_time = now() - interval '1 s'");
    sql_value("insert into joblog.session values (7, now() - interval '1 h', now() - interval '2 h', 9, 1, 'gone')");
    await_sql("select (count(*) = 0)::int from joblog.session where session_id = 7");
    assert_int_equal(sql_int("select count(*) from joblog.session"), 1);
    id = dispatch_ok(b, a_job("mail"));
    assert_int_equal(worker_lease(&w, &token), id);
    store_close(b); /* without a word to the session */
    waiter_free(w.wake);
    wait_status(a, id, JOB_FAILED);
    assert_counters_exact();
    store_close(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silent_worker_loses_its_leases),
        cmocka_unit_test(test_touched_worker_keeps_its_leases),
        cmocka_unit_test(test_close_releases),
        cmocka_unit_test(test_close_keeps_until_the_time_out),
        cmocka_unit_test(test_ends_are_seen_when_they_come),
        cmocka_unit_test(test_draining_gets_nothing),
        cmocka_unit_test(test_names_and_queues_choose),
        cmocka_unit_test(test_jobs_go_round),
        cmocka_unit_test(test_restart_with_leases_held),
        cmocka_unit_test(test_started_job_needs_progress_to_live),
        cmocka_unit_test(test_two_stores_share),
        cmocka_unit_test(test_late_session_is_not_forgotten),
    };

    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
