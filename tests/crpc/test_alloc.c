/* Fails the n-th allocation of calls, for all n, on either side: an error, never a crash or a hang. gRPC core's own
 * allocations are not among them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "certs.h"
#include "crpc/call_credentials.h"
#include "crpc/health.h"
#include "crpc/retry.h"
#include "echo_server.h"

enum { NTH_MAX = 200 };

static atomic_int left;

/* Fails one allocation. */
static bool gate(size_t size)
{
    (void)size;
    return atomic_fetch_sub(&left, 1) != 0;
}

static void fail_nth(int n)
{
    atomic_store(&left, n);
    mem_set_gate(gate);
}

/* True when the run had no allocation left to fail. */
static bool survived_all(void)
{
    mem_set_gate(NULL);
    return atomic_load(&left) >= 0;
}

/* Waits for a connection: one that the server refused for want of memory is made again. */
static const struct crpc_call_options patient = {.timeout_ms = 20000, .wait_for_ready = true};

static int unary(struct echo *e)
{
    char large[20000];
    Crpc__Test__V1__SayRequest q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    Crpc__Test__V1__SayResponse *r = NULL;
    memset(large, 'x', sizeof large);
    q.data.data = (uint8_t *)large;
    q.data.len = sizeof large;
    int rc = crpc_test_v1_echo_service_say(e->channel, &patient, &q, &r, NULL);
    if (rc == 0) {
        assert_int_equal(r->data.len, sizeof large);
        crpc_message_free(&r->base);
    } else {
        assert_null(r);
    }
    return rc;
}

static int stream(struct echo *e)
{
    struct err err = ERR_NONE;
    char note[5000];
    memset(note, 'n', sizeof note - 1);
    note[sizeof note - 1] = '\0';
    struct crpc_stream *s = crpc_test_v1_echo_service_sum_open(e->channel, &patient, &err);
    if (!s)
        return -(int)err.code;
    Crpc__Test__V1__SumRequest q = CRPC__TEST__V1__SUM_REQUEST__INIT;
    Crpc__Test__V1__SumResponse *r = NULL;
    q.note = note;
    for (int i = 0; i < 3; i++)
        crpc_test_v1_echo_service_sum_write(s, &q, &err);
    crpc_stream_close_write(s, &err);
    int rc = crpc_test_v1_echo_service_sum_read(s, &r, &err);
    if (rc == 1)
        crpc_message_free(&r->base);
    crpc_stream_free(s);
    return rc == 1 ? 0 : rc;
}

/* ---- the same without blocking, with all that a call may be given ---- */

static void keep_status(void *user, const ProtobufCMessage *response, const struct err *status)
{
    assert_true(!response == (status->code != ERR_OK));
    *(struct err *)user = *status;
}

static const struct err none_yet = {.code = ERR_UNKNOWN, .reason = "NONE_YET"};

static int loop_to_end(struct crpc_loop *loop, const struct err *status)
{
    while (strcmp(status->reason, "NONE_YET") == 0)
        if (crpc_loop_run(loop, 20000) == 0)
            fail_msg("nothing happened any more");
    assert_int_equal(crpc_loop_run(loop, 0), 0);
    return -(int)status->code;
}

static int async_unary(struct echo *e)
{
    char large[20000];
    Crpc__Test__V1__SayRequest q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    struct err status = none_yet;
    struct crpc_loop *loop = crpc_loop_new();
    struct crpc_cancel *cancel = crpc_cancel_new();
    struct crpc_bearer *bearer = crpc_bearer_new("token", true, NULL);
    struct crpc_response response = {.memory = NULL};
    struct crpc_call_options o = {.timeout_ms = 20000, .wait_for_ready = true, .cancel = cancel, .response = &response};
    int rc = -ERR_RESOURCE_EXHAUSTED;
    memset(large, 'x', sizeof large);
    q.data.data = (uint8_t *)large;
    q.data.len = sizeof large;
    if (loop && cancel && bearer) {
        o.credentials = crpc_bearer_credentials(bearer);
        rc = crpc_test_v1_echo_service_say_start(e->channel, loop, &o, &q, keep_status, &status, NULL);
        if (rc == 0)
            rc = loop_to_end(loop, &status);
        assert_true(rc != 0 || (response.initial.n > 0 && response.trailing.n > 0));
    }
    crpc_response_done(&response);
    crpc_bearer_free(bearer);
    crpc_cancel_free(cancel);
    crpc_loop_free(loop);
    return rc;
}

