/* Walks an encoded message along its descriptor; see scan.h. */
#include "scan.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "wire.h"

/* The way down to the present field; lives on the stack of scan_level. */
struct level {
    const struct level *up;
    const ProtobufCFieldDescriptor *field; /* being read */
    struct span wire;                      /* of the whole message */
    const uint8_t *at;                     /* start of that field */
};

bool scan_text(struct span text)
{
    const uint8_t *p = (const uint8_t *)text.data;
    size_t left = text.len;
    while (left) {
        /* Eight ASCII bytes, none of them NUL, at a time. */
        while (left >= 8) {
            uint64_t w;
            memcpy(&w, p, 8);
            if ((w | (w - 0x0101010101010101u)) & 0x8080808080808080u)
                break;
            p += 8;
            left -= 8;
        }
        if (!left)
            break;
        size_t n = utf8_len(p, left);
        if (n == 0)
            return false;
        p += n;
        left -= n;
    }
    return true;
}

/* How many values of the same field come before this one. */
static unsigned level_index(const struct level *l)
{
    const uint8_t *at = (const uint8_t *)l->wire.data;
    const uint8_t *end = at + l->wire.len;
    struct wire_field f;
    unsigned n = 0;
    while (at < l->at && wire_next(&at, end, &f))
        n += f.number == l->field->id && at <= l->at;
    return n;
}

static size_t level_path(const struct level *l, char *out, size_t room)
{
    size_t n = 0;
    if (l->up) {
        n = level_path(l->up, out, room);
        if (n + 1 < room)
            out[n++] = '.';
    }
    int w = l->field->label == PROTOBUF_C_LABEL_REPEATED
                ? snprintf(out + n, room - n, "%s[%u]", l->field->name, level_index(l))
                : snprintf(out + n, room - n, "%s", l->field->name);
    n += w > 0 ? (size_t)w : 0;
    return n < room ? n : room - 1;
}

static int malformed(const ProtobufCMessageDescriptor *desc, struct err *ret_err)
{
    return err_set(ret_err, ERR_INVALID_ARGUMENT, "MALFORMED_MESSAGE", "malformed %s", desc->name);
}

static int bad_text(const struct level *l, struct err *ret_err)
{
    char path[64];
    level_path(l, path, sizeof path);
    err_field(ret_err, path, "%s: not valid UTF-8 without NUL", path);
    if (ret_err)
        snprintf(ret_err->reason, sizeof ret_err->reason, "MALFORMED_MESSAGE");
    return -ERR_INVALID_ARGUMENT;
}

static int scan_level(const ProtobufCMessageDescriptor *desc, struct span wire, unsigned depth, const struct level *up,
                      struct err *ret_err)
{
    struct level here = {.up = up, .wire = wire};
    const uint8_t *at = (const uint8_t *)wire.data;
    const uint8_t *end = at + wire.len;
    const ProtobufCFieldDescriptor *field = NULL;
    while (at < end) {
        struct wire_field f;
        here.at = at;
        if (!wire_next(&at, end, &f))
            return malformed(desc, ret_err);
        if (f.type != WIRE_BYTES)
            continue;
        if (!field || field->id != f.number)
            field = protobuf_c_message_descriptor_get_field(desc, f.number);
        if (!field)
            continue;
        here.field = field;
        if (field->type == PROTOBUF_C_TYPE_STRING) {
            if (!scan_text(f.bytes))
                return bad_text(&here, ret_err);
        } else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
            if (depth + 1 >= SCAN_MAX_DEPTH)
                return err_set(ret_err, ERR_INVALID_ARGUMENT, "MALFORMED_MESSAGE", "messages nested deeper than %d",
                               SCAN_MAX_DEPTH);
            int rc = scan_level(field->descriptor, f.bytes, depth + 1, &here, ret_err);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

int scan_message(const ProtobufCMessageDescriptor *desc, struct span wire, struct err *ret_err)
{
    return scan_level(desc, wire, 0, NULL, ret_err);
}
