/* See sql_rig.h. */
#include "sql_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct server_fixture *server;
struct crpc_channel *channel;
char uri[256];
PGconn *db;

void must_sql(PGconn *c, const char *sql)
{
    PGresult *r = PQexec(c, sql);
    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(c));
    PQclear(r);
}

/* One value. */
int64_t ask(PGconn *c, const char *sql)
{
    PGresult *r = PQexec(c, sql);
    if (PQresultStatus(r) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(c));
    int64_t value = PQntuples(r) ? strtoll(PQgetvalue(r, 0, 0), NULL, 10) : 0;
    PQclear(r);
    return value;
}

/* The SQLSTATE of a statement that must fail, and the field at fault (COLUMN). */
void expect_refused(PGconn *c, const char *sql, const char *state, const char *field)
{
    PGresult *r = PQexec(c, sql);
    if (PQresultStatus(r) != PGRES_FATAL_ERROR)
        fail_msg("%s was not refused", sql);
    assert_string_equal(PQresultErrorField(r, PG_DIAG_SQLSTATE), state);
    if (field)
        assert_string_equal(PQresultErrorField(r, PG_DIAG_COLUMN_NAME), field);
    PQclear(r);
}

/* Until the statement gives 1. */
void await_sql(const char *sql)
{
    for (int i = 0; i < 3000; i++) {
        if (ask(db, sql) == 1)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    fail_msg("did not come true: %s", sql);
}

int sql_rig_start(void **state)
{
    (void)state;
    if (!pg_fixture_start())
        return -1;
    const char *fresh = pg_fixture_database("sql_dispatch");
    if (!fresh)
        return -1;
    snprintf(uri, sizeof uri, "%s", fresh);
    struct server_fixture_options options = {.database = uri};
    server = server_fixture_start(&options);
    channel = server ? channel_open(server, NULL) : NULL;
    db = PQconnectdb(uri);
    return channel && PQstatus(db) == CONNECTION_OK ? 0 : -1;
}

int sql_rig_stop(void **state)
{
    (void)state;
    PQfinish(db);
    crpc_channel_free(channel);
    server_fixture_free(server);
    pg_fixture_stop();
    return 0;
}

void assert_counters_exact(void)
{
    await_sql("select (count(*) = 0)::int from joblog.arrival");
    assert_int_equal(ask(db,
                         "select count(*) from (select lane_id, status, count(*) n from joblog.job_now group by 1, 2) a"
                         " full join (select lane_id, status, sum(n) n from joblog.tally_now group by 1, 2"
                         " having sum(n) <> 0) b using (lane_id, status) where a.n is distinct from b.n"),
                     0);
    assert_int_equal(
        ask(db, "select (select sum(dispatched) from joblog.minute_now) - (select count(*) from joblog.job)"), 0);
}

void expect_same_outcome(const Joblog__V1__JobSpec *spec, const struct err *err)
{
    static const struct crpc_call_options options = {.timeout_ms = CALL_TIMEOUT_MS};
    Joblog__V1__DispatchJobRequest job = JOBLOG__V1__DISPATCH_JOB_REQUEST__INIT, *jobs[] = {&job};
    Joblog__V1__DispatchJobsRequest request = JOBLOG__V1__DISPATCH_JOBS_REQUEST__INIT;
    Joblog__V1__DispatchJobsResponse *r = NULL;
    job.job = (Joblog__V1__JobSpec *)spec;
    request.jobs = jobs;
    request.n_jobs = 1;
    struct crpc_stream *stream = joblog_v1_job_log_service_dispatch_jobs_open(channel, &options, NULL);
    assert_int_equal(joblog_v1_job_log_service_dispatch_jobs_write(stream, &request, NULL), 0);
    assert_int_equal(joblog_v1_job_log_service_dispatch_jobs_read(stream, &r, NULL), 1);
    const Joblog__V1__DispatchOutcome *o = r->outcomes[0];
    assert_int_equal(o->code, err->code);
    assert_string_equal(o->reason, err->reason);
    assert_true(err->retry_after_ms > 0);
    assert_non_null(o->retry_after);
    assert_int_equal(o->retry_after->seconds * 1000 + o->retry_after->nanos / 1000000, err->retry_after_ms);
    crpc_message_free(&r->base);
    crpc_stream_free(stream);
}
