/* From bytes to messages (scan.c and bytes.c): what is accepted holds only valid UTF-8 without NUL, nests within the
 * limit, comes out the same both ways of decoding, and is accepted again when it is encoded.
 *
 * Input: which message type, where the bytes are cut into slices, the bytes. */
#include <string.h>

#include <grpc/slice.h>

#include "bytes.h"
#include "crpc/client.h"
#include "echo.pb-c.h"
#include "fuzz.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "google/protobuf/struct.pb-c.h"
#include "scan.h"

static const ProtobufCMessageDescriptor *const types[] = {
    &crpc__test__v1__say_request__descriptor,  &crpc__test__v1__tree__descriptor,
    &google__protobuf__struct__descriptor,     &google__protobuf__file_descriptor_proto__descriptor,
    &crpc__test__v1__chat_request__descriptor,
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

/* ---- what a decoded message must be ---- */

static void look_at(const ProtobufCMessage *msg, unsigned depth);

static void look_at_value(const ProtobufCFieldDescriptor *field, const void *at, unsigned depth)
{
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        const char *text = *(char *const *)at;
        HOLDS(!text || scan_text(span_str(text)));
    } else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        const ProtobufCMessage *inner = *(ProtobufCMessage *const *)at;
        if (inner)
            look_at(inner, depth + 1);
    } else if (field->type == PROTOBUF_C_TYPE_BYTES) {
        const ProtobufCBinaryData *bytes = at;
        HOLDS(!bytes->len || bytes->data);
    }
}

static void look_at(const ProtobufCMessage *msg, unsigned depth)
{
    HOLDS(depth < SCAN_MAX_DEPTH);
    const char *base = (const char *)msg;
    for (unsigned i = 0; i < msg->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &msg->descriptor->fields[i];
        const char *at = base + field->offset;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            size_t n = *(const size_t *)(const void *)(base + field->quantifier_offset);
            size_t step = field->type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData) : sizeof(void *);
            const char *list = *(char *const *)(const void *)at;
            for (size_t k = 0; field->type >= PROTOBUF_C_TYPE_STRING && k < n; k++)
                look_at_value(field, list + k * step, depth);
        } else if (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) ||
                   *(const uint32_t *)(const void *)(base + field->quantifier_offset) == field->id) {
            look_at_value(field, at, depth);
        }
    }
}

/* ---- the ways through ---- */

static grpc_byte_buffer *in_slices(const uint8_t *data, size_t size, size_t step)
{
    grpc_slice slices[64];
    size_t n = 0;
    while (size && n < 64) {
        size_t len = step && n < 63 && step < size ? step : size;
        slices[n++] = grpc_slice_from_copied_buffer((const char *)data, len);
        data += len;
        size -= len;
    }
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(slices, n);
    for (size_t i = 0; i < n; i++)
        grpc_slice_unref(slices[i]);
    return buffer;
}

static void same(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    size_t len = protobuf_c_message_get_packed_size(a);
    HOLDS(len == protobuf_c_message_get_packed_size(b));
    uint8_t *bytes = malloc(len + 1), *other = malloc(len + 1);
    HOLDS(bytes && other);
    HOLDS(protobuf_c_message_pack(a, bytes) == len && protobuf_c_message_pack(b, other) == len);
    HOLDS(memcmp(bytes, other, len) == 0);
    HOLDS(scan_message(a->descriptor, span_of((const char *)bytes, len), NULL) == 0);
    free(bytes);
    free(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    const ProtobufCMessageDescriptor *desc = types[input_byte(&in) % (sizeof types / sizeof *types)];
    size_t step = input_byte(&in), left = (size_t)(in.end - in.at);
    grpc_byte_buffer *buffer = in_slices(in.at, left, step);
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    ProtobufCMessage *msg = NULL, *owned = NULL;
    struct err err = ERR_NONE, owned_err = ERR_NONE;
    int rc = bytes_decode(desc, buffer, &arena, NULL, &msg, &err);
    HOLDS(bytes_decode_owned(desc, buffer, &owned, &owned_err) == rc);
    if (rc == 0) {
        look_at(msg, 0);
        look_at(owned, 0);
        same(msg, owned);
        crpc_message_free(owned);
    } else {
        HOLDS(rc == -ERR_INVALID_ARGUMENT || rc == -ERR_RESOURCE_EXHAUSTED);
        HOLDS(err.code == (enum err_code) - rc && err.msg[0] && err.reason[0] && !owned && !msg);
        HOLDS(memcmp(&err, &owned_err, sizeof err) == 0 || strcmp(err.msg, owned_err.msg) == 0);
    }
    arena_done(&arena);
    grpc_byte_buffer_destroy(buffer);
    return 0;
}
