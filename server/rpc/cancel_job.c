/* JobLogService.CancelJob. On the call's worker.
 *
 *   start: check, load the job --store--> found: the caller's to see? ask the store --store--> committed: load the job
 *     | who sees everything                     ^                                              --store--> loaded
 *     '-----------------------------------------'                                                --reply--> end
 *
 * A pending job is cancelled by the commit. For a running one the commit records the request and its worker is told, so
 * the job loaded is still running, unless the worker was quick. */
#include "base/clock.h"
#include "joblog/v1/job_log.crpc.h"
#include "rpc/body_hash.h"
#include "rpc/check.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

struct cancel_job {
    struct crpc_event stored;
    struct store_cancel cancel;
    struct store_get get;
};

static enum crpc_next cancel_job_start(struct crpc_call *call);
static enum crpc_next cancel_job_found(struct crpc_call *call);
static enum crpc_next cancel_job_committed(struct crpc_call *call);
static enum crpc_next cancel_job_loaded(struct crpc_call *call);

static const struct crpc_step START = {"start", cancel_job_start};
static const struct crpc_step FOUND = {"found", cancel_job_found};
static const struct crpc_step COMMITTED = {"committed", cancel_job_committed};
static const struct crpc_step LOADED = {"loaded", cancel_job_loaded};

static int cancel_job_check(struct crpc_call *call, struct store_cancel *cancel, struct err *ret_err)
{
    const Joblog__V1__CancelJobRequest *request = joblog_v1_job_log_service_cancel_job_request(call);
    int rc = check_id(request->id, "id", ret_err);
    cancel->job_id = request->id;
    if (rc != 0 || (rc = check_text(request->reason, REASON_MAX_BYTES, "", "reason", &cancel->reason, ret_err)) != 0 ||
        (rc = check_text(request->request_id, REQUEST_ID_MAX_BYTES, "", "request_id", &cancel->request_id, ret_err)) !=
            0)
        return rc;
    cancel->actor = caller_of(call)->actor;
    cancel->key.id = cancel->request_id;
    steer_hash("cancel", cancel->job_id, cancel->reason, 0, cancel->key.body_hash);
    return 0;
}

static enum crpc_next cancel_job_start(struct crpc_call *call)
{
    struct cancel_job *c = crpc_call_state(call);
    struct err err = ERR_NONE;
    c->cancel = (struct store_cancel){.cmd = {.op = STORE_CANCEL}};
    if (cancel_job_check(call, &c->cancel, &err) != 0)
        return crpc_finish(call, &err);
    if (!caller_of(call)->scope.bounded)
        return crpc_goto(call, &FOUND);
    c->get = (struct store_get){.cmd = {.op = STORE_GET},
                                .id = c->cancel.job_id,
                                .scope = &caller_of(call)->scope,
                                .arena = crpc_call_arena(call)};
    return service_submit(call, &c->get.cmd, &c->stored, &FOUND);
}

/* Queue, name and owner of a job never change: what was seen holds at the commit. */
static enum crpc_next cancel_job_found(struct crpc_call *call)
{
    struct cancel_job *c = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (caller_of(call)->scope.bounded && caller_check_got(call, &c->get, &err) != 0)
        return crpc_finish(call, &err);
    return service_submit(call, &c->cancel.cmd, &c->stored, &COMMITTED);
}

static enum crpc_next cancel_job_committed(struct crpc_call *call)
{
    struct cancel_job *c = crpc_call_state(call);
    if (c->cancel.cmd.err.code != ERR_OK)
        return crpc_finish(call, &c->cancel.cmd.err);
    c->get = (struct store_get){.cmd = {.op = STORE_GET}, .id = c->cancel.job_id, .arena = crpc_call_arena(call)};
    return service_submit(call, &c->get.cmd, &c->stored, &LOADED);
}

static enum crpc_next cancel_job_loaded(struct crpc_call *call)
{
    struct cancel_job *c = crpc_call_state(call);
    if (c->get.cmd.err.code != ERR_OK)
        return crpc_finish(call, &c->get.cmd.err);
    Joblog__V1__Job *message = convert_job(crpc_call_arena(call), &c->get.job, VIEW_BASIC, clock_wall_us());
    return message ? joblog_v1_job_log_service_cancel_job_reply(call, message) : service_no_memory(call);
}

const struct crpc_handler cancel_job_handler = {
    .first = &START, .state_size = sizeof(struct cancel_job), .ignores_cancel = true};
