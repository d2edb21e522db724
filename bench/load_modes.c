/* The loads with a worker: full life, steady state, progress; and those of watchers: fan-out, idle watches. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "load.h"

enum { CREDIT = 4000 };

/* ---- the full life of a job: a backlog of --jobs, run until it is empty or the time is over ---- */

int load_life(const struct load *load)
{
    struct crpc_channel *channel = load_channel(load);
    struct work w = {.queue = "bench-life", .credit = CREDIT, .complete_all = true};
    bulk_dispatch(load, w.queue, load->jobs, 0, NULL);
    int64_t began = clock_mono_us(), until = began + load->seconds * 1000000LL;
    work_open(&w, load, channel);
    while (w.n_completed < load->jobs && clock_mono_us() < until)
        crpc_loop_run(w.loop, 100);
    printf("figure %slife %.0f jobs/s\n", load->prefix,
           (double)w.n_completed * 1e6 / (double)(clock_mono_us() - began));
    work_close(&w);
    crpc_channel_free(channel);
    return 0;
}

/* ---- steady state: unary dispatches, --in-flight of them, and a worker, at once ---- */

struct steady {
    const struct load *load;
    struct crpc_channel *channel;
    struct crpc_loop *loop;
    Joblog__V1__DispatchJobRequest request;
    Joblog__V1__JobSpec spec;
    int64_t began_us, until_us;
    struct samples first, last; /* of the first and the last fifth of the time */
};

struct steady_call {
    struct steady *steady;
    int64_t start_us;
};

static void steady_start(struct steady_call *call);

static void steady_done(void *user, const ProtobufCMessage *response, const struct err *status)
{
    struct steady_call *call = user;
    struct steady *s = call->steady;
    int64_t now = clock_mono_us(), fifth = (s->until_us - s->began_us) / 5;
    if (!response)
        load_fail("DispatchJob", status);
    if (now < s->began_us + fifth)
        samples_add(&s->first, now - call->start_us);
    else if (now > s->until_us - fifth)
        samples_add(&s->last, now - call->start_us);
    if (now < s->until_us)
        steady_start(call);
}

static void steady_start(struct steady_call *call)
{
    struct steady *s = call->steady;
    struct err err = ERR_NONE;
    call->start_us = clock_mono_us();
    if (joblog_v1_job_log_service_dispatch_job_start(s->channel, s->loop, NULL, &s->request, steady_done, call, &err) <
        0)
        load_fail("DispatchJob", &err);
}

static void *steady_dispatch(void *arg)
{
    struct steady *s = arg;
    struct steady_call *calls = calloc((size_t)s->load->in_flight, sizeof *calls);
    for (int i = 0; i < s->load->in_flight; i++) {
        calls[i].steady = s;
        steady_start(&calls[i]);
    }
    while (crpc_loop_run(s->loop, -1) > 0) {
    }
    free(calls);
    return NULL;
}

/* From the dispatch, whose time is the job's id's, to the lease: a millisecond coarse. */
static void steady_lease(struct work *w, const Joblog__V1__Lease *lease)
{
    const Google__Protobuf__Timestamp *t = lease->job->create_time;
    samples_add(w->user, clock_wall_us() - t->seconds * 1000000 - t->nanos / 1000);
}

int load_steady(const struct load *load)
{
    struct samples waits = {0};
    struct work w = {
        .queue = "bench-steady", .credit = CREDIT, .complete_all = true, .on_lease = steady_lease, .user = &waits};
    struct steady s = {.load = load, .channel = load_channel(load), .loop = crpc_loop_new()};
    struct crpc_channel *channel = load_channel(load);
    pthread_t thread;
    joblog__v1__dispatch_job_request__init(&s.request);
    joblog__v1__job_spec__init(&s.spec);
    s.spec.job_name = (char *)"bench.noop";
    s.spec.queue = (char *)w.queue;
    s.spec.payload = (char *)"{\"n\":12345}";
    s.request.job = &s.spec;
    work_open(&w, load, channel);
    s.began_us = clock_mono_us();
    s.until_us = s.began_us + load->seconds * 1000000LL;
    pthread_create(&thread, NULL, steady_dispatch, &s);
    while (clock_mono_us() < s.until_us)
        crpc_loop_run(w.loop, 100);
    printf("figure %ssteady %.0f jobs/s\n", load->prefix, (double)w.n_completed / load->seconds);
    pthread_join(thread, NULL);
    printf("figure %ssteady_dispatch_p99_first %.3f ms\n", load->prefix, samples_ms(&s.first, 0.99));
    printf("figure %ssteady_dispatch_p99_last %.3f ms\n", load->prefix, samples_ms(&s.last, 0.99));
    printf("figure %ssteady_claim_p99 %.3f ms\n", load->prefix, samples_ms(&waits, 0.99));
    work_close(&w);
    crpc_channel_free(channel);
    crpc_loop_free(s.loop);
    crpc_channel_free(s.channel);
    samples_done(&s.first);
    samples_done(&s.last);
    samples_done(&waits);
    return 0;
}

