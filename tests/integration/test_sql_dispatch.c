/* joblog.dispatch: jobs that are dispatched from SQL, within a transaction of the caller's, against a real joblogd. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "sql_rig.h"

static void a_worker_gets_it_when_the_transaction_commits(void **state)
{
    (void)state;
    struct test_worker *worker = worker_open(channel, "w", "sql", 2);
    must_sql(db, "begin");
    int64_t id =
        ask(db, "select joblog.dispatch('mail', '{\"to\": \"you\"}', queue => 'sql', owner => 'ann', priority => 7,"
                " labels => '{\"a\": \"b\"}', source_type => 'order', source_id => '17', batch => 'b',"
                " max_attempts => 3)");
    assert_int_equal(ask(db, "select count(*) from joblog.job_now where status = 1"), 1);
    int64_t begin_us = clock_mono_us();
    must_sql(db, "commit");
    struct test_lease lease = worker_lease(worker);
    int64_t took_ms = (clock_mono_us() - begin_us) / 1000;
    assert_int_equal(lease.job_id, id);
    assert_string_equal(lease.job->payload, "{\"to\": \"you\"}");
    assert_string_equal(lease.job->owner, "ann");
    assert_int_equal(lease.job->priority, 7);
    print_message("from the commit to the worker: %lld ms\n", (long long)took_ms);
    assert_int_equal(worker_answer(worker, worker_complete(worker, lease, ""), NULL), 0);
    Joblog__V1__Job *job = call_get(channel, id, true, NULL);
    assert_int_equal(job->status, JOBLOG__V1__JOB_STATUS__JOB_STATUS_COMPLETED);
    assert_string_equal(job->job_name, "mail");
    assert_string_equal(job->source->type, "order");
    assert_string_equal(job->source->id, "17");
    assert_true(strncmp(job->creator, "database:", 9) == 0);
    job_free(job);
    worker_end(worker, true, NULL);
    assert_counters_exact();
}

static void what_is_rolled_back_leaves_nothing(void **state)
{
    (void)state;
    int64_t before = ask(db, "select count(*) from joblog.job");
    must_sql(db, "begin");
    int64_t id = ask(db, "select joblog.dispatch('mail', request_id => 'gone', unique_key => 'gone')");
    must_sql(db, "rollback");
    assert_int_equal(ask(db, "select count(*) from joblog.job"), before);
    assert_int_equal(ask(db, "select count(*) from joblog.arrival"), 0);
    assert_int_equal(ask(db, "select count(*) from joblog.request where request_id = 'gone'"), 0);
    assert_int_equal(ask(db, "select count(*) from joblog.unique_key where key = 'gone'"), 0);
    struct err err = ERR_NONE;
    assert_null(call_get(channel, id, false, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_counters_exact();
}

static void watchers_see_it(void **state)
{
    (void)state;
    Joblog__V1__WatchJobsRequest request = JOBLOG__V1__WATCH_JOBS_REQUEST__INIT;
    Joblog__V1__JobFilter filter = JOBLOG__V1__JOB_FILTER__INIT;
    struct err err = ERR_NONE;
    filter.batch = (char *)"watched";
    request.filter = &filter;
    struct crpc_stream *watch = joblog_v1_job_log_service_watch_jobs_open(channel, NULL, &request, &err);
    assert_non_null(watch);
    Joblog__V1__WatchJobsResponse *message = NULL;
    do {
        crpc_message_free(message ? &message->base : NULL);
        assert_int_equal(crpc_stream_read(watch, (ProtobufCMessage **)&message, &err), 1);
    } while (message->event_case != JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_SNAPSHOT_END);
    crpc_message_free(&message->base);
    int64_t id = ask(db, "select joblog.dispatch('watched', queue => 'unserved', batch => 'watched')");
    message = NULL;
    do {
        crpc_message_free(message ? &message->base : NULL);
        assert_int_equal(crpc_stream_read(watch, (ProtobufCMessage **)&message, &err), 1);
    } while (message->event_case != JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_JOB);
    assert_int_equal(message->job->id, id);
    assert_int_equal(message->job->status, JOBLOG__V1__JOB_STATUS__JOB_STATUS_PENDING);
    crpc_message_free(&message->base);
    crpc_stream_cancel(watch);
    crpc_stream_free(watch);
}

static void a_scheduled_job_waits(void **state)
{
    (void)state;
    int64_t id = ask(db, "select joblog.dispatch('later', queue => 'later', run_time => now() + interval '1 hour',"
                         " backoff => 'list', delays => '{1 s,2 s}', start_timeout => '2 hours', run_timeout => '1 "
                         "minute', heartbeat_timeout => '5 s')");
    await_sql("select (count(*) = 1)::int from joblog.scheduled s join joblog.job j using (id)"
              " join joblog.lane l on l.lane_id = j.lane_id where l.queue = 'later'");
    assert_int_equal(ask(db, "select count(*) from joblog.deadline where token = 0"), 1);
    Joblog__V1__Job *job = call_get(channel, id, true, NULL);
    assert_int_equal(job->retry_policy->n_delays, 2);
    assert_int_equal(job->retry_policy->delays[1]->seconds, 2);
    assert_int_equal(job->run_timeout->seconds, 60);
    assert_int_equal(job->heartbeat_timeout->seconds, 5);
    job_free(job);
    struct err err = ERR_NONE;
    job = call_cancel(channel, id, "no more", &err);
    assert_non_null(job);
    job_free(job);
    assert_counters_exact();
}

static void unique_keys_are_held(void **state)
{
    (void)state;
    int64_t id = ask(db, "select joblog.dispatch('report', queue => 'report', unique_key => 'k')");
    expect_refused(db, "select joblog.dispatch('report', queue => 'report', unique_key => 'k')", "23505", "unique_key");
    assert_int_equal(ask(db, "select joblog.dispatch('report', queue => 'report', unique_key => 'k',"
                             " on_conflict => 'use_existing', request_id => 'r-3')"),
                     id);
    assert_int_equal(ask(db, "select job_id from joblog.request where request_id = 'r-3'"), id);
    /* By a call as well. */
    Joblog__V1__JobSpec spec = spec_of("report", "report");
    Joblog__V1__UniqueKey key = JOBLOG__V1__UNIQUE_KEY__INIT;
    struct err err = ERR_NONE;
    key.key = (char *)"k";
    spec.unique_key = &key;
    assert_null(call_dispatch(channel, &spec, "", &err));
    assert_string_equal(err.reason, "UNIQUE_KEY_TAKEN");
    /* Free again when the job is final. */
    await_sql("select (count(*) = 0)::int from joblog.arrival");
    job_free(call_cancel(channel, id, "", &err));
    assert_true(ask(db, "select joblog.dispatch('report', queue => 'report', unique_key => 'k')") != id);
    assert_counters_exact();
}

