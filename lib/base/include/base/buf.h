/* A growable run of bytes. Failure is sticky: append all you want, look at `failed` once at the end. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct buf {
    char *data; /* always NUL-terminated after the first append that succeeded */
    size_t len; /* bytes, without that NUL */
    size_t cap;
    bool failed; /* an allocation failed; the content is what fitted before */
};

#define BUF_INIT ((struct buf){0})

void buf_done(struct buf *b);
/* Keeps the memory. */
void buf_clear(struct buf *b);
bool buf_reserve(struct buf *b, size_t more);
void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_str(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Big-endian, as PostgreSQL's binary formats are. */
void buf_add_be16(struct buf *b, uint16_t v);
void buf_add_be32(struct buf *b, uint32_t v);
void buf_add_be64(struct buf *b, uint64_t v);
static inline struct span buf_span(const struct buf *b)
{
    return (struct span){b->data, b->len};
}

#endif
