/* The reading of a watch, its reconnecting and its end; and the watch of one job. Runs on the caller's thread.
 * The stream's pointer changes under the lock only, since joblog_watch_cancel uses it from other threads; the blocking
 * read holds no lock. */
#include "watch_priv.h"

#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "box.h"
#include "convert.h"
#include "deadline.h"

int watch_init(struct joblog_watch *watch, struct joblog_client *client, const struct watch_kind *kind,
               struct err *ret_err)
{
    if (pthread_mutex_init(&watch->lock, NULL) != 0)
        return error_no_memory(ret_err);
    watch->kind = kind;
    watch->client = client;
    watch->backoff = BACKOFF_STREAM;
    watch->give_up_ms = deadline_in_ms(client->retry ? client->timeout_ms : 0);
    return 0;
}

static int watch_was_cancelled(struct err *ret_err)
{
    return err_set(ret_err, ERR_CANCELLED, NULL, "the watch was cancelled");
}

static int watch_open(struct joblog_watch *watch, struct err *ret_err)
{
    struct call_options options;
    int64_t left = watch->deadline_ms ? watch->deadline_ms - clock_mono_ms() : 0;
    call_options_init(&options, &watch->client->credentials, watch->deadline_ms && left < 1 ? 1 : left);
    struct crpc_stream *stream = watch->kind->open(watch, &options.options, ret_err);
    call_options_done(&options);
    if (!stream)
        return -1;
    pthread_mutex_lock(&watch->lock);
    bool cancelled = watch->cancelled;
    if (!cancelled)
        watch->stream = stream;
    pthread_mutex_unlock(&watch->lock);
    if (cancelled) {
        crpc_stream_free(stream);
        return watch_was_cancelled(ret_err);
    }
    return 0;
}

static void watch_close(struct joblog_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    struct crpc_stream *stream = watch->stream;
    watch->stream = NULL;
    pthread_mutex_unlock(&watch->lock);
    crpc_stream_free(stream);
}

static bool watch_is_cancelled(struct joblog_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    bool cancelled = watch->cancelled;
    pthread_mutex_unlock(&watch->lock);
    return cancelled;
}

/* The pause before the stream is opened again. 0, or -code when the watch ends with *e or a better error. */
static int watch_pause(struct joblog_watch *watch, struct err *e)
{
    int64_t now = clock_mono_ms();
    int64_t until = now + backoff_next_ms(&watch->backoff, e->retry_after_ms);
    if (!watch->started && until >= watch->give_up_ms)
        return -(int)e->code;
    if (watch->deadline_ms && until > watch->deadline_ms)
        until = watch->deadline_ms;
    while ((now = clock_mono_ms()) < until) {
        if (watch_is_cancelled(watch))
            return watch_was_cancelled(e);
        call_pause_part(watch->client, until - now);
    }
    if (watch_is_cancelled(watch))
        return watch_was_cancelled(e);
    if (watch->deadline_ms && clock_mono_ms() >= watch->deadline_ms)
        return err_set(e, ERR_DEADLINE_EXCEEDED, NULL, "the job is not final yet");
    return 0;
}

/* The stream has ended, or could not be opened or refilled: go on (0) or not (-code)? */
static int watch_broken(struct joblog_watch *watch, struct err *e)
{
    watch_close(watch);
    if (watch_is_cancelled(watch))
        return watch_was_cancelled(e);
    if (watch->kind->begin_anew && watch->kind->begin_anew(watch, e))
        return 0;
    if (!stream_was_cut(e))
        return -(int)e->code;
    return watch_pause(watch, e);
}

/* One message, or what has to be asked for besides. WATCH_FAIL with code OK: the stream has ended well. */
static enum watch_take watch_step(struct joblog_watch *watch, struct err *e)
{
    if (!watch->stream && watch_open(watch, e) < 0)
        return WATCH_FAIL;
    if (watch->kind->refill) {
        enum watch_take take = watch->kind->refill(watch, e);
        if (take != WATCH_SKIP)
            return take;
    }
    ProtobufCMessage *message = NULL;
    int rc = crpc_stream_read(watch->stream, &message, e);
    if (rc <= 0)
        return WATCH_FAIL;
    watch->started = true;
    watch->backoff.next_ms = 0;
    return watch->kind->take(watch, message, e);
}

int watch_next(struct joblog_watch *watch, struct err *ret_err)
{
    while (!watch->ended) {
        struct err e = ERR_NONE;
        enum watch_take take = watch_step(watch, &e);
        if (take == WATCH_GIVE)
            return 1;
        if (take == WATCH_SKIP)
            continue;
        if (e.code == ERR_OK && watch->kind->is_complete(watch)) {
            watch_close(watch);
            watch->ended = true;
            break;
        }
        if (e.code == ERR_OK)
            err_set(&e, ERR_UNAVAILABLE, NULL, "the server ended the watch early");
        if (watch_broken(watch, &e) < 0) {
            *ret_err = e;
            return -(int)e.code;
        }
    }
    return 0;
}

int joblog_watch_next(struct joblog_watch *watch, const struct joblog_job **ret_job, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    joblog_job_free(watch->job);
    watch->job = NULL;
    int rc = watch_next(watch, &e);
    if (rc == 1)
        *ret_job = watch->job;
    return rc < 0 ? error_give(error, &e) : rc;
}

int64_t joblog_watch_file_size(const struct joblog_watch *watch)
{
    return watch->file_size;
}

void joblog_watch_cancel(struct joblog_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    watch->cancelled = true;
    if (watch->stream)
        crpc_stream_cancel(watch->stream);
    pthread_mutex_unlock(&watch->lock);
}

void joblog_watch_free(struct joblog_watch *watch)
{
    if (!watch)
        return;
    watch_close(watch);
    joblog_job_free(watch->job);
    watch->kind->done(watch);
    pthread_mutex_destroy(&watch->lock);
    mem_free(watch);
}
