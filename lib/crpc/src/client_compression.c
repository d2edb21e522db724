/* What a client's call does about compression. The thread that writes, or the one that reads. */
#include <grpc/compression.h>

#include "channel.h"
#include "codec.h"

void packing_init(struct packing *packing, const struct crpc_channel *channel, const struct crpc_call_options *options,
                  struct crpc_call_metadata *md)
{
    enum crpc_compression asked = channel->compression;
    if (options && options->compression != CRPC_COMPRESSION_DEFAULT)
        asked = options->compression;
    *packing = (struct packing){.encoding = codec_of(asked), .max = channel->max_message_bytes};
    if (packing->encoding != GRPC_COMPRESS_NONE)
        md->entries[md->n++] =
            (grpc_metadata){.key = grpc_slice_from_static_string(GRPC_COMPRESSION_REQUEST_ALGORITHM_MD_KEY),
                            .value = grpc_slice_from_static_string(codec_name(packing->encoding))};
}

void packing_put(const struct packing *packing, grpc_byte_buffer *out, const ProtobufCMessage *msg)
{
    if (packing->encoding != GRPC_COMPRESS_NONE && !packing->plain)
        bytes_put_packed(out, msg, packing->encoding);
    else
        bytes_put_message(out, msg);
}

int packing_open(struct packing *packing, grpc_call *core, grpc_byte_buffer *in, struct err *ret_err)
{
    int rc = bytes_open(core, in, packing->max, ret_err);
    packing->received = rc == 1;
    if (rc != -ERR_UNIMPLEMENTED)
        return rc < 0 ? rc : 0;
    if (ret_err)
        ret_err->code = ERR_INTERNAL;
    return -ERR_INTERNAL;
}
