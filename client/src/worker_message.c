/* The next message of a worker: turns jobs with something to say into writes. The run thread's. The cells hold what a
 * write points to; texts of an end are the job's own, which stays until its end is answered. */
#include <stdlib.h>
#include <utlist.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "convert.h"
#include "worker_priv.h"

struct write_cell {
    Joblog__V1__WorkerWrite write;
    union {
        struct {
            Joblog__V1__ProgressWrite write;
            Joblog__V1__Progress progress;
            struct context_progress values;
            char *patch;
        } progress;
        Joblog__V1__CompleteWrite complete;
        struct {
            Joblog__V1__FailWrite write;
            Joblog__V1__JobError error;
        } fail;
        Joblog__V1__ReleaseWrite release;
        struct log_message log;
        struct {
            Joblog__V1__SnoozeWrite write;
            Google__Protobuf__Duration delay;
        } snooze;
    };
};

int write_cells_new(struct joblog_worker *worker, struct err *ret_err)
{
    worker->cells = mem_alloc(WRITES_MAX * (sizeof *worker->cells + sizeof(Joblog__V1__WorkerWrite *)));
    return worker->cells ? 0 : error_no_memory(ret_err);
}

static uint64_t next_id(struct joblog_worker *worker, const struct worker_job *job)
{
    return ++worker->last_id << 16 | job->place;
}

static size_t text_size(const char *s)
{
    return s ? strlen(s) : 0;
}

/* Progress, a patch of the payload, or (touch) only the question whether the lease is still ours. */
static size_t put_progress(struct joblog_worker *worker, struct worker_job *job, struct write_cell *cell, bool touch)
{
    struct context_progress *values = &cell->progress.values;
    char *patch = NULL;
    /* First, so that what the handler reports from now on is queued again. */
    atomic_store(&job->progress_queued, false);
    if (!context_take(&job->context, values, &patch, &job->unsent_patch) && !touch)
        return 0;
    Joblog__V1__WorkerWrite *w = &cell->write;
    joblog__v1__progress_write__init(&cell->progress.write);
    joblog__v1__progress__init(&cell->progress.progress);
    w->write_case = JOBLOG__V1__WORKER_WRITE__WRITE_PROGRESS;
    w->progress = &cell->progress.write;
    cell->progress.patch = patch;
    if (patch)
        w->progress->payload_patch = patch;
    Joblog__V1__Progress *p = &cell->progress.progress;
    p->done = values->done;
    p->total = values->total;
    p->percent = values->percent;
    p->unit = values->unit;
    p->step = values->step;
    bool heartbeat = !values->is_news && !patch && !touch;
    bool any = p->done || p->total || p->percent > 0 || *p->unit || *p->step;
    w->progress->progress = any && !heartbeat ? p : NULL;
    if (patch || touch) {
        w->write_id = next_id(worker, job);
        pthread_mutex_lock(&job->context.lock);
        job->progress_id = w->write_id;
        pthread_mutex_unlock(&job->context.lock);
    }
    job->last_report_us = clock_mono_us();
    return 64 + text_size(patch) + text_size(values->step);
}

static size_t put_end(struct joblog_worker *worker, struct worker_job *job, struct write_cell *cell)
{
    Joblog__V1__WorkerWrite *w = &cell->write;
    w->write_id = next_id(worker, job);
    pthread_mutex_lock(&job->context.lock);
    job->end_id = w->write_id;
    pthread_mutex_unlock(&job->context.lock);
    const struct joblog_context *context = &job->context;
    switch (job->end) {
    case END_COMPLETE:
        joblog__v1__complete_write__init(&cell->complete);
        w->write_case = JOBLOG__V1__WORKER_WRITE__WRITE_COMPLETE;
        w->complete = &cell->complete;
        w->complete->result = text_for_message(context->result);
        return 32 + text_size(context->result);
    case END_FAIL:
        joblog__v1__fail_write__init(&cell->fail.write);
        joblog__v1__job_error__init(&cell->fail.error);
        w->write_case = JOBLOG__V1__WORKER_WRITE__WRITE_FAIL;
        w->fail = &cell->fail.write;
        w->fail->no_retry = context->no_retry;
        w->fail->cancelled = job->cancelled;
        if (context->failed) {
            w->fail->error = &cell->fail.error;
            cell->fail.error.type = text_for_message(context->error_type);
            cell->fail.error.message = text_for_message(context->error_message);
            cell->fail.error.stack_trace = text_for_message(context->stack_trace);
        }
        return 64 + text_size(context->error_message) + text_size(context->stack_trace);
    case END_RELEASE:
        joblog__v1__release_write__init(&cell->release);
        w->write_case = JOBLOG__V1__WORKER_WRITE__WRITE_RELEASE;
        w->release = &cell->release;
        break;
    case END_SNOOZE:
        joblog__v1__snooze_write__init(&cell->snooze.write);
        google__protobuf__duration__init(&cell->snooze.delay);
        w->write_case = JOBLOG__V1__WORKER_WRITE__WRITE_SNOOZE;
        w->snooze = &cell->snooze.write;
        w->snooze->delay = &cell->snooze.delay;
        w->snooze->delay->seconds = context->snooze_ms / 1000;
        w->snooze->delay->nanos = (int32_t)(context->snooze_ms % 1000) * 1000000;
        w->snooze->reason = text_for_message(context->snooze_reason);
        return 64 + text_size(context->snooze_reason);
    }
    return 32;
}

