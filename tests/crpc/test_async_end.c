/* How streams on a loop end before their time: cancels and deadlines at each stage, faults of either side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "async_watch.h"

/* ---- cancels and deadlines at each stage ---- */

static void test_cancel_at_once(void **state)
{
    struct watch w = watch_new();
    watch_chat(*state, &w, NULL);
    crpc_async_cancel(w.stream);
    watch_to_end(&w);
    assert_int_equal(w.status.code, ERR_CANCELLED);
    assert_int_equal(w.n_messages, 0);
}

static void test_cancel_in_initial(void **state)
{
    struct watch w = watch_new();
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    q.upto = 100;
    q.size = 1 << 20;
    w.cancel_in_initial = true;
    watch_count(*state, &w, NULL, &q);
    watch_to_end(&w);
    assert_int_equal(w.status.code, ERR_CANCELLED);
    assert_true(w.n_messages < 100);
}

static void test_cancel_in_message(void **state)
{
    struct echo *e = *state;
    struct watch w = watch_new();
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    q.upto = 100;
    q.size = 1 << 20;
    w.cancel_at = 5;
    watch_count(e, &w, NULL, &q);
    watch_to_end(&w);
    assert_int_equal(w.status.code, ERR_CANCELLED);
    assert_true(w.n_messages >= 5 && w.n_messages < 100);
    echo_wait_done(e, 1);
    assert_int_equal(echo_read(e, &e->n_cancelled), 1);
}

static void test_cancel_during_write(void **state)
{
    struct echo *e = *state;
    struct watch w = watch_new();
    w.write.answers = 1000; /* nobody reads: the server stands still, then so does this side */
    w.write.size = 100000;
    w.n_to_write = 1;
    watch_chat(e, &w, NULL);
    crpc_async_pause(w.stream);
    watch_write(&w, watch_write_chat);
    watch_until(&w, &w.n_writable, 1);
    echo_wait_received(e, 1);
    char *text = malloc(3 << 20);
    memset(text, 't', 3 << 20);
    text[(3 << 20) - 1] = '\0';
    w.write.text = text;
    assert_true(watch_write_chat(&w));
    assert_false(crpc_async_writable(w.stream));
    crpc_async_cancel(w.stream);
    watch_to_end(&w);
    free(text);
    assert_int_equal(w.status.code, ERR_CANCELLED);
    echo_wait_done(e, 1);
    assert_int_equal(echo_read(e, &e->n_cancelled), 1);
}

static void test_deadlines(void **state)
{
    struct echo *e = *state;
    struct crpc_call_options o = {.timeout_ms = -1};
    struct watch w = watch_new(); /* over before it began */
    watch_chat(e, &w, &o);
    watch_to_end(&w);
    assert_int_equal(w.status.code, ERR_DEADLINE_EXCEEDED);

    o.timeout_ms = 100; /* before any answer */
    w = watch_new();
    watch_chat(e, &w, &o);
    watch_to_end(&w);
    assert_int_equal(w.status.code, ERR_DEADLINE_EXCEEDED);
    assert_int_equal(w.n_messages, 0);

    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT; /* between messages */
    q.watch = 1;
    o.timeout_ms = 300;
    w = watch_new();
    unsigned before = echo_read(e, &e->n_tags);
    watch_count(e, &w, &o, &q);
    echo_wait_tags(e, before + 1);
    echo_post(e, before, true, false);
    watch_to_end(&w);
    assert_int_equal(w.status.code, ERR_DEADLINE_EXCEEDED);
    assert_int_equal(w.n_messages, 1);

    q.watch = 0; /* while the reader pauses */
    q.upto = 1000;
    q.size = 100000;
    w = watch_new();
    w.pause_at = 1;
    watch_count(e, &w, &o, &q);
    watch_to_end(&w);
    assert_int_equal(w.status.code, ERR_DEADLINE_EXCEEDED);
}

/* A message that is none ends the call, with the server's fault as its status. */
static void test_malformed(void **state)
{
    struct echo *e = *state;
    struct watch w = watch_new();
    Crpc__Test__V1__SayRequest q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    q.data.data = (uint8_t *)"\xff\xfe";
    q.data.len = 2;
    struct crpc_method say = crpc_test_v1_echo_service.methods[CRPC_TEST_V1_ECHO_SERVICE_SAY];
    say.kind = CRPC_SERVER_STREAM;
    say.output = &crpc__test__v1__text_response__descriptor; /* its data must be UTF-8 */
    w.stream = crpc_async_start(e->channel, w.loop, &say, NULL, &q.base, &EVENTS_OF_CHAT, &w, NULL);
    watch_to_end(&w);
    assert_int_equal(w.status.code, ERR_INTERNAL);
    assert_int_equal(w.n_messages, 0);
}

static void test_refused_start(void **state)
{
    struct echo *e = *state;
    struct watch w = watch_new();
    struct err err = ERR_NONE;
    struct crpc_call_options o = {.metadata = &(struct crpc_metadata){"BAD", SPAN_LIT("")}, .n_metadata = 1};
    assert_null(crpc_test_v1_echo_service_chat_start(e->channel, w.loop, &o, &EVENTS_OF_CHAT, &w, &err));
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_int_equal(crpc_loop_run(w.loop, -1), 0);
    assert_int_equal(w.n_ends, 0);
    crpc_loop_free(w.loop);
}

static void *cancel_later(void *arg)
{
    void **args = arg;
    echo_wait_received(args[0], 1);
    crpc_cancel_fire(args[1]);
    return NULL;
}

static void test_cancel_from_other_thread(void **state)
{
    struct echo *e = *state;
    struct watch w = watch_new();
    struct crpc_cancel *cancel = crpc_cancel_new();
    struct crpc_call_options o = {.cancel = cancel};
    pthread_t thread;
    w.n_to_write = 1;
    w.write.answers = 0;
    watch_chat(e, &w, &o);
    pthread_create(&thread, NULL, cancel_later, (void *[]){e, cancel});
    watch_write(&w, watch_write_chat);
    watch_to_end(&w);
    pthread_join(thread, NULL);
    assert_int_equal(w.status.code, ERR_CANCELLED);
    crpc_cancel_free(cancel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, echo_setup, echo_teardown)
        T(test_cancel_at_once), T(test_cancel_in_initial), T(test_cancel_in_message), T(test_cancel_during_write),
        T(test_deadlines),      T(test_malformed),         T(test_refused_start),     T(test_cancel_from_other_thread),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
