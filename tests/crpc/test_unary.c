/* Unary calls, blocking and on a loop: answers, errors and their details, metadata, deadlines, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "echo_server.h"

typedef Crpc__Test__V1__SayRequest say_request;
typedef Crpc__Test__V1__SayResponse say_response;

static int say(struct echo *e, const struct crpc_call_options *o, const say_request *q, say_response **r,
               struct err *err)
{
    return crpc_test_v1_echo_service_say(e->channel, o, q, r, err);
}

static void test_say(void **state)
{
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    say_response *r = NULL;
    struct err err = ERR_NONE;
    q.text = "caf\xc3\xa9";
    q.data.data = (uint8_t *)"\0\1\2";
    q.data.len = 3;
    assert_int_equal(say(*state, NULL, &q, &r, &err), 0);
    assert_string_equal(r->text, "caf\xc3\xa9");
    assert_int_equal(r->data.len, 3);
    assert_memory_equal(r->data.data, "\0\1\2", 3);
    assert_true(r->time_left_ms == INT64_MAX);
    crpc_message_free(&r->base);
}

static void test_empty_message(void **state)
{
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    say_response *r = NULL;
    assert_int_equal(say(*state, NULL, &q, &r, NULL), 0);
    assert_string_equal(r->text, "");
    crpc_message_free(&r->base);
}

static void test_large_message(void **state)
{
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    say_response *r = NULL;
    struct err err = ERR_NONE;
    q.data.len = 3 << 20;
    q.data.data = malloc(q.data.len);
    for (size_t i = 0; i < q.data.len; i++)
        q.data.data[i] = (uint8_t)(i * 7);
    assert_int_equal(say(*state, NULL, &q, &r, &err), 0);
    assert_int_equal(r->data.len, q.data.len);
    assert_memory_equal(r->data.data, q.data.data, q.data.len);
    crpc_message_free(&r->base);
    free(q.data.data);
}

static void test_over_limit(void **state)
{
    struct echo *e = *state;
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    say_response *r = NULL;
    struct err err = ERR_NONE;
    q.data.len = 5 << 20;
    q.data.data = calloc(1, q.data.len);
    assert_int_equal(say(e, NULL, &q, &r, &err), -ERR_RESOURCE_EXHAUSTED);
    free(q.data.data);
    /* And the other way: a response larger than the client takes. */
    struct crpc_channel *small =
        crpc_channel_new(e->target, &(struct crpc_channel_options){.max_message_bytes = 1000}, &err);
    uint8_t data[2000] = {0};
    q.data.data = data;
    q.data.len = sizeof data;
    assert_int_equal(crpc_test_v1_echo_service_say(small, NULL, &q, &r, &err), -ERR_RESOURCE_EXHAUSTED);
    crpc_channel_free(small);
}

static void test_details(void **state)
{
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    say_response *r = NULL;
    struct err err = ERR_NONE;
    q.text = "50 % caf\xc3\xa9";
    q.fail_code = ERR_FAILED_PRECONDITION;
    q.fail_reason = "ATTEMPT_FENCED";
    q.fail_field = "job.attempt";
    q.fail_retry_ms = 61500;
    assert_int_equal(say(*state, NULL, &q, &r, &err), -ERR_FAILED_PRECONDITION);
    assert_int_equal(err.code, ERR_FAILED_PRECONDITION);
    assert_string_equal(err.msg, "failed as asked: 50 % caf\xc3\xa9");
    assert_string_equal(err.reason, "ATTEMPT_FENCED");
    assert_string_equal(err.field, "job.attempt");
    assert_int_equal(err.retry_after_ms, 61500);
    assert_null(r);
    /* Without a reason it is the code's name; what was not said stays empty. */
    q = (say_request)CRPC__TEST__V1__SAY_REQUEST__INIT;
    for (int code = 1; code <= 16; code++) {
        q.fail_code = code;
        assert_int_equal(say(*state, NULL, &q, &r, &err), -code);
        assert_string_equal(err.reason, err_code_name(code));
        assert_string_equal(err.field, "");
        assert_int_equal(err.retry_after_ms, 0);
    }
}

static void test_metadata(void **state)
{
    struct echo *e = *state;
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    say_response *r = NULL;
    struct err err = ERR_NONE;
    struct crpc_metadata md[] = {{"x-who", SPAN_LIT("me")}, {"x-more", SPAN_LIT("too")}};
    struct crpc_call_options o = {.metadata = md, .n_metadata = 2};
    q.metadata_key = "x-who";
    assert_int_equal(say(e, &o, &q, &r, &err), 0);
    assert_string_equal(r->metadata, "me");
    crpc_message_free(&r->base);
    q.metadata_key = "x-none";
    assert_int_equal(say(e, &o, &q, &r, &err), 0);
    assert_string_equal(r->metadata, "");
    crpc_message_free(&r->base);
    /* A channel's own goes with every call. */
    struct crpc_channel *named =
        crpc_channel_new(e->target,
                         &(struct crpc_channel_options){
                             .metadata = &(struct crpc_metadata){"x-app", SPAN_LIT("worker")}, .n_metadata = 1},
                         &err);
    q.metadata_key = "x-app";
    assert_int_equal(crpc_test_v1_echo_service_say(named, &o, &q, &r, &err), 0);
    assert_string_equal(r->metadata, "worker");
    crpc_message_free(&r->base);
    crpc_channel_free(named);
}

