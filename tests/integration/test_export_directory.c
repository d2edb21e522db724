/* Whose a directory of exports is, and a sweep of it that is to end. Real PostgreSQL, no server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "export/chunk_store.h"
#include "export/halt.h"
#include "export/keeper.h"
#include "support/chunk_fixture.h"

static const char MARK[] = "joblog-database";

static void path_of(char path[300], const char *name)
{
    snprintf(path, 300, "%s/%s", store->dir, name);
}

static void put(const char *name)
{
    char path[300];
    path_of(path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static bool is_there(const char *name)
{
    char path[300];
    path_of(path, name);
    return access(path, F_OK) == 0;
}

static void expect_claimed(void)
{
    struct err err = ERR_NONE;
    if (chunk_store_dir_claim(store, &err) != 0)
        fail_msg("%s", err.msg);
    assert_true(is_there(MARK));
}

static void expect_refused(const char *words)
{
    struct err err = ERR_NONE;
    assert_int_equal(chunk_store_dir_claim(store, &err), -ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "EXPORT_DIRECTORY");
    if (!strstr(err.msg, words))
        fail_msg("%s", err.msg);
}

static void an_empty_directory_is_claimed(void **state)
{
    (void)state;
    expect_claimed();
    expect_claimed(); /* and is ours from then on, whatever lies there */
    put("1-2.data");
    expect_claimed();
}

static void what_is_no_file_of_an_export_does_not_count(void **state)
{
    (void)state;
    put("lost+found");
    put("1-2.txt");
    put("readme.data");
    expect_claimed();
}

static void files_that_nobody_knows_are_left_alone(void **state)
{
    (void)state;
    put("1-2.data");
    expect_refused("knows nothing of");
    assert_true(is_there("1-2.data"));
    assert_false(is_there(MARK));
    /* Another attempt of job 7 than this database has is nothing that it knows. */
    run_sql("INSERT INTO joblog.export_writing (job_id, token, storage, name, content_type, chunk_bytes)"
            " VALUES (7, 70, 1, 'f', 'text/csv', 3)");
    put("7-71.part");
    expect_refused("knows nothing of");
    /* One that it knows is enough, also among thousands. */
    for (int i = 0; i < 2500; i++) {
        char name[40];
        snprintf(name, sizeof name, "%d-3.data", 1000 + i);
        put(name);
    }
    expect_refused("knows nothing of");
    put("7-70.part");
    expect_claimed();
}

/* What joblogd of before has left: one that writes, one that is there, one that has expired, one whose job is known. */
static void files_of_ours_are_known(void **state)
{
    static const char *const known[] = {
        "INSERT INTO joblog.export_writing (job_id, token, storage, name, content_type, chunk_bytes)"
        " VALUES (7, 70, 1, 'f', 'text/csv', 3)",
        "INSERT INTO joblog.export_file (job_id, token, owner, name, content_type, sha256, size, rows, chunk_bytes, "
        "storage,"
        " expire_time, gone) VALUES (7, 70, 'ann', 'f', 'text/csv', '00', 1, 1, 3, 1, now(), 0)",
        "INSERT INTO joblog.export_file (job_id, token, owner, name, content_type, sha256, size, rows, chunk_bytes, "
        "storage,"
        " expire_time, gone) VALUES (7, 70, 'ann', 'f', 'text/csv', '00', 1, 1, 3, 1, now(), 1)",
        "CREATE TABLE joblog.job_state_seven PARTITION OF joblog.job_state FOR VALUES FROM (7) TO (8);"
        "INSERT INTO joblog.job_state (id, revision, status, last_token, run_time, lane_id, attempt, attempts_left)"
        " VALUES (7, 3145728, 3, 69, now(), 1, 1, 0)"};
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        use_directory(NULL);
        put("7-70.data");
        put("8-80.part"); /* of one that died */
        expect_refused("knows nothing of");
        run_sql(known[i]);
        expect_claimed();
    }
    run_sql("DROP TABLE joblog.job_state_seven");
}

/* A start that was killed while it put its mark has left a file, which is swept; one that puts it now is left alone. */
static void what_a_start_has_left_is_swept(void **state)
{
    static const char *const names[] = {"joblog-database-aB3dEf", "joblog-database-notes.txt", "joblog-database"};
    const struct timespec long_ago[] = {{.tv_sec = time(NULL) - 7200}, {.tv_sec = time(NULL) - 7200}};
    char path[300];
    int64_t n = 0;
    struct err err = ERR_NONE;
    (void)state;
    expect_claimed();
    put(names[0]);
    put(names[1]);
    put("joblog-database-zZ3dEf");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        path_of(path, names[i]);
        assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0);
    }
    assert_int_equal(export_sweep(stores, uri, clock_wall_us(), NULL, &n, &err), 0);
    assert_false(is_there(names[0]));
    assert_true(is_there(names[1]) && is_there(names[2]) && is_there("joblog-database-zZ3dEf"));
}

/* ---- the end of a sweep ---- */

struct sweeper {
    struct export_halt halt;
    int rc;
};

static void *sweep(void *user)
{
    struct sweeper *s = user;
    int64_t n;
    s->rc = export_sweep(stores, uri, clock_wall_us(), &s->halt, &n, NULL);
    return NULL;
}

static void await_lock(void)
{
    for (int i = 0; i < 6000; i++) {
        if (ask("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    fail_msg("the sweep never waits");
}

/* It waits for the database, as it does before each file. */
static void a_sweep_ends_when_it_is_to(void **state)
{
    struct sweeper s = {.rc = 1};
    pthread_t thread;
    (void)state;
    for (int i = 0; i < 100; i++) {
        char name[40];
        snprintf(name, sizeof name, "%d-3.data", 1000 + i);
        put(name);
    }
    run_sql("BEGIN; LOCK TABLE joblog.export_file IN ACCESS EXCLUSIVE MODE");
    export_halt_init(&s.halt);
    assert_int_equal(pthread_create(&thread, NULL, sweep, &s), 0);
    await_lock();
    export_halt_now(&s.halt);
    pthread_join(thread, NULL); /* the lock is still held */
    assert_int_equal(s.rc, -ERR_CANCELLED);
    assert_true(is_there("1099-3.data") && is_there("1000-3.data"));
    s.rc = 1;
    sweep(&s); /* it does not even begin */
    assert_int_equal(s.rc, -ERR_CANCELLED);
    export_halt_done(&s.halt);
    run_sql("COMMIT");
    export_halt_init(&s.halt);
    sweep(&s); /* with nobody who ends it */
    assert_int_equal(s.rc, 0);
    assert_false(is_there("1099-3.data") || is_there("1000-3.data"));
    export_halt_done(&s.halt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_directory_is_claimed, use_directory),
        cmocka_unit_test_setup(what_a_start_has_left_is_swept, use_directory),
        cmocka_unit_test_setup(what_is_no_file_of_an_export_does_not_count, use_directory),
        cmocka_unit_test_setup(files_that_nobody_knows_are_left_alone, use_directory),
        cmocka_unit_test_setup(files_of_ours_are_known, use_directory),
        cmocka_unit_test_setup(a_sweep_ends_when_it_is_to, use_directory),
    };
    return cmocka_run_group_tests(tests, chunk_fixture_start, chunk_fixture_stop);
}
