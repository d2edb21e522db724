/* Handlers of EchoService; see echo_server.h. They run on the server's worker threads. */
#include "echo_handlers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"

#define PKG(name) Crpc__Test__V1__##name

static void call_done(struct crpc_call *call)
{
    struct echo *e = crpc_call_user(call);
    if (crpc_call_cancelled(call))
        echo_count_up(e, &e->n_cancelled);
    echo_count_up(e, &e->n_done);
}

static enum crpc_next no_memory(struct crpc_call *call)
{
    struct err err;
    err_set(&err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    return crpc_finish(call, &err);
}

/* ---- Say ---- */

/* Counts; true when this one is to be refused. */
static bool note_say(struct echo *e)
{
    pthread_mutex_lock(&e->mu);
    bool refused = e->n_refuse > 0;
    e->n_refuse -= refused;
    if (e->n_said < ECHO_TIMES)
        e->said_at_ms[e->n_said] = clock_mono_ms();
    e->n_said++;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->mu);
    return refused;
}

/* Metadata of the answer; the trailer holds every byte that there is. */
static int add_metadata(struct crpc_call *call, struct err *ret_err)
{
    char bytes[256];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)i;
    int rc = crpc_call_add_metadata(call, ECHO_INITIAL, span_str("yes"), ret_err);
    return rc < 0 ? rc : crpc_call_add_trailing_metadata(call, ECHO_TRAILING, span_of(bytes, sizeof bytes), ret_err);
}

static int echo_metadata(struct crpc_call *call, const char *key, PKG(SayResponse) * response, struct err *ret_err)
{
    struct span value = crpc_call_metadata(call, key);
    size_t len = strlen(key);
    bool binary = len > 4 && strcmp(key + len - 4, "-bin") == 0;
    char name[80];
    snprintf(name, sizeof name, "%.*s-echo%s", (int)(binary ? len - 4 : len), key, binary ? "-bin" : "");
    if (binary) {
        response->data.data = (uint8_t *)arena_span(crpc_call_arena(call), value).data;
        response->data.len = value.len;
    } else {
        response->metadata = arena_str(crpc_call_arena(call), value);
    }
    if (strncmp(key, "grpc-", 5) == 0)
        return 0; /* nobody's to send */
    int rc = crpc_call_add_trailing_metadata(call, name, value, ret_err);
    return rc < 0 ? rc : crpc_call_add_metadata(call, name, value, ret_err);
}

static int say(struct crpc_call *call, const ProtobufCMessage *message, ProtobufCMessage *ret_response,
               struct err *ret_err)
{
    const PKG(SayRequest) *request = (const void *)message;
    PKG(SayResponse) *response = (void *)ret_response;
    if (note_say(crpc_call_user(call)))
        return err_set(ret_err, ERR_UNAVAILABLE, "REFUSED", "refused as asked");
    if (request->fail_code) {
        err_set(ret_err, (enum err_code)request->fail_code, request->fail_reason, "failed as asked: %s", request->text);
        snprintf(ret_err->field, sizeof ret_err->field, "%s", request->fail_field);
        ret_err->retry_after_ms = request->fail_retry_ms;
        return -request->fail_code;
    }
    response->text = request->text;
    response->data = request->data;
    response->time_left_ms = crpc_call_time_left_ms(call);
    int rc = add_metadata(call, ret_err);
    return rc == 0 && request->metadata_key[0] ? echo_metadata(call, request->metadata_key, response, ret_err) : rc;
}

/* ---- Defer ---- */

struct defer {
    struct crpc_event event;
    struct crpc_signal signal;
};

static enum crpc_next defer_answer(struct crpc_call *call)
{
    struct echo *e = crpc_call_user(call);
    struct defer *d = crpc_call_state(call);
    PKG(DeferResponse) response = CRPC__TEST__V1__DEFER_RESPONSE__INIT;
    response.ok = d->event.ok;
    response.cancelled = crpc_call_cancelled(call);
    if (e->on_answer)
        e->on_answer(e);
    return crpc_test_v1_echo_service_defer_reply(call, &response);
}

