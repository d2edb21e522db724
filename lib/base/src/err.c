/* Filling the one error value. No allocation, no I/O; any thread. */
#define BASE_ERR_SOURCE
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int err_fill(struct err *e, enum err_code code, const char *reason, const char *field, const char *fmt,
                    va_list ap)
{
    if (e) {
        e->code = code;
        e->retry_after_ms = 0;
        snprintf(e->reason, sizeof e->reason, "%s", reason ? reason : "");
        snprintf(e->field, sizeof e->field, "%s", field ? field : "");
        vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    }
    return -(int)code;
}

int err_set(struct err *ret_err, enum err_code code, const char *reason, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = err_fill(ret_err, code, reason, NULL, fmt, ap);
    va_end(ap);
    return rc;
}

int err_field(struct err *ret_err, const char *field, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = err_fill(ret_err, ERR_INVALID_ARGUMENT, NULL, field, fmt, ap);
    va_end(ap);
    return rc;
}

const char *err_code_name(int code)
{
#define ERR_NAME(name, number) [number] = #name,
    static const char *const names[] = {ERR_CODES(ERR_NAME)};
#undef ERR_NAME
    if (code < 0 || code >= (int)(sizeof names / sizeof names[0]))
        return "UNKNOWN";
    return names[code];
}
