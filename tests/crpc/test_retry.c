/* Retries by service config: how often, how soon, for which methods and statuses; and options that are refused. The
 * server counts what really arrives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "crpc/retry.h"
#include "echo_server.h"

typedef Crpc__Test__V1__SayRequest say_request;
typedef Crpc__Test__V1__SayResponse say_response;

#define SERVICE "crpc.test.v1.EchoService"

static struct crpc_channel *channel_with(struct echo *e, const struct crpc_retry *retries, size_t n)
{
    struct err err = ERR_NONE;
    struct crpc_channel_options o = {.retries = retries, .n_retries = n};
    struct crpc_channel *channel = crpc_channel_new(e->target, &o, &err);
    if (!channel)
        fail_msg("%s", err.msg);
    return channel;
}

/* One call; how many attempts the server saw. */
static unsigned attempts(struct echo *e, struct crpc_channel *channel, say_request *q, int *ret_rc)
{
    say_response *r = NULL;
    struct err err = ERR_NONE;
    unsigned before = echo_said(e);
    *ret_rc = crpc_test_v1_echo_service_say(channel, NULL, q, &r, &err);
    if (r)
        crpc_message_free(&r->base);
    return echo_said(e) - before;
}

static void test_retries(void **state)
{
    struct echo *e = *state;
    static const struct crpc_retry retry = {.max_attempts = 4, .initial_backoff_ms = 10, .max_backoff_ms = 20};
    struct crpc_channel *channel = channel_with(e, &retry, 1);
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    int rc;
    assert_int_equal(attempts(e, channel, &q, &rc), 1); /* what works is not repeated */
    assert_int_equal(rc, 0);
    echo_refuse(e, 2);
    assert_int_equal(attempts(e, channel, &q, &rc), 3);
    assert_int_equal(rc, 0);
    echo_refuse(e, 100);
    assert_int_equal(attempts(e, channel, &q, &rc), 4);
    assert_int_equal(rc, -ERR_UNAVAILABLE);
    echo_refuse(e, 0);
    q.fail_code = ERR_ABORTED; /* not among the codes */
    assert_int_equal(attempts(e, channel, &q, &rc), 1);
    assert_int_equal(rc, -ERR_ABORTED);
    crpc_channel_free(channel);
    /* Without a policy nothing is repeated. */
    q.fail_code = 0;
    echo_refuse(e, 1);
    assert_int_equal(attempts(e, e->channel, &q, &rc), 1);
    assert_int_equal(rc, -ERR_UNAVAILABLE);
}

static void test_attempts_are_numbered(void **state)
{
    struct echo *e = *state;
    static const struct crpc_retry retry = {.initial_backoff_ms = 10};
    struct crpc_channel *channel = channel_with(e, &retry, 1);
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    say_response *r = NULL;
    q.metadata_key = "grpc-previous-rpc-attempts";
    echo_refuse(e, 2); /* three attempts by default */
    assert_int_equal(crpc_test_v1_echo_service_say(channel, NULL, &q, &r, NULL), 0);
    assert_string_equal(r->metadata, "2");
    assert_int_equal(echo_said(e), 3);
    crpc_message_free(&r->base);
    crpc_channel_free(channel);
}

static void test_backoff(void **state)
{
    struct echo *e = *state;
    static const struct crpc_retry retry = {
        .max_attempts = 4, .initial_backoff_ms = 100, .max_backoff_ms = 300, .multiplier = 2.5};
    static const int64_t least[] = {80, 200, 240}; /* 100, 250, 300, less a fifth */
    struct crpc_channel *channel = channel_with(e, &retry, 1);
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    int rc;
    echo_refuse(e, 3);
    assert_int_equal(attempts(e, channel, &q, &rc), 4);
    assert_int_equal(rc, 0);
    for (int i = 0; i < 3; i++) {
        int64_t pause = e->said_at_ms[i + 1] - e->said_at_ms[i];
        if (pause < least[i] - 1 || pause > 2000)
            fail_msg("pause %d: %lld ms", i, (long long)pause);
    }
    crpc_channel_free(channel);
}

