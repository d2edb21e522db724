/* The schema and the statements: every one prepares, the rules equal the code's, migrations are guarded. */
#include "store_fixture.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "core/id.h"
#include "core/life.h"
#include "migrations/migrations.h"
#include "store/sql_text.h"

static void test_every_statement_prepares(void **state)
{
    struct store *s = store_fresh(NULL);
    PGconn *c = PQconnectdb(store_uri());

    (void)state;
    assert_true(SQL_COUNT > 40);
    for (int i = 0; i < SQL_COUNT; i++) {
        PGresult *r = PQprepare(c, sql_texts[i].name, sql_texts[i].text, 0, NULL);
        if (PQresultStatus(r) != PGRES_COMMAND_OK)
            fail_msg("%s: %s", sql_texts[i].name, PQerrorMessage(c));
        PQclear(r);
        /* The header comment is the contract. */
        assert_int_equal(strncmp(sql_texts[i].text, "-- ", 3), 0);
    }
    PQfinish(c);
    store_close(s);
}

static void test_transition_table_equals_the_code(void **state)
{
    struct store *s = store_fresh(NULL);
    char sql[200];

    (void)state;
    for (int from = 1; from < JOB_STATUS_COUNT; from++) {
        for (int to = 1; to < JOB_STATUS_COUNT; to++) {
            snprintf(sql, sizeof sql,
                     "select count(*) from joblog.transition_rule where from_status = %d and to_status = %d", from, to);
            assert_int_equal(sql_int(sql), job_transition_allowed(from, to));
        }
    }
    store_close(s);
}

/* Tries to set a stored status by hand: refused unless the rules allow it. */
static bool try_status(int64_t id, int to)
{
    PGconn *c = PQconnectdb(store_uri());
    char sql[200];
    bool done;

    snprintf(sql, sizeof sql, "update joblog.job_state set status = %d where id = %lld", to, (long long)id);
    PGresult *r = PQexec(c, sql);
    done = PQresultStatus(r) == PGRES_COMMAND_OK;
    if (!done && to != JOB_RUNNING)
        assert_string_equal(PQresultErrorField(r, PG_DIAG_SQLSTATE), "JL002");
    PQclear(r);
    PQfinish(c);
    return done;
}

static void test_trigger_refuses_what_the_rules_forbid(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t token, done = start_ok(s, a_job("mail"), &token);

    (void)state;
    finish(s, done, token, ATTEMPT_COMPLETED);
    for (int to = 1; to < JOB_STATUS_COUNT; to++) {
        if (to != JOB_COMPLETED)
            assert_false(try_status(done, to));
    }
    int64_t failed = start_ok(s, a_job("mail"), &token);
    finish(s, failed, token, ATTEMPT_FAILED);
    assert_false(try_status(failed, JOB_COMPLETED));
    assert_false(try_status(failed, JOB_CANCELLED));
    assert_true(try_status(failed, JOB_PENDING));
    /* A stored job is never "running": its lease says so. */
    assert_false(try_status(failed, JOB_RUNNING));
    store_close(s);
}

static void test_id_functions_equal_the_code(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t id = dispatch_ok(s, a_job("mail"));
    char sql[200];

    (void)state;
    snprintf(sql, sizeof sql, "select (extract(epoch from joblog.id_time(%lld)) * 1000000)::bigint", (long long)id);
    assert_int_equal(sql_int(sql), id_time_us(id));
    snprintf(sql, sizeof sql, "select joblog.id_floor(joblog.id_time(%lld))", (long long)id);
    assert_int_equal(sql_int(sql), id_floor(id_time_us(id)));
    assert_int_equal(sql_int("select joblog.id_floor('2020-01-01')"), 0);
    store_close(s);
}

/* Writes a change of status into the record by hand. */
static bool try_pair(PGconn *c, int from, int to)
{
    char sql[200];
    bool done;

    snprintf(sql, sizeof sql,
             "insert into joblog.transition (job_id, revision, time, from_status, to_status)"
             " values (1, %d, now(), %d, %d)",
             from * 10 + to, from, to);
    PGresult *r = PQexec(c, sql);
    done = PQresultStatus(r) == PGRES_COMMAND_OK;
    if (!done) {
        assert_string_equal(PQresultErrorField(r, PG_DIAG_SQLSTATE), "23514");
        assert_string_equal(PQresultErrorField(r, PG_DIAG_CONSTRAINT_NAME), "transition_pair");
    }
    PQclear(r);
    return done;
}

