/* Exports from end to end: a real joblogd, a real database, the generated stubs. Reads like a transcript. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "joblog/v1/export.crpc.h"
#include "support/export_client.h"
#include "support/export_fixture.h"

#define EQUALS   JOBLOG__V1__FILTER_OPERATOR__FILTER_OPERATOR_EQUALS
#define CONTAINS JOBLOG__V1__FILTER_OPERATOR__FILTER_OPERATOR_CONTAINS
#define DEFAULT  JOBLOG__V1__FILTER_OPERATOR__FILTER_OPERATOR_UNSPECIFIED

static int restore_pace(void **state)
{
    (void)state;
    export_fixture_sql("UPDATE app.pace SET seconds = 0.01");
    return 0;
}

/* What psql's \copy gives, with the titles in front and the line ends of RFC 4180 after each row. */
static void reference_csv(const char *titles, const char *select, struct buf *out, int64_t *ret_rows)
{
    char sql[600], *row;
    int len;
    snprintf(sql, sizeof sql, "COPY (%s) TO STDOUT WITH (FORMAT csv)", select);
    PGresult *r = PQexec(fx.db, sql);
    if (PQresultStatus(r) != PGRES_COPY_OUT)
        fail_msg("%s: %s", sql, PQerrorMessage(fx.db));
    PQclear(r);
    buf_add_str(out, titles);
    for (*ret_rows = 0; (len = PQgetCopyData(fx.db, &row, 0)) > 0; ++*ret_rows) {
        buf_add(out, row, (size_t)len - 1);
        buf_add_str(out, "\r\n");
        PQfreemem(row);
    }
    while ((r = PQgetResult(fx.db)))
        PQclear(r);
}

#define PEOPLE_TITLES "Id,\"Name, \"\"full\"\"\",note,born,seen\r\n"

static void check_whole_file(int64_t id, const char *titles, const char *select)
{
    struct buf want = BUF_INIT, got = BUF_INIT;
    Joblog__V1__ExportFile *file = NULL;
    struct err err = ERR_NONE;
    int64_t rows;
    reference_csv(titles, select, &want, &rows);
    if (export_download(fx.ann, id, 0, &got, &file, &err) != 0)
        fail_msg("download: %s", err.msg);
    assert_int_equal(got.len, want.len);
    assert_memory_equal(got.data, want.data, want.len);
    assert_int_equal(file->size, want.len);
    assert_int_equal(file->rows, rows);
    assert_string_equal(file->sha256, sha256_hex(got.data, got.len));
    assert_true(file->expire_time->seconds > clock_wall_us() / 1000000 + INT64_C(6) * 24 * 3600);
    protobuf_c_message_free_unpacked(&file->base, NULL);
    buf_done(&want);
    buf_done(&got);
}

static void expect_completed(int64_t id)
{
    Joblog__V1__Export *e = export_watch(fx.ann, id, NULL);
    assert_non_null(e);
    if (e->job->status != JOBLOG__V1__JOB_STATUS__JOB_STATUS_COMPLETED)
        fail_msg("status %d, error %s", (int)e->job->status, e->job->error ? e->job->error->message : "none");
    assert_non_null(e->file);
    assert_non_null(e->job->progress);
    assert_true(e->job->progress->percent == 100);
    assert_int_equal(e->job->progress->done, e->file->rows);
    assert_string_equal(e->job->progress->unit, "rows");
    export_free(e);
}

static void a_whole_table(void **state)
{
    (void)state;
    int64_t id = export_begin(fx.ann, "people", NULL);
    expect_completed(id);
    check_whole_file(id, PEOPLE_TITLES, "SELECT * FROM app.people ORDER BY id");
    struct err err = ERR_NONE;
    Joblog__V1__Export *e = export_get(fx.ann, id, &err);
    assert_non_null(e);
    assert_string_equal(e->title, "People");
    assert_string_equal(e->job->owner, "ann");
    assert_string_equal(e->job->job_name, "joblog.export");
    assert_string_equal(e->job->queue, "joblog.exports");
    assert_int_equal(e->format, JOBLOG__V1__EXPORT_FORMAT__EXPORT_FORMAT_CSV);
    assert_int_equal(strncmp(e->file->file_name, "people-20", 9), 0);
    assert_int_equal(strncmp(e->file->content_type, "text/csv", 8), 0);
    export_free(e);
}

