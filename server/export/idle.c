/* See idle.h. */
#include "export/idle.h"

#include <pthread.h>

#include "base/alloc.h"
#include "pg/pg.h"

enum { IDLE_MAX = 4 /* as many as exports are usually written at a time, and some more; each is a process there */ };

struct export_idle {
    pthread_mutex_t lock;
    int n;
    struct {
        struct pg_conn *pg;
        int64_t since_ms;
    } conns[IDLE_MAX]; /* the one that was used last comes last */
};

struct export_idle *export_idle_new(void)
{
    struct export_idle *idle = mem_zalloc(sizeof *idle);
    if (idle)
        pthread_mutex_init(&idle->lock, NULL);
    return idle;
}

void export_idle_free(struct export_idle *idle)
{
    if (!idle)
        return;
    while (idle->n > 0)
        pg_close(idle->conns[--idle->n].pg);
    pthread_mutex_destroy(&idle->lock);
    mem_free(idle);
}

struct pg_conn *export_idle_take(struct export_idle *idle)
{
    if (!idle)
        return NULL;
    pthread_mutex_lock(&idle->lock);
    struct pg_conn *pg = idle->n > 0 ? idle->conns[--idle->n].pg : NULL;
    pthread_mutex_unlock(&idle->lock);
    return pg;
}

void export_idle_put(struct export_idle *idle, struct pg_conn *pg, int64_t now_ms)
{
    if (idle && !pg_failed(pg)) {
        pthread_mutex_lock(&idle->lock);
        if (idle->n < IDLE_MAX) {
            idle->conns[idle->n].pg = pg;
            idle->conns[idle->n++].since_ms = now_ms;
            pg = NULL;
        }
        pthread_mutex_unlock(&idle->lock);
    }
    pg_close(pg);
}

void export_idle_trim(struct export_idle *idle, int64_t now_ms)
{
    struct pg_conn *old[IDLE_MAX];
    int n = 0;
    if (!idle)
        return;
    pthread_mutex_lock(&idle->lock);
    while (n < idle->n && now_ms - idle->conns[n].since_ms >= EXPORT_IDLE_MS) {
        old[n] = idle->conns[n].pg;
        n++;
    }
    idle->n -= n;
    for (int i = 0; i < idle->n; i++)
        idle->conns[i] = idle->conns[i + n];
    pthread_mutex_unlock(&idle->lock);
    for (int i = 0; i < n; i++)
        pg_close(old[i]);
}
