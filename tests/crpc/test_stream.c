/* Streams of the three kinds, from both sides: ends, cancels, back-pressure, two chains, shared frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "echo_server.h"

typedef Crpc__Test__V1__CountRequest count_request;
typedef Crpc__Test__V1__CountResponse count_response;
typedef Crpc__Test__V1__SumRequest sum_request;
typedef Crpc__Test__V1__SumResponse sum_response;
typedef Crpc__Test__V1__ChatRequest chat_request;
typedef Crpc__Test__V1__ChatResponse chat_response;

static struct crpc_stream *count_open(struct echo *e, const count_request *q, int64_t timeout_ms)
{
    struct crpc_call_options o = {.timeout_ms = timeout_ms};
    struct err err = ERR_NONE;
    struct crpc_stream *s = crpc_test_v1_echo_service_count_open(e->channel, &o, q, &err);
    if (!s)
        fail_msg("open: %s", err.msg);
    return s;
}

static struct crpc_stream *chat_open(struct echo *e)
{
    return crpc_test_v1_echo_service_chat_open(e->channel, NULL, NULL);
}

static struct crpc_stream *sum_open(struct echo *e)
{
    return crpc_test_v1_echo_service_sum_open(e->channel, NULL, NULL);
}

/* Reads to the end: how many messages, and the status. */
static int count_read_all(struct crpc_stream *s, int *ret_n, struct err *ret_err)
{
    count_response *r = NULL;
    int rc, n = 0;
    while ((rc = crpc_test_v1_echo_service_count_read(s, &r, ret_err)) == 1) {
        n++;
        crpc_message_free(&r->base);
    }
    *ret_n = n;
    return rc;
}

static void test_server_stream(void **state)
{
    struct echo *e = *state;
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    struct err err = ERR_NONE;
    count_response *r = NULL;
    q.upto = 1000;
    q.size = 50;
    struct crpc_stream *s = count_open(e, &q, 0);
    for (int i = 1; i <= 1000; i++) {
        assert_int_equal(crpc_test_v1_echo_service_count_read(s, &r, &err), 1);
        assert_int_equal(r->number, i);
        assert_int_equal(r->data.len, 50);
        crpc_message_free(&r->base);
    }
    for (int i = 0; i < 3; i++) /* the end stays the end */
        assert_int_equal(crpc_test_v1_echo_service_count_read(s, &r, &err), 0);
    crpc_stream_free(s);
    echo_wait_done(e, 1);
    assert_int_equal(e->n_sent, 1000);
    assert_int_equal(e->n_cancelled, 0);
}

static void test_empty_stream(void **state)
{
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    struct err err = ERR_NONE;
    int n;
    struct crpc_stream *s = count_open(*state, &q, 0);
    assert_int_equal(count_read_all(s, &n, &err), 0);
    assert_int_equal(n, 0);
    crpc_stream_free(s);
}

static void test_failing_stream(void **state)
{
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    struct err err = ERR_NONE;
    int n;
    q.upto = 3;
    q.fail_code = ERR_DATA_LOSS;
    struct crpc_stream *s = count_open(*state, &q, 0);
    assert_int_equal(count_read_all(s, &n, &err), -ERR_DATA_LOSS);
    assert_int_equal(n, 3);
    assert_string_equal(err.reason, "AFTER_ALL");
    err = ERR_NONE;
    assert_int_equal(count_read_all(s, &n, &err), -ERR_DATA_LOSS);
    assert_string_equal(err.reason, "AFTER_ALL");
    crpc_stream_free(s);
}

static void test_frames(void **state)
{
    struct echo *e = *state;
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    struct err err = ERR_NONE;
    int n;
    q.upto = 100;
    q.size = 10000;
    q.frames = 1;
    struct crpc_stream *s = count_open(e, &q, 0);
    assert_int_equal(count_read_all(s, &n, &err), 0);
    assert_int_equal(n, 100);
    crpc_stream_free(s);
}

static void test_large_stream(void **state)
{
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    struct err err = ERR_NONE;
    int n;
    q.upto = 20;
    q.size = 2 << 20;
    struct crpc_stream *s = count_open(*state, &q, 0);
    assert_int_equal(count_read_all(s, &n, &err), 0);
    assert_int_equal(n, 20);
    crpc_stream_free(s);
}

/* ---- the client goes away while the server waits ---- */

static void test_cancel_in_send(void **state)
{
    struct echo *e = *state;
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    q.upto = 1000;
    q.size = 1 << 20; /* far more than the window: the server stands in its send */
    struct crpc_stream *s = count_open(e, &q, 0);
    echo_wait_sent(e, 1);
    crpc_stream_cancel(s);
    crpc_stream_free(s);
    echo_wait_done(e, 1);
    assert_int_equal(e->n_cancelled, 1);
}

