/* joblog.dispatch with two joblogd on one database: workers and watchers of both are woken, what is rolled back leaves
 * nothing at either, and of those who race for a request id or a unique key, from SQL and by calls at both, one wins.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libpq-fe.h>
#include <pthread.h>

#include "support/calls.h"
#include "support/channel.h"
#include "support/replicas.h"
#include "support/server_fixture.h"

#define PENDING JOBLOG__V1__JOB_STATUS__JOB_STATUS_PENDING
#define RUNNING JOBLOG__V1__JOB_STATUS__JOB_STATUS_RUNNING

static struct replicas replicas;
static PGconn *db;

static int setup(void **state)
{
    (void)state;
    if (replicas_start(&replicas, NULL) != 0)
        return -1;
    db = PQconnectdb(replicas.uri);
    return db && PQstatus(db) == CONNECTION_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    PQfinish(db);
    return replicas_stop(&replicas);
}

/* One number; fails the test when the statement fails. */
static int64_t ask(PGconn *c, const char *sql)
{
    PGresult *r = PQexec(c, sql);
    ExecStatusType status = PQresultStatus(r);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(c));
    int64_t value = status == PGRES_TUPLES_OK && PQntuples(r) ? strtoll(PQgetvalue(r, 0, 0), NULL, 10) : 0;
    PQclear(r);
    return value;
}

static struct crpc_stream *watch(int replica, const char *queue)
{
    static const struct crpc_call_options options = {.timeout_ms = CALL_TIMEOUT_MS};
    Joblog__V1__WatchJobsRequest request = JOBLOG__V1__WATCH_JOBS_REQUEST__INIT;
    Joblog__V1__JobFilter filter = JOBLOG__V1__JOB_FILTER__INIT;
    Joblog__V1__WatchJobsResponse *m = NULL;
    char *queues[] = {(char *)queue};
    filter.queues = queues;
    filter.n_queues = 1;
    request.filter = &filter;
    struct crpc_stream *w =
        joblog_v1_job_log_service_watch_jobs_open(replicas.channels[replica], &options, &request, NULL);
    assert_int_equal(joblog_v1_job_log_service_watch_jobs_read(w, &m, NULL), 1);
    assert_int_equal(m->event_case, JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_SNAPSHOT_END);
    crpc_message_free(&m->base);
    return w;
}

/* The next job that the watch tells of. */
static int64_t next_job(struct crpc_stream *w, Joblog__V1__JobStatus *ret_status)
{
    for (;;) {
        Joblog__V1__WatchJobsResponse *m = NULL;
        struct err err = ERR_NONE;
        int64_t id = 0;
        if (joblog_v1_job_log_service_watch_jobs_read(w, &m, &err) != 1)
            fail_msg("the watch ended: %d %s", err.code, err.msg);
        if (m->event_case == JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_JOB) {
            id = m->job->id;
            *ret_status = m->job->status;
        }
        crpc_message_free(&m->base);
        if (id)
            return id;
    }
}

static void end(struct crpc_stream *w)
{
    crpc_stream_cancel(w);
    crpc_stream_free(w);
}

static void expect_running(struct crpc_stream *w, const int64_t ids[2])
{
    unsigned seen = 0;
    while (seen != 3) {
        Joblog__V1__JobStatus status;
        int64_t id = next_job(w, &status);
        assert_true(id == ids[0] || id == ids[1]);
        assert_true(status == PENDING || status == RUNNING);
        if (status == RUNNING)
            seen |= id == ids[0] ? 1 : 2;
    }
}

