/* See pg_fixture.h. The kernel stops postgres should the test program die; the directory then stays in /tmp. */
#include "support/pg_fixture.h"

#include <errno.h>
#include <ftw.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "pg/embedded.h"

static struct embedded_pg *fixture;
static char fixture_dir[64];

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

const char *pg_fixture_start(void)
{
    struct err err = ERR_NONE;
    if (fixture)
        return embedded_pg_uri(fixture);
    strcpy(fixture_dir, "/tmp/joblog-test-XXXXXX");
    if (!mkdtemp(fixture_dir)) {
        fprintf(stderr, "pg_fixture: mkdtemp: %s\n", strerror(errno));
        return NULL;
    }
    log_set_level(LOG_WARNING);
    int rc = embedded_pg_start_flags(fixture_dir, EMBEDDED_PG_VOLATILE, &fixture, &err);
    log_set_level(LOG_INFO);
    if (rc < 0) {
        fprintf(stderr, "pg_fixture: %s\n", err.msg);
        return NULL;
    }
    return embedded_pg_uri(fixture);
}

const char *pg_fixture_database(const char *name)
{
    static char uri[256];
    char sql[160];
    PGconn *conn = PQconnectdb(fixture ? embedded_pg_uri(fixture) : "");
    snprintf(sql, sizeof sql, "CREATE DATABASE \"%.63s\"", name);
    PGresult *r = PQexec(conn, sql);
    bool ok = PQresultStatus(r) == PGRES_COMMAND_OK;
    if (ok)
        snprintf(uri, sizeof uri, "postgresql:///%.63s?host=%s&port=5432&user=joblog", name, PQhost(conn));
    else
        fprintf(stderr, "pg_fixture: %s", PQerrorMessage(conn));
    PQclear(r);
    PQfinish(conn);
    return ok ? uri : NULL;
}

const char *pg_fixture_dir(void)
{
    return fixture_dir;
}

void pg_fixture_stop(void)
{
    embedded_pg_stop(fixture);
    fixture = NULL;
    if (fixture_dir[0])
        nftw(fixture_dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    fixture_dir[0] = '\0';
}
