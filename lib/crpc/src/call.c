/* A call's batches and its end, and the objects that calls live in; see call.h. Worker's thread only. How it begins is
 * in call_begin.c, what its steps may ask in call_api.c. */
#include "call.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include <grpc/support/alloc.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "metadata.h"
#include "server_priv.h"
#include "status.h"

/* Behind each call object, for request, response and the handler's state; more comes from the heap. A stream that
 * receives splits its part in two. */
static const size_t call_memory[CALL_CLASSES] = {[CALL_SHORT] = 4096, [CALL_LONG] = 1280};
/* Objects at rest kept for reuse, per worker and class; beyond that a burst gives its memory back. */
enum { CALL_IDLE_MAX = 1024, LIVED_US = 1000000 /* a call that did is no reset */ };

static void call_batch(struct crpc_call *call, const grpc_op *ops, size_t n, struct op *op)
{
    grpc_call_error e = grpc_call_start_batch(call->core, ops, n, op, NULL);
    assert(e == GRPC_CALL_OK); /* anything else is our bug, says grpc.h */
    (void)e;
    call->pending++;
}

static void op_arrived(struct crpc_call *call)
{
    call->pending--;
    worker_ready(call->worker, &call->ready);
}

static void lost(struct crpc_call *call)
{
    call->cancelled = true;
    chain_wake_signals(call);
}

static void closed(struct crpc_call *call)
{
    if (call->close_cancelled)
        lost(call);
}

static void close_done(struct op *op, bool ok)
{
    (void)ok; /* always succeeds */
    struct crpc_call *call = CONTAINER_OF(op, struct crpc_call, op_close);
    closed(call);
    op_arrived(call);
}

static void status_start(struct crpc_call *call);

static void send_done(struct op *op, bool ok)
{
    struct crpc_call *call = CONTAINER_OF(op, struct crpc_call, op_send);
    call->sending = false;
    call->sent = ok;
    bytes_drop(&call->out);
    if (call->ended && !call->cancelled && !call->cut)
        status_start(call);
    chain_wake(call, LANE_SEND);
    op_arrived(call);
}

static void status_done(struct op *op, bool ok)
{
    (void)ok; /* a peer that is gone shows as cancelled */
    struct crpc_call *call = CONTAINER_OF(op, struct crpc_call, op_status);
    if (call->replying)
        bytes_drop(&call->out);
    if (call->close_late)
        closed(call);
    op_arrived(call);
}

static void recv_done(struct op *op, bool ok)
{
    struct crpc_call *call = CONTAINER_OF(op, struct crpc_call, op_recv);
    grpc_byte_buffer *in = call->in;
    call->in = NULL;
    bool drop = false;
    /* A lost stream shows here first and in op_close right after; its handler must not take it for the client's end. */
    if (!in && !call->ended && (!ok || grpc_call_failed_before_recv_message(call->core)))
        lost(call);
    if (in && ok && !call->cancelled && !call->ended) {
        struct err err = ERR_NONE;
        if (call_open(call, in, &call->recv_arena, &call->received, &err) < 0) {
            call_end(call, &err, NULL);
            drop = true;
        }
    }
    if (in)
        grpc_byte_buffer_destroy(in);
    if (drop)
        chain_drop(call, LANE_RECV);
    else
        chain_wake(call, LANE_RECV);
    op_arrived(call);
}

static struct crpc_call *call_new(struct worker *w, enum call_class size_class)
{
    struct crpc_call *call = mem_alloc(sizeof *call + call_memory[size_class]);
    if (!call)
        return NULL;
    memset(call, 0, sizeof *call);
    call->size_class = size_class;
    call->worker = w;
    call->server = station_of(w)->server;
    call->ready.run = call_run;
    call->op_close.done = close_done;
    call->op_recv.done = recv_done;
    call->op_send.done = send_done;
    call->op_status.done = status_done;
    grpc_metadata_array_init(&call->metadata);
    bytes_init(&call->out);
    return call;
}

