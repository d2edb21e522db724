/* Reading protoc's request. */
#include "request.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

enum { MAX_REQUEST = 1 << 30 }; /* protobuf itself allows 2 GiB; no set of .proto files comes near */

static bool read_all(const char *program, struct text *text)
{
    char chunk[65536];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, stdin)) > 0) {
        if (text->len + n > MAX_REQUEST) {
            fprintf(stderr, "%s: the request is larger than 1 GiB\n", program);
            return false;
        }
        text_add_len(text, chunk, n);
    }
    if (ferror(stdin)) {
        fprintf(stderr, "%s: reading the request: %s\n", program, strerror(errno));
        return false;
    }
    return true;
}

static bool take_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret)
{
    *ret = 0;
    for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        *ret |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

/* protobuf-c unpacks messages within messages on the stack and counts no levels, so they are counted before it starts.
 * False also for what it would refuse. */
static bool is_shallow(const ProtobufCMessageDescriptor *desc, const uint8_t *at, const uint8_t *end, unsigned depth)
{
    static const size_t fixed[8] = {[PROTOBUF_C_WIRE_TYPE_64BIT] = 8, [PROTOBUF_C_WIRE_TYPE_32BIT] = 4};
    while (at < end) {
        uint64_t tag, len;
        if (!take_varint(&at, end, &tag))
            return false;
        unsigned type = tag & 7;
        if (type == PROTOBUF_C_WIRE_TYPE_VARINT) {
            if (!take_varint(&at, end, &len))
                return false;
            continue;
        }
        len = fixed[type];
        if (type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED ? !take_varint(&at, end, &len) : !len)
            return false;
        if (len > (uint64_t)(end - at))
            return false;
        const ProtobufCFieldDescriptor *field =
            tag >> 35 ? NULL : protobuf_c_message_descriptor_get_field(desc, (unsigned)(tag >> 3));
        if (field && field->type == PROTOBUF_C_TYPE_MESSAGE && type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED &&
            (depth == REQUEST_MAX_DEPTH || !is_shallow(field->descriptor, at, at + len, depth + 1)))
            return false;
        at += len;
    }
    return true;
}

Google__Protobuf__Compiler__CodeGeneratorRequest *request_parse(const uint8_t *bytes, size_t len)
{
    if (!is_shallow(&google__protobuf__compiler__code_generator_request__descriptor, bytes, bytes + len, 1))
        return NULL;
    Google__Protobuf__Compiler__CodeGeneratorRequest *request =
        google__protobuf__compiler__code_generator_request__unpack(NULL, len, bytes);
    if (!request || request->n_file_to_generate)
        return request;
    google__protobuf__compiler__code_generator_request__free_unpacked(request, NULL);
    return NULL;
}

Google__Protobuf__Compiler__CodeGeneratorRequest *request_read(struct pool *pool, const char *program)
{
    struct text input = text_new(pool);
    if (!read_all(program, &input))
        return NULL;
    Google__Protobuf__Compiler__CodeGeneratorRequest *request = request_parse((const uint8_t *)input.data, input.len);
    if (!request)
        fprintf(stderr, "%s: standard input is no request of protoc; see --help\n", program);
    return request;
}
