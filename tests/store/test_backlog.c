/* A long backlog makes neither a claim dearer nor a queue's share smaller. What a claim costs is counted in pages that
 * its statements touch, by the plans that the writer has, so that the result does not depend on the machine.
 * JOBLOG_TEST_BACKLOG=1000000 makes the backlog as long as that; 100 000 by default. */
#include "store_fixture.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "store/sql_text.h"

enum { SHORT = 1000, CLAIM = 10 };

static long backlog_length(void)
{
    const char *text = getenv("JOBLOG_TEST_BACKLOG");

    return text ? strtol(text, NULL, 10) : 100000;
}

/* Puts jobs into a queue past the store, as if dispatched before it was opened. Ids follow each other from `from`. */
static void put_waiting(const char *queue, long from, long n)
{
    char sql[1500];

    snprintf(
        sql, sizeof sql,
        "insert into joblog.lane (queue, job_name) values ('%s', 'mail') on conflict do nothing;"
        "create temporary table more on commit drop as select joblog.id_floor(current_date::timestamptz) + g as id from"
        " generate_series(%ld, %ld) g;"
        "insert into joblog.job (id, run_time, lane_id, max_attempts, priority, payload)"
        " select id, now(), lane_id, 1, 0, '{}' from more, joblog.lane where queue = '%s';"
        "insert into joblog.waiting (lane_id, neg_priority, has_state, id)"
        " select lane_id, 0, false, id from more, joblog.lane where queue = '%s'",
        queue, from, from + n - 1, queue, queue);
    sql_value(sql);
}

/* ---- what a statement touches ---- */

static PGconn *connect_as_writer(void)
{
    PGconn *c = PQconnectdb(store_uri());
    PGresult *r = PQexec(c, "set plan_cache_mode = force_generic_plan; set enable_hashjoin = off;"
                            "set enable_mergejoin = off; set enable_seqscan = off; set enable_bitmapscan = off");

    assert_int_equal(PQresultStatus(r), PGRES_COMMAND_OK);
    PQclear(r);
    return c;
}

static void prepare(PGconn *c, enum sql_id id)
{
    PGresult *r = PQprepare(c, sql_texts[id].name, sql_texts[id].text, 0, NULL);

    if (PQresultStatus(r) != PGRES_COMMAND_OK)
        fail_msg("%s", PQerrorMessage(c));
    PQclear(r);
}

static long sum_of(const char *plan, const char *key)
{
    long sum = 0;

    for (const char *at = plan; (at = strstr(at, key)) != NULL;) {
        at += strlen(key);
        sum += strtol(at, NULL, 10);
    }
    return sum;
}

/* Runs it and takes it back. Pages, over all nodes of its plan, those below counted again in those above. */
static long pages_of(PGconn *c, enum sql_id id, const char *arguments)
{
    struct buf sql = BUF_INIT;
    PGresult *r;
    long pages;

    buf_printf(&sql, "explain (analyze, buffers, format json) execute %s(%s)", sql_texts[id].name, arguments);
    buf_add_char(&sql, '\0');
    assert_false(sql.failed);
    PQclear(PQexec(c, "begin"));
    r = PQexec(c, sql.data);
    if (PQresultStatus(r) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql.data, PQerrorMessage(c));
    pages = sum_of(PQgetvalue(r, 0, 0), "\"Shared Hit Blocks\": ") +
            sum_of(PQgetvalue(r, 0, 0), "\"Shared Read Blocks\": ");
    PQclear(r);
    PQclear(PQexec(c, "rollback"));
    buf_done(&sql);
    print_message("%s touches %ld pages\n", sql_texts[id].name, pages);
    assert_true(pages > 0);
    return pages;
}

/* CLAIM jobs of the queue "q", those after an id. */
static long pages_of_claim(PGconn *c, long after)
{
    struct buf arguments = BUF_INIT, numbers = BUF_INIT;
    long pages;

    for (int i = 1; i <= CLAIM; i++)
        buf_printf(&numbers, "%s%d", i > 1 ? "," : "", i);
    buf_printf(&arguments,
               "%d, %d, now(), '{%.*s}', '{%.*s}', '%d'::int2, joblog.id_floor(current_date::timestamptz) + %ld",
               (int)sql_int("select lane_id from joblog.lane where queue = 'q'"), CLAIM, (int)numbers.len, numbers.data,
               (int)numbers.len, numbers.data, after ? 0 : INT16_MIN, after);
    buf_add_char(&arguments, '\0');
    assert_false(arguments.failed || numbers.failed);
    pages = pages_of(c, SQL_CLAIM, arguments.data);
    buf_done(&arguments);
    buf_done(&numbers);
    return pages;
}

