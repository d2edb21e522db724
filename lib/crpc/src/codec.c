/* See codec.h. */
#include "codec.h"

#include <limits.h>
#include <string.h>

#include <grpc/byte_buffer.h>
#include <zlib.h>

#include "base/alloc.h"

/* Shorter messages gain nothing that is worth the time. */
enum { DEFLATE_MIN = 256 };
/* Bits of the window, as zlib counts: 16 more stand for gzip. Receiving, any window that a peer may choose. */
enum { WINDOW = 15, GZIP = 16 };
/* Level 1: messages are made once, read once and soon forgotten; a higher level costs several times the time for a
 * tenth of the size. */
enum { LEVEL = Z_BEST_SPEED, MEM_LEVEL = 8 };
/* First guess of what comes out, in multiples of what goes in. */
enum { INFLATE_GUESS = 4, INFLATE_FIRST = 1024 };

grpc_compression_algorithm codec_of(enum crpc_compression compression)
{
    if (compression == CRPC_COMPRESSION_GZIP)
        return GRPC_COMPRESS_GZIP;
    return compression == CRPC_COMPRESSION_DEFLATE ? GRPC_COMPRESS_DEFLATE : GRPC_COMPRESS_NONE;
}

const char *codec_name(grpc_compression_algorithm algorithm)
{
    if (algorithm == GRPC_COMPRESS_GZIP)
        return "gzip";
    return algorithm == GRPC_COMPRESS_DEFLATE ? "deflate" : "identity";
}

static void *z_alloc(void *user, unsigned n, unsigned size)
{
    (void)user;
    return mem_alloc((size_t)n * size); /* some tens of kilobytes; cannot overflow */
}

static void z_free(void *user, void *p)
{
    (void)user;
    mem_free(p);
}

static int window_bits(grpc_compression_algorithm algorithm)
{
    return algorithm == GRPC_COMPRESS_GZIP ? WINDOW + GZIP : WINDOW;
}

/* Points z at slice i of in. */
static void feed(z_stream *z, const grpc_slice_buffer *in, size_t i)
{
    z->next_in = GRPC_SLICE_START_PTR(in->slices[i]);
    z->avail_in = (unsigned)GRPC_SLICE_LENGTH(in->slices[i]); /* messages are below 4 GiB */
}

/* ---- in ---- */

struct output {
    char *data;
    size_t len, room, max;
};

static int no_memory(struct err *ret_err)
{
    return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

static int corrupt(grpc_compression_algorithm algorithm, struct err *ret_err)
{
    return err_set(ret_err, ERR_INTERNAL, "BAD_COMPRESSION", "a message is no %s stream", codec_name(algorithm));
}

static int too_long(size_t max, struct err *ret_err)
{
    return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE",
                   "a message is larger than %zu bytes once it is decompressed", max);
}

static int grow(struct output *out, struct err *ret_err)
{
    size_t room = out->room > out->max / 2 ? out->max : out->room * 2;
    char *data = mem_realloc(out->data, room);
    if (!data)
        return no_memory(ret_err);
    out->data = data;
    out->room = room;
    return 0;
}

/* Inflates into what is left of out, or, when it has its full size, into a byte that shows that there is more. */
static int step(z_stream *z, struct output *out, grpc_compression_algorithm algorithm, struct err *ret_err)
{
    unsigned char more;
    bool full = out->len == out->max;
    size_t left = out->room - out->len;
    z->next_out = full ? &more : (unsigned char *)out->data + out->len;
    z->avail_out = full ? 1 : left > INT_MAX ? INT_MAX : (unsigned)left;
    unsigned before = z->avail_out;
    int rc = inflate(z, Z_NO_FLUSH);
    unsigned got = before - z->avail_out;
    if (rc == Z_MEM_ERROR)
        return no_memory(ret_err);
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
        return corrupt(algorithm, ret_err);
    if (full && got)
        return too_long(out->max, ret_err);
    if (!full)
        out->len += got;
    return rc == Z_STREAM_END;
}

/* Everything in, until the stream ends, which must be where in ends. */
static int inflate_all(z_stream *z, const grpc_slice_buffer *in, struct output *out,
                       grpc_compression_algorithm algorithm, struct err *ret_err)
{
    int rc = 0;
    for (size_t i = 0; i < in->count; i++) {
        feed(z, in, i);
        while (rc == 0 && (z->avail_in > 0 || z->avail_out == 0)) {
            if (out->len == out->room && out->room < out->max && (rc = grow(out, ret_err)) < 0)
                return rc;
            rc = step(z, out, algorithm, ret_err);
        }
        if (rc < 0)
            return rc;
        if (rc == 1 && z->avail_in > 0) /* the stream has ended; only empty slices may follow */
            return corrupt(algorithm, ret_err);
    }
    return rc == 1 ? 0 : corrupt(algorithm, ret_err);
}

int codec_inflate(grpc_compression_algorithm algorithm, const grpc_slice_buffer *in, size_t max, char **ret_data,
                  size_t *ret_len, struct err *ret_err)
{
    struct output out = {.max = max};
    out.room = in->length > max / INFLATE_GUESS ? max : in->length * INFLATE_GUESS;
    if (out.room < INFLATE_FIRST)
        out.room = max < INFLATE_FIRST ? max : INFLATE_FIRST;
    out.data = mem_alloc(out.room);
    z_stream z = {.zalloc = z_alloc, .zfree = z_free};
    if (!out.data || inflateInit2(&z, window_bits(algorithm)) != Z_OK) {
        mem_free(out.data);
        return no_memory(ret_err);
    }
    z.avail_out = 1; /* not full */
    int rc = inflate_all(&z, in, &out, algorithm, ret_err);
    inflateEnd(&z);
    if (rc < 0) {
        mem_free(out.data);
        return rc;
    }
    *ret_data = out.data;
    *ret_len = out.len;
    return 0;
}

/* ---- out ---- */

bool codec_deflate(grpc_compression_algorithm algorithm, const grpc_slice_buffer *in, grpc_slice *ret)
{
    if (in->length < DEFLATE_MIN || in->length > INT_MAX)
        return false;
    z_stream z = {.zalloc = z_alloc, .zfree = z_free};
    if (deflateInit2(&z, LEVEL, Z_DEFLATED, window_bits(algorithm), MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    /* One byte less than the message: what does not fit is not worth sending. */
    grpc_slice slice = grpc_slice_malloc(in->length - 1);
    z.next_out = GRPC_SLICE_START_PTR(slice);
    z.avail_out = (unsigned)in->length - 1;
    int rc = Z_OK;
    for (size_t i = 0; i < in->count && rc == Z_OK && z.avail_out > 0; i++) {
        feed(&z, in, i);
        rc = deflate(&z, i + 1 < in->count ? Z_NO_FLUSH : Z_FINISH);
    }
    size_t len = in->length - 1 - z.avail_out;
    deflateEnd(&z);
    if (rc != Z_STREAM_END) {
        grpc_slice_unref(slice);
        return false;
    }
    if (len > in->length / 2) {
        *ret = grpc_slice_sub_no_ref(slice, 0, len);
        return true;
    }
    *ret = grpc_slice_from_copied_buffer((const char *)GRPC_SLICE_START_PTR(slice), len); /* it may be kept for long */
    grpc_slice_unref(slice);
    return true;
}