static void workers_and_watchers_of_both_are_woken(void **state)
{
    (void)state;
    struct crpc_stream *watches[2] = {watch(0, "both"), watch(1, "both")};
    struct test_worker *workers[2];
    int64_t ids[2], got[2];
    for (int i = 0; i < 2; i++) {
        workers[i] = worker_open(replicas.channels[i], "w", "both", 1);
        worker_keep_alive(workers[i]);
    }
    ask(db, "begin");
    for (int i = 0; i < 2; i++)
        ids[i] = ask(db, "select joblog.dispatch('mail', queue => 'both')");
    ask(db, "commit");
    for (int i = 0; i < 2; i++)
        got[i] = worker_lease(workers[i]).job_id;
    assert_true((got[0] == ids[0] && got[1] == ids[1]) || (got[0] == ids[1] && got[1] == ids[0]));
    for (int i = 0; i < 2; i++)
        expect_running(watches[i], ids);
    for (int i = 0; i < 2; i++) {
        end(watches[i]);
        worker_end(workers[i], true, NULL);
    }
}

static void what_is_rolled_back_leaves_nothing(void **state)
{
    (void)state;
    static const char left[] =
        "select (select count(*) from joblog.job) + (select count(*) from joblog.arrival) + (select count(*) from"
        " joblog.request) + (select count(*) from joblog.unique_key) + (select count(*) from joblog.lane) + (select"
        " count(*) from joblog.waiting) + (select count(*) from joblog.scheduled) + (select count(*) from"
        " joblog.deadline)";
    struct crpc_stream *watches[2] = {watch(0, "undone"), watch(1, "undone")};
    int64_t before = ask(db, left);
    ask(db, "begin");
    ask(db, "select joblog.dispatch('undone', queue => 'undone', request_id => 'undone', unique_key => 'undone')");
    ask(db, "select joblog.dispatch('undone', queue => 'undone', run_time => now() + interval '1 hour')");
    ask(db, "rollback");
    assert_int_equal(ask(db, left), before);
    /* The key and the request id are free at once, for a call at either. */
    Joblog__V1__JobSpec spec = spec_of("undone", "undone");
    Joblog__V1__UniqueKey key = JOBLOG__V1__UNIQUE_KEY__INIT;
    struct err err = ERR_NONE;
    key.key = (char *)"undone";
    spec.unique_key = &key;
    Joblog__V1__Job *job = call_dispatch(replicas.channels[1], &spec, "undone", &err);
    assert_non_null(job);
    /* And neither watch has been told of anything before it. */
    for (int i = 0; i < 2; i++) {
        Joblog__V1__JobStatus status;
        assert_int_equal(next_job(watches[i], &status), job->id);
        end(watches[i]);
    }
    job_free(job);
}

/* ---- races ---- */

enum { RACERS = 6, THINGS = 30 };

struct racer {
    pthread_t thread;
    int number;             /* 0 and 1: by calls at the two replicas, and 2 and 3; the others from SQL */
    bool unique;            /* for a unique key; else for a request id */
    int64_t won[THINGS];    /* the job that it was given, 0: refused */
    int64_t undone[THINGS]; /* the job that it was given and rolled back */
    int n_wrong;            /* refused for another reason */
};

static void by_call(struct racer *racer)
{
    struct crpc_channel *channel = channel_open(replicas.servers[racer->number % 2], NULL);
    for (int i = 0; i < THINGS; i++) {
        char text[40];
        Joblog__V1__JobSpec spec = spec_of("race", "race");
        Joblog__V1__UniqueKey key = JOBLOG__V1__UNIQUE_KEY__INIT;
        struct err err = ERR_NONE;
        snprintf(text, sizeof text, "%s-%d", racer->unique ? "key" : "request", i);
        key.key = text;
        if (racer->unique)
            spec.unique_key = &key;
        Joblog__V1__Job *job = call_dispatch(channel, &spec, racer->unique ? "" : text, &err);
        if (job)
            racer->won[i] = job->id;
        else if (err.code == ERR_ABORTED)
            i--; /* a transaction holds the key: again */
        else if (strcmp(err.reason, racer->unique ? "UNIQUE_KEY_TAKEN" : "REQUEST_ID_REUSED") != 0)
            racer->n_wrong++;
        job_free(job);
    }
    crpc_channel_free(channel);
}

