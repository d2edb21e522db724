/* What is owed to the counters: told at once, written when it is time, and not lost with whoever owes it. The wall
 * clock of the store stands still while a test says so (--wrap, see CMakeLists.txt), so that it is not time yet. */
#include "store_fixture.h"

#include <libpq-fe.h>
#include <stdatomic.h>
#include <stdio.h>

enum { MINUTE_US = 60 * 1000 * 1000, SECOND_US = 1000 * 1000 };

static _Atomic int64_t still_us; /* 0: it goes on */

int64_t __real_clock_wall_us(void);
int64_t __wrap_clock_wall_us(void);

int64_t __wrap_clock_wall_us(void)
{
    int64_t us = atomic_load(&still_us);
    return us ? us : __real_clock_wall_us();
}

/* At the begin of the minute, and so many before. */
static void stand_still(int64_t minutes_ago)
{
    atomic_store(&still_us, (__real_clock_wall_us() / MINUTE_US - minutes_ago) * MINUTE_US);
}

/* It is time. */
static void await_paid(void)
{
    atomic_store(&still_us, 0);
    await_sql("select (owed is null)::int from joblog.replica where number = 0");
}

static void run_one(struct store *s, const char *name)
{
    int64_t token, id = start_ok(s, a_job(name), &token);
    struct store_finish f = finish(s, id, token, ATTEMPT_COMPLETED);

    assert_int_equal(run_cmd(s, &f.cmd), 0);
}

#define OWES "select (owed is not null)::int from joblog.replica where number = 0"
/* What the tables say, without what is owed. */
#define WRITTEN "select coalesce(sum(n), 0) from joblog.tally where status = 3"

/* Completed jobs, as statistics tell them: of now, and of the minutes around now. */
static int64_t told(struct store *s)
{
    int64_t minute_us = __wrap_clock_wall_us() / MINUTE_US * MINUTE_US, n = 0, n_ended = 0;
    struct arena arena;
    struct store_stats stats = {.cmd.op = STORE_STATS,
                                .arena = &arena,
                                .from_us = minute_us - INT64_C(10) * MINUTE_US,
                                .to_us = minute_us + INT64_C(10) * MINUTE_US};

    arena_init(&arena, NULL, 0, 0);
    assert_int_equal(run_cmd(s, &stats.cmd), 0);
    for (size_t i = 0; i < stats.n_rows; i++) {
        n += stats.rows[i].counts[JOB_COMPLETED];
        n_ended += stats.rows[i].sums.completed;
    }
    arena_done(&arena);
    assert_int_equal(n_ended, n);
    return n;
}

static void test_what_is_owed_is_told_and_paid(void **state)
{
    struct store *s = store_fresh(NULL);

    (void)state;
    stand_still(0);
    run_one(s, "mail");
    assert_int_equal(sql_int(OWES), 1);
    assert_int_equal(sql_int(WRITTEN), 0);
    assert_int_equal(told(s), 1);
    assert_counters_exact();
    await_paid();
    assert_int_equal(sql_int(WRITTEN), 1);
    assert_counters_exact();
    stand_still(0);
    run_one(s, "mail");
    assert_int_equal(sql_int(OWES), 1);
    store_close(s);
    assert_int_equal(sql_int(OWES), 0);
    assert_int_equal(sql_int(WRITTEN), 2);
    assert_counters_exact();
}

/* Other lanes join what is owed until there are too many; then all are written. */
static void test_many_lanes_are_written(void **state)
{
    struct store *s = store_fresh(NULL);
    char name[8];

    (void)state;
    stand_still(0);
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "n%d", i);
        run_one(s, name);
        assert_int_equal(sql_int(OWES), 1);
        assert_counters_exact();
    }
    dispatch_ok(s, a_job("n3"));
    assert_int_equal(sql_int(OWES), 0);
    assert_int_equal(sql_int(WRITTEN), 3);
    assert_counters_exact();
    dispatch_ok(s, a_job("n3"));
    assert_int_equal(sql_int(OWES), 1);
    assert_counters_exact();
    store_close(s);
}

