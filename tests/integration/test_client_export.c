/* libjoblog's exports and downloads against a real joblogd on a real PostgreSQL. Uses the public header only. One
 * thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <joblog/joblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/client_fixture.h"

enum { ROWS = 60000 };

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

/* A watch of an export brings the size with the end. */
static void test_watch_brings_the_size(void **state)
{
    (void)state;
    int64_t id = export_rows();
    struct joblog_export *export = NULL;
    struct joblog_watch *watch = joblog_watch_export(client, id, 0, &error);
    const struct joblog_job *job = NULL;
    assert_non_null(watch);
    assert_int_equal(joblog_watch_file_size(watch), 0);
    assert_int_equal(joblog_watch_next(watch, &job, &error), 1);
    assert_int_equal(job->status, JOBLOG_COMPLETED);
    assert_ok(joblog_export_get(client, id, &export, &error));
    assert_true(export->size > 0);
    assert_int_equal(joblog_watch_file_size(watch), export->size);
    assert_int_equal(joblog_watch_next(watch, &job, &error), 0);
    assert_int_equal(joblog_watch_file_size(watch), export->size);
    joblog_watch_free(watch);
    assert_ok(joblog_export_delete(client, id, &error));
    watch = joblog_watch_export(client, id, 0, &error);
    assert_int_equal(joblog_watch_next(watch, &job, &error), 1);
    assert_int_equal(joblog_watch_file_size(watch), 0);
    joblog_watch_free(watch);
    joblog_export_free(export);
}

