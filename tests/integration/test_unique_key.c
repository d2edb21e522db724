/* Unique keys against a real joblogd: what DispatchJob, DispatchJobs and StartJob answer, what is refused at the door,
 * and many callers at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "support/calls.h"
#include "support/channel.h"
#include "support/server_fixture.h"

typedef Joblog__V1__UniqueKey Key;

static struct server_fixture *server;
static struct crpc_channel *channel;

static int setup(void **state)
{
    (void)state;
    server = server_fixture_start(NULL);
    if (server)
        channel = channel_open(server, NULL);
    return channel ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    crpc_channel_free(channel);
    int code = server ? server_fixture_stop(server) : -1;
    server_fixture_free(server);
    return code;
}

static Key key_of(const char *key, Joblog__V1__UniqueKey__OnConflict on_conflict)
{
    Key k = JOBLOG__V1__UNIQUE_KEY__INIT;
    k.key = (char *)key;
    k.on_conflict = on_conflict;
    return k;
}

#define REJECT      JOBLOG__V1__UNIQUE_KEY__ON_CONFLICT__ON_CONFLICT_UNSPECIFIED
#define USE         JOBLOG__V1__UNIQUE_KEY__ON_CONFLICT__ON_CONFLICT_USE_EXISTING
#define REPLACE     JOBLOG__V1__UNIQUE_KEY__ON_CONFLICT__ON_CONFLICT_REPLACE_PAYLOAD
#define MERGE       JOBLOG__V1__UNIQUE_KEY__ON_CONFLICT__ON_CONFLICT_MERGE_PAYLOAD
#define STATUS_DONE JOBLOG__V1__JOB_STATUS__JOB_STATUS_COMPLETED

/* Dispatches with a key. 0 and *ret_err when it is refused. */
static int64_t dispatch_key(Key *key, const char *payload, struct err *ret_err)
{
    Joblog__V1__JobSpec spec = spec_of("unique", "unique");
    spec.unique_key = key;
    spec.payload = (char *)payload;
    *ret_err = ERR_NONE;
    Joblog__V1__Job *job = call_dispatch(channel, &spec, NULL, ret_err);
    int64_t id = job ? job->id : 0;
    job_free(job);
    return id;
}

static void expect_payload(int64_t id, const char *payload)
{
    Joblog__V1__Job *job = call_get(channel, id, true, NULL);
    assert_non_null(job);
    assert_string_equal(job->payload, payload);
    job_free(job);
}

static void a_key_is_held_until_the_end(void **state)
{
    (void)state;
    struct err err;
    Key key = key_of("held", REJECT), use = key_of("held", USE), replace = key_of("held", REPLACE),
        merge = key_of("held", MERGE);
    int64_t id = dispatch_key(&key, "{\"a\": 1}", &err);
    char text[40];
    assert_true(id > 0);
    assert_int_equal(dispatch_key(&key, "{}", &err), 0);
    assert_int_equal(err.code, ERR_ALREADY_EXISTS);
    assert_string_equal(err.reason, "UNIQUE_KEY_TAKEN");
    snprintf(text, sizeof text, "%lld", (long long)id);
    assert_non_null(strstr(err.msg, text));
    assert_int_equal(dispatch_key(&use, "{}", &err), id);
    assert_int_equal(dispatch_key(&merge, "{\"b\": 2}", &err), id);
    expect_payload(id, "{\"a\": 1, \"b\": 2}");
    assert_int_equal(dispatch_key(&replace, "{\"c\": 3}", &err), id);
    expect_payload(id, "{\"c\": 3}");
    /* The job says what key it has, in either view. */
    for (int full = 0; full < 2; full++) {
        Joblog__V1__Job *job = call_get(channel, id, full, NULL);
        assert_string_equal(job->unique_key->key, "held");
        assert_int_equal(job->unique_key->scope, JOBLOG__V1__UNIQUE_KEY__SCOPE__SCOPE_NOT_FINAL);
        assert_int_equal(job->unique_key->on_conflict, 0);
        assert_null(job->unique_key->period);
        job_free(job);
    }
    struct test_worker *w = worker_open(channel, "w", "unique", 1);
    struct test_lease lease = worker_lease(w);
    assert_int_equal(lease.job_id, id);
    assert_string_equal(lease.job->payload, "{\"c\": 3}");
    assert_int_equal(dispatch_key(&merge, "{}", &err), 0);
    assert_string_equal(err.reason, "UNIQUE_KEY_TAKEN");
    assert_int_equal(worker_answer(w, worker_complete(w, lease, "{}"), NULL), ERR_OK);
    int64_t next = dispatch_key(&key, "{}", &err);
    assert_true(next > id);
    worker_end(w, true, NULL);
}