static void test_cancel_in_signal(void **state)
{
    struct echo *e = *state;
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    count_response *r = NULL;
    struct err err = ERR_NONE;
    q.watch = 1;
    struct crpc_stream *s = count_open(e, &q, 0);
    echo_wait_tags(e, 1);
    assert_true(echo_post(e, 0, true, false));
    assert_int_equal(crpc_test_v1_echo_service_count_read(s, &r, &err), 1);
    crpc_message_free(&r->base);
    crpc_stream_cancel(s);
    assert_int_equal(crpc_test_v1_echo_service_count_read(s, &r, &err), -ERR_CANCELLED);
    crpc_stream_free(s);
    echo_wait_done(e, 1);
    assert_int_equal(e->n_cancelled, 1);
    assert_false(echo_post(e, 0, true, false));
}

static void test_cancel_in_recv(void **state)
{
    struct echo *e = *state;
    sum_request q = CRPC__TEST__V1__SUM_REQUEST__INIT;
    struct crpc_stream *s = sum_open(e);
    q.number = 1;
    assert_int_equal(crpc_test_v1_echo_service_sum_write(s, &q, NULL), 0);
    echo_wait_received(e, 1);
    crpc_stream_free(s); /* cancels */
    echo_wait_done(e, 1);
    assert_int_equal(e->n_cancelled, 1);
}

/* What a client did not finish writing is never taken for all there is. */
static void test_loss_is_no_end(void **state)
{
    enum { TIMES = 100 };
    struct echo *e = *state;
    sum_request q = CRPC__TEST__V1__SUM_REQUEST__INIT, large = CRPC__TEST__V1__SUM_REQUEST__INIT;
    struct crpc_call_options brief = {.timeout_ms = 50};
    sum_response *r = NULL;
    struct err err = ERR_NONE;
    q.number = 1;
    for (unsigned i = 0; i < TIMES; i++) {
        struct crpc_stream *s = sum_open(e);
        assert_int_equal(crpc_test_v1_echo_service_sum_write(s, &q, &err), 0);
        echo_wait_received(e, i + 1);
        crpc_stream_cancel(s);
        crpc_stream_free(s);
        echo_wait_done(e, i + 1);
    }
    struct crpc_stream *s = crpc_test_v1_echo_service_sum_open(e->channel, &brief, &err);
    assert_int_equal(crpc_test_v1_echo_service_sum_read(s, &r, &err), -ERR_DEADLINE_EXCEEDED);
    crpc_stream_free(s);
    large.note = malloc(5 << 20);
    memset(large.note, 'x', 5 << 20);
    large.note[(5 << 20) - 1] = '\0';
    s = sum_open(e);
    crpc_test_v1_echo_service_sum_write(s, &large, NULL);
    assert_int_equal(crpc_test_v1_echo_service_sum_read(s, &r, &err), -ERR_RESOURCE_EXHAUSTED);
    crpc_stream_free(s);
    free(large.note);
    echo_wait_done(e, TIMES + 2);
    assert_int_equal(e->n_cancelled, TIMES + 2);
    assert_int_equal(e->n_ends, 0);
    s = sum_open(e);
    assert_int_equal(crpc_test_v1_echo_service_sum_write(s, &q, &err), 0);
    assert_int_equal(crpc_stream_close_write(s, &err), 0);
    assert_int_equal(crpc_test_v1_echo_service_sum_read(s, &r, &err), 1);
    crpc_message_free(&r->base);
    crpc_stream_free(s);
    echo_wait_done(e, TIMES + 3);
    assert_int_equal(e->n_ends, 1);
}

static void test_cancel_both_chains(void **state)
{
    struct echo *e = *state;
    chat_request q = CRPC__TEST__V1__CHAT_REQUEST__INIT;
    q.answers = 1000;
    q.size = 100000;
    struct crpc_stream *s = chat_open(e);
    assert_int_equal(crpc_test_v1_echo_service_chat_write(s, &q, NULL), 0);
    echo_wait_sent(e, 1);
    crpc_stream_cancel(s);
    crpc_stream_free(s);
    echo_wait_done(e, 1);
    assert_int_equal(e->n_cancelled, 1);
}

static void test_deadline_in_stream(void **state)
{
    struct echo *e = *state;
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    struct err err = ERR_NONE;
    int n;
    q.watch = 1;
    struct crpc_stream *s = count_open(e, &q, 100);
    assert_int_equal(count_read_all(s, &n, &err), -ERR_DEADLINE_EXCEEDED);
    crpc_stream_free(s);
    echo_wait_done(e, 1);
    assert_int_equal(e->n_cancelled, 1);
}

