/* Requests for calls, kept outstanding in core: for each worker and method several, and a few for methods that nobody
 * serves, which would otherwise hang until their deadline. Worker's thread, but for accept_init, _start and _done. */
#include <assert.h>
#include <string.h>

#include <grpc/support/alloc.h>

#include "base/alloc.h"
#include "scan.h"
#include "server_priv.h"

/* Few: Debian's core is built with its checks on, and looks each tag that ends up in a list of all that are
 * outstanding, so a request that waits makes every operation of the queue dearer. A burst that finds none waits in
 * core's own list until the worker asks again, which it does before it looks at the call it got. */
enum { SLOTS_UNARY = 4, SLOTS_STREAM = 2, SLOTS_UNKNOWN = 2 };
/* When to come back after max_calls. */
enum { SHED_RETRY_MS = 1000 };

static void slot_request(struct slot *slot)
{
    struct worker *w = &slot->station->worker;
    grpc_server *core = slot->station->server->core;
    slot->payload = NULL;
    bool first =
        slot->method && (slot->method->desc->kind == CRPC_UNARY || slot->method->desc->kind == CRPC_SERVER_STREAM);
    grpc_call_error e =
        slot->method
            ? grpc_server_request_registered_call(core, slot->method->registered, &slot->core, &slot->deadline,
                                                  &slot->metadata, first ? &slot->payload : NULL, w->cq, w->cq,
                                                  &slot->op)
            : grpc_server_request_call(core, &slot->core, &slot->details, &slot->metadata, w->cq, w->cq, &slot->op);
    assert(e == GRPC_CALL_OK);
    (void)e;
}

static bool too_many(const struct crpc_server *server, struct station *st, struct err *ret_err)
{
    if (crpc_server_calls(server) < server->options.max_calls)
        return false;
    atomic_store_explicit(&st->shed, atomic_load_explicit(&st->shed, memory_order_relaxed) + 1, memory_order_relaxed);
    err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_CALLS", "the server has its %u calls under way",
            server->options.max_calls);
    ret_err->retry_after_ms = SHED_RETRY_MS;
    return true;
}

/* Core limits metadata too, but only of a peer that has acknowledged its settings, and one need not. */
static bool too_much_metadata(const struct slot *slot, struct err *ret_err)
{
    enum { ENTRY = 32 }; /* RFC 7541, 4.1 */
    size_t max = slot->station->server->options.max_metadata_bytes, sum = 0;
    for (size_t i = 0; i < slot->metadata.count; i++)
        sum += GRPC_SLICE_LENGTH(slot->metadata.metadata[i].key) + GRPC_SLICE_LENGTH(slot->metadata.metadata[i].value) +
               ENTRY;
    if (sum <= max)
        return false;
    err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "METADATA_TOO_LARGE", "the metadata has %zu bytes, more than %zu", sum,
            max);
    return true;
}

static void unknown_method(struct slot *slot, struct err *ret_err)
{
    grpc_slice slice = slot->details.method;
    struct span path = span_of((const char *)GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice));
    if (!scan_text(path)) /* core lets any bytes pass */
        path = SPAN_LIT("with a name that is no UTF-8");
    int len = path.len < sizeof ret_err->msg ? (int)path.len : (int)sizeof ret_err->msg;
    err_set(ret_err, ERR_UNIMPLEMENTED, "UNKNOWN_METHOD", "unknown method %.*s", len, path.data);
}

/* What core gave with a call of an unknown method. */
static void drop_details(struct slot *slot)
{
    grpc_call_details_destroy(&slot->details);
    grpc_call_details_init(&slot->details);
}

static enum call_class slot_class(const struct slot *slot)
{
    return slot->method && slot->method->desc->kind == CRPC_UNARY ? CALL_SHORT : CALL_LONG;
}

static void refused(struct slot *slot)
{
    if (--slot->refusing)
        return;
    grpc_call_unref(slot->core);
    slot_request(slot);
}

static void refusal_sent(struct op *op, bool ok)
{
    (void)ok;
    refused(CONTAINER_OF(op, struct slot, op_refusal));
}

static void refusal_closed(struct op *op, bool ok)
{
    (void)ok;
    refused(CONTAINER_OF(op, struct slot, op_close));
}

/* There is no memory for a call object. The slot itself answers, and takes no other call meanwhile. */
static void slot_refuse(struct slot *slot)
{
    if (slot->payload)
        grpc_byte_buffer_destroy(slot->payload);
    slot->metadata.count = 0;
    drop_details(slot);
    grpc_slice msg = grpc_slice_from_static_string("out of memory");
    grpc_op close = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER, .data.recv_close_on_server.cancelled = &slot->cancelled};
    grpc_op ops[] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}, {.op = GRPC_OP_SEND_STATUS_FROM_SERVER}};
    ops[1].data.send_status_from_server.status = GRPC_STATUS_RESOURCE_EXHAUSTED;
    ops[1].data.send_status_from_server.status_details = &msg;
    slot->refusing = 2;
    grpc_call_error e = grpc_call_start_batch(slot->core, &close, 1, &slot->op_close, NULL);
    assert(e == GRPC_CALL_OK);
    e = grpc_call_start_batch(slot->core, ops, 2, &slot->op_refusal, NULL);
    assert(e == GRPC_CALL_OK);
    (void)e;
}

