/* Several stores on one database, and leases that outlive the stream, the process or the memory that held them. */
#include "store_fixture.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"

enum { LEASE_MS = 600 };

static const struct store_options quick = {.lease_timeout_ms = LEASE_MS};

/* The next delivery of a worker that gives signs of life meanwhile; NULL when none comes in time. */
static struct delivery *next_within(struct worker *w, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms;
    struct timespec pause = {.tv_nsec = 5000000};
    struct delivery *d;

    while (!(d = store_session_take(w->session)) && clock_mono_ms() < until) {
        store_session_touch(w->session);
        nanosleep(&pause, NULL);
    }
    return d;
}

static void expect(struct worker *w, int64_t ms, enum delivery_kind kind, int64_t job_id)
{
    struct delivery *d = next_within(w, ms);

    assert_non_null(d);
    assert_int_equal(d->kind, kind);
    assert_int_equal(d->job_id, job_id);
    delivery_free(d);
}

static void keep_alive(struct worker *w, int64_t ms)
{
    assert_null(next_within(w, ms));
}

static int report(struct store *s, int64_t id, int64_t token, int64_t session_id, struct store_progress *ret)
{
    *ret = (struct store_progress){.cmd.op = STORE_PROGRESS,
                                   .job_id = id,
                                   .token = token,
                                   .session_id = session_id,
                                   .has_progress = true,
                                   .progress = {.percent = 50},
                                   .payload_patch = SPAN_LIT("{\"seen\": true}")};
    return run_cmd(s, &ret->cmd);
}

static void cancel_ok(struct store *s, int64_t id)
{
    struct store_cancel c = {.cmd.op = STORE_CANCEL, .job_id = id, .reason = SPAN_LIT("stop")};

    assert_int_equal(run_cmd(s, &c.cmd), 0);
}

/* A worker's stream breaks; it comes back by another one and goes on with its lease. */
static void go_on(struct store *from, struct store *to, bool cancel_first)
{
    struct worker w = worker_open(from, "w1", "q"), again;
    struct store_progress p;
    int64_t id, token, session;
    char sql[100];

    worker_credit(&w, 1);
    id = dispatch_ok(from, a_job("mail"));
    assert_int_equal(worker_lease(&w, &token), id);
    worker_close(&w, true);
    if (cancel_first)
        cancel_ok(from, id);
    again = worker_open(to, "w1", "q");
    assert_int_equal(report(to, id, token + 1, again.id, &p), -ERR_FAILED_PRECONDITION);
    assert_int_equal(report(to, id, token, again.id, &p), 0);
    /* It is told so only when that is written. */
    snprintf(sql, sizeof sql, "select session_id from joblog.lease where job_id = %lld", (long long)id);
    session = sql_int(sql);
    assert_int_equal(session, again.id);
    assert_int_equal(store_session_leases(again.session), 1);
    /* It lives with the new stream, without further reports. */
    if (!cancel_first) {
        keep_alive(&again, 4 * LEASE_MS);
        assert_int_equal(get_ok(to, id).status, JOB_RUNNING);
        cancel_ok(from, id);
    }
    expect(&again, 1500, DELIVERY_CANCEL, id);
    assert_int_equal(finish(to, id, token, ATTEMPT_CANCELLED).status, JOB_CANCELLED);
    assert_int_equal(store_session_leases(again.session), 0);
    worker_close(&again, false);
    assert_counters_exact();
}

static void test_worker_comes_back(void **state)
{
    struct store *s = store_fresh(&quick);

    (void)state;
    go_on(s, s, false);
    go_on(s, s, true);
    store_close(s);
}

static void test_worker_comes_back_elsewhere(void **state)
{
    struct store *a = store_fresh(&quick), *b = store_again(&quick);

    (void)state;
    go_on(a, b, false);
    go_on(a, b, true);
    store_close(a);
    store_close(b);
}

