/* Deleting what ended long ago: for a caller, and by the rules of joblog.retention; job by job and month by month. What
 * belongs to a job goes with it, what has not ended stays, counters stay exact. */
#include "store_fixture.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "core/id.h"

#define DAY_US (INT64_C(24) * 3600 * 1000000)

enum { COMPLETED, FAILED, CANCELLED, PENDING, SCHEDULED, RUNNING, KINDS };

static void run_sql(const char *fmt, int64_t id)
{
    char sql[600];
    snprintf(sql, sizeof sql, fmt, (long long)id, (long long)id, (long long)id);
    sql_value(sql);
}

static void cancel_ok(struct store *s, int64_t id)
{
    struct store_cancel c = {.cmd.op = STORE_CANCEL, .job_id = id, .reason = SPAN_LIT("no more")};
    assert_int_equal(run_cmd(s, &c.cmd), 0);
}

/* One of each kind. */
static void make_kinds(struct store *s, const char *name, int64_t ids[KINDS])
{
    struct job scheduled = a_job(name), plain = a_job(name);
    int64_t token;
    static int n;
    char request[32], key[32];

    for (int kind = 0; kind < KINDS; kind++) {
        struct job job = plain;
        snprintf(request, sizeof request, "request-%d", n);
        snprintf(key, sizeof key, "key-%d", n++);
        job.request_id = span_str(request);
        job.start_timeout_us = job.run_timeout_us = 300 * DAY_US;
        job.unique = (struct unique_key){.key = span_str(key), .scope = UNIQUE_PERIOD, .period_us = 300 * DAY_US};
        scheduled.run_us = clock_wall_us() + DAY_US;
        if (kind == SCHEDULED)
            job.run_us = scheduled.run_us;
        if (kind == COMPLETED || kind == FAILED || kind == RUNNING)
            ids[kind] = start_ok(s, job, &token);
        else
            ids[kind] = dispatch_ok(s, job);
        if (kind == COMPLETED)
            assert_int_equal(finish(s, ids[kind], token, ATTEMPT_COMPLETED).cmd.err.code, ERR_OK);
        if (kind == FAILED)
            assert_int_equal(finish(s, ids[kind], token, ATTEMPT_FAILED).cmd.err.code, ERR_OK);
        if (kind == CANCELLED)
            cancel_ok(s, ids[kind]);
        run_sql("insert into joblog.job_log values (%lld, 1, now(), 1, 2, 'a line');"
                " insert into joblog.job_log_size values (%lld, 1, 6)",
                ids[kind]);
    }
}

/* As if everything had been so many days ago. The store is closed. */
static void age(int days)
{
    char sql[2000];
    const int64_t shift = (int64_t)days * DAY_US / 1000 << ID_TIME_SHIFT;

    for (int i = 1; i <= 2; i++) {
        snprintf(sql, sizeof sql, "select joblog.ensure_partitions(current_date - %d, current_date - %d)", i * days + 1,
                 i * days);
        sql_value(sql);
    }
    sql_value("select joblog.ensure_log_partitions()");
    snprintf(sql, sizeof sql,
             "update joblog.job set id = id - %" PRId64 "; update joblog.job_state set id = id - %" PRId64
             ", end_time = end_time - interval '%d days'; update joblog.lease set job_id = job_id - %" PRId64
             "; update joblog.waiting set id = id - %" PRId64 "; update joblog.scheduled set id = id - %" PRId64
             "; update joblog.attempt set job_id = job_id - %" PRId64
             "; update joblog.job_log set job_id = job_id - %" PRId64
             "; update joblog.job_log_size set job_id = job_id - %" PRId64
             "; update joblog.transition set job_id = job_id - %" PRId64
             "; update joblog.request set job_id = job_id - %" PRId64
             "; update joblog.unique_key set job_id = job_id - %" PRId64
             "; update joblog.deadline set job_id = job_id - %" PRId64,
             shift, shift, days, shift, shift, shift, shift, shift, shift, shift, shift, shift, shift);
    sql_value(sql);
}

static int64_t aged(int64_t id, int days)
{
    return id - ((int64_t)days * DAY_US / 1000 << ID_TIME_SHIFT);
}

static bool is_there(int64_t id)
{
    char sql[100];
    snprintf(sql, sizeof sql, "select count(*) from joblog.job where id = %" PRId64, id);
    return sql_int(sql) == 1;
}

