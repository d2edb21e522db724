/* See watchdog.h. A worker that turns is well, and so is one that sleeps or is with its handlers: what counts is
 * processor time in core without a turn. An honest peer cannot cause much of it, as flow control makes it wait for
 * messages to be received. */
#include "watchdog.h"

#include <signal.h>
#include <time.h>

#include "base/alloc.h"
#include "base/log.h"
#include "server_priv.h"

enum {
    LOOK_MS = 100,
    BUSY_US = 20000,   /* of processor time between two looks without a turn: connections are looked at */
    STUCK_US = 100000, /* without a turn in all: who has sent GREEDY_BYTES meanwhile is cut off */
    STUCK_MORE = 10,   /* times as long: who has most to be read */
    GREEDY_BYTES = 128 * 1024
};

struct watched {
    uint64_t passages;
    int64_t cpu_us, stuck_us;
};

struct watchdog {
    struct crpc_server *server;
    pthread_t thread;
    pthread_mutex_t mu;
    pthread_cond_t cond;
    bool stopping;
    bool marked; /* what connections had received when it began */
    struct watched workers[];
};

static int64_t cpu_us(pthread_t thread)
{
    clockid_t clock;
    struct timespec t;
    if (pthread_getcpuclockid(thread, &clock) != 0 || clock_gettime(clock, &t) != 0)
        return 0;
    return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

/* How long it has worked in core without coming back, as far as it was looked at. What it does outside is its handlers'
 * doing, not a peer's. */
static int64_t look_at(struct watched *seen, struct worker *w)
{
    uint64_t passages = atomic_load_explicit(&w->passages, memory_order_relaxed);
    int64_t cpu = cpu_us(w->thread), used = cpu - seen->cpu_us;
    if (passages % 2 == 0 || passages != seen->passages || seen->cpu_us == 0 || used < BUSY_US / 10)
        seen->stuck_us = 0;
    else
        seen->stuck_us += used;
    seen->passages = passages;
    seen->cpu_us = cpu;
    return seen->stuck_us;
}

static void look(struct watchdog *d)
{
    struct crpc_server *server = d->server;
    int64_t worst = 0;
    for (unsigned i = 0; i < server->options.n_workers; i++) {
        int64_t stuck = look_at(&d->workers[i], &server->stations[i].worker);
        worst = stuck > worst ? stuck : worst;
    }
    if (worst < BUSY_US) {
        d->marked = false;
    } else if (!d->marked) {
        connections_mark(server->connections);
        d->marked = true;
    } else if (worst >= STUCK_US) {
        unsigned n = connections_cut_greedy(server->connections, GREEDY_BYTES, worst >= STUCK_MORE * STUCK_US);
        if (n > 0)
            log_warning("connections cut reason=worker-kept-busy connections=%u busy_ms=%lld", n,
                        (long long)worst / 1000);
    }
}

static void *watchdog_main(void *arg)
{
    struct watchdog *d = arg;
    pthread_mutex_lock(&d->mu);
    while (!d->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += LOOK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&d->cond, &d->mu, &until);
        if (!d->stopping)
            look(d);
    }
    pthread_mutex_unlock(&d->mu);
    return NULL;
}

int watchdog_start(struct crpc_server *server, struct watchdog **ret, struct err *ret_err)
{
    struct watchdog *d = mem_zalloc(sizeof *d + server->options.n_workers * sizeof *d->workers);
    if (!d)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    d->server = server;
    pthread_mutex_init(&d->mu, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&d->cond, &attr);
    pthread_condattr_destroy(&attr);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&d->thread, NULL, watchdog_main, d);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0) {
        pthread_setname_np(d->thread, "crpc-watch");
        *ret = d;
        return 0;
    }
    pthread_cond_destroy(&d->cond);
    pthread_mutex_destroy(&d->mu);
    mem_free(d);
    return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "NO_THREAD", "could not start a thread");
}

void watchdog_stop(struct watchdog *watchdog)
{
    if (!watchdog)
        return;
    pthread_mutex_lock(&watchdog->mu);
    watchdog->stopping = true;
    pthread_cond_signal(&watchdog->cond);
    pthread_mutex_unlock(&watchdog->mu);
    pthread_join(watchdog->thread, NULL);
    pthread_cond_destroy(&watchdog->cond);
    pthread_mutex_destroy(&watchdog->mu);
    mem_free(watchdog);
}
