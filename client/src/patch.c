/* See patch.h. */
#include "patch.h"

#include <string.h>

#include "base/alloc.h"
#include "base/json.h"

bool patch_merge(char **patch, const char *newer)
{
    char *merged;
    if (*patch) {
        struct buf b = BUF_INIT;
        if (!json_merge(&b, span_str(*patch), span_str(newer))) {
            buf_done(&b);
            return false;
        }
        merged = b.data;
    } else {
        merged = mem_strdup(newer);
    }
    if (!merged)
        return false;
    mem_free(*patch);
    *patch = merged;
    return true;
}

bool patch_put_back(char **patch, char **taken)
{
    if (!*taken)
        return true;
    if (*patch && !patch_merge(taken, *patch))
        return false;
    mem_free(*patch);
    *patch = *taken;
    *taken = NULL;
    return true;
}

void patch_drop_longest(char **patch)
{
    struct buf left = BUF_INIT;
    struct span rest = span_str(*patch), key, value;
    const char *longest = NULL;
    size_t most = 0, n = 0;
    for (; json_next_member(&rest, &key, &value); n++)
        if (key.len + value.len > most) {
            most = key.len + value.len;
            longest = key.data;
        }
    rest = span_str(*patch);
    while (n > 1 && json_next_member(&rest, &key, &value)) {
        if (key.data == longest)
            continue;
        buf_add_char(&left, left.len > 0 ? ',' : '{');
        buf_add(&left, key.data, key.len);
        buf_add_char(&left, ':');
        buf_add(&left, value.data, value.len);
    }
    if (n > 1)
        buf_add_char(&left, '}');
    if (left.failed) {
        buf_done(&left);
        return;
    }
    mem_free(*patch);
    *patch = n > 1 ? left.data : NULL;
}

/* Adds the first members of *rest that fit into max bytes together, one at least, and moves *rest behind them. */
static void add_members(struct buf *b, struct span *rest, size_t max)
{
    struct span key, value, after = *rest;
    buf_add_char(b, '{');
    while (json_next_member(&after, &key, &value)) {
        size_t more = key.len + value.len + 2;  /* a colon, and a comma unless it is the first */
        if (b->len > 1 && b->len + more >= max) /* the brace needs its byte too */
            break;
        if (b->len > 1)
            buf_add_char(b, ',');
        buf_add(b, key.data, key.len);
        buf_add_char(b, ':');
        buf_add(b, value.data, value.len);
        *rest = after;
    }
    buf_add_char(b, '}');
}

char *patch_take(char **patch, size_t max)
{
    struct buf piece = BUF_INIT, left = BUF_INIT;
    char *whole = *patch;
    if (!whole || strlen(whole) <= max) {
        *patch = NULL;
        return whole;
    }
    struct span rest = span_str(whole), key, value, none = rest;
    add_members(&piece, &rest, max);
    none = rest;
    bool any = json_next_member(&none, &key, &value);
    if (any)
        add_members(&left, &rest, SIZE_MAX);
    if (piece.failed || left.failed) {
        buf_done(&piece);
        buf_done(&left);
        return NULL;
    }
    mem_free(whole);
    *patch = any ? left.data : NULL;
    return piece.data;
}