static void test_illegal_metadata(void **state)
{
    struct echo *e = *state;
    static const struct crpc_metadata bad[] = {
        {"X-Upper", SPAN_LIT("a")},        {"x y", SPAN_LIT("a")},
        {"grpc-timeout", SPAN_LIT("1S")},  {":path", SPAN_LIT("a")},
        {"connection", SPAN_LIT("close")}, {"content-type", SPAN_LIT("text/plain")},
        {"x-a", SPAN_LIT("line\nbreak")}};
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    say_response *r = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err = ERR_NONE;
        struct crpc_call_options o = {.metadata = &bad[i], .n_metadata = 1};
        assert_int_equal(say(e, &o, &q, &r, &err), -ERR_INVALID_ARGUMENT);
        struct crpc_channel_options co = {.metadata = &bad[i], .n_metadata = 1};
        assert_null(crpc_channel_new(e->target, &co, &err));
        assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    }
}

static void test_deadline(void **state)
{
    struct echo *e = *state;
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    say_response *r = NULL;
    struct err err = ERR_NONE;
    struct crpc_call_options o = {.timeout_ms = 60000};
    assert_int_equal(say(e, &o, &q, &r, &err), 0);
    assert_true(r->time_left_ms > 30000 && r->time_left_ms <= 60100);
    crpc_message_free(&r->base);

    Crpc__Test__V1__DeferRequest d = CRPC__TEST__V1__DEFER_REQUEST__INIT;
    Crpc__Test__V1__DeferResponse *dr;
    d.wait = CRPC__TEST__V1__DEFER_REQUEST__WAIT__WAIT_SIGNAL;
    o.timeout_ms = 100;
    assert_int_equal(crpc_test_v1_echo_service_defer(e->channel, &o, &d, &dr, &err), -ERR_DEADLINE_EXCEEDED);
    echo_wait_done(e, 1);
    assert_int_equal(e->n_cancelled, 1);
}

static void test_unknown_method(void **state)
{
    struct echo *e = *state;
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    ProtobufCMessage *r = NULL;
    struct err err = ERR_NONE;
    struct crpc_method unknown = crpc_test_v1_echo_service.methods[CRPC_TEST_V1_ECHO_SERVICE_SAY];
    unknown.path = "/crpc.test.v1.EchoService/Sing";
    /* More than are kept outstanding, without a deadline: none may hang. */
    for (int i = 0; i < 50; i++) {
        assert_int_equal(crpc_unary(e->channel, &unknown, NULL, &q.base, &r, &err), -ERR_UNIMPLEMENTED);
        assert_string_equal(err.reason, "UNKNOWN_METHOD");
    }
    unknown.path = "/crpc.test.v1.EchoService/S\xffng"; /* not text that could go into a message */
    assert_int_equal(crpc_unary(e->channel, &unknown, NULL, &q.base, &r, &err), -ERR_UNIMPLEMENTED);
    assert_string_equal(err.msg, "unknown method with a name that is no UTF-8");
    unknown.kind = CRPC_BIDI_STREAM;
    struct crpc_stream *s = crpc_stream_open(e->channel, &unknown, NULL, &err);
    assert_int_equal(crpc_stream_read(s, &r, &err), -ERR_UNIMPLEMENTED);
    crpc_stream_free(s);
}

static void test_no_answer(void **state)
{
    struct echo *e = *state;
    Crpc__Test__V1__DeferRequest d = CRPC__TEST__V1__DEFER_REQUEST__INIT;
    Crpc__Test__V1__DeferResponse *r = NULL;
    struct err err = ERR_NONE;
    assert_int_equal(crpc_test_v1_echo_service_defer(e->channel, NULL, &d, &r, &err), -ERR_INTERNAL);
    assert_string_equal(err.reason, "NO_STATUS");
}

/* A stream without messages, called as if it had to have one. */
static void test_no_response_message(void **state)
{
    struct echo *e = *state;
    Crpc__Test__V1__CountRequest q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    ProtobufCMessage *r = NULL;
    struct err err = ERR_NONE;
    const struct crpc_method *count = &crpc_test_v1_echo_service.methods[CRPC_TEST_V1_ECHO_SERVICE_COUNT];
    assert_int_equal(crpc_unary(e->channel, count, NULL, &q.base, &r, &err), -ERR_UNIMPLEMENTED);
    assert_string_equal(err.reason, "NO_RESPONSE_MESSAGE");
    assert_null(r);
}

