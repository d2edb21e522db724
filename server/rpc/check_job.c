/* See check.h: what a job is dispatched with, what a worker writes. */
#include <stdio.h>

#include "base/json.h"
#include "rpc/check.h"
#include "rpc/check_priv.h"

enum {
    PRIORITY_MAX = 1000,
    ATTEMPTS_MAX = 1000,
    DELAYS_MAX = 100,
    UNIT_MAX_BYTES = 50,
    STEP_MAX_BYTES = 500,
    MESSAGE_MAX_BYTES = 16 * 1024,
    TRACE_MAX_BYTES = 64 * 1024
};
#define BACKOFF_INITIAL_US INT64_C(1000000)
#define BACKOFF_MAX_US     INT64_C(600000000)
/* A year. Longer delays are slips of the pen, and their products would not fit. */
#define BACKOFF_LIMIT_US INT64_C(31536000000000)
#define PERIOD_LIMIT_US  INT64_C(31536000000000)

/* Kind of back-off, and its list of delays. */
static int check_backoff(const Joblog__V1__RetryPolicy *m, struct arena *arena, struct retry_policy *r,
                         struct err *ret_err)
{
    static const char prefix[] = "job.retry_policy.";
    bool is_list = m->backoff == JOBLOG__V1__RETRY_POLICY__BACKOFF__BACKOFF_LIST;
    if ((unsigned)m->backoff > BACKOFF_LIST)
        return check_bad(ret_err, prefix, "backoff", "is no kind of back-off: %d", (int)m->backoff);
    if (m->backoff != 0)
        r->backoff = (enum backoff)m->backoff;
    if (m->multiplier != 0 && r->backoff > BACKOFF_EXPONENTIAL)
        return check_bad(ret_err, prefix, "multiplier", "must be 0: only the exponential back-off has one");
    if (!is_list && m->n_delays > 0)
        return check_bad(ret_err, prefix, "delays", "must be empty: only the back-off LIST has them");
    if (is_list && (m->n_delays < 1 || m->n_delays > DELAYS_MAX))
        return check_bad(ret_err, prefix, "delays", "must be 1 to %d, are %zu", DELAYS_MAX, m->n_delays);
    if (!is_list)
        return 0;
    int64_t *delays = arena_alloc(arena, m->n_delays * sizeof *delays);
    if (!delays)
        return check_no_memory(ret_err);
    for (size_t i = 0; i < m->n_delays; i++)
        if (check_duration(m->delays[i], 0, BACKOFF_LIMIT_US, prefix, "delays", &delays[i], ret_err) != 0)
            return -ERR_INVALID_ARGUMENT;
    r->delays_us = delays;
    r->n_delays = m->n_delays;
    return 0;
}

static int check_retry(const Joblog__V1__RetryPolicy *m, struct arena *arena, struct retry_policy *ret,
                       struct err *ret_err)
{
    struct retry_policy r = {.max_attempts = 1,
                             .initial_backoff_us = BACKOFF_INITIAL_US,
                             .max_backoff_us = BACKOFF_MAX_US,
                             .multiplier = 2,
                             .backoff = BACKOFF_EXPONENTIAL};
    static const char prefix[] = "job.retry_policy.";
    int rc = 0;
    if (m) {
        if (m->max_attempts < 0 || m->max_attempts > ATTEMPTS_MAX)
            return check_bad(ret_err, prefix, "max_attempts", "must be from 0 to %d, is %d", ATTEMPTS_MAX,
                             m->max_attempts);
        /* Not written with < and >: a NaN must fail. */
        if (m->multiplier != 0 && !(m->multiplier >= 1 && m->multiplier <= 100))
            return check_bad(ret_err, prefix, "multiplier", "must be 0 or from 1 to 100, is %g", m->multiplier);
        if (!(m->jitter >= 0 && m->jitter <= 1))
            return check_bad(ret_err, prefix, "jitter", "must be from 0 to 1, is %g", m->jitter);
        if ((rc = check_duration(m->initial_backoff, BACKOFF_INITIAL_US, BACKOFF_LIMIT_US, prefix, "initial_backoff",
                                 &r.initial_backoff_us, ret_err)) != 0 ||
            (rc = check_duration(m->max_backoff, BACKOFF_MAX_US, BACKOFF_LIMIT_US, prefix, "max_backoff",
                                 &r.max_backoff_us, ret_err)) != 0 ||
            (rc = check_backoff(m, arena, &r, ret_err)) != 0)
            return rc;
        if (m->max_attempts > 0)
            r.max_attempts = m->max_attempts;
        if (m->multiplier != 0)
            r.multiplier = m->multiplier;
        r.jitter = m->jitter;
    }
    *ret = r;
    return 0;
}

