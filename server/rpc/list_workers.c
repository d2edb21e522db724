/* WorkerService.ListWorkers. On the call's worker.
 *
 *   start: check, ask the store --store--> loaded --reply--> end */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "joblog/v1/worker.crpc.h"
#include "rpc/check.h"
#include "rpc/handlers.h"
#include "rpc/service.h"
#include "store/workers.h"

struct list_workers {
    struct crpc_event stored;
    struct store_worker_list list;
};

static enum crpc_next list_workers_start(struct crpc_call *call);
static enum crpc_next list_workers_loaded(struct crpc_call *call);

static const struct crpc_step START = {"start", list_workers_start};
static const struct crpc_step LOADED = {"loaded", list_workers_loaded};

/* The place in the order is no secret: it is the session of the last one. */
static int check_token(const char *token, int64_t *ret_id, struct err *ret_err)
{
    char *end = NULL;
    *ret_id = *token ? strtoll(token, &end, 10) : 0;
    if (*token && (*end || *ret_id <= 0 || *token < '1' || *token > '9'))
        return err_field(ret_err, "page_token", "page_token is none of this list's");
    return 0;
}

static enum crpc_next list_workers_start(struct crpc_call *call)
{
    struct list_workers *l = crpc_call_state(call);
    const Joblog__V1__ListWorkersRequest *request = joblog_v1_worker_service_list_workers_request(call);
    struct err err = ERR_NONE;
    l->list = (struct store_worker_list){.cmd = {.op = STORE_WORKER_LIST}, .arena = crpc_call_arena(call)};
    if (check_page_size(request->page_size, &l->list.limit, &err) != 0 ||
        check_token(request->page_token, &l->list.after_id, &err) != 0 ||
        check_text(request->name, NAME_MAX_BYTES, "", "name", &l->list.worker, &err) != 0 ||
        check_text(request->host, NAME_MAX_BYTES, "", "host", &l->list.host, &err) != 0 ||
        check_text(request->version, NAME_MAX_BYTES, "", "version", &l->list.version, &err) != 0 ||
        check_text(request->queue, NAME_MAX_BYTES, "", "queue", &l->list.queue, &err) != 0)
        return crpc_finish(call, &err);
    return service_submit(call, &l->list.cmd, &l->stored, &LOADED);
}

/* A line each. False: out of memory. */
static bool convert_lines(struct arena *arena, struct span text, char ***ret, size_t *ret_n)
{
    size_t n = text.len > 0;
    for (size_t i = 0; i < text.len; i++)
        n += text.data[i] == '\n';
    char *copy = convert_text(arena, text), *save = NULL;
    *ret = arena_alloc(arena, n * sizeof **ret);
    if (!copy || !*ret)
        return false;
    for (char *line = strtok_r(copy, "\n", &save); line && *ret_n < n; line = strtok_r(NULL, "\n", &save))
        (*ret)[(*ret_n)++] = line;
    return true;
}

static bool convert_ids(struct arena *arena, struct span text, Joblog__V1__Worker *m)
{
    enum { IDS_MAX = 100 };
    const char *at = convert_text(arena, text);
    m->running_job_ids = arena_alloc(arena, IDS_MAX * sizeof *m->running_job_ids);
    if (!at || !m->running_job_ids)
        return false;
    while (*at && m->n_running_job_ids < IDS_MAX) {
        char *end = NULL;
        m->running_job_ids[m->n_running_job_ids++] = strtoll(at, &end, 10);
        at = *end ? end + 1 : end;
    }
    return true;
}

static Joblog__V1__Worker *convert_worker(struct arena *arena, const struct worker_info *w, int64_t timeout_us)
{
    Joblog__V1__Worker *m = arena_alloc(arena, sizeof *m);
    if (!m)
        return NULL;
    joblog__v1__worker__init(m);
    m->session_id = w->session_id;
    m->pid = w->pid;
    m->replica = w->replica;
    m->credit = w->credit;
    m->running_count = w->n_jobs;
    m->name = convert_text(arena, w->worker);
    m->version = convert_text(arena, w->version);
    m->host = convert_text(arena, w->host);
    m->start_time = convert_time(arena, w->start_us);
    m->last_seen_time = convert_time(arena, w->expire_us - timeout_us);
    m->drain_request = convert_cancel_request(arena, &w->drain);
    m->pause_request = convert_cancel_request(arena, &w->pause);
    if (!m->name || !m->version || !m->host || !m->start_time || !m->last_seen_time ||
        (w->drain.time_us && !m->drain_request) || (w->pause.time_us && !m->pause_request) ||
        !convert_lines(arena, w->queues, &m->queues, &m->n_queues) ||
        !convert_lines(arena, w->job_names, &m->job_names, &m->n_job_names) || !convert_ids(arena, w->job_ids, m))
        return NULL;
    return m;
}

static enum crpc_next list_workers_loaded(struct crpc_call *call)
{
    struct list_workers *l = crpc_call_state(call);
    struct arena *arena = crpc_call_arena(call);
    Joblog__V1__ListWorkersResponse response = JOBLOG__V1__LIST_WORKERS_RESPONSE__INIT;
    int64_t timeout_us = store_lease_timeout_ms(service_of(call)->store) * 1000;
    if (l->list.cmd.err.code != ERR_OK)
        return crpc_finish(call, &l->list.cmd.err);
    response.workers = arena_alloc(arena, l->list.n_workers * sizeof *response.workers);
    if (!response.workers)
        return service_no_memory(call);
    for (; response.n_workers < l->list.n_workers; response.n_workers++)
        if (!(response.workers[response.n_workers] =
                  convert_worker(arena, &l->list.workers[response.n_workers], timeout_us)))
            return service_no_memory(call);
    if (l->list.more && response.n_workers > 0 &&
        !(response.next_page_token =
              arena_printf(arena, "%" PRId64, response.workers[response.n_workers - 1]->session_id)))
        return service_no_memory(call);
    return joblog_v1_worker_service_list_workers_reply(call, &response);
}

const struct crpc_handler list_workers_handler = {
    .first = &START, .state_size = sizeof(struct list_workers), .ignores_cancel = true};
