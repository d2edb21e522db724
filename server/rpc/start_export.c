/* ExportService.StartExport. On the call's worker.
 *
 *   start: check all that the export will need, ask the store --store--> committed --reply--> end
 *                                                                 | request_id was used before
 *                                                                 '--> load the job --store--> loaded --reply--> end
 *
 * The query is built here once and thrown away, so that what is refused is refused now, with the name of the field. */
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "export/query.h"
#include "joblog/v1/export.crpc.h"
#include "rpc/body_hash.h"
#include "rpc/check.h"
#include "rpc/export_common.h"

enum { EXPORT_ATTEMPTS = 3, FIRST_BACKOFF_US = 1000000, MAX_BACKOFF_US = 60000000 };

struct start_export {
    struct crpc_event stored;
    struct store_dispatch dispatch;
    struct dispatch_item item;
    struct export_request request;
    const struct export_type *type;
    struct export_load replay;
};

static enum crpc_next start_export_start(struct crpc_call *call);
static enum crpc_next start_export_committed(struct crpc_call *call);
static enum crpc_next start_export_loaded(struct crpc_call *call);
static enum crpc_next start_export_found(struct crpc_call *call);

static const struct crpc_step START = {"start", start_export_start};
static const struct crpc_step COMMITTED = {"committed", start_export_committed};
static const struct crpc_step LOADED = {"loaded", start_export_loaded};
static const struct crpc_step FOUND = {"found", start_export_found};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

/* ---- checks ---- */

static int check_filters(const Joblog__V1__StartExportRequest *message, struct arena *arena,
                         struct export_request *request, struct err *err)
{
    if (message->n_filters > EXPORT_FILTERS_MAX)
        return err_field(err, "filters", "at most %d filters", EXPORT_FILTERS_MAX);
    struct export_filter *filters = arena_zalloc(arena, message->n_filters * sizeof *filters);
    if (!filters)
        return no_memory(err);
    for (size_t i = 0; i < message->n_filters; i++) {
        const Joblog__V1__ExportFilter *from = message->filters[i];
        struct span *values = arena_alloc(arena, from->n_values * sizeof *values);
        if (!values)
            return no_memory(err);
        for (size_t k = 0; k < from->n_values; k++)
            values[k] = span_str(from->values[k]);
        filters[i] = (struct export_filter){
            .field = span_str(from->field),
            .op = (enum export_op)from->operator_,
            .values = values,
            .n_values = from->n_values,
        };
    }
    request->filters = filters;
    request->n_filters = message->n_filters;
    return 0;
}

/* The operator meant where none was named, so that the record says what was done. */
static void name_operators(struct export_request *request, const struct export_type *type)
{
    struct export_filter *filters = (struct export_filter *)request->filters; /* made by check_filters */
    for (size_t i = 0; i < request->n_filters; i++)
        for (size_t k = 0; filters[i].op == EXPORT_OP_DEFAULT && k < type->n_filters; k++)
            if (span_eq(filters[i].field, span_str(type->filters[k].field)))
                filters[i].op = type->filters[k].ops[0];
}

static int check_query(const struct export_type *type, const struct export_request *request, struct err *err)
{
    struct buf sql = BUF_INIT;
    int rc = export_query_build(type, request->filters, request->n_filters, EXPORT_QUERY_ROWS, &sql, err);
    buf_done(&sql);
    return rc;
}

static int check_request(struct crpc_call *call, struct start_export *s, struct err *err)
{
    const Joblog__V1__StartExportRequest *message = joblog_v1_export_service_start_export_request(call);
    const struct export_types *types = export_types_of(service_of(call)->exports);
    int rc = check_name(message->export_type, NAME_MAX_BYTES, "", "export_type", &s->request.export_type, err);
    if (rc != 0)
        return rc;
    s->type = types ? export_types_find(types, s->request.export_type) : NULL;
    if (!s->type)
        return err_field(err, "export_type", "there is no export type \"%.100s\"", message->export_type);
    if (message->format != JOBLOG__V1__EXPORT_FORMAT__EXPORT_FORMAT_UNSPECIFIED &&
        message->format != JOBLOG__V1__EXPORT_FORMAT__EXPORT_FORMAT_CSV)
        return err_field(err, "format", "there is no format %d", (int)message->format);
    s->request.file_name = span_str(message->file_name);
    if (s->request.file_name.len > 0 && (rc = export_file_name_check(s->request.file_name, err)) != 0)
        return rc;
    if ((rc = check_filters(message, crpc_call_arena(call), &s->request, err)) != 0 ||
        (rc = check_query(s->type, &s->request, err)) != 0)
        return rc;
    name_operators(&s->request, s->type);
    return check_text(message->request_id, REQUEST_ID_MAX_BYTES, "", "request_id", &s->item.job.request_id, err);
}

