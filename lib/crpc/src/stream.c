/* Blocking streams: a pluck queue of their own, one tag for each half, so that one thread may read while another
 * writes. The status is taken by whoever reads to the end, or by crpc_stream_free. */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "unary.h"

struct crpc_stream {
    struct crpc_channel *channel;
    const struct crpc_method *method;
    struct channel_queue *queue;
    grpc_call *core;
    struct packing packing;
    grpc_byte_buffer out;
    grpc_metadata_array initial, trailing;
    grpc_status_code code;
    grpc_slice msg;
    struct cancel_link link;
    char tag_open, tag_initial, tag_status, tag_read, tag_write; /* only their addresses matter */
    bool answered;                                               /* a message has come; the reader's */
    bool closed;                                                 /* the writing half; the writer's */
    pthread_mutex_t mu;                                          /* the next five */
    atomic_bool ended;                                           /* tag_status has come */
    struct err status;
    bool broken; /* by this side, with status: a message it could not read */
    bool trailing_copied;
    struct received trailing_copy;
    pthread_mutex_t mu_initial; /* the next three; held while waiting for tag_initial */
    bool has_initial;           /* tag_initial has come */
    bool initial_copied;
    struct received initial_copy;
};

static void start(struct crpc_stream *s, const grpc_op *ops, size_t n, void *tag)
{
    grpc_call_error e = grpc_call_start_batch(s->core, ops, n, tag, NULL);
    assert(e == GRPC_CALL_OK);
    (void)e;
}

static bool pluck(struct crpc_stream *s, void *tag)
{
    return grpc_completion_queue_pluck(s->queue->cq, tag, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).success;
}

struct crpc_stream *crpc_stream_open(struct crpc_channel *channel, const struct crpc_method *method,
                                     const struct crpc_call_options *options, struct err *ret_err)
{
    struct crpc_call_metadata md;
    if (metadata_init(&md, channel, method, options, ret_err) < 0)
        return NULL;
    struct crpc_stream *s = mem_zalloc(sizeof *s);
    struct channel_queue *queue = s ? channel_queue_take(channel) : NULL;
    if (!queue) {
        mem_free(s);
        metadata_done(&md);
        err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
        return NULL;
    }
    s->channel = channel;
    s->method = method;
    s->queue = queue;
    packing_init(&s->packing, channel, options, &md);
    bytes_init(&s->out);
    grpc_metadata_array_init(&s->initial);
    grpc_metadata_array_init(&s->trailing);
    pthread_mutex_init(&s->mu, NULL);
    pthread_mutex_init(&s->mu_initial, NULL);
    s->core = channel_call(channel, method, options, queue->cq);
    /* In a batch of its own, as in async.c. */
    grpc_op status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                      .data.recv_status_on_client = {
                          .trailing_metadata = &s->trailing, .status = &s->code, .status_details = &s->msg}};
    start(s, &status, 1, &s->tag_status);
    grpc_op initial = {.op = GRPC_OP_RECV_INITIAL_METADATA,
                       .data.recv_initial_metadata.recv_initial_metadata = &s->initial};
    start(s, &initial, 1, &s->tag_initial);
    grpc_op open = channel_initial_op(options, &md);
    start(s, &open, 1, &s->tag_open);
    metadata_done(&md);
    cancel_join(&s->link, options ? options->cancel : NULL, s->core);
    return s;
}

/* Waits for the status, or only looks for it; gives a copy. Several threads may; mu is not held while another waits. */
static bool take_status(struct crpc_stream *s, bool wait, struct err *ret_status)
{
    if (wait)
        pthread_mutex_lock(&s->mu);
    else if (pthread_mutex_trylock(&s->mu) != 0)
        return false; /* a reader waits for it */
    if (!s->ended) {
        gpr_timespec until = wait ? gpr_inf_future(GPR_CLOCK_MONOTONIC) : gpr_inf_past(GPR_CLOCK_MONOTONIC);
        if (grpc_completion_queue_pluck(s->queue->cq, &s->tag_status, until, NULL).type == GRPC_OP_COMPLETE) {
            s->ended = true;
            if (!s->broken)
                channel_status(s->code, s->msg, &s->trailing, &s->status);
        }
    }
    bool ended = s->ended;
    *ret_status = s->status;
    pthread_mutex_unlock(&s->mu);
    return ended;
}

/* A write that failed says no more than that the call is over; its status can lie behind messages not read yet. */
static int write_failed(struct crpc_stream *s, struct err *ret_err)
{
    struct err status;
    if (take_status(s, false, &status) && status.code != ERR_OK) {
        if (ret_err)
            *ret_err = status;
        return -(int)status.code;
    }
    return err_set(ret_err, ERR_UNAVAILABLE, "CALL_ENDED", "the call has ended; reading on gives its status");
}

static int write_closed(struct err *ret_err)
{
    return err_set(ret_err, ERR_FAILED_PRECONDITION, "WRITE_CLOSED", "the writing half is closed");
}

int crpc_stream_write(struct crpc_stream *stream, const ProtobufCMessage *msg, struct err *ret_err)
{
    if (stream->closed)
        return write_closed(ret_err);
    packing_put(&stream->packing, &stream->out, msg);
    grpc_op op = bytes_send_op(&stream->out);
    start(stream, &op, 1, &stream->tag_write);
    bool ok = pluck(stream, &stream->tag_write);
    bytes_drop(&stream->out);
    return ok ? 0 : write_failed(stream, ret_err);
}

