/* Streams on a loop: all three kinds, order of events, back-pressure both ways, cancels and deadlines at each stage,
 * and loops that other threads wake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "echo_server.h"

typedef Crpc__Test__V1__CountRequest count_request;
typedef Crpc__Test__V1__SumRequest sum_request;
typedef Crpc__Test__V1__ChatRequest chat_request;

enum { PATIENCE_MS = 20000 };

/* What a stream told, and what the test wants done when it does. */
struct watch {
    struct crpc_loop *loop;
    struct crpc_async *stream;
    int n_initial, n_messages, n_writable, n_ends;
    bool has_initial, has_trailing; /* ECHO_INITIAL, ECHO_TRAILING were there */
    int64_t last;                   /* number or sum of the last message */
    struct err status;
    int n_to_write; /* by on_writable */
    int pause_at;   /* message after which to pause; 0: never */
    int cancel_at;  /* message after which to cancel; 0: never */
    bool cancel_in_initial;
    bool close_after; /* the last write */
    chat_request write;
};

static void initial(struct crpc_async *s, const struct crpc_metadata_list *list)
{
    struct watch *w = crpc_async_user(s);
    assert_int_equal(w->n_messages, 0);
    assert_int_equal(w->n_ends, 0);
    w->n_initial++;
    const struct crpc_metadata *md = crpc_metadata_find(list, ECHO_INITIAL);
    w->has_initial = md && span_eq(md->value, SPAN_LIT("yes"));
    if (w->cancel_in_initial)
        crpc_async_cancel(s);
}

static void message(struct watch *w)
{
    assert_int_equal(w->n_initial, 1);
    assert_int_equal(w->n_ends, 0);
    w->n_messages++;
    if (w->n_messages == w->pause_at)
        crpc_async_pause(w->stream);
    if (w->n_messages == w->cancel_at)
        crpc_async_cancel(w->stream);
}

static void count_message(struct crpc_async *s, const ProtobufCMessage *msg)
{
    struct watch *w = crpc_async_user(s);
    const Crpc__Test__V1__CountResponse *r = crpc_test_v1_echo_service_count_message(msg);
    assert_true(r->number == w->last + 1);
    w->last = r->number;
    message(w);
}

static void sum_message(struct crpc_async *s, const ProtobufCMessage *msg)
{
    struct watch *w = crpc_async_user(s);
    w->last = crpc_test_v1_echo_service_sum_message(msg)->sum;
    message(w);
}

static void chat_message(struct crpc_async *s, const ProtobufCMessage *msg)
{
    assert_string_equal(crpc_test_v1_echo_service_chat_message(msg)->text, "answer");
    message(crpc_async_user(s));
}

static void go_on(struct watch *w, bool (*write)(struct watch *w))
{
    while (w->n_to_write > 0 && crpc_async_writable(w->stream)) {
        w->n_to_write--;
        assert_true(write(w));
    }
    if (w->n_to_write == 0 && w->close_after) {
        w->close_after = false;
        crpc_async_close_write(w->stream); /* behind the write under way */
    }
}

static bool sum_write(struct watch *w)
{
    sum_request q = CRPC__TEST__V1__SUM_REQUEST__INIT;
    q.number = 2;
    return crpc_test_v1_echo_service_sum_push(w->stream, &q, NULL) == 0;
}

static bool chat_write(struct watch *w)
{
    return crpc_test_v1_echo_service_chat_push(w->stream, &w->write, NULL) == 0;
}

static void sum_writable(struct crpc_async *s)
{
    struct watch *w = crpc_async_user(s);
    w->n_writable++;
    go_on(w, sum_write);
}

static void chat_writable(struct crpc_async *s)
{
    struct watch *w = crpc_async_user(s);
    w->n_writable++;
    go_on(w, chat_write);
}

