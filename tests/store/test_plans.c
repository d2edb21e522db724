/* No statement of the store reads the history from end to end: the plans that its connections use have no sequential
 * scan of a table that grows with it. The tables are empty here, but plans are made without their sizes counting: the
 * settings are those of server/store/connect.c, which leave a sequential scan only where there is no index to use. */
#include "store_fixture.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "store/sql_text.h"

static const char settings[] =
    "set plan_cache_mode = force_generic_plan; set jit = off; set enable_hashjoin = off; set enable_mergejoin = off;"
    "set enable_seqscan = off; set client_min_messages = warning";

/* Grow with the number of jobs that there have been, or that wait. */
static const char *const large[] = {"job",     "job_state",  "job_log",  "job_log_size", "attempt", "transition",
                                    "request", "unique_key", "waiting",  "scheduled",    "lease",   "minute",
                                    "rollup",  "change",     "deadline", "arrival"};

/* Those that read all of it by intention, and none of these tables is history: jobs that wait, that run, that came from
 * SQL at this moment. */
static bool is_known(const char *statement, const char *table)
{
    static const struct {
        const char *statement, *table;
    } known[] = {
        {"arrival_any", "arrival"},   {"stats_now", "arrival"},   {"queue_list", "arrival"},
        {"queue_list", "waiting"},    {"lease_lost", "lease"},    {"lease_orphans", "lease"},
        {"session_expired", "lease"}, {"session_purge", "lease"}, {"worker_list", "lease"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(statement, known[i].statement) == 0 && strcmp(table, known[i].table) == 0)
            return true;
    return false;
}

/* "Seq Scan on job_202601 j_1": is it one of ours, or a partition of it? */
static const char *large_one(const char *name)
{
    size_t len = strcspn(name, " \n");
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        size_t n = strlen(large[i]);
        if (len >= n && strncmp(name, large[i], n) == 0 &&
            (len == n || (len == n + 7 && name[n] == '_' && strspn(name + n + 1, "0123456789") >= 6)))
            return large[i];
    }
    return NULL;
}

static PGresult *explain(PGconn *c, const struct sql_text *sql)
{
    struct buf text = BUF_INIT;
    PGresult *r = PQprepare(c, sql->name, sql->text, 0, NULL);
    if (PQresultStatus(r) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql->name, PQerrorMessage(c));
    PQclear(r);
    r = PQdescribePrepared(c, sql->name);
    int n = PQnparams(r);
    PQclear(r);
    buf_printf(&text, "explain execute %s", sql->name);
    for (int i = 0; i < n; i++)
        buf_printf(&text, "%sNULL", i ? ", " : "(");
    buf_printf(&text, "%s", n ? ")" : "");
    r = PQexec(c, text.data);
    if (PQresultStatus(r) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql->name, PQerrorMessage(c));
    buf_done(&text);
    return r;
}

/* ---- a plan as text: a node a line, indented by depth, its conditions on the lines below it ---- */

/* Where the node of this line begins; -1: the line is none. */
static int node_at(const PGresult *plan, int line)
{
    const char *text = PQgetvalue(plan, line, 0), *arrow = strstr(text, "->  ");
    if (arrow && strspn(text, " ") == (size_t)(arrow - text))
        return (int)(arrow - text);
    return line == 0 ? 0 : -1;
}

