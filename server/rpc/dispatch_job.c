/* JobLogService.DispatchJob. On the call's worker; the hot path of the server: no copies of the request, no locks.
 *
 *   start: check, fill the item, ask the store --store--> committed --reply--> end
 *                                                           | request_id was used before, or the unique key is held
 *                                                           '--> load the job --store--> loaded --reply--> end
 *
 * The answer goes out after the commit: OK means that the job will run. */
#include "base/clock.h"
#include "joblog/v1/job_log.crpc.h"
#include "rpc/body_hash.h"
#include "rpc/check.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

struct dispatch_job {
    struct crpc_event stored;
    struct store_dispatch dispatch;
    struct dispatch_item item;
    struct store_get get; /* of a replay */
};

static enum crpc_next dispatch_job_start(struct crpc_call *call);
static enum crpc_next dispatch_job_committed(struct crpc_call *call);
static enum crpc_next dispatch_job_loaded(struct crpc_call *call);

static const struct crpc_step START = {"start", dispatch_job_start};
static const struct crpc_step COMMITTED = {"committed", dispatch_job_committed};
static const struct crpc_step LOADED = {"loaded", dispatch_job_loaded};

static int dispatch_job_check(struct crpc_call *call, struct dispatch_item *item, struct err *ret_err)
{
    const Joblog__V1__DispatchJobRequest *request = joblog_v1_job_log_service_dispatch_job_request(call);
    int rc = check_job_spec(request->job, crpc_call_arena(call), &item->job, ret_err);
    if (rc != 0 || (rc = rights_make_job(&caller_of(call)->scope, &item->job, ret_err)) != 0)
        return rc;
    item->job.creator = caller_of(call)->actor;
    item->scope = &caller_of(call)->scope;
    item->on_conflict = check_on_conflict(request->job);
    return check_text(request->request_id, REQUEST_ID_MAX_BYTES, "", "request_id", &item->job.request_id, ret_err);
}

static enum crpc_next dispatch_job_start(struct crpc_call *call)
{
    struct dispatch_job *d = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (dispatch_job_check(call, &d->item, &err) != 0)
        return crpc_finish(call, &err);
    if (d->item.job.request_id.len > 0)
        body_hash(&d->item.job, d->item.on_conflict, false, d->item.body_hash);
    d->dispatch = (struct store_dispatch){.cmd = {.op = STORE_DISPATCH}, .items = &d->item, .n_items = 1};
    return service_submit(call, &d->dispatch.cmd, &d->stored, &COMMITTED);
}

static enum crpc_next dispatch_job_reply(struct crpc_call *call, const struct job *job)
{
    Joblog__V1__Job *message = convert_job(crpc_call_arena(call), job, VIEW_BASIC, clock_wall_us());
    return message ? joblog_v1_job_log_service_dispatch_job_reply(call, message) : service_no_memory(call);
}

static enum crpc_next dispatch_job_committed(struct crpc_call *call)
{
    struct dispatch_job *d = crpc_call_state(call);
    if (d->dispatch.cmd.err.code != ERR_OK)
        return crpc_finish(call, &d->dispatch.cmd.err);
    if (d->item.err.code != ERR_OK)
        return crpc_finish(call, &d->item.err);
    if (!d->item.replayed && !d->item.existing)
        return dispatch_job_reply(call, &d->item.job);
    d->get = (struct store_get){.cmd = {.op = STORE_GET}, .id = d->item.job.id, .arena = crpc_call_arena(call)};
    return service_submit(call, &d->get.cmd, &d->stored, &LOADED);
}

static enum crpc_next dispatch_job_loaded(struct crpc_call *call)
{
    struct dispatch_job *d = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (caller_check_got(call, &d->get, &err) != 0)
        return crpc_finish(call, &err);
    return dispatch_job_reply(call, &d->get.job);
}

const struct crpc_handler dispatch_job_handler = {
    .first = &START, .state_size = sizeof(struct dispatch_job), .ignores_cancel = true};
