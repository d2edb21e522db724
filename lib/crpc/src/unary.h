/* The six operations of a unary call, shared by the blocking calls (unary.c) and those on a loop (loop.c). */
#ifndef CRPC_SRC_UNARY_H
#define CRPC_SRC_UNARY_H

#include "bytes.h"
#include "channel.h"

struct unary {
    const struct crpc_method *method;
    grpc_call *core;
    struct cancel_link link;
    struct crpc_response *response; /* the caller's, or NULL */
    struct packing packing;
    grpc_byte_buffer out, *in;
    grpc_metadata_array initial, trailing;
    grpc_status_code code;
    grpc_slice msg;
};

void unary_init(struct unary *u);
void unary_done(struct unary *u);
/* Starts it; tag comes on cq. 0, or -code and then tag never comes. */
int unary_start(struct unary *u, struct crpc_channel *channel, const struct crpc_method *method,
                const struct crpc_call_options *options, const ProtobufCMessage *request, grpc_completion_queue *cq,
                void *tag, struct err *ret_err);
/* After tag has come: the outcome; u may be started again. Gives *ret_response. */
int unary_finish(struct unary *u, ProtobufCMessage **ret_response, struct err *ret_err);
/* As bytes_decode_owned's result for a message of the server's, whose fault is not the caller's. */
int unary_blame_server(int rc, struct err *io_err);

#endif