static void test_record_takes_what_the_rules_allow(void **state)
{
    struct store *s = store_fresh(NULL);
    PGconn *c = PQconnectdb(store_uri());

    (void)state;
    for (int from = 0; from <= JOB_STATUS_COUNT; from++) {
        for (int to = 0; to <= JOB_STATUS_COUNT; to++)
            assert_int_equal(try_pair(c, from, to), job_transition_allowed(from, to));
    }
    assert_int_equal(sql_int("select convalidated::int from pg_constraint where conname = 'transition_pair'"), 1);
    PQfinish(c);
    store_close(s);
}

static bool try_number(PGconn *c, int number)
{
    char sql[200];

    snprintf(sql, sizeof sql, "insert into joblog.replica (number, batch, last_id, seen_time) values (%d, 0, 0, now())",
             number);
    PGresult *r = PQexec(c, sql);
    bool done = PQresultStatus(r) == PGRES_COMMAND_OK;
    if (!done)
        assert_string_equal(PQresultErrorField(r, PG_DIAG_SQLSTATE), "23514");
    PQclear(r);
    return done;
}

static void test_replica_numbers_have_bounds(void **state)
{
    struct store *s = store_fresh(NULL);
    PGconn *c = PQconnectdb(store_uri());

    (void)state;
    assert_false(try_number(c, -1));
    assert_false(try_number(c, 256));
    assert_true(try_number(c, 255));
    PQfinish(c);
    store_close(s);
}

static void apply_again(const char *name)
{
    PGconn *c = PQconnectdb(store_uri());
    PGresult *r = NULL;

    for (size_t i = 0; i < migration_count; i++) {
        if (strcmp(migrations[i].name, name) == 0)
            r = PQexec(c, migrations[i].sql);
    }
    assert_int_equal(PQresultStatus(r), PGRES_COMMAND_OK);
    PQclear(r);
    PQfinish(c);
}

/* A row that somebody wrote by hand before there was a rule: the server starts all the same, and new rows are held
 * against it. */
static void test_record_may_hold_old_mistakes(void **state)
{
    PGconn *c;

    (void)state;
    store_close(store_fresh(NULL));
    c = PQconnectdb(store_uri());
    sql_value("alter table joblog.transition drop constraint transition_pair");
    assert_true(try_pair(c, JOB_COMPLETED, JOB_PENDING));
    apply_again("transition_pair");
    apply_again("transition_pair_holds");
    assert_int_equal(sql_int("select convalidated::int from pg_constraint where conname = 'transition_pair'"), 0);
    assert_false(try_pair(c, JOB_COMPLETED, JOB_RUNNING));
    sql_value("delete from joblog.transition");
    apply_again("transition_pair_holds");
    assert_int_equal(sql_int("select convalidated::int from pg_constraint where conname = 'transition_pair'"), 1);
    PQfinish(c);
}

static void test_partitions_are_made_ahead(void **state)
{
    struct store *s = store_fresh(NULL);

    (void)state;
    assert_int_equal(sql_int("select joblog.ensure_partitions(current_date - 1, current_date + 10)"), 0);
    assert_int_equal(sql_int("select joblog.ensure_partitions('2040-12-31', '2041-02-01')"), 3);
    assert_int_equal(sql_int("select joblog.ensure_partitions('2040-12-01', '2041-02-28')"), 0);
    /* The last and the first id of months that meet. */
    assert_string_equal(
        sql_value("select string_agg(pg_get_expr(c.relpartbound, c.oid), ' ' order by relname) = format("
                  "'FOR VALUES FROM (''%s'') TO (''%s'') FOR VALUES FROM (''%s'') TO (''%s'')',"
                  " joblog.id_floor('2040-12-01Z'), joblog.id_floor('2041-01-01Z'),"
                  " joblog.id_floor('2041-01-01Z'), joblog.id_floor('2041-02-01Z'))"
                  " from pg_class c where relname in ('job_204012', 'job_204101')"),
        "t");
    /* Every partition has what the table has. */
    assert_int_equal(
        sql_int("select count(distinct n) from (select i.inhrelid, (select count(*) from pg_index x where"
                " x.indrelid = i.inhrelid) n from pg_inherits i where inhparent = 'joblog.job'::regclass) a"),
        1);
    store_close(s);
}

