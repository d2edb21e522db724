/* JobLogService.PauseQueue and ResumeQueue. On the call's worker.
 *
 *   start: check, ask the store --store--> written: ask for the queue --store--> loaded --reply--> end */
#include "joblog/v1/job_log.crpc.h"
#include "rpc/check.h"
#include "rpc/handlers.h"
#include "rpc/queue_common.h"
#include "rpc/service.h"

struct pause_queue {
    struct crpc_event stored;
    struct store_pause pause;
    struct store_queues queues;
};

static enum crpc_next pause_queue_written(struct crpc_call *call);
static enum crpc_next pause_queue_loaded(struct crpc_call *call);

static const struct crpc_step WRITTEN = {"written", pause_queue_written};
static const struct crpc_step LOADED = {"loaded", pause_queue_loaded};

static enum crpc_next pause_queue_begin(struct crpc_call *call, enum store_op op, const char *queue, const char *reason)
{
    struct pause_queue *p = crpc_call_state(call);
    struct err err = ERR_NONE;
    p->pause = (struct store_pause){.cmd = {.op = op}, .actor = caller_of(call)->actor};
    if (check_name(queue, NAME_MAX_BYTES, "", "queue", &p->pause.queue, &err) != 0 ||
        check_text(reason, REASON_MAX_BYTES, "", "reason", &p->pause.reason, &err) != 0)
        return crpc_finish(call, &err);
    return service_submit(call, &p->pause.cmd, &p->stored, &WRITTEN);
}

static enum crpc_next pause_queue_start(struct crpc_call *call)
{
    const Joblog__V1__PauseQueueRequest *m = joblog_v1_job_log_service_pause_queue_request(call);
    return pause_queue_begin(call, STORE_PAUSE, m->queue, m->reason);
}

static enum crpc_next resume_queue_start(struct crpc_call *call)
{
    const Joblog__V1__ResumeQueueRequest *m = joblog_v1_job_log_service_resume_queue_request(call);
    return pause_queue_begin(call, STORE_RESUME, m->queue, "");
}

static enum crpc_next pause_queue_written(struct crpc_call *call)
{
    struct pause_queue *p = crpc_call_state(call);
    if (p->pause.cmd.err.code != ERR_OK)
        return crpc_finish(call, &p->pause.cmd.err);
    p->queues = (struct store_queues){
        .cmd = {.op = STORE_QUEUES}, .queues = &p->pause.queue, .n_queues = 1, .arena = crpc_call_arena(call)};
    return service_submit(call, &p->queues.cmd, &p->stored, &LOADED);
}

static enum crpc_next pause_queue_loaded(struct crpc_call *call)
{
    struct pause_queue *p = crpc_call_state(call);
    const struct queue_info unknown = {.name = p->pause.queue}; /* resumed, and there never was a job */
    if (p->queues.cmd.err.code != ERR_OK)
        return crpc_finish(call, &p->queues.cmd.err);
    Joblog__V1__Queue *m = queue_message(crpc_call_arena(call), p->queues.n_infos ? p->queues.infos : &unknown);
    if (!m)
        return service_no_memory(call);
    return p->pause.cmd.op == STORE_PAUSE ? joblog_v1_job_log_service_pause_queue_reply(call, m)
                                          : joblog_v1_job_log_service_resume_queue_reply(call, m);
}

static const struct crpc_step PAUSE_START = {"start", pause_queue_start};
static const struct crpc_step RESUME_START = {"start", resume_queue_start};

const struct crpc_handler pause_queue_handler = {
    .first = &PAUSE_START, .state_size = sizeof(struct pause_queue), .ignores_cancel = true};
const struct crpc_handler resume_queue_handler = {
    .first = &RESUME_START, .state_size = sizeof(struct pause_queue), .ignores_cancel = true};
