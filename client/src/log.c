/* Reading the log of a job: a watch whose messages hold lines. Runs on the caller's thread. */
#include "joblog/log.h"

#include "base/alloc.h"
#include "convert.h"
#include "watch_priv.h"

struct joblog_log {
    struct joblog_watch watch; /* first */
    int64_t id;
    struct joblog_log_options options; /* after_sequence: seen */
    Joblog__V1__GetJobLogResponse *message;
    size_t next; /* of its lines */
    int64_t dropped;
    struct joblog_log_line line;
};

const char *joblog_log_level_name(enum joblog_log_level level)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    return level >= JOBLOG_LOG_DEBUG && level <= JOBLOG_LOG_ERROR ? names[level - 1] : "unknown";
}

static struct joblog_log *log_of(const struct joblog_watch *watch)
{
    return (struct joblog_log *)(void *)watch;
}

static struct crpc_stream *log_open(struct joblog_watch *watch, const struct crpc_call_options *options,
                                    struct err *ret_err)
{
    const struct joblog_log *log = log_of(watch);
    Joblog__V1__GetJobLogRequest request = JOBLOG__V1__GET_JOB_LOG_REQUEST__INIT;
    request.id = log->id;
    request.after_sequence = log->options.after_sequence;
    request.attempt = log->options.attempt;
    request.min_level = (Joblog__V1__LogLevel)log->options.min_level;
    request.tail = watch->started ? 0 : log->options.tail;
    request.follow = log->options.follow;
    return joblog_v1_job_log_service_get_job_log_open(watch->client->channel, options, &request, ret_err);
}

static void forget_message(struct joblog_log *log)
{
    if (log->message)
        crpc_message_free(&log->message->base);
    log->message = NULL;
}

static enum watch_take log_take(struct joblog_watch *watch, ProtobufCMessage *message, struct err *ret_err)
{
    struct joblog_log *log = log_of(watch);
    (void)ret_err;
    forget_message(log);
    log->message = (Joblog__V1__GetJobLogResponse *)message;
    log->dropped = log->message->dropped_lines;
    log->next = 0;
    return WATCH_GIVE;
}

static bool log_is_complete(const struct joblog_watch *watch)
{
    (void)watch;
    return true; /* the server ends it with OK only then */
}

static void log_done(struct joblog_watch *watch)
{
    forget_message(log_of(watch));
}

static const struct watch_kind log_kind = {
    .open = log_open, .take = log_take, .is_complete = log_is_complete, .done = log_done};

struct joblog_log *joblog_log_open(struct joblog_client *client, int64_t id, const struct joblog_log_options *options,
                                   struct joblog_error *error)
{
    struct err e = ERR_NONE;
    struct joblog_log *log = mem_zalloc(sizeof *log);
    if (!log) {
        error_no_memory(&e);
        error_give(error, &e);
        return NULL;
    }
    if (watch_init(&log->watch, client, &log_kind, &e) < 0) {
        mem_free(log);
        error_give(error, &e);
        return NULL;
    }
    log->id = id;
    if (options)
        log->options = *options;
    return log;
}

int joblog_log_next(struct joblog_log *log, const struct joblog_log_line **ret_line, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    while (!log->message || log->next == log->message->n_lines) {
        int rc = watch_next(&log->watch, &e);
        if (rc <= 0)
            return rc < 0 ? error_give(error, &e) : 0;
    }
    const Joblog__V1__LogLine *m = log->message->lines[log->next++];
    log->line = (struct joblog_log_line){.sequence = m->sequence,
                                         .attempt = m->attempt,
                                         .level = (enum joblog_log_level)m->level,
                                         .time_us = time_us_of(m->time),
                                         .text = text_of(m->text)};
    log->options.after_sequence = m->sequence;
    *ret_line = &log->line;
    return 1;
}

int64_t joblog_log_dropped(const struct joblog_log *log)
{
    return log->dropped;
}

void joblog_log_cancel(struct joblog_log *log)
{
    joblog_watch_cancel(&log->watch);
}

void joblog_log_free(struct joblog_log *log)
{
    if (log)
        joblog_watch_free(&log->watch); /* which is its first member */
}
