/* Messages compressed by anyone: what comes out is as long as it may be at most, whatever pieces it comes in; and what
 * crpc compresses comes back as it was. */
#include <grpc/grpc.h>

#include "base/alloc.h"
#include "codec.h"
#include "fuzz.h"

enum { MAX = 50000 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    grpc_init();
    return 0;
}

/* Two slices, cut where the input says; in core's buffers the last may be empty. */
static void fill(grpc_slice_buffer *sb, const uint8_t *data, size_t size, size_t cut)
{
    grpc_slice_buffer_init(sb);
    cut = size ? cut % (size + 1) : 0;
    grpc_slice_buffer_add_indexed(sb, grpc_slice_from_copied_buffer((const char *)data, cut));
    grpc_slice_buffer_add_indexed(sb, grpc_slice_from_copied_buffer((const char *)data + cut, size - cut));
}

static int inflate_cut(grpc_compression_algorithm algorithm, const uint8_t *data, size_t size, size_t cut, char **ret,
                       size_t *ret_len, struct err *ret_err)
{
    grpc_slice_buffer sb;
    fill(&sb, data, size, cut);
    int rc = codec_inflate(algorithm, &sb, MAX, ret, ret_len, ret_err);
    grpc_slice_buffer_destroy(&sb);
    return rc;
}

static void inflate_any(grpc_compression_algorithm algorithm, const uint8_t *data, size_t size, size_t cut)
{
    struct err err = ERR_NONE, again_err = ERR_NONE;
    char *out = NULL, *again = NULL;
    size_t len = 0, again_len = 0;
    int rc = inflate_cut(algorithm, data, size, cut, &out, &len, &err);
    HOLDS(rc == 0 || rc == -ERR_INTERNAL || rc == -ERR_RESOURCE_EXHAUSTED);
    HOLDS(rc == -(int)err.code && len <= MAX);
    HOLDS(inflate_cut(algorithm, data, size, 0, &again, &again_len, &again_err) == rc);
    HOLDS(span_eq(span_of(out, len), span_of(again, again_len)));
    mem_free(out);
    mem_free(again);
}

static void there_and_back(grpc_compression_algorithm algorithm, const uint8_t *data, size_t size, size_t cut)
{
    grpc_slice_buffer sb;
    grpc_slice packed;
    fill(&sb, data, size, cut);
    if (codec_deflate(algorithm, &sb, &packed)) {
        struct err err = ERR_NONE;
        char *out = NULL;
        size_t len = 0;
        HOLDS(GRPC_SLICE_LENGTH(packed) < size);
        int rc = inflate_cut(algorithm, GRPC_SLICE_START_PTR(packed), GRPC_SLICE_LENGTH(packed), cut, &out, &len, &err);
        HOLDS(size > MAX ? rc == -ERR_RESOURCE_EXHAUSTED : rc == 0);
        HOLDS(rc < 0 || span_eq(span_of(out, len), span_of((const char *)data, size)));
        mem_free(out);
        grpc_slice_unref(packed);
    }
    grpc_slice_buffer_destroy(&sb);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    grpc_compression_algorithm algorithm = input_byte(&in) & 1 ? GRPC_COMPRESS_GZIP : GRPC_COMPRESS_DEFLATE;
    size_t cut = input_byte(&in);
    size_t left = (size_t)(in.end - in.at);
    inflate_any(algorithm, in.at, left, cut);
    there_and_back(algorithm, in.at, left, cut);
    return 0;
}
