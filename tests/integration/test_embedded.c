/* The embedded PostgreSQL against real processes and directories: first start, restart, a killed joblogd, a killed
 * postgres, a second joblogd, bad directories. Passes as root and as any other user. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libpq-fe.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "pg/embedded.h"

static char root[64]; /* mode 0700, ours: as root, the account of postgres cannot go through it */
static char dir[128];

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/joblog-embedded-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    return nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static struct embedded_pg *start(void)
{
    struct embedded_pg *e = NULL;
    struct err err = ERR_NONE;
    int rc = embedded_pg_start_flags(dir, EMBEDDED_PG_VOLATILE, &e, &err);
    if (rc < 0)
        fail_msg("start: %s", err.msg);
    return e;
}

/* First column of the first row, or the error's text. */
static const char *ask(const char *uri, const char *sql)
{
    static char answer[512];
    PGconn *conn = PQconnectdb(uri);
    PGresult *r = PQexec(conn, sql);
    if (PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) > 0)
        snprintf(answer, sizeof answer, "%s", PQgetvalue(r, 0, 0));
    else
        snprintf(answer, sizeof answer, "%s", PQerrorMessage(conn));
    PQclear(r);
    PQfinish(conn);
    return answer;
}

static bool exists(const char *name)
{
    char path[256];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return lstat(path, &st) == 0;
}

/* Waits until the process is gone; a child of ours is reaped. */
static void wait_gone(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0 && errno == ESRCH)
        return;
    struct pollfd end = {.fd = fd, .events = POLLIN};
    if (fd < 0 || poll(&end, 1, 30000) != 1)
        fail_msg("process %d still runs", (int)pid);
    close(fd);
    waitpid(pid, NULL, WNOHANG);
}

static void test_first_start(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "%s/made/on the way/data", root);
    struct embedded_pg *e = start();
    pid_t pid = embedded_pg_pid(e);
    char uri[256];
    snprintf(uri, sizeof uri, "%s", embedded_pg_uri(e));

    assert_string_equal(ask(uri, "SELECT current_database()"), "joblog");
    assert_string_equal(ask(uri, "SHOW listen_addresses"), "");
    assert_string_equal(ask(uri, "SHOW server_encoding"), "UTF8");
    assert_string_equal(ask(uri, "SHOW data_checksums"), "on");
    assert_string_equal(ask(uri, "SHOW autovacuum_naptime"), "5s");
    assert_string_equal(ask(uri, "SELECT lower('ÄÖÉ') || ('B' < 'a')"), "äöétrue");
    assert_true(exists("run/.s.PGSQL.5432"));

    char socket_dir[128];
    struct stat st;
    snprintf(socket_dir, sizeof socket_dir, "%s", strstr(uri, "host=") + 5);
    *strchr(socket_dir, '&') = '\0';
    assert_int_equal(stat(socket_dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);

    embedded_pg_stop(e);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(errno, ESRCH);
    assert_int_equal(stat(socket_dir, &st), -1);
    assert_false(exists("run"));
    assert_false(exists("pg/postmaster.pid"));
}

static void test_restart_keeps_data(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "%s/keeps", root);
    struct embedded_pg *e = start();
    assert_string_equal(ask(embedded_pg_uri(e), "CREATE TABLE kept AS SELECT 42 AS n"), "");
    embedded_pg_stop(e);

    /* The operator's line wins over joblogd's own. */
    char path[256];
    snprintf(path, sizeof path, "%s/pg/postgresql.conf", dir);
    FILE *f = fopen(path, "a");
    assert_non_null(f);
    fputs("max_connections = 23\n", f);
    fclose(f);

    e = start();
    assert_string_equal(ask(embedded_pg_uri(e), "SELECT n FROM kept"), "42");
    assert_string_equal(ask(embedded_pg_uri(e), "SHOW max_connections"), "23");
    embedded_pg_stop(e);
}

static void test_killed_postmaster(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "%s/killed", root);
    struct embedded_pg *e = start();
    assert_string_equal(ask(embedded_pg_uri(e), "CREATE TABLE kept AS SELECT 43 AS n"), "");
    kill(embedded_pg_pid(e), SIGKILL);
    embedded_pg_stop(e);
    assert_true(exists("pg/postmaster.pid"));

    e = start();
    assert_string_equal(ask(embedded_pg_uri(e), "SELECT n FROM kept"), "43");
    embedded_pg_stop(e);
}