static void bulk_tells_who_came_too_late(void **state)
{
    (void)state;
    enum { N = 6 };
    Joblog__V1__DispatchJobsRequest request = JOBLOG__V1__DISPATCH_JOBS_REQUEST__INIT;
    Joblog__V1__DispatchJobRequest jobs[N], *pointers[N];
    Joblog__V1__JobSpec specs[N];
    Key keys[N] = {key_of("bulk", REJECT), key_of("bulk", REJECT), key_of("bulk", USE),
                   key_of("bulk", MERGE),  key_of("other", USE),   key_of("", REJECT)};
    for (int i = 0; i < N; i++) {
        specs[i] = spec_of("unique", "bulk");
        specs[i].unique_key = &keys[i];
        joblog__v1__dispatch_job_request__init(&jobs[i]);
        jobs[i].job = &specs[i];
        pointers[i] = &jobs[i];
    }
    request.jobs = pointers;
    request.n_jobs = N;
    static const struct crpc_call_options options = {.timeout_ms = CALL_TIMEOUT_MS};
    struct crpc_stream *stream = joblog_v1_job_log_service_dispatch_jobs_open(channel, &options, NULL);
    Joblog__V1__DispatchJobsResponse *r = NULL;
    assert_int_equal(joblog_v1_job_log_service_dispatch_jobs_write(stream, &request, NULL), 0);
    assert_int_equal(joblog_v1_job_log_service_dispatch_jobs_read(stream, &r, NULL), 1);
    assert_int_equal(r->n_outcomes, N);
    int64_t id = r->outcomes[0]->id;
    assert_true(id > 0 && !r->outcomes[0]->existing);
    assert_int_equal(r->outcomes[1]->code, ERR_ALREADY_EXISTS);
    assert_string_equal(r->outcomes[1]->reason, "UNIQUE_KEY_TAKEN");
    for (int i = 2; i < 4; i++) {
        assert_int_equal(r->outcomes[i]->id, id);
        assert_true(r->outcomes[i]->existing && !r->outcomes[i]->replayed);
    }
    assert_true(r->outcomes[4]->id != id && !r->outcomes[4]->existing);
    assert_string_equal(r->outcomes[5]->field, "job.unique_key.key");
    crpc_message_free(&r->base);
    crpc_stream_free(stream);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    Google__Protobuf__Duration hour = GOOGLE__PROTOBUF__DURATION__INIT, none = GOOGLE__PROTOBUF__DURATION__INIT;
    static char large[202];
    hour.seconds = 3600;
    memset(large, 'x', sizeof large - 1);
    Key bad[] = {key_of("", REJECT),  key_of(large, REJECT), key_of("k", REJECT), key_of("k", REJECT),
                 key_of("k", REJECT), key_of("k", REJECT),   key_of("k", REJECT)};
    static const char *const fields[] = {"key", "key", "scope", "on_conflict", "period", "period", "period"};
    bad[2].scope = (Joblog__V1__UniqueKey__Scope)4;
    bad[3].on_conflict = (Joblog__V1__UniqueKey__OnConflict)-1;
    bad[4].period = &hour; /* without its scope */
    bad[5].scope = bad[6].scope = JOBLOG__V1__UNIQUE_KEY__SCOPE__SCOPE_PERIOD;
    bad[6].period = &none;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err;
        char field[60];
        assert_int_equal(dispatch_key(&bad[i], "{}", &err), 0);
        assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
        snprintf(field, sizeof field, "job.unique_key.%s", fields[i]);
        assert_string_equal(err.field, field);
    }
    /* StartJob has no lease to give on somebody else's job. */
    Joblog__V1__StartJobRequest request = JOBLOG__V1__START_JOB_REQUEST__INIT;
    Joblog__V1__StartJobResponse *response = NULL;
    Joblog__V1__JobSpec spec = spec_of("unique", "started");
    Key key = key_of("started", USE);
    struct err err = ERR_NONE;
    spec.unique_key = &key;
    request.job = &spec;
    assert_true(joblog_v1_worker_service_start_job(channel, NULL, &request, &response, &err) < 0);
    assert_string_equal(err.field, "job.unique_key.on_conflict");
    key.on_conflict = REJECT;
    assert_int_equal(joblog_v1_worker_service_start_job(channel, NULL, &request, &response, &err), 0);
    crpc_message_free(&response->base);
    response = NULL;
    assert_true(joblog_v1_worker_service_start_job(channel, NULL, &request, &response, &err) < 0);
    assert_string_equal(err.reason, "UNIQUE_KEY_TAKEN");
}

