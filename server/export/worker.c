/* The thread of an export worker: opens a session of the store as a worker process would through gRPC, takes one lease
 * at a time, runs the attempt, reports its end. Everything that others want from it comes through its eventfd; it
 * never waits longer than a tick for anything else. */
#include "export/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "export/attempt.h"
#include "export/polite.h"
#include "export/request.h"

enum {
    TICK_US = 50000,      /* a cancel is seen within this */
    PROGRESS_US = 100000, /* watchers need no more */
    IDLE_MS = 1000,       /* sign of life while idle */
    RETRY_MS = 500,       /* between tries to reach the store */
    FINISH_TRIES = 60     /* half a minute; then the lease runs out and the export runs again */
};

/* ---- waking ---- */

void export_worker_wake(struct export_worker *w)
{
    uint64_t one = 1;
    ssize_t n = write(w->wake_fd, &one, sizeof one);
    (void)n; /* fails only when it would overflow: then it is readable anyway */
}

static void session_woken(struct tag *tag, bool ok)
{
    (void)ok;
    export_worker_wake((struct export_worker *)((char *)tag - offsetof(struct export_worker, wake)));
}

static void event_posted(struct tag *tag, bool ok)
{
    struct worker_event *event = (struct worker_event *)((char *)tag - offsetof(struct worker_event, tag));
    struct export_worker *w = event->worker;
    (void)ok;
    pthread_mutex_lock(&w->lock);
    event->done = true;
    export_worker_wake(w);
    pthread_mutex_unlock(&w->lock);
}

static bool event_done(struct worker_event *event)
{
    pthread_mutex_lock(&event->worker->lock);
    bool done = event->done;
    pthread_mutex_unlock(&event->worker->lock);
    return done;
}

static void wait_for_wake(struct export_worker *w, int timeout_ms)
{
    struct pollfd p = {.fd = w->wake_fd, .events = POLLIN};
    if (poll(&p, 1, timeout_ms) > 0) {
        uint64_t n;
        ssize_t got = read(w->wake_fd, &n, sizeof n);
        (void)got;
    }
}

static bool stopping(struct export_worker *w)
{
    return atomic_load(&w->exports->stopping);
}

/* ---- commands ---- */

static int submit(struct export_worker *w, struct store_cmd *cmd, struct worker_event *event)
{
    *event = (struct worker_event){.tag = {event_posted}, .worker = w};
    cmd->done = &event->tag;
    cmd->err = ERR_NONE;
    return store_submit(w->exports->options.store, cmd, &cmd->err);
}

int export_worker_run(struct export_worker *w, struct store_cmd *cmd)
{
    struct worker_event event;
    int rc = submit(w, cmd, &event);
    if (rc != 0)
        return rc;
    while (!event_done(&event)) {
        wait_for_wake(w, IDLE_MS);
        if (w->session)
            store_session_touch(w->session);
    }
    return -(int)cmd->err.code;
}

/* ---- the attempt's surroundings ---- */

static void look_at_deliveries(struct export_worker *w)
{
    struct delivery *d;
    while ((d = store_session_take(w->session))) {
        if (d->job_id == w->job_id && d->token == w->token && w->stop == WORKER_GOES_ON) {
            if (d->kind == DELIVERY_CANCEL)
                w->stop = WORKER_CANCELLED;
            else if (d->kind == DELIVERY_LOST)
                w->stop = WORKER_LOST;
        }
        delivery_free(d);
    }
}

static void progress_ended(struct export_worker *w)
{
    w->progress_busy = false;
    if (w->stop == WORKER_GOES_ON) {
        if (w->progress_cmd.cmd.err.code == ERR_FAILED_PRECONDITION)
            w->stop = WORKER_LOST;
        else if (w->progress_cmd.cmd.err.code == ERR_OK && w->progress_cmd.cancel.time_us)
            w->stop = WORKER_CANCELLED;
    }
    arena_reset(&w->progress_arena);
}

static void send_progress(struct export_worker *w, int64_t now_us)
{
    w->progress_cmd = (struct store_progress){.cmd = {.op = STORE_PROGRESS},
                                              .job_id = w->job_id,
                                              .token = w->token,
                                              .has_progress = true,
                                              .progress = w->progress,
                                              .since_us = w->since_us,
                                              .arena = &w->progress_arena};
    w->progress_new = false;
    w->progress_us = now_us;
    w->progress_busy = submit(w, &w->progress_cmd.cmd, &w->progress_event) == 0;
}