/* The next lines of its log. 0: there are none, or no memory. */
static size_t put_log(struct joblog_worker *worker, struct worker_job *job, struct write_cell *cell)
{
    Joblog__V1__WorkerWrite *w = &cell->write;
    size_t bytes = 64;
    w->write_id = next_id(worker, job);
    if (!log_take(&job->context, w->write_id, &cell->log))
        return 0;
    w->write_case = JOBLOG__V1__WORKER_WRITE__WRITE_LOG;
    w->log = &cell->log.write;
    for (size_t i = 0; i < w->log->n_lines; i++)
        bytes += 32 + strlen(w->log->lines[i]->text);
    return bytes;
}

static void cell_begin(struct write_cell *cell, const struct worker_job *job)
{
    joblog__v1__worker_write__init(&cell->write);
    cell->write.job_id = job->context.job.id;
    cell->write.lease_token = job->lease_token;
}

size_t message_fill(struct joblog_worker *worker, Joblog__V1__WorkRequest *request)
{
    struct write_cell *cells = worker->cells;
    Joblog__V1__WorkerWrite **writes = (Joblog__V1__WorkerWrite **)(void *)(cells + WRITES_MAX);
    size_t n = 0, bytes = 0;
    /* A job takes up to three: its last progress, lines of its log, its end. */
    while (worker->write_now && n + 3 <= WRITES_MAX && bytes < WRITE_BYTES_MAX) {
        struct worker_job *job = worker->write_now;
        DL_DELETE2(worker->write_now, job, prev_listed, next_listed);
        job->in_list = LIST_NONE;
        bool end = job->end_ready, touch = job->touch;
        size_t before = n;
        job->touch = false;
        cell_begin(&cells[n], job);
        size_t size = put_progress(worker, job, &cells[n], touch && !end);
        if (size > 0)
            writes[n] = &cells[n].write, n++;
        bytes += size;
        do {
            cell_begin(&cells[n], job);
            size = put_log(worker, job, &cells[n]);
            if (size > 0)
                writes[n] = &cells[n].write, n++;
            bytes += size;
        } while (size > 0 && n + 1 < WRITES_MAX && bytes < WRITE_BYTES_MAX);
        /* Too much for one message, or for one write: the rest, then the end. */
        if (n == WRITES_MAX || context_has_patch(&job->context) || log_waits(&job->context)) {
            job->in_list = LIST_NOW;
            DL_APPEND2(worker->write_now, job, prev_listed, next_listed);
            if (n == before)
                break; /* out of memory: the next message tries again */
        } else if (end) {
            job->end_sent = true; /* before put_end's lock: once sent, the job is the reader's */
            cell_begin(&cells[n], job);
            bytes += put_end(worker, job, &cells[n]);
            writes[n] = &cells[n].write, n++;
        }
    }
    request->n_writes = n;
    request->writes = writes;
    return n;
}

void message_clear(struct joblog_worker *worker, size_t n_writes)
{
    for (size_t i = 0; i < n_writes; i++) {
        struct write_cell *cell = &worker->cells[i];
        if (cell->write.write_case == JOBLOG__V1__WORKER_WRITE__WRITE_PROGRESS)
            mem_free(cell->progress.patch);
        else if (cell->write.write_case == JOBLOG__V1__WORKER_WRITE__WRITE_LOG)
            log_message_done(&cell->log);
    }
}