/* Starts the cluster in a child that plays joblogd, and gives the pids of both. The child waits until it is killed. */
static pid_t play_joblogd(pid_t *ret_postgres, char *ret_uri, size_t size)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct embedded_pg *e = NULL;
        struct err err = ERR_NONE;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (embedded_pg_start_flags(dir, EMBEDDED_PG_VOLATILE, &e, &err) < 0)
            _exit(1);
        dprintf(fds[1], "%d %s\n", (int)embedded_pg_pid(e), embedded_pg_uri(e));
        for (;;)
            pause();
    }
    close(fds[1]);
    FILE *f = fdopen(fds[0], "r");
    char line[256] = "";
    assert_non_null(fgets(line, sizeof line, f));
    fclose(f);
    char *space = strchr(line, ' ');
    assert_non_null(space);
    *ret_postgres = (pid_t)atoi(line);
    snprintf(ret_uri, size, "%.*s", (int)strcspn(space + 1, "\n"), space + 1);
    return pid;
}

/* A killed joblogd leaves its (now empty) socket directory to the next start; here none follows. */
static void remove_run(void)
{
    char path[256], target[128];
    snprintf(path, sizeof path, "%s/run", dir);
    ssize_t n = readlink(path, target, sizeof target - 1);
    assert_true(n > 0);
    target[n] = '\0';
    assert_int_equal(rmdir(target), 0);
}

static void test_killed_joblogd(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "%s/orphaned", root);
    pid_t postgres;
    char uri[256];
    pid_t joblogd = play_joblogd(&postgres, uri, sizeof uri);
    assert_string_equal(ask(uri, "CREATE TABLE kept AS SELECT 44 AS n"), "");

    kill(joblogd, SIGKILL);
    waitpid(joblogd, NULL, 0);
    struct embedded_pg *e = start(); /* at once: the old postgres may still be shutting down */
    assert_string_equal(ask(embedded_pg_uri(e), "SELECT n FROM kept"), "44");
    wait_gone(postgres);
    char socket_dir[128];
    struct stat st;
    snprintf(socket_dir, sizeof socket_dir, "%s", strstr(uri, "host=") + 5);
    *strchr(socket_dir, '&') = '\0';
    assert_int_equal(stat(socket_dir, &st), -1); /* the new start cleared it away */
    embedded_pg_stop(e);

    /* And when nobody comes back, postgres ends by itself, in an orderly way. */
    joblogd = play_joblogd(&postgres, uri, sizeof uri);
    kill(joblogd, SIGKILL);
    waitpid(joblogd, NULL, 0);
    wait_gone(postgres);
    assert_false(exists("pg/postmaster.pid"));
    remove_run();
}

/* Clients of the dead joblogd's postgres do not hold up the next start. */
static void test_orphan_with_client(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "%s/client", root);
    pid_t postgres;
    char uri[256];
    pid_t joblogd = play_joblogd(&postgres, uri, sizeof uri);
    PGconn *conn = PQconnectdb(uri); /* keeps a backend in the way */
    assert_int_equal(PQstatus(conn), CONNECTION_OK);
    kill(joblogd, SIGKILL);
    waitpid(joblogd, NULL, 0);
    struct embedded_pg *e = start();
    assert_int_not_equal(embedded_pg_pid(e), postgres);
    assert_string_equal(ask(embedded_pg_uri(e), "SELECT 1"), "1");
    wait_gone(postgres);
    PQfinish(conn);
    embedded_pg_stop(e);
}

static void test_second_joblogd(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "%s/shared", root);
    pid_t postgres;
    char uri[256];
    pid_t joblogd = play_joblogd(&postgres, uri, sizeof uri);
    struct embedded_pg *e = NULL;
    struct err err = ERR_NONE;
    assert_int_equal(embedded_pg_start(dir, &e, &err), -ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "EMBEDDED_IN_USE");
    assert_null(e);
    assert_string_equal(ask(uri, "SELECT 1"), "1"); /* the first one is untouched */
    kill(joblogd, SIGKILL);
    waitpid(joblogd, NULL, 0);
    wait_gone(postgres);
    remove_run();
}