int export_worker_tick(void *user)
{
    struct export_worker *w = user;
    int64_t now_us = clock_mono_us();
    if (now_us - w->tick_us < TICK_US)
        return w->stop == WORKER_GOES_ON ? 0 : -ERR_CANCELLED;
    w->tick_us = now_us;
    if (stopping(w) && w->stop == WORKER_GOES_ON)
        w->stop = WORKER_SHUTS_DOWN;
    look_at_deliveries(w);
    store_session_touch(w->session);
    if (w->progress_busy && event_done(&w->progress_event))
        progress_ended(w);
    if (w->progress_new && !w->progress_busy && w->stop == WORKER_GOES_ON && now_us - w->progress_us >= PROGRESS_US)
        send_progress(w, now_us);
    return w->stop == WORKER_GOES_ON ? 0 : -ERR_CANCELLED;
}

void export_worker_progress(struct export_worker *w, const char *step, int64_t done, int64_t total)
{
    struct job_progress p = {.done = done, .total = total, .unit = SPAN_LIT("rows"), .step = span_str(step)};
    if (total > 0)
        p.percent = done >= total ? 100 : 100 * (double)done / (double)total;
    w->progress = p;
    w->progress_new = true;
}

/* ---- an attempt ---- */

static void log_end(const struct export_worker *w, const struct attempt_result *result, int64_t start_us)
{
    static const char *const names[] = {[ATTEMPT_COMPLETED] = "completed",
                                        [ATTEMPT_FAILED] = "failed",
                                        [ATTEMPT_CANCELLED] = "cancelled",
                                        [ATTEMPT_LOST] = "lost",
                                        [ATTEMPT_RELEASED] = "released"};
    log_info("export %s job=%" PRId64 " rows=%" PRId64 " bytes=%" PRId64 " ms=%" PRId64 " error=%s text=\"%s\"",
             names[result->outcome], w->job_id, result->rows, result->size, (clock_mono_us() - start_us) / 1000,
             result->error_type ? result->error_type : "", result->err.msg);
}

/* The job's result; failed where there is no memory. */
static struct buf result_of(const struct attempt_result *result)
{
    struct buf text = BUF_INIT;
    if (result->outcome != ATTEMPT_COMPLETED)
        return text;
    buf_printf(&text, "{\"rows\": %" PRId64 ", \"size\": %" PRId64 ", \"sha256\": \"%s\", \"columns\": ", result->rows,
               result->size, result->sha256);
    buf_add(&text, result->columns.data, result->columns.len);
    buf_add_char(&text, '}');
    return text;
}

/* Reports the end; tries again while the store cannot be reached. False: the lease was lost, or nobody heard. */
static bool tell_end(struct export_worker *w, const struct attempt_result *result, struct span text)
{
    for (int tries = 0; tries < FINISH_TRIES; tries++) {
        struct store_finish finish = {.cmd = {.op = STORE_FINISH},
                                      .job_id = w->job_id,
                                      .token = w->token,
                                      .outcome = result->outcome,
                                      .result = text,
                                      .no_retry = result->no_retry};
        if (result->outcome == ATTEMPT_FAILED)
            finish.error =
                (struct job_error){.type = span_str(result->error_type), .message = span_str(result->err.msg)};
        int rc = export_worker_run(w, &finish.cmd);
        if (rc == 0)
            return true;
        log_warning("end of an export not recorded job=%" PRId64 " code=%s text=\"%s\"", w->job_id, err_code_name(-rc),
                    finish.cmd.err.msg);
        if (rc != -ERR_UNAVAILABLE && rc != -ERR_RESOURCE_EXHAUSTED && rc != -ERR_ABORTED)
            return false;
        if (stopping(w) && rc == -ERR_UNAVAILABLE)
            return false;
        store_session_touch(w->session);
        wait_for_wake(w, RETRY_MS);
    }
    return false;
}

static bool report_end(struct export_worker *w, const struct attempt_result *result)
{
    struct buf text = result_of(result);
    bool told = !text.failed && tell_end(w, result, buf_span(&text));
    buf_done(&text);
    return told;
}

static void wait_for_progress(struct export_worker *w)
{
    while (w->progress_busy) {
        wait_for_wake(w, IDLE_MS);
        if (event_done(&w->progress_event))
            progress_ended(w);
    }
}

