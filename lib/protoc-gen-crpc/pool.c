/* Memory of one run of the plugin. A chain of plain allocations: the plugin runs for milliseconds, and one chain is all
 * that a leak checker wants to see freed. */
#include "pool.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pool_block {
    struct pool_block *next;
    alignas(max_align_t) char data[];
};

void *pool_alloc(struct pool *pool, size_t size)
{
    struct pool_block *block = size <= SIZE_MAX - sizeof *block ? calloc(1, sizeof *block + size) : NULL;
    if (!block) {
        pool->no_memory();
        abort(); /* no_memory does not return */
    }
    block->next = pool->blocks;
    pool->blocks = block;
    return block->data;
}

void *pool_array(struct pool *pool, size_t n, size_t size)
{
    return pool_alloc(pool, size && n > SIZE_MAX / size ? SIZE_MAX : n * size);
}

char *pool_strndup(struct pool *pool, const char *s, size_t len)
{
    char *copy = pool_alloc(pool, len + 1);
    memcpy(copy, s, len);
    return copy;
}

char *pool_strdup(struct pool *pool, const char *s)
{
    return pool_strndup(pool, s, strlen(s));
}

char *pool_printf(struct pool *pool, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    size_t size = len < 0 ? 1 : (size_t)len + 1;
    char *s = pool_alloc(pool, size);
    vsnprintf(s, size, fmt, again);
    va_end(again);
    return s;
}

void pool_done(struct pool *pool)
{
    while (pool->blocks) {
        struct pool_block *block = pool->blocks;
        pool->blocks = block->next;
        free(block);
    }
}