/* A second chain that only looks out for the cancel. */
static enum crpc_next defer_gone(struct crpc_call *call)
{
    struct echo *e = crpc_call_user(call);
    if (crpc_call_cancelled(call))
        echo_count_up(e, &e->n_gone);
    return crpc_end(call);
}

static enum crpc_next defer_watch(struct crpc_call *call)
{
    static const struct crpc_step gone = {"defer_gone", defer_gone};
    struct defer *d = crpc_call_state(call);
    return crpc_await_signal(call, &d->signal, &gone);
}

static enum crpc_next defer_start(struct crpc_call *call)
{
    static const struct crpc_step watch = {"defer_watch", defer_watch};
    static const struct crpc_step answer = {"defer_answer", defer_answer};
    const PKG(DeferRequest) *request = crpc_test_v1_echo_service_defer_request(call);
    struct defer *d = crpc_call_state(call);
    crpc_signal_init(call, &d->signal);
    switch (request->wait) {
    case CRPC__TEST__V1__DEFER_REQUEST__WAIT__WAIT_EVENT:
        crpc_event_arm(call, &d->event);
        crpc_fork(call, &watch);
        echo_give_tag(crpc_call_user(call), &d->event.tag);
        return crpc_await(call, &d->event, &answer);
    case CRPC__TEST__V1__DEFER_REQUEST__WAIT__WAIT_SIGNAL:
        echo_give_tag(crpc_call_user(call), &d->signal.tag);
        return crpc_await_signal(call, &d->signal, &answer);
    case CRPC__TEST__V1__DEFER_REQUEST__WAIT__WAIT_TIME:
        echo_give_tag(crpc_call_user(call), &d->signal.tag);
        return crpc_await_signal_for(call, &d->signal, request->ms, &answer);
    default:
        return crpc_end(call); /* without an answer: a fault of the handler */
    }
}

static enum crpc_next persist_start(struct crpc_call *call)
{
    static const struct crpc_step answer = {"defer_answer", defer_answer};
    struct defer *d = crpc_call_state(call);
    crpc_event_arm(call, &d->event);
    echo_give_tag(crpc_call_user(call), &d->event.tag);
    return crpc_await(call, &d->event, &answer);
}

static void defer_done(struct crpc_call *call)
{
    struct defer *d = crpc_call_state(call);
    echo_forget_tag(crpc_call_user(call), &d->signal.tag);
    call_done(call);
}

/* ---- Count ---- */

struct count {
    struct crpc_signal signal;
    struct crpc_frame *frame;
    int number;
};

static enum crpc_next count_next(struct crpc_call *call);
static const struct crpc_step COUNT_NEXT = {"count_next", count_next};

static enum crpc_next count_sent(struct crpc_call *call)
{
    struct echo *e = crpc_call_user(call);
    if (crpc_call_sent(call))
        echo_count_up(e, &e->n_sent);
    return crpc_goto(call, &COUNT_NEXT);
}

static const struct crpc_step COUNT_SENT = {"count_sent", count_sent};

struct lent {
    struct echo *e;
    char data[];
};

static void lent_release(void *user)
{
    struct lent *lent = user;
    echo_count_up(lent->e, &lent->e->n_released);
    mem_free(lent);
}

/* The i-th byte of the n-th message is n + i. */
static enum crpc_next count_send_bytes(struct crpc_call *call, struct count *c, size_t len)
{
    PKG(CountResponse) response = CRPC__TEST__V1__COUNT_RESPONSE__INIT;
    struct lent *lent = mem_alloc(sizeof *lent + len);
    if (!lent)
        return no_memory(call);
    lent->e = crpc_call_user(call);
    response.number = ++c->number;
    for (size_t i = 0; i < len; i++)
        lent->data[i] = (char)(c->number + (int)i);
    struct crpc_bytes bytes = {.data = lent->data, .len = len, .release = lent_release, .user = lent};
    return crpc_send_bytes(call, &response.base, 2, &bytes, &COUNT_SENT);
}

