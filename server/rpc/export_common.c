/* Loading an export of the caller's; see export_common.h. On the call's worker. */
#include "rpc/export_common.h"

#include "base/clock.h"
#include "rpc/check.h"

int export_load_check(struct crpc_call *call, struct export_load *load, int64_t id, struct err *ret_err)
{
    load->id = id;
    load->caller = caller_of(call);
    return check_id(id, "id", ret_err);
}

enum crpc_next export_load_job(struct crpc_call *call, struct export_load *load, const struct crpc_step *next)
{
    load->get =
        (struct store_get){.cmd = {.op = STORE_GET}, .id = load->id, .full = true, .arena = crpc_call_arena(call)};
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

enum crpc_next export_load_file(struct crpc_call *call, struct export_load *load, const struct crpc_step *next)
{
    load->files = (struct store_export_file){
        .cmd = {.op = STORE_EXPORT_FILE}, .job_ids = &load->id, .n_job_ids = 1, .arena = crpc_call_arena(call)};
    if (load->get.job.status != JOB_COMPLETED)
        return crpc_goto(call, next);
    return service_submit(call, &load->files.cmd, &load->stored, next);
}

const struct export_file *export_load_found(const struct export_load *load)
{
    if (load->files.n_files == 0 || load->files.files[0].expire_us <= clock_wall_us())
        return NULL;
    return &load->files.files[0];
}

Joblog__V1__Export *export_load_message(struct crpc_call *call, const struct export_load *load)
{
    struct export_request request = export_request_of(crpc_call_arena(call), &load->get.job);
    return convert_export(crpc_call_arena(call), service_of(call)->exports, &load->get.job, &request,
                          export_load_found(load));
}
