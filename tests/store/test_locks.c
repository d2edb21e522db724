/* Rows that somebody else keeps locked: a replica that stands still in the middle of a batch is helped out of the way,
 * and anybody else is waited for no longer than a batch can bear. */
#include "store_fixture.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

/* Another replica, as far as PostgreSQL can tell: a connection that holds the lock of a number. */
static PGconn *replica_open(int number)
{
    PGconn *c = PQconnectdb(store_uri());
    char sql[100];

    assert_int_equal(PQstatus(c), CONNECTION_OK);
    snprintf(sql, sizeof sql, "select pg_advisory_lock(19021, %d)", number);
    PGresult *r = PQexec(c, sql);
    assert_int_equal(PQresultStatus(r), PGRES_TUPLES_OK);
    PQclear(r);
    assert_int_equal(PQenterPipelineMode(c), 1);
    return c;
}

/* A statement of its batch, and its result: done, but not committed. False: the connection was ended. */
static bool replica_runs(PGconn *c, const char *sql)
{
    if (PQsendQueryParams(c, sql, 0, NULL, NULL, NULL, NULL, 0) != 1 || PQsendFlushRequest(c) != 1 || PQflush(c) != 0)
        return false;
    PGresult *r = PQgetResult(c);
    bool done = PQresultStatus(r) == PGRES_TUPLES_OK;
    PQclear(r);
    PQclear(PQgetResult(c)); /* the NULL behind it */
    return done;
}

/* Not before the server has ended it. */
static void replica_is_ended(PGconn *c)
{
    struct pollfd fd = {.fd = PQsocket(c), .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 20000), 1);
    while (PQconsumeInput(c) == 1)
        PQclear(PQgetResult(c));
    assert_int_equal(PQstatus(c), CONNECTION_BAD);
}

struct ending {
    struct store_finish cmd;
    struct waiter *done;
};

static struct ending ending_of(int64_t id, int64_t token)
{
    return (struct ending){{.cmd.op = STORE_FINISH, .job_id = id, .token = token, .outcome = ATTEMPT_COMPLETED},
                           waiter_new()};
}

static void submit(struct store *s, struct ending *e)
{
    e->cmd.cmd.done = &e->done->tag;
    assert_int_equal(store_submit(s, &e->cmd.cmd, NULL), 0);
}

/* One has locked a job's lease and stops; another one is as slow, but is heard of now and then. The end of the job
 * waits for no more than the first one's end, and the second keeps its transaction. */
static void test_a_replica_stands_still(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t token, id = start_ok(s, a_job("mail"), &token);
    PGconn *still = replica_open(200), *slow = replica_open(201);
    struct ending e = ending_of(id, token);
    struct pollfd ended = {.fd = PQsocket(still), .events = POLLIN};
    int64_t start = clock_mono_ms();

    (void)state;
    assert_true(replica_runs(slow, "select 1"));
    assert_true(replica_runs(still, "select job_id from joblog.lease for update"));
    submit(s, &e);
    while (poll(&ended, 1, 500) == 0) {
        assert_true(replica_runs(slow, "select 2"));
        assert_true(clock_mono_ms() - start < 30000);
    }
    assert_true(clock_mono_ms() - start >= 5000);
    replica_is_ended(still);
    assert_true(waiter_wait(e.done));
    assert_int_equal(e.cmd.cmd.err.code, ERR_OK);
    assert_int_equal(get_ok(s, id).status, JOB_COMPLETED);
    assert_true(replica_runs(slow, "select 3"));
    waiter_free(e.done);
    PQfinish(still);
    PQfinish(slow);
    store_close(s);
}

/* What it has locked is left out when leases end: that must not last. */
static void test_leases_of_a_replica_that_stands_still(void **state)
{
    static const struct store_options quick = {.lease_timeout_ms = 600};
    struct store *s = store_fresh(&quick);
    struct worker w = worker_open(s, "w1", "q");
    int64_t token, id = dispatch_ok(s, a_job("mail"));
    PGconn *still = replica_open(200);

    (void)state;
    worker_credit(&w, 1);
    assert_int_equal(worker_lease(&w, &token), id);
    assert_true(replica_runs(still, "select job_id from joblog.lease for update"));
    worker_close(&w, true); /* its lease runs out */
    replica_is_ended(still);
    await_sql("select count(*) from joblog.attempt where error_type = 'LeaseLost'");
    assert_int_equal(get_ok(s, id).status, JOB_FAILED);
    assert_counters_exact();
    PQfinish(still);
    store_close(s);
}