static void test_export_and_download(void **state)
{
    (void)state;
    struct joblog_export_type *types = NULL;
    size_t n = 0;
    assert_ok(joblog_export_types(client, &types, &n, &error));
    assert_int_equal(n, 5); /* "jobs" is built in */
    assert_string_equal(types[3].name, "people");
    assert_int_equal(types[3].n_columns, 3);
    assert_string_equal(types[3].filters[0], "team (equals, in)");
    assert_string_equal(types[3].column_types[0].name, types[3].column_names[0]);
    assert_string_equal(types[3].column_types[0].value_type, "integer");
    assert_true(types[3].column_types[0].sortable);
    assert_string_equal(types[3].filter_types[0].field, "team");
    assert_string_equal(types[3].filter_types[0].value_type, "text");
    assert_int_equal(types[3].filter_types[0].n_operators, 2);
    assert_string_equal(types[3].filter_types[0].operators[1], "in");
    assert_int_equal(types[3].n_formats, 3);
    assert_string_equal(types[3].formats[1], "jsonl");
    assert_string_equal(types[3].compressions[2], "zstd");
    assert_int_equal(types[3].n_order, 1);
    assert_string_equal(types[3].order[0].column, "id");
    assert_int_equal(types[3].row_limit, 1000000);
    assert_false(types[3].own_rows_only);
    assert_string_equal(types[4].name, "wide");
    assert_string_equal(types[4].title, "wide");
    assert_false(types[4].own_rows_only); /* an administrator gets all */
    assert_int_equal(types[4].row_limit, 0);
    assert_int_equal(types[4].n_order, 0);
    assert_string_equal(types[4].column_types[1].format, "#,##0.00");
    assert_string_equal(types[4].column_types[1].value_type, "number");
    assert_string_equal(types[4].column_types[2].value_type, "json");
    assert_false(types[4].column_types[2].sortable);
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

/* ---- from the start to the file in one call ---- */

struct told {
    int n_started, n_progress, stop_after;
    int64_t id;
    enum joblog_status last;
    char message[200], step[100];
};

static void note_start(void *user, const struct joblog_export *export, const char *message)
{
    struct told *t = user;
    t->n_started++;
    t->id = export->job.id;
    snprintf(t->message, sizeof t->message, "%s", message);
    assert_false(export->has_file);
    assert_string_equal(export->file_name, "rojos.csv.gz");
    assert_string_equal(export->file_state, "none yet");
}

static int note_progress(void *user, const struct joblog_job *job)
{
    struct told *t = user;
    t->n_progress++;
    t->last = job->status;
    if (*job->step)
        snprintf(t->step, sizeof t->step, "%s", job->step);
    return t->stop_after && t->n_progress >= t->stop_after;
}

static const struct joblog_export_spec asked = {
    .export_type = "people",
    .filters =
        (const struct joblog_export_filter[]){{.field = "team", .values = (const char *[]){"red"}, .n_values = 1}},
    .n_filters = 1,
    .file_name = "rojos.csv.gz",
    .columns = (const char *const[]){"name", "id"},
    .n_columns = 2,
    .order = (const struct joblog_export_order[]){{"name", false}, {"id", true}},
    .n_order = 2,
    .compression = "gzip",
    .csv = {.delimiter = ";", .null_text = "-", .byte_order_mark = true, .no_header = true, .keep_formulas = true},
    .language = "es"};

/* The export says what was asked for, in the words it was asked in. */
static void expect_asked(const struct joblog_export *export)
{
    assert_string_equal(export->export_type, "people");
    assert_string_equal(export->title, "People");
    assert_int_equal(export->n_filters, 1);
    assert_string_equal(export->filters[0].field, "team");
    assert_string_equal(export->filters[0].op, "equals"); /* none was named: the type's first */
    assert_int_equal(export->filters[0].n_values, 1);
    assert_string_equal(export->filters[0].values[0], "red");
    assert_int_equal(export->n_columns, 2);
    assert_string_equal(export->columns[0], "name");
    assert_string_equal(export->columns[1], "id");
    assert_int_equal(export->n_order, 2);
    assert_string_equal(export->order[0].column, "name");
    assert_false(export->order[0].descending);
    assert_string_equal(export->order[1].column, "id");
    assert_true(export->order[1].descending);
    assert_string_equal(export->format, "csv");
    assert_string_equal(export->compression, "gzip");
    assert_string_equal(export->language, "es");
    assert_string_equal(export->csv.delimiter, ";");
    assert_string_equal(export->csv.null_text, "-");
    assert_true(export->csv.byte_order_mark && export->csv.no_header && export->csv.keep_formulas);
    assert_string_equal(export->file_name, "rojos.csv.gz");
}

static void test_to_file_with_all_that_can_be_asked(void **state)
{
    (void)state;
    struct told told = {0};
    struct joblog_export_options options = {note_start, note_progress, &told};
    struct joblog_export *export = NULL;
    char path[300], command[400], line[100];
    snprintf(path, sizeof path, "%s/rojos.csv.gz", pg_fixture_dir());
    assert_ok(joblog_export_to_file(client, &asked, path, &options, &export, &error));
    expect_asked(export);
    assert_int_equal(told.n_started, 1);
    assert_true(told.id == export->job.id);
    assert_non_null(strstr(told.message, "ha comenzado"));
    assert_true(told.n_progress > 0);
    assert_int_equal(told.last, JOBLOG_COMPLETED);
    assert_true(export->has_file);
    assert_string_equal(export->content_type, "application/gzip");
    assert_int_equal(export->rows, ROWS / 2);
    joblog_export_free(export);
    snprintf(command, sizeof command, "gzip -dc '%s'", path);
    FILE *rows = popen(command, "r");
    assert_non_null(fgets(line, sizeof line, rows));
    assert_string_equal(line, "\xef\xbb\xbfperson 10;10\r\n");
    int n = 1;
    while (fgets(line, sizeof line, rows))
        n++;
    assert_int_equal(pclose(rows), 0);
    assert_int_equal(n, ROWS / 2);
}

/* Without options: silent, and the file is fetched while it is written. */
static void test_to_file_in_silence(void **state)
{
    (void)state;
    struct joblog_export_spec spec = {.export_type = "people", .format = "jsonl"};
    struct joblog_export *export = NULL;
    struct stat st;
    char path[300];
    snprintf(path, sizeof path, "%s/silent.jsonl", pg_fixture_dir());
    assert_ok(joblog_export_to_file(client, &spec, path, NULL, &export, &error));
    assert_string_equal(export->format, "jsonl");
    assert_string_equal(export->compression, "none");
    assert_int_equal(export->n_filters, 0);
    assert_int_equal(export->n_columns, 3);
    assert_string_equal(export->csv.delimiter, "");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, export->size);
    assert_int_equal(export->rows, ROWS);
    joblog_export_free(export);
    assert_ok(joblog_export_to_file(client, &spec, path, NULL, NULL, NULL));
}