/* ---- watches on a thread of their own ---- */

enum { PER_CHANNEL = 1000 };

struct watches {
    const struct load *load;
    const char *queue; /* WatchJobs of it; NULL: each of an owner of its own */
    int n;
    atomic_bool stop;
    atomic_llong n_messages;
    atomic_int n_ready; /* snapshots seen to their end */
    struct samples delays;
    bool sample;
};

static void watch_message(struct crpc_async *stream, const ProtobufCMessage *msg)
{
    struct watches *w = crpc_async_user(stream);
    const Joblog__V1__WatchJobsResponse *m = joblog_v1_job_log_service_watch_jobs_message(msg);
    if (m->event_case == JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_SNAPSHOT_END)
        atomic_fetch_add(&w->n_ready, 1);
    if (m->event_case != JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_JOB)
        return;
    atomic_fetch_add_explicit(&w->n_messages, 1, memory_order_relaxed);
    if (w->sample && m->job->progress && m->job->progress->done > 0)
        samples_add(&w->delays, clock_wall_us() - m->job->progress->done);
}

static void watch_end(struct crpc_async *stream, const struct err *status, const struct crpc_metadata_list *trailing)
{
    (void)stream;
    (void)trailing;
    if (status->code != ERR_CANCELLED)
        load_fail("WatchJobs", status);
}

static void *watches_run(void *arg)
{
    static const struct crpc_async_events events = {.on_message = watch_message, .on_end = watch_end};
    struct watches *w = arg;
    struct crpc_channel **channels = calloc((size_t)w->n / PER_CHANNEL + 1, sizeof(struct crpc_channel *));
    struct crpc_loop *loop = crpc_loop_new();
    struct crpc_async **streams = calloc((size_t)w->n, sizeof(struct crpc_async *));
    Joblog__V1__WatchJobsRequest request = JOBLOG__V1__WATCH_JOBS_REQUEST__INIT;
    Joblog__V1__JobFilter filter = JOBLOG__V1__JOB_FILTER__INIT;
    char owner[32];
    filter.queues = (char **)&w->queue;
    filter.n_queues = w->queue != NULL;
    request.filter = &filter;
    for (int i = 0; i < w->n; i++) {
        struct crpc_channel **channel = &channels[i / PER_CHANNEL];
        if (!w->queue) {
            snprintf(owner, sizeof owner, "bench-idle-%d", i);
            filter.owner = owner;
        }
        if (!*channel)
            *channel = load_channel(w->load);
        streams[i] = joblog_v1_job_log_service_watch_jobs_start(*channel, loop, NULL, &request, &events, w, NULL);
    }
    while (!atomic_load(&w->stop))
        crpc_loop_run(loop, 50);
    for (int i = 0; i < w->n; i++)
        crpc_async_cancel(streams[i]);
    while (crpc_loop_run(loop, 1000) > 0) {
    }
    free(streams);
    crpc_loop_free(loop);
    for (int i = 0; i <= w->n / PER_CHANNEL; i++)
        crpc_channel_free(channels[i]);
    free(channels);
    return NULL;
}

static void watches_begin(struct watches *w, pthread_t *thread)
{
    pthread_create(thread, NULL, watches_run, w);
    while (atomic_load(&w->n_ready) < w->n)
        sched_yield();
}

/* ---- progress: one worker's stream reports without pause on HELD jobs ---- */

enum { HELD = 100, WINDOW = 8 };

struct reports {
    struct work work;
    int under_way; /* messages whose last report is not answered */
    int64_t n_answered;
    int64_t every_us; /* a message of HELD reports as often; 0: as often as it goes */
    int64_t next_us;
};

static void report_result(struct work *w, const Joblog__V1__WriteResult *result)
{
    struct reports *r = w->user;
    (void)result;
    r->under_way--;
    r->n_answered += HELD;
}

