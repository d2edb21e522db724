/* The jobs that a worker has and the threads that read and run them. Hands ends to the run thread. One lock section a
 * job: the end of one and the start of the next. */

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "convert.h"
#include "worker_priv.h"

static void progress_changed(struct joblog_context *context)
{
    struct worker_job *job = (struct worker_job *)context;
    if (!atomic_load_explicit(&job->progress_queued, memory_order_relaxed) &&
        !atomic_exchange(&job->progress_queued, true) && !atomic_exchange(&job->progress_pushed, true))
        work_push(job->worker, &job->progress_item);
}

static struct worker_job *job_new(struct joblog_worker *worker)
{
    if (worker->n_jobs == JOBS_MAX)
        return NULL;
    if ((worker->n_jobs & (worker->n_jobs - 1)) == 0) { /* a power of two: double */
        size_t room = worker->n_jobs ? worker->n_jobs * 2 : 1;
        struct worker_job **jobs = mem_realloc(worker->jobs, room * sizeof(struct worker_job *));
        if (!jobs)
            return NULL;
        worker->jobs = jobs;
    }
    struct worker_job *job = mem_zalloc(sizeof *job);
    if (!job)
        return NULL;
    if (!context_init(&job->context, worker->client, progress_changed)) {
        mem_free(job);
        return NULL;
    }
    job->worker = worker;
    job->place = (unsigned)worker->n_jobs;
    job->context.may_snooze = true;
    job->context.may_end = worker->loop.used;
    job->progress_item = (struct work_item){.job = job};
    job->end_item = (struct work_item){.job = job, .is_end = true};
    arena_init(&job->arena, NULL, 0, 0);
    worker->jobs[worker->n_jobs++] = job;
    return job;
}

static void batch_unref(struct lease_batch *batch)
{
    if (batch && atomic_fetch_sub(&batch->refs, 1) == 1) {
        crpc_message_free((ProtobufCMessage *)batch->message);
        mem_free(batch);
    }
}

void pool_job_recycle(struct joblog_worker *worker, struct worker_job *job)
{
    context_clear(&job->context);
    mem_free(job->unsent_patch);
    job->unsent_patch = NULL;
    job->end_id = job->progress_id = 0;
    arena_reset(&job->arena);
    batch_unref(job->batch);
    job->batch = NULL;
    job->state = JOB_FREE;
    job->next = worker->free_jobs;
    worker->free_jobs = job;
}

void pool_job_over(struct joblog_worker *worker, struct worker_job *job)
{
    worker->ending--;
    if (worker->loop.used && worker->waits && job->end != END_RELEASE && !job->lost) {
        loop_job_answered(job);
        return; /* joblog_worker_next calls the hook and recycles it */
    }
    if (!worker->loop.used && worker->waits && job->end != END_RELEASE) {
        pthread_mutex_lock(&job->context.lock);
        job->answered = true;
        pthread_cond_broadcast(&job->context.wake);
        pthread_mutex_unlock(&job->context.lock);
        return; /* its thread calls the hook and recycles it */
    }
    pool_job_recycle(worker, job);
}

/* With the worker's lock: takes the queue whole; each of it is to be pushed to the run thread after unlocking. */
static struct worker_job *queue_take_for_release(struct joblog_worker *worker)
{
    struct worker_job *first = worker->queue_head;
    worker->queue_head = NULL;
    worker->queue_tail = &worker->queue_head;
    for (struct worker_job *job = first; job; job = job->next) {
        job->state = JOB_ENDING;
        job->end = END_RELEASE;
        worker->queued--;
        worker->ending++;
    }
    return first;
}

void pool_release_queued(struct joblog_worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    struct worker_job *job = queue_take_for_release(worker);
    pthread_mutex_unlock(&worker->lock);
    while (job) {
        struct worker_job *next = job->next;
        work_push(worker, &job->end_item);
        job = next;
    }
}

/* With the worker's lock. False when out of memory or places. */
static bool job_queue(struct joblog_worker *worker, struct lease_batch *batch, const Joblog__V1__Lease *lease)
{
    struct worker_job *job = worker->free_jobs;
    if (job)
        worker->free_jobs = job->next;
    else if (!(job = job_new(worker)))
        return false;
    if (!convert_job(&job->arena, lease->job, &job->context.job)) {
        pool_job_recycle(worker, job);
        return false;
    }
    job->lease_token = lease->lease_token;
    job->connection = worker->connection;
    job->batch = batch;
    atomic_fetch_add(&batch->refs, 1);
    job->state = JOB_QUEUED;
    job->lost = job->answered = job->cancelled = false;
    job->due = job->told = 0;
    job->end_ready = job->end_sent = job->touch = false;
    job->last_report_us = 0;
    job->next = NULL;
    *worker->queue_tail = job;
    worker->queue_tail = &job->next;
    worker->queued++;
    return true;
}