/* Some transactions are rolled back, so that a thing may be had and given up before somebody keeps it. */
static void from_sql(struct racer *racer)
{
    PGconn *c = PQconnectdb(replicas.uri);
    for (int i = 0; i < THINGS; i++) {
        char sql[200];
        bool keep = (i + racer->number) % 3 != 0;
        snprintf(sql, sizeof sql, "select joblog.dispatch('race', queue => 'race', %s-%d')",
                 racer->unique ? "unique_key => 'key" : "request_id => 'request", i);
        PQclear(PQexec(c, "begin"));
        PGresult *r = PQexec(c, sql);
        if (PQresultStatus(r) == PGRES_TUPLES_OK)
            (keep ? racer->won : racer->undone)[i] = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
        else if (strcmp(PQresultErrorField(r, PG_DIAG_SQLSTATE), "23505") != 0)
            racer->n_wrong++;
        PQclear(r);
        PQclear(PQexec(c, keep ? "commit" : "rollback"));
    }
    PQfinish(c);
}

static void *race(void *arg)
{
    struct racer *racer = arg;
    if (racer->number < 4)
        by_call(racer);
    else
        from_sql(racer);
    return NULL;
}

/* The only job that was given for a thing, 0 for none; fails the test when there were two. */
static int64_t winner_of(const struct racer *racers, int thing)
{
    int64_t id = 0;
    for (int i = 0; i < RACERS; i++) {
        if (!racers[i].won[thing])
            continue;
        if (id && id != racers[i].won[thing])
            fail_msg("thing %d was given to two jobs", thing);
        id = racers[i].won[thing];
    }
    return id;
}

static void one_winner_each(bool unique)
{
    static struct racer racers[RACERS];
    char sql[200];
    int from_sql_won = 0;
    memset(racers, 0, sizeof racers);
    for (int i = 0; i < RACERS; i++) {
        racers[i].number = i;
        racers[i].unique = unique;
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < RACERS; i++)
        pthread_join(racers[i].thread, NULL);
    for (int i = 0; i < RACERS; i++)
        assert_int_equal(racers[i].n_wrong, 0);
    for (int thing = 0; thing < THINGS; thing++) {
        int64_t id = winner_of(racers, thing);
        assert_true(id != 0); /* a call is refused only when somebody has it for good */
        snprintf(sql, sizeof sql,
                 unique ? "select count(*) from joblog.unique_key where key = 'key-%d' and job_id = %lld"
                        : "select count(*) from joblog.request where request_id = 'request-%d' and job_id = %lld",
                 thing, (long long)id);
        assert_int_equal(ask(db, sql), 1);
        snprintf(sql, sizeof sql, "select count(*) from joblog.job where id = %lld", (long long)id);
        assert_int_equal(ask(db, sql), 1);
        for (int i = 4; i < RACERS; i++) {
            snprintf(sql, sizeof sql, "select count(*) from joblog.job where id = %lld",
                     (long long)racers[i].undone[thing]);
            if (racers[i].undone[thing] && racers[i].undone[thing] != id)
                assert_int_equal(ask(db, sql), 0);
            from_sql_won += racers[i].won[thing] == id;
        }
    }
    print_message("%d of %d went to SQL\n", from_sql_won, THINGS);
}

static void request_ids_have_one_winner(void **state)
{
    (void)state;
    one_winner_each(false);
    assert_int_equal(
        ask(db, "select count(*) from joblog.job j join joblog.lane l using (lane_id) where l.queue = 'race'"), THINGS);
}

static void unique_keys_have_one_winner(void **state)
{
    (void)state;
    one_winner_each(true);
    assert_int_equal(
        ask(db, "select count(*) from joblog.job j join joblog.lane l using (lane_id) where l.queue = 'race'"),
        2 * THINGS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_and_watchers_of_both_are_woken),
        cmocka_unit_test(what_is_rolled_back_leaves_nothing),
        cmocka_unit_test(request_ids_have_one_winner),
        cmocka_unit_test(unique_keys_have_one_winner),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
