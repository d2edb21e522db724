/* WorkerService.WriteJobLog. On the call's worker.
 *
 *   start: check, ask the store --store--> kept: reply, with a cancel request if there is one --> end */
#include "joblog/v1/worker.crpc.h"
#include "rpc/check.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

struct write_job_log {
    struct crpc_event stored;
    struct store_log_write write;
};

static enum crpc_next write_job_log_start(struct crpc_call *call);
static enum crpc_next write_job_log_kept(struct crpc_call *call);

static const struct crpc_step START = {"start", write_job_log_start};
static const struct crpc_step KEPT = {"kept", write_job_log_kept};

static enum crpc_next write_job_log_start(struct crpc_call *call)
{
    struct write_job_log *w = crpc_call_state(call);
    const Joblog__V1__WriteJobLogRequest *request = joblog_v1_worker_service_write_job_log_request(call);
    struct arena *arena = crpc_call_arena(call);
    struct err err = ERR_NONE;
    size_t n = request->log ? request->log->n_lines : 0;
    if (check_id(request->job_id, "job_id", &err) != 0 || check_log(request->log, "log.", &err) != 0)
        return crpc_finish(call, &err);
    struct log_line *lines = arena_alloc(arena, n * sizeof *lines);
    if (!lines)
        return service_no_memory(call);
    for (size_t i = 0; i < n; i++)
        lines[i] = check_log_line(request->log->lines[i]);
    w->write = (struct store_log_write){.cmd = {.op = STORE_LOG_WRITE},
                                        .job_id = request->job_id,
                                        .token = request->lease_token,
                                        .scope = &caller_of(call)->scope,
                                        .lines = lines,
                                        .n_lines = n,
                                        .arena = arena};
    return service_submit(call, &w->write.cmd, &w->stored, &KEPT);
}

static enum crpc_next write_job_log_kept(struct crpc_call *call)
{
    struct write_job_log *w = crpc_call_state(call);
    Joblog__V1__WriteJobLogResponse response = JOBLOG__V1__WRITE_JOB_LOG_RESPONSE__INIT;
    if (w->write.cmd.err.code != ERR_OK)
        return crpc_finish(call, &w->write.cmd.err);
    if (w->write.cancel.time_us != 0 &&
        !(response.cancel_request = convert_cancel_request(crpc_call_arena(call), &w->write.cancel)))
        return service_no_memory(call);
    return joblog_v1_worker_service_write_job_log_reply(call, &response);
}

const struct crpc_handler write_job_log_handler = {
    .first = &START, .state_size = sizeof(struct write_job_log), .ignores_cancel = true};
