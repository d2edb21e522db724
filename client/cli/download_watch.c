/* See download_watch.h. Its thread reads the watch and tells the meter; it must not write to the terminal, nor say what
 * went wrong: the download is what counts, and finds out by itself. */
#include "download_watch.h"

#include "heap.h"

#include <pthread.h>
#include <stdlib.h>

struct download_watch {
    struct meter *meter;
    struct joblog_watch *watch;
    pthread_t thread;
};

static void tell(struct meter *meter, const struct joblog_job *job)
{
    struct meter_making making = {
        .waiting = job->status == JOBLOG_PENDING, .percent = job->percent, .finish_us = job->eta_us};
    int counted = job->attempt - job->uncounted_attempts;
    if (making.waiting && counted > 0)
        snprintf(making.text, sizeof(making.text), "attempt %d of %d failed, waiting for the next one", counted,
                 job->max_attempts);
    else
        snprintf(making.text, sizeof(making.text), "%s", making.waiting ? "waiting in the queue" : job->step);
    meter_set_making(meter, &making);
}

static void *watch_run(void *user)
{
    struct download_watch *w = user;
    struct joblog_error error;
    const struct joblog_job *job;
    int next;
    while ((next = joblog_watch_next(w->watch, &job, &error)) > 0)
        if (!joblog_status_is_final(job->status))
            tell(w->meter, job);
    meter_set_total(w->meter, next == 0 ? joblog_watch_file_size(w->watch) : 0);
    return NULL;
}

struct download_watch *download_watch_start(struct joblog_client *client, const struct joblog_export *export_,
                                            struct meter *meter)
{
    if (joblog_status_is_final(export_->job.status))
        return NULL;
    struct joblog_watch *watch = joblog_watch_export(client, export_->job.id, 0, NULL);
    if (!watch)
        return NULL;
    struct download_watch *w = heap_new(1, sizeof(*w));
    w->meter = meter;
    w->watch = watch;
    tell(meter, &export_->job);
    if (pthread_create(&w->thread, NULL, watch_run, w) == 0)
        return w;
    meter_set_total(meter, 0);
    joblog_watch_free(watch);
    free(w);
    return NULL;
}

void download_watch_stop(struct download_watch *w)
{
    if (!w)
        return;
    joblog_watch_cancel(w->watch);
    pthread_join(w->thread, NULL);
    joblog_watch_free(w->watch);
    free(w);
}