static struct err open_error(void)
{
    struct store_options o = {.uri = store_uri()};
    struct err err = ERR_NONE;

    assert_null(store_open(&o, &err));
    return err;
}

static void test_migrations_are_guarded(void **state)
{
    struct err err;
    char sql[300];

    (void)state;
    store_close(store_fresh(NULL));
    assert_int_equal(sql_int("select count(*) from joblog.migration"), migration_count);
    store_close(store_again(NULL));
    assert_int_equal(sql_int("select count(*) from joblog.migration"), migration_count);

    snprintf(sql, sizeof sql, "insert into joblog.migration values (%zu, 'later', 'x')", migration_count + 1);
    sql_value(sql);
    err = open_error();
    assert_int_equal(err.code, ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "DATABASE_NEWER");
    sql_value("delete from joblog.migration where name = 'later'");

    sql_value("update joblog.migration set sha256 = 'other' where number = 1");
    err = open_error();
    assert_string_equal(err.reason, "MIGRATION_CHANGED");
}

static void *open_again(void *ret)
{
    struct store_options o = {.uri = store_uri()};
    struct err err = ERR_NONE;
    *(struct store **)ret = store_open(&o, &err);
    return NULL;
}

static void must(PGconn *c, const char *sql)
{
    PGresult *r = PQexec(c, sql);
    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(c));
    PQclear(r);
}

/* A migration that waits for a table that somebody reads lets others at it meanwhile, and is done once it is free. */
static void test_migrations_wait_politely(void **state)
{
    struct store *s = NULL;
    pthread_t thread;

    (void)state;
    store_close(store_fresh(NULL));
    PGconn *reader = PQconnectdb(store_uri()), *other = PQconnectdb(store_uri());
    sql_value("alter table joblog.transition drop constraint transition_pair");
    sql_value("alter table joblog.replica drop column owed cascade");
    sql_value("drop function joblog.refuse_replica_number() cascade");
    sql_value("alter table joblog.replica add constraint replica_number_check check (true)");
    /* And those that follow it, which may run again now. */
    sql_value("delete from joblog.migration"
              " where number >= (select number from joblog.migration where name = 'transition_pair')");
    must(reader, "begin; select from joblog.transition");
    assert_int_equal(pthread_create(&thread, NULL, open_again, &s), 0);
    await_sql("select (count(*) > 0)::int from pg_locks where not granted and mode = 'AccessExclusiveLock'");
    must(other, "set statement_timeout = '20s'; select from joblog.transition");
    must(reader, "commit");
    pthread_join(thread, NULL);
    assert_non_null(s);
    assert_int_equal(sql_int("select convalidated::int from pg_constraint where conname = 'transition_pair'"), 1);
    assert_int_equal(sql_int("select count(*) from joblog.migration"), migration_count);
    PQfinish(reader);
    PQfinish(other);
    store_close(s);
}

static void test_no_database(void **state)
{
    struct store_options o = {.uri = "host=/nonexistent dbname=x"};
    struct err err = ERR_NONE;

    (void)state;
    assert_null(store_open(&o, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    /* Neither path nor text of the library. */
    assert_null(strstr(err.msg, "nonexistent"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_statement_prepares),
        cmocka_unit_test(test_transition_table_equals_the_code),
        cmocka_unit_test(test_trigger_refuses_what_the_rules_forbid),
        cmocka_unit_test(test_id_functions_equal_the_code),
        cmocka_unit_test(test_record_takes_what_the_rules_allow),
        cmocka_unit_test(test_replica_numbers_have_bounds),
        cmocka_unit_test(test_record_may_hold_old_mistakes),
        cmocka_unit_test(test_partitions_are_made_ahead),
        cmocka_unit_test(test_migrations_are_guarded),
        cmocka_unit_test(test_migrations_wait_politely),
        cmocka_unit_test(test_no_database),
    };

    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
