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

/* More than a write takes in a message beside its texts, and more than such a message takes beside its writes. */
enum { WRITE_EXTRA = 160, MESSAGE_EXTRA = 32 };

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
    if (!context_take(&job->context, worker->bytes_max, values, &patch, &job->unsent_patch) && !touch)
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
    w->progress->progress = values->is_news || (any && !heartbeat) ? p : NULL; /* emptied is news, too */
    if (patch || touch) {
        w->write_id = next_id(worker, job);
        pthread_mutex_lock(&job->context.lock);
        job->progress_id = w->write_id;
        pthread_mutex_unlock(&job->context.lock);
    }
    job->last_report_us = clock_mono_us();
    return WRITE_EXTRA + text_size(patch) + text_size(values->unit) + text_size(values->step);
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
        return WRITE_EXTRA + text_size(context->result);
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
        return WRITE_EXTRA + text_size(context->error_type) + text_size(context->error_message) +
               text_size(context->stack_trace);
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
        return WRITE_EXTRA + text_size(context->snooze_reason);
    }
    return WRITE_EXTRA;
}

/* The next lines of its log. 0: there are none, or no memory. */
static size_t put_log(struct joblog_worker *worker, struct worker_job *job, struct write_cell *cell)
{
    Joblog__V1__WorkerWrite *w = &cell->write;
    size_t bytes = WRITE_EXTRA;
    w->write_id = next_id(worker, job);
    if (!log_take(&job->context, w->write_id, worker->bytes_max, &cell->log))
        return 0;
    w->write_case = JOBLOG__V1__WORKER_WRITE__WRITE_LOG;
    w->log = &cell->log.write;
    for (size_t i = 0; i < w->log->n_lines; i++)
        bytes += LOG_LINE_EXTRA + strlen(w->log->lines[i]->text);
    return bytes;
}

/* The message under work. */
struct filling {
    struct joblog_worker *worker;
    Joblog__V1__WorkerWrite **writes;
    size_t n, bytes;
};

/* How long a write is shows when it is made: a message is longer than bytes_max by the last one at most. */
static bool has_room(const struct filling *f)
{
    return f->n == 0 || (f->n < WRITES_MAX && f->bytes < f->worker->bytes_max);
}

static struct write_cell *next_cell(const struct filling *f, const struct worker_job *job)
{
    struct write_cell *cell = &f->worker->cells[f->n];
    joblog__v1__worker_write__init(&cell->write);
    cell->write.job_id = job->context.job.id;
    cell->write.lease_token = job->lease_token;
    return cell;
}

/* True when the write is there: it has a size. */
static bool add(struct filling *f, struct write_cell *cell, size_t size)
{
    if (size == 0)
        return false;
    f->writes[f->n++] = &cell->write;
    f->bytes += size;
    return true;
}

/* Its last progress, lines of its log, its end. False when it has more to say than there is room for, or memory. */
static bool add_job(struct filling *f, struct worker_job *job)
{
    struct joblog_worker *worker = f->worker;
    bool end = job->end_ready, touch = job->touch, logs = true;
    struct write_cell *cell = next_cell(f, job);
    job->touch = false;
    add(f, cell, put_progress(worker, job, cell, touch && !end));
    while (logs && has_room(f)) {
        cell = next_cell(f, job);
        logs = add(f, cell, put_log(worker, job, cell));
    }
    if (context_has_patch(&job->context) || log_waits(&job->context) || (end && !has_room(f)))
        return false;
    if (!end)
        return true;
    job->end_sent = true; /* before put_end's lock: once sent, the job is the reader's */
    cell = next_cell(f, job);
    add(f, cell, put_end(worker, job, cell));
    return true;
}

size_t message_fill(struct joblog_worker *worker, Joblog__V1__WorkRequest *request)
{
    struct filling f = {.worker = worker,
                        .writes = (Joblog__V1__WorkerWrite **)(void *)(worker->cells + WRITES_MAX),
                        .bytes = MESSAGE_EXTRA};
    while (worker->write_now && has_room(&f)) {
        struct worker_job *job = worker->write_now;
        size_t before = f.n;
        DL_DELETE2(worker->write_now, job, prev_listed, next_listed);
        job->in_list = LIST_NONE;
        if (add_job(&f, job))
            continue;
        job->in_list = LIST_NOW;
        DL_APPEND2(worker->write_now, job, prev_listed, next_listed);
        if (f.n == before)
            break; /* out of memory: the next message tries again */
    }
    request->n_writes = f.n;
    request->writes = f.writes;
    if (f.n > 0 && f.bytes > worker->largest.bytes) {
        size_t bytes = joblog__v1__work_request__get_packed_size(request);
        if (bytes > worker->largest.bytes) {
            worker->largest.bytes = bytes;
            worker->largest.n_writes = f.n;
            worker->largest.write_id = f.writes[0]->write_id;
            worker->largest.is_patch = f.writes[0]->write_case == JOBLOG__V1__WORKER_WRITE__WRITE_PROGRESS;
        }
    }
    return f.n;
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
