/* Validation and quoting of filter values. The only place that turns a caller's text into SQL. */
#include "export/value.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

/* ---- validation: a cursor over the text ---- */

enum { NUMBER_MAX = 100 /* bytes of a number as it is written: more than any type has digits for */ };

struct cursor {
    const char *at, *end;
};

static bool take_char(struct cursor *c, char want)
{
    if (c->at == c->end || *c->at != want)
        return false;
    c->at++;
    return true;
}

static size_t take_digits(struct cursor *c)
{
    const char *from = c->at;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
        c->at++;
    return (size_t)(c->at - from);
}

/* Exactly n digits with a value of min to max. */
static bool take_number(struct cursor *c, int n, int min, int max, int *ret)
{
    int value = 0;
    for (int i = 0; i < n; i++, c->at++) {
        if (c->at == c->end || *c->at < '0' || *c->at > '9')
            return false;
        value = value * 10 + (*c->at - '0');
    }
    *ret = value;
    return value >= min && value <= max;
}

static bool is_integer(struct cursor c)
{
    uint64_t value = 0;
    bool negative = take_char(&c, '-');
    if (c.at == c.end || c.end - c.at > 19)
        return false;
    for (; c.at < c.end; c.at++) {
        if (*c.at < '0' || *c.at > '9')
            return false;
        value = value * 10 + (uint64_t)(*c.at - '0');
    }
    return value <= (uint64_t)INT64_MAX + negative;
}

/* Exponents of up to two digits keep the value within PostgreSQL's numeric and double precision. */
static bool is_number(struct cursor c)
{
    if (c.end - c.at > NUMBER_MAX)
        return false;
    take_char(&c, '-');
    size_t digits = take_digits(&c);
    if (take_char(&c, '.'))
        digits += take_digits(&c);
    if (digits == 0)
        return false;
    if (take_char(&c, 'e') || take_char(&c, 'E')) {
        if (!take_char(&c, '-'))
            take_char(&c, '+');
        digits = take_digits(&c);
        if (digits == 0 || digits > 2)
            return false;
    }
    return c.at == c.end;
}

static bool take_date(struct cursor *c)
{
    static const int lengths[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day;
    if (!take_number(c, 4, 1, 9999, &year) || !take_char(c, '-') || !take_number(c, 2, 1, 12, &month) ||
        !take_char(c, '-') || !take_number(c, 2, 1, lengths[month - 1], &day))
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return leap || month != 2 || day <= 28;
}

static bool is_date(struct cursor c)
{
    return take_date(&c) && c.at == c.end;
}

static bool is_timestamp(struct cursor c)
{
    int unused;
    if (!take_date(&c) || !(take_char(&c, 'T') || take_char(&c, 't')) || !take_number(&c, 2, 0, 23, &unused) ||
        !take_char(&c, ':') || !take_number(&c, 2, 0, 59, &unused) || !take_char(&c, ':') ||
        !take_number(&c, 2, 0, 59, &unused))
        return false;
    if (take_char(&c, '.')) {
        size_t digits = take_digits(&c);
        if (digits == 0 || digits > 9)
            return false;
    }
    if (take_char(&c, 'Z') || take_char(&c, 'z'))
        return c.at == c.end;
    if (!take_char(&c, '+') && !take_char(&c, '-'))
        return false;
    return take_number(&c, 2, 0, 15, &unused) && take_char(&c, ':') && take_number(&c, 2, 0, 59, &unused) &&
           c.at == c.end;
}

const char *export_value_fault(enum export_value kind, struct span text)
{
    struct cursor c = {text.data, text.data + text.len};
    if (text.len && memchr(text.data, '\0', text.len))
        return "must not hold a NUL";
    switch (kind) {
    case EXPORT_VALUE_TEXT:
        return NULL;
    case EXPORT_VALUE_UNKNOWN:
    case EXPORT_VALUE_JSON:
        break; /* of columns only */
    case EXPORT_VALUE_INTEGER:
        return is_integer(c) ? NULL : "must be an integer of 64 bits such as 42";
    case EXPORT_VALUE_NUMBER:
        return is_number(c) ? NULL : "must be a number such as 12.5";
    case EXPORT_VALUE_BOOLEAN:
        return span_eq(text, SPAN_LIT("true")) || span_eq(text, SPAN_LIT("false")) ? NULL : "must be true or false";
    case EXPORT_VALUE_DATE:
        return is_date(c) ? NULL : "must be a date such as 2026-01-31";
    case EXPORT_VALUE_TIMESTAMP:
        return is_timestamp(c) ? NULL : "must be an RFC 3339 time such as 2026-01-31T12:00:00Z";
    }
    return "is of an unknown type";
}

/* ---- quoting ---- */

void export_identifier_span(struct buf *out, struct span name)
{
    buf_add_char(out, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] == '"')
            buf_add_char(out, '"');
        buf_add_char(out, name.data[i]);
    }
    buf_add_char(out, '"');
}

void export_identifier(struct buf *out, const char *name)
{
    export_identifier_span(out, span_str(name));
}

enum like { NO_LIKE, LIKE_PART, LIKE_PREFIX };

/* Backslashes are only ever written doubled within E'': then the session's settings do not matter. */
static void literal(struct buf *out, struct span text, enum like like)
{
    buf_add_str(out, like || (text.len && memchr(text.data, '\\', text.len)) ? "E'" : "'");
    if (like == LIKE_PART)
        buf_add_char(out, '%');
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (like && (c == '%' || c == '_' || c == '\\'))
            buf_add_str(out, "\\\\");
        if (c == '\'' || c == '\\')
            buf_add_char(out, c);
        buf_add_char(out, c);
    }
    buf_add_str(out, like ? "%'" : "'");
}

void export_text_literal(struct buf *out, struct span text)
{
    literal(out, text, NO_LIKE);
}

void export_like_literal(struct buf *out, struct span text, bool prefix)
{
    literal(out, text, prefix ? LIKE_PREFIX : LIKE_PART);
}

void export_value_literal(struct buf *out, enum export_value kind, struct span text)
{
    static const char *const casts[] = {[EXPORT_VALUE_UNKNOWN] = "",
                                        [EXPORT_VALUE_TEXT] = "",
                                        [EXPORT_VALUE_INTEGER] = "::bigint",
                                        [EXPORT_VALUE_NUMBER] = "::numeric",
                                        [EXPORT_VALUE_BOOLEAN] = "::boolean",
                                        [EXPORT_VALUE_DATE] = "::date",
                                        [EXPORT_VALUE_TIMESTAMP] = "::timestamptz",
                                        [EXPORT_VALUE_JSON] = ""};
    literal(out, text, NO_LIKE);
    buf_add_str(out, casts[kind]);
}

void export_real_literal(struct buf *out, struct span text)
{
    char copy[NUMBER_MAX + 1];
    if (text.len < sizeof copy) {
        memcpy(copy, text.data, text.len);
        copy[text.len] = '\0';
        errno = 0;
        float value = strtof(copy, NULL); /* ERANGE also of those near zero, which there are */
        if (isfinite(value) && (value != 0 || errno == 0)) {
            buf_printf(out, "'%.9g'::real", (double)value);
            return;
        }
    }
    export_value_literal(out, EXPORT_VALUE_NUMBER, text);
}
