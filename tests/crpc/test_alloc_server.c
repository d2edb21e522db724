/* Fails the n-th allocation of a server, for all n, in calls of all four kinds and of the standard services: the client
 * hears RESOURCE_EXHAUSTED, the next call finds everything as it was, and the drain ends. Only the server's worker
 * suffers; the client in the same process has all it wants. gRPC core's own allocations are not among them; what leaks
 * is for the preset asan to tell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>

#include "base/alloc.h"
#include "crpc/health.h"
#include "crpc/reflection.h"
#include "echo_server.h"
#include "grpc/health/v1/health.crpc.h"
#include "grpc/reflection/v1/reflection.crpc.h"

enum { NTH_MAX = 200 };

static atomic_int left;
static atomic_bool armed;

static bool is_worker(void)
{
    char name[16] = "";
    pthread_getname_np(pthread_self(), name, sizeof name);
    return strncmp(name, "crpc-", 5) == 0;
}

/* Fails one allocation. */
static bool gate(size_t size)
{
    (void)size;
    return !atomic_load(&armed) || !is_worker() || atomic_fetch_sub(&left, 1) != 0;
}

/* A server of everything. */
struct rig {
    struct echo echo;
    struct crpc_server *standard;
    struct crpc_channel *channel; /* to it */
    struct crpc_health *health;
    struct crpc_reflection *reflection;
};

static void rig_start(struct rig *r)
{
    struct err err = ERR_NONE;
    char target[64];
    int port = 0;
    echo_start(&r->echo, NULL, NULL);
    r->standard = crpc_server_new(NULL, &err);
    r->health = crpc_health_new();
    r->reflection = crpc_reflection_new();
    if (crpc_health_mount(r->health, r->standard, &err) < 0 ||
        crpc_reflection_add(r->reflection, &crpc_test_v1_echo_service, &err) < 0 ||
        crpc_reflection_mount(r->reflection, r->standard, &err) < 0 ||
        crpc_server_listen(r->standard, "127.0.0.1:0", &port, &err) < 0 || crpc_server_start(r->standard, &err) < 0)
        fail_msg("%s", err.msg);
    snprintf(target, sizeof target, "127.0.0.1:%d", port);
    r->channel = crpc_channel_new(target, NULL, &err);
    assert_non_null(r->channel);
}

static void rig_stop(struct rig *r)
{
    crpc_channel_free(r->channel);
    crpc_server_drain(r->standard, 10000);
    crpc_server_free(r->standard);
    crpc_reflection_free(r->reflection);
    crpc_health_free(r->health);
    echo_stop(&r->echo, 10000);
}

/* Waits for a connection: one that the server refuses for want of memory is made again. */
static const struct crpc_call_options patient = {.timeout_ms = 20000, .wait_for_ready = true};

/* ---- calls of each kind, with messages too large for what a call object has room for ---- */

static int say(struct rig *r, struct err *err)
{
    uint8_t large[20000] = {0};
    Crpc__Test__V1__Tree leaf = CRPC__TEST__V1__TREE__INIT, *leaves[] = {&leaf, &leaf};
    Crpc__Test__V1__SayRequest q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    Crpc__Test__V1__SayResponse *response = NULL;
    q.data = (ProtobufCBinaryData){sizeof large, large};
    q.trees = leaves;
    q.n_trees = 2;
    q.metadata_key = (char[]){"user-agent"};
    int rc = crpc_test_v1_echo_service_say(r->echo.channel, &patient, &q, &response, err);
    if (rc == 0)
        crpc_message_free(&response->base);
    return rc;
}

static int count(struct rig *r, struct err *err, bool frames, bool bytes)
{
    Crpc__Test__V1__CountRequest q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    q.upto = 3;
    q.size = 5000;
    q.frames = frames;
    q.bytes = bytes;
    struct crpc_stream *s = crpc_test_v1_echo_service_count_open(r->echo.channel, &patient, &q, err);
    Crpc__Test__V1__CountResponse *response;
    int rc, n = 0;
    while ((rc = crpc_test_v1_echo_service_count_read(s, &response, err)) == 1) {
        assert_int_equal(response->number, frames ? 1 : ++n); /* nothing is skipped */
        crpc_message_free(&response->base);
    }
    crpc_stream_free(s);
    return rc;
}

static int count_messages(struct rig *r, struct err *err)
{
    return count(r, err, false, false);
}

static int count_frames(struct rig *r, struct err *err)
{
    return count(r, err, true, false);
}

static int count_bytes(struct rig *r, struct err *err)
{
    return count(r, err, false, true);
}

static char *long_text(void)
{
    static char text[5000];
    memset(text, 't', sizeof text - 1);
    return text;
}

static int sum(struct rig *r, struct err *err)
{
    Crpc__Test__V1__SumRequest q = CRPC__TEST__V1__SUM_REQUEST__INIT;
    Crpc__Test__V1__SumResponse *response = NULL;
    struct crpc_stream *s = crpc_test_v1_echo_service_sum_open(r->echo.channel, &patient, err);
    q.note = long_text();
    for (q.number = 1; q.number <= 3; q.number++)
        crpc_test_v1_echo_service_sum_write(s, &q, NULL); /* reading tells how it ended */
    crpc_stream_close_write(s, NULL);
    int rc = crpc_test_v1_echo_service_sum_read(s, &response, err);
    if (rc == 1) {
        assert_int_equal(response->sum, 6);
        crpc_message_free(&response->base);
    }
    crpc_stream_free(s);
    return rc == 1 ? 0 : rc;
}

