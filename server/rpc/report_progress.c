/* WorkerService.ReportProgress. On the call's worker.
 *
 *   start: check, ask the store --store--> taken: reply, with a cancel request if there is one --> end */
#include "joblog/v1/worker.crpc.h"
#include "rpc/check.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

struct report_progress {
    struct crpc_event stored;
    struct store_progress progress;
};

static enum crpc_next report_progress_start(struct crpc_call *call);
static enum crpc_next report_progress_taken(struct crpc_call *call);

static const struct crpc_step START = {"start", report_progress_start};
static const struct crpc_step TAKEN = {"taken", report_progress_taken};

static enum crpc_next report_progress_start(struct crpc_call *call)
{
    struct report_progress *r = crpc_call_state(call);
    const Joblog__V1__ReportProgressRequest *request = joblog_v1_worker_service_report_progress_request(call);
    struct progress_write write;
    struct err err = ERR_NONE;
    if (check_id(request->job_id, "job_id", &err) != 0 ||
        check_progress(request->progress, "progress.", &write, &err) != 0)
        return crpc_finish(call, &err);
    r->progress = (struct store_progress){.cmd = {.op = STORE_PROGRESS},
                                          .job_id = request->job_id,
                                          .token = request->lease_token,
                                          .scope = &caller_of(call)->scope,
                                          .has_progress = write.has_progress,
                                          .progress = write.progress,
                                          .payload_patch = write.payload_patch,
                                          .arena = crpc_call_arena(call)};
    return service_submit(call, &r->progress.cmd, &r->stored, &TAKEN);
}

static enum crpc_next report_progress_taken(struct crpc_call *call)
{
    struct report_progress *r = crpc_call_state(call);
    Joblog__V1__ReportProgressResponse response = JOBLOG__V1__REPORT_PROGRESS_RESPONSE__INIT;
    if (r->progress.cmd.err.code != ERR_OK)
        return crpc_finish(call, &r->progress.cmd.err);
    if (r->progress.cancel.time_us != 0 &&
        !(response.cancel_request = convert_cancel_request(crpc_call_arena(call), &r->progress.cancel)))
        return service_no_memory(call);
    return joblog_v1_worker_service_report_progress_reply(call, &response);
}

const struct crpc_handler report_progress_handler = {
    .first = &START, .state_size = sizeof(struct report_progress), .ignores_cancel = true};