static void run_lease(struct export_worker *w, const struct delivery *d)
{
    struct attempt_result result = {.outcome = ATTEMPT_FAILED, .error_type = "ExportFailed"};
    int64_t start_us = clock_mono_us();
    w->job_id = d->job_id;
    w->token = d->token;
    w->stop = WORKER_GOES_ON;
    w->tick_us = w->progress_us = w->since_us = 0;
    w->progress_new = w->progress_busy = false;
    arena_init(&w->progress_arena, NULL, 0, 0);
    export_attempt_run(w, &d->snapshot->job, &result);
    wait_for_progress(w);
    if (result.outcome == ATTEMPT_COMPLETED && w->progress_new) { /* the record ends with 100 % */
        send_progress(w, clock_mono_us());
        wait_for_progress(w);
    }
    arena_done(&w->progress_arena);
    bool reported = result.outcome == ATTEMPT_LOST || report_end(w, &result);
    buf_done(&result.columns);
    log_end(w, &result, start_us);
    struct chunk_owner owner = {w->job_id, w->token};
    struct err err = ERR_NONE;
    const struct chunk_store *chunks = w->exports->chunks;
    /* A file whose completion nobody heard of belongs to no one: the next attempt makes its own. */
    if (!reported && result.outcome == ATTEMPT_COMPLETED && chunks->discard(chunks, &owner, &err) != 0)
        log_warning("file of a lost export not removed job=%" PRId64, w->job_id);
    w->job_id = w->token = 0;
}

/* ---- the session ---- */

static bool open_session(struct export_worker *w)
{
    static const struct span names[] = {SPAN_LIT(EXPORT_JOB_NAME)}, queues[] = {SPAN_LIT(EXPORT_JOB_QUEUE)};
    char host[256] = "", worker[300];
    gethostname(host, sizeof host - 1);
    snprintf(worker, sizeof worker, "joblogd-export-%u@%s", w->number + 1, host);
    worker[200] = '\0';
    for (;;) {
        struct store_session_open open = {.cmd = {.op = STORE_SESSION_OPEN},
                                          .worker = span_str(worker),
                                          .host = span_str(host),
                                          .pid = getpid(),
                                          .names = names,
                                          .n_names = 1,
                                          .queues = queues,
                                          .n_queues = 1,
                                          .wake = &w->wake};
        if (stopping(w))
            return false;
        if (export_worker_run(w, &open.cmd) == 0) {
            w->session = open.session;
            return true;
        }
        log_warning("export worker has no session worker=%s text=\"%s\"", worker, open.cmd.err.msg);
        wait_for_wake(w, RETRY_MS);
    }
}

/* Asks for one lease. */
static bool give_credit(struct export_worker *w)
{
    while (!stopping(w)) {
        struct store_session_credit credit = {.cmd = {.op = STORE_SESSION_CREDIT}, .session = w->session, .add = 1};
        if (export_worker_run(w, &credit.cmd) == 0)
            return true;
        wait_for_wake(w, RETRY_MS);
    }
    return false;
}

static void close_session(struct export_worker *w)
{
    for (;;) {
        struct store_session_close close = {.cmd = {.op = STORE_SESSION_CLOSE}, .session = w->session};
        struct worker_event event;
        int rc = submit(w, &close.cmd, &event);
        while (rc == 0 && !event_done(&event))
            wait_for_wake(w, IDLE_MS);
        if (rc != -ERR_RESOURCE_EXHAUSTED) /* the queue is full: as soon as there is room */
            break;
        wait_for_wake(w, RETRY_MS);
    }
    w->session = NULL;
}

static void *worker_main(void *user)
{
    struct export_worker *w = user;
    export_polite_thread();
    if (!open_session(w))
        return NULL;
    bool waiting = give_credit(w);
    while (!stopping(w)) {
        struct delivery *d = store_session_take(w->session);
        if (!d) {
            wait_for_wake(w, IDLE_MS);
            store_session_touch(w->session);
            continue;
        }
        if (d->kind == DELIVERY_LEASE) {
            run_lease(w, d);
            waiting = false;
        }
        delivery_free(d);
        if (!waiting)
            waiting = give_credit(w);
    }
    close_session(w);
    return NULL;
}

int export_worker_start(struct export_worker *w, struct exports *exports, unsigned number, struct err *ret_err)
{
    *w = (struct export_worker){.exports = exports, .number = number, .wake = {session_woken}};
    pthread_mutex_init(&w->lock, NULL);
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->wake_fd < 0 || pthread_create(&w->thread, NULL, worker_main, w) != 0) {
        if (w->wake_fd >= 0)
            close(w->wake_fd);
        pthread_mutex_destroy(&w->lock);
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "cannot start an export worker");
    }
    return 0;
}

void export_worker_join(struct export_worker *w)
{
    pthread_join(w->thread, NULL);
    close(w->wake_fd);
    pthread_mutex_destroy(&w->lock);
}
