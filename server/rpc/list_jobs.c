/* JobLogService.ListJobs. On the call's worker.
 *
 *   start: check filter, page size and token, ask the store --store--> loaded: a page, perhaps a token --reply--> end
 *
 * Pages go by id: a job dispatched meanwhile is on no page, one that changes its status meanwhile on at most one. */
#include "base/clock.h"
#include "joblog/v1/job_log.crpc.h"
#include "rpc/check.h"
#include "rpc/handlers.h"
#include "rpc/page_token.h"
#include "rpc/service.h"

/* A page ends early rather than exceed what a client takes by default (4 MiB): errors may be long. */
enum { PAGE_BYTES_MAX = 2 * 1024 * 1024 };

struct list_jobs {
    struct crpc_event stored;
    struct store_list list;
};

static enum crpc_next list_jobs_start(struct crpc_call *call);
static enum crpc_next list_jobs_loaded(struct crpc_call *call);

static const struct crpc_step START = {"start", list_jobs_start};
static const struct crpc_step LOADED = {"loaded", list_jobs_loaded};

/* Of the filter and the order: to these a page token belongs. */
static uint64_t list_jobs_hash(const struct store_list *list)
{
    return job_filter_hash(&list->filter) ^ (list->oldest_first ? UINT64_C(0x6f6c646573740001) : 0);
}

static int list_jobs_check(struct crpc_call *call, struct store_list *list, struct err *ret_err)
{
    const Joblog__V1__ListJobsRequest *request = joblog_v1_job_log_service_list_jobs_request(call);
    int rc = check_filter(request->filter, crpc_call_arena(call), &list->filter, ret_err);
    if (rc != 0 || (rc = check_page_size(request->page_size, &list->limit, ret_err)) != 0)
        return rc;
    list->filter.scope = caller_of(call)->scope;
    if (request->order < JOBLOG__V1__JOB_ORDER__JOB_ORDER_UNSPECIFIED ||
        request->order > JOBLOG__V1__JOB_ORDER__JOB_ORDER_OLDEST_FIRST)
        return err_field(ret_err, "order", "order is no JobOrder: %d", (int)request->order);
    list->oldest_first = request->order == JOBLOG__V1__JOB_ORDER__JOB_ORDER_OLDEST_FIRST;
    return page_token_read(request->page_token, list_jobs_hash(list), &list->before_id, ret_err);
}

static enum crpc_next list_jobs_start(struct crpc_call *call)
{
    struct list_jobs *l = crpc_call_state(call);
    struct err err = ERR_NONE;
    l->list = (struct store_list){.cmd = {.op = STORE_LIST}, .arena = crpc_call_arena(call)};
    if (list_jobs_check(call, &l->list, &err) != 0)
        return crpc_finish(call, &err);
    return service_submit(call, &l->list.cmd, &l->stored, &LOADED);
}

/* As many of the jobs as fit, and a token if there are more. False: out of memory. */
static bool list_jobs_page(struct arena *arena, const struct store_list *list, Joblog__V1__ListJobsResponse *response)
{
    int64_t now_us = clock_wall_us();
    size_t bytes = 0;
    response->jobs = arena_alloc(arena, list->n_jobs * sizeof *response->jobs);
    if (!response->jobs)
        return false;
    while (response->n_jobs < list->n_jobs && bytes < PAGE_BYTES_MAX) {
        Joblog__V1__Job *job = convert_job(arena, &list->jobs[response->n_jobs], VIEW_BASIC, now_us);
        if (!job)
            return false;
        bytes += protobuf_c_message_get_packed_size(&job->base);
        response->jobs[response->n_jobs++] = job;
    }
    if (response->n_jobs == list->n_jobs && !list->more)
        return true;
    bool whole = response->n_jobs == list->n_jobs;
    response->next_page_token = page_token_make(arena, list_jobs_hash(list),
                                                whole ? list->next_before_id : list->jobs[response->n_jobs - 1].id);
    return response->next_page_token != NULL;
}

static enum crpc_next list_jobs_loaded(struct crpc_call *call)
{
    struct list_jobs *l = crpc_call_state(call);
    struct arena *arena = crpc_call_arena(call);
    Joblog__V1__ListJobsResponse response = JOBLOG__V1__LIST_JOBS_RESPONSE__INIT;
    if (l->list.cmd.err.code != ERR_OK)
        return crpc_finish(call, &l->list.cmd.err);
    if (!list_jobs_page(arena, &l->list, &response))
        return service_no_memory(call);
    return joblog_v1_job_log_service_list_jobs_reply(call, &response);
}

const struct crpc_handler list_jobs_handler = {
    .first = &START, .state_size = sizeof(struct list_jobs), .ignores_cancel = true};