static int check_json(const char *text, bool must_be_object, const char *prefix, const char *name, struct span *ret,
                      struct err *ret_err)
{
    char field[96];
    if (check_text(text, JSON_MAX_BYTES, prefix, name, ret, ret_err) != 0)
        return -ERR_INVALID_ARGUMENT;
    if (ret->len == 0)
        return 0;
    snprintf(field, sizeof field, "%s%s", prefix, name);
    return json_check(*ret, must_be_object, field, ret_err);
}

static int spec_labels(const Joblog__V1__JobSpec *m, struct arena *arena, struct job *job, struct err *ret_err)
{
    if (m->n_labels > LABELS_MAX)
        return check_bad(ret_err, "job.", "labels", "must hold at most %d labels, holds %zu", LABELS_MAX, m->n_labels);
    if (m->n_labels == 0)
        return 0;
    struct label *labels = arena_alloc(arena, m->n_labels * sizeof *labels);
    if (!labels)
        return check_no_memory(ret_err);
    for (size_t i = 0; i < m->n_labels; i++)
        if (check_label(m->labels[i]->key, m->labels[i]->value, "job.", labels, &job->n_labels, ret_err) != 0)
            return -ERR_INVALID_ARGUMENT;
    job->labels = labels;
    return 0;
}

static int check_unique(const Joblog__V1__UniqueKey *m, struct unique_key *ret, struct err *ret_err)
{
    static const char prefix[] = "job.unique_key.";
    struct unique_key key = {.scope = UNIQUE_NOT_FINAL};
    int rc = 0;
    if (!m)
        return 0;
    if ((rc = check_name(m->key, NAME_MAX_BYTES, prefix, "key", &key.key, ret_err)) != 0 ||
        (rc = check_duration(m->period, 0, PERIOD_LIMIT_US, prefix, "period", &key.period_us, ret_err)) != 0)
        return rc;
    if ((unsigned)m->scope > UNIQUE_PERIOD)
        return check_bad(ret_err, prefix, "scope", "is no scope: %d", (int)m->scope);
    if ((unsigned)m->on_conflict > UNIQUE_MERGE_PAYLOAD)
        return check_bad(ret_err, prefix, "on_conflict", "is no policy: %d", (int)m->on_conflict);
    if (m->scope != JOBLOG__V1__UNIQUE_KEY__SCOPE__SCOPE_UNSPECIFIED)
        key.scope = (enum unique_scope)m->scope;
    if (key.scope == UNIQUE_PERIOD ? key.period_us == 0 : m->period != NULL)
        return check_bad(ret_err, prefix, "period", "must be %s",
                         key.scope == UNIQUE_PERIOD ? "above zero" : "absent: only the scope PERIOD has one");
    *ret = key;
    return 0;
}

