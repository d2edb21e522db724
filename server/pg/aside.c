/* See aside.h. Each call has two owners, its thread and who waits; the last one frees it. */
#include "pg/aside.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/alloc.h"
#include "base/log.h"
#include "pg/pg.h"

/* Under way at a time; more than that means that a database that is asked again and again answers nobody. */
enum { ASIDE_MAX = 64, KEYS_MAX = 15 };

struct pg_aside {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool has_ended, left; /* by who waits */
    void (*run)(struct pg_aside *aside);
    char *keys[KEYS_MAX + 1], *values[KEYS_MAX + 1];
    PGconn *connection;
    PGcancel *cancel;
    PGPing ping;
};

static atomic_int n_alive;

static void aside_free(struct pg_aside *aside)
{
    for (int i = 0; i < KEYS_MAX; i++) {
        mem_free(aside->keys[i]);
        mem_free(aside->values[i]);
    }
    PQfinish(aside->connection);
    PQfreeCancel(aside->cancel);
    pthread_cond_destroy(&aside->ended);
    pthread_mutex_destroy(&aside->lock);
    mem_free(aside);
    atomic_fetch_sub(&n_alive, 1);
}

static void *aside_main(void *user)
{
    struct pg_aside *aside = user;
    aside->run(aside);
    pthread_mutex_lock(&aside->lock);
    aside->has_ended = true;
    bool left = aside->left;
    pthread_cond_signal(&aside->ended);
    pthread_mutex_unlock(&aside->lock);
    if (left)
        aside_free(aside);
    return NULL;
}

static struct pg_aside *aside_new(void (*run)(struct pg_aside *aside))
{
    pthread_condattr_t attr;
    if (atomic_fetch_add(&n_alive, 1) >= ASIDE_MAX) {
        atomic_fetch_sub(&n_alive, 1);
        log_warning("a call of a database was not made: too many of them do not come back");
        return NULL;
    }
    struct pg_aside *aside = mem_zalloc(sizeof *aside);
    if (!aside) {
        atomic_fetch_sub(&n_alive, 1);
        return NULL;
    }
    aside->run = run;
    pthread_mutex_init(&aside->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&aside->ended, &attr);
    pthread_condattr_destroy(&attr);
    return aside;
}

/* Takes aside. */
static struct pg_aside *aside_start(struct pg_aside *aside)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, aside_main, aside) != 0) {
        aside_free(aside);
        return NULL;
    }
    pthread_detach(thread);
    return aside;
}

static struct pg_aside *start_with(void (*run)(struct pg_aside *aside), const char *const *keys,
                                   const char *const *values)
{
    struct pg_aside *aside = aside_new(run);
    int n = 0;
    for (int i = 0; aside && keys[i] && n < KEYS_MAX; i++) {
        if (!values[i]) /* as libpq does */
            continue;
        aside->keys[n] = mem_strdup(keys[i]);
        aside->values[n] = mem_strdup(values[i]);
        if (!aside->keys[n] || !aside->values[n]) {
            aside_free(aside);
            return NULL;
        }
        n++;
    }
    return aside ? aside_start(aside) : NULL;
}

static void run_connect(struct pg_aside *aside)
{
    aside->connection = PQconnectdbParams((const char *const *)aside->keys, (const char *const *)aside->values, 1);
}

static void run_ping(struct pg_aside *aside)
{
    aside->ping = PQpingParams((const char *const *)aside->keys, (const char *const *)aside->values, 1);
}

static void run_cancel(struct pg_aside *aside)
{
    char text[256];
    if (!PQcancel(aside->cancel, text, sizeof text))
        log_warning("cannot cancel a statement text=\"%s\"", text);
}

struct pg_aside *pg_aside_connect(const char *const *keys, const char *const *values)
{
    return start_with(run_connect, keys, values);
}

struct pg_aside *pg_aside_ping(const char *const *keys, const char *const *values)
{
    return start_with(run_ping, keys, values);
}

struct pg_aside *pg_aside_cancel(PGconn *c)
{
    struct pg_aside *aside = aside_new(run_cancel);
    if (aside && !(aside->cancel = PQgetCancel(c))) {
        aside_free(aside);
        return NULL;
    }
    return aside ? aside_start(aside) : NULL;
}

bool pg_aside_wait(struct pg_aside *aside, int ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&aside->lock);
    while (ms > 0 && !aside->has_ended && pthread_cond_timedwait(&aside->ended, &aside->lock, &until) == 0) {
    }
    bool ended = aside->has_ended;
    pthread_mutex_unlock(&aside->lock);
    return ended;
}

PGconn *pg_aside_connection(struct pg_aside *aside)
{
    PGconn *c = aside->connection;
    aside->connection = NULL;
    return c;
}

bool pg_aside_answered(const struct pg_aside *aside)
{
    return aside->ping != PQPING_NO_RESPONSE;
}

bool pg_is_at_rest(void)
{
    return atomic_load(&n_alive) == 0;
}

void pg_aside_drop(struct pg_aside *aside)
{
    if (!aside)
        return;
    pthread_mutex_lock(&aside->lock);
    aside->left = true;
    bool ended = aside->has_ended;
    pthread_mutex_unlock(&aside->lock);
    if (ended)
        aside_free(aside);
}
