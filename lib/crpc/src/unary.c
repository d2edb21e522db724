/* Unary calls, and the blocking one on a pluck queue of the channel's. Any thread. */
#include "unary.h"

#include <assert.h>

void unary_init(struct unary *u)
{
    *u = (struct unary){.in = NULL};
    bytes_init(&u->out);
    grpc_metadata_array_init(&u->initial);
    grpc_metadata_array_init(&u->trailing);
}

void unary_done(struct unary *u)
{
    grpc_slice_buffer_destroy(&u->out.data.raw.slice_buffer);
    grpc_metadata_array_destroy(&u->initial);
    grpc_metadata_array_destroy(&u->trailing);
}

int unary_start(struct unary *u, struct crpc_channel *channel, const struct crpc_method *method,
                const struct crpc_call_options *options, const ProtobufCMessage *request, grpc_completion_queue *cq,
                void *tag, struct err *ret_err)
{
    struct crpc_call_metadata md;
    u->response = options ? options->response : NULL;
    if (u->response)
        crpc_response_done(u->response);
    int rc = metadata_init(&md, channel, method, options, ret_err);
    if (rc < 0)
        return rc;
    u->method = method;
    u->in = NULL;
    u->initial.count = u->trailing.count = 0;
    u->core = channel_call(channel, method, options, cq);
    packing_init(&u->packing, channel, options, &md);
    packing_put(&u->packing, &u->out, request);
    grpc_op ops[] = {
        channel_initial_op(options, &md),
        bytes_send_op(&u->out),
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        {.op = GRPC_OP_RECV_INITIAL_METADATA, .data.recv_initial_metadata.recv_initial_metadata = &u->initial},
        {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &u->in},
        {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
         .data.recv_status_on_client = {.trailing_metadata = &u->trailing,
                                        .status = &u->code,
                                        .status_details = &u->msg}},
    };
    grpc_call_error e = grpc_call_start_batch(u->core, ops, sizeof ops / sizeof *ops, tag, NULL);
    assert(e == GRPC_CALL_OK);
    (void)e;
    metadata_done(&md);
    cancel_join(&u->link, options ? options->cancel : NULL, u->core);
    return 0;
}

int unary_blame_server(int rc, struct err *io_err)
{
    if (rc != -ERR_INVALID_ARGUMENT)
        return rc;
    if (io_err)
        io_err->code = ERR_INTERNAL;
    return -ERR_INTERNAL;
}

static int outcome(struct unary *u, ProtobufCMessage **ret_response, struct err *ret_err)
{
    int rc = channel_status(u->code, u->msg, &u->trailing, ret_err);
    if (u->response) {
        int filled = received_fill(u->response, &u->initial, &u->trailing, rc == 0 ? ret_err : NULL);
        rc = rc == 0 ? filled : rc;
    }
    if (rc < 0)
        return rc;
    if (!u->in)
        return err_set(ret_err, ERR_UNIMPLEMENTED, "NO_RESPONSE_MESSAGE", "the server answered OK without a message");
    rc = packing_open(&u->packing, u->core, u->in, ret_err);
    if (rc < 0)
        return rc;
    if (u->response)
        u->response->compressed = u->packing.received;
    return unary_blame_server(bytes_decode_owned(u->method->output, u->in, ret_response, ret_err), ret_err);
}

int unary_finish(struct unary *u, ProtobufCMessage **ret_response, struct err *ret_err)
{
    int rc = outcome(u, ret_response, ret_err);
    cancel_leave(&u->link);
    if (u->in)
        grpc_byte_buffer_destroy(u->in);
    u->in = NULL;
    bytes_drop(&u->out);
    grpc_slice_unref(u->msg);
    grpc_call_unref(u->core);
    return rc;
}

int crpc_unary(struct crpc_channel *channel, const struct crpc_method *method, const struct crpc_call_options *options,
               const ProtobufCMessage *request, ProtobufCMessage **ret_response, struct err *ret_err)
{
    struct channel_queue *queue = channel_queue_take(channel);
    if (!queue)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    struct unary u;
    unary_init(&u);
    int rc = unary_start(&u, channel, method, options, request, queue->cq, &u, ret_err);
    if (rc == 0) {
        grpc_completion_queue_pluck(queue->cq, &u, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        rc = unary_finish(&u, ret_response, ret_err);
    }
    channel_queue_give(channel, queue);
    unary_done(&u);
    return rc;
}