static const char *node_name(const PGresult *plan, int line)
{
    const char *text = PQgetvalue(plan, line, 0);
    return line == 0 && text[0] != ' ' ? text : strstr(text, "->  ") + 4;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool has_line(const PGresult *plan, int line, const char *text)
{
    for (int i = line + 1; i < PQntuples(plan) && node_at(plan, i) < 0; i++)
        if (strstr(PQgetvalue(plan, i, 0), text))
            return true;
    return false;
}

/* Is the scan one that is looked up by something? What a bitmap reads its index scans say, below it. */
static bool has_condition(const PGresult *plan, int line)
{
    if (!begins(node_name(plan, line), "Bitmap Heap Scan"))
        return has_line(plan, line, "Index Cond: ") || has_line(plan, line, "TID Cond: ");
    for (int i = line + 1; i < PQntuples(plan); i++) {
        if (node_at(plan, i) >= 0 && node_at(plan, i) <= node_at(plan, line))
            break;
        if (node_at(plan, i) >= 0 && begins(node_name(plan, i), "Bitmap Index Scan") &&
            !has_line(plan, i, "Index Cond: "))
            return false;
    }
    return true;
}

/* Does somebody above it take only the first rows, as they come? */
static bool has_limit(const PGresult *plan, int line)
{
    int column = node_at(plan, line);
    for (int i = line - 1; i >= 0; i--) {
        int at = node_at(plan, i);
        if (at < 0 || at >= column)
            continue;
        const char *name = node_name(plan, i);
        column = at;
        if (begins(name, "Limit"))
            return true;
        if (begins(name, "Sort") || strstr(name, "Aggregate") || begins(name, "WindowAgg"))
            return false;
    }
    return false;
}

/* The table that this line's node reads from end to end, if it does and may not. A scan of an index without a condition
 * is as much of that as one of the table. */
static const char *reads_all(const PGresult *plan, int line)
{
    if (node_at(plan, line) < 0)
        return NULL;
    const char *name = node_name(plan, line), *on = strstr(name, " on ");
    const char *table = on && strstr(name, "Scan") ? large_one(on + 4) : NULL;
    if (!table || begins(name, "CTE Scan") || begins(name, "Subquery Scan"))
        return NULL;
    return has_condition(plan, line) || (begins(name, "Index") && has_limit(plan, line)) ? NULL : table;
}

static int check_plan(const PGresult *plan, const char *statement)
{
    int bad = 0;
    for (int i = 0; i < PQntuples(plan); i++) {
        const char *table = reads_all(plan, i);
        if (table && !is_known(statement, table)) {
            print_error("%s: %s\n", statement, PQgetvalue(plan, i, 0));
            bad++;
        }
    }
    return bad;
}

static void test_nothing_reads_the_history_from_end_to_end(void **state)
{
    struct store *s = store_fresh(NULL);
    PGconn *c = PQconnectdb(store_uri());
    int bad = 0, index_scans = 0;

    (void)state;
    PQclear(PQexec(c, "select joblog.ensure_partitions(current_date - 90, current_date);"
                      " select joblog.ensure_log_partitions()"));
    PGresult *set = PQexec(c, settings);
    assert_int_equal(PQresultStatus(set), PGRES_COMMAND_OK);
    PQclear(set);
    for (int i = 0; i < SQL_COUNT; i++) {
        PGresult *plan = explain(c, &sql_texts[i]);
        bad += check_plan(plan, sql_texts[i].name);
        for (int k = 0; k < PQntuples(plan); k++)
            index_scans += strstr(PQgetvalue(plan, k, 0), "Index") != NULL;
        PQclear(plan);
    }
    assert_int_equal(bad, 0);
    assert_true(index_scans > SQL_COUNT); /* it has looked at plans */
    PQfinish(c);
    store_close(s);
}

/* What each batch writes: by an index these rows would be looked for among all their dead versions. */
static void test_counters_are_written_by_place(void **state)
{
    static const enum sql_id statements[] = {SQL_MINUTE_SET, SQL_TALLY_SET, SQL_REPLICA_SET};
    struct store *s = store_fresh(NULL);
    PGconn *c = PQconnectdb(store_uri());

    (void)state;
    PQclear(PQexec(c, settings));
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        PGresult *plan = explain(c, &sql_texts[statements[i]]);
        int by_place = 0;
        for (int k = 0; k < PQntuples(plan); k++) {
            by_place += strstr(PQgetvalue(plan, k, 0), "Tid Scan on") != NULL;
            assert_null(strstr(PQgetvalue(plan, k, 0), "Index"));
        }
        assert_int_equal(by_place, 1);
        PQclear(plan);
    }
    PQfinish(c);
    store_close(s);
}

/* The check itself finds what it is for. */
static void test_a_statement_that_reads_all_is_found(void **state)
{
    static const struct {
        struct sql_text sql;
        bool bad;
    } tried[] = {
        {{.name = "by_payload", .text = "select id from joblog.job where payload @> '{}'"}, true},
        {{.name = "newest", .text = "select id from joblog.job order by id desc limit 50"}, false},
        {{.name = "sorted", .text = "select id from joblog.job order by priority limit 50"}, true},
        {{.name = "counted", .text = "select count(*) from joblog.job_state"}, true},
        {{.name = "by_id", .text = "select id from joblog.job where id = $1::int8"}, false},
    };
    struct store *s = store_fresh(NULL);
    PGconn *c = PQconnectdb(store_uri());

    (void)state;
    PQclear(PQexec(c, settings));
    for (size_t i = 0; i < sizeof tried / sizeof *tried; i++) {
        PGresult *plan = explain(c, &tried[i].sql);
        assert_int_equal(check_plan(plan, tried[i].sql.name) > 0, tried[i].bad);
        PQclear(plan);
    }
    PQfinish(c);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_statement_that_reads_all_is_found),
                                       cmocka_unit_test(test_nothing_reads_the_history_from_end_to_end),
                                       cmocka_unit_test(test_counters_are_written_by_place)};

    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