/* Somebody at psql is nobody's replica, and is not ended. Who needs what he has locked is told so in the end, and the
 * others of the batch do not wait for him for each of its halves anew. */
static void test_somebody_else_has_locked_it(void **state)
{
    enum { N = 32 };
    struct store *s = store_fresh(NULL);
    struct ending e[N];
    char sql[100];
    int64_t start;

    (void)state;
    for (int i = 0; i < N; i++) {
        int64_t token, id = start_ok(s, a_job("mail"), &token);
        e[i] = ending_of(id, token);
    }
    sql_value("begin");
    snprintf(sql, sizeof sql, "select job_id from joblog.lease where job_id = %lld for update",
             (long long)e[20].cmd.job_id);
    sql_int(sql);
    start = clock_mono_ms();
    for (int i = 0; i < N; i++)
        submit(s, &e[i]);
    for (int i = 0; i < N; i++) {
        assert_true(waiter_wait(e[i].done) || waiter_wait(e[i].done));
        assert_int_equal(e[i].cmd.cmd.err.code, i == 20 ? ERR_ABORTED : ERR_OK);
        waiter_free(e[i].done);
    }
    /* Ten seconds once, and one for each of its halves and tries; it would be ten for each. */
    assert_true(clock_mono_ms() - start < 50000);
    sql_value("rollback");
    assert_int_equal(finish(s, e[20].cmd.job_id, e[20].cmd.token, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    assert_counters_exact();
    store_close(s);
}

/* When the waiting transaction began that is not this one. */
static void await_other_wait(char began[64])
{
    char sql[300];

    snprintf(sql, sizeof sql,
             "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and xact_start::text <> '%s'",
             began);
    await_sql(sql);
    snprintf(began, 64, "%s", sql_value("select xact_start from pg_stat_activity where wait_event_type = 'Lock'"));
}

/* A transaction that dispatches from SQL keeps a request id to itself for so long that the same request by a call has
 * been put off twice, and then commits: what comes of it is no collision, but the job that was made. */
static void test_a_request_id_that_was_waited_for(void **state)
{
    struct store *s = store_fresh(NULL);
    PGconn *c = PQconnectdb(store_uri());
    int64_t id = dispatch_ok(s, a_job("mail"));
    struct dispatch_item item = {.job = a_job("mail")};
    struct store_dispatch d = {.cmd.op = STORE_DISPATCH, .items = &item, .n_items = 1};
    struct waiter *done = waiter_new();
    char sql[200], began[64] = "";

    (void)state;
    item.job.request_id = SPAN_LIT("again");
    snprintf(sql, sizeof sql,
             "begin; insert into joblog.request values ('again', %lld, decode(repeat('00', 16), 'hex'), now())",
             (long long)id);
    PQclear(PQexec(c, sql));
    assert_int_equal(PQtransactionStatus(c), PQTRANS_INTRANS);
    d.cmd.done = &done->tag;
    assert_int_equal(store_submit(s, &d.cmd, NULL), 0);
    for (int i = 0; i < 3; i++)
        await_other_wait(began);
    PQclear(PQexec(c, "commit"));
    assert_true(waiter_wait(done));
    assert_int_equal(d.cmd.err.code, ERR_OK);
    assert_int_equal(item.err.code, ERR_OK);
    assert_true(item.replayed);
    assert_int_equal(item.job.id, id);
    waiter_free(done);
    PQfinish(c);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_replica_stands_still),
        cmocka_unit_test(test_leases_of_a_replica_that_stands_still),
        cmocka_unit_test(test_somebody_else_has_locked_it),
        cmocka_unit_test(test_a_request_id_that_was_waited_for),
    };

    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