static void a_search_and_other_filters(void **state)
{
    (void)state;
    static const struct {
        struct filter_arg filter;
        const char *where;
    } cases[] = {
        {{"search", DEFAULT, "50%_"}, "position('50%_' in name) > 0"},
        {{"search", DEFAULT, "\"THE QUOTE\"\r\no'hara"}, "id % 5 = 0 AND id < 20000"},
        {{"search", DEFAULT, "\\"}, "id % 5 = 0"},
        {{"search", DEFAULT, "'; DROP TABLE app.people; --"}, "false"},
        {{"id", JOBLOG__V1__FILTER_OPERATOR__FILTER_OPERATOR_AT_MOST, "17"}, "id <= 17"},
        {{"born", EQUALS, "2000-01-02"}, "born = '2000-01-02'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char select[200];
        int64_t id = export_begin(fx.ann, "people", &cases[i].filter);
        expect_completed(id);
        snprintf(select, sizeof select, "SELECT * FROM app.people WHERE %s ORDER BY id", cases[i].where);
        check_whole_file(id, PEOPLE_TITLES, select);
    }
}

static void download_from_an_offset(void **state)
{
    (void)state;
    int64_t id = export_begin(fx.ann, "people", NULL);
    struct buf whole = BUF_INIT;
    struct err err = ERR_NONE;
    expect_completed(id);
    assert_int_equal(export_download(fx.ann, id, 0, &whole, NULL, &err), 0);
    int64_t size = (int64_t)whole.len, chunk = 512 << 10;
    assert_true(size > 3 * chunk);
    int64_t offsets[] = {1, chunk - 1, chunk, chunk + 1, 2 * chunk + 12345, size - 1, size};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        struct buf part = BUF_INIT;
        Joblog__V1__ExportFile *file = NULL;
        assert_int_equal(export_download(fx.ann, id, offsets[i], &part, &file, &err), 0);
        assert_int_equal(file->size, size);
        protobuf_c_message_free_unpacked(&file->base, NULL);
        assert_int_equal(part.len, size - offsets[i]);
        if (part.len)
            assert_memory_equal(part.data, whole.data + offsets[i], part.len);
        buf_done(&part);
    }
    assert_int_equal(export_download(fx.ann, id, size + 1, &whole, NULL, &err), -ERR_OUT_OF_RANGE);
    assert_int_equal(export_download(fx.ann, id, -1, &whole, NULL, &err), -ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "offset");
    buf_done(&whole);
}

static void cancel_soon(const char *type, bool (*when)(const Joblog__V1__Export *))
{
    Joblog__V1__CancelExportRequest request = JOBLOG__V1__CANCEL_EXPORT_REQUEST__INIT;
    struct err err = ERR_NONE;
    struct buf data = BUF_INIT;
    int64_t id = export_begin(fx.ann, type, NULL);
    Joblog__V1__Export *e = export_watch(fx.ann, id, when), *answer = NULL;
    assert_non_null(e);
    export_free(e);
    assert_int_equal(export_download(fx.ann, id, 0, &data, NULL, &err), -ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "EXPORT_NOT_READY");
    int64_t start_ms = clock_mono_ms();
    request.id = id;
    request.reason = (char *)"changed my mind";
    assert_int_equal(joblog_v1_export_service_cancel_export(fx.ann, NULL, &request, &answer, &err), 0);
    crpc_message_free(&answer->base);
    e = export_watch(fx.ann, id, NULL);
    assert_non_null(e);
    assert_int_equal(e->job->status, JOBLOG__V1__JOB_STATUS__JOB_STATUS_CANCELLED);
    assert_null(e->file);
    export_free(e);
    assert_true(clock_mono_ms() - start_ms < 1000);
    assert_int_equal(export_download(fx.ann, id, 0, &data, NULL, &err), -ERR_FAILED_PRECONDITION);
    assert_int_equal(export_fixture_ask("SELECT count(*) FROM joblog.export_chunk WHERE job_id = %lld", id), 0);
    buf_done(&data);
}

static bool is_counting(const Joblog__V1__Export *e)
{
    return e->job->status == JOBLOG__V1__JOB_STATUS__JOB_STATUS_RUNNING;
}