int crpc_stream_close_write(struct crpc_stream *stream, struct err *ret_err)
{
    if (stream->closed)
        return write_closed(ret_err);
    grpc_op op = {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
    stream->closed = true;
    start(stream, &op, 1, &stream->tag_write);
    return pluck(stream, &stream->tag_write) ? 0 : write_failed(stream, ret_err);
}

/* Ends the call for a message that cannot be read; the server hears CANCELLED. */
static int break_off(struct crpc_stream *s, const struct err *err, struct err *ret_err)
{
    pthread_mutex_lock(&s->mu);
    s->broken = true;
    s->status = *err;
    pthread_mutex_unlock(&s->mu);
    grpc_call_cancel_with_status(s->core, (grpc_status_code)err->code, err->msg, NULL);
    if (ret_err)
        *ret_err = *err;
    return -(int)err->code;
}

static int end_of_stream(struct crpc_stream *s, struct err *ret_err)
{
    struct err status;
    take_status(s, true, &status);
    if (status.code == ERR_OK && s->method->kind == CRPC_CLIENT_STREAM && !s->answered)
        return err_set(ret_err, ERR_UNIMPLEMENTED, "NO_RESPONSE_MESSAGE", "the server answered OK without a message");
    if (status.code != ERR_OK && ret_err)
        *ret_err = status;
    return -(int)status.code;
}

int crpc_stream_read(struct crpc_stream *stream, ProtobufCMessage **ret_msg, struct err *ret_err)
{
    pthread_mutex_lock(&stream->mu);
    bool over = stream->ended || stream->broken;
    pthread_mutex_unlock(&stream->mu);
    if (over)
        return end_of_stream(stream, ret_err);
    grpc_byte_buffer *in = NULL;
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &in};
    start(stream, &op, 1, &stream->tag_read);
    bool ok = pluck(stream, &stream->tag_read);
    if (!ok || !in) {
        if (in)
            grpc_byte_buffer_destroy(in);
        return end_of_stream(stream, ret_err);
    }
    struct err err = ERR_NONE;
    int rc = packing_open(&stream->packing, stream->core, in, &err);
    if (rc == 0)
        rc = unary_blame_server(bytes_decode_owned(stream->method->output, in, ret_msg, &err), &err);
    grpc_byte_buffer_destroy(in);
    if (rc == 0) {
        stream->answered = true;
        return 1;
    }
    return break_off(stream, &err, ret_err);
}

void crpc_stream_compress(struct crpc_stream *stream, bool on)
{
    stream->packing.plain = !on;
}

bool crpc_stream_received_compressed(const struct crpc_stream *stream)
{
    return stream->packing.received;
}

static void await_initial(struct crpc_stream *s)
{
    if (!s->has_initial)
        pluck(s, &s->tag_initial);
    s->has_initial = true;
}

int crpc_stream_initial(struct crpc_stream *stream, struct crpc_metadata_list *ret, struct err *ret_err)
{
    pthread_mutex_lock(&stream->mu_initial);
    await_initial(stream);
    int rc = stream->initial_copied ? 0 : received_copy(&stream->initial, &stream->initial_copy, ret_err);
    stream->initial_copied = rc == 0;
    if (rc == 0)
        *ret = stream->initial_copy.list;
    pthread_mutex_unlock(&stream->mu_initial);
    return rc;
}

int crpc_stream_trailing(struct crpc_stream *stream, struct crpc_metadata_list *ret, struct err *ret_err)
{
    struct err status;
    if (!stream->ended && !take_status(stream, false, &status))
        return err_set(ret_err, ERR_FAILED_PRECONDITION, "NOT_ENDED", "the stream has not ended");
    pthread_mutex_lock(&stream->mu);
    int rc = stream->trailing_copied ? 0 : received_copy(&stream->trailing, &stream->trailing_copy, ret_err);
    stream->trailing_copied = rc == 0;
    if (rc == 0)
        *ret = stream->trailing_copy.list;
    pthread_mutex_unlock(&stream->mu);
    return rc;
}

void crpc_stream_cancel(struct crpc_stream *stream)
{
    grpc_call_cancel(stream->core, NULL);
}

void crpc_stream_free(struct crpc_stream *stream)
{
    if (!stream)
        return;
    if (!stream->ended)
        grpc_call_cancel(stream->core, NULL);
    struct err status;
    take_status(stream, true, &status);
    pluck(stream, &stream->tag_open);
    await_initial(stream);
    cancel_leave(&stream->link);
    grpc_call_unref(stream->core);
    grpc_slice_unref(stream->msg);
    channel_queue_give(stream->channel, stream->queue);
    grpc_slice_buffer_destroy(&stream->out.data.raw.slice_buffer);
    grpc_metadata_array_destroy(&stream->initial);
    grpc_metadata_array_destroy(&stream->trailing);
    received_done(&stream->initial_copy);
    received_done(&stream->trailing_copy);
    pthread_mutex_destroy(&stream->mu_initial);
    pthread_mutex_destroy(&stream->mu);
    mem_free(stream);
}
