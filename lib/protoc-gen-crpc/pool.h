/* Memory of one run of the plugin: everything is freed at once at its end, so nothing else here is ever freed. */
#ifndef PROTOC_GEN_CRPC_POOL_H
#define PROTOC_GEN_CRPC_POOL_H

#include <stddef.h>

struct pool_block;

struct pool {
    struct pool_block *blocks;
    void (*no_memory)(void); /* must not return */
};

/* Zeroed; never NULL. Lives until pool_done. */
void *pool_alloc(struct pool *pool, size_t size);
void *pool_array(struct pool *pool, size_t n, size_t size);
char *pool_strndup(struct pool *pool, const char *s, size_t len);
char *pool_strdup(struct pool *pool, const char *s);
char *pool_printf(struct pool *pool, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void pool_done(struct pool *pool);

#endif