/* The deadline is of the whole call, pauses and all. */
static void test_deadline_ends_retries(void **state)
{
    struct echo *e = *state;
    static const struct crpc_retry retry = {.max_attempts = 5, .initial_backoff_ms = 60000, .max_backoff_ms = 60000};
    struct crpc_channel *channel = channel_with(e, &retry, 1);
    struct crpc_call_options o = {.timeout_ms = 200};
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    say_response *r = NULL;
    struct err err = ERR_NONE;
    echo_refuse(e, 100);
    assert_int_equal(crpc_test_v1_echo_service_say(channel, &o, &q, &r, &err), -ERR_DEADLINE_EXCEEDED);
    assert_int_equal(echo_said(e), 1);
    crpc_channel_free(channel);
}

struct firing {
    struct echo *e;
    struct crpc_cancel *cancel;
};

static void *fire_after_first(void *arg)
{
    struct firing *f = arg;
    pthread_mutex_lock(&f->e->mu);
    while (f->e->n_said == 0)
        pthread_cond_wait(&f->e->changed, &f->e->mu);
    pthread_mutex_unlock(&f->e->mu);
    crpc_cancel_fire(f->cancel);
    return NULL;
}

static void test_cancel_ends_retries(void **state)
{
    struct echo *e = *state;
    static const struct crpc_retry retry = {.max_attempts = 5, .initial_backoff_ms = 60000, .max_backoff_ms = 60000};
    struct crpc_channel *channel = channel_with(e, &retry, 1);
    struct firing f = {e, crpc_cancel_new()};
    struct crpc_call_options o = {.cancel = f.cancel};
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    say_response *r = NULL;
    struct err err = ERR_NONE;
    pthread_t thread;
    echo_refuse(e, 100);
    pthread_create(&thread, NULL, fire_after_first, &f);
    assert_int_equal(crpc_test_v1_echo_service_say(channel, &o, &q, &r, &err), -ERR_CANCELLED);
    pthread_join(thread, NULL);
    assert_int_equal(echo_said(e), 1);
    crpc_cancel_free(f.cancel);
    crpc_channel_free(channel);
}

/* The most exact policy counts. */
static void test_per_method(void **state)
{
    struct echo *e = *state;
    static const enum err_code codes[] = {ERR_ABORTED, ERR_RESOURCE_EXHAUSTED};
    static const struct crpc_retry retries[] = {
        {.max_attempts = 5, .initial_backoff_ms = 1},
        {.service = SERVICE, .max_attempts = 4, .initial_backoff_ms = 1},
        {.service = SERVICE, .method = "Say", .max_attempts = 2, .initial_backoff_ms = 1, .codes = codes, .n_codes = 2},
    };
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    int rc;
    for (size_t n = 1; n <= 3; n++) {
        struct crpc_channel *channel = channel_with(e, retries, n);
        q.fail_code = n < 3 ? ERR_UNAVAILABLE : ERR_ABORTED;
        assert_int_equal(attempts(e, channel, &q, &rc), n == 1 ? 5 : n == 2 ? 4 : 2);
        q.fail_code = n < 3 ? ERR_ABORTED : ERR_UNAVAILABLE;
        assert_int_equal(attempts(e, channel, &q, &rc), 1);
        assert_int_equal(rc, -q.fail_code);
        crpc_channel_free(channel);
    }
}

static void test_throttle(void **state)
{
    struct echo *e = *state;
    static const struct crpc_retry retry = {.max_attempts = 5, .initial_backoff_ms = 1, .max_backoff_ms = 1};
    static const struct crpc_retry_throttle throttle = {.max_tokens = 4, .token_ratio = 0.1};
    struct crpc_channel_options o = {.retries = &retry, .n_retries = 1, .retry_throttle = &throttle};
    struct crpc_channel *channel = crpc_channel_new(e->target, &o, NULL);
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    int rc;
    q.fail_code = ERR_UNAVAILABLE;
    assert_int_equal(attempts(e, channel, &q, &rc), 2); /* two failures leave two tokens of four: no more retries */
    assert_int_equal(attempts(e, channel, &q, &rc), 1);
    crpc_channel_free(channel);
}

/* ---- streams ---- */

static const enum err_code unavailable_or_lost[] = {ERR_UNAVAILABLE, ERR_DATA_LOSS};
static const struct crpc_retry of_streams = {
    .max_attempts = 3, .initial_backoff_ms = 1, .codes = unavailable_or_lost, .n_codes = 2};