static const char look[] = "'{1,2}', '{-32768,-32768}', '{0,0}', 10";
static const char lanes[] = "'{1,2}'";

/* The plans are made while the tables are all but empty, and made again when the backlog is there. An index that is a
 * level deeper costs a page more a row; nothing else may. */
static void test_claim_touches_no_more_of_a_long_backlog(void **state)
{
    struct store *s = store_fresh(NULL);
    PGconn *old = connect_as_writer(), *fresh;
    long claim, looked, asked, n = backlog_length();

    (void)state;
    prepare(old, SQL_CLAIM);
    prepare(old, SQL_CLAIM_LOOK);
    prepare(old, SQL_BACKLOG);
    put_waiting("q", 1, SHORT);
    put_waiting("r", n + 1, SHORT);
    claim = pages_of_claim(old, 0);
    looked = pages_of(old, SQL_CLAIM_LOOK, look);
    asked = pages_of(old, SQL_BACKLOG, lanes);
    put_waiting("q", SHORT + 1, n - SHORT);
    assert_int_equal(sql_int("select count(*) from joblog.waiting"), n + SHORT);
    for (int again = 0; again < 2; again++) {
        fresh = again ? connect_as_writer() : old;
        if (again) {
            sql_value("analyze");
            prepare(fresh, SQL_CLAIM);
            prepare(fresh, SQL_CLAIM_LOOK);
            prepare(fresh, SQL_BACKLOG);
        }
        assert_in_range(pages_of_claim(fresh, 0), CLAIM, claim * 2);
        assert_in_range(pages_of(fresh, SQL_CLAIM_LOOK, look), 1, looked * 2);
        assert_in_range(pages_of(fresh, SQL_BACKLOG, lanes), 1, asked * 2);
        PQfinish(fresh);
    }
    store_close(s);
}

/* Half of it has been claimed, and no vacuum came by: a claim that knows how far the last one was does not walk over
 * the dead rows, as one from the start has to. */
static void test_claim_passes_over_what_is_gone(void **state)
{
    struct store *s = store_fresh(NULL);
    PGconn *c = connect_as_writer();
    long n = backlog_length() / 2, goes_on;
    char sql[200];

    (void)state;
    sql_value("alter table joblog.waiting set (autovacuum_enabled = off)");
    prepare(c, SQL_CLAIM);
    put_waiting("q", 1, n);
    snprintf(sql, sizeof sql, "delete from joblog.waiting where id <= joblog.id_floor(current_date::timestamptz) + %ld",
             n / 2);
    sql_value(sql);
    goes_on = pages_of_claim(c, n / 2);
    assert_true(goes_on + n / 1000 < pages_of_claim(c, 0));
    PQfinish(c);
    store_close(s);
}

/* ---- shares ---- */

static const struct span queues[] = {SPAN_LIT("big"), SPAN_LIT("small"), SPAN_LIT("few")};
static const int32_t weights[] = {3, 1, 1};

/* Leases of the next n deliveries by queue. */
static void take(struct worker *w, int n, int counts[3])
{
    worker_credit(w, n);
    for (int i = 0; i < n; i++) {
        struct delivery *d = worker_next(w);
        assert_int_equal(d->kind, DELIVERY_LEASE);
        for (int q = 0; q < 3; q++)
            counts[q] += span_eq(d->snapshot->job.queue, queues[q]);
        delivery_free(d);
    }
}

/* Two long backlogs, and a queue with ten jobs that are younger than all of these: each gets its share from the start.
 */
static void test_backlogs_share_by_weight(void **state)
{
    struct store *s = store_fresh(NULL);
    struct worker w = {.wake = waiter_new()};
    struct store_session_open o = {
        .cmd.op = STORE_SESSION_OPEN, .worker = SPAN_LIT("w"), .queues = queues, .n_queues = 3, .weights = weights};
    long n = backlog_length() / 5;
    int counts[3] = {0};

    (void)state;
    store_close(s);
    put_waiting("big", 1, n);
    put_waiting("small", n + 1, n);
    put_waiting("few", 2 * n + 1, 10);
    w.store = s = store_again(NULL);
    o.wake = &w.wake->tag;
    assert_int_equal(run_cmd(s, &o.cmd), 0);
    w.session = o.session;
    for (int round = 0; round < 10; round++)
        take(&w, 20, counts);
    assert_int_equal(counts[2], 10); /* all of them, long before a backlog is done */
    assert_int_equal(counts[0] + counts[1], 190);
    assert_in_range(counts[0], 190 * 3 / 4 - 15, 190 * 3 / 4 + 15);
    worker_close(&w, false);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_claim_touches_no_more_of_a_long_backlog),
        cmocka_unit_test(test_claim_passes_over_what_is_gone),
        cmocka_unit_test(test_backlogs_share_by_weight),
    };

    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
