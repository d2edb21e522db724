/* What a call may be given, in all its forms: cancels from other threads, deadlines, metadata both ways, credentials.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "echo_server.h"

typedef Crpc__Test__V1__SayRequest say_request;
typedef Crpc__Test__V1__SayResponse say_response;
typedef Crpc__Test__V1__DeferRequest defer_request;
typedef Crpc__Test__V1__DeferResponse defer_response;
typedef Crpc__Test__V1__CountRequest count_request;
typedef Crpc__Test__V1__CountResponse count_response;
typedef Crpc__Test__V1__ChatRequest chat_request;
typedef Crpc__Test__V1__ChatResponse chat_response;

/* ---- cancels ---- */

struct canceller {
    struct echo *e;
    struct crpc_cancel *cancel;
    unsigned n_tags;
    pthread_t thread;
};

static void *cancel_main(void *arg)
{
    struct canceller *c = arg;
    echo_wait_tags(c->e, c->n_tags);
    crpc_cancel_fire(c->cancel);
    return NULL;
}

static void cancel_after_tags(struct canceller *c, struct echo *e, unsigned n_tags)
{
    *c = (struct canceller){.e = e, .cancel = crpc_cancel_new(), .n_tags = n_tags};
    pthread_create(&c->thread, NULL, cancel_main, c);
}

static void canceller_done(struct canceller *c)
{
    pthread_join(c->thread, NULL);
    crpc_cancel_free(c->cancel);
}

static int defer(struct crpc_channel *channel, const struct crpc_call_options *o)
{
    defer_request q = CRPC__TEST__V1__DEFER_REQUEST__INIT;
    defer_response *r = NULL;
    struct err err = ERR_NONE;
    q.wait = CRPC__TEST__V1__DEFER_REQUEST__WAIT__WAIT_SIGNAL;
    int rc = crpc_test_v1_echo_service_defer(channel, o, &q, &r, &err);
    assert_true((rc == 0) == (r != NULL));
    assert_int_equal(rc, -(int)err.code);
    if (r)
        crpc_message_free(&r->base);
    return rc;
}

static void test_cancel_blocking_unary(void **state)
{
    struct echo *e = *state;
    struct canceller c;
    cancel_after_tags(&c, e, 1);
    struct crpc_call_options o = {.cancel = c.cancel};
    assert_int_equal(defer(e->channel, &o), -ERR_CANCELLED);
    assert_true(crpc_cancel_fired(c.cancel));
    echo_wait_done(e, 1);
    assert_int_equal(echo_read(e, &e->n_cancelled), 1); /* the server knows */
    /* Whoever comes too late is cancelled as well, and nobody else is. */
    assert_int_equal(defer(e->channel, &o), -ERR_CANCELLED);
    crpc_cancel_fire(c.cancel);
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    say_response *r = NULL;
    assert_int_equal(crpc_test_v1_echo_service_say(e->channel, NULL, &q, &r, NULL), 0);
    crpc_message_free(&r->base);
    canceller_done(&c);
}

static void *defer_main(void *arg)
{
    void **args = arg;
    return (void *)(intptr_t)defer(args[0], args[1]);
}

/* One cancel ends many calls, from many threads; one that ended before is left alone. */
static void test_cancel_many(void **state)
{
    enum { THREADS = 8 };
    struct echo *e = *state;
    struct canceller c;
    pthread_t threads[THREADS];
    cancel_after_tags(&c, e, THREADS);
    struct crpc_call_options o = {.cancel = c.cancel};
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    say_response *r = NULL;
    assert_int_equal(crpc_test_v1_echo_service_say(e->channel, &o, &q, &r, NULL), 0);
    crpc_message_free(&r->base);
    void *args[] = {e->channel, &o};
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, defer_main, args);
    for (int i = 0; i < THREADS; i++) {
        void *rc;
        pthread_join(threads[i], &rc);
        assert_int_equal((intptr_t)rc, -ERR_CANCELLED);
    }
    canceller_done(&c);
}

