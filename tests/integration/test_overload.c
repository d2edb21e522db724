/* More than the database can carry, made by a lock on the table of jobs: what comes is refused early and told when to
 * come back, health answers, what was acknowledged is there afterwards and what was refused is not. And the limits of
 * callers with names: each token has its own, an administrator has none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libpq-fe.h>
#include <stdio.h>

#include "base/clock.h"
#include "crpc/async.h"
#include "grpc/health/v1/health.crpc.h"
#include "joblog/v1/access.crpc.h"
#include "support/calls.h"
#include "support/channel.h"
#include "support/pg_fixture.h"
#include "support/server_fixture.h"

/* In flight at first; then so many more, one each time that the loop has nothing to do. */
enum { FIRST = 400, REFUSED = 100, PATIENCE_MS = 20000, LOOK_MS = 5, HEALTH_MS = 2000 };

static char uri[512];

struct load {
    struct crpc_channel *channel;
    struct crpc_loop *loop;
    long sent, ok, refused, other;
    int32_t retry_after_ms;
    char reason[64];
};

static void load_done(void *user, const ProtobufCMessage *response, const struct err *status)
{
    struct load *load = user;
    (void)response;
    if (status->code == ERR_OK) {
        load->ok++;
    } else if (status->code == ERR_RESOURCE_EXHAUSTED) {
        load->refused++;
        load->retry_after_ms = status->retry_after_ms;
        snprintf(load->reason, sizeof load->reason, "%s", status->reason);
    } else {
        load->other++;
    }
}

static void load_one(struct load *load)
{
    static const struct crpc_call_options options = {.timeout_ms = CALL_TIMEOUT_MS};
    Joblog__V1__JobSpec spec = spec_of("load", "overload");
    Joblog__V1__DispatchJobRequest request = JOBLOG__V1__DISPATCH_JOB_REQUEST__INIT;
    request.job = &spec;
    assert_int_equal(crpc_unary_start(load->channel, load->loop,
                                      &joblog_v1_job_log_service.methods[JOBLOG_V1_JOB_LOG_SERVICE_DISPATCH_JOB],
                                      &options, &request.base, load_done, load, NULL),
                     0);
    load->sent++;
}

