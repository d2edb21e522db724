/* ExportService.StartExport. On the call's worker.
 *
 *   start: check all that the export will need --another start of the owner's--> turn: ask what the owner has
 *     --export--> counted: within the limits? ask the store --store--> committed --reply--> end
 *     | request_id was used before
 *     '--> load the job --store--> loaded: its file --export--> found --reply--> end
 *
 * The query is planned here once and thrown away, so that what is refused is refused now, with the name of the field. A
 * repetition of a request that was taken is answered even when a limit has been reached since. */
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "export/words.h"
#include "joblog/v1/export.crpc.h"
#include "rpc/body_hash.h"
#include "rpc/check.h"
#include "rpc/export_start.h"

enum { FIRST_BACKOFF_US = 1000000, MAX_BACKOFF_US = 60000000 };

struct start_export {
    struct crpc_event stored;
    struct export_caller caller;
    struct export_types *types; /* in force when the call came */
    const struct export_type *type;
    struct export_request request;
    struct export_ask_usage usage;
    struct export_turn turn;
    bool in_turn; /* it has come, or is waited for */
    struct store_dispatch dispatch;
    struct dispatch_item item;
    struct export_load replay;
};

static enum crpc_next start_export_start(struct crpc_call *call);
static enum crpc_next start_export_turn(struct crpc_call *call);
static enum crpc_next start_export_counted(struct crpc_call *call);
static enum crpc_next start_export_committed(struct crpc_call *call);
static enum crpc_next start_export_loaded(struct crpc_call *call);
static enum crpc_next start_export_found(struct crpc_call *call);

static const struct crpc_step START = {"start", start_export_start};
static const struct crpc_step TURN = {"turn", start_export_turn};
static const struct crpc_step COUNTED = {"counted", start_export_counted};
static const struct crpc_step COMMITTED = {"committed", start_export_committed};
static const struct crpc_step LOADED = {"loaded", start_export_loaded};
static const struct crpc_step FOUND = {"found", start_export_found};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

static int check_request(struct crpc_call *call, struct start_export *s, struct err *err)
{
    const Joblog__V1__StartExportRequest *message = joblog_v1_export_service_start_export_request(call);
    s->caller = export_caller_of(call);
    s->types = export_types_of(service_of(call)->exports);
    int rc = export_check_start(message, crpc_call_arena(call), s->types, &s->caller, &s->request, &s->type, err);
    return rc != 0
               ? rc
               : check_text(message->request_id, REQUEST_ID_MAX_BYTES, "", "request_id", &s->item.job.request_id, err);
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
static struct span default_file_name(struct arena *arena, const struct export_type *type,
                                     const struct export_request *request)
{
    time_t now = (time_t)(clock_wall_us() / 1000000);
    struct tm tm;
    char day[16];
    gmtime_r(&now, &tm);
    strftime(day, sizeof day, "%Y-%m-%d", &tm);
    char *name = arena_printf(arena, "%s-%s.%s", type->name, day, export_file_extension(request));
    return span_str(name);
}

static int fill_job(struct crpc_call *call, struct start_export *s, struct err *err)
{
    struct arena *arena = crpc_call_arena(call);
    struct job *job = &s->item.job;
    int rc;
    job->creator = caller_of(call)->actor;
    job->owner = s->caller.owner;
    job->name = span_str(EXPORT_JOB_NAME);
    job->queue = span_str(EXPORT_JOB_QUEUE);
    job->retry = (struct retry_policy){.max_attempts = export_attempts(service_of(call)->exports),
                                       .initial_backoff_us = FIRST_BACKOFF_US,
                                       .max_backoff_us = MAX_BACKOFF_US,
                                       .multiplier = 2,
                                       .jitter = 0.1};
    /* The hash is of what was asked: neither a name made of the date nor a role that came to the caller since must make
     * tomorrow's repetition another request. */
    if ((rc = payload_of(&s->request, arena, &job->payload, err)) != 0)
        return rc;
    body_hash(job, 0, false, s->item.body_hash);
    s->request.roles = s->caller.roles;
    if (s->request.file_name.len == 0)
        s->request.file_name = default_file_name(arena, s->type, &s->request);
    return s->request.file_name.len > 0 ? payload_of(&s->request, arena, &job->payload, err) : no_memory(err);
}

/* ---- the chain ---- */

static enum crpc_next start_export_start(struct crpc_call *call)
{
    struct start_export *s = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (check_request(call, s, &err) != 0 || fill_job(call, s, &err) != 0)
        return crpc_finish(call, &err);
    s->turn = (struct export_turn){.owner = s->caller.owner, .come = &s->stored.tag};
    s->in_turn = true;
    crpc_event_arm(call, &s->stored);
    if (!export_turn_take(service_of(call)->exports, &s->turn))
        return crpc_await(call, &s->stored, &TURN);
    crpc_event_disarm(&s->stored);
    return crpc_goto(call, &TURN);
}

static enum crpc_next start_export_turn(struct crpc_call *call)
{
    struct start_export *s = crpc_call_state(call);
    s->usage = (struct export_ask_usage){
        .ask = {.op = EXPORT_ASK_USAGE}, .owner = s->caller.owner, .request_id = s->item.job.request_id};
    return export_submit(call, &s->usage.ask, &s->stored, &COUNTED);
}

static enum crpc_next start_export_counted(struct crpc_call *call)
{
    struct start_export *s = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (s->usage.ask.err.code != ERR_OK)
        return crpc_finish(call, &s->usage.ask.err);
    if (!s->usage.repeated &&
        export_start_check(service_of(call)->exports, s->usage.n_running, s->usage.n_today, s->usage.bytes, &err) != 0)
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
    /* A format of words.c, of %s and %lld. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    response.message = arena_printf(crpc_call_arena(call), export_words(span_str(export->language))->started,
                                    export->title, (long long)export->job->id);
#pragma GCC diagnostic pop
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
    if (s->replay.files.ask.err.code != ERR_OK)
        return crpc_finish(call, &s->replay.files.ask.err);
    return start_export_reply(call, export_load_message(call, &s->replay));
}

static void start_export_done(struct crpc_call *call)
{
    struct start_export *s = crpc_call_state(call);
    if (s->in_turn)
        export_turn_end(service_of(call)->exports, &s->turn);
    export_types_free(s->types);
}

const struct crpc_handler start_export_handler = {
    .first = &START, .state_size = sizeof(struct start_export), .done = start_export_done, .ignores_cancel = true};
