/* From the contract's Job to struct joblog_job. No I/O; any thread. */
#include "box.h"
#include "convert.h"

int64_t time_us_of(const Google__Protobuf__Timestamp *t)
{
    return t ? t->seconds * 1000000 + t->nanos / 1000 : 0;
}

int64_t duration_us_of(const Google__Protobuf__Duration *d)
{
    return d ? d->seconds * 1000000 + d->nanos / 1000 : 0;
}

int32_t retry_ms_of(const Google__Protobuf__Duration *d)
{
    if (!d || d->seconds < 0 || d->nanos < 0 || d->nanos >= 1000000000)
        return 0;
    return d->seconds > INT32_MAX / 1000 - 1 ? INT32_MAX : (int32_t)(d->seconds * 1000 + (d->nanos + 999999) / 1000000);
}

static const char *outcome_name(Joblog__V1__Attempt__Outcome outcome)
{
    static const char *const names[] = {"running", "completed", "failed", "cancelled", "lost", "released"};
    return (unsigned)outcome < sizeof names / sizeof names[0] ? names[outcome] : "unknown";
}

static bool convert_labels(struct arena *a, const Joblog__V1__Job *m, struct joblog_job *job)
{
    if (m->n_labels == 0)
        return true;
    struct joblog_label *labels = arena_alloc(a, m->n_labels * sizeof *labels);
    if (!labels)
        return false;
    for (size_t i = 0; i < m->n_labels; i++)
        labels[i] = (struct joblog_label){text_of(m->labels[i]->key), text_of(m->labels[i]->value)};
    job->labels = labels;
    job->n_labels = m->n_labels;
    return true;
}

static bool convert_attempts(struct arena *a, const Joblog__V1__Job *m, struct joblog_job *job)
{
    if (m->n_attempts == 0)
        return true;
    struct joblog_attempt *attempts = arena_alloc(a, m->n_attempts * sizeof *attempts);
    if (!attempts)
        return false;
    for (size_t i = 0; i < m->n_attempts; i++) {
        const Joblog__V1__Attempt *from = m->attempts[i];
        const Joblog__V1__JobError *error = from->error;
        attempts[i] = (struct joblog_attempt){
            .number = from->number,
            .worker = text_of(from->worker),
            .start_us = time_us_of(from->start_time),
            .end_us = time_us_of(from->end_time),
            .outcome = outcome_name(from->outcome),
            .error_type = text_of(error ? error->type : NULL),
            .error_message = text_of(error ? error->message : NULL),
            .stack_trace = text_of(error ? error->stack_trace : NULL),
        };
    }
    job->attempts = attempts;
    job->n_attempts = m->n_attempts;
    return true;
}

static bool convert_transitions(struct arena *a, const Joblog__V1__Job *m, struct joblog_job *job)
{
    if (m->n_transitions == 0)
        return true;
    struct joblog_transition *transitions = arena_alloc(a, m->n_transitions * sizeof *transitions);
    if (!transitions)
        return false;
    for (size_t i = 0; i < m->n_transitions; i++) {
        const Joblog__V1__Transition *from = m->transitions[i];
        transitions[i] = (struct joblog_transition){
            .revision = from->revision,
            .from = (enum joblog_status)from->from_status,
            .to = (enum joblog_status)from->to_status,
            .time_us = time_us_of(from->time),
            .actor = text_of(from->actor),
            .reason = text_of(from->reason),
            .request_id = text_of(from->request_id),
        };
    }
    job->transitions = transitions;
    job->n_transitions = m->n_transitions;
    return true;
}