static void cancel_a_long_export(void **state)
{
    (void)state;
    cancel_soon("slow", export_is_writing);
    cancel_soon("slow-count", is_counting);
}

static void a_query_that_fails_ends_at_once(void **state)
{
    (void)state;
    int64_t id = export_begin(fx.ann, "broken", NULL);
    Joblog__V1__Export *e = export_watch(fx.ann, id, NULL);
    assert_non_null(e);
    assert_int_equal(e->job->status, JOBLOG__V1__JOB_STATUS__JOB_STATUS_FAILED);
    assert_string_equal(e->job->error->type, "ExportSourceFailed");
    assert_int_equal(e->job->attempt, 1);
    assert_int_equal(export_fixture_ask("SELECT count(*) FROM joblog.export_chunk WHERE job_id = %lld", id), 0);
    export_free(e);
}

static void what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        struct filter_arg filter;
        const char *field;
    } cases[] = {
        {"nothing", {"id", EQUALS, "1"}, "export_type"},
        {"", {"id", EQUALS, "1"}, "export_type"},
        {"people", {"name", EQUALS, "x"}, "filters[0].field"},
        {"people", {"id", CONTAINS, "1"}, "filters[0].operator"},
        {"people", {"id", EQUALS, "1 OR true"}, "filters[0].values[0]"},
        {"people", {"id", EQUALS, NULL}, "filters[0].values"},
        {"people", {"born", EQUALS, "2026-02-30"}, "filters[0].values[0]"},
    };
    int64_t before = export_fixture_ask("SELECT count(*) FROM joblog.job WHERE %lld = 0", 0), id;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = ERR_NONE;
        assert_int_equal(export_try_start(fx.ann, cases[i].type, &cases[i].filter, NULL, &id, &err),
                         -ERR_INVALID_ARGUMENT);
        assert_string_equal(err.field, cases[i].field);
    }
    assert_int_equal(export_fixture_ask("SELECT count(*) FROM joblog.job WHERE %lld = 0", 0), before);
}

static void request_ids(void **state)
{
    (void)state;
    struct filter_arg one = {"id", EQUALS, "1"}, two = {"id", EQUALS, "2"};
    struct err err = ERR_NONE;
    int64_t first, again;
    assert_int_equal(export_try_start(fx.ann, "people", &one, "the-first", &first, &err), 0);
    assert_int_equal(export_try_start(fx.ann, "people", &one, "the-first", &again, &err), 0);
    assert_int_equal(first, again);
    assert_int_equal(export_try_start(fx.ann, "people", &two, "the-first", &again, &err), -ERR_ALREADY_EXISTS);
    assert_string_equal(err.reason, "REQUEST_ID_REUSED");
    assert_int_equal(export_try_start(fx.bob, "people", &one, "the-first", &again, &err), -ERR_ALREADY_EXISTS);
    expect_completed(first);
}

static void exports_of_others_do_not_exist(void **state)
{
    (void)state;
    int64_t id = export_begin(fx.ann, "people", &(struct filter_arg){"id", EQUALS, "1"});
    expect_completed(id);
    Joblog__V1__CancelExportRequest cancel = JOBLOG__V1__CANCEL_EXPORT_REQUEST__INIT;
    Joblog__V1__Export *e = NULL;
    struct err mine = ERR_NONE, none = ERR_NONE;
    struct buf data = BUF_INIT;
    cancel.id = id;
    assert_null(export_get(fx.bob, id, &mine));
    assert_int_equal(mine.code, ERR_NOT_FOUND);
    assert_null(export_get(fx.bob, 1, &none));
    assert_int_equal(none.code, ERR_NOT_FOUND);
    assert_string_equal(mine.reason, none.reason);
    assert_int_equal(export_download(fx.bob, id, 0, &data, NULL, &mine), -ERR_NOT_FOUND);
    assert_int_equal(joblog_v1_export_service_cancel_export(fx.bob, NULL, &cancel, &e, &mine), -ERR_NOT_FOUND);
    assert_null(export_watch(fx.bob, id, NULL));
    buf_done(&data);
}

