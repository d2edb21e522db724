/* Names of statuses, deep copies and counted snapshots of jobs. Pure but for the heap; any thread. */
#include "core/job.h"

#include "base/alloc.h"

static const char *const status_names[JOB_STATUS_COUNT] = {
    [JOB_PENDING] = "pending", [JOB_RUNNING] = "running",     [JOB_COMPLETED] = "completed",
    [JOB_FAILED] = "failed",   [JOB_CANCELLED] = "cancelled",
};

const char *job_status_name(int status)
{
    return status > 0 && status < JOB_STATUS_COUNT ? status_names[status] : NULL;
}

int job_status_parse(struct span name)
{
    for (int i = 1; i < JOB_STATUS_COUNT; i++) {
        if (span_eq(name, span_str(status_names[i])))
            return i;
    }
    return 0;
}

/* ---- copies: one walk over everything that a job points to, with a visitor for its texts ---- */

struct copier {
    struct arena *arena;
    bool failed;
};

static void copy_span(struct copier *c, struct span *s)
{
    struct span copy;

    if (s->len == 0) {
        *s = (struct span){NULL, 0};
        return;
    }
    copy = arena_span(c->arena, *s);
    if (!copy.data)
        c->failed = true;
    *s = copy;
}

static void *copy_array(struct copier *c, const void *from, size_t n, size_t size)
{
    void *to;

    if (n == 0)
        return NULL;
    to = arena_alloc(c->arena, n * size);
    if (!to) {
        c->failed = true;
        return NULL;
    }
    return memcpy(to, from, n * size);
}

static void copy_error(struct copier *c, struct job_error *e)
{
    copy_span(c, &e->type);
    copy_span(c, &e->message);
    copy_span(c, &e->stack_trace);
}

static const struct label *copy_labels(struct copier *c, const struct label *from, size_t n)
{
    struct label *to = copy_array(c, from, n, sizeof *to);

    for (size_t i = 0; to && i < n; i++) {
        copy_span(c, &to[i].key);
        copy_span(c, &to[i].value);
    }
    return to;
}

static const struct attempt *copy_attempts(struct copier *c, const struct attempt *from, size_t n)
{
    struct attempt *to = copy_array(c, from, n, sizeof *to);

    for (size_t i = 0; to && i < n; i++) {
        copy_span(c, &to[i].worker);
        copy_error(c, &to[i].error);
    }
    return to;
}

static const struct transition *copy_transitions(struct copier *c, const struct transition *from, size_t n)
{
    struct transition *to = copy_array(c, from, n, sizeof *to);

    for (size_t i = 0; to && i < n; i++) {
        copy_span(c, &to[i].actor);
        copy_span(c, &to[i].reason);
        copy_span(c, &to[i].request_id);
    }
    return to;
}

bool job_copy(struct arena *arena, const struct job *from, struct job *ret_job)
{
    struct copier c = {arena, false};
    struct job j = *from;
    struct span *texts[] = {
        &j.name,          &j.queue,       &j.source_type,  &j.source_id,     &j.owner,      &j.creator,
        &j.batch,         &j.traceparent, &j.request_id,   &j.payload,       &j.result,     &j.progress.unit,
        &j.progress.step, &j.worker,      &j.cancel.actor, &j.cancel.reason, &j.unique.key,
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        copy_span(&c, texts[i]);
    copy_error(&c, &j.error);
    j.retry.delays_us = copy_array(&c, from->retry.delays_us, from->retry.n_delays, sizeof *from->retry.delays_us);
    j.labels = copy_labels(&c, from->labels, from->n_labels);
    j.attempts = copy_attempts(&c, from->attempts, from->n_attempts);
    j.transitions = copy_transitions(&c, from->transitions, from->n_transitions);
    if (c.failed)
        return false;
    *ret_job = j;
    return true;
}

/* ---- snapshots ---- */

/* An upper bound of what job_copy takes from the arena for an ordinary job (no attempts, no transitions), so that a
 * snapshot is a single piece of memory. */
static size_t job_text_bytes(const struct job *j)
{
    size_t texts[] = {
        j->name.len,          j->queue.len,      j->source_type.len,   j->source_id.len,         j->owner.len,
        j->creator.len,       j->batch.len,      j->traceparent.len,   j->request_id.len,        j->payload.len,
        j->result.len,        j->worker.len,     j->progress.unit.len, j->progress.step.len,     j->cancel.actor.len,
        j->cancel.reason.len, j->error.type.len, j->error.message.len, j->error.stack_trace.len, j->unique.key.len,
    };
    size_t sum = 16 + j->n_labels * sizeof(struct label) + j->retry.n_delays * sizeof *j->retry.delays_us;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        sum += texts[i] ? (texts[i] + 16) & ~(size_t)15 : 0;
    for (size_t i = 0; i < j->n_labels; i++)
        sum += j->labels[i].key.len + j->labels[i].value.len + 32;
    return sum;
}

struct job_snapshot *job_snapshot_new(const struct job *job)
{
    size_t room = job_text_bytes(job) + 16;
    struct job_snapshot *s = mem_alloc(sizeof *s + room);

    if (!s)
        return NULL;
    memset(s, 0, sizeof *s);
    arena_init(&s->arena, s + 1, room, 0);
    atomic_init(&s->refs, 1);
    if (!job_copy(&s->arena, job, &s->job)) {
        arena_done(&s->arena);
        mem_free(s);
        return NULL;
    }
    return s;
}

struct job_snapshot *job_snapshot_ref(struct job_snapshot *snapshot)
{
    atomic_fetch_add_explicit(&snapshot->refs, 1, memory_order_relaxed);
    return snapshot;
}

void job_snapshot_unref(struct job_snapshot *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < sizeof s->derived / sizeof s->derived[0]; i++) {
        void *derived = atomic_load(&s->derived[i]);
        if (derived && s->derived_free)
            s->derived_free(derived);
    }
    arena_done(&s->arena);
    mem_free(s);
}