static void end(struct crpc_async *s, const struct err *status, const struct crpc_metadata_list *trailing)
{
    struct watch *w = crpc_async_user(s);
    assert_int_equal(w->n_initial, 1); /* always, if only with nothing */
    assert_int_equal(w->n_ends, 0);
    w->n_ends++;
    w->status = *status;
    const struct crpc_metadata *md = crpc_metadata_find(trailing, ECHO_TRAILING);
    w->has_trailing = md && md->value.len == 256 && (unsigned char)md->value.data[255] == 255 && !md->value.data[0];
    struct err err = ERR_NONE; /* what comes too late is refused, not fatal */
    assert_int_equal(crpc_test_v1_echo_service_chat_push(s, &w->write, &err), -ERR_UNAVAILABLE);
    assert_string_equal(err.reason, "CALL_ENDED");
    assert_false(crpc_async_writable(s));
    crpc_async_close_write(s);
    crpc_async_resume(s);
    crpc_async_cancel(s);
}

static const struct crpc_async_events COUNT = {initial, count_message, NULL, end};
static const struct crpc_async_events SUM = {initial, sum_message, sum_writable, end};
static const struct crpc_async_events CHAT = {initial, chat_message, chat_writable, end};

static struct watch watch_new(void)
{
    struct watch w = {.loop = crpc_loop_new()};
    crpc__test__v1__chat_request__init(&w.write);
    w.write.answers = 1;
    return w;
}

static void run_to_end(struct watch *w)
{
    while (w->n_ends == 0)
        if (crpc_loop_run(w->loop, PATIENCE_MS) == 0)
            fail_msg("nothing happened any more");
    assert_int_equal(crpc_loop_run(w->loop, 0), 0);
    crpc_loop_free(w->loop);
}

static void run_until(struct watch *w, const int *counter, int n)
{
    while (*counter < n)
        if (crpc_loop_run(w->loop, PATIENCE_MS) == 0)
            fail_msg("nothing happened any more");
}

static void start_count(struct echo *e, struct watch *w, const struct crpc_call_options *o, const count_request *q)
{
    struct err err = ERR_NONE;
    w->stream = crpc_test_v1_echo_service_count_start(e->channel, w->loop, o, q, &COUNT, w, &err);
    if (!w->stream)
        fail_msg("start: %s", err.msg);
}

static void start_chat(struct echo *e, struct watch *w, const struct crpc_call_options *o)
{
    struct err err = ERR_NONE;
    w->stream = crpc_test_v1_echo_service_chat_start(e->channel, w->loop, o, &CHAT, w, &err);
    if (!w->stream)
        fail_msg("start: %s", err.msg);
}

static void start_sum(struct echo *e, struct watch *w)
{
    w->stream = crpc_test_v1_echo_service_sum_start(e->channel, w->loop, NULL, &SUM, w, NULL);
    assert_non_null(w->stream);
}

/* ---- the three kinds ---- */

static void test_server_stream(void **state)
{
    struct watch w = watch_new();
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    q.upto = 1000;
    q.size = 600; /* more than the stream has room for by itself */
    start_count(*state, &w, NULL, &q);
    struct err err = ERR_NONE;
    assert_int_equal(crpc_test_v1_echo_service_chat_push(w.stream, &w.write, &err), -ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "WRITE_CLOSED");
    run_to_end(&w);
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
    start_count(*state, &w, NULL, &q);
    run_to_end(&w);
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
    start_sum(e, &w);
    go_on(&w, sum_write);
    run_to_end(&w);
    assert_int_equal(w.status.code, ERR_OK);
    assert_int_equal(w.last, 2000);
    assert_int_equal(w.n_messages, 1);
    assert_int_equal(w.n_writable, 999); /* the close goes out in place of the last */
    assert_int_equal(e->n_ends, 1);
}