/* A batch of the next minute writes what is owed of the one before. */
static void test_a_minute_that_ends(void **state)
{
    struct store *s = store_fresh(NULL);

    (void)state;
    stand_still(1);
    atomic_fetch_sub(&still_us, SECOND_US / 2);
    run_one(s, "mail");
    assert_int_equal(sql_int(OWES), 1);
    assert_int_equal(sql_int("select count(*) from joblog.minute"), 0);
    atomic_fetch_add(&still_us, SECOND_US / 2);
    dispatch_ok(s, a_job("mail"));
    assert_int_equal(sql_int("select sum(dispatched) from joblog.minute"), 2);
    assert_int_equal(sql_int("select count(*) from joblog.minute where dispatched = 1"), 2);
    assert_int_equal(sql_int("select sum(completed) from joblog.minute"), 1);
    assert_counters_exact();
    dispatch_ok(s, a_job("mail"));
    assert_int_equal(sql_int(OWES), 1);
    assert_int_equal(sql_int("select max(dispatched) from joblog.minute_now"), 2);
    assert_counters_exact();
    store_close(s);
    assert_int_equal(sql_int("select count(*) from joblog.minute"), 2);
    assert_counters_exact();
}

/* The database as it was while a replica owed something, and then the replica was gone. */
static struct store *store_that_dies(void)
{
    struct store *s = store_fresh(NULL);

    run_one(s, "mail");
    await_paid();
    stand_still(0);
    run_one(s, "mail");
    dispatch_ok(s, a_job("post"));
    assert_int_equal(sql_int(OWES), 1);
    sql_value("create table public.kept_replica as select * from joblog.replica");
    sql_value("create table public.kept_tally as select * from joblog.tally");
    sql_value("create table public.kept_minute as select * from joblog.minute");
    return s;
}

static void restore(const char *number)
{
    char sql[300];

    sql_value("truncate joblog.tally, joblog.minute; insert into joblog.tally select * from public.kept_tally;"
              " insert into joblog.minute select * from public.kept_minute");
    snprintf(sql, sizeof sql,
             "update joblog.tally set replica = %s; update joblog.minute set replica = %s;"
             " delete from joblog.replica where number in (0, %s);"
             " insert into joblog.replica select %s, batch, last_id, now() - interval '1 hour', owed"
             " from public.kept_replica",
             number, number, number, number);
    sql_value(sql);
    assert_int_equal(sql_int("select count(*) from joblog.replica where owed is not null"), 1);
    assert_int_equal(sql_int(WRITTEN), 1);
    assert_counters_exact();
}

/* The next process with that number writes it. */
static void test_who_takes_the_number_pays(void **state)
{
    (void)state;
    store_close(store_that_dies());
    restore("0");
    struct store *s = store_again(NULL);
    assert_int_equal(sql_int(OWES), 0);
    assert_int_equal(sql_int(WRITTEN), 2);
    assert_counters_exact();
    run_one(s, "mail");
    assert_int_equal(told(s), 3);
    assert_counters_exact();
    store_close(s);
}

/* Nobody takes the number: a janitor writes it. */
static void test_the_janitor_pays_for_the_dead(void **state)
{
    (void)state;
    store_close(store_that_dies());
    restore("7");
    struct store *s = store_again(NULL);
    await_sql("select (owed is null)::int from joblog.replica where number = 7");
    assert_int_equal(sql_int(WRITTEN), 2);
    assert_counters_exact();
    store_close(s);
}

/* A replica that was held up is taken for dead, and goes on: it owes the same once more, and no harm is done. */
static void test_who_was_paid_for_goes_on(void **state)
{
    struct store *s = store_fresh(NULL);

    (void)state;
    stand_still(3);
    run_one(s, "mail");
    assert_int_equal(sql_int(OWES), 1);
    await_sql("select (owed is null)::int from joblog.replica where number = 0"); /* by its own janitor */
    assert_int_equal(sql_int(WRITTEN), 1);
    run_one(s, "mail");
    assert_int_equal(sql_int(OWES), 1);
    assert_int_equal(told(s), 2);
    assert_counters_exact();
    await_paid();
    assert_int_equal(sql_int(WRITTEN), 2);
    assert_counters_exact();
    store_close(s);
}

/* The connection is lost between two batches: what is owed is read again with it. */
static void test_a_connection_that_is_lost(void **state)
{
    struct store *s = store_fresh(NULL);

    (void)state;
    stand_still(0);
    run_one(s, "mail");
    assert_int_equal(sql_int(OWES), 1);
    sql_value("select count(pg_terminate_backend(pid, 20000)) from pg_stat_activity"
              " where application_name = 'joblog writer' and datname = current_database()");
    run_one(s, "mail");
    assert_int_equal(told(s), 2);
    assert_counters_exact();
    store_close(s);
    assert_counters_exact();
}