static int chat(struct rig *r, struct err *err)
{
    Crpc__Test__V1__ChatRequest q = CRPC__TEST__V1__CHAT_REQUEST__INIT;
    Crpc__Test__V1__ChatResponse *response;
    struct crpc_stream *s = crpc_test_v1_echo_service_chat_open(r->echo.channel, &patient, err);
    q.text = long_text();
    q.answers = 2;
    q.size = 3000;
    crpc_test_v1_echo_service_chat_write(s, &q, NULL);
    crpc_test_v1_echo_service_chat_write(s, &q, NULL);
    crpc_stream_close_write(s, NULL);
    int rc, n = 0;
    while ((rc = crpc_test_v1_echo_service_chat_read(s, &response, err)) == 1) {
        crpc_message_free(&response->base);
        n++;
    }
    crpc_stream_free(s);
    if (rc == 0)
        assert_int_equal(n, 4);
    return rc;
}

static int unknown(struct rig *r, struct err *err)
{
    Crpc__Test__V1__SayRequest q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    ProtobufCMessage *response = NULL;
    struct crpc_method m = crpc_test_v1_echo_service.methods[CRPC_TEST_V1_ECHO_SERVICE_SAY];
    m.path = "/crpc.test.v1.EchoService/ANameTooLongToBeHeldInsideASlice";
    int rc = crpc_unary(r->echo.channel, &m, &patient, &q.base, &response, err);
    return rc == -ERR_UNIMPLEMENTED ? 0 : rc;
}

static int health_check(struct rig *r, struct err *err)
{
    Grpc__Health__V1__HealthCheckRequest q = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    Grpc__Health__V1__HealthCheckResponse *response = NULL;
    int rc = grpc_health_v1_health_check(r->channel, &patient, &q, &response, err);
    if (rc == 0)
        crpc_message_free(&response->base);
    return rc;
}

static int health_watch(struct rig *r, struct err *err)
{
    Grpc__Health__V1__HealthCheckRequest q = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    Grpc__Health__V1__HealthCheckResponse *response = NULL;
    q.service = long_text(); /* of a service that nobody knows: SERVICE_UNKNOWN, and the watch goes on */
    struct crpc_stream *s = grpc_health_v1_health_watch_open(r->channel, &patient, &q, err);
    int rc = grpc_health_v1_health_watch_read(s, &response, err);
    if (rc == 1)
        crpc_message_free(&response->base);
    crpc_stream_free(s);
    return rc == 1 ? 0 : rc;
}

static int reflection(struct rig *r, struct err *err)
{
    Grpc__Reflection__V1__ServerReflectionRequest q = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    Grpc__Reflection__V1__ServerReflectionResponse *response = NULL;
    struct crpc_stream *s = grpc_reflection_v1_server_reflection_server_reflection_info_open(r->channel, &patient, err);
    q.host = long_text();
    q.message_request_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME;
    q.file_by_filename = (char[]){"echo.proto"};
    int rc = 1;
    for (int i = 0; i < 2 && rc == 1; i++) {
        grpc_reflection_v1_server_reflection_server_reflection_info_write(s, &q, NULL);
        rc = grpc_reflection_v1_server_reflection_server_reflection_info_read(s, &response, err);
        if (rc == 1)
            crpc_message_free(&response->base);
    }
    crpc_stream_free(s);
    return rc == 1 ? 0 : rc;
}

/* ---- for all n ---- */

static void for_all_n(int (*run)(struct rig *r, struct err *err))
{
    mem_set_gate(gate);
    for (int n = 0; n < NTH_MAX; n++) {
        struct rig r;
        struct err err = ERR_NONE;
        rig_start(&r); /* anew, so that no object is at rest for reuse */
        atomic_store(&left, n);
        atomic_store(&armed, true);
        int rc = run(&r, &err);
        bool failed_one = atomic_load(&left) < 0;
        atomic_store(&armed, false);
        uint64_t refused = crpc_server_connections_refused(r.echo.server) + crpc_server_connections_refused(r.standard);
        if (failed_one && !refused && (rc != -ERR_RESOURCE_EXHAUSTED || !strstr(err.msg, "out of memory")))
            fail_msg("allocation %d: %d %s", n, rc, err.msg);
        if (refused) /* the one that failed was a connection's */
            assert_int_equal(rc, 0);
        assert_int_equal(run(&r, &err), 0);
        rig_stop(&r);
        if (!failed_one) {
            mem_set_gate(NULL);
            assert_int_equal(rc, 0);
            assert_true(n > 0); /* else there was nothing to see */
            return;
        }
    }
    fail_msg("more than %d allocations", NTH_MAX);
}

#define TEST(name)                                                                                                     \
    static void test_##name(void **state)                                                                              \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        for_all_n(name);                                                                                               \
    }
TEST(say)
TEST(count_messages)
TEST(count_frames)
TEST(count_bytes)
TEST(sum)
TEST(chat)
TEST(unknown)
TEST(health_check)
TEST(health_watch)
TEST(reflection)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_say),          cmocka_unit_test(test_count_messages),
        cmocka_unit_test(test_count_frames), cmocka_unit_test(test_count_bytes),
        cmocka_unit_test(test_sum),          cmocka_unit_test(test_chat),
        cmocka_unit_test(test_unknown),      cmocka_unit_test(test_health_check),
        cmocka_unit_test(test_health_watch), cmocka_unit_test(test_reflection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