static void test_no_response_message(void **state)
{
    struct echo *e = *state;
    struct watch w = watch_new();
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    struct crpc_method as_sum = crpc_test_v1_echo_service.methods[CRPC_TEST_V1_ECHO_SERVICE_COUNT];
    as_sum.kind = CRPC_CLIENT_STREAM;
    w.stream = crpc_async_start(e->channel, w.loop, &as_sum, NULL, NULL, &CHAT, &w, NULL);
    assert_int_equal(crpc_async_write(w.stream, &q.base, NULL), 0);
    crpc_async_close_write(w.stream);
    run_to_end(&w);
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
    start_chat(*state, &w, NULL);
    go_on(&w, chat_write);
    run_to_end(&w);
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
    start_chat(e, &w, NULL);
    go_on(&w, chat_write);
    run_to_end(&w);
    assert_int_equal(w.status.code, ERR_OK);
    assert_int_equal(w.n_messages, 2);
    echo_wait_done(e, 1);
    assert_int_equal(e->n_cancelled, 0);
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
    start_chat(*state, &w, NULL);
    assert_true(crpc_async_writable(w.stream));
    assert_int_equal(crpc_test_v1_echo_service_chat_push(w.stream, &w.write, &err), 0);
    assert_false(crpc_async_writable(w.stream));
    assert_int_equal(crpc_test_v1_echo_service_chat_push(w.stream, &w.write, &err), -ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "WRITE_UNDER_WAY");
    run_until(&w, &w.n_writable, 1);
    assert_true(crpc_async_writable(w.stream));
    assert_int_equal(crpc_test_v1_echo_service_chat_push(w.stream, &w.write, &err), 0);
    crpc_async_close_write(w.stream);
    crpc_async_close_write(w.stream); /* harmless */
    assert_int_equal(crpc_test_v1_echo_service_chat_push(w.stream, &w.write, &err), -ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "WRITE_CLOSED");
    run_to_end(&w);
    assert_int_equal(w.status.code, ERR_OK);
    assert_int_equal(((struct echo *)*state)->n_received, 2);
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
    start_count(e, &w, NULL, &q);
    run_until(&w, &w.n_messages, 1);
    /* Only the pause stands in the way: another stream on the same loop and connection runs through meanwhile. */
    crpc_loop_free(other.loop);
    other.loop = w.loop;
    count_request small = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    small.upto = 1000;
    start_count(e, &other, NULL, &small);
    run_until(&other, &other.n_ends, 1);
    assert_int_equal(other.n_messages, 1000);
    assert_int_equal(w.n_messages, 1);
    assert_int_equal(w.n_ends, 0);
    pthread_mutex_lock(&e->mu);
    unsigned sent = e->n_sent - 1000;
    pthread_mutex_unlock(&e->mu);
    assert_true(sent < MESSAGES / 2);
    crpc_async_resume(w.stream);
    run_to_end(&w);
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
    start_count(e, &w, NULL, &q);
    run_until(&w, &w.n_messages, 2);
    echo_wait_done(e, 1);
    assert_int_equal(crpc_loop_run(w.loop, 50), 0);
    assert_int_equal(w.n_messages, 2);
    assert_int_equal(w.n_ends, 0);
    crpc_async_resume(w.stream);
    run_to_end(&w);
    assert_int_equal(w.n_messages, 3);
    assert_int_equal(w.status.code, ERR_OK);

    w = watch_new();
    q.upto = 3;
    w.pause_at = 2;
    start_count(e, &w, NULL, &q);
    run_until(&w, &w.n_messages, 2);
    crpc_async_cancel(w.stream);
    run_to_end(&w);
    assert_int_equal(w.n_messages, 2);
    assert_int_equal(w.status.code, ERR_CANCELLED);
}

static void test_paused_from_the_start(void **state)
{
    struct watch w = watch_new();
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    q.upto = 3;
    start_count(*state, &w, NULL, &q);
    crpc_async_pause(w.stream);
    run_until(&w, &w.n_initial, 1);
    assert_int_equal(crpc_loop_run(w.loop, 50), 0);
    assert_int_equal(w.n_messages, 0);
    crpc_async_resume(w.stream);
    crpc_async_resume(w.stream); /* harmless */
    run_to_end(&w);
    assert_int_equal(w.n_messages, 3);
}

/* ---- cancels and deadlines at each stage ---- */

static void test_cancel_at_once(void **state)
{
    struct watch w = watch_new();
    start_chat(*state, &w, NULL);
    crpc_async_cancel(w.stream);
    run_to_end(&w);
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
    start_count(*state, &w, NULL, &q);
    run_to_end(&w);
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
    start_count(e, &w, NULL, &q);
    run_to_end(&w);
    assert_int_equal(w.status.code, ERR_CANCELLED);
    assert_true(w.n_messages >= 5 && w.n_messages < 100);
    echo_wait_done(e, 1);
    assert_int_equal(e->n_cancelled, 1);
}

