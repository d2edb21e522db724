/* JobLogService.CleanupJobs. On the call's worker.
 *
 *   start: check, ask the store --store--> deleted: counts, perhaps a token --reply--> end
 *
 * Pages go by id, oldest first; a page ends at the limit or when its time is over. */
#include "base/clock.h"
#include "base/log.h"
#include "joblog/v1/job_log.crpc.h"
#include "rpc/check.h"
#include "rpc/check_priv.h"
#include "rpc/handlers.h"
#include "rpc/page_token.h"
#include "rpc/service.h"

enum { LIMIT_DEFAULT = 10000, LIMIT_MAX = 1000000 };
enum { STATUSES_FINAL = 1 << JOB_COMPLETED | 1 << JOB_FAILED | 1 << JOB_CANCELLED };
/* A hundred years. */
#define OLDER_MAX_US (INT64_C(100) * 366 * 24 * 3600 * 1000000)

struct cleanup_jobs {
    struct crpc_event stored;
    struct store_cleanup cleanup;
};

static enum crpc_next cleanup_jobs_start(struct crpc_call *call);
static enum crpc_next cleanup_jobs_deleted(struct crpc_call *call);

static const struct crpc_step START = {"start", cleanup_jobs_start};
static const struct crpc_step DELETED = {"deleted", cleanup_jobs_deleted};

static int check_statuses(const Joblog__V1__CleanupJobsRequest *request, unsigned *ret_mask, struct err *ret_err)
{
    unsigned mask = 0;
    for (size_t i = 0; i < request->n_statuses; i++) {
        unsigned status = (unsigned)request->statuses[i];
        if (status >= JOB_STATUS_COUNT || !(1u << status & STATUSES_FINAL))
            return check_bad(ret_err, "", "statuses", "must be final: COMPLETED, FAILED or CANCELLED; %u is not",
                             status);
        mask |= 1u << status;
    }
    *ret_mask = mask ? mask : STATUSES_FINAL;
    return 0;
}

/* What a token of a page belongs to. */
static uint64_t hash_of(const struct store_cleanup *c)
{
    struct job_filter filter = {.names = c->names,
                                .n_names = c->n_names,
                                .queues = c->queues,
                                .n_queues = c->n_queues,
                                .status_mask = c->status_mask};
    return job_filter_hash(&filter);
}

static int check_request(struct crpc_call *call, struct store_cleanup *c, struct err *ret_err)
{
    const Joblog__V1__CleanupJobsRequest *request = joblog_v1_job_log_service_cleanup_jobs_request(call);
    struct arena *arena = crpc_call_arena(call);
    int64_t older_us = 0;
    int rc = 0;
    c->n_names = request->n_job_names;
    c->n_queues = request->n_queues;
    if ((rc = check_names(request->job_names, request->n_job_names, FILTER_VALUES_MAX, "", "job_names", arena,
                          &c->names, ret_err)) != 0 ||
        (rc = check_names(request->queues, request->n_queues, FILTER_VALUES_MAX, "", "queues", arena, &c->queues,
                          ret_err)) != 0 ||
        (rc = check_statuses(request, &c->status_mask, ret_err)) != 0)
        return rc;
    if (!request->older_than)
        return check_bad(ret_err, "", "older_than", "must be set");
    if ((rc = check_duration(request->older_than, 0, OLDER_MAX_US, "", "older_than", &older_us, ret_err)) != 0)
        return rc;
    if (request->limit < 0 || request->limit > LIMIT_MAX)
        return check_bad(ret_err, "", "limit", "must be from 0 to %d, is %d", LIMIT_MAX, request->limit);
    c->limit = request->limit ? request->limit : LIMIT_DEFAULT;
    c->before_us = clock_wall_us() - older_us;
    c->before_us = c->before_us > 0 ? c->before_us : 1;
    c->dry_run = request->dry_run;
    c->scope = caller_of(call)->scope;
    return page_token_read(request->page_token, hash_of(c), &c->after_id, ret_err);
}

static enum crpc_next cleanup_jobs_start(struct crpc_call *call)
{
    struct cleanup_jobs *c = crpc_call_state(call);
    struct err err = ERR_NONE;
    c->cleanup = (struct store_cleanup){.cmd = {.op = STORE_CLEANUP}};
    if (check_request(call, &c->cleanup, &err) != 0)
        return crpc_finish(call, &err);
    return service_submit(call, &c->cleanup.cmd, &c->stored, &DELETED);
}

static void note_deleted(struct crpc_call *call, const struct store_cleanup *c)
{
    struct span actor = caller_of(call)->actor;
    int64_t n = c->counts[JOB_COMPLETED] + c->counts[JOB_FAILED] + c->counts[JOB_CANCELLED];
    if (n > 0 && !c->dry_run)
        log_info("records of jobs deleted jobs=%lld by=\"%.*s\"", (long long)n, (int)actor.len, actor.data);
}

static enum crpc_next cleanup_jobs_deleted(struct crpc_call *call)
{
    struct cleanup_jobs *c = crpc_call_state(call);
    Joblog__V1__CleanupJobsResponse response = JOBLOG__V1__CLEANUP_JOBS_RESPONSE__INIT;
    Joblog__V1__StatusCounts deleted = JOBLOG__V1__STATUS_COUNTS__INIT;
    if (c->cleanup.cmd.err.code != ERR_OK)
        return crpc_finish(call, &c->cleanup.cmd.err);
    note_deleted(call, &c->cleanup);
    deleted.completed = c->cleanup.counts[JOB_COMPLETED];
    deleted.failed = c->cleanup.counts[JOB_FAILED];
    deleted.cancelled = c->cleanup.counts[JOB_CANCELLED];
    response.deleted = &deleted;
    if (c->cleanup.more) {
        response.next_page_token = page_token_make(crpc_call_arena(call), hash_of(&c->cleanup), c->cleanup.next_id);
        if (!response.next_page_token)
            return service_no_memory(call);
    }
    return joblog_v1_job_log_service_cleanup_jobs_reply(call, &response);
}

const struct crpc_handler cleanup_jobs_handler = {
    .first = &START, .state_size = sizeof(struct cleanup_jobs), .ignores_cancel = true};
