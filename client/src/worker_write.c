/* The writing half of a worker's connection. The run thread's, but for work_push and worker_wake. What comes while a
 * message is being sent goes into the next one: a busy worker sends few large messages, an idle one each thing at once.
 */
#include <poll.h>
#include <unistd.h>
#include <utlist.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "worker_priv.h"

void worker_wake(struct joblog_worker *worker)
{
    if (atomic_load(&worker->sleeping) && atomic_exchange(&worker->sleeping, false)) {
        uint64_t one = 1;
        ssize_t n = write(worker->wake_fd, &one, sizeof one);
        (void)n; /* fails only when it is readable already */
    }
}

void work_push(struct joblog_worker *worker, struct work_item *item)
{
    mpsc_push(&worker->to_write, &item->node);
    worker_wake(worker);
}

/* Sleeps until woken or timeout_ms (-1: for ever). */
static void worker_sleep(struct joblog_worker *worker, int64_t timeout_ms)
{
    struct pollfd p = {.fd = worker->wake_fd, .events = POLLIN};
    if (poll(&p, 1, timeout_ms < 0 ? -1 : timeout_ms > 1000000 ? 1000000 : (int)timeout_ms) > 0) {
        uint64_t count;
        ssize_t n = read(worker->wake_fd, &count, sizeof count);
        (void)n;
    }
    atomic_store(&worker->sleeping, false);
}

static void list_remove(struct joblog_worker *worker, struct worker_job *job)
{
    if (job->in_list == LIST_NOW)
        DL_DELETE2(worker->write_now, job, prev_listed, next_listed);
    else if (job->in_list == LIST_LATER)
        DL_DELETE2(worker->write_later, job, prev_listed, next_listed);
    job->in_list = LIST_NONE;
}

static void write_now(struct joblog_worker *worker, struct worker_job *job)
{
    if (job->in_list == LIST_NOW)
        return;
    list_remove(worker, job);
    job->in_list = LIST_NOW;
    DL_APPEND2(worker->write_now, job, prev_listed, next_listed);
}

static void write_later(struct joblog_worker *worker, struct worker_job *job, int64_t now)
{
    if (job->in_list != LIST_NONE)
        return;
    job->in_list = LIST_LATER;
    DL_APPEND2(worker->write_later, job, prev_listed, next_listed);
    if (worker->later_us == 0)
        worker->later_us = now + PROGRESS_INTERVAL_US;
}

/* The end of a job whose lease is lost is not worth sending: the job is over. */
static bool is_over_when_lost(struct joblog_worker *worker, struct worker_job *job)
{
    pthread_mutex_lock(&worker->lock);
    bool lost = job->lost;
    if (lost) {
        list_remove(worker, job);
        pool_job_over(worker, job);
    }
    pthread_mutex_unlock(&worker->lock);
    return lost;
}

/* Sorts what the pool and the reader have handed over into now and later. */
static void collect(struct joblog_worker *worker, int64_t now)
{
    struct mpsc_node *node = mpsc_take_all(&worker->to_write);
    while (node) {
        struct work_item *item = (struct work_item *)node;
        struct worker_job *job = item->job;
        node = node->next; /* before the item may be pushed again */
        if (!item->is_end)
            atomic_store(&job->progress_pushed, false);
        if (item->is_end && is_over_when_lost(worker, job))
            continue;
        bool again = item->is_end && job->end_sent; /* the server could not take it just now */
        job->end_ready |= item->is_end;
        if (again || (!item->is_end && now - job->last_report_us < PROGRESS_INTERVAL_US))
            write_later(worker, job, now);
        else
            write_now(worker, job);
    }
    if (worker->later_us && now >= worker->later_us) {
        while (worker->write_later)
            write_now(worker, worker->write_later);
        worker->later_us = 0;
    }
}

/* After a new connection: every end that is not answered is sent again, every lease that is held is shown. */
static void resume(struct joblog_worker *worker, int64_t now)
{
    collect(worker, now);
    pthread_mutex_lock(&worker->lock);
    for (size_t i = 0; i < worker->n_jobs; i++) {
        struct worker_job *job = worker->jobs[i];
        if (job->state == JOB_FREE || (job->state == JOB_ENDING && job->answered))
            continue;
        if (job->lost && job->end_ready) {
            list_remove(worker, job);
            pool_job_over(worker, job);
        } else if (!job->lost) {
            context_put_back(&job->context, &job->unsent_patch);
            log_put_back(&job->context);
            job->touch = !job->end_ready;
            write_now(worker, job);
        }
    }
    pthread_mutex_unlock(&worker->lock);
}

