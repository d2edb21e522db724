/* libjoblog's exports and downloads against a real joblogd on a real PostgreSQL. Uses the public header only. One
 * thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <joblog/joblog.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/pg_fixture.h"
#include "support/server_fixture.h"

enum { ROWS = 60000 };

static char uri[256];
static struct server_fixture *server;
static struct joblog_client *client;
static struct joblog_error error;

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) < 0)                                                                                                \
            fail_msg("%s: %s %s", #call, joblog_code_name(error.code), error.message);                                 \
    } while (0)

struct pieces {
    FILE *file;
    int64_t stop_at;
};

static int take_piece(void *user, const void *data, size_t len, int64_t offset, int64_t total)
{
    struct pieces *p = user;
    assert_true(offset + (int64_t)len <= total);
    assert_int_equal(fwrite(data, 1, len, p->file), len);
    return offset + (int64_t)len >= p->stop_at;
}

static int64_t export_rows(void)
{
    struct joblog_export_filter filter = {
        .field = "team", .op = "equals", .values = (const char *[]){"red"}, .n_values = 1};
    struct joblog_export_spec spec = {.export_type = "people", .filters = &filter, .n_filters = 1};
    struct joblog_export *export = NULL;
    char *message = NULL;
    assert_ok(joblog_export_start(client, &spec, &export, &message, &error));
    assert_string_not_equal(message, "");
    free(message);
    int64_t id = export->job.id;
    joblog_export_free(export);
    struct joblog_job *job = NULL;
    assert_ok(joblog_wait(client, id, 60000, &job, &error));
    assert_int_equal(job->status, JOBLOG_COMPLETED);
    joblog_job_free(job);
    return id;
}

static void test_export_and_download(void **state)
{
    (void)state;
    struct joblog_export_type *types = NULL;
    size_t n = 0;
    assert_ok(joblog_export_types(client, &types, &n, &error));
    assert_int_equal(n, 3); /* "jobs" is built in */
    assert_string_equal(types[1].name, "people");
    assert_int_equal(types[1].n_columns, 3);
    assert_string_equal(types[1].filters[0], "team (equals, in)");
    assert_string_equal(types[1].column_types[0].name, types[1].column_names[0]);
    assert_string_equal(types[1].column_types[0].value_type, "integer");
    assert_true(types[1].column_types[0].sortable);
    assert_string_equal(types[1].filter_types[0].field, "team");
    assert_string_equal(types[1].filter_types[0].value_type, "text");
    assert_int_equal(types[1].filter_types[0].n_operators, 2);
    assert_string_equal(types[1].filter_types[0].operators[1], "in");
    assert_int_equal(types[1].n_formats, 3);
    assert_string_equal(types[1].formats[1], "jsonl");
    assert_string_equal(types[1].compressions[2], "zstd");
    assert_int_equal(types[1].n_order, 1);
    assert_string_equal(types[1].order[0].column, "id");
    assert_int_equal(types[1].row_limit, 1000000);
    assert_false(types[1].own_rows_only);
    assert_string_equal(types[2].name, "wide");
    assert_string_equal(types[2].title, "wide");
    assert_true(types[2].own_rows_only);
    assert_int_equal(types[2].row_limit, 0);
    assert_int_equal(types[2].n_order, 0);
    assert_string_equal(types[2].column_types[1].format, "#,##0.00");
    assert_string_equal(types[2].column_types[1].value_type, "number");
    assert_string_equal(types[2].column_types[2].value_type, "json");
    assert_false(types[2].column_types[2].sortable);
    joblog_export_types_free(types);

    struct joblog_export_spec wrong = {.export_type = "people", .format = "papyrus"};
    assert_int_equal(joblog_export_start(client, &wrong, NULL, NULL, &error), -JOBLOG_INVALID_ARGUMENT);
    assert_string_equal(error.field, "format");

    int64_t id = export_rows();
    char path[300], part[310];
    snprintf(path, sizeof path, "%s/people.csv", pg_fixture_dir());
    snprintf(part, sizeof part, "%s.part", path);
    /* A download that was broken off half-way is gone on with. */
    struct pieces pieces = {.file = fopen(part, "w"), .stop_at = 100000};
    assert_int_equal(joblog_export_download(client, id, 0, take_piece, &pieces, NULL, &error), -JOBLOG_ABORTED);
    fclose(pieces.file);
    struct stat half, whole;
    assert_int_equal(stat(part, &half), 0);
    struct joblog_export *export = NULL;
    assert_ok(joblog_export_save(client, id, path, &export, &error));
    assert_int_equal(stat(path, &whole), 0);
    assert_true(half.st_size > 0 && half.st_size < whole.st_size);
    assert_int_equal(export->size, whole.st_size);
    assert_int_equal(export->rows, ROWS / 2);
    assert_int_not_equal(stat(part, &half), 0);
    joblog_export_free(export);

    /* What lies there from another export is thrown away. */
    FILE *other = fopen(part, "w");
    fputs("not of this export", other);
    fclose(other);
    assert_ok(joblog_export_save(client, id, path, NULL, &error));
    struct joblog_export_list *list = NULL;
    assert_ok(joblog_export_list_own(client, 10, NULL, &list, &error));
    assert_int_equal(list->n_exports, 1);
    assert_int_equal(list->exports[0].job.id, id);
    joblog_export_list_free(list);
}

