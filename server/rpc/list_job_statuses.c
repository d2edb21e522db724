/* JobLogService.ListJobStatuses. On the call's worker.
 *
 *   start: ask the store --store--> loaded --reply--> end */
#include "joblog/v1/job_log.crpc.h"
#include "rpc/check.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

enum { LANGUAGE_MAX_BYTES = 35 }; /* the longest tag that BCP 47 asks to have room for */

struct list_job_statuses {
    struct crpc_event stored;
    struct store_statuses statuses;
};

static enum crpc_next list_job_statuses_start(struct crpc_call *call);
static enum crpc_next list_job_statuses_loaded(struct crpc_call *call);

static const struct crpc_step START = {"start", list_job_statuses_start};
static const struct crpc_step LOADED = {"loaded", list_job_statuses_loaded};

static enum crpc_next list_job_statuses_start(struct crpc_call *call)
{
    struct list_job_statuses *l = crpc_call_state(call);
    const Joblog__V1__ListJobStatusesRequest *request = joblog_v1_job_log_service_list_job_statuses_request(call);
    struct err err = ERR_NONE;
    l->statuses = (struct store_statuses){.cmd = {.op = STORE_STATUSES}, .arena = crpc_call_arena(call)};
    if (check_text(request->language, LANGUAGE_MAX_BYTES, "", "language", &l->statuses.language, &err) != 0)
        return crpc_finish(call, &err);
    return service_submit(call, &l->statuses.cmd, &l->stored, &LOADED);
}

static Joblog__V1__JobStatusInfo *status_message(struct arena *arena, const struct status_info *info)
{
    Joblog__V1__JobStatusInfo *m = arena_alloc(arena, sizeof *m);
    if (!m)
        return NULL;
    joblog__v1__job_status_info__init(m);
    m->status = (Joblog__V1__JobStatus)info->status;
    m->name = convert_text(arena, info->name);
    m->label = convert_text(arena, info->label);
    m->color = convert_text(arena, info->color);
    m->icon = convert_text(arena, info->icon);
    return m->name && m->label && m->color && m->icon ? m : NULL;
}

static enum crpc_next list_job_statuses_loaded(struct crpc_call *call)
{
    struct list_job_statuses *l = crpc_call_state(call);
    struct arena *arena = crpc_call_arena(call);
    Joblog__V1__ListJobStatusesResponse response = JOBLOG__V1__LIST_JOB_STATUSES_RESPONSE__INIT;
    if (l->statuses.cmd.err.code != ERR_OK)
        return crpc_finish(call, &l->statuses.cmd.err);
    response.statuses = arena_alloc(arena, l->statuses.n_statuses * sizeof *response.statuses);
    if (!response.statuses)
        return service_no_memory(call);
    for (; response.n_statuses < l->statuses.n_statuses; response.n_statuses++)
        if (!(response.statuses[response.n_statuses] =
                  status_message(arena, &l->statuses.statuses[response.n_statuses])))
            return service_no_memory(call);
    return joblog_v1_job_log_service_list_job_statuses_reply(call, &response);
}

const struct crpc_handler list_job_statuses_handler = {
    .first = &START, .state_size = sizeof(struct list_job_statuses), .ignores_cancel = true};
