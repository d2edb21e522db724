/* Watchers of the model check, each on a thread of its own: of one job after the other (WatchJob), resumed after the
 * last revision seen, and of many (WatchJobs), resumed at the last resume point. They only note what they see. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "clients.h"

enum { WATCH_MS = 20000, SETTLED_US = 5000000, POINT_MAX = 256 };

static void note_event(struct actor *actor, const Joblog__V1__Job *job)
{
    struct event_fact *event = list_add(&actor->facts.events);
    *event = (struct event_fact){.id = job->id, .revision = job->revision, .status = (int)job->status};
    actor->facts.streams.at[actor->facts.streams.n - 1].n++;
}

static struct stream_fact *stream_new(struct actor *actor, int64_t one_job, enum watch_begin begin)
{
    struct stream_fact *stream = list_add(&actor->facts.streams);
    *stream = (struct stream_fact){.first = actor->facts.events.n, .begin = begin, .one_job = one_job};
    return stream;
}

/* ---- of one job ---- */

/* One stream. True: it has ended well. */
static bool watch_one(struct actor *actor, int64_t id, int64_t *revision, struct err *ret_err)
{
    static const struct crpc_call_options options = {.timeout_ms = WATCH_MS};
    Joblog__V1__WatchJobRequest request = JOBLOG__V1__WATCH_JOB_REQUEST__INIT;
    Joblog__V1__WatchJobResponse *m = NULL;
    int rc = -1;
    request.id = id;
    request.after_revision = *revision;
    stream_new(actor, id, *revision > 0 ? BEGIN_AFTER_REVISION : BEGIN_NOWHERE);
    *ret_err = ERR_NONE;
    struct crpc_stream *stream =
        joblog_v1_job_log_service_watch_job_open(actor_channel(actor), &options, &request, ret_err);
    while (stream && (rc = joblog_v1_job_log_service_watch_job_read(stream, &m, ret_err)) == 1) {
        note_event(actor, m->job);
        *revision = m->job->revision;
        crpc_message_free(&m->base);
        if (chance_percent(&actor->chance, 10)) {
            if (chance_percent(&actor->chance, 20))
                crpc_stream_cancel(stream);
            pause_ms(chance_below(&actor->chance, 40));
        }
    }
    crpc_stream_free(stream);
    actor->facts.streams.at[actor->facts.streams.n - 1].ended_ok = rc == 0;
    return rc == 0;
}

/* A watch that says nothing of a job that has ended. */
static void check_was_told(struct actor *actor, int64_t id)
{
    Joblog__V1__GetJobRequest request = JOBLOG__V1__GET_JOB_REQUEST__INIT;
    Joblog__V1__Job *job = NULL;
    request.id = id;
    joblog_v1_job_log_service_get_job(actor_channel(actor), &model_call_options, &request, &job, NULL);
    if (job && job->end_time && job->end_time->seconds * 1000000 < clock_wall_us() - SETTLED_US)
        model_complain(actor->model, "%s: job %lld ended and its watcher was not told", actor->name, (long long)id);
    if (job)
        crpc_message_free(&job->base);
}

void *job_watcher_run(void *arg)
{
    struct actor *actor = arg;
    size_t known = 0;
    while (atomic_load(&actor->model->phase) == PHASE_CHAOS) {
        struct err err;
        int64_t revision = 0;
        model_await_known(actor->model, known);
        known = actor->model->n_known; /* whichever: only so that it does not spin */
        int64_t id = model_choose(actor->model, &actor->chance, 8);
        while (id != 0 && atomic_load(&actor->model->phase) < PHASE_OVER && !watch_one(actor, id, &revision, &err)) {
            if (answer_is_definite((int)err.code)) {
                model_complain(actor->model, "%s: the watch of job %lld was refused: %s", actor->name, (long long)id,
                               err.msg);
                break;
            }
            if (err.code == ERR_DEADLINE_EXCEEDED)
                check_was_told(actor, id);
            pause_ms(20);
        }
    }
    return NULL;
}

/* ---- of many ---- */

struct many {
    struct actor *actor;
    struct watch_filter filter;
    char point[POINT_MAX];
    bool sentinel_ended, over;
};

static void take_mark(struct many *many, const char *point, bool is_snapshot_end)
{
    struct facts *facts = &many->actor->facts;
    struct stream_fact *stream = &facts->streams.at[facts->streams.n - 1];
    snprintf(many->point, sizeof many->point, "%s", point);
    if (is_snapshot_end) {
        stream->n_snapshot = stream->n;
        stream->snapshot_us = clock_wall_us();
    } else if (many->sentinel_ended) {
        many->over = true;
    }
}

static void take_event(struct many *many, const Joblog__V1__WatchJobsResponse *m)
{
    switch (m->event_case) {
    case JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_JOB:
        if (call_of_job(m->job) == 0)
            many->sentinel_ended |= m->job->status >= JOBLOG__V1__JOB_STATUS__JOB_STATUS_COMPLETED;
        else
            note_event(many->actor, m->job);
        break;
    case JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_SNAPSHOT_END:
        take_mark(many, m->snapshot_end->resume_point, true);
        break;
    case JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_IDLE:
        take_mark(many, m->idle->resume_point, false);
        break;
    default:
        model_complain(many->actor->model, "%s: an event of no kind", many->actor->name);
    }
}

/* Reads slowly at times, so that things pile up; and lets go at times. */
static void dally(struct actor *actor, struct crpc_stream *stream)
{
    if (atomic_load(&actor->model->phase) != PHASE_CHAOS)
        return;
    int what = chance_below(&actor->chance, 1000);
    if (what < 2)
        pause_ms(chance_below(&actor->chance, 1200));
    else if (what < 5)
        crpc_stream_cancel(stream);
}

static void watch_many(struct many *many, struct err *ret_err)
{
    static const struct crpc_call_options options = {.timeout_ms = WATCH_MS};
    Joblog__V1__WatchJobsRequest request = JOBLOG__V1__WATCH_JOBS_REQUEST__INIT;
    Joblog__V1__WatchJobsResponse *m = NULL;
    struct actor *actor = many->actor;
    request.filter = &many->filter.filter;
    request.resume_point = many->point;
    stream_new(actor, 0, *many->point ? BEGIN_AT_POINT : BEGIN_NOWHERE);
    struct crpc_stream *stream =
        joblog_v1_job_log_service_watch_jobs_open(actor_channel(actor), &options, &request, ret_err);
    while (stream && !many->over && joblog_v1_job_log_service_watch_jobs_read(stream, &m, ret_err) == 1) {
        take_event(many, m);
        crpc_message_free(&m->base);
        dally(actor, stream);
    }
    if (stream)
        crpc_stream_cancel(stream);
    crpc_stream_free(stream);
}

void *jobs_watcher_run(void *arg)
{
    struct many many = {.actor = arg};
    struct model *model = many.actor->model;
    jobs_watcher_filter(many.actor->number, &many.filter);
    while (!many.over && atomic_load(&model->phase) < PHASE_OVER) {
        struct err err = ERR_NONE;
        watch_many(&many, &err);
        if (err.code == ERR_OUT_OF_RANGE)
            many.point[0] = '\0';
        else if (answer_is_definite((int)err.code))
            model_complain(model, "%s: its watch was refused: %s", many.actor->name, err.msg);
        else if (!many.over)
            pause_ms(20);
    }
    if (!many.over)
        model_complain(model, "%s never saw the last job end", many.actor->name);
    return NULL;
}