/* Somebody writes the replica's row anew, and a batch that owes fails: the next one owes as much and more. */
static void test_a_batch_that_fails_while_something_is_owed(void **state)
{
    struct store *s = store_fresh(NULL);
    struct job job = a_job("mail");
    struct dispatch_item item;

    (void)state;
    stand_still(0);
    run_one(s, "mail");
    sql_value("vacuum full joblog.replica");
    run_one(s, "mail");
    assert_int_equal(sql_int(OWES), 1);
    job.payload = SPAN_LIT("{\"a\": \"\\u0000\"}"); /* jsonb takes none */
    item = (struct dispatch_item){.job = job};
    struct store_dispatch d = {.cmd.op = STORE_DISPATCH, .items = &item, .n_items = 1};
    run_cmd(s, &d.cmd);
    assert_int_not_equal(item.err.code, ERR_OK);
    assert_counters_exact();
    run_one(s, "mail");
    assert_int_equal(told(s), 3);
    assert_counters_exact();
    store_close(s);
    assert_counters_exact();
}

static PGconn *begin(const char *sql)
{
    PGconn *c = PQconnectdb(store_uri());

    PQclear(PQexec(c, "begin"));
    PGresult *r = PQexec(c, sql);
    assert_int_equal(PQresultStatus(r), PGRES_TUPLES_OK);
    PQclear(r);
    return c;
}

/* Somebody has locked a row of the counters: it stays owed, and nobody waits for him but the batch that was to write
 * it. */
static void test_a_row_that_is_locked(void **state)
{
    struct store *s = store_fresh(NULL);

    (void)state;
    run_one(s, "mail");
    await_paid();
    PGconn *c = begin("select n from joblog.tally for update");
    stand_still(0);
    run_one(s, "mail");
    atomic_fetch_add(&still_us, INT64_C(2) * SECOND_US);
    await_sql(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'joblog writer'");
    for (int i = 0; i < 5; i++)
        run_one(s, "mail"); /* the first one waits with it */
    assert_int_equal(sql_int(OWES), 1);
    assert_int_equal(told(s), 7);
    assert_counters_exact();
    PQfinish(c);
    store_close(s);
    assert_int_equal(sql_int(OWES), 0);
    assert_counters_exact();
}

/* And then the connection is lost with a batch under way, which another lock holds up: without what is owed the
 * counters are not known, and nothing runs until they are. */
static void test_what_is_owed_cannot_be_written_after_a_loss(void **state)
{
    static const struct store_options hurried = {.reconnect_ms = 1000};
    struct store *s = store_fresh(&hurried);
    struct dispatch_item item = {.job = a_job("mail")};
    struct store_dispatch d = {.cmd.op = STORE_DISPATCH, .items = &item, .n_items = 1};
    struct waiter *done = waiter_new();

    (void)state;
    run_one(s, "mail");
    await_paid();
    stand_still(0);
    run_one(s, "mail");
    assert_int_equal(sql_int(OWES), 1);
    PGconn *tally = begin("select n from joblog.tally for update");
    PGconn *request = begin("select from joblog.request");
    PQclear(PQexec(request, "insert into joblog.request values ('a', 1, '', now())"));
    item.job.request_id = SPAN_LIT("a");
    d.cmd.done = &done->tag;
    assert_int_equal(store_submit(s, &d.cmd, NULL), 0);
    await_sql(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'joblog writer'");
    sql_value("select count(pg_terminate_backend(pid, 20000)) from pg_stat_activity"
              " where application_name = 'joblog writer' and datname = current_database()");
    assert_true(waiter_wait(done) || waiter_wait(done));
    assert_int_equal(item.err.code, ERR_UNAVAILABLE);
    PQfinish(request);
    PQfinish(tally);
    run_one(s, "mail");
    assert_int_equal(told(s), 3);
    assert_counters_exact();
    waiter_free(done);
    store_close(s);
    assert_counters_exact();
}

static int go_on(void **state)
{
    (void)state;
    atomic_store(&still_us, 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_what_is_owed_is_told_and_paid, go_on),
        cmocka_unit_test_setup(test_many_lanes_are_written, go_on),
        cmocka_unit_test_setup(test_a_minute_that_ends, go_on),
        cmocka_unit_test_setup(test_who_takes_the_number_pays, go_on),
        cmocka_unit_test_setup(test_the_janitor_pays_for_the_dead, go_on),
        cmocka_unit_test_setup(test_who_was_paid_for_goes_on, go_on),
        cmocka_unit_test_setup(test_a_connection_that_is_lost, go_on),
        cmocka_unit_test_setup(test_a_batch_that_fails_while_something_is_owed, go_on),
        cmocka_unit_test_setup(test_a_row_that_is_locked, go_on),
        cmocka_unit_test_setup(test_what_is_owed_cannot_be_written_after_a_loss, go_on),
    };

    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