static bool is_there(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

static void test_to_file_that_comes_to_nothing(void **state)
{
    (void)state;
    struct joblog_export_spec broken = {.export_type = "broken"}, stops = {.export_type = "broken"};
    struct told told = {0}, stop = {.stop_after = 1};
    struct joblog_export_options watching = {NULL, note_progress, &told}, stopping = {NULL, note_progress, &stop};
    struct joblog_export *export = NULL;
    char path[300], part[310];
    snprintf(path, sizeof path, "%s/nothing.csv", pg_fixture_dir());
    snprintf(part, sizeof part, "%s.part", path);
    /* It fails, watched or followed. */
    assert_int_equal(joblog_export_to_file(client, &broken, path, &watching, &export, &error),
                     -JOBLOG_FAILED_PRECONDITION);
    assert_string_equal(error.reason, "EXPORT_FAILED");
    assert_non_null(strstr(error.message, "the export failed: "));
    assert_int_equal(told.last, JOBLOG_FAILED);
    assert_int_equal(joblog_export_to_file(client, &broken, path, NULL, &export, &error), -JOBLOG_FAILED_PRECONDITION);
    assert_string_equal(error.reason, "EXPORT_FAILED");
    /* Who watches it stops it, while nothing lets it end by itself. */
    stops.export_type = "gated";
    assert_true(client_fixture_sql("INSERT INTO public.gate VALUES (true)"));
    assert_int_equal(joblog_export_to_file(client, &stops, path, &stopping, &export, &error), -JOBLOG_CANCELLED);
    assert_string_equal(error.reason, "EXPORT_CANCELLED");
    assert_int_equal(stop.last, JOBLOG_STATUS_CANCELLED);
    assert_true(client_fixture_sql("TRUNCATE public.gate"));
    assert_null(export);
    assert_false(is_there(path) || is_there(part));
}

static int64_t n_exports(void)
{
    struct joblog_export_list *list = NULL;
    assert_ok(joblog_export_list_own(client, 100, NULL, &list, &error));
    int64_t n = (int64_t)list->n_exports;
    joblog_export_list_free(list);
    return n;
}

static void test_to_file_that_is_refused(void **state)
{
    (void)state;
    struct told told = {0};
    struct joblog_export_options options = {note_start, note_progress, &told};
    struct joblog_export_spec spec = asked;
    int64_t before = n_exports();
    assert_int_equal(joblog_export_to_file(client, &spec, pg_fixture_dir(), &options, NULL, &error),
                     -JOBLOG_FAILED_PRECONDITION);
    assert_string_equal(error.reason, "FILE");
    spec.compression = "rar";
    assert_int_equal(joblog_export_to_file(client, &spec, "nowhere", &options, NULL, &error), -JOBLOG_INVALID_ARGUMENT);
    assert_string_equal(error.field, "compression");
    spec = asked;
    spec.columns = (const char *const[]){"name", "password"};
    assert_int_equal(joblog_export_to_file(client, &spec, "nowhere", &options, NULL, &error), -JOBLOG_INVALID_ARGUMENT);
    assert_string_equal(error.field, "columns[1]");
    assert_int_equal(told.n_started + told.n_progress, 0);
    assert_int_equal(n_exports(), before);
    assert_false(is_there("nowhere"));
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
    assert_true(client_fixture_sql(text));
    assert_int_equal(joblog_export_save(client, id, path, NULL, &error), -JOBLOG_DATA_LOSS);
    assert_string_equal(error.reason, "EXPORT_DAMAGED");
    assert_int_not_equal(stat(path, &whole), 0);
    assert_int_equal(stat(part, &first), 0);
    assert_int_equal(first.st_size, 512 * 1024);
    assert_true(
        client_fixture_sql("UPDATE joblog.export_chunk c SET crc32c = k.crc32c FROM kept k WHERE c.job_id = k.job_id"
                           " AND c.token = k.token AND c.seq = k.seq; DROP TABLE kept"));
    assert_ok(joblog_export_save(client, id, path, NULL, &error));
    assert_int_equal(stat(path, &whole), 0);
    assert_true(whole.st_size > first.st_size);
    assert_int_equal(whole.st_ino, first.st_ino); /* the same file, gone on with */
    /* A chunk that is gone is no file that has expired. */
    snprintf(text, sizeof text, "DELETE FROM joblog.export_chunk WHERE job_id = %lld AND seq = 1", (long long)id);
    assert_true(client_fixture_sql(text));
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
    " {\"name\": \"broken\", \"relation\": \"public.broken\", \"columns\": [{\"name\": \"id\"}]},"
    " {\"name\": \"gated\", \"relation\": \"public.gated\", \"columns\": [{\"name\": \"id\"}]},"
    " {\"name\": \"wide\", \"relation\": \"public.wide\", \"owner_column\": \"owner\", \"columns\": [{\"name\": \"x\"},"
    " {\"name\": \"n\", \"type\": \"number\", \"format\": \"#,##0.00\"}, {\"name\": \"j\"}]}]}";

static bool make_tables(void)
{
    char text[1000];
    snprintf(
        text, sizeof text,
        "CREATE TABLE public.people AS SELECT n AS id, 'person ' || n AS name,"
        " CASE n %% 2 WHEN 0 THEN 'red' ELSE 'blue' END AS team FROM generate_series(1, %d) AS n;"
        " CREATE TABLE public.wide AS SELECT repeat(md5(n::text), 31) AS x, n::numeric, '{}'::json AS j, 'x' AS owner"
        " FROM generate_series(1, %d) AS n;"
        " CREATE VIEW public.broken AS SELECT 1000 / (n - 500) AS id FROM generate_series(1, 1000) AS n;"
        " CREATE TABLE public.gate (shut bool);" /* while it has a row, an export of gated does not end */
        " CREATE FUNCTION public.wait(n int) RETURNS int LANGUAGE plpgsql AS $$BEGIN WHILE EXISTS (SELECT FROM "
        "public.gate)"
        " LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN n; END$$;"
        " CREATE VIEW public.gated AS SELECT public.wait(n) AS id FROM generate_series(1, 10) AS n",
        ROWS, WIDE_ROWS);
    return client_fixture_sql(text);
}

static int setup(void **state)
{
    (void)state;
    if (!client_fixture_database() || !make_tables())
        return -1;
    char path[300], types[320];
    snprintf(path, sizeof path, "%s/types.json", pg_fixture_dir());
    snprintf(types, sizeof types, "--export-types=%s", path);
    FILE *file = fopen(path, "w");
    fputs(types_json, file);
    fclose(file);
    const char *args[] = {types, NULL};
    return client_fixture_start(args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_export_and_download),
                                       cmocka_unit_test(test_watch_brings_the_size),
                                       cmocka_unit_test(test_to_file_with_all_that_can_be_asked),
                                       cmocka_unit_test(test_to_file_in_silence),
                                       cmocka_unit_test(test_to_file_that_comes_to_nothing),
                                       cmocka_unit_test(test_to_file_that_is_refused),
                                       cmocka_unit_test(test_damage_loses_nothing),
                                       cmocka_unit_test(test_part_is_a_regular_file),
                                       cmocka_unit_test(test_download_goes_on_after_a_kill)};
    return cmocka_run_group_tests(tests, setup, client_fixture_teardown);
}
