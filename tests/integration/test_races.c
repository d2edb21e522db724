/* Thousands of dispatches with the same request ids, or the same unique keys, at two replicas and by both RPCs at once:
 * one job each. */
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

enum { CALLERS = 8, THINGS = 40, ROUNDS = 8, MESSAGE = 20 };

/* As the unary calls of calls.h: that the channel is connected is not what is tested here. */
static const struct crpc_call_options patient = {.timeout_ms = CALL_TIMEOUT_MS, .wait_for_ready = true};

static struct replicas replicas;
static PGconn *db;

struct racer {
    pthread_t thread;
    int number;
    bool unique; /* races for a unique key; else for a request id */
    int64_t ids[THINGS];
    int n_differ, n_errors, n_answers;
};

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

struct request {
    Joblog__V1__DispatchJobRequest message;
    Joblog__V1__JobSpec spec;
    Joblog__V1__UniqueKey key;
    char text[40];
};

static void request_make(struct request *r, const struct racer *racer, int thing)
{
    joblog__v1__dispatch_job_request__init(&r->message);
    joblog__v1__unique_key__init(&r->key);
    r->spec = spec_of(racer->unique ? "key" : "request", "race");
    snprintf(r->text, sizeof r->text, "thing-%d", thing);
    r->message.job = &r->spec;
    if (racer->unique) {
        r->key.key = r->text;
        r->key.on_conflict = JOBLOG__V1__UNIQUE_KEY__ON_CONFLICT__ON_CONFLICT_USE_EXISTING;
        r->spec.unique_key = &r->key;
    } else {
        r->message.request_id = r->text;
    }
}

static void note(struct racer *racer, int thing, int64_t id)
{
    if (racer->ids[thing] == 0)
        racer->ids[thing] = id;
    racer->n_differ += racer->ids[thing] != id;
    racer->n_answers++;
}

/* What went wrong, with its words: a race that comes once in a thousand runs must say what it was. */
static void wrong(struct racer *racer, const char *how, int thing, int code, const char *text)
{
    print_error("racer %d, %s, thing %d: %s %s\n", racer->number, how, thing, err_code_name(code), text);
    racer->n_errors++;
}

static void by_unary(struct racer *racer, struct crpc_channel *channel)
{
    for (int i = 0; i < THINGS; i++) {
        struct request r;
        struct err err = ERR_NONE;
        request_make(&r, racer, i);
        Joblog__V1__Job *job = call_dispatch(channel, &r.spec, r.message.request_id, &err);
        if (job)
            note(racer, i, job->id);
        else
            wrong(racer, "alone", i, (int)err.code, err.msg);
        job_free(job);
    }
}

static void by_stream(struct racer *racer, struct crpc_channel *channel)
{
    struct crpc_stream *stream = joblog_v1_job_log_service_dispatch_jobs_open(channel, &patient, NULL);
    for (int first = 0; first < THINGS; first += MESSAGE) {
        struct request rs[MESSAGE];
        Joblog__V1__DispatchJobRequest *jobs[MESSAGE];
        Joblog__V1__DispatchJobsRequest message = JOBLOG__V1__DISPATCH_JOBS_REQUEST__INIT;
        Joblog__V1__DispatchJobsResponse *response = NULL;
        struct err err = ERR_NONE;
        for (int i = 0; i < MESSAGE; i++) {
            request_make(&rs[i], racer, first + i);
            jobs[i] = &rs[i].message;
        }
        message.jobs = jobs;
        message.n_jobs = MESSAGE;
        if (joblog_v1_job_log_service_dispatch_jobs_write(stream, &message, &err) != 0 ||
            joblog_v1_job_log_service_dispatch_jobs_read(stream, &response, &err) != 1) {
            wrong(racer, "in a stream", first, (int)err.code, err.msg);
            break;
        }
        for (size_t i = 0; i < response->n_outcomes; i++)
            if (response->outcomes[i]->code == 0)
                note(racer, first + (int)i, response->outcomes[i]->id);
            else
                wrong(racer, "in a stream", first + (int)i, response->outcomes[i]->code,
                      response->outcomes[i]->message);
        crpc_message_free(&response->base);
    }
    crpc_stream_free(stream);
}

static void *race(void *arg)
{
    struct racer *racer = arg;
    struct crpc_channel *channel = channel_open(replicas.servers[racer->number % 2], NULL);
    for (int round = 0; round < ROUNDS; round++)
        if ((racer->number / 2 + round) % 2)
            by_unary(racer, channel);
        else
            by_stream(racer, channel);
    crpc_channel_free(channel);
    return NULL;
}

static void print_logs(void)
{
    for (int i = 0; i < 2; i++) {
        char *text = server_fixture_log(replicas.servers[i]);
        print_error("replica %d:\n%s\n", i, text ? text : "");
        free(text);
    }
}

static void one_winner_each(bool unique)
{
    static struct racer racers[CALLERS];
    char sql[100];
    memset(racers, 0, sizeof racers);
    for (int i = 0; i < CALLERS; i++) {
        racers[i].number = i;
        racers[i].unique = unique;
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++)
        pthread_join(racers[i].thread, NULL);
    int n_errors = 0;
    for (int i = 0; i < CALLERS; i++)
        n_errors += racers[i].n_errors;
    if (n_errors > 0)
        print_logs();
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(racers[i].n_errors, 0);
        assert_int_equal(racers[i].n_differ, 0);
        assert_int_equal(racers[i].n_answers, THINGS * ROUNDS);
        assert_memory_equal(racers[i].ids, racers[0].ids, sizeof racers[i].ids);
    }
    snprintf(sql, sizeof sql, "select count(*) from joblog.job_now where job_name = '%s'", unique ? "key" : "request");
    PGresult *r = PQexec(db, sql);
    assert_int_equal(atoi(PQgetvalue(r, 0, 0)), THINGS);
    PQclear(r);
}

static void a_request_id_has_one_job(void **state)
{
    (void)state;
    one_winner_each(false);
}

static void a_unique_key_has_one_job(void **state)
{
    (void)state;
    one_winner_each(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_id_has_one_job),
        cmocka_unit_test(a_unique_key_has_one_job),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