static enum crpc_next count_send(struct crpc_call *call)
{
    const PKG(CountRequest) *request = crpc_test_v1_echo_service_count_request(call);
    struct count *c = crpc_call_state(call);
    if (request->bytes)
        return count_send_bytes(call, c, (size_t)request->size);
    if (c->frame) {
        c->number++;
        return crpc_send_frame(call, c->frame, &COUNT_SENT);
    }
    PKG(CountResponse) response = CRPC__TEST__V1__COUNT_RESPONSE__INIT;
    response.number = ++c->number;
    response.data.len = (size_t)request->size;
    response.data.data = arena_zalloc(crpc_call_arena(call), response.data.len);
    if (!response.data.data)
        return no_memory(call);
    if (!request->frames)
        return crpc_test_v1_echo_service_count_send(call, &response, &COUNT_SENT);
    c->frame = crpc_frame_encode(&response.base);
    return c->frame ? crpc_send_frame(call, c->frame, &COUNT_SENT) : no_memory(call);
}

static const struct crpc_step COUNT_SEND = {"count_send", count_send};

static enum crpc_next count_next(struct crpc_call *call)
{
    const PKG(CountRequest) *request = crpc_test_v1_echo_service_count_request(call);
    struct count *c = crpc_call_state(call);
    if (crpc_call_ended(call))
        return crpc_end(call);
    if (request->watch)
        return crpc_await_signal(call, &c->signal, &COUNT_SEND);
    if (c->number < request->upto)
        return crpc_goto(call, &COUNT_SEND);
    struct err err = ERR_NONE;
    if (request->fail_code)
        err_set(&err, (enum err_code)request->fail_code, "AFTER_ALL", "failed after all");
    return crpc_finish(call, &err);
}

static enum crpc_next count_cut(struct crpc_call *call)
{
    struct err err = ERR_NONE;
    err_set(&err, ERR_ABORTED, "TOO_SLOW", "nobody reads this");
    return crpc_cut(call, &err, crpc_test_v1_echo_service_count_request(call)->still_ms);
}

static const struct crpc_step COUNT_CUT = {"count_cut", count_cut};

static enum crpc_next count_wait_cut(struct crpc_call *call)
{
    struct count *c = crpc_call_state(call);
    return crpc_await_signal(call, &c->signal, &COUNT_CUT);
}

static const struct crpc_step COUNT_WAIT_CUT = {"count_wait_cut", count_wait_cut};

static enum crpc_next count_start(struct crpc_call *call)
{
    struct count *c = crpc_call_state(call);
    if (crpc_test_v1_echo_service_count_request(call)->cut)
        crpc_fork(call, &COUNT_WAIT_CUT);
    crpc_signal_init(call, &c->signal);
    if (add_metadata(call, NULL) < 0)
        return no_memory(call);
    echo_give_tag(crpc_call_user(call), &c->signal.tag);
    return crpc_goto(call, &COUNT_NEXT);
}

static void count_done(struct crpc_call *call)
{
    struct count *c = crpc_call_state(call);
    echo_forget_tag(crpc_call_user(call), &c->signal.tag);
    crpc_frame_unref(c->frame);
    call_done(call);
}

/* ---- Sum ---- */

struct sum {
    int64_t sum;
    int32_t count;
};

static enum crpc_next sum_got(struct crpc_call *call)
{
    static const struct crpc_step again = {"sum_got", sum_got};
    const PKG(SumRequest) *request = crpc_test_v1_echo_service_sum_received(call);
    struct echo *e = crpc_call_user(call);
    struct sum *s = crpc_call_state(call);
    if (!request) {
        if (crpc_call_cancelled(call))
            return crpc_end(call);
        echo_count_up(e, &e->n_ends);
        PKG(SumResponse) response = CRPC__TEST__V1__SUM_RESPONSE__INIT;
        response.sum = s->sum;
        response.count = s->count;
        return crpc_test_v1_echo_service_sum_reply(call, &response);
    }
    if (request->number < 0) { /* while the client goes on writing */
        struct err err;
        err_set(&err, ERR_OUT_OF_RANGE, "NEGATIVE", "negative number");
        return crpc_finish(call, &err);
    }
    s->sum += request->number;
    s->count++;
    echo_count_up(e, &e->n_received);
    return crpc_recv(call, &again);
}