/* One message: a report for each job, with the time as its number of units; the last one is answered. */
static void report_all(struct reports *r)
{
    static Joblog__V1__WorkerWrite writes[HELD];
    static Joblog__V1__ProgressWrite progress[HELD];
    static Joblog__V1__Progress values[HELD];
    Joblog__V1__WorkerWrite *list[HELD];
    Joblog__V1__WorkRequest request = JOBLOG__V1__WORK_REQUEST__INIT;
    for (int i = 0; i < HELD; i++) {
        joblog__v1__worker_write__init(&writes[i]);
        joblog__v1__progress_write__init(&progress[i]);
        joblog__v1__progress__init(&values[i]);
        values[i].done = clock_wall_us();
        values[i].step = (char *)"reading";
        progress[i].progress = &values[i];
        writes[i].write_id = i == HELD - 1;
        writes[i].job_id = r->work.held[i].id;
        writes[i].lease_token = r->work.held[i].token;
        writes[i].progress = &progress[i];
        writes[i].write_case = JOBLOG__V1__WORKER_WRITE__WRITE_PROGRESS;
        list[i] = &writes[i];
    }
    request.writes = list;
    request.n_writes = HELD;
    if (joblog_v1_worker_service_work_push(r->work.stream, &request, NULL) == 0)
        r->under_way++;
}

static void reports_run(struct reports *r, int64_t until_us)
{
    while (clock_mono_us() < until_us) {
        bool due = r->every_us == 0 || clock_mono_us() >= r->next_us;
        if (due && r->under_way < WINDOW && crpc_async_writable(r->work.stream)) {
            report_all(r);
            r->next_us += r->every_us;
            crpc_loop_run(r->work.loop, 0);
        } else {
            crpc_loop_run(r->work.loop, 1);
        }
    }
}

static void reports_open(struct reports *r, const struct load *load, struct crpc_channel *channel, const char *queue)
{
    r->work = (struct work){.queue = queue, .credit = HELD, .on_result = report_result, .user = r};
    bulk_dispatch(load, queue, HELD, 0, NULL);
    work_open(&r->work, load, channel);
    while (r->work.n_held < HELD)
        crpc_loop_run(r->work.loop, -1);
}

int load_progress(const struct load *load)
{
    struct crpc_channel *channel = load_channel(load);
    struct watches watches = {.load = load, .queue = "bench-progress", .n = 1, .sample = true};
    struct reports r = {0};
    pthread_t thread;
    reports_open(&r, load, channel, watches.queue);
    int64_t began = clock_mono_us();
    reports_run(&r, began + load->seconds * 1000000LL);
    printf("figure %sprogress %.0f reports/s\n", load->prefix,
           (double)r.n_answered * 1e6 / (double)(clock_mono_us() - began));
    /* Then 10 000 reports a second, with a watcher. */
    watches_begin(&watches, &thread);
    r.every_us = 10000;
    r.next_us = clock_mono_us();
    reports_run(&r, clock_mono_us() + load->seconds * 1000000LL);
    atomic_store(&watches.stop, true);
    pthread_join(thread, NULL);
    printf("figure %sprogress_seen_p99 %.3f ms\n", load->prefix, samples_ms(&watches.delays, 0.99));
    samples_done(&watches.delays);
    work_close(&r.work);
    crpc_channel_free(channel);
    return 0;
}

/* ---- fan-out: --streams watchers of one queue in which 100 jobs report without pause ---- */

int load_fanout(const struct load *load)
{
    struct crpc_channel *channel = load_channel(load);
    struct watches watches = {.load = load, .queue = "bench-fanout", .n = load->streams};
    struct reports r = {0};
    pthread_t thread;
    reports_open(&r, load, channel, watches.queue);
    watches_begin(&watches, &thread);
    r.every_us = 20000; /* 5000 reports a second: conflated when watchers fall behind */
    r.next_us = clock_mono_us();
    int64_t began = clock_mono_us(), before = atomic_load(&watches.n_messages);
    reports_run(&r, began + load->seconds * 1000000LL);
    printf("figure %sfanout %.0f messages/s\n", load->prefix,
           (double)(atomic_load(&watches.n_messages) - before) * 1e6 / (double)(clock_mono_us() - began));
    atomic_store(&watches.stop, true);
    pthread_join(thread, NULL);
    work_close(&r.work);
    crpc_channel_free(channel);
    return 0;
}

/* ---- idle watches: opens --streams, of one queue or with --owners each of an owner of its own, says "ready", holds
 * them until its input ends ---- */

int load_idle(const struct load *load)
{
    struct watches watches = {.load = load, .queue = load->owners ? NULL : "bench-idle", .n = load->streams};
    pthread_t thread;
    watches_begin(&watches, &thread);
    printf("ready\n");
    fflush(stdout);
    while (getchar() != EOF) {
    }
    atomic_store(&watches.stop, true);
    pthread_join(thread, NULL);
    return 0;
}