static void test_cancel_while_connecting(void **state)
{
    (void)state;
    struct crpc_channel *away = crpc_channel_new("unix:/nonexistent/socket", NULL, NULL);
    struct crpc_cancel *cancel = crpc_cancel_new();
    struct crpc_call_options o = {.cancel = cancel, .wait_for_ready = true};
    pthread_t thread;
    void *rc;
    pthread_create(&thread, NULL, defer_main, (void *[]){away, &o});
    while (crpc_channel_state(away) == CRPC_CHANNEL_IDLE) /* the call is what connects it */
        crpc_channel_wait_state(away, CRPC_CHANNEL_IDLE, 10000);
    crpc_cancel_fire(cancel);
    pthread_join(thread, &rc);
    assert_int_equal((intptr_t)rc, -ERR_CANCELLED);
    crpc_cancel_free(cancel);
    crpc_channel_free(away);
}

static void test_cancel_blocking_stream(void **state)
{
    struct echo *e = *state;
    struct canceller c;
    cancel_after_tags(&c, e, 1);
    struct crpc_call_options o = {.cancel = c.cancel};
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    count_response *r = NULL;
    struct err err = ERR_NONE;
    q.watch = 1;
    struct crpc_stream *s = crpc_test_v1_echo_service_count_open(e->channel, &o, &q, &err);
    assert_int_equal(crpc_test_v1_echo_service_count_read(s, &r, &err), -ERR_CANCELLED);
    crpc_stream_free(s);
    canceller_done(&c);
    echo_wait_done(e, 1);
    assert_int_equal(echo_read(e, &e->n_cancelled), 1);
}

static void keep_status(void *user, const ProtobufCMessage *response, const struct err *status)
{
    struct err *kept = user;
    assert_true(!response == (status->code != ERR_OK));
    *kept = *status;
}

static void test_cancel_async_unary(void **state)
{
    struct echo *e = *state;
    struct canceller c;
    struct err status = ERR_NONE;
    struct crpc_loop *loop = crpc_loop_new();
    cancel_after_tags(&c, e, 1);
    struct crpc_call_options o = {.cancel = c.cancel};
    defer_request q = CRPC__TEST__V1__DEFER_REQUEST__INIT;
    q.wait = CRPC__TEST__V1__DEFER_REQUEST__WAIT__WAIT_SIGNAL;
    assert_int_equal(crpc_test_v1_echo_service_defer_start(e->channel, loop, &o, &q, keep_status, &status, NULL), 0);
    assert_int_equal(crpc_loop_run(loop, 20000), 1);
    assert_int_equal(status.code, ERR_CANCELLED);
    crpc_loop_free(loop);
    canceller_done(&c);
}

struct race {
    struct crpc_cancel *cancel;
    pthread_barrier_t go;
};

static void *fire_at_once(void *arg)
{
    struct race *r = arg;
    pthread_barrier_wait(&r->go);
    crpc_cancel_fire(r->cancel);
    return NULL;
}

/* Wherever the cancel meets the call, in whichever form, it ends well or is cancelled, and only once. */
static void test_cancel_races(void **state)
{
    enum { ROUNDS = 300 };
    struct echo *e = *state;
    struct crpc_loop *loop = crpc_loop_new();
    for (int i = 0; i < ROUNDS; i++) {
        struct race race = {.cancel = crpc_cancel_new()};
        struct crpc_call_options o = {.cancel = race.cancel};
        say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
        say_response *r = NULL;
        struct err status = {.code = ERR_UNKNOWN};
        pthread_t thread;
        pthread_barrier_init(&race.go, NULL, 2);
        pthread_create(&thread, NULL, fire_at_once, &race);
        pthread_barrier_wait(&race.go);
        if (i % 2 == 0) {
            int rc = crpc_test_v1_echo_service_say(e->channel, &o, &q, &r, NULL);
            assert_true(rc == -ERR_CANCELLED ? r == NULL : rc == 0);
            if (r)
                crpc_message_free(&r->base);
        } else {
            assert_int_equal(crpc_test_v1_echo_service_say_start(e->channel, loop, &o, &q, keep_status, &status, NULL),
                             0);
            assert_int_equal(crpc_loop_run(loop, 20000), 1);
            assert_true(status.code == ERR_CANCELLED || status.code == ERR_OK);
        }
        pthread_join(thread, NULL);
        pthread_barrier_destroy(&race.go);
        crpc_cancel_free(race.cancel);
    }
    crpc_loop_free(loop);
}

/* ---- deadlines ---- */

