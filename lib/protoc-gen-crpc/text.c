/* Text under construction, and the two escapes that generated C needs: string literals and comments. */
#include "text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct text text_new(struct pool *pool)
{
    return (struct text){.pool = pool, .data = pool_strdup(pool, ""), .len = 0, .cap = 1};
}

void text_add_len(struct text *text, const char *s, size_t len)
{
    if (len >= text->cap - text->len) {
        size_t cap = text->cap * 2 + len + 64;
        char *data = pool_alloc(text->pool, cap);
        memcpy(data, text->data, text->len);
        text->data = data;
        text->cap = cap;
    }
    memcpy(text->data + text->len, s, len);
    text->len += len;
    text->data[text->len] = 0;
}

void text_add(struct text *text, const char *s)
{
    text_add_len(text, s, strlen(s));
}

void text_char(struct text *text, char c)
{
    text_add_len(text, &c, 1);
}

void text_printf(struct text *text, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    assert(len >= 0);
    char *s = pool_alloc(text->pool, (size_t)len + 1);
    vsnprintf(s, (size_t)len + 1, fmt, again);
    va_end(again);
    text_add_len(text, s, (size_t)len);
}

static const char *find_var(const struct text_var *vars, const char *name, size_t len)
{
    for (; vars->name; vars++)
        if (strlen(vars->name) == len && memcmp(vars->name, name, len) == 0)
            return vars->value;
    return NULL;
}

void text_fill(struct text *text, const char *template, const struct text_var *vars)
{
    const char *at = template;
    for (;;) {
        const char *open = strchr(at, '@');
        if (!open) {
            text_add(text, at);
            return;
        }
        const char *close = strchr(open + 1, '@');
        assert(close);
        const char *value = find_var(vars, open + 1, (size_t)(close - open - 1));
        assert(value); /* templates are ours: a name without a value is a slip in this program */
        text_add_len(text, at, (size_t)(open - at));
        text_add(text, value);
        at = close + 1;
    }
}

void text_literal(struct text *text, const char *s)
{
    text_char(text, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            text_printf(text, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f || c == '?') /* octal: always three digits, so what follows cannot join it */
            text_printf(text, "\\%03o", c);
        else
            text_char(text, (char)c);
    }
    text_char(text, '"');
}

/* Length of a Unicode control of writing direction at s (U+202A..U+202E, U+2066..U+2069), 0 when there is none: it can
 * make source read otherwise than it compiles. */
static size_t bidi_control(const char *s, size_t len)
{
    if (len < 3 || memcmp(s, "\xe2", 1) != 0)
        return 0;
    unsigned char b = (unsigned char)s[1], c = (unsigned char)s[2];
    return (b == 0x80 && c >= 0xaa && c <= 0xae) || (b == 0x81 && c >= 0xa6 && c <= 0xa9) ? 3 : 0;
}

static void comment_line(struct text *text, const char *line, size_t len)
{
    char last = ' ';
    for (size_t i = 0; i < len; i++) {
        size_t bidi = bidi_control(line + i, len - i);
        if (bidi) {
            i += bidi - 1;
            last = '?';
            text_char(text, last);
            continue;
        }
        unsigned char u = (unsigned char)line[i];
        char c = u == '\t' || (u >= 0x20 && u != 0x7f) ? line[i] : ' ';
        if ((last == '*' && c == '/') || (last == '/' && c == '*'))
            text_char(text, ' ');
        text_char(text, c);
        last = c;
    }
    if (last == '\\') /* a splice of lines otherwise */
        text_char(text, '.');
}

static size_t trimmed_len(const char *s, size_t len)
{
    while (len && strchr(" \t\r\n", s[len - 1]))
        len--;
    return len;
}

size_t text_trimmed_len(const char *s)
{
    return trimmed_len(s, strlen(s));
}

void text_comment(struct text *text, const char *indent, const char *comment)
{
    size_t len = comment ? text_trimmed_len(comment) : 0;
    if (!len)
        return;
    const char *end = comment + len;
    text_printf(text, "%s/*", indent);
    for (const char *line = comment; line <= end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t n = trimmed_len(line, (size_t)((newline ? newline : end) - line));
        if (line != comment)
            text_printf(text, "\n%s *", indent);
        if (n && *line != ' ')
            text_char(text, ' ');
        comment_line(text, line, n);
        if (!newline)
            break;
        line = newline + 1;
    }
    text_add(text, " */\n");
}
