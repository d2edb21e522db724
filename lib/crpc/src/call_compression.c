/* What a call does about compression: what its messages go out as, and what came in. Worker's thread only. */
#include <grpc/compression.h>

#include "codec.h"
#include "core_private.h"
#include "server_priv.h"

int crpc_call_set_compression(struct crpc_call *call, enum crpc_compression compression, struct err *ret_err)
{
    if (call->metadata_out)
        return err_set(ret_err, ERR_FAILED_PRECONDITION, NULL, "the first answer has gone out already");
    call->compression = compression;
    return 0;
}

void crpc_call_compress(struct crpc_call *call, bool on)
{
    call->plain = !on;
}

bool crpc_call_received_compressed(const struct crpc_call *call)
{
    return call->received_compressed;
}

/* The algorithm asked for, the other one when the client understands only that, or none. */
static grpc_compression_algorithm choose(grpc_call *core, enum crpc_compression compression)
{
    grpc_compression_algorithm wanted = codec_of(compression);
    if (wanted == GRPC_COMPRESS_NONE || core_accepts(core, wanted))
        return wanted;
    wanted = wanted == GRPC_COMPRESS_GZIP ? GRPC_COMPRESS_DEFLATE : GRPC_COMPRESS_GZIP;
    return core_accepts(core, wanted) ? wanted : GRPC_COMPRESS_NONE;
}

/* Before the first message: settles for an encoding, which the initial metadata names. */
static void settle(struct crpc_call *call)
{
    enum crpc_compression asked = call->compression ? call->compression : call->server->options.compression;
    grpc_compression_algorithm encoding = choose(call->core, asked);
    if (encoding == GRPC_COMPRESS_NONE || !call_list_room(call, &call->initial))
        return;
    call->encoding = encoding;
    call->initial[call->n_initial++] =
        (grpc_metadata){.key = grpc_slice_from_static_string(GRPC_COMPRESSION_REQUEST_ALGORITHM_MD_KEY),
                        .value = grpc_slice_from_static_string(codec_name(encoding))};
}

static bool packs(struct crpc_call *call)
{
    if (!call->metadata_out)
        settle(call);
    return call->encoding != GRPC_COMPRESS_NONE && !call->plain;
}

void call_put_message(struct crpc_call *call, const ProtobufCMessage *msg)
{
    if (packs(call))
        bytes_put_packed(&call->out, msg, call->encoding);
    else
        bytes_put_message(&call->out, msg);
}

void call_put_with(struct crpc_call *call, const ProtobufCMessage *msg, uint32_t field, const struct crpc_bytes *bytes)
{
    bytes_put_with(&call->out, msg, field, bytes);
    if (packs(call))
        bytes_pack(&call->out, call->encoding);
}

void call_put_frame(struct crpc_call *call, struct crpc_frame *frame)
{
    if (packs(call))
        bytes_put_packed_frame(&call->out, frame, call->encoding);
    else
        bytes_put_frame(&call->out, frame);
}

/* Tells the client what it could have used. Core would, were the answer more than trailers. */
static void add_accepted(struct crpc_call *call)
{
    if (call->n_trailing < CALL_METADATA_MAX && call_list_room(call, &call->trailing))
        call->trailing[call->n_trailing++] =
            (grpc_metadata){.key = grpc_slice_from_static_string("grpc-accept-encoding"),
                            .value = grpc_slice_from_static_string("identity,deflate,gzip")};
}

int call_open(struct crpc_call *call, grpc_byte_buffer *in, struct arena *arena, ProtobufCMessage **ret_msg,
              struct err *ret_err)
{
    int rc = bytes_open(call->core, in, call->server->options.max_message_bytes, ret_err);
    if (rc == -ERR_UNIMPLEMENTED)
        add_accepted(call);
    if (rc < 0)
        return rc;
    call->received_compressed = rc == 1;
    struct charge *charge = arena == &call->recv_arena ? &call->recv_charge : &call->charge;
    return bytes_decode(call->method->desc->input, in, arena, charge, ret_msg, ret_err);
}