/* Say, called as a stream. */
static struct crpc_method say_as(enum crpc_kind kind)
{
    struct crpc_method say = crpc_test_v1_echo_service.methods[CRPC_TEST_V1_ECHO_SERVICE_SAY];
    say.kind = kind;
    return say;
}

/* A stream is tried again as well, what was written and the close included. */
static void test_stream(void **state)
{
    struct echo *e = *state;
    struct crpc_channel *channel = channel_with(e, &of_streams, 1);
    struct crpc_method say = say_as(CRPC_BIDI_STREAM);
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    ProtobufCMessage *r = NULL;
    struct err err = ERR_NONE;
    q.text = "once more";
    echo_refuse(e, 2);
    struct crpc_stream *s = crpc_stream_open(channel, &say, NULL, &err);
    assert_int_equal(crpc_stream_write(s, &q.base, &err), 0);
    assert_int_equal(crpc_stream_close_write(s, &err), 0);
    assert_int_equal(crpc_stream_read(s, &r, &err), 1);
    assert_string_equal(((say_response *)r)->text, "once more");
    crpc_message_free(r);
    assert_int_equal(crpc_stream_read(s, &r, &err), 0);
    crpc_stream_free(s);
    assert_int_equal(echo_said(e), 3);
    crpc_channel_free(channel);
}

struct told {
    int n_messages, n_ends;
    enum err_code code;
};

static void told_message(struct crpc_async *s, const ProtobufCMessage *msg)
{
    assert_string_equal(((const say_response *)msg)->text, "once more");
    ((struct told *)crpc_async_user(s))->n_messages++;
}

static void told_end(struct crpc_async *s, const struct err *status, const struct crpc_metadata_list *trailing)
{
    struct told *t = crpc_async_user(s);
    (void)trailing;
    t->n_ends++;
    t->code = status->code;
}

static void test_async_stream(void **state)
{
    static const struct crpc_async_events events = {.on_message = told_message, .on_end = told_end};
    struct echo *e = *state;
    struct crpc_channel *channel = channel_with(e, &of_streams, 1);
    struct crpc_method say = say_as(CRPC_SERVER_STREAM);
    struct crpc_loop *loop = crpc_loop_new();
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    q.text = "once more";
    for (unsigned refused = 2; refused <= 3; refused++) {
        struct told told = {.n_ends = 0};
        unsigned before = echo_said(e);
        echo_refuse(e, refused);
        assert_non_null(crpc_async_start(channel, loop, &say, NULL, &q.base, &events, &told, NULL));
        while (crpc_loop_run(loop, 20000) > 0)
            ;
        assert_int_equal(echo_said(e) - before, 3);
        assert_int_equal(told.n_ends, 1);
        assert_int_equal(told.n_messages, refused == 2);
        assert_int_equal(told.code, refused == 2 ? ERR_OK : ERR_UNAVAILABLE);
    }
    crpc_loop_free(loop);
    crpc_channel_free(channel);
}

/* Once an answer has begun there is no retry. */
static void test_stream_begun(void **state)
{
    struct echo *e = *state;
    struct crpc_channel *channel = channel_with(e, &of_streams, 1);
    Crpc__Test__V1__CountRequest q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    Crpc__Test__V1__CountResponse *r = NULL;
    struct err err = ERR_NONE;
    q.fail_code = ERR_DATA_LOSS;
    q.upto = 1;
    struct crpc_stream *s = crpc_test_v1_echo_service_count_open(channel, NULL, &q, &err);
    assert_int_equal(crpc_test_v1_echo_service_count_read(s, &r, &err), 1);
    crpc_message_free(&r->base);
    assert_int_equal(crpc_test_v1_echo_service_count_read(s, &r, &err), -ERR_DATA_LOSS);
    crpc_stream_free(s);
    echo_wait_done(e, 1);
    assert_int_equal(echo_read(e, &e->n_tags), 1);
    crpc_channel_free(channel);
}

/* ---- a service config as it is ---- */

