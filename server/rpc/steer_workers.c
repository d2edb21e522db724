/* WorkerService.DrainWorkers, PauseWorkers and ResumeWorkers. On the call's worker.
 *
 *   start: check, ask the store --store--> asked --reply--> end */
#include "joblog/v1/worker.crpc.h"
#include "rpc/check.h"
#include "rpc/handlers.h"
#include "rpc/service.h"
#include "store/workers.h"

enum { SESSIONS_MAX = 1000 };

struct steer_workers {
    struct crpc_event stored;
    struct store_worker_ask ask;
};

static enum crpc_next steer_workers_asked(struct crpc_call *call);

static const struct crpc_step ASKED = {"asked", steer_workers_asked};

/* The fields that the three requests have in common. */
struct steer_request {
    const int64_t *session_ids;
    size_t n_session_ids;
    const char *name, *host, *version, *reason;
};

static int check_request(const struct steer_request *request, struct store_worker_ask *ask, struct err *ret_err)
{
    int rc = 0;
    if (request->n_session_ids > SESSIONS_MAX)
        return err_field(ret_err, "session_ids", "session_ids must hold at most %d values, holds %zu", SESSIONS_MAX,
                         request->n_session_ids);
    if ((rc = check_text(request->name, NAME_MAX_BYTES, "", "name", &ask->worker, ret_err)) != 0 ||
        (rc = check_text(request->host, NAME_MAX_BYTES, "", "host", &ask->host, ret_err)) != 0 ||
        (rc = check_text(request->version, NAME_MAX_BYTES, "", "version", &ask->version, ret_err)) != 0 ||
        (rc = check_text(request->reason, REASON_MAX_BYTES, "", "reason", &ask->reason, ret_err)) != 0)
        return rc;
    if (request->n_session_ids == 0 && ask->worker.len == 0 && ask->host.len == 0 && ask->version.len == 0)
        return err_field(ret_err, "name", "session_ids, name, host or version must be set");
    ask->session_ids = request->session_ids;
    ask->n_session_ids = request->n_session_ids;
    return 0;
}

static enum crpc_next steer_workers_begin(struct crpc_call *call, enum store_op op, struct steer_request request)
{
    struct steer_workers *s = crpc_call_state(call);
    struct err err = ERR_NONE;
    s->ask =
        (struct store_worker_ask){.cmd = {.op = op}, .actor = caller_of(call)->actor, .arena = crpc_call_arena(call)};
    if (check_request(&request, &s->ask, &err) != 0)
        return crpc_finish(call, &err);
    return service_submit(call, &s->ask.cmd, &s->stored, &ASKED);
}

static enum crpc_next drain_workers_start(struct crpc_call *call)
{
    const Joblog__V1__DrainWorkersRequest *m = joblog_v1_worker_service_drain_workers_request(call);
    return steer_workers_begin(
        call, STORE_WORKER_DRAIN,
        (struct steer_request){m->session_ids, m->n_session_ids, m->name, m->host, m->version, m->reason});
}

static enum crpc_next pause_workers_start(struct crpc_call *call)
{
    const Joblog__V1__PauseWorkersRequest *m = joblog_v1_worker_service_pause_workers_request(call);
    return steer_workers_begin(
        call, STORE_WORKER_PAUSE,
        (struct steer_request){m->session_ids, m->n_session_ids, m->name, m->host, m->version, m->reason});
}

static enum crpc_next resume_workers_start(struct crpc_call *call)
{
    const Joblog__V1__ResumeWorkersRequest *m = joblog_v1_worker_service_resume_workers_request(call);
    return steer_workers_begin(
        call, STORE_WORKER_RESUME,
        (struct steer_request){m->session_ids, m->n_session_ids, m->name, m->host, m->version, ""});
}

static enum crpc_next steer_workers_asked(struct crpc_call *call)
{
    const struct store_worker_ask *ask = &((struct steer_workers *)crpc_call_state(call))->ask;
    Joblog__V1__DrainWorkersResponse drained = JOBLOG__V1__DRAIN_WORKERS_RESPONSE__INIT;
    Joblog__V1__PauseWorkersResponse paused = JOBLOG__V1__PAUSE_WORKERS_RESPONSE__INIT;
    Joblog__V1__ResumeWorkersResponse resumed = JOBLOG__V1__RESUME_WORKERS_RESPONSE__INIT;
    if (ask->cmd.err.code != ERR_OK)
        return crpc_finish(call, &ask->cmd.err);
    drained.session_ids = paused.session_ids = resumed.session_ids = ask->asked;
    drained.n_session_ids = paused.n_session_ids = resumed.n_session_ids = ask->n_asked;
    if (ask->cmd.op == STORE_WORKER_PAUSE)
        return joblog_v1_worker_service_pause_workers_reply(call, &paused);
    if (ask->cmd.op == STORE_WORKER_RESUME)
        return joblog_v1_worker_service_resume_workers_reply(call, &resumed);
    return joblog_v1_worker_service_drain_workers_reply(call, &drained);
}

static const struct crpc_step DRAIN_START = {"start", drain_workers_start};
static const struct crpc_step PAUSE_START = {"start", pause_workers_start};
static const struct crpc_step RESUME_START = {"start", resume_workers_start};

const struct crpc_handler drain_workers_handler = {
    .first = &DRAIN_START, .state_size = sizeof(struct steer_workers), .ignores_cancel = true};
const struct crpc_handler pause_workers_handler = {
    .first = &PAUSE_START, .state_size = sizeof(struct steer_workers), .ignores_cancel = true};
const struct crpc_handler resume_workers_handler = {
    .first = &RESUME_START, .state_size = sizeof(struct steer_workers), .ignores_cancel = true};
