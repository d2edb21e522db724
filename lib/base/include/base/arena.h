/* Memory that is given back all at once. Not thread-safe; may be handed from thread to thread. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/span.h"

struct arena_block;

struct arena {
    char *at;                   /* next free byte of the newest block */
    char *end;                  /* end of that block */
    struct arena_block *blocks; /* heap blocks, newest first */
    char *first;                /* buffer given to arena_init, may be NULL */
    size_t first_size;
    size_t next_block; /* bytes of the next block */
    size_t used;       /* bytes handed out */
    size_t limit;      /* most bytes it may hand out; 0: no limit */
};

/* Starts with a caller's buffer (borrowed until arena_done; NULL and 0 for none); grows by heap blocks. */
void arena_init(struct arena *a, void *first, size_t first_size, size_t limit);
/* Gives back every block; the arena is as after arena_init. */
void arena_reset(struct arena *a);
/* Same, for good. */
void arena_done(struct arena *a);
/* 16-byte aligned; NULL when out of memory or over the limit. size 0 gives a valid pointer. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_zalloc(struct arena *a, size_t size);
/* Copies into the arena, with a NUL after the copy that is not counted. data NULL with len > 0: out of memory. */
struct span arena_span(struct arena *a, struct span s);
/* NUL-terminated copy; NULL when out of memory. */
char *arena_str(struct arena *a, struct span s);
/* sprintf into the arena; NULL when out of memory. */
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
