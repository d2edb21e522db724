/* Encoding into one slice, decoding out of one run of bytes into an arena. See bytes.h. */
#include "bytes.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include <grpc/slice.h>

#include "base/alloc.h"
#include "codec.h"
#include "core_private.h"
#include "crpc/client.h"
#include "scan.h"

/* A message of a few bytes may unfold to a large struct, a list of empty messages to many. An honest message needs
 * several times its size; the fixed part is for lists of small ones. */
enum { UNFOLD_FACTOR = 16, UNFOLD_FREE = 4 << 20 };
/* Messages cut across slices are joined on the stack up to this size. */
enum { JOIN_ON_STACK = 4096 };

struct owned_message {
    struct arena arena;
    _Alignas(16) char memory[]; /* begins with the message */
};

/* A message up to here lies in the memory of its call, more or less; beyond, the quota is asked for so much at a time.
 */
enum { CHARGE_FREE = 4096, CHARGE_STEP = 16384 };
/* When to come back after the quota was used up. */
enum { QUOTA_RETRY_MS = 1000 };

struct unfold {
    struct arena *arena;
    struct charge *charge; /* NULL: none */
    size_t left, granted;
    bool too_much;   /* the message wants more than it may have */
    bool over_quota; /* or than the quota gives */
    bool no_memory;  /* or there is not even that */
};

void bytes_init(grpc_byte_buffer *out)
{
    memset(out, 0, sizeof *out);
    out->type = GRPC_BB_RAW;
    out->data.raw.compression = GRPC_COMPRESS_NONE;
    grpc_slice_buffer_init(&out->data.raw.slice_buffer);
}

static grpc_slice encode(const ProtobufCMessage *msg)
{
    grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(msg));
    protobuf_c_message_pack(msg, GRPC_SLICE_START_PTR(slice));
    return slice;
}

void bytes_put_message(grpc_byte_buffer *out, const ProtobufCMessage *msg)
{
    grpc_slice_buffer_add(&out->data.raw.slice_buffer, encode(msg));
}

static uint8_t *put_varint(uint8_t *at, uint64_t v)
{
    for (; v > 0x7f; v >>= 7)
        *at++ = (uint8_t)(v | 0x80);
    *at++ = (uint8_t)v;
    return at;
}

/* The fields of a message may come in any order, so this one comes last. */
void bytes_put_with(grpc_byte_buffer *out, const ProtobufCMessage *msg, uint32_t field, const struct crpc_bytes *bytes)
{
    enum { LENGTH_DELIMITED = 2, TAG_AND_LENGTH_MAX = 5 + 10 };
    size_t len = protobuf_c_message_get_packed_size(msg);
    uint8_t tail[TAG_AND_LENGTH_MAX];
    uint8_t *end = put_varint(put_varint(tail, (uint64_t)field << 3 | LENGTH_DELIMITED), bytes->len);
    grpc_slice head = grpc_slice_malloc(len + (size_t)(end - tail));
    protobuf_c_message_pack(msg, GRPC_SLICE_START_PTR(head));
    memcpy(GRPC_SLICE_START_PTR(head) + len, tail, (size_t)(end - tail));
    grpc_slice_buffer_add(&out->data.raw.slice_buffer, head);
    grpc_slice_buffer_add(&out->data.raw.slice_buffer,
                          grpc_slice_new_with_user_data((void *)bytes->data, bytes->len, bytes->release, bytes->user));
}

void bytes_put_packed(grpc_byte_buffer *out, const ProtobufCMessage *msg, grpc_compression_algorithm algorithm)
{
    bytes_put_message(out, msg);
    bytes_pack(out, algorithm);
}

void bytes_pack(grpc_byte_buffer *out, grpc_compression_algorithm algorithm)
{
    grpc_slice packed;
    if (!codec_deflate(algorithm, &out->data.raw.slice_buffer, &packed))
        return;
    grpc_slice_buffer_reset_and_unref(&out->data.raw.slice_buffer);
    grpc_slice_buffer_add(&out->data.raw.slice_buffer, packed);
    out->data.raw.compression = algorithm;
}

grpc_op bytes_send_op(grpc_byte_buffer *out)
{
    grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};
    op.data.send_message.send_message = out;
    if (out->data.raw.compression == GRPC_COMPRESS_NONE)
        op.flags = GRPC_WRITE_NO_COMPRESS; /* else core would, in a call that compresses others */
    return op;
}

void bytes_drop(grpc_byte_buffer *out)
{
    grpc_slice_buffer_reset_and_unref(&out->data.raw.slice_buffer);
    out->data.raw.compression = GRPC_COMPRESS_NONE;
}

static int inflate(grpc_byte_buffer *in, size_t max, struct err *ret_err)
{
    grpc_slice_buffer *sb = &in->data.raw.slice_buffer;
    char *data;
    size_t len;
    int rc = codec_inflate(in->data.raw.compression, sb, max, &data, &len, ret_err);
    if (rc < 0)
        return rc;
    grpc_slice_buffer_reset_and_unref(sb);
    grpc_slice_buffer_add(sb, grpc_slice_new(data, len, mem_free));
    in->data.raw.compression = GRPC_COMPRESS_NONE;
    return 1;
}

int bytes_open(grpc_call *call, grpc_byte_buffer *in, size_t max, struct err *ret_err)
{
    if (in->data.raw.compression != GRPC_COMPRESS_NONE)
        return inflate(in, max, ret_err);
    if (!core_came_compressed(call))
        return 0;
    return err_set(ret_err, ERR_UNIMPLEMENTED, "UNKNOWN_ENCODING",
                   "a message is compressed in a way that is not understood here; gzip, deflate and identity are");
}

