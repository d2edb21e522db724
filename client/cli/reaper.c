/* Takes the ends of all children that nobody else waits for, on a thread that does nothing else. It looks at what has
 * ended without taking it (WNOWAIT), and leaves it to its owner when it has one. */
#include "reaper.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static struct {
    pthread_once_t once;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct reaper_child *children;
    unsigned changes; /* of the children */
} reaper = {.once = PTHREAD_ONCE_INIT, .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* With the mutex. */
static bool is_owned(pid_t pid)
{
    for (const struct reaper_child *child = reaper.children; child; child = child->next)
        if (child->pid == pid)
            return true;
    return false;
}

/* With the mutex. */
static void change(void)
{
    reaper.changes++;
    pthread_cond_signal(&reaper.changed);
}

static void *reaper_run(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&reaper.mutex);
    for (;;) {
        siginfo_t ended = {.si_signo = 0};
        unsigned seen = reaper.changes;
        pthread_mutex_unlock(&reaper.mutex);
        int rc = waitid(P_ALL, 0, &ended, WEXITED | WNOWAIT);
        pthread_mutex_lock(&reaper.mutex);
        /* Without children, or until the owner has taken the end that would be seen again, there is nothing to do. */
        if (rc < 0 || is_owned(ended.si_pid))
            while (reaper.changes == seen)
                pthread_cond_wait(&reaper.changed, &reaper.mutex);
        else
            waitpid(ended.si_pid, NULL, WNOHANG);
    }
    return NULL;
}

static void start(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, reaper_run, NULL) != 0)
        return; /* then it is as if there were none: orphans are left to init */
    pthread_detach(thread);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

void reaper_start(void)
{
    pthread_once(&reaper.once, start);
}

void reaper_hold(void)
{
    pthread_mutex_lock(&reaper.mutex);
}

void reaper_let_go(struct reaper_child *child)
{
    if (child) {
        child->prev = NULL;
        child->next = reaper.children;
        if (child->next)
            child->next->prev = child;
        reaper.children = child;
        change();
    }
    pthread_mutex_unlock(&reaper.mutex);
}

void reaper_forget(struct reaper_child *child)
{
    pthread_mutex_lock(&reaper.mutex);
    if (child->prev)
        child->prev->next = child->next;
    else
        reaper.children = child->next;
    if (child->next)
        child->next->prev = child->prev;
    change();
    pthread_mutex_unlock(&reaper.mutex);
}