/* ---- the job ---- */

static int payload_of(const struct export_request *request, struct arena *arena, struct span *ret, struct err *err)
{
    struct buf text = BUF_INIT;
    bool ok = export_request_encode(request, &text);
    struct span copy = ok ? arena_span(arena, buf_span(&text)) : (struct span){0};
    buf_done(&text);
    if (!copy.data)
        return no_memory(err);
    if (copy.len > EXPORT_PAYLOAD_MAX)
        return err_field(err, "filters", "the filters take more than 256 KiB");
    *ret = copy;
    return 0;
}

/* "users-2026-01-31.csv" */
static struct span default_file_name(struct arena *arena, const struct export_type *type)
{
    time_t now = (time_t)(clock_wall_us() / 1000000);
    struct tm tm;
    char day[16];
    gmtime_r(&now, &tm);
    strftime(day, sizeof day, "%Y-%m-%d", &tm);
    char *name = arena_printf(arena, "%s-%s.csv", type->name, day);
    return span_str(name);
}

static int fill_job(struct crpc_call *call, struct start_export *s, struct err *err)
{
    struct arena *arena = crpc_call_arena(call);
    struct job *job = &s->item.job;
    const struct caller *caller = caller_of(call);
    int rc = 0;
    job->creator = caller->actor;
    job->name = span_str(EXPORT_JOB_NAME);
    job->queue = span_str(EXPORT_JOB_QUEUE);
    job->owner = caller->owner;
    job->retry = (struct retry_policy){.max_attempts = EXPORT_ATTEMPTS,
                                       .initial_backoff_us = FIRST_BACKOFF_US,
                                       .max_backoff_us = MAX_BACKOFF_US,
                                       .multiplier = 2,
                                       .jitter = 0.1};
    /* The hash is of what was asked: a name made of the date must not make tomorrow's repetition another request. */
    if ((rc = payload_of(&s->request, arena, &job->payload, err)) != 0)
        return rc;
    body_hash(job, false, s->item.body_hash);
    if (s->request.file_name.len > 0)
        return 0;
    s->request.file_name = default_file_name(arena, s->type);
    return s->request.file_name.len > 0 ? payload_of(&s->request, arena, &job->payload, err) : no_memory(err);
}

/* ---- the chain ---- */

static enum crpc_next start_export_start(struct crpc_call *call)
{
    struct start_export *s = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (check_request(call, s, &err) != 0 || fill_job(call, s, &err) != 0)
        return crpc_finish(call, &err);
    s->dispatch = (struct store_dispatch){.cmd = {.op = STORE_DISPATCH}, .items = &s->item, .n_items = 1};
    return service_submit(call, &s->dispatch.cmd, &s->stored, &COMMITTED);
}

static enum crpc_next start_export_reply(struct crpc_call *call, Joblog__V1__Export *export)
{
    Joblog__V1__StartExportResponse response = JOBLOG__V1__START_EXPORT_RESPONSE__INIT;
    if (!export)
        return service_no_memory(call);
    response.export = export;
    response.message = arena_printf(crpc_call_arena(call), "export of %s has started; watch export %lld", export->title,
                                    (long long)export->job->id);
    return response.message ? joblog_v1_export_service_start_export_reply(call, &response) : service_no_memory(call);
}

static enum crpc_next start_export_committed(struct crpc_call *call)
{
    struct start_export *s = crpc_call_state(call);
    if (s->dispatch.cmd.err.code != ERR_OK)
        return crpc_finish(call, &s->dispatch.cmd.err);
    if (s->item.err.code != ERR_OK)
        return crpc_finish(call, &s->item.err);
    if (!s->item.replayed)
        return start_export_reply(
            call, convert_export(crpc_call_arena(call), service_of(call)->exports, &s->item.job, &s->request, NULL));
    s->replay.id = s->item.job.id;
    s->replay.caller = caller_of(call);
    return export_load_job(call, &s->replay, &LOADED);
}

static enum crpc_next start_export_loaded(struct crpc_call *call)
{
    struct start_export *s = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (export_load_owned(&s->replay, &err) != 0)
        return crpc_finish(call, &err);
    return export_load_file(call, &s->replay, &FOUND);
}

static enum crpc_next start_export_found(struct crpc_call *call)
{
    struct start_export *s = crpc_call_state(call);
    if (s->replay.files.cmd.err.code != ERR_OK)
        return crpc_finish(call, &s->replay.files.cmd.err);
    return start_export_reply(call, export_load_message(call, &s->replay));
}

const struct crpc_handler start_export_handler = {
    .first = &START, .state_size = sizeof(struct start_export), .ignores_cancel = true};
