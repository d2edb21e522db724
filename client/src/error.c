/* Errors and names at the public edge of libjoblog. No state; any thread. */
#include "joblog/error.h"

#include <stdio.h>

#include "client_priv.h"

const char *joblog_code_name(int code)
{
    return err_code_name(code);
}

int error_give(struct joblog_error *error, const struct err *e)
{
    if (error) {
        *error = (struct joblog_error){.code = (enum joblog_code)e->code, .retry_after_ms = e->retry_after_ms};
        snprintf(error->reason, sizeof error->reason, "%s", e->reason);
        snprintf(error->field, sizeof error->field, "%s", e->field);
        snprintf(error->message, sizeof error->message, "%s", e->msg);
    }
    return -(int)e->code;
}

int error_no_memory(struct err *ret_err)
{
    return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
}
