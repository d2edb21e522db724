/* A worker beside the test; see beside.h. */
#include "support/beside.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

static void on_ready(void *user)
{
    sem_post(&((struct beside *)user)->ready);
}

static void on_lost(void *user, const struct joblog_error *why)
{
    assert_int_not_equal(why->code, JOBLOG_OK);
    sem_post(&((struct beside *)user)->lost);
}

static void on_finished(void *user, const struct joblog_job *job, enum joblog_status status)
{
    struct beside *b = user;
    pthread_mutex_lock(&b->lock);
    assert_in_range(b->n_hooked, 0, HOOKED_MAX - 1);
    b->hooked[b->n_hooked++] = (struct hooked){job->id, job->attempt, status};
    pthread_mutex_unlock(&b->lock);
    sem_post(&b->hooks);
}

static void *run(void *user)
{
    struct beside *b = user;
    b->result = joblog_worker_run(b->worker, NULL);
    return NULL;
}

/* Waits for an event, but not for ever. */
void beside_await(sem_t *sem)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    if (sem_timedwait(sem, &until) != 0)
        fail_msg("what the test waits for does not happen");
}

void beside_make_with(struct beside *b, struct joblog_client *client, const struct joblog_worker_options *options)
{
    struct joblog_worker_options o = *options;
    *b = (struct beside){.result = 1};
    sem_init(&b->ready, 0, 0);
    sem_init(&b->lost, 0, 0);
    sem_init(&b->hooks, 0, 0);
    pthread_mutex_init(&b->lock, NULL);
    o.on_ready = on_ready;
    o.on_lost = on_lost;
    o.hook_user = b;
    b->worker = joblog_worker_new(client, &o, NULL);
    assert_non_null(b->worker);
}

void beside_make(struct beside *b, struct joblog_client *client, const char *queue, int concurrency, int prefetch,
                 bool hooks)
{
    struct joblog_worker_options options = {.name = "tester",
                                            .queues = &queue,
                                            .n_queues = 1,
                                            .concurrency = concurrency,
                                            .prefetch = prefetch,
                                            .on_finished = hooks ? on_finished : NULL};
    beside_make_with(b, client, &options);
}

void beside_begin(struct beside *b)
{
    assert_int_equal(pthread_create(&b->thread, NULL, run, b), 0);
    beside_await(&b->ready);
}

void beside_end(struct beside *b)
{
    joblog_worker_stop(b->worker);
    pthread_join(b->thread, NULL);
    assert_int_equal(b->result, 0);
    joblog_worker_free(b->worker);
}