static void a_list_holds_the_callers_own_only(void **state)
{
    (void)state;
    int64_t ids[3];
    for (int i = 0; i < 3; i++) {
        ids[i] = export_begin(fx.bob, "people", &(struct filter_arg){"id", EQUALS, "3"});
        Joblog__V1__Export *e = export_watch(fx.bob, ids[i], NULL);
        assert_non_null(e);
        export_free(e);
        export_begin(fx.ann, "people", &(struct filter_arg){"id", EQUALS, "1"});
    }
    char token[200] = "";
    for (int i = 2; i >= 0; i--) {
        Joblog__V1__ListExportsRequest request = JOBLOG__V1__LIST_EXPORTS_REQUEST__INIT;
        Joblog__V1__ListExportsResponse *page = NULL;
        struct err err = ERR_NONE;
        request.page_size = 1;
        request.page_token = token;
        assert_int_equal(joblog_v1_export_service_list_exports(fx.bob, NULL, &request, &page, &err), 0);
        assert_int_equal(page->n_exports, 1);
        assert_int_equal(page->exports[0]->job->id, ids[i]);
        assert_string_equal(page->exports[0]->filters[0]->values[0], "3");
        assert_int_equal(page->exports[0]->file->rows, 1);
        snprintf(token, sizeof token, "%s", page->next_page_token);
        assert_int_equal(token[0] == '\0', i == 0);
        crpc_message_free(&page->base);
    }
}

static void the_types_that_there_are(void **state)
{
    (void)state;
    Joblog__V1__ListExportTypesRequest request = JOBLOG__V1__LIST_EXPORT_TYPES_REQUEST__INIT;
    Joblog__V1__ListExportTypesResponse *types = NULL;
    struct err err = ERR_NONE;
    assert_int_equal(joblog_v1_export_service_list_export_types(fx.ann, NULL, &request, &types, &err), 0);
    assert_int_equal(types->n_export_types, 5);
    assert_string_equal(types->export_types[0]->name, "broken");
    assert_string_equal(types->export_types[1]->name, "jobs");
    Joblog__V1__ExportType *people = types->export_types[2];
    assert_string_equal(people->title, "People");
    assert_int_equal(people->n_columns, 5);
    assert_string_equal(people->columns[1]->title, "Name, \"full\"");
    assert_string_equal(people->filters[0]->field, "search");
    assert_int_equal(people->filters[1]->n_operators, 3);
    assert_int_equal(people->filters[1]->operators[0], EQUALS);
    assert_int_equal(people->filters[1]->value_type, JOBLOG__V1__EXPORT_VALUE_TYPE__EXPORT_VALUE_TYPE_INTEGER);
    assert_int_equal(people->columns[3]->value_type, JOBLOG__V1__EXPORT_VALUE_TYPE__EXPORT_VALUE_TYPE_DATE);
    assert_string_equal(people->order[0]->column, "id");
    assert_int_equal(people->n_formats, 3);
    crpc_message_free(&types->base);
}

/* Ends the server in the middle of an export and starts it again: the export is made whole. */
static void end_in_the_middle(void (*end)(struct server_fixture *))
{
    int64_t id = export_begin(fx.ann, "slow", NULL);
    Joblog__V1__Export *e = export_watch(fx.ann, id, export_is_writing);
    assert_non_null(e);
    export_free(e);
    end(fx.server);
    export_fixture_sql("UPDATE app.pace SET seconds = 0");
    assert_true(server_fixture_restart(fx.server));
    expect_completed(id);
    check_whole_file(id, "id,nap\r\n", "SELECT * FROM app.slow");
    assert_int_equal(export_fixture_ask("SELECT count(*) FROM joblog.export_chunk c WHERE job_id = %lld AND token <> "
                                        "(SELECT token FROM joblog.export_file f WHERE f.job_id = c.job_id)",
                                        id),
                     0);
    assert_int_equal(export_fixture_ask("SELECT attempt FROM joblog.job_now WHERE id = %lld", id), 2);
}

static void end_well(struct server_fixture *f)
{
    int64_t start_ms = clock_mono_ms();
    assert_int_equal(server_fixture_stop(f), 0);
    assert_true(clock_mono_ms() - start_ms < 10000);
}

static void killed_in_the_middle(void **state)
{
    (void)state;
    end_in_the_middle(server_fixture_kill);
}

static void stopped_in_the_middle(void **state)
{
    (void)state;
    end_in_the_middle(end_well);
}

