/* SIGINT, SIGTERM and SIGHUP as a callback, on one thread that does nothing but sigwait. The mutex is held while a
 * callback runs, so that interrupt_clear can promise that none runs after it. */
#include "interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static struct {
    pthread_mutex_t mutex;
    void (*first)(void *user);
    void (*again)(void *user);
    void *user;
    sigset_t signals;
    atomic_bool seen;
} interrupt = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void *interrupt_run(void *unused)
{
    (void)unused;
    for (;;) {
        int number;
        if (sigwait(&interrupt.signals, &number) != 0)
            continue;
        pthread_mutex_lock(&interrupt.mutex);
        bool later = atomic_exchange(&interrupt.seen, true);
        void (*callback)(void *user) = later ? interrupt.again : interrupt.first;
        if (!callback)
            _exit(130);
        /* A terminal that closes may say so twice, by the kernel and by the shell; nobody is impatient. */
        if (!later || number != SIGHUP)
            callback(interrupt.user);
        pthread_mutex_unlock(&interrupt.mutex);
    }
    return NULL;
}

void interrupt_start(void)
{
    pthread_t thread;
    sigemptyset(&interrupt.signals);
    sigaddset(&interrupt.signals, SIGINT);
    sigaddset(&interrupt.signals, SIGTERM);
    struct sigaction hangup;
    if (sigaction(SIGHUP, NULL, &hangup) != 0 || hangup.sa_handler != SIG_IGN) /* nohup(1) ignores it, and so do we */
        sigaddset(&interrupt.signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &interrupt.signals, NULL);
    if (pthread_create(&thread, NULL, interrupt_run, NULL) == 0)
        pthread_detach(thread);
    else
        pthread_sigmask(SIG_UNBLOCK, &interrupt.signals, NULL); /* signals then end the program, as by default */
}

void interrupt_set(void (*first)(void *user), void (*again)(void *user), void *user)
{
    pthread_mutex_lock(&interrupt.mutex);
    interrupt.first = first;
    interrupt.again = again;
    interrupt.user = user;
    pthread_mutex_unlock(&interrupt.mutex);
}

void interrupt_clear(void)
{
    interrupt_set(NULL, NULL, NULL);
}

bool interrupt_seen(void)
{
    return atomic_load(&interrupt.seen);
}
