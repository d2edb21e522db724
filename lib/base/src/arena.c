/* Bump allocation; see arena.h. */
#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

/* Blocks double: thousands of arenas that hold little, as those of calls that only wait, stay small. */
enum { ARENA_ALIGN = 16, ARENA_FIRST = 512, ARENA_BLOCK = 8192 };

struct arena_block {
    struct arena_block *next;
    size_t size; /* of data */
    _Alignas(ARENA_ALIGN) char data[];
};

static void arena_start(struct arena *a)
{
    size_t skip = (size_t)(-(uintptr_t)a->first) & (ARENA_ALIGN - 1);
    bool usable = a->first && a->first_size > skip;
    a->at = usable ? a->first + skip : NULL;
    a->end = usable ? a->first + a->first_size : NULL;
    a->used = 0;
    a->next_block = ARENA_FIRST;
}

void arena_init(struct arena *a, void *first, size_t first_size, size_t limit)
{
    *a = (struct arena){.first = first, .first_size = first_size, .limit = limit};
    arena_start(a);
}

void arena_reset(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *next = a->blocks->next;
        mem_free(a->blocks);
        a->blocks = next;
    }
    arena_start(a);
}

void arena_done(struct arena *a)
{
    arena_reset(a);
    a->at = a->end = NULL;
}

static bool arena_grow(struct arena *a, size_t size)
{
    bool large = size > a->next_block / 4;
    size_t room = large ? size : a->next_block - sizeof(struct arena_block);
    struct arena_block *block = mem_alloc(sizeof *block + room);
    if (!block)
        return false;
    block->next = a->blocks;
    block->size = room;
    a->blocks = block;
    if (a->next_block < ARENA_BLOCK)
        a->next_block *= 2;
    if (large && a->at) {
        /* A large piece gets a block of its own; the present one goes on serving small ones. */
        return true;
    }
    a->at = block->data;
    a->end = block->data + room;
    return true;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX - ARENA_ALIGN)
        return NULL;
    size_t need = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (need == 0)
        need = ARENA_ALIGN;
    if (a->limit && (need > a->limit || a->used > a->limit - need))
        return NULL;
    if (need > (size_t)(a->end - a->at)) {
        struct arena_block *before = a->blocks;
        char *at = a->at;
        if (!arena_grow(a, need))
            return NULL;
        if (a->at == at && a->blocks != before) {
            a->used += need;
            return a->blocks->data;
        }
    }
    void *p = a->at;
    a->at += need;
    a->used += need;
    return p;
}

void *arena_zalloc(struct arena *a, size_t size)
{
    void *p = arena_alloc(a, size);
    return p ? memset(p, 0, size) : NULL;
}

struct span arena_span(struct arena *a, struct span s)
{
    char *copy = arena_alloc(a, s.len + 1);
    if (!copy)
        return span_of(NULL, s.len ? s.len : 1);
    if (s.len)
        memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    return span_of(copy, s.len);
}

char *arena_str(struct arena *a, struct span s)
{
    char *copy = arena_alloc(a, s.len + 1);
    if (!copy)
        return NULL;
    if (s.len)
        memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    return copy;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *s = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (s)
        vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    return s;
}
