/* See watchdog.h. A worker that turns is well, and so is one that sleeps or is with its handlers: what counts is
 * processor time in core without a turn. An honest peer cannot cause much of it, as flow control makes it wait for
 * messages to be received: many large ones at once over TLS, on a machine with more to do than it can, came to 164 ms
 * and 6 MB, max_streams calls begun at once to 140 ms. */
#include "watchdog.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "server_priv.h"

enum {
    LOOK_MS = 20,
    BUSY_LOOK_MS = 5, /* while there is something to be seen */
    BUSY_US = 5000,   /* of processor time without a turn: connections are looked at */
    FLOOD_US = 60000, /* who has sent FLOOD_BYTES meanwhile is cut off */
    FLOOD_BYTES = 64 << 20,
    STUCK_US = 400000,         /* who has sent GREEDY_BYTES */
    GREEDY_BYTES = 128 * 1024, /* also when memory is short */
    HOPELESS_US = 800000,      /* since any was cut: who has most to be read */
    QUIET_LOOKS = 20,          /* then it sleeps; less may be the machine that is short of processors */
    /* Of memory, see look_at_memory. */
    MARK_MS = 200,
    TRIM_MS = 100,
    FREED_MS = 20
};

struct watched {
    uint64_t passages;
    int64_t cpu_us, stuck_us;
    unsigned quiet; /* looks one after the other at which it had used next to nothing */
};

struct watchdog {
    struct crpc_server *server;
    pthread_t thread;
    pthread_mutex_t mu;
    pthread_cond_t cond;
    bool stopping;
    bool marked;         /* what connections had received when it began */
    int64_t cut_busy_us; /* without a turn when connections were cut for it, the last time; 0: not since it began */
    int statm;           /* /proc/self/statm, or -1 */
    bool tight;          /* of memory; what connections had received is known since memory_marked_ms */
    int64_t memory_marked_ms, trimmed_ms;
    size_t cut_bytes; /* resident when connections were cut for it, the last time */
    int64_t cut_ms;
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
    seen->quiet = used < BUSY_US / 10 ? seen->quiet + 1 : 0;
    if (passages % 2 == 0 || passages != seen->passages || seen->cpu_us == 0 || seen->quiet >= QUIET_LOOKS)
        seen->stuck_us = 0;
    else
        seen->stuck_us += used;
    seen->passages = passages;
    seen->cpu_us = cpu;
    return seen->stuck_us;
}

/* True: something is to be seen. */
static bool look_at_workers(struct watchdog *d)
{
    struct crpc_server *server = d->server;
    int64_t worst = 0;
    for (unsigned i = 0; i < server->options.n_workers; i++) {
        int64_t stuck = look_at(&d->workers[i], &server->stations[i].worker);
        worst = stuck > worst ? stuck : worst;
    }
    if (worst == 0) {
        d->marked = false;
        d->cut_busy_us = 0;
    } else if (!d->marked) {
        if (worst >= BUSY_US && !d->tight) {
            connections_mark(server->connections);
            d->marked = true;
        }
    } else if (worst >= FLOOD_US) {
        size_t bytes = worst >= STUCK_US ? GREEDY_BYTES : FLOOD_BYTES;
        bool hopeless =
            worst - d->cut_busy_us >= HOPELESS_US; /* core may still be with what one has sent that was cut */
        /* What core gathers of headers without end is several times what was sent, and grows for a while after a cut.
         */
        unsigned n = d->tight ? connections_cut_greediest(server->connections, GREEDY_BYTES) : 0;
        n = n > 0 ? n : connections_cut_greedy(server->connections, bytes, hopeless);
        if (n > 0) {
            d->cut_busy_us = worst;
            log_warning("connections cut reason=worker-kept-busy connections=%u busy_ms=%lld", n,
                        (long long)worst / 1000);
        }
    }
    return worst > 0;
}

/* Resident bytes of the process; 0: not known. */
static size_t resident(const struct watchdog *d)
{
    char text[128];
    unsigned long pages = 0;
    ssize_t n = d->statm >= 0 ? pread(d->statm, text, sizeof text - 1, 0) : -1;
    if (n <= 0)
        return 0;
    text[n] = '\0';
    return sscanf(text, "%*u %lu", &pages) == 1 ? pages * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

/* Core believes a message's length and gathers up to 4 GiB of it, and headers without end; its own quota ends that
 * late. A call of a hundred bytes costs it kilobytes, also when it is reset at once. So from half of process_bytes on
 * it is noted what connections swallow, and beyond two thirds those are cut that have had most in the last fifth of
 * a second, all of them at once: on a busy machine the next look may be late. What they held needs a moment to be
 * freed, so that no more are cut meanwhile unless it goes on growing, and then for what they send from now on. True:
 * memory is tight. */
static bool look_at_memory(struct watchdog *d)
{
    size_t max = d->server->options.process_bytes, now = max ? resident(d) : 0;
    int64_t ms = clock_mono_ms();
    if (now == 0 || now < max / 2) {
        d->tight = false;
        return false;
    }
    if (now >= max / 3 * 2 && d->tight && (now > d->cut_bytes + max / 64 || ms - d->cut_ms >= FREED_MS)) {
        unsigned n = connections_cut_greediest(d->server->connections, GREEDY_BYTES);
        if (n > 0) {
            d->cut_bytes = now;
            d->cut_ms = ms;
            log_warning("connections cut reason=memory connections=%u resident_mb=%zu max_mb=%zu", n, now >> 20,
                        max >> 20);
        }
    }
    if (!d->tight || d->cut_ms == ms || ms - d->memory_marked_ms >= MARK_MS) {
        connections_mark(d->server->connections);
        d->memory_marked_ms = ms;
        d->marked = d->tight = true;
    }
    if (ms - d->trimmed_ms >= TRIM_MS) { /* else it keeps what a burst has taken */
        malloc_trim(0);
        d->trimmed_ms = clock_mono_ms();
    }
    return true;
}

static void *watchdog_main(void *arg)
{
    struct watchdog *d = arg;
    int pause_ms = LOOK_MS;
    pthread_mutex_lock(&d->mu);
    while (!d->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += pause_ms * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&d->cond, &d->mu, &until);
        if (d->stopping)
            break;
        connections_refresh(d->server->connections);
        bool tight = look_at_memory(d), busy = look_at_workers(d);
        pause_ms = tight || busy ? BUSY_LOOK_MS : LOOK_MS;
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
    d->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    pthread_mutex_init(&d->mu, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&d->cond, &attr);
    pthread_condattr_destroy(&attr);
    int rc = thread_start(&d->thread, watchdog_main, d);
    if (rc == 0) {
        pthread_setname_np(d->thread, "crpc-watch");
        *ret = d;
        return 0;
    }
    pthread_cond_destroy(&d->cond);
    pthread_mutex_destroy(&d->mu);
    close(d->statm);
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
    close(watchdog->statm);
    mem_free(watchdog);
}
