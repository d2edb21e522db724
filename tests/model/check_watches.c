/* What watchers were told, against the histories: each sequence is one that the job's history allows. Progress may be
 * left out, a change of status not; a stream that begins anew may begin in the middle. One thread, when all is over. */
#include <stdlib.h>
#include <string.h>

#include "model.h"

/* Times of one machine, and of a batch's beginning. */
enum { CLOCK_US = 2000000 };

/* How far a watcher is with one job. */
struct known {
    int64_t id, revision;
    int64_t first;   /* number of the first change seen since the watch began anew; 0: none */
    int64_t stream;  /* of the last event */
    bool fresh;      /* made after the watch had begun: every change must be seen */
    int64_t sure_us; /* changes from then on must be seen, whatever was before */
};

struct watcher {
    struct model *model;
    const struct actor *actor;
    const struct histories *h;
    struct known *known; /* of each job, in the order of the histories */
    unsigned statuses;   /* bits; 0: all */
};

static bool is_final(int status)
{
    return status >= JOBLOG__V1__JOB_STATUS__JOB_STATUS_COMPLETED;
}

static int status_at(const Joblog__V1__Job *job, int64_t k)
{
    return k >= 1 && k <= (int64_t)job->n_transitions ? (int)job->transitions[k - 1]->to_status : 0;
}

static void check_truth(const struct watcher *w, const struct event_fact *e, const Joblog__V1__Job *job)
{
    int64_t k = e->revision >> 20;
    if (!job || status_at(job, k) != e->status)
        model_complain(w->model, "%s: job %lld was shown as %d at change %lld, where it was %d", w->actor->name,
                       (long long)e->id, e->status, (long long)k, job ? status_at(job, k) : 0);
}

/* ---- of one job ---- */

static void check_one(const struct watcher *w, const struct stream_fact *s, const struct stream_fact *before)
{
    const Joblog__V1__Job *job = history_of(w->h, s->one_job);
    const struct event_fact *events = &w->actor->facts.events.at[s->first];
    int64_t after = 0;
    if (s->begin == BEGIN_AFTER_REVISION)
        for (; before->one_job == s->one_job && after == 0; before--) {
            if (before->n > 0)
                after = w->actor->facts.events.at[before->first + before->n - 1].revision;
            if (before->begin == BEGIN_NOWHERE)
                break;
        }
    for (size_t i = 0; i < s->n; i++) {
        const struct event_fact *e = &events[i];
        int64_t last = i > 0 ? events[i - 1].revision : after, k = e->revision >> 20;
        check_truth(w, e, job);
        if (e->revision <= last && !(i == 0 && is_final(e->status) && e->revision == last))
            model_complain(w->model, "%s: job %lld: revision %lld after %lld", w->actor->name, (long long)e->id,
                           (long long)e->revision, (long long)last);
        if (i > 0 && (k > (last >> 20) + 1))
            model_complain(w->model, "%s: job %lld: from revision %lld to %lld, a change of status is missing",
                           w->actor->name, (long long)e->id, (long long)last, (long long)e->revision);
        if (is_final(e->status) && i + 1 < s->n)
            model_complain(w->model, "%s: job %lld: more after its final state", w->actor->name, (long long)e->id);
    }
    if (s->ended_ok && (s->n == 0 || !is_final(events[s->n - 1].status)))
        model_complain(w->model, "%s: the watch of job %lld ended with OK before the final state", w->actor->name,
                       (long long)s->one_job);
}

/* ---- of many ---- */

/* Does the filter hold after change k? */
static bool matches(const struct watcher *w, const Joblog__V1__Job *job, int64_t k)
{
    return w->statuses == 0 || w->statuses >> status_at(job, k) & 1;
}

