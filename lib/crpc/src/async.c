/* Streams on a loop. Each operation has a tag of its own in the stream; the stream goes when its status has come and no
 * tag is outstanding. The loop's thread only.
 *
 *   start ──> open                    (first metadata out; of a server stream the request and the close as well)
 *        ├──> initial ──> read ──> on_message ──> read ... until it brings nothing
 *        └──> status ──> (all tags back) ──> on_end
 *   write ──> on_writable, close: from the user, one at a time */
#include <assert.h>

#include "base/alloc.h"
#include "loop.h"
#include "unary.h"

struct crpc_async {
    struct crpc_loop *loop;
    const struct crpc_method *method;
    const struct crpc_async_events *events;
    void *user;
    grpc_call *core;
    struct cancel_link link;
    struct loop_op on_open, on_initial, on_read, on_write, on_close, on_status;
    unsigned n_outstanding;
    struct packing packing;
    grpc_byte_buffer out, *in;
    grpc_metadata_array initial, trailing;
    grpc_status_code code;
    grpc_slice msg;
    struct arena arena;       /* of the message that on_message has */
    struct err broken;        /* why this side ended the call; OK: it did not */
    bool started, has_status; /* initial, status have come */
    bool reading, paused, read_over, answered;
    bool writing, close_due, closed;
    _Alignas(16) char room[512]; /* the arena's first */
};

static void start(struct crpc_async *s, const grpc_op *ops, size_t n, struct loop_op *op)
{
    grpc_call_error e = grpc_call_start_batch(s->core, ops, n, op, NULL);
    assert(e == GRPC_CALL_OK);
    (void)e;
    s->n_outstanding++;
}

static void start_read(struct crpc_async *s)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &s->in};
    s->reading = true;
    start(s, &op, 1, &s->on_read);
}

