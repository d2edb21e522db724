/* Between byte buffers of gRPC core and messages of protobuf-c. Any thread. */
#ifndef CRPC_SRC_BYTES_H
#define CRPC_SRC_BYTES_H

#include <stdatomic.h>

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/err.h"
#include "crpc/call.h"
#include "crpc/server.h"

/* An empty buffer in place, for bytes_put_*; bytes_drop before the next use. */
void bytes_init(grpc_byte_buffer *out);
void bytes_put_message(grpc_byte_buffer *out, const ProtobufCMessage *msg);
/* Compressed, when that makes it shorter. */
void bytes_put_packed(grpc_byte_buffer *out, const ProtobufCMessage *msg, grpc_compression_algorithm algorithm);
/* msg without its field of that number, and bytes as that field; takes bytes. */
void bytes_put_with(grpc_byte_buffer *out, const ProtobufCMessage *msg, uint32_t field, const struct crpc_bytes *bytes);
/* Compresses what is in out, when that makes it shorter. */
void bytes_pack(grpc_byte_buffer *out, grpc_compression_algorithm algorithm);
/* The same for a frame (frame.c), which is compressed once for all that send it. */
void bytes_put_frame(grpc_byte_buffer *out, const struct crpc_frame *frame);
void bytes_put_packed_frame(grpc_byte_buffer *out, struct crpc_frame *frame, grpc_compression_algorithm algorithm);
/* The operation that sends out. */
grpc_op bytes_send_op(grpc_byte_buffer *out);
/* Gives up what it holds; it stays usable. */
void bytes_drop(grpc_byte_buffer *out);

/* Decompresses in, which came on call, in place, to at most max bytes. 1 when it was compressed, 0 when it was not;
 * -ERR_INTERNAL for what is no such stream, -ERR_RESOURCE_EXHAUSTED when it is longer or memory is short;
 * -ERR_UNIMPLEMENTED for an unknown encoding: what a server answers. */
int bytes_open(grpc_call *call, grpc_byte_buffer *in, size_t max, struct err *ret_err);
/* What decoded messages may take together. */
struct quota {
    atomic_size_t used;
    size_t max;
};
/* What one holder has taken of it; zeroed but for the quota to begin with. quota NULL: without limit. */
struct charge {
    struct quota *quota;
    size_t bytes;
};
/* False: the quota is used up; nothing was taken. */
bool charge_take(struct charge *charge, size_t bytes);
/* The error of that. */
int charge_refused(struct err *ret_err);
/* Gives back what was taken; it can be used on. */
void charge_drop(struct charge *charge);

/* Scans and unpacks into the arena; what it needs beyond some KiB is taken from the quota (charge NULL: is not).
 * Borrows in. 0; -ERR_INVALID_ARGUMENT for a malformed message; -ERR_RESOURCE_EXHAUSTED when it would unfold to too
 * much memory or memory or the quota is short. */
int bytes_decode(const ProtobufCMessageDescriptor *desc, grpc_byte_buffer *in, struct arena *arena,
                 struct charge *charge, ProtobufCMessage **ret_msg, struct err *ret_err);
/* The same into one heap object; gives *ret_msg (crpc_message_free). */
int bytes_decode_owned(const ProtobufCMessageDescriptor *desc, grpc_byte_buffer *in, ProtobufCMessage **ret_msg,
                       struct err *ret_err);

#endif
