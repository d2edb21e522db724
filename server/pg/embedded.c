/* Life of the embedded PostgreSQL: socket, start, readiness, stop; see embedded.h. Main thread, before others start.
 * Must not touch the cluster's files itself: that is embedded_cluster.c. */
#include "pg/embedded.h"

#include <errno.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "pg/embedded_cluster.h"

#define START_WAIT_MS 60000 /* recovery after a crash reads at most max_wal_size */
#define STOP_WAIT_MS  60000
#define START_TRIES   6 /* backends of a killed postmaster take a moment to leave the shared memory */

struct embedded_pg {
    struct pg_cluster cluster;
    char socket_dir[64];
    char uri[160];
    pid_t pid; /* 0: not running */
};

static bool plain_path(const char *s)
{
    return s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-")] == '\0';
}

static void remove_socket_dir(const char *dir)
{
    char path[128];
    snprintf(path, sizeof path, "%s/.s.PGSQL.5432", dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/.s.PGSQL.5432.lock", dir);
    unlink(path);
    rmdir(dir);
}

/* Removes what the run link of a killed joblogd points at, if that has the look of a directory made here. */
static void remove_stale_socket(const struct embedded_pg *e)
{
    char target[64];
    ssize_t n = readlinkat(e->cluster.dir_fd, "run", target, sizeof target - 1);
    if (n <= 0)
        return;
    target[n] = '\0';
    struct stat st;
    if (strstr(target, "/joblog-pg-") && lstat(target, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == e->cluster.uid)
        remove_socket_dir(target);
    unlinkat(e->cluster.dir_fd, "run", 0);
}

/* A short private directory: the address of a unix socket holds 107 bytes, DIR may be longer. Its mode is what guards
 * the cluster, whose authentication is `trust`. */
static int make_socket_dir(struct embedded_pg *e, struct err *err)
{
    const char *base = e->cluster.as_root ? NULL : getenv("XDG_RUNTIME_DIR");
    if (!base || *base != '/' || strlen(base) > 40 || !plain_path(base) || access(base, W_OK) < 0)
        base = "/tmp";
    char dir[sizeof e->socket_dir];
    snprintf(dir, sizeof dir, "%.40s/joblog-pg-XXXXXX", base);
    if (!mkdtemp(dir))
        return err_set(err, ERR_FAILED_PRECONDITION, "EMBEDDED_SOCKET", "could not make a socket directory in %s: %s",
                       base, strerror(errno));
    memcpy(e->socket_dir, dir, sizeof dir);
    if ((e->cluster.as_root && chown(dir, e->cluster.uid, e->cluster.gid) < 0) ||
        symlinkat(dir, e->cluster.dir_fd, "run") < 0)
        return err_set(err, ERR_FAILED_PRECONDITION, "EMBEDDED_SOCKET", "could not set up the socket directory %s: %s",
                       dir, strerror(errno));
    return 0;
}

static void write_uri(char *out, size_t size, const struct embedded_pg *e, const char *database)
{
    snprintf(out, size, "postgresql:///%s?host=%s&port=5432&user=joblog", database, e->socket_dir);
}

static int spawn_postgres(struct embedded_pg *e, struct err *err)
{
    char program[96], sockets[96];
    snprintf(program, sizeof program, "%s/postgres", e->cluster.bin);
    snprintf(sockets, sizeof sockets, "unix_socket_directories=%s", e->socket_dir);
    /* What the start relies on wins over the operator's files. */
    char *argv[] = {program,
                    "-D",
                    e->cluster.data,
                    "-c",
                    sockets,
                    "-c",
                    "unix_socket_permissions=0700",
                    "-c",
                    "port=5432",
                    "-c",
                    "logging_collector=off",
                    "-c",
                    "log_destination=stderr",
                    e->cluster.is_volatile ? "-c" : NULL,
                    "fsync=off",
                    NULL};
    pid_t pid = pg_cluster_spawn(&e->cluster, e->cluster.data_fd, argv, SIGINT);
    if (pid < 0)
        return err_set(err, ERR_UNAVAILABLE, "EMBEDDED_START", "could not start postgres: %s", strerror(errno));
    e->pid = pid;
    return 0;
}

/* 1 ready, 0 ended by itself, -1 neither in time. */
static int wait_ready(struct embedded_pg *e, int64_t until)
{
    char uri[sizeof e->uri];
    write_uri(uri, sizeof uri, e, "postgres");
    int pause_ms = 5;
    while (clock_mono_ms() < until) {
        if (PQping(uri) == PQPING_OK)
            return 1;
        if (pg_process_wait(e->pid, pause_ms)) {
            waitpid(e->pid, NULL, 0);
            e->pid = 0;
            return 0;
        }
        pause_ms = pause_ms < 160 ? pause_ms * 2 : 200;
    }
    return -1;
}

static int start_postgres(struct embedded_pg *e, struct err *err)
{
    int64_t until = clock_mono_ms() + START_WAIT_MS;
    int pause_ms = 50;
    for (int i = 0; i < START_TRIES; i++, pause_ms *= 2) {
        int rc = spawn_postgres(e, err);
        if (rc < 0)
            return rc;
        rc = wait_ready(e, until);
        if (rc > 0)
            return 0;
        if (rc < 0)
            break;
        usleep((useconds_t)pause_ms * 1000); /* nothing to wait for: the processes in the way are not known to us */
    }
    pg_cluster_log_tail(&e->cluster);
    return err_set(err, ERR_UNAVAILABLE, "EMBEDDED_START", "postgres did not come up; see %.150s/pg.log",
                   e->cluster.dir);
}

static int make_database(struct embedded_pg *e, struct err *err)
{
    char uri[sizeof e->uri];
    write_uri(uri, sizeof uri, e, "postgres");
    PGconn *conn = PQconnectdb(uri);
    bool ok = PQstatus(conn) == CONNECTION_OK;
    if (ok) {
        PGresult *r = PQexec(conn, "SELECT 1 FROM pg_database WHERE datname = 'joblog'");
        bool exists = PQntuples(r) > 0;
        ok = PQresultStatus(r) == PGRES_TUPLES_OK;
        PQclear(r);
        if (ok && !exists) {
            r = PQexec(conn, "CREATE DATABASE joblog");
            ok = PQresultStatus(r) == PGRES_COMMAND_OK;
            PQclear(r);
        }
    }
    int rc = ok ? 0
                : err_set(err, ERR_UNAVAILABLE, "EMBEDDED_START", "could not make the database joblog: %.180s",
                          PQerrorMessage(conn));
    PQfinish(conn);
    return rc;
}

int embedded_pg_start_flags(const char *dir, unsigned flags, struct embedded_pg **ret, struct err *err)
{
    struct embedded_pg *e = mem_zalloc(sizeof *e);
    if (!e)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    int rc = pg_cluster_open(&e->cluster, dir, flags, err);
    if (rc < 0) {
        mem_free(e);
        return rc;
    }
    if (!pg_cluster_stop_orphan(&e->cluster)) {
        rc = err_set(err, ERR_FAILED_PRECONDITION, "EMBEDDED_IN_USE", "a postgres runs on %.150s/pg and does not stop",
                     e->cluster.dir);
        goto fail;
    }
    remove_stale_socket(e);
    if ((rc = make_socket_dir(e, err)) < 0 || (rc = start_postgres(e, err)) < 0 || (rc = make_database(e, err)) < 0)
        goto fail;
    write_uri(e->uri, sizeof e->uri, e, "joblog");
    log_info("postgres runs pid=%d dir=%s socket=%s", (int)e->pid, e->cluster.dir, e->socket_dir);
    *ret = e;
    return 0;
fail:
    embedded_pg_stop(e);
    return rc;
}

int embedded_pg_start(const char *dir, struct embedded_pg **ret, struct err *err)
{
    return embedded_pg_start_flags(dir, 0, ret, err);
}

const char *embedded_pg_uri(const struct embedded_pg *e)
{
    return e->uri;
}

pid_t embedded_pg_pid(const struct embedded_pg *e)
{
    return e->pid;
}

static void stop_postgres(pid_t pid)
{
    static const struct {
        int signal, wait_ms;
    } steps[] = {{SIGINT, STOP_WAIT_MS}, {SIGQUIT, 10000}, {SIGKILL, 10000}};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (i > 0)
            log_warning("postgres does not stop, insisting pid=%d signal=%d", (int)pid, steps[i].signal);
        kill(pid, steps[i].signal);
        if (pg_process_wait(pid, steps[i].wait_ms))
            break;
    }
    waitpid(pid, NULL, 0);
}

void embedded_pg_stop(struct embedded_pg *e)
{
    if (!e)
        return;
    if (e->pid > 0)
        stop_postgres(e->pid);
    if (e->socket_dir[0]) {
        remove_socket_dir(e->socket_dir);
        unlinkat(e->cluster.dir_fd, "run", 0);
    }
    pg_cluster_close(&e->cluster);
    mem_free(e);
}
