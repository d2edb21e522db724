/* Where the export engine has its rows from: reading by COPY, what a query's columns hold, export types held against a
 * database. Real PostgreSQL, no server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "export/check.h"
#include "migrations/migrations.h"
#include "pg/copy.h"
#include "support/pg_fixture.h"

static char uri[256];
static PGconn *db;

static void run_sql(const char *sql)
{
    PGresult *r = PQexec(db, sql);
    ExecStatusType status = PQresultStatus(r);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%.200s: %s", sql, PQerrorMessage(db));
    PQclear(r);
}

static int64_t ask(const char *sql)
{
    PGresult *r = PQexec(db, sql);
    if (PQntuples(r) != 1)
        fail_msg("%s: %s", sql, PQerrorMessage(db));
    int64_t value = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
    PQclear(r);
    return value;
}

static int start(void **state)
{
    (void)state;
    if (!pg_fixture_start())
        return -1;
    const char *made = pg_fixture_database("exports");
    if (!made)
        return -1;
    snprintf(uri, sizeof uri, "%s", made);
    db = PQconnectdb(uri);
    run_sql("SET client_min_messages = warning");
    run_sql("CREATE SCHEMA joblog");
    for (size_t i = 0; i < migration_count; i++) /* the built-in type is of a view of theirs */
        run_sql(migrations[i].sql);
    log_set_level(LOG_ERROR); /* failures are what is tested here */
    return 0;
}

static int stop(void **state)
{
    (void)state;
    PQfinish(db);
    pg_fixture_stop();
    return 0;
}

/* ---- COPY ---- */

static int ticks, ticks_max;

static int tick(void *user)
{
    (void)user;
    return ++ticks > ticks_max ? -ERR_CANCELLED : 0;
}

static struct pg_copy *open_copy(void)
{
    struct pg_copy_options options = {.uri = uri, .name = "test", .tick = tick};
    struct pg_copy *copy;
    ticks = 0;
    ticks_max = 1000000;
    assert_int_equal(pg_copy_open(&options, &copy, NULL), 0);
    return copy;
}

static void rows_come_as_they_are(void **state)
{
    (void)state;
    struct pg_copy *copy = open_copy();
    struct span row;
    int64_t n = 0;
    assert_int_equal(pg_copy_int(copy, "SELECT count(*) FROM generate_series(1, 50000)", &n, NULL), 0);
    assert_int_equal(n, 50000);
    assert_int_equal(pg_copy_start(copy,
                                   "COPY (SELECT g, 'a\"b', NULL, '' FROM generate_series(1, 50000) g) TO STDOUT"
                                   " WITH (FORMAT csv)",
                                   NULL),
                     0);
    for (n = 0; pg_copy_next(copy, &row, NULL) == 1; n++)
        if (n == 0)
            assert_true(span_eq(row, SPAN_LIT("1,\"a\"\"b\",,\"\"\n")));
    assert_int_equal(n, 50000);
    assert_int_equal(pg_copy_int(copy, "SELECT 5", &n, NULL), 0); /* of use again after the rows */
    pg_copy_close(copy);
}

static void failures_before_and_among_the_rows(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    struct span row;
    struct pg_copy *copy = open_copy();
    assert_int_equal(pg_copy_start(copy, "COPY (SELECT nothing FROM nowhere) TO STDOUT", &err), -ERR_INTERNAL);
    assert_string_equal(pg_copy_sqlstate(copy), "42P01");
    assert_null(strstr(err.msg, "nowhere"));
    pg_copy_close(copy);
    copy = open_copy();
    assert_int_equal(pg_copy_start(copy, "COPY (SELECT 1 / (g - 100) FROM generate_series(1, 200) g) TO STDOUT", &err),
                     0);
    int rc, n = 0;
    while ((rc = pg_copy_next(copy, &row, &err)) == 1)
        n++;
    assert_int_equal(n, 99);
    assert_int_equal(rc, -ERR_INVALID_ARGUMENT);
    assert_string_equal(pg_copy_sqlstate(copy), "22012");
    pg_copy_close(copy);
}

/* ---- connections that rest ---- */

static const struct pg_copy_options quiet = {.uri = uri, .name = "test", .tick = tick};

