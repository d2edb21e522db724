/* The one door to the heap; see alloc.h. */
#include "base/alloc.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef bool gate_fn(size_t size);
static _Atomic(gate_fn *) gate_now;

static bool allowed(size_t size)
{
    gate_fn *gate = atomic_load_explicit(&gate_now, memory_order_relaxed);
    return !gate || gate(size);
}

void *mem_alloc(size_t size)
{
    return allowed(size) ? malloc(size ? size : 1) : NULL;
}

void *mem_zalloc(size_t size)
{
    return allowed(size) ? calloc(1, size ? size : 1) : NULL;
}

void *mem_realloc(void *p, size_t size)
{
    return allowed(size) ? realloc(p, size ? size : 1) : NULL;
}

char *mem_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = mem_alloc(n);
    if (copy)
        memcpy(copy, s, n);
    return copy;
}

void mem_free(void *p)
{
    free(p);
}

void mem_set_gate(bool (*gate)(size_t size))
{
    atomic_store(&gate_now, gate);
}