void pool_take_leases(struct joblog_worker *worker, Joblog__V1__WorkResponse *message)
{
    struct lease_batch *batch = mem_alloc(sizeof *batch);
    if (!batch) {
        crpc_stream_cancel(worker->stream);
        crpc_message_free(&message->base);
        return;
    }
    batch->message = message;
    atomic_init(&batch->refs, 1);
    pthread_mutex_lock(&worker->lock);
    int failed = 0;
    worker->n_received += (int64_t)message->n_leases;
    for (size_t i = 0; i < message->n_leases; i++) {
        worker->credit -= worker->credit > 0;
        failed += !job_queue(worker, batch, message->leases[i]);
    }
    bool give_back = worker->draining || worker->server_drains || worker->paused;
    if (!give_back)
        loop_queued(worker);
    pthread_mutex_unlock(&worker->lock);
    batch_unref(batch);
    /* A lease that is not kept must not be kept alive: on the next connection it is not shown, and it runs out. */
    if (failed > 0)
        crpc_stream_cancel(worker->stream);
    if (give_back)
        pool_release_queued(worker);
}

struct worker_job *pool_take(struct joblog_worker *worker)
{
    struct worker_job *job = worker->queue_head;
    if (!job)
        return NULL;
    worker->queue_head = job->next;
    if (!worker->queue_head)
        worker->queue_tail = &worker->queue_head;
    job->state = JOB_RUNNING;
    worker->queued--;
    worker->running++;
    return job;
}

/* With the worker's lock. One thread is always left to read, since some wait for what only it can tell them. In a
 * worker with its own loop the caller takes the jobs. */
static bool may_run(const struct joblog_worker *worker)
{
    return worker->queue_head && worker->busy < worker->concurrency && !worker->loop.used;
}

/* With the worker's lock: how many threads more have something to do. */
static int n_wanted(const struct joblog_worker *worker)
{
    int idle = worker->concurrency - worker->busy;
    return stream_lacks_reader(worker) + (worker->queued < idle ? worker->queued : idle);
}

/* Reads while nobody else does, until there is a job. Who has just read prefers the job: it is awake, and others are
 * called to read. Who comes later prefers to read: jobs without end must not keep a cancel from being heard. NULL:
 * over. */
static struct worker_job *pool_wait(struct joblog_worker *worker)
{
    struct worker_job *job = NULL;
    bool has_read = false;
    pthread_mutex_lock(&worker->lock);
    while (!worker->over && !(may_run(worker) && (has_read || !stream_lacks_reader(worker)))) {
        has_read = stream_lacks_reader(worker);
        if (has_read)
            stream_read(worker);
        else
            pthread_cond_wait(&worker->work, &worker->lock);
    }
    if (may_run(worker)) {
        job = pool_take(worker);
        worker->busy++;
    }
    int wanted = job ? n_wanted(worker) : 0; /* for the jobs that came with this one, and to read */
    pthread_mutex_unlock(&worker->lock);
    while (wanted-- > 0)
        pthread_cond_signal(&worker->work);
    return job;
}

static void call_hook(const struct joblog_worker *worker, joblog_hook *hook, const struct worker_job *job)
{
    if (hook)
        hook(worker->hook_user, &job->context.job, job->status);
}

struct worker_handler *pool_handler(const struct joblog_worker *worker, const struct worker_job *job)
{
    struct worker_handler *h = NULL;
    HASH_FIND_STR(worker->handlers, job->context.job.job_name, h);
    return h ? h : worker->any_handler;
}

bool pool_job_begin(struct joblog_worker *worker, struct worker_job *job)
{
    /* Cancelled, or its lease lost, while it waited: over before it begins. */
    if (joblog_job_cancelled(&job->context))
        return false;
    job->status = JOBLOG_RUNNING;
    call_hook(worker, worker->hooks.on_started, job);
    return true;
}

void pool_job_judge(struct worker_job *job, bool completed)
{
    struct joblog_context *context = &job->context;
    job->end = completed ? END_COMPLETE : context->snoozed && !context->failed ? END_SNOOZE : END_FAIL;
    pthread_mutex_lock(&context->lock);
    if (job->end == END_SNOOZE && context->cancel_asked)
        job->end = END_FAIL;
    job->cancelled = job->end == END_FAIL && context->cancel_asked;
    pthread_mutex_unlock(&context->lock);
}

void pool_job_took(struct joblog_worker *worker, int64_t took_us)
{
    worker->run_time_us = worker->run_time_us ? worker->run_time_us + (took_us - worker->run_time_us) / 8 : took_us + 1;
}

void pool_job_ended(struct joblog_worker *worker, struct worker_job *job)
{
    worker->running--;
    worker->ending++;
    job->state = JOB_ENDING;
    job->lost |= worker->over;
    job->answered = worker->over;
}

