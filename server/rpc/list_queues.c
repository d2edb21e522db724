/* JobLogService.ListQueues. On the call's worker.
 *
 *   start: check, ask the store --store--> loaded --reply--> end */
#include "joblog/v1/job_log.crpc.h"
#include "rpc/check.h"
#include "rpc/convert.h"
#include "rpc/handlers.h"
#include "rpc/queue_common.h"
#include "rpc/service.h"

enum { QUEUES_MAX = 10000 }; /* in an answer: about a megabyte */

struct list_queues {
    struct crpc_event stored;
    struct store_queues queues;
};

static enum crpc_next list_queues_start(struct crpc_call *call);
static enum crpc_next list_queues_loaded(struct crpc_call *call);

static const struct crpc_step START = {"start", list_queues_start};
static const struct crpc_step LOADED = {"loaded", list_queues_loaded};

Joblog__V1__Queue *queue_message(struct arena *arena, const struct queue_info *info)
{
    Joblog__V1__Queue *m = arena_alloc(arena, sizeof *m);
    if (!m)
        return NULL;
    joblog__v1__queue__init(m);
    m->name = convert_text(arena, info->name);
    m->paused = info->pause_us != 0;
    m->pause_time = info->pause_us ? convert_time(arena, info->pause_us) : NULL;
    m->pause_actor = convert_text(arena, info->pause_actor);
    m->pause_reason = convert_text(arena, info->pause_reason);
    m->waiting = info->waiting;
    m->scheduled = info->scheduled;
    m->running = info->running;
    m->oldest_time = info->oldest_us ? convert_time(arena, info->oldest_us) : NULL;
    bool good = m->name && m->pause_actor && m->pause_reason && (!info->pause_us || m->pause_time) &&
                (!info->oldest_us || m->oldest_time);
    return good ? m : NULL;
}

static enum crpc_next list_queues_start(struct crpc_call *call)
{
    struct list_queues *l = crpc_call_state(call);
    const Joblog__V1__ListQueuesRequest *request = joblog_v1_job_log_service_list_queues_request(call);
    struct err err = ERR_NONE;
    l->queues = (struct store_queues){.cmd = {.op = STORE_QUEUES},
                                      .n_queues = request->n_queues,
                                      .scope = caller_of(call)->scope,
                                      .arena = crpc_call_arena(call)};
    if (check_names(request->queues, request->n_queues, FILTER_VALUES_MAX, "", "queues", crpc_call_arena(call),
                    &l->queues.queues, &err) != 0)
        return crpc_finish(call, &err);
    if (job_scope_names_owners(&l->queues.scope)) {
        err_set(&err, ERR_PERMISSION_DENIED, "OUT_OF_SCOPE",
                "queues hold the jobs of all owners: not for a caller who sees those of some only");
        return crpc_finish(call, &err);
    }
    return service_submit(call, &l->queues.cmd, &l->stored, &LOADED);
}

static enum crpc_next list_queues_loaded(struct crpc_call *call)
{
    struct list_queues *l = crpc_call_state(call);
    Joblog__V1__ListQueuesResponse response = JOBLOG__V1__LIST_QUEUES_RESPONSE__INIT;
    size_t n = l->queues.n_infos < QUEUES_MAX ? l->queues.n_infos : QUEUES_MAX;
    if (l->queues.cmd.err.code != ERR_OK)
        return crpc_finish(call, &l->queues.cmd.err);
    response.queues = arena_alloc(crpc_call_arena(call), n * sizeof *response.queues + 1);
    if (!response.queues)
        return service_no_memory(call);
    for (; response.n_queues < n; response.n_queues++) {
        response.queues[response.n_queues] = queue_message(crpc_call_arena(call), &l->queues.infos[response.n_queues]);
        if (!response.queues[response.n_queues])
            return service_no_memory(call);
    }
    return joblog_v1_job_log_service_list_queues_reply(call, &response);
}

const struct crpc_handler list_queues_handler = {
    .first = &START, .state_size = sizeof(struct list_queues), .ignores_cancel = true};
