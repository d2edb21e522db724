/* Text as a terminal shows it. Pure, any thread. Must not write control characters that came from a server: names,
 * steps and errors are other people's text and could hold escape sequences. */
#include "text.h"

#include "heap.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

struct cursor {
    const char *at;
    size_t left;
};

/* Decodes one character. Returns its bytes (0 at the end); *ret_width columns; broken or control: *ret_plain false. */
static size_t text_next(const struct cursor *c, int *ret_width, int *ret_plain)
{
    if (!c->left)
        return 0;
    unsigned char first = (unsigned char)*c->at;
    if (first < 0x80) {
        *ret_width = 1;
        *ret_plain = first >= 0x20 && first != 0x7f;
        return 1;
    }
    wchar_t wide;
    mbstate_t state = {0};
    size_t n = mbrtowc(&wide, c->at, c->left, &state);
    if (n == (size_t)-1 || n == (size_t)-2 || n == 0) {
        *ret_width = 1;
        *ret_plain = 0;
        return 1;
    }
    int width = wcwidth(wide);
    *ret_plain = width >= 0;
    *ret_width = width >= 0 ? width : 1;
    return n;
}

int text_width(const char *text)
{
    struct cursor c = {text, strlen(text)};
    int columns = 0, width, plain;
    size_t n;
    while ((n = text_next(&c, &width, &plain))) {
        columns += width;
        c.at += n;
        c.left -= n;
    }
    return columns;
}

int text_clean(char *buf, size_t size, const char *text, int max)
{
    struct cursor c = {text, strlen(text)};
    int cut = max && text_width(text) > max, columns = 0, width, plain;
    int room = cut ? max - 1 : 0;
    size_t n, len = 0;
    while ((n = text_next(&c, &width, &plain))) {
        if ((cut && columns + width > room) || len + n + 4 > size)
            break;
        if (plain) {
            memcpy(buf + len, c.at, n);
            len += n;
        } else {
            buf[len++] = (unsigned char)*c.at < 0x80 ? ' ' : '?';
        }
        columns += width;
        c.at += n;
        c.left -= n;
    }
    if (cut && len + 4 <= size) {
        memcpy(buf + len, "…", 3);
        len += 3;
        columns++;
    }
    buf[len] = '\0';
    return columns;
}

int text_print(FILE *out, const char *text, int max)
{
    char piece[4096];
    if (max || strlen(text) < sizeof(piece) / 2) {
        int columns = text_clean(piece, sizeof(piece), text, max);
        fputs(piece, out);
        return columns;
    }
    struct cursor c = {text, strlen(text)};
    int columns = 0, width, plain;
    size_t n;
    while ((n = text_next(&c, &width, &plain))) {
        if (plain)
            fwrite(c.at, 1, n, out);
        else
            fputc((unsigned char)*c.at < 0x80 ? ' ' : '?', out);
        columns += width;
        c.at += n;
        c.left -= n;
    }
    return columns;
}

void text_printf(FILE *out, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = heap_vformat(fmt, args);
    va_end(args);
    text_print(out, text, 0);
    free(text);
}

void text_print_block(FILE *out, const char *text, const char *indent)
{
    struct cursor c = {text, strlen(text)};
    int width, plain, at_start = 1;
    size_t n;
    while ((n = text_next(&c, &width, &plain))) {
        if (at_start)
            fputs(indent, out);
        at_start = 0;
        if (*c.at == '\n') {
            fputc('\n', out);
            at_start = 1;
        } else if (plain || *c.at == '\t') {
            fwrite(c.at, 1, n, out);
        } else {
            fputc((unsigned char)*c.at < 0x80 ? ' ' : '?', out);
        }
        c.at += n;
        c.left -= n;
    }
    if (!at_start)
        fputc('\n', out);
}

/* Bytes of the well-formed sequence at p (RFC 3629), 0 when there is none. */
static size_t text_sequence(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80)
        return p[0] ? 1 : 0;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

size_t text_make_valid(char *text, size_t n, size_t max, int keep_end)
{
    if (keep_end && n > max) {
        memmove(text, text + n - max, max);
        n = max;
        size_t skip = 0;
        while (skip < 3 && skip < n && ((unsigned char)text[skip] & 0xc0) == 0x80)
            skip++;
        memmove(text, text + skip, n - skip);
        n -= skip;
    }
    size_t at = 0;
    while (at < n) {
        size_t len = text_sequence((const unsigned char *)text + at, n - at);
        if (!len)
            text[at] = '?';
        len = len ? len : 1;
        if (at + len > max)
            break;
        at += len;
    }
    return at;
}
