/* Messages shared by many calls: encoded once, and compressed once for each encoding that a call asks for. Any thread.
 */
#include <stdatomic.h>

#include <grpc/slice.h>

#include "base/alloc.h"
#include "bytes.h"
#include "codec.h"

/* The frame in one encoding. */
struct packed {
    grpc_slice slice;
};

struct crpc_frame {
    atomic_uint refs;
    grpc_slice slice;
    /* Made by the first who asks; never changes after that. As large as the frame: it was not worth it. */
    _Atomic(struct packed *) packed[GRPC_COMPRESS_ALGORITHMS_COUNT];
};

struct crpc_frame *crpc_frame_encode(const ProtobufCMessage *msg)
{
    struct crpc_frame *frame = mem_zalloc(sizeof *frame);
    if (!frame)
        return NULL;
    atomic_init(&frame->refs, 1);
    frame->slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(msg));
    protobuf_c_message_pack(msg, GRPC_SLICE_START_PTR(frame->slice));
    return frame;
}

struct crpc_frame *crpc_frame_ref(struct crpc_frame *frame)
{
    atomic_fetch_add_explicit(&frame->refs, 1, memory_order_relaxed);
    return frame;
}

static void packed_free(struct packed *packed)
{
    if (packed)
        grpc_slice_unref(packed->slice);
    mem_free(packed);
}

void crpc_frame_unref(struct crpc_frame *frame)
{
    if (!frame || atomic_fetch_sub_explicit(&frame->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (int i = 0; i < GRPC_COMPRESS_ALGORITHMS_COUNT; i++)
        packed_free(atomic_load_explicit(&frame->packed[i], memory_order_relaxed));
    grpc_slice_unref(frame->slice);
    mem_free(frame);
}

size_t crpc_frame_len(const struct crpc_frame *frame)
{
    return GRPC_SLICE_LENGTH(frame->slice);
}

void bytes_put_frame(grpc_byte_buffer *out, const struct crpc_frame *frame)
{
    grpc_slice_buffer_add(&out->data.raw.slice_buffer, grpc_slice_ref(frame->slice));
}

/* NULL: out of memory. Several threads may come here at once; one result is kept. */
static const struct packed *pack(struct crpc_frame *frame, grpc_compression_algorithm algorithm)
{
    struct packed *packed = mem_alloc(sizeof *packed), *first = NULL;
    if (!packed)
        return NULL;
    grpc_slice_buffer in = {.slices = &frame->slice, .count = 1, .length = GRPC_SLICE_LENGTH(frame->slice)};
    if (!codec_deflate(algorithm, &in, &packed->slice))
        packed->slice = grpc_slice_ref(frame->slice);
    if (atomic_compare_exchange_strong(&frame->packed[algorithm], &first, packed))
        return packed;
    packed_free(packed);
    return first;
}

void bytes_put_packed_frame(grpc_byte_buffer *out, struct crpc_frame *frame, grpc_compression_algorithm algorithm)
{
    const struct packed *packed = atomic_load_explicit(&frame->packed[algorithm], memory_order_acquire);
    if (!packed)
        packed = pack(frame, algorithm);
    if (!packed || GRPC_SLICE_LENGTH(packed->slice) == GRPC_SLICE_LENGTH(frame->slice)) {
        bytes_put_frame(out, frame);
        return;
    }
    grpc_slice_buffer_add(&out->data.raw.slice_buffer, grpc_slice_ref(packed->slice));
    out->data.raw.compression = algorithm;
}
