/* Filling the one error value. No allocation, no I/O; any thread. */
#define BASE_ERR_SOURCE
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* printf into out; what is cut off is whole characters, as the text goes into protobuf strings, which are UTF-8. */
static void put_text(char *out, size_t room, const char *fmt, va_list ap)
{
    int wanted = vsnprintf(out, room, fmt, ap);
    if (wanted < 0 || (size_t)wanted < room)
        return;
    size_t at = room - 1, back = 0; /* to the start of the last character */
    do {
        at--;
        back++;
    } while (at > 0 && back < 4 && ((unsigned char)out[at] & 0xc0) == 0x80);
    unsigned char first = (unsigned char)out[at];
    size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
    if (back < len)
        out[at] = '\0';
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