/* A connection of the engine is cut: the attempt fails, the next one makes the file. */
static void cut_connections(void **state)
{
    (void)state;
    int64_t id = export_begin(fx.ann, "slow", NULL);
    Joblog__V1__Export *e = export_watch(fx.ann, id, export_is_writing);
    assert_non_null(e);
    export_free(e);
    export_fixture_sql("UPDATE app.pace SET seconds = 0");
    assert_int_equal(export_fixture_ask("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                                        " WHERE application_name = 'joblogd export rows' AND %lld <> 0",
                                        id),
                     1);
    expect_completed(id);
    check_whole_file(id, "id,nap\r\n", "SELECT * FROM app.slow");
    assert_int_equal(export_fixture_ask("SELECT attempt FROM joblog.job_now WHERE id = %lld", id), 2);
}

static void expired_and_damaged_files(void **state)
{
    (void)state;
    int64_t id = export_begin(fx.ann, "people", &(struct filter_arg){"id", EQUALS, "1"});
    struct buf data = BUF_INIT;
    struct err err = ERR_NONE;
    expect_completed(id);
    export_fixture_ask("UPDATE joblog.export_chunk SET data = set_byte(data, 3, 0) WHERE job_id = %lld RETURNING 1",
                       id);
    assert_int_equal(export_download(fx.ann, id, 0, &data, NULL, &err), -ERR_DATA_LOSS);
    assert_string_equal(err.reason, "EXPORT_DAMAGED");
    assert_int_equal(data.len, 0);
    export_fixture_ask("UPDATE joblog.export_file SET expire_time = now() WHERE job_id = %lld RETURNING 1", id);
    assert_int_equal(export_download(fx.ann, id, 0, &data, NULL, &err), -ERR_NOT_FOUND);
    assert_string_equal(err.reason, "EXPORT_EXPIRED");
    Joblog__V1__Export *e = export_get(fx.ann, id, &err);
    assert_non_null(e);
    assert_int_equal(e->job->status, JOBLOG__V1__JOB_STATUS__JOB_STATUS_COMPLETED);
    assert_null(e->file);
    export_free(e);
    buf_done(&data);
}

static void bad_type_files_stop_the_start(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"{", "types.json:1:"},
        {"{\"export_types\": [{\"name\": \"x\", \"relation\": \"app.people\", \"columns\": [{\"name\": \"id\"}], "
         "\"owner\": 1}]}",
         "export_types[0]: unknown key \\\"owner\\\""}, /* quotes within the quotes of the log */
        {"{\"export_types\": [{\"name\": \"x\", \"relation\": \"app.nobody\", \"columns\": [{\"name\": \"id\"}]}]}",
         "export type \\\"x\\\": there is no relation app.nobody"},
        {"{\"export_types\": [{\"name\": \"x\", \"relation\": \"app.people\", \"columns\": [{\"name\": \"ID\"}]}]}",
         "relation app.people has no column \\\"ID\\\""},
    };
    char database[300];
    snprintf(database, sizeof database, "--database=%s", fx.uri);
    const char *args[] = {"--listen=127.0.0.1:0", database, fx.types_arg, NULL};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = NULL;
        assert_true(export_fixture_types(cases[i].text));
        assert_int_not_equal(server_fixture_run(args, &text), 0);
        if (!text || !strstr(text, cases[i].want))
            fail_msg("want \"%s\", got: %s", cases[i].want, text ? text : "nothing");
        free(text);
    }
    assert_true(export_fixture_types(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_table),
        cmocka_unit_test(a_search_and_other_filters),
        cmocka_unit_test(download_from_an_offset),
        cmocka_unit_test_setup(cancel_a_long_export, restore_pace),
        cmocka_unit_test(a_query_that_fails_ends_at_once),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(request_ids),
        cmocka_unit_test(exports_of_others_do_not_exist),
        cmocka_unit_test(a_list_holds_the_callers_own_only),
        cmocka_unit_test(the_types_that_there_are),
        cmocka_unit_test_setup(killed_in_the_middle, restore_pace),
        cmocka_unit_test_setup(stopped_in_the_middle, restore_pace),
        cmocka_unit_test_setup(cut_connections, restore_pace),
        cmocka_unit_test(expired_and_damaged_files),
        cmocka_unit_test(bad_type_files_stop_the_start),
    };
    return cmocka_run_group_tests(tests, export_fixture_start, export_fixture_stop);
}