/* Of jobs that are gone. */
static void assert_no_debris(void)
{
    static const char *const tables[] = {"job_state", "waiting", "scheduled"};
    static const char *const others[] = {"attempt", "transition", "request",      "unique_key",
                                         "lease",   "job_log",    "job_log_size", "deadline"};
    char sql[200];

    for (size_t i = 0; i < 3; i++) {
        snprintf(sql, sizeof sql, "select count(*) from joblog.%s where id not in (select id from joblog.job)",
                 tables[i]);
        assert_int_equal(sql_int(sql), 0);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        snprintf(sql, sizeof sql, "select count(*) from joblog.%s where job_id not in (select id from joblog.job)",
                 others[i]);
        assert_int_equal(sql_int(sql), 0);
    }
    assert_int_equal(
        sql_int("select count(*) from (select lane_id, status, count(*) n from joblog.job_now group by 1, 2) a"
                " full join (select lane_id, status, sum(n) n from joblog.tally_now group by 1, 2"
                " having sum(n) <> 0) b using (lane_id, status) where a.n is distinct from b.n"),
        0);
}

static struct store_cleanup a_cleanup(int days)
{
    return (struct store_cleanup){.cmd.op = STORE_CLEANUP,
                                  .status_mask = 1u << JOB_COMPLETED | 1u << JOB_FAILED | 1u << JOB_CANCELLED,
                                  .before_us = clock_wall_us() - days * DAY_US,
                                  .limit = 1000};
}

static void test_a_caller_deletes_what_it_asks_for(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t a[KINDS], b[KINDS], young[KINDS];
    struct span names[] = {SPAN_LIT("a")};

    (void)state;
    make_kinds(s, "a", a);
    make_kinds(s, "b", b);
    store_close(s);
    age(10);
    s = store_again(NULL);
    make_kinds(s, "a", young);

    struct store_cleanup c = a_cleanup(20);
    assert_int_equal(run_cmd(s, &c.cmd), 0);
    assert_int_equal(c.counts[JOB_COMPLETED] + c.counts[JOB_FAILED] + c.counts[JOB_CANCELLED], 0);
    assert_false(c.more);

    c = a_cleanup(5);
    c.dry_run = true;
    assert_int_equal(run_cmd(s, &c.cmd), 0);
    for (int status = JOB_COMPLETED; status < JOB_STATUS_COUNT; status++)
        assert_int_equal(c.counts[status], 2);
    assert_true(is_there(aged(a[COMPLETED], 10)));

    c = a_cleanup(5);
    c.names = names;
    c.n_names = 1;
    c.status_mask = 1u << JOB_FAILED;
    assert_int_equal(run_cmd(s, &c.cmd), 0);
    assert_int_equal(c.counts[JOB_FAILED], 1);
    assert_int_equal(c.counts[JOB_COMPLETED], 0);
    assert_false(is_there(aged(a[FAILED], 10)));
    assert_true(is_there(aged(b[FAILED], 10)));
    assert_no_debris();

    /* One at a time. */
    int64_t n = 0, after = 0;
    for (int calls = 0; calls < 20; calls++) {
        c = a_cleanup(5);
        c.limit = 1;
        c.after_id = after;
        assert_int_equal(run_cmd(s, &c.cmd), 0);
        int64_t one = c.counts[JOB_COMPLETED] + c.counts[JOB_FAILED] + c.counts[JOB_CANCELLED];
        assert_true(one <= 1);
        n += one;
        after = c.next_id;
        if (!c.more)
            break;
    }
    assert_false(c.more);
    assert_int_equal(n, 5);
    for (int kind = 0; kind < KINDS; kind++) {
        assert_int_equal(is_there(aged(a[kind], 10)), kind >= PENDING);
        assert_int_equal(is_there(aged(b[kind], 10)), kind >= PENDING);
        assert_true(is_there(young[kind]));
    }
    assert_no_debris();
    store_close(s);
}

/* A request id and a unique key of a job that is gone are free again. */
static void test_ids_and_keys_are_free_again(void **state)
{
    struct store *s = store_fresh(NULL);
    struct job job = a_job("a");
    int64_t token;

    (void)state;
    job.request_id = SPAN_LIT("r");
    job.unique = (struct unique_key){.key = SPAN_LIT("k"), .scope = UNIQUE_PERIOD, .period_us = DAY_US};
    int64_t id = start_ok(s, job, &token);
    finish(s, id, token, ATTEMPT_COMPLETED);
    struct store_cleanup c = a_cleanup(0);
    assert_int_equal(run_cmd(s, &c.cmd), 0);
    assert_int_equal(c.counts[JOB_COMPLETED], 1);
    int64_t next = dispatch_ok(s, job);
    assert_true(next != id && is_there(next));
    struct store_get get = {.cmd.op = STORE_GET, .id = id};
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    get.arena = &arena;
    assert_int_equal(run_cmd(s, &get.cmd), -ERR_NOT_FOUND);
    struct store_retry retry = {.cmd.op = STORE_RETRY, .job_id = id};
    assert_int_equal(run_cmd(s, &retry.cmd), -ERR_NOT_FOUND);
    arena_done(&arena);
    assert_no_debris();
    store_close(s);
}