static void assert_payload(int64_t id, const char *payload)
{
    Joblog__V1__Job *job = call_get(channel, id, true, NULL);
    assert_string_equal(job->payload, payload);
    job_free(job);
}

/* Whether the job waits in line, for its time, or to be taken up. */
static void the_payload_of_who_holds_the_key_changes(void **state)
{
    (void)state;
    static const char *const when[] = {"now()", "now() + interval '1 hour'"};
    struct err err = ERR_NONE;
    for (size_t i = 0; i < 2; i++) {
        char sql[300];
        snprintf(sql, sizeof sql,
                 "select joblog.dispatch('sum', '{\"a\": 1}', queue => 'sum', unique_key => 'k', run_time => %s)",
                 when[i]);
        int64_t id = ask(db, sql);
        await_sql("select (count(*) = 0)::int from joblog.arrival");
        must_sql(db, "begin");
        assert_int_equal(ask(db, "select joblog.dispatch('sum', '{\"b\": 2}', queue => 'sum', unique_key => 'k',"
                                 " on_conflict => 'merge_payload', request_id => 'merge')"),
                         id);
        assert_payload(id, "{\"a\": 1}");
        /* Whoever wants to do something with the job meanwhile waits for nothing. */
        int64_t begin_us = clock_mono_us();
        assert_null(call_cancel(channel, id, "", &err));
        assert_int_equal(err.code, ERR_ABORTED);
        assert_true(clock_mono_us() - begin_us < 9000000);
        must_sql(db, "rollback");
        assert_payload(id, "{\"a\": 1}");
        must_sql(db, "begin; select joblog.dispatch('sum', '{\"b\": 2}', queue => 'sum', unique_key => 'k',"
                     " on_conflict => 'merge_payload'); commit");
        assert_payload(id, "{\"a\": 1, \"b\": 2}");
        must_sql(db, "select joblog.dispatch('sum', '{\"c\": 3}', queue => 'sum', unique_key => 'k',"
                     " on_conflict => 'replace_payload')");
        assert_payload(id, "{\"c\": 3}");
        expect_refused(db,
                       "select joblog.dispatch('sum', jsonb_build_object('d', repeat('x', 262130)), queue => 'sum',"
                       " unique_key => 'k', on_conflict => 'merge_payload')",
                       "22023", "payload");
        job_free(call_cancel(channel, id, "", &err));
    }
    /* Of the same transaction. */
    must_sql(db, "begin");
    int64_t id = ask(db, "select joblog.dispatch('sum', queue => 'sum', unique_key => 'k')");
    assert_int_equal(ask(db, "select joblog.dispatch('sum', '{\"b\": 2}', queue => 'sum', unique_key => 'k',"
                             " on_conflict => 'merge_payload')"),
                     id);
    must_sql(db, "commit");
    assert_payload(id, "{\"b\": 2}");
    /* One that runs. */
    struct test_worker *worker = worker_open(channel, "w", "sum", 1);
    struct test_lease lease = worker_lease(worker);
    assert_int_equal(lease.job_id, id);
    assert_string_equal(lease.job->payload, "{\"b\": 2}");
    expect_refused(db,
                   "select joblog.dispatch('sum', queue => 'sum', unique_key => 'k', on_conflict => 'replace_payload')",
                   "23505", "unique_key");
    assert_int_equal(worker_answer(worker, worker_complete(worker, lease, ""), NULL), 0);
    worker_end(worker, true, NULL);
    assert_counters_exact();
}

