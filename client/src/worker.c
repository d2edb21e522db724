/* The worker's face: making it, handlers, running it, stopping it. joblog_worker_run blocks its caller's thread, which
 * becomes the run thread of worker_priv.h. */
#include "joblog/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "worker_priv.h"

/* As they go into each hello. */
static bool copy_weights(struct joblog_worker *worker, const struct joblog_worker_options *o)
{
    worker->weights = mem_alloc(o->n_queues * sizeof *worker->weights);
    worker->weight_list = mem_alloc(o->n_queues * sizeof(Joblog__V1__QueueWeight *));
    if (!worker->weights || !worker->weight_list)
        return false;
    for (size_t i = 0; i < o->n_queues; i++) {
        joblog__v1__queue_weight__init(&worker->weights[i]);
        worker->weights[i].queue = worker->queues[i];
        worker->weights[i].weight = o->queue_weights[i];
        worker->weight_list[i] = &worker->weights[i];
    }
    return true;
}

static bool copy_options(struct joblog_worker *worker, const struct joblog_worker_options *o)
{
    char host[200], name[256];
    if (gethostname(host, sizeof host) != 0)
        snprintf(host, sizeof host, "localhost");
    host[sizeof host - 1] = '\0';
    snprintf(name, sizeof name, "%.180s:%d", host, (int)getpid());
    worker->name = mem_strdup(o->name ? o->name : name);
    worker->version = mem_strdup(o->version ? o->version : "");
    worker->host = mem_strdup(host);
    worker->queues = mem_zalloc((o->n_queues + 1) * sizeof *worker->queues);
    if (!worker->name || !worker->version || !worker->host || !worker->queues)
        return false;
    for (size_t i = 0; i < o->n_queues; i++) {
        worker->queues[i] = mem_strdup(o->queues[i] ? o->queues[i] : "");
        if (!worker->queues[i])
            return false;
        worker->n_queues++;
    }
    if (o->queue_weights && o->n_queues && !copy_weights(worker, o))
        return false;
    worker->concurrency = o->concurrency ? o->concurrency : 1;
    worker->prefetch = o->prefetch > PREFETCH_MAX ? PREFETCH_MAX : o->prefetch;
    worker->hooks.on_started = o->on_started;
    worker->hooks.on_finished = o->on_finished;
    worker->hooks.on_completed = o->on_completed;
    worker->hooks.on_failed = o->on_failed;
    worker->hooks.on_cancelled = o->on_cancelled;
    worker->hooks.on_retried = o->on_retried;
    worker->hooks.on_lease_lost = o->on_lease_lost;
    worker->waits =
        o->on_finished || o->on_completed || o->on_failed || o->on_cancelled || o->on_retried || o->on_lease_lost;
    worker->on_ready = o->on_ready;
    worker->on_lost = o->on_lost;
    worker->on_asked = o->on_asked;
    worker->hook_user = o->hook_user;
    return true;
}

static void free_options(struct joblog_worker *worker)
{
    for (size_t i = 0; i < worker->n_queues; i++)
        mem_free(worker->queues[i]);
    mem_free(worker->queues);
    mem_free(worker->weights);
    mem_free(worker->weight_list);
    mem_free(worker->name);
    mem_free(worker->version);
    mem_free(worker->host);
}

struct joblog_worker *joblog_worker_new(struct joblog_client *client, const struct joblog_worker_options *options,
                                        struct joblog_error *error)
{
    static const struct joblog_worker_options defaults = {0};
    const struct joblog_worker_options *o = options ? options : &defaults;
    struct err e = ERR_NONE;
    struct joblog_worker *worker = NULL;
    if (o->concurrency < 0 || o->concurrency > CONCURRENCY_MAX) {
        err_field(&e, "concurrency", "concurrency must be from 1 to %d", CONCURRENCY_MAX);
        goto fail;
    }
    worker = mem_zalloc(sizeof *worker);
    if (!worker || !copy_options(worker, o) || write_cells_new(worker, &e) < 0) {
        error_no_memory(&e);
        goto fail_worker;
    }
    worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (worker->wake_fd < 0) {
        err_set(&e, ERR_RESOURCE_EXHAUSTED, NULL, "could not make an event descriptor");
        goto fail_worker;
    }
    worker->client = client;
    worker->bytes_max = MESSAGE_BYTES_MAX;
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->work, NULL);
    pthread_cond_init(&worker->stream_over, NULL);
    worker->queue_tail = &worker->queue_head;
    worker->loop.fd = -1;
    worker->loop.answered_tail = &worker->loop.answered;
    return worker;

