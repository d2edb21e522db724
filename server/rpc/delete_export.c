/* ExportService.DeleteExport. On the call's worker.
 *
 *   start: check, load --store--> loaded: the caller's, and ended? delete --export--> deleted: its file as it is now
 * --export--> found --reply--> end */
#include "joblog/v1/export.crpc.h"
#include "rpc/export_common.h"

struct delete_export {
    struct export_load load;
    struct export_ask_delete ask;
};

static enum crpc_next delete_export_start(struct crpc_call *call);
static enum crpc_next delete_export_loaded(struct crpc_call *call);
static enum crpc_next delete_export_deleted(struct crpc_call *call);
static enum crpc_next delete_export_found(struct crpc_call *call);

static const struct crpc_step START = {"start", delete_export_start};
static const struct crpc_step LOADED = {"loaded", delete_export_loaded};
static const struct crpc_step DELETED = {"deleted", delete_export_deleted};
static const struct crpc_step FOUND = {"found", delete_export_found};

static enum crpc_next delete_export_start(struct crpc_call *call)
{
    struct delete_export *d = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (export_load_check(call, &d->load, joblog_v1_export_service_delete_export_request(call)->id, &err) != 0)
        return crpc_finish(call, &err);
    return export_load_job(call, &d->load, &LOADED);
}

static enum crpc_next delete_export_loaded(struct crpc_call *call)
{
    struct delete_export *d = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (export_load_owned(&d->load, &err) != 0)
        return crpc_finish(call, &err);
    if (!job_status_is_final(d->load.get.job.status)) {
        err_set(&err, ERR_FAILED_PRECONDITION, "EXPORT_NOT_ENDED", "export %lld is %s: cancel it first",
                (long long)d->load.id, job_status_name((int)d->load.get.job.status));
        return crpc_finish(call, &err);
    }
    d->ask = (struct export_ask_delete){.ask = {.op = EXPORT_ASK_DELETE}, .job_id = d->load.id};
    return export_submit(call, &d->ask.ask, &d->load.stored, &DELETED);
}

static enum crpc_next delete_export_deleted(struct crpc_call *call)
{
    struct delete_export *d = crpc_call_state(call);
    if (d->ask.ask.err.code != ERR_OK)
        return crpc_finish(call, &d->ask.ask.err);
    return export_load_file(call, &d->load, &FOUND);
}

static enum crpc_next delete_export_found(struct crpc_call *call)
{
    struct delete_export *d = crpc_call_state(call);
    if (d->load.files.ask.err.code != ERR_OK)
        return crpc_finish(call, &d->load.files.ask.err);
    Joblog__V1__Export *message = export_load_message(call, &d->load);
    return message ? joblog_v1_export_service_delete_export_reply(call, message) : service_no_memory(call);
}

const struct crpc_handler delete_export_handler = {
    .first = &START, .state_size = sizeof(struct delete_export), .ignores_cancel = true};