/* All rows of a query. */
static void read_rows(struct pg_copy *copy, const char *sql)
{
    struct span row;
    int rc;
    assert_int_equal(pg_copy_start(copy, sql, NULL), 0);
    while ((rc = pg_copy_next(copy, &row, NULL)) == 1)
        ;
    assert_int_equal(rc, 0);
}

/* What an export's functions have left in the session is not there for the next one. */
static void one_that_has_rested_is_as_new(void **state)
{
    (void)state;
    struct pg_copy *copy = open_copy();
    int pid = pg_copy_backend_pid(copy);
    int64_t n = 0;
    read_rows(copy, "COPY (SELECT set_config('app.who', 'ann', false), set_config('timezone', 'Asia/Tokyo', false),"
                    " pg_advisory_lock(7)) TO STDOUT");
    assert_int_equal(ask("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'test'"), 1);
    assert_true(pg_copy_rest(copy));
    assert_int_equal(ask("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'test'"), 0);
    assert_int_equal(ask("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'test, idle'"), 1);
    assert_true(pg_copy_resume(copy, &quiet));
    assert_int_equal(pg_copy_backend_pid(copy), pid);
    assert_int_equal(ask("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'test'"), 1);
    assert_int_equal(ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), 0);
    assert_int_equal(pg_copy_int(copy,
                                 "SELECT (coalesce(current_setting('app.who', true), '') = '' AND"
                                 " current_setting('timezone') = 'UTC' AND"
                                 " current_setting('transaction_read_only') = 'on' AND"
                                 " current_setting('transaction_isolation') = 'repeatable read')::int",
                                 &n, NULL),
                     0);
    assert_int_equal(n, 1);
    read_rows(copy, "COPY (SELECT generate_series(1, 1000)) TO STDOUT");
    pg_copy_close(copy);
}

/* libpq would keep the memory of such a row. */
static void not_after_a_large_row(void **state)
{
    (void)state;
    struct pg_copy *copy = open_copy();
    read_rows(copy, "COPY (SELECT repeat('x', 1000000) FROM generate_series(1, 3)) TO STDOUT");
    assert_true(pg_copy_rest(copy));
    assert_true(pg_copy_resume(copy, &quiet));
    read_rows(copy, "COPY (SELECT repeat('x', g) FROM unnest(ARRAY[1, 1100000, 1]) g) TO STDOUT");
    assert_false(pg_copy_rest(copy));
    pg_copy_close(copy);
}

static void only_after_the_last_row(void **state)
{
    (void)state;
    struct span row;
    struct pg_copy *copy = open_copy();
    assert_int_equal(pg_copy_start(copy, "COPY (SELECT generate_series(1, 1000000)) TO STDOUT", NULL), 0);
    assert_int_equal(pg_copy_next(copy, &row, NULL), 1);
    assert_false(pg_copy_rest(copy));
    pg_copy_close(copy);
    copy = open_copy();
    assert_int_equal(pg_copy_exec(copy, "SELECT nothing", NULL), -ERR_INTERNAL);
    assert_false(pg_copy_rest(copy));
    pg_copy_close(copy);
}

/* Cut, or with a process behind it that does nothing: told within moments. */
static void one_that_is_gone_is_not_resumed(void **state)
{
    (void)state;
    struct pg_copy *copy = open_copy();
    assert_true(pg_copy_rest(copy));
    ask("SELECT count(pg_terminate_backend(pid, 20000)) FROM pg_stat_activity WHERE application_name = 'test, idle'");
    assert_false(pg_copy_resume(copy, &quiet));
    pg_copy_close(copy);
    copy = open_copy();
    int pid = pg_copy_backend_pid(copy);
    assert_true(pg_copy_rest(copy));
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_false(pg_copy_resume(copy, &quiet));
    pg_copy_close(copy);
    assert_int_equal(kill(pid, SIGCONT), 0);
}

static int64_t sleepers(void)
{
    return ask("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(100%'"
               " AND pid <> pg_backend_pid()");
}