static void test_half_made_cluster(void **state)
{
    (void)state;
    char path[256];
    snprintf(dir, sizeof dir, "%s/half", root);
    assert_int_equal(mkdir(dir, 0700), 0);
    snprintf(path, sizeof path, "%s/pg.new", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/pg.new/PG_VERSION", dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("15\n", f);
    fclose(f);
    struct embedded_pg *e = start();
    assert_string_equal(ask(embedded_pg_uri(e), "SELECT 1"), "1");
    assert_false(exists("pg.new"));
    embedded_pg_stop(e);
}

static void expect_refusal(const char *path, const char *reason, const char *text)
{
    struct embedded_pg *e = NULL;
    struct err err = ERR_NONE;
    assert_int_equal(embedded_pg_start(path, &e, &err), -ERR_FAILED_PRECONDITION);
    assert_null(e);
    assert_string_equal(err.reason, reason);
    if (!strstr(err.msg, text))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, text);
}

/* An operator's mistake in postgresql.conf: the start fails in a clear way, leaves nothing, and works once corrected.
 */
static void test_bad_setting(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "%s/setting", root);
    embedded_pg_stop(start());
    char path[256], text[4096];
    snprintf(path, sizeof path, "%s/pg/postgresql.conf", dir);
    FILE *f = fopen(path, "a");
    assert_non_null(f);
    long before = ftell(f);
    fputs("no_such_setting = 1\n", f);
    fclose(f);

    int fds[2];
    assert_int_equal(pipe(fds), 0);
    log_set_fd(fds[1]);
    struct embedded_pg *e = NULL;
    struct err err = ERR_NONE;
    assert_int_equal(embedded_pg_start_flags(dir, EMBEDDED_PG_VOLATILE, &e, &err), -ERR_UNAVAILABLE);
    log_set_fd(2);
    close(fds[1]);
    ssize_t n = read(fds[0], text, sizeof text - 1);
    close(fds[0]);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, "no_such_setting"));
    assert_null(e);
    assert_false(exists("run"));
    assert_false(exists("pg/postmaster.pid"));

    assert_int_equal(truncate(path, before), 0);
    embedded_pg_stop(start());
}

static void test_bad_directories(void **state)
{
    (void)state;
    char path[256];
    expect_refusal("", "EMBEDDED_DIRECTORY", "empty");
    expect_refusal("/proc/no/such", "EMBEDDED_DIRECTORY", "could not create");
    snprintf(path, sizeof path, "%s/file", root);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    expect_refusal(path, "EMBEDDED_DIRECTORY", "Not a directory");
    /* Where others can write, they could become administrators. */
    snprintf(path, sizeof path, "%s/open", root);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, 01777), 0);
    expect_refusal(path, "EMBEDDED_DIRECTORY", "written by everybody");
    /* A pg that is something else is left alone. */
    snprintf(dir, sizeof dir, "%s/foreign", root);
    snprintf(path, sizeof path, "%s/pg", dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    if (geteuid() == 0)
        expect_refusal(dir, "EMBEDDED_OWNER", "belongs to root");
    else
        expect_refusal(dir, "EMBEDDED_DIRECTORY", "no database cluster");
    /* A cluster of another version asks for that version's programs. */
    snprintf(path, sizeof path, "%s/pg/PG_VERSION", dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("9\n", f);
    fclose(f);
    snprintf(path, sizeof path, "%s/pg", dir);
    assert_int_equal(geteuid() == 0 ? chown(path, 65534, 65534) : 0, 0);
    expect_refusal(dir, "EMBEDDED_PROGRAMS", "needs PostgreSQL 9");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_start),        cmocka_unit_test(test_restart_keeps_data),
        cmocka_unit_test(test_killed_postmaster),  cmocka_unit_test(test_killed_joblogd),
        cmocka_unit_test(test_orphan_with_client), cmocka_unit_test(test_second_joblogd),
        cmocka_unit_test(test_half_made_cluster),  cmocka_unit_test(test_bad_directories),
        cmocka_unit_test(test_bad_setting),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
