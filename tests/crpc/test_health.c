/* grpc.health.v1.Health: Check, Watch, and the end of a server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "crpc/client.h"
#include "crpc/health.h"
#include "crpc/server.h"
#include "grpc/health/v1/health.crpc.h"

typedef Grpc__Health__V1__HealthCheckRequest request_t;
typedef Grpc__Health__V1__HealthCheckResponse response_t;

enum { SERVING = 1, NOT_SERVING = 2, SERVICE_UNKNOWN = 3 };

struct fixture {
    struct crpc_health *health;
    struct crpc_server *server;
    struct crpc_channel *channel;
};

static void start(struct fixture *f)
{
    char target[64];
    struct err err = ERR_NONE;
    int port = 0;
    f->health = crpc_health_new();
    f->server = crpc_server_new(NULL, &err);
    if (crpc_health_mount(f->health, f->server, &err) < 0 ||
        crpc_server_listen(f->server, "127.0.0.1:0", &port, &err) < 0 || crpc_server_start(f->server, &err) < 0)
        fail_msg("%s", err.msg);
    snprintf(target, sizeof target, "127.0.0.1:%d", port);
    f->channel = crpc_channel_new(target, NULL, &err);
}

static void stop(struct fixture *f)
{
    crpc_channel_free(f->channel);
    crpc_server_drain(f->server, 10000);
    crpc_server_free(f->server);
    crpc_health_free(f->health);
}

static int check(struct fixture *f, const char *service)
{
    request_t q = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    response_t *r = NULL;
    q.service = (char *)service;
    int rc = grpc_health_v1_health_check(f->channel, NULL, &q, &r, NULL);
    if (rc == 0) {
        rc = (int)r->status;
        crpc_message_free(&r->base);
    }
    return rc;
}

static struct crpc_stream *watch(struct fixture *f, const char *service)
{
    request_t q = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    q.service = (char *)service;
    return grpc_health_v1_health_watch_open(f->channel, NULL, &q, NULL);
}

static int next(struct crpc_stream *s)
{
    response_t *r = NULL;
    int rc = grpc_health_v1_health_watch_read(s, &r, NULL);
    if (rc == 1) {
        rc = (int)r->status;
        crpc_message_free(&r->base);
    }
    return rc;
}

static void test_check(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    assert_int_equal(check(&f, ""), NOT_SERVING);
    assert_int_equal(check(&f, "a.v1.A"), -ERR_NOT_FOUND);
    crpc_health_set(f.health, "", true, NULL);
    crpc_health_set(f.health, "a.v1.A", true, NULL);
    assert_int_equal(check(&f, ""), SERVING);
    assert_int_equal(check(&f, "a.v1.A"), SERVING);
    crpc_health_set(f.health, "a.v1.A", false, NULL);
    assert_int_equal(check(&f, ""), SERVING);
    assert_int_equal(check(&f, "a.v1.A"), NOT_SERVING);
    stop(&f);
}

static void test_watch(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    struct crpc_stream *all = watch(&f, ""), *a = watch(&f, "a.v1.A"), *gone = watch(&f, "");
    assert_int_equal(next(all), NOT_SERVING);
    assert_int_equal(next(a), SERVICE_UNKNOWN);
    assert_int_equal(next(gone), NOT_SERVING);
    crpc_stream_free(gone);
    crpc_health_set(f.health, "", true, NULL);
    assert_int_equal(next(all), SERVING);
    crpc_health_set(f.health, "a.v1.A", true, NULL);
    assert_int_equal(next(a), SERVING);
    crpc_health_set(f.health, "a.v1.A", true, NULL); /* no change, no message */
    crpc_health_set(f.health, "a.v1.A", false, NULL);
    assert_int_equal(next(a), NOT_SERVING);
    /* The end: said, and then the streams go, so that a drain does not wait for them. */
    crpc_health_stop(f.health);
    assert_int_equal(next(all), NOT_SERVING);
    assert_int_equal(next(all), -ERR_UNAVAILABLE);
    assert_int_equal(next(a), -ERR_UNAVAILABLE);
    crpc_health_set(f.health, "", true, NULL);
    assert_int_equal(check(&f, ""), NOT_SERVING);
    crpc_stream_free(all);
    crpc_stream_free(a);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_check), cmocka_unit_test(test_watch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
