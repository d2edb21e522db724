/* ExportService.CancelExport. On the call's worker.
 *
 *   start: check, load --store--> loaded: the caller's? cancel --store--> committed: load --store--> reloaded
 * --reply--> end
 *
 * An export that runs stops within a second; the answer may still show it running, with cancel_request set. */
#include <string.h>

#include "joblog/v1/export.crpc.h"
#include "rpc/check.h"
#include "rpc/export_common.h"

struct cancel_export {
    struct export_load load;
    struct store_cancel cancel;
};

static enum crpc_next cancel_export_start(struct crpc_call *call);
static enum crpc_next cancel_export_loaded(struct crpc_call *call);
static enum crpc_next cancel_export_committed(struct crpc_call *call);
static enum crpc_next cancel_export_reloaded(struct crpc_call *call);

static const struct crpc_step START = {"start", cancel_export_start};
static const struct crpc_step LOADED = {"loaded", cancel_export_loaded};
static const struct crpc_step COMMITTED = {"committed", cancel_export_committed};
static const struct crpc_step RELOADED = {"reloaded", cancel_export_reloaded};

static enum crpc_next cancel_export_start(struct crpc_call *call)
{
    struct cancel_export *c = crpc_call_state(call);
    const Joblog__V1__CancelExportRequest *request = joblog_v1_export_service_cancel_export_request(call);
    struct err err = ERR_NONE;
    if (export_load_check(call, &c->load, request->id, &err) != 0)
        return crpc_finish(call, &err);
    c->cancel =
        (struct store_cancel){.cmd = {.op = STORE_CANCEL}, .job_id = request->id, .actor = c->load.caller->actor};
    if (check_text(request->reason, REASON_MAX_BYTES, "", "reason", &c->cancel.reason, &err) != 0)
        return crpc_finish(call, &err);
    return export_load_job(call, &c->load, &LOADED);
}

static enum crpc_next cancel_export_loaded(struct crpc_call *call)
{
    struct cancel_export *c = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (export_load_owned(&c->load, &err) != 0)
        return crpc_finish(call, &err);
    return service_submit(call, &c->cancel.cmd, &c->load.stored, &COMMITTED);
}

static enum crpc_next cancel_export_committed(struct crpc_call *call)
{
    struct cancel_export *c = crpc_call_state(call);
    struct err *err = &c->cancel.cmd.err;
    if (strcmp(err->reason, "JOB_TRANSITION_REFUSED") == 0)
        err_set(err, ERR_FAILED_PRECONDITION, "JOB_TRANSITION_REFUSED", "export %lld has ended: it cannot be cancelled",
                (long long)c->load.id);
    if (err->code != ERR_OK)
        return crpc_finish(call, err);
    return export_load_job(call, &c->load, &RELOADED);
}

static enum crpc_next cancel_export_reloaded(struct crpc_call *call)
{
    struct cancel_export *c = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (export_load_owned(&c->load, &err) != 0)
        return crpc_finish(call, &err);
    Joblog__V1__Export *message = export_load_message(call, &c->load);
    return message ? joblog_v1_export_service_cancel_export_reply(call, message) : service_no_memory(call);
}

const struct crpc_handler cancel_export_handler = {
    .first = &START, .state_size = sizeof(struct cancel_export), .ignores_cancel = true};