static void test_files_of_exports_expire(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t token, id = start_ok(s, a_job("a"), &token);

    (void)state;
    finish(s, id, token, ATTEMPT_COMPLETED);
    run_sql("insert into joblog.export_file (job_id, name, content_type, size, rows, sha256, chunk_bytes, token,"
            " expire_time) values (%lld, 'f', 't', 1, 1, 's', 1, 1, now() + interval '1 day')",
            id);
    struct store_cleanup c = a_cleanup(0);
    assert_int_equal(run_cmd(s, &c.cmd), 0);
    assert_int_equal(sql_int("select (expire_time <= now())::int from joblog.export_file"), 1);
    store_close(s);
}

static bool is_refused(const char *sql)
{
    PGconn *c = PQconnectdb(store_uri());
    PGresult *r = PQexec(c, sql);
    bool refused = strcmp(PQresultErrorField(r, PG_DIAG_SQLSTATE), "23514") == 0;

    PQclear(r);
    PQfinish(c);
    return refused;
}

static void test_the_rules_are_kept(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t a[KINDS], b[KINDS], c[KINDS];

    (void)state;
    make_kinds(s, "a", a);
    make_kinds(s, "b", b);
    make_kinds(s, "c", c);
    store_close(s);
    age(10);
    /* Completed go after five days, but those of b after twenty and those of c never; cancelled of a at once. */
    sql_value("insert into joblog.retention values ('', 'completed', '5 days'), ('b', 'completed', '20 days'),"
              " ('c', 'completed', null), ('a', 'cancelled', '0')");
    s = store_again(NULL);
    await_sql("select (count(*) = 16)::int from joblog.job");
    assert_false(is_there(aged(a[COMPLETED], 10)));
    assert_false(is_there(aged(a[CANCELLED], 10)));
    for (int kind = 0; kind < KINDS; kind++) {
        assert_int_equal(is_there(aged(a[kind], 10)), kind != COMPLETED && kind != CANCELLED);
        assert_true(is_there(aged(b[kind], 10)));
        assert_true(is_there(aged(c[kind], 10)));
    }
    assert_no_debris();
    store_close(s);
    /* Bad rules are refused by the table. */
    assert_true(is_refused("insert into joblog.retention values ('', 'pending', '1 day')"));
    assert_true(is_refused("insert into joblog.retention values ('', 'failed', '-1 day')"));
    assert_int_equal(sql_int("select count(*) from joblog.retention"), 4);
}

static int64_t months(void)
{
    return sql_int("select count(*) from pg_class where relnamespace = 'joblog'::regnamespace and relkind = 'r' and"
                   " relname ~ '^job_(state_)?[0-9]{6}$'");
}

static const char rules_for_all[] = "insert into joblog.retention values ('', 'completed', '30 days'),"
                                    " ('', 'failed', '30 days'), ('', 'cancelled', '60 days')";

static void test_months_go_as_a_whole(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t old[KINDS], older[KINDS];

    (void)state;
    make_kinds(s, "a", older);
    store_close(s);
    /* What lives would hold its month. */
    sql_value("delete from joblog.waiting; delete from joblog.scheduled; delete from joblog.lease;"
              " delete from joblog.job j where not exists (select from joblog.job_state t where t.id = j.id);"
              " delete from joblog.request r where r.job_id not in (select id from joblog.job);"
              " delete from joblog.unique_key r where r.job_id not in (select id from joblog.job);"
              " delete from joblog.deadline r where r.job_id not in (select id from joblog.job);"
              " delete from joblog.job_log r where r.job_id not in (select id from joblog.job);"
              " delete from joblog.job_log_size r where r.job_id not in (select id from joblog.job);"
              " update joblog.tally set n = 0 where status < 3");
    age(200);
    s = store_again(NULL);
    make_kinds(s, "a", old);
    store_close(s);
    age(200);
    int64_t before = months();
    sql_value(rules_for_all);
    s = store_again(NULL);
    await_sql("select (count(*) = 3)::int from joblog.job");
    await_sql("select (count(*) = 0)::int from joblog.detached_months()");
    for (int kind = 0; kind < KINDS; kind++)
        assert_int_equal(is_there(aged(old[kind], 200)), kind >= PENDING);
    /* The month of those that live is there, as are those of the last 60 days and of the time to come. */
    assert_int_equal(months(), before - 2);
    assert_no_debris();
    /* Life goes on. */
    dispatch_ok(s, a_job("a"));
    assert_no_debris();
    store_close(s);
}