int check_job_spec(const Joblog__V1__JobSpec *m, struct arena *arena, struct job *ret_job, struct err *ret_err)
{
    static const char prefix[] = "job.";
    struct job job = {.status = JOB_PENDING};
    int rc = 0;
    if (!m)
        return check_bad(ret_err, "", "job", "must be set");
    if ((rc = check_name(m->job_name, NAME_MAX_BYTES, prefix, "job_name", &job.name, ret_err)) != 0 ||
        (rc = check_not_reserved(job.name, prefix, "job_name", ret_err)) != 0 ||
        (rc = check_text(m->queue, NAME_MAX_BYTES, prefix, "queue", &job.queue, ret_err)) != 0 ||
        (rc = check_not_reserved(job.queue, prefix, "queue", ret_err)) != 0 ||
        (rc = check_text(m->owner, NAME_MAX_BYTES, prefix, "owner", &job.owner, ret_err)) != 0 ||
        (rc = spec_labels(m, arena, &job, ret_err)) != 0 ||
        (rc = check_json(m->payload, true, prefix, "payload", &job.payload, ret_err)) != 0 ||
        (rc = check_retry(m->retry_policy, arena, &job.retry, ret_err)) != 0 ||
        (rc = check_duration(m->start_timeout, 0, PERIOD_LIMIT_US, prefix, "start_timeout", &job.start_timeout_us,
                             ret_err)) != 0 ||
        (rc = check_duration(m->run_timeout, 0, PERIOD_LIMIT_US, prefix, "run_timeout", &job.run_timeout_us,
                             ret_err)) != 0 ||
        (rc = check_duration(m->heartbeat_timeout, 0, PERIOD_LIMIT_US, prefix, "heartbeat_timeout",
                             &job.heartbeat_timeout_us, ret_err)) != 0 ||
        (rc = check_unique(m->unique_key, &job.unique, ret_err)) != 0 ||
        (rc = check_time(m->run_time, prefix, "run_time", &job.run_us, ret_err)) != 0 ||
        (rc = check_text(m->batch, NAME_MAX_BYTES, prefix, "batch", &job.batch, ret_err)) != 0 ||
        (rc = check_text(m->traceparent, NAME_MAX_BYTES, prefix, "traceparent", &job.traceparent, ret_err)) != 0)
        return rc;
    if (m->priority < -PRIORITY_MAX || m->priority > PRIORITY_MAX)
        return check_bad(ret_err, prefix, "priority", "must be from %d to %d, is %d", -PRIORITY_MAX, PRIORITY_MAX,
                         m->priority);
    if (m->source &&
        ((rc = check_name(m->source->type, NAME_MAX_BYTES, prefix, "source.type", &job.source_type, ret_err)) != 0 ||
         (rc = check_text(m->source->id, NAME_MAX_BYTES, prefix, "source.id", &job.source_id, ret_err)) != 0))
        return rc;
    job.priority = m->priority;
    if (job.queue.len == 0)
        job.queue = SPAN_LIT("default");
    if (job.payload.len == 0)
        job.payload = SPAN_LIT("{}");
    job.attempts_left = job.retry.max_attempts;
    *ret_job = job;
    return 0;
}

static int check_progress_values(const Joblog__V1__Progress *m, const char *prefix, struct job_progress *ret,
                                 struct err *ret_err)
{
    struct job_progress p = {.percent = m->percent, .done = m->done, .total = m->total};
    if (!(m->percent >= 0 && m->percent <= 100))
        return check_bad(ret_err, prefix, "progress.percent", "must be from 0 to 100, is %g", m->percent);
    if (m->done < 0)
        return check_bad(ret_err, prefix, "progress.done", "must not be negative, is %lld", (long long)m->done);
    if (m->total < 0)
        return check_bad(ret_err, prefix, "progress.total", "must not be negative, is %lld", (long long)m->total);
    if (check_text(m->unit, UNIT_MAX_BYTES, prefix, "progress.unit", &p.unit, ret_err) != 0 ||
        check_text(m->step, STEP_MAX_BYTES, prefix, "progress.step", &p.step, ret_err) != 0)
        return -ERR_INVALID_ARGUMENT;
    if (p.total > 0)
        p.percent = p.done >= p.total ? 100 : (double)p.done * 100 / (double)p.total;
    *ret = p;
    return 0;
}

