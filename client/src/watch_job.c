/* The watch of one job or of one export, and waiting for its end. Runs on the caller's thread. */
#include "base/alloc.h"
#include "box.h"
#include "convert.h"
#include "deadline.h"
#include "watch_priv.h"

struct watch_one {
    struct joblog_watch watch; /* first: freed through its pointer */
    int64_t id;
    int64_t revision; /* seen */
    bool final;       /* the final state has been given */
};

static struct watch_one *one_of(const struct joblog_watch *watch)
{
    return (struct watch_one *)(void *)watch;
}

static struct crpc_stream *one_open(struct joblog_watch *watch, const struct crpc_call_options *options,
                                    struct err *ret_err)
{
    struct watch_one *one = one_of(watch);
    Joblog__V1__WatchJobRequest request = JOBLOG__V1__WATCH_JOB_REQUEST__INIT;
    request.id = one->id;
    request.after_revision = one->revision;
    request.view = JOBLOG__V1__JOB_VIEW__JOB_VIEW_BASIC;
    return joblog_v1_job_log_service_watch_job_open(watch->client->channel, options, &request, ret_err);
}

static struct crpc_stream *export_open(struct joblog_watch *watch, const struct crpc_call_options *options,
                                       struct err *ret_err)
{
    struct watch_one *one = one_of(watch);
    Joblog__V1__WatchExportRequest request = JOBLOG__V1__WATCH_EXPORT_REQUEST__INIT;
    request.id = one->id;
    request.after_revision = one->revision;
    return joblog_v1_export_service_watch_export_open(watch->client->channel, options, &request, ret_err);
}

/* job: of message, which is taken. */
static enum watch_take take_job(struct watch_one *one, ProtobufCMessage *message, const Joblog__V1__Job *job,
                                struct err *ret_err)
{
    bool final = job && joblog_status_is_final((enum joblog_status)job->status);
    /* A final state is always sent, even to one who has seen it: given once all the same. */
    if (!job || (job->revision <= one->revision && !(final && !one->final))) {
        crpc_message_free(message);
        return WATCH_SKIP;
    }
    int64_t revision = job->revision;
    one->watch.job = convert_job_box(message, job, ret_err);
    if (!one->watch.job)
        return WATCH_FAIL;
    one->revision = revision;
    one->final = final;
    return WATCH_GIVE;
}

static enum watch_take one_take(struct joblog_watch *watch, ProtobufCMessage *message, struct err *ret_err)
{
    return take_job(one_of(watch), message, ((const Joblog__V1__WatchJobResponse *)message)->job, ret_err);
}

static enum watch_take export_take(struct joblog_watch *watch, ProtobufCMessage *message, struct err *ret_err)
{
    const Joblog__V1__Export *export = ((const Joblog__V1__WatchExportResponse *)message)->export;
    watch->file_size = export && export->file ? export->file->size : 0;
    return take_job(one_of(watch), message, export ? export->job : NULL, ret_err);
}

static bool one_is_complete(const struct joblog_watch *watch)
{
    return one_of(watch)->final;
}

static void one_done(struct joblog_watch *watch)
{
    (void)watch;
}

static const struct watch_kind one_kind = {
    .open = one_open, .take = one_take, .is_complete = one_is_complete, .done = one_done};
static const struct watch_kind export_kind = {
    .open = export_open, .take = export_take, .is_complete = one_is_complete, .done = one_done};

static struct joblog_watch *watch_one_new(struct joblog_client *client, const struct watch_kind *kind, int64_t id,
                                          int64_t after_revision, struct err *ret_err)
{
    struct watch_one *one = mem_zalloc(sizeof *one);
    if (!one) {
        error_no_memory(ret_err);
        return NULL;
    }
    if (watch_init(&one->watch, client, kind, ret_err) < 0) {
        mem_free(one);
        return NULL;
    }
    one->id = id;
    one->revision = after_revision;
    return &one->watch;
}

struct joblog_watch *watch_job_new(struct joblog_client *client, int64_t id, int64_t after_revision,
                                   struct err *ret_err)
{
    return watch_one_new(client, &one_kind, id, after_revision, ret_err);
}

struct joblog_watch *joblog_watch_export(struct joblog_client *client, int64_t id, int64_t after_revision,
                                         struct joblog_error *error)
{
    struct err e = ERR_NONE;
    struct joblog_watch *watch = watch_one_new(client, &export_kind, id, after_revision, &e);
    if (!watch)
        error_give(error, &e);
    return watch;
}

struct joblog_watch *joblog_watch_job(struct joblog_client *client, int64_t id, int64_t after_revision,
                                      struct joblog_error *error)
{
    struct err e = ERR_NONE;
    struct joblog_watch *watch = watch_job_new(client, id, after_revision, &e);
    if (!watch)
        error_give(error, &e);
    return watch;
}

int joblog_wait(struct joblog_client *client, int64_t id, int64_t timeout_ms, struct joblog_job **ret_job,
                struct joblog_error *error)
{
    struct err e = ERR_NONE;
    struct joblog_watch *watch = watch_job_new(client, id, 0, &e);
    if (!watch)
        return error_give(error, &e);
    if (timeout_ms > 0)
        watch->deadline_ms = deadline_in_ms(timeout_ms);
    int rc;
    while ((rc = watch_next(watch, &e)) == 1) {
        joblog_job_free(watch->job);
        watch->job = NULL;
    }
    joblog_watch_free(watch);
    return rc < 0 ? error_give(error, &e) : joblog_get(client, id, ret_job, error);
}