static void sql(const char *text)
{
    PGconn *conn = PQconnectdb(uri);
    PGresult *result = PQexec(conn, text);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        fail_msg("%s", PQerrorMessage(conn));
    PQclear(result);
    PQfinish(conn);
}

/* What came before a damaged piece is kept, and gone on with once the piece is whole again. */
static void test_damage_loses_nothing(void **state)
{
    (void)state;
    int64_t id = export_rows();
    char path[300], part[310], text[300];
    struct stat first, whole;
    snprintf(path, sizeof path, "%s/damaged.csv", pg_fixture_dir());
    snprintf(part, sizeof part, "%s.part", path);
    snprintf(text, sizeof text,
             "CREATE TABLE kept AS SELECT * FROM joblog.export_chunk WHERE job_id = %lld AND seq = 1;"
             "UPDATE joblog.export_chunk SET crc32c = crc32c # 1 WHERE job_id = %lld AND seq = 1",
             (long long)id, (long long)id);
    sql(text);
    assert_int_equal(joblog_export_save(client, id, path, NULL, &error), -JOBLOG_DATA_LOSS);
    assert_string_equal(error.reason, "EXPORT_DAMAGED");
    assert_int_not_equal(stat(path, &whole), 0);
    assert_int_equal(stat(part, &first), 0);
    assert_int_equal(first.st_size, 512 * 1024);
    sql("UPDATE joblog.export_chunk c SET crc32c = k.crc32c FROM kept k"
        " WHERE c.job_id = k.job_id AND c.token = k.token AND c.seq = k.seq; DROP TABLE kept");
    assert_ok(joblog_export_save(client, id, path, NULL, &error));
    assert_int_equal(stat(path, &whole), 0);
    assert_true(whole.st_size > first.st_size);
    assert_int_equal(whole.st_ino, first.st_ino); /* the same file, gone on with */
    /* A chunk that is gone is no file that has expired. */
    snprintf(text, sizeof text, "DELETE FROM joblog.export_chunk WHERE job_id = %lld AND seq = 1", (long long)id);
    sql(text);
    assert_int_equal(joblog_export_save(client, id, path, NULL, &error), -JOBLOG_DATA_LOSS);
}

