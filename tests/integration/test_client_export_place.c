/* Where libjoblog puts the file of an export: one download at a time, and nothing is started for a place that is none.
 * Against a real joblogd on a real PostgreSQL. Uses libjoblog's public header only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <joblog/joblog.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/client_fixture.h"

enum { ROWS = 20000, ROUNDS = 20, PATH_SIZE = 320 };

static const char *in_dir(char path[PATH_SIZE], const char *name)
{
    snprintf(path, PATH_SIZE, "%s/%s", pg_fixture_dir(), name);
    return path;
}

static bool is_there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* All of a file; free it. */
static char *content(const char *path, size_t *ret_len)
{
    struct stat st;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &st), 0);
    char *data = malloc((size_t)st.st_size + 1);
    *ret_len = fread(data, 1, (size_t)st.st_size + 1, file);
    fclose(file);
    return data;
}

static bool same(const char *path, const char *other)
{
    size_t n, n_other;
    char *data = content(path, &n), *other_data = content(other, &n_other);
    bool equal = n == n_other && n > 0 && memcmp(data, other_data, n) == 0;
    free(data);
    free(other_data);
    return equal;
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int64_t start_export(const char *type, const char *format)
{
    struct joblog_export_spec spec = {.export_type = type, .format = format};
    struct joblog_export *export = NULL;
    assert_ok(joblog_export_start(client, &spec, &export, NULL, &error));
    int64_t id = export->job.id;
    joblog_export_free(export);
    return id;
}

static int64_t finished_export(const char *format)
{
    int64_t id = start_export("numbers", format);
    struct joblog_job *job = NULL;
    assert_ok(joblog_wait(client, id, 60000, &job, &error));
    assert_int_equal(job->status, JOBLOG_COMPLETED);
    joblog_job_free(job);
    return id;
}

static int64_t n_exports(void)
{
    struct joblog_export_list *list = NULL;
    assert_ok(joblog_export_list_own(client, 500, NULL, &list, &error));
    int64_t n = (int64_t)list->n_exports;
    joblog_export_list_free(list);
    return n;
}

static void expect_refused(int rc, const char *words)
{
    assert_int_equal(rc, -JOBLOG_FAILED_PRECONDITION);
    assert_string_equal(error.reason, "FILE");
    if (!strstr(error.message, words))
        fail_msg("\"%s\" does not say \"%s\"", error.message, words);
}

/* ---- one download at a time ---- */

/* While somebody holds the part, nobody writes to it, whichever way; afterwards it is gone on with. */
static void test_a_part_that_is_held(void **state)
{
    (void)state;
    char path[PATH_SIZE], part[PATH_SIZE], copy[PATH_SIZE];
    int64_t id = finished_export("csv"), before = n_exports();
    struct joblog_export_spec spec = {.export_type = "numbers"};
    in_dir(path, "held.csv");
    in_dir(part, "held.csv.part");
    in_dir(copy, "held.copy");
    write_text(part, "somebody's");
    write_text(copy, "somebody's");
    int fd = open(part, O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    expect_refused(joblog_export_save(client, id, path, NULL, &error), "another download writes ");
    assert_non_null(strstr(error.message, "held.csv.part"));
    expect_refused(joblog_export_save_following(client, id, path, NULL, &error), "another download writes ");
    expect_refused(joblog_export_to_file(client, &spec, path, NULL, NULL, &error), "another download writes ");
    expect_refused(joblog_export_check_place(path, &error), "another download writes ");
    assert_int_equal(n_exports(), before);
    assert_true(same(part, copy));
    assert_false(is_there(path));
    close(fd);
    assert_ok(joblog_export_save(client, id, path, NULL, &error));
    assert_false(is_there(part));
}

struct saving {
    struct joblog_client *client; /* NULL: the test's */
    int64_t id;
    const char *path;
    struct joblog_export **ret_export;
    bool follow;
    int rc;
    struct joblog_error error;
    pthread_t thread;
    pthread_barrier_t *start;
};

static void *save(void *user)
{
    struct saving *s = user;
    if (s->start)
        pthread_barrier_wait(s->start);
    s->rc = (s->follow ? joblog_export_save_following : joblog_export_save)(s->client ? s->client : client, s->id,
                                                                            s->path, s->ret_export, &s->error);
    return NULL;
}

static PGconn *gate; /* whoever exports `gated` waits for a lock that this session has while the gate is shut */

static void ask_the_gate(const char *sql)
{
    PGresult *result = PQexec(gate, sql);
    assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
    PQclear(result);
}

/* Starts to follow an export that does not end before the gate is open, and returns once its part is held. */
static void begin_to_follow(struct saving *s, const char *part)
{
    union {
        struct inotify_event event;
        char bytes[4096];
    } events;
    int watch = inotify_init1(IN_CLOEXEC);
    ask_the_gate("SELECT pg_advisory_lock(1)");
    s->id = start_export("gated", "csv");
    s->follow = true;
    write_text(part, "of before"); /* is emptied by who has locked it */
    assert_true(inotify_add_watch(watch, part, IN_MODIFY) >= 0);
    assert_int_equal(pthread_create(&s->thread, NULL, save, s), 0);
    struct pollfd wait = {.fd = watch, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, 60000), 1);
    assert_true(read(watch, &events, sizeof events) > 0);
    close(watch);
}

static void open_the_gate(struct saving *s)
{
    ask_the_gate("SELECT pg_advisory_unlock(1)");
    pthread_join(s->thread, NULL);
}

static void test_a_part_that_is_followed_into(void **state)
{
    (void)state;
    char path[PATH_SIZE], part[PATH_SIZE], alone[PATH_SIZE];
    struct saving first = {.path = in_dir(path, "followed.csv")};
    int64_t other = finished_export("jsonl");
    begin_to_follow(&first, in_dir(part, "followed.csv.part"));
    expect_refused(joblog_export_save(client, other, path, NULL, &error), "another download writes ");
    expect_refused(joblog_export_save_following(client, first.id, path, NULL, &error), "another download writes ");
    open_the_gate(&first);
    assert_int_equal(first.rc, 0);
    assert_ok(joblog_export_save(client, first.id, in_dir(alone, "followed.alone"), NULL, &error));
    assert_true(same(path, alone));
    assert_false(is_there(part));
}

/* What somebody puts in the place of the part is neither renamed nor removed. */
static void test_a_part_that_is_replaced(void **state)
{
    (void)state;
    char path[PATH_SIZE], part[PATH_SIZE], copy[PATH_SIZE];
    struct saving first = {.path = in_dir(path, "replaced.csv")};
    begin_to_follow(&first, in_dir(part, "replaced.csv.part"));
    assert_int_equal(unlink(part), 0);
    write_text(part, "of somebody else");
    write_text(in_dir(copy, "replaced.copy"), "of somebody else");
    open_the_gate(&first);
    error = first.error;
    expect_refused(first.rc, "was removed or replaced");
    assert_false(is_there(path));
    assert_true(same(part, copy));
}

/* Two downloads at the same moment: one of them may be refused; the file is that of one that says it has written it. */
static void test_two_downloads_of_different_exports(void **state)
{
    (void)state;
    char path[PATH_SIZE], part[PATH_SIZE], alone[2][PATH_SIZE];
    int64_t ids[2] = {finished_export("csv"), finished_export("jsonl")};
    pthread_barrier_t start;
    int n_refused = 0;
    assert_int_equal(pthread_barrier_init(&start, NULL, 2), 0);
    in_dir(path, "raced");
    in_dir(part, "raced.part");
    for (int i = 0; i < 2; i++)
        assert_ok(joblog_export_save(client, ids[i], in_dir(alone[i], i ? "raced.jsonl" : "raced.csv"), NULL, &error));
    assert_false(same(alone[0], alone[1]));
    for (int round = 0; round < ROUNDS; round++) {
        struct saving both[2];
        for (int i = 0; i < 2; i++) {
            both[i] = (struct saving){.id = ids[i], .path = path, .start = &start, .follow = round % 2};
            assert_int_equal(pthread_create(&both[i].thread, NULL, save, &both[i]), 0);
        }
        for (int i = 0; i < 2; i++)
            pthread_join(both[i].thread, NULL);
        for (int i = 0; i < 2; i++) {
            error = both[i].error;
            if (both[i].rc != 0)
                expect_refused(both[i].rc, "another download writes ");
            n_refused += both[i].rc != 0;
        }
        assert_true((both[0].rc == 0 && same(path, alone[0])) || (both[1].rc == 0 && same(path, alone[1])));
        assert_false(is_there(part));
        assert_int_equal(unlink(path), 0);
    }
    assert_true(n_refused > 0);
    pthread_barrier_destroy(&start);
}

/* ---- a call that fails at its last step ---- */

static PGconn *locker; /* holds what the answer about the export is read from */

static void run(PGconn *conn, const char *sql)
{
    PGresult *result = PQexec(conn, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    PQclear(result);
}

static void await_waiting(const char *table)
{
    char sql[200];
    snprintf(sql, sizeof sql, "SELECT 1 FROM pg_locks WHERE relation = '%s'::regclass AND NOT granted", table);
    for (int i = 0;; i++) {
        PGresult *result = PQexec(locker, sql);
        int n = PQntuples(result);
        PQclear(result);
        if (n > 0)
            return;
        assert_true(i < 60000);
        usleep(1000); /* nobody tells of it */
    }
}

/* All bytes are there, and what became of the export is not to be had: the file gets its name with the next call. */
static void test_no_file_of_a_call_that_fails(void **state)
{
    (void)state;
    char path[PATH_SIZE], part[PATH_SIZE], alone[PATH_SIZE];
    struct stat before, after;
    struct joblog_export *export = NULL;
    struct joblog_options hasty = {.timeout_ms = 1500, .no_retry = true};
    struct saving saving = {.id = finished_export("csv"), .path = in_dir(path, "last.csv"), .ret_export = &export};
    in_dir(part, "last.csv.part");
    assert_ok(joblog_export_save(client, saving.id, in_dir(alone, "last.alone"), NULL, &error));
    assert_non_null(saving.client = joblog_connect(server_fixture_address(server), &hasty, &error));
    locker = PQconnectdb(client_fixture_database());
    run(gate, "BEGIN; LOCK TABLE joblog.export_chunk IN ACCESS EXCLUSIVE MODE");
    assert_int_equal(pthread_create(&saving.thread, NULL, save, &saving), 0);
    await_waiting("joblog.export_chunk"); /* so the download has begun */
    run(locker, "BEGIN; LOCK TABLE joblog.transition IN ACCESS EXCLUSIVE MODE");
    run(gate, "COMMIT");
    pthread_join(saving.thread, NULL);
    run(locker, "COMMIT");
    PQfinish(locker);
    joblog_close(saving.client);
    assert_int_equal(saving.rc, -JOBLOG_DEADLINE_EXCEEDED);
    assert_null(export);
    assert_false(is_there(path));
    assert_true(same(part, alone));
    assert_int_equal(stat(part, &before), 0);
    assert_ok(joblog_export_save(client, saving.id, path, &export, &error));
    joblog_export_free(export);
    assert_int_equal(stat(path, &after), 0);
    assert_true(before.st_ino == after.st_ino && same(path, alone));
}

/* ---- who ends in the middle ---- */

/* A program that ends at once takes with it the part that has no byte yet, and no other. */
static void test_empty_parts_are_dropped(void **state)
{
    (void)state;
    char path[PATH_SIZE], part[PATH_SIZE], others[PATH_SIZE];
    struct saving first = {.path = in_dir(path, "dropped.csv")};
    begin_to_follow(&first, in_dir(part, "dropped.csv.part")); /* and is emptied */
    write_text(in_dir(others, "others.csv.part"), "");
    joblog_export_drop_empty_parts();
    assert_false(is_there(part));
    assert_true(is_there(others));
    open_the_gate(&first);
    error = first.error;
    expect_refused(first.rc, "was removed or replaced");
    joblog_export_drop_empty_parts(); /* there is none */
    assert_true(is_there(others));
}

/* ---- places that are none ---- */

static void test_nothing_is_started_for_no_place(void **state)
{
    (void)state;
    char text[PATH_SIZE], name[PATH_SIZE];
    struct joblog_export_spec spec = {.export_type = "numbers"};
    int64_t before = n_exports();
    write_text(in_dir(text, "a-file"), "");
    memset(name, 'n', 252);
    name[252] = '\0';
    const struct {
        const char *path, *words;
    } places[] = {{"", "no name"},
                  {"/dev/null", "/dev/null is there and is not a regular file"},
                  {pg_fixture_dir(), "not a regular file"},
                  {"nowhere/file.csv", "nowhere/file.csv.part: No such file or directory"},
                  {"nowhere/", "No such file or directory"},
                  {in_dir(text, "a-file/file.csv"), "Not a directory"},
                  {name, "File name too long"}};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        expect_refused(joblog_export_to_file(client, &spec, places[i].path, NULL, NULL, &error), places[i].words);
        expect_refused(joblog_export_check_place(places[i].path, &error), places[i].words);
    }
    assert_int_equal(n_exports(), before);
}

/* A download that has brought nothing leaves nothing. */
static void test_no_empty_part_is_left(void **state)
{
    (void)state;
    char path[PATH_SIZE], part[PATH_SIZE];
    struct joblog_export_spec spec = {.export_type = "nonsense"};
    in_dir(path, "none.csv");
    in_dir(part, "none.csv.part");
    assert_int_equal(joblog_export_save(client, 123, path, NULL, &error), -JOBLOG_NOT_FOUND);
    assert_false(is_there(path) || is_there(part));
    assert_int_equal(joblog_export_to_file(client, &spec, path, NULL, NULL, &error), -JOBLOG_INVALID_ARGUMENT);
    assert_false(is_there(path) || is_there(part));
    assert_ok(joblog_export_check_place(path, &error));
    assert_false(is_there(path) || is_there(part));
    write_text(part, "of before"); /* perhaps of an export that is there */
    assert_int_equal(joblog_export_save(client, 123, path, NULL, &error), -JOBLOG_NOT_FOUND);
    assert_ok(joblog_export_check_place(path, &error));
    assert_true(is_there(part));
}

/* ---- fixture ---- */

static const char types_json[] =
    "{\"export_types\": [{\"name\": \"numbers\", \"relation\": \"public.numbers\", \"columns\": [{\"name\": \"id\"},"
    " {\"name\": \"name\"}]},"
    " {\"name\": \"gated\", \"relation\": \"public.gated\", \"columns\": [{\"name\": \"id\"}]}]}";

static bool make_tables(void)
{
    char text[700];
    snprintf(text, sizeof text,
             "CREATE TABLE public.numbers AS SELECT n AS id, 'number ' || n AS name FROM generate_series(1, %d) AS n;"
             " CREATE FUNCTION public.wait(n int) RETURNS int STABLE LANGUAGE plpgsql AS"
             " $$BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN n; END$$;"
             " CREATE VIEW public.gated AS SELECT public.wait(n) AS id FROM generate_series(1, 10) AS n",
             ROWS);
    return client_fixture_sql(text);
}

static int setup(void **state)
{
    (void)state;
    char path[PATH_SIZE], types[PATH_SIZE + 20];
    if (!client_fixture_database() || !make_tables())
        return -1;
    gate = PQconnectdb(client_fixture_database());
    write_text(in_dir(path, "types.json"), types_json);
    snprintf(types, sizeof types, "--export-types=%s", path);
    const char *args[] = {types, NULL};
    return client_fixture_start(args);
}

static int teardown(void **state)
{
    PQfinish(gate); /* and so opens the gate */
    return client_fixture_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_part_that_is_held),
        cmocka_unit_test(test_a_part_that_is_followed_into),
        cmocka_unit_test(test_a_part_that_is_replaced),
        cmocka_unit_test(test_two_downloads_of_different_exports),
        cmocka_unit_test(test_no_file_of_a_call_that_fails),
        cmocka_unit_test(test_empty_parts_are_dropped),
        cmocka_unit_test(test_nothing_is_started_for_no_place),
        cmocka_unit_test(test_no_empty_part_is_left),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
