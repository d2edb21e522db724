/* WorkerService.DrainWorkers. On the call's worker.
 *
 *   start: check, ask the store --store--> asked --reply--> end */
#include "joblog/v1/worker.crpc.h"
#include "rpc/check.h"
#include "rpc/handlers.h"
#include "rpc/service.h"
#include "store/workers.h"

enum { SESSIONS_MAX = 1000 };

struct drain_workers {
    struct crpc_event stored;
    struct store_worker_drain drain;
};

static enum crpc_next drain_workers_start(struct crpc_call *call);
static enum crpc_next drain_workers_asked(struct crpc_call *call);

static const struct crpc_step START = {"start", drain_workers_start};
static const struct crpc_step ASKED = {"asked", drain_workers_asked};

static int check_request(const Joblog__V1__DrainWorkersRequest *request, struct store_worker_drain *drain,
                         struct err *ret_err)
{
    int rc = 0;
    if (request->n_session_ids > SESSIONS_MAX)
        return err_field(ret_err, "session_ids", "session_ids must hold at most %d values, holds %zu", SESSIONS_MAX,
                         request->n_session_ids);
    if ((rc = check_text(request->name, NAME_MAX_BYTES, "", "name", &drain->worker, ret_err)) != 0 ||
        (rc = check_text(request->host, NAME_MAX_BYTES, "", "host", &drain->host, ret_err)) != 0 ||
        (rc = check_text(request->version, NAME_MAX_BYTES, "", "version", &drain->version, ret_err)) != 0 ||
        (rc = check_text(request->reason, REASON_MAX_BYTES, "", "reason", &drain->reason, ret_err)) != 0)
        return rc;
    if (request->n_session_ids == 0 && drain->worker.len == 0 && drain->host.len == 0 && drain->version.len == 0)
        return err_field(ret_err, "name", "session_ids, name, host or version must be set");
    drain->session_ids = request->session_ids;
    drain->n_session_ids = request->n_session_ids;
    return 0;
}

static enum crpc_next drain_workers_start(struct crpc_call *call)
{
    struct drain_workers *d = crpc_call_state(call);
    struct err err = ERR_NONE;
    d->drain = (struct store_worker_drain){
        .cmd = {.op = STORE_WORKER_DRAIN}, .actor = caller_of(call)->actor, .arena = crpc_call_arena(call)};
    if (check_request(joblog_v1_worker_service_drain_workers_request(call), &d->drain, &err) != 0)
        return crpc_finish(call, &err);
    return service_submit(call, &d->drain.cmd, &d->stored, &ASKED);
}

static enum crpc_next drain_workers_asked(struct crpc_call *call)
{
    struct drain_workers *d = crpc_call_state(call);
    Joblog__V1__DrainWorkersResponse response = JOBLOG__V1__DRAIN_WORKERS_RESPONSE__INIT;
    if (d->drain.cmd.err.code != ERR_OK)
        return crpc_finish(call, &d->drain.cmd.err);
    response.session_ids = d->drain.drained;
    response.n_session_ids = d->drain.n_drained;
    return joblog_v1_worker_service_drain_workers_reply(call, &response);
}

const struct crpc_handler drain_workers_handler = {
    .first = &START, .state_size = sizeof(struct drain_workers), .ignores_cancel = true};