static void a_tick_ends_a_long_statement_here_and_there(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    int64_t n, start_ms = clock_mono_ms();
    struct pg_copy *copy = open_copy();
    ticks = 0;
    ticks_max = 3;
    assert_int_equal(pg_copy_int(copy, "SELECT count(*) FROM (SELECT pg_sleep(100)) s", &n, &err), -ERR_CANCELLED);
    assert_true(clock_mono_ms() - start_ms < 5000);
    pg_copy_close(copy);
    /* The server has been told; it says so within moments. */
    while (sleepers() > 0)
        if (clock_mono_ms() - start_ms > 10000)
            fail_msg("the statement still runs");
}

/* ---- types against the database ---- */

static size_t n_unchecked;

static int check_types(struct export_types *types, struct err *err)
{
    return export_types_check(types, &(struct export_check){.uri = uri}, &n_unchecked, err);
}

static void types_are_held_against_the_database(void **state)
{
    (void)state;
    static const struct {
        const char *relation, *column, *filter, *want;
    } cases[] = {
        {"app.people", "id", "email", NULL},
        {"app.seen", "id", "email", NULL},
        {"app.nobody", "id", "email", "there is no relation app.nobody"},
        {"app.people_id", "id", "email", "there is no relation app.people_id"},
        {"app.people", "ID", "email", "relation app.people has no column \"ID\""},
        {"app.people", "ctid", "email", "relation app.people has no column \"ctid\""},
        {"app.people", "id", "gone", "relation app.people has no column \"gone\""},
    };
    run_sql("CREATE SCHEMA app");
    run_sql("CREATE TABLE app.people (id bigint, email text, gone text)");
    run_sql("CREATE INDEX people_id ON app.people (id)");
    run_sql("ALTER TABLE app.people DROP COLUMN gone");
    run_sql("CREATE VIEW app.seen AS SELECT * FROM app.people");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        struct export_types *types;
        struct err err = ERR_NONE;
        snprintf(text, sizeof text,
                 "{\"export_types\":[{\"name\":\"t\",\"relation\":\"%s\",\"columns\":[{\"name\":\"%s\"}],"
                 "\"filters\":[{\"field\":\"f\",\"column\":\"%s\",\"operators\":[\"equals\"]},"
                 "{\"field\":\"n\",\"column\":\"id\",\"operators\":[\"equals\"]}]}]}",
                 cases[i].relation, cases[i].column, cases[i].filter);
        assert_int_equal(export_types_parse(span_str(text), "t.json", &types, &err), 0);
        int rc = check_types(types, &err);
        assert_int_equal(rc, cases[i].want ? -ERR_FAILED_PRECONDITION : 0);
        if (cases[i].want && !strstr(err.msg, cases[i].want))
            fail_msg("got \"%s\", want \"%s\"", err.msg, cases[i].want);
        if (!cases[i].want) {
            const struct export_type *type = export_types_find(types, SPAN_LIT("t"));
            assert_true(type->filters[0].columns[0].is_text);
            assert_false(type->filters[1].columns[0].is_text);
            assert_int_equal(type->columns[0].actual, EXPORT_VALUE_INTEGER);
        }
        export_types_free(types);
    }
}

