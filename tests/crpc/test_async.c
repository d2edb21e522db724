/* Streams on a loop: all three kinds, order of events, back-pressure both ways, and loops that other threads wake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "async_watch.h"
#include "base/clock.h"

/* ---- the three kinds ---- */

static void test_server_stream(void **state)
{
    struct watch w = watch_new();
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    q.upto = 1000;
    q.size = 600; /* more than the stream has room for by itself */
    watch_count(*state, &w, NULL, &q);
    struct err err = ERR_NONE;
    assert_int_equal(crpc_test_v1_echo_service_chat_push(w.stream, &w.write, &err), -ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "WRITE_CLOSED");
    watch_to_end(&w);
    assert_int_equal(w.status.code, ERR_OK);
    assert_int_equal(w.n_messages, 1000);
    assert_true(w.has_initial && w.has_trailing);
}

static void test_failing_stream(void **state)
{
    struct watch w = watch_new();
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    q.upto = 3;
    q.fail_code = ERR_DATA_LOSS;
    watch_count(*state, &w, NULL, &q);
    watch_to_end(&w);
    assert_int_equal(w.n_messages, 3); /* none is lost before the status */
    assert_int_equal(w.status.code, ERR_DATA_LOSS);
    assert_string_equal(w.status.reason, "AFTER_ALL");
    assert_true(w.has_trailing);
}

static void test_client_stream(void **state)
{
    struct echo *e = *state;
    struct watch w = watch_new();
    w.n_to_write = 1000;
    w.close_after = true;
    watch_sum(e, &w);
    watch_write(&w, watch_write_sum);
    watch_to_end(&w);
    assert_int_equal(w.status.code, ERR_OK);
    assert_int_equal(w.last, 2000);
    assert_int_equal(w.n_messages, 1);
    assert_int_equal(w.n_writable, 999); /* the close goes out in place of the last */
    assert_int_equal(echo_read(e, &e->n_ends), 1);
}

static void test_no_response_message(void **state)
{
    struct echo *e = *state;
    struct watch w = watch_new();
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    struct crpc_method as_sum = crpc_test_v1_echo_service.methods[CRPC_TEST_V1_ECHO_SERVICE_COUNT];
    as_sum.kind = CRPC_CLIENT_STREAM;
    w.stream = crpc_async_start(e->channel, w.loop, &as_sum, NULL, NULL, &EVENTS_OF_CHAT, &w, NULL);
    assert_int_equal(crpc_async_write(w.stream, &q.base, NULL), 0);
    crpc_async_close_write(w.stream);
    watch_to_end(&w);
    assert_int_equal(w.status.code, ERR_UNIMPLEMENTED);
    assert_string_equal(w.status.reason, "NO_RESPONSE_MESSAGE");
}

static void test_chat(void **state)
{
    struct watch w = watch_new();
    w.n_to_write = 500;
    w.write.answers = 3;
    w.write.size = 100;
    w.close_after = true;
    watch_chat(*state, &w, NULL);
    watch_write(&w, watch_write_chat);
    watch_to_end(&w);
    assert_int_equal(w.status.code, ERR_OK);
    assert_int_equal(w.n_messages, 1500);
    assert_true(w.has_initial && w.has_trailing);
}

/* The server's end comes while this side has not closed. */
static void test_server_ends_first(void **state)
{
    struct echo *e = *state;
    struct watch w = watch_new();
    w.write.answers = 2;
    w.write.writer_finishes = 1;
    w.n_to_write = 1;
    watch_chat(e, &w, NULL);
    watch_write(&w, watch_write_chat);
    watch_to_end(&w);
    assert_int_equal(w.status.code, ERR_OK);
    assert_int_equal(w.n_messages, 2);
    echo_wait_done(e, 1);
    assert_int_equal(echo_read(e, &e->n_cancelled), 0);
}

/* ---- back-pressure ---- */