/* A sign of life keeps the leases of this connection; those of earlier ones are kept by being shown, one by one. */
static void show_older(struct joblog_worker *worker, int64_t now)
{
    if (now - worker->shown_us < worker->heartbeat_ms * 1000)
        return;
    worker->shown_us = now;
    if (worker->connection == 1)
        return;
    pthread_mutex_lock(&worker->lock);
    for (size_t i = 0; i < worker->n_jobs; i++) {
        struct worker_job *job = worker->jobs[i];
        if ((job->state == JOB_QUEUED || job->state == JOB_RUNNING) && !job->lost &&
            job->connection != worker->connection) {
            job->touch = true;
            write_now(worker, job);
        }
    }
    pthread_mutex_unlock(&worker->lock);
}

/* How many more leases to ask for. With the worker's lock. */
static int credit_wanted(const struct joblog_worker *worker, bool writing)
{
    if (worker->draining || worker->server_drains || worker->ending > UNANSWERED_MAX)
        return 0;
    int64_t ahead = worker->prefetch > 0 ? worker->prefetch : 0;
    if (worker->prefetch == 0 && worker->run_time_us > 0)
        ahead = (int64_t)worker->concurrency * PREFETCH_WORK_US / worker->run_time_us;
    /* Less than one job a thread is no stock, it is a job that waits for nothing. */
    if (worker->prefetch == 0 && ahead < worker->concurrency)
        ahead = 0;
    if (ahead > PREFETCH_MAX)
        ahead = PREFETCH_MAX;
    int target = worker->concurrency + (int)ahead;
    int wanted = target - worker->queued - worker->running - worker->credit;
    if (wanted <= 0)
        return 0;
    /* While there is work in stock a small credit can wait for company. */
    return writing || worker->queued == 0 || wanted * 4 >= target ? wanted : 0;
}

/* What this message says besides the writes. True when it says anything. */
static bool put_control(struct joblog_worker *worker, Joblog__V1__WorkRequest *request)
{
    pthread_mutex_lock(&worker->lock);
    int credit = credit_wanted(worker, request->n_writes > 0);
    worker->credit += credit;
    request->add_credit = credit;
    request->leases_received = worker->n_received; /* with whatever is said, a heartbeat at the latest */
    bool drains = worker->draining || worker->server_drains;
    pthread_mutex_unlock(&worker->lock);
    if (drains && !worker->drain_told) {
        worker->drain_told = true;
        request->draining = true;
    }
    return credit > 0 || request->draining;
}

static int write_hello(struct joblog_worker *worker)
{
    Joblog__V1__WorkerHello hello = JOBLOG__V1__WORKER_HELLO__INIT;
    hello.name = worker->name;
    hello.version = worker->version;
    hello.host = worker->host;
    hello.pid = getpid();
    hello.queues = worker->queues;
    hello.n_queues = worker->n_queues;
    hello.confirms_leases = true;
    hello.queue_weights = worker->weight_list;
    hello.n_queue_weights = worker->weight_list ? worker->n_queues : 0;
    size_t n = worker->any_handler ? 0 : HASH_COUNT(worker->handlers);
    char **names = n ? mem_alloc(n * sizeof *names) : NULL;
    if (n && !names)
        return -ERR_RESOURCE_EXHAUSTED;
    size_t i = 0;
    for (struct worker_handler *h = worker->handlers; h && i < n; h = h->hh.next)
        names[i++] = h->job_name;
    hello.job_names = names;
    hello.n_job_names = n;
    Joblog__V1__WorkRequest request = JOBLOG__V1__WORK_REQUEST__INIT;
    request.hello = &hello;
    int rc = joblog_v1_worker_service_work_write(worker->stream, &request, NULL);
    worker->last_write_us = clock_mono_us();
    mem_free(names);
    return rc;
}