/* ---- client streams ---- */

static void test_client_stream(void **state)
{
    struct echo *e = *state;
    sum_request q = CRPC__TEST__V1__SUM_REQUEST__INIT;
    sum_response *r = NULL;
    struct err err = ERR_NONE;
    struct crpc_stream *s = sum_open(e);
    q.note = "a note that needs memory of its own in every message";
    for (int i = 1; i <= 1000; i++) {
        q.number = i;
        assert_int_equal(crpc_test_v1_echo_service_sum_write(s, &q, &err), 0);
    }
    assert_int_equal(crpc_stream_close_write(s, &err), 0);
    assert_int_equal(crpc_test_v1_echo_service_sum_read(s, &r, &err), 1);
    assert_int_equal(r->sum, 500500);
    assert_int_equal(r->count, 1000);
    crpc_message_free(&r->base);
    assert_int_equal(crpc_test_v1_echo_service_sum_read(s, &r, &err), 0);
    crpc_stream_free(s);
}

static void test_finish_while_client_writes(void **state)
{
    struct echo *e = *state;
    sum_request q = CRPC__TEST__V1__SUM_REQUEST__INIT;
    sum_response *r = NULL;
    struct err err = ERR_NONE;
    char note[20000];
    memset(note, 'n', sizeof note - 1);
    note[sizeof note - 1] = '\0';
    struct crpc_stream *s = sum_open(e);
    q.number = -1;
    q.note = note;
    int rc = 0;
    for (int i = 0; i < 100000 && rc == 0; i++)
        rc = crpc_test_v1_echo_service_sum_write(s, &q, &err);
    assert_true(rc < 0); /* the writes learn that the call is over */
    assert_int_equal(crpc_test_v1_echo_service_sum_read(s, &r, &err), -ERR_OUT_OF_RANGE);
    assert_string_equal(err.reason, "NEGATIVE");
    assert_int_equal(crpc_test_v1_echo_service_sum_write(s, &q, &err), -ERR_OUT_OF_RANGE);
    crpc_stream_free(s);
    echo_wait_done(e, 1);
    assert_int_equal(e->n_cancelled, 0);
}

/* ---- bidi streams ---- */

static int chat_read_all(struct crpc_stream *s, int *ret_n, struct err *ret_err)
{
    chat_response *r = NULL;
    int rc, n = 0;
    while ((rc = crpc_test_v1_echo_service_chat_read(s, &r, ret_err)) == 1) {
        n++;
        crpc_message_free(&r->base);
    }
    *ret_n = n;
    return rc;
}

static void test_ping_pong(void **state)
{
    struct echo *e = *state;
    chat_request q = CRPC__TEST__V1__CHAT_REQUEST__INIT;
    chat_response *r = NULL;
    struct err err = ERR_NONE;
    int n;
    struct crpc_stream *s = chat_open(e);
    q.answers = 1;
    for (int i = 0; i < 500; i++) {
        assert_int_equal(crpc_test_v1_echo_service_chat_write(s, &q, &err), 0);
        assert_int_equal(crpc_test_v1_echo_service_chat_read(s, &r, &err), 1);
        assert_string_equal(r->text, "answer");
        crpc_message_free(&r->base);
    }
    assert_int_equal(crpc_stream_close_write(s, &err), 0);
    assert_int_equal(chat_read_all(s, &n, &err), 0);
    assert_int_equal(n, 0);
    crpc_stream_free(s);
}

static void *chat_writer(void *arg)
{
    chat_request q = CRPC__TEST__V1__CHAT_REQUEST__INIT;
    intptr_t wrong = 0;
    q.answers = 3;
    q.size = 100;
    for (int i = 0; i < 1000; i++)
        wrong += crpc_test_v1_echo_service_chat_write(arg, &q, NULL) != 0;
    wrong += crpc_stream_close_write(arg, NULL) != 0;
    return (void *)wrong;
}

static void test_read_and_write_at_once(void **state)
{
    struct err err = ERR_NONE;
    pthread_t thread;
    void *wrong;
    int n;
    struct crpc_stream *s = chat_open(*state);
    pthread_create(&thread, NULL, chat_writer, s);
    assert_int_equal(chat_read_all(s, &n, &err), 0);
    pthread_join(thread, &wrong);
    assert_null(wrong);
    assert_int_equal(n, 3000);
    crpc_stream_free(s);
}