/* A time-out that comes while a transaction holds the job is not lost, and keeps nobody waiting. */
static void a_held_job_expires_later(void **state)
{
    (void)state;
    Joblog__V1__JobSpec other = spec_of("other", "other");
    int64_t id = ask(db, "select joblog.dispatch('late', queue => 'late', unique_key => 'k', start_timeout => '1 s')");
    await_sql("select (count(*) = 0)::int from joblog.arrival");
    must_sql(db, "begin; select joblog.dispatch('late', queue => 'late', unique_key => 'k',"
                 " on_conflict => 'replace_payload')");
    PGconn *beside = PQconnectdb(uri);
    int64_t n = 0;
    for (int i = 0; i < 6000 && n != 1; i++) { /* looked at, and put off */
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        n = ask(beside, "select count(*) from joblog.deadline d join joblog.job j on j.id = d.job_id"
                        " where d.time > j.run_time + interval '1.5 s' and d.token = 0"
                        " and (j.extra->>'start_timeout_us')::bigint = 1000000");
    }
    assert_int_equal(n, 1);
    must_dispatch(channel, &other);
    must_sql(db, "commit");
    PQfinish(beside);
    char sql[120];
    snprintf(sql, sizeof sql, "select (status = 5)::int from joblog.job_now where id = %lld", (long long)id);
    await_sql(sql);
    assert_counters_exact();
}

/* An open transaction holds a key and a new name: servers refuse who wants the same, and serve everybody else. */
static void an_open_transaction_holds_up_nobody(void **state)
{
    (void)state;
    Joblog__V1__JobSpec spec = spec_of("brand-new", "brand-new"), other = spec_of("other", "other"),
                        keyed = spec_of("report", "report");
    Joblog__V1__UniqueKey key = JOBLOG__V1__UNIQUE_KEY__INIT;
    struct err err = ERR_NONE;
    key.key = (char *)"open";
    keyed.unique_key = &key;
    must_sql(db, "begin");
    ask(db, "select joblog.dispatch('brand-new', queue => 'brand-new')");
    ask(db, "select joblog.dispatch('report', queue => 'report', unique_key => 'open')");
    int64_t begin_us = clock_mono_us();
    assert_null(call_dispatch(channel, &spec, "", &err));
    assert_int_equal(err.code, ERR_ABORTED);
    assert_string_equal(err.reason, "JOB_NAME_BUSY");
    expect_same_outcome(&spec, &err);
    assert_null(call_dispatch(channel, &keyed, "", &err));
    assert_int_equal(err.code, ERR_ABORTED);
    must_dispatch(channel, &other);
    assert_true(clock_mono_us() - begin_us < 9000000); /* no lock was waited for to its end */
    must_sql(db, "rollback");
    must_dispatch(channel, &spec);
    must_dispatch(channel, &keyed);
    assert_counters_exact();
}