static void test_deadlines(void **state)
{
    struct echo *e = *state;
    struct crpc_call_options o = {.timeout_ms = -1};
    assert_int_equal(defer(e->channel, &o), -ERR_DEADLINE_EXCEEDED); /* over already */
    assert_int_equal(echo_read(e, &e->n_tags), 0);
    o.timeout_ms = 100;
    assert_int_equal(defer(e->channel, &o), -ERR_DEADLINE_EXCEEDED);
    struct crpc_channel *away = crpc_channel_new("unix:/nonexistent/socket", NULL, NULL);
    o.wait_for_ready = true;
    assert_int_equal(defer(away, &o), -ERR_DEADLINE_EXCEEDED);
    crpc_channel_free(away);

    struct err status = ERR_NONE;
    struct crpc_loop *loop = crpc_loop_new();
    defer_request q = CRPC__TEST__V1__DEFER_REQUEST__INIT;
    q.wait = CRPC__TEST__V1__DEFER_REQUEST__WAIT__WAIT_SIGNAL;
    assert_int_equal(crpc_test_v1_echo_service_defer_start(e->channel, loop, &o, &q, keep_status, &status, NULL), 0);
    assert_int_equal(crpc_loop_run(loop, 20000), 1);
    assert_int_equal(status.code, ERR_DEADLINE_EXCEEDED);
    crpc_loop_free(loop);

    chat_response *r = NULL; /* a stream, in its write and after that in its read */
    chat_request large = CRPC__TEST__V1__CHAT_REQUEST__INIT;
    struct err err = ERR_NONE;
    large.answers = 1000;
    large.size = 100000;
    o.timeout_ms = 300;
    struct crpc_stream *s = crpc_test_v1_echo_service_chat_open(e->channel, &o, &err);
    int rc = 0;
    while (rc == 0)
        rc = crpc_test_v1_echo_service_chat_write(s, &large, &err);
    while ((rc = crpc_test_v1_echo_service_chat_read(s, &r, &err)) == 1)
        crpc_message_free(&r->base);
    assert_int_equal(rc, -ERR_DEADLINE_EXCEEDED);
    crpc_stream_free(s);
}

/* ---- metadata ---- */

static void check_trailing(const struct crpc_metadata_list *list)
{
    const struct crpc_metadata *md = crpc_metadata_find(list, ECHO_TRAILING);
    assert_non_null(md);
    assert_int_equal(md->value.len, 256);
    for (size_t i = 0; i < 256; i++)
        assert_int_equal((unsigned char)md->value.data[i], i);
}

static void check_initial(const struct crpc_metadata_list *list)
{
    const struct crpc_metadata *md = crpc_metadata_find(list, ECHO_INITIAL);
    assert_non_null(md);
    assert_true(span_eq(md->value, SPAN_LIT("yes")));
    assert_null(crpc_metadata_find(list, ECHO_TRAILING));
    assert_null(crpc_metadata_find(list, "x-none"));
}

/* Binary values, both ways, with every byte, and of every length that base64 treats differently. */
static void test_binary_metadata(void **state)
{
    struct echo *e = *state;
    char bytes[256];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(255 - i);
    static const size_t lengths[] = {0, 1, 2, 3, 4, 255, 256};
    struct crpc_response response = {.memory = NULL};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct crpc_metadata md = {"x-some-bin", span_of(bytes, lengths[i])};
        struct crpc_call_options o = {.metadata = &md, .n_metadata = 1, .response = &response};
        say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
        say_response *r = NULL;
        q.metadata_key = "x-some-bin";
        assert_int_equal(crpc_test_v1_echo_service_say(e->channel, &o, &q, &r, NULL), 0);
        assert_int_equal(r->data.len, lengths[i]);
        assert_true(span_eq(span_of((char *)r->data.data, r->data.len), md.value)); /* it reached the server */
        crpc_message_free(&r->base);
        check_initial(&response.initial);
        check_trailing(&response.trailing);
        const struct crpc_metadata *first = crpc_metadata_find(&response.initial, "x-some-echo-bin");
        const struct crpc_metadata *last = crpc_metadata_find(&response.trailing, "x-some-echo-bin");
        assert_true(first && span_eq(first->value, md.value)); /* and came back */
        assert_true(last && span_eq(last->value, md.value));
    }
    crpc_response_done(&response);
    assert_int_equal(response.initial.n, 0);
}