static void sql(PGconn *conn, const char *text)
{
    PGresult *r = PQexec(conn, text);
    if (PQresultStatus(r) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", text, PQerrorMessage(conn));
    PQclear(r);
}

static long jobs(PGconn *conn)
{
    PGresult *r = PQexec(conn, "select count(*) from joblog.job");
    if (PQresultStatus(r) != PGRES_TUPLES_OK)
        fail_msg("%s", PQerrorMessage(conn));
    long n = atol(PQgetvalue(r, 0, 0));
    PQclear(r);
    return n;
}

static void health_answers(struct crpc_channel *channel)
{
    Grpc__Health__V1__HealthCheckRequest q = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    Grpc__Health__V1__HealthCheckResponse *r = NULL;
    struct err err = ERR_NONE;
    assert_int_equal(
        grpc_health_v1_health_check(channel, &(struct crpc_call_options){.timeout_ms = HEALTH_MS}, &q, &r, &err), 0);
    crpc_message_free(&r->base);
}

static void what_cannot_be_carried_is_refused(void **state)
{
    static const char *const args[] = {"--max-wait-ms=200", "--dangerously-disable-authentication=true", NULL};
    (void)state;
    struct server_fixture *server =
        server_fixture_start(&(struct server_fixture_options){.args = args, .database = uri});
    assert_non_null(server);
    struct load load = {.channel = channel_open_with(server_fixture_address(server), NULL, NULL),
                        .loop = crpc_loop_new()};
    PGconn *conn = PQconnectdb(uri);
    sql(conn, "begin");
    sql(conn, "lock table joblog.job in share mode");
    for (int i = 0; i < FIRST; i++)
        load_one(&load);
    int64_t until = clock_mono_ms() + PATIENCE_MS;
    while (load.refused < REFUSED && load.other == 0 && clock_mono_ms() < until) {
        crpc_loop_run(load.loop, LOOK_MS);
        load_one(&load);
    }
    /* Refused while nothing at all was being carried. */
    assert_int_equal(load.ok, 0);
    assert_int_equal(load.other, 0);
    assert_true(load.refused >= REFUSED);
    assert_string_equal(load.reason, "OVERLOADED");
    assert_in_range(load.retry_after_ms, 1, 60000);
    health_answers(load.channel);
    sql(conn, "rollback");
    while (crpc_loop_run(load.loop, -1) > 0)
        ;
    assert_int_equal(load.other, 0);
    assert_true(load.ok >= FIRST);
    assert_int_equal(load.ok + load.refused, load.sent);
    /* All is well at once. */
    Joblog__V1__JobSpec spec = spec_of("after", "overload");
    must_dispatch(load.channel, &spec);
    assert_int_equal(jobs(conn), load.ok + 1);
    server_fixture_kill(server); /* nothing was only in its memory */
    assert_int_equal(jobs(conn), load.ok + 1);
    PQfinish(conn);
    crpc_loop_free(load.loop);
    crpc_channel_free(load.channel);
    server_fixture_free(server);
}

static struct crpc_channel *open_as(const struct server_fixture *server, struct crpc_channel *admin, const char *name)
{
    Joblog__V1__CreateTokenRequest request = JOBLOG__V1__CREATE_TOKEN_REQUEST__INIT;
    Joblog__V1__Grant grant = JOBLOG__V1__GRANT__INIT;
    Joblog__V1__Role role = JOBLOG__V1__ROLE__ROLE_DISPATCHER;
    Joblog__V1__CreateTokenResponse *response = NULL;
    struct err err = ERR_NONE;
    request.name = (char *)name;
    request.grant = &grant;
    grant.roles = &role;
    grant.n_roles = 1;
    if (joblog_v1_access_service_create_token(admin, NULL, &request, &response, &err) != 0)
        fail_msg("%s", err.msg);
    struct crpc_channel *channel = channel_open_with(server_fixture_address(server), response->secret, NULL);
    crpc_message_free(&response->base);
    return channel;
}

/* Dispatches until it is refused, n times at most. How often that went well. */
static int dispatch_some(struct crpc_channel *channel, int n, struct err *ret_err)
{
    Joblog__V1__JobSpec spec = spec_of("limited", "limits");
    for (int i = 0; i < n; i++) {
        Joblog__V1__Job *job = call_dispatch(channel, &spec, "", ret_err);
        if (!job)
            return i;
        job_free(job);
    }
    return n;
}

static void each_token_has_its_own_limit(void **state)
{
    enum { BURST = 30, MANY = 300 };
    static const char *const args[] = {"--caller-calls-per-second=1", "--caller-burst=30", NULL};
    (void)state;
    struct server_fixture *server =
        server_fixture_start(&(struct server_fixture_options){.args = args, .database = uri});
    assert_non_null(server);
    struct crpc_channel *admin = channel_open_with(server_fixture_address(server), server_fixture_token(server), NULL);
    struct crpc_channel *ann = open_as(server, admin, "ann"), *bob = open_as(server, admin, "bob");
    struct err err = ERR_NONE;
    assert_in_range(dispatch_some(ann, MANY, &err), BURST, MANY - 1);
    assert_int_equal(err.code, ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(err.reason, "RATE_LIMITED");
    assert_in_range(err.retry_after_ms, 1, 1001);
    assert_int_equal(dispatch_some(bob, BURST, &err), BURST); /* from the same address */
    assert_int_equal(dispatch_some(admin, MANY, &err), MANY); /* must get in when others fill the house */
    char *log = server_fixture_log(server);
    assert_non_null(strstr(log, "calls refused caller=token:ann reason=RATE_LIMITED"));
    assert_null(strstr(log, "calls refused caller=token:bob"));
    free(log);
    crpc_channel_free(ann);
    crpc_channel_free(bob);
    crpc_channel_free(admin);
    assert_int_equal(server_fixture_stop(server), 0);
    server_fixture_free(server);
}

static int setup(void **state)
{
    (void)state;
    const char *database = pg_fixture_start() ? pg_fixture_database("overload") : NULL;
    if (!database)
        return -1;
    snprintf(uri, sizeof uri, "%s", database);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pg_fixture_stop();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_carried_is_refused),
        cmocka_unit_test(each_token_has_its_own_limit),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