static void bad_input_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *arguments, *field;
    } bad[] = {
        {"''", "job_name"},
        {"null", "job_name"},
        {"repeat('x', 201)", "job_name"},
        {"'joblog.export'", "job_name"},
        {"'x', queue => ''", "queue"},
        {"'x', queue => 'joblog.x'", "queue"},
        {"'x', queue => repeat('ä', 101)", "queue"},
        {"'x', '[]'", "payload"},
        {"'x', null", "payload"},
        {"'x', jsonb_build_object('a', repeat('x', 262144))", "payload"},
        {"'x', (repeat('{\"a\":', 65) || '1' || repeat('}', 65))::jsonb", "payload"},
        {"'x', priority => 1001", "priority"},
        {"'x', priority => null", "priority"},
        {"'x', max_attempts => 0", "max_attempts"},
        {"'x', max_attempts => 1001", "max_attempts"},
        {"'x', multiplier => 'NaN'", "multiplier"},
        {"'x', jitter => 1.1", "jitter"},
        {"'x', initial_backoff => '-1 s'", "initial_backoff"},
        {"'x', max_backoff => '2 years'", "max_backoff"},
        {"'x', backoff => 'never'", "backoff"},
        {"'x', backoff => null", "backoff"},
        {"'x', backoff => 'fixed', multiplier => 2", "multiplier"},
        {"'x', heartbeat_timeout => '-1 s'", "heartbeat_timeout"},
        {"'x', delays => '{1 s}'", "delays"},
        {"'x', backoff => 'list'", "delays"},
        {"'x', backoff => 'list', delays => '{1 s,null}'", "delays"},
        {"'x', backoff => 'list', delays => '{}'", "delays"},
        {"'x', backoff => 'list', delays => '{{1 s,2 s},{3 s,4 s}}'", "delays"},
        {"'x', backoff => 'list', delays => '{{1 s}}'", "delays"},
        {"'x', backoff => 'fixed', delays => '{{1 s}}'", "delays"},
        {"'x', backoff => 'exponential', delays => '{null}'", "delays"},
        {"'x', backoff => 'list', delays => '{178000000 years}'", "delays"},
        {"'x', initial_backoff => '178000000 years'", "initial_backoff"},
        {"'x', start_timeout => '-178000000 years'", "start_timeout"},
        {"'x', unique_key => 'k', unique_scope => 'period', unique_period => '178000000 years'", "unique_period"},
        {"'x', unique_key => 'k', unique_scope => null", "unique_scope"},
        {"'x', unique_key => 'k', on_conflict => null", "on_conflict"},
        {"'x', jitter => null", "jitter"},
        {"'x', max_attempts => null", "max_attempts"},
        {"'x', start_timeout => '-1 s'", "start_timeout"},
        {"'x', run_timeout => '2 years'", "run_timeout"},
        {"'x', run_time => 'infinity'", "run_time"},
        {"'x', labels => '[]'", "labels"},
        {"'x', labels => '[[\"a\", \"b\"], [\"c\", \"d\"]]'", "labels"},
        {"'x', labels => 'null'", "labels"},
        {"'x', labels => '{\"a\": null}'", "labels"},
        {"'x', labels => '{\"a\": [\"b\"]}'", "labels"},
        {"'x', labels => '{\"a\": 1}'", "labels"},
        {"'x', labels => '{\"\": \"a\"}'", "labels"},
        {"'x', labels => (select jsonb_object_agg('k' || g, 'v') from generate_series(1, 33) g)", "labels"},
        {"'x', owner => repeat('x', 201)", "owner"},
        {"'x', source_id => '1'", "source_type"},
        {"'x', request_id => repeat('x', 129)", "request_id"},
        {"'x', unique_key => ''", "unique_key"},
        {"'x', unique_key => 'k', unique_scope => 'ever'", "unique_scope"},
        {"'x', unique_key => 'k', unique_scope => 'period'", "unique_period"},
        {"'x', unique_key => 'k', unique_period => '1 h'", "unique_period"},
        {"'x', unique_key => 'k', on_conflict => 'ask'", "on_conflict"},
    };
    int64_t before = ask(db, "select count(*) from joblog.job");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char sql[300];
        snprintf(sql, sizeof sql, "select joblog.dispatch(%s)", bad[i].arguments);
        expect_refused(db, sql, "22023", bad[i].field);
    }
    assert_int_equal(ask(db, "select count(*) from joblog.job"), before);
    /* 64 levels are not too deep. */
    assert_true(ask(db, "select joblog.dispatch('x', (repeat('{\"a\":', 64) || '1' || repeat('}', 64))::jsonb)") > 0);
}