static void test_cancel_during_write(void **state)
{
    struct echo *e = *state;
    struct watch w = watch_new();
    w.write.answers = 1000; /* nobody reads: the server stands still, then so does this side */
    w.write.size = 100000;
    w.n_to_write = 1;
    start_chat(e, &w, NULL);
    crpc_async_pause(w.stream);
    go_on(&w, chat_write);
    run_until(&w, &w.n_writable, 1);
    echo_wait_received(e, 1);
    char *text = malloc(3 << 20);
    memset(text, 't', 3 << 20);
    text[(3 << 20) - 1] = '\0';
    w.write.text = text;
    assert_true(chat_write(&w));
    assert_false(crpc_async_writable(w.stream));
    crpc_async_cancel(w.stream);
    run_to_end(&w);
    free(text);
    assert_int_equal(w.status.code, ERR_CANCELLED);
    echo_wait_done(e, 1);
    assert_int_equal(e->n_cancelled, 1);
}

static void test_deadlines(void **state)
{
    struct echo *e = *state;
    struct crpc_call_options o = {.timeout_ms = -1};
    struct watch w = watch_new(); /* over before it began */
    start_chat(e, &w, &o);
    run_to_end(&w);
    assert_int_equal(w.status.code, ERR_DEADLINE_EXCEEDED);

    o.timeout_ms = 100; /* before any answer */
    w = watch_new();
    start_chat(e, &w, &o);
    run_to_end(&w);
    assert_int_equal(w.status.code, ERR_DEADLINE_EXCEEDED);
    assert_int_equal(w.n_messages, 0);

    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT; /* between messages */
    q.watch = 1;
    o.timeout_ms = 300;
    w = watch_new();
    unsigned before = e->n_tags;
    start_count(e, &w, &o, &q);
    echo_wait_tags(e, before + 1);
    echo_post(e, before, true, false);
    run_to_end(&w);
    assert_int_equal(w.status.code, ERR_DEADLINE_EXCEEDED);
    assert_int_equal(w.n_messages, 1);

    q.watch = 0; /* while the reader pauses */
    q.upto = 1000;
    q.size = 100000;
    w = watch_new();
    w.pause_at = 1;
    start_count(e, &w, &o, &q);
    run_to_end(&w);
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
    w.stream = crpc_async_start(e->channel, w.loop, &say, NULL, &q.base, &CHAT, &w, NULL);
    run_to_end(&w);
    assert_int_equal(w.status.code, ERR_INTERNAL);
    assert_int_equal(w.n_messages, 0);
}

static void test_refused_start(void **state)
{
    struct echo *e = *state;
    struct watch w = watch_new();
    struct err err = ERR_NONE;
    struct crpc_call_options o = {.metadata = &(struct crpc_metadata){"BAD", SPAN_LIT("")}, .n_metadata = 1};
    assert_null(crpc_test_v1_echo_service_chat_start(e->channel, w.loop, &o, &CHAT, &w, &err));
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_int_equal(crpc_loop_run(w.loop, -1), 0);
    assert_int_equal(w.n_ends, 0);
    crpc_loop_free(w.loop);
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
        start_chat(e, &w[i], NULL);
        go_on(&w[i], chat_write);
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
    start_chat(e, &w, &o);
    pthread_create(&thread, NULL, cancel_later, (void *[]){e, cancel});
    go_on(&w, chat_write);
    run_to_end(&w);
    pthread_join(thread, NULL);
    assert_int_equal(w.status.code, ERR_CANCELLED);
    crpc_cancel_free(cancel);
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
        T(test_paused_from_the_start),
        T(test_cancel_at_once),
        T(test_cancel_in_initial),
        T(test_cancel_in_message),
        T(test_cancel_during_write),
        T(test_deadlines),
        T(test_malformed),
        T(test_refused_start),
        T(test_many),
        T(test_cancel_from_other_thread),
#undef T
        cmocka_unit_test(test_wake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