static bool convert_policy(struct arena *a, const Joblog__V1__Job *m, struct joblog_job *job)
{
    const Joblog__V1__RetryPolicy *p = m->retry_policy;
    job->max_attempts = p ? p->max_attempts : 1;
    job->backoff = p && p->backoff ? (enum joblog_backoff)p->backoff : JOBLOG_BACKOFF_EXPONENTIAL;
    if (!p)
        return true;
    job->initial_backoff_ms = duration_us_of(p->initial_backoff) / 1000;
    job->max_backoff_ms = duration_us_of(p->max_backoff) / 1000;
    job->backoff_multiplier = p->multiplier;
    job->backoff_jitter = p->jitter;
    if (p->n_delays == 0)
        return true;
    int64_t *delays = arena_alloc(a, p->n_delays * sizeof *delays);
    for (size_t i = 0; delays && i < p->n_delays; i++)
        delays[i] = duration_us_of(p->delays[i]) / 1000;
    job->delays_ms = delays;
    job->n_delays = p->n_delays;
    return delays != NULL;
}

static void convert_parts(const Joblog__V1__Job *m, struct joblog_job *job)
{
    const Joblog__V1__Progress *p = m->progress;
    job->percent = p ? p->percent : 0;
    job->done = p ? p->done : 0;
    job->total = p ? p->total : 0;
    job->unit = text_of(p ? p->unit : NULL);
    job->step = text_of(p ? p->step : NULL);
    job->eta_us = time_us_of(p ? p->eta : NULL);
    const Joblog__V1__JobError *e = m->error;
    job->error_type = text_of(e ? e->type : NULL);
    job->error_message = text_of(e ? e->message : NULL);
    job->stack_trace = text_of(e ? e->stack_trace : NULL);
    const Joblog__V1__CancelRequest *c = m->cancel_request;
    job->cancel_requested = c != NULL;
    job->cancel_actor = text_of(c ? c->actor : NULL);
    job->cancel_reason = text_of(c ? c->reason : m->cancel_reason);
    job->source_type = text_of(m->source ? m->source->type : NULL);
    job->source_id = text_of(m->source ? m->source->id : NULL);
}

bool convert_job(struct arena *a, const Joblog__V1__Job *message, struct joblog_job *ret_job)
{
    static const Joblog__V1__Job empty = JOBLOG__V1__JOB__INIT;
    const Joblog__V1__Job *m = message ? message : &empty;
    *ret_job = (struct joblog_job){
        .id = m->id,
        .job_name = text_of(m->job_name),
        .queue = text_of(m->queue),
        .status = (enum joblog_status)m->status,
        .priority = m->priority,
        .owner = text_of(m->owner),
        .creator = text_of(m->creator),
        .batch = text_of(m->batch),
        .traceparent = text_of(m->traceparent),
        .request_id = text_of(m->request_id),
        .worker = text_of(m->worker),
        .unique_key = text_of(m->unique_key ? m->unique_key->key : NULL),
        .payload = text_of(m->payload),
        .result = text_of(m->result),
        .attempt = m->attempt,
        .uncounted_attempts = m->uncounted_attempts,
        .start_timeout_ms = duration_us_of(m->start_timeout) / 1000,
        .run_timeout_ms = duration_us_of(m->run_timeout) / 1000,
        .heartbeat_timeout_ms = duration_us_of(m->heartbeat_timeout) / 1000,
        .create_us = time_us_of(m->create_time),
        .run_us = time_us_of(m->run_time),
        .start_us = time_us_of(m->start_time),
        .end_us = time_us_of(m->end_time),
        .wait_us = duration_us_of(m->wait_duration),
        .execution_us = duration_us_of(m->execution_duration),
        .has_wait = m->wait_duration != NULL,
        .has_execution = m->execution_duration != NULL,
        .revision = m->revision,
    };
    convert_parts(m, ret_job);
    return convert_policy(a, m, ret_job) && convert_labels(a, m, ret_job) && convert_attempts(a, m, ret_job) &&
           convert_transitions(a, m, ret_job);
}

struct joblog_job *convert_job_box(ProtobufCMessage *message, const Joblog__V1__Job *job, struct err *ret_err)
{
    struct joblog_job *out = box_new(message, sizeof *out);
    if (!out || !convert_job(box_arena(out), job, out)) {
        box_free(out);
        error_no_memory(ret_err);
        return NULL;
    }
    return out;
}

void joblog_job_free(struct joblog_job *job)
{
    box_free(job);
}