/* The reading chain finishes while the writing one stands in a send: the message goes out first, then the status. */
static void test_reader_finishes_during_send(void **state)
{
    struct echo *e = *state;
    chat_request q = CRPC__TEST__V1__CHAT_REQUEST__INIT;
    struct err err = ERR_NONE;
    int n;
    q.answers = 1000;
    q.size = 100000;
    struct crpc_stream *s = chat_open(e);
    assert_int_equal(crpc_test_v1_echo_service_chat_write(s, &q, &err), 0);
    echo_wait_sent(e, 1);
    q = (chat_request)CRPC__TEST__V1__CHAT_REQUEST__INIT;
    q.finish_code = ERR_ABORTED;
    assert_int_equal(crpc_test_v1_echo_service_chat_write(s, &q, &err), 0);
    assert_int_equal(chat_read_all(s, &n, &err), -ERR_ABORTED);
    assert_string_equal(err.reason, "READER_FINISHED");
    assert_true(n >= 1 && n < 1000);
    crpc_stream_free(s);
    echo_wait_done(e, 1);
    assert_int_equal(e->n_cancelled, 0);
}

/* The writing chain finishes while the reading one stands in a receive and the client has not closed. */
static void test_writer_finishes_during_recv(void **state)
{
    struct echo *e = *state;
    chat_request q = CRPC__TEST__V1__CHAT_REQUEST__INIT;
    struct err err = ERR_NONE;
    int n;
    q.writer_finishes = 1;
    q.answers = 2;
    struct crpc_stream *s = chat_open(e);
    assert_int_equal(crpc_test_v1_echo_service_chat_write(s, &q, &err), 0);
    assert_int_equal(chat_read_all(s, &n, &err), 0);
    assert_int_equal(n, 2);
    echo_wait_done(e, 1);
    assert_int_equal(e->n_cancelled, 0);
    crpc_stream_free(s);
}

static void *read_until_end(void *arg)
{
    int n;
    struct err err = ERR_NONE;
    return (void *)(intptr_t)chat_read_all(arg, &n, &err);
}

static void test_cancel_from_other_thread(void **state)
{
    struct echo *e = *state;
    chat_request q = CRPC__TEST__V1__CHAT_REQUEST__INIT;
    pthread_t thread;
    void *rc;
    struct crpc_stream *s = chat_open(e);
    pthread_create(&thread, NULL, read_until_end, s);
    assert_int_equal(crpc_test_v1_echo_service_chat_write(s, &q, NULL), 0);
    echo_wait_received(e, 1);
    crpc_stream_cancel(s);
    pthread_join(thread, &rc);
    assert_int_equal((intptr_t)rc, -ERR_CANCELLED);
    crpc_stream_cancel(s); /* harmless after the end */
    assert_int_equal(crpc_test_v1_echo_service_chat_write(s, &q, NULL), -ERR_CANCELLED);
    crpc_stream_free(s);
}

/* Once is enough; what comes after it is refused. */
static void test_write_after_close(void **state)
{
    chat_request q = CRPC__TEST__V1__CHAT_REQUEST__INIT;
    struct err err = ERR_NONE;
    int n;
    struct crpc_stream *s = chat_open(*state);
    assert_int_equal(crpc_stream_close_write(s, &err), 0);
    assert_int_equal(crpc_stream_close_write(s, &err), -ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "WRITE_CLOSED");
    assert_int_equal(crpc_test_v1_echo_service_chat_write(s, &q, &err), -ERR_FAILED_PRECONDITION);
    assert_int_equal(chat_read_all(s, &n, &err), 0);
    crpc_stream_free(s);
}

static void test_stream_to_nowhere(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    int n;
    struct crpc_channel *away = crpc_channel_new("unix:/nonexistent/socket", NULL, &err);
    struct crpc_stream *s = crpc_test_v1_echo_service_chat_open(away, NULL, &err);
    assert_int_equal(chat_read_all(s, &n, &err), -ERR_UNAVAILABLE);
    crpc_stream_free(s);
    crpc_channel_free(away);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, echo_setup, echo_teardown)
        T(test_server_stream),
        T(test_empty_stream),
        T(test_failing_stream),
        T(test_frames),
        T(test_large_stream),
        T(test_cancel_in_send),
        T(test_cancel_in_signal),
        T(test_cancel_in_recv),
        T(test_loss_is_no_end),
        T(test_cancel_both_chains),
        T(test_deadline_in_stream),
        T(test_client_stream),
        T(test_finish_while_client_writes),
        T(test_ping_pong),
        T(test_read_and_write_at_once),
        T(test_reader_finishes_during_send),
        T(test_writer_finishes_during_recv),
        T(test_cancel_from_other_thread),
        T(test_write_after_close),
#undef T
        cmocka_unit_test(test_stream_to_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