static size_t place_of(const struct watcher *w, int64_t id)
{
    size_t low = 0, high = histories_count(w->h);
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (history_at(w->h, mid)->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Changes of status between two that were seen, which the watcher had to be told of. ceases: also of the first when the
 * filter holds no more after it, since this stream has shown the job before, or it
 * had ended. */
static void check_between(const struct watcher *w, const Joblog__V1__Job *job, int64_t from, int64_t to, bool ceases)
{
    for (int64_t k = from + 1; k < to; k++)
        if (matches(w, job, k) || (k == from + 1 && ceases))
            model_complain(w->model, "%s: job %lld: change %lld to status %d was not shown", w->actor->name,
                           (long long)job->id, (long long)k, status_at(job, k));
}

/* One event; live: after the snapshot, or what stands for it. */
static void check_event(const struct watcher *w, const struct event_fact *e, int64_t stream, bool live)
{
    size_t at = place_of(w, e->id);
    if (at == histories_count(w->h) || history_at(w->h, at)->id != e->id) {
        model_complain(w->model, "%s: job %lld was shown, and is not there", w->actor->name, (long long)e->id);
        return;
    }
    const Joblog__V1__Job *job = history_at(w->h, at);
    struct known *known = &w->known[at];
    int64_t k = e->revision >> 20, last = known->revision >> 20;
    check_truth(w, e, job);
    if (!jobs_watcher_wants(w->actor->number, job))
        model_complain(w->model, "%s: job %lld does not match the filter", w->actor->name, (long long)e->id);
    /* Progress may come twice: when it is told, and once it is stored, to those who came in between. */
    if (live && known->stream == stream && e->revision <= known->revision - (e->revision != k << 20))
        model_complain(w->model, "%s: job %lld: revision %lld after %lld", w->actor->name, (long long)e->id,
                       (long long)e->revision, (long long)known->revision);
    bool ceases = (known->stream == stream || is_final(status_at(job, last))) && last > 0 && matches(w, job, last);
    known->stream = stream;
    if (e->revision <= known->revision)
        return; /* once more, after a cut */
    if (live && !matches(w, job, k) && !(k > 1 && matches(w, job, k - 1)))
        model_complain(w->model, "%s: job %lld: change %lld to status %d was none of its business", w->actor->name,
                       (long long)e->id, (long long)k, e->status);
    if (known->first > 0)
        check_between(w, job, last, k, ceases);
    else
        known->first = k;
    known->revision = e->revision;
}

static int64_t time_us(const Google__Protobuf__Timestamp *time)
{
    return time->seconds * 1000000 + time->nanos / 1000;
}

static int64_t create_us(const Joblog__V1__Job *job)
{
    return time_us(job->create_time);
}

/* The watch begins anew: what it knew says nothing of what comes. */
static void begin_anew(const struct watcher *w, int64_t snapshot_us)
{
    for (size_t i = 0; i < histories_count(w->h); i++)
        w->known[i] = (struct known){.stream = -1,
                                     .fresh = create_us(history_at(w->h, i)) > snapshot_us,
                                     .sure_us = snapshot_us < INT64_MAX ? snapshot_us + CLOCK_US : snapshot_us};
}

/* The number of the last change that the watch may have begun after. */
static int64_t change_before(const Joblog__V1__Job *job, int64_t us)
{
    int64_t k = (int64_t)job->n_transitions;
    while (k > 0 && time_us(job->transitions[k - 1]->time) >= us)
        k--;
    return k;
}

/* When all has been seen: jobs of which the end, the beginning or everything is missing. */
static void check_rest(const struct watcher *w)
{
    for (size_t i = 0; i < histories_count(w->h); i++) {
        const Joblog__V1__Job *job = history_at(w->h, i);
        const struct known *known = &w->known[i];
        int64_t n = (int64_t)job->n_transitions;
        if (call_of_job(job) == 0 || !jobs_watcher_wants(w->actor->number, job))
            continue;
        int64_t from = known->fresh ? 0 : change_before(job, known->sure_us),
                to = known->first > 0 ? known->first : n + 1;
        if (from < to)
            check_between(w, job, from, to, from > 0 && is_final(status_at(job, from)) && matches(w, job, from));
        if (known->first > 0) {
            int64_t last = known->revision >> 20;
            check_between(w, job, last, n + 1, is_final(status_at(job, last)) && matches(w, job, last));
        }
    }
}

static void check_many(struct watcher *w)
{
    const struct facts *facts = &w->actor->facts;
    bool begun = false;
    for (size_t s = 0; s < facts->streams.n; s++) {
        const struct stream_fact *stream = &facts->streams.at[s];
        if (stream->begin == BEGIN_NOWHERE) {
            begun = stream->snapshot_us > 0;
            begin_anew(w, begun ? stream->snapshot_us : INT64_MAX);
        }
        for (size_t i = 0; i < stream->n; i++)
            check_event(w, &facts->events.at[stream->first + i], (int64_t)s,
                        stream->snapshot_us > 0 && i >= stream->n_snapshot);
    }
    if (begun)
        check_rest(w);
    else
        model_complain(w->model, "%s: its last watch never had a snapshot", w->actor->name);
}

void check_watches(struct model *model, const struct model_actors *actors, const struct histories *h)
{
    for (int a = 0; a < JOB_WATCHERS; a++) {
        struct watcher w = {.model = model, .actor = &actors->job_watchers[a], .h = h};
        for (size_t s = 0; s < w.actor->facts.streams.n; s++)
            check_one(&w, &w.actor->facts.streams.at[s], s > 0 ? &w.actor->facts.streams.at[s - 1] : NULL);
    }
    for (int a = 0; a < JOBS_WATCHERS; a++) {
        struct watch_filter filter;
        struct watcher w = {.model = model, .actor = &actors->jobs_watchers[a], .h = h};
        jobs_watcher_filter(a, &filter);
        for (size_t i = 0; i < filter.filter.n_statuses; i++)
            w.statuses |= 1u << filter.filter.statuses[i];
        w.known = calloc(histories_count(h) + 1, sizeof *w.known);
        check_many(&w);
        free(w.known);
    }
}
