/* The limits of callers, and of all together, as a client meets them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "grpc/health/v1/health.crpc.h"
#include "support/calls.h"
#include "support/channel.h"
#include "support/server_fixture.h"

static struct server_fixture *server;
static struct crpc_channel *channel;

static int teardown(void **state)
{
    (void)state;
    crpc_channel_free(channel);
    assert_int_equal(server_fixture_stop(server), 0);
    server_fixture_free(server);
    return 0;
}

static int setup(void **state)
{
    static const char *const args[] = {"--caller-calls-per-second=1",
                                       "--caller-burst=300",
                                       "--caller-streams=2",
                                       "--caller-sessions=1",
                                       "--dangerously-disable-authentication=true",
                                       NULL};
    (void)state;
    server = server_fixture_start(&(struct server_fixture_options){.args = args});
    assert_non_null(server);
    channel = channel_open_with(server_fixture_address(server), NULL, NULL);
    assert_non_null(channel);
    return 0;
}

static void health_answers(void)
{
    Grpc__Health__V1__HealthCheckRequest q = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    Grpc__Health__V1__HealthCheckResponse *r = NULL;
    struct err err = ERR_NONE;
    assert_int_equal(grpc_health_v1_health_check(channel, NULL, &q, &r, &err), 0);
    assert_int_equal(r->status, GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING);
    crpc_message_free(&r->base);
}

static void a_caller_has_its_rate(void **state)
{
    (void)state;
    Joblog__V1__JobSpec spec = spec_of("limited", "default");
    struct err err = ERR_NONE;
    int n = 0;
    Joblog__V1__Job *job;
    for (; n < 1000 && (job = call_dispatch(channel, &spec, "", &err)); n++)
        job_free(job);
    assert_in_range(n, 50, 500); /* what was left of the burst, and one for each second that it took */
    assert_int_equal(err.code, ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(err.reason, "RATE_LIMITED");
    assert_in_range(err.retry_after_ms, 1, 1001);
    for (int i = 0; i < 20; i++)
        health_answers();                   /* a probe is not limited */
    char *log = server_fixture_log(server); /* and the operator sees it */
    assert_non_null(strstr(log, "calls refused caller=ipv4:127.0.0.1 reason="));
    free(log);
}

static void a_caller_has_its_streams(void **state)
{
    (void)state;
    Joblog__V1__JobSpec spec = spec_of("limited", "default");
    struct crpc_stream *watches[3];
    struct err err = ERR_NONE;
    int64_t id = must_dispatch(channel, &spec);
    for (int i = 0; i < 2; i++) {
        watches[i] = must_watch(channel, id, 0, false);
        crpc_message_free(&watch_next(watches[i], &err)->base);
    }
    watches[2] = must_watch(channel, id, 0, false);
    assert_null(watch_next(watches[2], &err));
    assert_int_equal(err.code, ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(err.reason, "TOO_MANY_STREAMS");
    /* To wait for a job is to watch it, although the call is unary. */
    Joblog__V1__WaitJobRequest wait = JOBLOG__V1__WAIT_JOB_REQUEST__INIT;
    Google__Protobuf__Duration short_time = GOOGLE__PROTOBUF__DURATION__INIT;
    Joblog__V1__Job *waited = NULL;
    short_time.nanos = 1000000;
    wait.id = id;
    wait.timeout = &short_time;
    assert_int_equal(joblog_v1_job_log_service_wait_job(channel, NULL, &wait, &waited, &err), -ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(err.reason, "TOO_MANY_STREAMS");
    /* Workers are counted by themselves. */
    struct test_worker *w = worker_open(channel, "one", "elsewhere", 0);
    struct crpc_stream *second = joblog_v1_worker_service_work_open(channel, NULL, &err);
    Joblog__V1__WorkResponse *m = NULL;
    assert_int_equal(joblog_v1_worker_service_work_read(second, &m, &err), -ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(err.reason, "TOO_MANY_SESSIONS");
    crpc_stream_free(second);
    worker_end(w, true, &err);
    for (int i = 0; i < 3; i++)
        crpc_stream_free(watches[i]);
    /* What has ended makes room: the server may hear of it a little later. */
    Joblog__V1__WatchJobResponse *first = NULL;
    for (int tries = 0; !first && tries < 100; tries++) {
        struct crpc_stream *again = must_watch(channel, id, 0, false);
        first = watch_next(again, &err);
        crpc_stream_free(again);
    }
    assert_non_null(first);
    crpc_message_free(&first->base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_caller_has_its_streams),
        cmocka_unit_test(a_caller_has_its_rate), /* last: it uses up what there is */
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
