/* JobLogService.GetJob. On the call's worker.
 *
 *   start: check, ask the store --store--> loaded --reply--> end */
#include "base/clock.h"
#include "joblog/v1/job_log.crpc.h"
#include "rpc/check.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

struct get_job {
    struct crpc_event stored;
    struct store_get get;
    enum job_view view;
};

static enum crpc_next get_job_start(struct crpc_call *call);
static enum crpc_next get_job_loaded(struct crpc_call *call);

static const struct crpc_step START = {"start", get_job_start};
static const struct crpc_step LOADED = {"loaded", get_job_loaded};

static enum crpc_next get_job_start(struct crpc_call *call)
{
    struct get_job *g = crpc_call_state(call);
    const Joblog__V1__GetJobRequest *request = joblog_v1_job_log_service_get_job_request(call);
    struct err err = ERR_NONE;
    if (check_id(request->id, "id", &err) != 0 || check_view(request->view, &g->view, &err) != 0)
        return crpc_finish(call, &err);
    g->get = (struct store_get){.cmd = {.op = STORE_GET},
                                .id = request->id,
                                .full = g->view == VIEW_FULL,
                                .scope = &caller_of(call)->scope,
                                .arena = crpc_call_arena(call)};
    return service_submit(call, &g->get.cmd, &g->stored, &LOADED);
}

static enum crpc_next get_job_loaded(struct crpc_call *call)
{
    struct get_job *g = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (caller_check_got(call, &g->get, &err) != 0)
        return crpc_finish(call, &err);
    Joblog__V1__Job *message = convert_job(crpc_call_arena(call), &g->get.job, g->view, clock_wall_us());
    return message ? joblog_v1_job_log_service_get_job_reply(call, message) : service_no_memory(call);
}

const struct crpc_handler get_job_handler = {
    .first = &START, .state_size = sizeof(struct get_job), .ignores_cancel = true};
