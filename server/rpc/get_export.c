/* ExportService.GetExport. On the call's worker.
 *
 *   start: check, ask the store --store--> loaded: the caller's? --store--> file found --reply--> end */
#include "joblog/v1/export.crpc.h"
#include "rpc/export_common.h"

static enum crpc_next get_export_start(struct crpc_call *call);
static enum crpc_next get_export_loaded(struct crpc_call *call);
static enum crpc_next get_export_found(struct crpc_call *call);

static const struct crpc_step START = {"start", get_export_start};
static const struct crpc_step LOADED = {"loaded", get_export_loaded};
static const struct crpc_step FOUND = {"found", get_export_found};

static enum crpc_next get_export_start(struct crpc_call *call)
{
    struct export_load *load = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (export_load_check(call, load, joblog_v1_export_service_get_export_request(call)->id, &err) != 0)
        return crpc_finish(call, &err);
    return export_load_job(call, load, &LOADED);
}

static enum crpc_next get_export_loaded(struct crpc_call *call)
{
    struct export_load *load = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (export_load_owned(load, &err) != 0)
        return crpc_finish(call, &err);
    return export_load_file(call, load, &FOUND);
}

static enum crpc_next get_export_found(struct crpc_call *call)
{
    struct export_load *load = crpc_call_state(call);
    if (load->files.ask.err.code != ERR_OK)
        return crpc_finish(call, &load->files.ask.err);
    Joblog__V1__Export *message = export_load_message(call, load);
    return message ? joblog_v1_export_service_get_export_reply(call, message) : service_no_memory(call);
}

const struct crpc_handler get_export_handler = {
    .first = &START, .state_size = sizeof(struct export_load), .ignores_cancel = true};