/* One message, if there is anything to say. 1: sent, 0: nothing to say, negative: the connection has ended. */
static int write_some(struct joblog_worker *worker, int64_t now)
{
    Joblog__V1__WorkRequest request = JOBLOG__V1__WORK_REQUEST__INIT;
    size_t n = message_fill(worker, &request);
    bool heartbeat = now - worker->last_write_us >= worker->heartbeat_ms * 1000;
    if (!put_control(worker, &request) && n == 0 && !heartbeat)
        return 0;
    int rc = joblog_v1_worker_service_work_write(worker->stream, &request, NULL);
    message_clear(worker, n);
    worker->last_write_us = now;
    return rc < 0 ? rc : 1;
}

static int64_t next_timeout_ms(const struct joblog_worker *worker, int64_t now)
{
    int64_t due = (worker->last_write_us < worker->shown_us ? worker->last_write_us : worker->shown_us) +
                  worker->heartbeat_ms * 1000;
    if (worker->later_us && worker->later_us < due)
        due = worker->later_us;
    return due <= now ? 0 : (due - now + 999) / 1000;
}

/* Notes a stop and a server that drains; what has not started goes back. */
static void look_at_flags(struct joblog_worker *worker)
{
    bool stop = atomic_load(&worker->stop);
    pthread_mutex_lock(&worker->lock);
    bool begins = stop && !worker->draining;
    worker->draining |= stop;
    bool give_back = begins || (worker->server_drains && !worker->drain_told);
    if (begins)
        loop_draining(worker);
    pthread_mutex_unlock(&worker->lock);
    if (give_back)
        pool_release_queued(worker);
}

/* Has the connection ended, or is there nothing more to say on it? */
static bool is_over(struct joblog_worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    bool ended = worker->stream_ended, unread = stream_lacks_reader(worker);
    pthread_mutex_unlock(&worker->lock);
    /* Once more than is needed: glibc may lose a signal (its bug 25847), and then nobody would read. */
    if (unread)
        pthread_cond_signal(&worker->work);
    return ended;
}

static bool is_welcome(struct joblog_worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    bool welcomed = worker->welcomed;
    pthread_mutex_unlock(&worker->lock);
    if (welcomed && !worker->ready_told) {
        worker->ready_told = worker->ever_ready = true;
        worker->shown_us = clock_mono_us();
        resume(worker, worker->shown_us);
        loop_tell_ready(worker);
    }
    return welcomed;
}

/* A server that does not end the stream of a drained worker is left after this long. */
enum { FAREWELL_MS = 2000, UNWELCOME_MS = 1000 /* is the answer to the hello being read? */ };

/* How long to sleep when there is nothing to write; negative: not at all, the worker is done with the connection. */
static int64_t sleep_ms(struct joblog_worker *worker, int64_t now, int64_t *farewell_ms)
{
    bool leaves = worker_drains(worker) && worker_held(worker) == 0;
    if (!worker->ready_told)
        return leaves ? -1 : UNWELCOME_MS;
    if (!leaves || !worker->drain_told)
        return next_timeout_ms(worker, now);
    if (*farewell_ms == 0)
        *farewell_ms = clock_mono_ms() + FAREWELL_MS;
    int64_t left = *farewell_ms - clock_mono_ms();
    return left > 0 ? left : -1;
}

bool write_loop(struct joblog_worker *worker)
{
    int64_t farewell_ms = 0;
    int rc = write_hello(worker);
    if (rc < 0)
        return rc == -ERR_RESOURCE_EXHAUSTED;
    while (!is_over(worker)) {
        int64_t now = clock_mono_us();
        if (atomic_load(&worker->abandoned))
            return true;
        look_at_flags(worker);
        rc = 0;
        if (is_welcome(worker)) {
            collect(worker, now);
            show_older(worker, now);
            rc = write_some(worker, now);
        }
        if (rc < 0)
            return false;
        if (rc > 0) {
            atomic_store(&worker->sleeping, false);
            continue;
        }
        /* Announced first, then looked once more: what is handed over from here on wakes. */
        if (!atomic_exchange(&worker->sleeping, true))
            continue;
        int64_t timeout_ms = sleep_ms(worker, now, &farewell_ms);
        if (timeout_ms < 0)
            return true;
        worker_sleep(worker, timeout_ms);
    }
    return false;
}