static void test_write_backpressure(void **state)
{
    struct watch w = watch_new();
    struct err err = ERR_NONE;
    char text[100000];
    memset(text, 't', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    w.write.text = text;
    w.write.answers = 0;
    watch_chat(*state, &w, NULL);
    assert_true(crpc_async_writable(w.stream));
    assert_int_equal(crpc_test_v1_echo_service_chat_push(w.stream, &w.write, &err), 0);
    assert_false(crpc_async_writable(w.stream));
    assert_int_equal(crpc_test_v1_echo_service_chat_push(w.stream, &w.write, &err), -ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "WRITE_UNDER_WAY");
    watch_until(&w, &w.n_writable, 1);
    assert_true(crpc_async_writable(w.stream));
    assert_int_equal(crpc_test_v1_echo_service_chat_push(w.stream, &w.write, &err), 0);
    crpc_async_close_write(w.stream);
    crpc_async_close_write(w.stream); /* harmless */
    assert_int_equal(crpc_test_v1_echo_service_chat_push(w.stream, &w.write, &err), -ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "WRITE_CLOSED");
    watch_to_end(&w);
    assert_int_equal(w.status.code, ERR_OK);
    assert_int_equal(echo_read(*state, &((struct echo *)*state)->n_received), 2);
}

/* A reader that pauses holds up the server: what it sends meanwhile is bounded by the window. */
static void test_read_backpressure(void **state)
{
    enum { MESSAGES = 400, SIZE = 100000 };
    struct echo *e = *state;
    struct watch w = watch_new(), other = watch_new();
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    q.upto = MESSAGES;
    q.size = SIZE;
    w.pause_at = 1;
    watch_count(e, &w, NULL, &q);
    watch_until(&w, &w.n_messages, 1);
    /* Only the pause stands in the way: another stream on the same loop and connection runs through meanwhile. */
    crpc_loop_free(other.loop);
    other.loop = w.loop;
    count_request small = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    small.upto = 1000;
    watch_count(e, &other, NULL, &small);
    watch_until(&other, &other.n_ends, 1);
    assert_int_equal(other.n_messages, 1000);
    assert_int_equal(w.n_messages, 1);
    assert_int_equal(w.n_ends, 0);
    unsigned sent = echo_read(e, &e->n_sent) - 1000;
    assert_true(sent < MESSAGES / 2);
    crpc_async_resume(w.stream);
    watch_to_end(&w);
    assert_int_equal(w.n_messages, MESSAGES);
    assert_int_equal(w.status.code, ERR_OK);
}

/* A good end waits for the reader, with the messages before it; a bad one does not. */
static void test_end_while_paused(void **state)
{
    struct echo *e = *state;
    struct watch w = watch_new();
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    q.upto = 3;
    w.pause_at = 2;
    watch_count(e, &w, NULL, &q);
    watch_until(&w, &w.n_messages, 2);
    echo_wait_done(e, 1);
    assert_int_equal(crpc_loop_run(w.loop, 50), 0);
    assert_int_equal(w.n_messages, 2);
    assert_int_equal(w.n_ends, 0);
    crpc_async_resume(w.stream);
    watch_to_end(&w);
    assert_int_equal(w.n_messages, 3);
    assert_int_equal(w.status.code, ERR_OK);

    w = watch_new();
    q.upto = 3;
    w.pause_at = 2;
    watch_count(e, &w, NULL, &q);
    watch_until(&w, &w.n_messages, 2);
    crpc_async_cancel(w.stream);
    watch_to_end(&w);
    assert_int_equal(w.n_messages, 2);
    assert_int_equal(w.status.code, ERR_CANCELLED);
}

/* With nothing left to read there is nothing to wait for, and nobody could end it any more: neither a cancel nor the
 * deadline reaches a call that has ended. */
static void test_end_after_last_message(void **state)
{
    struct echo *e = *state;
    struct watch w = watch_new();
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    q.upto = 3;
    w.pause_at = 3;
    watch_count(e, &w, NULL, &q);
    watch_to_end(&w);
    assert_int_equal(w.n_messages, 3);
    assert_int_equal(w.status.code, ERR_OK);
}

static void test_paused_from_the_start(void **state)
{
    struct watch w = watch_new();
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    q.upto = 3;
    watch_count(*state, &w, NULL, &q);
    crpc_async_pause(w.stream);
    watch_until(&w, &w.n_initial, 1);
    assert_int_equal(crpc_loop_run(w.loop, 50), 0);
    assert_int_equal(w.n_messages, 0);
    crpc_async_resume(w.stream);
    crpc_async_resume(w.stream); /* harmless */
    watch_to_end(&w);
    assert_int_equal(w.n_messages, 3);
}

/* ---- many at once ---- */

static void test_many(void **state)
{
    enum { MANY = 100 };
    struct echo *e = *state;
    struct crpc_loop *loop = crpc_loop_new();
    struct watch *w = calloc(MANY, sizeof *w);
    for (int i = 0; i < MANY; i++) {
        w[i].loop = loop;
        crpc__test__v1__chat_request__init(&w[i].write);
        w[i].write.answers = 2;
        w[i].n_to_write = 20;
        w[i].close_after = true;
        watch_chat(e, &w[i], NULL);
        watch_write(&w[i], watch_write_chat);
    }
    while (crpc_loop_run(loop, PATIENCE_MS) > 0)
        ;
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(w[i].n_ends, 1);
        assert_int_equal(w[i].status.code, ERR_OK);
        assert_int_equal(w[i].n_messages, 40);
    }
    crpc_loop_free(loop);
    free(w);
}

/* ---- wakes ---- */

static void *wake(void *arg)
{
    for (int i = 0; i < 1000; i++)
        crpc_loop_wake(arg);
    return NULL;
}

static void test_wake(void **state)
{
    (void)state;
    struct crpc_loop *loop = crpc_loop_new();
    assert_int_equal(crpc_loop_run(loop, -1), 0); /* nothing under way, not held: at once */
    crpc_loop_hold(loop);
    int64_t before = clock_mono_ms();
    assert_int_equal(crpc_loop_run(loop, 30), 0);
    assert_true(clock_mono_ms() - before >= 29); /* held: it waits */
    crpc_loop_wake(loop);
    crpc_loop_wake(loop);
    assert_int_equal(crpc_loop_run(loop, -1), 0); /* a wake before the run counts */
    before = clock_mono_ms();
    assert_int_equal(crpc_loop_run(loop, 30), 0);
    assert_true(clock_mono_ms() - before >= 29); /* but once */
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, wake, loop);
    assert_int_equal(crpc_loop_run(loop, -1), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    crpc_loop_release(loop);
    crpc_loop_free(loop); /* with a wake perhaps still in it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, echo_setup, echo_teardown)
        T(test_server_stream),
        T(test_failing_stream),
        T(test_client_stream),
        T(test_no_response_message),
        T(test_chat),
        T(test_server_ends_first),
        T(test_write_backpressure),
        T(test_read_backpressure),
        T(test_end_while_paused),
        T(test_end_after_last_message),
        T(test_paused_from_the_start),
        T(test_many),
#undef T
        cmocka_unit_test(test_wake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
