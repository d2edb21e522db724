/* See idle.h. */
#include "export/idle.h"

#include <pthread.h>

#include "base/alloc.h"

enum { IDLE_MAX = 4 /* as many as exports are usually written at a time, and some more; each is a process there */ };

struct export_idle {
    pthread_mutex_t lock;
    void (*close)(void *conn);
    int n;
    struct {
        void *conn;
        int64_t since_ms;
    } conns[IDLE_MAX]; /* the one that was used last comes last */
};

struct export_idle *export_idle_new(void (*close)(void *conn))
{
    struct export_idle *idle = mem_zalloc(sizeof *idle);
    if (idle) {
        pthread_mutex_init(&idle->lock, NULL);
        idle->close = close;
    }
    return idle;
}

void export_idle_free(struct export_idle *idle)
{
    if (!idle)
        return;
    while (idle->n > 0)
        idle->close(idle->conns[--idle->n].conn);
    pthread_mutex_destroy(&idle->lock);
    mem_free(idle);
}

void *export_idle_take(struct export_idle *idle)
{
    if (!idle)
        return NULL;
    pthread_mutex_lock(&idle->lock);
    void *conn = idle->n > 0 ? idle->conns[--idle->n].conn : NULL;
    pthread_mutex_unlock(&idle->lock);
    return conn;
}

bool export_idle_put(struct export_idle *idle, void *conn, int64_t now_ms)
{
    if (!idle)
        return false;
    pthread_mutex_lock(&idle->lock);
    bool has_room = idle->n < IDLE_MAX;
    if (has_room) {
        idle->conns[idle->n].conn = conn;
        idle->conns[idle->n++].since_ms = now_ms;
    }
    pthread_mutex_unlock(&idle->lock);
    return has_room;
}

void export_idle_trim(struct export_idle *idle, int64_t now_ms)
{
    void *old[IDLE_MAX];
    int n = 0;
    if (!idle)
        return;
    pthread_mutex_lock(&idle->lock);
    while (n < idle->n && now_ms - idle->conns[n].since_ms >= EXPORT_IDLE_MS) {
        old[n] = idle->conns[n].conn;
        n++;
    }
    idle->n -= n;
    for (int i = 0; i < idle->n; i++)
        idle->conns[i] = idle->conns[i + n];
    pthread_mutex_unlock(&idle->lock);
    for (int i = 0; i < n; i++)
        idle->close(old[i]);
}