static void initial(struct crpc_async *s, const struct crpc_metadata_list *list)
{
    (void)s, (void)list;
}

static void pushed_on(struct crpc_async *s)
{
    crpc_async_close_write(s);
}

static void end(struct crpc_async *s, const struct err *status, const struct crpc_metadata_list *trailing)
{
    assert_true(status->code != ERR_OK || trailing->n > 0);
    *(struct err *)crpc_async_user(s) = *status;
}

/* A server stream with messages that need memory of their own, then one that is written. */
static int async_stream(struct echo *e)
{
    static const struct crpc_async_events events = {initial, NULL, pushed_on, end};
    Crpc__Test__V1__CountRequest q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    Crpc__Test__V1__ChatRequest chat = CRPC__TEST__V1__CHAT_REQUEST__INIT;
    struct crpc_loop *loop = crpc_loop_new();
    struct err status = none_yet;
    int rc = -ERR_RESOURCE_EXHAUSTED;
    q.upto = 3;
    q.size = 5000;
    chat.answers = 1;
    chat.size = 5000;
    if (loop && crpc_test_v1_echo_service_count_start(e->channel, loop, &patient, &q, &events, &status, NULL)) {
        rc = loop_to_end(loop, &status);
        status = none_yet;
        struct crpc_async *s = crpc_test_v1_echo_service_chat_start(e->channel, loop, &patient, &events, &status, NULL);
        if (s) {
            assert_int_equal(crpc_test_v1_echo_service_chat_push(s, &chat, NULL), 0);
            int second = loop_to_end(loop, &status);
            rc = rc ? rc : second;
        } else {
            rc = -ERR_RESOURCE_EXHAUSTED;
        }
    }
    crpc_loop_free(loop);
    return rc;
}

/* Metadata of a blocking stream, read as it comes. */
static int stream_metadata(struct echo *e)
{
    Crpc__Test__V1__CountRequest q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    Crpc__Test__V1__CountResponse *r = NULL;
    struct crpc_metadata_list list;
    struct err err = ERR_NONE;
    struct crpc_stream *s = crpc_test_v1_echo_service_count_open(e->channel, &patient, &q, &err);
    if (!s)
        return -(int)err.code;
    int first = crpc_stream_initial(s, &list, &err);
    int rc = crpc_test_v1_echo_service_count_read(s, &r, &err);
    int last = crpc_stream_trailing(s, &list, &err);
    crpc_stream_free(s);
    return rc ? rc : first ? first : last;
}

/* More calls than are awaited at a time, so that what the first left behind is written over. */
static int unknown(struct echo *e)
{
    enum { CALLS = 20 };
    Crpc__Test__V1__SayRequest q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    ProtobufCMessage *r = NULL;
    struct crpc_method m = crpc_test_v1_echo_service.methods[CRPC_TEST_V1_ECHO_SERVICE_SAY];
    m.path = "/crpc.test.v1.EchoService/ANameTooLongToBeHeldInsideASlice";
    int failed = 0;
    for (int i = 0; i < CALLS; i++) {
        int rc = crpc_unary(e->channel, &m, &patient, &q.base, &r, NULL);
        if (rc != -ERR_UNIMPLEMENTED)
            failed = rc;
    }
    return failed;
}

static void for_all_n(int (*run)(struct echo *e))
{
    for (int n = 0; n < NTH_MAX; n++) {
        struct echo e;
        echo_start(&e, NULL, NULL); /* anew, so that nothing is at rest for reuse */
        fail_nth(n);
        int rc = run(&e);
        bool all = survived_all();
        if (rc != 0 && rc != -ERR_RESOURCE_EXHAUSTED)
            fail_msg("allocation %d: %d", n, rc);
        assert_int_equal(run(&e), 0); /* the next one does not suffer */
        echo_stop(&e, 10000);
        if (all) {
            assert_int_equal(rc, 0);
            assert_true(n > 0);
            return;
        }
    }
    fail_msg("more than %d allocations", NTH_MAX);
}

