/* See convert.h. Mostly on workers of the server; knows nothing of calls. */
#include "rpc/convert.h"

#include "base/clock.h"
#include "core/id.h"

/* One conversion: the first allocation that fails makes it fail. */
struct conversion {
    struct arena *arena;
    bool failed;
};

static void *make(struct conversion *c, const ProtobufCMessageDescriptor *type)
{
    void *message = arena_alloc(c->arena, type->sizeof_message);
    if (message)
        protobuf_c_message_init(type, message);
    else
        c->failed = true;
    return message;
}

static void *make_array(struct conversion *c, size_t n)
{
    void *array = arena_alloc(c->arena, n * sizeof(void *));
    if (!array)
        c->failed = true;
    return array;
}

char *convert_text(struct arena *arena, struct span text)
{
    return text.len > 0 ? arena_str(arena, text) : (char *)protobuf_c_empty_string;
}

static char *text_of(struct conversion *c, struct span text)
{
    char *copy = convert_text(c->arena, text);
    if (!copy)
        c->failed = true;
    return copy;
}

static Google__Protobuf__Timestamp *time_of(struct conversion *c, int64_t us)
{
    if (us == 0)
        return NULL;
    Google__Protobuf__Timestamp *t = make(c, &google__protobuf__timestamp__descriptor);
    if (!t)
        return NULL;
    int64_t rest = us % 1000000;
    if (rest < 0)
        rest += 1000000;
    t->seconds = (us - rest) / 1000000;
    t->nanos = (int32_t)rest * 1000;
    return t;
}

static Google__Protobuf__Duration *duration_of(struct conversion *c, int64_t us)
{
    Google__Protobuf__Duration *d = make(c, &google__protobuf__duration__descriptor);
    if (!d)
        return NULL;
    d->seconds = us / 1000000;
    d->nanos = (int32_t)(us % 1000000) * 1000;
    return d;
}

Google__Protobuf__Timestamp *convert_time(struct arena *arena, int64_t time_us)
{
    struct conversion c = {arena, false};
    return time_of(&c, time_us);
}

Google__Protobuf__Duration *convert_duration(struct arena *arena, int64_t us)
{
    struct conversion c = {arena, false};
    return duration_of(&c, us);
}

bool convert_error(struct arena *arena, const struct err *err, struct error_parts *ret_parts)
{
    struct conversion c = {arena, false};
    *ret_parts = (struct error_parts){
        .code = (int32_t)err->code,
        .message = text_of(&c, span_str(err->msg)),
        .reason = text_of(&c, span_str(err->reason[0] ? err->reason : err_code_name(err->code))),
        .field = text_of(&c, span_str(err->field)),
        .retry_after = err->retry_after_ms > 0 ? duration_of(&c, (int64_t)err->retry_after_ms * 1000) : NULL,
    };
    return !c.failed;
}

static void add_labels(struct conversion *c, Joblog__V1__Job *m, const struct job *job)
{
    if (job->n_labels == 0 || !(m->labels = make_array(c, job->n_labels)))
        return;
    for (size_t i = 0; i < job->n_labels; i++) {
        Joblog__V1__Job__LabelsEntry *entry = make(c, &joblog__v1__job__labels_entry__descriptor);
        if (!entry)
            return;
        entry->key = text_of(c, job->labels[i].key);
        entry->value = text_of(c, job->labels[i].value);
        m->labels[m->n_labels++] = entry;
    }
}

static Joblog__V1__Source *source_of(struct conversion *c, const struct job *job)
{
    if (job->source_type.len == 0 && job->source_id.len == 0)
        return NULL;
    Joblog__V1__Source *m = make(c, &joblog__v1__source__descriptor);
    if (m) {
        m->type = text_of(c, job->source_type);
        m->id = text_of(c, job->source_id);
    }
    return m;
}

static Joblog__V1__Progress *progress_of(struct conversion *c, const struct job_progress *p)
{
    if (p->percent == 0 && p->done == 0 && p->total == 0 && p->unit.len == 0 && p->step.len == 0)
        return NULL;
    Joblog__V1__Progress *m = make(c, &joblog__v1__progress__descriptor);
    if (m) {
        m->percent = p->percent;
        m->done = p->done;
        m->total = p->total;
        m->unit = text_of(c, p->unit);
        m->step = text_of(c, p->step);
        m->eta = time_of(c, p->eta_us);
    }
    return m;
}

static Joblog__V1__JobError *error_of(struct conversion *c, const struct job_error *e, bool with_trace)
{
    if (e->type.len == 0 && e->message.len == 0)
        return NULL;
    Joblog__V1__JobError *m = make(c, &joblog__v1__job_error__descriptor);
    if (m) {
        m->type = text_of(c, e->type);
        m->message = text_of(c, e->message);
        if (with_trace)
            m->stack_trace = text_of(c, e->stack_trace);
    }
    return m;
}

