/* Filling the one error value. No allocation, no I/O; any thread. */
#define BASE_ERR_SOURCE
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* printf into out. The text goes into protobuf strings, which are UTF-8: what is cut off at the end is whole
 * characters, and what a "%.60s" has cut within becomes "?". */
static void put_text(char *out, size_t room, const char *fmt, va_list ap)
{
    int wanted = vsnprintf(out, room, fmt, ap);
    size_t len = wanted < 0 ? 0 : (size_t)wanted < room ? (size_t)wanted : room - 1;
    for (size_t at = 0; at < len;) {
        size_t n = utf8_len((const uint8_t *)out + at, len - at);
        if (!n && (size_t)wanted >= room && len - at < 4) {
            out[at] = '\0';
            return;
        }
        if (!n)
            out[at] = '?';
        at += n ? n : 1;
    }
}

__attribute__((format(printf, 3, 4))) static void put(char *out, size_t room, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    put_text(out, room, fmt, ap);
    va_end(ap);
}

static int err_fill(struct err *e, enum err_code code, const char *reason, const char *field, const char *fmt,
                    va_list ap)
{
    if (e) {
        e->code = code;
        e->retry_after_ms = 0;
        put(e->reason, sizeof e->reason, "%s", reason ? reason : "");
        put(e->field, sizeof e->field, "%s", field ? field : "");
        put_text(e->msg, sizeof e->msg, fmt, ap);
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
