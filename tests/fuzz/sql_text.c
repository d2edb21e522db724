/* A lexer of SQL for the fuzz targets; see sql_text.h. Written from PostgreSQL's documentation, chapter "Lexical
 * Structure", not from server/export. */
#include "sql_text.h"

#include <ctype.h>
#include <string.h>

#include "fuzz.h"

/* at is behind the opening quote; returns what is behind the closing one. */
static const char *string(const char *at, const char *end, bool escapes, struct buf *out)
{
    for (;; at++) {
        HOLDS(at < end);
        if (*at == '\'' && (at + 1 == end || at[1] != '\'')) {
            buf_add_char(out, '\0');
            return at + 1;
        }
        if (*at == '\'') {
            at++;
        } else if (*at == '\\') {
            /* Without E the meaning would depend on a setting of the session. */
            HOLDS(escapes && at + 1 < end);
            at++;
            HOLDS(*at == '\\' || *at == '\''); /* no other escape is ever wanted */
        }
        HOLDS(*at);
        buf_add_char(out, *at);
    }
}

static const char *identifier(const char *at, const char *end)
{
    for (size_t n = 0;; at++, n++) {
        HOLDS(at < end && *at);
        if (*at != '"')
            continue;
        if (at + 1 < end && at[1] == '"') {
            at++;
            continue;
        }
        HOLDS(n > 0); /* PostgreSQL has no empty identifier */
        return at + 1;
    }
}

void sql_take_apart(struct span sql, struct buf *out)
{
    const char *at = sql.data, *end = at + sql.len;
    while (at < end) {
        if (*at == '"') {
            at = identifier(at + 1, end);
        } else if (*at == '\'') {
            at = string(at + 1, end, false, out);
        } else if (*at == 'E' && at + 1 < end && at[1] == '\'') {
            at = string(at + 2, end, true, out);
        } else {
            HOLDS(isalnum((unsigned char)*at) || strchr(" ._(),<>=+*:@|", *at));
            at++;
        }
    }
}
