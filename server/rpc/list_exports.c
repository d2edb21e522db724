/* ExportService.ListExports: the caller's own. On the call's worker.
 *
 *   start: check, ask the store --store--> loaded: a page --store--> files found --reply--> end */
#include "joblog/v1/export.crpc.h"
#include "rpc/check.h"
#include "rpc/export_common.h"
#include "rpc/page_token.h"

/* A page ends early rather than be refused by a client: gRPC takes 4 MiB a message, and one export with all its filters
 * may have 256 KiB. For the same reason no more than EXPORTS_AT_ONCE are read, whatever page was asked for. */
enum { PAGE_BYTES_MAX = 3 << 20, EXPORTS_AT_ONCE = 200 };

struct list_exports {
    struct crpc_event stored;
    struct store_list list;
    struct export_ask_files files;
    struct span name;
};

static enum crpc_next list_exports_start(struct crpc_call *call);
static enum crpc_next list_exports_loaded(struct crpc_call *call);
static enum crpc_next list_exports_found(struct crpc_call *call);

static const struct crpc_step START = {"start", list_exports_start};
static const struct crpc_step LOADED = {"loaded", list_exports_loaded};
static const struct crpc_step FOUND = {"found", list_exports_found};

static int list_exports_check(struct crpc_call *call, struct list_exports *l, struct err *ret_err)
{
    const Joblog__V1__ListExportsRequest *request = joblog_v1_export_service_list_exports_request(call);
    const struct caller *caller = caller_of(call);
    int rc = check_page_size(request->page_size, &l->list.limit, ret_err);
    if (rc != 0)
        return rc;
    if (l->list.limit > EXPORTS_AT_ONCE)
        l->list.limit = EXPORTS_AT_ONCE;
    l->name = span_str(EXPORT_JOB_NAME);
    l->list.filter = (struct job_filter){.names = &l->name, .n_names = 1, .scope = caller->scope};
    /* By the index of owners. */
    if (caller->scope.bounded)
        l->list.filter.owner = caller->owner;
    return page_token_read(request->page_token, job_filter_hash(&l->list.filter), &l->list.before_id, ret_err);
}

static enum crpc_next list_exports_start(struct crpc_call *call)
{
    struct list_exports *l = crpc_call_state(call);
    struct err err = ERR_NONE;
    l->list = (struct store_list){.cmd = {.op = STORE_LIST}, .with_payload = true, .arena = crpc_call_arena(call)};
    if (list_exports_check(call, l, &err) != 0)
        return crpc_finish(call, &err);
    return service_submit(call, &l->list.cmd, &l->stored, &LOADED);
}

static enum crpc_next list_exports_loaded(struct crpc_call *call)
{
    struct list_exports *l = crpc_call_state(call);
    if (l->list.cmd.err.code != ERR_OK)
        return crpc_finish(call, &l->list.cmd.err);
    int64_t *ids = arena_alloc(crpc_call_arena(call), l->list.n_jobs * sizeof *ids);
    if (!ids)
        return service_no_memory(call);
    size_t n = 0;
    for (size_t i = 0; i < l->list.n_jobs; i++)
        if (l->list.jobs[i].status == JOB_COMPLETED)
            ids[n++] = l->list.jobs[i].id;
    l->files = (struct export_ask_files){
        .ask = {.op = EXPORT_ASK_FILES}, .job_ids = ids, .n_job_ids = n, .arena = crpc_call_arena(call)};
    return n ? export_submit(call, &l->files.ask, &l->stored, &FOUND) : crpc_goto(call, &FOUND);
}

static const struct export_file *list_exports_file(const struct list_exports *l, int64_t job_id)
{
    for (size_t i = 0; i < l->files.n_files; i++)
        if (l->files.files[i].job_id == job_id)
            return &l->files.files[i];
    return NULL;
}

/* As many of the exports as fit, and a token if there are more. False: out of memory. */
static bool list_exports_page(struct crpc_call *call, const struct list_exports *l,
                              Joblog__V1__ListExportsResponse *response)
{
    struct arena *arena = crpc_call_arena(call);
    size_t bytes = 0;
    response->exports = arena_alloc(arena, l->list.n_jobs * sizeof *response->exports);
    if (!response->exports)
        return false;
    while (response->n_exports < l->list.n_jobs && bytes < PAGE_BYTES_MAX) {
        const struct job *job = &l->list.jobs[response->n_exports];
        struct export_request request = export_request_of(arena, job);
        const struct export_file *file = list_exports_file(l, job->id);
        Joblog__V1__Export *message = convert_export(arena, service_of(call)->exports, job, &request, file);
        if (!message)
            return false;
        bytes += protobuf_c_message_get_packed_size(&message->base);
        response->exports[response->n_exports++] = message;
    }
    if (response->n_exports == 0 || (response->n_exports == l->list.n_jobs && !l->list.more))
        return true;
    response->next_page_token =
        page_token_make(arena, job_filter_hash(&l->list.filter), l->list.jobs[response->n_exports - 1].id);
    return response->next_page_token != NULL;
}

static enum crpc_next list_exports_found(struct crpc_call *call)
{
    struct list_exports *l = crpc_call_state(call);
    Joblog__V1__ListExportsResponse response = JOBLOG__V1__LIST_EXPORTS_RESPONSE__INIT;
    if (l->files.ask.err.code != ERR_OK)
        return crpc_finish(call, &l->files.ask.err);
    if (!list_exports_page(call, l, &response))
        return service_no_memory(call);
    return joblog_v1_export_service_list_exports_reply(call, &response);
}

const struct crpc_handler list_exports_handler = {
    .first = &START, .state_size = sizeof(struct list_exports), .ignores_cancel = true};