fail_worker:
    if (worker) {
        free_options(worker);
        mem_free(worker->cells);
        mem_free(worker);
    }
fail:
    error_give(error, &e);
    return NULL;
}

int joblog_worker_handle(struct joblog_worker *worker, const char *job_name, joblog_handler *handler, void *user,
                         struct joblog_error *error)
{
    struct err e = ERR_NONE;
    struct worker_handler *h = NULL;
    if (job_name)
        HASH_FIND_STR(worker->handlers, job_name, h);
    if (h || (!job_name && worker->any_handler)) {
        err_set(&e, ERR_ALREADY_EXISTS, NULL, "there is a handler for %.100s already",
                job_name ? job_name : "all jobs");
        return error_give(error, &e);
    }
    h = mem_zalloc(sizeof *h);
    char *name = h && job_name ? mem_strdup(job_name) : NULL;
    if (!h || (job_name && !name)) {
        mem_free(h);
        error_no_memory(&e);
        return error_give(error, &e);
    }
    h->job_name = name;
    h->handler = handler;
    h->user = user;
    if (name)
        HASH_ADD_KEYPTR(hh, worker->handlers, name, strlen(name), h);
    else
        worker->any_handler = h;
    return 0;
}

/* Named for joblog_worker_start. */
static bool lacks_handler(const struct joblog_worker *worker)
{
    bool lacks = worker->any_handler && !worker->any_handler->handler;
    for (const struct worker_handler *h = worker->handlers; h; h = h->hh.next)
        lacks |= !h->handler;
    return lacks;
}

int joblog_worker_run(struct joblog_worker *worker, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    if (worker->has_run)
        err_set(&e, ERR_FAILED_PRECONDITION, NULL, "a worker runs once");
    else if (!worker->handlers && !worker->any_handler)
        err_set(&e, ERR_FAILED_PRECONDITION, NULL, "the worker has no handler");
    else if (lacks_handler(worker))
        err_set(&e, ERR_FAILED_PRECONDITION, NULL, "a job name of the worker has no handler");
    if (e.code != ERR_OK)
        return error_give(error, &e);
    worker->has_run = true;
    if (pool_start(worker, &e) == 0)
        worker_serve(worker, &e);
    pool_join(worker);
    return error_give(error, &e);
}

void joblog_worker_stop(struct joblog_worker *worker)
{
    /* Async-signal-safe: an atomic store and write(2). */
    int saved = errno;
    uint64_t one = 1;
    atomic_store(&worker->stop, true);
    ssize_t n = write(worker->wake_fd, &one, sizeof one);
    (void)n; /* fails only when it is readable already */
    errno = saved;
}

static _Atomic(struct joblog_worker *) worker_to_stop;

static void on_signal(int number)
{
    (void)number;
    struct joblog_worker *worker = atomic_load(&worker_to_stop);
    if (worker)
        joblog_worker_stop(worker);
}

int joblog_worker_stop_on_signals(struct joblog_worker *worker, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    struct joblog_worker *none = NULL;
    if (!atomic_compare_exchange_strong(&worker_to_stop, &none, worker) && none != worker) {
        err_set(&e, ERR_FAILED_PRECONDITION, NULL, "another worker of this program stops on signals");
        return error_give(error, &e);
    }
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGTERM, &action, NULL) != 0 || sigaction(SIGINT, &action, NULL) != 0) {
        err_set(&e, ERR_INTERNAL, NULL, "could not catch signals");
        return error_give(error, &e);
    }
    return 0;
}

void worker_destroy(struct joblog_worker *worker)
{
    struct worker_handler *h, *next;
    HASH_ITER(hh, worker->handlers, h, next)
    {
        HASH_DEL(worker->handlers, h);
        mem_free(h->job_name);
        mem_free(h);
    }
    mem_free(worker->any_handler);
    pool_free(worker);
    close(worker->wake_fd);
    if (worker->loop.fd >= 0)
        close(worker->loop.fd);
    pthread_cond_destroy(&worker->stream_over);
    pthread_cond_destroy(&worker->work);
    pthread_mutex_destroy(&worker->lock);
    free_options(worker);
    mem_free(worker->cells);
    mem_free(worker);
}

void joblog_worker_free(struct joblog_worker *worker)
{
    if (!worker)
        return;
    struct joblog_worker *me = worker;
    atomic_compare_exchange_strong(&worker_to_stop, &me, NULL);
    if (!worker->loop.used || loop_stop(worker))
        worker_destroy(worker);
}
