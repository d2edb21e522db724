/* See async_watch.h. */
#include "async_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

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

void watch_write(struct watch *w, bool (*write)(struct watch *w))
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

bool watch_write_sum(struct watch *w)
{
    sum_request q = CRPC__TEST__V1__SUM_REQUEST__INIT;
    q.number = 2;
    return crpc_test_v1_echo_service_sum_push(w->stream, &q, NULL) == 0;
}

bool watch_write_chat(struct watch *w)
{
    return crpc_test_v1_echo_service_chat_push(w->stream, &w->write, NULL) == 0;
}

static void sum_writable(struct crpc_async *s)
{
    struct watch *w = crpc_async_user(s);
    w->n_writable++;
    watch_write(w, watch_write_sum);
}

static void chat_writable(struct crpc_async *s)
{
    struct watch *w = crpc_async_user(s);
    w->n_writable++;
    watch_write(w, watch_write_chat);
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

const struct crpc_async_events EVENTS_OF_COUNT = {initial, count_message, NULL, end};
const struct crpc_async_events EVENTS_OF_SUM = {initial, sum_message, sum_writable, end};
const struct crpc_async_events EVENTS_OF_CHAT = {initial, chat_message, chat_writable, end};

struct watch watch_new(void)
{
    struct watch w = {.loop = crpc_loop_new()};
    crpc__test__v1__chat_request__init(&w.write);
    w.write.answers = 1;
    return w;
}

void watch_to_end(struct watch *w)
{
    while (w->n_ends == 0)
        if (crpc_loop_run(w->loop, PATIENCE_MS) == 0)
            fail_msg("nothing happened any more");
    assert_int_equal(crpc_loop_run(w->loop, 0), 0);
    crpc_loop_free(w->loop);
}

void watch_until(struct watch *w, const int *counter, int n)
{
    while (*counter < n)
        if (crpc_loop_run(w->loop, PATIENCE_MS) == 0)
            fail_msg("nothing happened any more");
}

void watch_count(struct echo *e, struct watch *w, const struct crpc_call_options *o, const count_request *q)
{
    struct err err = ERR_NONE;
    w->stream = crpc_test_v1_echo_service_count_start(e->channel, w->loop, o, q, &EVENTS_OF_COUNT, w, &err);
    if (!w->stream)
        fail_msg("start: %s", err.msg);
}

void watch_chat(struct echo *e, struct watch *w, const struct crpc_call_options *o)
{
    struct err err = ERR_NONE;
    w->stream = crpc_test_v1_echo_service_chat_start(e->channel, w->loop, o, &EVENTS_OF_CHAT, w, &err);
    if (!w->stream)
        fail_msg("start: %s", err.msg);
}

void watch_sum(struct echo *e, struct watch *w)
{
    w->stream = crpc_test_v1_echo_service_sum_start(e->channel, w->loop, NULL, &EVENTS_OF_SUM, w, NULL);
    assert_non_null(w->stream);
}