static void test_raw_config(void **state)
{
    struct echo *e = *state;
    struct err err = ERR_NONE;
    struct crpc_channel_options o = {
        .service_config = "{\"methodConfig\":[{\"name\":[{\"service\":\"" SERVICE "\"}],\"waitForReady\":true,"
                          "\"retryPolicy\":{\"maxAttempts\":3,\"initialBackoff\":\"0.01s\",\"maxBackoff\":\"0.1s\","
                          "\"backoffMultiplier\":1,\"retryableStatusCodes\":[\"UNAVAILABLE\"]}}]}"};
    struct crpc_channel *channel = crpc_channel_new(e->target, &o, &err);
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    int rc;
    assert_non_null(channel);
    echo_refuse(e, 2);
    assert_int_equal(attempts(e, channel, &q, &rc), 3);
    assert_int_equal(rc, 0);
    crpc_channel_free(channel);
    /* Calls wait for a server that is away, since the config says so. */
    struct crpc_call_options call = {.timeout_ms = 100};
    say_response *r = NULL;
    channel = crpc_channel_new("unix:/nonexistent/socket", &o, &err);
    assert_int_equal(crpc_test_v1_echo_service_say(channel, &call, &q, &r, &err), -ERR_DEADLINE_EXCEEDED);
    crpc_channel_free(channel);
}

static void refused(const struct crpc_channel_options *o, const char *field)
{
    struct err err = ERR_NONE;
    assert_null(crpc_channel_new("127.0.0.1:1", o, &err));
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, field);
}

static void refused_retry(struct crpc_retry retry, const char *member)
{
    char field[64];
    struct crpc_retry retries[] = {{.service = "some.Service"}, retry};
    snprintf(field, sizeof field, "retries[1].%s", member);
    refused(&(struct crpc_channel_options){.retries = retries, .n_retries = 2}, field);
}

static void test_bad_options(void **state)
{
    (void)state;
    static const enum err_code ok[] = {ERR_UNAVAILABLE, ERR_OK};
    static const struct crpc_retry good = {.service = NULL};
    static const struct crpc_retry_throttle none = {0, 1}, many = {1001, 1}, nothing = {10, 0}, fine = {10, 0.1};
    refused_retry((struct crpc_retry){.max_attempts = 1}, "max_attempts");
    refused_retry((struct crpc_retry){.max_attempts = 6}, "max_attempts");
    refused_retry((struct crpc_retry){.initial_backoff_ms = -1}, "initial_backoff_ms");
    refused_retry((struct crpc_retry){.max_backoff_ms = INT64_MAX}, "max_backoff_ms");
    refused_retry((struct crpc_retry){.multiplier = -1}, "multiplier");
    refused_retry((struct crpc_retry){.multiplier = __builtin_nan("")}, "multiplier");
    refused_retry((struct crpc_retry){.codes = ok, .n_codes = 2}, "codes");
    refused_retry((struct crpc_retry){.codes = ok}, "codes");
    refused_retry((struct crpc_retry){.method = "Say"}, "method");
    refused_retry((struct crpc_retry){.service = "a\"b"}, "service");
    refused_retry((struct crpc_retry){.service = "a", .method = ""}, "method");
    refused_retry((struct crpc_retry){.service = "some.Service"}, "method"); /* twice */
    struct crpc_channel_options o = {.retries = &good, .n_retries = 1, .retry_throttle = &none};
    refused(&o, "retry_throttle.max_tokens");
    o.retry_throttle = &many;
    refused(&o, "retry_throttle.max_tokens");
    o.retry_throttle = &nothing;
    refused(&o, "retry_throttle.token_ratio");
    refused(&(struct crpc_channel_options){.retry_throttle = &fine}, "retry_throttle");
    o.service_config = "{}";
    refused(&o, "service_config");
    static const char *const bad[] = {"", "{", "[]", "{\"methodConfig\":1}",
                                      "{\"methodConfig\":[{\"name\":[{}],\"retryPolicy\":{\"maxAttempts\":1}}]}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(&(struct crpc_channel_options){.service_config = bad[i]}, "service_config");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, echo_setup, echo_teardown)
        T(test_retries),
        T(test_attempts_are_numbered),
        T(test_backoff),
        T(test_deadline_ends_retries),
        T(test_cancel_ends_retries),
        T(test_per_method),
        T(test_throttle),
        T(test_stream),
        T(test_async_stream),
        T(test_stream_begun),
        T(test_raw_config),
#undef T
        cmocka_unit_test(test_bad_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
