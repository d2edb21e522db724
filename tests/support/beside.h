/* A worker of libjoblog on a thread beside the test; they meet at semaphores, so that nothing depends on time. Each
 * fails the test on an error, and after 30 s of waiting. */
#ifndef TESTS_SUPPORT_BESIDE_H
#define TESTS_SUPPORT_BESIDE_H

#include <joblog/joblog.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

struct hooked {
    int64_t id;
    int attempt;
    enum joblog_status status;
};

enum { HOOKED_MAX = 256 };

struct beside {
    struct joblog_worker *worker;
    pthread_t thread;
    int result;
    sem_t ready, lost;
    pthread_mutex_t lock;
    struct hooked hooked[HOOKED_MAX];
    int n_hooked;
    sem_t hooks;
};

/* Makes the worker; hooks: with on_finished, which fills hooked. */
void beside_make(struct beside *b, struct joblog_client *client, const char *queue, int concurrency, int prefetch,
                 bool hooks);
/* The same with these options; the hooks are the helper's own. */
void beside_make_with(struct beside *b, struct joblog_client *client, const struct joblog_worker_options *options);
/* Runs it, and waits until the server has welcomed it. */
void beside_begin(struct beside *b);
/* Drains and frees it. */
void beside_end(struct beside *b);
void beside_await(sem_t *sem);

#endif
