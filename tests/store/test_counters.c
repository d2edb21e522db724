/* The few rows that each batch writes: counters and the replica's mark, by where they lie; and the log of changes,
 * which does not grow with the load. */
#include "store_fixture.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "store/change.h"

static void pause_a_little(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

static void run_one(struct store *s)
{
    int64_t token, id = start_ok(s, a_job("mail"), &token);
    struct store_finish f = finish(s, id, token, ATTEMPT_COMPLETED);

    assert_int_equal(run_cmd(s, &f.cmd), 0);
}

/* One job of each name, in one batch; of four and more the rows of the counters are written at once (owed.c). */
static void dispatch_names(struct store *s, size_t n)
{
    struct dispatch_item items[40];
    char names[40][8];
    struct store_dispatch d = {.cmd.op = STORE_DISPATCH, .items = items, .n_items = n};

    for (size_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "n%zu", i);
        items[i] = (struct dispatch_item){.job = a_job(names[i])};
    }
    assert_int_equal(run_cmd(s, &d.cmd), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(items[i].err.code, ERR_OK);
}

/* Whoever writes the tables anew moves the rows: the batch finds them by their keys then. */
static void test_rows_that_moved_are_found(void **state)
{
    static const char *const tables[] = {"tally", "minute", "replica"};
    struct store *s = store_fresh(NULL);
    char sql[100];

    (void)state;
    for (int i = 0; i < 5; i++)
        dispatch_names(s, 4);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        snprintf(sql, sizeof sql, "vacuum full joblog.%s", tables[i]);
        sql_value(sql);
        dispatch_names(s, 4);
        run_one(s);
        assert_counters_exact();
        assert_int_equal(sql_int("select count(*) from joblog.replica where owed is null"), 0);
    }
    assert_int_equal(sql_int("select count(*) from joblog.job"), 5 * 4 + 3 * 5);
    store_close(s);
}

/* A batch that is about many lanes, of which it knows the rows of some, and one whose rows have moved. */
static void test_counters_of_many_lanes(void **state)
{
    struct store *s = store_fresh(NULL);

    (void)state;
    dispatch_names(s, 30);
    dispatch_names(s, 30);
    dispatch_names(s, 40);
    assert_counters_exact();
    sql_value("vacuum full joblog.minute");
    dispatch_names(s, 40);
    dispatch_names(s, 20);
    assert_counters_exact();
    assert_int_equal(sql_int("select count(*) from (select sum(dispatched) n from joblog.minute group by lane_id) m"
                             " where n = 5"),
                     20);
    assert_int_equal(sql_int("select sum(dispatched) from joblog.minute"), 160);
    store_close(s);
}

/* So does a failure, after which memory believes of no row where it lies. */
static void test_a_batch_that_fails_changes_no_counter(void **state)
{
    struct store *s = store_fresh(NULL);
    struct job job = a_job("mail");
    struct dispatch_item item;

    (void)state;
    dispatch_names(s, 4);
    dispatch_names(s, 4);
    job.payload = SPAN_LIT("{\"a\": \"\\u0000\"}"); /* jsonb takes none */
    item = (struct dispatch_item){.job = job};
    struct store_dispatch d = {.cmd.op = STORE_DISPATCH, .items = &item, .n_items = 1};
    run_cmd(s, &d.cmd);
    assert_int_not_equal(item.err.code, ERR_OK);
    assert_counters_exact();
    dispatch_names(s, 4);
    run_one(s);
    assert_counters_exact();
    store_close(s);
}

/* While the versions of before stay. */
static void test_counters_are_exact_beside_an_old_snapshot(void **state)
{
    struct store *s = store_fresh(NULL);
    PGconn *holder = PQconnectdb(store_uri());

    (void)state;
    PQclear(PQexec(holder, "begin isolation level repeatable read"));
    PQclear(PQexec(holder, "select count(*) from joblog.tally"));
    for (int i = 0; i < 50; i++) {
        dispatch_names(s, 4);
        run_one(s);
    }
    PGresult *r = PQexec(holder, "select count(*) from joblog.job");
    assert_string_equal(PQgetvalue(r, 0, 0), "0"); /* it is an old snapshot */
    PQclear(r);
    assert_counters_exact();
    PQfinish(holder);
    run_one(s);
    assert_counters_exact();
    store_close(s);
}

/* ---- the log of changes ---- */

enum { JOBS = 100, ROUNDS = CHANGES_MARKS + 1 };

static void dispatch_many(struct store *s)
{
    static struct dispatch_item items[JOBS];
    struct store_dispatch d = {.cmd.op = STORE_DISPATCH, .items = items, .n_items = JOBS};

    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < JOBS; i++)
            items[i] = (struct dispatch_item){.job = a_job("mail")};
        assert_int_equal(run_cmd(s, &d.cmd), 0);
    }
}

/* Batches long past, so many changes ago that no resume point reaches them; and such as must stay. */
static void test_the_log_of_changes_is_kept_as_far_as_it_is_asked_for(void **state)
{
    struct store_options options = {.change_bytes = JOBS * CHANGE_BYTES};
    struct store *s = store_fresh(NULL);

    (void)state;
    dispatch_ok(s, a_job("mail"));
    store_close(s);
    sql_value("delete from joblog.change");
    sql_value("update joblog.replica set batch = 10000 where number = 0");
    sql_value(
        "insert into joblog.change select 0, b, now() - interval '2 minutes', '' from generate_series(100, 1600) b");
    sql_value(
        "insert into joblog.change select 0, b, now() - interval '2 minutes', '' from generate_series(9000, 9009) b");
    sql_value(
        "insert into joblog.change select 0, b, now() + interval '1 hour', '' from generate_series(2000, 2004) b");
    sql_value(
        "insert into joblog.change select 7, b, now() - interval '2 minutes', '' from generate_series(100, 102) b");
    s = store_again(&options);
    dispatch_many(s);
    for (int i = 0; i < 2000 && sql_int("select count(*) from joblog.change where replica = 0 and batch <= 1600") > 0;
         i++)
        pause_a_little();
    assert_int_equal(sql_int("select count(*) from joblog.change where replica = 0 and batch <= 1600"), 0);
    assert_int_equal(sql_int("select count(*) from joblog.change where batch between 9000 and 9009"),
                     10); /* too few since */
    assert_int_equal(sql_int("select count(*) from joblog.change where batch between 2000 and 2004"),
                     5);                                                                  /* too young */
    assert_int_equal(sql_int("select count(*) from joblog.change where replica = 7"), 3); /* another's */
    assert_int_equal(sql_int("select count(*) from joblog.change where batch > 10000"), ROUNDS);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_that_moved_are_found),
        cmocka_unit_test(test_counters_of_many_lanes),
        cmocka_unit_test(test_a_batch_that_fails_changes_no_counter),
        cmocka_unit_test(test_counters_are_exact_beside_an_old_snapshot),
        cmocka_unit_test(test_the_log_of_changes_is_kept_as_far_as_it_is_asked_for),
    };

    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
