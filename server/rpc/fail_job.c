/* WorkerService.FailJob. On the call's worker.
 *
 *   start: check, ask the store --store--> committed: load the job --store--> loaded --reply--> end */
#include "base/clock.h"
#include "joblog/v1/worker.crpc.h"
#include "rpc/check.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

struct fail_job {
    struct crpc_event stored;
    struct store_finish finish;
    struct store_get get;
};

static enum crpc_next fail_job_start(struct crpc_call *call);
static enum crpc_next fail_job_committed(struct crpc_call *call);
static enum crpc_next fail_job_loaded(struct crpc_call *call);

static const struct crpc_step START = {"start", fail_job_start};
static const struct crpc_step COMMITTED = {"committed", fail_job_committed};
static const struct crpc_step LOADED = {"loaded", fail_job_loaded};

static enum crpc_next fail_job_start(struct crpc_call *call)
{
    struct fail_job *c = crpc_call_state(call);
    const Joblog__V1__FailJobRequest *request = joblog_v1_worker_service_fail_job_request(call);
    struct err err = ERR_NONE;
    c->finish =
        (struct store_finish){.cmd = {.op = STORE_FINISH},
                              .job_id = request->job_id,
                              .token = request->lease_token,
                              .scope = &caller_of(call)->scope,
                              .outcome = request->fail && request->fail->cancelled ? ATTEMPT_CANCELLED : ATTEMPT_FAILED,
                              .no_retry = request->fail && request->fail->no_retry};
    if (check_id(request->job_id, "job_id", &err) != 0 ||
        check_fail(request->fail, "fail.", &c->finish.error, &err) != 0)
        return crpc_finish(call, &err);
    return service_submit(call, &c->finish.cmd, &c->stored, &COMMITTED);
}

static enum crpc_next fail_job_committed(struct crpc_call *call)
{
    struct fail_job *c = crpc_call_state(call);
    if (c->finish.cmd.err.code != ERR_OK)
        return crpc_finish(call, &c->finish.cmd.err);
    c->get = (struct store_get){.cmd = {.op = STORE_GET}, .id = c->finish.job_id, .arena = crpc_call_arena(call)};
    return service_submit(call, &c->get.cmd, &c->stored, &LOADED);
}

static enum crpc_next fail_job_loaded(struct crpc_call *call)
{
    struct fail_job *c = crpc_call_state(call);
    if (c->get.cmd.err.code != ERR_OK)
        return crpc_finish(call, &c->get.cmd.err);
    Joblog__V1__Job *message = convert_job(crpc_call_arena(call), &c->get.job, VIEW_BASIC, clock_wall_us());
    return message ? joblog_v1_worker_service_fail_job_reply(call, message) : service_no_memory(call);
}

const struct crpc_handler fail_job_handler = {
    .first = &START, .state_size = sizeof(struct fail_job), .ignores_cancel = true};
