/* ExportService.WatchExport. On the call's worker; as WatchJob, with the file in the last message.
 *
 *   start: check, watch the hub, ask the store --store--> loaded: the caller's? newer than seen, or final?
 *     | yes: tell                                            | no
 *     v                                                      v
 *   tell: completed? ask the store for the file --store--> found: send --> sent --> next: take what the hub has
 *                                                                            |       <--signal-- wait (nothing there)
 *                                                                            v
 *                                              end with OK after a final state; ABORTED when too slow; UNAVAILABLE when
 *                                              the server goes down
 *
 * The hub is watched before the store is read, so no change falls between; revisions drop what comes twice. */
#include "joblog/v1/export.crpc.h"
#include "rpc/export_common.h"
#include "rpc/watch_one.h"

struct watch_export {
    struct export_load load; /* the job as it was at first, with its payload; then only ids and the file */
    struct watch_one one;
    struct export_request request;
    struct job_snapshot *snapshot; /* being told; NULL: the job as loaded */
    bool final;                    /* the message under way tells a final state */
};

static enum crpc_next watch_export_start(struct crpc_call *call);
static enum crpc_next watch_export_loaded(struct crpc_call *call);
static enum crpc_next watch_export_found(struct crpc_call *call);
static enum crpc_next watch_export_sent(struct crpc_call *call);
static enum crpc_next watch_export_next(struct crpc_call *call);

static const struct crpc_step START = {"start", watch_export_start};
static const struct crpc_step LOADED = {"loaded", watch_export_loaded};
static const struct crpc_step FOUND = {"found", watch_export_found};
static const struct crpc_step SENT = {"sent", watch_export_sent};
static const struct crpc_step NEXT = {"next", watch_export_next};

static enum crpc_next watch_export_start(struct crpc_call *call)
{
    struct watch_export *w = crpc_call_state(call);
    const Joblog__V1__WatchExportRequest *request = joblog_v1_export_service_watch_export_request(call);
    struct err err = ERR_NONE;
    if (export_load_check(call, &w->load, request->id, &err) != 0 ||
        watch_one_begin(call, &w->one, w->load.id, request->after_revision, &err) != 0)
        return crpc_finish(call, &err);
    return export_load_job(call, &w->load, &LOADED);
}

/* A message with the job as it is in load or in the snapshot; a completed one with its file. */
static enum crpc_next watch_export_tell(struct crpc_call *call, const struct job *job)
{
    struct watch_export *w = crpc_call_state(call);
    w->one.revision = job->revision;
    w->final = job_status_is_final(job->status);
    w->load.get.job.status = job->status;
    return export_load_file(call, &w->load, &FOUND);
}

static enum crpc_next watch_export_loaded(struct crpc_call *call)
{
    struct watch_export *w = crpc_call_state(call);
    const struct job *job = &w->load.get.job;
    struct err err = ERR_NONE;
    if (export_load_owned(&w->load, &err) != 0)
        return crpc_finish(call, &err);
    w->request = export_request_of(crpc_call_arena(call), job);
    if (job->revision > w->one.revision || job_status_is_final(job->status))
        return watch_export_tell(call, job);
    return crpc_goto(call, &NEXT);
}

static enum crpc_next watch_export_found(struct crpc_call *call)
{
    struct watch_export *w = crpc_call_state(call);
    Joblog__V1__WatchExportResponse response = JOBLOG__V1__WATCH_EXPORT_RESPONSE__INIT;
    struct arena arena;
    char room[4096];
    if (w->load.files.ask.err.code != ERR_OK)
        return crpc_finish(call, &w->load.files.ask.err);
    arena_init(&arena, room, sizeof room, 0);
    response.export =
        convert_export(&arena, service_of(call)->exports, w->snapshot ? &w->snapshot->job : &w->load.get.job,
                       &w->request, export_load_found(&w->load));
    enum crpc_next next =
        response.export ? joblog_v1_export_service_watch_export_send(call, &response, &SENT) : service_no_memory(call);
    arena_done(&arena);
    job_snapshot_unref(w->snapshot);
    w->snapshot = NULL;
    return next;
}

static enum crpc_next watch_export_sent(struct crpc_call *call)
{
    struct watch_export *w = crpc_call_state(call);
    if (!crpc_call_sent(call) || w->final)
        return crpc_finish(call, NULL);
    return crpc_goto(call, &NEXT);
}

static enum crpc_next watch_export_next(struct crpc_call *call)
{
    struct watch_export *w = crpc_call_state(call);
    enum crpc_next next = watch_one_next(call, &w->one, &NEXT, &w->snapshot);
    return w->snapshot ? watch_export_tell(call, &w->snapshot->job) : next;
}

static void watch_export_done(struct crpc_call *call)
{
    struct watch_export *w = crpc_call_state(call);
    watch_one_done(call, &w->one);
    job_snapshot_unref(w->snapshot);
}

const struct crpc_handler watch_export_handler = {
    .first = &START, .state_size = sizeof(struct watch_export), .done = watch_export_done};