static void a_role_may_dispatch_and_nothing_else(void **state)
{
    (void)state;
    must_sql(db, "drop role if exists shop; create role shop login");
    must_sql(db, "set session authorization shop");
    expect_refused(db, "select joblog.dispatch('x')", "42501", NULL);
    must_sql(db, "reset session authorization");
    must_sql(db, "grant usage on schema joblog to shop; grant execute on function joblog.dispatch to shop");
    must_sql(db, "set session authorization shop");
    int64_t id = ask(db, "select joblog.dispatch('from_shop')");
    expect_refused(db, "select count(*) from joblog.job", "42501", NULL);
    expect_refused(db, "select joblog.take_key('a', 'b', 1, 1, null, now())", "42501", NULL);
    must_sql(db, "reset session authorization");
    Joblog__V1__Job *job = call_get(channel, id, false, NULL);
    assert_string_equal(job->creator, "database:shop");
    job_free(job);
    must_sql(db, "drop owned by shop; drop role shop");
}

/* ---- many at once ---- */

enum { CALLERS = 6 };
static const int64_t EACH = 60;

static void *call_many(void *arg)
{
    PGconn *c = PQconnectdb(uri);
    int64_t won = 0;
    for (int i = 0; i < EACH; i++) {
        char sql[200];
        must_sql(c, "begin");
        snprintf(sql, sizeof sql, "select joblog.dispatch('many', queue => 'many', unique_key => 'many-%d')", i);
        PGresult *r = PQexec(c, sql);
        bool good = PQresultStatus(r) == PGRES_TUPLES_OK;
        if (!good && strcmp(PQresultErrorField(r, PG_DIAG_SQLSTATE), "23505") != 0)
            print_error("%s", PQerrorMessage(c));
        PQclear(r);
        must_sql(c, good && i % 3 == 0 ? "rollback" : "commit");
        won += good && i % 3 != 0;
        must_sql(c, "select joblog.dispatch('many', queue => 'many')");
    }
    PQfinish(c);
    *(int64_t *)arg = won;
    return NULL;
}

static void many_callers_at_once(void **state)
{
    (void)state;
    pthread_t threads[CALLERS];
    int64_t won[CALLERS], sum = 0;
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_many, &won[i]), 0);
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        sum += won[i];
    }
    /* Each key that was not rolled back has one winner. */
    assert_int_equal(sum, EACH - EACH / 3);
    assert_int_equal(
        ask(db, "select count(*) from joblog.job j join joblog.lane l using (lane_id) where l.queue = 'many'"),
        CALLERS * EACH + sum);
    assert_counters_exact();
}

/* Without a server they wait; the next one takes them up, by its poll. */
static void they_wait_for_a_server(void **state)
{
    (void)state;
    server_fixture_stop(server);
    int64_t id = ask(db, "select joblog.dispatch('patient', queue => 'patient')");
    assert_int_equal(ask(db, "select count(*) from joblog.arrival"), 1);
    assert_true(server_fixture_restart(server));
    crpc_channel_free(channel);
    channel = channel_open(server, NULL);
    struct test_worker *worker = worker_open(channel, "w", "patient", 1);
    assert_int_equal(worker_lease(worker).job_id, id);
    /* And without a notification. */
    must_sql(db, "set joblog.quiet = on");
    worker_credit(worker, 1);
    id = ask(db, "select joblog.dispatch('patient', queue => 'patient')");
    assert_int_equal(worker_lease(worker).job_id, id);
    must_sql(db, "reset joblog.quiet");
    worker_cut(worker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_gets_it_when_the_transaction_commits),
        cmocka_unit_test(what_is_rolled_back_leaves_nothing),
        cmocka_unit_test(watchers_see_it),
        cmocka_unit_test(a_scheduled_job_waits),
        cmocka_unit_test(unique_keys_are_held),
        cmocka_unit_test(the_payload_of_who_holds_the_key_changes),
        cmocka_unit_test(a_held_job_expires_later),
        cmocka_unit_test(an_open_transaction_holds_up_nobody),
        cmocka_unit_test(bad_input_is_refused),
        cmocka_unit_test(a_role_may_dispatch_and_nothing_else),
        cmocka_unit_test(many_callers_at_once),
        cmocka_unit_test(they_wait_for_a_server),
    };
    return cmocka_run_group_tests(tests, sql_rig_start, sql_rig_stop);
}