static void job_run(struct joblog_worker *worker, struct worker_job *job)
{
    struct joblog_context *context = &job->context;
    struct worker_handler *h = pool_handler(worker, job);
    bool begins = pool_job_begin(worker, job), completed = false;
    int returned = -1;
    if (begins && !h)
        context_fail(context, "NoHandler", "the worker has no handler for this job name", NULL);
    else if (begins)
        completed = context_run(context, h->handler, h->user, &returned);
    pool_job_judge(job, completed);
}

void pool_call_hooks(const struct joblog_worker *worker, const struct worker_job *job)
{
    call_hook(worker, worker->hooks.on_finished, job);
    switch (job->status) {
    case JOBLOG_COMPLETED:
        call_hook(worker, worker->hooks.on_completed, job);
        break;
    case JOBLOG_FAILED:
        call_hook(worker, worker->hooks.on_failed, job);
        break;
    case JOBLOG_STATUS_CANCELLED:
        call_hook(worker, worker->hooks.on_cancelled, job);
        break;
    case JOBLOG_PENDING:
        call_hook(worker, worker->hooks.on_retried, job);
        break;
    default:
        break;
    }
}

/* Waits for the answer, calls the hooks, recycles. */
static void job_finish(struct joblog_worker *worker, struct worker_job *job, int64_t start_us)
{
    pthread_mutex_lock(&job->context.lock);
    while (!job->answered)
        pthread_cond_wait(&job->context.wake, &job->context.lock);
    pthread_mutex_unlock(&job->context.lock);
    pthread_mutex_lock(&worker->lock);
    bool lost = job->lost;
    pthread_mutex_unlock(&worker->lock);
    if (!lost)
        pool_call_hooks(worker, job);
    else if (worker->hooks.on_lease_lost)
        worker->hooks.on_lease_lost(worker->hook_user, &job->context.job, JOBLOG_RUNNING);
    int64_t end_us = clock_mono_us();
    pthread_mutex_lock(&worker->lock);
    pool_job_took(worker, end_us - start_us);
    pool_job_recycle(worker, job);
    worker->busy--;
    pthread_mutex_unlock(&worker->lock);
}

static void *pool_thread(void *user)
{
    struct joblog_worker *worker = user;
    struct worker_job *job = pool_wait(worker);
    while (job) {
        int64_t start_us = clock_mono_us();
        job_run(worker, job);
        int64_t ran_us = clock_mono_us();
        pthread_mutex_lock(&worker->lock);
        if (!worker->waits) /* else job_finish knows for how long the thread was taken */
            pool_job_took(worker, ran_us - start_us);
        pool_job_ended(worker, job);
        struct worker_job *next = worker->waits ? NULL : pool_take(worker);
        worker->busy -= !worker->waits && !next;
        pthread_mutex_unlock(&worker->lock);
        work_push(worker, &job->end_item);
        if (worker->waits)
            job_finish(worker, job, start_us);
        job = next ? next : pool_wait(worker);
    }
    return NULL;
}

int pool_start(struct joblog_worker *worker, struct err *ret_err)
{
    int n = worker->loop.used ? 1 : worker->concurrency + 1;
    worker->threads = mem_zalloc((size_t)n * sizeof *worker->threads);
    if (!worker->threads)
        return error_no_memory(ret_err);
    int rc = 0;
    while (rc == 0 && worker->n_threads < n) {
        rc = thread_start(&worker->threads[worker->n_threads], pool_thread, worker);
        worker->n_threads += rc == 0;
    }
    if (rc != 0)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "could not start %d threads", n);
    return 0;
}

void pool_join(struct joblog_worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    worker->draining = worker->over = true;
    pthread_cond_broadcast(&worker->work);
    for (size_t i = 0; i < worker->n_jobs; i++) {
        struct worker_job *job = worker->jobs[i];
        pthread_mutex_lock(&job->context.lock);
        if (job->state == JOB_ENDING && !job->answered) {
            job->lost = job->answered = true;
            pthread_cond_broadcast(&job->context.wake);
        }
        pthread_mutex_unlock(&job->context.lock);
    }
    pthread_mutex_unlock(&worker->lock);
    for (int i = 0; i < worker->n_threads; i++)
        pthread_join(worker->threads[i], NULL);
    worker->n_threads = 0;
}

void pool_free(struct joblog_worker *worker)
{
    for (size_t i = 0; i < worker->n_jobs; i++) {
        struct worker_job *job = worker->jobs[i];
        if (job->state != JOB_FREE)
            pool_job_recycle(worker, job);
        arena_done(&job->arena);
        context_done(&job->context);
        mem_free(job);
    }
    mem_free(worker->jobs);
    mem_free(worker->threads);
}