static int no_memory(struct err *ret_err)
{
    return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

bool charge_take(struct charge *charge, size_t bytes)
{
    struct quota *q = charge->quota;
    if (atomic_fetch_add_explicit(&q->used, bytes, memory_order_relaxed) + bytes > q->max) {
        atomic_fetch_sub_explicit(&q->used, bytes, memory_order_relaxed);
        return false;
    }
    charge->bytes += bytes;
    return true;
}

void charge_drop(struct charge *charge)
{
    if (charge->bytes)
        atomic_fetch_sub_explicit(&charge->quota->used, charge->bytes, memory_order_relaxed);
    charge->bytes = 0;
}

static bool unfold_grant(struct unfold *u, size_t cost)
{
    if (!u->charge || cost <= u->granted)
        return true;
    size_t more = cost > CHARGE_STEP ? cost : CHARGE_STEP;
    if (!charge_take(u->charge, more)) {
        u->over_quota = true;
        return false;
    }
    u->granted += more;
    return true;
}

static void *unfold_alloc(void *user, size_t size)
{
    struct unfold *u = user;
    /* What the arena really takes for a small piece. */
    size_t cost = size + 16;
    if (cost > u->left) {
        u->too_much = true;
        return NULL;
    }
    if (!unfold_grant(u, cost))
        return NULL;
    void *p = arena_alloc(u->arena, size);
    if (p) {
        u->left -= cost;
        u->granted -= cost <= u->granted ? cost : u->granted;
    } else {
        u->no_memory = true;
    }
    return p;
}

static void unfold_free(void *user, void *p)
{
    (void)user;
    (void)p;
}

int charge_refused(struct err *ret_err)
{
    int rc = err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "SERVER_MEMORY", "the server's memory for requests is in use");
    if (ret_err)
        ret_err->retry_after_ms = QUOTA_RETRY_MS;
    return rc;
}

static int decode_span(const ProtobufCMessageDescriptor *desc, struct span wire, struct arena *arena,
                       struct charge *charge, ProtobufCMessage **ret_msg, struct err *ret_err)
{
    int rc = scan_message(desc, wire, ret_err);
    if (rc < 0)
        return rc;
    struct unfold u = {.arena = arena,
                       .charge = charge && charge->quota ? charge : NULL,
                       .left = UNFOLD_FREE + UNFOLD_FACTOR * wire.len,
                       .granted = CHARGE_FREE};
    ProtobufCAllocator allocator = {unfold_alloc, unfold_free, &u};
    ProtobufCMessage *msg = protobuf_c_message_unpack(desc, &allocator, wire.len, (const uint8_t *)wire.data);
    if (msg) {
        *ret_msg = msg;
        return 0;
    }
    if (u.no_memory)
        return no_memory(ret_err);
    if (u.over_quota)
        return charge_refused(ret_err);
    if (u.too_much)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "MESSAGE_TOO_COMPLEX", "%s needs too much memory", desc->name);
    return err_set(ret_err, ERR_INVALID_ARGUMENT, "MALFORMED_MESSAGE", "malformed %s", desc->name);
}

/* The content in one piece: the slice itself, or a copy in small (JOIN_ON_STACK bytes) or *ret_heap. */
static bool join(grpc_byte_buffer *in, char *small, char **ret_heap, struct span *ret)
{
    grpc_slice_buffer *sb = &in->data.raw.slice_buffer;
    if (sb->count <= 1) {
        *ret = sb->count ? span_of((const char *)GRPC_SLICE_START_PTR(sb->slices[0]), GRPC_SLICE_LENGTH(sb->slices[0]))
                         : SPAN_LIT(""); /* no NULL, to which nothing may be added */
        return true;
    }
    char *at = sb->length <= JOIN_ON_STACK ? small : (*ret_heap = mem_alloc(sb->length));
    if (!at)
        return false;
    *ret = span_of(at, sb->length);
    for (size_t i = 0; i < sb->count; i++) {
        memcpy(at, GRPC_SLICE_START_PTR(sb->slices[i]), GRPC_SLICE_LENGTH(sb->slices[i]));
        at += GRPC_SLICE_LENGTH(sb->slices[i]);
    }
    return true;
}

int bytes_decode(const ProtobufCMessageDescriptor *desc, grpc_byte_buffer *in, struct arena *arena,
                 struct charge *charge, ProtobufCMessage **ret_msg, struct err *ret_err)
{
    char small[JOIN_ON_STACK], *heap = NULL;
    struct span wire;
    if (!join(in, small, &heap, &wire))
        return no_memory(ret_err);
    int rc = decode_span(desc, wire, arena, charge, ret_msg, ret_err);
    mem_free(heap);
    return rc;
}

int bytes_decode_owned(const ProtobufCMessageDescriptor *desc, grpc_byte_buffer *in, ProtobufCMessage **ret_msg,
                       struct err *ret_err)
{
    /* Most messages then fit into one block. */
    size_t room = desc->sizeof_message + 256 + 3 * grpc_byte_buffer_length(in);
    struct owned_message *own = mem_alloc(sizeof *own + room);
    if (!own)
        return no_memory(ret_err);
    arena_init(&own->arena, own->memory, room, 0);
    ProtobufCMessage *msg = NULL;
    int rc = bytes_decode(desc, in, &own->arena, NULL, &msg, ret_err);
    if (rc < 0) {
        arena_done(&own->arena);
        mem_free(own);
        return rc;
    }
    assert((void *)msg == (void *)own->memory); /* protobuf-c allocates the message before its parts */
    *ret_msg = msg;
    return 0;
}

void crpc_message_free(ProtobufCMessage *msg)
{
    if (!msg)
        return;
    struct owned_message *own = (struct owned_message *)(void *)((char *)msg - offsetof(struct owned_message, memory));
    arena_done(&own->arena);
    mem_free(own);
}
