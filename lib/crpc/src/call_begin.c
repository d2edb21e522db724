/* A call's beginning: past the interceptors, which may hold it until its turn comes, to the request and the handler.
 * Worker's thread only.
 *
 *   call_begin --> call_proceed: interceptors --> request, state --> the handler's first step
 *                    ^               | CRPC_HELD
 *                    '-- released <--' the payload waits as it came, and counts as if it were decoded */
#include "call.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "server_priv.h"

static atomic_ullong last_id;

static int run_before(struct crpc_call *call, struct err *ret_err)
{
    const struct crpc_server_options *o = &call->server->options;
    if (!call->start_us)
        call->start_us = clock_mono_us();
    for (; call->n_before < o->n_interceptors; call->n_before++) {
        const struct crpc_interceptor *i = &o->interceptors[call->n_before];
        int rc = i->before ? i->before(call, i->user, ret_err) : 0;
        if (rc == CRPC_HELD) {
            call->n_before++;
            return rc;
        }
        if (rc != 0) {
            if (ret_err->code == ERR_OK)
                ret_err->code = (enum err_code) - rc;
            return rc;
        }
    }
    return 0;
}

static int take_request(struct crpc_call *call, grpc_byte_buffer *payload, struct err *ret_err)
{
    enum crpc_kind kind = call->method->desc->kind;
    if (kind == CRPC_CLIENT_STREAM || kind == CRPC_BIDI_STREAM)
        return 0;
    if (!payload)
        return err_set(ret_err, ERR_UNIMPLEMENTED, "NO_REQUEST_MESSAGE", "the call came without a request message");
    return call_open(call, payload, &call->arena, &call->request, ret_err);
}

static void run_simple(struct crpc_call *call)
{
    const ProtobufCMessageDescriptor *desc = call->method->desc->output;
    struct err err = ERR_NONE;
    ProtobufCMessage *response = arena_alloc(&call->arena, desc->sizeof_message);
    int rc;
    if (response) {
        desc->message_init(response);
        rc = call->method->handler->simple(call, call->request, response, &err);
    } else {
        rc = err_set(&err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    }
    if (rc != 0 && err.code == ERR_OK)
        err.code = (enum err_code) - rc;
    call_end(call, rc ? &err : NULL, rc ? NULL : response);
}

/* 0 when the handler may run, or CRPC_HELD. */
static int prepare(struct crpc_call *call, grpc_byte_buffer *payload, struct err *ret_err)
{
    int rc = run_before(call, ret_err);
    if (rc != 0)
        return rc;
    rc = take_request(call, payload, ret_err);
    if (rc != 0)
        return rc;
    call->state = arena_zalloc(&call->arena, call->method->handler->state_size);
    return call->state ? 0 : err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

/* Until its turn. What waits undecoded counts as if it were decoded. */
static void hold(struct crpc_call *call, grpc_byte_buffer *payload)
{
    call->held = true;
    call->hold->payload = payload;
    call->hold->refused = payload && !charge_take(&call->charge, grpc_byte_buffer_length(payload));
    if (call->hold->refused) {
        grpc_byte_buffer_destroy(payload);
        call->hold->payload = NULL;
    }
}

/* From the interceptors that are still to be asked to the handler's beginning. Takes payload. */
static void call_proceed(struct crpc_call *call, grpc_byte_buffer *payload)
{
    const struct crpc_handler *h = call->method->handler;
    struct err err = ERR_NONE;
    int rc = prepare(call, payload, &err);
    if (rc == CRPC_HELD) {
        hold(call, payload);
        return;
    }
    if (call->hold && call->hold->armed) { /* asked for in vain */
        call->hold->armed = false;
        crpc_event_disarm(&call->hold->event);
    }
    if (rc != 0) {
        call_end(call, &err, NULL);
    } else {
        call->started = true;
        if (h->simple)
            run_simple(call);
        else
            chain_start(call, h->first);
    }
    if (payload)
        grpc_byte_buffer_destroy(payload);
}

static void call_released(struct crpc_event *ev, bool ok)
{
    (void)ok;
    struct crpc_call *call = ev->call;
    grpc_byte_buffer *payload = call->hold->payload;
    struct err err;
    call->held = call->hold->armed = false;
    charge_drop(&call->charge);
    if (!call->hold->refused && !call->cancelled && crpc_call_time_left_ms(call) > 0) {
        call_proceed(call, payload);
        return;
    }
    if (call->hold->refused)
        charge_refused(&err);
    else /* nobody sees it but after() */
        err_set(&err, ERR_DEADLINE_EXCEEDED, NULL, "the deadline passed");
    call_end(call, &err, NULL);
    if (payload)
        grpc_byte_buffer_destroy(payload);
}

struct tag *crpc_call_hold(struct crpc_call *call)
{
    if (!call->hold)
        call->hold = arena_zalloc(&call->arena, sizeof *call->hold);
    if (!call->hold)
        return NULL;
    if (!call->hold->armed) {
        call->hold->armed = true;
        crpc_event_arm(call, &call->hold->event);
        call->hold->event.on_done = call_released;
    }
    return &call->hold->event.tag;
}

void call_begin(struct crpc_call *call, const struct method *method, grpc_byte_buffer *payload,
                const struct err *refusal)
{
    struct station *st = station_of(call->worker);
    atomic_store_explicit(&st->calls, atomic_load_explicit(&st->calls, memory_order_relaxed) + 1, memory_order_relaxed);
    call->method = method;
    call->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
    for (size_t i = 0; i < CALL_LANES; i++)
        call->lanes[i].call = call;
    (void)crpc_call_peer(call); /* core forgets it when the stream is reset */
    call_arenas_start(call);

    /* Who does not look at cancellation (a simple handler cannot) gets its news with the status: one batch less for
     * each call. */
    const struct crpc_handler *h = method ? method->handler : NULL;
    call->close_late = h && (h->simple || h->ignores_cancel) && call->server->close_with_status;
    if (!call->close_late)
        call_close_start(call);

    if (refusal) {
        call_end(call, refusal, NULL);
        if (payload)
            grpc_byte_buffer_destroy(payload);
    } else {
        assert(h); /* a call without a method has a refusal */
        call_proceed(call, payload);
    }
    worker_ready(call->worker, &call->ready);
}