static Joblog__V1__RetryPolicy *retry_of(struct conversion *c, const struct retry_policy *r)
{
    Joblog__V1__RetryPolicy *m = make(c, &joblog__v1__retry_policy__descriptor);
    if (m) {
        m->max_attempts = r->max_attempts;
        m->initial_backoff = duration_of(c, r->initial_backoff_us);
        m->max_backoff = duration_of(c, r->max_backoff_us);
        m->multiplier = r->multiplier;
        m->jitter = r->jitter;
        m->backoff = (Joblog__V1__RetryPolicy__Backoff)(r->backoff > 0 ? r->backoff : BACKOFF_EXPONENTIAL);
        if (r->backoff > BACKOFF_EXPONENTIAL)
            m->multiplier = 0; /* it does not count, and would be refused if somebody sent the message back */
        if (r->n_delays > 0 && (m->delays = make_array(c, r->n_delays)))
            for (size_t i = 0; i < r->n_delays; i++)
                m->delays[m->n_delays++] = duration_of(c, r->delays_us[i]);
    }
    return m;
}

static Joblog__V1__UniqueKey *unique_of(struct conversion *c, const struct unique_key *key)
{
    if (key->key.len == 0)
        return NULL;
    Joblog__V1__UniqueKey *m = make(c, &joblog__v1__unique_key__descriptor);
    if (m) {
        m->key = text_of(c, key->key);
        m->scope = (Joblog__V1__UniqueKey__Scope)key->scope;
        m->period = key->period_us ? duration_of(c, key->period_us) : NULL;
    }
    return m;
}

static Joblog__V1__CancelRequest *cancel_of(struct conversion *c, const struct cancel_request *cancel)
{
    if (cancel->time_us == 0)
        return NULL;
    Joblog__V1__CancelRequest *m = make(c, &joblog__v1__cancel_request__descriptor);
    if (m) {
        m->time = time_of(c, cancel->time_us);
        m->actor = text_of(c, cancel->actor);
        m->reason = text_of(c, cancel->reason);
    }
    return m;
}

Joblog__V1__CancelRequest *convert_cancel_request(struct arena *arena, const struct cancel_request *cancel)
{
    struct conversion c = {arena, false};
    Joblog__V1__CancelRequest *m = cancel_of(&c, cancel);
    return c.failed ? NULL : m;
}

/* A thousand attempts may have failed with 64 KiB of trace each. What is more than this is left out, oldest first, so
 * that a client can take the message; and messages of those are cut. */
enum { ERRORS_MAX_BYTES = 1024 * 1024, OLD_MESSAGE_MAX_BYTES = 500 };

/* The first attempt whose error is sent whole. */
static size_t first_whole_error(const struct job *job)
{
    size_t at = job->n_attempts, bytes = 0;
    for (; at > 0; at--) {
        bytes += job->attempts[at - 1].error.message.len + job->attempts[at - 1].error.stack_trace.len;
        if (bytes > ERRORS_MAX_BYTES)
            break;
    }
    return at;
}

static struct job_error shortened(struct job_error error)
{
    error.stack_trace.len = 0;
    if (error.message.len > OLD_MESSAGE_MAX_BYTES) {
        error.message.len = OLD_MESSAGE_MAX_BYTES;
        while (error.message.len > 0 && ((unsigned char)error.message.data[error.message.len] & 0xc0) == 0x80)
            error.message.len--;
    }
    return error;
}

static void add_attempts(struct conversion *c, Joblog__V1__Job *m, const struct job *job)
{
    size_t whole = first_whole_error(job);
    if (job->n_attempts == 0 || !(m->attempts = make_array(c, job->n_attempts)))
        return;
    for (size_t i = 0; i < job->n_attempts; i++) {
        const struct attempt *a = &job->attempts[i];
        struct job_error error = i < whole ? shortened(a->error) : a->error;
        Joblog__V1__Attempt *entry = make(c, &joblog__v1__attempt__descriptor);
        if (!entry)
            return;
        entry->number = a->number;
        entry->worker = text_of(c, a->worker);
        entry->start_time = time_of(c, a->start_us);
        entry->end_time = time_of(c, a->end_us);
        entry->outcome = (Joblog__V1__Attempt__Outcome)a->outcome;
        entry->error = error_of(c, &error, true);
        m->attempts[m->n_attempts++] = entry;
    }
}

