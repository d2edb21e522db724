/* Loading an export of the caller's; see export_common.h. On the call's worker. */
#include "rpc/export_common.h"

#include "base/clock.h"
#include "core/identity.h"
#include "rpc/check.h"

struct export_caller export_caller_of(const struct crpc_call *call)
{
    const struct caller *caller = caller_of(call);
    /* On behalf of a user an administrator gets that user's rows. */
    return (struct export_caller){.owner = caller->owner,
                                  .roles = caller->identity->roles,
                                  .all_rows = (caller->identity->roles & ROLE_ADMIN) &&
                                              span_eq(caller->owner, caller->identity->owner)};
}

int export_load_check(struct crpc_call *call, struct export_load *load, int64_t id, struct err *ret_err)
{
    load->id = id;
    load->caller = caller_of(call);
    return check_id(id, "id", ret_err);
}

enum crpc_next export_load_job(struct crpc_call *call, struct export_load *load, const struct crpc_step *next)
{
    load->get = (struct store_get){.cmd = {.op = STORE_GET},
                                   .id = load->id,
                                   .full = true,
                                   .scope = &load->caller->scope,
                                   .arena = crpc_call_arena(call)};
    return service_submit(call, &load->get.cmd, &load->stored, next);
}

int export_load_owned(const struct export_load *load, struct err *ret_err)
{
    const struct err *err = &load->get.cmd.err;
    const struct job *job = &load->get.job;
    if (err->code != ERR_OK && err->code != ERR_NOT_FOUND) {
        *ret_err = *err;
        return -(int)err->code;
    }
    if (err->code == ERR_NOT_FOUND || !span_eq(job->name, span_str(EXPORT_JOB_NAME)) ||
        !rights_see_job(&load->caller->scope, job))
        return err_set(ret_err, ERR_NOT_FOUND, "EXPORT_NOT_FOUND", "there is no export %lld of yours",
                       (long long)load->id);
    return 0;
}

int export_job_granted(struct crpc_call *call, const struct job *job, struct err *ret_err)
{
    const struct caller *caller = caller_of(call);
    struct export_request request;
    if (export_request_decode(job->payload, crpc_call_arena(call), &request, NULL) != 0)
        return caller->scope.bounded
                   ? err_set(ret_err, ERR_PERMISSION_DENIED, "EXPORT_TYPE_DENIED",
                             "what was asked of this export cannot be read, nor so whether you may have it")
                   : 0;
    struct export_types *types = export_types_of(service_of(call)->exports);
    const struct export_type *type = export_types_find(types, request.export_type);
    bool allows = !type || export_type_allows(type, caller->identity->roles);
    /* Rows of everybody are for administrators, in their own name. */
    bool sees_rows = !type || !type->owner_column.name || !request.all_rows || !caller->scope.bounded;
    export_types_free(types);
    if (!allows)
        return err_set(ret_err, ERR_PERMISSION_DENIED, "EXPORT_TYPE_DENIED",
                       "you have none of the roles that exports of this type are for");
    if (!sees_rows)
        return err_set(ret_err, ERR_PERMISSION_DENIED, "EXPORT_ROWS_DENIED",
                       "this export was started by an administrator and has rows of others: start one of your own");
    return 0;
}

enum crpc_next export_submit(struct crpc_call *call, struct export_ask *ask, struct crpc_event *event,
                             const struct crpc_step *next)
{
    struct err err = ERR_NONE;
    ask->done = &event->tag;
    crpc_event_arm(call, event);
    if (export_ask(service_of(call)->exports, ask, &err) != 0) {
        crpc_event_disarm(event);
        return crpc_finish(call, &err);
    }
    return crpc_await(call, event, next);
}

enum crpc_next export_load_file(struct crpc_call *call, struct export_load *load, const struct crpc_step *next)
{
    load->files = (struct export_ask_files){
        .ask = {.op = EXPORT_ASK_FILES}, .job_ids = &load->id, .n_job_ids = 1, .arena = crpc_call_arena(call)};
    if (load->get.job.status != JOB_COMPLETED)
        return crpc_goto(call, next);
    return export_submit(call, &load->files.ask, &load->stored, next);
}

bool export_file_is_there(const struct export_file *file)
{
    return file && file->state == EXPORT_FILE_THERE && file->expire_us > clock_wall_us();
}

const struct export_file *export_load_found(const struct export_load *load)
{
    return load->files.n_files > 0 ? &load->files.files[0] : NULL;
}

Joblog__V1__Export *export_load_message(struct crpc_call *call, const struct export_load *load)
{
    struct export_request request = export_request_of(crpc_call_arena(call), &load->get.job);
    return convert_export(crpc_call_arena(call), service_of(call)->exports, &load->get.job, &request,
                          export_load_found(load));
}