/* PATH.part of somebody else's making is not written through. */
static void test_part_is_a_regular_file(void **state)
{
    (void)state;
    int64_t id = export_rows();
    char path[300], part[310], other[310];
    struct stat st;
    snprintf(path, sizeof path, "%s/linked.csv", pg_fixture_dir());
    snprintf(part, sizeof part, "%s.part", path);
    snprintf(other, sizeof other, "%s.other", path);
    FILE *file = fopen(other, "w");
    fclose(file);
    assert_int_equal(symlink(other, part), 0);
    assert_int_equal(joblog_export_save(client, id, path, NULL, &error), -JOBLOG_FAILED_PRECONDITION);
    assert_int_equal(stat(other, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(unlink(part), 0);
    assert_int_equal(mkfifo(part, 0600), 0);
    assert_int_equal(joblog_export_save(client, id, path, NULL, &error), -JOBLOG_FAILED_PRECONDITION);
    assert_int_equal(unlink(part), 0);
    assert_ok(joblog_export_save(client, id, path, NULL, &error));
}

/* What is downloaded when the server goes: it is killed in the middle, with nothing read of what is on its way, and the
 * rest comes from the one that is started in its place. */
struct outage {
    char *data;
    int64_t len;
    int n_outages;
};

enum { WIDE_ROWS = 12000, WIDE_BYTES = 1 << 24 };

static int take_over_outages(void *user, const void *data, size_t len, int64_t offset, int64_t total)
{
    struct outage *o = user;
    assert_int_equal(offset, o->len); /* nothing twice, nothing left out */
    assert_true(total <= WIDE_BYTES && offset + (int64_t)len <= total);
    memcpy(o->data + offset, data, len);
    o->len += (int64_t)len;
    if (o->len > (o->n_outages + 1) * (INT64_C(3) << 20)) {
        o->n_outages++;
        server_fixture_kill(server);
        assert_true(server_fixture_restart(server));
    }
    return 0;
}

static void test_download_goes_on_after_a_kill(void **state)
{
    (void)state;
    struct joblog_export_spec spec = {.export_type = "wide"};
    struct joblog_export *export = NULL, *after = NULL;
    struct joblog_job *job = NULL;
    struct outage first = {.data = malloc(WIDE_BYTES), .n_outages = 1000}, over = {.data = malloc(WIDE_BYTES)};
    assert_ok(joblog_export_start(client, &spec, &export, NULL, &error));
    assert_ok(joblog_wait(client, export->job.id, 60000, &job, &error));
    assert_int_equal(job->status, JOBLOG_COMPLETED);
    assert_ok(joblog_export_download(client, export->job.id, 0, take_over_outages, &first, NULL, &error));
    assert_ok(joblog_export_download(client, export->job.id, 0, take_over_outages, &over, &after, &error));
    assert_true(over.n_outages >= 2);
    assert_int_equal(over.len, first.len);
    assert_int_equal(after->size, over.len);
    assert_int_equal(after->rows, WIDE_ROWS);
    assert_memory_equal(over.data, first.data, (size_t)first.len);
    joblog_export_free(export);
    joblog_export_free(after);
    joblog_job_free(job);
    free(first.data);
    free(over.data);
}

/* ---- fixture ---- */

static const char types_json[] =
    "{\"export_types\": [{\"name\": \"people\", \"title\": \"People\", \"relation\": \"public.people\","
    " \"columns\": [{\"name\": \"id\", \"title\": \"Id\"}, {\"name\": \"name\", \"title\": \"Name\"},"
    " {\"name\": \"team\", \"title\": \"Team\"}],"
    " \"filters\": [{\"field\": \"team\", \"title\": \"Team\", \"operators\": [\"equals\", \"in\"]}],"
    " \"row_limit\": 1000000, \"order\": {\"column\": \"id\"}},"
    " {\"name\": \"wide\", \"relation\": \"public.wide\", \"owner_column\": \"owner\", \"columns\": [{\"name\": \"x\"},"
    " {\"name\": \"n\", \"type\": \"number\", \"format\": \"#,##0.00\"}, {\"name\": \"j\"}]}]}";

static int make_people(void)
{
    PGconn *conn = PQconnectdb(uri);
    char sql[600];
    snprintf(
        sql, sizeof sql,
        "CREATE TABLE public.people AS SELECT n AS id, 'person ' || n AS name,"
        " CASE n %% 2 WHEN 0 THEN 'red' ELSE 'blue' END AS team FROM generate_series(1, %d) AS n;"
        " CREATE TABLE public.wide AS SELECT repeat(md5(n::text), 31) AS x, n::numeric, '{}'::json AS j, 'x' AS owner"
        " FROM generate_series(1, %d) AS n",
        ROWS, WIDE_ROWS);
    PGresult *result = PQexec(conn, sql);
    int rc = PQresultStatus(result) == PGRES_COMMAND_OK ? 0 : -1;
    if (rc < 0)
        fprintf(stderr, "%s", PQerrorMessage(conn));
    PQclear(result);
    PQfinish(conn);
    return rc;
}

static int setup(void **state)
{
    (void)state;
    if (!pg_fixture_start())
        return -1;
    const char *made = pg_fixture_database("client");
    if (!made)
        return -1;
    snprintf(uri, sizeof uri, "%s", made);
    if (make_people() < 0)
        return -1;
    char path[300], types[320];
    snprintf(path, sizeof path, "%s/types.json", pg_fixture_dir());
    snprintf(types, sizeof types, "--export-types=%s", path);
    FILE *file = fopen(path, "w");
    fputs(types_json, file);
    fclose(file);
    const char *args[] = {types, NULL};
    server = server_fixture_start(&(struct server_fixture_options){.database = uri, .args = args});
    if (!server)
        return -1;
    client = joblog_connect(server_fixture_address(server), NULL, &error);
    return client ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    joblog_close(client);
    server_fixture_free(server);
    pg_fixture_stop();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_export_and_download), cmocka_unit_test(test_damage_loses_nothing),
        cmocka_unit_test(test_part_is_a_regular_file), cmocka_unit_test(test_download_goes_on_after_a_kill)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