struct crpc_call *call_take(struct worker *w, enum call_class size_class)
{
    struct station *st = station_of(w);
    struct crpc_call *call = st->idle[size_class];
    if (!call)
        return call_new(w, size_class);
    st->idle[size_class] = call->next_idle;
    st->n_idle[size_class]--;
    memset(call, 0, offsetof(struct crpc_call, worker));
    return call;
}

void call_arenas_start(struct crpc_call *call)
{
    enum crpc_kind kind = call->method ? call->method->desc->kind : CRPC_UNARY;
    size_t all = call_memory[call->size_class];
    size_t recv = kind == CRPC_CLIENT_STREAM || kind == CRPC_BIDI_STREAM ? all / 2 : 0;
    arena_init(&call->arena, call->memory, all - recv, 0);
    arena_init(&call->recv_arena, call->memory + (all - recv), recv, 0);
    call->charge.quota = call->recv_charge.quota = &call->server->decoded;
}

void call_free(struct crpc_call *call)
{
    grpc_metadata_array_destroy(&call->metadata);
    grpc_slice_buffer_destroy(&call->out.data.raw.slice_buffer);
    mem_free(call);
}

/* A peer that opens calls and cancels them at once keeps the server busy without ever waiting for it (CVE-2023-44487);
 * one that does so more often than any honest one is cut off. */
static void note_reset(struct crpc_call *call)
{
    struct crpc_server *server = call->server;
    struct station *st = station_of(call->worker);
    int64_t now_us = clock_mono_us();
    if (atomic_load_explicit(&server->draining, memory_order_relaxed))
        return;
    if (call->start_us && now_us - call->start_us >= LIVED_US) /* a watch, say; max_streams bounds how many */
        return;
    if (resets_take(&st->resets, crpc_call_peer(call), server->options.max_cancels, now_us))
        return;
    if (connections_cut(server->connections, crpc_call_peer(call)))
        log_warning("connection cut peer=%s reason=too-many-cancelled-calls max=%u", crpc_call_peer(call),
                    server->options.max_cancels);
    else
        resets_forgive(&st->resets, crpc_call_peer(call)); /* a connection that ended with all its calls */
}

void call_give_back(struct crpc_call *call)
{
    struct station *st = station_of(call->worker);
    if (call->cancelled && !call->cut)
        note_reset(call);
    if (call->peer)
        gpr_free(call->peer);
    grpc_call_unref(call->core);
    arena_done(&call->arena);
    arena_done(&call->recv_arena);
    charge_drop(&call->charge);
    charge_drop(&call->recv_charge);
    call->metadata.count = 0;
    /* Before the look at draining, in one order with crpc_server_drain's two. */
    atomic_store(&st->calls, atomic_load_explicit(&st->calls, memory_order_relaxed) - 1);
    if (st->n_idle[call->size_class] < CALL_IDLE_MAX) {
        call->next_idle = st->idle[call->size_class];
        st->idle[call->size_class] = call;
        st->n_idle[call->size_class]++;
    } else {
        call_free(call);
    }
    if (atomic_load(&st->server->draining))
        server_call_ended(st->server);
}

/* ops[0] becomes the initial metadata when that is still due; returns how many ops that makes. */
static size_t initial_op(struct crpc_call *call, grpc_op *ops)
{
    if (call->metadata_out)
        return 0;
    call->metadata_out = true;
    ops[0] = (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA};
    ops[0].data.send_initial_metadata.count = call->n_initial;
    ops[0].data.send_initial_metadata.metadata = call->initial;
    return 1;
}

/* Core has taken its own references by now. */
static void list_drop(grpc_metadata *md, size_t *io_n)
{
    metadata_drop(md, *io_n);
    *io_n = 0;
}

static void initial_drop(struct crpc_call *call)
{
    list_drop(call->initial, &call->n_initial);
}

