/* Reading protobuf's wire format field by field, with every length checked. No allocation; any thread. */
#ifndef CRPC_SRC_WIRE_H
#define CRPC_SRC_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;    /* WIRE_VARINT */
    struct span bytes; /* WIRE_BYTES; borrowed */
};

static inline bool wire_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret)
{
    const uint8_t *p = *at;
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70 && p < end; shift += 7) {
        uint8_t b = *p++;
        if (shift < 64)
            v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            *at = p;
            *ret = v;
            return true;
        }
    }
    return false;
}

/* Takes the field at *at. False when malformed; *at == end is for the caller to see first. */
static inline bool wire_next(const uint8_t **at, const uint8_t *end, struct wire_field *f)
{
    uint64_t tag, v;
    if (!wire_varint(at, end, &tag) || tag >> 32 || tag >> 3 == 0)
        return false;
    f->number = (uint32_t)(tag >> 3);
    f->type = (enum wire_type)(tag & 7);
    switch (f->type) {
    case WIRE_VARINT:
        return wire_varint(at, end, &f->value);
    case WIRE_FIXED64:
        if (end - *at < 8)
            return false;
        *at += 8;
        return true;
    case WIRE_FIXED32:
        if (end - *at < 4)
            return false;
        *at += 4;
        return true;
    case WIRE_BYTES:
        if (!wire_varint(at, end, &v) || v > (uint64_t)(end - *at))
            return false;
        f->bytes = span_of((const char *)*at, (size_t)v);
        *at += v;
        return true;
    default:
        return false; /* groups, which proto3 has not */
    }
}

#endif