static void test_unary(void **state)
{
    (void)state;
    for_all_n(unary);
}

static void test_stream(void **state)
{
    (void)state;
    for_all_n(stream);
}

static void test_async_unary(void **state)
{
    (void)state;
    for_all_n(async_unary);
}

static void test_async_stream(void **state)
{
    (void)state;
    for_all_n(async_stream);
}

static void test_stream_metadata(void **state)
{
    (void)state;
    for_all_n(stream_metadata);
}

static void test_unknown(void **state)
{
    (void)state;
    for_all_n(unknown);
}

/* Making things: each fails whole, with an error. */
static void test_make(void **state)
{
    (void)state;
    bool all = false;
    for (int n = 0; n < NTH_MAX && !all; n++) {
        struct err err = ERR_NONE;
        struct crpc_metadata md = {"x-a", SPAN_LIT("b")};
        fail_nth(n);
        struct crpc_server *server = crpc_server_new(NULL, &err);
        struct crpc_health *health = server ? crpc_health_new() : NULL;
        bool ok = health && crpc_health_mount(health, server, &err) == 0 &&
                  crpc_server_listen(server, "127.0.0.1:0", NULL, &err) == 0 && crpc_server_start(server, &err) == 0;
        struct crpc_channel *channel =
            crpc_channel_new("127.0.0.1:1",
                             &(struct crpc_channel_options){
                                 .metadata = &md, .n_metadata = 1, .retries = &(struct crpc_retry){0}, .n_retries = 1},
                             &err);
        struct crpc_loop *loop = crpc_loop_new();
        struct crpc_cancel *cancel = crpc_cancel_new();
        struct crpc_bearer *bearer = crpc_bearer_new("token", false, &err);
        all = survived_all();
        assert_int_equal(ok && channel && loop && cancel && bearer, all);
        crpc_bearer_free(bearer);
        crpc_cancel_free(cancel);
        crpc_loop_free(loop);
        crpc_channel_free(channel);
        crpc_server_free(server);
        crpc_health_free(health);
    }
    assert_true(all);
}

static void test_make_tls(void **state)
{
    (void)state;
    struct cert_dir dir;
    cert_dir_make(&dir);
    struct crpc_tls_server_options so = {dir.server, dir.server_key, dir.ca, CRPC_CLIENT_CERTIFICATE_REQUIRED};
    struct crpc_tls_client_options co = {dir.ca, dir.client, dir.client_key, "localhost", true};
    bool all = false;
    for (int n = 0; n < NTH_MAX && !all; n++) {
        struct err err = ERR_NONE;
        struct crpc_server *server = crpc_server_new(NULL, &err);
        assert_non_null(server);
        fail_nth(n);
        struct crpc_server_credentials *sc = crpc_server_credentials_tls(&so, &err);
        struct crpc_channel_credentials *cc = sc ? crpc_channel_credentials_tls(&co, &err) : NULL;
        bool ok = cc && crpc_server_listen_tls(server, "127.0.0.1:0", sc, NULL, &err) == 0 &&
                  crpc_server_credentials_reload(sc, &err) == 0;
        all = survived_all();
        assert_int_equal(ok, all);
        assert_int_equal(err.code, ok ? ERR_OK : ERR_RESOURCE_EXHAUSTED);
        crpc_channel_credentials_free(cc);
        crpc_server_free(server);
        crpc_server_credentials_free(sc);
    }
    assert_true(all);
    cert_dir_remove(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unary),        cmocka_unit_test(test_stream),          cmocka_unit_test(test_async_unary),
        cmocka_unit_test(test_async_stream), cmocka_unit_test(test_stream_metadata), cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_make),         cmocka_unit_test(test_make_tls)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
