/* WorkerService.StartJob: a job that its caller runs himself. On the call's worker.
 *
 *   start: check, fill the item, ask the store --store--> committed --reply--> end
 *                                                           | request_id was used before
 *                                                           '--> load the job --store--> loaded --reply--> end
 *
 * A replay gives the lease again as long as the attempt runs, so that a caller whose answer was lost can go on: the
 * same caller and, where it names its runs, the same run. The caller gets the job as a lease carries it every time;
 * anybody else who comes with the request, the basic view. */
#include "base/clock.h"
#include "joblog/v1/worker.crpc.h"
#include "rpc/body_hash.h"
#include "rpc/check.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

struct start_job {
    struct crpc_event stored;
    struct store_dispatch dispatch;
    struct dispatch_item item;
    struct store_get get; /* of a replay */
};

static enum crpc_next start_job_start(struct crpc_call *call);
static enum crpc_next start_job_committed(struct crpc_call *call);
static enum crpc_next start_job_loaded(struct crpc_call *call);

static const struct crpc_step START = {"start", start_job_start};
static const struct crpc_step COMMITTED = {"committed", start_job_committed};
static const struct crpc_step LOADED = {"loaded", start_job_loaded};

/* ret_run: the name that the caller gives to its run. */
static int start_job_check(struct crpc_call *call, struct dispatch_item *item, struct span *ret_run,
                           struct err *ret_err)
{
    const Joblog__V1__StartJobRequest *request = joblog_v1_worker_service_start_job_request(call);
    int rc = check_job_spec(request->job, crpc_call_arena(call), &item->job, ret_err);
    if (rc != 0 || (rc = rights_make_job(&caller_of(call)->scope, &item->job, ret_err)) != 0 ||
        (rc = check_text(request->worker, NAME_MAX_BYTES, "", "worker", &item->job.worker, ret_err)) != 0 ||
        (rc = check_text(request->request_id, REQUEST_ID_MAX_BYTES, "", "request_id", &item->job.request_id,
                         ret_err)) != 0 ||
        (rc = check_text(request->run_id, REQUEST_ID_MAX_BYTES, "", "run_id", ret_run, ret_err)) != 0)
        return rc;
    if (request->job->run_time)
        return err_field(ret_err, "job.run_time", "job.run_time must be absent: the job runs already");
    if (check_on_conflict(request->job) > UNIQUE_REJECT)
        return err_field(ret_err, "job.unique_key.on_conflict",
                         "job.unique_key.on_conflict must be REJECT: there is no lease on a job of somebody else's");
    item->scope = &caller_of(call)->scope;
    item->job.creator = caller_of(call)->actor;
    if (item->job.worker.len == 0)
        item->job.worker = item->job.creator;
    return 0;
}

static enum crpc_next start_job_start(struct crpc_call *call)
{
    struct start_job *s = crpc_call_state(call);
    struct err err = ERR_NONE;
    struct span run = {NULL, 0};
    if (start_job_check(call, &s->item, &run, &err) != 0)
        return crpc_finish(call, &err);
    s->item.start = true;
    if (s->item.job.request_id.len > 0) {
        struct job body = s->item.job;
        s->item.has_run = run.len > 0;
        if (s->item.has_run) {
            run_hash(run, s->item.run_hash);
            body.worker = (struct span){NULL, 0}; /* the same work, whatever program comes to do it */
        }
        body_hash(&body, UNIQUE_REJECT, true, s->item.body_hash);
    }
    s->dispatch = (struct store_dispatch){.cmd = {.op = STORE_DISPATCH}, .items = &s->item, .n_items = 1};
    return service_submit(call, &s->dispatch.cmd, &s->stored, &COMMITTED);
}

static enum crpc_next start_job_reply(struct crpc_call *call, const struct job *job, enum job_view view)
{
    struct start_job *s = crpc_call_state(call);
    struct arena *arena = crpc_call_arena(call);
    Joblog__V1__StartJobResponse response = JOBLOG__V1__START_JOB_RESPONSE__INIT;
    response.job = convert_job(arena, job, view, clock_wall_us());
    response.lease_token = s->item.lease_token;
    response.replayed = s->item.replayed;
    response.same_run = s->item.same_run && s->item.has_run;
    response.lease_timeout =
        convert_duration(arena, job->heartbeat_timeout_us ? job->heartbeat_timeout_us
                                                          : store_lease_timeout_ms(service_of(call)->store) * 1000);
    if (!response.job || !response.lease_timeout)
        return service_no_memory(call);
    return joblog_v1_worker_service_start_job_reply(call, &response);
}

static enum crpc_next start_job_committed(struct crpc_call *call)
{
    struct start_job *s = crpc_call_state(call);
    if (s->dispatch.cmd.err.code != ERR_OK)
        return crpc_finish(call, &s->dispatch.cmd.err);
    if (s->item.err.code != ERR_OK)
        return crpc_finish(call, &s->item.err);
    if (!s->item.replayed)
        return start_job_reply(call, &s->item.job, VIEW_LEASE);
    s->get = (struct store_get){
        .cmd = {.op = STORE_GET}, .id = s->item.job.id, .full = true, .arena = crpc_call_arena(call)};
    return service_submit(call, &s->get.cmd, &s->stored, &LOADED);
}

static enum crpc_next start_job_loaded(struct crpc_call *call)
{
    struct start_job *s = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (caller_check_got(call, &s->get, &err) != 0)
        return crpc_finish(call, &err);
    /* The lease is for who began it, not for whoever comes with the same request. It may have ended meanwhile. */
    const struct job *job = &s->get.job;
    bool began = span_eq(job->creator, caller_of(call)->actor);
    s->item.same_run = s->item.same_run && began;
    if (!began || job->status != JOB_RUNNING)
        s->item.lease_token = 0;
    return start_job_reply(call, job, began ? VIEW_LEASE : VIEW_BASIC);
}

const struct crpc_handler start_job_handler = {
    .first = &START, .state_size = sizeof(struct start_job), .ignores_cancel = true};
