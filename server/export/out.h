/* Where the bytes of a file go while it is made: memory with room, and somebody who makes more when it is full. One
 * thread. */
#ifndef EXPORT_OUT_H
#define EXPORT_OUT_H

#include <stddef.h>
#include <string.h>

struct export_out {
    char *at, *end; /* the room: at may be written up to end, and is moved on */
    /* Takes what was written and makes room for at least one byte. 0, or -1: it failed, or was told to stop. */
    int (*full)(struct export_out *out);
};

int export_out_add_slowly(struct export_out *out, const char *data, size_t len);

/* 0, or -1 as `full` gave. */
static inline int export_out_add(struct export_out *out, const char *data, size_t len)
{
    if (__builtin_expect(len > (size_t)(out->end - out->at), 0))
        return export_out_add_slowly(out, data, len);
    memcpy(out->at, data, len);
    out->at += len;
    return 0;
}

static inline int export_out_str(struct export_out *out, const char *text)
{
    return export_out_add(out, text, strlen(text));
}

#endif
