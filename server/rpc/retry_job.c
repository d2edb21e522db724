/* JobLogService.RetryJob. On the call's worker.
 *
 *   start: check, load the job --store--> found: the caller's to see? ask the store --store--> committed: load the job
 *     | who sees everything                     | an export: load          ^             --store--> loaded
 *     '-> ask the store                         | what was asked           |               --reply--> end
 *                                               '--store--> asked: may the caller run such exports now?
 *                                                   --other starts of its owner's--> turn: ask what the owner has
 *                                                   --export--> counted: within the limits of a start? ask the store
 *
 * The job loaded may be running already when a worker waited for it. */
#include "base/clock.h"
#include "joblog/v1/job_log.crpc.h"
#include "rpc/body_hash.h"
#include "rpc/check.h"
#include "rpc/export_common.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

struct retry_job {
    struct crpc_event stored;
    struct store_retry retry;
    struct store_get get;
    struct export_ask_usage usage;
    struct export_turn turn;
    bool in_turn; /* it has come, or is waited for */
};

static enum crpc_next retry_job_start(struct crpc_call *call);
static enum crpc_next retry_job_found(struct crpc_call *call);
static enum crpc_next retry_job_asked(struct crpc_call *call);
static enum crpc_next retry_job_turn(struct crpc_call *call);
static enum crpc_next retry_job_counted(struct crpc_call *call);
static enum crpc_next retry_job_committed(struct crpc_call *call);
static enum crpc_next retry_job_loaded(struct crpc_call *call);

static const struct crpc_step START = {"start", retry_job_start};
static const struct crpc_step FOUND = {"found", retry_job_found};
static const struct crpc_step ASKED = {"asked", retry_job_asked};
static const struct crpc_step TURN = {"turn", retry_job_turn};
static const struct crpc_step COUNTED = {"counted", retry_job_counted};
static const struct crpc_step COMMITTED = {"committed", retry_job_committed};
static const struct crpc_step LOADED = {"loaded", retry_job_loaded};

static int retry_job_check(struct crpc_call *call, struct store_retry *retry, struct err *ret_err)
{
    const Joblog__V1__RetryJobRequest *request = joblog_v1_job_log_service_retry_job_request(call);
    int rc = check_id(request->id, "id", ret_err);
    retry->job_id = request->id;
    if (rc != 0 || (rc = check_text(request->reason, REASON_MAX_BYTES, "", "reason", &retry->reason, ret_err)) != 0 ||
        (rc = check_text(request->request_id, REQUEST_ID_MAX_BYTES, "", "request_id", &retry->request_id, ret_err)) !=
            0)
        return rc;
    retry->actor = caller_of(call)->actor;
    retry->key.id = retry->request_id;
    steer_hash("retry", retry->job_id, retry->reason, 0, retry->key.body_hash);
    return 0;
}

static enum crpc_next retry_job_start(struct crpc_call *call)
{
    struct retry_job *c = crpc_call_state(call);
    struct err err = ERR_NONE;
    c->retry = (struct store_retry){.cmd = {.op = STORE_RETRY}};
    if (retry_job_check(call, &c->retry, &err) != 0)
        return crpc_finish(call, &err);
    if (!caller_of(call)->scope.bounded)
        return crpc_goto(call, &FOUND);
    c->get = (struct store_get){.cmd = {.op = STORE_GET},
                                .id = c->retry.job_id,
                                .scope = &caller_of(call)->scope,
                                .arena = crpc_call_arena(call)};
    return service_submit(call, &c->get.cmd, &c->stored, &FOUND);
}

/* Queue, name and owner of a job never change: what was seen holds at the commit. */
static enum crpc_next retry_job_found(struct crpc_call *call)
{
    struct retry_job *c = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (!caller_of(call)->scope.bounded)
        return service_submit(call, &c->retry.cmd, &c->stored, &COMMITTED);
    if (caller_check_got(call, &c->get, &err) != 0)
        return crpc_finish(call, &err);
    if (!span_eq(c->get.job.queue, span_str(EXPORT_JOB_QUEUE)))
        return service_submit(call, &c->retry.cmd, &c->stored, &COMMITTED);
    c->get = (struct store_get){
        .cmd = {.op = STORE_GET}, .id = c->retry.job_id, .full = true, .arena = crpc_call_arena(call)};
    return service_submit(call, &c->get.cmd, &c->stored, &ASKED);
}

static enum crpc_next retry_job_asked(struct crpc_call *call)
{
    struct retry_job *c = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (c->get.cmd.err.code != ERR_OK)
        return crpc_finish(call, &c->get.cmd.err);
    if (export_job_granted(call, &c->get.job, &err) != 0)
        return crpc_finish(call, &err);
    if (c->get.job.status != JOB_FAILED && c->get.job.status != JOB_CANCELLED) /* the store says why not */
        return service_submit(call, &c->retry.cmd, &c->stored, &COMMITTED);
    c->turn = (struct export_turn){.owner = c->get.job.owner, .come = &c->stored.tag};
    c->in_turn = true;
    crpc_event_arm(call, &c->stored);
    if (!export_turn_take(service_of(call)->exports, &c->turn))
        return crpc_await(call, &c->stored, &TURN);
    crpc_event_disarm(&c->stored);
    return crpc_goto(call, &TURN);
}

static enum crpc_next retry_job_turn(struct crpc_call *call)
{
    struct retry_job *c = crpc_call_state(call);
    c->usage = (struct export_ask_usage){
        .ask = {.op = EXPORT_ASK_USAGE}, .owner = c->get.job.owner, .request_id = c->retry.request_id};
    return export_submit(call, &c->usage.ask, &c->stored, &COUNTED);
}

/* A retry is one more start: by it alone an owner would have as many exports at a time, and a day, as it likes. */
static enum crpc_next retry_job_counted(struct crpc_call *call)
{
    struct retry_job *c = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (c->usage.ask.err.code != ERR_OK)
        return crpc_finish(call, &c->usage.ask.err);
    if (!c->usage.repeated &&
        export_start_check(service_of(call)->exports, c->usage.n_running, c->usage.n_today, c->usage.bytes, &err) != 0)
        return crpc_finish(call, &err);
    return service_submit(call, &c->retry.cmd, &c->stored, &COMMITTED);
}

static enum crpc_next retry_job_committed(struct crpc_call *call)
{
    struct retry_job *c = crpc_call_state(call);
    if (c->retry.cmd.err.code != ERR_OK)
        return crpc_finish(call, &c->retry.cmd.err);
    c->get = (struct store_get){.cmd = {.op = STORE_GET}, .id = c->retry.job_id, .arena = crpc_call_arena(call)};
    return service_submit(call, &c->get.cmd, &c->stored, &LOADED);
}

static enum crpc_next retry_job_loaded(struct crpc_call *call)
{
    struct retry_job *c = crpc_call_state(call);
    if (c->get.cmd.err.code != ERR_OK)
        return crpc_finish(call, &c->get.cmd.err);
    Joblog__V1__Job *message = convert_job(crpc_call_arena(call), &c->get.job, VIEW_BASIC, clock_wall_us());
    return message ? joblog_v1_job_log_service_retry_job_reply(call, message) : service_no_memory(call);
}

static void retry_job_done(struct crpc_call *call)
{
    struct retry_job *c = crpc_call_state(call);
    if (c->in_turn)
        export_turn_end(service_of(call)->exports, &c->turn);
}

const struct crpc_handler retry_job_handler = {
    .first = &START, .state_size = sizeof(struct retry_job), .done = retry_job_done, .ignores_cancel = true};