static void add_transitions(struct conversion *c, Joblog__V1__Job *m, const struct job *job)
{
    if (job->n_transitions == 0 || !(m->transitions = make_array(c, job->n_transitions)))
        return;
    for (size_t i = 0; i < job->n_transitions; i++) {
        const struct transition *t = &job->transitions[i];
        Joblog__V1__Transition *entry = make(c, &joblog__v1__transition__descriptor);
        if (!entry)
            return;
        entry->revision = t->revision;
        entry->from_status = (Joblog__V1__JobStatus)t->from;
        entry->to_status = (Joblog__V1__JobStatus)t->to;
        entry->time = time_of(c, t->time_us);
        entry->actor = text_of(c, t->actor);
        entry->reason = text_of(c, t->reason);
        entry->request_id = text_of(c, t->request_id);
        m->transitions[m->n_transitions++] = entry;
    }
}

static void add_times(struct conversion *c, Joblog__V1__Job *m, const struct job *job, int64_t now_us)
{
    int64_t create_us = id_time_us(job->id);
    m->create_time = time_of(c, create_us);
    m->run_time = time_of(c, job->run_us);
    m->start_time = time_of(c, job->start_us);
    m->end_time = time_of(c, job->end_us);
    int64_t able_us = job->run_us > create_us ? job->run_us : create_us;
    /* A job that waits for its next attempt has a run time after its last start: neither duration is known then. */
    if (job->start_us == 0 || (job->run_us > job->start_us && !(job->status == JOB_RUNNING)))
        return;
    /* The id knows milliseconds only, so a start within the same one may seem to lie before it. */
    m->wait_duration = duration_of(c, job->start_us > able_us ? job->start_us - able_us : 0);
    int64_t end_us = job->status == JOB_RUNNING ? now_us : job->end_us;
    if (end_us != 0)
        m->execution_duration = duration_of(c, end_us > job->start_us ? end_us - job->start_us : 0);
}

/* Given back or put off, or before the last retry by somebody. */
static int32_t uncounted_attempts(const struct job *job)
{
    int32_t n = job->attempt - (job->retry.max_attempts - job->attempts_left);
    return n > 0 ? n : 0;
}

Joblog__V1__Job *convert_job(struct arena *arena, const struct job *job, enum job_view view, int64_t now_us)
{
    struct conversion conversion = {arena, false}, *c = &conversion;
    Joblog__V1__Job *m = make(c, &joblog__v1__job__descriptor);
    if (!m)
        return NULL;
    m->id = job->id;
    m->job_name = text_of(c, job->name);
    m->queue = text_of(c, job->queue);
    m->status = (Joblog__V1__JobStatus)job->status;
    m->priority = job->priority;
    m->source = source_of(c, job);
    m->owner = text_of(c, job->owner);
    add_labels(c, m, job);
    m->progress = progress_of(c, &job->progress);
    m->error = error_of(c, &job->error, view != VIEW_BASIC);
    m->attempt = job->attempt;
    m->uncounted_attempts = uncounted_attempts(job);
    m->retry_policy = retry_of(c, &job->retry);
    m->unique_key = unique_of(c, &job->unique);
    m->start_timeout = job->start_timeout_us ? duration_of(c, job->start_timeout_us) : NULL;
    m->run_timeout = job->run_timeout_us ? duration_of(c, job->run_timeout_us) : NULL;
    m->heartbeat_timeout = job->heartbeat_timeout_us ? duration_of(c, job->heartbeat_timeout_us) : NULL;
    add_times(c, m, job, now_us);
    m->request_id = text_of(c, job->request_id);
    m->revision = job->revision;
    m->cancel_request = cancel_of(c, &job->cancel);
    if (job->status == JOB_CANCELLED)
        m->cancel_reason = text_of(c, job->cancel.reason);
    m->batch = text_of(c, job->batch);
    m->traceparent = text_of(c, job->traceparent);
    m->creator = text_of(c, job->creator);
    m->worker = text_of(c, job->worker);
    if (view != VIEW_BASIC) {
        m->payload = text_of(c, job->payload);
        m->result = text_of(c, job->result);
    }
    if (view == VIEW_FULL) {
        add_attempts(c, m, job);
        add_transitions(c, m, job);
    }
    return c->failed ? NULL : m;
}

struct crpc_frame *convert_snapshot_frame(struct job_snapshot *snapshot)
{
    struct crpc_frame *frame = atomic_load(&snapshot->derived[VIEW_BASIC]);
    if (frame)
        return crpc_frame_ref(frame);
    char room[4096];
    struct arena arena;
    arena_init(&arena, room, sizeof room, 0);
    Joblog__V1__WatchJobResponse message = JOBLOG__V1__WATCH_JOB_RESPONSE__INIT;
    message.job = convert_job(&arena, &snapshot->job, VIEW_BASIC, clock_wall_us());
    frame = message.job ? crpc_frame_encode(&message.base) : NULL;
    arena_done(&arena);
    void *before = NULL;
    if (frame && !atomic_compare_exchange_strong(&snapshot->derived[VIEW_BASIC], &before, frame)) {
        crpc_frame_unref(frame);
        frame = before;
    }
    return frame ? crpc_frame_ref(frame) : NULL;
}