int check_progress(const Joblog__V1__ProgressWrite *m, const char *prefix, struct progress_write *ret,
                   struct err *ret_err)
{
    struct progress_write w = {.has_progress = m && m->progress};
    int rc = 0;
    if (w.has_progress && (rc = check_progress_values(m->progress, prefix, &w.progress, ret_err)) != 0)
        return rc;
    if (m && (rc = check_json(m->payload_patch, true, prefix, "payload_patch", &w.payload_patch, ret_err)) != 0)
        return rc;
    *ret = w;
    return 0;
}

int check_complete(const Joblog__V1__CompleteWrite *m, const char *prefix, struct span *ret_result, struct err *ret_err)
{
    *ret_result = (struct span){NULL, 0};
    return m ? check_json(m->result, false, prefix, "result", ret_result, ret_err) : 0;
}

int check_log_level(Joblog__V1__LogLevel level, const char *prefix, const char *name, struct err *ret_err)
{
    if ((int)level >= 0 && (int)level <= LOG_LINE_ERROR)
        return 0;
    return check_bad(ret_err, prefix, name, "is no LogLevel: %d", (int)level);
}

int check_log(const Joblog__V1__LogWrite *m, const char *prefix, struct err *ret_err)
{
    size_t bytes = 0;
    if (m && m->n_lines > LOG_LINES_MAX)
        return check_bad(ret_err, prefix, "lines", "must hold at most %d values, holds %zu", LOG_LINES_MAX, m->n_lines);
    for (size_t i = 0; m && i < m->n_lines; i++) {
        char field[48];
        int64_t time_us;
        size_t len = strlen(m->lines[i]->text);
        int rc;
        snprintf(field, sizeof field, "lines[%zu].text", i);
        if ((rc = check_text(m->lines[i]->text, LOG_TEXT_MAX_BYTES, prefix, field, NULL, ret_err)) != 0)
            return rc;
        snprintf(field, sizeof field, "lines[%zu].level", i);
        if ((rc = check_log_level(m->lines[i]->level, prefix, field, ret_err)) != 0)
            return rc;
        snprintf(field, sizeof field, "lines[%zu].time", i);
        if ((rc = check_time(m->lines[i]->time, prefix, field, &time_us, ret_err)) != 0)
            return rc;
        bytes += len;
    }
    if (bytes > LOG_BYTES_MAX)
        return check_bad(ret_err, prefix, "lines", "must hold at most %d bytes of text together, holds %zu",
                         LOG_BYTES_MAX, bytes);
    return 0;
}

struct log_line check_log_line(const Joblog__V1__LogLine *m)
{
    struct log_line line = {.level = m->level ? (enum log_line_level)m->level : LOG_LINE_INFO,
                            .text = span_str(m->text)};
    check_time(m->time, "", "time", &line.time_us, NULL);
    return line;
}

int check_fail(const Joblog__V1__FailWrite *m, const char *prefix, struct job_error *ret_error, struct err *ret_err)
{
    struct job_error e = {.type = {NULL, 0}};
    int rc = 0;
    if (m && m->error) {
        if ((rc = check_text(m->error->type, NAME_MAX_BYTES, prefix, "error.type", &e.type, ret_err)) != 0 ||
            (rc = check_text(m->error->message, MESSAGE_MAX_BYTES, prefix, "error.message", &e.message, ret_err)) != 0)
            return rc;
        e.stack_trace = span_str(m->error->stack_trace);
        if (e.stack_trace.len > TRACE_MAX_BYTES) {
            e.stack_trace.len = TRACE_MAX_BYTES;
            /* Not within a character: PostgreSQL would refuse the text. */
            while (e.stack_trace.len > 0 && ((unsigned char)e.stack_trace.data[e.stack_trace.len] & 0xc0) == 0x80)
                e.stack_trace.len--;
        }
    }
    *ret_error = e;
    return 0;
}