static void start_close(struct crpc_async *s)
{
    grpc_op op = {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
    s->closed = true;
    start(s, &op, 1, &s->on_close);
}

/* Ends the call for something on this side. */
static void break_off(struct crpc_async *s, const struct err *why)
{
    if (s->broken.code == ERR_OK)
        s->broken = *why;
    grpc_call_cancel_with_status(s->core, (grpc_status_code)why->code, why->msg, NULL);
}

/* ---- the end ---- */

static void free_stream(struct crpc_async *s)
{
    grpc_slice_buffer_destroy(&s->out.data.raw.slice_buffer);
    grpc_metadata_array_destroy(&s->initial);
    grpc_metadata_array_destroy(&s->trailing);
    arena_done(&s->arena);
    mem_free(s);
}

static void status_of(struct crpc_async *s, struct err *ret)
{
    *ret = s->broken;
    if (ret->code == ERR_OK)
        channel_status(s->code, s->msg, &s->trailing, ret);
    if (ret->code == ERR_OK && s->method->kind == CRPC_CLIENT_STREAM && !s->answered)
        err_set(ret, ERR_UNIMPLEMENTED, "NO_RESPONSE_MESSAGE", "the server answered OK without a message");
}

static int finish(struct crpc_async *s)
{
    struct received trailing;
    struct err status, short_of = ERR_NONE;
    status_of(s, &status);
    if (received_copy(&s->trailing, &trailing, &short_of) < 0 && status.code == ERR_OK)
        status = short_of;
    cancel_leave(&s->link);
    grpc_slice_unref(s->msg);
    grpc_call_unref(s->core);
    s->core = NULL;
    loop_end(s->loop);
    s->events->on_end(s, &status, &trailing.list);
    received_done(&trailing);
    free_stream(s);
    return 1;
}

/* After every tag and after its callback; nobody touches the stream behind it. */
static int maybe_finish(struct crpc_async *s, int n_called)
{
    if (!s->has_status || s->n_outstanding > 0)
        return n_called;
    bool well = s->code == GRPC_STATUS_OK && s->broken.code == ERR_OK;
    if (well && !s->read_over) { /* paused or not: with the status nothing is left, and no cancel would reach it */
        start_read(s);
        return n_called;
    }
    return n_called + finish(s);
}

/* ---- operations that have ended ---- */

static int open_done(struct loop_op *op, bool ok)
{
    struct crpc_async *s = LOOP_OP_OF(op, struct crpc_async, on_open);
    (void)ok; /* the status tells */
    s->n_outstanding--;
    if (s->method->kind == CRPC_SERVER_STREAM) /* else it may hold a message of the next write */
        bytes_drop(&s->out);
    return maybe_finish(s, 0);
}

static int initial_done(struct loop_op *op, bool ok)
{
    struct crpc_async *s = LOOP_OP_OF(op, struct crpc_async, on_initial);
    int n = 0;
    (void)ok;
    s->started = true;
    if (s->events->on_initial) {
        struct received initial;
        struct err err = ERR_NONE;
        if (received_copy(&s->initial, &initial, &err) < 0) {
            break_off(s, &err);
        } else {
            s->events->on_initial(s, &initial.list);
            received_done(&initial);
            n = 1;
        }
    }
    s->n_outstanding--;
    if (!s->paused && !s->reading)
        start_read(s);
    return maybe_finish(s, n);
}

/* True when a message was handed on. */
static bool deliver(struct crpc_async *s)
{
    ProtobufCMessage *msg = NULL;
    struct err err = ERR_NONE;
    int rc = packing_open(&s->packing, s->core, s->in, &err);
    if (rc == 0)
        rc = unary_blame_server(bytes_decode(s->method->output, s->in, &s->arena, NULL, &msg, &err), &err);
    grpc_byte_buffer_destroy(s->in);
    s->in = NULL;
    if (rc < 0) {
        break_off(s, &err);
        return false;
    }
    s->answered = true;
    if (s->events->on_message)
        s->events->on_message(s, msg);
    return s->events->on_message != NULL;
}

/* n_outstanding falls last, so that nothing ends the stream below a callback. */
static int read_done(struct loop_op *op, bool ok)
{
    struct crpc_async *s = LOOP_OP_OF(op, struct crpc_async, on_read);
    int n = 0;
    if (ok && s->in) {
        n = deliver(s);
        arena_reset(&s->arena);
    } else {
        s->read_over = true;
        if (s->in)
            grpc_byte_buffer_destroy(s->in);
        s->in = NULL;
    }
    s->reading = false;
    s->n_outstanding--;
    if (!s->read_over && !s->paused)
        start_read(s);
    return maybe_finish(s, n);
}

static int write_done(struct loop_op *op, bool ok)
{
    struct crpc_async *s = LOOP_OP_OF(op, struct crpc_async, on_write);
    int n = 0;
    bytes_drop(&s->out);
    s->writing = false;
    if (ok && s->close_due) {
        start_close(s);
    } else if (ok && !s->closed && !s->has_status && s->events->on_writable) {
        s->events->on_writable(s);
        n = 1;
    }
    s->n_outstanding--;
    return maybe_finish(s, n);
}

static int close_done(struct loop_op *op, bool ok)
{
    struct crpc_async *s = LOOP_OP_OF(op, struct crpc_async, on_close);
    (void)ok;
    s->n_outstanding--;
    return maybe_finish(s, 0);
}

static int status_done(struct loop_op *op, bool ok)
{
    struct crpc_async *s = LOOP_OP_OF(op, struct crpc_async, on_status);
    (void)ok;
    s->has_status = true;
    s->n_outstanding--;
    return maybe_finish(s, 0);
}

/* ---- the user's side ---- */

static struct crpc_async *new_stream(struct crpc_loop *loop, const struct crpc_method *method,
                                     const struct crpc_async_events *events, void *user)
{
    struct crpc_async *s = mem_alloc(sizeof *s);
    if (!s)
        return NULL;
    *s = (struct crpc_async){.loop = loop,
                             .method = method,
                             .events = events,
                             .user = user,
                             .on_open = {open_done},
                             .on_initial = {initial_done},
                             .on_read = {read_done},
                             .on_write = {write_done},
                             .on_close = {close_done},
                             .on_status = {status_done}};
    bytes_init(&s->out);
    grpc_metadata_array_init(&s->initial);
    grpc_metadata_array_init(&s->trailing);
    arena_init(&s->arena, s->room, sizeof s->room, 0);
    return s;
}

static void start_all(struct crpc_async *s, const struct crpc_call_options *options, struct crpc_call_metadata *md,
                      const ProtobufCMessage *request)
{
    /* The status in a batch of its own: together with the first metadata core may give it and leave the reads lying
     * (docs/interop.md). */
    grpc_op status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                      .data.recv_status_on_client = {
                          .trailing_metadata = &s->trailing, .status = &s->code, .status_details = &s->msg}};
    start(s, &status, 1, &s->on_status);
    grpc_op initial = {.op = GRPC_OP_RECV_INITIAL_METADATA,
                       .data.recv_initial_metadata.recv_initial_metadata = &s->initial};
    start(s, &initial, 1, &s->on_initial);
    grpc_op open[3] = {channel_initial_op(options, md)};
    size_t n = 1;
    if (request) {
        packing_put(&s->packing, &s->out, request);
        open[n++] = bytes_send_op(&s->out);
        open[n++] = (grpc_op){.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
        s->closed = true;
    }
    start(s, open, n, &s->on_open);
}

struct crpc_async *crpc_async_start(struct crpc_channel *channel, struct crpc_loop *loop,
                                    const struct crpc_method *method, const struct crpc_call_options *options,
                                    const ProtobufCMessage *request, const struct crpc_async_events *events, void *user,
                                    struct err *ret_err)
{
    struct crpc_call_metadata md;
    assert(events && events->on_end);
    assert(!request == (method->kind != CRPC_SERVER_STREAM));
    if (metadata_init(&md, channel, method, options, ret_err) < 0)
        return NULL;
    struct crpc_async *s = new_stream(loop, method, events, user);
    if (!s) {
        metadata_done(&md);
        err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
        return NULL;
    }
    packing_init(&s->packing, channel, options, &md);
    s->core = channel_call(channel, method, options, loop_queue(loop));
    loop_begin(loop);
    start_all(s, options, &md, request);
    metadata_done(&md);
    cancel_join(&s->link, options ? options->cancel : NULL, s->core);
    return s;
}

void *crpc_async_user(const struct crpc_async *stream)
{
    return stream->user;
}

bool crpc_async_writable(const struct crpc_async *stream)
{
    return !stream->writing && !stream->closed && !stream->close_due && !stream->has_status;
}

int crpc_async_write(struct crpc_async *stream, const ProtobufCMessage *msg, struct err *ret_err)
{
    if (stream->has_status)
        return err_set(ret_err, ERR_UNAVAILABLE, "CALL_ENDED", "the call has ended");
    if (stream->closed || stream->close_due)
        return err_set(ret_err, ERR_FAILED_PRECONDITION, "WRITE_CLOSED", "the writing half is closed");
    if (stream->writing)
        return err_set(ret_err, ERR_FAILED_PRECONDITION, "WRITE_UNDER_WAY", "the last write is still under way");
    packing_put(&stream->packing, &stream->out, msg);
    grpc_op op = bytes_send_op(&stream->out);
    stream->writing = true;
    start(stream, &op, 1, &stream->on_write);
    return 0;
}

void crpc_async_close_write(struct crpc_async *stream)
{
    if (stream->closed || stream->has_status)
        return;
    if (stream->writing)
        stream->close_due = true;
    else
        start_close(stream);
}

void crpc_async_compress(struct crpc_async *stream, bool on)
{
    stream->packing.plain = !on;
}

bool crpc_async_received_compressed(const struct crpc_async *stream)
{
    return stream->packing.received;
}

void crpc_async_pause(struct crpc_async *stream)
{
    stream->paused = true;
}

void crpc_async_resume(struct crpc_async *stream)
{
    stream->paused = false;
    if (stream->core && stream->started && !stream->reading && !stream->read_over)
        start_read(stream);
}

void crpc_async_cancel(struct crpc_async *stream)
{
    if (stream->core)
        grpc_call_cancel(stream->core, NULL);
}