static void test_adopted_lease_ends_with_its_new_session(void **state)
{
    struct store *s = store_fresh(&quick);
    struct worker w = worker_open(s, "w1", "q"), again;
    struct store_progress p;
    int64_t id, token;

    (void)state;
    worker_credit(&w, 1);
    id = dispatch_ok(s, a_job("mail"));
    assert_int_equal(worker_lease(&w, &token), id);
    again = worker_open(s, "w1", "q");
    /* The old stream has not been found broken yet. */
    assert_int_equal(report(s, id, token, again.id, &p), 0);
    assert_int_equal(store_session_leases(w.session), 0);
    worker_close(&w, false);
    assert_int_equal(get_ok(s, id).status, JOB_RUNNING);
    worker_close(&again, false);
    assert_int_equal(get_ok(s, id).status, JOB_PENDING);
    assert_counters_exact();
    /* A session that is gone adopts nothing. */
    again = worker_open(s, "w1", "q");
    worker_credit(&again, 1);
    assert_int_equal(worker_lease(&again, &token), id);
    assert_int_equal(report(s, id, token, w.id, &p), 0);
    assert_int_equal(store_session_leases(again.session), 1);
    assert_int_equal(finish(s, id, token, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    worker_close(&again, false);
    store_close(s);
}

static void test_job_reaches_the_other_store(void **state)
{
    struct store *a = store_fresh(NULL), *b = store_again(NULL);
    struct worker w = worker_open(b, "w1", "q");
    int64_t start, token;

    (void)state;
    worker_credit(&w, 100);
    for (int i = 0; i < 3; i++) {
        int64_t id = dispatch_ok(a, a_job("mail"));
        start = clock_mono_ms();
        assert_int_equal(worker_lease(&w, &token), id);
        assert_true(clock_mono_ms() - start < 1500);
        assert_int_equal(finish(i & 1 ? a : b, id, token, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
        assert_counters_exact();
    }
    worker_close(&w, false);
    store_close(a);
    store_close(b);
}

/* Two stores make lanes between two looks of each at what the other made. */
static void test_lanes_of_two_stores(void **state)
{
    struct store *a = store_fresh(NULL), *b = store_again(NULL);
    struct worker w = worker_open(b, "w1", "q");
    int64_t ids[6];
    bool seen[6] = {false};

    (void)state;
    worker_credit(&w, 100);
    for (int i = 0; i < 6; i++) {
        char name[10];
        snprintf(name, sizeof name, "n%d", i);
        ids[i] = dispatch_ok(i & 1 ? b : a, a_job(name));
    }
    for (int i = 0; i < 6; i++) {
        struct delivery *d = next_within(&w, 3000);
        if (!d)
            fail_msg("only %d of 6 jobs came", i);
        for (int k = 0; k < 6; k++)
            seen[k] |= ids[k] == d->job_id;
        delivery_free(d);
    }
    for (int i = 0; i < 6; i++)
        assert_true(seen[i]);
    worker_close(&w, false);
    store_close(a);
    store_close(b);
}

/* What the old attempt writes changes nothing, even when this store has not heard of its end. */
static void test_patch_of_a_lost_lease(void **state)
{
    struct store *s = store_fresh(NULL);
    struct store_progress p;
    struct job j = a_job("mail");
    int64_t token, id = start_ok(s, j, &token);

    (void)state;
    /* As another replica would end it. */
    sql_value("with l as (delete from joblog.lease returning *), w as (insert into joblog.waiting select lane_id, 0, "
              "false, job_id from l) select count(*) from l");
    report(s, id, token, 0, &p);
    /* Written by now. */
    store_close(s);
    assert_string_equal(sql_value("select payload from joblog.job"), "{}");
    assert_int_equal(id, sql_int("select id from joblog.job"));
}

/* A lease that another replica ended is not held for ever, and its worker hears of it. */
static void test_lease_ended_elsewhere(void **state)
{
    struct store *s = store_fresh(&quick);
    struct worker w = worker_open(s, "w1", "q");
    int64_t id, token;

    (void)state;
    worker_credit(&w, 1);
    id = dispatch_ok(s, a_job("mail"));
    assert_int_equal(worker_lease(&w, &token), id);
    sql_value("with l as (delete from joblog.lease returning *), w as (insert into joblog.waiting select lane_id, 0, "
              "false, job_id from l) select count(*) from l");
    expect(&w, 5000, DELIVERY_LOST, id);
    assert_int_equal(store_session_leases(w.session), 0);
    worker_close(&w, false);
    store_close(s);
}

/* The worker goes by one store and is cancelled by another, which then ends the job. */
static void test_end_knows_the_progress(void **state)
{
    struct store *a = store_fresh(NULL), *b = store_again(NULL);
    struct worker w = worker_open(a, "w1", "q");
    struct store_progress p;
    int64_t id, token, until = clock_mono_ms() + 5000;

    (void)state;
    worker_credit(&w, 1);
    id = dispatch_ok(a, a_job("mail"));
    assert_int_equal(worker_lease(&w, &token), id);
    cancel_ok(b, id);
    assert_int_equal(report(a, id, token, w.id, &p), 0);
    while (sql_int("select percent from joblog.lease") != 50)
        assert_true(clock_mono_ms() < until);
    assert_int_equal(finish(b, id, token, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    assert_true(get_ok(a, id).progress.percent == 50);
    worker_close(&w, false);
    store_close(a);
    store_close(b);
}

/* StartJob of a run with this name (0: none); gives the job and the token. */
static int64_t replay_start(struct store *s, char run, int64_t *ret_token)
{
    struct dispatch_item item = {.job = a_job("own"), .start = true, .has_run = run != 0};
    struct store_dispatch d = {.cmd.op = STORE_DISPATCH, .items = &item, .n_items = 1};

    memset(item.body_hash, run ? 'r' : 'b', sizeof item.body_hash);
    memset(item.run_hash, run, sizeof item.run_hash);
    item.job.worker = SPAN_LIT("self");
    item.job.request_id = span_str(run ? "start-run" : "start-1");
    assert_int_equal(run_cmd(s, &d.cmd), 0);
    assert_int_equal(item.err.code, ERR_OK);
    *ret_token = item.lease_token;
    return item.job.id;
}

/* StartJob was answered, but the answer was lost, and so was the process. A run with a name has its lease alone. */
static void test_start_replayed_after_a_restart(void **state)
{
    struct store *s = store_fresh(NULL);
    static const char runs[] = {0, 'a'};
    int64_t tokens[2], ids[2], again;

    (void)state;
    for (int restarted = 0; restarted < 2; restarted++) {
        for (int i = 0; i < 2; i++) {
            if (!restarted)
                ids[i] = replay_start(s, runs[i], &tokens[i]);
            assert_int_equal(replay_start(s, runs[i], &again), ids[i]);
            assert_int_equal(again, tokens[i]);
        }
        assert_int_equal(replay_start(s, 'b', &again), ids[1]);
        assert_int_equal(again, 0);
        if (!restarted) {
            store_close(s);
            s = store_again(NULL);
        }
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(finish(s, ids[i], tokens[i], ATTEMPT_COMPLETED).status, JOB_COMPLETED);
        assert_int_equal(replay_start(s, runs[i], &again), ids[i]);
        assert_int_equal(again, 0);
    }
    store_close(s);
}

/* In one batch too: the first of them begins it. */
static void test_runs_of_one_batch(void **state)
{
    struct store *s = store_fresh(NULL);
    struct dispatch_item items[3] = {0};
    struct store_dispatch d = {.cmd.op = STORE_DISPATCH, .items = items, .n_items = 3};

    (void)state;
    for (int i = 0; i < 3; i++) {
        items[i] = (struct dispatch_item){.job = a_job("own"), .start = true, .has_run = true};
        memset(items[i].run_hash, i == 1 ? 'b' : 'a', sizeof items[i].run_hash);
        items[i].job.worker = SPAN_LIT("self");
        items[i].job.request_id = SPAN_LIT("at-once");
    }
    assert_int_equal(run_cmd(s, &d.cmd), 0);
    assert_true(items[0].lease_token != 0);
    assert_false(items[0].replayed);
    for (int i = 1; i < 3; i++) {
        assert_int_equal(items[i].err.code, ERR_OK);
        assert_true(items[i].replayed);
        assert_int_equal(items[i].job.id, items[0].job.id);
        assert_int_equal(items[i].same_run, i == 2);
        assert_int_equal(items[i].lease_token, i == 2 ? items[0].lease_token : 0);
    }
    store_close(s);
}

/* One part after the other, not one every ten seconds, whether old ones are found in it or not. */
static void test_old_request_ids_are_purged(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t until = clock_mono_ms() + 40000;

    (void)state;
    sql_value("insert into joblog.request select 'request-id-of-usual-length-' || g, g, '', "
              "now() - case when g <= 30000 or g % 10 = 0 then '1 hour' else '25 hours' end::interval "
              "from generate_series(1, 100000) g");
    store_close(s);
    s = store_again(NULL);
    while (sql_int("select count(*) from joblog.request, pg_sleep(0.05)") > 37000) {
        if (clock_mono_ms() > until)
            fail_msg("%lld are left", (long long)sql_int("select count(*) from joblog.request"));
    }
    assert_int_equal(sql_int("select count(*) from joblog.request"), 37000);
    store_close(s);
}

/* Changes that come to be old while old ones are deleted hold up nothing else that the janitor does. */
static void test_what_grows_old_meanwhile_can_wait(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t until = clock_mono_ms() + 25000;

    (void)state;
    store_close(s);
    sql_value(
        "insert into joblog.change select 100, g, now() - interval '15 minutes' + g * interval '5 milliseconds', '' "
        "from generate_series(1, 12000) g");
    sql_value("insert into joblog.request values ('old', 1, '', now() - interval '25 hours')");
    s = store_again(NULL);
    while (sql_int("select count(*) from joblog.request, pg_sleep(0.05)") > 0)
        assert_true(clock_mono_ms() < until);
    assert_true(sql_int("select count(*) from joblog.change where replica = 100") > 0);
    store_close(s);
}

static atomic_int refuse_deliveries;

static bool refuse_delivery(size_t size)
{
    return size != sizeof(struct delivery) || atomic_load(&refuse_deliveries) == 0 ||
           atomic_fetch_sub(&refuse_deliveries, 1) <= 0;
}

/* Memory runs out when a worker is to be told of its lease: the job does not stay with one that never heard of it. */
static void test_delivery_without_memory(void **state)
{
    struct store *s;
    struct worker w;
    int64_t id;

    (void)state;
    mem_set_gate(refuse_delivery);
    s = store_fresh(NULL);
    w = worker_open(s, "w1", "q");
    worker_credit(&w, 1);
    atomic_store(&refuse_deliveries, 1);
    id = dispatch_ok(s, a_job("mail"));
    expect(&w, 5000, DELIVERY_LEASE, id);
    assert_int_equal(store_session_leases(w.session), 1);
    assert_int_equal(get_ok(s, id).attempts[0].outcome, ATTEMPT_RELEASED);
    assert_counters_exact();
    worker_close(&w, false);
    store_close(s);
    mem_set_gate(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worker_comes_back),
        cmocka_unit_test(test_worker_comes_back_elsewhere),
        cmocka_unit_test(test_adopted_lease_ends_with_its_new_session),
        cmocka_unit_test(test_job_reaches_the_other_store),
        cmocka_unit_test(test_lanes_of_two_stores),
        cmocka_unit_test(test_patch_of_a_lost_lease),
        cmocka_unit_test(test_lease_ended_elsewhere),
        cmocka_unit_test(test_end_knows_the_progress),
        cmocka_unit_test(test_start_replayed_after_a_restart),
        cmocka_unit_test(test_runs_of_one_batch),
        cmocka_unit_test(test_old_request_ids_are_purged),
        cmocka_unit_test(test_what_grows_old_meanwhile_can_wait),
        cmocka_unit_test(test_delivery_without_memory),
    };

    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
