/* An export from its start to the file, in one call. Over the calls that are public; on the caller's thread.
 *
 *   hold the place --> start --> on_progress given? watch to its end, then save; else save while it is written
 *         --> not completed: its error or its cancel is what the caller gets */
#include <stdlib.h>

#include "export_priv.h"
#include "joblog/watch.h"

static const struct joblog_export_options silent;

static int start(struct joblog_client *client, const struct joblog_export_spec *spec,
                 const struct joblog_export_options *options, int64_t *ret_id, struct joblog_error *error)
{
    struct joblog_export *export_ = NULL;
    char *message = NULL;
    int rc = joblog_export_start(client, spec, &export_, &message, error);
    if (rc < 0)
        return rc;
    *ret_id = export_->job.id;
    if (options->on_started)
        options->on_started(options->user, export_, message);
    free(message);
    joblog_export_free(export_);
    return 0;
}

/* To its end. A cancel that is refused comes too late: the end says what became of it. */
static int watch(struct joblog_client *client, int64_t id, const struct joblog_export_options *options,
                 struct joblog_error *error)
{
    struct joblog_watch *w = joblog_watch_export(client, id, 0, error);
    const struct joblog_job *job;
    bool stopped = false;
    int rc = w ? 1 : -(int)error->code;
    while (rc == 1 && (rc = joblog_watch_next(w, &job, error)) == 1)
        if (options->on_progress(options->user, job) != 0 && !stopped && !joblog_status_is_final(job->status)) {
            stopped = true;
            (void)joblog_export_cancel(client, id, "stopped by who started it", NULL);
        }
    joblog_watch_free(w);
    return rc;
}

/* Why there is no file. */
static int check_end(const struct joblog_job *job, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    if (job->status == JOBLOG_FAILED)
        err_set(&e, ERR_FAILED_PRECONDITION, "EXPORT_FAILED", "the export failed: %.200s", job->error_message);
    else if (job->status == JOBLOG_STATUS_CANCELLED)
        err_set(&e, ERR_CANCELLED, "EXPORT_CANCELLED", "the export was cancelled");
    return e.code != ERR_OK ? error_give(error, &e) : 0;
}

static int fetch(struct joblog_client *client, int64_t id, struct export_place *place, bool follow,
                 struct joblog_export **ret_export, struct joblog_error *error)
{
    struct joblog_export *now = NULL;
    struct err e = ERR_NONE;
    int rc = 0;
    if (!follow && (rc = joblog_export_get(client, id, &now, error)) == 0)
        rc = check_end(&now->job, error);
    if (rc == 0 && export_save(client, id, place, follow, ret_export, &e) < 0) {
        rc = error_give(error, &e);
        /* Nothing to follow any more? Its record says why. */
        if (follow && (rc == -JOBLOG_FAILED_PRECONDITION || rc == -JOBLOG_ABORTED) &&
            joblog_export_get(client, id, &now, NULL) == 0) {
            int end = check_end(&now->job, error);
            rc = end < 0 ? end : rc;
        }
    }
    joblog_export_free(now);
    return rc;
}

/* The place is held from before the start on: so an export is not started for a file that cannot be written. */
int joblog_export_to_file(struct joblog_client *client, const struct joblog_export_spec *spec, const char *path,
                          const struct joblog_export_options *options, struct joblog_export **ret_export,
                          struct joblog_error *error)
{
    const struct joblog_export_options *o = options ? options : &silent;
    struct joblog_error own;
    struct err e = ERR_NONE;
    struct export_place place;
    int64_t id = 0;
    error = error ? error : &own;
    if (export_place_open(&place, path, &e) < 0)
        return error_give(error, &e);
    int rc = start(client, spec, o, &id, error);
    if (rc == 0 && o->on_progress)
        rc = watch(client, id, o, error);
    if (rc == 0)
        rc = fetch(client, id, &place, !o->on_progress, ret_export, error);
    export_place_close(&place);
    return rc;
}