/* A process died while it took a month out, after the first table: the next one goes on, whatever the rules say by
 * then. */
static void test_a_month_that_was_begun_goes(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t ids[KINDS];

    (void)state;
    make_kinds(s, "a", ids);
    store_close(s);
    sql_value(
        "truncate joblog.waiting, joblog.scheduled, joblog.lease, joblog.deadline;"
        " delete from joblog.job j where not exists (select from joblog.job_state t where t.id = j.id and status > 2);"
        " delete from joblog.job_state where status < 3; delete from joblog.job_log r where r.job_id not in (select id"
        " from joblog.job); delete from joblog.job_log_size r where r.job_id not in (select id from joblog.job);"
        " update joblog.tally set n = 0 where status < 3");
    age(400);
    int64_t n = months();
    sql_value(
        "select joblog.detach_month_of('job', to_char(joblog.id_time((select max(id) from joblog.job)) at time zone"
        " 'UTC', 'YYYYMM'))");
    assert_int_equal(sql_int("select count(*) from joblog.months_begun()"), 1);
    s = store_again(NULL);
    await_sql("select (count(*) = 0)::int from joblog.job_state");
    await_sql("select (count(*) = 0)::int from joblog.detached_months()");
    assert_int_equal(sql_int("select count(*) from joblog.months_begun()"), 0);
    assert_int_equal(months(), n - 2);
    store_close(s);
}

/* A process died between the two steps, and a job of the month was put back to work before. */
static void test_a_month_that_lives_is_put_back(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t ids[KINDS];

    (void)state;
    make_kinds(s, "a", ids);
    store_close(s);
    age(400);
    int64_t n = months();
    sql_value("select joblog.detach_month(to_char(joblog.id_time((select max(id) from joblog.job)) at time zone 'UTC',"
              " 'YYYYMM'))");
    assert_int_equal(sql_int("select count(*) from joblog.detached_months()"), 1);
    assert_int_equal(sql_int("select count(*) from joblog.job"), 0);
    s = store_again(NULL);
    await_sql("select (count(*) = 0)::int from joblog.detached_months()");
    assert_int_equal(sql_int("select count(*) from joblog.job"), KINDS);
    assert_int_equal(months(), n);
    assert_no_debris();
    store_close(s);
}

/* Dispatches, ends and retries beside deletions, by several callers: nothing is lost, nothing counted twice. */
static void test_deleting_beside_the_work(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t deleted = 0, made = 0, token;

    (void)state;
    for (int round = 0; round < 30; round++) {
        int64_t id = 0;
        for (int i = 0; i < 4; i++, made++) {
            id = start_ok(s, a_job("a"), &token);
            finish(s, id, token, i % 2 ? ATTEMPT_COMPLETED : ATTEMPT_FAILED);
        }
        struct store_cleanup c[2] = {a_cleanup(0), a_cleanup(0)};
        struct waiter *w[2] = {waiter_new(), waiter_new()};
        for (int i = 0; i < 2; i++) {
            c[i].cmd.done = &w[i]->tag;
            assert_int_equal(store_submit(s, &c[i].cmd, NULL), 0);
        }
        struct store_retry retry = {.cmd.op = STORE_RETRY, .job_id = id};
        run_cmd(s, &retry.cmd);
        for (int i = 0; i < 2; i++) {
            assert_true(waiter_wait(w[i]));
            waiter_free(w[i]);
            assert_int_equal(c[i].cmd.err.code, ERR_OK);
            for (int k = 0; k < JOB_STATUS_COUNT; k++)
                deleted += c[i].counts[k];
        }
    }
    assert_no_debris();
    assert_int_equal(sql_int("select count(*) from joblog.job"), made - deleted);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_caller_deletes_what_it_asks_for),
        cmocka_unit_test(test_ids_and_keys_are_free_again),
        cmocka_unit_test(test_files_of_exports_expire),
        cmocka_unit_test(test_the_rules_are_kept),
        cmocka_unit_test(test_months_go_as_a_whole),
        cmocka_unit_test(test_a_month_that_was_begun_goes),
        cmocka_unit_test(test_a_month_that_lives_is_put_back),
        cmocka_unit_test(test_deleting_beside_the_work),
    };

    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
