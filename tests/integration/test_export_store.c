/* What the export engine does with PostgreSQL, part by part: its statements, the chunk store and its fence, the writer,
 * reading by COPY, export types held against a database. Real PostgreSQL, no server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <libpq-fe.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "export/check.h"
#include "export/chunk_store.h"
#include "export/sql_text.h"
#include "export/writer.h"
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
    for (size_t i = 0; i < migration_count; i++)
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

static int empty(void **state)
{
    (void)state;
    run_sql("DELETE FROM joblog.lease");
    run_sql("DELETE FROM joblog.export_file");
    run_sql("DELETE FROM joblog.export_chunk");
    run_sql("INSERT INTO joblog.lease (job_id, token, start_time, revision, lane_id) VALUES (7, 70, now(), 1, 1)");
    return 0;
}

static void every_statement_can_be_prepared(void **state)
{
    (void)state;
    for (int i = 0; i < EXPORT_SQL_COUNT; i++) {
        PGresult *r = PQprepare(db, export_sql_texts[i].name, export_sql_texts[i].text, 0, NULL);
        if (PQresultStatus(r) != PGRES_COMMAND_OK)
            fail_msg("%s: %s", export_sql_texts[i].name, PQerrorMessage(db));
        PQclear(r);
    }
}

/* ---- the chunk store ---- */

static struct export_file file_of(int64_t size)
{
    return (struct export_file){.job_id = 7,
                                .name = SPAN_LIT("f.csv"),
                                .content_type = SPAN_LIT("text/csv"),
                                .sha256 = SPAN_LIT("00"),
                                .size = size,
                                .rows = 1,
                                .chunk_bytes = 3,
                                .expire_us = clock_wall_us() + 3600000000};
}

static int write_file(int64_t token, bool with_commit, struct err *err)
{
    struct chunk_store store = chunk_store_pg(uri);
    struct chunk_owner owner = {7, token};
    struct chunk_sink *sink;
    assert_int_equal(store.open(&store, &owner, &sink, err), 0);
    assert_int_equal(store.write(sink, 0, SPAN_LIT("a\0b"), 1, err), 0);
    assert_int_equal(store.write(sink, 1, SPAN_LIT("c"), UINT32_MAX, err), 0);
    struct export_file file = file_of(4);
    int rc = with_commit ? store.commit(sink, &file, err) : 0;
    store.close(sink);
    return rc;
}

static void a_file_is_there_after_commit_only(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    assert_int_equal(write_file(70, false, &err), 0);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_chunk"), 0);
    assert_int_equal(write_file(70, true, &err), 0);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_file WHERE job_id = 7 AND token = 70 AND size = 4"), 1);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_chunk WHERE data = '\\x610062' AND seq = 0"), 1);
    assert_int_equal(ask("SELECT crc32c FROM joblog.export_chunk WHERE seq = 1"), UINT32_MAX);
}

static void an_attempt_that_lost_its_lease_changes_nothing(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    assert_int_equal(write_file(70, true, &err), 0);
    assert_int_equal(write_file(69, true, &err), -ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "LEASE_LOST");
    assert_int_equal(ask("SELECT token FROM joblog.export_file"), 70);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_chunk WHERE token = 70"), 2);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_chunk WHERE token <> 70"), 0);
}

static void a_later_attempt_replaces_the_file(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    assert_int_equal(write_file(70, true, &err), 0);
    run_sql("UPDATE joblog.lease SET token = 71");
    assert_int_equal(write_file(71, true, &err), 0);
    assert_int_equal(ask("SELECT token FROM joblog.export_file"), 71);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_chunk WHERE token = 71"), 2);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_chunk"), 2);
}

static void discard_and_sweep(void **state)
{
    (void)state;
    struct chunk_store store = chunk_store_pg(uri);
    struct err err = ERR_NONE;
    int64_t n = -1;
    assert_int_equal(write_file(70, true, &err), 0);
    assert_int_equal(store.discard(&store, &(struct chunk_owner){7, 69}, &err), 0);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_file"), 1);
    assert_int_equal(store.sweep(&store, clock_wall_us(), &n, &err), 0);
    assert_int_equal(n, 0);
    assert_int_equal(store.sweep(&store, clock_wall_us() + 7200000000, &n, &err), 0);
    assert_int_equal(n, 1);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_chunk"), 0);
    assert_int_equal(write_file(70, true, &err), 0);
    assert_int_equal(store.discard(&store, &(struct chunk_owner){7, 70}, &err), 0);
    assert_int_equal(
        ask("SELECT (SELECT count(*) FROM joblog.export_file) + (SELECT count(*) FROM joblog.export_chunk)"), 0);
    /* The end of the attempt was recorded although nobody heard of it: the file is the job's. */
    run_sql("CREATE TABLE joblog.job_state_seven PARTITION OF joblog.job_state FOR VALUES FROM (7) TO (8)");
    run_sql("INSERT INTO joblog.job_state (id, revision, last_token, run_time, lane_id, attempt, attempts_left, status)"
            " VALUES (7, 3145728, 70, now(), 1, 1, 0, 3)");
    assert_int_equal(write_file(70, true, &err), 0);
    assert_int_equal(store.discard(&store, &(struct chunk_owner){7, 70}, &err), 0);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_file"), 1);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_chunk"), 2);
    run_sql("DROP TABLE joblog.job_state_seven");
    store.uri = "host=/nowhere";
    assert_int_equal(store.discard(&store, &(struct chunk_owner){7, 70}, &err), -ERR_UNAVAILABLE);
}

