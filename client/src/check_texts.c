/* Walks a message along its descriptor; see check_texts.h. */
#include "check_texts.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

enum { PATH_ROOM = 64 }; /* as the field of an error */

static bool is_text(const char *text)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t left = text ? strlen(text) : 0;
    for (size_t n; left > 0; p += n, left -= n)
        if ((n = utf8_len(p, left)) == 0)
            return false;
    return true;
}

static int check_level(const ProtobufCMessage *message, const char *above, struct err *ret_err);

/* at: of a pointer to a text or a message. */
static int check_value(const ProtobufCFieldDescriptor *field, const void *at, const char *path, struct err *ret_err)
{
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        const char *const *text = at;
        if (is_text(*text))
            return 0;
        err_field(ret_err, path, "%s: not valid UTF-8 without NUL", path);
        snprintf(ret_err->reason, sizeof ret_err->reason, "MALFORMED_MESSAGE");
        return -ERR_INVALID_ARGUMENT;
    }
    const ProtobufCMessage *const *below = at;
    return *below ? check_level(*below, path, ret_err) : 0;
}

static int check_field(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, const char *above,
                       struct err *ret_err)
{
    const char *base = (const char *)message;
    char path[PATH_ROOM];
    int rc = 0;
    const char *dot = *above ? "." : "";
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        const uint32_t *which = (const void *)(base + field->quantifier_offset);
        if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && *which != field->id)
            return 0;
        snprintf(path, sizeof path, "%.30s%s%.30s", above, dot, field->name);
        return check_value(field, base + field->offset, path, ret_err);
    }
    const size_t *n = (const void *)(base + field->quantifier_offset);
    const void *const *const *values = (const void *)(base + field->offset);
    for (size_t i = 0; i < *n && rc == 0; i++) {
        snprintf(path, sizeof path, "%.20s%s%.20s[%zu]", above, dot, field->name, i);
        rc = check_value(field, *values + i, path, ret_err);
    }
    return rc;
}

static int check_level(const ProtobufCMessage *message, const char *above, struct err *ret_err)
{
    const ProtobufCMessageDescriptor *descriptor = message->descriptor;
    int rc = 0;
    for (unsigned i = 0; i < descriptor->n_fields && rc == 0; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_MESSAGE)
            rc = check_field(message, field, above, ret_err);
    }
    return rc;
}

int check_texts(const ProtobufCMessage *message, struct err *ret_err)
{
    return check_level(message, "", ret_err);
}