/* The same request id is the same request, also when its answer was another job; a different policy is another one. */
static void request_ids_hold_too(void **state)
{
    (void)state;
    Joblog__V1__JobSpec spec = spec_of("unique", "ids");
    Key key = key_of("ids", USE);
    struct err err = ERR_NONE;
    spec.unique_key = &key;
    Joblog__V1__Job *first = call_dispatch(channel, &spec, "ids-1", NULL);
    Joblog__V1__Job *second = call_dispatch(channel, &spec, "ids-2", NULL);
    assert_int_equal(first->id, second->id);
    job_free(call_cancel(channel, first->id, "test", NULL));
    Joblog__V1__Job *again = call_dispatch(channel, &spec, "ids-2", NULL);
    assert_int_equal(again->id, first->id);
    key.on_conflict = MERGE;
    assert_null(call_dispatch(channel, &spec, "ids-2", &err));
    assert_string_equal(err.reason, "REQUEST_ID_REUSED");
    job_free(first);
    job_free(second);
    job_free(again);
}

/* ---- many at once ---- */

enum { CALLERS = 8, CALLS = 250 };

static void *caller(void *arg)
{
    int64_t *n_won = arg;
    struct crpc_channel *own = channel_open(server, NULL);
    for (int i = 0; i < CALLS; i++) {
        Joblog__V1__JobSpec spec = spec_of("unique", "race");
        char text[40];
        snprintf(text, sizeof text, "race-%d", i / 50);
        Key key = key_of(text, REJECT);
        struct err err = ERR_NONE;
        spec.unique_key = &key;
        Joblog__V1__Job *job = call_dispatch(own, &spec, NULL, &err);
        *n_won += job != NULL;
        if (!job && strcmp(err.reason, "UNIQUE_KEY_TAKEN") != 0)
            *n_won += 1000000; /* seen by the assertion of the main thread */
        job_free(job);
    }
    crpc_channel_free(own);
    return NULL;
}

static void thousands_race_and_one_wins(void **state)
{
    (void)state;
    pthread_t threads[CALLERS];
    int64_t n_won[CALLERS] = {0}, sum = 0;
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, caller, &n_won[i]), 0);
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        sum += n_won[i];
    }
    assert_int_equal(sum, CALLS / 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_held_until_the_end), cmocka_unit_test(bulk_tells_who_came_too_late),
        cmocka_unit_test(what_is_wrong_is_named),      cmocka_unit_test(request_ids_hold_too),
        cmocka_unit_test(thousands_race_and_one_wins),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