/* ---- the writer ---- */

static void the_writer_hashes_and_commits(void **state)
{
    (void)state;
    struct chunk_store store = chunk_store_pg(uri);
    struct chunk_owner owner = {7, 70};
    struct export_writer *writer;
    struct export_file file = file_of(0);
    struct err err = ERR_NONE;
    assert_int_equal(export_writer_new(&store, &owner, &writer, &err), 0);
    for (int i = 0; i < 10; i++) {
        struct export_chunk_buffer *chunk = NULL;
        assert_int_equal(export_writer_take(writer, 10000, &chunk, &err), 1);
        chunk->len = i < 9 ? EXPORT_CHUNK_BYTES : 5;
        memset(chunk->data, 'a' + i, chunk->len);
        export_writer_put(writer, chunk);
    }
    export_writer_finish(writer, &file);
    assert_int_equal(export_writer_wait(writer, 10000, &file, &err), 1);
    assert_int_equal(file.size, 9 * EXPORT_CHUNK_BYTES + 5);
    export_writer_free(writer);
    assert_int_equal(ask("SELECT (sha256 = (SELECT encode(sha256(string_agg(data, '' ORDER BY seq)), 'hex')"
                         " FROM joblog.export_chunk))::int FROM joblog.export_file"),
                     1);
    char tail[] = "jjjjj";
    assert_int_equal(ask("SELECT crc32c FROM joblog.export_chunk WHERE seq = 9"), crc32c(0, tail, 5));
}

static void the_writer_tells_of_a_failed_sink(void **state)
{
    (void)state;
    struct chunk_store store = chunk_store_pg(uri);
    struct export_writer *writer;
    struct export_chunk_buffer *chunk = NULL;
    struct export_file file = file_of(0);
    struct err err = ERR_NONE;
    assert_int_equal(export_writer_new(&store, &(struct chunk_owner){7, 1}, &writer, &err), 0);
    assert_int_equal(export_writer_take(writer, 10000, &chunk, &err), 1);
    memset(chunk->data, 'x', chunk->len = 3);
    export_writer_put(writer, chunk);
    export_writer_finish(writer, &file);
    assert_int_equal(export_writer_wait(writer, 10000, &file, &err), -ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "LEASE_LOST");
    export_writer_free(writer);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_chunk"), 0);
    store.uri = "host=/nowhere";
    assert_int_equal(export_writer_new(&store, &(struct chunk_owner){7, 1}, &writer, &err), -ERR_UNAVAILABLE);
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
    assert_int_equal(pg_copy_exec(copy, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", NULL), 0);
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
        int rc = export_types_check(types, uri, &err);
        assert_int_equal(rc, cases[i].want ? -ERR_FAILED_PRECONDITION : 0);
        if (cases[i].want && !strstr(err.msg, cases[i].want))
            fail_msg("got \"%s\", want \"%s\"", err.msg, cases[i].want);
        if (!cases[i].want) {
            assert_true(export_types_at(types, 0)->filters[0].columns[0].is_text);
            assert_false(export_types_at(types, 0)->filters[1].columns[0].is_text);
        }
        export_types_free(types);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_statement_can_be_prepared),
        cmocka_unit_test_setup(a_file_is_there_after_commit_only, empty),
        cmocka_unit_test_setup(an_attempt_that_lost_its_lease_changes_nothing, empty),
        cmocka_unit_test_setup(a_later_attempt_replaces_the_file, empty),
        cmocka_unit_test_setup(discard_and_sweep, empty),
        cmocka_unit_test_setup(the_writer_hashes_and_commits, empty),
        cmocka_unit_test_setup(the_writer_tells_of_a_failed_sink, empty),
        cmocka_unit_test(rows_come_as_they_are),
        cmocka_unit_test(failures_before_and_among_the_rows),
        cmocka_unit_test(a_tick_ends_a_long_statement_here_and_there),
        cmocka_unit_test(types_are_held_against_the_database),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
