/* See chunk_fixture.h. */
#include "support/chunk_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "migrations/migrations.h"
#include "support/pg_fixture.h"

char uri[256];
PGconn *db;
struct chunk_store stores[EXPORT_STORAGE_COUNT];
const struct chunk_store *store;

void run_sql(const char *sql)
{
    PGresult *r = PQexec(db, sql);
    ExecStatusType status = PQresultStatus(r);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%.200s: %s", sql, PQerrorMessage(db));
    PQclear(r);
}

int64_t ask(const char *sql)
{
    PGresult *r = PQexec(db, sql);
    if (PQntuples(r) != 1)
        fail_msg("%s: %s", sql, PQerrorMessage(db));
    int64_t value = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
    PQclear(r);
    return value;
}

int begin_file(const struct chunk_store *in, const struct chunk_owner *owner, const struct export_file *file,
               struct chunk_sink **ret, int64_t *ret_used, struct err *ret_err)
{
    struct chunk_sink *sink = NULL;
    int rc = in->open(in, owner, file->chunk_bytes, &sink, ret_err);
    if (rc == 0 && (rc = in->begin(sink, file, SPAN_LIT("ann"), ret_used, ret_err)) != 0)
        in->close(sink);
    else if (rc == 0)
        *ret = sink;
    return rc;
}

int chunk_fixture_start(void **state)
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
    static char dir[200];
    snprintf(dir, sizeof dir, "%s/files", pg_fixture_dir());
    if (mkdir(dir, 0700) != 0)
        return -1;
    stores[EXPORT_IN_DATABASE] = chunk_store_pg(uri);
    stores[EXPORT_IN_DIRECTORY] = chunk_store_dir(uri, dir);
    log_set_level(LOG_ERROR); /* failures are what is tested here */
    return 0;
}

int chunk_fixture_stop(void **state)
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
    run_sql("DELETE FROM joblog.export_writing");
    run_sql("INSERT INTO joblog.lease (job_id, token, start_time, revision, lane_id) VALUES (7, 70, now(), 1, 1)");
    return 0;
}

struct export_file file_of(int64_t size)
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

static void empty_directory(void)
{
    DIR *d = opendir(stores[EXPORT_IN_DIRECTORY].dir);
    for (const struct dirent *e; (e = readdir(d));)
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
}

int use_database(void **state)
{
    store = &stores[EXPORT_IN_DATABASE];
    empty_directory();
    return empty(state);
}

int use_directory(void **state)
{
    store = &stores[EXPORT_IN_DIRECTORY];
    empty_directory();
    return empty(state);
}