static void test_server_away(void **state)
{
    (void)state;
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    say_response *r = NULL;
    struct err err = ERR_NONE;
    struct crpc_channel *away = crpc_channel_new("unix:/nonexistent/socket", NULL, &err);
    assert_int_equal(crpc_test_v1_echo_service_say(away, NULL, &q, &r, &err), -ERR_UNAVAILABLE);
    struct crpc_call_options o = {.timeout_ms = 50, .wait_for_ready = true};
    assert_int_equal(crpc_test_v1_echo_service_say(away, &o, &q, &r, &err), -ERR_DEADLINE_EXCEEDED);
    crpc_channel_free(away);
}

static void test_bad_targets(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "host", "host:", ":1", "host:0", "host:65536", "host:99999999999", "host:1x", "unix:", "http://host:1/"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err = ERR_NONE;
        assert_null(crpc_channel_new(bad[i], NULL, &err));
        assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
        assert_string_equal(err.field, "target");
    }
}

/* ---- wait_for_ready ---- */

static void *say_when_ready(void *arg)
{
    struct crpc_channel *channel = arg;
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    say_response *r = NULL;
    struct err err = ERR_NONE;
    struct crpc_call_options o = {.timeout_ms = 30000, .wait_for_ready = true};
    int rc = crpc_test_v1_echo_service_say(channel, &o, &q, &r, &err);
    if (rc == 0)
        crpc_message_free(&r->base);
    return (void *)(intptr_t)rc;
}

static void test_wait_for_ready(void **state)
{
    (void)state;
    char address[64];
    struct err err = ERR_NONE;
    struct echo e;
    pthread_t thread;
    void *rc;
    snprintf(address, sizeof address, "unix:/tmp/crpc-test-%d-later", (int)getpid());
    struct crpc_channel *channel =
        crpc_channel_new(address, &(struct crpc_channel_options){.max_reconnect_ms = 100}, &err);
    pthread_create(&thread, NULL, say_when_ready, channel);
    echo_start(&e, NULL, address);
    pthread_join(thread, &rc);
    assert_null(rc);
    crpc_channel_free(channel);
    echo_stop(&e, 10000);
}

/* ---- threads, and a loop ---- */

static void *say_often(void *arg)
{
    intptr_t wrong = 0;
    for (int i = 0; i < 200; i++) {
        say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
        say_response *r = NULL;
        char text[32];
        snprintf(text, sizeof text, "%d of %p", i, (void *)&q);
        q.text = text;
        if (say(arg, NULL, &q, &r, NULL) != 0) {
            wrong++;
            continue;
        }
        wrong += strcmp(r->text, text) != 0;
        crpc_message_free(&r->base);
    }
    return (void *)wrong;
}

static void test_threads(void **state)
{
    (void)state;
    struct echo e;
    echo_start(&e, &(struct crpc_server_options){.n_workers = 3}, NULL);
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, say_often, &e);
    for (int i = 0; i < 8; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    echo_stop(&e, 10000);
}

struct looped {
    struct echo *e;
    struct crpc_loop *loop;
    int started, ok, failed;
};

static void looped_start(struct looped *l);

static void looped_done(void *user, const ProtobufCMessage *response, const struct err *status)
{
    struct looped *l = user;
    if (status->code == ERR_OK && response)
        l->ok++;
    else if (status->code == ERR_ABORTED && !response && strcmp(status->reason, "ABORTED") == 0)
        l->failed++;
    if (l->started < 2000)
        looped_start(l);
}

static void looped_start(struct looped *l)
{
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    struct err err = ERR_NONE;
    q.fail_code = l->started++ % 10 == 0 ? ERR_ABORTED : 0;
    assert_int_equal(crpc_test_v1_echo_service_say_start(l->e->channel, l->loop, NULL, &q, looped_done, l, &err), 0);
}

static void test_loop(void **state)
{
    struct looped l = {.e = *state, .loop = crpc_loop_new()};
    int ran = 0;
    assert_int_equal(crpc_loop_run(l.loop, -1), 0);
    for (int i = 0; i < 100; i++)
        looped_start(&l);
    for (int n; (n = crpc_loop_run(l.loop, 20000)) > 0;)
        ran += n;
    assert_int_equal(ran, 2000);
    assert_int_equal(l.ok, 1800);
    assert_int_equal(l.failed, 200);
    /* A call that is refused before it starts never calls back. */
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    struct crpc_call_options o = {.metadata = &(struct crpc_metadata){"BAD", SPAN_LIT("")}, .n_metadata = 1};
    assert_int_equal(crpc_test_v1_echo_service_say_start(l.e->channel, l.loop, &o, &q, looped_done, &l, NULL),
                     -ERR_INVALID_ARGUMENT);
    assert_int_equal(crpc_loop_run(l.loop, -1), 0);
    crpc_loop_free(l.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, echo_setup, echo_teardown)
        T(test_say),
        T(test_empty_message),
        T(test_large_message),
        T(test_over_limit),
        T(test_details),
        T(test_metadata),
        T(test_deadline),
        T(test_illegal_metadata),
        T(test_unknown_method),
        T(test_no_answer),
        T(test_no_response_message),
        T(test_loop),
#undef T
        cmocka_unit_test(test_server_away),
        cmocka_unit_test(test_bad_targets),
        cmocka_unit_test(test_wait_for_ready),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