void call_send_out(struct crpc_call *call)
{
    grpc_op ops[2];
    size_t n = initial_op(call, ops);
    ops[n++] = bytes_send_op(&call->out);
    call->sending = true;
    call_batch(call, ops, n, &call->op_send);
    initial_drop(call);
}

void call_recv_start(struct crpc_call *call)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &call->in;
    call_batch(call, &op, 1, &call->op_recv);
}

static grpc_op close_op(struct crpc_call *call)
{
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    op.data.recv_close_on_server.cancelled = &call->close_cancelled;
    return op;
}

void call_close_start(struct crpc_call *call)
{
    grpc_op op = close_op(call);
    call_batch(call, &op, 1, &call->op_close);
}

static void status_start(struct crpc_call *call)
{
    if (call->status_out)
        return;
    call->status_out = true;
    grpc_op ops[4];
    size_t n = initial_op(call, ops);
    if (call->replying)
        ops[n++] = bytes_send_op(&call->out);
    if (call->close_late)
        ops[n++] = close_op(call);
    grpc_op *op = &ops[n++];
    *op = (grpc_op){.op = GRPC_OP_SEND_STATUS_FROM_SERVER};
    grpc_metadata one, *trailing = call->trailing ? call->trailing : &one;
    grpc_slice msg = grpc_empty_slice();
    if (call->status) {
        char details[STATUS_ROOM];
        size_t len = status_encode(call->status, call->server->options.error_domain, details);
        trailing[call->n_trailing++] = (grpc_metadata){.key = grpc_slice_from_static_string("grpc-status-details-bin"),
                                                       .value = grpc_slice_from_copied_buffer(details, len)};
        msg = grpc_slice_from_copied_string(call->status->msg);
        op->data.send_status_from_server.status = (grpc_status_code)call->status->code;
        op->data.send_status_from_server.status_details = &msg;
    }
    op->data.send_status_from_server.trailing_metadata = trailing;
    op->data.send_status_from_server.trailing_metadata_count = call->n_trailing;
    call_batch(call, ops, n, &call->op_status);
    grpc_slice_unref(msg);
    list_drop(trailing, &call->n_trailing);
    initial_drop(call);
}

static const struct err *keep_status(struct crpc_call *call, const struct err *err)
{
    static const struct err no_memory = {
        .code = ERR_RESOURCE_EXHAUSTED, .reason = "OUT_OF_MEMORY", .msg = "out of memory"};
    struct err *copy = arena_alloc(&call->arena, sizeof *copy);
    if (!copy)
        return &no_memory;
    *copy = *err;
    return copy;
}

void call_end(struct crpc_call *call, const struct err *err, const ProtobufCMessage *msg)
{
    if (call->ended)
        return;
    call->ended = true;
    if (err && err->code != ERR_OK)
        call->status = keep_status(call, err);
    chain_wake_signals(call);
    if (call->cancelled)
        return;
    if (msg) {
        call_put_message(call, msg);
        call->replying = true;
    }
    if (!call->sending)
        status_start(call);
}

void call_finalize(struct crpc_call *call)
{
    const struct crpc_server_options *o = &call->server->options;
    call->closed = true;
    initial_drop(call);
    list_drop(call->trailing, &call->n_trailing);
    if (call->started && call->method->handler->done)
        call->method->handler->done(call);
    if (call->n_before == 0)
        return;
    struct err status = call->status ? *call->status : ERR_NONE;
    if (call->cancelled && !call->cut) {
        bool late = crpc_call_time_left_ms(call) == 0;
        err_set(&status, late ? ERR_DEADLINE_EXCEEDED : ERR_CANCELLED, NULL, "%s",
                late ? "the deadline passed" : "the client cancelled the call or is gone");
    }
    int64_t us = clock_mono_us() - call->start_us;
    while (call->n_before > 0) {
        const struct crpc_interceptor *i = &o->interceptors[--call->n_before];
        if (i->after)
            i->after(call, i->user, &status, us);
    }
}