static enum crpc_next sum_start(struct crpc_call *call)
{
    static const struct crpc_step got = {"sum_got", sum_got};
    if (add_metadata(call, NULL) < 0)
        return no_memory(call);
    return crpc_recv(call, &got);
}

/* ---- Chat: one chain reads, one writes ---- */

struct chat {
    struct crpc_signal more;
    int due; /* answers */
    int size;
    bool input_over, writer_finishes;
};

static enum crpc_next chat_got(struct crpc_call *call)
{
    static const struct crpc_step again = {"chat_got", chat_got};
    const PKG(ChatRequest) *request = crpc_test_v1_echo_service_chat_received(call);
    struct echo *e = crpc_call_user(call);
    struct chat *c = crpc_call_state(call);
    if (!request) {
        c->input_over = true;
        crpc_signal_raise(&c->more);
        return crpc_end(call);
    }
    if (request->finish_code) {
        struct err err;
        err_set(&err, (enum err_code)request->finish_code, "READER_FINISHED", "the reading chain finished");
        return crpc_finish(call, &err);
    }
    c->due += request->answers;
    c->size = request->size;
    c->writer_finishes |= request->writer_finishes != 0;
    crpc_signal_raise(&c->more);
    echo_count_up(e, &e->n_received);
    return crpc_recv(call, &again);
}

static enum crpc_next chat_write(struct crpc_call *call);
static const struct crpc_step CHAT_WRITE = {"chat_write", chat_write};

static enum crpc_next chat_sent(struct crpc_call *call)
{
    struct echo *e = crpc_call_user(call);
    if (crpc_call_sent(call))
        echo_count_up(e, &e->n_sent);
    return crpc_goto(call, &CHAT_WRITE);
}

static enum crpc_next chat_write(struct crpc_call *call)
{
    static const struct crpc_step sent = {"chat_sent", chat_sent};
    struct chat *c = crpc_call_state(call);
    if (crpc_call_ended(call))
        return crpc_end(call);
    if (c->due > 0) {
        PKG(ChatResponse) response = CRPC__TEST__V1__CHAT_RESPONSE__INIT;
        c->due--;
        response.text = "answer";
        response.data.len = (size_t)c->size;
        response.data.data = arena_zalloc(crpc_call_arena(call), response.data.len);
        if (!response.data.data)
            return no_memory(call);
        return crpc_test_v1_echo_service_chat_send(call, &response, &sent);
    }
    if (c->input_over || c->writer_finishes)
        return crpc_finish(call, NULL);
    return crpc_await_signal(call, &c->more, &CHAT_WRITE);
}

static enum crpc_next chat_start(struct crpc_call *call)
{
    static const struct crpc_step got = {"chat_got", chat_got};
    struct chat *c = crpc_call_state(call);
    crpc_signal_init(call, &c->more);
    if (add_metadata(call, NULL) < 0)
        return no_memory(call);
    crpc_fork(call, &CHAT_WRITE);
    return crpc_recv(call, &got);
}

static const struct crpc_step DEFER = {"defer_start", defer_start};
static const struct crpc_step PERSIST = {"persist_start", persist_start};
static const struct crpc_step COUNT = {"count_start", count_start};
static const struct crpc_step SUM = {"sum_start", sum_start};
static const struct crpc_step CHAT = {"chat_start", chat_start};
const struct crpc_test_v1_echo_service_handlers ECHO_HANDLERS = {
    .say = {.simple = say},
    .defer = {.first = &DEFER, .state_size = sizeof(struct defer), .done = defer_done},
    .persist = {.first = &PERSIST, .state_size = sizeof(struct defer), .ignores_cancel = true, .done = call_done},
    .count = {.first = &COUNT, .state_size = sizeof(struct count), .done = count_done},
    .sum = {.first = &SUM, .state_size = sizeof(struct sum), .done = call_done},
    .chat = {.first = &CHAT, .state_size = sizeof(struct chat), .done = call_done},
};
