/* All heap memory of the tree comes through here, so that a test can make the n-th allocation fail. */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* Like malloc, calloc and realloc: NULL on failure. Any thread. */
void *mem_alloc(size_t size) __attribute__((malloc, alloc_size(1)));
void *mem_zalloc(size_t size) __attribute__((malloc, alloc_size(1)));
void *mem_realloc(void *p, size_t size) __attribute__((alloc_size(2)));
char *mem_strdup(const char *s);
/* Frees what the above gave. Takes NULL. */
void mem_free(void *p);

/* Test hook: asked before every allocation; false makes it fail. NULL takes it off. Set while no other thread runs. */
void mem_set_gate(bool (*gate)(size_t size));

#endif