static void test_response_of_a_failed_call(void **state)
{
    struct echo *e = *state;
    struct crpc_response response = {.memory = NULL};
    struct crpc_call_options o = {.response = &response};
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    say_response *r = NULL;
    struct err err = ERR_NONE;
    assert_int_equal(crpc_test_v1_echo_service_say(e->channel, &o, &q, &r, &err), 0);
    crpc_message_free(&r->base);
    assert_true(response.initial.n > 0);
    q.fail_code = ERR_ABORTED;
    assert_int_equal(crpc_test_v1_echo_service_say(e->channel, &o, &q, &r, &err), -ERR_ABORTED);
    assert_non_null(crpc_metadata_find(&response.trailing, "grpc-status-details-bin"));
    assert_null(crpc_metadata_find(&response.initial, ECHO_INITIAL)); /* nothing of the call before is left */
    /* A call that is not even started empties it, too. */
    o.metadata = &(struct crpc_metadata){"BAD", SPAN_LIT("")};
    o.n_metadata = 1;
    assert_int_equal(crpc_test_v1_echo_service_say(e->channel, &o, &q, &r, &err), -ERR_INVALID_ARGUMENT);
    assert_int_equal(response.initial.n + response.trailing.n, 0);
    crpc_response_done(&response);
}

static void test_response_of_an_async_call(void **state)
{
    struct echo *e = *state;
    struct crpc_response response = {.memory = NULL};
    struct crpc_call_options o = {.response = &response};
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    struct err status = {.code = ERR_UNKNOWN};
    struct crpc_loop *loop = crpc_loop_new();
    assert_int_equal(crpc_test_v1_echo_service_say_start(e->channel, loop, &o, &q, keep_status, &status, NULL), 0);
    assert_int_equal(crpc_loop_run(loop, 20000), 1);
    assert_int_equal(status.code, ERR_OK);
    check_initial(&response.initial);
    check_trailing(&response.trailing);
    crpc_response_done(&response);
    crpc_loop_free(loop);
}

static void test_stream_metadata(void **state)
{
    struct echo *e = *state;
    struct err err = ERR_NONE;
    struct crpc_metadata_list list = {NULL, 7}, again;
    chat_request q = CRPC__TEST__V1__CHAT_REQUEST__INIT;
    chat_response *r = NULL;
    q.answers = 1;
    struct crpc_stream *s = crpc_test_v1_echo_service_chat_open(e->channel, NULL, &err);
    assert_int_equal(crpc_test_v1_echo_service_chat_write(s, &q, &err), 0);
    assert_int_equal(crpc_stream_initial(s, &list, &err), 0); /* before the message is read */
    check_initial(&list);
    assert_int_equal(crpc_stream_initial(s, &again, &err), 0);
    assert_ptr_equal(again.entries, list.entries);
    assert_int_equal(crpc_stream_trailing(s, &again, &err), -ERR_FAILED_PRECONDITION);
    assert_int_equal(crpc_test_v1_echo_service_chat_read(s, &r, &err), 1);
    crpc_message_free(&r->base);
    assert_int_equal(crpc_stream_close_write(s, &err), 0);
    assert_int_equal(crpc_test_v1_echo_service_chat_read(s, &r, &err), 0);
    assert_int_equal(crpc_stream_trailing(s, &list, &err), 0);
    check_trailing(&list);
    crpc_stream_free(s);
    /* A call that comes to nothing has none, and nobody waits for it for ever. */
    struct crpc_channel *away = crpc_channel_new("unix:/nonexistent/socket", NULL, NULL);
    s = crpc_test_v1_echo_service_chat_open(away, NULL, &err);
    assert_int_equal(crpc_stream_initial(s, &list, &err), 0);
    assert_int_equal(list.n, 0);
    crpc_stream_free(s);
    crpc_channel_free(away);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, echo_setup, echo_teardown)
        T(test_cancel_blocking_unary),
        T(test_cancel_many),
        T(test_cancel_blocking_stream),
        T(test_cancel_async_unary),
        T(test_cancel_races),
        T(test_deadlines),
        T(test_binary_metadata),
        T(test_response_of_a_failed_call),
        T(test_response_of_an_async_call),
        T(test_stream_metadata),
#undef T
        cmocka_unit_test(test_cancel_while_connecting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
