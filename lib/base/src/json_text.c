/* Small work on JSON texts that are known to be valid; see json.h. Pure. */
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"

void json_add_string(struct buf *b, struct span s)
{
    size_t from = 0;

    buf_add_char(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char ch = (unsigned char)s.data[i];
        if (ch >= 0x20 && ch != '"' && ch != '\\')
            continue;
        buf_add(b, s.data + from, i - from);
        if (ch < 0x20) {
            buf_printf(b, "\\u%04x", ch);
        } else {
            buf_add_char(b, '\\');
            buf_add_char(b, (char)ch);
        }
        from = i + 1;
    }
    if (s.len > from)
        buf_add(b, s.data + from, s.len - from);
    buf_add_char(b, '"');
}

static bool is_space(char ch)
{
    return ch == ' ' || ch == '\n' || ch == '\r' || ch == '\t';
}

static size_t skip_space(struct span s, size_t at)
{
    while (at < s.len && is_space(s.data[at]))
        at++;
    return at;
}

/* at stands on the opening quote; returns the place after the closing one, or len. */
static size_t skip_string(struct span s, size_t at)
{
    for (at++; at < s.len; at++) {
        if (s.data[at] == '\\')
            at++;
        else if (s.data[at] == '"')
            return at + 1;
    }
    return s.len;
}

static size_t skip_value(struct span s, size_t at)
{
    int depth = 0;

    while (at < s.len) {
        char ch = s.data[at];
        if (ch == '"') {
            at = skip_string(s, at);
            if (depth == 0)
                return at;
            continue;
        }
        if (depth == 0 && (ch == ',' || ch == '}' || ch == ']' || is_space(ch)))
            return at;
        if (ch == '{' || ch == '[')
            depth++;
        if ((ch == '}' || ch == ']') && --depth == 0)
            return at + 1;
        at++;
    }
    return at;
}

bool json_next_member(struct span *rest, struct span *ret_key, struct span *ret_value)
{
    struct span s = *rest;
    size_t at = skip_space(s, 0), key, value;

    if (at < s.len && (s.data[at] == '{' || s.data[at] == ','))
        at = skip_space(s, at + 1);
    if (at >= s.len || s.data[at] != '"')
        return false;
    key = at;
    at = skip_string(s, at);
    *ret_key = span_of(s.data + key, at - key);
    at = skip_space(s, at);
    if (at >= s.len || s.data[at] != ':')
        return false;
    value = skip_space(s, at + 1);
    at = skip_value(s, value);
    *ret_value = span_of(s.data + value, at - value);
    *rest = span_of(s.data + at, s.len - at);
    return true;
}

static uint32_t hex4(const char *p)
{
    uint32_t v = 0;

    for (int i = 0; i < 4; i++) {
        char ch = p[i];
        v = v * 16 + (uint32_t)(ch <= '9' ? ch - '0' : (ch | 32) - 'a' + 10);
    }
    return v;
}

static size_t put_utf8(char *to, uint32_t cp)
{
    if (cp < 0x80) {
        to[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        to[0] = (char)(0xc0 | cp >> 6);
        to[1] = (char)(0x80 | (cp & 63));
        return 2;
    }
    if (cp < 0x10000) {
        to[0] = (char)(0xe0 | cp >> 12);
        to[1] = (char)(0x80 | (cp >> 6 & 63));
        to[2] = (char)(0x80 | (cp & 63));
        return 3;
    }
    to[0] = (char)(0xf0 | cp >> 18);
    to[1] = (char)(0x80 | (cp >> 12 & 63));
    to[2] = (char)(0x80 | (cp >> 6 & 63));
    to[3] = (char)(0x80 | (cp & 63));
    return 4;
}

/* p stands after the backslash; returns how many bytes of it were used. */
static size_t put_escape(const char *p, size_t left, char *to, size_t *at)
{
    static const char from[] = "bfnrt", bytes[] = "\b\f\n\r\t";
    const char *found = strchr(from, p[0]);

    if (p[0] != 'u') {
        to[(*at)++] = p[0] && found ? bytes[found - from] : p[0];
        return 1;
    }
    if (left < 5)
        return left;
    uint32_t cp = hex4(p + 1);
    size_t used = 5;
    if (cp >= 0xd800 && cp <= 0xdbff && left >= 11) {
        cp = 0x10000u + ((cp - 0xd800) << 10) + (hex4(p + 7) - 0xdc00);
        used = 11;
    }
    *at += put_utf8(to + *at, cp);
    return used;
}

bool json_decode_string(struct arena *arena, struct span raw, struct span *ret)
{
    if (raw.len < 2 || raw.data[0] != '"')
        return false;
    struct span inner = span_of(raw.data + 1, raw.len - 2);
    if (!inner.len || !memchr(inner.data, '\\', inner.len)) {
        *ret = inner;
        return true;
    }
    char *to = arena_alloc(arena, inner.len + 1);
    size_t n = 0;
    if (!to)
        return false;
    for (size_t i = 0; i < inner.len;) {
        if (inner.data[i] != '\\' || i + 1 == inner.len) {
            to[n++] = inner.data[i++];
            continue;
        }
        i += 1 + put_escape(inner.data + i + 1, inner.len - i - 1, to, &n);
    }
    to[n] = '\0';
    *ret = span_of(to, n);
    return true;
}

/* ---- merging ---- */

struct members {
    struct span *keys; /* decoded, sorted by memcmp order */
    size_t n;
};

static int compare_keys(const void *pa, const void *pb)
{
    return span_cmp(*(const struct span *)pa, *(const struct span *)pb);
}

static bool read_keys(struct arena *arena, struct span object, struct members *ret)
{
    struct span rest = object, raw, value;
    size_t n = 0;

    while (json_next_member(&rest, &raw, &value))
        n++;
    ret->keys = arena_alloc(arena, n * sizeof *ret->keys);
    ret->n = n;
    rest = object;
    for (size_t i = 0; ret->keys && i < n && json_next_member(&rest, &raw, &value); i++) {
        if (!json_decode_string(arena, raw, &ret->keys[i]))
            return false;
    }
    if (!ret->keys)
        return false;
    if (n)
        qsort(ret->keys, n, sizeof *ret->keys, compare_keys);
    return true;
}

static bool has_key(const struct members *m, struct span key)
{
    return m->n && bsearch(&key, m->keys, m->n, sizeof *m->keys, compare_keys);
}

static void add_member(struct buf *b, bool *first, struct span key, struct span value)
{
    if (!*first)
        buf_add_str(b, ", ");
    *first = false;
    buf_add(b, key.data, key.len);
    buf_add_str(b, ": ");
    buf_add(b, value.data, value.len);
}

bool json_merge(struct buf *b, struct span base, struct span patch)
{
    char space[1024];
    struct arena arena;
    struct members patched;
    struct span rest, raw, value, key;
    bool first = true, good;

    arena_init(&arena, space, sizeof space, 0);
    good = read_keys(&arena, patch, &patched);
    buf_add_char(b, '{');
    rest = base;
    while (good && json_next_member(&rest, &raw, &value)) {
        good = json_decode_string(&arena, raw, &key);
        if (good && !has_key(&patched, key))
            add_member(b, &first, raw, value);
    }
    rest = patch;
    while (json_next_member(&rest, &raw, &value))
        add_member(b, &first, raw, value);
    buf_add_char(b, '}');
    arena_done(&arena);
    return good && !b->failed;
}