/* A call that core had read before its connection was cut off: nobody waits for an answer. There may be thousands, and
 * to begin and end each would cost far more than this does. */
static bool is_of_the_cut(const struct slot *slot)
{
    struct connections *connections = slot->station->server->connections;
    if (!connections_cut_lately(connections))
        return false;
    char *peer = grpc_call_get_peer(slot->core);
    bool cut = connections_was_cut(connections, peer);
    gpr_free(peer);
    return cut;
}

static void slot_drop(struct slot *slot)
{
    if (slot->payload)
        grpc_byte_buffer_destroy(slot->payload);
    slot->metadata.count = 0;
    drop_details(slot);
    grpc_call_unref(slot->core);
    slot_request(slot);
}

static void slot_done(struct op *op, bool ok)
{
    struct slot *slot = CONTAINER_OF(op, struct slot, op);
    struct station *st = slot->station;
    if (!ok) { /* the server is shutting down */
        size_t left = atomic_load_explicit(&st->n_requested, memory_order_relaxed) - 1;
        atomic_store(&st->n_requested, left);
        if (left == 0)
            server_call_ended(st->server);
        return;
    }
    if (is_of_the_cut(slot)) {
        slot_drop(slot);
        return;
    }
    struct crpc_call *call = call_take(&st->worker, slot_class(slot));
    if (!call) {
        slot_refuse(slot);
        return;
    }
    struct err refusal = ERR_NONE;
    bool refused = too_many(st->server, st, &refusal) || too_much_metadata(slot, &refusal);
    call->core = slot->core;
    grpc_metadata_array spare = call->metadata;
    call->metadata = slot->metadata;
    slot->metadata = spare;
    grpc_byte_buffer *payload = slot->payload;
    if (slot->method) {
        call->deadline = slot->deadline;
    } else {
        call->deadline = slot->details.deadline;
        unknown_method(slot, &refusal);
        refused = true;
        drop_details(slot);
    }
    const struct method *method = slot->method;
    slot_request(slot);
    call_begin(call, method, payload, refused ? &refusal : NULL);
}

static size_t slots_for(const struct method *m)
{
    return m->desc->kind == CRPC_UNARY ? SLOTS_UNARY : SLOTS_STREAM;
}

static void slot_init(struct slot *slot, struct station *st, const struct method *method)
{
    *slot = (struct slot){
        .op = {slot_done}, .op_refusal = {refusal_sent}, .op_close = {refusal_closed}, .station = st, .method = method};
    grpc_metadata_array_init(&slot->metadata);
    grpc_call_details_init(&slot->details);
}

int accept_init(struct crpc_server *server, struct err *ret_err)
{
    size_t n = SLOTS_UNKNOWN;
    for (const struct method *m = server->methods; m; m = m->next)
        n += slots_for(m);
    for (unsigned i = 0; i < server->options.n_workers; i++) {
        struct station *st = &server->stations[i];
        st->slots = mem_alloc(n * sizeof *st->slots);
        if (!st->slots)
            return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
        for (const struct method *m = server->methods; m; m = m->next)
            for (size_t k = 0; k < slots_for(m); k++)
                slot_init(&st->slots[st->n_slots++], st, m);
        for (size_t k = 0; k < SLOTS_UNKNOWN; k++)
            slot_init(&st->slots[st->n_slots++], st, NULL);
    }
    return 0;
}

static void arm(struct crpc_mail *mail)
{
    struct station *st = CONTAINER_OF(mail, struct station, arm);
    struct crpc_server *server = st->server;
    atomic_store(&st->n_requested, st->n_slots);
    for (size_t k = 0; k < st->n_slots; k++)
        slot_request(&st->slots[k]);
    pthread_mutex_lock(&server->mu);
    server->n_armed++;
    pthread_cond_broadcast(&server->cond);
    pthread_mutex_unlock(&server->mu);
}

bool accept_over(const struct crpc_server *server)
{
    for (unsigned i = 0; i < server->options.n_workers; i++)
        if (atomic_load(&server->stations[i].n_requested) > 0)
            return false;
    return true;
}

void accept_start(struct crpc_server *server)
{
    for (unsigned i = 0; i < server->options.n_workers; i++) {
        server->stations[i].arm.open = arm;
        worker_post(&server->stations[i].worker, &server->stations[i].arm);
    }
    pthread_mutex_lock(&server->mu);
    while (server->n_armed < server->options.n_workers)
        pthread_cond_wait(&server->cond, &server->mu);
    pthread_mutex_unlock(&server->mu);
}

void accept_done(struct crpc_server *server)
{
    for (unsigned i = 0; i < server->options.n_workers; i++) {
        struct station *st = &server->stations[i];
        for (size_t k = 0; k < st->n_slots; k++) {
            grpc_metadata_array_destroy(&st->slots[k].metadata);
            grpc_call_details_destroy(&st->slots[k].details);
        }
        mem_free(st->slots);
    }
}