/* What would fail every export is said when the types are read. */
static void filters_and_orders_are_tried(void **state)
{
    (void)state;
    static const struct {
        const char *rest, *want;
    } cases[] = {
        {"\"filters\":[{\"field\":\"id\",\"type\":\"date\",\"operators\":[\"at_most\"]}]",
         "filter \"id\": column \"id\" cannot be compared as date by at_most"},
        {"\"filters\":[{\"field\":\"f\",\"column\":\"t\",\"type\":\"integer\",\"operators\":[\"in\"]}]",
         "filter \"f\": column \"t\" cannot be compared as integer by in"},
        {"\"order\":{\"column\":\"j\"}", "in the order of \"order\""},
        {"\"filters\":[{\"field\":\"id\",\"type\":\"number\",\"operators\":[\"equals\",\"in\",\"between\",\"less\"]},"
         "{\"field\":\"d\",\"type\":\"date\",\"operators\":[\"between\",\"greater\"]},"
         "{\"field\":\"j\",\"operators\":[\"equals\",\"prefix\",\"contains\",\"at_least\"]},"
         "{\"field\":\"s\",\"columns\":[\"t\",\"j\"],\"operators\":[\"search\"],\"full_text\":\"english\"}]",
         NULL},
    };
    run_sql("CREATE TABLE app.kinds (id int, t text, j json, d timestamptz, u uuid)");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1000];
        struct export_types *types;
        struct err err = ERR_NONE;
        snprintf(text, sizeof text,
                 "{\"export_types\":[{\"name\":\"k\",\"relation\":\"app.kinds\",\"columns\":[{\"name\":\"id\"},"
                 "{\"name\":\"j\"},{\"name\":\"u\"}],%s}]}",
                 cases[i].rest);
        assert_int_equal(export_types_parse(span_str(text), "t.json", &types, &err), 0);
        assert_int_equal(check_types(types, &err), cases[i].want ? -ERR_FAILED_PRECONDITION : 0);
        if (cases[i].want && !strstr(err.msg, cases[i].want))
            fail_msg("got \"%s\", want \"%s\"", err.msg, cases[i].want);
        const struct export_type *type = export_types_find(types, SPAN_LIT("k"));
        if (!cases[i].want) {
            assert_true(type->columns[0].sortable);
            assert_false(type->columns[1].sortable); /* json has no order */
            assert_true(type->columns[2].sortable);
        }
        export_types_free(types);
    }
}

/* Ten types of a database that does not answer cost the wait for it once. */
static void a_database_that_is_away_is_tried_once(void **state)
{
    (void)state;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int mute = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(mute, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(mute, 64), 0);
    assert_int_equal(getsockname(mute, (struct sockaddr *)&at, &len), 0);
    struct buf text = BUF_INIT;
    buf_add_str(&text, "{\"export_types\":[");
    for (int i = 0; i < 10; i++)
        buf_printf(&text,
                   "%s{\"name\":\"t%d\",\"relation\":\"a.b\",\"columns\":[{\"name\":\"c\"}],"
                   "\"database\":\"postgresql://127.0.0.1:%d/x?connect_timeout=2\"}",
                   i ? "," : "", i, ntohs(at.sin_port));
    buf_add_str(&text, "]}");
    struct export_types *types;
    assert_int_equal(export_types_parse(buf_span(&text), "t.json", &types, NULL), 0);
    int64_t start_ms = clock_mono_ms();
    assert_int_equal(check_types(types, NULL), 0);
    assert_true(clock_mono_ms() - start_ms < 8000);
    export_types_free(types);
    buf_done(&text);
    close(mute);
}

/* What the database says about columns is what the file's form follows. */
static void columns_are_described(void **state)
{
    struct pg_copy *copy = open_copy();
    struct pg_copy_column *columns = NULL;
    size_t n = 0;
    (void)state;
    run_sql("CREATE DOMAIN app.cents AS numeric");
    assert_int_equal(pg_copy_describe(copy, "SELECT 1::int8, 'x'::text, ARRAY[1], ROW(1, 2), 1::app.cents LIMIT 0",
                                      &columns, &n, NULL),
                     0);
    assert_int_equal(n, 5);
    assert_int_equal(export_value_of_oid(columns[0].type), EXPORT_VALUE_INTEGER);
    assert_int_equal(columns[1].category, 'S');
    assert_int_equal(columns[2].category, 'A');
    assert_int_equal(columns[3].kind, 'p'); /* an anonymous row */
    assert_int_equal(export_value_of_oid(columns[4].type), EXPORT_VALUE_NUMBER);
    mem_free(columns);
    pg_copy_close(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_as_they_are),
        cmocka_unit_test(failures_before_and_among_the_rows),
        cmocka_unit_test(one_that_has_rested_is_as_new),
        cmocka_unit_test(not_after_a_large_row),
        cmocka_unit_test(only_after_the_last_row),
        cmocka_unit_test(one_that_is_gone_is_not_resumed),
        cmocka_unit_test(a_tick_ends_a_long_statement_here_and_there),
        cmocka_unit_test(types_are_held_against_the_database),
        cmocka_unit_test(filters_and_orders_are_tried),
        cmocka_unit_test(a_database_that_is_away_is_tried_once),
        cmocka_unit_test(columns_are_described),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
